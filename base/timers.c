#include "base/timers.h"

#include <stdlib.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;
    int rc = clock_gettime(id, &t);
    ASSERT(rc == 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t clock_boot_ms(void *unused)
{
    return read_clock(CLOCK_BOOTTIME) + 1; /* never 0, which means "never" in many a struct */
}

uint64_t clock_wall_ms(void *unused)
{
    return read_clock(CLOCK_REALTIME);
}

void timers_init(struct timers *ts)
{
    *ts = (struct timers){ .now_ms = clock_boot_ms, .wall_ms = clock_wall_ms };
}

void timers_deinit(struct timers *ts)
{
    for (size_t i = 0; i < ts->n; i++) ts->heap[i]->at = 0;
    free(ts->heap);
    ts->heap = NULL;
    ts->n = ts->cap = 0;
}

uint64_t timers_now_ms(const struct timers *ts)
{
    return ts->now_ms(ts->clock);
}

uint64_t timers_wall_ms(const struct timers *ts)
{
    return ts->wall_ms(ts->clock);
}

uint64_t timers_due_ms(const struct timers *ts)
{
    return ts->n ? ts->heap[0]->due_ms : UINT64_MAX;
}

static bool before(const struct timer *a, const struct timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->seq < b->seq;
}

static void place(struct timers *ts, size_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->at = i + 1;
}

static void sift_up(struct timers *ts, size_t i)
{
    struct timer *t = ts->heap[i];
    for (; i > 0 && before(t, ts->heap[(i - 1) / 2]); i = (i - 1) / 2) place(ts, i, ts->heap[(i - 1) / 2]);
    place(ts, i, t);
}

static void sift_down(struct timers *ts, size_t i)
{
    struct timer *t = ts->heap[i];
    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= ts->n) break;
        if (kid + 1 < ts->n && before(ts->heap[kid + 1], ts->heap[kid])) kid++;
        if (!before(ts->heap[kid], t)) break;
        place(ts, i, ts->heap[kid]);
        i = kid;
    }
    place(ts, i, t);
}

static void unlink_timer(struct timers *ts, struct timer *t)
{
    size_t i = t->at - 1;
    ASSERT(i < ts->n && ts->heap[i] == t);
    t->at = 0;
    struct timer *last = ts->heap[--ts->n];
    if (last == t) return;
    place(ts, i, last);
    sift_up(ts, i);
    sift_down(ts, last->at - 1);
}

static void tell(struct timers *ts, uint64_t head_before)
{
    uint64_t head = timers_due_ms(ts);
    if (ts->changed && head != head_before) ts->changed(ts->owner, head);
}

void timer_set(struct timers *ts, struct timer *t, uint64_t due_ms, timer_fn *fn, void *owner)
{
    uint64_t head = timers_due_ms(ts);
    if (t->at) unlink_timer(ts, t);
    if (ts->n == ts->cap) {
        ts->cap = ts->cap ? ts->cap * 2 : 64;
        ts->heap = xrealloc(ts->heap, ts->cap * sizeof *ts->heap);
    }
    t->fn = fn, t->owner = owner, t->due_ms = due_ms, t->seq = ++ts->seq;
    place(ts, ts->n, t);
    sift_up(ts, ts->n++);
    tell(ts, head);
}

void timer_set_in(struct timers *ts, struct timer *t, uint64_t in_ms, timer_fn *fn, void *owner)
{
    uint64_t now = timers_now_ms(ts);
    timer_set(ts, t, in_ms > UINT64_MAX - now ? UINT64_MAX : now + in_ms, fn, owner);
}

void timer_clear(struct timers *ts, struct timer *t)
{
    if (!t->at) return;
    uint64_t head = timers_due_ms(ts);
    unlink_timer(ts, t);
    tell(ts, head);
}

bool timer_is_set(const struct timer *t)
{
    return t->at != 0;
}

void timers_run(struct timers *ts)
{
    uint64_t now = timers_now_ms(ts), newest = ts->seq;
    /* Those set during the run have a higher seq: they wait, even when due, so a busy timer cannot hold the loop. */
    while (ts->n && ts->heap[0]->due_ms <= now && ts->heap[0]->seq <= newest) {
        struct timer *t = ts->heap[0];
        uint64_t head = t->due_ms;
        unlink_timer(ts, t);
        tell(ts, head);
        t->fn(t);
    }
}
