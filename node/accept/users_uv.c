/* The users file as an auth port.
 *
 * Happy path: start → file changed? read it again → copy the hash and the password → crypt in the pool → done, with
 * both copies wiped. What fails: too many at once (RETRY, by the same way), a cancel (the pool thread finishes alone, on
 * its own copy, and nobody is told), an unreadable new file (the old one stays). */
#include "node/accept/users_uv.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <uv.h>

#include "base/buf.h"
#include "base/disk.h"
#include "base/log.h"
#include "base/timers.h"
#include "node/accept/users.h"
#include "node/smtp/sasl.h"

enum { LOOK_MS = 1000 };

struct users_file {
    struct env env;
    uv_loop_t *uv;
    char *path;
    struct users *users;
    struct timespec mtime;
    off_t size;
    ino_t inode;
    uint64_t looked_ms;
    unsigned running; /* in the pool, or on the way there */
    struct auth auth;
};

struct auth_op {
    uv_work_t work;
    struct timer timer; /* instead of the pool, when there are too many */
    struct users_file *file;
    char hash[USERS_HASH_MAX];
    char password[SASL_PASSWORD_MAX + 1];
    bool fits;
    auth_done_fn *done; /* NULL: cancelled */
    void *done_owner;
};

static enum err load(struct users_file *f, struct buf *why)
{
    struct buf text;
    struct users *users;
    buf_init(&text, USERS_FILE_MAX);
    enum err err = disk_read(f->env.disk, f->path, &text);
    if (err && why) buf_putf(why, "%s: %s", f->path, err_text(err));
    if (!err) err = users_parse(buf_slice(&text), &users, why);
    buf_deinit(&text);
    if (err) return err;
    users_destroy(f->users);
    f->users = users;
    log_info(f->env.log, "users.loaded", kv_cstr("file", f->path), kv_u64("users", users_count(users)));
    return ERR_OK;
}

/* True: it is another file than the one we know; remembers it. */
static bool has_changed(struct users_file *f)
{
    struct stat st;
    if (stat(f->path, &st) != 0) return false; /* being replaced, or gone: the old one stays */
    bool same = st.st_size == f->size && st.st_ino == f->inode && st.st_mtim.tv_sec == f->mtime.tv_sec &&
                st.st_mtim.tv_nsec == f->mtime.tv_nsec;
    f->size = st.st_size;
    f->inode = st.st_ino;
    f->mtime = st.st_mtim;
    return !same;
}

static void look(struct users_file *f)
{
    uint64_t now_ms = timers_now_ms(f->env.timers);
    if (now_ms - f->looked_ms < LOOK_MS) return;
    f->looked_ms = now_ms;
    if (!has_changed(f)) return;
    struct buf why;
    buf_init(&why, 1024);
    if (load(f, &why))
        log_error(f->env.log, "users.bad", kv_cstr("file", f->path), kv_slice("why", buf_slice(&why)));
    buf_deinit(&why);
}

static void op_free(struct auth_op *op)
{
    explicit_bzero(op->password, sizeof op->password);
    explicit_bzero(op->hash, sizeof op->hash);
    free(op);
}

static void check(uv_work_t *work)
{
    struct auth_op *op = CONTAINER_OF(work, struct auth_op, work);
    op->fits = users_check(op->hash, op->password);
}

static void checked(uv_work_t *work, int status)
{
    struct auth_op *op = CONTAINER_OF(work, struct auth_op, work);
    if (op->file) op->file->running--;
    auth_done_fn *done = op->done;
    void *owner = op->done_owner;
    enum err err = status == 0 ? op->fits ? ERR_OK : ERR_REFUSED : ERR_RETRY;
    op_free(op);
    if (done) done(owner, err);
}

static void too_many(struct timer *t)
{
    struct auth_op *op = t->owner;
    auth_done_fn *done = op->done;
    void *owner = op->done_owner;
    op_free(op);
    done(owner, ERR_RETRY);
}

static struct auth_op *start(void *owner, struct slice login, struct slice password, auth_done_fn *done,
                             void *done_owner)
{
    struct users_file *f = owner;
    struct auth_op *op = xzalloc(sizeof *op);
    op->file = f;
    op->done = done;
    op->done_owner = done_owner;
    look(f);
    users_hash(f->users, login, op->hash);
    bool fits = slice_cstr(password, op->password, sizeof op->password) == ERR_OK;
    ASSERT(fits); /* SASL bounds it and refuses a NUL */
    bool started = f->running < USERS_CHECKS_MAX && uv_queue_work(f->uv, &op->work, check, checked) == 0;
    if (started)
        f->running++;
    else
        timer_set_in(f->env.timers, &op->timer, 0, too_many, op);
    return op;
}

static void cancel(struct auth_op **at)
{
    struct auth_op *op = *at;
    *at = NULL;
    if (!op) return;
    op->done = NULL;
    if (timer_is_set(&op->timer)) {
        timer_clear(op->file->env.timers, &op->timer);
        op_free(op);
        return;
    }
    op->file->running--;
    op->file = NULL;
    uv_cancel((uv_req_t *)&op->work); /* when it has not begun; otherwise it ends alone */
}

enum err users_file_create(const struct env *env, uv_loop_t *uv, const char *path, struct users_file **out,
                           struct buf *why)
{
    struct users_file *f = xzalloc(sizeof *f);
    f->env = *env;
    f->uv = uv;
    f->path = xstrdup(path);
    f->auth = (struct auth){ .start = start, .cancel = cancel, .owner = f };
    has_changed(f);
    f->looked_ms = timers_now_ms(env->timers);
    enum err err = load(f, why);
    if (err) {
        users_file_destroy(f);
        return err;
    }
    *out = f;
    return ERR_OK;
}

void users_file_destroy(struct users_file *f)
{
    if (!f) return;
    users_destroy(f->users);
    free(f->path);
    free(f);
}

const struct auth *users_file_auth(struct users_file *f)
{
    return &f->auth;
}
