#include "base/base.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/test.h"

struct pair {
    int first, second;
};

/* Runs `fn` in a process of its own; returns how that ended and what it said on stderr. */
static int run_apart(void (*fn)(void), char *said, size_t cap)
{
    int fd[2], status = 0;
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL); /* cmocka has its own */
        fn();
        _exit(0);
    }
    close(fd[1]);
    ssize_t n = 0, got;
    while ((got = read(fd[0], said + n, cap - 1 - (size_t)n)) > 0) n += got;
    said[n] = '\0';
    close(fd[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void assert_what_is_true(void)
{
    ASSERT(1 + 1 == 2);
}

static void assert_what_is_not(void)
{
    ASSERT(1 + 1 == 3);
}

TEST(an_assertion_that_fails_names_its_place_and_ends_the_process)
{
    char said[256];
    int status = run_apart(assert_what_is_not, said, sizeof said);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(said, "base_test.c:"));
    assert_non_null(strstr(said, "assertion failed: 1 + 1 == 3"));
    assert_int_equal(run_apart(assert_what_is_true, said, sizeof said), 0);
    assert_string_equal(said, "");
}

TEST(memory_comes_zeroed_even_when_nothing_was_asked_for)
{
    char *none = xzalloc(0), *some = xzalloc(100);
    assert_non_null(none);
    for (int i = 0; i < 100; i++) assert_int_equal(some[i], 0);
    memcpy(some, "kept", 5);
    some = xrealloc(some, 100000);
    assert_string_equal(some, "kept");
    some = xrealloc(some, 0); /* still something to free */
    assert_non_null(some);
    char *copy = xstrdup("text");
    assert_string_equal(copy, "text");
    free(none), free(some), free(copy);
}

TEST(units_do_not_overflow_32_bits)
{
    assert_true(DAYS(365) == UINT64_C(31536000000));
    assert_true(GIB(8) == UINT64_C(1) << 33);
    assert_true(BIT(31) == UINT32_C(0x80000000));
}

TEST(the_struct_around_a_member_is_found)
{
    struct pair p = { 1, 2 };
    assert_ptr_equal(CONTAINER_OF(&p.second, struct pair, second), &p);
    assert_int_equal(ARRAY_LEN(((struct pair[3]){ { 0, 0 } })), 3);
    assert_int_equal(MIN(2, 1), 1);
    assert_int_equal(MAX(2, 1), 2);
}
