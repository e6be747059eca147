/* node/queue/queue_inside.h: what queue.c lends to queue_json.c. Nobody else includes it. */
#ifndef GEMEL_NODE_QUEUE_QUEUE_INSIDE_H
#define GEMEL_NODE_QUEUE_QUEUE_INSIDE_H

#include "node/queue/queue.h"

struct spool *queue_spool(const struct queue *q);
struct schedule *queue_schedule(const struct queue *q);
uint64_t queue_now_ms(const struct queue *q);
const struct env *queue_env(const struct queue *q);

enum queue_applied { /* what an order did to one message */
                     QUEUE_APPLIED,
                     QUEUE_APPLIED_LATER, /* a next hop has it in hand: when it is back, and as far as that left anything to do */
                     QUEUE_GONE,      /* there is no such message */
                     QUEUE_ELSEWHERE, /* on its way to another node, or perhaps there: nothing was changed */
                     QUEUE_NOT_SO, /* held already, not held, nothing to undo, a held one cannot be tried */
                     QUEUE_APPLIED_KINDS
};
enum queue_applied queue_apply(struct queue *q, const struct queue_id *id, const struct queue_order *o);
struct json_t *queue_message_json(const struct queue *q, const struct envelope *e);
/* Runs the scheduler: once, after the last queue_apply of several. */
void queue_run(struct queue *q);

#endif
