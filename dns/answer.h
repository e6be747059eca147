/* dns/answer.h: what a question came back with, and tables of such answers.
 *
 * A table is the world as far as it has been asked: SPF is evaluated from it, tests fill it by hand. */
#ifndef GEMEL_DNS_ANSWER_H
#define GEMEL_DNS_ANSWER_H

#include "base/addr.h"
#include "base/map.h"
#include "dns/name.h"

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_TLSA = 52,
};

const char *dns_type_name(uint16_t type); /* "TXT"; "TYPE" for those above that are not known */

enum {
    DNS_RCODE_NOERROR = 0,
    DNS_RCODE_FORMERR = 1,
    DNS_RCODE_SERVFAIL = 2,
    DNS_RCODE_NXDOMAIN = 3,
    DNS_RCODE_NOTIMP = 4,
    DNS_RCODE_REFUSED = 5,
    DNS_RCODE_YXDOMAIN = 6,
    DNS_RCODE_YXRRSET = 7,
    DNS_RCODE_NXRRSET = 8,
    DNS_RCODE_NOTAUTH = 9,
    DNS_RCODE_NOTZONE = 10
};

const char *dns_rcode_name(uint16_t rcode); /* "NXDOMAIN"; "RCODE" for those that are not known */

/* Slices are NUL-terminated (the NUL is not counted) and live as long as the answer. */
struct dns_record {
    uint16_t type;
    uint16_t pref; /* MX */
    uint32_t ttl_s;
    struct slice owner;
    struct slice
        name; /* MX, NS, CNAME, PTR, SOA (mname); "" is the root, which as an MX means "no mail" (RFC 7505) */
    struct slice text; /* TXT: the strings joined with nothing between them; any bytes. TLSA: the rdata */
    struct addr addr;  /* A, AAAA; port 0 */
    uint32_t serial, minimum_s; /* SOA */
    uint16_t strings;           /* TXT: how many strings */
};

enum dns_result { DNS_ANSWER, DNS_NODATA, DNS_NXDOMAIN, DNS_FAIL };
const char *dns_result_name(enum dns_result r); /* "answer", "nodata", "nxdomain", "fail" */

#define DNS_WHY_MAP(X)                                                         \
    X(NONE, "none", "the question was answered")                               \
    X(TIMEOUT, "timeout", "no server answered in time")                        \
    X(SERVFAIL, "servfail", "the server could not find out")                   \
    X(REFUSED, "refused", "the server refuses to answer us")                   \
    X(MALFORMED, "malformed", "the answer is not a DNS message we can accept") \
    X(NETWORK, "network", "the server cannot be reached")                      \
    X(LOOP, "loop", "aliases lead in a circle, or too far")                    \
    X(NAME, "name", "this is not a domain name that can be asked for")         \
    X(LIMIT, "limit", "too many questions at once")                            \
    X(OTHER, "other", "the server answered with an error")

enum dns_why {
#define DNS_WHY_ENUM(name, word, text) DNS_WHY_##name,
    DNS_WHY_MAP(DNS_WHY_ENUM)
#undef DNS_WHY_ENUM
};
const char *dns_why_name(enum dns_why w);
const char *dns_why_text(enum dns_why w);

struct dns_answer {
    enum dns_result result;
    enum dns_why why; /* of DNS_FAIL */
    uint16_t rcode;
    bool aa, ad;
    bool tcp;       /* the answer came by TCP */
    uint32_t ttl_s; /* the least on the way to it; for a negative answer RFC 2308; 0: not to be kept */
    struct slice canonical;           /* the name at the end of the aliases */
    struct slice why_detail;          /* for the log; may be empty */
    const struct dns_record *records; /* of the asked type, owned by `canonical` */
    size_t n;
    const struct dns_record *authority; /* NS and SOA records of the authority section */
    size_t n_authority;
};

/* A copy in one block of memory; free() it. */
struct dns_answer *dns_answer_dup(const struct dns_answer *a);
size_t dns_answer_bytes(const struct dns_answer *a); /* what dns_answer_dup allocates */

/* Zeroed memory is an empty table. Answers are copied. */
struct dns_table {
    struct map map;
};

void dns_table_deinit(struct dns_table *t);
void dns_table_put(struct dns_table *t, struct slice name, uint16_t type, const struct dns_answer *a);
const struct dns_answer *dns_table_get(const struct dns_table *t, struct slice name,
                                       uint16_t type); /* or NULL */

#endif
