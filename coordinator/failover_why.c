/* Sentences: what history, status and log say about an operation. */
#include <stdio.h>

#include "coordinator/failover_int.h"

const char *fo_name(const struct failover *f, uint8_t i)
{
    return i < f->conf.n ? f->conf.ids[i].name : i == STORE_FOREIGN ? "(unknown)" : "(nobody)";
}

struct text {
    char *p;
    size_t n;
};

static void put(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->p + t->n, FO_TEXT_MAX - t->n, fmt, ap);
    va_end(ap);
    if (n > 0) t->n = MIN(t->n + (size_t)n, (size_t)FO_TEXT_MAX - 1);
}

static void put_what(const struct failover *f, struct text *t, const struct store_op_rec *op, bool ok)
{
    const char *from = fo_name(f, op->from), *to = fo_name(f, op->to);
    if (op->flags & STORE_F_ROLLBACK) {
        put(t,
            ok ? "%s sends again (epoch %" PRIu64 "): %s could not take over"
               : "Neither %s (epoch %" PRIu64 ") nor %s could be brought to send",
            to, op->epoch, from);
    } else if (!ok) {
        put(t, "The %s was given up", store_op_kind_name(op->kind));
    } else if (op->kind == STORE_OP_PUBLISH) {
        put(t, "The DNS records were brought up to date (epoch %" PRIu64 ")", op->epoch);
    } else if (op->kind == STORE_OP_FENCE) {
        put(t, "%s was fenced; nobody sends until an operator says so", from);
    } else if (op->from == op->to || op->kind == STORE_OP_RESTORE) {
        put(t, "%s sends (epoch %" PRIu64 ")", to, op->epoch);
    } else {
        put(t, "%s sends instead of %s (epoch %" PRIu64 ")", to, from, op->epoch);
    }
}

static void put_steps(struct text *t, const struct store_op_rec *op)
{
    static const char *const words[STORE_STEPS] = {
        [STORE_STEP_FENCING] = "fence",    [STORE_STEP_PUBLISHING] = "publish",
        [STORE_STEP_VERIFYING] = "verify", [STORE_STEP_WAITING] = "wait",
        [STORE_STEP_GRANTING] = "grant",
    };
    const char *sep = " Steps: ";
    for (size_t i = 0; i < STORE_STEPS; i++) {
        if (!words[i] || !op->took_ms[i]) continue;
        put(t, "%s%s %u.%03u s", sep, words[i], op->took_ms[i] / 1000, op->took_ms[i] % 1000);
        sep = ", ";
    }
    if (sep[0] == ',') put(t, ".");
}

void fo_history_text(const struct failover *f, const struct store_op_rec *op, bool ok, char out[FO_TEXT_MAX])
{
    struct text t = { .p = out };
    out[0] = '\0';
    put_what(f, &t, op, ok);
    put(&t, ", because %s", op->why);
    if (f->fail_why[0]) put(&t, "; %s", f->fail_why);
    put(&t, ".");
    bool fenced = op->took_ms[STORE_STEP_FENCING] && op->from != op->to && op->from < f->conf.n &&
                  op->kind != STORE_OP_RESTORE && !(op->flags & STORE_F_ROLLBACK);
    if (fenced)
        put(&t, op->flags & STORE_F_ACKED ? " The fence was acknowledged."
                                          : " The fence was not acknowledged: its lease ran out.");
    if (op->flags & STORE_F_DNS_PENDING) put(&t, " DNS could not be changed yet.");
    if (op->gap_ms) put(&t, " Nobody sent for %u.%03u s.", op->gap_ms / 1000, op->gap_ms % 1000);
    put_steps(&t, op);
    put(&t, " By %s.", op->by);
}

/* ---- status ---- */

static enum store_reported assigned(const struct failover *f, uint8_t i)
{
    if (f->egress.identity != i) return STORE_R_STANDBY;
    switch (f->egress.state) {
    case STORE_EGRESS_ACTIVE: return STORE_R_ACTIVE;
    case STORE_EGRESS_NONE: return STORE_R_STANDBY;
    case STORE_EGRESS_FENCING:
    case STORE_EGRESS_FENCED:
    case STORE_EGRESS_HELD: break;
    }
    return STORE_R_FENCED;
}

static void fill_identity(const struct failover *f, uint64_t now, uint8_t i, struct fo_identity_status *s)
{
    const struct fo_ident *id = &f->ids[i];
    bool fresh = id->beat_ms && now < id->beat_ms + f->conf.silent_ms;
    const char *no = fo_not_fit(f, i);
    *s = (struct fo_identity_status){
        .reported = id->beat_ms ? (enum store_reported)id->beat.reported : STORE_R_UNKNOWN,
        .assigned = assigned(f, i),
        .fresh = fresh,
        .fit = !no,
        .score = id->verdict.score,
        .spf_ok = id->spf_ok,
        .spf_of = id->spf_of,
        .lease_left_ms = fresh && id->beat.lease_left_ms > now - id->beat_ms
                             ? id->beat.lease_left_ms - (now - id->beat_ms)
                             : 0,
        .epoch = id->beat.epoch,
        .queue_out = id->beat.queue_out,
        .beat_age_ms = id->beat_ms ? now - id->beat_ms : UINT64_MAX,
    };
    snprintf(s->why_not, sizeof s->why_not, "%s", no ? no : "");
    memcpy(s->evidence, id->verdict.why, sizeof s->evidence);
}

static void add_issue(struct fo_status *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add_issue(struct fo_status *s, const char *fmt, ...)
{
    if (s->n_issues == ARRAY_LEN(s->issues)) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->issues[s->n_issues++], sizeof s->issues[0], fmt, ap);
    va_end(ap);
}

static void fill_issues(const struct failover *f, uint64_t now, struct fo_status *s)
{
    if (!f->view_ms || now > f->view_ms + 5 * f->conf.view_ms) add_issue(s, "the store does not answer");
    if (f->egress.state == STORE_EGRESS_HELD)
        add_issue(s, "nobody sends: fenced by an operator");
    else if (s->active == STORE_NONE)
        add_issue(s, "nobody sends");
    if (f->issue[0]) add_issue(s, "%.127s", f->issue);
    if (f->token_ms && !f->token_reachable) add_issue(s, "the DNS primary does not answer");
    if (f->egress.dns_pending && f->token.epoch < f->egress.epoch)
        add_issue(s, "the _egress record is behind");
    bool standby = false;
    for (uint8_t i = 0; i < f->conf.n; i++) standby = standby || (i != s->active && s->ids[i].fit);
    if (!standby) add_issue(s, "no standby is ready");
    for (uint8_t i = 0; i < f->conf.n; i++) {
        if (i != s->active && !s->ids[i].fit) add_issue(s, "%s: %s", fo_name(f, i), s->ids[i].why_not);
        if (f->view.quarantined_wall_ms[i]) add_issue(s, "%s is in quarantine", fo_name(f, i));
    }
    s->degraded = s->active == STORE_NONE || !standby;
}

void failover_status(const struct failover *f, uint64_t now, struct fo_status *out)
{
    struct failover copy = *f; /* fitness is asked as of now, not of the last event */
    copy.now_ms = now;
    *out = (struct fo_status){
        .state = f->state,
        .leading = failover_leads(f, now),
        .paused = f->view.controls.paused,
        .pin = f->view.controls.pin,
        .pin_until_wall_ms = f->view.controls.pin_until_wall_ms,
        .active = f->egress.state == STORE_EGRESS_ACTIVE ? f->egress.identity : STORE_NONE,
        .epoch = f->egress.epoch,
        .term = f->claim.term,
        .since_wall_ms = f->egress.since_wall_ms,
        .in_state_ms = now - f->state_ms,
        .op = f->op.id ? f->op : f->view.op,
        .role_changes = f->role_changes,
        .switches = f->switches,
        .wanted_set = f->op.id ? f->op.spf_set : fo_steady_set(f),
    };
    for (uint8_t i = 0; i < f->conf.n; i++) fill_identity(&copy, now, i, &out->ids[i]);
    fill_issues(&copy, now, out);
}
