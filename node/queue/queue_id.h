/* node/queue/queue_id.h: the name of a message, unique in the cluster and kept over hand-offs.
 *
 * 18 characters of Crockford base32, which sort by time of making: 60 bits of time (ms since 2020) and a counter, 20
 * bits of the node's name, 10 bits drawn when the program started. One generator serves all threads of a node. */
#ifndef GEMEL_NODE_QUEUE_QUEUE_ID_H
#define GEMEL_NODE_QUEUE_QUEUE_ID_H

#include <stdatomic.h>

#include "base/rng.h"
#include "base/slice.h"

enum { QUEUE_ID_CHARS = 18 };

struct queue_id {
    char s[QUEUE_ID_CHARS + 1]; /* NUL-terminated; all NUL: none */
};

struct queue_ids {
    _Atomic uint64_t last;
    uint64_t nonce;
    uint32_t tag;
};

void queue_ids_init(struct queue_ids *g, struct slice node, struct rng *rng);
/* Thread-safe. Grows strictly within one generator, even when the clock steps back. */
void queue_ids_next(struct queue_ids *g, uint64_t wall_ms, struct queue_id *out);

/* MALFORMED unless `s` has the form of an id. Lower case is accepted: people type ids. */
MUST_USE enum err queue_id_parse(struct slice s, struct queue_id *out);
struct slice queue_id_slice(const struct queue_id *id); /* borrowed from *id */
bool queue_id_eq(const struct queue_id *a, const struct queue_id *b);
uint64_t queue_id_wall_ms(const struct queue_id *id); /* when it was made */

#endif
