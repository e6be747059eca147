#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "node/queue/spool_db_inside.h"

enum {
    READERS_MAX = 256,
    OLDEST_STEPS = 1000, /* looked at in one spool_db_measure */
};
/* The map may pass max_bytes by this: a remove needs pages before it frees some. Intake stops at max_bytes. */
static const uint64_t MAP_BYTES_RESERVE = MIB(64);

static const char *const table_names[TABLES] = { "meta", "message", "body", "due", "intake", "transfer" };

/* Any failure that is not an answer ends the transaction's life. */
enum err spool_db_fail(struct spool_db *db, const char *what, int rc)
{
    if (rc == 0) return ERR_OK;
    if (rc == MDB_NOTFOUND) return ERR_NOT_FOUND;
    if (rc == MDB_KEYEXIST) return ERR_CONFLICT;
    snprintf(db->error, sizeof db->error, "%s: %s", what, mdb_strerror(rc));
    return rc == MDB_MAP_FULL ? ERR_LIMIT : ERR_RETRY;
}

enum err spool_db_get(struct spool_db *db, MDB_txn *txn, enum table t, struct slice key, struct slice *out)
{
    MDB_val k = val_of(key), v;
    int rc = mdb_get(txn, db->dbi[t], &k, &v);
    if (rc) return spool_db_fail(db, "read", rc);
    *out = slice_of_val(v);
    return ERR_OK;
}

enum err spool_db_put_value(struct spool_db *db, enum table t, struct slice key, struct slice value,
                            unsigned flags)
{
    MDB_val k = val_of(key), v = val_of(value);
    return spool_db_fail(db, "write", mdb_put(db->txn, db->dbi[t], &k, &v, flags));
}

/* OK also when it is not there. */
enum err spool_db_del(struct spool_db *db, enum table t, struct slice key)
{
    MDB_val k = val_of(key);
    int rc = mdb_del(db->txn, db->dbi[t], &k, NULL);
    return rc == MDB_NOTFOUND ? ERR_OK : spool_db_fail(db, "delete", rc);
}

/* ---- transactions ---- */

int spool_db_env_open(struct spool_db *db)
{
    int rc = mdb_env_create(&db->env);
    if (!rc) rc = mdb_env_set_maxdbs(db->env, TABLES);
    if (!rc) rc = mdb_env_set_maxreaders(db->env, READERS_MAX);
    if (!rc) rc = mdb_env_set_mapsize(db->env, db->map_bytes);
    if (!rc) rc = mdb_env_open(db->env, db->dir, MDB_NOTLS, 0600);
    return rc;
}

void spool_db_env_close(struct spool_db *db)
{
    if (db->env) mdb_env_close(db->env);
    db->env = NULL;
}

int spool_db_open_tables(struct spool_db *db)
{
    int rc = 0;
    for (int t = 0; t < TABLES && !rc; t++)
        rc = mdb_dbi_open(db->txn, table_names[t], MDB_CREATE, &db->dbi[t]);
    return rc;
}

/* With map_lock written: nobody looks at the map. */
static void drop_reader_txns(struct spool_db *db)
{
    LIST_EACH(&db->readers, it)
    {
        struct spool_reader *r = CONTAINER_OF(it, struct spool_reader, link);
        if (r->txn) mdb_txn_abort(r->txn);
        r->txn = NULL;
    }
}

/* LMDB gives an environment up for good when its meta page could not be written. The file is whole: open it afresh. */
static enum err reopen(struct spool_db *db)
{
    pthread_rwlock_wrlock(&db->map_lock);
    drop_reader_txns(db);
    spool_db_env_close(db);
    int rc = spool_db_env_open(db);
    if (!rc) rc = mdb_txn_begin(db->env, NULL, 0, &db->txn);
    if (!rc) {
        rc = spool_db_open_tables(db);
        if (!rc)
            rc = mdb_txn_commit(db->txn);
        else
            mdb_txn_abort(db->txn);
        db->txn = NULL;
    }
    if (rc) spool_db_env_close(db);
    pthread_rwlock_unlock(&db->map_lock);
    return spool_db_fail(db, "reopen", rc);
}

enum err spool_db_begin(struct spool_db *db)
{
    ASSERT(!db->txn);
    enum err err = db->env ? ERR_OK : reopen(db);
    if (err) return err;
    int rc = mdb_txn_begin(db->env, NULL, 0, &db->txn);
    if (rc == MDB_PANIC) {
        db->txn = NULL;
        err = reopen(db);
        if (err) return err;
        rc = mdb_txn_begin(db->env, NULL, 0, &db->txn);
    }
    if (rc) {
        db->txn = NULL;
        return spool_db_fail(db, "begin", rc);
    }
    db->working = db->counts;
    memcpy(db->oldest_working, db->oldest, sizeof db->oldest);
    return ERR_OK;
}

enum err spool_db_commit(struct spool_db *db)
{
    int rc = mdb_txn_commit(db->txn);
    db->txn = NULL;
    if (rc) return spool_db_fail(db, "sync", rc);
    db->counts = db->working;
    memcpy(db->oldest, db->oldest_working, sizeof db->oldest);
    return ERR_OK;
}

void spool_db_abort(struct spool_db *db)
{
    if (db->txn) mdb_txn_abort(db->txn);
    db->txn = NULL;
}

enum err spool_db_grow(struct spool_db *db)
{
    ASSERT(!db->txn);
    uint64_t want = MIN(db->map_bytes * 2, db->max_bytes + MAP_BYTES_RESERVE);
    if (want <= db->map_bytes) {
        snprintf(db->error, sizeof db->error, "the spool has reached its limit of %" PRIu64 " MiB",
                 db->max_bytes / MIB(1));
        return ERR_LIMIT;
    }
    pthread_rwlock_wrlock(&db->map_lock);
    int rc = mdb_env_set_mapsize(db->env, want);
    pthread_rwlock_unlock(&db->map_lock);
    if (!rc) db->map_bytes = want;
    return spool_db_fail(db, "grow", rc);
}

const char *spool_db_error(const struct spool_db *db)
{
    return db->error;
}

/* ---- write ---- */

enum err spool_db_put_chunk(struct spool_db *db, const struct queue_id *id, uint32_t index,
                            struct slice bytes, bool begins)
{
    char key[CHUNK_KEY_BYTES];
    struct slice known;
    enum err err = spool_db_get(db, db->txn, T_MESSAGE, queue_id_slice(id), &known);
    if (err != ERR_NOT_FOUND) return err ? err : ERR_CONFLICT;
    if (begins) {
        err = spool_db_put_value(db, T_INTAKE, queue_id_slice(id), SLICE("1"), MDB_NOOVERWRITE);
        if (err) return err;
    }
    return spool_db_put_value(db, T_BODY, chunk_key(id, index, key), bytes, 0);
}

void spool_db_count(struct spool_db *db, const struct queue_id *id, const struct record_head *h)
{
    enum flow f = h->item.flow;
    db->working.messages[f]++;
    db->working.bytes[f] += h->item.size_bytes;
    struct queue_id *oldest = &db->oldest_working[f];
    if (oldest->s[0] == '\0' || strcmp(id->s, oldest->s) < 0) {
        *oldest = *id;
        db->working.oldest_arrival_wall_ms[f] = h->item.arrival_wall_ms;
    }
}

static void uncount(struct spool_db *db, const struct record_head *h)
{
    enum flow f = h->item.flow;
    db->working.messages[f] -= MIN(db->working.messages[f], UINT64_C(1));
    db->working.bytes[f] -= MIN(db->working.bytes[f], h->item.size_bytes);
}

static enum err put_transfer(struct spool_db *db, struct slice transfer, uint64_t until_wall_ms)
{
    char until[8];
    put_be(until, until_wall_ms, 8);
    if (transfer.n > TRANSFER_KEY_MAX) return ERR_CONFLICT;
    enum err err = spool_db_put_value(db, T_TRANSFER, transfer, slice_from(until, 8), MDB_NOOVERWRITE);
    if (!err) db->working.transfers++;
    return err;
}

/* All that can say CONFLICT comes before the first write but the transfer's own. */
enum err spool_db_put_message(struct spool_db *db, const struct spool_db_put *p)
{
    char key[DUE_KEY_BYTES], ck[CHUNK_KEY_BYTES];
    struct record_head head;
    struct slice known, id = queue_id_slice(&p->id);
    ASSERT(record_peek(p->record, &head) == ERR_OK);
    enum err err = spool_db_get(db, db->txn, T_MESSAGE, id, &known);
    if (err != ERR_NOT_FOUND) return err ? err : ERR_CONFLICT;
    err = p->transfer.n ? put_transfer(db, p->transfer, p->until_wall_ms) : ERR_OK;
    if (!err) err = spool_db_put_value(db, T_MESSAGE, id, p->record, 0);
    if (!err)
        err = spool_db_put_value(db, T_DUE, due_key(head.item.due_wall_ms, &p->id, key),
                                 record_index(p->record), 0);
    if (!err && p->last.n) err = spool_db_put_value(db, T_BODY, chunk_key(&p->id, p->index, ck), p->last, 0);
    if (!err && p->index) err = spool_db_del(db, T_INTAKE, id);
    if (!err) spool_db_count(db, &p->id, &head);
    return err;
}

/* A damaged record does not tell its due time: then the whole index is searched. */
static enum err del_due_of_damaged(struct spool_db *db, const struct queue_id *id)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(db->txn, db->dbi[T_DUE], &c);
    if (rc) return spool_db_fail(db, "index", rc);
    for (rc = mdb_cursor_get(c, &k, &v, MDB_FIRST); !rc; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        if (k.mv_size != DUE_KEY_BYTES || memcmp((char *)k.mv_data + 8, id->s, QUEUE_ID_CHARS) != 0) continue;
        rc = mdb_cursor_del(c, 0);
        break;
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? ERR_OK : spool_db_fail(db, "index", rc);
}

/* Takes the index line of a stored record away and gives its head, if it has a good one. */
static enum err unindex(struct spool_db *db, const struct queue_id *id, struct record_head *head, bool *good)
{
    char key[DUE_KEY_BYTES];
    struct slice record;
    enum err err = spool_db_get(db, db->txn, T_MESSAGE, queue_id_slice(id), &record);
    if (err) return err;
    *good = record_peek(record, head) == ERR_OK;
    if (!*good) return del_due_of_damaged(db, id);
    head->item.domain = (struct slice){ 0 }; /* lay in the page that may now change */
    return spool_db_del(db, T_DUE, due_key(head->item.due_wall_ms, id, key));
}

enum err spool_db_update(struct spool_db *db, const struct queue_id *id, struct buf *record)
{
    char key[DUE_KEY_BYTES];
    struct record_head old, new;
    bool good;
    enum err err = unindex(db, id, &old, &good);
    if (err) return err;
    if (good) record_set_body(record, old.item.size_bytes, old.chunks);
    ASSERT(record_peek(buf_slice(record), &new) == ERR_OK);
    err = spool_db_put_value(db, T_MESSAGE, queue_id_slice(id), buf_slice(record), 0);
    if (!err)
        err = spool_db_put_value(db, T_DUE, due_key(new.item.due_wall_ms, id, key),
                                 record_index(buf_slice(record)), 0);
    if (err || !good || old.item.flow == new.item.flow) return err;
    uncount(db, &old);
    spool_db_count(db, id, &new);
    return ERR_OK;
}

enum err spool_db_del_chunks(struct spool_db *db, const struct queue_id *id)
{
    char key[CHUNK_KEY_BYTES];
    MDB_cursor *c;
    MDB_val k = val_of(chunk_key(id, 0, key)), v;
    int rc = mdb_cursor_open(db->txn, db->dbi[T_BODY], &c);
    if (rc) return spool_db_fail(db, "delete", rc);
    for (rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); !rc;
         rc = mdb_cursor_get(c, &k, &v, MDB_GET_CURRENT)) {
        if (k.mv_size != CHUNK_KEY_BYTES || memcmp(k.mv_data, id->s, QUEUE_ID_CHARS) != 0) break;
        rc = mdb_cursor_del(c, 0); /* leaves the cursor on the next */
        if (rc) break;
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND || rc == EINVAL ? ERR_OK : spool_db_fail(db, "delete", rc);
}

enum err spool_db_remove(struct spool_db *db, const struct queue_id *id)
{
    struct record_head head;
    bool good;
    enum err err = unindex(db, id, &head, &good);
    if (err == ERR_NOT_FOUND) return ERR_OK;
    if (!err) err = spool_db_del(db, T_MESSAGE, queue_id_slice(id));
    if (!err) err = spool_db_del_chunks(db, id);
    if (!err && good) uncount(db, &head);
    return err;
}

enum err spool_db_discard(struct spool_db *db, const struct queue_id *id)
{
    struct slice known;
    enum err err = spool_db_del(db, T_INTAKE, queue_id_slice(id));
    if (err) return err;
    err = spool_db_get(db, db->txn, T_MESSAGE, queue_id_slice(id), &known);
    return err == ERR_NOT_FOUND ? spool_db_del_chunks(db, id) : err;
}

/* ---- transfer ids ---- */

enum err spool_db_forget_transfer(struct spool_db *db, struct slice transfer, uint64_t until_wall_ms)
{
    char until[8];
    struct slice old;
    enum err err = spool_db_get(db, db->txn, T_TRANSFER, transfer, &old);
    if (err) return err == ERR_NOT_FOUND ? ERR_OK : err;
    if (old.n == 8 && get_be(old.p, 8) <= until_wall_ms) return ERR_OK;
    put_be(until, until_wall_ms, 8);
    return spool_db_put_value(db, T_TRANSFER, transfer, slice_from(until, 8), 0);
}

enum err spool_db_expire_transfers(struct spool_db *db, uint64_t now_wall_ms, unsigned steps)
{
    MDB_cursor *c;
    MDB_val k = { .mv_size = db->transfer_at_n, .mv_data = db->transfer_at }, v;
    int rc = mdb_cursor_open(db->txn, db->dbi[T_TRANSFER], &c);
    if (rc) return spool_db_fail(db, "expire", rc);
    rc = mdb_cursor_get(c, &k, &v, k.mv_size ? MDB_SET_RANGE : MDB_FIRST);
    while (!rc && steps--) {
        if (v.mv_size != 8 || get_be(v.mv_data, 8) <= now_wall_ms) {
            rc = mdb_cursor_del(c, 0);
            if (rc) break;
            db->working.transfers -= MIN(db->working.transfers, UINT64_C(1));
            rc = mdb_cursor_get(c, &k, &v, MDB_GET_CURRENT);
        } else {
            rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
        }
    }
    db->transfer_at_n = rc ? 0 : MIN(k.mv_size, (size_t)TRANSFER_KEY_MAX);
    if (!rc) memcpy(db->transfer_at, k.mv_data, db->transfer_at_n);
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND || rc == EINVAL ? ERR_OK : spool_db_fail(db, "expire", rc);
}

/* ---- counts ---- */

/* Ids sort by age, so the oldest of a flow is found by going on from the last one known. */
static void refresh_oldest(struct spool_db *db, MDB_txn *txn, enum flow f)
{
    MDB_cursor *c;
    if (db->counts.messages[f] == 0) {
        db->oldest[f] = (struct queue_id){ "" };
        db->counts.oldest_arrival_wall_ms[f] = 0;
        return;
    }
    if (mdb_cursor_open(txn, db->dbi[T_MESSAGE], &c)) return;
    MDB_val k = val_of(queue_id_slice(&db->oldest[f])), v;
    int rc = mdb_cursor_get(c, &k, &v, k.mv_size ? MDB_SET_RANGE : MDB_FIRST);
    for (int steps = 0; !rc && steps < OLDEST_STEPS; steps++, rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct record_head head;
        if (k.mv_size != QUEUE_ID_CHARS || record_peek(slice_of_val(v), &head)) continue;
        memcpy(db->oldest[f].s, k.mv_data, QUEUE_ID_CHARS);
        if (head.item.flow != f) continue;
        db->counts.oldest_arrival_wall_ms[f] = head.item.arrival_wall_ms;
        break;
    }
    mdb_cursor_close(c);
}

static uint64_t pages_used(struct spool_db *db, MDB_txn *txn)
{
    uint64_t pages = 2;
    for (int t = 0; t < TABLES; t++) {
        MDB_stat st;
        if (mdb_stat(txn, db->dbi[t], &st) == 0)
            pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
    }
    return pages;
}

static void measure(struct spool_db *db, MDB_txn *txn)
{
    MDB_envinfo info;
    MDB_stat st;
    struct statvfs vfs;
    mdb_env_info(db->env, &info);
    mdb_env_stat(db->env, &st);
    uint64_t used = pages_used(db, txn), pages = info.me_last_pgno + 1;
    db->counts.file_bytes = pages * st.ms_psize;
    bool known = statvfs(db->dir, &vfs) == 0;
    uint64_t disk_bytes = known ? (uint64_t)vfs.f_blocks * vfs.f_frsize : UINT64_MAX;
    db->counts.disk_free_bytes = known ? (uint64_t)vfs.f_bavail * vfs.f_frsize : 0;
    uint64_t used_bytes = used * st.ms_psize;
    uint64_t in_file = db->counts.file_bytes - MIN(db->counts.file_bytes, used_bytes);
    db->counts.room_bytes = MIN(db->max_bytes, disk_bytes);
    db->counts.usable_bytes = MIN(db->max_bytes - MIN(db->max_bytes, used_bytes),
                                  db->counts.disk_free_bytes + in_file);
}

void spool_db_measure(struct spool_db *db, bool oldest)
{
    MDB_txn *txn;
    ASSERT(!db->txn);
    if (!db->env || mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn)) return;
    for (int f = 0; oldest && f < FLOW_COUNT; f++) refresh_oldest(db, txn, (enum flow)f);
    measure(db, txn);
    mdb_txn_abort(txn);
}

const struct spool_db_counts *spool_db_counts(const struct spool_db *db)
{
    return &db->counts;
}

enum err spool_db_probe(struct spool_db *db)
{
    return spool_db_put_value(db, T_META, SLICE("probe"), SLICE("1"), 0);
}
