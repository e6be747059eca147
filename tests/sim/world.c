/* The store's servers and the name servers of the simulated cluster. */
#include "tests/sim/sim.h"

/* ---- the store ---- */

static void snapshot(struct sim *w)
{
    w->snapshot_at = (w->snapshot_at + 1) % SNAPSHOTS;
    w->snapshots[w->snapshot_at] = w->store;
    w->snapshot_ms[w->snapshot_at] = w->now_ms;
    if (w->n_snapshots < SNAPSHOTS) w->n_snapshots++;
    sim_push(w, w->now_ms + 800, EV_SNAP, STORE, 0, (struct ev){ 0 });
}

void store_event(struct sim *w, const struct ev *ev)
{
    if (ev->kind == EV_SNAP) {
        snapshot(w);
        return;
    }
    const struct msg *q = ev->msg;
    bool old = w->actors[q->from].side == 0 && w->old_store_lives;
    if (old && w->now_ms >= w->old_store_until_ms)
        return; /* no replica answers it: it refuses to write, then is gone */
    if (!old && w->store_down) return;
    struct store_model *m = old ? &w->old_store : &w->store;
    struct msg *r = sim_msg(w, M_STORE_REPLY, STORE, q->from, q->seq);
    store_model_apply(m, &q->req, w->now_ms, &r->reply);
    check_store(w, m, &q->req, &r->reply);
    if (r->reply.view) {
        r->view = *r->reply.view;
        r->reply.view = &r->view;
    }
    sim_send(w, r);
}

/* ---- DNS ---- */

static bool token_eq(const struct fo_token *a, const struct fo_token *b)
{
    if (!a->present || !b->present) return a->present == b->present;
    return a->epoch == b->epoch && a->identity == b->identity && a->serial == b->serial;
}

static void serve(struct sim *w, struct server *s, const struct fo_token *t)
{
    for (uint8_t i = 0; i < w->n_nodes; i++) {
        bool in = t->spf_set & BIT(i);
        /* The very first record has no old answers to outlive. */
        s->in_since_ms[i] = !in                 ? 0
                            : s->in_since_ms[i] ? s->in_since_ms[i]
                            : s->token.present  ? w->now_ms
                                                : 1;
    }
    s->token = *t;
}

static void schedule_transfers(struct sim *w)
{
    for (uint8_t s = 1; s < w->n_servers; s++) {
        uint64_t lag = rng_below(&w->rng, 4) ? rng_between(&w->rng, 5, 300) : rng_between(&w->rng, 500, 9000);
        sim_push(w, w->now_ms + lag, EV_XFER, FIRST_SERVER + s, 0, (struct ev){ 0 });
    }
}

static void on_update(struct sim *w, const struct msg *q)
{
    struct server *s = &w->servers[0];
    struct msg *r = sim_msg(w, M_UPDATE_REPLY, FIRST_SERVER, q->from, q->seq);
    if (w->dns_lies) {
        r->published = FO_PUB_APPLIED;
    } else if (!token_eq(&s->token, &q->expect) && !MUTANT(NO_PREREQUISITE)) {
        r->published = FO_PUB_CONFLICT;
    } else {
        check_update(w, &s->token, &q->want);
        serve(w, s, &q->want);
        schedule_transfers(w);
        r->published = FO_PUB_APPLIED;
    }
    sim_send(w, r);
}

void server_event(struct sim *w, uint8_t s, const struct ev *ev)
{
    if (ev->kind == EV_XFER) {
        if (w->cut[FIRST_SERVER][FIRST_SERVER + s] || !w->actors[FIRST_SERVER].alive)
            sim_push(w, w->now_ms + 2000, EV_XFER, FIRST_SERVER + s, 0, (struct ev){ 0 });
        else
            serve(w, &w->servers[s], &w->servers[0].token);
        return;
    }
    const struct msg *q = ev->msg;
    if (q->kind == M_UPDATE) {
        on_update(w, q);
        return;
    }
    struct msg *r = sim_msg(w, M_TOKEN_REPLY, FIRST_SERVER + s, q->from, q->seq);
    r->token = w->servers[s].token;
    sim_send(w, r);
}

static bool answers(const struct sim *w, uint8_t asker, uint8_t s)
{
    uint8_t at = FIRST_SERVER + s;
    return w->actors[at].alive && !w->cut[asker][at] && !w->cut[at][asker];
}

void servers_report(struct sim *w, uint8_t asker, struct fo_verified *out)
{
    *out = (struct fo_verified){ .n = w->n_servers };
    for (uint8_t s = 0; s < w->n_servers; s++) {
        const struct fo_token *t = &w->servers[s].token;
        if (!answers(w, asker, s) || rng_chance(&w->rng, w->loss_ppm))
            out->v[s] = (struct fo_server){ .state = FO_SERVER_SILENT };
        else if (!t->present)
            out->v[s] = (struct fo_server){ .state = FO_SERVER_BOGUS };
        else
            out->v[s] = (struct fo_server){ .state = FO_SERVER_OK,
                                            .pass_set = t->spf_set,
                                            .epoch = t->epoch,
                                            .ttl_ms = w->fo_conf.spf_ttl_ms };
    }
}
