/* base/crew_uv.h: N loops in N threads that start together and stop together. */
#ifndef GEMEL_BASE_CREW_UV_H
#define GEMEL_BASE_CREW_UV_H

#include "base/loop_uv.h"

struct crew;
struct crew_job {
    const char *name; /* thread name prefix, at most 10 characters: "worker" gives worker0, worker1… */
    /* In thread i, before its loop runs. An error stops all and is what crew_create returns. */
    enum err (*start)(void *owner, size_t i, struct loop *l);
    /* In thread i, after its loop has returned and only if `start` was OK: cancel everything. */
    void (*stop)(void *owner, size_t i, struct loop *l);
    void *owner;
};

/* Returns when all have started. `job` is copied. RETRY: no thread or descriptor to be had; else what `start` said. */
MUST_USE enum err crew_create(size_t n, const struct log *log, const struct crew_job *job, struct crew **out);
void crew_destroy(struct crew *c); /* stops all loops, runs `stop` in each thread, joins; safe on NULL */
size_t crew_size(const struct crew *c);
struct loop *crew_loop(struct crew *c, size_t i); /* for loop_post and the any-thread readings */

#endif
