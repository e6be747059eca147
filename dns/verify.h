/* dns/verify.h: does every address of every authoritative server serve what was published, and would a receiver that asks
 * it let our identities pass?
 *
 * One round: the NS set (the zone's own and the parent's, together), every A and AAAA of it, then at each address the two
 * owned names (RD off, AA required, exact text) and an SPF evaluation of each identity through that address. The owned
 * names never come out of a cache. The serial is shown, never judged: some servers replicate by database. IPv6 addresses
 * count unless this host has no IPv6 at all. */
#ifndef GEMEL_DNS_VERIFY_H
#define GEMEL_DNS_VERIFY_H

#include "dns/resolver.h"
#include "dns/spf_check.h"

enum { VERIFY_IDENTITIES_MAX = 16, VERIFY_SERVERS_MAX = 32, VERIFY_WORDS_MAX = 240 };

#define VERIFY_MAP(X)                                                                        \
    X(PASS, "pass", "serves the published records, and SPF passes")                          \
    X(OLD, "old", "still serves an older epoch")                                             \
    X(WRONG, "wrong", "serves something else, or SPF does not pass")                         \
    X(NOT_AUTHORITATIVE, "not-authoritative", "does not answer for the zone with authority") \
    X(SILENT, "silent", "does not answer")

enum verify_verdict {
#define VERIFY_ENUM(name, word, text) VERIFY_##name,
    VERIFY_MAP(VERIFY_ENUM)
#undef VERIFY_ENUM
        VERIFY_VERDICTS
};
const char *verify_verdict_name(enum verify_verdict v);

struct verify_identity {
    struct addr ip;
    struct dns_name helo;
};

struct verify_wanted {
    struct dns_name zone;        /* "gw.example.com" */
    struct dns_name mail_domain; /* whose SPF is evaluated as MAIL FROM */
    struct slice spf, egress;    /* exact texts (publish_texts); "" : not compared, only evaluated */
    uint64_t epoch;              /* tells OLD from WRONG */
    const struct verify_identity *identity; /* all must pass */
    size_t n_identities;
    uint32_t limit_ms; /* the round as a whole; 0: 20 s */
    uint16_t port;     /* 0: 53; tests use another */
};

struct verify_server {
    struct dns_name name;
    struct addr addr;
    enum verify_verdict verdict;
    bool at_parent, at_child; /* who names it */
    uint32_t serial;          /* 0: not seen */
    uint32_t spf_ttl_s;       /* the TTL it serves: exclusive mode waits for the greatest */
    uint64_t epoch;           /* in its marker; 0: none seen */
    uint32_t pass;            /* identities for which SPF passes there, as bits in the order of `identity` */
    bool no_policy; /* the SPF name there has no SPF record, or several: whoever asks it gets an error */
    char words[VERIFY_WORDS_MAX];
};

struct verify_report {
    bool ok; /* every server is VERIFY_PASS, and there is at least one */
    size_t n;
    struct verify_server server[VERIFY_SERVERS_MAX];
    unsigned count[VERIFY_VERDICTS];
    uint32_t spf_ttl_max_s;
    bool
        delegation_differs; /* the parent and the zone name different servers: to be repaired, judged together */
    char words[VERIFY_WORDS_MAX]; /* one sentence for the operator */
};

typedef void verify_done_fn(void *owner, const struct verify_report *report);
/* `w` and what it borrows are copied. `done` runs once, never before the start returns. */
struct verify_op *verify_start(struct resolver *r, const struct verify_wanted *w, verify_done_fn *done,
                               void *owner);
void verify_cancel(struct verify_op **op);

#endif
