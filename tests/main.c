#include <stdlib.h>

#include "tests/test.h"

enum { TESTS_MAX = 512 };
static struct CMUnitTest tests[TESTS_MAX];
static size_t n_tests;

void test_add(const char *name, CMUnitTestFunction fn)
{
    const char *only = getenv("GEMEL_TEST");
    if (only && strcmp(only, name) != 0) return;
    ASSERT(n_tests < TESTS_MAX);
    tests[n_tests++] = (struct CMUnitTest){ .name = name, .test_func = fn };
}

int main(void)
{
    return _cmocka_run_group_tests("tests", tests, n_tests, NULL, NULL);
}
