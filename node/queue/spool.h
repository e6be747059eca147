/* node/queue/spool.h: accepted mail is on disk. An interface with two back ends.
 *
 * spool_lmdb_uv.h is the real one: one writer thread, one synced transaction for all that came in since the last.
 * spool_mem.h is for the simulator and can forget what was not synced.
 *
 * A struct spool is one loop's handle on the node's spool: calls and callbacks belong to that loop's thread.
 *   Writes complete through a callback, which runs once, from the loop, never before the call returns. OK means: on
 *   disk, a power cut does not take it back. A 250 may depend on nothing else.
 *   Reads are synchronous, from the memory map, and may wait for the disk when a page is not cached.
 * A failing disk never loses what was acknowledged: puts fail with RETRY and intake stops with a reason; updates and
 * removes are kept and tried again until they succeed, so their completion is only late. */
#ifndef GEMEL_NODE_QUEUE_SPOOL_H
#define GEMEL_NODE_QUEUE_SPOOL_H

#include "node/queue/envelope.h"

enum {
    SPOOL_CHUNK_BYTES = 64 * 1024, /* every chunk of a body but the last has exactly this */
    SPOOL_WHY_MAX = 240,
};

struct spool;
struct spool_put; /* a message on its way in; its first member is its struct spool *, as in spool_op */
struct spool_op;  /* a change on its way to disk */

/* `why` is for the log and for people; "" when OK. Borrowed. */
typedef void spool_done_fn(void *owner, enum err err, const char *why);
/* The writer has room again after spool_put_body said the put is blocked. */
typedef void spool_room_fn(void *owner);
/* Messages that are now on disk, in the order they were written, whoever put them. */
typedef void spool_stored_fn(void *owner, const struct queue_id *ids, size_t n);

/* What else happens in the transaction that stores the message: all or nothing. Borrowed until the call returns. */
struct spool_with {
    struct slice transfer;           /* hand-off id to remember; empty: none. Known already: CONFLICT */
    uint64_t transfer_until_wall_ms; /* how long to remember it */
    const struct envelope *update;   /* another message's envelope; NULL: none */
    const struct queue_id *remove;   /* another message to forget; NULL: none */
};

/* One line of the due index. */
struct spool_item {
    struct queue_id id;
    enum flow flow;
    uint64_t due_wall_ms;
    uint64_t arrival_wall_ms;
    uint64_t size_bytes;
    uint64_t expiry_wall_ms;
    bool delay_told; /* the sender knows that it waits */
    bool complete;   /* this line is all the scheduler needs; otherwise the envelope has to be read */
    struct slice
        domain; /* of all waiting recipients when they share one; else empty: read the envelope. Borrowed */
};

struct spool_stats {
    uint64_t messages[FLOW_COUNT];
    uint64_t bytes[FLOW_COUNT];
    uint64_t oldest_arrival_wall_ms[FLOW_COUNT]; /* 0: none. May name one that left within the last second */
    uint64_t disk_bytes, disk_free_bytes;
    uint64_t room_bytes, usable_bytes; /* all it could hold at best, and what it still can; 0, 0: unknown */
    uint64_t commits, committed_ops;   /* group commit: transactions, and what they held */
    bool accepting;                    /* false: puts fail with RETRY */
    char why[SPOOL_WHY_MAX];           /* why not */
};

struct spool_ops {
    struct spool_put *(*put_begin)(struct spool *s, const struct queue_id *id, spool_room_fn *room,
                                   void *owner);
    enum err (*put_body)(struct spool_put *p, struct slice bytes);
    bool (*put_blocked)(const struct spool_put *p);
    void (*put_commit)(struct spool_put *p, const struct envelope *e, const struct spool_with *with,
                       spool_done_fn *done, void *owner);
    void (*put_abort)(struct spool_put *p);
    struct spool_op *(*update)(struct spool *s, const struct envelope *e, spool_done_fn *done, void *owner);
    struct spool_op *(*remove)(struct spool *s, const struct queue_id *id, spool_done_fn *done, void *owner);
    struct spool_op *(*forget_transfer)(struct spool *s, struct slice transfer, uint64_t until_wall_ms,
                                        spool_done_fn *done, void *owner);
    void (*op_cancel)(struct spool_op *op);
    enum err (*envelope)(struct spool *s, const struct queue_id *id, struct arena *a, struct envelope *out);
    enum err (*chunk)(struct spool *s, const struct queue_id *id, uint32_t index, struct buf *out);
    enum err (*transfer_seen)(struct spool *s, struct slice transfer);
    enum err (*each)(struct spool *s, uint64_t from_wall_ms,
                     bool (*fn)(void *owner, const struct spool_item *it), void *owner);
    void (*stats)(struct spool *s, struct spool_stats *out);
    void (*watch)(struct spool *s, spool_stored_fn *stored, void *owner);
};

struct spool {
    const struct spool_ops *ops;
};

/* ---- in ---- */

/* Starts a message. `room` may be NULL for callers that do not stream (DSNs). */
static inline struct spool_put *spool_put_begin(struct spool *s, const struct queue_id *id,
                                                spool_room_fn *room, void *owner)
{
    return s->ops->put_begin(s, id, room, owner);
}

/* Copies. Full chunks go to disk at once, so memory does not grow with the message. RETRY: intake stopped, the put can
 * only be aborted. After OK ask spool_put_blocked: a blocked put takes the bytes still, but the peer should be paused
 * until `room` runs. */
static inline MUST_USE enum err spool_put_body(struct spool_put *p, struct slice bytes)
{
    return (*(struct spool **)p)->ops->put_body(p, bytes);
}

static inline bool spool_put_blocked(const struct spool_put *p)
{
    return (*(struct spool *const *)p)->ops->put_blocked(p);
}

/* Stores body and envelope (packed before the call returns; id, size and chunks are the put's own), together with
 * `with` (may be NULL). The put ends itself after `done`: RETRY (disk), LIMIT (envelope out of bounds), CONFLICT (id or
 * transfer id known), or OK: synced. Until `done` runs spool_put_abort is allowed: then `done` never runs and the
 * message may or may not be stored; if it was, the watcher hears of it, so it is not forgotten. */
static inline void spool_put_commit(struct spool_put *p, const struct envelope *e,
                                    const struct spool_with *with, spool_done_fn *done, void *owner)
{
    (*(struct spool **)p)->ops->put_commit(p, e, with, done, owner);
}

static inline void spool_put_abort(struct spool_put **p) /* safe on NULL; *p = NULL */
{
    if (*p) (*(struct spool **)*p)->ops->put_abort(*p);
    *p = NULL;
}

/* ---- change: `done` may be NULL. NOT_FOUND: no such message (a remove of a missing one is OK) ---- */

/* Replaces the envelope; size and chunks stay what they were. Packed before the call returns. */
static inline struct spool_op *spool_update(struct spool *s, const struct envelope *e, spool_done_fn *done,
                                            void *owner)
{
    return s->ops->update(s, e, done, owner);
}

static inline struct spool_op *spool_remove(struct spool *s, const struct queue_id *id, spool_done_fn *done,
                                            void *owner)
{
    return s->ops->remove(s, id, done, owner);
}

/* The giver has deleted its copy: the id need not be kept past `until`. */
static inline struct spool_op *spool_forget_transfer(struct spool *s, struct slice transfer,
                                                     uint64_t until_wall_ms, spool_done_fn *done, void *owner)
{
    return s->ops->forget_transfer(s, transfer, until_wall_ms, done, owner);
}

static inline void spool_op_cancel(struct spool_op **op) /* `done` will not run; the change still happens */
{
    if (*op) (*(struct spool **)*op)->ops->op_cancel(*op);
    *op = NULL;
}

/* ---- read ---- */

/* NOT_FOUND; MALFORMED: a damaged record; REFUSED: a newer program's. */
static inline MUST_USE enum err spool_envelope(struct spool *s, const struct queue_id *id, struct arena *a,
                                               struct envelope *out)
{
    return s->ops->envelope(s, id, a, out);
}

/* Appends chunk `index` (0…) to out. NOT_FOUND past the last. */
static inline MUST_USE enum err spool_chunk(struct spool *s, const struct queue_id *id, uint32_t index,
                                            struct buf *out)
{
    return s->ops->chunk(s, id, index, out);
}

/* OK: seen. NOT_FOUND: certainly not, or forgotten since. RETRY: nobody can say now. */
static inline MUST_USE enum err spool_transfer_seen(struct spool *s, struct slice transfer)
{
    return s->ops->transfer_seen(s, transfer);
}

/* Calls fn for every message due at or after `from`, in due order, until it says false. It sees the spool as it
 * was at the call; fn may read, and what it reads may be newer. */
static inline MUST_USE enum err spool_each(struct spool *s, uint64_t from_wall_ms,
                                           bool (*fn)(void *owner, const struct spool_item *it), void *owner)
{
    return s->ops->each(s, from_wall_ms, fn, owner);
}

static inline void spool_stats(struct spool *s, struct spool_stats *out)
{
    s->ops->stats(s, out);
}

/* One watcher a node: the queue manager. Runs on this handle's loop, for puts of every handle, also when nobody waits
 * for the put's completion any more. NULL: no longer. */
static inline void spool_watch(struct spool *s, spool_stored_fn *stored, void *owner)
{
    s->ops->watch(s, stored, owner);
}

#endif
