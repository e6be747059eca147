/* node/dispatch_uv.h: deliveries across threads: the queue gives jobs on the control loop, workers do them on theirs.
 *
 * One destination always goes to the same worker, so that its connections are reused. Results are copied into the mail
 * that travels back. Mailboxes are bounded; what does not fit is posted again a moment later, never dropped. */
#ifndef GEMEL_NODE_DISPATCH_UV_H
#define GEMEL_NODE_DISPATCH_UV_H

#include "base/loop_uv.h"
#include "node/queue/deliverer.h"
#include "node/relay/delivery.h"

struct dispatch;

struct dispatch_events {                                   /* all on the control loop */
    void (*refused)(void *owner, const struct refusal *r); /* borrowed */
    void (*sent)(void *owner, uint8_t identity, size_t mails);
};

/* `n_workers` places, to be filled by dispatch_join from each worker's thread. */
struct dispatch *dispatch_create(struct loop *control, size_t n_workers, const struct dispatch_events *ev,
                                 void *owner);
/* Workers have left, or their threads are joined. Jobs still out are dropped without `done`. Safe on NULL. */
void dispatch_destroy(struct dispatch *d);

enum { DISPATCH_FACES_MAX = 16 };
struct dispatch_worker { /* copied */
    struct loop *loop;
    const struct env *env;
    struct resolver *resolver;
    struct spool *spool;
    const struct delivery_conf *confs; /* one per identity of this node, at least one; borrowed for life */
    const uint8_t *identities;         /* which identity each of them is; STORE_NONE: none */
    size_t n;
};
/* In worker i's thread: makes its deliveries; and takes them down again (before the spool handle and resolver go). */
void dispatch_join(struct dispatch *d, size_t i, const struct dispatch_worker *w);
void dispatch_leave(struct dispatch *d, size_t i);
/* On the control loop, when all have joined and before the first job. */
void dispatch_joined(struct dispatch *d);

/* For the queue, on the control loop. FLOW_OUT goes through the identity of the last dispatch_aim; without one it comes
 * back NOT_NOW. */
void dispatch_deliverer(struct dispatch *d, struct deliverer *out);
void dispatch_aim(struct dispatch *d, uint8_t identity); /* STORE_NONE: nobody of ours */

/* Every FLOW_OUT conversation not past its final dot is aborted on all workers; `done` runs once, on the control loop,
 * when the last worker has done so. Each call has its own `done`. */
typedef void dispatch_aborted_fn(void *owner, uint64_t tag);
void dispatch_abort(struct dispatch *d, dispatch_aborted_fn *done, void *owner, uint64_t tag);

struct dispatch_totals {
    uint64_t sent[FLOW_COUNT], deferred[FLOW_COUNT], failed[FLOW_COUNT], mails_sent[FLOW_COUNT];
    uint64_t maybe_sent, connections, reused, tls, tls_failed, refused[RELAY_EFFECTS];
};
void dispatch_totals(const struct dispatch *d,
                     struct dispatch_totals *out); /* any thread, while workers are joined */

#endif
