/* dns/gather.h: fetches what an answer table misses.
 *
 * The pattern of SPF here: a pure function reads a table and says what is missing; this fetches it; the function runs
 * again. The number of questions of one gatherer is bounded, whatever the records ask for. */
#ifndef GEMEL_DNS_GATHER_H
#define GEMEL_DNS_GATHER_H

#include "base/timers.h"
#include "dns/resolver.h"
#include "dns/spf_record.h"

enum {
    GATHER_QUESTIONS_MAX = 160
}; /* ten terms of ten names each, both families, and some (RFC 7208 4.6.4) */

struct gather_conf {
    struct dns_name zone; /* names at or below it are asked of `server` alone, RD off; "": nothing is */
    struct addr server;
    unsigned ask_flags;
};

/* OK: everything asked for is in the table; failures too, as DNS_FAIL. TIMEOUT: the deadline passed, what was still open
 * is DNS_FAIL. LIMIT: too many questions. */
typedef void gather_fn(void *owner, enum err err);

struct gather {
    struct resolver *r;
    struct gather_conf conf;
    struct dns_table table;
    struct gather_slot {
        struct gather *g;
        struct dns_op *op;
        struct spf_missing what;
    } slot[SPF_MISSING_MAX];
    size_t waiting;
    unsigned questions;
    struct timer limit;
    uint64_t deadline_ms;
    gather_fn *done;
    void *owner;
};

/* The caller's memory. limit_ms counts from here, over all rounds. */
void gather_init(struct gather *g, struct resolver *r, const struct gather_conf *conf, uint32_t limit_ms,
                 gather_fn *done, void *owner);
void gather_deinit(struct gather *g); /* `done` will not run any more */
/* Asks; `done` runs later, once, and may call this again or deinit. n > 0; one round at a time. */
void gather_ask(struct gather *g, const struct spf_missing *missing, size_t n);

#endif
