/* node/queue/spool_lmdb_uv.h: the spool on disk (LMDB), with one writer thread for the whole node.
 *
 * Order of life: open; a handle per loop (made and freed on its thread, or while that thread does not run); close. */
#ifndef GEMEL_NODE_QUEUE_SPOOL_LMDB_UV_H
#define GEMEL_NODE_QUEUE_SPOOL_LMDB_UV_H

#include "base/log.h"
#include "node/queue/spool.h"

struct loop;
struct spool_lmdb;

struct spool_lmdb_conf {
    const char *dir;    /* made (mode 0700) when missing; its parent exists */
    uint64_t max_bytes; /* of the spool file; 0: what the disk holds */
    /* Intake stops below this, so that updates and removes still have room; 0: 64 MiB, or an eighth of a place that
     * holds less than eight times that. */
    uint64_t min_free_bytes;
    uint64_t map_bytes; /* address space to begin with; 0: 256 MiB. Grows by itself */
};

/* Errors as spool_db_open; `why` is a sentence for the operator. */
MUST_USE enum err spool_lmdb_open(const struct spool_lmdb_conf *conf, const struct log *log,
                                  struct spool_lmdb **out, char why[static SPOOL_WHY_MAX]);
/* All handles are gone. Ends the thread. Safe on NULL. */
void spool_lmdb_close(struct spool_lmdb *l);

struct spool *spool_lmdb_attach(struct spool_lmdb *l, struct loop *loop);
/* Waits until what this handle wrote is on disk (or the disk keeps failing), then frees it; no callback runs any more.
 * Puts and ops still held become invalid. Safe on NULL. */
void spool_lmdb_detach(struct spool *s);

#endif
