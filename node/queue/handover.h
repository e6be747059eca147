/* node/queue/handover.h: the lines between nodes: who gives, who takes, over mutual TLS. The queue's giver.
 *
 * One line from every node to every other, kept up for ever; messages go along it from the node that dialled. The core
 * of it is node/queue/handoff; here are lines, names and patience. All on the control loop, over ports. */
#ifndef GEMEL_NODE_QUEUE_HANDOVER_H
#define GEMEL_NODE_QUEUE_HANDOVER_H

#include "base/env.h"
#include "node/queue/queue.h"
#include "proto/cluster_conf.h"

struct handover;
struct tls_context;

struct handover_conf { /* borrowed for life */
    const struct cluster_conf *cluster;
    const char *name; /* ours; has a row below `nodes` */
    struct tls_context *tls;
    struct spool *spool;
    bool clear; /* tests only: no TLS, names are believed */
};

/* Listens on our row's address and dials the others. REFUSED: the address cannot be had; `why` says which. */
MUST_USE enum err handover_create(const struct env *env, const struct handover_conf *conf,
                                  struct handover **out, struct buf *why);
void handover_destroy(struct handover *h); /* before the spool's handle; safe on NULL */

void handover_port(struct handover *h, struct queue_giver *out);
/* Whom to tell how doubts end. Before queue_start; NULL: nobody any more. */
void handover_attach(struct handover *h, struct queue *q);

struct handover_view {
    const char *node;
    bool up;        /* our line to it */
    size_t giving;  /* messages on their way, and questions */
    size_t doubts;  /* messages that it may have */
    uint64_t given; /* since the start */
};
size_t handover_nodes(const struct handover *h); /* the others */
void handover_view(const struct handover *h, size_t i, struct handover_view *out);

#endif
