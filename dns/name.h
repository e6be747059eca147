/* dns/name.h: domain names as text: lower case, without the final dot, bounded (RFC 1035 2.3.4, RFC 4343).
 *
 * A name is made of printable ASCII labels; dot and backslash cannot be part of a label here, so text and wire form
 * correspond one to one. Internationalised names pass as A-labels ("xn--…"); U-labels are refused: converting them is the
 * business of whoever reads them. The root is the empty text. */
#ifndef GEMEL_DNS_NAME_H
#define GEMEL_DNS_NAME_H

#include "base/slice.h"

enum { DNS_NAME_MAX = 253, DNS_LABEL_MAX = 63, DNS_NAME_WIRE_MAX = 255 };

struct dns_name {
    uint8_t n;
    char text[DNS_NAME_MAX + 1]; /* NUL-terminated */
};

/* One final dot is accepted and dropped. MALFORMED: empty label, a character no label may hold; LIMIT: a label or the
 * name is too long. */
MUST_USE enum err dns_name_parse(struct slice s, struct dns_name *out);
/* "_spf" in front of "gw.example.com". Errors as above. */
MUST_USE enum err dns_name_join(struct slice label, struct slice parent, struct dns_name *out);
/* From an uncompressed wire form that fills `wire` exactly. MALFORMED also for labels we do not represent as text. */
MUST_USE enum err dns_name_from_wire(const uint8_t *wire, size_t n, struct dns_name *out);
/* Length 1 to DNS_NAME_WIRE_MAX; `name` is what dns_name_parse accepted. */
size_t dns_name_to_wire(struct slice name, uint8_t out[static DNS_NAME_WIRE_MAX]);

static inline struct slice dns_name_slice(const struct dns_name *n)
{
    return (struct slice){ n->text, n->n };
}

bool dns_name_eq(struct slice a, struct slice b);          /* case and one final dot do not matter */
bool dns_name_below(struct slice name, struct slice zone); /* the zone itself counts */
struct slice dns_name_parent(struct slice name);           /* "" for a single label and for the root */
size_t dns_name_labels(struct slice name);                 /* 0 for the root */
/* A host name (RFC 1123 2.1): letters, digits and inner hyphens, and the last label is not a number. */
bool dns_name_is_host(struct slice name);

#endif
