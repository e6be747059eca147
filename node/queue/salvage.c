#include "node/queue/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/queue/spool_db_inside.h"

enum { BATCH = 200, CHILD_FAILED = 2 /* the disk of the new spool; anything else not 0 is damage */ };

enum fate { TODO, READING, PUT, SAVED, DAMAGED };

struct shared { /* with the children */
    size_t transfers;
    char why[SPOOL_WHY_MAX];
    uint8_t fate[]; /* enum fate, by message */
};

struct salvage {
    const char *from, *to;
    struct queue_id *ids;
    size_t n;
    struct shared *shared;
    size_t shared_bytes, ended;
    char *why;
};

struct source {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi message, body, due, transfer;
};

static enum err fail(const struct salvage *s, enum err err, const char *place, const char *what)
{
    snprintf(s->why, SPOOL_WHY_MAX, "spool %.120s: %.100s", place, what);
    return err;
}

/* ---- the damaged spool, in a child ---- */

static int source_open(const char *dir, struct source *s)
{
    int rc = mdb_env_create(&s->env);
    if (!rc) rc = mdb_env_set_maxdbs(s->env, TABLES);
    if (!rc) rc = mdb_env_open(s->env, dir, MDB_RDONLY | MDB_NOLOCK, 0600);
    if (!rc) rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->txn);
    if (!rc) rc = mdb_dbi_open(s->txn, "message", 0, &s->message);
    if (!rc) rc = mdb_dbi_open(s->txn, "body", 0, &s->body);
    if (!rc) rc = mdb_dbi_open(s->txn, "due", 0, &s->due);
    if (!rc) rc = mdb_dbi_open(s->txn, "transfer", 0, &s->transfer);
    return rc;
}

static enum err source_get(const struct source *s, MDB_dbi table, struct slice key, struct slice *out)
{
    MDB_val k = val_of(key), v;
    if (mdb_get(s->txn, table, &k, &v)) return ERR_NOT_FOUND;
    *out = slice_of_val(v);
    return ERR_OK;
}

/* Runs `work` in a child. How it ended: 0, CHILD_FAILED, or 1 for whatever damage did to it. */
static int in_child(struct salvage *s, int (*work)(struct salvage *s, void *arg), void *arg)
{
    pid_t pid = fork();
    int status;
    if (pid < 0) return CHILD_FAILED;
    if (pid == 0) {
        static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
        struct rlimit none = { 0, 0 };
        for (size_t i = 0; i < ARRAY_LEN(signals); i++) signal(signals[i], SIG_DFL);
        setrlimit(RLIMIT_CORE, &none);
        _exit(work(s, arg));
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CHILD_FAILED))
        return WEXITSTATUS(status);
    s->ended++;
    return 1;
}

/* ---- which messages there are: both tables that know, from both ends ---- */

struct walk {
    bool due;
    MDB_cursor_op first, next;
    int fd;
};

static int collect(struct salvage *s, void *arg)
{
    const struct walk *w = arg;
    struct source src;
    MDB_cursor *c;
    MDB_val k, v;
    if (source_open(s->from, &src) || mdb_cursor_open(src.txn, w->due ? src.due : src.message, &c)) return 1;
    size_t skip = w->due ? 8 : 0;
    int rc;
    for (rc = mdb_cursor_get(c, &k, &v, w->first); !rc; rc = mdb_cursor_get(c, &k, &v, w->next)) {
        struct queue_id id;
        if (k.mv_size != skip + QUEUE_ID_CHARS || queue_id_parse(slice_skip(slice_of_val(k), skip), &id))
            continue;
        if (write(w->fd, id.s, QUEUE_ID_CHARS) != QUEUE_ID_CHARS) return CHILD_FAILED;
    }
    return rc == MDB_NOTFOUND ? 0 : 1;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, QUEUE_ID_CHARS);
}

static void sort_ids(struct salvage *s, FILE *f)
{
    size_t cap = 0, n = 0;
    struct queue_id id = { "" };
    rewind(f);
    while (fread(id.s, 1, QUEUE_ID_CHARS, f) == QUEUE_ID_CHARS) {
        if (s->n == cap) s->ids = xrealloc(s->ids, (cap = cap ? 2 * cap : 1024) * sizeof *s->ids);
        s->ids[s->n++] = id;
    }
    if (s->n) qsort(s->ids, s->n, sizeof *s->ids, by_id);
    for (size_t i = 0; i < s->n; i++)
        if (i == 0 || !queue_id_eq(&s->ids[i], &s->ids[n - 1])) s->ids[n++] = s->ids[i];
    s->n = n;
}

static enum err find_all(struct salvage *s)
{
    FILE *f = tmpfile();
    if (!f) return fail(s, ERR_RETRY, "in /tmp", strerror(errno));
    struct walk walks[] = { { false, MDB_FIRST, MDB_NEXT, fileno(f) },
                            { true, MDB_FIRST, MDB_NEXT, fileno(f) },
                            { false, MDB_LAST, MDB_PREV, fileno(f) },
                            { true, MDB_LAST, MDB_PREV, fileno(f) } };
    bool any = false, full = false;
    for (size_t i = 0; i < ARRAY_LEN(walks); i++) {
        int end = in_child(s, collect, &walks[i]);
        any |= end == 0;
        full |= end == CHILD_FAILED;
    }
    sort_ids(s, f);
    fclose(f);
    if (full) return fail(s, ERR_RETRY, "in /tmp", "no room for the list of messages");
    return any || s->n ? ERR_OK : fail(s, ERR_MALFORMED, s->from, "nothing in it can be read");
}

/* ---- one message ---- */

static enum err check_body(const struct source *src, const struct envelope *e)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < e->chunks; i++) {
        char key[CHUNK_KEY_BYTES];
        struct slice bytes;
        if (source_get(src, src->body, chunk_key(&e->id, i, key), &bytes)) return ERR_MALFORMED;
        bool whole = bytes.n == SPOOL_CHUNK_BYTES || (i + 1 == e->chunks && bytes.n <= SPOOL_CHUNK_BYTES);
        if (!whole) return ERR_MALFORMED;
        size += bytes.n;
    }
    return size == e->size_bytes ? ERR_OK : ERR_MALFORMED;
}

static enum err put_message(const struct source *src, struct spool_db *db, const struct envelope *e,
                            struct slice record)
{
    char key[CHUNK_KEY_BYTES];
    struct slice bytes = { "", 0 };
    enum err err = ERR_OK;
    for (uint32_t i = 0; !err && i < e->chunks; i++) {
        err = source_get(src, src->body, chunk_key(&e->id, i, key), &bytes);
        if (!err && i + 1 < e->chunks) err = spool_db_put_chunk(db, &e->id, i, bytes, i == 0);
    }
    struct spool_db_put p = {
        .id = e->id, .record = record, .last = bytes, .index = e->chunks ? e->chunks - 1 : 0
    };
    return err ? err : spool_db_put_message(db, &p);
}

static enum err save_one(const struct source *src, struct spool_db *db, const struct queue_id *id,
                         bool *intact)
{
    struct arena a = { 0 };
    struct envelope e;
    struct slice record;
    enum err err = ERR_OK;
    *intact = source_get(src, src->message, queue_id_slice(id), &record) == ERR_OK &&
              record_unpack(record, &a, &e) == ERR_OK && queue_id_eq(&e.id, id) &&
              check_body(src, &e) == ERR_OK;
    if (*intact) err = put_message(src, db, &e, record);
    arena_deinit(&a);
    return err;
}

/* ---- all of them, in a child that goes on where the one before ended ---- */

static void settle(struct salvage *s, enum fate from, enum fate to)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->shared->fate[i] == from) s->shared->fate[i] = (uint8_t)to;
}

static enum err save_batch(struct salvage *s, const struct source *src, struct spool_db *db, size_t *at)
{
    enum err err = spool_db_begin(db);
    for (size_t n = 0; !err && n < BATCH && *at < s->n; ++*at) {
        bool intact;
        if (s->shared->fate[*at] != TODO) continue;
        s->shared->fate[*at] = READING;
        err = save_one(src, db, &s->ids[*at], &intact);
        s->shared->fate[*at] = err ? TODO : intact ? PUT : DAMAGED;
        n++;
    }
    return err ? err : spool_db_commit(db);
}

static int save(struct salvage *s, void *arg)
{
    struct source src;
    struct spool_db *db;
    struct spool_db_conf conf = { .dir = s->to };
    if (source_open(s->from, &src)) return 1;
    if (spool_db_open(&conf, &db, s->shared->why)) return CHILD_FAILED;
    for (size_t at = 0; at < s->n;) {
        size_t from = at;
        enum err err = save_batch(s, &src, db, &at);
        settle(s, PUT, err ? TODO : SAVED);
        if (!err) continue;
        spool_db_abort(db);
        at = from;
        if (err == ERR_LIMIT && spool_db_grow(db) == ERR_OK) continue;
        snprintf(s->shared->why, SPOOL_WHY_MAX, "spool %.100s: %.120s", s->to, spool_db_error(db));
        return CHILD_FAILED;
    }
    spool_db_close(db);
    return 0;
}

static int save_transfers(struct salvage *s, void *arg)
{
    struct source src;
    struct spool_db *db;
    struct spool_db_conf conf = { .dir = s->to };
    MDB_cursor *c;
    MDB_val k, v;
    if (source_open(s->from, &src) || mdb_cursor_open(src.txn, src.transfer, &c)) return 1;
    if (spool_db_open(&conf, &db, s->shared->why)) return CHILD_FAILED;
    int rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
    while (!rc) {
        enum err err = spool_db_begin(db);
        size_t n = 0;
        for (; !rc && !err && n < BATCH; n++, rc = mdb_cursor_get(c, &k, &v, MDB_NEXT))
            err = spool_db_put_value(db, T_TRANSFER, slice_of_val(k), slice_of_val(v), 0);
        if (!err) err = spool_db_commit(db);
        if (err) return CHILD_FAILED;
        s->shared->transfers += n;
    }
    spool_db_close(db);
    return 0;
}

/* Each child that damage ends takes the message it was reading with it: the next begins behind. */
static enum err save_all(struct salvage *s)
{
    for (;;) {
        int end = in_child(s, save, NULL);
        size_t before = s->n;
        for (size_t i = 0; i < s->n; i++) before -= s->shared->fate[i] == READING;
        settle(s, READING, DAMAGED);
        settle(s, PUT, TODO);
        if (end == 0) break;
        if (end == CHILD_FAILED || before == s->n) {
            snprintf(s->why, SPOOL_WHY_MAX, "%s",
                     s->shared->why[0] ? s->shared->why : "the damaged spool cannot be opened again");
            return ERR_RETRY;
        }
    }
    in_child(s, save_transfers, NULL); /* as far as it comes: at worst a hand-off is taken twice */
    return ERR_OK;
}

/* ---- public ---- */

static enum err prepare(struct salvage *s, int *lock)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/data.mdb", s->from);
    if (access(path, R_OK)) return fail(s, ERR_NOT_FOUND, s->from, strerror(errno));
    snprintf(path, sizeof path, "%s/owner.lock", s->from);
    *lock = open(path, O_RDONLY | O_CLOEXEC); /* a spool that was never opened has none */
    if (*lock >= 0 && flock(*lock, LOCK_EX | LOCK_NB))
        return fail(s, ERR_CONFLICT, s->from, "another process uses it: stop gemel-node first");
    if (mkdir(s->to, 0700))
        return fail(s, errno == EEXIST ? ERR_CONFLICT : ERR_RETRY, s->to, strerror(errno));
    return ERR_OK;
}

static enum err run(struct salvage *s)
{
    enum err err = find_all(s);
    if (err) return err;
    s->shared_bytes = sizeof *s->shared + s->n;
    s->shared = mmap(NULL, s->shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(s->shared != MAP_FAILED);
    return save_all(s);
}

enum err salvage_spool(const char *from, const char *to, salvage_damaged_fn *damaged, void *owner,
                       struct salvage_report *out, char why[static SPOOL_WHY_MAX])
{
    struct salvage s = { .from = from, .to = to, .why = why };
    int lock = -1;
    enum err err = prepare(&s, &lock);
    if (!err) err = run(&s);
    *out = (struct salvage_report){ .found = s.n, .ended = s.ended };
    for (size_t i = 0; s.shared && i < s.n; i++) {
        out->saved += s.shared->fate[i] == SAVED;
        if (s.shared->fate[i] != DAMAGED) continue;
        out->damaged++;
        damaged(owner, &s.ids[i]);
    }
    if (s.shared) {
        out->transfers = s.shared->transfers;
        munmap(s.shared, s.shared_bytes);
    }
    if (lock >= 0) close(lock);
    free(s.ids);
    return err;
}
