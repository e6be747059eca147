#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/queue/spool_db_inside.h"

enum { FORMAT_VERSION = 1 };
static const uint64_t MAP_BYTES_DEFAULT = MIB(256);
static const uint64_t MAP_BYTES_LIMIT = GIB(16384);
/* A file shorter than its last page by this much may be a crash's pages that were allocated and never written. */
static const uint64_t SHORT_FILE_TOLERATED = MIB(1);

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
    enum err err = spool_db_get(db, db->txn, T_META, SLICE("format"), &got);
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
    err = spool_db_put_value(db, T_META, SLICE("format"), slice_from(version, 4), 0);
    return err ? say(why, err, db->dir, db->error) : ERR_OK;
}

/* Chunks of messages whose envelope never came. */
static enum err sweep(struct spool_db *db)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(db->txn, db->dbi[T_INTAKE], &c);
    enum err err = spool_db_fail(db, "sweep", rc);
    if (err) return err;
    for (rc = mdb_cursor_get(c, &k, &v, MDB_FIRST); !rc && !err; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct queue_id id;
        if (queue_id_parse(slice_of_val(k), &id) == ERR_OK) err = spool_db_del_chunks(db, &id);
    }
    mdb_cursor_close(c);
    if (!err && rc != MDB_NOTFOUND) err = spool_db_fail(db, "sweep", rc);
    if (!err) err = spool_db_fail(db, "sweep", mdb_drop(db->txn, db->dbi[T_INTAKE], 0));
    return err;
}

static enum err count_all(struct spool_db *db)
{
    MDB_cursor *c;
    MDB_val k, v;
    MDB_stat st;
    size_t seen = 0;
    int rc = mdb_cursor_open(db->txn, db->dbi[T_DUE], &c);
    if (rc) return spool_db_fail(db, "count", rc);
    for (rc = mdb_cursor_get(c, &k, &v, MDB_FIRST); !rc; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct record_head head;
        struct queue_id id = { "" };
        if (k.mv_size != DUE_KEY_BYTES || record_peek(slice_of_val(v), &head)) continue;
        memcpy(id.s, (char *)k.mv_data + 8, QUEUE_ID_CHARS);
        spool_db_count(db, &id, &head);
        if (++seen % SPOOL_WALK_LINES == 0) spool_db_let_go(db);
    }
    mdb_cursor_close(c);
    if (rc != MDB_NOTFOUND) return spool_db_fail(db, "count", rc);
    rc = mdb_stat(db->txn, db->dbi[T_TRANSFER], &st);
    if (!rc) db->working.transfers = st.ms_entries;
    return spool_db_fail(db, "count", rc);
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
    if (!rc) rc = spool_db_open_tables(db);
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
    int rc = spool_db_env_open(db);
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
    spool_db_env_close(db);
    if (db->lock_fd >= 0) close(db->lock_fd);
    pthread_rwlock_destroy(&db->map_lock);
    pthread_mutex_destroy(&db->readers_lock);
    free(db->dir);
    free(db);
}
