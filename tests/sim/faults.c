/* Misfortune: drawn when the life begins, so that one seed is one story; healed when the chaos is over. */
#include "tests/sim/sim.h"

static uint8_t some_process(struct sim *w)
{
    uint64_t k = rng_below(&w->rng, w->n_nodes + w->n_coords);
    return (uint8_t)(k < w->n_nodes ? k : FIRST_COORD + k - w->n_nodes);
}

static uint8_t some_actor(struct sim *w)
{
    uint64_t k = rng_below(&w->rng, w->n_nodes + w->n_coords + 3);
    if (k < w->n_nodes) return (uint8_t)k;
    if (k < (uint64_t)w->n_nodes + w->n_coords) return (uint8_t)(FIRST_COORD + k - w->n_nodes);
    return k == (uint64_t)w->n_nodes + w->n_coords ? FIRST_SERVER : STORE;
}

void faults_plan(struct sim *w)
{
    struct rng *r = &w->rng;
    static const uint32_t rates[] = { 0, 0, 1000, 10000, 50000 };
    w->loss_ppm = rates[rng_below(r, 5)];
    w->dup_ppm = rates[rng_below(r, 5)];
    w->slow_ppm = rates[rng_below(r, 5)];
    w->n_episodes = (size_t)rng_between(r, 2, rng_below(r, 3) ? 10 : EPISODES_MAX);
    for (size_t i = 0; i < w->n_episodes; i++) {
        struct episode *e = &w->episodes[i];
        do e->fault = (enum fault)rng_below(r, FAULTS);
        while (w->conf.faults && !(w->conf.faults & BIT(e->fault)));
        e->from_ms = rng_between(r, SECONDS(5), w->chaos_ms - SECONDS(5));
        e->to_ms = e->from_ms + (rng_below(r, 3) ? rng_between(r, 200, SECONDS(12))
                                                 : rng_between(r, SECONDS(10), SECONDS(70)));
        e->a = e->fault == FAULT_CRASH || e->fault == FAULT_PAUSE ? some_process(w) : some_actor(w);
        if (e->fault == FAULT_LISTED || e->fault == FAULT_SICK || e->fault == FAULT_DISK ||
            e->fault == FAULT_COMMAND)
            e->a = (uint8_t)rng_below(r, w->n_nodes);
        do e->b = some_actor(w);
        while (e->fault == FAULT_CUT && e->b == e->a);
        e->way = (uint8_t)rng_below(r, 60);
        if (e->fault == FAULT_LISTED) e->to_ms = e->from_ms + rng_between(r, SECONDS(3), SECONDS(80));
        sim_push(w, e->from_ms, EV_FAULT, STORE, 0, (struct ev){ .episode = i });
        sim_push(w, e->to_ms, EV_FAULT, STORE, 0, (struct ev){ .episode = i });
    }
}

static void cut(struct sim *w, const struct episode *e, bool on)
{
    uint8_t *ab = &w->cut[e->a][e->b], *ba = &w->cut[e->b][e->a];
    int step = on ? 1 : -1;
    if (e->way % 3 != 1) *ab = (uint8_t)(*ab + step);
    if (e->way % 3 != 2) *ba = (uint8_t)(*ba + step);
}

static void isolate(struct sim *w, const struct episode *e, bool on)
{
    for (uint8_t i = 0; i < ACTORS; i++) {
        if (i == e->a) continue;
        w->cut[e->a][i] = (uint8_t)(w->cut[e->a][i] + (on ? 1 : -1));
        w->cut[i][e->a] = (uint8_t)(w->cut[i][e->a] + (on ? 1 : -1));
    }
}

static void crash(struct sim *w, uint8_t a, bool on)
{
    bool node = a < FIRST_COORD;
    if (on == w->actors[a].alive) {
        if (on && node)
            node_stop(w, a);
        else if (on)
            coord_stop(w, (uint8_t)(a - FIRST_COORD));
        else if (node)
            node_start(w, a);
        else
            coord_start(w, (uint8_t)(a - FIRST_COORD));
    }
}

static void pause_actor(struct sim *w, const struct episode *e)
{
    struct actor *a = &w->actors[e->a];
    if (!a->alive || a->paused) return;
    a->paused = true;
    a->resume_ms = e->to_ms;
    sim_push(w, e->to_ms, EV_RESUME, e->a, a->life, (struct ev){ 0 });
}

/* A replica takes over with what it had. The old server lives on for whoever is still connected, and takes writes until
 * it has missed its replica for min-replicas-max-lag (10 s). */
static void swap_store(struct sim *w, const struct episode *e)
{
    if (!w->n_snapshots || w->store_down) return;
    size_t back = e->way % MIN(w->n_snapshots, (size_t)(SNAPSHOTS - 1));
    size_t at = (w->snapshot_at + SNAPSHOTS - back) % SNAPSHOTS;
    w->old_store = w->store;
    w->old_store_lives = true;
    w->old_store_until_ms = w->snapshot_ms[at] + SECONDS(10);
    store_model_fail_over(&w->store, &w->snapshots[at], ++w->runs);
    w->n_snapshots = 0;
    w->lost_data = true;
    sim_say(w, "store another server takes over, %zu snapshots back: epoch=%" PRIu64 " state=%s", back,
            w->store.v.epoch, store_egress_name(w->store.v.egress.state));
    for (uint8_t i = 0; i < STORE; i++) w->actors[i].side = rng_below(&w->rng, 3) ? 1 : 0;
}

static void restart_store(struct sim *w, const struct episode *e)
{
    struct store_model empty;
    if (e->way == 0) { /* flushed, or started without its data */
        store_model_init(&empty, ++w->runs, w->fo_conf.coord_lease_ms);
        w->store = empty;
        w->n_snapshots = 0;
        w->lost_data = true;
        sim_say(w, "store lost everything");
        return;
    }
    w->store.run = ++w->runs;
}

static void zone_fault(struct sim *w, const struct episode *e, bool on)
{
    w->zone_mode[e->b % ZONES] = on ? (uint8_t)(1 + e->way % 4) : 0;
}

static void command(struct sim *w, const struct episode *e, bool on)
{
    if (on)
        for (uint8_t c = 0; c < w->n_coords; c++) coord_command(w, c, e->way, e->a);
    else if (e->way % 7 == 5)
        for (uint8_t c = 0; c < w->n_coords; c++) coord_command(w, c, UINT8_MAX, 0);
    if (on && e->way % 7 == 3)
        w->risky = true; /* failover --force skips what I3 asks for quality, not for safety */
}

static void wall_jump(struct sim *w, const struct episode *e, bool on)
{
    int64_t by = e->way % 2 ? 3600000 : -3600000;
    w->actors[e->a].wall_offset_ms += on ? by : -by;
    w->wall_jumped = true;
}

static void apply(struct sim *w, const struct episode *e, bool on)
{
    static const char *const names[] = SIM_FAULT_NAMES;
    _Static_assert(ARRAY_LEN(names) == FAULTS, "one name per fault");
    char a[16], b[16];
    sim_say(w, "fault %s %s %s %s way=%u", names[e->fault], on ? "begins" : "ends",
            sim_actor_name(w, e->a, a), sim_actor_name(w, e->b, b), e->way);
    uint8_t s = FIRST_SERVER + e->b % w->n_servers;
    switch (e->fault) {
    case FAULT_CRASH: crash(w, e->a, on); break;
    case FAULT_PAUSE:
        if (on) pause_actor(w, e);
        break;
    case FAULT_CUT: cut(w, e, on); break;
    case FAULT_ISOLATE: isolate(w, e, on); break;
    case FAULT_STORE_DOWN: w->store_down = on; break;
    case FAULT_STORE_SWAP:
        if (on)
            swap_store(w, e);
        else
            for (uint8_t i = 0; i < STORE; i++) w->actors[i].side = 1;
        break;
    case FAULT_STORE_RESTART:
        if (on) restart_store(w, e);
        break;
    case FAULT_DNS_DOWN: w->actors[s].alive = !on; break;
    case FAULT_DNS_LIES: w->dns_lies = on; break;
    case FAULT_LISTED: w->listed[e->way % ZONES][e->a] = on; break;
    case FAULT_ZONE: zone_fault(w, e, on); break;
    case FAULT_WALL: wall_jump(w, e, on); break;
    case FAULT_SICK: w->nodes[e->a].sick = on; break;
    case FAULT_DISK: w->nodes[e->a].disk_full = on; break;
    case FAULT_COMMAND: command(w, e, on); break;
    case FAULT_LOSSY:
        w->loss_ppm = on ? 300000 : 1000;
        w->slow_ppm = on ? 200000 : 1000;
        break;
    case FAULTS: break;
    }
}

/* Half of the trouble goes to where it hurts: whoever sends, whoever leads. */
static void aim(struct sim *w, struct episode *e)
{
    bool any = e->fault == FAULT_CRASH || e->fault == FAULT_PAUSE || e->fault == FAULT_CUT ||
               e->fault == FAULT_ISOLATE;
    bool node = any || e->fault == FAULT_LISTED || e->fault == FAULT_SICK || e->fault == FAULT_WALL;
    if (node && e->way % 4 < 2 && w->last_active < w->n_nodes) e->a = w->last_active;
    if (any && e->way % 4 == 2)
        for (uint8_t c = 0; c < w->n_coords; c++)
            if (w->actors[FIRST_COORD + c].alive &&
                failover_leads(w->coords[c].fo, sim_boot_ms(w, FIRST_COORD + c)))
                e->a = FIRST_COORD + c;
    while (e->b == e->a) e->b = some_actor(w);
}

void faults_event(struct sim *w, const struct ev *ev)
{
    struct episode *e = &w->episodes[ev->episode];
    if (!e->begun && w->now_ms >= w->chaos_ms) return;
    bool on = !e->begun && ev->at_ms < e->to_ms;
    if (!on && !e->begun) return;
    if (on) aim(w, e);
    e->begun = on;
    apply(w, e, on);
    if (!on) e->from_ms = e->to_ms = 0;
}

/* Everything works again from here on; what is still listed stays listed, and a pause by the operator is lifted. */
void faults_heal(struct sim *w)
{
    sim_say(w, "all faults end");
    for (size_t i = 0; i < w->n_episodes; i++) {
        struct episode *e = &w->episodes[i];
        if (!e->begun) continue;
        e->begun = false;
        if (e->fault == FAULT_PAUSE && w->actors[e->a].paused) {
            w->actors[e->a].resume_ms = w->now_ms;
            w->actors[e->a].paused = false;
        }
        apply(w, e, false);
    }
    w->loss_ppm = w->dup_ppm = w->slow_ppm = 0;
    w->old_store_lives = false;
    for (uint8_t c = 0; c < w->n_coords; c++) coord_command(w, c, UINT8_MAX, 0);
}

/* ---- by hand, for tests ---- */

void sim_list(struct sim *w, uint8_t node, uint8_t zone, bool on)
{
    w->listed[zone][node] = on;
}

void sim_crash(struct sim *w, uint8_t actor)
{
    if (w->actors[actor].alive) crash(w, actor, true);
}

void sim_start(struct sim *w, uint8_t actor)
{
    if (!w->actors[actor].alive) crash(w, actor, false);
}

void sim_pause(struct sim *w, uint8_t actor, uint64_t ms)
{
    pause_actor(w, &(struct episode){ .a = actor, .to_ms = w->now_ms + ms });
}

void sim_cut(struct sim *w, uint8_t a, uint8_t b, bool on)
{
    cut(w, &(struct episode){ .a = a, .b = b }, on);
}

void sim_store_swap(struct sim *w, size_t back)
{
    swap_store(w, &(struct episode){ .way = (uint8_t)back });
    for (uint8_t i = 0; i < STORE; i++) w->actors[i].side = 1;
}

uint8_t sim_leader(const struct sim *w)
{
    for (uint8_t c = 0; c < w->n_coords; c++)
        if (w->actors[FIRST_COORD + c].alive &&
            failover_leads(w->coords[c].fo, sim_boot_ms(w, FIRST_COORD + c)))
            return c;
    return STORE_NONE;
}

uint8_t sim_sender(const struct sim *w)
{
    for (uint8_t i = 0; i < w->n_nodes; i++)
        if (w->actors[i].alive && gate_may_send(&w->nodes[i].gate, sim_boot_ms(w, i))) return i;
    return STORE_NONE;
}
