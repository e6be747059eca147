/* 1. fence_start spawns the command in a process group of its own and sets the limit.
 * 2. It exits: `exited` tells the status.
 *
 * It cannot be started: told from a timer, never from within fence_start. It runs too long: the group is killed, which ends
 * in 2, too late to confirm anything. Cancelled: killed, and the handle is freed when libuv has let go of it. */
#include "coordinator/fence_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "base/timers.h"

struct fence_op {
    uv_process_t process;
    const struct env *env;
    struct timer limit;
    bool started, late;
    fence_done_fn *done; /* NULL: cancelled */
    void *owner;
    char words[160];
};

static void closed(uv_handle_t *h)
{
    free(h->data);
}

static void release(struct fence_op *op)
{
    timer_clear(op->env->timers, &op->limit);
    if (op->started)
        uv_close((uv_handle_t *)&op->process, closed);
    else
        free(op);
}

static void finish(struct fence_op *op, bool confirmed)
{
    fence_done_fn *done = op->done;
    void *owner = op->owner;
    char words[sizeof op->words];
    snprintf(words, sizeof words, "%s", op->words);
    release(op);
    if (done) done(owner, confirmed, words);
}

static void exited(uv_process_t *p, int64_t status, int signo)
{
    struct fence_op *op = p->data;
    if (op->late)
        snprintf(op->words, sizeof op->words, "it ran longer than failover.fence_timeout and was killed");
    else if (signo)
        snprintf(op->words, sizeof op->words, "it was ended by signal %d", signo);
    else
        snprintf(op->words, sizeof op->words, "exit status %d", (int)status);
    finish(op, !op->late && !signo && status == 0);
}

static void limit_over(struct timer *t)
{
    struct fence_op *op = t->owner;
    op->late = true;
    kill(-op->process.pid, SIGKILL);
}

static void stillborn(struct timer *t)
{
    finish(t->owner, false);
}

static int spawn(struct fence_op *op, uv_loop_t *loop, const struct fence_args *a)
{
    char epoch[24], ip[ADDR_TEXT_MAX], env[4][600];
    const char *path = getenv("PATH");
    addr_format(&a->ip, ip);
    snprintf(epoch, sizeof epoch, "%" PRIu64, a->epoch);
    snprintf(env[0], sizeof env[0], "PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
    snprintf(env[1], sizeof env[1], "GEMEL_IDENTITY=%s", a->identity);
    snprintf(env[2], sizeof env[2], "GEMEL_NODE=%s", a->node);
    snprintf(env[3], sizeof env[3], "GEMEL_IP=%s", ip);
    char *argv[] = { (char *)a->command, (char *)a->identity, epoch, NULL };
    char *envp[] = { env[0], env[1], env[2], env[3], NULL };
    uv_stdio_container_t stdio[3] = { { .flags = UV_IGNORE },
                                      { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
                                      { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO } };
    uv_process_options_t o = { .exit_cb = exited,
                               .file = a->command,
                               .args = argv,
                               .env = envp,
                               .flags =
                                   UV_PROCESS_DETACHED, /* a group of its own: its children die with it */
                               .stdio = stdio,
                               .stdio_count = 3 };
    op->process.data = op;
    return uv_spawn(loop, &op->process, &o);
}

struct fence_op *fence_start(const struct env *env, struct uv_loop_s *loop, const struct fence_args *args,
                             uint32_t limit_ms, fence_done_fn *done, void *owner)
{
    struct fence_op *op = xzalloc(sizeof *op);
    *op = (struct fence_op){ .env = env, .done = done, .owner = owner };
    int rc = spawn(op, loop, args);
    op->started = true; /* even a failed uv_spawn leaves a handle to be closed */
    if (rc) {
        snprintf(op->words, sizeof op->words, "%.80s cannot be run: %s", args->command, uv_strerror(rc));
        timer_set_in(env->timers, &op->limit, 0, stillborn, op);
    } else {
        timer_set_in(env->timers, &op->limit, limit_ms, limit_over, op);
    }
    return op;
}

void fence_cancel(struct fence_op **slot)
{
    struct fence_op *op = *slot;
    *slot = NULL;
    if (!op) return;
    if (uv_is_active((uv_handle_t *)&op->process)) kill(-op->process.pid, SIGKILL);
    release(op);
}
