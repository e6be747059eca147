#include "proto/store_model.h"

#include <string.h>

#include "proto/mutation.h"

/* Each handler is one script. They come in the order of enum store_req_kind; `r` is prepared as CONFLICT-free OK. */

typedef void apply_fn(struct store_model *m, const struct store_req *q, uint64_t now, struct store_reply *r);

static void refuse(struct store_reply *r, enum store_conflict why)
{
    r->status = STORE_CONFLICT;
    r->conflict = why;
}

static void coord_apply(struct store_model *m, const struct store_req *q, uint64_t now, struct store_reply *r)
{
    bool held = m->v.leader && now < m->leader_until_ms;
    bool ours = m->v.leader == q->claim.id && m->leader_token == q->claim.token;
    if (held && !ours) {
        refuse(r, STORE_C_HELD);
        return;
    }
    if (!ours ||
        !held) { /* expired: somebody may have led meanwhile in a copy we do not know; a new term says so */
        m->v.leader = q->claim.id;
        m->leader_token = q->claim.token;
        m->v.term = MAX(m->v.term, q->term_floor) + 1;
    }
    m->leader_until_ms = now + m->coord_lease_ms;
}

static void read_apply(struct store_model *m, const struct store_req *q, uint64_t now, struct store_reply *r)
{
    r->view = &m->v;
}

static void begin_apply(struct store_model *m, const struct store_req *q, uint64_t now, struct store_reply *r)
{
    struct store_op_rec *op = &m->v.op;
    if (op->id == q->rec.id) return; /* our own earlier sending */
    if (op->id || op->no + 1 != q->rec.no) {
        refuse(r, STORE_C_OP);
        return;
    }
    if (m->v.egress.epoch != q->rec.base_epoch) {
        refuse(r, STORE_C_EPOCH);
        return;
    }
    *op = q->rec;
    m->v.used_epoch = MAX(m->v.used_epoch, op->epoch);
}

static void advance_apply(struct store_model *m, const struct store_req *q, uint64_t now,
                          struct store_reply *r)
{
    struct store_op_rec *op = &m->v.op;
    struct store_egress *e = &m->v.egress;
    bool again = op->id == q->rec.id && op->seq == q->rec.seq;
    if (op->id != q->rec.id || (!again && op->seq + 1 != q->rec.seq)) {
        refuse(r, STORE_C_OP);
        return;
    }
    if (again) return;
    if (q->fenced && (e->state != STORE_EGRESS_FENCING || e->op != q->rec.id)) {
        refuse(r, STORE_C_STATE);
        return;
    }
    if (q->fenced) e->state = STORE_EGRESS_FENCED;
    *op = q->rec;
    m->v.used_epoch = MAX(m->v.used_epoch, op->epoch);
}

static void append_history(struct store_model *m, const struct store_history *h)
{
    m->histories++;
    m->last_history = *h;
}

static void finish_apply(struct store_model *m, const struct store_req *q, uint64_t now,
                         struct store_reply *r)
{
    struct store_op_rec *op = &m->v.op;
    if (m->last_op == q->op && op->id != q->op) return;
    if (op->id != q->op) {
        refuse(r, STORE_C_OP);
        return;
    }
    if (q->held && m->v.egress.state == STORE_EGRESS_FENCED) m->v.egress.state = STORE_EGRESS_HELD;
    m->last_op = op->id;
    *op = (struct store_op_rec){ .no = op->no };
    append_history(m, &q->history);
}

static void fence_apply(struct store_model *m, const struct store_req *q, uint64_t now, struct store_reply *r)
{
    struct store_egress *e = &m->v.egress;
    if (m->v.op.id != q->op || m->v.op.seq != q->op_seq) {
        refuse(r, STORE_C_OP);
        return;
    }
    if (e->identity != q->identity || e->epoch != q->epoch) {
        refuse(r, STORE_C_EPOCH);
        return;
    }
    if (e->state == STORE_EGRESS_NONE) {
        refuse(r, STORE_C_STATE);
        return;
    }
    if (e->op == q->op && e->token == q->token && e->state != STORE_EGRESS_ACTIVE) return;
    e->state = e->state == STORE_EGRESS_ACTIVE ? STORE_EGRESS_FENCING : e->state;
    if (e->state == STORE_EGRESS_HELD) e->state = STORE_EGRESS_FENCED;
    e->op = q->op;
    e->token = q->token;
    e->run = m->run;
    e->since_wall_ms = q->wall_ms;
}

static void grant_apply(struct store_model *m, const struct store_req *q, uint64_t now, struct store_reply *r)
{
    struct store_egress *e = &m->v.egress;
    if (e->state == STORE_EGRESS_ACTIVE && e->identity == q->identity && e->epoch == q->epoch &&
        e->op == q->op)
        return;
    if (m->v.op.id != q->op || m->v.op.seq != q->op_seq) {
        refuse(r, STORE_C_OP);
        return;
    }
    if (q->epoch <= m->v.epoch || q->epoch <= e->epoch) {
        refuse(r, STORE_C_EPOCH);
        return;
    }
    bool same = e->state == STORE_EGRESS_ACTIVE && e->identity == q->identity;
    if (!same && (e->state == STORE_EGRESS_ACTIVE || e->state == STORE_EGRESS_FENCING)) {
        refuse(r, STORE_C_STATE);
        return;
    }
    *e = (struct store_egress){
        .identity = q->identity,
        .state = STORE_EGRESS_ACTIVE,
        .epoch = q->epoch,
        .op = q->op,
        .token = q->token,
        .run = m->run,
        .since_wall_ms = q->wall_ms,
        .dns_pending = q->dns_pending,
    };
    m->v.epoch = q->epoch;
    m->v.lease.identity = q->identity;
    m->v.lease.epoch = q->epoch;
    m->v.lease.token = 0;
    if (q->automatic) {
        memmove(m->v.auto_wall_ms + 1, m->v.auto_wall_ms,
                sizeof m->v.auto_wall_ms - sizeof m->v.auto_wall_ms[0]);
        m->v.auto_wall_ms[0] = q->wall_ms;
    }
    if (q->quarantine && q->quarantined < STORE_IDENTITIES_MAX)
        m->v.quarantined_wall_ms[q->quarantined] = q->wall_ms;
}

static void controls_apply(struct store_model *m, const struct store_req *q, uint64_t now,
                           struct store_reply *r)
{
    struct store_controls *c = &m->v.controls;
    bool again = c->version == q->controls.version && c->paused == q->controls.paused &&
                 c->pin == q->controls.pin && c->pin_until_wall_ms == q->controls.pin_until_wall_ms;
    if (again) return;
    if (c->version + 1 == q->controls.version)
        *c = q->controls;
    else
        refuse(r, STORE_C_STATE);
}

static void mark_apply(struct store_model *m, const struct store_req *q, uint64_t now, struct store_reply *r)
{
    if (q->identity < STORE_IDENTITIES_MAX) m->v.quarantined_wall_ms[q->identity] = q->wall_ms;
}

static void history_apply(struct store_model *m, const struct store_req *q, uint64_t now,
                          struct store_reply *r)
{
    append_history(m, &q->history);
}

static void renew_apply(struct store_model *m, const struct store_req *q, uint64_t now, struct store_reply *r)
{
    const struct store_egress *e = &m->v.egress;
    struct store_lease *l = &m->v.lease;
    if (e->epoch != q->epoch || e->identity != q->identity) {
        r->status = STORE_STALE;
        return;
    }
    if (e->state != STORE_EGRESS_ACTIVE && !MUTANT(RENEW_WHEN_FENCED)) {
        refuse(r, STORE_C_STATE);
        return;
    }
    if (l->token && l->token != q->token) {
        refuse(r, STORE_C_HELD);
        return;
    }
    l->token = q->token;
    l->counter++;
}

static void beat_apply(struct store_model *m, const struct store_req *q, uint64_t now, struct store_reply *r)
{
    struct store_beat *b = &m->v.beats[q->identity];
    if (b->instance == q->beat.instance && b->seq >= q->beat.seq) return; /* an old one that arrives late */
    *b = q->beat;
}

static void evidence_apply(struct store_model *m, const struct store_req *q, uint64_t now,
                           struct store_reply *r)
{
    struct store_view *v = &m->v;
    if (v->n_evidence == STORE_EVIDENCE_MAX) {
        memmove(v->evidence, v->evidence + 1, sizeof v->evidence - sizeof v->evidence[0]);
        v->n_evidence--;
    }
    v->evidence[v->n_evidence] = q->evidence;
    v->evidence[v->n_evidence++].id = ++m->evidence_id;
}

static const struct row {
    apply_fn *apply;
    bool led; /* only for the coordinator that leads, on the server it believes in */
    bool writes;
} rows[] = {
    [STORE_COORD] = { coord_apply, false, true },       [STORE_READ] = { read_apply, false, false },
    [STORE_BEGIN] = { begin_apply, true, true },        [STORE_ADVANCE] = { advance_apply, true, true },
    [STORE_FINISH] = { finish_apply, true, true },      [STORE_FENCE] = { fence_apply, true, true },
    [STORE_GRANT] = { grant_apply, true, true },        [STORE_CONTROLS] = { controls_apply, true, true },
    [STORE_MARK] = { mark_apply, true, true },          [STORE_HISTORY] = { history_apply, true, true },
    [STORE_RENEW] = { renew_apply, false, true },       [STORE_BEAT] = { beat_apply, false, true },
    [STORE_EVIDENCE] = { evidence_apply, false, true },
};

void store_model_init(struct store_model *m, uint64_t run, uint64_t coord_lease_ms)
{
    *m = (struct store_model){ .run = run, .coord_lease_ms = coord_lease_ms };
    m->v.egress.identity = m->v.lease.identity = m->v.controls.pin = STORE_NONE;
}

static bool leads(const struct store_model *m, const struct store_claim *c, uint64_t now)
{
    return m->v.leader == c->id && m->leader_token == c->token && m->v.term == c->term &&
           now < m->leader_until_ms;
}

void store_model_apply(struct store_model *m, const struct store_req *q, uint64_t now,
                       struct store_reply *out)
{
    ASSERT((unsigned)q->kind < ARRAY_LEN(rows));
    const struct row *row = &rows[q->kind];
    *out = (struct store_reply){ .kind = q->kind, .status = STORE_OK, .run = m->run };
    if (row->writes && m->read_only) {
        *out = (struct store_reply){ .kind = q->kind, .status = STORE_UNKNOWN };
        return;
    }
    if (q->claim.run && q->claim.run != m->run)
        refuse(out, STORE_C_RUN);
    else if (row->led && !leads(m, &q->claim, now) && !MUTANT(NO_TERM_CHECK))
        out->status = STORE_STALE;
    else
        row->apply(m, q, now, out);
    out->term = m->v.term;
    out->egress = m->v.egress;
    out->lease = m->v.lease;
}

void store_model_fail_over(struct store_model *m, const struct store_model *copy, uint64_t run)
{
    struct store_model next = *copy;
    next.run = run;
    *m = next;
}
