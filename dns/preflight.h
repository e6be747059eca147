/* dns/preflight.h: is a public face coherent as receivers see it? Address, reverse name, HELO name, MX, SPF.
 *
 * Receivers look these up at each connection, and an incoherent sender is listed sooner or later. All questions are asked
 * at once, past the cache of a minute ago but not past the resolver's rules. Each finding carries the cure in plain words.
 * Not judged here: what only the published epoch can tell (dns/verify) and what only a peer can see (the source address
 * after NAT). */
#ifndef GEMEL_DNS_PREFLIGHT_H
#define GEMEL_DNS_PREFLIGHT_H

#include "dns/resolver.h"

#define PREFLIGHT_MAP(X)                                                                       \
    X(PTR, "ptr", "the reverse name of the address is the HELO name (RFC 5321 4.1.4, FCrDNS)") \
    X(HELO_ADDRESS, "helo-address", "the HELO name has the address")                           \
    X(SPF_HELO, "spf-helo", "SPF passes for the HELO name: what bounces are judged by")        \
    X(SPF_MAIL, "spf-mail", "SPF passes for the mail domain")                                  \
    X(MX, "mx", "the mail domain's MX names the HELO name")

enum preflight_check {
#define PREFLIGHT_ENUM(name, word, text) PREFLIGHT_##name,
    PREFLIGHT_MAP(PREFLIGHT_ENUM)
#undef PREFLIGHT_ENUM
        PREFLIGHT_CHECKS
};
const char *preflight_check_name(enum preflight_check c);
const char *preflight_check_text(enum preflight_check c);

enum preflight_mark {
    PREFLIGHT_OK,
    PREFLIGHT_WARN,    /* receivers may mind; does not keep the identity from standing by */
    PREFLIGHT_BAD,     /* receivers will refuse: not fit to send */
    PREFLIGHT_UNKNOWN, /* DNS did not answer */
};
const char *preflight_mark_name(enum preflight_mark m);

enum { PREFLIGHT_WORDS_MAX = 320 };

struct preflight_finding {
    enum preflight_mark mark;
    char what[PREFLIGHT_WORDS_MAX]; /* what was seen */
    char cure[PREFLIGHT_WORDS_MAX]; /* what to do; "" when OK */
};

struct preflight_report {
    struct preflight_finding finding[PREFLIGHT_CHECKS];
    bool fit;    /* nothing is BAD or UNKNOWN of what keeps receivers from taking mail (PTR, HELO address) */
    bool unsure; /* something is UNKNOWN */
};

struct preflight_subject {
    struct addr ip;
    struct slice helo, mail_domain;
};

typedef void preflight_done_fn(void *owner, const struct preflight_report *report);
/* `s` and its texts are copied. `done` runs once, never before the start returns. */
struct preflight_op *preflight_start(struct resolver *r, const struct preflight_subject *s,
                                     preflight_done_fn *done, void *owner);
void preflight_cancel(struct preflight_op **op);

#endif
