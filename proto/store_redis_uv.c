#include "proto/store_redis_uv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/log.h"

/* store.lua as text, made by the build. */
extern const char store_lua[];

enum { ARGS_MAX = 96, HISTORY_MAX = 500 };

struct store_redis {
    const struct env *env;
    struct redis *redis;
    const struct store_redis_conf *conf;
    struct redis_script script;
    char prefix[STORE_NAME_MAX + 24];
};

struct store_op {
    struct store_redis *store;
    struct redis_op *redis;
    enum store_req_kind kind;
    store_done_fn *done;
    store_history_fn *history_done;
    void *owner;
};

uint8_t store_identity_index(const struct cluster_conf *c, struct slice name)
{
    const struct identity_conf *ids = c->identities.items;
    if (name.n == 0) return STORE_NONE;
    for (size_t i = 0; i < c->identities.n; i++)
        if (slice_eq(slice_of(ids[i].name), name)) return (uint8_t)i;
    return STORE_FOREIGN;
}

const char *store_identity_name(const struct cluster_conf *c, uint8_t i)
{
    const struct identity_conf *ids = c->identities.items;
    return i < c->identities.n ? ids[i].name : "";
}

/* ---- the request as names and values ---- */

struct args {
    struct arena arena;
    const struct cluster_conf *cluster;
    struct slice v[ARGS_MAX];
    size_t n;
};

static void put(struct args *a, const char *name, struct slice value)
{
    ASSERT(a->n + 2 <= ARGS_MAX);
    a->v[a->n++] = slice_of(name);
    a->v[a->n++] = value;
}

static void put_text(struct args *a, const char *name, const char *text)
{
    put(a, name, arena_dup(&a->arena, slice_of(text)));
}

static void put_u64(struct args *a, const char *name, uint64_t v)
{
    put_text(a, name, arena_printf(&a->arena, "%" PRIu64, v));
}

static void put_id(struct args *a, const char *name, uint64_t v)
{
    put_text(a, name, arena_printf(&a->arena, "%016" PRIx64, v));
}

static void put_identity(struct args *a, const char *name, uint8_t i)
{
    put_text(a, name, store_identity_name(a->cluster, i));
}

static void put_set(struct args *a, const char *name, uint32_t set)
{
    struct buf b;
    buf_init(&b, 4096);
    for (uint8_t i = 0; i < a->cluster->identities.n; i++)
        if (set & BIT(i)) buf_putf(&b, "%s%s", buf_len(&b) ? "," : "", store_identity_name(a->cluster, i));
    put(a, name, arena_dup(&a->arena, buf_slice(&b)));
    buf_deinit(&b);
}

static void put_took(struct args *a, const char *name, const uint32_t took_ms[static STORE_STEPS])
{
    struct buf took;
    buf_init(&took, 256);
    for (size_t i = 0; i < STORE_STEPS; i++) buf_putf(&took, "%s%u", i ? "," : "", took_ms[i]);
    put(a, name, arena_dup(&a->arena, buf_slice(&took)));
    buf_deinit(&took);
}

static void put_rec(struct args *a, const struct store_op_rec *r)
{
    put_id(a, "rec.id", r->id);
    put_u64(a, "rec.no", r->no);
    put_u64(a, "rec.seq", r->seq);
    put_text(a, "rec.kind", store_op_kind_name(r->kind));
    put_text(a, "rec.step", store_step_name(r->step));
    put_identity(a, "rec.from", r->from);
    put_identity(a, "rec.to", r->to);
    put_u64(a, "rec.flags", r->flags);
    put_u64(a, "rec.base_epoch", r->base_epoch);
    put_u64(a, "rec.epoch", r->epoch);
    put_id(a, "rec.token", r->token);
    put_set(a, "rec.spf_set", r->spf_set);
    put_u64(a, "rec.started", r->started_wall_ms);
    put_took(a, "rec.took", r->took_ms);
    put_u64(a, "rec.gap_ms", r->gap_ms);
    put_text(a, "rec.by", r->by);
    put_text(a, "rec.why", r->why);
}

static void put_history(struct args *a, const struct store_history *h)
{
    put_u64(a, "history.wall_ms", h->wall_ms);
    put_u64(a, "history.epoch", h->epoch);
    put_id(a, "history.op", h->op);
    put_text(a, "history.kind", store_op_kind_name(h->kind));
    put_identity(a, "history.from", h->from);
    put_identity(a, "history.to", h->to);
    put_text(a, "history.ok", h->ok ? "1" : "0");
    put_u64(a, "history.gap_ms", h->gap_ms);
    put_text(a, "history.text", h->text);
    put_took(a, "history.took", h->took_ms);
}

static void put_beat(struct args *a, const struct store_beat *b)
{
    put_u64(a, "beat.seq", b->seq);
    put_id(a, "beat.instance", b->instance);
    put_text(a, "beat.reported", store_reported_name(b->reported));
    put_u64(a, "beat.preflight_ok", b->preflight_ok);
    put_u64(a, "beat.egress_ok", b->egress_ok);
    put_u64(a, "beat.store_ok", b->store_ok);
    put_u64(a, "beat.epoch", b->epoch);
    put_u64(a, "beat.fenced_epoch", b->fenced_epoch);
    put_id(a, "beat.fence_token", b->fence_token);
    put_u64(a, "beat.refused_epoch", b->refused_epoch);
    put_text(a, "beat.refused_why", b->refused_why);
    put_u64(a, "beat.lease_left_ms", b->lease_left_ms);
    put_u64(a, "beat.queue_out", b->queue_out);
    put_u64(a, "beat.sent", b->sent);
    put_u64(a, "beat.wall_ms", b->wall_ms);
}

static void put_evidence(struct args *a, const struct store_evidence *e)
{
    put_identity(a, "evidence.identity", e->identity);
    put_u64(a, "evidence.scope", e->scope);
    put_id(a, "evidence.organisation", e->organisation);
    put_id(a, "evidence.message", e->message);
    put_u64(a, "evidence.wall_ms", e->wall_ms);
    put_text(a, "evidence.text", e->text);
}

static void put_identities(struct args *a)
{
    put_set(a, "identities", UINT32_MAX);
}

static void put_request(struct store_redis *s, struct args *a, const struct store_req *q)
{
    a->v[a->n++] = slice_of(store_req_name(q->kind));
    put_text(a, "claim_run", q->claim.run ? arena_printf(&a->arena, "%016" PRIx64, q->claim.run) : "");
    switch (q->kind) {
    case STORE_COORD:
        put_id(a, "id", q->claim.id);
        put_id(a, "token", q->claim.token);
        put_u64(a, "term_floor", q->term_floor);
        put_u64(a, "lease_ms", s->conf->coord_lease_ms);
        return;
    case STORE_READ: put_identities(a); return;
    case STORE_RENEW:
        put_identity(a, "identity", q->identity);
        put_u64(a, "epoch", q->epoch);
        put_id(a, "token", q->token);
        return;
    case STORE_BEAT:
        put_identity(a, "identity", q->identity);
        put_beat(a, &q->beat);
        return;
    case STORE_EVIDENCE:
        put_u64(a, "keep_ms", s->conf->evidence_keep_ms);
        put_evidence(a, &q->evidence);
        return;
    default: break;
    }
    put_id(a, "claim_id", q->claim.id);
    put_id(a, "claim_token", q->claim.token);
    put_u64(a, "claim_term", q->claim.term);
    put_id(a, "op", q->op);
    put_u64(a, "op_seq", q->op_seq);
    put_identity(a, "identity", q->identity);
    put_u64(a, "epoch", q->epoch);
    put_id(a, "token", q->token);
    put_u64(a, "wall_ms", q->wall_ms);
    put_u64(a, "fenced", q->fenced);
    put_u64(a, "held", q->held);
    put_u64(a, "dns_pending", q->dns_pending);
    put_u64(a, "automatic", q->automatic);
    put_identity(a, "quarantined", q->quarantine ? q->quarantined : STORE_NONE);
    if (q->kind == STORE_BEGIN || q->kind == STORE_ADVANCE) put_rec(a, &q->rec);
    if (q->kind == STORE_FINISH || q->kind == STORE_HISTORY) put_history(a, &q->history);
    if (q->kind == STORE_CONTROLS) {
        put_u64(a, "controls.version", q->controls.version);
        put_u64(a, "controls.paused", q->controls.paused);
        put_identity(a, "controls.pin", q->controls.pin);
        put_u64(a, "controls.pin_until", q->controls.pin_until_wall_ms);
        put_text(a, "controls.by", q->controls.by);
    }
}

/* ---- the reply ---- */

static uint64_t u64_of(const struct redisReply *t, const char *name)
{
    int64_t v = 0;
    return redis_reply_int(redis_reply_field(t, slice_of(name)), &v) && v > 0 ? (uint64_t)v : 0;
}

static struct slice text_of(const struct redisReply *t, const char *name)
{
    return redis_reply_text(redis_reply_field(t, slice_of(name)));
}

static uint64_t parse_hex(struct slice s)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n && i < 16; i++) {
        char c = ascii_lower(s.p[i]);
        v = v << 4 | (uint64_t)(ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0);
    }
    return v;
}

static uint64_t id_of(const struct redisReply *t, const char *name)
{
    return parse_hex(text_of(t, name));
}

static void copy_text(const struct redisReply *t, const char *name, char *out, size_t cap)
{
    snprintf(out, cap, "%.*s", SLICE_ARG(text_of(t, name)));
}

/* The number of the word among `n` names; `n` when it is none of them. */
static unsigned word_index(struct slice word, const char *(*name)(unsigned), unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (slice_eq(word, slice_of(name(i)))) return i;
    return n;
}

static const char *status_word(unsigned i)
{
    return store_status_name(i);
}
static const char *conflict_word(unsigned i)
{
    return store_conflict_name(i);
}
static const char *egress_word(unsigned i)
{
    return store_egress_name(i);
}
static const char *kind_word(unsigned i)
{
    return store_op_kind_name(i);
}
static const char *step_word(unsigned i)
{
    return store_step_name(i);
}
static const char *reported_word(unsigned i)
{
    return store_reported_name(i);
}

static void read_egress(const struct cluster_conf *c, const struct redisReply *t, struct store_egress *out)
{
    *out = (struct store_egress){ .identity = store_identity_index(c, text_of(t, "identity")) };
    unsigned state = word_index(text_of(t, "state"), egress_word, STORE_EGRESS_HELD + 1);
    out->state = state <= STORE_EGRESS_HELD ? (uint8_t)state : STORE_EGRESS_NONE;
    out->dns_pending = u64_of(t, "dns_pending");
    out->epoch = u64_of(t, "epoch");
    out->op = id_of(t, "op");
    out->token = id_of(t, "token");
    out->run = id_of(t, "run");
    out->since_wall_ms = u64_of(t, "since");
}

static void read_lease(const struct cluster_conf *c, const struct redisReply *t, struct store_lease *out)
{
    *out = (struct store_lease){ .identity = store_identity_index(c, text_of(t, "identity")),
                                 .epoch = u64_of(t, "epoch"),
                                 .token = id_of(t, "token"),
                                 .counter = u64_of(t, "counter") };
}

static uint32_t read_set(const struct cluster_conf *c, struct slice names)
{
    uint32_t set = 0;
    struct slice name;
    while (slice_cut(&names, ',', &name)) {
        uint8_t i = store_identity_index(c, name);
        if (i < STORE_IDENTITIES_MAX) set |= BIT(i);
    }
    return set;
}

static void read_op(const struct cluster_conf *c, const struct redisReply *t, struct store_op_rec *out)
{
    *out = (struct store_op_rec){ .id = id_of(t, "id"), .no = u64_of(t, "no") };
    if (!out->id) return;
    out->seq = (uint32_t)u64_of(t, "seq");
    out->kind = (uint8_t)word_index(text_of(t, "kind"), kind_word, STORE_OP_FENCE + 1);
    out->step = (uint8_t)word_index(text_of(t, "step"), step_word, STORE_STEP_ROLLING_BACK + 1);
    out->from = store_identity_index(c, text_of(t, "from"));
    out->to = store_identity_index(c, text_of(t, "to"));
    out->flags = (uint32_t)u64_of(t, "flags");
    out->base_epoch = u64_of(t, "base_epoch");
    out->epoch = u64_of(t, "epoch");
    out->token = id_of(t, "token");
    out->spf_set = read_set(c, text_of(t, "spf_set"));
    out->started_wall_ms = u64_of(t, "started");
    struct slice took = text_of(t, "took"), one;
    for (size_t i = 0; i < STORE_STEPS && slice_cut(&took, ',', &one); i++) {
        uint64_t ms = 0;
        if (!slice_u64(one, UINT32_MAX, &ms)) out->took_ms[i] = (uint32_t)ms;
    }
    out->gap_ms = (uint32_t)u64_of(t, "gap_ms");
    copy_text(t, "by", out->by, sizeof out->by);
    copy_text(t, "why", out->why, sizeof out->why);
}

static void read_beat(const struct redisReply *t, struct store_beat *out)
{
    *out = (struct store_beat){ .seq = u64_of(t, "seq"), .instance = id_of(t, "instance") };
    unsigned reported = word_index(text_of(t, "reported"), reported_word, STORE_R_GRANTING + 1);
    out->reported = reported <= STORE_R_GRANTING ? (uint8_t)reported : STORE_R_UNKNOWN;
    out->preflight_ok = u64_of(t, "preflight_ok");
    out->egress_ok = u64_of(t, "egress_ok");
    out->store_ok = u64_of(t, "store_ok");
    out->epoch = u64_of(t, "epoch");
    out->fenced_epoch = u64_of(t, "fenced_epoch");
    out->fence_token = id_of(t, "fence_token");
    out->refused_epoch = u64_of(t, "refused_epoch");
    copy_text(t, "refused_why", out->refused_why, sizeof out->refused_why);
    out->lease_left_ms = u64_of(t, "lease_left_ms");
    out->queue_out = u64_of(t, "queue_out");
    out->sent = u64_of(t, "sent");
    out->wall_ms = u64_of(t, "wall_ms");
}

/* "1700000000000-3": milliseconds and a number within them. */
static uint64_t stream_id(struct slice s)
{
    struct slice ms;
    uint64_t a = 0, b = 0;
    if (!slice_cut(&s, '-', &ms) || slice_u64(ms, UINT64_MAX >> 16, &a) || slice_u64(s, UINT64_MAX, &b))
        return 0;
    return a << 12 | (b & 0xfff);
}

static void read_evidence(const struct cluster_conf *c, const struct redisReply *list, struct store_view *v)
{
    size_t n = MIN(redis_reply_count(list), (size_t)STORE_EVIDENCE_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct redisReply *entry = redis_reply_at(list, n - 1 - i), *t = redis_reply_at(entry, 1);
        struct store_evidence *e = &v->evidence[v->n_evidence++];
        *e = (struct store_evidence){ .id = stream_id(redis_reply_text(redis_reply_at(entry, 0))),
                                      .identity = store_identity_index(c, text_of(t, "identity")),
                                      .scope = (uint8_t)u64_of(t, "scope"),
                                      .organisation = id_of(t, "organisation"),
                                      .message = id_of(t, "message"),
                                      .wall_ms = u64_of(t, "wall_ms") };
        copy_text(t, "text", e->text, sizeof e->text);
    }
}

static void read_view(const struct cluster_conf *c, const struct redisReply *t, const struct store_reply *r,
                      struct store_view *v)
{
    *v = (struct store_view){
        .epoch = u64_of(t, "epoch"), .term = r->term, .egress = r->egress, .lease = r->lease
    };
    v->leader = id_of(t, "leader");
    read_op(c, redis_reply_field(t, SLICE("op")), &v->op);
    v->used_epoch = u64_of(redis_reply_field(t, SLICE("op")), "used");
    const struct redisReply *beats = redis_reply_field(t, SLICE("beats"));
    for (uint8_t i = 0; i < c->identities.n; i++)
        read_beat(redis_reply_field(beats, slice_of(store_identity_name(c, i))), &v->beats[i]);
    const struct redisReply *controls = redis_reply_field(t, SLICE("controls"));
    v->controls.version = u64_of(controls, "version");
    v->controls.paused = u64_of(controls, "paused");
    v->controls.pin = store_identity_index(c, text_of(controls, "pin"));
    v->controls.pin_until_wall_ms = u64_of(controls, "pin_until");
    copy_text(controls, "by", v->controls.by, sizeof v->controls.by);
    const struct redisReply *quarantine = redis_reply_field(t, SLICE("quarantine"));
    for (uint8_t i = 0; i < c->identities.n; i++)
        v->quarantined_wall_ms[i] = u64_of(quarantine, store_identity_name(c, i));
    const struct redisReply *autos = redis_reply_field(t, SLICE("auto"));
    for (size_t i = 0; i < STORE_AUTO_MAX; i++) {
        int64_t ms = 0;
        if (redis_reply_int(redis_reply_at(autos, i), &ms) && ms > 0) v->auto_wall_ms[i] = (uint64_t)ms;
    }
    read_evidence(c, redis_reply_field(t, SLICE("evidence")), v);
}

/* False: not what the script answers, so wrong data under our keys or another program. */
static bool read_reply(const struct cluster_conf *c, enum store_req_kind kind, const struct redisReply *t,
                       struct store_reply *r, struct store_view *v)
{
    unsigned status = word_index(text_of(t, "status"), status_word, STORE_UNKNOWN);
    unsigned conflict = word_index(text_of(t, "conflict"), conflict_word, STORE_C_STATE + 1);
    if (status >= STORE_UNKNOWN || conflict > STORE_C_STATE) return false;
    *r = (struct store_reply){ .kind = kind,
                               .status = status,
                               .conflict = conflict,
                               .run = id_of(t, "run"),
                               .term = u64_of(t, "term") };
    read_egress(c, redis_reply_field(t, SLICE("egress")), &r->egress);
    read_lease(c, redis_reply_field(t, SLICE("lease")), &r->lease);
    if (kind == STORE_READ && status == STORE_OK) {
        read_view(c, redis_reply_field(t, SLICE("view")), r, v);
        r->view = v;
    }
    return r->run != 0;
}

static void answered(void *owner, enum err err, const struct redisReply *reply, const char *word)
{
    struct store_op *op = owner;
    struct store_reply r = { .kind = op->kind, .status = STORE_UNKNOWN };
    struct store_view view;
    if (!err && !read_reply(op->store->conf->cluster, op->kind, reply, &r, &view)) {
        word = "wrong-data";
        r = (struct store_reply){ .kind = op->kind, .status = STORE_UNKNOWN };
    }
    if (err && err != ERR_RETRY && err != ERR_TIMEOUT && err != ERR_UNKNOWN)
        log_warn(op->store->env->log, "store.error", kv_cstr("request", store_req_name(op->kind)),
                 kv_err("err", err), kv_cstr("word", word), kv_slice("text", redis_reply_text(reply)));
    store_done_fn *done = op->done;
    void *whose = op->owner;
    free(op);
    done(whose, &r, word);
}

struct store_op *store_redis_send(struct store_redis *s, const struct store_req *req, uint32_t limit_ms,
                                  store_done_fn *done, void *owner)
{
    struct store_op *op = xzalloc(sizeof *op);
    *op = (struct store_op){ .store = s, .kind = req->kind, .done = done, .owner = owner };
    struct args a = { .cluster = s->conf->cluster };
    put_request(s, &a, req);
    struct slice key = slice_of(s->prefix);
    op->redis = redis_eval(s->redis, &s->script, &key, 1, a.v, a.n, limit_ms, answered, op);
    arena_deinit(&a.arena);
    return op;
}

void store_redis_cancel(struct store_op **slot)
{
    struct store_op *op = *slot;
    *slot = NULL;
    if (!op) return;
    redis_cancel(&op->redis);
    free(op);
}

static void history_answered(void *owner, enum err err, const struct redisReply *reply, const char *word)
{
    struct store_op *op = owner;
    struct slice lines[HISTORY_MAX];
    size_t n = err ? 0 : MIN(redis_reply_count(reply), (size_t)HISTORY_MAX);
    for (size_t i = 0; i < n; i++) lines[i] = redis_reply_text(redis_reply_at(reply, i));
    store_history_fn *done = op->history_done;
    void *whose = op->owner;
    free(op);
    done(whose, err, lines, n);
}

struct store_op *store_redis_history(struct store_redis *s, unsigned n, uint32_t limit_ms,
                                     store_history_fn *done, void *owner)
{
    struct store_op *op = xzalloc(sizeof *op);
    *op = (struct store_op){ .store = s, .history_done = done, .owner = owner };
    char key[sizeof s->prefix + 8], from[24];
    snprintf(key, sizeof key, "%shistory", s->prefix);
    snprintf(from, sizeof from, "-%u", MAX(MIN(n, (unsigned)HISTORY_MAX), 1u));
    op->redis = redis_call(s->redis, limit_ms, history_answered, op, SLICE("LRANGE"), slice_of(key),
                           slice_of(from), SLICE("-1"));
    return op;
}

struct store_redis *store_redis_create(const struct env *env, struct redis *redis,
                                       const struct store_redis_conf *conf)
{
    struct store_redis *s = xzalloc(sizeof *s);
    *s = (struct store_redis){ .env = env, .redis = redis, .conf = conf };
    snprintf(s->prefix, sizeof s->prefix, "g1:{%s}:", conf->cluster->cluster);
    redis_script_init(&s->script, "store", store_lua);
    return s;
}

void store_redis_destroy(struct store_redis *s)
{
    free(s);
}
