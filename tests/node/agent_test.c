/* The node's side, event by event. `rig` is a shell that answers nothing by itself. */
#include "node/agent.h"

#include "tests/test.h"

enum { ME = 1, OTHER = 0, RUN = 77 };

struct rig {
    struct gate gate;
    struct agent *a;
    uint64_t now, wall;
    struct agent_actions out;
    /* the last of each kind, over all steps since rig_clear */
    struct agent_action seen[AGENT_DO_HANDOFF + 1], renew;
    unsigned n[AGENT_DO_HANDOFF + 1], renews;
};

static void collect(struct rig *r)
{
    for (size_t i = 0; i < r->out.n; i++) {
        const struct agent_action *x = &r->out.v[i];
        r->seen[x->kind] = *x;
        r->n[x->kind]++;
        if (x->kind == AGENT_DO_STORE && x->req.kind == STORE_RENEW) r->renew = *x, r->renews++;
    }
}

static void feed(struct rig *r, struct agent_event ev)
{
    ev.now_ms = r->now;
    ev.wall_ms = r->wall;
    agent_step(r->a, &ev, &r->out);
    collect(r);
}

static void clear(struct rig *r)
{
    memset(r->n, 0, sizeof r->n);

    r->renews = 0;
}

static void tick(struct rig *r, uint64_t ms)
{
    for (uint64_t end = r->now + ms; r->now < end;) {
        uint64_t step = MIN(end - r->now, (uint64_t)500);
        r->now += step;
        r->wall += step;
        feed(r, (struct agent_event){ .kind = AGENT_EV_TICK });
    }
}

static void rig_start(struct rig *r, struct agent_file file)
{
    struct agent_conf conf;
    agent_conf_default(&conf);
    conf.identity = ME;
    strcpy(conf.name, "edge2");
    *r = (struct rig){ .now = 10000, .wall = 50000000 };
    gate_init(&r->gate, conf.stall_ms);
    r->a = agent_create(&conf, &r->gate, NULL, &file, 4711, r->now);
    feed(r, (struct agent_event){ .kind = AGENT_EV_TICK });
    clear(r);
}

static void order(struct rig *r, enum agent_order_kind kind, uint64_t epoch, bool pending)
{
    feed(r, (struct agent_event){ .kind = AGENT_EV_ORDER,
                                  .order = { .kind = kind,
                                             .identity = ME,
                                             .op = 9,
                                             .epoch = epoch,
                                             .token = 1000 + epoch,
                                             .dns_pending = pending } });
}

static struct store_reply reply(enum store_req_kind kind, enum store_status status, uint8_t identity,
                                uint8_t state, uint64_t epoch)
{
    return (struct store_reply){
        .kind = kind,
        .status = status,
        .run = RUN,
        .egress = { .identity = identity, .state = state, .epoch = epoch, .op = 9, .token = 1000 + epoch }
    };
}

static void answer(struct rig *r, uint32_t seq, struct store_reply rep)
{
    feed(r, (struct agent_event){ .kind = AGENT_EV_STORE, .seq = seq, .reply = &rep });
}

static void answer_renew(struct rig *r, enum store_status status, uint64_t epoch)
{
    answer(r, r->renew.seq, reply(STORE_RENEW, status, ME, STORE_EGRESS_ACTIVE, epoch));
}

static void persisted(struct rig *r, enum err err)
{
    feed(r, (struct agent_event){
                .kind = AGENT_EV_PERSISTED, .seq = r->seen[AGENT_DO_PERSIST].seq, .err = err });
}

static void aborted(struct rig *r)
{
    feed(r, (struct agent_event){ .kind = AGENT_EV_ABORTED, .seq = r->seen[AGENT_DO_ABORT].seq });
}

static void token(struct rig *r, uint64_t epoch, uint8_t identity)
{
    feed(r, (struct agent_event){
                .kind = AGENT_EV_TOKEN,
                .seq = r->seen[AGENT_DO_READ_TOKEN].seq,
                .token = { .reachable = true, .present = true, .identity = identity, .epoch = epoch } });
}

static void spf(struct rig *r, enum agent_spf result)
{
    feed(r,
         (struct agent_event){ .kind = AGENT_EV_SPF, .seq = r->seen[AGENT_DO_CHECK_SPF].seq, .spf = result });
}

static bool open_now(struct rig *r)
{
    return gate_may_send(&r->gate, r->now);
}

/* From a grant to an open gate, all answers at once. */
static void activate(struct rig *r, uint64_t epoch)
{
    order(r, AGENT_GRANT, epoch, false);
    token(r, epoch, ME);
    spf(r, AGENT_SPF_PASS);
    persisted(r, ERR_OK);
    aborted(r);
    answer_renew(r, STORE_OK, epoch);
    assert_true(open_now(r));
    assert_int_equal(agent_state(r->a), AGENT_ACTIVE);
    clear(r);
}

TEST(a_grant_opens_only_when_everything_is_true)
{
    for (int missing = 0; missing < 5; missing++) {
        struct rig r;
        rig_start(&r, (struct agent_file){ 0 });
        order(&r, AGENT_GRANT, 3, false);
        assert_int_equal(agent_state(r.a), AGENT_CHECKING);
        if (missing != 0) token(&r, 3, ME);
        if (missing != 1) spf(&r, AGENT_SPF_PASS);
        if (missing != 2) persisted(&r, ERR_OK);
        if (missing != 3) aborted(&r);
        assert_int_equal(r.renews, missing == 4 ? 1 : 0);
        if (missing == 4) {
            assert_false(open_now(&r));
            answer_renew(&r, STORE_OK, 3);
            assert_true(open_now(&r));
            assert_true(r.seen[AGENT_DO_ACK].ack.done);
            assert_int_equal(r.seen[AGENT_DO_HANDOFF].to, ME);
        }
        agent_destroy(r.a);
    }
}

TEST(the_lease_counts_from_when_the_renewal_was_sent)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    activate(&r, 1);
    tick(&r, 3000);
    assert_int_equal(r.renews, 1);
    uint64_t sent = r.now;
    tick(&r, 2500);
    answer_renew(&r, STORE_OK, 1);
    assert_int_equal(gate_left_ms(&r.gate, r.now), sent + 13000 - r.now);
    agent_destroy(r.a);
}

TEST(an_answer_that_comes_too_late_counts_nothing)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    activate(&r, 1);
    tick(&r, 12900);
    struct agent_action late = r.renew; /* its own time-out has passed by then, another is under way */
    tick(&r, 3500);
    assert_int_equal(agent_state(r.a), AGENT_LAPSED);
    answer(&r, late.seq, reply(STORE_RENEW, STORE_OK, ME, STORE_EGRESS_ACTIVE, 1));
    assert_false(open_now(&r));
    agent_destroy(r.a);
}

TEST(a_grant_below_what_was_seen_is_refused)
{
    static const struct {
        struct agent_file file;
        uint64_t epoch;
        bool ok;
    } cases[] = {
        { { .epoch = 5, .mine = true, .fenced = 5 }, 4, false },
        { { .epoch = 5, .mine = true, .fenced = 5 }, 5, false },
        { { .epoch = 5, .mine = false }, 5, false },
        { { .epoch = 5, .mine = true, .fenced = 2 }, 5, false }, /* a restart fences for all it knows */
        { { .epoch = 5, .mine = true, .fenced = 5 }, 6, true },
        { { 0 }, 1, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;
        rig_start(&r, cases[i].file);
        order(&r, AGENT_GRANT, cases[i].epoch, false);
        assert_int_equal(agent_state(r.a) == AGENT_CHECKING, cases[i].ok);
        assert_int_equal(r.n[AGENT_DO_ACK], cases[i].ok ? 0 : 1);
        if (!cases[i].ok) assert_false(r.seen[AGENT_DO_ACK].ack.done);
        agent_destroy(r.a);
    }
}

TEST(dns_with_a_higher_epoch_or_another_identity_refuses_the_grant)
{
    static const struct {
        uint64_t epoch;
        uint8_t identity;
        bool pending;
        enum agent_state want;
    } cases[] = {
        { 3, ME, false, AGENT_CHECKING },   { 4, ME, false, AGENT_FENCED },
        { 4, OTHER, false, AGENT_FENCED },  { 3, OTHER, false, AGENT_FENCED },
        { 2, OTHER, true, AGENT_CHECKING }, { 2, OTHER, false, AGENT_CHECKING },
        { 4, OTHER, true, AGENT_FENCED },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;
        rig_start(&r, (struct agent_file){ 0 });
        order(&r, AGENT_GRANT, 3, cases[i].pending);
        token(&r, cases[i].epoch, cases[i].identity);
        assert_int_equal(agent_state(r.a), cases[i].want);
        agent_destroy(r.a);
    }
}

TEST(a_secondary_that_lags_is_asked_again_until_the_grant_times_out)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    order(&r, AGENT_GRANT, 3, false);
    token(&r, 2, OTHER);
    spf(&r, AGENT_SPF_PASS);
    persisted(&r, ERR_OK);
    aborted(&r);
    assert_int_equal(r.renews, 0);
    tick(&r, 1500);
    assert_int_equal(r.n[AGENT_DO_READ_TOKEN], 2);
    token(&r, 3, ME);
    assert_int_equal(r.renews, 1);
    agent_destroy(r.a);

    rig_start(&r, (struct agent_file){ 0 });
    order(&r, AGENT_GRANT, 3, false);
    token(&r, 2, OTHER);
    tick(&r, 21000);
    assert_int_equal(agent_state(r.a), AGENT_FENCED);
    assert_string_equal(r.seen[AGENT_DO_ACK].ack.why, "DNS has a lower epoch");
    agent_destroy(r.a);
}

TEST(a_grant_whose_spf_fails_is_refused)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    order(&r, AGENT_GRANT, 3, false);
    spf(&r, AGENT_SPF_FAIL);
    assert_int_equal(agent_state(r.a), AGENT_FENCED);
    assert_false(r.seen[AGENT_DO_ACK].ack.done);
    order(&r, AGENT_GRANT, 3, false); /* and stays refused */
    assert_int_equal(agent_state(r.a), AGENT_FENCED);
    agent_destroy(r.a);
}

TEST(a_fence_is_acknowledged_when_closed_empty_and_on_disk)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    activate(&r, 1);
    order(&r, AGENT_FENCE, 1, false);
    assert_false(open_now(&r));
    assert_int_equal(r.n[AGENT_DO_ABORT], 1);
    aborted(&r);
    assert_int_equal(r.n[AGENT_DO_ACK], 0);
    assert_int_equal(r.seen[AGENT_DO_PERSIST].file.fenced, 1);
    persisted(&r, ERR_OK);
    assert_int_equal(r.n[AGENT_DO_ACK], 1);
    assert_true(r.seen[AGENT_DO_ACK].ack.done);
    assert_int_equal(r.seen[AGENT_DO_ACK].ack.token, 1001);
    assert_int_equal(r.seen[AGENT_DO_REPORT].beat.fence_token, 1001);
    agent_destroy(r.a);
}

TEST(a_fence_waits_for_the_reply_to_a_dot_but_not_for_ever)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    activate(&r, 1);
    assert_true(gate_dot_begin(&r.gate, gate_ticket(&r.gate, r.now), r.now));
    order(&r, AGENT_FENCE, 1, false);
    persisted(&r, ERR_OK);
    aborted(&r);
    tick(&r, 4000);
    assert_int_equal(r.n[AGENT_DO_ACK], 0);
    tick(&r, 1500);
    assert_int_equal(r.n[AGENT_DO_ACK], 1);
    gate_dot_end(&r.gate);
    agent_destroy(r.a);
}

TEST(a_full_disk_delays_the_acknowledgement_until_it_is_written)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    activate(&r, 1);
    order(&r, AGENT_FENCE, 1, false);
    aborted(&r);
    persisted(&r, ERR_RETRY);
    tick(&r, 1500);
    assert_int_equal(r.n[AGENT_DO_PERSIST], 2);
    assert_int_equal(r.n[AGENT_DO_ACK], 0);
    persisted(&r, ERR_OK);
    assert_int_equal(r.n[AGENT_DO_ACK], 1);
    agent_destroy(r.a);
}

TEST(an_old_fence_does_not_close_a_newer_grant)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    activate(&r, 5);
    order(&r, AGENT_FENCE, 4, false);
    assert_true(open_now(&r));
    assert_false(r.seen[AGENT_DO_ACK].ack.done);
    agent_destroy(r.a);
}

TEST(orders_also_come_through_the_store)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    tick(&r, 3000);
    answer(&r, r.seen[AGENT_DO_STORE].seq, reply(STORE_BEAT, STORE_OK, ME, STORE_EGRESS_ACTIVE, 2));
    assert_int_equal(agent_state(r.a), AGENT_CHECKING);
    token(&r, 2, ME);
    spf(&r, AGENT_SPF_PASS);
    persisted(&r, ERR_OK);
    aborted(&r);
    answer_renew(&r, STORE_OK, 2);
    assert_true(open_now(&r));
    tick(&r, 3000);
    answer(&r, r.renew.seq, reply(STORE_RENEW, STORE_CONFLICT, ME, STORE_EGRESS_FENCING, 2));
    assert_false(open_now(&r));
    assert_int_equal(agent_state(r.a), AGENT_FENCING);
    agent_destroy(r.a);
}

TEST(a_refused_renewal_closes_at_once)
{
    static const enum store_status statuses[] = { STORE_STALE, STORE_CONFLICT };
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        struct rig r;
        rig_start(&r, (struct agent_file){ 0 });
        activate(&r, 1);
        tick(&r, 3000);
        answer(&r, r.renew.seq, reply(STORE_RENEW, statuses[i], OTHER, STORE_EGRESS_ACTIVE, 0));
        assert_false(open_now(&r));
        assert_int_equal(agent_state(r.a), AGENT_FENCED);
        assert_int_equal(r.seen[AGENT_DO_PERSIST].file.fenced, 1);
        agent_destroy(r.a);
    }
}

TEST(an_unknown_answer_lets_the_lease_run_out_and_the_same_server_reopens_it)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    activate(&r, 1);
    tick(&r, 3000);
    answer_renew(&r, STORE_UNKNOWN, 1);
    assert_true(open_now(&r));
    tick(&r, 11000);
    assert_false(open_now(&r));
    assert_int_equal(agent_state(r.a), AGENT_LAPSED);
    answer_renew(&r, STORE_OK, 1);
    assert_true(open_now(&r));
    agent_destroy(r.a);
}

TEST(after_a_lapse_another_server_does_not_reopen_it)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    activate(&r, 1);
    tick(&r, 14000);
    assert_int_equal(agent_state(r.a), AGENT_LAPSED);
    struct store_reply rep = reply(STORE_RENEW, STORE_OK, ME, STORE_EGRESS_ACTIVE, 1);
    rep.run = RUN + 1;
    answer(&r, r.renew.seq, rep);
    assert_false(open_now(&r));
    assert_int_equal(agent_state(r.a), AGENT_FENCED);
    agent_destroy(r.a);
}

TEST(a_stall_closes_until_a_renewal_sent_after_it)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    activate(&r, 1);
    tick(&r, 3000);
    uint32_t before = r.renew.seq;
    r.now += 2500, r.wall += 2500; /* the process was stopped */
    feed(&r, (struct agent_event){ .kind = AGENT_EV_TICK });
    assert_int_equal(agent_state(r.a), AGENT_LAPSED);
    answer(&r, before, reply(STORE_RENEW, STORE_OK, ME, STORE_EGRESS_ACTIVE, 1));
    assert_false(open_now(&r));
    answer_renew(&r, STORE_OK, 1);
    assert_true(open_now(&r));
    agent_destroy(r.a);
}

TEST(somebody_elses_grant_closes_ours)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ 0 });
    activate(&r, 1);
    tick(&r, 3000);
    answer(&r, r.seen[AGENT_DO_STORE].seq, reply(STORE_BEAT, STORE_OK, OTHER, STORE_EGRESS_ACTIVE, 2));
    assert_false(open_now(&r));
    agent_destroy(r.a);
}

TEST(a_node_that_restarts_is_fenced_for_all_it_knows)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ .epoch = 7, .mine = true, .fenced = 3 });
    assert_int_equal(agent_state(r.a), AGENT_FENCED);
    assert_int_equal(agent_reported(r.a), STORE_R_FENCED);
    tick(&r, 500);
    struct store_reply rep = reply(STORE_BEAT, STORE_OK, ME, STORE_EGRESS_ACTIVE, 7);
    tick(&r, 3000);
    answer(&r, r.seen[AGENT_DO_STORE].seq, rep);
    assert_int_equal(agent_state(r.a), AGENT_FENCED);
    assert_false(open_now(&r));
    agent_destroy(r.a);
}

TEST(a_fenced_node_hands_its_queue_to_whoever_sends)
{
    struct rig r;
    rig_start(&r, (struct agent_file){ .epoch = 1, .mine = true, .fenced = 1 });
    tick(&r, 3000);
    answer(&r, r.seen[AGENT_DO_STORE].seq, reply(STORE_BEAT, STORE_OK, OTHER, STORE_EGRESS_ACTIVE, 2));
    assert_int_equal(r.n[AGENT_DO_HANDOFF], 1);
    assert_int_equal(r.seen[AGENT_DO_HANDOFF].to, OTHER);
    assert_int_equal(agent_state(r.a), AGENT_STANDBY);
    agent_destroy(r.a);
}

/* I16: every order may be given in every state; a fence always ends closed, and always ends in an acknowledgement. */
TEST(every_order_is_valid_in_every_state)
{
    for (int state = 0; state < AGENT_STATES; state++) {
        for (int kind = AGENT_FENCE; kind <= AGENT_HANDOFF; kind++) {
            struct rig r;
            rig_start(&r, (struct agent_file){ 0 });
            if (state == AGENT_CHECKING) order(&r, AGENT_GRANT, 1, false);
            if (state == AGENT_ACTIVE || state == AGENT_LAPSED || state == AGENT_FENCING ||
                state == AGENT_FENCED)
                activate(&r, 1);
            if (state == AGENT_LAPSED) tick(&r, 14000);
            if (state == AGENT_FENCING || state == AGENT_FENCED) order(&r, AGENT_FENCE, 1, false);
            if (state == AGENT_FENCED) persisted(&r, ERR_OK), aborted(&r);
            assert_int_equal(agent_state(r.a), state);
            clear(&r);
            order(&r, (enum agent_order_kind)kind, 2, false);
            if (kind == AGENT_FENCE) {
                assert_false(open_now(&r));
                tick(&r, 6000);
                persisted(&r, ERR_OK);
                tick(&r, 1500);
                persisted(&r, ERR_OK);
                tick(&r, 500);
                assert_int_equal(agent_state(r.a), AGENT_FENCED);
                assert_true(r.seen[AGENT_DO_ACK].ack.done);
            }
            if (kind == AGENT_GRANT) assert_int_equal(agent_state(r.a), AGENT_CHECKING);
            if (kind == AGENT_HANDOFF) assert_int_equal(agent_state(r.a), state);
            agent_destroy(r.a);
        }
    }
}

TEST(alone_it_is_active_and_asks_nobody)
{
    struct agent_conf conf;
    agent_conf_default(&conf);
    conf.solo = true;
    struct gate g;
    gate_init(&g, conf.stall_ms);
    struct agent *a = agent_create(&conf, &g, NULL, &(struct agent_file){ 0 }, 1, 1000);
    struct agent_actions out;
    agent_step(a, &(struct agent_event){ .kind = AGENT_EV_TICK, .now_ms = 900000 }, &out);
    assert_int_equal(out.n, 0);
    assert_int_equal(agent_due_ms(a), UINT64_MAX);
    assert_true(gate_may_send(&g, 900000));
    agent_destroy(a);
}

TEST(the_file_reads_back_as_it_was_written)
{
    struct agent_file f = { .epoch = 12, .mine = true, .fenced = 11 }, g;
    struct buf b;
    buf_init(&b, 200);
    agent_file_format(&f, &b);
    assert_slice(buf_slice(&b), "epoch=12 mine=1 fenced=11\n");
    assert_int_equal(agent_file_parse(buf_slice(&b), &g), ERR_OK);
    assert_memory_equal(&f.epoch, &g.epoch, sizeof f.epoch);
    assert_true(g.mine && g.fenced == 11);
    buf_deinit(&b);
}

TEST(a_damaged_epoch_file_is_not_guessed_at)
{
    static const char *const damaged[] = { "",
                                           "epoch=",
                                           "epoch=5",
                                           "epoch=5 mine=2 fenced=0\n",
                                           "epoch=5 mine=0 fenced=x\n",
                                           "mine=1 epoch=1 fenced=0",
                                           "epoch=5 mine=0 fenced=4 more\n",
                                           "epoch=5 mine=0 fenced=4\nepoch=6\n" };
    struct agent_file out = { .epoch = 7 };
    for (size_t i = 0; i < ARRAY_LEN(damaged); i++)
        assert_int_equal(agent_file_parse(slice_of(damaged[i]), &out), ERR_MALFORMED);
    assert_int_equal(out.epoch, 7);
}
