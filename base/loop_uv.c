/* loop_create fills an env → loop_run turns libuv's loop until somebody stops it → loop_destroy takes it down.
 *
 * One uv_timer stands for the head of the timer heap; a second one ticks, and measures what held the loop up.
 *
 * Failure modes: no descriptors at creation. Something left open at destruction is our own bug and asserted, by name. */
#include "base/loop_uv.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/disk.h"
#include "base/mailbox_uv.h"
#include "base/net_uv.h"
#include "base/rng.h"
#include "base/timers.h"

/* libuv waits on CLOCK_MONOTONIC, which stands still in suspend: look at boot time at least this often. */
enum { WAIT_MAX_MS = 1000 };

static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

struct loop {
    uv_loop_t uv;
    uv_timer_t head, tick, run_for;
    uv_idle_t due;
    uv_async_t stop;
    uv_signal_t signals[ARRAY_LEN(signals)];
    bool has_signals;
    loop_signal_fn *on_signal;
    void *signal_owner;
    loop_stalled_fn *on_stall;
    void *stall_owner;
    uint32_t stall_limit_ms;
    atomic_bool stopping;
    _Atomic uint64_t last_tick_ms, gap_max_ms;
    struct mailbox *posts;
    struct timers timers;
    struct rng rng;
    struct disk disk;
    struct log log;
    struct env env;
};

/* ---- timers ---- */

static void on_head(uv_timer_t *t);
static void on_due(uv_idle_t *i);

/* A timer that is due already runs once a turn, between I/O: libuv 1.44 would run a uv_timer of 0 ms that is set again
 * in its own callback for ever, and never look at a socket. */
static void arm(struct loop *l, uint64_t due_ms)
{
    uint64_t now = due_ms == UINT64_MAX ? 0 : timers_now_ms(&l->timers);
    uv_timer_stop(&l->head);
    uv_idle_stop(&l->due);
    if (due_ms == UINT64_MAX) return;
    if (due_ms <= now) {
        uv_idle_start(&l->due, on_due);
        return;
    }
    uv_update_time(&l->uv); /* the wait counts from libuv's cached time */
    uv_timer_start(&l->head, on_head, MIN(due_ms - now, (uint64_t)WAIT_MAX_MS), 0);
}

static void run_timers(struct loop *l)
{
    timers_run(&l->timers);
    arm(l, timers_due_ms(&l->timers)); /* the head may stand where it stood */
}

static void on_head(uv_timer_t *t)
{
    run_timers(t->data);
}

static void on_due(uv_idle_t *i)
{
    run_timers(i->data);
}

static void head_changed(void *owner, uint64_t due_ms)
{
    arm(owner, due_ms);
}

/* ---- ticks ---- */

static void on_tick(uv_timer_t *t)
{
    struct loop *l = t->data;
    uint64_t now = timers_now_ms(&l->timers);
    uint64_t gap = now - atomic_load(&l->last_tick_ms);
    atomic_store(&l->last_tick_ms, now);
    if (gap > atomic_load(&l->gap_max_ms)) atomic_store(&l->gap_max_ms, gap);
    if (l->on_stall && gap > l->stall_limit_ms) l->on_stall(l->stall_owner, gap);
}

void loop_on_stall(struct loop *l, uint32_t limit_ms, loop_stalled_fn *fn, void *owner)
{
    l->stall_limit_ms = limit_ms;
    l->on_stall = fn;
    l->stall_owner = owner;
}

uint64_t loop_gap_max_ms(const struct loop *l)
{
    return atomic_load(&l->gap_max_ms);
}

uint64_t loop_last_tick_ms(const struct loop *l)
{
    return atomic_load(&l->last_tick_ms);
}

void loop_gap_reset(struct loop *l)
{
    atomic_store(&l->gap_max_ms, 0);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *h, int signo)
{
    struct loop *l = h->data;
    if (l->on_signal) l->on_signal(l->signal_owner, signo);
}

void loop_on_signal(struct loop *l, loop_signal_fn *fn, void *owner)
{
    l->on_signal = fn;
    l->signal_owner = owner;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        if (!l->has_signals) {
            int status = uv_signal_init(&l->uv, &l->signals[i]);
            ASSERT(status == 0);
            l->signals[i].data = l;
            uv_unref((uv_handle_t *)&l->signals[i]);
        }
        if (fn)
            uv_signal_start(&l->signals[i], on_signal, signals[i]);
        else
            uv_signal_stop(&l->signals[i]);
    }
    l->has_signals = true;
}

/* ---- posts ---- */

static void run_post(void *owner, void *arg)
{
    loop_post_fn *fn = (loop_post_fn *)arg;
    fn(owner);
}

enum err loop_post(struct loop *l, loop_post_fn *fn, void *owner)
{
    return mailbox_post(l->posts, run_post, owner, (void *)fn);
}

/* ---- life ---- */

static void on_stop(uv_async_t *a)
{
    uv_stop(a->loop);
}

static void fill_env(struct loop *l, const struct log *log)
{
    timers_init(&l->timers);
    l->timers.changed = head_changed;
    l->timers.owner = l;
    rng_init_kernel(&l->rng);
    disk_os(&l->disk);
    if (log) l->log = *log;
    l->env = (struct env){
        .timers = &l->timers,
        .rng = &l->rng,
        .net = net_create(&l->uv, &l->timers),
        .disk = &l->disk,
        .log = log ? &l->log : NULL,
    };
}

enum err loop_create(const struct log *log, struct loop **out)
{
    signal(SIGPIPE, SIG_IGN); /* a peer that is gone is an error code, not the end of the process */
    struct loop *l = xzalloc(sizeof *l);
    if (uv_loop_init(&l->uv) != 0) {
        free(l);
        return ERR_RETRY;
    }
    if (uv_async_init(&l->uv, &l->stop, on_stop) != 0) { /* the first async takes the loop's eventfd */
        int status = uv_loop_close(&l->uv);
        ASSERT(status == 0);
        free(l);
        return ERR_RETRY;
    }
    uv_timer_init(&l->uv, &l->head);
    uv_timer_init(&l->uv, &l->tick);
    uv_timer_init(&l->uv, &l->run_for);
    uv_idle_init(&l->uv, &l->due);
    l->due.data = l->head.data = l->tick.data = l->run_for.data = l->stop.data = l;
    uv_timer_start(&l->tick, on_tick, LOOP_TICK_MS, LOOP_TICK_MS);
    l->posts = mailbox_create(l, LOOP_POSTS_MAX);
    fill_env(l, log);
    *out = l;
    return ERR_OK;
}

static void report_open(uv_handle_t *h, void *count)
{
    if (uv_is_closing(h)) return;
    fprintf(stderr, "loop_destroy: a %s handle was left open\n", uv_handle_type_name(h->type));
    ++*(size_t *)count;
}

static void count_children(uv_handle_t *h, void *count)
{
    *(size_t *)count += h->type == UV_PROCESS && !uv_is_closing(h);
}

/* Children that their owners have killed: libuv holds them until the kernel says that they are gone, which is near. */
static void reap(struct loop *l)
{
    enum { REAP_MS = 2000 };
    uint64_t until = timers_now_ms(&l->timers) + REAP_MS;
    for (size_t n = 1; n && timers_now_ms(&l->timers) < until;) {
        n = 0;
        uv_walk(&l->uv, count_children, &n);
        if (n) uv_run(&l->uv, UV_RUN_ONCE); /* the tick ends it at the latest */
    }
}

void loop_destroy(struct loop *l)
{
    size_t open = 0;
    if (!l) return;
    reap(l);
    net_destroy(l->env.net);
    ASSERT(l->timers.n == 0); /* a timer left set belongs to somebody who believes to be gone */
    mailbox_destroy(l->posts, NULL);
    uv_close((uv_handle_t *)&l->head, NULL);
    uv_close((uv_handle_t *)&l->due, NULL);
    uv_close((uv_handle_t *)&l->tick, NULL);
    uv_close((uv_handle_t *)&l->run_for, NULL);
    uv_close((uv_handle_t *)&l->stop, NULL);
    for (size_t i = 0; l->has_signals && i < ARRAY_LEN(signals); i++)
        uv_close((uv_handle_t *)&l->signals[i], NULL);
    uv_walk(&l->uv, report_open, &open);
    ASSERT(open == 0);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    int status = uv_loop_close(&l->uv);
    ASSERT(status == 0);
    timers_deinit(&l->timers);
    free(l);
}

const struct env *loop_env(struct loop *l)
{
    return &l->env;
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

void loop_run(struct loop *l)
{
    atomic_store(&l->last_tick_ms, timers_now_ms(&l->timers));
    uv_update_time(&l->uv);
    while (!atomic_load(&l->stopping)) uv_run(&l->uv, UV_RUN_DEFAULT);
    atomic_store(&l->stopping, false);
}

static void on_run_for(uv_timer_t *t)
{
    loop_stop(t->data);
}

void loop_run_for(struct loop *l, uint64_t ms)
{
    uv_update_time(&l->uv);
    uv_timer_start(&l->run_for, on_run_for, ms, 0);
    loop_run(l);
    uv_timer_stop(&l->run_for);
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stopping, true);
    uv_async_send(&l->stop);
}
