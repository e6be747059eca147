/* coordinator/monitor.h: asks the blocklists about our addresses, listens to what receivers say, and lets the policy judge.
 *
 * A round asks every zone about every identity through every configured resolver by itself, all at once and past all caches,
 * and each zone's test points with it; the next round begins when the policy wants it, a little later so that clusters do not
 * ask in step. Rounds never overlap, so at most one question about a zone, an identity and a resolver is open.
 * Keeps the newest answers for people. Decides nothing: verdicts are handed on. */
#ifndef GEMEL_COORDINATOR_MONITOR_H
#define GEMEL_COORDINATOR_MONITOR_H

#include "base/env.h"
#include "coordinator/conf.h"
#include "proto/link.h"

struct monitor;
struct resolver;

struct monitor_conf { /* borrowed while the monitor lives */
    const struct coordinator_conf *conf;
    struct resolver *const *resolvers; /* one for each configured address */
    const struct addr *addrs;
    uint8_t n_resolvers; /* 1 … POLICY_RESOLVERS_MAX */
};

struct monitor_events {
    void (*verdict)(void *owner, uint8_t identity, const struct policy_verdict *v);
    /* A refusal that the policy counts, and that came by a link: to be shared with the other coordinators. */
    void (*evidence)(void *owner, const struct store_evidence *e);
};

struct monitor *monitor_create(const struct env *env, const struct monitor_conf *conf,
                               const struct monitor_events *ev, void *owner);
void monitor_destroy(struct monitor *m);

void monitor_poll(struct monitor *m); /* a round now; after the running one when there is one */
void monitor_switched(struct monitor *m);
void monitor_refusal(struct monitor *m, const struct link_refusal *r); /* by a link */
void monitor_evidence(struct monitor *m,
                      const struct store_evidence *e); /* out of the store; doubles are fine */
void monitor_mark(struct monitor *m, uint8_t identity, uint64_t quarantined_wall_ms);

/* --- What was seen --- */

struct monitor_cell {
    uint64_t at_ms; /* boot time; 0: never asked */
    enum dnsbl_state state;
    enum dnsbl_why why;
    struct addr code;
    uint32_t ttl_s;
    char text[128]; /* the list's own reason, for people */
};
const struct monitor_cell *monitor_cell(const struct monitor *m, uint8_t identity, uint8_t zone,
                                        uint8_t resolver);

struct monitor_zone {
    const struct watched_zone *conf;
    enum policy_health health; /* as the policy counts it */
    uint64_t probed_ms;        /* 0: never */
    const char *why;           /* of the last test */
};
size_t monitor_zones(const struct monitor *m);
void monitor_zone(const struct monitor *m, uint8_t zone, struct monitor_zone *out);
uint64_t monitor_errors(const struct monitor *m, uint8_t zone,
                        enum dnsbl_why why); /* answers that say nothing */
bool monitor_lists(const struct monitor *m, uint8_t zone,
                   uint8_t identity); /* by the newest answer of any resolver */
uint64_t monitor_next_ms(const struct monitor *m);
const struct monitor_conf *monitor_conf(const struct monitor *m);
void monitor_verdict(const struct monitor *m, uint8_t identity, struct policy_verdict *out);
void monitor_explain(const struct monitor *m, uint8_t identity, struct buf *out);

/* Which scope a refusal has for the policy, by the words of the node's classifier. */
enum policy_scope monitor_scope(struct slice scope, struct slice effect);
/* Who refused: the provider or the destination, as a hash; hosts of one organisation give the same. */
uint64_t monitor_organisation(struct slice provider, struct slice destination);

#endif
