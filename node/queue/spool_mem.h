/* node/queue/spool_mem.h: the spool's memory twin for the simulator and tests.
 *
 * Everything written waits for the next simulated sync, a group commit like the real one's. A crash forgets what was
 * not synced. One handle: a simulated node is one loop. */
#ifndef GEMEL_NODE_QUEUE_SPOOL_MEM_H
#define GEMEL_NODE_QUEUE_SPOOL_MEM_H

#include "base/env.h"
#include "node/queue/spool.h"

struct spool_mem;

/* `env` gives the timers; a sync takes sync_ms from the first write that waits for it. */
struct spool_mem *spool_mem_create(const struct env *env, uint32_t sync_ms);
void spool_mem_destroy(struct spool_mem *m);
struct spool *spool_mem_spool(struct spool_mem *m);

/* The machine dies: what waited for its sync is gone, or (`synced`) made it to disk but nobody was told. No callback
 * runs any more. Who held puts and ops has aborted and cancelled them before; what is stored stays. */
void spool_mem_crash(struct spool_mem *m, bool synced);
/* A full disk: puts fail and intake stops; updates and removes wait until it has room again. */
void spool_mem_set_full(struct spool_mem *m, bool full);
/* Writes that are not synced yet. */
size_t spool_mem_pending(const struct spool_mem *m);

#endif
