#include "node/queue/spool_db.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/list.h"
#include "node/queue/record.h"

enum {
    FORMAT_VERSION = 1,
    READERS_MAX = 256,
    CHUNK_KEY_BYTES = QUEUE_ID_CHARS + 4,
    DUE_KEY_BYTES = 8 + QUEUE_ID_CHARS,
    TRANSFER_KEY_MAX = 255, /* LMDB keys end at 511 */
    OLDEST_STEPS = 10000,   /* looked at in one spool_db_measure */
};
static const uint64_t MAP_BYTES_DEFAULT = MIB(256);
static const uint64_t MAP_BYTES_LIMIT = GIB(16384);
/* The map may pass max_bytes by this: a remove needs pages before it frees some. Intake stops at max_bytes. */
static const uint64_t MAP_BYTES_RESERVE = MIB(64);
/* A file shorter than its last page by this much may be a crash's pages that were allocated and never written. */
static const uint64_t SHORT_FILE_TOLERATED = MIB(1);

enum table { T_META, T_MESSAGE, T_BODY, T_DUE, T_INTAKE, T_TRANSFER, TABLES };
static const char *const table_names[TABLES] = { "meta", "message", "body", "due", "intake", "transfer" };

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

/* ---- small things ---- */

static MDB_val val_of(struct slice s)
{
    return (MDB_val){ .mv_size = s.n, .mv_data = (void *)s.p };
}

static struct slice slice_of_val(MDB_val v)
{
    return slice_from(v.mv_data, v.mv_size);
}

static void put_be(char *p, uint64_t v, int n)
{
    for (int i = n; i-- > 0; v >>= 8) p[i] = (char)v;
}

static uint64_t get_be(const char *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | (unsigned char)p[i];
    return v;
}

static struct slice chunk_key(const struct queue_id *id, uint32_t index, char out[static CHUNK_KEY_BYTES])
{
    memcpy(out, id->s, QUEUE_ID_CHARS);
    put_be(out + QUEUE_ID_CHARS, index, 4);
    return slice_from(out, CHUNK_KEY_BYTES);
}

static struct slice due_key(uint64_t due_wall_ms, const struct queue_id *id, char out[static DUE_KEY_BYTES])
{
    put_be(out, due_wall_ms, 8);
    memcpy(out + 8, id->s, QUEUE_ID_CHARS);
    return slice_from(out, DUE_KEY_BYTES);
}

/* Any failure that is not an answer ends the transaction's life. */
static enum err fail(struct spool_db *db, const char *what, int rc)
{
    if (rc == 0) return ERR_OK;
    if (rc == MDB_NOTFOUND) return ERR_NOT_FOUND;
    if (rc == MDB_KEYEXIST) return ERR_CONFLICT;
    snprintf(db->error, sizeof db->error, "%s: %s", what, mdb_strerror(rc));
    return rc == MDB_MAP_FULL ? ERR_LIMIT : ERR_RETRY;
}

static enum err get(struct spool_db *db, MDB_txn *txn, enum table t, struct slice key, struct slice *out)
{
    MDB_val k = val_of(key), v;
    int rc = mdb_get(txn, db->dbi[t], &k, &v);
    if (rc) return fail(db, "read", rc);
    *out = slice_of_val(v);
    return ERR_OK;
}

static enum err put(struct spool_db *db, enum table t, struct slice key, struct slice value, unsigned flags)
{
    MDB_val k = val_of(key), v = val_of(value);
    return fail(db, "write", mdb_put(db->txn, db->dbi[t], &k, &v, flags));
}

/* OK also when it is not there. */
static enum err del(struct spool_db *db, enum table t, struct slice key)
{
    MDB_val k = val_of(key);
    int rc = mdb_del(db->txn, db->dbi[t], &k, NULL);
    return rc == MDB_NOTFOUND ? ERR_OK : fail(db, "delete", rc);
}

/* ---- transactions ---- */

static int env_open(struct spool_db *db)
{
    int rc = mdb_env_create(&db->env);
    if (!rc) rc = mdb_env_set_maxdbs(db->env, TABLES);
    if (!rc) rc = mdb_env_set_maxreaders(db->env, READERS_MAX);
    if (!rc) rc = mdb_env_set_mapsize(db->env, db->map_bytes);
    if (!rc) rc = mdb_env_open(db->env, db->dir, MDB_NOTLS, 0600);
    return rc;
}

static void env_close(struct spool_db *db)
{
    if (db->env) mdb_env_close(db->env);
    db->env = NULL;
}

static int open_tables(struct spool_db *db)
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
    env_close(db);
    int rc = env_open(db);
    if (!rc) rc = mdb_txn_begin(db->env, NULL, 0, &db->txn);
    if (!rc) {
        rc = open_tables(db);
        if (!rc)
            rc = mdb_txn_commit(db->txn);
        else
            mdb_txn_abort(db->txn);
        db->txn = NULL;
    }
    if (rc) env_close(db);
    pthread_rwlock_unlock(&db->map_lock);
    return fail(db, "reopen", rc);
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
        return fail(db, "begin", rc);
    }
    db->working = db->counts;
    memcpy(db->oldest_working, db->oldest, sizeof db->oldest);
    return ERR_OK;
}

enum err spool_db_commit(struct spool_db *db)
{
    int rc = mdb_txn_commit(db->txn);
    db->txn = NULL;
    if (rc) return fail(db, "sync", rc);
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
    return fail(db, "grow", rc);
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
    enum err err = get(db, db->txn, T_MESSAGE, queue_id_slice(id), &known);
    if (err != ERR_NOT_FOUND) return err ? err : ERR_CONFLICT;
    if (begins) {
        err = put(db, T_INTAKE, queue_id_slice(id), SLICE("1"), MDB_NOOVERWRITE);
        if (err) return err;
    }
    return put(db, T_BODY, chunk_key(id, index, key), bytes, 0);
}

static void count(struct spool_db *db, const struct queue_id *id, const struct record_head *h)
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
    enum err err = put(db, T_TRANSFER, transfer, slice_from(until, 8), MDB_NOOVERWRITE);
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
    enum err err = get(db, db->txn, T_MESSAGE, id, &known);
    if (err != ERR_NOT_FOUND) return err ? err : ERR_CONFLICT;
    err = p->transfer.n ? put_transfer(db, p->transfer, p->until_wall_ms) : ERR_OK;
    if (!err) err = put(db, T_MESSAGE, id, p->record, 0);
    if (!err) err = put(db, T_DUE, due_key(head.item.due_wall_ms, &p->id, key), record_index(p->record), 0);
    if (!err && p->last.n) err = put(db, T_BODY, chunk_key(&p->id, p->index, ck), p->last, 0);
    if (!err && p->index) err = del(db, T_INTAKE, id);
    if (!err) count(db, &p->id, &head);
    return err;
}

/* A damaged record does not tell its due time: then the whole index is searched. */
static enum err del_due_of_damaged(struct spool_db *db, const struct queue_id *id)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(db->txn, db->dbi[T_DUE], &c);
    if (rc) return fail(db, "index", rc);
    for (rc = mdb_cursor_get(c, &k, &v, MDB_FIRST); !rc; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        if (k.mv_size != DUE_KEY_BYTES || memcmp((char *)k.mv_data + 8, id->s, QUEUE_ID_CHARS) != 0) continue;
        rc = mdb_cursor_del(c, 0);
        break;
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? ERR_OK : fail(db, "index", rc);
}

/* Takes the index line of a stored record away and gives its head, if it has a good one. */
static enum err unindex(struct spool_db *db, const struct queue_id *id, struct record_head *head, bool *good)
{
    char key[DUE_KEY_BYTES];
    struct slice record;
    enum err err = get(db, db->txn, T_MESSAGE, queue_id_slice(id), &record);
    if (err) return err;
    *good = record_peek(record, head) == ERR_OK;
    if (!*good) return del_due_of_damaged(db, id);
    head->item.domain = (struct slice){ 0 }; /* lay in the page that may now change */
    return del(db, T_DUE, due_key(head->item.due_wall_ms, id, key));
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
    err = put(db, T_MESSAGE, queue_id_slice(id), buf_slice(record), 0);
    if (!err)
        err = put(db, T_DUE, due_key(new.item.due_wall_ms, id, key), record_index(buf_slice(record)), 0);
    if (err || !good || old.item.flow == new.item.flow) return err;
    uncount(db, &old);
    count(db, id, &new);
    return ERR_OK;
}

static enum err del_chunks(struct spool_db *db, const struct queue_id *id)
{
    char key[CHUNK_KEY_BYTES];
    MDB_cursor *c;
    MDB_val k = val_of(chunk_key(id, 0, key)), v;
    int rc = mdb_cursor_open(db->txn, db->dbi[T_BODY], &c);
    if (rc) return fail(db, "delete", rc);
    for (rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); !rc;
         rc = mdb_cursor_get(c, &k, &v, MDB_GET_CURRENT)) {
        if (k.mv_size != CHUNK_KEY_BYTES || memcmp(k.mv_data, id->s, QUEUE_ID_CHARS) != 0) break;
        rc = mdb_cursor_del(c, 0); /* leaves the cursor on the next */
        if (rc) break;
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND || rc == EINVAL ? ERR_OK : fail(db, "delete", rc);
}

enum err spool_db_remove(struct spool_db *db, const struct queue_id *id)
{
    struct record_head head;
    bool good;
    enum err err = unindex(db, id, &head, &good);
    if (err == ERR_NOT_FOUND) return ERR_OK;
    if (!err) err = del(db, T_MESSAGE, queue_id_slice(id));
    if (!err) err = del_chunks(db, id);
    if (!err && good) uncount(db, &head);
    return err;
}

enum err spool_db_discard(struct spool_db *db, const struct queue_id *id)
{
    struct slice known;
    enum err err = del(db, T_INTAKE, queue_id_slice(id));
    if (err) return err;
    err = get(db, db->txn, T_MESSAGE, queue_id_slice(id), &known);
    return err == ERR_NOT_FOUND ? del_chunks(db, id) : err;
}

/* ---- transfer ids ---- */

enum err spool_db_forget_transfer(struct spool_db *db, struct slice transfer, uint64_t until_wall_ms)
{
    char until[8];
    struct slice old;
    enum err err = get(db, db->txn, T_TRANSFER, transfer, &old);
    if (err) return err == ERR_NOT_FOUND ? ERR_OK : err;
    if (old.n == 8 && get_be(old.p, 8) <= until_wall_ms) return ERR_OK;
    put_be(until, until_wall_ms, 8);
    return put(db, T_TRANSFER, transfer, slice_from(until, 8), 0);
}

enum err spool_db_expire_transfers(struct spool_db *db, uint64_t now_wall_ms, unsigned steps)
{
    MDB_cursor *c;
    MDB_val k = { .mv_size = db->transfer_at_n, .mv_data = db->transfer_at }, v;
    int rc = mdb_cursor_open(db->txn, db->dbi[T_TRANSFER], &c);
    if (rc) return fail(db, "expire", rc);
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
    return rc == MDB_NOTFOUND || rc == EINVAL ? ERR_OK : fail(db, "expire", rc);
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
    db->counts.disk_free_bytes = statvfs(db->dir, &vfs) == 0 ? (uint64_t)vfs.f_bavail * vfs.f_frsize : 0;
    uint64_t used_bytes = used * st.ms_psize;
    uint64_t in_file = db->counts.file_bytes - MIN(db->counts.file_bytes, used_bytes);
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
    return put(db, T_META, SLICE("probe"), SLICE("1"), 0);
}

/* ---- open ---- */

static enum err say(char why[static SPOOL_WHY_MAX], enum err err, const char *dir, const char *text)
{
    snprintf(why, SPOOL_WHY_MAX, "spool %.120s: %.100s", dir, text);
    return err;
}

static enum err take_lock(struct spool_db *db, char why[static SPOOL_WHY_MAX])
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/owner.lock", db->dir) >= sizeof path)
        return say(why, ERR_REFUSED, db->dir, "the path is too long");
    db->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (db->lock_fd < 0) return say(why, ERR_RETRY, db->dir, strerror(errno));
    if (flock(db->lock_fd, LOCK_EX | LOCK_NB))
        return say(why, ERR_CONFLICT, db->dir, "another process uses it");
    return ERR_OK;
}

static enum err check_format(struct spool_db *db, char why[static SPOOL_WHY_MAX])
{
    char version[4];
    struct slice got;
    MDB_stat st;
    enum err err = get(db, db->txn, T_META, SLICE("format"), &got);
    if (!err && got.n != sizeof version)
        return say(why, ERR_MALFORMED, db->dir, "damaged: unreadable format version");
    if (!err && get_be(got.p, 4) > FORMAT_VERSION) {
        char text[96];
        snprintf(text, sizeof text, "has format %" PRIu64 ", this program knows up to %d: upgrade it",
                 get_be(got.p, 4), FORMAT_VERSION);
        return say(why, ERR_REFUSED, db->dir, text);
    }
    if (err != ERR_NOT_FOUND) return err ? say(why, err, db->dir, db->error) : ERR_OK;
    if (mdb_stat(db->txn, db->dbi[T_MESSAGE], &st) == 0 && st.ms_entries)
        return say(why, ERR_MALFORMED, db->dir, "damaged: messages without a format version");
    put_be(version, FORMAT_VERSION, 4);
    err = put(db, T_META, SLICE("format"), slice_from(version, 4), 0);
    return err ? say(why, err, db->dir, db->error) : ERR_OK;
}

/* Chunks of messages whose envelope never came. */
static enum err sweep(struct spool_db *db)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(db->txn, db->dbi[T_INTAKE], &c);
    enum err err = fail(db, "sweep", rc);
    if (err) return err;
    for (rc = mdb_cursor_get(c, &k, &v, MDB_FIRST); !rc && !err; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct queue_id id;
        if (queue_id_parse(slice_of_val(k), &id) == ERR_OK) err = del_chunks(db, &id);
    }
    mdb_cursor_close(c);
    if (!err && rc != MDB_NOTFOUND) err = fail(db, "sweep", rc);
    if (!err) err = fail(db, "sweep", mdb_drop(db->txn, db->dbi[T_INTAKE], 0));
    return err;
}

static enum err count_all(struct spool_db *db)
{
    MDB_cursor *c;
    MDB_val k, v;
    MDB_stat st;
    int rc = mdb_cursor_open(db->txn, db->dbi[T_DUE], &c);
    if (rc) return fail(db, "count", rc);
    for (rc = mdb_cursor_get(c, &k, &v, MDB_FIRST); !rc; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct record_head head;
        struct queue_id id = { "" };
        if (k.mv_size != DUE_KEY_BYTES || record_peek(slice_of_val(v), &head)) continue;
        memcpy(id.s, (char *)k.mv_data + 8, QUEUE_ID_CHARS);
        count(db, &id, &head);
    }
    mdb_cursor_close(c);
    if (rc != MDB_NOTFOUND) return fail(db, "count", rc);
    rc = mdb_stat(db->txn, db->dbi[T_TRANSFER], &st);
    if (!rc) db->working.transfers = st.ms_entries;
    return fail(db, "count", rc);
}

/* Reading a page behind the end of the file would be a SIGBUS. */
static enum err check_length(struct spool_db *db, char why[static SPOOL_WHY_MAX])
{
    MDB_envinfo info;
    MDB_stat st;
    struct stat file;
    mdb_filehandle_t fd;
    mdb_env_info(db->env, &info);
    mdb_env_stat(db->env, &st);
    uint64_t want = (info.me_last_pgno + 1) * (uint64_t)st.ms_psize;
    if (mdb_env_get_fd(db->env, &fd) || fstat(fd, &file))
        return say(why, ERR_RETRY, db->dir, strerror(errno));
    if ((uint64_t)file.st_size >= want) return ERR_OK;
    if (want - (uint64_t)file.st_size > SHORT_FILE_TOLERATED)
        return say(why, ERR_MALFORMED, db->dir, "damaged: data.mdb has been cut short");
    if (ftruncate(fd, (off_t)want)) return say(why, ERR_RETRY, db->dir, strerror(errno));
    return ERR_OK;
}

/* From LMDB's words to ours. */
static enum err open_failed(const struct spool_db *db, int rc, char why[static SPOOL_WHY_MAX])
{
    char text[100];
    bool damaged = rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND ||
                   rc == MDB_INCOMPATIBLE || rc == MDB_BAD_DBI || rc == MDB_PANIC;
    snprintf(text, sizeof text, "%s%s", damaged ? "damaged: " : "", mdb_strerror(rc));
    return say(why,
               damaged                      ? ERR_MALFORMED
               : rc == MDB_VERSION_MISMATCH ? ERR_REFUSED
                                            : ERR_RETRY,
               db->dir, text);
}

static enum err prepare(struct spool_db *db, char why[static SPOOL_WHY_MAX])
{
    int rc = mdb_txn_begin(db->env, NULL, 0, &db->txn);
    if (!rc) rc = open_tables(db);
    if (rc) return open_failed(db, rc, why);
    enum err err = check_format(db, why);
    if (err) return err;
    err = sweep(db);
    if (!err) err = count_all(db);
    if (!err) err = spool_db_commit(db);
    return err ? say(why, err == ERR_LIMIT ? ERR_LIMIT : ERR_RETRY, db->dir, db->error) : ERR_OK;
}

/* A spool filled to its map before the restart needs room even to be swept. */
static enum err prepare_with_room(struct spool_db *db, char why[static SPOOL_WHY_MAX])
{
    for (;;) {
        enum err err = prepare(db, why);
        if (err) spool_db_abort(db);
        if (err != ERR_LIMIT) return err;
        db->working = (struct spool_db_counts){ 0 };
        if (spool_db_grow(db)) return say(why, ERR_RETRY, db->dir, db->error);
    }
}

static enum err open_all(struct spool_db *db, char why[static SPOOL_WHY_MAX])
{
    MDB_envinfo info;
    enum err err = take_lock(db, why);
    if (err) return err;
    int rc = env_open(db);
    if (rc) return open_failed(db, rc, why);
    mdb_env_info(db->env, &info);
    db->map_bytes = info.me_mapsize; /* at least what the file already has */
    err = check_length(db, why);
    return err ? err : prepare_with_room(db, why);
}

enum err spool_db_open(const struct spool_db_conf *conf, struct spool_db **out,
                       char why[static SPOOL_WHY_MAX])
{
    struct spool_db *db = xzalloc(sizeof *db);
    db->dir = xstrdup(conf->dir);
    db->lock_fd = -1;
    db->max_bytes = conf->max_bytes ? conf->max_bytes : MAP_BYTES_LIMIT;
    db->map_bytes = MIN(conf->map_bytes ? conf->map_bytes : MAP_BYTES_DEFAULT, db->max_bytes);
    pthread_rwlock_init(&db->map_lock, NULL);
    pthread_mutex_init(&db->readers_lock, NULL);
    list_init(&db->readers);
    enum err err = open_all(db, why);
    if (err) {
        spool_db_close(db);
        return err;
    }
    *out = db;
    return ERR_OK;
}

void spool_db_close(struct spool_db *db)
{
    if (!db) return;
    ASSERT(list_empty(&db->readers));
    spool_db_abort(db);
    env_close(db);
    if (db->lock_fd >= 0) close(db->lock_fd);
    pthread_rwlock_destroy(&db->map_lock);
    pthread_mutex_destroy(&db->readers_lock);
    free(db->dir);
    free(db);
}

/* ---- read ---- */

struct spool_reader *spool_reader_create(struct spool_db *db)
{
    struct spool_reader *r = xzalloc(sizeof *r);
    r->db = db;
    pthread_rwlock_rdlock(&db->map_lock);
    pthread_mutex_lock(&db->readers_lock);
    list_append(&db->readers, &r->link);
    pthread_mutex_unlock(&db->readers_lock);
    pthread_rwlock_unlock(&db->map_lock);
    return r;
}

void spool_reader_destroy(struct spool_reader *r)
{
    if (!r) return;
    pthread_rwlock_rdlock(&r->db->map_lock);
    pthread_mutex_lock(&r->db->readers_lock);
    list_remove(&r->link);
    pthread_mutex_unlock(&r->db->readers_lock);
    if (r->txn) mdb_txn_abort(r->txn);
    pthread_rwlock_unlock(&r->db->map_lock);
    free(r);
}

/* Between look and unlook the map stands still and the snapshot is the newest. They nest: what spool_each calls may read,
 * and sees the same snapshot. */
static enum err look(struct spool_reader *r)
{
    if (r->looks) {
        r->looks++;
        return ERR_OK;
    }
    pthread_rwlock_rdlock(&r->db->map_lock);
    int rc = !r->db->env ? MDB_PANIC
             : r->txn    ? mdb_txn_renew(r->txn)
                         : mdb_txn_begin(r->db->env, NULL, MDB_RDONLY, &r->txn);
    if (rc == 0) {
        r->looks = 1;
        return ERR_OK;
    }
    if (r->txn) mdb_txn_abort(r->txn);
    r->txn = NULL;
    pthread_rwlock_unlock(&r->db->map_lock);
    return ERR_RETRY;
}

static void unlook(struct spool_reader *r)
{
    if (--r->looks) return;
    mdb_txn_reset(r->txn);
    pthread_rwlock_unlock(&r->db->map_lock);
}

static enum err read_key(struct spool_reader *r, enum table t, struct slice key, struct slice *out)
{
    MDB_val k = val_of(key), v;
    int rc = mdb_get(r->txn, r->db->dbi[t], &k, &v);
    if (rc) return rc == MDB_NOTFOUND ? ERR_NOT_FOUND : rc == MDB_CORRUPTED ? ERR_MALFORMED : ERR_RETRY;
    *out = slice_of_val(v);
    return ERR_OK;
}

enum err spool_reader_envelope(struct spool_reader *r, const struct queue_id *id, struct arena *a,
                               struct envelope *out)
{
    struct slice record;
    enum err err = look(r);
    if (err) return err;
    err = read_key(r, T_MESSAGE, queue_id_slice(id), &record);
    if (!err) err = record_unpack(record, a, out);
    unlook(r);
    return err;
}

enum err spool_reader_chunk(struct spool_reader *r, const struct queue_id *id, uint32_t index,
                            struct buf *out)
{
    char key[CHUNK_KEY_BYTES];
    struct slice bytes;
    enum err err = look(r);
    if (err) return err;
    err = read_key(r, T_BODY, chunk_key(id, index, key), &bytes);
    if (!err) err = buf_append(out, bytes);
    unlook(r);
    return err;
}

enum err spool_reader_transfer_seen(struct spool_reader *r, struct slice transfer)
{
    struct slice value;
    if (transfer.n == 0 || transfer.n > TRANSFER_KEY_MAX) return ERR_NOT_FOUND;
    enum err err = look(r);
    if (err) return err;
    err = read_key(r, T_TRANSFER, transfer, &value);
    unlook(r);
    return err == ERR_MALFORMED ? ERR_RETRY : err;
}

static int walk(struct spool_db *db, MDB_txn *txn, uint64_t from_wall_ms,
                bool (*fn)(void *owner, const struct spool_item *it), void *owner)
{
    char key[DUE_KEY_BYTES] = { 0 };
    MDB_cursor *c;
    put_be(key, from_wall_ms, 8);
    MDB_val k = val_of(slice_from(key, sizeof key)), v;
    int rc = mdb_cursor_open(txn, db->dbi[T_DUE], &c);
    if (rc) return rc;
    for (rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); !rc; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct record_head head;
        if (k.mv_size != DUE_KEY_BYTES || record_peek(slice_of_val(v), &head)) continue;
        memcpy(head.item.id.s, (char *)k.mv_data + 8, QUEUE_ID_CHARS);
        head.item.id.s[QUEUE_ID_CHARS] = '\0';
        if (!fn(owner, &head.item)) break;
    }
    mdb_cursor_close(c);
    return rc;
}

/* A snapshot of its own, so that fn may read through the same reader; glibc's lock lets a reader in twice. */
enum err spool_reader_each(struct spool_reader *r, uint64_t from_wall_ms,
                           bool (*fn)(void *owner, const struct spool_item *it), void *owner)
{
    MDB_txn *txn;
    pthread_rwlock_rdlock(&r->db->map_lock);
    int rc = r->db->env ? mdb_txn_begin(r->db->env, NULL, MDB_RDONLY, &txn) : MDB_PANIC;
    if (!rc) {
        rc = walk(r->db, txn, from_wall_ms, fn, owner);
        mdb_txn_abort(txn);
    }
    pthread_rwlock_unlock(&r->db->map_lock);
    return rc == 0 || rc == MDB_NOTFOUND ? ERR_OK : ERR_RETRY;
}
