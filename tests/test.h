/* tests/test.h: cmocka with names that read as sentences.
 *
 *   TEST(an_empty_slice_has_no_words) { … }
 *
 * A test registers itself; tests/main.c runs them all in the order of the file. GEMEL_TEST=name runs one. */
#ifndef GEMEL_TESTS_TEST_H
#define GEMEL_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/slice.h"

void test_add(const char *name, CMUnitTestFunction fn);

#define TEST(name)                                                 \
    static void name(void **test_state);                           \
    __attribute__((constructor)) static void test_add_##name(void) \
    {                                                              \
        test_add(#name, name);                                     \
    }                                                              \
    static void name(void **test_state)

#define assert_slice(s, text) test_assert_slice((s), slice_of(text), __FILE__, __LINE__)
#define assert_slices(a, b)   test_assert_slice((a), (b), __FILE__, __LINE__)
static inline void test_assert_slice(struct slice got, struct slice want, const char *file, int line)
{
    if (slice_eq(got, want)) return;
    print_error("%s:%d:\n got \"%.*s\"\nwant \"%.*s\"\n", file, line, SLICE_ARG(got), SLICE_ARG(want));
    _fail(file, line);
}

#endif
