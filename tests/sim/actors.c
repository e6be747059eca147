/* The shells of the simulated cluster: what main() does for a node and for a coordinator, over messages. */
#include <stdio.h>

#include "tests/sim/sim.h"

/* ---- node ---- */

static void node_feed(struct sim *w, uint8_t i, struct agent_event *ev);

static void node_tick_at(struct sim *w, uint8_t i)
{
    struct actor *a = &w->actors[i];
    uint64_t due = agent_due_ms(w->nodes[i].agent), boot = sim_boot_ms(w, i);
    uint64_t at = w->now_ms + (due > boot ? due - boot : 1);
    if (a->tick_ms > w->now_ms && a->tick_ms <= at) return;
    a->tick_ms = at;
    sim_push(w, at, EV_TICK, i, a->life, (struct ev){ 0 });
}

static void node_facts(struct sim *w, uint8_t i)
{
    node_feed(w, i,
              &(struct agent_event){ .kind = AGENT_EV_FACTS,
                                     .facts = { .preflight_ok = true,
                                                .egress_ok = !w->nodes[i].sick,
                                                .queue_out = w->mail ? mail_waiting(w, i) : 0 } });
}

void node_start(struct sim *w, uint8_t i)
{
    struct actor *a = &w->actors[i];
    struct node *n = &w->nodes[i];
    struct agent_conf conf = w->agent_conf;
    conf.identity = i;
    snprintf(conf.name, sizeof conf.name, "id%u", i);
    a->alive = true;
    a->paused = false;
    a->life++;
    a->tick_ms = 0;
    gate_init(&n->gate, conf.stall_ms);
    n->opened_ticket = 0;
    n->agent = agent_create(&conf, &n->gate, w->conf.trace ? &w->logs[i] : NULL, &n->disk,
                            rng_u64(&w->rng) | 1, sim_boot_ms(w, i));
    if (w->mail) {
        mail_start(w, i);
        sim_push(w, w->now_ms + rng_below(&w->rng, 4000), EV_POST, i, a->life, (struct ev){ 0 });
    }
    node_facts(w, i);
    sim_push(w, w->now_ms + rng_below(&w->rng, 900), EV_EMIT, i, a->life, (struct ev){ 0 });
}

void node_stop(struct sim *w, uint8_t i)
{
    w->actors[i].alive = false;
    if (w->mail) mail_crash(w, i);
    agent_destroy(w->nodes[i].agent);
    w->nodes[i].agent = NULL;
}

static void node_store(struct sim *w, uint8_t i, const struct agent_action *x)
{
    struct node *n = &w->nodes[i];
    struct msg *m = sim_msg(w, M_STORE, i, STORE, x->seq);
    m->req = x->req;
    if (x->req.kind == STORE_RENEW) {
        n->renew_seq[x->seq % 8] = x->seq;
        n->renew_sent_ms[x->seq % 8] = w->now_ms;
    }
    sim_send(w, m);
}

static void node_read_token(struct sim *w, uint8_t i, uint32_t seq)
{
    uint8_t s = 0; /* the primary, or else whoever answers */
    for (; s < w->n_servers; s++)
        if (w->actors[FIRST_SERVER + s].alive && !w->cut[i][FIRST_SERVER + s] && !w->cut[FIRST_SERVER + s][i])
            break;
    if (s < w->n_servers) {
        sim_send(w, sim_msg(w, M_TOKEN, i, FIRST_SERVER + s, seq));
        return;
    }
    struct msg *m = sim_msg(w, M_TOKEN_REPLY, i, i, seq);
    m->reachable = false;
    m->token = (struct fo_token){ 0 };
    sim_local(w, m, 800);
}

static void node_check_spf(struct sim *w, uint8_t i, uint32_t seq)
{
    struct fo_verified v;
    servers_report(w, i, &v);
    const struct fo_server *s = &v.v[rng_below(&w->rng, v.n)];
    struct msg *m = sim_msg(w, M_SPF_REPLY, i, i, seq);
    m->spf = s->state == FO_SERVER_SILENT                       ? AGENT_SPF_UNKNOWN
             : s->state == FO_SERVER_OK && s->pass_set & BIT(i) ? AGENT_SPF_PASS
                                                                : AGENT_SPF_FAIL;
    sim_local(w, m, rng_between(&w->rng, 1, 20));
}

static void node_persist(struct sim *w, uint8_t i, const struct agent_action *x)
{
    struct node *n = &w->nodes[i];
    struct msg *m = sim_msg(w, M_PERSISTED, i, i, x->seq);
    m->err = n->disk_full ? ERR_RETRY : ERR_OK;
    if (!n->disk_full) n->disk = x->file; /* before the answer: a crash in between finds it written */
    sim_local(w, m, rng_between(&w->rng, 0, 15));
}

static void node_ack(struct sim *w, uint8_t i, const struct agent_ack *a)
{
    if (a->kind == AGENT_HANDOFF) return;
    for (uint8_t c = 0; c < w->n_coords; c++) {
        struct msg *m = sim_msg(w, M_ACK, i, FIRST_COORD + c, 0);
        m->ack = (struct fo_ack){ .fence = a->kind == AGENT_FENCE,
                                  .done = a->done,
                                  .op = a->op,
                                  .epoch = a->epoch,
                                  .token = a->token };
        snprintf(m->ack.why, sizeof m->ack.why, "%s", a->why);
        sim_send(w, m);
    }
}

static void node_act(struct sim *w, uint8_t i, const struct agent_action *x)
{
    switch (x->kind) {
    case AGENT_DO_STORE: node_store(w, i, x); break;
    case AGENT_DO_REPORT:
        for (uint8_t c = 0; c < w->n_coords; c++) {
            struct msg *m = sim_msg(w, M_REPORT, i, FIRST_COORD + c, 0);
            m->beat = x->beat;
            sim_send(w, m);
        }
        break;
    case AGENT_DO_READ_TOKEN: node_read_token(w, i, x->seq); break;
    case AGENT_DO_CHECK_SPF: node_check_spf(w, i, x->seq); break;
    case AGENT_DO_PERSIST: node_persist(w, i, x); break;
    case AGENT_DO_ABORT:
        if (w->mail) mail_abort(w, i);
        sim_local(w, sim_msg(w, M_ABORTED, i, i, x->seq), rng_between(&w->rng, 0, 30));
        break;
    case AGENT_DO_ACK: node_ack(w, i, &x->ack); break;
    case AGENT_DO_HANDOFF:
        if (w->mail) mail_aim(w, i, x->to);
        break;
    }
}

static void node_feed(struct sim *w, uint8_t i, struct agent_event *ev)
{
    ev->now_ms = sim_boot_ms(w, i);
    ev->wall_ms = sim_wall_ms(w, i);
    agent_step(w->nodes[i].agent, ev, &w->agent_out);
    for (size_t k = 0; k < w->agent_out.n; k++) node_act(w, i, &w->agent_out.v[k]);
    node_tick_at(w, i);
}

static void node_msg(struct sim *w, uint8_t i, const struct msg *m)
{
    struct node *n = &w->nodes[i];
    struct agent_event ev = { .seq = m->seq };
    switch (m->kind) {
    case M_STORE_REPLY:
        ev.kind = AGENT_EV_STORE;
        ev.reply = &m->reply;
        if (m->reply.kind == STORE_RENEW && m->reply.status == STORE_OK && n->renew_seq[m->seq % 8] == m->seq)
            n->renewed_ms = MAX(n->renewed_ms, n->renew_sent_ms[m->seq % 8]);
        break;
    case M_ORDER:
        ev.kind = AGENT_EV_ORDER;
        ev.order = m->order;
        break;
    case M_TOKEN_REPLY:
        ev.kind = AGENT_EV_TOKEN;
        ev.token = (struct agent_token){ .reachable = m->reachable,
                                         .present = m->token.present,
                                         .identity = m->token.identity,
                                         .epoch = m->token.epoch };
        break;
    case M_SPF_REPLY:
        ev.kind = AGENT_EV_SPF;
        ev.spf = m->spf;
        break;
    case M_PERSISTED:
        ev.kind = AGENT_EV_PERSISTED;
        ev.err = m->err;
        break;
    case M_ABORTED: ev.kind = AGENT_EV_ABORTED; break;
    default: return;
    }
    node_feed(w, i, &ev);
}

/* One transaction: MAIL now, the dot a little later, the reply later still. */
static void node_emit(struct sim *w, uint8_t i, const struct ev *ev)
{
    struct gate *g = &w->nodes[i].gate;
    uint64_t boot = sim_boot_ms(w, i), life = w->actors[i].life;
    if (ev->kind == EV_EMIT) {
        uint64_t ticket = gate_ticket(g, boot);
        if (ticket)
            sim_push(w, w->now_ms + rng_between(&w->rng, 2, 400), EV_DOT, i, (uint32_t)life,
                     (struct ev){ .ticket = ticket });
        sim_push(w, w->now_ms + rng_between(&w->rng, 700, 1500), EV_EMIT, i, (uint32_t)life,
                 (struct ev){ 0 });
    } else if (ev->kind == EV_DOT) {
        if (!gate_dot_begin(g, ev->ticket, boot)) return;
        w->emitted++;
        w->nodes[i].emitted++;
        check_gates(w, i);
        sim_push(w, w->now_ms + rng_between(&w->rng, 5, 900), EV_SENT, i, (uint32_t)life, (struct ev){ 0 });
    } else {
        gate_dot_end(g);
    }
}

void node_event(struct sim *w, uint8_t i, const struct ev *ev)
{
    switch (ev->kind) {
    case EV_TICK:
        if (w->actors[i].tick_ms != ev->at_ms && w->actors[i].tick_ms > w->now_ms)
            return; /* an earlier one was set */
        node_facts(w, i);
        node_feed(w, i, &(struct agent_event){ .kind = AGENT_EV_TICK });
        break;
    case EV_MSG: node_msg(w, i, ev->msg); break;
    case EV_LOOP: mail_loop(w, i); break;
    case EV_DIAL: sim_net_dialled(w, ev); break;
    case EV_POST:
        mail_post(w, i);
        if (w->now_ms < w->chaos_ms)
            sim_push(w, w->now_ms + rng_between(&w->rng, 500, 5000), EV_POST, i, w->actors[i].life,
                     (struct ev){ 0 });
        break;
    default: node_emit(w, i, ev); break;
    }
    check_gates(w, i);
    check_renewal(w, i);
}

/* ---- coordinator ---- */

static void coord_feed(struct sim *w, uint8_t c, struct fo_event *ev);

static void coord_tick_at(struct sim *w, uint8_t c)
{
    struct actor *a = &w->actors[FIRST_COORD + c];
    uint64_t due = failover_due_ms(w->coords[c].fo), boot = sim_boot_ms(w, FIRST_COORD + c);
    uint64_t at = w->now_ms + (due > boot ? due - boot : 1);
    if (a->tick_ms > w->now_ms && a->tick_ms <= at) return;
    a->tick_ms = at;
    sim_push(w, at, EV_TICK, FIRST_COORD + c, a->life, (struct ev){ 0 });
}

void coord_start(struct sim *w, uint8_t c)
{
    struct actor *a = &w->actors[FIRST_COORD + c];
    struct coord *k = &w->coords[c];
    struct fo_conf conf = w->fo_conf;
    snprintf(conf.me, sizeof conf.me, "coord%u", c);
    a->alive = true;
    a->paused = false;
    a->life++;
    a->tick_ms = 0;
    k->fo = failover_create(&conf, w->conf.trace ? &w->logs[FIRST_COORD + c] : NULL, rng_u64(&w->rng),
                            k->journal_epoch, sim_boot_ms(w, FIRST_COORD + c));
    k->policy = policy_create(&w->policy_conf, NULL);
    memset(k->marks, 0, sizeof k->marks);
    coord_tick_at(w, c);
    uint64_t poll = w->conf.calm ? 100 : rng_below(&w->rng, 2000);
    sim_push(w, w->now_ms + poll, EV_POLL, FIRST_COORD + c, a->life, (struct ev){ 0 });
}

void coord_stop(struct sim *w, uint8_t c)
{
    w->actors[FIRST_COORD + c].alive = false;
    failover_destroy(w->coords[c].fo);
    policy_destroy(w->coords[c].policy);
    w->coords[c] = (struct coord){ .journal_epoch = w->coords[c].journal_epoch };
}

static void coord_order(struct sim *w, uint8_t c, const struct fo_action *x)
{
    static const enum agent_order_kind kinds[] = {
        [FO_ORDER_FENCE] = AGENT_FENCE, [FO_ORDER_GRANT] = AGENT_GRANT, [FO_ORDER_HANDOFF] = AGENT_HANDOFF
    };
    struct msg *m = sim_msg(w, M_ORDER, FIRST_COORD + c, x->identity, 0);
    m->order = (struct agent_order){ .kind = kinds[x->order.kind],
                                     .identity = x->order.kind == FO_ORDER_HANDOFF ? x->order.to
                                                                                   : x->identity,
                                     .op = x->order.op,
                                     .epoch = x->order.epoch,
                                     .token = x->order.token,
                                     .term = x->order.term,
                                     .dns_pending = x->order.dns_pending };
    sim_send(w, m);
}

static void coord_act(struct sim *w, uint8_t c, const struct fo_action *x)
{
    uint8_t me = FIRST_COORD + c;
    struct msg *m;
    switch (x->kind) {
    case FO_DO_STORE:
        m = sim_msg(w, M_STORE, me, STORE, x->seq);
        m->req = x->req;
        sim_send(w, m);
        break;
    case FO_DO_ORDER: coord_order(w, c, x); break;
    case FO_DO_READ_TOKEN: sim_send(w, sim_msg(w, M_TOKEN, me, FIRST_SERVER, x->seq)); break;
    case FO_DO_PUBLISH:
        m = sim_msg(w, M_UPDATE, me, FIRST_SERVER, x->seq);
        m->expect = x->publish.expect;
        m->want = x->publish.want;
        sim_send(w, m);
        break;
    case FO_DO_VERIFY:
        m = sim_msg(w, M_VERIFIED, me, me, x->seq);
        servers_report(w, me, &m->verified);
        sim_local(w, m, rng_between(&w->rng, 1, 40));
        break;
    case FO_DO_JOURNAL: w->coords[c].journal_epoch = MAX(w->coords[c].journal_epoch, x->journal.epoch); break;
    case FO_DO_ANSWER:
        if (w->conf.calm) buf_putf(&w->story, "[%.1f] answer %s\n", (double)w->now_ms / 1000, x->answer.text);
        sim_say(w, "coord%u answers %d: %s", c, x->answer.result, x->answer.text);
        break;
    case FO_DO_POLL:
        sim_push(w, w->now_ms + 50, EV_POLL, me, w->actors[me].life, (struct ev){ .ticket = 1 });
        break;
    case FO_DO_FENCE_COMMAND:
    case FO_DO_NOTIFY: break;
    }
}

static void coord_feed(struct sim *w, uint8_t c, struct fo_event *ev)
{
    uint8_t me = FIRST_COORD + c;
    ev->now_ms = sim_boot_ms(w, me);
    ev->wall_ms = sim_wall_ms(w, me);
    failover_step(w->coords[c].fo, ev, &w->fo_out);
    for (size_t k = 0; k < w->fo_out.n; k++) coord_act(w, c, &w->fo_out.v[k]);
    coord_tick_at(w, c);
}

/* ---- blocklists, as one coordinator sees them ---- */

enum { ZONE_FINE, ZONE_ERRORS, ZONE_WORLD, ZONE_OUTSIDE, ZONE_EMPTY };

static void poll_zone(struct sim *w, struct policy *p, struct policy_event ev, uint8_t z)
{
    uint8_t mode = w->zone_mode[z];
    ev.zone = z;
    ev.kind = POLICY_EV_PROBE;
    ev.answered = mode != ZONE_ERRORS;
    ev.lists_2 = mode == ZONE_FINE || mode == ZONE_WORLD;
    ev.lists_1 = mode == ZONE_WORLD;
    ev.flipped = mode == ZONE_WORLD ? 3 : 0;
    policy_step(p, &ev);
    for (uint8_t i = 0; i < w->n_nodes; i++) {
        bool listed = mode == ZONE_WORLD || (mode != ZONE_EMPTY && w->listed[z][i]);
        if (listed && mode == ZONE_FINE) w->truly_listed_ms[i] = w->now_ms;
        for (uint8_t r = 0; r < RESOLVERS; r++) {
            struct policy_event a = {
                .kind = POLICY_EV_ANSWER, .now_ms = ev.now_ms, .identity = i, .zone = z, .resolver = r
            };
            bool error = mode == ZONE_ERRORS || mode == ZONE_OUTSIDE ||
                         (!w->conf.calm && rng_chance(&w->rng, 20000));
            a.answer = error ? POLICY_UNKNOWN : listed ? POLICY_LISTED : POLICY_CLEAN;
            a.outside = mode == ZONE_OUTSIDE;
            a.code = 2;
            a.ttl_ms = 1000;
            policy_step(p, &a);
        }
    }
}

static void coord_marks(struct sim *w, uint8_t c)
{
    struct coord *k = &w->coords[c];
    for (uint8_t i = 0; i < w->n_nodes; i++) {
        uint64_t mark = failover_quarantined_wall_ms(k->fo, i);
        if (mark == k->marks[i]) continue;
        k->marks[i] = mark;
        policy_step(k->policy, &(struct policy_event){ .kind = POLICY_EV_MARK,
                                                       .identity = i,
                                                       .quarantined_wall_ms = mark,
                                                       .now_ms = sim_boot_ms(w, FIRST_COORD + c) });
    }
}

static void coord_poll(struct sim *w, uint8_t c, bool extra)
{
    uint8_t me = FIRST_COORD + c;
    struct policy *p = w->coords[c].policy;
    struct policy_event ev = { .kind = POLICY_EV_ROUND, .now_ms = sim_boot_ms(w, me) };
    coord_marks(w, c);
    policy_step(p, &ev);
    for (uint8_t z = 0; z < ZONES; z++) poll_zone(w, p, ev, z);
    ev.kind = POLICY_EV_ROUND_END;
    policy_step(p, &ev);
    for (uint8_t i = 0; i < w->n_nodes; i++) {
        struct policy_verdict v;
        policy_verdict(p, i, ev.now_ms, &v);
        coord_feed(w, c, &(struct fo_event){ .kind = FO_EV_VERDICT, .identity = i, .verdict = &v });
    }
    uint64_t next = policy_next_round_ms(p);
    if (!extra)
        sim_push(w, w->now_ms + (next > ev.now_ms ? next - ev.now_ms : 1000), EV_POLL, me, w->actors[me].life,
                 (struct ev){ 0 });
}

void coord_order_by(struct sim *w, uint8_t c, const struct fo_command *cmd)
{
    sim_say(w, "operator to coord%u: command %d to id%u", c, cmd->kind, cmd->to);
    coord_feed(w, c, &(struct fo_event){ .kind = FO_EV_COMMAND, .command = cmd });
}

void coord_command(struct sim *w, uint8_t c, uint8_t way, uint8_t to)
{
    static const enum fo_command_kind kinds[] = { FO_CMD_SWITCHOVER, FO_CMD_SWITCHOVER, FO_CMD_SWITCHOVER,
                                                  FO_CMD_FAILOVER,   FO_CMD_FENCE,      FO_CMD_PAUSE,
                                                  FO_CMD_PIN };
    if (!w->actors[FIRST_COORD + c].alive || w->actors[FIRST_COORD + c].paused) return;
    struct fo_command cmd = {
        .id = 1 + rng_below(&w->rng, 1000), .kind = kinds[way % ARRAY_LEN(kinds)], .to = to, .by = "sim"
    };
    if (way == UINT8_MAX) cmd.kind = FO_CMD_RESUME;
    if (cmd.kind == FO_CMD_PIN) cmd.until_wall_ms = sim_wall_ms(w, FIRST_COORD + c) + SECONDS(40);
    coord_order_by(w, c, &cmd);
}

static void coord_msg(struct sim *w, uint8_t c, const struct msg *m)
{
    struct fo_event ev = { .seq = m->seq, .identity = m->from };
    switch (m->kind) {
    case M_STORE_REPLY:
        ev.kind = FO_EV_STORE;
        ev.reply = &m->reply;
        break;
    case M_REPORT:
        ev.kind = FO_EV_NODE;
        ev.beat = &m->beat;
        break;
    case M_ACK:
        ev.kind = FO_EV_ACK;
        ev.ack = &m->ack;
        break;
    case M_TOKEN_REPLY:
        ev.kind = FO_EV_TOKEN;
        ev.reachable = m->reachable;
        ev.token = m->token;
        break;
    case M_UPDATE_REPLY:
        ev.kind = FO_EV_PUBLISHED;
        ev.published = m->published;
        break;
    case M_VERIFIED:
        ev.kind = FO_EV_VERIFIED;
        ev.verified = &m->verified;
        break;
    default: return;
    }
    coord_feed(w, c, &ev);
}

void coord_event(struct sim *w, uint8_t c, const struct ev *ev)
{
    struct actor *a = &w->actors[FIRST_COORD + c];
    switch (ev->kind) {
    case EV_TICK:
        if (a->tick_ms != ev->at_ms && a->tick_ms > w->now_ms) return;
        coord_feed(w, c, &(struct fo_event){ .kind = FO_EV_TICK });
        break;
    case EV_MSG: coord_msg(w, c, ev->msg); break;
    case EV_POLL: coord_poll(w, c, ev->ticket != 0); break;
    default: break;
    }
}
