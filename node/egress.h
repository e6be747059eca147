/* node/egress.h: the shell around the agents: this node's identities, their gates, and everything that may open them.
 *
 * Turns answers of the store, orders of the links, DNS and the disk into events for node/agent, and its actions into
 * calls. Has no opinion. Lives on the control loop; the gates are read by every thread.
 *
 * Happy path of a grant: the heartbeat's answer (or a link) brings it, DNS token and SPF are asked afresh, the epoch file
 * is written, old sessions are gone, one renewal is answered, the gate opens, `aim` says that outbound mail is ours.
 * When something fails: the store (the gate closes at the deadline), DNS (the grant waits, then is refused), the disk (no
 * epoch on disk, no grant), the links (orders come through the store). */
#ifndef GEMEL_NODE_EGRESS_H
#define GEMEL_NODE_EGRESS_H

#include "base/env.h"
#include "dns/preflight.h"
#include "node/agent.h"
#include "node/conf.h"
#include "proto/link.h"

struct egress;
struct store_redis;
struct node_link;

struct egress_events {
    /* Reset every outbound session of the identity that is not past the dot; when none is left before the dot and those
     * past it have ended, call egress_aborted with `seq`. */
    void (*abort)(void *owner, uint8_t identity, uint32_t seq);
    /* Outbound mail is to be sent by identity `to`: one of ours, another node's (hand it over), or STORE_NONE (keep). */
    void (*aim)(void *owner, uint8_t to);
    /* What the next heartbeat shall say of the queue, and the refusals it takes along (moved out). */
    void (*queue)(void *owner, struct link_queue *out);
    size_t (*refusals)(void *owner, struct link_refusal *out, size_t max, struct arena *a);
    void (*reported)(void *owner, bool sent); /* whether those refusals reached at least one coordinator */
};

struct egress_conf {
    const struct node_conf *node;
    struct resolver *resolver;
    struct store_redis *store; /* NULL: solo */
    struct node_link *link;    /* NULL: solo */
};

/* REFUSED: a file that cannot be read or does not parse (`why` names it): nothing may be guessed about epochs. */
MUST_USE enum err egress_create(const struct env *env, const struct egress_conf *conf,
                                const struct egress_events *ev, void *owner, struct egress **out,
                                struct buf *why);
void egress_start(struct egress *e); /* after everything the events need is there */
void egress_destroy(struct egress *e);

void egress_order(struct egress *e,
                  const struct link_order *o); /* from a link; `identity` may be another node's */
void egress_aborted(struct egress *e, uint8_t identity, uint32_t seq);
void egress_sent(struct egress *e, uint8_t identity); /* one more message accepted by a receiver */

/* One of this node's identities. */
struct egress_face {
    uint8_t identity;
    const struct identity_conf *conf;
    const struct gate *gate;
    enum agent_state state;
    const char *why;
    uint64_t epoch, sent;
    uint64_t lease_left_ms; /* 0: closed; UINT64_MAX: solo, for good */
    bool preflight_known, fit;
    const struct preflight_report *preflight;
};
size_t egress_faces(const struct egress *e);
void egress_face(const struct egress *e, size_t i, struct egress_face *out);
struct gate *egress_gate(struct egress *e,
                         uint8_t identity);    /* NULL: not ours. Lives as long as the egress */
uint8_t egress_target(const struct egress *e); /* who sends, as far as this node knows; STORE_NONE */

#endif
