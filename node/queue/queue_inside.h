/* node/queue/queue_inside.h: what queue.c lends to queue_json.c. Nobody else includes it. */
#ifndef GEMEL_NODE_QUEUE_QUEUE_INSIDE_H
#define GEMEL_NODE_QUEUE_QUEUE_INSIDE_H

#include "node/queue/queue.h"

struct spool *queue_spool(const struct queue *q);
struct schedule *queue_schedule(const struct queue *q);
uint64_t queue_now_ms(const struct queue *q);

#endif
