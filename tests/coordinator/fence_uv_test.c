#include "coordinator/fence_uv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/disk.h"
#include "tests/base/peer.h"
#include "tests/certs.h"
#include "tests/test.h"

struct run {
    struct loop *loop;
    char *folder, script[256], out[256];
    struct fence_op *op;
    int dones;
    bool confirmed;
    char words[200];
};

static void on_done(void *owner, bool confirmed, const char *words)
{
    struct run *r = owner;
    r->op = NULL;
    r->dones++;
    r->confirmed = confirmed;
    snprintf(r->words, sizeof r->words, "%s", words);
}

static void run_init(struct run *r, const char *body)
{
    struct buf text;
    *r = (struct run){ .folder = test_folder() };
    assert_int_equal(loop_create(NULL, &r->loop), ERR_OK);
    snprintf(r->script, sizeof r->script, "%s/fence", r->folder);
    snprintf(r->out, sizeof r->out, "%s/out", r->folder);
    buf_init(&text, 4096);
    buf_putf(&text, "#!/bin/sh\nout=%s\n%s\n", r->out, body);
    assert_int_equal(disk_write(loop_env(r->loop)->disk, r->script, buf_slice(&text)), ERR_OK);
    assert_int_equal(chmod(r->script, 0700), 0);
    buf_deinit(&text);
}

static void run_start(struct run *r, const char *command, uint32_t limit_ms)
{
    struct fence_args a = { .command = command, .identity = "edge1", .node = "node1", .epoch = 17 };
    assert_int_equal(addr_parse(SLICE("198.51.100.10"), &a.ip), ERR_OK);
    r->op = fence_start(loop_env(r->loop), loop_uv(r->loop), &a, limit_ms, on_done, r);
    assert_int_equal(r->dones, 0);
}

static void run_deinit(struct run *r)
{
    loop_destroy(r->loop);
    test_folder_remove(r->folder);
    free(r->folder);
}

TEST(exit_status_0_confirms_and_the_command_knows_whom_to_cut_off)
{
    struct run r;
    struct buf said;
    run_init(&r, "echo \"$1 $2 $# $GEMEL_IDENTITY $GEMEL_NODE $GEMEL_IP ${HOME-none}\" >$out");
    run_start(&r, r.script, 10000);
    RUN_UNTIL(r.loop, r.dones);
    assert_true(r.confirmed);
    buf_init(&said, 1000);
    assert_int_equal(disk_read(loop_env(r.loop)->disk, r.out, &said), ERR_OK);
    assert_slice(slice_trim(buf_slice(&said)), "edge1 17 2 edge1 node1 198.51.100.10 none");
    buf_deinit(&said);
    run_deinit(&r);
}

TEST(any_other_status_confirms_nothing)
{
    struct run r;
    run_init(&r, "exit 3");
    run_start(&r, r.script, 10000);
    RUN_UNTIL(r.loop, r.dones);
    assert_false(r.confirmed);
    assert_string_equal(r.words, "exit status 3");
    run_deinit(&r);
}

TEST(a_command_that_takes_too_long_is_killed_with_its_children)
{
    struct run r;
    run_init(&r, "sleep 60 & wait");
    run_start(&r, r.script, 50);
    RUN_UNTIL(r.loop, r.dones);
    assert_false(r.confirmed);
    assert_non_null(strstr(r.words, "was killed"));
    run_deinit(&r);
}

TEST(a_command_that_is_not_there_is_told_and_not_waited_for)
{
    struct run r;
    run_init(&r, "");
    run_start(&r, "/no/such/command", 60000);
    RUN_UNTIL(r.loop, r.dones);
    assert_false(r.confirmed);
    assert_non_null(strstr(r.words, "cannot be run"));
    run_deinit(&r);
}

TEST(a_cancelled_one_says_nothing_any_more)
{
    struct run r;
    run_init(&r, "sleep 60");
    run_start(&r, r.script, 60000);
    fence_cancel(&r.op);
    assert_null(r.op);
    loop_run_for(r.loop, 50);
    assert_int_equal(r.dones, 0);
    run_deinit(&r);
}
