/* base/timers.h: every timer of one loop in one heap, on boot time (CLOCK_BOOTTIME: goes on in suspend).
 *
 * A struct timer is the owner's memory, embedded; zeroed is "not set". Clearing is immediate: the callback will not
 * run afterwards. Timers due at the same time run in the order they were set. Production asks the kernel for the
 * time; the simulator supplies its own. */
#ifndef GEMEL_BASE_TIMERS_H
#define GEMEL_BASE_TIMERS_H

#include "base/base.h"

struct timer;
typedef void timer_fn(struct timer *t);

struct timer {
    timer_fn *fn;
    void *owner;
    uint64_t due_ms;
    uint64_t seq;
    size_t at; /* position in the heap + 1; 0: not set */
};

struct timers {
    uint64_t (*now_ms)(void *clock);  /* boot time, read fresh at each call; never 0 */
    uint64_t (*wall_ms)(void *clock); /* Unix time, for people, records and TSIG only */
    void *clock;
    void (*changed)(void *owner, uint64_t due_ms); /* the head moved; UINT64_MAX: no timer. May be NULL */
    void *owner;
    struct timer **heap;
    size_t n, cap;
    uint64_t seq;
};

void timers_init(struct timers *ts); /* real clocks; replace now_ms, wall_ms, clock for simulated time */
void timers_deinit(struct timers *ts);
uint64_t timers_now_ms(const struct timers *ts);
uint64_t timers_wall_ms(const struct timers *ts);
void timer_set(struct timers *ts, struct timer *t, uint64_t due_ms, timer_fn *fn,
               void *owner); /* re-sets a set one */
void timer_set_in(struct timers *ts, struct timer *t, uint64_t in_ms, timer_fn *fn, void *owner);
void timer_clear(struct timers *ts, struct timer *t); /* fine when not set */
bool timer_is_set(const struct timer *t);
uint64_t timers_due_ms(const struct timers *ts); /* UINT64_MAX: none */
/* Runs those due at the time of the call; one that re-sets itself to a due time waits for the next call. */
void timers_run(struct timers *ts);

uint64_t clock_boot_ms(void *unused); /* CLOCK_BOOTTIME */
uint64_t clock_wall_ms(void *unused); /* CLOCK_REALTIME */

#endif
