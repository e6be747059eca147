/* node/queue/spool_db.h: the spool's tables in LMDB.
 *
 * No queue and no thread of its own: spool_lmdb_uv has those. One thread writes, one transaction at a time; each reader
 * belongs to one thread. Tables: message (id → record), body (id, chunk → bytes), due (due time, id → the record's
 * head), intake (id of a message whose chunks are written but whose envelope is not), transfer (hand-off id → until),
 * meta (format version).
 *
 * Errors of a write: CONFLICT and NOT_FOUND leave the transaction good, and nothing of that call in it. LIMIT: the map is
 * full: abort, grow, do it all again. RETRY: the disk failed: abort; spool_db_error says how. */
#ifndef GEMEL_NODE_QUEUE_SPOOL_DB_H
#define GEMEL_NODE_QUEUE_SPOOL_DB_H

#include "node/queue/spool.h"

struct spool_db;
struct spool_reader;

struct spool_db_conf {
    const char *dir;    /* exists; ours alone (a lock file keeps a second process out) */
    uint64_t map_bytes; /* to begin with; 0: 256 MiB. Grows by doubling */
    uint64_t max_bytes; /* of what is in use; 0: what the disk holds */
};

/* Makes the tables, sweeps what a crash left half done. MALFORMED: damaged or no spool; REFUSED: a newer format;
 * CONFLICT: another process has it; RETRY: an I/O error. `why` gets one sentence that names the folder. */
MUST_USE enum err spool_db_open(const struct spool_db_conf *conf, struct spool_db **out,
                                char why[static SPOOL_WHY_MAX]);
void spool_db_close(struct spool_db *db); /* safe on NULL; the readers are gone */

/* ---- write: one thread ---- */

MUST_USE enum err spool_db_begin(struct spool_db *db);
MUST_USE enum err spool_db_commit(struct spool_db *db); /* OK: synced. Anything else: aborted */
void spool_db_abort(struct spool_db *db);               /* fine without a transaction */
MUST_USE enum err spool_db_grow(struct spool_db *db);   /* outside a transaction. LIMIT: max_bytes reached */
const char *spool_db_error(const struct spool_db *db);  /* of the last RETRY or LIMIT */

/* `begins`: the first chunk written before its envelope; remembered, to be swept if no envelope follows. */
MUST_USE enum err spool_db_put_chunk(struct spool_db *db, const struct queue_id *id, uint32_t index,
                                     struct slice bytes, bool begins);
struct spool_db_put {
    struct queue_id id;
    struct slice record;
    uint32_t index;        /* of the last chunk */
    struct slice last;     /* its bytes; empty: the body is empty */
    struct slice transfer; /* hand-off id; empty: none. Known already: CONFLICT */
    uint64_t until_wall_ms;
};
/* index > 0: the chunks before were put, the first of them with `begins`. */
MUST_USE enum err spool_db_put_message(struct spool_db *db, const struct spool_db_put *p);
/* Writes the size and chunks already stored into `record`. */
MUST_USE enum err spool_db_update(struct spool_db *db, const struct queue_id *id, struct buf *record);
MUST_USE enum err spool_db_remove(struct spool_db *db,
                                  const struct queue_id *id); /* OK when it is not there */
MUST_USE enum err spool_db_discard(struct spool_db *db,
                                   const struct queue_id *id); /* chunks without an envelope */
MUST_USE enum err spool_db_forget_transfer(struct spool_db *db, struct slice transfer,
                                           uint64_t until_wall_ms);
/* Looks at `steps` transfer ids, going round; removes those whose time is over. */
MUST_USE enum err spool_db_expire_transfers(struct spool_db *db, uint64_t now_wall_ms, unsigned steps);

/* A small write: does the disk take one again? */
MUST_USE enum err spool_db_probe(struct spool_db *db);

struct spool_db_counts {
    uint64_t messages[FLOW_COUNT], bytes[FLOW_COUNT], oldest_arrival_wall_ms[FLOW_COUNT];
    uint64_t transfers;
    uint64_t file_bytes;   /* of the map in use */
    uint64_t usable_bytes; /* up to max_bytes: free pages inside the file and free space of its disk */
    uint64_t room_bytes;   /* all it could hold at best: max_bytes, or the size of its disk */
    uint64_t disk_free_bytes;
};
/* As of the last commit; borrowed. */
const struct spool_db_counts *spool_db_counts(const struct spool_db *db);
/* Brings the disk's part of the counts up to date: cheap. `oldest` too: may walk far, once a second is enough. */
void spool_db_measure(struct spool_db *db, bool oldest);

/* ---- read: each reader on its own thread ---- */

/* Pages of the map count as ours once they were touched. When they are many, gives them back to the kernel, which
 * keeps them in its cache: what is read again costs a fault and no I/O. Any thread that does not
 * hold the map for writing; a few microseconds when there is nothing to do. */
void spool_db_let_go(struct spool_db *db);

struct spool_reader *spool_reader_create(struct spool_db *db);
void spool_reader_destroy(struct spool_reader *r); /* safe on NULL */
MUST_USE enum err spool_reader_envelope(struct spool_reader *r, const struct queue_id *id, struct arena *a,
                                        struct envelope *out);
MUST_USE enum err spool_reader_chunk(struct spool_reader *r, const struct queue_id *id, uint32_t index,
                                     struct buf *out);
MUST_USE enum err spool_reader_transfer_seen(struct spool_reader *r, struct slice transfer);
MUST_USE enum err spool_reader_each(struct spool_reader *r, uint64_t from_wall_ms,
                                    bool (*fn)(void *owner, const struct spool_item *it), void *owner);

#endif
