#include "coordinator/failover_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/mutation.h"

/* ---- the table ---- */

static fo_on_fn following_on, recovering_on;

#define DROP \
    (BIT(FO_FOLLOWING) | BIT(FO_RECOVERING)) /* the lead is lost, the store is another: always possible */
#define BACK (BIT(FO_ROLLING_BACK) | BIT(FO_SETTLING))
#define RESUMED \
    (BIT(FO_FENCING) | BIT(FO_PUBLISHING) | BIT(FO_VERIFYING) | BIT(FO_WAITING) | BIT(FO_GRANTING) | BACK)

static const struct fo_row {
    const char *name;
    unsigned next;
    fo_on_fn *on;
} rows[] = {
    [FO_FOLLOWING] = { "following", BIT(FO_RECOVERING), following_on },
    [FO_RECOVERING] = { "recovering", DROP | BIT(FO_WATCHING) | RESUMED, recovering_on },
    [FO_WATCHING] = { "watching", DROP | BIT(FO_CONFIRMING) | BIT(FO_RECORDING) | RESUMED, fo_watching_on },
    [FO_CONFIRMING] = { "confirming", DROP | BIT(FO_WATCHING) | BIT(FO_RECORDING), fo_confirming_on },
    [FO_RECORDING] = { "recording", DROP | BIT(FO_WATCHING) | BIT(FO_FENCING) | BIT(FO_PUBLISHING),
                       fo_recording_on },
    [FO_FENCING] = { "fencing", DROP | BIT(FO_PUBLISHING) | BIT(FO_GRANTING) | BACK, fo_fencing_on },
    [FO_PUBLISHING] = { "publishing", DROP | BIT(FO_VERIFYING) | BIT(FO_GRANTING) | BIT(FO_FENCING) | BACK,
                        fo_publishing_on },
    [FO_VERIFYING] = { "verifying",
                       DROP | BIT(FO_WAITING) | BIT(FO_FENCING) | BIT(FO_GRANTING) | BIT(FO_PUBLISHING) |
                           BACK,
                       fo_verifying_on },
    [FO_WAITING] = { "waiting", DROP | BIT(FO_VERIFYING) | BIT(FO_FENCING) | BIT(FO_GRANTING) | BACK,
                     fo_waiting_on },
    [FO_GRANTING] = { "granting", DROP | BIT(FO_FENCING) | BIT(FO_PUBLISHING) | BACK, fo_granting_on },
    [FO_SETTLING] = { "settling", DROP | BIT(FO_WATCHING), fo_settling_on },
    [FO_ROLLING_BACK] = { "rolling_back", DROP | BIT(FO_FENCING) | BIT(FO_SETTLING), fo_rolling_back_on },
};
_Static_assert(ARRAY_LEN(rows) == FO_STATES, "one row per state");

const char *failover_state_name(enum fo_state s)
{
    ASSERT((unsigned)s < FO_STATES);
    return rows[s].name;
}

enum fo_state fo_state_of(enum store_step step)
{
    static const enum fo_state states[] = {
        [STORE_STEP_RECORDED] = FO_FENCING,          [STORE_STEP_FENCING] = FO_FENCING,
        [STORE_STEP_PUBLISHING] = FO_PUBLISHING,     [STORE_STEP_VERIFYING] = FO_VERIFYING,
        [STORE_STEP_WAITING] = FO_VERIFYING, /* how long was waited is not known: verify, then wait in full */
        [STORE_STEP_GRANTING] = FO_GRANTING,         [STORE_STEP_SETTLING] = FO_SETTLING,
        [STORE_STEP_ROLLING_BACK] = FO_ROLLING_BACK,
    };
    ASSERT((unsigned)step < ARRAY_LEN(states));
    return states[step];
}

void fo_move_to(struct failover *f, enum fo_state to, const char *why)
{
    ASSERT(rows[f->state].next & BIT(to));
    log_info(f->log, "failover.state", kv_cstr("from", rows[f->state].name), kv_cstr("to", rows[to].name),
             kv_u64("epoch", f->op.id ? f->op.epoch : f->egress.epoch), kv_cstr("why", why));
    if (f->state == FO_CONFIRMING)
        f->confirm_took_ms = (uint32_t)MIN(f->now_ms - f->state_ms, (uint64_t)UINT32_MAX);
    f->state = to;
    f->state_ms = f->now_ms;
    f->phase = 0;
    f->tries = 0;
    f->try_next_ms = 0;
    f->step = (struct fo_wait){ 0 };
    f->publish = (struct fo_wait){ 0 };
    if (to == FO_VERIFYING) f->standing_ms = f->op.to < f->conf.n ? f->ids[f->op.to].pass_ms : 0;
    if (to == FO_RECOVERING) f->lead_since_ms = f->now_ms;
}

/* ---- out ---- */

struct fo_action *fo_act(struct failover *f, enum fo_action_kind kind)
{
    ASSERT(f->out->n < FO_ACTIONS_MAX);
    struct fo_action *a = &f->out->v[f->out->n++];
    a->kind = kind;
    a->seq = 0;
    a->identity = STORE_NONE;
    return a;
}

uint32_t fo_seq(struct failover *f)
{
    if (++f->seq == 0) f->seq = 1;
    return f->seq;
}

static void begin_wait(struct failover *f, struct fo_wait *w, struct fo_action *a)
{
    a->seq = w->seq = fo_seq(f);
    w->sent_ms = f->now_ms;
}

bool fo_waiting(struct failover *f, struct fo_wait *w, uint64_t limit_ms)
{
    if (w->seq && f->now_ms >= w->sent_ms + limit_ms) w->seq = 0;
    return w->seq != 0;
}

bool fo_answered(const struct fo_event *ev, enum fo_event_kind kind, struct fo_wait *w)
{
    if (ev->kind != kind || !w->seq || ev->seq != w->seq) return false;
    w->seq = 0;
    return true;
}

struct store_claim fo_claim(const struct failover *f)
{
    struct store_claim c = f->claim;
    c.run = f->run;
    return c;
}

static void send_store(struct failover *f, struct fo_wait *w, const struct store_req *req)
{
    struct fo_action *a = fo_act(f, FO_DO_STORE);
    a->req = *req;
    begin_wait(f, w, a);
}

/* The request of the current step; sent again, the same, when nobody can say whether it happened. */
void fo_send_step(struct failover *f, const struct store_req *req)
{
    f->step_req = *req;
    f->step_req.claim = fo_claim(f);
    send_store(f, &f->step, &f->step_req);
}

static void send_aux(struct failover *f)
{
    if (!f->n_aux || fo_waiting(f, &f->aux_wait, 2 * f->conf.store_timeout_ms)) return;
    f->aux[0].req.claim = fo_claim(f);
    send_store(f, &f->aux_wait, &f->aux[0].req);
}

bool fo_aux(struct failover *f, const struct store_req *req, uint64_t command, const char *done)
{
    if (f->n_aux == ARRAY_LEN(f->aux)) return false;
    f->aux[f->n_aux++] = (struct fo_aux){ .req = *req, .command = command, .done = done };
    if (f->n_aux == 1) send_aux(f);
    return true;
}

void fo_read_token(struct failover *f)
{
    if (fo_waiting(f, &f->dns, f->conf.dns_timeout_ms)) return;
    begin_wait(f, &f->dns, fo_act(f, FO_DO_READ_TOKEN));
}

void fo_verify(struct failover *f)
{
    if (fo_waiting(f, &f->verify, f->conf.dns_timeout_ms)) return;
    begin_wait(f, &f->verify, fo_act(f, FO_DO_VERIFY));
}

void fo_notify(struct failover *f, const char *fmt, ...)
{
    struct fo_action *a = fo_act(f, FO_DO_NOTIFY);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->text, sizeof a->text, fmt, ap);
    va_end(ap);
    log_warn(f->log, "failover.notify", kv_cstr("text", a->text));
}

void fo_answer(struct failover *f, uint64_t id, enum fo_answer result, const char *fmt, ...)
{
    if (!id) return;
    struct fo_action *a = fo_act(f, FO_DO_ANSWER);
    a->answer.id = id;
    a->answer.result = result;
    a->answer.epoch = f->egress.epoch;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->answer.text, sizeof a->answer.text, fmt, ap);
    va_end(ap);
}

/* ---- the lead ---- */

bool fo_leading(const struct failover *f)
{
    return f->lead_until_ms && f->now_ms < f->lead_until_ms;
}

bool failover_leads(const struct failover *f, uint64_t now_ms)
{
    return f->lead_until_ms && now_ms < f->lead_until_ms && f->state != FO_FOLLOWING;
}

void fo_step_down(struct failover *f, const char *why)
{
    f->lead_until_ms = 0;
    for (size_t i = 0; i < f->n_aux; i++)
        fo_answer(f, f->aux[i].command, FO_ANS_NOT_LEADER, "this coordinator lost the lead");
    f->n_aux = 0;
    f->aux_wait.seq = 0;
    f->op = (struct store_op_rec){ 0 };
    if (f->has_pending) fo_answer(f, f->pending.id, FO_ANS_NOT_LEADER, "this coordinator lost the lead");
    if (f->op_command)
        fo_answer(f, f->op_command, FO_ANS_NOT_LEADER, "this coordinator lost the lead; another goes on");
    f->has_pending = false;
    f->op_command = 0;
    if (f->state != FO_FOLLOWING) fo_move_to(f, FO_FOLLOWING, why);
}

void fo_refresh(struct failover *f)
{
    f->view_next_ms = f->now_ms;
    f->view_wait.seq = 0; /* an answer under way may be from before */
    f->view_old = true;
}

/* Was the view asked for after the last news of a higher epoch? Only then does its silence about that epoch mean something. */
bool fo_view_covers(struct failover *f)
{
    if (f->known_ms <= f->view_asked_ms) return true;
    if (!f->view_old) fo_refresh(f);
    return false;
}

void fo_recover(struct failover *f, const char *why)
{
    fo_move_to(f, FO_RECOVERING, why);
    fo_refresh(f);
    f->dns.seq = 0;
    f->op = (struct store_op_rec){ 0 };
}

static void ask_lead(struct failover *f)
{
    if (f->now_ms < f->lead_next_ms || fo_waiting(f, &f->lead, f->conf.store_timeout_ms)) return;
    struct store_req q = { .kind = STORE_COORD, .claim = f->claim, .term_floor = f->claim.term };
    q.term_floor = MAX(f->claim.term, f->view.term);
    send_store(f, &f->lead, &q);
    f->lead_next_ms = f->now_ms + f->conf.coord_lease_ms / 5;
}

static void on_lead(struct failover *f, const struct store_reply *r, uint64_t sent_ms)
{
    if (r->status == STORE_UNKNOWN) return; /* the lease runs on; it may run out */
    if (r->status != STORE_OK) {
        if (f->state != FO_FOLLOWING) fo_step_down(f, "another coordinator leads");
        return;
    }
    uint64_t until = sent_ms + f->conf.coord_lease_ms - f->conf.coord_margin_ms;
    if (until <= f->now_ms) return;
    bool new_term = r->term != f->claim.term;
    f->claim.term = r->term;
    f->lead_until_ms = until;
    if (f->state == FO_FOLLOWING || new_term)
        fo_recover(f, f->state == FO_FOLLOWING ? "leading" : "new term");
}

/* ---- what answers teach ---- */

static void role_changed(struct failover *f, const char *why)
{
    f->role_ms = f->now_ms;
    f->role_changes++;
    log_warn(f->log, "failover.store_changed", kv_cstr("why", why), kv_ms("wait", f->conf.role_wait_ms));
    if (f->state != FO_FOLLOWING) fo_recover(f, "the store may have lost data");
}

static void learn_run(struct failover *f, const struct store_reply *r)
{
    if (!r->run || r->run == f->run) return;
    bool first = f->run == 0;
    f->run = r->run;
    /* First contact: the same run as when the last grant or fence was made means that nothing was lost since. */
    bool trusted = first && r->egress.state != STORE_EGRESS_NONE && r->egress.run == r->run;
    if (!trusted) role_changed(f, first ? "first look at this server" : "another server answers");
}

static void learn_epoch(struct failover *f, uint64_t epoch)
{
    if (epoch <= f->known_epoch) return;
    f->known_epoch = epoch;
    f->known_ms = f->now_ms;
}

static void learn_egress(struct failover *f, const struct store_reply *r)
{
    const struct store_egress *e = &r->egress;
    if (e->epoch != f->egress.epoch || e->state != f->egress.state || e->identity != f->egress.identity)
        f->egress_ms = f->now_ms;
    f->egress = *e;
    learn_epoch(f, e->epoch);
    if (r->lease.counter != f->lease.counter || r->lease.epoch != f->lease.epoch) f->lease_ms = f->now_ms;
    f->lease = r->lease;
}

static void learn_beat(struct failover *f, uint8_t i, const struct store_beat *b, bool link)
{
    struct fo_ident *id = &f->ids[i];
    if (b->instance == id->beat.instance && b->seq <= id->beat.seq && id->beat_ms) return;
    id->beat = *b;
    id->beat_ms = f->now_ms;
    if (link) id->link_ms = f->now_ms;
    learn_epoch(f, b->epoch);
    bool closed = b->reported != STORE_R_ACTIVE && b->reported != STORE_R_GRANTING;
    id->closed_ms = !closed ? 0 : id->closed_ms ? id->closed_ms : f->now_ms;
    id->egress_down_ms = b->egress_ok ? 0 : id->egress_down_ms ? id->egress_down_ms : f->now_ms;
    if (b->fence_token) id->ack_token = b->fence_token;
    if (!f->op.id || i != f->op.to) return;
    if (b->reported == STORE_R_ACTIVE && b->epoch == f->op.epoch) id->grant_done = true;
    if (b->refused_epoch == f->op.epoch && !id->grant_done) {
        id->grant_refused = true;
        snprintf(id->refused_why, sizeof id->refused_why, "%s", b->refused_why);
    }
}

/* Nodes, DNS or our journal know an epoch that no operation of this store was ever recorded with: it has forgotten, or it
 * is a server that others have left already. Whoever was granted that epoch may be sending. */
static void doubt(struct failover *f)
{
    uint64_t recorded = MAX(f->view.used_epoch, MAX(f->view.epoch, f->view.op.epoch));
    bool ours = f->op.id || f->known_ms > f->view_asked_ms; /* may be in the next view */
    if (ours || f->known_epoch <= recorded || f->known_epoch <= f->doubted_epoch || MUTANT(NO_ROLE_WAIT))
        return;
    f->doubted_epoch = f->known_epoch;
    f->role_ms = f->now_ms;
    log_warn(f->log, "failover.store_behind", kv_u64("epoch", recorded), kv_u64("known", f->known_epoch),
             kv_ms("wait", f->conf.role_wait_ms));
}

static void on_view(struct failover *f, const struct store_reply *r, uint64_t asked_ms)
{
    if (r->status != STORE_OK || !r->view) return;
    bool lost = f->view_ms && (r->view->epoch < f->view.epoch || r->view->term < f->view.term);
    if (!f->view_ms || f->now_ms > f->view_ms + 5 * f->conf.view_ms) f->view_gap_ms = f->now_ms;
    f->view = *r->view;
    f->view_ms = f->now_ms;
    f->view_asked_ms = asked_ms;
    f->view_old = false;
    if (lost) role_changed(f, "epoch or term went back");
    learn_epoch(f, f->view.epoch);
    learn_epoch(f, f->view.op.epoch);
    for (size_t i = 0; i < f->n_aux; i++) { /* what is on its way to the store holds already */
        struct store_controls *c = &f->aux[i].req.controls;
        if (f->aux[i].req.kind != STORE_CONTROLS || c->version == f->view.controls.version) continue;
        c->version = f->view.controls.version + 1;
        f->view.controls = *c;
    }
    doubt(f);
    for (uint8_t i = 0; i < f->conf.n; i++) {
        const struct store_beat *b = &f->view.beats[i];
        struct fo_ident *id = &f->ids[i];
        if (!b->instance || (b->seq == id->store_seq && b->instance == id->store_inst)) continue;
        bool over_link_too = b->instance == id->beat.instance && b->seq <= id->beat.seq;
        id->store_seq = b->seq;
        id->store_inst = b->instance;
        if (over_link_too)
            id->beat_ms = f->now_ms;
        else
            learn_beat(f, i, b, false);
    }
}

static void on_aux(struct failover *f, const struct store_reply *r)
{
    if (r->status == STORE_UNKNOWN) return; /* sent again by the tick */
    if (r->status == STORE_STALE) {
        fo_step_down(f, "the store says that we do not lead");
        return;
    }
    if (r->status == STORE_CONFLICT) { /* another server, or another version: look, then send it again */
        if (f->state != FO_RECOVERING) fo_refresh(f);
        return;
    }
    fo_answer(f, f->aux[0].command, FO_ANS_DONE, "%s", f->aux[0].done);
    f->n_aux--;
    memmove(f->aux, f->aux + 1, f->n_aux * sizeof f->aux[0]);
    send_aux(f);
}

static void learn_store(struct failover *f, const struct fo_event *ev)
{
    const struct store_reply *r = ev->reply;
    if (r->status == STORE_UNKNOWN && ev->seq != f->lead.seq && ev->seq != f->view_wait.seq) {
        if (ev->seq == f->aux_wait.seq) f->aux_wait.seq = 0;
        return; /* the step's own answer is for its handler */
    }
    uint64_t sent_ms = f->lead.sent_ms, view_ms = f->view_wait.sent_ms;
    bool lead = fo_answered(ev, FO_EV_STORE, &f->lead), view = fo_answered(ev, FO_EV_STORE, &f->view_wait);
    bool aux = fo_answered(ev, FO_EV_STORE, &f->aux_wait), step = f->step.seq && ev->seq == f->step.seq;
    if (!lead && !view && !aux && !step) return; /* late: what it says is old */
    if (r->status != STORE_UNKNOWN) {
        uint64_t asked_ms = lead ? sent_ms : view ? view_ms : aux ? f->aux_wait.sent_ms : f->step.sent_ms;
        if (asked_ms >= f->learnt_sent_ms) { /* otherwise a younger answer has overtaken it */
            f->learnt_sent_ms = asked_ms;
            learn_egress(f, r);
        }
        learn_run(f, r);
    }
    if (lead) on_lead(f, r, sent_ms);
    if (view) on_view(f, r, view_ms);
    if (aux) on_aux(f, r);
}

static void learn_token(struct failover *f, const struct fo_event *ev)
{
    if (!f->dns.seq || ev->seq != f->dns.seq) return; /* cleared by whoever waits, or below */
    f->token_reachable = ev->reachable;
    if (!ev->reachable) return;
    /* More than one change since we looked: an identity may have been out and in again. */
    bool missed = ev->token.serial > f->token.serial + 1;
    for (uint8_t i = 0; i < f->conf.n; i++) {
        bool in = ev->token.present && ev->token.spf_set & BIT(i);
        if (missed || !in) f->ids[i].pass_since_ms = 0;
        if (!in) f->ids[i].pass_ms = 0;
    }
    f->token = ev->token;
    f->token_ms = f->now_ms;
    if (ev->token.present && !ev->token.foreign) learn_epoch(f, ev->token.epoch);
}

static void learn_verified(struct failover *f, const struct fo_verified *v)
{
    bool any = false, silent = false;
    uint32_t all = ~UINT32_C(0);
    for (uint8_t i = 0; i < f->conf.n; i++) f->ids[i].spf_ok = 0, f->ids[i].spf_of = v->n;
    for (uint8_t s = 0; s < v->n; s++) {
        const struct fo_server *sv = &v->v[s];
        if (sv->state == FO_SERVER_SILENT) silent = true;
        if (sv->state == FO_SERVER_SILENT) continue;
        any = true;
        if (sv->state == FO_SERVER_BOGUS) all = 0;
        all &= sv->pass_set;
        learn_epoch(f, sv->epoch);
        if (sv->state == FO_SERVER_OK) f->set_ttl_ms = MAX(f->set_ttl_ms, sv->ttl_ms);
        for (uint8_t i = 0; i < f->conf.n; i++)
            if (sv->state == FO_SERVER_OK && sv->pass_set & BIT(i)) f->ids[i].spf_ok++;
    }
    for (uint8_t i = 0; i < f->conf.n; i++) {
        if (any && !(all & BIT(i)))
            f->ids[i].pass_ms = f->ids[i].pass_since_ms = 0; /* somebody says otherwise: no excuse is left */
        if (!any || silent || !(all & BIT(i))) continue;
        f->ids[i].pass_ms = f->now_ms;
        if (!f->ids[i].pass_since_ms) f->ids[i].pass_since_ms = f->now_ms;
    }
}

static void learn_ack(struct failover *f, uint8_t i, const struct fo_ack *a)
{
    struct fo_ident *id = &f->ids[i];
    if (a->fence && a->done) id->ack_token = a->token;
    if (a->fence || !f->op.id || i != f->op.to || a->epoch != f->op.epoch) return;
    if (a->done) id->grant_done = true;
    if (!a->done && !id->grant_done) {
        id->grant_refused = true;
        snprintf(id->refused_why, sizeof id->refused_why, "%s", a->why);
    }
}

static void learn(struct failover *f, const struct fo_event *ev)
{
    switch (ev->kind) {
    case FO_EV_STORE: learn_store(f, ev); break;
    case FO_EV_NODE:
        if (ev->identity < f->conf.n) {
            f->ids[ev->identity].link_ms = f->now_ms;
            learn_beat(f, ev->identity, ev->beat, true);
        }
        break;
    case FO_EV_LINK_LOST:
        if (ev->identity < f->conf.n) f->ids[ev->identity].link_ms = 0;
        break;
    case FO_EV_ACK:
        if (ev->identity < f->conf.n) learn_ack(f, ev->identity, ev->ack);
        break;
    case FO_EV_TOKEN: learn_token(f, ev); break;
    case FO_EV_VERIFIED:
        if (f->verify.seq && ev->seq == f->verify.seq) learn_verified(f, ev->verified);
        break;
    case FO_EV_VERDICT:
        if (ev->identity < f->conf.n) {
            f->ids[ev->identity].verdict = *ev->verdict;
            f->ids[ev->identity].judged = true;
        }
        break;
    case FO_EV_COMMAND: fo_take_command(f, ev->command); break;
    case FO_EV_TICK:
    case FO_EV_PUBLISHED:
    case FO_EV_FENCED: break;
    }
}

/* The next epoch is above all that is known. After the store may have lost data, and with somebody silent who might know a
 * higher one, it leaps: what was granted in the lost seconds stays below. */
uint64_t fo_next_epoch(struct failover *f)
{
    bool sure = f->token_ms && f->token_ms >= f->role_ms;
    for (uint8_t i = 0; i < f->conf.n; i++)
        sure = sure && f->ids[i].beat_ms && f->ids[i].beat_ms >= f->role_ms;
    return f->known_epoch + 1 + (f->role_ms && !sure ? EPOCH_LEAP : 0);
}

/* ---- following, recovering ---- */

static void following_on(struct failover *f, const struct fo_event *ev)
{
    (void)fo_answered(ev, FO_EV_TOKEN, &f->dns);
    (void)fo_answered(ev, FO_EV_VERIFIED, &f->verify);
    if (f->view_ms && f->now_ms >= f->verify_next_ms) {
        f->verify_next_ms = f->now_ms + f->conf.spf_check_ms;
        fo_verify(f); /* so that a new leader knows at once who passes, and since when */
        fo_read_token(f);
    }
}

enum { RECOVER_ASK, RECOVER_WAIT };

static void recovering_on(struct failover *f, const struct fo_event *ev)
{
    if (f->phase == RECOVER_ASK) {
        fo_read_token(f);
        f->phase = RECOVER_WAIT;
        return;
    }
    bool token = fo_answered(ev, FO_EV_TOKEN, &f->dns) || !fo_waiting(f, &f->dns, f->conf.dns_timeout_ms);
    if (!token || f->view_old || !fo_view_covers(f)) return;
    if (f->view.op.id)
        fo_resume(f);
    else
        fo_move_to(f, FO_WATCHING, "nothing was under way");
}

/* ---- one event ---- */

static void read_view(struct failover *f)
{
    if (f->now_ms < f->view_next_ms || fo_waiting(f, &f->view_wait, f->conf.store_timeout_ms)) return;
    send_store(f, &f->view_wait, &(struct store_req){ .kind = STORE_READ });
    f->view_next_ms = f->now_ms + f->conf.view_ms;
}

void failover_step(struct failover *f, const struct fo_event *ev, struct fo_actions *out)
{
    f->out = out;
    out->n = 0;
    f->now_ms = ev->now_ms;
    f->wall_ms = ev->wall_ms;
    learn(f, ev);
    if (f->state != FO_FOLLOWING && !fo_leading(f)) fo_step_down(f, "the lead was not renewed in time");
    ask_lead(f);
    read_view(f);
    if (fo_leading(f)) send_aux(f);
    /* A state that ends at once hands the event on as a mere tick, so that no time is lost between steps. */
    struct fo_event tick = { .kind = FO_EV_TICK, .now_ms = ev->now_ms, .wall_ms = ev->wall_ms };
    for (int i = 0; i < 8; i++) {
        enum fo_state state = f->state;
        unsigned phase = f->phase;
        rows[state].on(f, i ? &tick : ev);
        if (f->state == state && f->phase == phase) break;
    }
    if (ev->kind == FO_EV_TOKEN)
        (void)fo_answered(ev, FO_EV_TOKEN, &f->dns); /* if no handler waited for it */
    if (ev->kind == FO_EV_VERIFIED) (void)fo_answered(ev, FO_EV_VERIFIED, &f->verify);
    f->out = NULL;
}

uint64_t failover_due_ms(const struct failover *f)
{
    uint64_t limit = f->conf.store_timeout_ms;
    uint64_t lead = f->lead.seq ? f->lead.sent_ms + limit : f->lead_next_ms;
    uint64_t due = MIN(lead, f->view_wait.seq ? f->view_wait.sent_ms + limit : f->view_next_ms);
    if (f->state >= FO_RECORDING || f->state == FO_RECOVERING)
        due = MIN(due, f->now_ms + f->conf.view_ms / 4);
    return MAX(due, f->now_ms + 1);
}

/* ---- life ---- */

void failover_conf_default(struct fo_conf *c)
{
    *c = (struct fo_conf){
        .lease_ms = SECONDS(15),
        .coord_lease_ms = SECONDS(15),
        .coord_margin_ms = SECONDS(2),
        .store_timeout_ms = SECONDS(3),
        .view_ms = SECONDS(1),
        .slack_ms = SECONDS(3),
        .role_wait_ms = SECONDS(30),
        .silent_ms = SECONDS(6),
        .egress_down_ms = SECONDS(60),
        .confirm_limit_ms = MINUTES(30),
        .fence_limit_ms = SECONDS(3),
        .verify_limit_ms = MINUTES(10),
        .grant_limit_ms = SECONDS(60),
        .order_repeat_ms = SECONDS(2),
        .cooldown_ms = SECONDS(60),
        .publish_tries = 5,
        .publish_backoff_ms = 500,
        .verify_gap_ms = SECONDS(5),
        .spf_fresh_ms = HOURS(1),
        .spf_check_ms = SECONDS(60),
        .spf_ttl_ms = MINUTES(5),
        .grace_ms = HOURS(1),
        .dns_timeout_ms = SECONDS(5),
        .dwell_ms = HOURS(6),
        .daily_cap = 2,
        .score_lead = 2,
    };
}

struct failover *failover_create(const struct fo_conf *conf, const struct log *log, uint64_t seed,
                                 uint64_t journal_epoch, uint64_t now_ms)
{
    ASSERT(conf->n <= STORE_IDENTITIES_MAX);
    struct failover *f = xzalloc(sizeof *f);
    f->conf = *conf;
    f->log = log;
    rng_init_seed(&f->rng, seed);
    f->claim.id = slice_hash(slice_of(conf->me));
    f->claim.token = rng_u64(&f->rng);
    f->now_ms = f->state_ms = now_ms;
    f->journal_epoch = f->known_epoch = journal_epoch;
    f->egress.identity = f->view.egress.identity = f->view.controls.pin = STORE_NONE;
    f->lead_next_ms = f->view_next_ms = now_ms;
    f->set_ttl_ms = conf->spf_ttl_ms;
    return f;
}

void failover_destroy(struct failover *f)
{
    free(f);
}

enum fo_state failover_state(const struct failover *f)
{
    return f->state;
}

uint64_t failover_quarantined_wall_ms(const struct failover *f, uint8_t identity)
{
    return identity < f->conf.n ? f->view.quarantined_wall_ms[identity] : 0;
}
