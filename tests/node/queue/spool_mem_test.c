#include "node/queue/spool_mem.h"

#include "base/timers.h"
#include "tests/node/queue/sim_clock.h"

struct world {
    struct spool *s;
    struct spool_put *orphan;
    struct sim_clock clock;
    struct spool_mem *m;
};

static void world_open(struct world *w)
{
    memset(w, 0, sizeof *w);
    sim_clock_init(&w->clock);
    w->m = spool_mem_create(&w->clock.env, 5);
    w->s = spool_mem_spool(w->m);
}

static void world_settle(struct world *w)
{
    sim_clock_advance(&w->clock, 20);
}

static void world_reopen(struct world *w)
{
    spool_mem_crash(w->m, false);
}

static void world_close(struct world *w)
{
    spool_mem_destroy(w->m);
    sim_clock_deinit(&w->clock);
}

#include "tests/node/queue/spool_contract.h"

TEST(a_crash_forgets_what_was_not_synced_and_only_that)
{
    struct world w;
    struct answer a = { 0 };
    struct envelope e = test_envelope(2);
    world_open(&w);
    assert_int_equal(store(&w, 1, 10, NULL), ERR_OK);
    spool_put_commit(begin_with_body(&w, 2, 10), &e, NULL, on_answer, &a);
    assert_int_equal(spool_mem_pending(w.m), 1);
    spool_mem_crash(w.m, false);
    world_settle(&w);
    assert_int_equal(a.runs, 0);
    assert_true(has(&w, 1));
    assert_false(has(&w, 2));
    world_close(&w);
}

TEST(a_crash_may_also_keep_what_nobody_was_told_of)
{
    struct world w;
    struct answer a = { 0 };
    struct envelope e = test_envelope(2);
    world_open(&w);
    spool_put_commit(begin_with_body(&w, 2, 10), &e, NULL, on_answer, &a);
    spool_mem_crash(w.m, true);
    world_settle(&w);
    assert_int_equal(a.runs, 0);
    assert_true(has(&w, 2));
    world_close(&w);
}

TEST(a_full_disk_fails_puts_and_delays_changes_until_there_is_room)
{
    struct world w;
    struct answer put = { 0 }, removed = { 0 };
    struct envelope e = test_envelope(2);
    struct queue_id id = test_id(1);
    world_open(&w);
    assert_int_equal(store(&w, 1, 10, NULL), ERR_OK);
    struct spool_put *p = begin_with_body(&w, 2, 10);
    spool_mem_set_full(w.m, true);
    spool_put_commit(p, &e, NULL, on_answer, &put);
    spool_remove(w.s, &id, on_answer, &removed);
    world_settle(&w);
    assert_int_equal(put.err, ERR_RETRY);
    assert_int_equal(removed.runs, 0);
    assert_true(has(&w, 1));
    spool_mem_set_full(w.m, false);
    sim_clock_advance(&w.clock, 2000);
    assert_int_equal(removed.runs, 1);
    assert_false(has(&w, 1));
    assert_int_equal(store(&w, 2, 10, NULL), ERR_OK);
    world_close(&w);
}

TEST(a_transfer_id_is_forgotten_when_its_time_is_over)
{
    struct world w;
    world_open(&w);
    uint64_t now = timers_wall_ms(&w.clock.timers);
    struct spool_with with = { .transfer = SLICE("m/0"), .transfer_until_wall_ms = now + 100000 };
    assert_int_equal(store(&w, 1, 10, &with), ERR_OK);
    spool_forget_transfer(w.s, SLICE("m/0"), now + 5000, NULL, NULL);
    sim_clock_advance(&w.clock, 1000);
    assert_int_equal(spool_transfer_seen(w.s, SLICE("m/0")), ERR_OK);
    sim_clock_advance(&w.clock, 5000);
    assert_int_equal(store(&w, 3, 10, NULL), ERR_OK); /* expiry happens along with a sync */
    assert_int_equal(spool_transfer_seen(w.s, SLICE("m/0")), ERR_NOT_FOUND);
    world_close(&w);
}
