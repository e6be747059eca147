/* dns/lookup.h: the look-ups a mail system makes, out of single questions.
 *
 * All follow the one rule for asynchronous calls: `done` runs once, from the loop, never before the start returns; its
 * result is borrowed for its duration; after a cancel it never runs. */
#ifndef GEMEL_DNS_LOOKUP_H
#define GEMEL_DNS_LOOKUP_H

#include "dns/resolver.h"

/* --- Where does mail for a domain go (RFC 5321 5.1, RFC 7505)? --- */

enum { MX_HOSTS_MAX = 32 }; /* the best ones; more are cut off */

enum mx_result {
    MX_FOUND,     /* hosts, best first; equals in random order */
    MX_NULL,      /* the domain says that it takes no mail: 556 5.1.10 */
    MX_NO_DOMAIN, /* NXDOMAIN: 5.1.2 */
    MX_NO_HOST,   /* the domain exists, but has neither MX nor address: 5.4.4 */
    MX_TRY_LATER, /* DNS failed: 4.4.3 */
};

struct mx_host {
    uint16_t pref;
    struct dns_name name;
};

struct mx_answer {
    enum mx_result result;
    enum dns_why why; /* of MX_TRY_LATER */
    bool implicit;    /* no MX: the domain's own address is used, preference 0 */
    bool ad;
    uint32_t ttl_s;
    size_t n;
    struct mx_host hosts[MX_HOSTS_MAX];
};

typedef void mx_done_fn(void *owner, const struct mx_answer *a);
struct mx_op *mx_lookup(struct resolver *r, struct slice domain, mx_done_fn *done, void *owner);
void mx_cancel(struct mx_op **op);

/* --- The addresses of a host: A and AAAA together --- */

enum { ADDRS_MAX = 32 };
enum { ADDRS_V4 = 1, ADDRS_V6 = 2, ADDRS_BOTH = 3 };

struct addrs_answer {
    enum dns_result
        result; /* DNS_ANSWER when there is at least one address; DNS_FAIL only when there is none and a
                             * question failed: the rest of the answer may still be missing */
    enum dns_why why;
    bool partial; /* one of the two questions failed */
    uint32_t ttl_s;
    size_t n;
    struct addr addr[ADDRS_MAX]; /* IPv4 first, in the server's order; port 0 */
};

typedef void addrs_done_fn(void *owner, const struct addrs_answer *a);
struct addrs_op *addrs_lookup(struct resolver *r, struct slice host, unsigned families, addrs_done_fn *done,
                              void *owner);
void addrs_cancel(struct addrs_op **op);

/* --- Who says he is behind an address: PTR, confirmed forward (FCrDNS) --- */

enum { PTR_NAMES_MAX = 10 }; /* RFC 7208 4.6.4 has the same bound */

struct ptr_name {
    struct dns_name name;
    bool confirmed; /* an A or AAAA of this name is the address */
};

struct ptr_answer {
    enum dns_result result; /* of the PTR question */
    enum dns_why why;
    bool confirmed; /* at least one name is */
    bool unsure;    /* a forward look-up failed: not confirmed may mean not known */
    uint32_t ttl_s;
    size_t n;
    struct ptr_name names[PTR_NAMES_MAX]; /* confirmed ones first */
};

/* "10.100.51.198.in-addr.arpa", "….ip6.arpa" */
void ptr_question(const struct addr *a, struct dns_name *out);

typedef void ptr_done_fn(void *owner, const struct ptr_answer *a);
struct ptr_op *ptr_lookup(struct resolver *r, const struct addr *a, ptr_done_fn *done, void *owner);
void ptr_cancel(struct ptr_op **op);

#endif
