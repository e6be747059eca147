/* coordinator/links.h: the coordinator's side of the links: who is connected, what they say, orders out.
 *
 * Mutual TLS on our `link` address. A node has at most one live link: a newer one takes the place of the older, which is
 * what a node that was cut off and came back needs. Other coordinators connect for one request at a time: an operator's
 * command that came to one that does not lead. Names that are not in the configuration are refused and logged.
 * Has no opinion: heartbeats and acknowledgements are handed on. */
#ifndef GEMEL_COORDINATOR_LINKS_H
#define GEMEL_COORDINATOR_LINKS_H

#include "base/env.h"
#include "proto/cluster_conf.h"
#include "proto/link.h"

struct links;
struct links_call; /* a request of another coordinator, to be answered once */
struct tls_context;

enum { LINKS_CLOCK_SLACK_MS = 2000 }; /* clocks that differ by more are an issue: TSIG and logs suffer */

struct links_conf { /* borrowed while the links live */
    const struct cluster_conf *cluster;
    const struct host_conf *self;
    struct tls_context *tls;
    bool clear; /* tests only: no TLS */
};

struct links_events {
    void (*heartbeat)(void *owner, const char *node, const struct link_heartbeat *h); /* borrowed */
    void (*ack)(void *owner, const char *node, const struct link_ack *a);
    void (*gone)(void *owner,
                 const char *node); /* its link has ended, and no newer one took its place. May be NULL */
    /* Answer with links_reply, now or later. */
    void (*request)(void *owner, const char *coordinator, const struct link_request *r,
                    struct links_call *call);
};

/* `why` gets a sentence when the address cannot be had (REFUSED). */
MUST_USE enum err links_create(const struct env *env, const struct links_conf *conf,
                               const struct links_events *ev, void *owner, struct links **out,
                               struct buf *why);
void links_destroy(
    struct links *l); /* calls that are not answered are dropped: links_reply must not come for them */

/* False: that node has no link now; the store still carries the order. */
bool links_order(struct links *l, const char *node, const struct link_order *o);
void links_reply(struct links_call *call, unsigned status, struct slice body); /* `call` is gone */

struct links_node {
    const char *name;
    bool up, heard; /* heard: at least one heartbeat over the present link */
    bool configuration_differs;
    int64_t clock_off_ms; /* node's wall clock minus ours, when heard (the way here counts for the node) */
    uint64_t beat_ms;     /* boot time of the last heartbeat */
    struct link_queue queue;
};
size_t links_nodes(const struct links *l); /* those of the configuration, in its order */
void links_node(const struct links *l, size_t i, struct links_node *out);
/* What the node of this identity says is wrong with it; NULL past the end. Borrowed until the next heartbeat. */
const char *links_identity_issue(const struct links *l, uint8_t identity, size_t i);
/* The source address another edge saw when this identity dialled it, "" when nobody could tell; *by: that edge, or why. */
const char *links_identity_seen_as(const struct links *l, uint8_t identity, const char **by);

#endif
