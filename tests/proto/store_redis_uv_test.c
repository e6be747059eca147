/* The script in Redis and the model in C, side by side: the same requests must have the same answers and leave the same
 * state. The simulator proves the protocol on the model; this proves that the model is the script. */
#include "proto/store_redis_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "proto/store_model.h"
#include "tests/base/peer.h"
#include "tests/redis_server.h"
#include "tests/test.h"

enum { COORD_LEASE_MS = 60000, REQUESTS = 5000 };

struct world {
    struct loop *loop;
    struct redis_server server;
    struct redis *redis;
    struct store_redis *store;
    struct opt_source src;
    struct cluster_conf cluster;
    struct store_redis_conf conf;
    struct store_model model;
    bool answered;
    struct store_reply reply;
    struct store_view view;
    char word[64];
};

static void world_init(struct world *w)
{
    *w = (struct world){ 0 };
    redis_server_init(&w->server, "appendonly yes");
    opt_source_init(&w->src, "cluster.yaml");
    enum err err = cluster_conf_load_text(
        &w->src,
        SLICE("cluster: lab\nallow_documentation_addresses: yes\n"
              "identities: [ { name: a, node: n1, ip: 192.0.2.1, helo: a.example.com }, "
              "{ name: b, node: n2, ip: 198.51.100.1, helo: b.example.com }, "
              "{ name: c, node: n2, ip: 203.0.113.1, helo: c.example.com } ]\n"
              "nodes: [ { name: n1, handoff: 10.0.0.1 }, { name: n2, handoff: 10.0.0.2 } ]\n"),
        &w->cluster);
    assert_int_equal(err, ERR_OK);
    assert_int_equal(loop_create(NULL, &w->loop), ERR_OK);
    struct redis_conf rc = { .servers = &w->server.addr, .n_servers = 1 };
    w->redis = redis_create(loop_env(w->loop), &rc, NULL, NULL);
    w->conf = (struct store_redis_conf){ &w->cluster, COORD_LEASE_MS, MINUTES(30) };
    w->store = store_redis_create(loop_env(w->loop), w->redis, &w->conf);
    RUN_UNTIL(w->loop, redis_is_up(w->redis));
    store_model_init(&w->model, 1, COORD_LEASE_MS);
}

static void world_deinit(struct world *w)
{
    store_redis_destroy(w->store);
    redis_destroy(w->redis);
    loop_destroy(w->loop);
    opt_source_deinit(&w->src);
    redis_server_deinit(&w->server);
}

static void on_reply(void *owner, const struct store_reply *r, const char *word)
{
    struct world *w = owner;
    w->answered = true;
    w->reply = *r;
    if (r->view) w->view = *r->view, w->reply.view = &w->view;
    snprintf(w->word, sizeof w->word, "%s", word);
    loop_stop(w->loop); /* do not sit out the turn: there are thousands of these */
}

static const struct store_reply *ask(struct world *w, const struct store_req *q)
{
    w->answered = false;
    store_redis_send(w->store, q, 5000, on_reply, w);
    RUN_UNTIL(w->loop, w->answered);
    return &w->reply;
}

static void same(enum store_req_kind kind, const char *what, uint64_t redis, uint64_t model)
{
    if (redis != model)
        fail_msg("request %s: redis %s=%" PRIu64 ", model %" PRIu64, store_req_name(kind), what, redis,
                 model);
}
#define SAME(a, b, field) same(kind, #field, (uint64_t)(a)->field, (uint64_t)(b)->field)

static void same_egress(enum store_req_kind kind, const struct store_egress *a, const struct store_egress *b)
{
    SAME(a, b, identity), SAME(a, b, state), SAME(a, b, dns_pending), SAME(a, b, epoch), SAME(a, b, op),
        SAME(a, b, token);
    SAME(a, b, since_wall_ms);
}

static void same_op(enum store_req_kind kind, const struct store_op_rec *a, const struct store_op_rec *b)
{
    SAME(a, b, id), SAME(a, b, no);
    if (!a->id) return;
    SAME(a, b, seq), SAME(a, b, kind), SAME(a, b, step), SAME(a, b, from), SAME(a, b, to), SAME(a, b, flags);
    SAME(a, b, base_epoch), SAME(a, b, epoch), SAME(a, b, token), SAME(a, b, spf_set),
        SAME(a, b, started_wall_ms), SAME(a, b, gap_ms);
    for (size_t i = 0; i < STORE_STEPS; i++) SAME(a, b, took_ms[i]);
    assert_string_equal(a->by, b->by);
    assert_string_equal(a->why, b->why);
}

static void same_beat(enum store_req_kind kind, const struct store_beat *a, const struct store_beat *b)
{
    SAME(a, b, seq), SAME(a, b, instance), SAME(a, b, reported), SAME(a, b, preflight_ok),
        SAME(a, b, egress_ok), SAME(a, b, store_ok);
    SAME(a, b, epoch), SAME(a, b, fenced_epoch), SAME(a, b, fence_token), SAME(a, b, refused_epoch),
        SAME(a, b, lease_left_ms);
    SAME(a, b, queue_out), SAME(a, b, sent), SAME(a, b, wall_ms);
    assert_string_equal(a->refused_why, b->refused_why);
}

static void same_view(enum store_req_kind kind, const struct store_view *a, const struct store_view *b)
{
    SAME(a, b, epoch), SAME(a, b, used_epoch), SAME(a, b, term), SAME(a, b, leader),
        SAME(a, b, controls.version), SAME(a, b, controls.paused), SAME(a, b, controls.pin);
    SAME(a, b, controls.pin_until_wall_ms), SAME(a, b, n_evidence);
    same_op(kind, &a->op, &b->op);
    for (size_t i = 0; i < 3; i++) {
        same_beat(kind, &a->beats[i], &b->beats[i]);
        SAME(a, b, quarantined_wall_ms[i]);
    }
    for (size_t i = 0; i < STORE_AUTO_MAX; i++) SAME(a, b, auto_wall_ms[i]);
    for (size_t i = 0; i < a->n_evidence; i++) {
        SAME(a, b, evidence[i].identity), SAME(a, b, evidence[i].scope), SAME(a, b, evidence[i].organisation),
            SAME(a, b, evidence[i].message);
        assert_string_equal(a->evidence[i].text, b->evidence[i].text);
    }
}

/* Sends it to both and compares everything that both say. */
static enum store_status both(struct world *w, const struct store_req *q, uint64_t now_ms)
{
    enum store_req_kind kind = q->kind;
    struct store_reply m;
    struct store_req model_q = *q;
    if (q->claim.run) model_q.claim.run = q->claim.run == 0xbad ? 0xbad : w->model.run;
    store_model_apply(&w->model, &model_q, now_ms, &m);
    const struct store_reply *r = ask(w, q);
    if (r->status != m.status || r->conflict != m.conflict)
        fail_msg("request %s: redis %s/%s (%s), model %s/%s", store_req_name(kind),
                 store_status_name(r->status), store_conflict_name(r->conflict), w->word,
                 store_status_name(m.status), store_conflict_name(m.conflict));
    SAME(r, &m, term), SAME(r, &m, lease.identity), SAME(r, &m, lease.epoch), SAME(r, &m, lease.token),
        SAME(r, &m, lease.counter);
    same_egress(kind, &r->egress, &m.egress);
    if (m.view) same_view(kind, r->view, m.view);
    return r->status;
}

/* ---- requests that make sense often enough, and nonsense often enough ---- */

struct dice {
    struct rng rng;
    struct world *w;
    uint64_t tokens[2];
};

static uint8_t any_identity(struct dice *d)
{
    return (uint8_t)rng_below(&d->rng, 3);
}

static uint64_t near(struct dice *d, uint64_t v)
{
    uint64_t r = rng_below(&d->rng, 20);
    return r < 17 ? v : r < 19 ? v + 1 : v ? v - 1 : 0;
}

static void roll_rec(struct dice *d, struct store_op_rec *r)
{
    const struct store_op_rec *op = &d->w->model.v.op;
    *r = (struct store_op_rec){ .id = op->id && rng_below(&d->rng, 4) ? op->id : 1 + rng_below(&d->rng, 5),
                                .no = near(d, op->id ? op->no : op->no + 1),
                                .seq = (uint32_t)near(d, op->seq + 1),
                                .kind = (uint8_t)rng_between(&d->rng, STORE_OP_LISTED, STORE_OP_FENCE),
                                .step = (uint8_t)rng_below(&d->rng, STORE_STEPS),
                                .from = any_identity(d),
                                .to = any_identity(d),
                                .flags = (uint32_t)rng_below(&d->rng, 256),
                                .base_epoch = near(d, d->w->model.v.egress.epoch),
                                .epoch = near(d, d->w->model.v.epoch + 1),
                                .token = rng_u64(&d->rng),
                                .spf_set = (uint32_t)rng_below(&d->rng, 8),
                                .started_wall_ms = 1700000000000 + rng_below(&d->rng, 1000),
                                .took_ms = { 1, 2, (uint32_t)rng_below(&d->rng, 9999) },
                                .gap_ms = (uint32_t)rng_below(&d->rng, 99),
                                .by = "coord1",
                                .why = "it is listed: \"said\" so\n" };
}

static void roll(struct dice *d, struct store_req *q)
{
    const struct store_view *v = &d->w->model.v;
    uint64_t who = rng_below(&d->rng, 2), token = rng_below(&d->rng, 8) ? d->tokens[who] : rng_u64(&d->rng);
    *q = (struct store_req){ .kind = (enum store_req_kind)rng_below(&d->rng, STORE_EVIDENCE + 1),
                             .identity = rng_below(&d->rng, 3) ? v->egress.identity : any_identity(d),
                             .op = v->op.id && rng_below(&d->rng, 5) ? v->op.id : 1 + rng_below(&d->rng, 5),
                             .op_seq = (uint32_t)near(d, v->op.seq),
                             .token = 1 + rng_below(&d->rng, 3),
                             .wall_ms = 1700000000000 + rng_below(&d->rng, 100000),
                             .term_floor = rng_below(&d->rng, 10) ? 0 : v->term + 3,
                             .fenced = rng_below(&d->rng, 2),
                             .held = rng_below(&d->rng, 4) == 0,
                             .dns_pending = rng_below(&d->rng, 2),
                             .automatic = rng_below(&d->rng, 2),
                             .quarantine = rng_below(&d->rng, 2),
                             .quarantined = any_identity(d),
                             .claim = { .id = who + 1,
                                        .token = token,
                                        .term = near(d, v->term),
                                        .run = rng_below(&d->rng, 20) ? 0 : 0xbad } };
    if (q->identity > 2) q->identity = any_identity(d);
    q->epoch = q->kind == STORE_GRANT ? near(d, MAX(v->epoch, v->egress.epoch) + 1)
                                      : near(d, v->egress.epoch);
    if (q->kind == STORE_BEGIN || q->kind == STORE_ADVANCE) roll_rec(d, &q->rec);
    if (q->kind == STORE_FINISH || q->kind == STORE_HISTORY)
        q->history = (struct store_history){ .wall_ms = 5,
                                             .epoch = q->epoch,
                                             .op = q->op,
                                             .kind = STORE_OP_LISTED,
                                             .to = 1,
                                             .ok = true,
                                             .text = "moved" };
    if (q->kind == STORE_CONTROLS)
        q->controls = (struct store_controls){ .version = near(d, d->w->model.v.controls.version + 1),
                                               .paused = rng_below(&d->rng, 2),
                                               .pin = rng_below(&d->rng, 2) ? STORE_NONE : any_identity(d),
                                               .pin_until_wall_ms = 9,
                                               .by = "root" };
    if (q->kind == STORE_BEAT)
        q->beat = (struct store_beat){ .seq = rng_below(&d->rng, 50),
                                       .instance = 1 + rng_below(&d->rng, 2),
                                       .reported = (uint8_t)rng_below(&d->rng, 5),
                                       .preflight_ok = true,
                                       .epoch = rng_below(&d->rng, 9),
                                       .fence_token = rng_u64(&d->rng),
                                       .refused_why = "no",
                                       .wall_ms = 3 };
    if (q->kind == STORE_EVIDENCE)
        q->evidence = (struct store_evidence){ .identity = any_identity(d),
                                               .scope = 1,
                                               .organisation = rng_u64(&d->rng),
                                               .message = 2,
                                               .wall_ms = 4,
                                               .text = "554 listed" };
}

TEST(the_script_and_the_model_agree_on_every_request)
{
    struct world w;
    world_init(&w);
    struct dice d = { .w = &w, .tokens = { 0x1111222233334444, 0x5555666677778888 } };
    rng_init_seed(&d.rng, 20261121);
    unsigned seen[STORE_EVIDENCE + 1][STORE_UNKNOWN] = { 0 };
    for (int i = 0; i < REQUESTS; i++) {
        struct store_req q, read = { .kind = STORE_READ };
        roll(&d, &q);
        seen[q.kind][both(&w, &q, 1000)]++;
        if (i % 7 == 0) both(&w, &read, 1000);
    }
    for (int k = 0; k <= STORE_EVIDENCE; k++) /* a test in which grants never succeed tests nothing */
        if (!seen[k][STORE_OK]) fail_msg("%s was never OK", store_req_name(k));
    static const enum store_req_kind rare[] = { STORE_GRANT, STORE_RENEW, STORE_FENCE };
    for (size_t i = 0; i < ARRAY_LEN(rare); i++)
        if (seen[rare[i]][STORE_OK] <= 5)
            fail_msg("%s was OK only %u times", store_req_name(rare[i]), seen[rare[i]][STORE_OK]);
    world_deinit(&w);
}

TEST(a_server_that_is_gone_read_only_or_full_of_other_data_answers_unknown)
{
    struct world w;
    world_init(&w);
    struct store_req q = { .kind = STORE_COORD, .claim = { .id = 1, .token = 2 } };
    assert_int_equal(ask(&w, &q)->status, STORE_OK);
    uint64_t run = w.reply.run;
    assert_true(run != 0);
    redis_call(w.redis, 3000, NULL, NULL, SLICE("SET"), SLICE("g1:{lab}:egress"), SLICE("nonsense"));
    struct store_req read = { .kind = STORE_READ };
    assert_int_equal(ask(&w, &read)->status, STORE_UNKNOWN);
    redis_call(w.redis, 3000, NULL, NULL, SLICE("DEL"), SLICE("g1:{lab}:egress"));
    redis_call(w.redis, 3000, NULL, NULL, SLICE("REPLICAOF"), SLICE("127.0.0.1"), SLICE("1"));
    assert_int_equal(ask(&w, &q)->status, STORE_UNKNOWN);
    redis_server_kill(&w.server, SIGKILL);
    assert_int_equal(ask(&w, &q)->status, STORE_UNKNOWN);
    redis_server_start(&w.server);
    RUN_UNTIL(w.loop, redis_is_up(w.redis));
    assert_int_equal(ask(&w, &q)->status, STORE_OK); /* what was synced is there: the same leader goes on */
    assert_true(w.reply.run != run && w.reply.term == 1);
    world_deinit(&w);
}

static void on_history(void *owner, enum err err, const struct slice *lines, size_t n)
{
    struct world *w = owner;
    assert_int_equal(err, ERR_OK);
    w->answered = true;
    snprintf(w->word, sizeof w->word, "%zu", n);
    if (n) assert_true(slice_find_slice(lines[n - 1], SLICE("\"text\":\"moved\"")) < lines[n - 1].n);
}

TEST(history_is_read_back_line_by_line)
{
    struct world w;
    world_init(&w);
    struct store_req q = { .kind = STORE_COORD, .claim = { .id = 1, .token = 2 } };
    assert_int_equal(ask(&w, &q)->status, STORE_OK);
    q = (struct store_req){ .kind = STORE_HISTORY,
                            .claim = { .id = 1, .token = 2, .term = 1 },
                            .history = {
                                .kind = STORE_OP_LISTED, .to = 1, .from = STORE_NONE, .text = "moved" } };
    assert_int_equal(ask(&w, &q)->status, STORE_OK);
    assert_int_equal(ask(&w, &q)->status, STORE_OK);
    w.answered = false;
    store_redis_history(w.store, 10, 3000, on_history, &w);
    RUN_UNTIL(w.loop, w.answered);
    assert_string_equal(w.word, "2");
    world_deinit(&w);
}
