/* Why something should happen: fitness, triggers, moderation, the operator's commands, DNS that differs from what it should be. */
#include <stdio.h>

#include "coordinator/failover_int.h"
#include "proto/mutation.h"

/* ---- who could send ---- */

bool fo_link_fresh(const struct failover *f, uint8_t i)
{
    return f->ids[i].link_ms && f->now_ms < f->ids[i].link_ms + f->conf.silent_ms;
}

bool fo_fresh(const struct failover *f, uint8_t i)
{
    return f->ids[i].beat_ms && f->now_ms < f->ids[i].beat_ms + f->conf.silent_ms;
}

/* NULL: it could send, whatever the blocklists say. */
const char *fo_not_usable(const struct failover *f, uint8_t i)
{
    const struct fo_ident *id = &f->ids[i];
    if (!id->beat_ms) return "its node was never heard of";
    if (!fo_fresh(f, i)) return "its node is silent";
    if (!id->beat.store_ok) return "its node does not reach the store";
    if (!id->beat.egress_ok) return "its node reports no way out";
    if (!id->beat.preflight_ok) return "its preflight is not complete";
    if (f->now_ms < id->cool_until_ms) return "it refused a grant lately";
    return NULL;
}

/* Every receiver that asks, or remembers an answer, has it among the authorised. */
bool fo_known_to_all(const struct failover *f, uint8_t i)
{
    uint64_t since = i < f->conf.n ? f->ids[i].pass_since_ms : 0;
    return since && f->now_ms >= since + MAX(f->set_ttl_ms, f->conf.spf_ttl_ms);
}

const char *fo_not_fit(const struct failover *f, uint8_t i)
{
    const struct fo_ident *id = &f->ids[i];
    const char *no = fo_not_usable(f, i);
    if (no) return no;
    if (!fo_link_fresh(f, i)) return "its node has no link here: nobody has seen its certificate";
    if (!id->judged) return "the blocklists were not asked yet";
    if (f->view.quarantined_wall_ms[i] && !id->verdict.cleared)
        return "it was listed and is not clean for long enough";
    if (f->view.quarantined_wall_ms[i] && !f->conf.exclusive && !fo_known_to_all(f, i))
        return "it was withdrawn, and receivers may still hold the old record";
    if (!id->verdict.fit) return "its score is too high";
    bool passes = id->pass_ms && f->now_ms < id->pass_ms + f->conf.spf_fresh_ms;
    if (!f->conf.exclusive && !passes && f->egress.state != STORE_EGRESS_NONE)
        return "SPF does not pass for it at every name server";
    return NULL;
}

static bool same_node(const struct failover *f, uint8_t a, uint8_t b)
{
    return a < f->conf.n && b < f->conf.n && strcmp(f->conf.ids[a].node, f->conf.ids[b].node) == 0;
}

/* The best to send instead of `from`: lowest score, then the configuration's order. STORE_NONE: nobody. */
static uint8_t candidate(const struct failover *f, uint8_t from, bool other_node)
{
    uint8_t best = STORE_NONE;
    for (uint8_t i = 0; i < f->conf.n; i++) {
        if (i == from || (other_node && same_node(f, i, from)) || fo_not_fit(f, i)) continue;
        if (best == STORE_NONE || f->ids[i].verdict.score < f->ids[best].verdict.score) best = i;
    }
    return best;
}

/* When the active one is gone, a standby that is merely warned about, or not judged yet, is better than silence. */
static uint8_t second_best(const struct failover *f, uint8_t from, bool other_node)
{
    for (uint8_t i = 0; i < f->conf.n; i++) {
        if (i == from || (other_node && same_node(f, i, from)) || fo_not_usable(f, i)) continue;
        if (!f->ids[i].verdict.confirmed && !f->view.quarantined_wall_ms[i]) return i;
    }
    return STORE_NONE;
}

/* ---- what SPF should say ---- */

static bool may_withdraw(const struct failover *f, uint8_t i)
{
    uint64_t since = f->view.quarantined_wall_ms[i];
    if (!since || f->ids[i].verdict.cleared) return false;
    bool grace = f->wall_ms >= since + f->conf.grace_ms;
    bool moved = f->ids[i].beat.queue_out == 0 || !fo_fresh(f, i);
    bool gone = f->token.present && !(f->token.spf_set & BIT(i)); /* already out: it stays out */
    return gone || (grace && moved);
}

uint32_t fo_wanted_set(const struct failover *f, uint8_t active, uint8_t also)
{
    uint32_t set = 0;
    if (active < f->conf.n) set |= BIT(active);
    if (also < f->conf.n && (f->conf.exclusive || !may_withdraw(f, also))) set |= BIT(also);
    for (uint8_t i = 0; i < f->conf.n && !f->conf.exclusive; i++)
        if (!may_withdraw(f, i)) set |= BIT(i);
    return set;
}

uint32_t fo_steady_set(const struct failover *f)
{
    uint32_t set = fo_wanted_set(f, f->egress.identity, STORE_NONE);
    bool grace = f->wall_ms < f->egress.since_wall_ms + f->conf.grace_ms;
    if (f->conf.exclusive && grace && f->token.present) set |= f->token.spf_set;
    return set;
}

/* ---- plans ---- */

static struct fo_plan *plan(struct failover *f, enum store_op_kind kind, uint8_t from, uint8_t to,
                            uint32_t flags)
{
    f->plan = (struct fo_plan){ .kind = kind, .from = from, .to = to, .flags = flags };
    snprintf(f->plan.by, sizeof f->plan.by, "%s", f->conf.me);
    return &f->plan;
}

static void start(struct failover *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void start(struct failover *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->plan.why, sizeof f->plan.why, fmt, ap);
    va_end(ap);
    fo_start(f, f->plan.why);
}

static void would(struct failover *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void would(struct failover *f, const char *fmt, ...)
{
    char text[FO_WHY_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    bool news = strcmp(text, f->issue) != 0;
    memcpy(f->issue, text, sizeof f->issue);
    f->issue_ms = f->now_ms;
    if (news || f->now_ms >= f->notified_ms + HOURS(1)) {
        f->notified_ms = f->now_ms;
        fo_notify(f, "%s", text);
    }
}

static bool pinned(const struct failover *f)
{
    return f->view.controls.pin != STORE_NONE && f->wall_ms < f->view.controls.pin_until_wall_ms;
}

static const char *held_back(const struct failover *f)
{
    if (MUTANT(IGNORE_PAUSE)) return NULL;
    if (f->view.controls.paused) return "automatic switching is paused";
    if (pinned(f)) return "an identity is pinned";
    return NULL;
}

/* Why a switch for reputation has to wait; NULL: it may happen (I10). Wall times come from the store, which every
 * coordinator sees; our own boot clock stands beside them, so that no jump of the wall clock opens the way. */
static const char *moderated(const struct failover *f)
{
    const char *held = held_back(f);
    if (held || MUTANT(NO_DWELL)) return held;
    if (f->auto_ms && f->now_ms < f->auto_ms + f->conf.dwell_ms)
        return "the last automatic switch was too recent";
    uint64_t last = f->view.auto_wall_ms[0];
    if (last && f->wall_ms < last + f->conf.dwell_ms) return "the last automatic switch was too recent";
    uint32_t today = 0;
    for (size_t i = 0; i < STORE_AUTO_MAX; i++)
        if (f->view.auto_wall_ms[i] && f->wall_ms < f->view.auto_wall_ms[i] + DAYS(1)) today++;
    return today >= f->conf.daily_cap ? "the daily number of automatic switches is reached" : NULL;
}

/* ---- triggers, one function each; true: something was started ---- */

static bool restore(struct failover *f)
{
    enum store_egress_state s = f->egress.state;
    if (s == STORE_EGRESS_ACTIVE || s == STORE_EGRESS_HELD) return false;
    if (held_back(f)) {
        would(f, "nobody sends, and nothing is done about it: %s", held_back(f));
        return false;
    }
    uint8_t last = f->egress.identity;
    if (s == STORE_EGRESS_NONE && f->token_reachable && f->token.present && !f->token.foreign)
        last = f->token.identity; /* the store lost everything, DNS did not */
    bool had = last < f->conf.n;
    uint8_t to = had && !fo_not_fit(f, last) ? last : candidate(f, STORE_NONE, false);
    /* The first time of all, the first of the configuration gets a moment to come up. */
    bool young = !had && f->now_ms < f->lead_since_ms + 3 * f->conf.silent_ms;
    if (young && to != 0) return false;
    if (to == STORE_NONE) to = second_best(f, STORE_NONE, false);
    if (to == STORE_NONE && had && !fo_not_usable(f, last)) to = last;
    if (to == STORE_NONE) {
        would(f, "nobody sends and nobody could: %s %s", fo_name(f, 0), fo_not_usable(f, 0));
        return false;
    }
    plan(f, STORE_OP_RESTORE, last, to, 0);
    start(f, s == STORE_EGRESS_NONE ? "nobody has ever been told to send"
                                    : "nobody sends since the last operation ended");
    return true;
}

/* The store has lost a grant that DNS and the node itself remember: go on with that one rather than with the one before. */
static bool go_on(struct failover *f)
{
    const struct fo_token *t = &f->token;
    bool newer = f->role_ms && f->token_ms >= f->role_ms && t->present && !t->foreign &&
                 t->epoch > f->egress.epoch;
    if (!newer || t->identity >= f->conf.n || t->identity == f->egress.identity) return false;
    const struct fo_ident *id = &f->ids[t->identity];
    if (fo_not_usable(f, t->identity) || id->beat.epoch < t->epoch || id->verdict.confirmed) return false;
    plan(f, STORE_OP_RESTORE, f->egress.identity, t->identity, 0);
    start(f, "the store has lost the grant of epoch %" PRIu64 " to %s", t->epoch, fo_name(f, t->identity));
    return true;
}

/* The node has closed by itself (restart, lapse on another server, refused renewal) and is well: it may go on, under a new
 * epoch. Nobody else can be open, so there is nothing to fence. */
static bool regrant(struct failover *f)
{
    uint8_t a = f->egress.identity;
    const struct fo_ident *id = &f->ids[a];
    uint64_t settle = 2 * f->conf.lease_ms / 5;
    bool closed = id->closed_ms && f->now_ms >= id->closed_ms + settle &&
                  f->now_ms >= f->egress_ms + settle && f->now_ms >= f->lease_ms + settle &&
                  f->now_ms >= f->view_gap_ms + settle &&
                  f->now_ms >= f->role_ms + settle; /* a lapsed one usually comes back by itself */
    bool for_good = id->closed_ms &&
                    id->beat.fenced_epoch >= f->egress.epoch; /* it will not: it wrote so to its disk */
    if ((!closed && !for_good) || fo_not_usable(f, a) || id->verdict.confirmed) return false;
    plan(f, STORE_OP_REGRANT, a, a, 0);
    start(f, "%s is well but its gate is closed: it may go on", fo_name(f, a));
    return true;
}

/* Two independent signals: the store, watched all the time, saw no renewal for a lease, and the link is silent or the
 * node itself says that it is closed. */
static bool lease_stopped(const struct failover *f, uint8_t a)
{
    bool watched = f->now_ms >= f->view_gap_ms + f->conf.lease_ms &&
                   f->now_ms >= f->egress_ms + f->conf.lease_ms;
    bool lapsed = watched && f->now_ms >= f->lease_ms + f->conf.lease_ms;
    return lapsed && (!fo_link_fresh(f, a) || f->ids[a].closed_ms);
}

static bool failed(struct failover *f)
{
    uint8_t a = f->egress.identity;
    const struct fo_ident *id = &f->ids[a];
    bool no_way_out = id->egress_down_ms && fo_fresh(f, a) &&
                      f->now_ms >= id->egress_down_ms + f->conf.egress_down_ms;
    if (!lease_stopped(f, a) && !no_way_out) return false;
    const char *held = held_back(f);
    uint8_t to = candidate(f, a, true);
    if (to == STORE_NONE) to = second_best(f, a, true);
    const char *what = no_way_out                        ? "reports no way out to the Internet"
                       : id->closed_ms && fo_fresh(f, a) ? "has closed and does not renew its lease"
                                                         : "is silent and does not renew its lease";
    if (held || to == STORE_NONE) {
        would(f, "%s %s, but %s", fo_name(f, a), what, held ? held : "no other identity could send");
        return false;
    }
    plan(f, STORE_OP_FAILED, a, to, STORE_F_AUTO);
    start(f, "%s %s", fo_name(f, a), what);
    return true;
}

static bool listed(const struct failover *f, uint8_t i)
{
    return i < f->conf.n && f->ids[i].judged && f->ids[i].verdict.suspect;
}

static void hold_all(struct failover *f, uint8_t a)
{
    plan(f, STORE_OP_FENCE, a, STORE_NONE, 0);
    start(f, "%s is listed, the others are no better, and the policy is to hold", fo_name(f, a));
}

/* The active one is confirmed as listed: to whom, if to anybody? */
static bool leave(struct failover *f)
{
    uint8_t a = f->egress.identity;
    const struct policy_verdict *v = &f->ids[a].verdict;
    const char *no = moderated(f);
    uint8_t to = candidate(f, a, false);
    if (to == STORE_NONE && f->conf.both_listed == FO_BOTH_LEAST_BAD)
        for (uint8_t i = 0; i < f->conf.n; i++)
            if (i != a && !fo_not_usable(f, i) && f->ids[i].judged &&
                (to == STORE_NONE || f->ids[i].verdict.score < f->ids[to].verdict.score))
                to = i;
    if (!no && to != STORE_NONE && f->ids[to].verdict.score + f->conf.score_lead > v->score)
        no = "the other is hardly better";
    if (!no && to == STORE_NONE) {
        if (f->conf.both_listed == FO_BOTH_HOLD) {
            hold_all(f, a);
            return true;
        }
        no = "no other identity is fit";
    }
    if (no) {
        would(f, "%s: %s; but %s", fo_name(f, a), v->why, no);
        return false;
    }
    plan(f, STORE_OP_LISTED, a, to, STORE_F_AUTO | STORE_F_QUARANTINE);
    start(f, "%s", v->why);
    return true;
}

static bool repair_dns(struct failover *f)
{
    const struct fo_token *t = &f->token;
    bool known = f->token_ms && f->token_reachable && f->now_ms < f->token_ms + 2 * f->conf.spf_check_ms;
    if (!known) return false;
    if (t->present && t->foreign) {
        would(f, "the _egress record belongs to another cluster: nothing is changed there");
        return false;
    }
    uint8_t a = f->egress.identity;
    bool wrong = t->present &&
                 (t->epoch > f->egress.epoch || (t->epoch == f->egress.epoch && t->identity != a));
    if (wrong) {
        if (fo_not_usable(f, a)) return false;
        plan(f, STORE_OP_REGRANT, a, a, 0);
        start(f, "DNS knows epoch %" PRIu64 ", the store %" PRIu64 ": one above both", t->epoch,
              f->egress.epoch);
        return true;
    }
    uint32_t set = fo_steady_set(f);
    if (t->present && t->epoch == f->egress.epoch && t->spf_set == set) return false;
    plan(f, STORE_OP_PUBLISH, a, a, 0)->spf_set = set;
    start(f, !t->present                   ? "the records are missing"
             : t->epoch != f->egress.epoch ? "DNS is behind"
             : set & ~t->spf_set           ? "an identity is clean again"
                                           : "an identity is withdrawn after the grace");
    return true;
}

/* ---- the operator ---- */

static void set_controls(struct failover *f, const struct fo_command *c)
{
    struct store_req q = { .kind = STORE_CONTROLS, .controls = f->view.controls };
    if (c->kind == FO_CMD_PAUSE || c->kind == FO_CMD_RESUME) q.controls.paused = c->kind == FO_CMD_PAUSE;
    if (c->kind == FO_CMD_PIN) q.controls.pin = c->to, q.controls.pin_until_wall_ms = c->until_wall_ms;
    if (c->kind == FO_CMD_UNPIN) q.controls.pin = STORE_NONE, q.controls.pin_until_wall_ms = 0;
    memcpy(q.controls.by, c->by, sizeof q.controls.by);
    q.controls.version++;
    const char *done = q.controls.paused ? "paused" : q.controls.pin != STORE_NONE ? "pinned" : "automatic";
    if (!fo_aux(f, &q, c->id, done)) {
        fo_answer(f, c->id, FO_ANS_BUSY, "too many changes are on their way to the store");
        return;
    }
    f->view.controls = q.controls; /* holds from now on for us */
    log_info(f->log, "failover.controls", kv_bool("paused", q.controls.paused),
             kv_cstr("pin", fo_name(f, q.controls.pin)), kv_cstr("by", c->by));
}

static const char *objection(const struct failover *f, const struct fo_command *c)
{
    if (c->to >= f->conf.n) return "there is no such identity";
    if (f->egress.state == STORE_EGRESS_ACTIVE && f->egress.identity == c->to)
        return "it is the active one already";
    return c->kind == FO_CMD_FAILOVER ? fo_not_usable(f, c->to) : fo_not_fit(f, c->to);
}

static void describe(struct failover *f, const struct fo_command *c)
{
    uint32_t set = fo_wanted_set(f, c->to, f->egress.identity), had = f->token.present ? f->token.spf_set : 0;
    fo_answer(f, c->id, FO_ANS_DONE,
              "would %s %s at epoch %" PRIu64 " and let %s send at epoch %" PRIu64 "; SPF would %s",
              c->kind == FO_CMD_SWITCHOVER ? "publish and verify, then fence" : "fence",
              fo_name(f, f->egress.identity), f->egress.epoch, fo_name(f, c->to), fo_next_epoch(f),
              set == had ? "stay as it is" : "change");
}

static void obey_switch(struct failover *f, struct fo_command *c)
{
    if (c->to == STORE_NONE) c->to = candidate(f, f->egress.identity, false);
    const char *no = c->to == STORE_NONE ? "no other identity is fit" : objection(f, c);
    if (no) {
        fo_answer(f, c->id, FO_ANS_REFUSED, "%s: %s", fo_name(f, c->to), no);
        return;
    }
    if (c->dry_run) {
        describe(f, c);
        return;
    }
    bool over = c->kind == FO_CMD_SWITCHOVER;
    bool open = f->egress.state == STORE_EGRESS_ACTIVE;
    uint32_t flags = (over && open ? STORE_F_PLANNED : 0) | (over ? 0 : STORE_F_FORCED) |
                     (c->accept_risk ? STORE_F_ACCEPT_RISK : 0);
    struct fo_plan *p = plan(f, over ? STORE_OP_SWITCHOVER : STORE_OP_FAILOVER, f->egress.identity, c->to,
                             flags);
    memcpy(p->by, c->by, sizeof p->by);
    p->command = c->id;
    fo_answer(f, c->id, FO_ANS_ACCEPTED, "%s to %s has begun", store_op_kind_name(p->kind),
              fo_name(f, c->to));
    start(f, "%s%s%.95s", "ordered by the operator", c->why[0] ? ": " : "", c->why);
}

static void obey_fence(struct failover *f, const struct fo_command *c)
{
    bool active = f->egress.state == STORE_EGRESS_ACTIVE && f->egress.identity == c->to;
    struct fo_action *a = fo_act(f, FO_DO_ORDER); /* at once, whatever else has to be written first */
    a->identity = c->to;
    a->order = (struct fo_order){
        .kind = FO_ORDER_FENCE, .epoch = f->known_epoch, .token = rng_u64(&f->rng), .term = f->claim.term
    };
    snprintf(a->order.why, sizeof a->order.why, "ordered by %.40s", c->by);
    if (!active) {
        fo_answer(f, c->id, FO_ANS_DONE, "%s was not sending; it is fenced up to epoch %" PRIu64,
                  fo_name(f, c->to), f->known_epoch);
        return;
    }
    struct fo_plan *p = plan(f, STORE_OP_FENCE, c->to, STORE_NONE, 0);
    memcpy(p->by, c->by, sizeof p->by);
    p->command = c->id;
    fo_answer(f, c->id, FO_ANS_ACCEPTED, "%s is being fenced; nobody sends until you say so",
              fo_name(f, c->to));
    start(f, "ordered by the operator%s%.95s", c->why[0] ? ": " : "", c->why);
}

void fo_take_command(struct failover *f, const struct fo_command *c)
{
    if (!fo_leading(f) || f->state == FO_FOLLOWING) {
        fo_answer(f, c->id, FO_ANS_NOT_LEADER, "this coordinator does not lead");
        return;
    }
    bool switches = c->kind == FO_CMD_SWITCHOVER || c->kind == FO_CMD_FAILOVER || c->kind == FO_CMD_FENCE;
    bool needs = c->kind == FO_CMD_FENCE || c->kind == FO_CMD_PIN;
    if (needs && c->to >= f->conf.n) {
        fo_answer(f, c->id, FO_ANS_REFUSED, "there is no such identity");
        return;
    }
    if (!switches) {
        set_controls(f, c);
        return;
    }
    if (f->has_pending || (f->state >= FO_RECORDING && f->op.kind != STORE_OP_PUBLISH)) {
        fo_answer(f, c->id, FO_ANS_BUSY, "another operation is running");
        return;
    }
    f->pending = *c;
    f->has_pending = true;
}

static bool obey(struct failover *f)
{
    if (!f->has_pending) return false;
    struct fo_command c = f->pending;
    f->has_pending = false;
    if (c.kind == FO_CMD_FENCE)
        obey_fence(f, &c);
    else
        obey_switch(f, &c);
    return f->state != FO_WATCHING;
}

/* ---- watching ---- */

/* A publication may take minutes; what keeps mail from flowing may not wait for it. */
bool fo_urgent(struct failover *f)
{
    uint8_t a = f->egress.identity;
    bool now = f->has_pending;
    if (!now && (f->now_ms < f->urgent_ms + f->conf.cooldown_ms || a >= f->conf.n)) return false;
    now = now || lease_stopped(f, a) || (listed(f, a) && f->ids[a].verdict.confirmed && !moderated(f));
    if (now) f->urgent_ms = f->now_ms;
    return now;
}

static void keep_looking(struct failover *f, const struct fo_event *ev)
{
    (void)fo_answered(ev, FO_EV_TOKEN, &f->dns);
    (void)fo_answered(ev, FO_EV_VERIFIED, &f->verify);
    if (f->now_ms >= f->token_next_ms) {
        f->token_next_ms = f->now_ms + f->conf.spf_check_ms;
        fo_read_token(f);
    }
    if (f->now_ms >= f->verify_next_ms) {
        f->verify_next_ms = f->now_ms + f->conf.spf_check_ms;
        fo_verify(f);
    }
}

static void hand_over_queues(struct failover *f)
{
    uint8_t a = f->egress.identity;
    for (uint8_t i = 0; i < f->conf.n; i++) {
        struct fo_ident *id = &f->ids[i];
        if (i == a || !id->beat.queue_out || !fo_fresh(f, i) || f->now_ms < id->handoff_ms) continue;
        id->handoff_ms = f->now_ms + 5 * f->conf.order_repeat_ms;
        struct fo_action *act = fo_act(f, FO_DO_ORDER);
        act->identity = i;
        act->order = (struct fo_order){ .kind = FO_ORDER_HANDOFF,
                                        .to = a,
                                        .op = f->egress.op,
                                        .epoch = f->egress.epoch,
                                        .term = f->claim.term };
    }
}

/* The quarantine ends when the identity is clean and, in overlap mode, authorised again for everybody. */
static void lift_marks(struct failover *f)
{
    for (uint8_t i = 0; i < f->conf.n; i++) {
        if (!f->view.quarantined_wall_ms[i] || !f->ids[i].verdict.cleared || f->n_aux) continue;
        if (!f->conf.exclusive && !fo_known_to_all(f, i)) continue;
        f->view.quarantined_wall_ms[i] = 0;
        (void)fo_aux(f, &(struct store_req){ .kind = STORE_MARK, .identity = i }, 0, NULL);
        log_info(f->log, "failover.clean", kv_cstr("identity", fo_name(f, i)),
                 kv_cstr("why", "clean for long enough"));
    }
}

void fo_watching_on(struct failover *f, const struct fo_event *ev)
{
    keep_looking(f, ev);
    if (f->view_old || !f->view_ms || f->now_ms > f->view_ms + 3 * f->conf.view_ms + f->conf.store_timeout_ms)
        return;
    if (f->view.op.id) {
        fo_resume(f);
        return;
    }
    if (obey(f) || f->state != FO_WATCHING || f->n_aux)
        return; /* a pause is written before anything is begun */
    if (f->now_ms < f->quiet_until_ms) return;
    if (f->issue[0] && f->now_ms > f->issue_ms + f->conf.cooldown_ms) f->issue[0] = '\0';
    if (restore(f) || f->egress.state != STORE_EGRESS_ACTIVE || f->egress.identity >= f->conf.n) return;
    if (go_on(f) || regrant(f) || failed(f)) return;
    if (listed(f, f->egress.identity) && f->ids[f->egress.identity].verdict.confirmed) {
        if (!leave(f)) f->quiet_until_ms = f->now_ms + 5 * f->conf.view_ms;
        if (f->state != FO_WATCHING) return;
    } else if (listed(f, f->egress.identity)) {
        fo_move_to(f, FO_CONFIRMING, f->ids[f->egress.identity].verdict.why);
        fo_act(f, FO_DO_POLL);
        return;
    }
    if (repair_dns(f)) return;
    hand_over_queues(f);
    lift_marks(f);
}

void fo_confirming_on(struct failover *f, const struct fo_event *ev)
{
    keep_looking(f, ev);
    uint8_t a = f->egress.identity;
    if (f->has_pending || f->egress.state != STORE_EGRESS_ACTIVE || a >= f->conf.n || f->view.op.id) {
        fo_move_to(f, FO_WATCHING, "something else came first");
        return;
    }
    if (!listed(f, a)) {
        fo_move_to(f, FO_WATCHING, "not confirmed");
        return;
    }
    if (f->ids[a].verdict.confirmed) {
        if (!f->view_old && !leave(f)) fo_move_to(f, FO_WATCHING, f->issue);
        return;
    }
    if (f->now_ms < f->state_ms + f->conf.confirm_limit_ms) return;
    f->quiet_until_ms = f->now_ms + f->conf.cooldown_ms;
    fo_move_to(f, FO_WATCHING, "not confirmed in time");
}
