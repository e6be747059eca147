/* base/addr.h: an IP address with an optional port, and prefixes of addresses.
 *
 * IPv4-mapped IPv6 (::ffff:a.b.c.d) is turned into IPv4 at the door, so that one host has one form. */
#ifndef GEMEL_BASE_ADDR_H
#define GEMEL_BASE_ADDR_H

#include <sys/socket.h>

#include "base/buf.h"

enum addr_family { ADDR_NONE, ADDR_V4, ADDR_V6 };

struct addr {
    uint8_t family; /* enum addr_family */
    uint8_t ip[16]; /* network order; the first 4 for IPv4 */
    uint16_t port;  /* host order; 0: none */
};

struct prefix {
    struct addr base;
    uint8_t bits;
};

enum { ADDR_TEXT_MAX = 56 }; /* "[ffff:…]:65535" and NUL */

/* "192.0.2.1", "2001:db8::1"; no port, no brackets. */
MUST_USE enum err addr_parse(struct slice s, struct addr *out);
/* "192.0.2.1:25", "[2001:db8::1]:25", or without a port, which is then `port`. */
MUST_USE enum err addr_parse_port(struct slice s, uint16_t port, struct addr *out);
/* "10.0.0.0/8", "::1", "10.0.0.1": host bits must be zero, MALFORMED otherwise. */
MUST_USE enum err prefix_parse(struct slice s, struct prefix *out);
bool prefix_has(const struct prefix *p, const struct addr *a);

/* Both write NUL-terminated text and return `out`. addr_format leaves the port out. */
const char *addr_format(const struct addr *a, char out[static ADDR_TEXT_MAX]);
const char *addr_format_port(const struct addr *a, char out[static ADDR_TEXT_MAX]);

bool addr_eq_ip(const struct addr *a, const struct addr *b); /* ports are not compared */
int addr_cmp_ip(const struct addr *a, const struct addr *b); /* IPv4 before IPv6, then bytes */
bool addr_is_loopback(const struct addr *a);
bool addr_is_private(
    const struct addr *a); /* RFC 1918, 4193, 6598, link-local, loopback, unspecified, multicast */
bool addr_is_documentation(const struct addr *a); /* RFC 5737, 3849 */

void addr_from_sockaddr(const struct sockaddr *sa, struct addr *out);
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);

/* "10.2.0.192" + ".in-addr.arpa" style reversed labels without the suffix (RFC 5782 2.1, 2.4): octets for IPv4,
 * 32 nibbles for IPv6. */
void addr_reversed(const struct addr *a, struct buf *out);

#endif
