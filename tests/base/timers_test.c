#include "base/timers.h"

#include "base/rng.h"
#include "tests/test.h"

static uint64_t fake_now(void *clock)
{
    return *(uint64_t *)clock;
}

static void fake_timers(struct timers *ts, uint64_t *clock)
{
    timers_init(ts);
    ts->now_ms = ts->wall_ms = fake_now;
    ts->clock = clock;
}

struct trace {
    int order[64];
    size_t n;
    struct timers *ts;
    struct timer *other;
};

struct one {
    struct timer t;
    struct trace *trace;
    int id;
};

static void note(struct timer *t)
{
    struct one *o = t->owner;
    assert_false(timer_is_set(t));
    o->trace->order[o->trace->n++] = o->id;
}

TEST(timers_run_in_order_of_time_then_of_setting)
{
    uint64_t now = 100;
    struct timers ts;
    struct trace tr = { .ts = &ts };
    struct one o[4];
    static const uint64_t due[] = { 130, 110, 110, 500 };
    fake_timers(&ts, &now);
    for (int i = 0; i < 4; i++) {
        o[i] = (struct one){ .trace = &tr, .id = i };
        timer_set(&ts, &o[i].t, due[i], note, &o[i]);
    }
    assert_int_equal(timers_due_ms(&ts), 110);
    timers_run(&ts);
    assert_int_equal(tr.n, 0);
    now = 200;
    timers_run(&ts);
    assert_int_equal(tr.n, 3);
    assert_true(tr.order[0] == 1 && tr.order[1] == 2 && tr.order[2] == 0);
    assert_int_equal(timers_due_ms(&ts), 500);
    timer_clear(&ts, &o[3].t);
    timer_clear(&ts, &o[3].t);
    assert_int_equal(timers_due_ms(&ts), UINT64_MAX);
    timers_deinit(&ts);
}

static void clear_other(struct timer *t)
{
    struct trace *tr = t->owner;
    timer_clear(tr->ts, tr->other);
    tr->n++;
}

static void set_again(struct timer *t)
{
    struct trace *tr = t->owner;
    tr->n++;
    timer_set(tr->ts, t, 0, set_again, tr);
}

TEST(a_callback_may_clear_another_and_set_itself_without_holding_the_loop)
{
    uint64_t now = 100;
    struct timers ts;
    struct timer a = { 0 }, b = { 0 };
    fake_timers(&ts, &now);
    struct trace tr = { .ts = &ts, .other = &b };
    timer_set(&ts, &a, 50, clear_other, &tr);
    timer_set(&ts, &b, 50, clear_other, &tr);
    timers_run(&ts);
    assert_int_equal(tr.n, 1);
    timer_set(&ts, &a, 50, set_again, &tr);
    timers_run(&ts);
    assert_int_equal(tr.n, 2);
    timers_run(&ts);
    assert_int_equal(tr.n, 3);
    timer_set_in(&ts, &a, UINT64_MAX, set_again, &tr); /* far away, not wrapped around */
    assert_int_equal(timers_due_ms(&ts), UINT64_MAX);
    timers_deinit(&ts);
    assert_false(timer_is_set(&a));
}

static uint64_t told;
static int tellings;
static void changed(void *owner, uint64_t due_ms)
{
    told = due_ms;
    tellings++;
}

static void nothing(struct timer *t)
{
}

TEST(the_head_is_told_when_it_moves_and_only_then)
{
    uint64_t now = 100;
    struct timers ts;
    struct timer a = { 0 }, b = { 0 };
    fake_timers(&ts, &now);
    ts.changed = changed;
    tellings = 0;
    timer_set(&ts, &a, 300, nothing, NULL);
    assert_int_equal(told, 300);
    timer_set(&ts, &b, 400, nothing, NULL);
    assert_int_equal(tellings, 1);
    timer_set(&ts, &b, 200, nothing, NULL);
    assert_int_equal(told, 200);
    timer_clear(&ts, &b);
    assert_int_equal(told, 300);
    timer_clear(&ts, &a);
    assert_int_equal(told, UINT64_MAX);
    timers_deinit(&ts);
}

enum { MANY = 500 };
static struct timer many[MANY];
static uint64_t ran_at[MANY];
static uint64_t model_now;
static void ran(struct timer *t)
{
    ran_at[t - many] = model_now;
}

TEST(thousands_of_random_changes_agree_with_a_plain_array)
{
    struct timers ts;
    struct rng rng;
    uint64_t due[MANY] = { 0 }; /* 0: not set */
    fake_timers(&ts, &model_now);
    rng_init_seed(&rng, 42);
    model_now = 1;
    memset(many, 0, sizeof many);
    for (int step = 0; step < 20000; step++) {
        size_t i = rng_below(&rng, MANY);
        switch (rng_below(&rng, 4)) {
        case 0: timer_clear(&ts, &many[i]), due[i] = 0; break;
        case 1:
            model_now += rng_below(&rng, 5);
            memset(ran_at, 0, sizeof ran_at);
            timers_run(&ts);
            for (size_t k = 0; k < MANY; k++) {
                assert_int_equal(ran_at[k] != 0, due[k] != 0 && due[k] <= model_now);
                if (ran_at[k]) due[k] = 0;
            }
            break;
        default: due[i] = model_now + rng_below(&rng, 100); timer_set(&ts, &many[i], due[i], ran, NULL);
        }
        uint64_t head = UINT64_MAX;
        for (size_t k = 0; k < MANY; k++)
            if (due[k]) head = MIN(head, due[k]);
        assert_int_equal(timers_due_ms(&ts), head);
    }
    timers_deinit(&ts);
}

TEST(the_real_clocks_move_and_are_never_zero)
{
    struct timers ts;
    timers_init(&ts);
    uint64_t before = timers_now_ms(&ts);
    assert_true(before > 0);
    assert_true(timers_now_ms(&ts) >= before);
    assert_true(timers_wall_ms(&ts) > UINT64_C(1700000000000));
    timers_deinit(&ts);
}
