#include "node/queue/retry.h"

#include "tests/test.h"

TEST(the_stages_are_four_minutes_then_six_times_ten_then_thirty)
{
    struct retry_conf c;
    retry_conf_default(&c);
    static const struct {
        uint32_t failures;
        uint64_t minutes;
    } cases[] = { { 1, 1 }, { 4, 1 }, { 5, 10 }, { 10, 10 }, { 11, 30 }, { 1000, 30 } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(retry_wait_ms(&c, cases[i].failures), MINUTES(cases[i].minutes));
}

TEST(a_status_is_taken_from_where_it_stands)
{
    static const struct {
        const char *status, *reply, *want;
    } cases[] = {
        { "5.7.1", "550 nope", "5.7.1" },
        { "", "550 5.1.1 no such user", "5.1.1" },
        { "", "550-5.1.1 no such user / 550 5.1.1 really", "5.1.1" },
        { "", "450 later", "4.0.0" },
        { "", "550 4.1.1 classes differ", "5.0.0" },
        { "", "connection refused", "" },
        { "nonsense", "250 2.0.0 ok", "2.0.0" },
        { "5.1", "550 5.1.1x", "5.0.0" },
        { "", "", "" },
        { "", "5", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_slice(retry_status(slice_of(cases[i].status), slice_of(cases[i].reply)), cases[i].want);
}

struct bench {
    struct retry_conf c;
    struct arena a;
    struct envelope e;
    struct envelope_rcpt rcpts[4];
    uint32_t indexes[4];
    struct delivery_job job;
    struct retry_effect effect;
};

static void bench_init(struct bench *b)
{
    *b = (struct bench){ .indexes = { 0, 1, 2, 3 } };
    retry_conf_default(&b->c);
    for (int i = 0; i < 4; i++) b->rcpts[i].address = SLICE("x@example.net");
    b->e = (struct envelope){ .rcpts = b->rcpts, .n_rcpts = 4 };
    b->job = (struct delivery_job){ .envelope = &b->e, .rcpts = b->indexes, .n_rcpts = 4 };
}

TEST(each_recipient_goes_its_own_way)
{
    struct bench b;
    bench_init(&b);
    struct delivery_result r[4] = {
        { .outcome = DELIVERY_SENT, .reply = SLICE("250 2.0.0 ok") },
        { .outcome = DELIVERY_DEFERRED, .reply = SLICE("452 4.2.2 full"), .mta = SLICE("mx.example.net") },
        { .outcome = DELIVERY_FAILED, .reply = SLICE("550 5.1.1 unknown") },
        { .outcome = DELIVERY_RELAYED, .reply = SLICE("250 ok") },
    };
    b.rcpts[1].attempts = 4; /* the glitches are over */
    retry_apply(&b.c, &b.job, r, 1000, &b.e, &b.a, &b.effect);
    assert_int_equal(b.rcpts[0].state, RCPT_SENT);
    assert_int_equal(b.rcpts[1].state, RCPT_WAITING);
    assert_int_equal(b.rcpts[2].state, RCPT_FAILED);
    assert_int_equal(b.rcpts[3].state, RCPT_RELAYED);
    assert_int_equal(b.rcpts[1].next_try_wall_ms, 1000 + MINUTES(10));
    assert_int_equal(b.e.next_try_wall_ms, 1000 + MINUTES(10));
    assert_slice(b.rcpts[1].last_mta, "mx.example.net");
    assert_slice(b.rcpts[2].status, "5.1.1");
    assert_slice(b.e.why_waiting, "452 4.2.2 full");
    assert_true(b.effect.again && b.effect.tried && !b.effect.destination_down);
    assert_int_equal(b.effect.wait_ms, MINUTES(10));
    assert_int_equal(b.effect.failed, 1);
    arena_deinit(&b.a);
}

TEST(a_refusal_of_our_address_is_a_wait_and_never_a_bounce)
{
    struct bench b;
    bench_init(&b);
    struct delivery_result r[4];
    for (int i = 0; i < 4; i++)
        r[i] = (struct delivery_result){ .outcome = DELIVERY_LISTED,
                                         .reply = SLICE("554 5.7.1 listed at bl.example") };
    retry_apply(&b.c, &b.job, r, 1000, &b.e, &b.a, &b.effect);
    assert_int_equal(envelope_waiting(&b.e), 4);
    assert_true(b.effect.listed && b.effect.destination_down && b.effect.again);
    assert_int_equal(b.effect.failed, 0);
    arena_deinit(&b.a);
}

TEST(what_was_not_tried_is_no_attempt)
{
    struct bench b;
    bench_init(&b);
    struct delivery_result r[4] = { { .outcome = DELIVERY_NOT_NOW },
                                    { .outcome = DELIVERY_NOT_NOW },
                                    { .outcome = DELIVERY_NOT_NOW },
                                    { .outcome = DELIVERY_NOT_NOW } };
    retry_apply(&b.c, &b.job, r, 1000, &b.e, &b.a, &b.effect);
    assert_false(b.effect.tried);
    assert_true(b.effect.again);
    assert_int_equal(b.e.attempts, 0);
    assert_int_equal(b.rcpts[0].attempts, 0);
    assert_int_equal(b.e.next_try_wall_ms, 0);
    arena_deinit(&b.a);
}

TEST(expiry_takes_those_that_still_wait)
{
    struct bench b;
    bench_init(&b);
    b.rcpts[0].state = RCPT_SENT;
    b.rcpts[1].state = RCPT_FAILED;
    assert_int_equal(retry_expire(&b.e), 2);
    assert_int_equal(b.rcpts[0].state, RCPT_SENT);
    assert_int_equal(b.rcpts[3].state, RCPT_EXPIRED);
    assert_slice(b.rcpts[3].status, "4.4.7");
}
