/* node/relay/delivery.h: takes jobs of the queue to their next hop; one per loop.
 *
 * Everything on one loop's thread, on the ports of base/env.h: the simulator runs this same code. It never decides when;
 * how many at once is the queue's business.
 *
 * Mail to the Internet (FLOW_OUT) leaves from the identity's own address or not at all, with the identity's name, and
 * only through the gate. Mail to the inside (FLOW_IN) leaves from whatever address the route gives, with the node's
 * name, and asks no gate. */
#ifndef GEMEL_NODE_RELAY_DELIVERY_H
#define GEMEL_NODE_RELAY_DELIVERY_H

#include <stdatomic.h>

#include "base/env.h"
#include "base/net.h"
#include "node/gate.h"
#include "node/limits.h"
#include "node/queue/deliverer.h"
#include "node/queue/spool.h"
#include "node/relay/route.h"
#include "node/relay/rulebook.h"
#include "node/relay/session.h"
#include "node/relay/tls_policy.h"
#include "node/relay/tls_tally.h"

struct refusal { /* evidence for the coordinators: proto/edge.proto's Refusal. Slices are borrowed */
    struct slice identity, provider, destination;
    enum relay_stage stage;
    enum relay_scope scope;
    enum relay_effect effect;
    struct slice rule;
    struct slice text; /* at most REFUSAL_TEXT_BYTES_MAX */
    uint64_t wall_ms;
    struct slice message_id; /* queue id */
};
enum { REFUSAL_TEXT_BYTES_MAX = 512 };
typedef void delivery_refused_fn(void *owner, const struct refusal *r);

struct delivery_conf {     /* borrowed, const, shared by all loops of a node */
    const char *identity;  /* name of ours; NULL: this node has none and takes no FLOW_OUT job */
    struct addr from;      /* its address */
    const char *helo;      /* its name, FLOW_OUT */
    const char *node_helo; /* FLOW_IN */
    struct gate *gate;     /* NULL only in tests */
    struct route_conf route;
    struct rulebook *rules;         /* NULL: replies are taken by their code alone */
    struct tls_context *tls;        /* for STARTTLS; NULL: never, whatever the policies say */
    struct tls_context *tls_strict; /* TLS 1.2 at least: levels ENCRYPT and DANE */
    struct tls_context *tls_verify; /* and with the CAs: level VERIFY */
    struct tls_policies policies;
    struct tls_tally *tally; /* NULL: nobody counts */
    bool eightbit_anyway, no_chunking;
    struct limits limits_by_dest; /* messages per connection and recipients; the queue keeps the others */
    uint32_t connect_ms;
    uint32_t idle_ms;  /* how long a connection waits for the next mail to the same place */
    uint32_t idle_max; /* how many such connections there may be */
    struct session_limits limits;
};
void delivery_conf_default(struct delivery_conf *c); /* all but names, addresses and pointers */

struct delivery_counters {                                                       /* read by any thread */
    _Atomic uint64_t sent[FLOW_COUNT], deferred[FLOW_COUNT], failed[FLOW_COUNT]; /* recipients */
    _Atomic uint64_t mails_sent[FLOW_COUNT]; /* messages with a recipient sent */
    _Atomic uint64_t maybe_sent;             /* messages */
    _Atomic uint64_t connections, reused, tls, tls_failed;
    _Atomic uint64_t refused[RELAY_EFFECTS]; /* recipients, by effect; NONE is not counted */
};

struct delivery;
/* All but `env`'s contents are borrowed for life. `refused` may be NULL. */
struct delivery *delivery_create(const struct env *env, const struct delivery_conf *conf,
                                 struct resolver *dns, struct spool *spool, delivery_refused_fn *refused,
                                 void *owner);
/* Drops everything; `done` of open jobs does not run any more. Safe on NULL. */
void delivery_destroy(struct delivery *d);

/* The port the queue calls, on this loop. */
void delivery_deliverer(struct delivery *d, struct deliverer *out);

/* The gate has closed: every FLOW_OUT conversation that is not past its final dot is aborted now (its job is NOT_NOW,
 * before this returns), idle connections too. Gives the number of those past the dot, whose replies are still awaited. */
size_t delivery_abort_all(struct delivery *d);
/* Ends idle connections. For shutdown, when the queue has stopped giving jobs. */
void delivery_close_idle(struct delivery *d);
size_t delivery_open(const struct delivery *d); /* jobs */
const struct delivery_counters *delivery_counters(const struct delivery *d);

#endif
