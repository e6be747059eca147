/* node/queue/handoff.h: moves a message from one node's spool to another's, exactly once.
 *
 * Two flows over ports: the spool, and a way to send frames (proto/edge.proto, NodeFrame). Bytes, TLS and dialling are
 * handoff_link's. One transfer, named "queue id/hops":
 *
 *   giver                                          receiver
 *   offer (envelope)             ───────────────▶  known? DUPLICATE.  Else begins a put
 *   marks its copy "given to X"  ◀──────────────   WANTED from chunk n (0, or where a broken line left off)
 *   chunks n…                    ───────────────▶  into the put
 *   commit, once the mark is synced ────────────▶  commits message and transfer id in one transaction
 *   removes its copy             ◀──────────────   SYNCED
 *   done, once that is synced    ───────────────▶  may forget the id before its time
 *
 * Between commit and its answer the giver does not know who has the message. It is then pinned (ERR_UNKNOWN): nobody
 * sends it until the same receiver was asked again. Its answer is sure, because it knows every transfer id it synced, and
 * because frames of an older line die when a newer one comes up. A message that comes back has more hops, so that its
 * transfer is another. */
#ifndef GEMEL_NODE_QUEUE_HANDOFF_H
#define GEMEL_NODE_QUEUE_HANDOFF_H

#include "base/env.h"
#include "node/queue/spool.h"
#include "proto/edge.pb-c.h"

/* OK: on its way. LIMIT: the line is full: nothing was taken; handoff_*_drained follows. RETRY: it is down. */
typedef enum err handoff_send_fn(void *owner, const Gemel__V1__NodeFrame *frame);

/* ---- the giving side: one for each node we give to ---- */

/* OK: the other node has it and our copy is gone. NOT_FOUND: it was gone already. RETRY: it is ours, and only ours.
 * REFUSED: ours, and that node will never take it. UNKNOWN: to be pinned, and asked about with giver_ask. */
typedef void giver_finished_fn(void *owner, const struct queue_id *id, enum err err, const char *why);

struct giver_conf {
    struct spool *spool;
    const char *to; /* node name; outlives the giver */
    handoff_send_fn *send;
    giver_finished_fn *finished;
    void (*stalled)(void *owner); /* no answer for too long: the line is to be cut (giver_down follows) */
    void *owner;
};

struct giver;
struct giver *giver_create(const struct env *env, const struct giver_conf *conf);
void giver_destroy(struct giver *g); /* `finished` runs for nothing any more; safe on NULL */

void giver_up(struct giver *g);
/* Ends all that is under way, by `finished`, but not removes: those end by themselves. */
void giver_down(struct giver *g);
void giver_give(struct giver *g,
                const struct queue_id *id); /* while up; `finished` never runs before it returns */
void giver_ask(struct giver *g, const struct queue_id *id); /* the same for one that may be there already */
/* The message came back to us as another transfer: what was under way is of no interest, and `finished` does not run. */
void giver_forget(struct giver *g, const struct queue_id *id);
void giver_reply(struct giver *g, const Gemel__V1__HandoffReply *reply);
void giver_drained(struct giver *g);
size_t giver_open(const struct giver *g);

/* ---- the taking side: one a node ---- */

struct receiver_conf {
    struct spool *spool;
    /* A message with this id is coming in: whatever is still known of an earlier copy (its place in the schedule, a
     * give, a doubt) is to be forgotten now; its record is being removed. May be NULL. */
    void (*superseded)(void *owner, const struct queue_id *id);
    void *owner;
};

enum { RECEIVER_PEERS_MAX = 16, RECEIVER_TRANSFERS_MAX = 512 };

struct receiver;
struct receiver *receiver_create(const struct env *env, const struct receiver_conf *conf);
void receiver_destroy(struct receiver *r); /* safe on NULL */

/* A new line of `peer` takes the place of its old one, whose frames must not be given to the receiver any more. */
MUST_USE enum err receiver_up(struct receiver *r, const char *peer, handoff_send_fn *send, void *send_owner);
void receiver_down(struct receiver *r,
                   const char *peer); /* what has begun is kept for a while, to be taken up again */
/* MALFORMED: the peer breaks the protocol: cut the line. */
MUST_USE enum err receiver_frame(struct receiver *r, const char *peer, const Gemel__V1__NodeFrame *frame);

#endif
