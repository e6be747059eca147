/* The steps of an operation. Each state first has its step recorded in the store, then does it; each doing may be repeated
 * by another coordinator. Phase 0 is always "record"; the rest is named in front of each handler. */
#include <stdio.h>

#include "coordinator/failover_int.h"
#include "proto/mutation.h"

enum { RETRY_MS = 250, REPLANS_MAX = 5 };

/* ---- the request of a step ---- */

enum answer { ANS_WAIT, ANS_OK, ANS_CONFLICT, ANS_MOVED };

/* What became of the request sent by fo_send_step. MOVED: the lead or the store is another now, the state has changed. */
static enum answer step_answer(struct failover *f, const struct fo_event *ev)
{
    if (!fo_answered(ev, FO_EV_STORE, &f->step)) {
        if (!fo_waiting(f, &f->step, 2 * f->conf.store_timeout_ms) && f->now_ms >= f->step_next_ms) {
            struct store_req again = f->step_req;
            fo_send_step(f, &again);
        }
        return ANS_WAIT;
    }
    switch (ev->reply->status) {
    case STORE_OK: return ANS_OK;
    case STORE_STALE: fo_step_down(f, "the store says that we do not lead"); return ANS_MOVED;
    case STORE_UNKNOWN: f->step_next_ms = f->now_ms + RETRY_MS; return ANS_WAIT;
    case STORE_CONFLICT: break;
    }
    if (ev->reply->conflict != STORE_C_RUN) return ANS_CONFLICT;
    if (f->state != FO_RECOVERING) fo_recover(f, "another server answers");
    return ANS_MOVED;
}

static void spend(struct failover *f)
{
    uint64_t took = f->step_ms ? f->now_ms - f->step_ms : 0;
    uint32_t *sum = &f->op.took_ms[f->op.step];
    *sum += (uint32_t)MIN(took, UINT32_MAX - *sum);
    f->step_ms = f->now_ms;
}

static void advance(struct failover *f, enum store_step step, bool fenced)
{
    spend(f);
    f->op.step = (uint8_t)step;
    f->op.seq++;
    f->op_dirty = false;
    fo_send_step(
        f, &(struct store_req){ .kind = STORE_ADVANCE, .op = f->op.id, .fenced = fenced, .rec = f->op });
}

bool fo_recorded(struct failover *f, enum store_step step, const struct fo_event *ev)
{
    if (f->phase >= PH_FIRST) return true;
    if (f->phase == PH_RECORD) {
        if (f->op.step == step && !f->op_dirty) {
            f->phase = PH_FIRST;
            return true;
        }
        advance(f, step, false);
        f->phase = PH_RECORDING;
        return false;
    }
    switch (step_answer(f, ev)) {
    case ANS_OK: f->phase = PH_FIRST; return true;
    case ANS_CONFLICT: fo_recover(f, "the operation has moved on without us"); return false;
    case ANS_WAIT:
    case ANS_MOVED: break;
    }
    return false;
}

/* ---- the way through the steps ---- */

static bool planned(const struct failover *f)
{
    return (f->op.flags & STORE_F_PLANNED) && !(f->op.flags & STORE_F_ROLLBACK);
}

enum fo_state fo_after_publishing(const struct failover *f)
{
    if (f->op.kind == STORE_OP_PUBLISH) return FO_SETTLING;
    return planned(f) ? FO_FENCING : FO_GRANTING;
}

static enum fo_state after_fencing(const struct failover *f)
{
    if (f->op.kind == STORE_OP_FENCE) return FO_SETTLING;
    return planned(f) ? FO_GRANTING : FO_PUBLISHING;
}

static enum fo_state first_state(const struct failover *f)
{
    return f->op.kind == STORE_OP_PUBLISH || planned(f) ? FO_PUBLISHING : FO_FENCING;
}

static enum store_step step_of(enum fo_state s)
{
    switch (s) {
    case FO_FENCING: return STORE_STEP_FENCING;
    case FO_PUBLISHING: return STORE_STEP_PUBLISHING;
    case FO_VERIFYING: return STORE_STEP_VERIFYING;
    case FO_WAITING: return STORE_STEP_WAITING;
    case FO_GRANTING: return STORE_STEP_GRANTING;
    case FO_ROLLING_BACK: return STORE_STEP_ROLLING_BACK;
    default: return STORE_STEP_SETTLING;
    }
}

void fo_fail(struct failover *f, const char *why)
{
    f->op_ok = false;
    snprintf(f->fail_why, sizeof f->fail_why, "%s", why);
    fo_move_to(f, FO_SETTLING, why);
}

void fo_roll_back(struct failover *f, const char *why)
{
    /* Only a real change of sender has somebody to go back to. */
    bool change = f->op.kind == STORE_OP_LISTED || f->op.kind == STORE_OP_FAILED ||
                  f->op.kind == STORE_OP_SWITCHOVER || f->op.kind == STORE_OP_FAILOVER;
    bool can = change && !(f->op.flags & STORE_F_ROLLBACK);
    snprintf(f->fail_why, sizeof f->fail_why, "%s", why);
    if (can)
        fo_move_to(f, FO_ROLLING_BACK, why);
    else
        fo_fail(f, why);
}

/* Somebody used our epoch, or a higher one: take another. That ADVANCE succeeds is the proof that we, not they, lead. */
bool fo_replan(struct failover *f)
{
    if (++f->replans > REPLANS_MAX) {
        fo_roll_back(f, "the epochs keep moving: is there a second cluster of this name?");
        return false;
    }
    f->op.epoch = fo_next_epoch(f);
    f->known_epoch = MAX(f->known_epoch, f->op.epoch);
    f->op.token = rng_u64(&f->rng);
    f->op_dirty = true;
    f->ids[f->op.to].grant_done = f->ids[f->op.to].grant_refused = false;
    if (f->state == FO_PUBLISHING)
        f->phase = PH_RECORD;
    else
        fo_move_to(f, FO_PUBLISHING, "a higher epoch is known");
    return true;
}

static void begin_memory(struct failover *f)
{
    f->op_ok = true;
    f->gave_way = false;
    f->op_dirty = false;
    f->replans = f->rounds = 0;
    f->fence_run = false;
    f->fence_run_token = 0;
    f->order_next_ms = f->gap_from_ms = f->verified_ms = 0;
    f->step_ms = f->now_ms;
    f->fail_why[0] = '\0';
    f->verify.seq = 0;
    for (uint8_t i = 0; i < f->conf.n; i++) f->ids[i].grant_done = f->ids[i].grant_refused = false;
}

/* The record may be from before things that the store has forgotten: a grant above its epoch, to somebody who had
 * acknowledged its token before. So neither counts any more. */
static void renew_orders(struct failover *f, bool used)
{
    bool doubtful = f->role_ms && f->now_ms < f->role_ms + f->conf.role_wait_ms;
    if (!used && !doubtful) return;
    if (used) f->op.epoch = fo_next_epoch(f);
    f->known_epoch = MAX(f->known_epoch, f->op.epoch);
    f->op.token = rng_u64(&f->rng);
    f->op_dirty = true;
}

void fo_resume(struct failover *f)
{
    f->op = f->view.op;
    bool used = f->known_epoch > f->op.epoch;
    begin_memory(f);
    f->op_command = 0;
    bool knows = f->op.kind == STORE_OP_FENCE || f->op.to < f->conf.n;
    if (!knows) {
        fo_fail(f, "it names an identity that the configuration does not know");
        return;
    }
    enum fo_state s = f->op.step == STORE_STEP_RECORDED ? first_state(f) : fo_state_of(f->op.step);
    if (s == FO_VERIFYING && f->op.step == STORE_STEP_WAITING) f->op_dirty = true;
    if (s != FO_SETTLING && f->op.kind != STORE_OP_PUBLISH) renew_orders(f, used);
    /* A settled operation only lacks its last line; whether it went well is plain from who may send. */
    if (s == FO_SETTLING)
        f->op_ok = f->op.kind == STORE_OP_PUBLISH || f->op.kind == STORE_OP_FENCE ||
                   (f->egress.identity == f->op.to && f->egress.epoch == f->op.epoch);
    fo_move_to(f, s, "going on with what was under way");
}

/* ---- recording ---- */

enum { REC_ASK, REC_TOKEN, REC_BEGIN };

void fo_start(struct failover *f, const char *why)
{
    f->plan.why[sizeof f->plan.why - 1] = '\0';
    fo_move_to(f, FO_RECORDING, why);
}

static void give_up(struct failover *f, const char *why)
{
    fo_answer(f, f->plan.command, FO_ANS_FAILED, "%s; nothing was changed", why);
    snprintf(f->issue, sizeof f->issue, "%s was wanted, but %s", store_op_kind_name(f->plan.kind), why);
    f->issue_ms = f->now_ms;
    bool silent = f->plan.kind == STORE_OP_RESTORE || f->plan.kind == STORE_OP_FAILED;
    f->quiet_until_ms = f->now_ms + f->conf.cooldown_ms / (silent ? 4 : 1);
    f->plan = (struct fo_plan){ 0 };
    fo_move_to(f, FO_WATCHING, why);
}

static const char *dns_objection(const struct failover *f)
{
    const struct fo_plan *p = &f->plan;
    if (p->kind == STORE_OP_FENCE) return NULL;
    if (f->token_reachable && f->token.present && f->token.foreign)
        return "the _egress record belongs to another cluster";
    if (f->token_reachable) return NULL;
    if (p->kind == STORE_OP_PUBLISH) return "the DNS primary does not answer";
    if (f->conf.exclusive) return "the DNS primary does not answer, and only one identity may be authorised";
    uint64_t pass = f->ids[p->to].pass_ms;
    if (!pass || f->now_ms > pass + f->conf.spf_fresh_ms)
        return "the DNS primary does not answer, and SPF for the other was not verified lately";
    return NULL;
}

/* Must receivers' old answers be outlived? In exclusive mode the record alone does not tell since when it authorises an
 * identity (the operation that added it may be lost with the store's data), so everybody but the last sender waits; how
 * long is what the standing verification knows. */
static bool grows(const struct failover *f, const struct fo_plan *p, uint32_t set)
{
    uint32_t had = f->token_reachable && f->token.present ? f->token.spf_set : 0;
    uint32_t new = set & ~had;
    if (p->kind == STORE_OP_PUBLISH) return false; /* nobody begins to send; fitness waits for old answers */
    if (!f->conf.exclusive) return (p->flags & STORE_F_FORCED) && new &BIT(p->to);
    if (f->token_reachable && !f->token.present) return false; /* there is no old answer */
    const struct fo_token *t =
        &f->token; /* untouched since the last grant: then nothing was withdrawn since */
    bool last = f->egress.state != STORE_EGRESS_NONE && f->egress.identity == p->to && f->token_reachable &&
                t->identity == p->to && t->epoch == f->egress.epoch;
    return !last || new &BIT(p->to);
}

static void send_begin(struct failover *f)
{
    const struct fo_plan *p = &f->plan;
    struct store_op_rec *op = &f->op;
    *op = (struct store_op_rec){ .no = f->view.op.no + 1,
                                 .kind = (uint8_t)p->kind,
                                 .from = p->from,
                                 .to = p->to,
                                 .flags = p->flags,
                                 .base_epoch = f->egress.epoch,
                                 .started_wall_ms = f->wall_ms };
    do op->id = rng_u64(&f->rng);
    while (!op->id);
    op->token = rng_u64(&f->rng);
    if (p->kind == STORE_OP_LISTED) op->took_ms[STORE_STEP_RECORDED] = f->confirm_took_ms;
    op->epoch = p->kind == STORE_OP_PUBLISH ? f->egress.epoch : fo_next_epoch(f);
    op->spf_set = p->spf_set ? p->spf_set : fo_wanted_set(f, p->to, p->from);
    if (grows(f, p, op->spf_set)) op->flags |= STORE_F_GREW;
    memcpy(op->by, p->by, sizeof op->by);
    memcpy(op->why, p->why, sizeof op->why);
    fo_send_step(f, &(struct store_req){ .kind = STORE_BEGIN, .op = op->id, .rec = *op });
}

static void journal(struct failover *f)
{
    f->known_epoch = MAX(f->known_epoch,
                         f->op.epoch); /* whatever becomes of it, nobody gets this one again */
    struct fo_action *a = fo_act(f, FO_DO_JOURNAL);
    a->journal.epoch = f->op.epoch;
    snprintf(a->journal.line, sizeof a->journal.line,
             "op=%016" PRIx64 " kind=%s from=%s to=%s epoch=%" PRIu64 " why=%s", f->op.id,
             store_op_kind_name(f->op.kind), fo_name(f, f->op.from), fo_name(f, f->op.to), f->op.epoch,
             f->op.why);
}

void fo_recording_on(struct failover *f, const struct fo_event *ev)
{
    switch (f->phase) {
    case REC_ASK:
        f->dns.seq = 0;
        fo_read_token(f);
        f->phase = REC_TOKEN;
        return;
    case REC_TOKEN: {
        bool asked = f->dns.seq != 0;
        if (!fo_answered(ev, FO_EV_TOKEN, &f->dns)) {
            if (fo_waiting(f, &f->dns, f->conf.dns_timeout_ms)) return;
            if (asked) f->token_reachable = false;
        }
        if (f->view_old || !fo_view_covers(f)) return;
        const char *no = dns_objection(f);
        if (no) {
            give_up(f, no);
            return;
        }
        send_begin(f);
        f->phase = REC_BEGIN;
        return;
    }
    default: break;
    }
    switch (step_answer(f, ev)) {
    case ANS_OK:
        begin_memory(f);
        f->op_command = f->plan.command;
        journal(f);
        fo_move_to(f, first_state(f), f->op.why);
        return;
    case ANS_CONFLICT:
        f->op = (struct store_op_rec){ 0 };
        fo_refresh(f);
        give_up(f, "the store has moved on");
        return;
    case ANS_WAIT:
    case ANS_MOVED: return;
    }
}

/* ---- fencing ---- */

static void order(struct failover *f, uint8_t to, enum fo_order_kind kind, uint64_t epoch)
{
    if (to >= f->conf.n) return;
    struct fo_action *a = fo_act(f, FO_DO_ORDER);
    a->identity = to;
    a->order = (struct fo_order){ .kind = kind,
                                  .op = f->op.id,
                                  .epoch = epoch,
                                  .token = f->op.token,
                                  .term = f->claim.term,
                                  .to = f->op.to,
                                  .dns_pending = (f->op.flags & STORE_F_DNS_PENDING) != 0 };
    snprintf(a->order.why, sizeof a->order.why, "%.*s", (int)sizeof a->order.why - 1, f->op.why);
}

/* The identity whose gate the store would still let be open; STORE_NONE: none. */
static uint8_t holder(const struct failover *f)
{
    bool open = f->egress.state == STORE_EGRESS_ACTIVE || f->egress.state == STORE_EGRESS_FENCING;
    return open && f->egress.identity != f->op.to ? f->egress.identity : STORE_NONE;
}

static bool acked(const struct failover *f, uint8_t i)
{
    return i < f->conf.n && f->ids[i].ack_token == f->op.token;
}

static uint64_t lease_over_ms(const struct failover *f)
{
    return f->lease_ms + f->conf.lease_ms * 101 / 100 + f->conf.slack_ms;
}

static bool role_settled(const struct failover *f)
{
    if (!f->role_ms || f->now_ms >= f->role_ms + f->conf.role_wait_ms || MUTANT(NO_ROLE_WAIT)) return true;
    for (uint8_t i = 0; i < f->conf.n; i++)
        if (i != f->op.to && !acked(f, i)) return false;
    return true;
}

/* Orders to whom we wait for: the holder, and everybody while the store may have lost a grant. */
static void order_fences(struct failover *f)
{
    if (f->now_ms < f->order_next_ms) return;
    f->order_next_ms = f->now_ms + f->conf.order_repeat_ms;
    bool all = !role_settled(f);
    for (uint8_t i = 0; i < f->conf.n; i++) {
        bool wanted = i == holder(f) || (all && i != f->op.to);
        if (wanted && !acked(f, i)) order(f, i, FO_ORDER_FENCE, f->op.epoch - 1);
    }
}

static void run_fence_command(struct failover *f, const struct fo_event *ev)
{
    if (fo_answered(ev, FO_EV_FENCED, &f->command_wait) && ev->ok) f->fence_run_token = f->op.token;
    bool late = f->now_ms >= f->state_ms + f->conf.fence_limit_ms;
    if (!f->conf.fence_command || f->fence_run || !late || holder(f) >= f->conf.n) return;
    f->fence_run = true;
    struct fo_action *a = fo_act(f, FO_DO_FENCE_COMMAND);
    a->identity = holder(f);
    a->seq = f->command_wait.seq = fo_seq(f);
    f->command_wait.sent_ms = f->now_ms;
}

/* Why the holder's gate is closed for certain; NULL: it is not. */
static const char *fence_proof(const struct failover *f)
{
    if (holder(f) == STORE_NONE) return "nobody holds a lease";
    if (acked(f, holder(f))) return "acknowledged";
    if (f->fence_run_token == f->op.token) return "fenced from outside";
    if (f->now_ms >= lease_over_ms(f) || MUTANT(SKIP_WAIT)) return "the lease has run out";
    return NULL;
}

enum { FENCE_STORE = PH_FIRST, FENCE_STORING, FENCE_PROVE, FENCE_PROVEN };

static void fence_proven(struct failover *f, const char *proof)
{
    bool by_ack = acked(f, holder(f)), was_open = holder(f) != STORE_NONE;
    if (by_ack) f->op.flags |= STORE_F_ACKED;
    if (was_open && !f->gap_from_ms)
        f->gap_from_ms = by_ack || f->lease_ms + f->conf.lease_ms > f->now_ms
                             ? f->now_ms
                             : f->lease_ms + f->conf.lease_ms;
    log_info(f->log, "failover.fenced", kv_cstr("identity", fo_name(f, f->egress.identity)),
             kv_u64("epoch", f->egress.epoch), kv_cstr("why", proof));
    advance(f, step_of(after_fencing(f)), was_open);
    f->phase = FENCE_PROVEN;
}

void fo_fencing_on(struct failover *f, const struct fo_event *ev)
{
    if (f->phase < PH_FIRST && f->op.step != STORE_STEP_FENCING && holder(f) == STORE_NONE &&
        role_settled(f) && f->phase == PH_RECORD) {
        /* Nothing to fence: the next step is recorded at once. */
        advance(f, step_of(after_fencing(f)), false);
        f->phase = FENCE_PROVEN;
        return;
    }
    if (!fo_recorded(f, STORE_STEP_FENCING, ev)) return;
    switch (f->phase) {
    case FENCE_STORE:
        if (holder(f) == STORE_NONE) {
            f->phase = FENCE_PROVE;
            return;
        }
        fo_send_step(f, &(struct store_req){ .kind = STORE_FENCE,
                                             .op = f->op.id,
                                             .op_seq = f->op.seq,
                                             .identity = holder(f),
                                             .epoch = f->egress.epoch,
                                             .token = f->op.token,
                                             .wall_ms = f->wall_ms });
        f->order_next_ms = 0;
        order_fences(f); /* the link is faster than the store's answer */
        f->phase = FENCE_STORING;
        return;
    case FENCE_STORING: {
        enum answer ans = step_answer(f, ev);
        if (ans == ANS_OK) f->phase = FENCE_PROVE;
        if (ans == ANS_CONFLICT) fo_recover(f, "the egress is not what we fenced");
        if (ans == ANS_WAIT) order_fences(f);
        return;
    }
    case FENCE_PROVE: {
        order_fences(f);
        run_fence_command(f, ev);
        const char *proof = fence_proof(f);
        if (proof && role_settled(f)) fence_proven(f, proof);
        return;
    }
    default: break;
    }
    enum answer ans = step_answer(f, ev);
    if (ans == ANS_OK) fo_move_to(f, after_fencing(f), "fenced");
    if (ans == ANS_CONFLICT) fo_recover(f, "the operation has moved on without us");
}

/* ---- granting ---- */

enum { GRANT_CLEAR = PH_FIRST, GRANT_STORING, GRANT_CONFIRM };

static void send_grant(struct failover *f)
{
    bool rollback = f->op.flags & STORE_F_ROLLBACK;
    fo_send_step(f, &(struct store_req){
                        .kind = STORE_GRANT,
                        .op = f->op.id,
                        .op_seq = f->op.seq,
                        .identity = f->op.to,
                        .epoch = f->op.epoch,
                        .token = f->op.token,
                        .wall_ms = f->wall_ms,
                        .dns_pending = (f->op.flags & STORE_F_DNS_PENDING) != 0,
                        .automatic = (f->op.flags & STORE_F_AUTO) && !rollback,
                        .quarantine = (f->op.flags & STORE_F_QUARANTINE) && !rollback,
                        .quarantined = f->op.from,
                    });
}

static void grant_failed(struct failover *f, const char *why)
{
    if (f->op.to < f->conf.n) f->ids[f->op.to].cool_until_ms = f->now_ms + 5 * f->conf.cooldown_ms;
    char text[FO_WHY_MAX];
    snprintf(text, sizeof text, "%s did not take the grant: %s", fo_name(f, f->op.to), why);
    fo_roll_back(f, text);
}

static void confirm_grant(struct failover *f)
{
    const struct fo_ident *to = &f->ids[f->op.to];
    bool renewed = f->lease.identity == f->op.to && f->lease.epoch == f->op.epoch && f->lease.token;
    if (to->grant_done || renewed) {
        f->op.gap_ms = f->gap_from_ms ? (uint32_t)MIN(f->now_ms - f->gap_from_ms, UINT32_MAX) : 0;
        fo_move_to(f, FO_SETTLING, to->grant_done ? "it sends" : "it renews");
        return;
    }
    if (to->grant_refused) {
        grant_failed(f, to->refused_why);
        return;
    }
    if (f->now_ms >= f->state_ms + f->conf.grant_limit_ms) {
        grant_failed(f, "no word from it");
        return;
    }
    if (f->now_ms < f->order_next_ms) return;
    f->order_next_ms = f->now_ms + f->conf.order_repeat_ms;
    order(f, f->op.to, FO_ORDER_GRANT, f->op.epoch);
}

void fo_granting_on(struct failover *f, const struct fo_event *ev)
{
    if (!fo_recorded(f, STORE_STEP_GRANTING, ev)) return;
    switch (f->phase) {
    case GRANT_CLEAR:
        if (!role_settled(f)) {
            order_fences(f);
            return;
        }
        if (holder(f) != STORE_NONE) { /* the store forgot the fence */
            fo_move_to(f, FO_FENCING, "the egress is open again");
            return;
        }
        send_grant(f);
        f->phase = GRANT_STORING;
        return;
    case GRANT_STORING:
        switch (step_answer(f, ev)) {
        case ANS_OK:
            f->order_next_ms = 0;
            f->phase = GRANT_CONFIRM;
            return;
        case ANS_CONFLICT:
            if (ev->reply->conflict == STORE_C_EPOCH)
                (void)fo_replan(f);
            else if (ev->reply->conflict == STORE_C_STATE)
                fo_move_to(f, FO_FENCING, "the egress is not fenced");
            else
                fo_recover(f, "the operation has moved on without us");
            return;
        case ANS_WAIT:
        case ANS_MOVED: return;
        }
        return;
    default: confirm_grant(f);
    }
}

/* ---- settling ---- */

enum { SETTLE_FINISH, SETTLE_FINISHING };

static void send_finish(struct failover *f)
{
    spend(f);
    struct store_req q = { .kind = STORE_FINISH,
                           .op = f->op.id,
                           .held = f->op.kind == STORE_OP_FENCE && f->op_ok };
    q.history = (struct store_history){ .wall_ms = f->wall_ms,
                                        .epoch = f->op.epoch,
                                        .op = f->op.id,
                                        .kind = f->op.kind,
                                        .from = f->op.from,
                                        .to = f->op.to,
                                        .ok = f->op_ok,
                                        .gap_ms = f->op.gap_ms };
    memcpy(q.history.took_ms, f->op.took_ms, sizeof q.history.took_ms);
    fo_history_text(f, &f->op, f->op_ok, q.history.text);
    fo_send_step(f, &q);
}

static void settled(struct failover *f)
{
    const struct store_op_rec *op = &f->op;
    bool ok = f->op_ok && !(op->flags & STORE_F_ROLLBACK);
    char text[FO_TEXT_MAX];
    fo_history_text(f, op, f->op_ok, text);
    log_info(f->log, ok ? "failover.done" : "failover.failed", kv_cstr("op", store_op_kind_name(op->kind)),
             kv_cstr("to", fo_name(f, op->to)), kv_u64("epoch", op->epoch), kv_ms("gap", op->gap_ms),
             kv_cstr("text", text));
    if (op->kind != STORE_OP_PUBLISH) fo_notify(f, "%s", text);
    fo_answer(f, f->op_command, ok ? FO_ANS_DONE : FO_ANS_FAILED, "%s", text);

    if (ok && op->kind != STORE_OP_PUBLISH && op->kind != STORE_OP_FENCE) f->switches++;
    if (ok && op->flags & STORE_F_AUTO) f->auto_ms = f->now_ms;
    if (!ok && !f->gave_way) f->quiet_until_ms = f->now_ms + f->conf.cooldown_ms;
    f->op_command = 0;
    f->op = (struct store_op_rec){ 0 };
    f->plan = (struct fo_plan){ 0 };
    f->issue[0] = '\0';
    f->verify_next_ms = f->token_next_ms = f->now_ms;
    fo_refresh(f);
    fo_act(f, FO_DO_POLL);
    fo_move_to(f, FO_WATCHING, ok ? "done" : "failed");
}

void fo_settling_on(struct failover *f, const struct fo_event *ev)
{
    if (f->phase == SETTLE_FINISH) {
        send_finish(f);
        f->phase = SETTLE_FINISHING;
        return;
    }
    switch (step_answer(f, ev)) {
    case ANS_OK: settled(f); return;
    case ANS_CONFLICT: fo_recover(f, "the operation was finished by another"); return;
    case ANS_WAIT:
    case ANS_MOVED: return;
    }
}

/* ---- rolling back ---- */

static void plan_back(struct failover *f)
{
    struct store_op_rec *op = &f->op;
    uint8_t back = op->from, tried = op->to;
    op->flags = (op->flags | STORE_F_ROLLBACK) &
                ~(uint32_t)(STORE_F_DNS_PENDING | STORE_F_ACKED | STORE_F_GREW);
    bool in = f->token.present && f->token.spf_set & BIT(back);
    if (f->conf.exclusive && (!in || f->role_ms)) op->flags |= STORE_F_GREW;
    op->to = back;
    op->from = tried;
    op->epoch = fo_next_epoch(f);
    f->known_epoch = MAX(f->known_epoch, op->epoch);
    op->token = rng_u64(&f->rng);
    op->spf_set = fo_wanted_set(f, back, STORE_NONE) | (f->token.present ? f->token.spf_set : 0);
    for (uint8_t i = 0; i < f->conf.n; i++) f->ids[i].grant_done = f->ids[i].grant_refused = false;
    f->op_dirty = true;
    f->fence_run = false;
    f->order_next_ms = 0;
    f->replans = f->rounds = 0;
}

void fo_rolling_back_on(struct failover *f, const struct fo_event *ev)
{
    if (!fo_recorded(f, STORE_STEP_ROLLING_BACK, ev)) return;
    /* Planned, and the old one was never told to stop: it goes on sending, only DNS is to be put right afterwards. */
    bool untouched = f->egress.state == STORE_EGRESS_ACTIVE && f->egress.identity == f->op.from &&
                     f->egress.epoch == f->op.base_epoch;
    bool nobody = f->op.from >= f->conf.n || !fo_fresh(f, f->op.from) || f->op.kind == STORE_OP_FAILED;
    if (untouched || nobody) {
        char why[FO_WHY_MAX];
        snprintf(why, sizeof why, "%s", f->fail_why[0] ? f->fail_why : "it could not be completed");
        fo_fail(f, why);
        return;
    }
    plan_back(f);
    fo_move_to(f, FO_FENCING, "back to who sent before");
}
