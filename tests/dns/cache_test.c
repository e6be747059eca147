#include "dns/cache.h"

#include <stdio.h>

#include "tests/test.h"

static struct dns_answer negative(void)
{
    return (struct dns_answer){ .result = DNS_NXDOMAIN, .canonical = SLICE("a"), .why_detail = SLICE("") };
}

static bool held(struct cache *c, const char *key, uint64_t now_ms)
{
    struct cached *e = cache_get(c, slice_of(key), now_ms);
    if (e) cached_unref(e);
    return e;
}

TEST(entries_live_for_their_time_and_no_longer)
{
    struct cache c;
    struct dns_answer a = negative();
    cache_init(&c, 8, 65536);
    cache_put(&c, SLICE("k"), &a, 10, 5000);
    assert_true(held(&c, "k", 14999));
    assert_false(held(&c, "k", 15000));
    cache_put(&c, SLICE("zero"), &a, 0, 5000);
    assert_false(held(&c, "zero", 5000));
    assert_int_equal(c.entries, 0);
    assert_int_equal(c.bytes, 0);
    cache_deinit(&c);
}

TEST(the_longest_unused_goes_first)
{
    struct cache c;
    struct dns_answer a = negative();
    cache_init(&c, 2, 65536);
    cache_put(&c, SLICE("one"), &a, 10, 0);
    cache_put(&c, SLICE("two"), &a, 10, 0);
    assert_true(held(&c, "one", 1));
    cache_put(&c, SLICE("three"), &a, 10, 0);
    assert_true(held(&c, "one", 1));
    assert_false(held(&c, "two", 1));
    assert_true(held(&c, "three", 1));
    cache_deinit(&c);
}

TEST(bytes_are_bounded_whatever_is_put)
{
    struct cache c;
    struct dns_answer a = negative();
    char key[32], big[8192];
    memset(big, 'x', sizeof big);
    cache_init(&c, 100000, 16384);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        cache_put(&c, slice_of(key), &a, 10, 0);
        assert_true(c.bytes <= 16384);
    }
    size_t entries = c.entries;
    a.why_detail = slice_from(big, sizeof big);
    cache_put(&c, SLICE("big"), &a, 10, 0);
    assert_int_equal(c.entries, entries); /* one answer does not sweep the others out */
    cache_deinit(&c);
}

TEST(a_reference_outlives_its_entry)
{
    struct cache c;
    struct dns_answer a = negative();
    cache_init(&c, 8, 65536);
    cache_put(&c, SLICE("k"), &a, 10, 0);
    struct cached *e = cache_get(&c, SLICE("k"), 0);
    cache_flush(&c);
    assert_slice(cached_answer(e, 3000).canonical, "a");
    assert_int_equal(cached_answer(e, 3000).ttl_s, 7);
    cached_unref(e);
    cache_deinit(&c);
}
