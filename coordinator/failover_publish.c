/* The steps of an operation that are about DNS: the record is written, every name server is asked, old answers expire. They
 * follow the rules of failover_switch.c; whoever must go on without DNS says so on the record first. */
#include "coordinator/failover_int.h"
#include "proto/mutation.h"

/* ---- publishing ---- */

enum { PUB_READ = PH_FIRST, PUB_READING, PUB_SEND, PUB_SENT };

static struct fo_token wanted_token(const struct failover *f)
{
    return (struct fo_token){
        .present = true,
        .identity = f->op.kind == STORE_OP_PUBLISH ? f->egress.identity : f->op.to,
        .epoch = f->op.kind == STORE_OP_PUBLISH ? f->egress.epoch : f->op.epoch,
        .serial = f->token.present ? f->token.serial + 1 : 1,
        .spf_set = f->op.spf_set,
    };
}

static bool may_pend(const struct failover *f)
{
    if (f->op.kind == STORE_OP_PUBLISH) return false;
    uint64_t pass = f->ids[f->op.to].pass_ms;
    bool lately = pass && f->now_ms < pass + f->conf.spf_fresh_ms;
    if (f->op.flags & STORE_F_ROLLBACK) /* who sent before is authorised still */
        return lately || (!f->role_ms && f->token.present && f->token.spf_set & BIT(f->op.to));
    if (f->op.kind == STORE_OP_REGRANT) return lately;
    return lately && !f->conf.exclusive && !(f->op.flags & STORE_F_GREW);
}

static void publish_failed(struct failover *f, const char *why)
{
    if (!may_pend(f)) {
        fo_roll_back(f, why);
        return;
    }
    f->op.flags |= STORE_F_DNS_PENDING;
    f->op_dirty = true;
    fo_notify(f, "DNS could not be changed (%s); %s may send because its SPF was verified before", why,
              fo_name(f, f->op.to));
    fo_move_to(f, FO_VERIFYING, why);
}

static void try_again(struct failover *f, const char *why)
{
    /* When the other may go on without, with everything closed meanwhile, patience costs more than it brings. */
    uint32_t tries = !may_pend(f) ? f->conf.publish_tries : f->token_reachable ? 2 : 1;
    if (++f->tries >= tries) {
        publish_failed(f, why);
        return;
    }
    f->try_next_ms = f->now_ms + (f->conf.publish_backoff_ms << MIN(f->tries, 5U));
    f->phase = PUB_READ;
}

static void compare_token(struct failover *f)
{
    struct fo_token want = wanted_token(f);
    const struct fo_token *t = &f->token;
    if (t->present && t->foreign) {
        fo_roll_back(f, "the _egress record belongs to another cluster");
        return;
    }
    bool same = t->present && t->epoch == want.epoch && t->identity == want.identity;
    if (same && t->spf_set == want.spf_set) {
        fo_move_to(f, FO_VERIFYING, "published");
        return;
    }
    if (t->present && !same && t->epoch >= want.epoch && !MUTANT(NO_PREREQUISITE)) {
        if (f->op.kind == STORE_OP_PUBLISH)
            fo_fail(f, "DNS has a higher epoch");
        else
            (void)fo_replan(f);
        return;
    }
    /* The set may grow only on record: whoever goes on after us must know that old answers are about. */
    bool grew = f->op.spf_set & ~(t->present ? t->spf_set : 0);
    if (grew && f->conf.exclusive && t->present && !(f->op.flags & STORE_F_GREW)) {
        f->op.flags |= STORE_F_GREW;
        f->op_dirty = true;
        f->phase = PH_RECORD;
        return;
    }
    struct fo_action *a = fo_act(f, FO_DO_PUBLISH);
    a->publish.expect = *t;
    a->publish.want = want;
    a->seq = f->publish.seq = fo_seq(f);
    f->publish.sent_ms = f->now_ms;
    f->phase = PUB_SENT;
}

static void on_published(struct failover *f, enum fo_published p)
{
    switch (p) {
    case FO_PUB_APPLIED:
        f->try_next_ms = 0;
        f->phase = PUB_READ; /* believe what can be read, not what was said */
        if (++f->tries >= f->conf.publish_tries)
            publish_failed(f, "the DNS primary says yes and changes nothing");
        return;
    case FO_PUB_CONFLICT:
    case FO_PUB_UNKNOWN: try_again(f, "the DNS primary gave no clear answer"); return;
    case FO_PUB_REFUSED: publish_failed(f, "the DNS primary refuses our updates"); return;
    case FO_PUB_LINT: fo_roll_back(f, "the SPF record would not be valid"); return;
    }
}

static bool gives_way(struct failover *f)
{
    if (f->op.kind != STORE_OP_PUBLISH || f->phase < PH_FIRST || !fo_urgent(f)) return false;
    f->gave_way = true;
    fo_fail(f, "something more urgent came up");
    return true;
}

void fo_publishing_on(struct failover *f, const struct fo_event *ev)
{
    if (gives_way(f)) return;
    if (!fo_recorded(f, STORE_STEP_PUBLISHING, ev)) return;
    switch (f->phase) {
    case PUB_READ:
        if (f->now_ms < f->try_next_ms) return;
        f->dns.seq = 0;
        fo_read_token(f);
        f->phase = PUB_READING;
        return;
    case PUB_READING:
        if (fo_answered(ev, FO_EV_TOKEN, &f->dns)) {
            if (ev->reachable)
                compare_token(f);
            else
                try_again(f, "the DNS primary does not answer");
        } else if (!fo_waiting(f, &f->dns, f->conf.dns_timeout_ms)) {
            try_again(f, "the DNS primary does not answer");
        }
        return;
    default: break;
    }
    if (fo_answered(ev, FO_EV_PUBLISHED, &f->publish))
        on_published(f, ev->published);
    else if (!fo_waiting(f, &f->publish, f->conf.dns_timeout_ms))
        try_again(f, "the DNS primary gave no clear answer");
}

/* ---- verifying ---- */

enum { VER_ASK = PH_FIRST, VER_ASKED };
enum round { ROUND_GOOD, ROUND_BAD, ROUND_SILENT };

static bool set_changes(const struct failover *f)
{
    return f->op.kind == STORE_OP_PUBLISH || (f->op.flags & STORE_F_GREW);
}

static enum round judge_round(struct failover *f, const struct fo_verified *v)
{
    uint32_t need = set_changes(f) ? f->op.spf_set : BIT(f->op.to);
    uint32_t exact = f->op.kind == STORE_OP_PUBLISH ? ~UINT32_C(0) >> (32 - f->conf.n) : need;
    uint32_t good = 0, silent = 0;
    for (uint8_t i = 0; i < v->n; i++) {
        const struct fo_server *s = &v->v[i];
        if (s->state == FO_SERVER_SILENT)
            silent++;
        else if (s->state == FO_SERVER_OK && (s->pass_set & exact) == (need & exact))
            good++;
        else
            return ROUND_BAD;
    }
    if (!silent) return good ? ROUND_GOOD : ROUND_SILENT;
    /* Overlap only, and only when the one that is silent now said yes within the hour and others say it now. */
    uint64_t pass = f->op.to < f->conf.n ? f->ids[f->op.to].pass_ms : 0;
    bool lately = pass && f->now_ms < pass + f->conf.spf_fresh_ms;
    bool excused = !f->conf.verify_strict && !set_changes(f) && lately && good >= MIN(2U, v->n - 1U) && good;
    return excused ? ROUND_GOOD : ROUND_SILENT;
}

static uint32_t rounds_needed(const struct failover *f)
{
    if (set_changes(f) || f->op.to >= f->conf.n) return 2;
    /* The standing verification of a record that did not change was the first round. */
    uint64_t pass = f->standing_ms;
    bool standing = pass && f->now_ms < pass + 3 * f->conf.spf_check_ms;
    return standing ? 1 : 2;
}

static uint64_t old_answers_until_ms(const struct failover *f)
{
    uint64_t since = f->op.to < f->conf.n ? f->ids[f->op.to].pass_since_ms : 0;
    if (!since) since = f->verified_ms;
    return since + MAX(f->set_ttl_ms, f->conf.spf_ttl_ms) + 2 * f->verify_took_ms;
}

static void verified(struct failover *f)
{
    f->verified_ms = f->now_ms;
    f->verify_took_ms = f->now_ms - f->state_ms;
    bool wait = (f->op.flags & STORE_F_GREW) && !(f->op.flags & STORE_F_ACCEPT_RISK) &&
                f->now_ms < old_answers_until_ms(f);
    fo_move_to(f, wait ? FO_WAITING : fo_after_publishing(f), "verified");
}

static void verify_over(struct failover *f, const char *why)
{
    bool may = !f->round_bad && (!(f->op.flags & STORE_F_GREW) || fo_known_to_all(f, f->op.to));
    if (may && f->op.flags & (STORE_F_DNS_PENDING | STORE_F_ROLLBACK))
        fo_move_to(f, fo_after_publishing(f), why); /* publish_failed has weighed it already */
    else
        fo_roll_back(f, why);
}

static void on_round(struct failover *f, const struct fo_verified *v)
{
    for (uint8_t i = 0; i < v->n; i++)
        if (v->v[i].epoch > f->op.epoch && f->op.kind != STORE_OP_PUBLISH) {
            (void)fo_replan(f);
            return;
        }
    enum round r = judge_round(f, v);
    f->round_bad = r == ROUND_BAD;
    bool pending = f->op.flags & STORE_F_DNS_PENDING;
    if (pending && r != ROUND_BAD) {
        verify_over(f, "DNS is pending");
        return;
    }
    f->rounds = r == ROUND_GOOD ? f->rounds + 1 : 0;
    if (f->rounds >= rounds_needed(f)) {
        verified(f);
        return;
    }
    f->phase = VER_ASK;
    f->try_next_ms = f->now_ms +
                     (r == ROUND_GOOD ? f->conf.verify_gap_ms : MIN(f->conf.verify_gap_ms, SECONDS(1)));
}

void fo_verifying_on(struct failover *f, const struct fo_event *ev)
{
    if (gives_way(f)) return;
    if (!fo_recorded(f, STORE_STEP_VERIFYING, ev)) return;
    if (MUTANT(NO_VERIFY)) {
        verified(f);
        return;
    }
    if (f->now_ms >= f->state_ms + f->conf.verify_limit_ms) {
        verify_over(f, "not every name server has the record");
        return;
    }
    if (f->phase == VER_ASK) {
        if (f->now_ms < f->try_next_ms) return;
        f->verify.seq = 0;
        fo_verify(f);
        f->phase = VER_ASKED;
        return;
    }
    if (fo_answered(ev, FO_EV_VERIFIED, &f->verify))
        on_round(f, ev->verified);
    else if (!fo_waiting(f, &f->verify, f->conf.dns_timeout_ms))
        on_round(f, &(struct fo_verified){ 0 });
}

/* ---- waiting: receivers still hold the old answer ---- */

void fo_waiting_on(struct failover *f, const struct fo_event *ev)
{
    if (!f->verified_ms) {
        f->op_dirty = true;
        fo_move_to(f, FO_VERIFYING, "how long was waited is not known");
        return;
    }
    if (!fo_recorded(f, STORE_STEP_WAITING, ev)) return;
    if (f->now_ms < old_answers_until_ms(f) && !MUTANT(NO_TTL_WAIT)) return;
    fo_move_to(f, fo_after_publishing(f), "old answers have expired");
}
