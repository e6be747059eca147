/* tests/node/queue/spool_contract.h: what every back end of node/queue/spool.h must do. The includer defines before:
 *   struct world { struct spool *s; … };
 *   static void world_open(struct world *w);      empty spool
 *   static void world_settle(struct world *w);    lets everything written be synced and told
 *   static void world_reopen(struct world *w);    a restart; w->s may change
 *   static void world_close(struct world *w); */

#include <stdio.h>

#include "node/queue/spool.h"
#include "tests/test.h"

struct answer {
    int runs;
    enum err err;
};

static void on_answer(void *owner, enum err err, const char *why)
{
    struct answer *a = owner;
    a->runs++;
    a->err = err;
}

static struct queue_id test_id(unsigned n)
{
    struct queue_id id;
    char text[QUEUE_ID_CHARS + 1];
    snprintf(text, sizeof text, "%018u", n);
    assert_int_equal(queue_id_parse(slice_of(text), &id), ERR_OK);
    return id;
}

static struct envelope_rcpt two_rcpts[2] = { { .address = SLICE_INIT("bob@Example.NET") },
                                             { .address = SLICE_INIT("eve@example.net") } };

static struct envelope test_envelope(unsigned n)
{
    return (struct envelope){ .id = test_id(n),
                              .flow = n % 2 ? FLOW_OUT : FLOW_IN,
                              .sender = SLICE("alice@example.com"),
                              .arrival_wall_ms = 1000 + n,
                              .next_try_wall_ms = 5000 - n,
                              .expiry_wall_ms = 100000,
                              .rcpts = two_rcpts,
                              .n_rcpts = 2 };
}

static char body_byte(size_t i)
{
    return (char)(i * 31 + i / 251);
}

static struct spool_put *begin_with_body(struct world *w, unsigned n, size_t bytes)
{
    struct queue_id id = test_id(n);
    struct spool_put *p = spool_put_begin(w->s, &id, NULL, NULL);
    char part[1000];
    for (size_t at = 0; at < bytes;) {
        size_t k = MIN(sizeof part, bytes - at);
        for (size_t i = 0; i < k; i++) part[i] = body_byte(at + i);
        assert_int_equal(spool_put_body(p, slice_from(part, k)), ERR_OK);
        at += k;
    }
    return p;
}

static enum err store(struct world *w, unsigned n, size_t bytes, const struct spool_with *with)
{
    struct answer a = { 0 };
    struct envelope e = test_envelope(n);
    spool_put_commit(begin_with_body(w, n, bytes), &e, with, on_answer, &a);
    assert_int_equal(a.runs, 0); /* never before the call returns */
    world_settle(w);
    assert_int_equal(a.runs, 1);
    return a.err;
}

static enum err load(struct world *w, unsigned n, struct arena *a, struct envelope *out)
{
    struct queue_id id = test_id(n);
    return spool_envelope(w->s, &id, a, out);
}

static bool has(struct world *w, unsigned n)
{
    struct arena a = { 0 };
    struct envelope e;
    enum err err = load(w, n, &a, &e);
    arena_deinit(&a);
    return err == ERR_OK;
}

static void assert_body(struct world *w, unsigned n, size_t bytes)
{
    struct queue_id id = test_id(n);
    struct buf b;
    buf_init(&b, bytes + SPOOL_CHUNK_BYTES);
    uint32_t i = 0;
    while (spool_chunk(w->s, &id, i, &b) == ERR_OK) i++;
    assert_int_equal(i, (bytes + SPOOL_CHUNK_BYTES - 1) / SPOOL_CHUNK_BYTES);
    assert_int_equal(buf_len(&b), bytes);
    for (size_t k = 0; k < bytes; k++)
        if (buf_slice(&b).p[k] != body_byte(k)) fail_msg("byte %zu of message %u", k, n);
    buf_deinit(&b);
}

TEST(a_message_comes_back_as_it_went_in_also_after_a_restart)
{
    static const size_t sizes[] = {
        0, 1, SPOOL_CHUNK_BYTES - 1, SPOOL_CHUNK_BYTES, SPOOL_CHUNK_BYTES + 1, 1000000
    };
    struct world w;
    struct arena a = { 0 };
    world_open(&w);
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) assert_int_equal(store(&w, i, sizes[i], NULL), ERR_OK);
    for (int restart = 0; restart < 2; restart++) {
        for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
            struct envelope e;
            assert_int_equal(load(&w, i, &a, &e), ERR_OK);
            assert_slice(e.rcpts[1].address, "eve@example.net");
            assert_int_equal(e.size_bytes, sizes[i]);
            assert_body(&w, i, sizes[i]);
        }
        world_reopen(&w);
    }
    arena_deinit(&a);
    world_close(&w);
}

TEST(nothing_is_there_before_its_commit_or_after_an_abort)
{
    struct world w;
    world_open(&w);
    struct spool_put *p = begin_with_body(&w, 1, 300000);
    world_settle(&w);
    assert_false(has(&w, 1));
    spool_put_abort(&p);
    assert_null(p);
    world_settle(&w);
    assert_false(has(&w, 1));
    assert_body(&w, 1, 0); /* no chunk is left behind */
    world_close(&w);
}

TEST(an_orphan_of_a_crash_is_swept_at_start)
{
    struct world w;
    world_open(&w);
    assert_int_equal(store(&w, 2, 200000, NULL), ERR_OK);
    struct spool_put *p = begin_with_body(&w, 1, 300000);
    world_settle(&w);
    w.orphan = p;
    world_reopen(&w);
    assert_body(&w, 1, 0);
    assert_body(&w, 2, 200000);
    world_close(&w);
}

TEST(an_update_replaces_the_envelope_and_keeps_the_body)
{
    struct world w;
    struct arena a = { 0 };
    struct answer ans = { 0 };
    struct envelope e;
    world_open(&w);
    assert_int_equal(store(&w, 1, 70000, NULL), ERR_OK);
    assert_int_equal(load(&w, 1, &a, &e), ERR_OK);
    e.rcpts[0].state = RCPT_SENT;
    e.next_try_wall_ms = 99;
    e.size_bytes = 1; /* not the caller's to change */
    spool_update(w.s, &e, on_answer, &ans);
    world_settle(&w);
    assert_int_equal(ans.runs, 1);
    assert_int_equal(ans.err, ERR_OK);
    world_reopen(&w);
    assert_int_equal(load(&w, 1, &a, &e), ERR_OK);
    assert_int_equal(e.rcpts[0].state, RCPT_SENT);
    assert_int_equal(e.size_bytes, 70000);
    assert_body(&w, 1, 70000);
    arena_deinit(&a);
    world_close(&w);
}

TEST(a_remove_takes_all_of_the_message_and_may_be_repeated)
{
    struct world w;
    struct answer a = { 0 };
    struct spool_stats st;
    world_open(&w);
    assert_int_equal(store(&w, 1, 70000, NULL), ERR_OK);
    struct queue_id id = test_id(1);
    spool_remove(w.s, &id, on_answer, &a);
    spool_remove(w.s, &id, NULL, NULL);
    world_settle(&w);
    assert_int_equal(a.runs, 1);
    assert_int_equal(a.err, ERR_OK);
    assert_false(has(&w, 1));
    assert_body(&w, 1, 0);
    spool_stats(w.s, &st);
    assert_int_equal(st.messages[FLOW_OUT], 0);
    assert_int_equal(st.bytes[FLOW_OUT], 0);
    world_close(&w);
}

TEST(what_is_not_there_cannot_be_updated_and_an_id_is_used_once)
{
    struct world w;
    struct answer a = { 0 };
    struct envelope e = test_envelope(7);
    world_open(&w);
    spool_update(w.s, &e, on_answer, &a);
    world_settle(&w);
    assert_int_equal(a.err, ERR_NOT_FOUND);
    assert_int_equal(store(&w, 1, 70000, NULL), ERR_OK);
    assert_int_equal(store(&w, 1, 10, NULL), ERR_CONFLICT);
    assert_body(&w, 1, 70000);
    world_close(&w);
}

TEST(a_transfer_id_is_recorded_with_its_message_and_refuses_a_second_one)
{
    struct world w;
    struct spool_with with = { .transfer = SLICE("m/0"), .transfer_until_wall_ms = UINT64_MAX };
    world_open(&w);
    assert_int_equal(spool_transfer_seen(w.s, SLICE("m/0")), ERR_NOT_FOUND);
    assert_int_equal(store(&w, 1, 100000, &with), ERR_OK);
    world_reopen(&w);
    assert_int_equal(spool_transfer_seen(w.s, SLICE("m/0")), ERR_OK);
    assert_int_equal(spool_transfer_seen(w.s, SLICE("m/1")), ERR_NOT_FOUND);
    assert_int_equal(store(&w, 2, 100000, &with), ERR_CONFLICT);
    assert_false(has(&w, 2));
    assert_body(&w, 2, 0);
    world_close(&w);
}

TEST(what_comes_with_a_message_happens_in_the_same_moment)
{
    struct world w;
    struct arena a = { 0 };
    struct envelope e;
    world_open(&w);
    assert_int_equal(store(&w, 1, 10, NULL), ERR_OK);
    assert_int_equal(store(&w, 2, 10, NULL), ERR_OK);
    assert_int_equal(load(&w, 1, &a, &e), ERR_OK);
    e.rcpts[0].state = RCPT_FAILED;
    struct queue_id gone = test_id(2);
    assert_int_equal(store(&w, 3, 10, &(struct spool_with){ .update = &e, .remove = &gone }), ERR_OK);
    assert_false(has(&w, 2));
    assert_true(has(&w, 3));
    assert_int_equal(load(&w, 1, &a, &e), ERR_OK);
    assert_int_equal(e.rcpts[0].state, RCPT_FAILED);
    arena_deinit(&a);
    world_close(&w);
}

struct seen {
    struct spool *spool;
    unsigned n;
    struct spool_item items[8];
    char domains[8][64];
    unsigned stop_at;
};

static bool see(void *owner, const struct spool_item *it)
{
    struct seen *s = owner;
    struct arena a = { 0 };
    struct envelope e;
    assert_int_equal(spool_envelope(s->spool, &it->id, &a, &e), ERR_OK); /* reading is allowed here */
    arena_deinit(&a);
    s->items[s->n] = *it;
    assert_int_equal(slice_cstr(it->domain, s->domains[s->n], 64), ERR_OK);
    return ++s->n < s->stop_at;
}

TEST(the_index_goes_by_due_time_and_tells_the_domain_all_recipients_share)
{
    struct world w;
    struct seen s = { .stop_at = 8 };
    world_open(&w);
    for (unsigned i = 1; i <= 4; i++) assert_int_equal(store(&w, i, i * 10, NULL), ERR_OK);
    world_reopen(&w);
    s.spool = w.s;
    assert_int_equal(spool_each(w.s, 0, see, &s), ERR_OK);
    assert_int_equal(s.n, 4);
    for (unsigned i = 0; i < 4; i++) {
        struct queue_id want = test_id(4 - i);
        assert_true(queue_id_eq(&s.items[i].id, &want));
        assert_int_equal(s.items[i].due_wall_ms, 4996 + i);
        assert_int_equal(s.items[i].size_bytes, (4 - i) * 10);
        assert_int_equal(s.items[i].flow, i % 2 ? FLOW_OUT : FLOW_IN);
        assert_string_equal(s.domains[i], strchr("bob@Example.NET", '@') + 1);
    }
    s = (struct seen){ .stop_at = 2, .spool = w.s };
    assert_int_equal(spool_each(w.s, 4997, see, &s), ERR_OK);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.items[0].due_wall_ms, 4997);
    world_close(&w);
}

TEST(the_statistics_count_by_flow_also_after_a_restart)
{
    struct world w;
    struct spool_stats st;
    world_open(&w);
    for (unsigned i = 1; i <= 3; i++) assert_int_equal(store(&w, i, 100, NULL), ERR_OK);
    for (int restart = 0; restart < 2; restart++) {
        spool_stats(w.s, &st);
        assert_int_equal(st.messages[FLOW_OUT], 2);
        assert_int_equal(st.messages[FLOW_IN], 1);
        assert_int_equal(st.bytes[FLOW_OUT], 200);
        assert_int_equal(st.oldest_arrival_wall_ms[FLOW_OUT], 1001);
        assert_true(st.accepting);
        world_reopen(&w);
    }
    world_close(&w);
}

struct stored {
    unsigned n;
    struct queue_id last;
};

static void on_stored(void *owner, const struct queue_id *ids, size_t n)
{
    struct stored *s = owner;
    s->n += (unsigned)n;
    s->last = ids[n - 1];
}

TEST(the_watcher_hears_of_a_message_whose_sender_has_left)
{
    struct world w;
    struct answer a = { 0 };
    struct stored heard = { 0 };
    struct envelope e = test_envelope(9);
    world_open(&w);
    spool_watch(w.s, on_stored, &heard);
    struct spool_put *p = begin_with_body(&w, 9, 100);
    spool_put_commit(p, &e, NULL, on_answer, &a);
    spool_put_abort(&p);
    world_settle(&w);
    assert_int_equal(a.runs, 0);
    assert_int_equal(heard.n, has(&w, 9) ? 1 : 0);
    world_close(&w);
}

TEST(a_cancelled_change_happens_but_is_not_told)
{
    struct world w;
    struct answer a = { 0 };
    struct queue_id id = test_id(1);
    world_open(&w);
    assert_int_equal(store(&w, 1, 10, NULL), ERR_OK);
    struct spool_op *op = spool_remove(w.s, &id, on_answer, &a);
    spool_op_cancel(&op);
    world_settle(&w);
    assert_int_equal(a.runs, 0);
    assert_false(has(&w, 1));
    world_close(&w);
}
