/* node/queue/queue.h: the queue manager of a node: what is on disk is scheduled, delivered, reported, or handed over.
 *
 * On the control loop, over ports only (spool, deliverer, giver, reporter), so the simulator can run it. The spool is the
 * truth; the scheduler holds ids and times. A message's envelope is in memory only while something happens to it. */
#ifndef GEMEL_NODE_QUEUE_QUEUE_H
#define GEMEL_NODE_QUEUE_QUEUE_H

#include "base/env.h"
#include "node/queue/deliverer.h"
#include "node/queue/in_hand.h"
#include "node/queue/schedule.h"
#include "node/queue/spool.h"

struct queue;

/* Hands a message to another node. `done` runs once, from the loop, never before give returns:
 *   OK       it is on the other node's disk, and no longer in our spool
 *   RETRY    not now    REFUSED  that node never takes it
 *   UNKNOWN  it may be there: pinned in our spool until `settled` says */
typedef void queue_given_fn(void *queue, const struct queue_id *id, enum err err);
struct queue_giver {
    void (*give)(void *owner, const struct queue_id *id, const char *node, queue_given_fn *done, void *queue);
    /* Found in the spool: `node` may have it. queue_settled is owed. */
    void (*doubt)(void *owner, const struct queue_id *id, struct slice node);
    void *owner;
};

/* Tells the sender what became of recipients. For each call the reporter writes none, one or two messages into the spool and
 * then calls `done` once: the change of the original (`remove`, or `update`) happens in the same transaction as the last
 * report, or by itself when there is nothing to tell. `e` and `rcpts` are borrowed for the call. At most one report of a
 * message is open at a time. */
enum queue_event { QUEUE_RESULTS, QUEUE_DELAYED }; /* an expiry is a result */
typedef void queue_reported_fn(void *owner, enum err err);
struct queue_reporter {
    void (*report)(void *owner, enum queue_event what, const struct envelope *e, const uint32_t *rcpts,
                   size_t n_rcpts, bool remove, queue_reported_fn *done, void *done_owner);
    void *owner;
};

struct queue_conf {
    struct schedule_conf schedule;
    /* Where mail of FLOW_IN for a domain goes ("[10.0.0.25]:25"); NULL: the domain is no longer ours. */
    const char *(*next_hop)(void *owner, struct slice domain);
    /* Messages that were in hand at crashes; `poison` of them and more, and they are set aside (QR-13). 0: never. */
    struct in_hand_suspects *suspects; /* NULL: none */
    uint32_t poison;
    void (*forgive)(void *owner, const struct queue_id *id); /* released, or no longer here */
    void *owner;
};

struct queue_ports {
    struct spool *spool;
    struct deliverer deliverer;
    struct queue_giver giver; /* give NULL: solo */
    struct queue_reporter reporter;
};

struct queue *queue_create(const struct env *env, const struct queue_conf *conf,
                           const struct queue_ports *ports);
/* Reads the spool's index and begins. MALFORMED, REFUSED: as spool_each. */
MUST_USE enum err queue_start(struct queue *q);
/* Nothing is started any more, and what is out with the deliverer is called back. `done` runs once, later, from the loop, when all of
 * it is back and what became of it is on disk: a queue destroyed before that forgets what the next hops have taken, and
 * the next start sends it again. */
typedef void queue_stopped_fn(void *owner);
void queue_stop(struct queue *q, queue_stopped_fn *done, void *owner);
void queue_destroy(struct queue *q); /* what is out with the deliverer is forgotten: it is on disk */

/* FLOW_OUT: ours to send now; another node's to send; nobody's for the moment. */
void queue_send_out(struct queue *q);
void queue_hand_out(struct queue *q, const char *node); /* borrowed for as long as it is the target */
void queue_keep_out(struct queue *q);
void queue_settled(struct queue *q, const struct queue_id *id,
                   bool gone); /* a hand-off that was UNKNOWN is known now */
/* The message is coming in anew from another node: what is known of an earlier copy, which is on its way off the disk,
 * is forgotten, a give under way included. */
void queue_superseded(struct queue *q, const struct queue_id *id);

/* ---- for administration ---- */

struct queue_filter { /* empty fields match everything */
    struct slice flow, domain, sender, recipient;
    struct slice why; /* part of the last reason, of any reply, or of why it is held; ASCII case is ignored */
    uint64_t older_ms;     /* arrived at least so long ago */
    bool held;             /* only what is held or set aside */
    struct slice redirect; /* recipients redirected to this next hop */
};

/* The spool is walked a slice at a time, so that a million messages do not stop the loop. What changes its time meanwhile
 * may be seen twice or not at all. `done` runs once, from the loop, never before the call returns; the answer is the
 * callee's reference. After a cancel (safe on NULL; *t = NULL) `done` never runs; what was ordered so far stays done.
 * Tasks end before the queue does. */
struct json_t;
struct queue_task;
typedef void queue_answer_fn(void *owner, struct json_t *answer);
void queue_task_cancel(struct queue_task **t);

/* {"messages":[…],"total":n}. limit 0: 100. */
struct queue_task *queue_list(struct queue *q, const struct queue_filter *f, size_t limit,
                              queue_answer_fn *done, void *owner);

/* QR-14. RELEASE ends a hold; the time it lasted does not count for expiry. REMOVE tells nobody, BOUNCE tells the sender.
 * What a next hop has in hand is stopped where that is still possible; its answer is honoured. */
enum queue_order_kind {
    QUEUE_RETRY,
    QUEUE_HOLD,
    QUEUE_RELEASE,
    QUEUE_REMOVE,
    QUEUE_BOUNCE,
    QUEUE_REDIRECT,
    QUEUE_ORDERS
};
struct queue_order { /* copied */
    enum queue_order_kind kind;
    const struct queue_id *ids;
    size_t n_ids;               /* 0: all that fits the filter */
    struct queue_filter filter; /* REDIRECT: with a domain, only its recipients */
    struct slice by, reason;    /* for the log, for people */
    struct slice to;            /* REDIRECT: a next hop; empty: where the domain goes again */
};
/* {"matched":n,"done":n,"in_delivery":n,"skipped":n,"why":[{"id","why"}…]}, when all of it is on disk. */
struct queue_task *queue_order(struct queue *q, const struct queue_order *o, queue_answer_fn *done,
                               void *owner);
/* "[10.0.0.26]:25", "mail.inside.example:25": a host or an address, and a port. */
bool queue_is_next_hop(struct slice s);
const char *queue_order_name(enum queue_order_kind k);                 /* "retry", "hold", … */
struct json_t *queue_show(struct queue *q, const struct queue_id *id); /* NULL: there is no such message */
/* {"destinations":[…],"total":n}, the longest first. limit 0: all. */
struct json_t *queue_destinations(struct queue *q, size_t limit);
size_t queue_flush(struct queue *q, const struct queue_id *id, struct slice domain);
void queue_counts(const struct queue *q, struct schedule_counts *out);
size_t queue_backlog(const struct queue *q); /* as schedule_backlog */

#endif
