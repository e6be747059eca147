/* node/queue/spool_lmdb_inside.h: what the loops' side of the LMDB spool (spool_lmdb_uv) and its writer thread
 * (spool_writer_uv) share. Nobody else includes it. */
#ifndef GEMEL_NODE_QUEUE_SPOOL_LMDB_INSIDE_H
#define GEMEL_NODE_QUEUE_SPOOL_LMDB_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/log.h"
#include "node/queue/spool_db.h"
#include "node/queue/spool_lmdb_uv.h"

struct mailbox;

enum {
    SPOOL_QUEUE_HIGH_BYTES = 16 * 1024 * 1024, /* puts are blocked */
    SPOOL_QUEUE_LOW_BYTES = 8 * 1024 * 1024,   /* and told that there is room */
};

enum op_kind { OP_CHUNK, OP_PUT, OP_UPDATE, OP_REMOVE, OP_FORGET, OP_DISCARD };

/* Shared by the ops of one put; only the writer looks inside, the count is for whoever is last. */
struct body {
    _Atomic int refs;
    bool begun;  /* chunks lie in the spool without an envelope */
    bool failed; /* a chunk is missing: no envelope may follow */
};

struct spool_op {
    struct spool *spool; /* first: spool.h asks it for the ops */
    struct list link;    /* the writer's queue, then the handle's answers */
    struct list all;     /* the handle's; loop thread */
    struct list of_put;  /* chunks that a put still waits for; loop thread */
    enum op_kind kind;
    enum err err;
    char why[SPOOL_WHY_MAX];
    enum err refused; /* before it came to the writer, which then only passes the answer on */
    size_t cost_bytes;
    struct queue_id id;
    uint32_t index;
    struct body *body;
    struct buf bytes;  /* a chunk */
    struct buf record; /* an envelope */
    struct buf transfer;
    uint64_t until_wall_ms;
    struct queue_id also_update, also_remove; /* s[0] == 0: none */
    struct buf also_record;
    struct spool_put *put; /* loop thread; NULL: aborted */
    spool_done_fn *done;   /* loop thread; NULL: nobody asks */
    void *owner;
};

struct spool_put {
    struct spool *spool; /* first */
    struct list all;     /* the handle's puts */
    struct queue_id id;
    struct buf chunk;
    uint32_t chunks;
    uint64_t size_bytes;
    struct body *body;
    enum err err; /* a chunk failed, or intake stood still */
    char why[SPOOL_WHY_MAX];
    struct list chunk_ops;
    struct spool_op *commit; /* NULL: not committed */
    bool told_blocked;
    spool_room_fn *room;
    spool_done_fn *done;
    void *owner, *done_owner;
};

struct handle {
    struct spool spool;
    struct spool_lmdb *l;
    struct list link; /* the spool's handles */
    struct spool_reader *reader;
    struct mailbox *mailbox;
    struct list puts, ops; /* loop thread */
    /* Under the spool's lock: */
    struct list answers;
    struct queue_id *stored;
    size_t n_stored, cap_stored;
    size_t outstanding; /* ops with the writer */
    bool posted, closing, want_room, watching;
    /* Loop thread: */
    spool_stored_fn *on_stored;
    void *stored_owner;
};

struct spool_lmdb {
    struct spool_db *db;
    struct log log_copy;
    const struct log *log; /* NULL: silent */
    uint64_t min_free_bytes;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    /* Under the lock: */
    struct list queue; /* for the writer */
    struct list handles;
    size_t queue_bytes;
    bool stop;
    bool failing; /* the last transaction failed */
    struct spool_stats stats;
    /* Writer only: */
    bool low;
};

/* The writer's thread: `arg` is the struct spool_lmdb. Ends when `stop` is set and the queue is empty. */
void *spool_writer(void *arg);
/* Counts and room as they are, before the thread runs. Under the lock. */
void spool_writer_tidy(struct spool_lmdb *l);
/* Runs in the handle's loop when the writer has something for it. */
void spool_lmdb_wake(void *handle, void *unused);

static inline struct handle *spool_lmdb_handle(struct spool *s)
{
    return CONTAINER_OF(s, struct handle, spool);
}

#endif
