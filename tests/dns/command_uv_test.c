#include "dns/command_uv.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop_uv.h"
#include "base/timers.h"
#include "tests/test.h"

struct outcome {
    bool done;
    enum err err;
    int status;
};

static struct buf lines;

static void collect(void *owner, enum log_level level, struct slice line)
{
    buf_put(&lines, line);
    buf_put(&lines, SLICE("\n"));
}

static struct loop *loop;

static void start(void)
{
    struct log log = { .write = collect, .min = LOG_INFO };
    buf_init(&lines, 65536 * 4);
    assert_int_equal(loop_create(&log, &loop), ERR_OK);
}

static void stop(void)
{
    loop_destroy(loop);
    buf_deinit(&lines);
}

static void keep(void *owner, enum err err, int status)
{
    *(struct outcome *)owner = (struct outcome){ true, err, status };
}

static struct outcome run(const char *text, const char *input, uint32_t limit_ms)
{
    struct command_conf conf = {
        .text = text, .input = slice_of(input), .limit_ms = limit_ms, .event = "output"
    };
    struct outcome o = { 0 };
    command_start(loop_env(loop), loop_uv(loop), &conf, keep, &o);
    assert_false(o.done);
    for (int i = 0; i < 1000 && !o.done; i++) loop_run_for(loop, 10);
    assert_true(o.done);
    return o;
}

TEST(the_exit_status_is_told)
{
    start();
    assert_int_equal(run("exit 0", "", 5000).status, 0);
    struct outcome o = run("exit 75", "", 5000);
    assert_int_equal(o.err, ERR_OK);
    assert_int_equal(o.status, 75);
    o = run("kill -9 $$", "", 5000);
    assert_int_equal(o.err, ERR_CLOSED);
    assert_int_equal(o.status, SIGKILL);
    assert_int_equal(run("/no/such/program 2>/dev/null", "", 5000).status, 127);
    stop();
}

TEST(input_is_given_and_ends)
{
    start();
    assert_int_equal(run("test \"$(cat)\" = 'hello there'", "hello there", 5000).status, 0);
    assert_int_equal(run("true", "not read by anybody", 5000).status, 0);
    stop();
}

TEST(words_go_to_the_log_line_by_line)
{
    start();
    run("echo one >&2; printf 'two\\nthree' >&2; echo not this", "", 5000);
    assert_slice(buf_slice(&lines),
                 "info  output line=one\ninfo  output line=two\ninfo  output line=three\n");
    stop();
}

TEST(a_flood_of_words_is_bounded)
{
    start();
    run("i=0; while [ $i -lt 1000 ]; do echo 0123456789; i=$((i+1)); done >&2", "", 5000);
    assert_true(buf_len(&lines) < 10000);
    stop();
}

TEST(the_environment_is_small)
{
    setenv("GEMEL_TEST_SECRET", "x", 1);
    start();
    assert_int_equal(run("test -z \"$GEMEL_TEST_SECRET\" -a -n \"$PATH\"", "", 5000).status, 0);
    stop();
}

TEST(the_limit_kills_the_command_and_its_children)
{
    start();
    uint64_t before = clock_boot_ms(NULL);
    struct outcome o = run("sleep 30 & sleep 30", "", 200);
    assert_int_equal(o.err, ERR_TIMEOUT);
    assert_true(clock_boot_ms(NULL) - before < 3000);
    stop();
}

TEST(a_child_that_stays_does_not_hold_us_up)
{
    start();
    uint64_t before = clock_boot_ms(NULL);
    assert_int_equal(run("sleep 3 & exit 0", "", 5000).status, 0);
    assert_true(clock_boot_ms(NULL) - before < 2000);
    stop();
}

TEST(a_cancel_is_final)
{
    struct command_conf conf = {
        .text = "sleep 30", .limit_ms = 60000, .event = "output", .input = { "", 0 }
    };
    struct outcome o = { 0 };
    start();
    struct command *c = command_start(loop_env(loop), loop_uv(loop), &conf, keep, &o);
    loop_run_for(loop, 20);
    command_cancel(&c);
    command_cancel(&c);
    loop_run_for(loop, 100);
    assert_false(o.done);
    stop();
}
