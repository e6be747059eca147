#include "base/arena.h"

#include "tests/test.h"

TEST(what_is_allocated_is_zeroed_aligned_and_apart)
{
    struct arena a = { 0 };
    char *last = NULL;
    for (size_t n = 0; n < 300; n++) {
        char *p = arena_alloc(&a, n);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < n; i++) assert_int_equal(p[i], 0);
        memset(p, 'x', n);
        if (n > 1) assert_true(p != last);
        last = p;
    }
    arena_deinit(&a);
}

TEST(copies_live_until_the_reset_and_memory_is_zero_again_after_it)
{
    struct arena a = { 0 };
    char source[] = "edge1";
    struct slice s = arena_dup(&a, slice_of(source));
    source[0] = 'X';
    assert_slice(s, "edge1");
    assert_int_equal(s.p[s.n], '\0');
    assert_string_equal(arena_printf(&a, "%s-%d", "node", 42), "node-42");
    assert_string_equal(arena_cstr(&a, slice_from("a\0b", 3)), "a");
    char *big = arena_alloc(&a, 100000); /* more than a block */
    memset(big, 'y', 100000);
    assert_true(a.bytes > 100000);
    arena_reset(&a);
    assert_int_equal(a.bytes, 0);
    char *p = arena_alloc(&a, 4000);
    for (size_t i = 0; i < 4000; i++) assert_int_equal(p[i], 0);
    arena_deinit(&a);
    arena_deinit(&a);
}
