/* dns/dnsbl.h: what a blocklist says about an address, in three values (RFC 5782).
 *
 * An answer counts as a listing only when the zone's own table of codes says so. Errors, unknown codes and rewritten
 * answers are UNKNOWN: never clean, never listed. A zone itself has a health, judged by its test points: one that lists
 * the world, or nothing at all, must not count. */
#ifndef GEMEL_DNS_DNSBL_H
#define GEMEL_DNS_DNSBL_H

#include "dns/resolver.h"

/* --- Codes: which answers mean "listed" --- */

enum { DNSBL_CODES_MAX = 16 };

/* "2-11", "2,4", "127.0.0.2", "127.0.1.0/24", "&4" (a bit of the last octet). A bare number is the last octet of
 * 127.0.0.x. */
struct dnsbl_codes {
    struct dnsbl_code {
        uint32_t lo, hi; /* host order, both included */
        uint8_t bit;     /* not 0: one of these bits must be set as well */
    } code[DNSBL_CODES_MAX];
    size_t n;
};

/* Terms separated by commas or blanks; a list in brackets is fine. MALFORMED; LIMIT for too many. Codes outside
 * 127.0.0.0/8 and in 127.255.255.0/24 are MALFORMED: they can never mean a listing. */
MUST_USE enum err dnsbl_codes_parse(struct slice s, struct dnsbl_codes *out);
MUST_USE enum err dnsbl_codes_add(struct dnsbl_codes *c, struct slice term);
bool dnsbl_codes_has(const struct dnsbl_codes *c, const struct addr *code);
void dnsbl_codes_format(const struct dnsbl_codes *c, struct buf *out);

/* --- A zone --- */

enum dnsbl_class {
    DNSBL_SPAM,    /* spam was seen from there */
    DNSBL_EXPLOIT, /* an infected or abused host */
    DNSBL_POLICY, /* the kind of address, not its conduct: sending from elsewhere in the range does not help */
    DNSBL_NETWORK, /* the neighbourhood */
};

struct dnsbl_zone {
    struct dns_name name;      /* as it is asked, a key included */
    struct dnsbl_codes listed; /* these count */
    struct dnsbl_codes policy; /* these are a configuration alarm, and count nothing */
    int weight;
    enum dnsbl_class class_;
    bool no_v4, no_v6; /* the zone does not take such questions */
};

/* --- One answer --- */

enum dnsbl_state { DNSBL_CLEAN, DNSBL_LISTED, DNSBL_UNKNOWN };
const char *dnsbl_state_name(enum dnsbl_state s);

#define DNSBL_WHY_MAP(X)                                                                           \
    X(NOT_LISTED, "not-listed", "the zone does not list the address")                              \
    X(CODE, "code", "the answer is one of the zone's listing codes")                               \
    X(POLICY, "policy", "listed for the kind of address it is; switching does not cure this")      \
    X(ERROR_CODE, "error-code", "the zone refuses our questions (127.255.255.x)")                  \
    X(TYPING_ERROR, "error-code-252", "the zone says that its name is misspelt (127.255.255.252)") \
    X(PUBLIC_RESOLVER, "error-code-254",                                                           \
      "the zone refuses our resolver: public or unattributable (127.255.255.254)")                 \
    X(QUOTA, "error-code-255", "the zone refuses us: too many questions (127.255.255.255)")        \
    X(OUTSIDE_127, "outside-127", "the answer is outside 127/8: rewritten, or a parked domain")    \
    X(UNKNOWN_CODE, "unknown-code", "the answer is a code nobody told us about")                   \
    X(SERVFAIL, "servfail", "the name servers of the zone fail")                                   \
    X(TIMEOUT, "timeout", "no answer in time")                                                     \
    X(REFUSED, "refused", "our resolver refuses to ask")                                           \
    X(FAIL, "fail", "the question could not be asked")                                             \
    X(FAMILY, "family", "the zone does not list this family of addresses")

enum dnsbl_why {
#define DNSBL_WHY_ENUM(name, word, text) DNSBL_WHY_##name,
    DNSBL_WHY_MAP(DNSBL_WHY_ENUM)
#undef DNSBL_WHY_ENUM
};
const char *dnsbl_why_name(enum dnsbl_why w);
const char *dnsbl_why_text(enum dnsbl_why w);

enum { DNSBL_TEXT_MAX = 255 };

struct dnsbl_verdict {
    enum dnsbl_state state;
    enum dnsbl_why why;
    bool policy;                   /* some of the codes are policy codes, whatever the state */
    struct addr code;              /* the one that decided; NONE when there was no address in the answer */
    uint32_t ttl_s;                /* how long the zone lets this stand */
    char text[DNSBL_TEXT_MAX + 1]; /* the TXT, when it was asked for; printable, for people only */
};

/* The question: reversed octets or nibbles, and the zone. LIMIT: too long. */
MUST_USE enum err dnsbl_question(const struct addr *a, struct slice zone, struct dns_name *out);
/* `a` answers the A question. An error code or a rewritten answer makes it UNKNOWN whatever else is there; then one listing
 * code lists; then an unknown code is UNKNOWN; policy codes alone are CLEAN with `policy` set. */
void dnsbl_classify(const struct dnsbl_zone *z, const struct dns_answer *a, struct dnsbl_verdict *out);

/* A zone's name (or a whole question) for logs, metrics, history and replies: the customer's key in front of a keyed
 * service ("KEY.zen.dq.spamhaus.net") becomes "<key>", and so does any label of 16 characters or more that mixes letters
 * and digits. */
void dnsbl_redact(struct slice zone, struct buf *out);

/* --- Health (RFC 5782 5): the test points --- */

enum dnsbl_health { DNSBL_OK, DNSBL_SUSPECT, DNSBL_BLIND };
const char *dnsbl_health_name(enum dnsbl_health h);

/* `listed` is the verdict on the point that must be listed (127.0.0.2; its codes may be any listing or policy code of
 * the zone, or any non-error code in 127/8), `clean` the one on the point that must not (127.0.0.1). *why is a static
 * sentence. */
enum dnsbl_health dnsbl_health_judge(const struct dnsbl_verdict *listed, const struct dnsbl_verdict *clean,
                                     const char **why);

/* --- Asking --- */

enum {
    DNSBL_WANT_TEXT = 1 << 0, /* ask the TXT as well when listed */
    DNSBL_FRESH = 1 << 1,     /* not out of the cache */
};

typedef void dnsbl_done_fn(void *owner, const struct dnsbl_verdict *v);
/* `zone` is copied. Runs `done` once, never before the start returns. */
struct dnsbl_op *dnsbl_ask(struct resolver *r, const struct dnsbl_zone *zone, const struct addr *a,
                           unsigned flags, uint32_t limit_ms, dnsbl_done_fn *done, void *owner);
void dnsbl_cancel(struct dnsbl_op **op);

struct dnsbl_probe {
    enum dnsbl_health health;
    const char *why;
    struct dnsbl_verdict listed, clean;
};
typedef void dnsbl_probe_fn(void *owner, const struct dnsbl_probe *p);
/* Asks both test points of the family (IPv6: ::ffff:7f00:2 and ::ffff:7f00:1 in nibbles), never out of the cache. */
struct dnsbl_probe_op *dnsbl_probe(struct resolver *r, const struct dnsbl_zone *zone, enum addr_family family,
                                   uint32_t limit_ms, dnsbl_probe_fn *done, void *owner);
void dnsbl_probe_cancel(struct dnsbl_probe_op **op);

/* --- The shipped table (dns/zones.def) --- */

struct dnsbl_known {
    struct slice zone;   /* "<key>." in front: the service wants a key there */
    struct slice listed; /* codes, as dnsbl_codes_parse reads them */
    struct slice policy; /* "" */
    enum dnsbl_class class_;
    int weight;          /* recommended; 0: for information */
    struct slice delist; /* where to ask for removal */
    struct slice note;
    struct slice retired; /* not empty: why no configuration may use it */
};

extern const struct dnsbl_known dnsbl_known[];
extern const size_t dnsbl_known_n;
extern const char dnsbl_known_reviewed[]; /* "2026-09-…": when the table was last gone through */

/* The row for a zone, or NULL; a key in front of a keyed zone does not matter, nor do labels below a retired one. */
const struct dnsbl_known *dnsbl_known_find(struct slice zone);

#endif
