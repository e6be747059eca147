/* The invariants, by the names of docs/failover.md. */
#include <stdio.h>

#include "tests/sim/sim.h"

static bool is_open(const struct sim *w, uint8_t i)
{
    return w->actors[i].alive && gate_may_send(&w->nodes[i].gate, sim_boot_ms(w, i));
}

static void check_alone(struct sim *w, uint8_t i)
{
    for (uint8_t j = 0; j < w->n_nodes; j++)
        if (j != i && is_open(w, j))
            sim_violation(w, "I1 two gates are open: id%u (epoch %" PRIu64 ") and id%u (epoch %" PRIu64 ")",
                          i, gate_epoch(&w->nodes[i].gate), j, gate_epoch(&w->nodes[j].gate));
}

static void check_epoch(struct sim *w, uint8_t i)
{
    uint64_t epoch = gate_epoch(&w->nodes[i].gate);
    bool back = epoch < w->max_epoch || (epoch == w->max_epoch && i != w->max_epoch_identity);
    if (back)
        sim_violation(w, "I4 id%u opens at epoch %" PRIu64 " after id%u at %" PRIu64, i, epoch,
                      w->max_epoch_identity, w->max_epoch);
    if (epoch > w->max_epoch && w->last_active != i) {
        w->last_active = i;
        w->switches++;
    }
    w->max_epoch = MAX(w->max_epoch, epoch);
    w->max_epoch_identity = i;
}

/* SPF passes for it at every authoritative server; in exclusive mode it has done so for a TTL. */
static void check_spf(struct sim *w, uint8_t i)
{
    if (w->risky) return;
    for (uint8_t s = 0; s < w->n_servers; s++) {
        uint64_t since = w->servers[s].in_since_ms[i];
        if (!since)
            sim_violation(w, "I3 id%u opens although ns%u does not authorise it", i, s);
        else if (w->exclusive && since > 1 && w->now_ms < since + w->fo_conf.spf_ttl_ms * 995 / 1000)
            sim_violation(w, "I3 id%u opens %" PRIu64 " ms after ns%u began to authorise it", i,
                          w->now_ms - since, s);
    }
}

void check_gates(struct sim *w, uint8_t i)
{
    struct node *n = &w->nodes[i];
    bool open = is_open(w, i);
    if (w->conf.trace && open != w->was_open[i])
        buf_putf(&w->story, "[%.1f] node%u gate.%s epoch=%" PRIu64 " why=\"%s\"\n", (double)w->now_ms / 1000,
                 i, open ? "open" : "closed", gate_epoch(&n->gate),
                 w->actors[i].alive ? agent_why(n->agent) : "dead");
    w->was_open[i] = open;
    if (!open) return;
    check_alone(w, i);
    uint64_t ticket = gate_ticket(&n->gate, sim_boot_ms(w, i));
    if (ticket == n->opened_ticket) return;
    n->opened_ticket = ticket;
    bool fresh = gate_epoch(&n->gate) > w->max_epoch;
    sim_say(w, "node%u gate.open epoch=%" PRIu64, i, gate_epoch(&n->gate));
    check_epoch(w, i);
    if (fresh) check_spf(w, i);
}

/* I13, and the lease itself: an open gate rests on a renewal that was sent less than a lease ago, in true time. */
void check_renewal(struct sim *w, uint8_t i)
{
    uint64_t lease = w->agent_conf.lease_ms;
    if (is_open(w, i) && w->now_ms > w->nodes[i].renewed_ms + lease)
        sim_violation(w, "I13 id%u is open %" PRIu64 " ms after its last renewal was sent", i,
                      w->now_ms - w->nodes[i].renewed_ms);
}

void check_update(struct sim *w, const struct fo_token *before, const struct fo_token *after)
{
    if (!after->spf_set) sim_violation(w, "I6 the SPF record would authorise nobody");
    bool back = before->present && (after->epoch < before->epoch ||
                                    (after->epoch == before->epoch && after->identity != before->identity));
    if (back)
        sim_violation(w, "I5 a stale update was applied: epoch %" PRIu64 " of id%u over %" PRIu64 " of id%u",
                      after->epoch, after->identity, before->epoch, before->identity);
    if (after->identity < w->n_nodes && !(after->spf_set & BIT(after->identity)))
        sim_violation(w, "I6 the record does not authorise the identity it names");
    sim_say(w, "ns0 updated epoch=%" PRIu64 " identity=%u set=%x serial=%u", after->epoch, after->identity,
            after->spf_set, after->serial);
}

static void check_begin(struct sim *w, const struct store_model *m, const struct store_op_rec *op)
{
    if (op->id == w->last_begun) return; /* the same request again */
    w->last_begun = op->id;
    /* To go on with a grant that the store has lost is no switch. */
    bool lost = op->kind == STORE_OP_RESTORE && m->v.egress.state == STORE_EGRESS_ACTIVE;
    bool automatic = op->kind == STORE_OP_LISTED || op->kind == STORE_OP_FAILED ||
                     (op->kind == STORE_OP_RESTORE && !lost);
    if (automatic && m->v.controls.paused && w->paused_since_ms &&
        w->now_ms > w->paused_since_ms + SECONDS(20))
        sim_violation(w, "I11 a %s operation begins while paused", store_op_kind_name(op->kind));
    if (op->kind != STORE_OP_LISTED) return;
    uint64_t known_ms = w->policy_conf.keep_ms + SECONDS(30);
    bool real = op->from < w->n_nodes && w->truly_listed_ms[op->from] &&
                w->now_ms < w->truly_listed_ms[op->from] + known_ms;
    if (!real) sim_violation(w, "I8/I9 id%u is left for a listing that no sound zone has", op->from);
}

static void check_auto(struct sim *w, const struct store_req *q)
{
    if (!q->automatic || w->n_auto == ARRAY_LEN(w->auto_ms) || q->op == w->auto_op) return;
    w->auto_op = q->op; /* a doubled request is the same switch */
    uint64_t last = w->n_auto ? w->auto_ms[w->n_auto - 1] : 0;
    w->auto_ms[w->n_auto++] = w->now_ms;
    if (!q->quarantine || w->lost_data || w->wall_jumped) return; /* only listings are moderated */
    if (last && w->now_ms + SECONDS(5) < last + w->fo_conf.dwell_ms)
        sim_violation(w, "I10 an automatic switch %" PRIu64 " ms after the last", w->now_ms - last);
    if (w->n_auto > w->fo_conf.daily_cap) sim_violation(w, "I10 %zu automatic switches in a day", w->n_auto);
}

void check_store(struct sim *w, const struct store_model *m, const struct store_req *q,
                 const struct store_reply *r)
{
    char who[16];
    if (r->status != STORE_OK) {
        if (q->kind != STORE_COORD && w->conf.trace)
            sim_say(w, "store %s by id%u: %s %s", store_req_name(q->kind), q->identity,
                    store_status_name(r->status), store_conflict_name(r->conflict));
        return;
    }
    bool led = q->kind >= STORE_BEGIN && q->kind <= STORE_HISTORY;
    if (led && q->claim.term != m->v.term)
        sim_violation(w, "I5 the store obeys term %" PRIu64 " in term %" PRIu64, q->claim.term, m->v.term);
    if (led && w->conf.trace)
        sim_say(w, "store %s epoch=%" PRIu64 " state=%s identity=%u op=%s/%s %s", store_req_name(q->kind),
                m->v.egress.epoch, store_egress_name(m->v.egress.state), m->v.egress.identity,
                store_op_kind_name(m->v.op.kind), store_step_name(m->v.op.step),
                q->kind == STORE_FINISH ? q->history.text : "");
    if (q->kind == STORE_RENEW) {
        const struct store_egress *e = &m->v.egress;
        if (e->state != STORE_EGRESS_ACTIVE || e->identity != q->identity || e->epoch != q->epoch)
            sim_violation(w, "I5 a lease was renewed that is not granted");
    }
    if (q->kind == STORE_BEGIN) check_begin(w, m, &q->rec);
    if (q->kind == STORE_GRANT) check_auto(w, q);
    if (q->kind == STORE_CONTROLS)
        w->paused_since_ms = !q->controls.paused ? 0 : w->paused_since_ms ? w->paused_since_ms : w->now_ms;
    (void)who;
}

/* I14: two minutes after the last fault the cluster is in order by itself: one sends, or nobody with a good reason. */
void check_end(struct sim *w)
{
    if (w->mail) mail_check(w);
    uint8_t open = STORE_NONE;
    for (uint8_t i = 0; i < w->n_nodes; i++)
        if (is_open(w, i)) open = i;
    const struct store_view *v = &w->store.v;
    bool may_rest = v->controls.paused || v->egress.state == STORE_EGRESS_HELD;
    if (open == STORE_NONE && !may_rest) {
        sim_violation(w,
                      "I14 nobody sends two minutes after the last fault (egress %s id%u epoch %" PRIu64
                      ", op %s/%s)",
                      store_egress_name(v->egress.state), v->egress.identity, v->egress.epoch,
                      store_op_kind_name(v->op.kind), store_step_name(v->op.step));
        return;
    }
    if (open == STORE_NONE) return;
    if (v->egress.identity != open || v->egress.epoch != gate_epoch(&w->nodes[open].gate))
        sim_violation(w, "I14 the store and the open gate differ");
    if (v->op.id && v->op.kind != STORE_OP_PUBLISH)
        sim_violation(w, "I14 an operation is still running: %s/%s", store_op_kind_name(v->op.kind),
                      store_step_name(v->op.step));
    const struct fo_token *t = &w->servers[0].token;
    if (!v->op.id && (t->epoch != v->egress.epoch || t->identity != open))
        sim_violation(w, "I14 DNS says epoch %" PRIu64 " id%u, the store %" PRIu64 " id%u", t->epoch,
                      t->identity, v->egress.epoch, open);
}
