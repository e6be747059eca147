/* proto/store_redis_uv.h: the store port on Redis: one script for every request (proto/scripts/store.lua).
 *
 * A request that gets no usable answer (time, reset, READONLY, LOADING, NOREPLICAS, an error, wrong data) is
 * STORE_UNKNOWN: it may have happened. This function of errors is in one place, here, so that no path of the callers can
 * take an unmapped error for a verdict. */
#ifndef GEMEL_PROTO_STORE_REDIS_UV_H
#define GEMEL_PROTO_STORE_REDIS_UV_H

#include "base/redis_uv.h"
#include "proto/cluster_conf.h"
#include "proto/store.h"

struct store_redis;
struct store_op;

struct store_redis_conf { /* borrowed while the client lives */
    const struct cluster_conf *cluster;
    uint64_t coord_lease_ms, evidence_keep_ms;
};

struct store_redis *store_redis_create(const struct env *env, struct redis *redis,
                                       const struct store_redis_conf *conf);
void store_redis_destroy(
    struct store_redis *s); /* its operations were cancelled before; the redis client is the caller's */

/* Runs once, from the loop. `reply` is borrowed; `word` says why when the status is UNKNOWN ("deadline", "readonly"…). */
typedef void store_done_fn(void *owner, const struct store_reply *reply, const char *word);
struct store_op *store_redis_send(struct store_redis *s, const struct store_req *req, uint32_t limit_ms,
                                  store_done_fn *done, void *owner);
void store_redis_cancel(struct store_op **op); /* what was sent was sent; safe on NULL */

/* The last `n` lines of history, oldest first, each one JSON object as the script wrote it. */
typedef void store_history_fn(void *owner, enum err err, const struct slice *lines, size_t n);
struct store_op *store_redis_history(struct store_redis *s, unsigned n, uint32_t limit_ms,
                                     store_history_fn *done, void *owner);

/* Index of an identity's name: STORE_NONE for "", STORE_FOREIGN for one that the configuration does not have. */
uint8_t store_identity_index(const struct cluster_conf *c, struct slice name);
const char *store_identity_name(const struct cluster_conf *c, uint8_t i); /* "" for NONE and FOREIGN */

#endif
