/* dns/resolver.h: asks recursive resolvers (or one given server) and keeps the answers for as long as they allow.
 *
 * UDP with EDNS0 from a new socket (a random port) with a random id for each try, then TCP when truncated; the next
 * server when one is silent or broken. An answer must repeat the id and the question. Equal questions asked at the same
 * time share one flight. Everything is bounded: questions in flight, aliases, entries and bytes kept, TTLs.
 * Not done here: DNSSEC validation (the AD bit of a trusted resolver is passed on), search lists, /etc/hosts. */
#ifndef GEMEL_DNS_RESOLVER_H
#define GEMEL_DNS_RESOLVER_H

#include "base/env.h"
#include "dns/answer.h"

struct resolver;
struct dns_op;

enum { RESOLVER_SERVERS_MAX = 8 };

struct resolver_conf {
    struct addr servers[RESOLVER_SERVERS_MAX]; /* port 0: 53 */
    size_t n_servers;
    uint32_t try_ms;             /* wait for one server; 0: 1500 */
    uint32_t limit_ms;           /* a question as a whole; 0: 8000 */
    uint32_t cache_entries;      /* 0: 8192 */
    uint32_t cache_bytes;        /* 0: 8 MiB */
    uint32_t ttl_max_s;          /* 0: 3600 */
    uint32_t negative_ttl_max_s; /* 0: 300 */
    uint32_t in_flight_max;      /* 0: 4096 */
};

/* `env` (timers, rng, net, log) outlives the resolver. */
struct resolver *resolver_create(const struct env *env, const struct resolver_conf *conf);
void resolver_destroy(struct resolver *r); /* asserts that every op was completed or cancelled */

enum {
    DNS_NO_CACHE = 1 << 0,     /* ask now, and do not keep it */
    DNS_NO_RECURSION = 1 << 1, /* RD off; aliases are not followed beyond the first answer */
    DNS_WANT_AD = 1 << 2,
    DNS_TCP = 1 << 3, /* TCP at once */
};

struct dns_ask {
    unsigned flags;
    struct addr server; /* family NONE: the configured ones. Otherwise only this one, never cached */
    uint32_t limit_ms;  /* 0: the resolver's */
};

/* Runs once, from the loop, never before resolver_ask returns; `a` is borrowed for its duration. */
typedef void dns_done_fn(void *owner, const struct dns_answer *a);
/* `name` is copied. `how` may be NULL. A name that cannot be asked for is DNS_FAIL with DNS_WHY_NAME. */
struct dns_op *resolver_ask(struct resolver *r, struct slice name, uint16_t type, const struct dns_ask *how,
                            dns_done_fn *done, void *owner);
void resolver_cancel(struct dns_op **op); /* `done` will never run; *op becomes NULL; safe on NULL */

void resolver_flush(struct resolver *r); /* forgets what was kept */
const struct env *resolver_env(const struct resolver *r);

struct resolver_stats {
    uint64_t asked, cached, shared, sent, tcp, timeouts, forged, failed;
    uint64_t entries, bytes;
};
void resolver_stats(const struct resolver *r, struct resolver_stats *out);

#endif
