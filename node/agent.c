#include "node/agent.h"

#include <stdlib.h>

#include "proto/mutation.h"

struct agent {
    struct agent_conf conf;
    struct gate *gate;
    const struct log *log;
    enum agent_state state;
    const char *why;
    uint64_t now_ms, wall_ms;
    uint32_t seq;
    uint64_t instance, beats;
    /* the file: as it should be, as it is, as it is being written */
    struct agent_file want, saved, writing;
    uint32_t persist_seq;
    uint64_t persist_again_ms;
    /* the lease */
    uint64_t epoch;       /* granted; meaningful in CHECKING, ACTIVE, LAPSED */
    uint64_t run;         /* the server that last said OK to a renewal */
    uint64_t deadline_ms; /* the gate's, for the sentence when it has passed */
    uint32_t renew_seq;
    uint64_t renew_sent_ms, renew_sent_wall_ms, renew_next_ms;
    uint32_t beat_out_seq;
    uint64_t beat_sent_ms, beat_next_ms, tick_next_ms;
    uint64_t store_heard_ms;
    /* the order being obeyed */
    struct agent_order order;
    uint64_t order_ms;
    uint32_t token_seq, spf_seq, abort_seq;
    bool token_ok, spf_ok, aborted;
    uint64_t ask_again_ms;
    uint64_t fence_token, refused_epoch;
    const char *refused_why;
    struct agent_facts facts;
    uint8_t active, target;
};

void agent_conf_default(struct agent_conf *c)
{
    *c = (struct agent_conf){
        .lease_ms = 15000,
        .margin_ms = 2000,
        .renew_ms = 3000,
        .op_timeout_ms = 3000,
        .beat_ms = 3000,
        .stall_ms = 2000,
        .drain_ms = 5000,
        .check_ms = 20000,
    };
}

/* One row per state; `next` is what may follow it. Every state can be fenced and every state can be granted (I16). */
enum { ANY_ORDER = BIT(AGENT_CHECKING) | BIT(AGENT_FENCING) | BIT(AGENT_FENCED) };
static const struct row {
    const char *name;
    unsigned next;
    enum store_reported reported;
} rows[] = {
    [AGENT_STANDBY] = { "standby", ANY_ORDER, STORE_R_STANDBY },
    [AGENT_CHECKING] = { "checking", ANY_ORDER | BIT(AGENT_ACTIVE), STORE_R_GRANTING },
    [AGENT_ACTIVE] = { "active", ANY_ORDER | BIT(AGENT_LAPSED), STORE_R_ACTIVE },
    [AGENT_LAPSED] = { "lapsed", ANY_ORDER | BIT(AGENT_ACTIVE), STORE_R_FENCED },
    [AGENT_FENCING] = { "fencing", ANY_ORDER, STORE_R_FENCED },
    [AGENT_FENCED] = { "fenced", ANY_ORDER | BIT(AGENT_STANDBY), STORE_R_FENCED },
};
_Static_assert(ARRAY_LEN(rows) == AGENT_STATES, "one row per state");

static struct agent_action *act(struct agent_actions *out, enum agent_action_kind kind)
{
    ASSERT(out->n < AGENT_ACTIONS_MAX);
    struct agent_action *x = &out->v[out->n++];
    x->kind = kind;
    x->seq = 0;
    return x;
}

static void beat_soon(struct agent *a)
{
    a->beat_next_ms = a->now_ms;
}

static void move_to(struct agent *a, enum agent_state to, const char *why)
{
    ASSERT(rows[a->state].next & BIT(to));
    ASSERT(to == AGENT_ACTIVE || gate_left_ms(a->gate, a->now_ms) == 0);
    log_info(a->log, "agent.state", kv_cstr("identity", a->conf.name), kv_cstr("from", rows[a->state].name),
             kv_cstr("to", rows[to].name), kv_u64("epoch", a->epoch), kv_cstr("why", why));
    a->state = to;
    a->why = why;
    beat_soon(a);
}

/* ---- the file ---- */

void agent_file_format(const struct agent_file *f, struct buf *out)
{
    buf_putf(out, "epoch=%" PRIu64 " mine=%d fenced=%" PRIu64 "\n", f->epoch, f->mine, f->fenced);
}

static enum err take_field(struct slice *s, struct slice key, uint64_t max, uint64_t *out)
{
    struct slice word = slice_word(s);
    if (!slice_starts(word, key)) return ERR_MALFORMED;
    return slice_u64(slice_skip(word, key.n), max, out);
}

enum err agent_file_parse(struct slice text, struct agent_file *out)
{
    struct agent_file f = { 0 };
    uint64_t mine = 0;
    text = slice_trim(text); /* the line's end */
    enum err err = take_field(&text, SLICE("epoch="), UINT64_MAX - 1, &f.epoch);
    if (!err) err = take_field(&text, SLICE("mine="), 1, &mine);
    if (!err) err = take_field(&text, SLICE("fenced="), UINT64_MAX - 1, &f.fenced);
    if (!err && slice_trim(text).n) err = ERR_MALFORMED;
    if (err) return ERR_MALFORMED;
    f.mine = mine;
    *out = f;
    return ERR_OK;
}

static bool file_eq(const struct agent_file *a, const struct agent_file *b)
{
    return a->epoch == b->epoch && a->mine == b->mine && a->fenced == b->fenced;
}

static void persist(struct agent *a, struct agent_actions *out)
{
    if (a->persist_seq || file_eq(&a->want, &a->saved) || a->now_ms < a->persist_again_ms) return;
    struct agent_action *x = act(out, AGENT_DO_PERSIST);
    x->seq = a->persist_seq = ++a->seq;
    x->file = a->writing = a->want;
}

static void note_epoch(struct agent *a, uint64_t epoch, bool mine)
{
    if (epoch <= a->want.epoch) return;
    a->want.epoch = epoch;
    a->want.mine = mine;
}

static void note_fenced(struct agent *a, uint64_t epoch)
{
    a->want.fenced = MAX(a->want.fenced, epoch);
    note_epoch(a, epoch, false);
}

/* ---- out to the world ---- */

static void send_renew(struct agent *a, struct agent_actions *out)
{
    struct agent_action *x = act(out, AGENT_DO_STORE);
    x->seq = a->renew_seq = ++a->seq;
    x->req = (struct store_req){
        .kind = STORE_RENEW, .identity = a->conf.identity, .epoch = a->epoch, .token = a->instance
    };
    a->renew_sent_ms = a->now_ms;
    a->renew_sent_wall_ms = a->wall_ms;
    a->renew_next_ms = a->now_ms + a->conf.renew_ms;
}

static void fill_beat(struct agent *a, struct store_beat *b)
{
    *b = (struct store_beat){
        .seq = ++a->beats,
        .instance = a->instance,
        .reported = (uint8_t)rows[a->state].reported,
        .preflight_ok = a->facts.preflight_ok,
        .egress_ok = a->facts.egress_ok,
        .store_ok = a->store_heard_ms && a->now_ms < a->store_heard_ms + 2 * (uint64_t)a->conf.beat_ms,
        .epoch = a->want.epoch,
        .fenced_epoch = a->saved.fenced,
        .fence_token = a->fence_token,
        .refused_epoch = a->refused_epoch,
        .lease_left_ms = gate_left_ms(a->gate, a->now_ms),
        .queue_out = a->facts.queue_out,
        .sent = a->facts.sent,
        .wall_ms = a->wall_ms,
    };
    const char *why = a->refused_why ? a->refused_why : "";
    size_t n = MIN(strlen(why), sizeof b->refused_why - 1);
    memcpy(b->refused_why, why, n);
}

static void send_beat(struct agent *a, struct agent_actions *out)
{
    struct agent_action *x = act(out, AGENT_DO_REPORT);
    fill_beat(a, &x->beat);
    struct store_beat beat = x->beat;
    a->beat_next_ms = a->now_ms + a->conf.beat_ms;
    if (a->beat_out_seq) return; /* one at a time; the next one says it all again */
    x = act(out, AGENT_DO_STORE);
    x->seq = a->beat_out_seq = ++a->seq;
    x->req = (struct store_req){ .kind = STORE_BEAT, .identity = a->conf.identity, .beat = beat };
    a->beat_sent_ms = a->now_ms;
}

static void ack(struct agent_actions *out, const struct agent_order *o, bool done, const char *why)
{
    act(out, AGENT_DO_ACK)->ack = (struct agent_ack){
        .kind = o->kind, .op = o->op, .epoch = o->epoch, .token = o->token, .done = done, .why = why
    };
}

static void aim(struct agent *a, uint8_t to, struct agent_actions *out)
{
    if (a->target == to) return;
    a->target = to;
    act(out, AGENT_DO_HANDOFF)->to = to;
}

static void shut(struct agent *a, struct agent_actions *out)
{
    gate_close(a->gate);
    struct agent_action *x = act(out, AGENT_DO_ABORT);
    x->seq = a->abort_seq = ++a->seq;
    a->aborted = false;
    a->renew_seq = 0; /* whatever is under way was asked for what is over now */
}

static bool sessions_gone(const struct agent *a)
{
    return a->aborted && gate_in_dot(a->gate) == 0;
}

/* ---- a grant ---- */

static const char *grant_wrong(const struct agent *a, const struct agent_order *o)
{
    if (MUTANT(NO_EPOCH_CHECK)) return NULL;
    if (o->epoch <= a->want.fenced) return "fenced for that epoch";
    if (o->epoch < a->want.epoch) return "a higher epoch is known";
    if (o->epoch == a->want.epoch && !a->want.mine) return "that epoch is another identity's";
    if (o->epoch == a->refused_epoch) return a->refused_why;
    return NULL;
}

static void refuse_grant(struct agent *a, const char *why, struct agent_actions *out)
{
    a->refused_epoch = a->order.epoch;
    a->refused_why = why;
    note_fenced(a, a->order.epoch);
    log_warn(a->log, "agent.grant_refused", kv_cstr("identity", a->conf.name),
             kv_u64("epoch", a->order.epoch), kv_cstr("why", why));
    ack(out, &a->order, false, why);
    move_to(a, AGENT_FENCED, why);
}

static void ask_token(struct agent *a, struct agent_actions *out)
{
    struct agent_action *x = act(out, AGENT_DO_READ_TOKEN);
    x->seq = a->token_seq = ++a->seq;
}

static void ask_spf(struct agent *a, struct agent_actions *out)
{
    struct agent_action *x = act(out, AGENT_DO_CHECK_SPF);
    x->seq = a->spf_seq = ++a->seq;
}

static void obey_grant(struct agent *a, const struct agent_order *o, struct agent_actions *out)
{
    bool known = a->state == AGENT_ACTIVE || a->state == AGENT_CHECKING || a->state == AGENT_LAPSED;
    if (known && o->epoch == a->epoch && !MUTANT(NO_EPOCH_CHECK)) {
        if (a->state == AGENT_ACTIVE) ack(out, o, true, "sending");
        return;
    }
    if (known && o->epoch == a->epoch) return;
    const char *wrong = grant_wrong(a, o);
    if (wrong) {
        if (o->epoch > a->refused_epoch) a->refused_epoch = o->epoch, a->refused_why = wrong;
        ack(out, o, false, wrong);
        beat_soon(a);
        return;
    }
    shut(a, out);
    a->order = *o;
    a->order_ms = a->now_ms;
    a->epoch = o->epoch;
    note_epoch(a, o->epoch, true);

    a->token_ok = a->spf_ok = false;
    a->ask_again_ms = a->renew_next_ms = 0;
    aim(a, STORE_NONE, out);
    move_to(a, AGENT_CHECKING, "granted");
    ask_token(a, out);
    ask_spf(a, out);
    persist(a, out);
}

static const char *late_why(const struct agent *a)
{
    if (!a->token_ok) return "DNS has a lower epoch";
    if (!a->spf_ok) return "SPF could not be evaluated";
    if (a->saved.epoch < a->epoch) return "the epoch could not be written to disk";
    return "the store did not confirm the grant in time";
}

/* The last part of a grant: when all else is true, ask the store; its OK opens the gate. */
static void check_on(struct agent *a, struct agent_actions *out)
{
    if (a->state != AGENT_CHECKING) return;
    if (a->now_ms >= a->order_ms + a->conf.check_ms) {
        refuse_grant(a, late_why(a), out);
        return;
    }
    bool again = a->now_ms >= a->ask_again_ms;
    if (!a->spf_ok && !a->spf_seq && again) ask_spf(a, out);
    if (!a->token_ok && !a->token_seq && again) ask_token(a, out);
    /* Sessions past the dot wait for a receiver's word, perhaps for minutes: they send nothing more and hold up no grant. */
    bool ready = a->token_ok && a->spf_ok && a->aborted && a->saved.epoch >= a->epoch;
    if (ready && !a->renew_seq && a->now_ms >= a->renew_next_ms) send_renew(a, out);
}

static const char *token_wrong(const struct agent *a, const struct agent_token *t)
{
    if (!t->reachable || !t->present) return NULL; /* the store will have the last word */
    if (t->epoch > a->epoch) return "DNS has a higher epoch";
    if (t->epoch == a->epoch && t->identity != a->conf.identity) return "DNS gives that epoch to another";

    return NULL;
}

static void on_token(struct agent *a, const struct agent_event *ev, struct agent_actions *out)
{
    if (a->state != AGENT_CHECKING || ev->seq != a->token_seq) return;
    a->token_seq = 0;
    if (ev->token.reachable && ev->token.present && ev->token.identity != STORE_FOREIGN)
        note_epoch(a, ev->token.epoch, ev->token.identity == a->conf.identity);
    const char *wrong = MUTANT(NO_EPOCH_CHECK) ? NULL : token_wrong(a, &ev->token);
    if (wrong) {
        refuse_grant(a, wrong, out);
        return;
    }
    /* A lower epoch may be a secondary that lags: ask again until check_ms, unless the grant says that DNS is behind. */
    bool behind = ev->token.reachable && (!ev->token.present || ev->token.epoch < a->epoch);
    a->token_ok = !behind || a->order.dns_pending;
    a->ask_again_ms = a->now_ms + 1000;
    check_on(a, out);
}

static void on_spf(struct agent *a, const struct agent_event *ev, struct agent_actions *out)
{
    if (a->state != AGENT_CHECKING || ev->seq != a->spf_seq) return;
    a->spf_seq = 0;
    if (ev->spf == AGENT_SPF_FAIL) {
        refuse_grant(a, "SPF does not pass for this identity", out);
        return;
    }
    a->spf_ok = ev->spf == AGENT_SPF_PASS || a->order.dns_pending;
    a->ask_again_ms = a->now_ms + 1000;
    check_on(a, out);
}

/* ---- a fence ---- */

static void fence_on(struct agent *a, struct agent_actions *out)
{
    if (a->state != AGENT_FENCING) return;
    bool drained = sessions_gone(a) || a->now_ms >= a->order_ms + a->conf.drain_ms;
    if (!drained || a->saved.fenced < a->order.epoch) return;
    a->fence_token = a->order.token;
    ack(out, &a->order, true, sessions_gone(a) ? "closed" : "closed; sessions past the dot go on");
    move_to(a, AGENT_FENCED, "ordered");
}

static void obey_fence(struct agent *a, const struct agent_order *o, struct agent_actions *out)
{
    bool sending = a->state == AGENT_ACTIVE || a->state == AGENT_LAPSED || a->state == AGENT_CHECKING;
    if (sending && o->epoch < a->epoch) {
        ack(out, o, false, "a newer epoch is granted");
        return;
    }
    if (a->state == AGENT_FENCED && a->fence_token == o->token && a->saved.fenced >= o->epoch) {
        ack(out, o, true, "closed");
        return;
    }
    if (a->state == AGENT_FENCING) {
        if (o->epoch >= a->order.epoch) a->order = *o;
    } else {
        a->order = *o;
        a->order_ms = a->now_ms;
        shut(a, out);
        aim(a, STORE_NONE, out);
        move_to(a, AGENT_FENCING, "ordered");
    }
    note_fenced(a, a->order.epoch);
    persist(a, out);
    fence_on(a, out);
}

/* Not by order: the store says that our time is over. */
static void fenced_by_store(struct agent *a, const char *why, struct agent_actions *out)
{
    shut(a, out);
    note_fenced(a, a->epoch);
    move_to(a, AGENT_FENCED, why);
    persist(a, out);
}

/* ---- the store's answers ---- */

static bool holds(const struct agent *a)
{
    return a->state == AGENT_ACTIVE || a->state == AGENT_LAPSED || a->state == AGENT_CHECKING;
}

static void see_egress(struct agent *a, const struct store_egress *e, struct agent_actions *out)
{
    bool ours = e->identity == a->conf.identity;
    bool active = e->state == STORE_EGRESS_ACTIVE;
    struct agent_order o = { .identity = e->identity,
                             .op = e->op,
                             .epoch = e->epoch,
                             .token = e->token,
                             .dns_pending = e->dns_pending };
    if (active) a->active = e->identity;
    if (!ours) {
        bool over = holds(a) && e->epoch >= a->epoch && !MUTANT(NO_EPOCH_CHECK);
        note_epoch(a, e->epoch, false);
        if (over) fenced_by_store(a, "another identity was granted", out);
        if (!active || holds(a) || a->state == AGENT_FENCING) return;
        if (a->state == AGENT_FENCED && e->epoch > a->want.fenced) move_to(a, AGENT_STANDBY, "another sends");
        aim(a, e->identity, out);
        return;
    }
    bool new_to_us = e->epoch > a->want.fenced && e->epoch > a->refused_epoch;
    if (active && new_to_us && !(holds(a) && a->epoch >= e->epoch)) {
        o.kind = AGENT_GRANT;
        obey_grant(a, &o, out);
    }
    bool obeyed = a->fence_token == e->token && !holds(a);
    if (!active && e->state != STORE_EGRESS_NONE && !obeyed && !(holds(a) && e->epoch < a->epoch)) {
        o.kind = AGENT_FENCE;
        obey_fence(a, &o, out);
    }
}

/* A renewal was answered OK: it counts from when it was sent. */
static void renewed(struct agent *a, const struct store_reply *r, struct agent_actions *out)
{
    uint64_t from = MUTANT(DEADLINE_FROM_REPLY) ? a->now_ms : a->renew_sent_ms;
    uint64_t wall = MUTANT(DEADLINE_FROM_REPLY) ? a->wall_ms : a->renew_sent_wall_ms;
    uint64_t lease = a->conf.lease_ms - a->conf.margin_ms;
    bool other_server = a->run && r->run != a->run;
    a->deadline_ms = MAX(a->deadline_ms, from + lease);
    if (a->state == AGENT_ACTIVE && gate_renew(a->gate, from, from + lease, a->now_ms, wall + lease)) {
        a->run = r->run;
        return;
    }
    /* Closed since. On the same server nothing can have happened behind our back; another one may have lost a grant to
     * somebody else, so there we stay closed until the coordinator has looked. */
    if (a->state != AGENT_CHECKING && other_server && !MUTANT(RESUME_ANYWHERE)) {
        fenced_by_store(a, "the lease lapsed and another server answers", out);
        return;
    }
    gate_open(a->gate, a->epoch, from, from + lease, a->now_ms, wall + lease);
    if (!gate_left_ms(a->gate, a->now_ms)) {
        a->renew_next_ms = a->now_ms;
        return;
    }
    a->run = r->run;
    bool granted = a->state == AGENT_CHECKING;
    if (a->state != AGENT_ACTIVE) move_to(a, AGENT_ACTIVE, granted ? "granted" : "renewed");
    aim(a, a->conf.identity, out);
    if (granted) ack(out, &a->order, true, "sending");
}

static void on_renew(struct agent *a, const struct store_reply *r, struct agent_actions *out)
{
    if (r->status == STORE_UNKNOWN) {
        a->renew_next_ms = a->now_ms + a->conf.renew_ms / 3;
        return;
    }
    if (r->status == STORE_OK) {
        renewed(a, r, out);
        return;
    }
    if (a->state == AGENT_CHECKING)
        refuse_grant(a, "the store does not know the grant", out);
    else if (holds(a))
        fenced_by_store(a, r->status == STORE_STALE ? "the epoch is over" : "the store refused to renew",
                        out);
}

static void on_store(struct agent *a, const struct agent_event *ev, struct agent_actions *out)
{
    const struct store_reply *r = ev->reply;
    bool renew = ev->seq == a->renew_seq && a->renew_seq;
    if (ev->seq == a->beat_out_seq) a->beat_out_seq = 0;
    if (renew) a->renew_seq = 0;
    if (r->status != STORE_UNKNOWN) {
        uint32_t before = a->seq;
        bool again = !a->store_heard_ms || a->now_ms >= a->store_heard_ms + 2 * (uint64_t)a->conf.beat_ms;
        a->store_heard_ms = a->now_ms;
        if (again) beat_soon(a); /* it makes us eligible: say so now */
        /* An answer OK to our own renewal is the newest word about our epoch: nothing else in it is an order. */
        if (!(renew && r->status == STORE_OK)) see_egress(a, &r->egress, out);
        if (renew && a->seq != before) return; /* that was the order behind the refusal */
    }
    if (renew && holds(a)) on_renew(a, r, out);
}

/* ---- time ---- */

static void time_out(struct agent *a)
{
    uint64_t limit = a->conf.op_timeout_ms;
    if (a->renew_seq && a->now_ms >= a->renew_sent_ms + limit) a->renew_seq = 0, a->renew_next_ms = a->now_ms;
    if (a->beat_out_seq && a->now_ms >= a->beat_sent_ms + limit) a->beat_out_seq = 0;
}

static void on_tick(struct agent *a, struct agent_actions *out)
{
    a->tick_next_ms = a->now_ms + a->conf.stall_ms / 4;
    gate_tick(a->gate, a->now_ms, a->wall_ms);
    if (a->state == AGENT_ACTIVE && !gate_left_ms(a->gate, a->now_ms)) {

        shut(a, out);
        a->renew_next_ms = a->now_ms;
        move_to(a, AGENT_LAPSED,
                a->now_ms < a->deadline_ms ? "the process or a clock jumped" : "no renewal in time");
    }
    time_out(a);
    bool keeps = a->state == AGENT_ACTIVE || a->state == AGENT_LAPSED;
    if (keeps && !a->renew_seq && a->now_ms >= a->renew_next_ms) send_renew(a, out);
    persist(a, out);
    check_on(a, out);
    fence_on(a, out);
    if (a->now_ms >= a->beat_next_ms) send_beat(a, out);
}

static void on_persisted(struct agent *a, const struct agent_event *ev, struct agent_actions *out)
{
    if (!a->persist_seq || ev->seq != a->persist_seq) return;
    a->persist_seq = 0;
    if (ev->err)
        a->persist_again_ms = a->now_ms + 1000;
    else
        a->saved = a->writing;
    persist(a, out);
    check_on(a, out);
    fence_on(a, out);
}

static void on_order(struct agent *a, const struct agent_order *o, struct agent_actions *out)
{
    switch (o->kind) {
    case AGENT_FENCE: obey_fence(a, o, out); break;
    case AGENT_GRANT: obey_grant(a, o, out); break;
    case AGENT_HANDOFF:
        if (!holds(a) && a->state != AGENT_FENCING) aim(a, o->identity, out);
        break;
    }
}

void agent_step(struct agent *a, const struct agent_event *ev, struct agent_actions *out)
{
    out->n = 0;
    a->now_ms = ev->now_ms;
    a->wall_ms = ev->wall_ms;
    if (a->conf.solo) return;
    switch (ev->kind) {
    case AGENT_EV_TICK: on_tick(a, out); return;
    case AGENT_EV_ORDER: on_order(a, &ev->order, out); break;
    case AGENT_EV_STORE: on_store(a, ev, out); break;
    case AGENT_EV_TOKEN: on_token(a, ev, out); break;
    case AGENT_EV_SPF: on_spf(a, ev, out); break;
    case AGENT_EV_PERSISTED: on_persisted(a, ev, out); break;
    case AGENT_EV_ABORTED:
        if (ev->seq == a->abort_seq) a->aborted = true;
        check_on(a, out);
        fence_on(a, out);
        break;
    case AGENT_EV_FACTS:
        if (a->facts.preflight_ok != ev->facts.preflight_ok || a->facts.egress_ok != ev->facts.egress_ok)
            beat_soon(a);
        a->facts = ev->facts;
        break;
    }
    if (a->beat_next_ms == a->now_ms) send_beat(a, out);
}

uint64_t agent_due_ms(const struct agent *a)
{
    if (a->conf.solo) return UINT64_MAX;
    uint64_t due = MIN(a->tick_next_ms, a->beat_next_ms);
    if (holds(a) && !a->renew_seq && a->state != AGENT_CHECKING) due = MIN(due, a->renew_next_ms);
    return due;
}

struct agent *agent_create(const struct agent_conf *conf, struct gate *gate, const struct log *log,
                           const struct agent_file *file, uint64_t instance, uint64_t now_ms)
{
    struct agent *a = xzalloc(sizeof *a);
    a->conf = *conf;
    a->gate = gate;
    a->log = log;
    a->want = a->saved = *file;
    a->instance = instance;
    a->now_ms = a->tick_next_ms = a->beat_next_ms = now_ms;
    a->active = a->target = STORE_NONE;
    a->state = AGENT_STANDBY;
    a->why = "started";
    a->facts.egress_ok = true;
    if (conf->solo) {
        a->state = AGENT_ACTIVE;
        a->why = "solo";
        gate_open_solo(gate);
    } else if (file->epoch) {
        /* We do not know how the last process ended: no epoch it may have held is good any more. */
        a->state = AGENT_FENCED;
        a->want.fenced = MAX(file->fenced, file->epoch);
        a->why = "started with an old epoch";
    }
    return a;
}

void agent_destroy(struct agent *a)
{
    free(a);
}

enum agent_state agent_state(const struct agent *a)
{
    return a->state;
}

const char *agent_state_name(enum agent_state s)
{
    ASSERT((unsigned)s < AGENT_STATES);
    return rows[s].name;
}

uint64_t agent_epoch(const struct agent *a)
{
    return a->want.epoch;
}

uint8_t agent_active_identity(const struct agent *a)
{
    return a->state == AGENT_ACTIVE ? a->conf.identity : a->active;
}

const char *agent_why(const struct agent *a)
{
    return a->why;
}

enum store_reported agent_reported(const struct agent *a)
{
    return rows[a->state].reported;
}
