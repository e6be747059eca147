/* node/workers_uv.h: the worker threads of a node: each a loop with an SMTP server, a resolver, deliveries and a handle on
 * the spool. They share nothing but what is given here, which is const or made for many threads. */
#ifndef GEMEL_NODE_WORKERS_UV_H
#define GEMEL_NODE_WORKERS_UV_H

#include "base/log.h"
#include "dns/resolver.h"
#include "node/conf.h"
#include "node/dispatch_uv.h"
#include "node/egress.h"
#include "node/smtp/server.h"

struct workers;
struct spool_lmdb;
struct rulebook;
struct tls_tally;

struct workers_conf { /* borrowed while the workers live */
    const struct node_conf *node;
    const struct log *log;
    const struct resolver_conf *resolver;
    struct spool_lmdb *spool;
    struct dispatch *dispatch;
    struct egress *egress; /* for the gates */
    uint64_t sessions_max; /* of the whole node: as configured, or what its file descriptors allow */
    struct queue_ids *ids;
    const struct pressure *pressure;
    struct tls_context *server_tls;                           /* NULL: no STARTTLS */
    struct tls_context *client_tls, *strict_tls, *verify_tls; /* for STARTTLS to others, by what it must be */
    struct tls_tally *tally;
    struct rulebook *rules;
};

size_t workers_count(const struct node_conf *node); /* as configured, or one a core */
/* Returns when every worker listens. REFUSED: an address cannot be had; `why` says which. */
MUST_USE enum err workers_create(const struct workers_conf *conf, struct workers **out, struct buf *why);
/* No new sessions; `done` runs on the control loop when the last one has ended. */
typedef void workers_drained_fn(void *owner);
void workers_drain(struct workers *w, struct loop *control, workers_drained_fn *done, void *owner);
void workers_destroy(struct workers *w); /* cuts what is left, joins the threads; safe on NULL */

struct crew *workers_crew(struct workers *w);
void workers_smtp_stats(struct workers *w,
                        struct smtp_server_stats *out); /* sums, as of each worker's last second */

#endif
