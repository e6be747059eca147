#include "node/queue/schedule.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "tests/test.h"

static struct schedule *make(uint32_t active_max, uint32_t per_dest)
{
    struct schedule_conf c = { .active_max = active_max, .active_per_dest = per_dest, .give_max = 2 };
    retry_conf_default(&c.retry);
    return schedule_create(&c);
}

static struct queue_id id_of(unsigned n)
{
    struct queue_id id;
    char text[QUEUE_ID_CHARS + 1];
    snprintf(text, sizeof text, "%018u", n);
    assert_int_equal(queue_id_parse(slice_of(text), &id), ERR_OK);
    return id;
}

static unsigned number(const struct queue_id *id)
{
    return (unsigned)strtoul(id->s, NULL, 10);
}

static void add(struct schedule *s, unsigned n, enum flow flow, const char *dest, uint64_t due_ms)
{
    struct schedule_leg leg = { slice_of(dest), due_ms };
    assert_true(schedule_add(s, &(struct schedule_message){ .id = id_of(n),
                                                            .flow = flow,
                                                            .delayed_ms = UINT64_MAX,
                                                            .expiry_ms = DAYS(2),
                                                            .legs = &leg,
                                                            .n_legs = 1 }));
}

static const struct retry_effect DONE = { .tried = true };
static const struct retry_effect DOWN = {
    .tried = true, .again = true, .wait_ms = MINUTES(1), .destination_down = true
};
static const struct retry_effect LATER = { .tried = true, .again = true, .wait_ms = MINUTES(1) };

static void finish(struct schedule *s, unsigned n, const char *dest, const struct retry_effect *e,
                   uint64_t now_ms)
{
    struct queue_id id = id_of(n);
    schedule_finished(s, &id, slice_of(dest), e, now_ms);
    if (!e->again) schedule_remove(s, &id);
}

/* The next START's message, 0: none. */
static unsigned started(struct schedule *s, uint64_t now_ms)
{
    struct schedule_action a;
    if (!schedule_next(s, now_ms, &a)) return 0;
    assert_int_equal(a.kind, SCHEDULE_START);
    return number(&a.id);
}

TEST(a_message_starts_when_it_is_due_and_not_before)
{
    struct schedule *s = make(10, 10);
    add(s, 1, FLOW_IN, "a.example", 5000);
    assert_int_equal(started(s, 4999), 0);
    assert_int_equal(schedule_due_ms(s), 5000);
    assert_int_equal(started(s, 5000), 1);
    assert_int_equal(started(s, 5000), 0);
    finish(s, 1, "a.example", &LATER, 6000);
    assert_int_equal(started(s, 6000), 0);
    assert_int_equal(schedule_due_ms(s), 6000 + MINUTES(1));
    assert_int_equal(started(s, 6000 + MINUTES(1)), 1);
    finish(s, 1, "a.example", &DONE, 70000);
    assert_int_equal(started(s, DAYS(3)), 0);
    assert_int_equal(schedule_due_ms(s), UINT64_MAX);
    schedule_destroy(s);
}

TEST(limits_hold_for_the_node_and_for_each_destination)
{
    struct schedule *s = make(3, 2);
    for (unsigned n = 1; n <= 4; n++) add(s, n, FLOW_IN, "a.example", n);
    for (unsigned n = 5; n <= 8; n++) add(s, n, FLOW_IN, "b.example", n);
    assert_int_equal(started(s, 10), 1);
    assert_int_equal(started(s, 10), 5); /* destinations take turns */
    assert_int_equal(started(s, 10), 2);
    assert_int_equal(started(s, 10), 0); /* the node is full */
    finish(s, 5, "b.example", &DONE, 10);
    assert_int_equal(started(s, 10), 6); /* a.example is full */
    schedule_destroy(s);
}

TEST(many_that_are_due_together_go_in_order_and_a_held_destination_does_not_wake_for_them)
{
    enum { MANY = 5000 };
    struct schedule *s = make(1, 1);
    for (unsigned n = 1; n <= MANY; n++) add(s, n, FLOW_IN, "a.example", n);
    assert_int_equal(started(s, MANY), 1);
    finish(s, 1, "a.example", &DOWN, MANY);
    assert_int_equal(started(s, MANY), 0);
    assert_int_equal(schedule_due_ms(s), MANY + MINUTES(1)); /* not at once, again and again */
    for (unsigned n = 2; n <= MANY; n++) {
        assert_int_equal(started(s, MANY + MINUTES(1)), n);
        finish(s, n, "a.example", &DONE, MANY + MINUTES(1));
    }
    assert_int_equal(started(s, MANY + MINUTES(1)), 1);
    schedule_destroy(s);
}

TEST(a_dead_destination_with_many_messages_delays_nobody)
{
    enum { DEAD = 20000 };
    struct schedule *s = make(20, 10);
    unsigned starts_of_dead = 0, done = 0;
    for (unsigned n = 1; n <= DEAD; n++) add(s, n, FLOW_IN, "dead.example", 0);
    for (unsigned n = 0; n < 100; n++) add(s, DEAD + 1 + n, FLOW_IN, "live.example", n * 1000);

    for (uint64_t now = 0; now < MINUTES(30); now += 1000) {
        unsigned dead_now[32], n_dead = 0, n;
        while ((n = started(s, now))) {
            if (n > DEAD) {
                finish(s, n, "live.example", &DONE, now);
                assert_int_equal(n, DEAD + 1 + now / 1000); /* in the second it was due */
                done++;
            } else {
                dead_now[n_dead++] = n;
                starts_of_dead++;
            }
        }
        for (unsigned i = 0; i < n_dead; i++) finish(s, dead_now[i], "dead.example", &DOWN, now);
    }
    assert_int_equal(done, 100);
    /* ten at once, then one probe a stage: 4 by the minute, 2 by ten minutes */
    assert_in_range(starts_of_dead, 14, 18);
    schedule_destroy(s);
}

TEST(a_destination_that_answers_again_gets_its_room_back)
{
    struct schedule *s = make(20, 5);
    for (unsigned n = 1; n <= 20; n++) add(s, n, FLOW_IN, "a.example", 0);
    unsigned first[5];
    for (int i = 0; i < 5; i++) first[i] = started(s, 0);
    for (int i = 0; i < 5; i++) finish(s, first[i], "a.example", &DOWN, 0);
    assert_int_equal(started(s, 1), 0);
    assert_int_equal(schedule_due_ms(s), MINUTES(1));
    unsigned probe = started(s, MINUTES(1));
    assert_int_not_equal(probe, 0);
    assert_int_equal(started(s, MINUTES(1)), 0); /* one probe, not five */
    finish(s, probe, "a.example", &DONE, MINUTES(1));
    int n = 0;
    while (started(s, MINUTES(1))) n++;
    assert_int_equal(n, 5);
    schedule_destroy(s);
}

TEST(outbound_mail_waits_for_the_gate_while_inbound_goes_on)
{
    struct schedule *s = make(10, 10);
    add(s, 1, FLOW_OUT, "a.example", 0);
    add(s, 2, FLOW_IN, "a.example", 0);
    assert_int_equal(started(s, 10), 2);
    assert_int_equal(started(s, 10), 0);
    schedule_out(s, SCHEDULE_SEND, 20);
    assert_int_equal(started(s, 20), 1);
    schedule_out(s, SCHEDULE_KEEP, 20);
    finish(s, 1, "a.example", &(struct retry_effect){ .again = true }, 20); /* not tried: the gate closed */
    assert_int_equal(started(s, DAYS(1)), 0);
    schedule_out(s, SCHEDULE_SEND, DAYS(1));
    assert_int_equal(started(s, DAYS(1)), 1);
    schedule_destroy(s);
}

TEST(a_new_sender_tries_at_once_what_was_refused_for_the_old_address)
{
    struct schedule *s = make(10, 10);
    struct retry_effect listed = DOWN;
    listed.listed = true;
    schedule_out(s, SCHEDULE_SEND, 0);
    for (unsigned n = 1; n <= 5; n++) add(s, n, FLOW_OUT, "a.example", n);
    for (unsigned n = 1; n <= 5; n++) assert_int_equal(started(s, 5), n);
    for (unsigned n = 1; n <= 5; n++) finish(s, n, "a.example", &listed, 5);
    assert_int_equal(started(s, 10), 0);
    schedule_out(s, SCHEDULE_KEEP, 10);
    schedule_out(s, SCHEDULE_SEND, 20);
    int n = 0;
    while (started(s, 20)) n++;
    assert_int_equal(n, 5);
    schedule_destroy(s);
}

static unsigned given(struct schedule *s, uint64_t now_ms)
{
    struct schedule_action a;
    if (!schedule_next(s, now_ms, &a)) return 0;
    assert_int_equal(a.kind, SCHEDULE_GIVE_AWAY);
    return number(&a.id);
}

TEST(when_another_node_sends_the_queue_is_handed_over_greylisted_last)
{
    struct schedule *s = make(10, 10);
    struct retry_effect grey = LATER;
    grey.greylisted = true;
    schedule_out(s, SCHEDULE_SEND, 0);
    for (unsigned n = 1; n <= 4; n++) add(s, n, FLOW_OUT, "a.example", n);
    assert_int_equal(started(s, 1), 1);
    assert_int_equal(started(s, 2), 2);
    finish(s, 1, "a.example", &grey, 2);
    schedule_out(s, SCHEDULE_GIVE, 2); /* 2 is past its dot */
    struct queue_id id3 = id_of(3), id4 = id_of(4), id1 = id_of(1), id2 = id_of(2);
    assert_int_equal(given(s, 0), 3);
    assert_int_equal(given(s, 0), 4);
    assert_int_equal(given(s, 0), 0); /* two at once */
    schedule_given(s, &id3, ERR_OK);
    assert_int_equal(given(s, 0), 1); /* the greylisted one, for want of others */
    finish(s, 2, "a.example", &LATER, 0);
    schedule_given(s, &id4, ERR_RETRY);
    assert_int_equal(given(s, 0), 2);
    schedule_given(s, &id1, ERR_REFUSED);
    assert_int_equal(given(s, 0), 4);
    schedule_given(s, &id2, ERR_OK);
    schedule_given(s, &id4, ERR_UNKNOWN);
    assert_int_equal(given(s, 0), 0);
    assert_int_equal(schedule_due_ms(s), DAYS(2));

    struct schedule_counts c;
    schedule_counts(s, &c);
    assert_int_equal(c.messages[FLOW_OUT], 2);
    assert_int_equal(c.pinned, 1);
    schedule_out(s, SCHEDULE_SEND, 0);
    assert_int_equal(started(s, 0), 1); /* 4 may be on the other node: nobody sends it */
    assert_int_equal(started(s, 0), 0);
    schedule_unpin(s, &id4);
    assert_int_equal(started(s, 0), 4);
    schedule_destroy(s);
}

TEST(the_sender_hears_of_a_delay_once_and_then_of_the_end)
{
    struct schedule *s = make(10, 10);
    struct schedule_leg leg = { SLICE("a.example"), DAYS(30) };
    struct schedule_action a;
    assert_true(schedule_add(s, &(struct schedule_message){ .id = id_of(1),
                                                            .flow = FLOW_IN,
                                                            .delayed_ms = HOURS(4),
                                                            .expiry_ms = DAYS(2),
                                                            .legs = &leg,
                                                            .n_legs = 1 }));
    assert_false(schedule_next(s, HOURS(4) - 1, &a));
    assert_int_equal(schedule_due_ms(s), HOURS(4));
    assert_true(schedule_next(s, HOURS(4), &a));
    assert_int_equal(a.kind, SCHEDULE_DELAYED);
    assert_false(schedule_next(s, DAYS(2) - 1, &a));
    assert_true(schedule_next(s, DAYS(2), &a));
    assert_int_equal(a.kind, SCHEDULE_EXPIRED);
    assert_false(schedule_next(s, DAYS(60), &a));
    assert_int_equal(schedule_due_ms(s), UINT64_MAX);
    schedule_destroy(s);
}

TEST(what_expires_in_mid_delivery_expires_when_it_comes_back)
{
    struct schedule *s = make(10, 10);
    struct schedule_action a;
    add(s, 1, FLOW_IN, "a.example", 0);
    assert_int_equal(started(s, DAYS(2) - 1), 1);
    assert_false(schedule_next(s, DAYS(2), &a));
    finish(s, 1, "a.example", &LATER, DAYS(2));
    assert_true(schedule_next(s, DAYS(2), &a));
    assert_int_equal(a.kind, SCHEDULE_EXPIRED);
    schedule_destroy(s);
}

TEST(a_flush_brings_one_message_one_destination_or_all_forward)
{
    struct schedule *s = make(10, 10);
    struct queue_id id3 = id_of(3);
    add(s, 1, FLOW_IN, "a.example", 0);
    assert_int_equal(started(s, 0), 1);
    finish(s, 1, "a.example", &DOWN, 0);
    add(s, 2, FLOW_IN, "a.example", 0);
    add(s, 3, FLOW_IN, "a.example", HOURS(1));
    add(s, 4, FLOW_IN, "b.example", HOURS(1));
    assert_int_equal(started(s, 1), 0);
    assert_int_equal(schedule_flush(s, &id3, SLICE(""), 1), 1);
    assert_int_equal(started(s, 1), 3); /* the one asked for goes first, hold or not; one probe at a time */
    assert_int_equal(started(s, 1), 0);
    finish(s, 3, "a.example", &DOWN, 1);
    assert_int_equal(schedule_flush(s, NULL, SLICE("B.example"), 1), 1);
    assert_int_equal(started(s, 1), 4);
    assert_int_equal(schedule_flush(s, NULL, SLICE(""), 2), 3); /* 1 and 3, and 2, which was due and held */
    assert_int_not_equal(started(s, 2), 0);
    schedule_destroy(s);
}

TEST(a_message_with_two_destinations_has_two_lives)
{
    struct schedule *s = make(10, 10);
    struct schedule_leg legs[2] = { { SLICE("a.example"), 0 }, { SLICE("b.example"), 0 } };
    assert_true(schedule_add(s, &(struct schedule_message){ .id = id_of(1),
                                                            .flow = FLOW_IN,
                                                            .delayed_ms = UINT64_MAX,
                                                            .expiry_ms = DAYS(2),
                                                            .legs = legs,
                                                            .n_legs = 2 }));
    assert_int_equal(started(s, 0), 1);
    assert_int_equal(started(s, 0), 1);
    struct queue_id id = id_of(1);
    schedule_finished(s, &id, SLICE("a.example"), &DONE, 0);
    schedule_finished(s, &id, SLICE("b.example"), &LATER, 0);
    assert_int_equal(started(s, MINUTES(1)), 1);
    schedule_remove(s, &id);
    schedule_finished(s, &id, SLICE("b.example"), &DONE, 0); /* too late: ignored */
    struct schedule_counts c;
    schedule_counts(s, &c);
    assert_int_equal(c.active, 0);
    schedule_destroy(s);
}

/* Random events against a few plain truths: limits hold, nothing is started twice, all ends in the end. */
TEST(whatever_happens_nothing_is_lost_and_no_limit_is_passed)
{
    enum { N = 400 };
    static const char *const dests[] = { "a.example", "b.example", "c.example", "d.example" };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng;
        struct schedule *s = make(6, 3);
        int active[4] = { 0 }, total = 0;
        unsigned running[16], n_running = 0, left = N, giving[8], n_giving = 0;
        uint64_t now = 0;
        rng_init_seed(&rng, seed);
        for (unsigned n = 1; n <= N; n++)
            add(s, n, n % 4 ? FLOW_OUT : FLOW_IN, dests[n % 4], rng_below(&rng, 100000));
        while (left) {
            struct schedule_action a;
            now += rng_below(&rng, 20000);
            assert_true(now < DAYS(2));
            if (rng_below(&rng, 10) == 0) schedule_out(s, (enum schedule_mode)rng_below(&rng, 3), now);
            while (schedule_next(s, now, &a)) {
                if (a.kind == SCHEDULE_GIVE_AWAY) {
                    assert_int_equal(schedule_mode(s), SCHEDULE_GIVE);
                    giving[n_giving++] = number(&a.id);
                    assert_true(n_giving <= 2);
                    continue;
                }
                assert_int_equal(a.kind, SCHEDULE_START);
                unsigned n = number(&a.id);
                assert_true(++total <= 6 && ++active[n % 4] <= 3);
                assert_true(a.flow == FLOW_IN || schedule_mode(s) == SCHEDULE_SEND);
                running[n_running++] = n;
            }
            while (n_running && rng_below(&rng, 3)) {
                unsigned i = (unsigned)rng_below(&rng, n_running), n = running[i];
                running[i] = running[--n_running];
                total--, active[n % 4]--;
                const struct retry_effect *e = rng_below(&rng, 4)   ? &DONE
                                               : rng_below(&rng, 2) ? &DOWN
                                                                    : &LATER;
                finish(s, n, dests[n % 4], e, now);
                left -= !e->again;
            }
            while (n_giving && rng_below(&rng, 2)) {
                struct queue_id id = id_of(giving[--n_giving]);
                enum err err = rng_below(&rng, 2) ? ERR_OK : rng_below(&rng, 2) ? ERR_RETRY : ERR_UNKNOWN;
                schedule_given(s, &id, err);
                if (err == ERR_UNKNOWN) schedule_unpin(s, &id);
                left -= err == ERR_OK;
            }
        }
        struct schedule_counts c;
        schedule_counts(s, &c);
        assert_int_equal(c.messages[FLOW_IN] + c.messages[FLOW_OUT] + c.active + c.giving + c.pinned, 0);
        schedule_destroy(s);
    }
}

TEST(a_held_message_is_neither_started_nor_given_nor_told_its_age)
{
    struct schedule *s = make(10, 10);
    struct schedule_action a;
    struct queue_id one = id_of(1), two = id_of(2);
    add(s, 1, FLOW_OUT, "a.example", 0);
    add(s, 2, FLOW_OUT, "a.example", 0);
    schedule_hold(s, &one);
    assert_int_equal(schedule_status(s, &one), SCHEDULE_HELD);
    schedule_out(s, SCHEDULE_SEND, 0);
    assert_int_equal(started(s, 0), 2);
    assert_int_equal(schedule_status(s, &two), SCHEDULE_ACTIVE);
    schedule_hold(s, &two); /* with the deliverer: held when it is back */
    finish(s, 2, "a.example", &LATER, 10);
    assert_int_equal(schedule_status(s, &two), SCHEDULE_HELD);
    schedule_out(s, SCHEDULE_GIVE, 20);
    assert_false(schedule_next(s, DAYS(3), &a));
    assert_int_equal(schedule_flush(s, &one, SLICE(""), DAYS(3)), 0);
    struct schedule_counts n;
    schedule_counts(s, &n);
    assert_int_equal(n.held, 2);
    schedule_remove(s, &one);
    schedule_counts(s, &n);
    assert_int_equal(n.held, 1);
    schedule_destroy(s);
}

static void slow_limits(void *owner, struct slice dest, struct schedule_limits *out)
{
    if (slice_eq(dest, SLICE("slow.example"))) *out = (struct schedule_limits){ .active = 2, .gap_ms = 1000 };
}

static struct schedule *make_limited(void)
{
    struct schedule_conf c = { .active_max = 20, .active_per_dest = 5, .give_max = 2, .limits = slow_limits };
    retry_conf_default(&c.retry);
    return schedule_create(&c);
}

TEST(a_destination_with_a_rate_starts_evenly_and_costs_the_others_nothing)
{
    struct schedule *s = make_limited();
    for (unsigned n = 1; n <= 4; n++) add(s, n, FLOW_IN, "slow.example", 0);
    for (unsigned n = 11; n <= 16; n++) add(s, n, FLOW_IN, "fast.example", 0);
    unsigned slow = 0, fast = 0, first = 0;
    for (unsigned n; (n = started(s, 100));)
        if (n < 10)
            slow++, first = n;
        else
            fast++;
    assert_int_equal(slow, 1);
    assert_int_equal(fast, 5);
    finish(s, first, "slow.example", &DONE, 200);
    assert_int_equal(started(s, 1099), 0);
    assert_int_equal(schedule_due_ms(s), 1100);
    unsigned second = started(s, 1100);
    assert_true(second && started(s, 2100));
    assert_int_equal(started(s, 3100), 0); /* two at once are enough, however late it is */
    finish(s, second, "slow.example", &DONE, 3200);
    assert_true(started(s, 3200));
    schedule_destroy(s);
}

TEST(a_rate_holds_for_mail_that_comes_one_by_one)
{
    struct schedule *s = make_limited();
    for (unsigned n = 1; n <= 5; n++) {
        uint64_t now = n * 100;
        add(s, n, FLOW_IN, "slow.example", now);
        unsigned got = started(s, now);
        assert_int_equal(got, n == 1 ? 1 : 0);
        if (got) finish(s, got, "slow.example", &DONE, now + 10);
    }
    assert_int_equal(started(s, 1099), 0);
    assert_int_equal(started(s, 1100), 2);
    schedule_destroy(s);
}
