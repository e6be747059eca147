#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "node/queue/spool_db_inside.h"

/* Programs and libraries are among it. */
static const uint64_t MAPPED_BYTES_MAX = MIB(48);

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

/* ---- what reading leaves behind ---- */

/* Of the process, without what is in no file. */
static uint64_t mapped_file_bytes(void)
{
    unsigned long size, resident, shared = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    if (fscanf(f, "%lu %lu %lu", &size, &resident, &shared) != 3) shared = 0;
    fclose(f);
    return shared * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* LMDB does not say where its map lies; the kernel does. */
static bool is_map_line(const char *line, const struct stat *file, uintptr_t *from, uintptr_t *to)
{
    unsigned major, minor;
    unsigned long ino;
    return sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %x:%x %lu", from, to, &major, &minor, &ino) == 5 &&
           ino == file->st_ino && makedev(major, minor) == file->st_dev;
}

static void let_go(struct spool_db *db)
{
    char line[PATH_MAX + 200];
    struct stat file;
    uintptr_t from, to;
    mdb_filehandle_t fd;
    if (!db->env || mdb_env_get_fd(db->env, &fd) || fstat(fd, &file)) return;
    FILE *f = fopen("/proc/self/maps", "re");
    while (f && fgets(line, sizeof line, f))
        if (is_map_line(line, &file, &from, &to)) madvise((void *)from, to - from, MADV_DONTNEED);
    if (f) fclose(f);
}

void spool_db_let_go(struct spool_db *db)
{
    if (mapped_file_bytes() <= MAPPED_BYTES_MAX) return;
    pthread_rwlock_rdlock(&db->map_lock);
    let_go(db);
    pthread_rwlock_unlock(&db->map_lock);
}

/* ---- all of them ---- */

static int walk(struct spool_db *db, MDB_txn *txn, uint64_t from_wall_ms,
                bool (*fn)(void *owner, const struct spool_item *it), void *owner)
{
    char key[DUE_KEY_BYTES] = { 0 };
    MDB_cursor *c;
    put_be(key, from_wall_ms, 8);
    MDB_val k = val_of(slice_from(key, sizeof key)), v;
    int rc = mdb_cursor_open(txn, db->dbi[T_DUE], &c);
    if (rc) return rc;
    size_t seen = 0;
    for (rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); !rc; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct record_head head;
        if (k.mv_size != DUE_KEY_BYTES || record_peek(slice_of_val(v), &head)) continue;
        memcpy(head.item.id.s, (char *)k.mv_data + 8, QUEUE_ID_CHARS);
        head.item.id.s[QUEUE_ID_CHARS] = '\0';
        if (!fn(owner, &head.item)) break;
        if (++seen % SPOOL_WALK_LINES == 0) spool_db_let_go(db);
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
