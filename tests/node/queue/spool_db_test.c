#include "node/queue/spool_db.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/queue/record.h"
#include "tests/test.h"

struct world {
    char dir[64];
    struct spool_db *db;
    struct spool_reader *reader;
};

static void start(struct world *w)
{
    char why[SPOOL_WHY_MAX];
    struct spool_db_conf conf = { .dir = w->dir };
    if (spool_db_open(&conf, &w->db, why)) fail_msg("%s", why);
    w->reader = spool_reader_create(w->db);
}

static void stop(struct world *w)
{
    spool_reader_destroy(w->reader);
    spool_db_close(w->db);
}

static void world_init(struct world *w)
{
    snprintf(w->dir, sizeof w->dir, "/tmp/gemel-spool-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    start(w);
}

static void world_deinit(struct world *w)
{
    char command[100];
    stop(w);
    snprintf(command, sizeof command, "rm -r %s", w->dir);
    assert_int_equal(system(command), 0);
}

static struct queue_id id_of(unsigned n)
{
    struct queue_id id;
    char text[QUEUE_ID_CHARS + 1];
    snprintf(text, sizeof text, "%018u", n);
    assert_int_equal(queue_id_parse(slice_of(text), &id), ERR_OK);
    return id;
}

static enum err put(struct world *w, unsigned n, enum flow flow, const char *transfer, uint64_t until)
{
    struct envelope_rcpt r = { .address = SLICE("bob@example.net") };
    struct envelope e = {
        .id = id_of(n), .flow = flow, .rcpts = &r, .n_rcpts = 1, .arrival_wall_ms = 1000 + n
    };
    struct buf b;
    buf_init(&b, RECORD_BYTES_MAX);
    assert_int_equal(record_pack(&e, 5, 1, &b), ERR_OK);
    enum err err = spool_db_put_message(w->db, &(struct spool_db_put){ .id = e.id,
                                                                       .record = buf_slice(&b),
                                                                       .last = SLICE("hello"),
                                                                       .transfer = slice_of(transfer),
                                                                       .until_wall_ms = until });
    buf_deinit(&b);
    return err;
}

static bool has(struct world *w, unsigned n)
{
    struct arena a = { 0 };
    struct envelope e;
    struct queue_id id = id_of(n);
    enum err err = spool_reader_envelope(w->reader, &id, &a, &e);
    arena_deinit(&a);
    return !err;
}

TEST(what_was_not_committed_is_not_there)
{
    struct world w;
    world_init(&w);
    assert_int_equal(spool_db_begin(w.db), ERR_OK);
    assert_int_equal(put(&w, 1, FLOW_OUT, NULL, 0), ERR_OK);
    assert_false(has(&w, 1));
    spool_db_abort(w.db);
    assert_false(has(&w, 1));
    assert_int_equal(spool_db_counts(w.db)->messages[FLOW_OUT], 0);
    assert_int_equal(spool_db_begin(w.db), ERR_OK);
    assert_int_equal(put(&w, 1, FLOW_OUT, NULL, 0), ERR_OK);
    assert_int_equal(spool_db_commit(w.db), ERR_OK);
    assert_true(has(&w, 1));
    assert_int_equal(spool_db_counts(w.db)->messages[FLOW_OUT], 1);
    world_deinit(&w);
}

TEST(a_conflict_leaves_nothing_of_its_call_in_the_transaction)
{
    struct world w;
    world_init(&w);
    assert_int_equal(spool_db_begin(w.db), ERR_OK);
    assert_int_equal(put(&w, 1, FLOW_OUT, "a/0", 100), ERR_OK);
    assert_int_equal(put(&w, 2, FLOW_OUT, "a/0", 100), ERR_CONFLICT); /* the transfer is known */
    assert_int_equal(put(&w, 1, FLOW_OUT, "b/0", 100), ERR_CONFLICT); /* the id is known */
    assert_int_equal(put(&w, 3, FLOW_OUT, NULL, 0), ERR_OK);
    assert_int_equal(spool_db_commit(w.db), ERR_OK);
    assert_true(has(&w, 1) && !has(&w, 2) && has(&w, 3));
    assert_int_equal(spool_reader_transfer_seen(w.reader, SLICE("a/0")), ERR_OK);
    assert_int_equal(spool_reader_transfer_seen(w.reader, SLICE("b/0")), ERR_NOT_FOUND);
    assert_int_equal(spool_db_counts(w.db)->transfers, 1);
    world_deinit(&w);
}

TEST(transfer_ids_go_when_their_time_is_over_a_few_at_a_time)
{
    struct world w;
    char transfer[32];
    world_init(&w);
    assert_int_equal(spool_db_begin(w.db), ERR_OK);
    for (unsigned n = 0; n < 100; n++) {
        snprintf(transfer, sizeof transfer, "m%u/0", n);
        assert_int_equal(put(&w, n, FLOW_OUT, transfer, n % 2 ? 1000 : 3000), ERR_OK);
    }
    assert_int_equal(spool_db_forget_transfer(w.db, SLICE("m0/0"), 1000), ERR_OK);
    assert_int_equal(spool_db_forget_transfer(w.db, SLICE("m2/0"), 9000),
                     ERR_OK); /* never longer than before */
    assert_int_equal(spool_db_forget_transfer(w.db, SLICE("unknown"), 9000), ERR_OK);
    assert_int_equal(spool_db_commit(w.db), ERR_OK);
    for (int round = 0; round < 12; round++) {
        assert_int_equal(spool_db_begin(w.db), ERR_OK);
        assert_int_equal(spool_db_expire_transfers(w.db, 2000, 20), ERR_OK);
        assert_int_equal(spool_db_commit(w.db), ERR_OK);
    }
    assert_int_equal(spool_db_counts(w.db)->transfers, 49);
    stop(&w);
    start(&w);
    assert_int_equal(spool_db_counts(w.db)->transfers, 49);
    assert_int_equal(spool_reader_transfer_seen(w.reader, SLICE("m2/0")), ERR_OK);
    assert_int_equal(spool_reader_transfer_seen(w.reader, SLICE("m0/0")), ERR_NOT_FOUND);
    assert_int_equal(spool_reader_transfer_seen(w.reader, SLICE("m1/0")), ERR_NOT_FOUND);
    world_deinit(&w);
}

TEST(the_oldest_of_each_flow_is_known_also_when_older_ones_come_and_go)
{
    struct world w;
    struct queue_id ten = id_of(10), five = id_of(5);
    world_init(&w);
    assert_int_equal(spool_db_begin(w.db), ERR_OK);
    assert_int_equal(put(&w, 10, FLOW_OUT, NULL, 0), ERR_OK);
    assert_int_equal(put(&w, 11, FLOW_IN, NULL, 0), ERR_OK);
    assert_int_equal(put(&w, 12, FLOW_OUT, NULL, 0), ERR_OK);
    assert_int_equal(put(&w, 5, FLOW_OUT, NULL, 0), ERR_OK); /* handed over by another node */
    assert_int_equal(spool_db_commit(w.db), ERR_OK);
    spool_db_measure(w.db, true);
    assert_int_equal(spool_db_counts(w.db)->oldest_arrival_wall_ms[FLOW_OUT], 1005);
    assert_int_equal(spool_db_counts(w.db)->oldest_arrival_wall_ms[FLOW_IN], 1011);
    assert_true(spool_db_counts(w.db)->usable_bytes > 0);
    assert_int_equal(spool_db_begin(w.db), ERR_OK);
    assert_int_equal(spool_db_remove(w.db, &five), ERR_OK);
    assert_int_equal(spool_db_remove(w.db, &ten), ERR_OK);
    assert_int_equal(spool_db_commit(w.db), ERR_OK);
    spool_db_measure(w.db, true);
    assert_int_equal(spool_db_counts(w.db)->oldest_arrival_wall_ms[FLOW_OUT], 1012);
    world_deinit(&w);
}

TEST(chunks_whose_envelope_never_came_are_swept_and_others_are_not)
{
    struct world w;
    struct buf b;
    struct queue_id id = id_of(7), whole = id_of(8);
    world_init(&w);
    assert_int_equal(spool_db_begin(w.db), ERR_OK);
    assert_int_equal(spool_db_put_chunk(w.db, &id, 0, SLICE("first"), true), ERR_OK);
    assert_int_equal(spool_db_put_chunk(w.db, &id, 1, SLICE("second"), false), ERR_OK);
    assert_int_equal(put(&w, 8, FLOW_OUT, NULL, 0), ERR_OK);
    assert_int_equal(spool_db_put_chunk(w.db, &whole, 1, SLICE("late"), false), ERR_CONFLICT);
    assert_int_equal(spool_db_commit(w.db), ERR_OK);
    buf_init(&b, 1000);
    assert_int_equal(spool_reader_chunk(w.reader, &id, 1, &b), ERR_OK);
    stop(&w);
    start(&w);
    assert_int_equal(spool_reader_chunk(w.reader, &id, 0, &b), ERR_NOT_FOUND);
    assert_int_equal(spool_reader_chunk(w.reader, &id, 1, &b), ERR_NOT_FOUND);
    buf_clear(&b);
    assert_int_equal(spool_reader_chunk(w.reader, &whole, 0, &b), ERR_OK);
    assert_slice(buf_slice(&b), "hello");
    buf_deinit(&b);
    world_deinit(&w);
}
