#include "node/queue/reporter.h"

#include "node/queue/spool_mem.h"
#include "tests/node/queue/sim_clock.h"
#include "tests/test.h"

struct world {
    struct sim_clock clock;
    struct spool_mem *disk;
    struct spool *spool;
    struct queue_ids ids;
    struct reporter_conf conf;
    struct reporter *reporter;
    struct queue_reporter port;
    struct queue_id id; /* of the message that is reported about */
    struct arena arena;
    struct envelope e;
    int done;
    enum err err;
};

static bool is_ours(void *owner, struct slice domain)
{
    return slice_ieq(domain, SLICE("example.com"));
}

static void on_done(void *owner, enum err err)
{
    struct world *w = owner;
    w->done++;
    w->err = err;
}

/* One message on disk, of `body_bytes` behind its header, to bob and eve. */
static void world_init(struct world *w, const char *sender, size_t body_bytes)
{
    struct envelope_rcpt r[2] = { { .address = SLICE("bob@example.net") },
                                  { .address = SLICE("eve@example.net") } };
    memset(w, 0, sizeof *w);
    sim_clock_init(&w->clock);
    w->disk = spool_mem_create(&w->clock.env, 5);
    w->spool = spool_mem_spool(w->disk);
    queue_ids_init(&w->ids, SLICE("edge1"), &w->clock.rng);
    w->conf = (struct reporter_conf){ .spool = w->spool,
                                      .ids = &w->ids,
                                      .host = SLICE("edge1.example.com"),
                                      .node = SLICE("edge1"),
                                      .expire_ms = DAYS(2),
                                      .is_ours = is_ours };
    w->reporter = reporter_create(&w->clock.env, &w->conf);
    reporter_port(w->reporter, &w->port);
    queue_ids_next(&w->ids, SIM_WALL_START_MS, &w->id);
    struct envelope e = { .flow = FLOW_OUT, .sender = slice_of(sender), .rcpts = r, .n_rcpts = 2 };
    struct spool_put *p = spool_put_begin(w->spool, &w->id, NULL, NULL);
    assert_int_equal(spool_put_body(p, SLICE("Subject: lunch\r\n\r\n")), ERR_OK);
    for (size_t n = 0; n < body_bytes; n += 26)
        assert_int_equal(spool_put_body(p, SLICE("abcdefghijklmnopqrstuvwx\r\n")), ERR_OK);
    spool_put_commit(p, &e, NULL, NULL, NULL);
    sim_clock_advance(&w->clock, 10);
    assert_int_equal(spool_envelope(w->spool, &w->id, &w->arena, &w->e), ERR_OK);
}

static void world_deinit(struct world *w)
{
    reporter_destroy(w->reporter);
    spool_mem_destroy(w->disk);
    arena_deinit(&w->arena);
    sim_clock_deinit(&w->clock);
}

static void report(struct world *w, uint32_t n_rcpts, bool remove)
{
    static const uint32_t rcpts[2] = { 0, 1 };
    w->port.report(w->port.owner, QUEUE_RESULTS, &w->e, rcpts, n_rcpts, remove, on_done, w);
    assert_int_equal(w->done, 0);
}

struct found {
    struct queue_id ids[4];
    size_t n;
};

static bool note(void *owner, const struct spool_item *it)
{
    struct found *f = owner;
    f->ids[f->n++] = it->id;
    return f->n < 4;
}

/* The notification's envelope and text; the one message that is not the original. */
static void notification(struct world *w, struct envelope *e, struct buf *text)
{
    struct found f = { 0 };
    size_t i = 0;
    assert_int_equal(spool_each(w->spool, 0, note, &f), ERR_OK);
    while (i < f.n && queue_id_eq(&f.ids[i], &w->id)) i++;
    assert_true(i < f.n);
    assert_int_equal(spool_envelope(w->spool, &f.ids[i], &w->arena, e), ERR_OK);
    buf_init(text, 64 << 20);
    for (uint32_t k = 0; k < e->chunks; k++)
        assert_int_equal(spool_chunk(w->spool, &f.ids[i], k, text), ERR_OK);
}

static bool says(struct buf *text, const char *what)
{
    return slice_find_slice(buf_slice(text), slice_of(what)) < buf_len(text);
}

TEST(a_failure_is_told_and_written_down_in_one_moment)
{
    struct world w;
    struct envelope e;
    struct buf text;
    world_init(&w, "alice@example.com", 100);
    w.e.rcpts[0].state = RCPT_FAILED;
    w.e.rcpts[0].last_reply = SLICE("550 5.1.1 nobody here");
    w.e.rcpts[0].status = SLICE("5.1.1");
    report(&w, 1, false);
    assert_int_equal(spool_mem_pending(w.disk), 1);
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.err, ERR_OK);
    assert_int_equal(reporter_sent(w.reporter), 1);

    notification(&w, &e, &text);
    assert_slice(e.sender, "");
    assert_true(e.is_dsn);
    assert_int_equal(e.flow, FLOW_IN); /* alice is ours */
    assert_slice(e.rcpts[0].address, "alice@example.com");
    assert_true(says(&text, "bob@example.net") && !says(&text, "eve@example.net"));
    assert_true(says(&text, "550 5.1.1 nobody here") && says(&text, "Subject: lunch"));
    buf_deinit(&text);

    assert_int_equal(spool_envelope(w.spool, &w.id, &w.arena, &e), ERR_OK);
    assert_int_equal(e.rcpts[0].state, RCPT_FAILED);
    world_deinit(&w);
}

TEST(the_last_report_takes_the_message_along)
{
    struct world w;
    struct envelope e;
    world_init(&w, "carol@elsewhere.example", 100);
    w.e.rcpts[0].state = w.e.rcpts[1].state = RCPT_FAILED;
    report(&w, 2, true);
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(w.done, 1);
    assert_int_equal(spool_envelope(w.spool, &w.id, &w.arena, &e), ERR_NOT_FOUND);
    struct buf text;
    notification(&w, &e, &text);
    assert_int_equal(e.flow, FLOW_OUT); /* carol is not */
    buf_deinit(&text);
    world_deinit(&w);
}

TEST(nobody_is_told_when_all_went_well_or_when_the_sender_is_nobody)
{
    for (int null_sender = 0; null_sender < 2; null_sender++) {
        struct world w;
        struct spool_stats st;
        world_init(&w, null_sender ? "" : "alice@example.com", 100);
        w.e.rcpts[0].state = w.e.rcpts[1].state = null_sender ? RCPT_FAILED : RCPT_SENT;
        report(&w, 2, true);
        sim_clock_advance(&w.clock, 10);
        assert_int_equal(w.done, 1);
        assert_int_equal(reporter_sent(w.reporter), 0);
        spool_stats(w.spool, &st);
        assert_int_equal(st.messages[FLOW_IN] + st.messages[FLOW_OUT], 0);
        world_deinit(&w);
    }
}

TEST(a_report_that_the_disk_does_not_take_waits_and_the_message_stays_as_it_was)
{
    struct world w;
    struct envelope e;
    world_init(&w, "alice@example.com", 200000);
    spool_mem_set_full(w.disk, true);
    w.e.rcpts[0].state = RCPT_FAILED;
    report(&w, 1, false);
    sim_clock_advance(&w.clock, 10000);
    assert_int_equal(w.done, 0);
    assert_int_equal(spool_envelope(w.spool, &w.id, &w.arena, &e), ERR_OK);
    assert_int_equal(e.rcpts[0].state, RCPT_WAITING);
    spool_mem_set_full(w.disk, false);
    sim_clock_advance(&w.clock, 3000);
    assert_int_equal(w.done, 1);
    assert_int_equal(reporter_sent(w.reporter), 1);
    world_deinit(&w);
}

TEST(a_reporter_that_is_destroyed_tells_nobody)
{
    struct world w;
    world_init(&w, "alice@example.com", 100);
    w.e.rcpts[0].state = RCPT_FAILED;
    report(&w, 1, false);
    reporter_destroy(w.reporter);
    w.reporter = NULL;
    sim_clock_advance(&w.clock, 5000);
    assert_int_equal(w.done, 0);
    world_deinit(&w);
}
