/* 1. command_start spawns /bin/sh -c in a process group of its own, with pipes for standard input and error.
 * 2. The input is written, then that pipe is closed. Lines of standard error go to the log.
 * 3. The shell exits; when standard error has ended too, or a moment later, `done` runs and the handles are closed.
 *
 * It cannot be started: told from a timer. It runs too long, or is cancelled: the group is killed; after a cancel the struct
 * lives on until libuv has reaped the shell and let go of the handles. It does not read its input: nothing is lost but the
 * input, the write ends with an error that nobody needs. */
#include "dns/command_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "base/log.h"
#include "base/timers.h"

enum { LINE_MAX_BYTES = 500, LINES_MAX = 200, DRAIN_MS = 200 };

struct command {
    const struct env *env;
    const char *event;
    uv_process_t process;
    uv_pipe_t in, err;
    uv_write_t write;
    char *input;
    struct buf line;
    unsigned lines, handles;
    bool exited, err_ended, late;
    int64_t status;
    int signo;
    enum err failed;
    struct timer timer;
    command_done_fn *done; /* NULL: told, or cancelled */
    void *owner;
    char read_bytes[1024];
};

static void on_closed(uv_handle_t *h)
{
    struct command *c = h->data;
    if (--c->handles) return;
    buf_deinit(&c->line);
    free(c->input);
    free(c);
}

static void close_once(uv_handle_t *h)
{
    if (!uv_is_closing(h)) uv_close(h, on_closed);
}

static void release(struct command *c)
{
    if (timer_is_set(&c->timer)) timer_clear(c->env->timers, &c->timer); /* after a cancel env may be gone */
    close_once((uv_handle_t *)&c->in);
    close_once((uv_handle_t *)&c->err);
    close_once((uv_handle_t *)&c->process);
}

/* --- Its words --- */

static void log_line(struct command *c)
{
    if (c->done && buf_len(&c->line) && c->lines++ < LINES_MAX)
        log_info(c->env->log, c->event, kv_slice("line", buf_slice(&c->line)));
    buf_clear(&c->line);
}

static void take_bytes(struct command *c, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n' || buf_append_c(&c->line, p[i])) log_line(c);
    }
}

/* --- The end --- */

static void finish(struct command *c)
{
    command_done_fn *done = c->done;
    void *owner = c->owner;
    enum err err = c->failed ? c->failed : c->late ? ERR_TIMEOUT : c->signo ? ERR_CLOSED : ERR_OK;
    int status = c->signo ? c->signo : (int)c->status;
    if (done) log_line(c);
    c->done = NULL;
    release(c);
    if (done) done(owner, err, status);
}

static void on_drained_enough(struct timer *t)
{
    finish(t->owner);
}

static void on_exit_(uv_process_t *p, int64_t status, int signo)
{
    struct command *c = p->data;
    c->exited = true;
    c->status = status;
    c->signo = signo;
    if (!c->done || c->err_ended)
        finish(c);
    else /* a child of the shell may hold the pipe open for ever */
        timer_set_in(c->env->timers, &c->timer, DRAIN_MS, on_drained_enough, c);
}

static void on_error_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct command *c = s->data;
    if (n > 0) take_bytes(c, b->base, (size_t)n);
    if (n >= 0) return;
    c->err_ended = true;
    uv_read_stop(s);
    if (c->exited) finish(c);
}

static void give_room(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
    struct command *c = h->data;
    *b = uv_buf_init(c->read_bytes, sizeof c->read_bytes);
}

static void on_limit(struct timer *t)
{
    struct command *c = t->owner;
    c->late = true;
    kill(-c->process.pid, SIGKILL);
}

static void on_stillborn(struct timer *t)
{
    finish(t->owner);
}

/* --- The start --- */

static void on_written(uv_write_t *w, int status)
{
    struct command *c = w->data;
    close_once((uv_handle_t *)&c->in); /* the command sees the end of its input */
}

static int spawn(struct command *c, uv_loop_t *loop, const char *text)
{
    char path[2048], home[1024], lang[256];
    const char *p = getenv("PATH"), *h = getenv("HOME"), *l = getenv("LANG");
    snprintf(path, sizeof path, "PATH=%s", p ? p : "/usr/sbin:/usr/bin:/sbin:/bin");
    snprintf(home, sizeof home, "HOME=%s", h ? h : "/");
    snprintf(lang, sizeof lang, "LANG=%s", l ? l : "C");
    char sh[] = "/bin/sh", flag[] = "-c";
    char *argv[] = { sh, flag, (char *)text, NULL }, *envp[] = { path, home, lang, NULL };
    uv_stdio_container_t stdio[3] = {
        { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&c->in },
        { .flags = UV_IGNORE },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->err },
    };
    uv_process_options_t o = { .exit_cb = on_exit_,
                               .file = sh,
                               .args = argv,
                               .env = envp,
                               .flags = UV_PROCESS_DETACHED, /* a group: what it starts is killed with it */
                               .stdio = stdio,
                               .stdio_count = 3 };
    return uv_spawn(loop, &c->process, &o);
}

struct command *command_start(const struct env *env, uv_loop_t *loop, const struct command_conf *conf,
                              command_done_fn *done, void *owner)
{
    struct command *c = xzalloc(sizeof *c);
    c->env = env;
    c->event = conf->event;
    c->done = done;
    c->owner = owner;
    c->input = slice_dup(conf->input);
    c->in.data = c->err.data = c->process.data = c->write.data = c;
    buf_init(&c->line, LINE_MAX_BYTES);
    uv_pipe_init(loop, &c->in, 0);
    uv_pipe_init(loop, &c->err, 0);
    c->handles = 3; /* a failed uv_spawn leaves a handle to be closed, too */
    int rc = spawn(c, loop, conf->text);
    if (rc) {
        log_warn(env->log, conf->event, kv_cstr("error", uv_strerror(rc)));
        c->failed = ERR_REFUSED;
        timer_set_in(env->timers, &c->timer, 0, on_stillborn, c);
        return c;
    }
    timer_set_in(env->timers, &c->timer, conf->limit_ms, on_limit, c);
    uv_buf_t b = uv_buf_init(c->input, (unsigned)conf->input.n);
    uv_read_start((uv_stream_t *)&c->err, give_room, on_error_bytes);
    if (uv_write(&c->write, (uv_stream_t *)&c->in, &b, 1, on_written)) close_once((uv_handle_t *)&c->in);
    return c;
}

void command_cancel(struct command **slot)
{
    struct command *c = *slot;
    *slot = NULL;
    if (!c) return;
    c->done = NULL;
    timer_clear(c->env->timers, &c->timer);
    if (c->failed || c->exited)
        release(c);
    else
        kill(-c->process.pid, SIGKILL); /* its exit, which is near, releases it */
}
