#include "node/gate.h"

#include <pthread.h>

#include "tests/test.h"

enum { STALL = 2000, WALL = 100000000 };

static struct gate opened(uint64_t now, uint64_t deadline)
{
    struct gate g;
    gate_init(&g, STALL);
    gate_tick(&g, now, WALL);
    gate_open(&g, 4, now, deadline, now, WALL + deadline - now);
    return g;
}

TEST(a_gate_is_closed_until_it_is_opened)
{
    struct gate g;
    gate_init(&g, STALL);
    assert_false(gate_may_send(&g, 1000));
    assert_int_equal(gate_ticket(&g, 1000), 0);
    assert_int_equal(gate_left_ms(&g, 1000), 0);
    assert_false(gate_valid(&g, 0, 1000));
}

TEST(it_closes_by_itself_at_the_deadline)
{
    struct gate g = opened(1000, 2500);
    assert_true(gate_may_send(&g, 2499));
    assert_int_equal(gate_left_ms(&g, 2000), 500);
    assert_int_equal(gate_epoch(&g), 4);
    assert_false(gate_may_send(&g, 2500));
    assert_int_equal(gate_ticket(&g, 2500), 0);
}

TEST(renewals_extend_and_never_shorten)
{
    struct gate g = opened(1000, 2500);
    assert_true(gate_renew(&g, 1500, 3000, 1600, WALL + 2000));
    assert_true(gate_may_send(&g, 2900));
    assert_true(gate_renew(&g, 1100, 2600, 1700, WALL + 1600));
    assert_true(gate_may_send(&g, 2900));
    assert_false(gate_renew(&g, 2900, 4400, 3000, WALL + 3400)); /* it had closed: an opening is needed */
    assert_false(gate_may_send(&g, 3000));
}

TEST(a_ticket_is_good_for_its_own_opening_only)
{
    struct gate g = opened(1000, 9000);
    uint64_t first = gate_ticket(&g, 1000);
    assert_true(gate_valid(&g, first, 1100));
    gate_open(&g, 5, 1200, 9000, 1200, WALL + 9000);
    assert_false(gate_valid(&g, first, 1300));
    assert_int_not_equal(gate_ticket(&g, 1300), first);
    assert_true(gate_valid(&g, gate_ticket(&g, 1300), 1300));
}

TEST(a_frozen_control_loop_closes_it_without_any_call)
{
    struct gate g = opened(1000, 60000);
    assert_true(gate_may_send(&g, 3000));
    assert_false(gate_may_send(&g, 3001)); /* no tick for stall_ms: workers see it at once */
}

TEST(after_a_stall_only_a_renewal_sent_after_it_counts)
{
    struct gate g = opened(1000, 60000);
    assert_true(gate_tick(&g, 5000, WALL + 4000));
    assert_false(gate_renew(&g, 4000, 61000, 5100, WALL + 60000));
    gate_open(&g, 4, 4000, 61000, 5100, WALL + 60000);
    assert_false(gate_may_send(&g, 5100));
    gate_open(&g, 4, 5050, 61000, 5100, WALL + 60000);
    assert_true(gate_may_send(&g, 5100));
}

TEST(ticks_in_time_are_no_stall)
{
    struct gate g = opened(1000, 60000);
    for (uint64_t t = 1500; t < 20000; t += 500) assert_false(gate_tick(&g, t, WALL + t - 1000));
    assert_true(gate_may_send(&g, 20000));
}

TEST(a_wall_clock_that_jumps_forward_shortens_and_one_that_jumps_back_changes_nothing)
{
    struct gate g = opened(1000, 10000);
    assert_false(gate_tick(&g, 1500, WALL - 3600000));
    assert_true(gate_may_send(&g, 1500));
    assert_true(gate_tick(&g, 2000, WALL + 3600000));
    assert_false(gate_may_send(&g, 2000));
}

TEST(a_dot_needs_a_valid_ticket_and_is_counted_until_its_reply)
{
    struct gate g = opened(1000, 9000);
    uint64_t ticket = gate_ticket(&g, 1000);
    assert_true(gate_dot_begin(&g, ticket, 1100));
    assert_int_equal(gate_in_dot(&g), 1);
    gate_close(&g);
    assert_false(gate_dot_begin(&g, ticket, 1200));
    assert_int_equal(gate_in_dot(&g), 1); /* the first one still waits for its reply */
    gate_dot_end(&g);
    assert_int_equal(gate_in_dot(&g), 0);
}

TEST(alone_it_is_open_for_good)
{
    struct gate g;
    gate_init(&g, STALL);
    gate_open_solo(&g);
    uint64_t ticket = gate_ticket(&g, 1);
    assert_true(gate_valid(&g, ticket, UINT64_MAX - 1));
    assert_false(gate_tick(&g, 99999999, 5));
    assert_true(gate_renew(&g, 1, 2, 3, 4));
    assert_true(gate_may_send(&g, 99999999));
}

/* A fence that saw in_dot == 0 after closing is never followed by another dot. */
struct race {
    struct gate gate;
    _Atomic bool closed_and_empty, stop;
    _Atomic uint64_t late, dots;
};

static void *worker(void *p)
{
    struct race *r = p;
    while (!r->stop) {
        uint64_t ticket = gate_ticket(&r->gate, 10);
        if (!ticket || !gate_dot_begin(&r->gate, ticket, 10)) continue;
        if (r->closed_and_empty) r->late++;
        r->dots++;
        gate_dot_end(&r->gate);
    }
    return NULL;
}

TEST(no_dot_begins_after_a_fence_saw_none)
{
    struct race r = { 0 };
    gate_init(&r.gate, STALL);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, worker, &r), 0);
    for (uint64_t k = 1; k < 3000; k++) {
        gate_open(&r.gate, k, 5, 1000, 10, 1000);
        for (int spin = 0; spin < 50; spin++) (void)gate_in_dot(&r.gate);
        gate_close(&r.gate);
        while (gate_in_dot(&r.gate)) {
        }
        r.closed_and_empty = true;
        for (int spin = 0; spin < 20; spin++) (void)gate_in_dot(&r.gate);
        r.closed_and_empty = false;
    }
    r.stop = true;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(r.late, 0);
}
