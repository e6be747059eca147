/* node/ops_uv.h: what monitoring and gemelctl may ask of a node, by HTTP on the control loop.
 *
 * TCP, clear text, read only: GET and HEAD of
 *   /  /active    200 while an identity of this node may send, by the local clock; else 503
 *   /standby      200 when one is fit to take over and does not send; else 503
 *   /health       200 while mail is accepted, from everybody; else 503 with the reason
 *   /liveness     200 while every loop has ticked within one lease; else 503
 *   /readiness    200 while mail is accepted and the node is not stopping; else 503
 *   /metrics      Prometheus text
 * The role endpoints carry the same JSON. The unix socket answers these too, and the queue's administration:
 *   GET /queue?flow=&domain=&sender=&recipient=&why=&older_ms=&held&limit=   GET /queue/ID   GET /queue/ID/chunks/N
 *   GET /queue/destinations   POST /queue/flush {"id"|"domain"}
 *   POST /queue/retry, hold, release, remove, redirect {"ids":[…]|"filter":{…}|"all":true, …}   docs/admin-api.md
 *   GET /limits?domain=   what holds for a destination, and which rule says so
 *   GET /tls      what came of TLS, by destination
 */
#ifndef GEMEL_NODE_OPS_UV_H
#define GEMEL_NODE_OPS_UV_H

#include "base/buf.h"
#include "base/env.h"
#include "node/conf.h"
#include "node/dispatch_uv.h"
#include "node/egress.h"
#include "node/queue/spool.h"

struct loop;
struct ops;
struct queue;
struct server_counters;

struct ops_conf { /* borrowed for life; what a node does not have is NULL */
    const struct node_conf *node;
    struct egress *egress;
    struct queue *queue;
    struct spool *spool;
    struct dispatch *dispatch;
    struct tls_tally *tally;
    const struct pressure *pressure;
    struct crew *workers;
    struct store_redis *store;
    bool (*store_up)(void *owner);
    bool (*stopping)(void *owner);
    void (*smtp_metrics)(void *owner, struct buf *out); /* appends Prometheus text */
    void *owner;
};

/* REFUSED: an address or socket cannot be had, `why` says which. */
MUST_USE enum err ops_create(struct loop *l, const struct ops_conf *conf, struct ops **out, struct buf *why);
void ops_destroy(struct ops *o); /* safe on NULL */

#endif
