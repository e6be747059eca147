/* node/link.h: the node's side of its links: one mutual-TLS connection to each coordinator, kept up for ever.
 *
 * Heartbeats go to all of them; orders come from any of them (the agent judges epochs, not senders). A link that fails is
 * dialled again with a growing pause. What could not be sent is dropped: the next heartbeat says it all. Refusals ride in
 * heartbeats once; the caller keeps them while no link is up. */
#ifndef GEMEL_NODE_LINK_H
#define GEMEL_NODE_LINK_H

#include "base/env.h"
#include "proto/cluster_conf.h"
#include "proto/link.h"

struct node_link;
struct tls_context;

struct node_link_conf { /* borrowed while the link lives */
    const struct cluster_conf *cluster;
    const char *name; /* ours */
    struct tls_context *tls;
};

struct node_link_events {
    void (*order)(void *owner, const char *coordinator, const struct link_order *o); /* borrowed */
    void (*changed)(void *owner, size_t up); /* how many links are up now */
};

struct node_link *node_link_create(const struct env *env, const struct node_link_conf *conf,
                                   const struct node_link_events *ev, void *owner);
void node_link_destroy(struct node_link *l);
void node_link_heartbeat(struct node_link *l, const struct link_heartbeat *h);
void node_link_ack(struct node_link *l, const struct link_ack *a);
size_t node_link_up(const struct node_link *l);

#endif
