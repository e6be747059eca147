#include "node/queue/age.h"

#include "tests/test.h"

TEST(no_wait_is_longer_than_it_could_have_been)
{
    assert_int_equal(age_wait_ms(1500, 1000, 10000), 500);
    assert_int_equal(age_wait_ms(1000, 1000, 10000), 0);
    assert_int_equal(age_wait_ms(500, 1000, 10000), 0);
    assert_int_equal(age_wait_ms(UINT64_MAX, 1000, 10000), 10000);
}

TEST(an_age_is_doubtful_when_nothing_happened_for_longer_than_any_wait)
{
    struct retry_conf c;
    struct envelope_rcpt r[2] = { { .address = SLICE("a@b") }, { .address = SLICE("c@d") } };
    struct envelope e = { .rcpts = r, .n_rcpts = 2, .arrival_wall_ms = DAYS(100) };
    retry_conf_default(&c);
    uint64_t longest = age_longest_wait_ms(&c), now = DAYS(100) + HOURS(10);
    assert_int_equal(longest, MINUTES(30));
    assert_true(age_is_doubtful(&c, &e, now));
    assert_false(age_is_doubtful(&c, &e, DAYS(100) + longest));
    assert_false(age_is_doubtful(&c, &e, 0)); /* a clock that is behind */
    r[1].last_try_wall_ms = now - longest;
    assert_false(age_is_doubtful(&c, &e, now));
    assert_true(age_is_doubtful(&c, &e, now + 1));
    r[0].next_try_wall_ms = now;
    assert_false(age_is_doubtful(&c, &e, now + longest));
}

TEST(the_grace_has_room_for_two_tries_and_is_never_more_than_a_life)
{
    struct retry_conf c;
    retry_conf_default(&c);
    assert_int_equal(age_grace_ms(&c), HOURS(1));
    c.expire_ms = SECONDS(5);
    assert_int_equal(age_grace_ms(&c), SECONDS(5));
}
