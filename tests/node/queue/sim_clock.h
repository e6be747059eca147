/* tests/node/queue/sim_clock.h: an env with simulated time and seeded random numbers, for tests. */
#ifndef GEMEL_TESTS_NODE_QUEUE_SIM_CLOCK_H
#define GEMEL_TESTS_NODE_QUEUE_SIM_CLOCK_H

#include "base/env.h"
#include "base/rng.h"
#include "base/timers.h"

struct sim_clock {
    uint64_t now_ms;
    int64_t wall_off_ms; /* somebody has set the wall clock */
    struct timers timers;
    struct rng rng;
    struct env env;
};

static const uint64_t SIM_WALL_START_MS = UINT64_C(1772331247000);

static uint64_t sim_clock_now(void *owner)
{
    return ((struct sim_clock *)owner)->now_ms;
}

static uint64_t sim_clock_wall(void *owner)
{
    const struct sim_clock *c = owner;
    return SIM_WALL_START_MS + c->now_ms + (uint64_t)c->wall_off_ms;
}

static inline void sim_clock_init(struct sim_clock *c)
{
    c->now_ms = 1000;
    c->wall_off_ms = 0;
    timers_init(&c->timers);
    c->timers.now_ms = sim_clock_now;
    c->timers.wall_ms = sim_clock_wall;
    c->timers.clock = c;
    rng_init_seed(&c->rng, 1);
    c->env = (struct env){ .timers = &c->timers, .rng = &c->rng };
}

static inline void sim_clock_advance(struct sim_clock *c, uint64_t ms)
{
    uint64_t end = c->now_ms + ms;
    for (uint64_t due; (due = timers_due_ms(&c->timers)) <= end;) {
        c->now_ms = MAX(c->now_ms, due);
        timers_run(&c->timers);
    }
    c->now_ms = end;
}

static inline void sim_clock_deinit(struct sim_clock *c)
{
    timers_deinit(&c->timers);
}

#endif
