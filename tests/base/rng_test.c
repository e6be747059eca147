#include "base/rng.h"

#include "tests/test.h"

TEST(one_seed_is_one_sequence_and_another_is_another)
{
    struct rng a, b, c;
    rng_init_seed(&a, 7);
    rng_init_seed(&b, 7);
    rng_init_seed(&c, 8);
    bool differs = false;
    for (int i = 0; i < 100; i++) {
        uint64_t x = rng_u64(&a);
        assert_int_equal(x, rng_u64(&b));
        differs = differs || x != rng_u64(&c);
    }
    assert_true(differs);
}

TEST(bounds_hold_and_every_value_comes)
{
    struct rng r;
    rng_init_seed(&r, 1);
    unsigned seen[7] = { 0 };
    for (int i = 0; i < 7000; i++) seen[rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++) assert_in_range(seen[i], 850, 1150);
    for (int i = 0; i < 1000; i++) {
        assert_in_range(rng_between(&r, 5, 9), 5, 9);
        assert_in_range(rng_jitter(&r, 1000, 25), 750, 1250);
        assert_int_equal(rng_jitter(&r, 1000, 0), 1000);
        assert_int_equal(rng_below(&r, 1), 0);
        assert_false(rng_chance(&r, 0));
        assert_true(rng_chance(&r, 1000000));
    }
    unsigned hits = 0;
    for (int i = 0; i < 10000; i++) hits += rng_chance(&r, 100000);
    assert_in_range(hits, 850, 1150);
}

TEST(bytes_and_digits_fill_exactly_what_was_asked)
{
    for (int seeded = 0; seeded < 2; seeded++) {
        struct rng r;
        unsigned char bytes[32];
        char digits[12];
        if (seeded)
            rng_init_seed(&r, 3);
        else
            rng_init_kernel(&r);
        memset(bytes, 0, sizeof bytes);
        rng_bytes(&r, bytes + 8, 13);
        for (int i = 0; i < 8; i++) assert_int_equal(bytes[i], 0);
        for (int i = 21; i < 32; i++) assert_int_equal(bytes[i], 0);
        memset(digits, 'z', sizeof digits);
        rng_hex(&r, digits, 10);
        assert_int_equal(strspn(digits, "0123456789abcdef"), 10);
        assert_int_equal(digits[10], '\0');
        assert_int_equal(digits[11], 'z');
    }
}
