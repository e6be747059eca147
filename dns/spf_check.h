/* dns/spf_check.h: SPF as many receivers will see it: libspf2, handed answers instead of the network.
 *
 * spf_eval is pure: it reads a table of answers and says what it found missing. spf_check asks for what is missing and
 * runs it again, within the bounds of RFC 7208 4.6.4. */
#ifndef GEMEL_DNS_SPF_CHECK_H
#define GEMEL_DNS_SPF_CHECK_H

#include "dns/resolver.h"
#include "dns/spf_record.h"

enum spf_result { SPF_NONE, SPF_NEUTRAL, SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_TEMPERROR, SPF_PERMERROR };
const char *spf_result_name(enum spf_result r); /* "pass": the word of RFC 8601 */

enum { SPF_COMMENT_MAX = 240 };

struct spf_verdict {
    enum spf_result result;
    struct dns_name domain;          /* the one whose policy was used */
    char comment[SPF_COMMENT_MAX];   /* why, for the log and the operator; printable */
    unsigned lookups, rounds, voids; /* what it took */
};

struct spf_question {
    struct addr ip;
    struct slice helo;      /* a domain; used for the null sender, and in macros */
    struct slice mail_from; /* "user@domain", "domain" (postmaster is assumed), or "" for the null sender */
};

/* OK: *out is final. RETRY: the answers in `missing` (n ≤ SPF_MISSING_MAX) are needed first. */
MUST_USE enum err spf_eval(const struct dns_table *t, const struct spf_question *q, struct spf_verdict *out,
                           struct spf_missing *missing, size_t *n_missing);

struct spf_check_conf {
    uint32_t limit_ms;    /* 0: 20 s (4.6.4 asks for at least that) */
    struct dns_name zone; /* names at or below it are asked of `server` alone, RD off; "": nothing is */
    struct addr server;
    unsigned ask_flags; /* DNS_NO_CACHE… for the questions to the resolver */
};

typedef void spf_done_fn(void *owner, const struct spf_verdict *v);
/* `q` and `conf` are copied; `conf` may be NULL. `done` runs once, never before the start returns. */
struct spf_op *spf_check_start(struct resolver *r, const struct spf_question *q,
                               const struct spf_check_conf *conf, spf_done_fn *done, void *owner);
void spf_check_cancel(struct spf_op **op);

/* The same for the lint: fetches the tree, then `done` with the findings. `text` not empty: lints it as if it stood at
 * `name` already. */
typedef void spf_lint_fn(void *owner, const struct spf_lint *l);
struct spf_lint_op *spf_lint_start(struct resolver *r, struct slice name, struct slice text, unsigned allow,
                                   uint32_t limit_ms, spf_lint_fn *done, void *owner);
void spf_lint_cancel(struct spf_lint_op **op);

#endif
