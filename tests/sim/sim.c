#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum mutation mutation_now;

/* ---- the heap of events ---- */

static bool before(const struct ev *a, const struct ev *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void sim_push(struct sim *w, uint64_t at_ms, enum ev_kind kind, uint8_t actor, uint32_t life, struct ev ev)
{
    if (w->n_heap == w->cap_heap) {
        w->cap_heap = MAX(2 * w->cap_heap, (size_t)256);
        w->heap = xrealloc(w->heap, w->cap_heap * sizeof *w->heap);
    }
    ev.at_ms = MAX(at_ms, w->now_ms);
    ev.order = ++w->order;
    ev.kind = kind;
    ev.actor = actor;
    ev.life = life;
    size_t i = w->n_heap++;
    for (; i && before(&ev, &w->heap[(i - 1) / 2]); i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = ev;
}

static struct ev pop(struct sim *w)
{
    struct ev top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= w->n_heap) break;
        if (kid + 1 < w->n_heap && before(&w->heap[kid + 1], &w->heap[kid])) kid++;
        if (!before(&w->heap[kid], &last)) break;
        w->heap[i] = w->heap[kid];
        i = kid;
    }
    if (w->n_heap) w->heap[i] = last;
    return top;
}

/* ---- clocks, names, words ---- */

uint64_t sim_boot_ms(const struct sim *w, uint8_t actor)
{
    const struct actor *a = &w->actors[actor];
    return a->boot_base_ms + (uint64_t)((int64_t)w->now_ms + (int64_t)w->now_ms * a->drift_ppm / 1000000);
}

uint64_t sim_wall_ms(const struct sim *w, uint8_t actor)
{
    return UINT64_C(1750000000000) + (uint64_t)((int64_t)w->now_ms + w->actors[actor].wall_offset_ms);
}

const char *sim_actor_name(const struct sim *w, uint8_t a, char out[static 16])
{
    if (a < FIRST_COORD)
        snprintf(out, 16, "node%u", a);
    else if (a < STORE)
        snprintf(out, 16, "coord%u", a - FIRST_COORD);
    else if (a == STORE)
        snprintf(out, 16, "store");
    else
        snprintf(out, 16, "ns%u", a - FIRST_SERVER);
    return out;
}

void sim_say(struct sim *w, const char *fmt, ...)
{
    if (!w->conf.trace) return;
    char line[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (buf_len(&w->trace) > MIB(4)) buf_consume(&w->trace, MIB(2));
    buf_putf(&w->trace, "[%.3f] %s\n", (double)w->now_ms / 1000, line);
}

/* Lines that tell the story: decisions and gates; everything else is for --trace. */
static bool tells(struct slice text)
{
    return slice_starts(text, SLICE("failover.state")) ||
           slice_starts(text, SLICE("failover.store_changed")) ||
           slice_starts(text, SLICE("failover.fenced")) || slice_starts(text, SLICE("agent.grant_refused"));
}

static void log_line(void *owner, enum log_level level, struct slice line)
{
    struct log_owner *o = owner;
    struct sim *w = o->w;
    char who[16];
    struct slice text = slice_skip(line, 6); /* the level and its padding */
    sim_actor_name(w, o->actor, who);
    if (tells(text)) buf_putf(&w->story, "[%.1f] %s %.*s\n", (double)w->now_ms / 1000, who, SLICE_ARG(text));
    if (buf_len(&w->trace) > MIB(4)) buf_consume(&w->trace, MIB(2));
    buf_putf(&w->trace, "[%.3f] %s %.*s\n", (double)w->now_ms / 1000, who, SLICE_ARG(text));
}

void sim_violation(struct sim *w, const char *fmt, ...)
{
    if (w->violation[0]) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->violation, sizeof w->violation, fmt, ap);
    va_end(ap);
    sim_say(w, "VIOLATION %s", w->violation);
}

/* ---- messages ---- */

struct msg *sim_msg(struct sim *w, enum msg_kind kind, uint8_t from, uint8_t to, uint32_t seq)
{
    struct msg *m = w->free_msgs;
    if (m)
        w->free_msgs = m->next_free;
    else
        m = xzalloc(sizeof *m);
    m->kind = kind;
    m->from = from;
    m->to = to;
    m->seq = seq;
    m->reachable = true;
    return m;
}

static void free_msg(struct sim *w, struct msg *m)
{
    m->next_free = w->free_msgs;
    w->free_msgs = m;
}

static uint64_t travel_ms(struct sim *w)
{
    if (w->conf.calm) return 1;
    if (rng_chance(&w->rng, w->slow_ppm)) return rng_between(&w->rng, 200, 6000);
    return rng_between(&w->rng, 0, 4);
}

void sim_send(struct sim *w, struct msg *m)
{
    bool struck = w->strike.left && m->from == w->strike.from && --w->strike.left == 0;
    if (struck && !w->strike.lose) w->strike.victim = m->from + 1;
    bool lost = w->cut[m->from][m->to] || rng_chance(&w->rng, w->loss_ppm) || (struck && w->strike.lose);
    if (!lost && rng_chance(&w->rng, w->dup_ppm)) {
        struct msg *twin = sim_msg(w, m->kind, m->from, m->to, m->seq);
        *twin = *m;
        if (twin->kind == M_STORE_REPLY && twin->reply.view) twin->reply.view = &twin->view;
        sim_push(w, w->now_ms + travel_ms(w) + rng_below(&w->rng, 3000), EV_MSG, m->to, 0,
                 (struct ev){ .msg = twin });
    }
    if (lost) {
        free_msg(w, m);
        return;
    }
    sim_push(w, w->now_ms + travel_ms(w), EV_MSG, m->to, 0, (struct ev){ .msg = m });
}

void sim_local(struct sim *w, struct msg *m, uint64_t in_ms)
{
    sim_push(w, w->now_ms + in_ms, EV_MSG, m->to, w->actors[m->to].life, (struct ev){ .msg = m });
}

/* ---- the run ---- */

static void dispatch(struct sim *w, const struct ev *ev)
{
    struct actor *a = &w->actors[ev->actor];
    if (ev->kind == EV_FAULT) {
        faults_event(w, ev);
        return;
    }
    if (ev->kind == EV_NET) {
        sim_net_event(w, ev);
        return;
    }
    if (ev->kind == EV_RESUME) {
        if (ev->life == a->life) a->paused = false;
        return;
    }
    bool current = a->alive && (!ev->life || ev->life == a->life);
    if (current && a->paused) { /* it sees nothing now and everything afterwards */
        sim_push(w, a->resume_ms + 1, ev->kind, ev->actor, ev->life, *ev);
        return;
    }
    if (current) {
        if (ev->actor < FIRST_COORD)
            node_event(w, ev->actor, ev);
        else if (ev->actor < STORE)
            coord_event(w, ev->actor - FIRST_COORD, ev);
        else if (ev->actor == STORE)
            store_event(w, ev);
        else
            server_event(w, ev->actor - FIRST_SERVER, ev);
    }
    if (ev->kind == EV_MSG) free_msg(w, ev->msg);
}

void sim_run_until(struct sim *w, uint64_t ms)
{
    while (w->n_heap && w->heap[0].at_ms <= ms && !w->violation[0]) {
        struct ev ev = pop(w);
        w->now_ms = ev.at_ms;
        w->events++;
        dispatch(w, &ev);
        if (w->strike.victim) sim_crash(w, w->strike.victim - 1);
        w->strike.victim = 0;
    }
    w->now_ms = MAX(w->now_ms, ms);
}

const char *sim_story(struct sim *w)
{
    buf_clear(&w->trace);
    buf_put(&w->trace, buf_slice(&w->story));
    buf_clear(&w->story);
    return buf_cstr(&w->trace);
}

void sim_run(struct sim *w)
{
    bool healed = false;
    while (w->n_heap && !w->violation[0]) {
        struct ev ev = pop(w);
        if (ev.at_ms > w->end_ms) {
            if (ev.kind == EV_MSG) free_msg(w, ev.msg);
            break;
        }
        w->now_ms = ev.at_ms;
        if (!healed && w->now_ms >= w->chaos_ms) {
            healed = true;
            faults_heal(w);
        }
        w->events++;
        dispatch(w, &ev);
    }
    if (!w->violation[0]) check_end(w);
}

/* ---- life ---- */

static void configure(struct sim *w)
{
    struct fo_conf *f = &w->fo_conf;
    failover_conf_default(f);
    f->n = w->n_nodes;
    f->exclusive = w->exclusive;
    f->confirm_limit_ms = SECONDS(40);
    f->verify_limit_ms = SECONDS(30);
    f->grant_limit_ms = SECONDS(25);
    f->cooldown_ms = SECONDS(8);
    f->verify_gap_ms = SECONDS(1);
    f->spf_check_ms = SECONDS(10);
    f->spf_fresh_ms = SECONDS(120);
    f->spf_ttl_ms = SECONDS(12);
    f->grace_ms = SECONDS(25);
    f->dns_timeout_ms = SECONDS(2);
    f->dwell_ms = SECONDS(50);
    f->egress_down_ms = SECONDS(15);
    f->daily_cap = w->conf.calm ? 2 : (uint32_t)rng_between(&w->rng, 2, 6);
    f->both_listed = w->conf.calm ? FO_BOTH_STAY : (enum fo_both_listed)rng_below(&w->rng, 3);
    struct policy_conf *p = &w->policy_conf;
    policy_conf_default(p);
    p->n_identities = w->n_nodes;
    p->n_zones = ZONES;
    p->n_resolvers = RESOLVERS;
    p->poll_ms = SECONDS(12);
    p->confirm_ms = SECONDS(4);
    p->watch_ms = SECONDS(8);
    p->probe_span_ms = SECONDS(40);
    p->probe_fresh_ms = SECONDS(30);
    p->keep_ms = SECONDS(60);
    p->clean_for_ms = SECONDS(30);
    p->clean_polls = 3;
    for (int z = 0; z < ZONES; z++) {
        snprintf(p->zones[z].name, sizeof p->zones[z].name, "list%d.example", z);
        p->zones[z].weight = z == 0 ? 5 : 3;
    }
    agent_conf_default(&w->agent_conf);
    for (uint8_t i = 0; i < w->n_nodes; i++) {
        snprintf(f->ids[i].name, sizeof f->ids[i].name, "id%u", i);
        snprintf(f->ids[i].node, sizeof f->ids[i].node, "node%u", i);
    }
}

static void set_clocks(struct sim *w)
{
    for (int i = 0; i < ACTORS; i++) {
        struct actor *a = &w->actors[i];
        a->boot_base_ms = rng_between(&w->rng, 100000, 10000000);
        a->drift_ppm = w->conf.calm ? 0 : (int64_t)rng_below(&w->rng, 9001) - 4500;
        a->wall_offset_ms = w->conf.calm ? 0 : (int64_t)rng_below(&w->rng, 4001) - 2000;
        a->life = 1;
        a->side = 1;
        a->alive = i >= STORE;
        w->log_owners[i] = (struct log_owner){ w, (uint8_t)i };
        w->logs[i] = (struct log){ .write = log_line, .owner = &w->log_owners[i], .min = LOG_DEBUG };
    }
}

struct sim *sim_create(const struct sim_conf *conf)
{
    struct sim *w = xzalloc(sizeof *w);
    w->conf = *conf;
    rng_init_seed(&w->rng, conf->seed * UINT64_C(0x9e3779b97f4a7c15) + 1);
    w->now_ms = 1000;
    uint64_t dice = rng_below(&w->rng, 10);
    w->n_nodes = conf->nodes ? conf->nodes
                             : (uint8_t)(dice < 6   ? 2
                                         : dice < 9 ? 3
                                                    : 2 + rng_below(&w->rng, 4));
    w->n_coords = conf->coords ? conf->coords : (uint8_t)rng_between(&w->rng, 1, 3);
    w->n_servers = (uint8_t)rng_between(&w->rng, 1, SERVERS_MAX);
    w->exclusive = rng_below(&w->rng, 3) == 0;
    if (conf->calm) w->exclusive = conf->exclusive, w->n_servers = 2;
    w->last_active = w->max_epoch_identity = STORE_NONE;
    buf_init(&w->trace, MIB(8));
    buf_init(&w->story, MIB(8));
    configure(w);
    set_clocks(w);
    store_model_init(&w->store, ++w->runs, w->fo_conf.coord_lease_ms);
    if (conf->mail || (!conf->calm && rng_below(&w->rng, 8) == 0)) mail_create(w);
    for (uint8_t i = 0; i < w->n_nodes; i++) node_start(w, i);
    for (uint8_t c = 0; c < w->n_coords; c++) coord_start(w, c);
    sim_push(w, w->now_ms + 500, EV_SNAP, STORE, 0, (struct ev){ 0 });
    w->chaos_ms = SECONDS(150);
    w->end_ms = w->chaos_ms + SECONDS(120);
    if (!conf->calm) faults_plan(w);
    return w;
}

void sim_destroy(struct sim *w)
{
    mail_destroy(w);
    for (uint8_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].agent) node_stop(w, i);
    for (uint8_t c = 0; c < w->n_coords; c++)
        if (w->coords[c].fo) coord_stop(w, c);
    for (size_t i = 0; i < w->n_heap; i++)
        if (w->heap[i].kind == EV_MSG) free_msg(w, w->heap[i].msg);
    while (w->free_msgs) {
        struct msg *m = w->free_msgs;
        w->free_msgs = m->next_free;
        free(m);
    }
    buf_deinit(&w->trace);
    buf_deinit(&w->story);
    sim_net_free(w);
    free(w->heap);
    free(w);
}
