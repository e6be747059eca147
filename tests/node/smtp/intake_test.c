#include "node/smtp/intake.h"

#include "node/queue/spool_mem.h"
#include "tests/node/queue/sim_clock.h"
#include "tests/node/smtp/talk.h"
#include "tests/test.h"

/* A session that stands before its message, and a spool in memory. */
struct world {
    struct sim_clock clock;
    struct spool_mem *mem;
    struct queue_ids ids;
    struct rng rng;
    struct intake_conf conf;
    struct intake_client client;
    struct talk talk;
    struct intake *intake;
    unsigned done, rooms;
    enum smtp_reply refused;
};

static void on_room(void *owner)
{
    ((struct world *)owner)->rooms++;
}

static void on_done(void *owner, enum smtp_reply refused, const char *why)
{
    struct world *w = owner;
    w->done++;
    w->refused = refused;
    w->intake = NULL;
}

static void open_world(struct world *w, const char *rcpts)
{
    *w = (struct world){ .refused = SMTP_REPLY_COUNT };
    sim_clock_init(&w->clock);
    w->mem = spool_mem_create(&w->clock.env, 5);
    rng_init_seed(&w->rng, 1);
    queue_ids_init(&w->ids, SLICE("edge1"), &w->rng);
    w->conf = (struct intake_conf){ .spool = spool_mem_spool(w->mem),
                                    .ids = &w->ids,
                                    .host = SLICE("mx.example.com"),
                                    .node = SLICE("edge1"),
                                    .expire_ms = DAYS(2) };
    w->client.tls = "";
    assert_int_equal(addr_parse(SLICE("192.0.2.7"), &w->client.addr), ERR_OK);
    talk_init(&w->talk);
    talk_send(&w->talk,
              SLICE("EHLO a.example\r\nMAIL FROM:<a@a.example> RET=HDRS ENVID=e1 BODY=8BITMIME\r\n"));
    talk_send(&w->talk, slice_of(rcpts));
    w->talk.slow = true;
    talk_send(&w->talk, SLICE("DATA\r\n"));
    for (size_t i = 0; i < w->talk.s.n_rcpts; i++) {
        struct smtp_recipient *r = &w->talk.s.rcpts[i];
        r->tag = slice_ends(r->rcpt.to.whole, SLICE("@example.com")) ? FLOW_IN : FLOW_OUT;
    }
}

static void begin(struct world *w)
{
    w->intake = intake_begin(&w->clock.env, &w->conf, &w->talk.s, &w->client, on_room, w);
}

static void close_world(struct world *w)
{
    intake_abort(&w->intake);
    talk_deinit(&w->talk);
    spool_mem_destroy(w->mem);
    sim_clock_deinit(&w->clock);
}

struct found {
    struct arena arena;
    struct envelope e[4];
    size_t n;
    struct spool *spool;
};

static bool find_one(void *owner, const struct spool_item *it)
{
    struct found *f = owner;
    assert_int_equal(spool_envelope(f->spool, &it->id, &f->arena, &f->e[f->n++]), ERR_OK);
    return true;
}

static void find(struct world *w, struct found *f)
{
    *f = (struct found){ .spool = spool_mem_spool(w->mem) };
    assert_int_equal(spool_each(f->spool, 0, find_one, f), ERR_OK);
}

#define B "RCPT TO:<b@example.com> NOTIFY=DELAY ORCPT=rfc822;b@old.example\r\n"
#define C "RCPT TO:<c@foreign.example>\r\n"

TEST(the_client_hears_of_it_when_it_is_on_disk_and_the_envelope_is_all_there)
{
    struct world w;
    struct found f;
    open_world(&w, B);
    begin(&w);
    intake_body(w.intake, SLICE("Subject: x\r\n\r\nhi\r\n"));
    assert_int_equal(intake_commit(w.intake, &w.talk.s, on_done), SMTP_REPLY_NONE);
    assert_int_equal(w.done, 0);
    find(&w, &f);
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.refused, SMTP_REPLY_NONE);
    find(&w, &f);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.e[0].flow, FLOW_IN);
    assert_slice(f.e[0].sender, "a@a.example");
    assert_slice(f.e[0].envid, "e1");
    assert_int_equal(f.e[0].ret, RET_HDRS);
    assert_true(f.e[0].body_8bit && !f.e[0].smtputf8);
    assert_slice(f.e[0].rcpts[0].orcpt, "rfc822;b@old.example");
    assert_int_equal(f.e[0].rcpts[0].notify, NOTIFY_DELAY);
    assert_slice(f.e[0].client_addr, "192.0.2.7");
    assert_slice(f.e[0].client_helo, "a.example");
    assert_slice(f.e[0].origin_node, "edge1");
    assert_int_equal(f.e[0].expiry_wall_ms - f.e[0].arrival_wall_ms, DAYS(2));
    arena_deinit(&f.arena);
    close_world(&w);
}

TEST(recipients_on_both_sides_make_two_messages_and_one_answer)
{
    struct world w;
    struct found f;
    open_world(&w, B C);
    w.client.trusted = true;
    begin(&w);
    intake_body(w.intake, SLICE("Received: x\r\n\r\nhi\r\n"));
    assert_int_equal(intake_commit(w.intake, &w.talk.s, on_done), SMTP_REPLY_NONE);
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(w.done, 1);
    find(&w, &f);
    assert_int_equal(f.n, 2);
    for (size_t i = 0; i < 2; i++) {
        struct buf body;
        assert_int_equal(f.e[i].n_rcpts, 1);
        assert_slice(f.e[i].rcpts[0].address, f.e[i].flow == FLOW_IN ? "b@example.com" : "c@foreign.example");
        buf_init(&body, MIB(1));
        assert_int_equal(spool_chunk(f.spool, &f.e[i].id, 0, &body), ERR_OK);
        assert_true(slice_ends(buf_slice(&body), SLICE("\r\n\r\nhi\r\n")));
        buf_deinit(&body);
    }
    arena_deinit(&f.arena);
    close_world(&w);
}

/* The outbound half cannot be stored; the other one can. */
static const struct spool_ops *real_ops;
static struct timers *late_timers;
static struct { /* one at a time is enough */
    struct timer timer;
    spool_done_fn *done;
    void *owner;
} late;

static void fail_late(struct timer *t)
{
    late.done(late.owner, ERR_RETRY, "no space");
}

static void commit_fails(struct spool_put *p, const struct envelope *e, const struct spool_with *with,
                         spool_done_fn *done, void *owner)
{
    if (e->flow == FLOW_IN) {
        real_ops->put_commit(p, e, with, done, owner);
        return;
    }
    real_ops->put_abort(p);
    late.done = done;
    late.owner = owner;
    timer_set_in(late_timers, &late.timer, 3, fail_late, NULL);
}

TEST(when_one_half_cannot_be_stored_neither_is)
{
    struct world w;
    struct found f;
    open_world(&w, B C);
    struct spool *s = spool_mem_spool(w.mem);
    struct spool_ops ops = *s->ops;
    real_ops = s->ops;
    ops.put_commit = commit_fails;
    s->ops = &ops;
    late_timers = w.clock.env.timers;
    w.client.trusted = true;
    begin(&w);
    intake_body(w.intake, SLICE("\r\nhi\r\n"));
    assert_int_equal(intake_commit(w.intake, &w.talk.s, on_done), SMTP_REPLY_NONE);
    sim_clock_advance(&w.clock, 50);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.refused, SMTP_REPLY_FULL);
    find(&w, &f);
    assert_int_equal(f.n, 0);
    s->ops = real_ops;
    arena_deinit(&f.arena);
    close_world(&w);
}

TEST(a_full_disk_refuses_at_the_end_and_stores_nothing)
{
    struct world w;
    struct found f;
    open_world(&w, B);
    begin(&w);
    spool_mem_set_full(w.mem, true);
    char big[4096] = { 0 };
    memset(big, 'x', sizeof big - 2);
    intake_body(w.intake, SLICE("\r\n"));
    for (int i = 0; i < 100; i++) intake_body(w.intake, slice_from(big, sizeof big));
    enum smtp_reply now = intake_commit(w.intake, &w.talk.s, on_done);
    if (!now) sim_clock_advance(&w.clock, 50);
    assert_int_equal(now ? now : w.refused, SMTP_REPLY_FULL);
    find(&w, &f);
    assert_int_equal(f.n, 0);
    arena_deinit(&f.arena);
    close_world(&w);
}

TEST(a_loop_or_an_endless_header_is_refused_at_the_end)
{
    static const struct {
        const char *line;
        unsigned n;
        enum smtp_reply want;
    } cases[] = { { "Received: x\r\n", 26, SMTP_REPLY_LOOP },
                  { "X: 0123456789\r\n", 10000, SMTP_REPLY_HEADER_TOO_BIG } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        open_world(&w, B);
        begin(&w);
        for (unsigned k = 0; k < cases[i].n; k++) intake_body(w.intake, slice_of(cases[i].line));
        intake_body(w.intake, SLICE("\r\nhi\r\n"));
        assert_int_equal(intake_commit(w.intake, &w.talk.s, on_done), cases[i].want);
        close_world(&w);
    }
}

TEST(an_aborted_message_leaves_nothing)
{
    struct world w;
    struct found f;
    open_world(&w, B C);
    begin(&w);
    intake_body(w.intake, SLICE("\r\nhi\r\n"));
    intake_abort(&w.intake);
    assert_null(w.intake);
    sim_clock_advance(&w.clock, 50);
    find(&w, &f);
    assert_int_equal(f.n, 0);
    close_world(&w);
}
