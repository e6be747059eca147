/* node/queue/spool_db_inside.h: what the parts of spool_db share. Nobody else includes it. */
#ifndef GEMEL_NODE_QUEUE_SPOOL_DB_INSIDE_H
#define GEMEL_NODE_QUEUE_SPOOL_DB_INSIDE_H

#include <lmdb.h>
#include <pthread.h>

#include "base/list.h"
#include "node/queue/record.h"
#include "node/queue/spool_db.h"

enum {
    CHUNK_KEY_BYTES = QUEUE_ID_CHARS + 4,
    DUE_KEY_BYTES = 8 + QUEUE_ID_CHARS,
    TRANSFER_KEY_MAX = 255,  /* LMDB keys end at 511 */
    SPOOL_WALK_LINES = 4096, /* spool_db_let_go is asked after each so many lines of the index */
};

enum table { T_META, T_MESSAGE, T_BODY, T_DUE, T_INTAKE, T_TRANSFER, TABLES };

struct spool_db {
    char *dir;
    int lock_fd;
    uint64_t map_bytes, max_bytes;
    MDB_env *env;
    MDB_dbi dbi[TABLES];
    MDB_txn *txn;              /* the writer's */
    pthread_rwlock_t map_lock; /* read: somebody looks at the map; written: it moves (growth, reopening) */
    struct list readers;       /* guarded by map_lock written, or by readers_lock with map_lock read */
    pthread_mutex_t readers_lock;
    struct spool_db_counts counts, working; /* as of the last commit; inside the transaction */
    struct queue_id oldest[FLOW_COUNT], oldest_working[FLOW_COUNT];
    char transfer_at[TRANSFER_KEY_MAX + 1]; /* where expiry goes on */
    size_t transfer_at_n;
    char error[SPOOL_WHY_MAX];
};

struct spool_reader {
    struct spool_db *db;
    struct list link;
    MDB_txn *txn;   /* reset between reads, so that no page is held back; NULL: not made yet */
    unsigned looks; /* how deep in look() */
};

static inline MDB_val val_of(struct slice s)
{
    return (MDB_val){ .mv_size = s.n, .mv_data = (void *)s.p };
}

static inline struct slice slice_of_val(MDB_val v)
{
    return slice_from(v.mv_data, v.mv_size);
}

static inline void put_be(char *p, uint64_t v, int n)
{
    for (int i = n; i-- > 0; v >>= 8) p[i] = (char)v;
}

static inline uint64_t get_be(const char *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | (unsigned char)p[i];
    return v;
}

static inline struct slice chunk_key(const struct queue_id *id, uint32_t index,
                                     char out[static CHUNK_KEY_BYTES])
{
    memcpy(out, id->s, QUEUE_ID_CHARS);
    put_be(out + QUEUE_ID_CHARS, index, 4);
    return slice_from(out, CHUNK_KEY_BYTES);
}

static inline struct slice due_key(uint64_t due_wall_ms, const struct queue_id *id,
                                   char out[static DUE_KEY_BYTES])
{
    put_be(out, due_wall_ms, 8);
    memcpy(out + 8, id->s, QUEUE_ID_CHARS);
    return slice_from(out, DUE_KEY_BYTES);
}

/* ERR_OK, NOT_FOUND and CONFLICT are answers; LIMIT (map full) and RETRY end the transaction's life. */
enum err spool_db_fail(struct spool_db *db, const char *what, int rc);

/* In the writer's transaction. */
enum err spool_db_get(struct spool_db *db, MDB_txn *txn, enum table t, struct slice key, struct slice *out);
enum err spool_db_put_value(struct spool_db *db, enum table t, struct slice key, struct slice value,
                            unsigned flags);
enum err spool_db_del(struct spool_db *db, enum table t, struct slice key);
enum err spool_db_del_chunks(struct spool_db *db, const struct queue_id *id);
void spool_db_count(struct spool_db *db, const struct queue_id *id, const struct record_head *h);

/* LMDB's codes. */
int spool_db_env_open(struct spool_db *db);
void spool_db_env_close(struct spool_db *db);
int spool_db_open_tables(struct spool_db *db);

#endif
