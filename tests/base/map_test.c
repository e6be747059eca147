#include "base/map.h"

#include <stdio.h>

#include "base/rng.h"
#include "tests/test.h"

TEST(keys_are_bytes_and_copied)
{
    struct map m = { 0 };
    int a, b, c;
    char key[] = "edge1";
    assert_null(map_get(&m, SLICE("edge1")));
    assert_null(map_remove(&m, SLICE("edge1")));
    assert_null(map_put(&m, slice_of(key), &a));
    key[0] = 'X';
    assert_ptr_equal(map_get(&m, SLICE("edge1")), &a);
    assert_null(map_put(&m, slice_from("a\0b", 3), &b));
    assert_null(map_get(&m, SLICE("a")));
    assert_null(map_put(&m, SLICE(""), &c));
    assert_ptr_equal(map_get(&m, SLICE("")), &c);
    assert_ptr_equal(map_put(&m, SLICE("edge1"), &b), &a);
    assert_int_equal(m.n, 3);
    assert_ptr_equal(map_remove(&m, SLICE("edge1")), &b);
    assert_null(map_get(&m, SLICE("edge1")));
    assert_int_equal(m.n, 2);
    map_deinit(&m);
    map_deinit(&m);
}

enum { KEYS = 700 };

TEST(random_puts_and_removes_agree_with_a_plain_array)
{
    static char values[KEYS];
    struct map m = { 0 };
    struct rng rng;
    bool in[KEYS] = { 0 };
    size_t n = 0;
    rng_init_seed(&rng, 5);
    for (int step = 0; step < 50000; step++) {
        size_t i = rng_below(&rng, KEYS);
        char key[16];
        snprintf(key, sizeof key, "key%zu", i);
        assert_ptr_equal(map_get(&m, slice_of(key)), in[i] ? &values[i] : NULL);
        void *before;
        bool put = rng_below(&rng, 2);
        if (put)
            before = map_put(&m, slice_of(key), &values[i]);
        else
            before = map_remove(&m, slice_of(key));
        assert_ptr_equal(before, in[i] ? &values[i] : NULL);
        n += put - in[i];
        in[i] = put;
        assert_int_equal(m.n, n);
    }
    size_t at = 0, seen = 0;
    struct slice key;
    void *value;
    while (map_next(&m, &at, &key, &value)) {
        seen++;
        assert_true(in[(char *)value - values]);
    }
    assert_int_equal(seen, n);
    assert_true(m.cap <= 4096); /* removed keys do not make it grow for ever */
    map_deinit(&m);
}
