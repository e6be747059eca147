#include "coordinator/monitor.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/timers.h"
#include "dns/name.h"

enum {
    ASK_LIMIT_MAX_MS = 5000,
    ASK_LIMIT_MIN_MS = 500,
    TICK_MAX_MS = 30000,
    JITTER_PERCENT = 20,
    SEEN_MAX = 512, /* refusals remembered, so that one that comes twice counts once */
    WHYS = DNSBL_WHY_FAMILY + 1
};

struct question { /* one cell of the matrix, while it is asked */
    struct monitor *monitor;
    struct dnsbl_op *op;
    uint8_t identity, zone, resolver;
};

struct test { /* the test points of one zone by one resolver, while they are asked */
    struct monitor *monitor;
    struct dnsbl_probe_op *op;
    uint8_t zone, resolver;
};

struct zone {
    uint64_t probed_ms;
    const char *why;
    /* of the round under way, over all resolvers: the worst of what was answered counts */
    bool answered, lists_1, lists_2;
    unsigned waiting;
    uint64_t errors[WHYS];
};

struct monitor {
    const struct env *env;
    struct monitor_conf conf;
    const struct monitor_events *ev;
    void *owner;
    struct policy *policy;
    uint8_t n_ids, n_zones;
    struct monitor_cell *cells;
    struct question *questions;
    struct test *tests;
    struct zone *zones;
    bool running, again;
    size_t waiting; /* questions and tests under way */
    uint64_t round_ms;
    struct timer next, tick;
    struct {
        uint64_t message, organisation;
    } seen[SEEN_MAX];
    size_t n_seen;
    uint64_t marks[STORE_IDENTITIES_MAX];
};

static void start_round(struct monitor *m);

static size_t cell_at(const struct monitor *m, uint8_t identity, uint8_t zone, uint8_t resolver)
{
    ASSERT(identity < m->n_ids && zone < m->n_zones && resolver < m->conf.n_resolvers);
    return ((size_t)identity * m->n_zones + zone) * m->conf.n_resolvers + resolver;
}

static void feed(struct monitor *m, struct policy_event *ev)
{
    ev->now_ms = timers_now_ms(m->env->timers);
    ev->wall_ms = timers_wall_ms(m->env->timers);
    policy_step(m->policy, ev);
}

/* ---- what follows an event ---- */

static void round_due(struct timer *t)
{
    start_round(t->owner);
}

/* Jitter only ever delays: polls that confirm a listing must be so and so far apart. */
static void plan(struct monitor *m)
{
    if (m->running || !m->n_zones) return;
    uint64_t now = timers_now_ms(m->env->timers), due = policy_next_round_ms(m->policy);
    uint64_t wait = due > now ? due - now : 0;
    uint64_t since = now - m->round_ms;
    uint64_t late = rng_below(m->env->rng, (wait + since) * JITTER_PERCENT / 100 + 1);
    timer_set_in(m->env->timers, &m->next, wait + late, round_due, m);
}

static void tell(struct monitor *m)
{
    struct policy_verdict v;
    for (uint8_t i = 0; i < m->n_ids; i++) {
        monitor_verdict(m, i, &v);
        m->ev->verdict(m->owner, i, &v);
    }
}

static void end_round(struct monitor *m)
{
    struct policy_event end = { .kind = POLICY_EV_ROUND_END };
    m->running = false;
    feed(m, &end);
    tell(m);
    if (m->again) {
        m->again = false;
        timer_set_in(m->env->timers, &m->next, 0, round_due, m);
    } else {
        plan(m);
    }
}

static void one_done(struct monitor *m)
{
    ASSERT(m->waiting > 0);
    if (--m->waiting == 0) end_round(m);
}

/* ---- the matrix ---- */

static void log_change(struct monitor *m, const struct question *q, const struct monitor_cell *was,
                       const struct dnsbl_verdict *v)
{
    if (was->at_ms ? was->state == v->state && was->why == v->why : v->state == DNSBL_CLEAN) return;
    const struct identity_conf *ids = m->conf.conf->cluster.identities.items;
    log_event(m->env->log, v->state == DNSBL_CLEAN ? LOG_INFO : LOG_WARN, "dnsbl.answer",
              LOG_KVS(kv_cstr("identity", ids[q->identity].name),
                      kv_cstr("zone", m->conf.conf->zones[q->zone].shown),
                      kv_cstr("state", dnsbl_state_name(v->state)), kv_cstr("why", dnsbl_why_name(v->why)),
                      kv_addr("code", &v->code), kv_addr("resolver", &m->conf.addrs[q->resolver]),
                      kv_cstr("text", v->text)));
}

static void answered(void *owner, const struct dnsbl_verdict *v)
{
    struct question *q = owner;
    struct monitor *m = q->monitor;
    struct monitor_cell *cell = &m->cells[cell_at(m, q->identity, q->zone, q->resolver)];
    q->op = NULL;
    log_change(m, q, cell, v);
    *cell = (struct monitor_cell){ .at_ms = timers_now_ms(m->env->timers),
                                   .state = v->state,
                                   .why = v->why,
                                   .code = v->code,
                                   .ttl_s = v->ttl_s };
    snprintf(cell->text, sizeof cell->text, "%.*s", (int)sizeof cell->text - 1, v->text);
    if (v->state == DNSBL_UNKNOWN) m->zones[q->zone].errors[v->why]++;
    struct policy_event ev = {
        .kind = POLICY_EV_ANSWER, .identity = q->identity, .zone = q->zone, .resolver = q->resolver
    };
    ev.answer = v->state == DNSBL_LISTED  ? POLICY_LISTED
                : v->state == DNSBL_CLEAN ? POLICY_CLEAN
                                          : POLICY_UNKNOWN;
    ev.code = v->code.family == ADDR_V4 ? v->code.ip[3] : 0;
    ev.outside = v->why == DNSBL_WHY_OUTSIDE_127;
    ev.ttl_ms = SECONDS(v->ttl_s);
    feed(m, &ev);
    one_done(m);
}

/* Usable: the zone said something about the point, be it listed or not. */
static bool usable(const struct dnsbl_verdict *v)
{
    return v->state != DNSBL_UNKNOWN || v->why == DNSBL_WHY_UNKNOWN_CODE;
}

static void tested(void *owner, const struct dnsbl_probe *p)
{
    struct test *t = owner;
    struct monitor *m = t->monitor;
    struct zone *z = &m->zones[t->zone];
    t->op = NULL;
    bool usable_here = usable(&p->listed) && usable(&p->clean);
    bool has_2 = p->listed.state == DNSBL_LISTED || p->listed.policy ||
                 p->listed.why == DNSBL_WHY_UNKNOWN_CODE;
    bool has_1 = p->clean.state == DNSBL_LISTED || p->clean.why == DNSBL_WHY_OUTSIDE_127;
    if (usable_here) {
        z->lists_2 = (z->lists_2 || !z->answered) && has_2;
        z->answered = true;
    }
    z->lists_1 = z->lists_1 || has_1;
    if (z->waiting == m->conf.n_resolvers || p->health != DNSBL_OK) z->why = p->why;
    if (p->health != DNSBL_OK) z->errors[usable(&p->listed) ? p->clean.why : p->listed.why]++;
    if (--z->waiting == 0) {
        struct policy_event ev = { .kind = POLICY_EV_PROBE, .zone = t->zone, .resolver = t->resolver };
        ev.answered = z->answered || z->lists_1;
        ev.lists_1 = z->lists_1;
        ev.lists_2 = z->lists_2;
        z->probed_ms = timers_now_ms(m->env->timers);
        feed(m, &ev);
    }
    one_done(m);
}

static uint32_t ask_limit_ms(const struct monitor *m)
{
    uint64_t poll = m->conf.conf->cluster.failover.poll_ms;
    return (uint32_t)MIN(MAX(poll, (uint64_t)ASK_LIMIT_MIN_MS), (uint64_t)ASK_LIMIT_MAX_MS);
}

/* IPv4 lists have IPv4 test points; a list for IPv6 only has its own. */
static enum addr_family test_family(const struct monitor *m)
{
    CONF_EACH(struct identity_conf, it, m->conf.conf->cluster.identities)
    if (it->ip.family == ADDR_V4) return ADDR_V4;
    return ADDR_V6;
}

static void start_zone(struct monitor *m, uint8_t z)
{
    struct zone *zone = &m->zones[z];
    if (policy_zone_health(m->policy, z) == POLICY_RETIRED) return;
    zone->answered = zone->lists_1 = zone->lists_2 = false;
    zone->waiting = m->conf.n_resolvers;
    const struct dnsbl_zone *conf = &m->conf.conf->zones[z].zone;
    const struct identity_conf *ids = m->conf.conf->cluster.identities.items;
    for (uint8_t r = 0; r < m->conf.n_resolvers; r++) {
        struct test *t = &m->tests[(size_t)z * m->conf.n_resolvers + r];
        t->op = dnsbl_probe(m->conf.resolvers[r], conf, test_family(m), ask_limit_ms(m), tested, t);
        m->waiting++;
        for (uint8_t i = 0; i < m->n_ids; i++) {
            struct question *q = &m->questions[cell_at(m, i, z, r)];
            q->op = dnsbl_ask(m->conf.resolvers[r], conf, &ids[i].ip, DNSBL_FRESH | DNSBL_WANT_TEXT,
                              ask_limit_ms(m), answered, q);
            m->waiting++;
        }
    }
}

static void start_round(struct monitor *m)
{
    struct policy_event begin = { .kind = POLICY_EV_ROUND };
    ASSERT(!m->running);
    m->running = true;
    m->round_ms = timers_now_ms(m->env->timers);
    feed(m, &begin);
    m->waiting = 1; /* this function's own, so that the round cannot end before it has begun */
    for (uint8_t z = 0; z < m->n_zones; z++) start_zone(m, z);
    one_done(m);
}

void monitor_poll(struct monitor *m)
{
    if (m->running)
        m->again = true;
    else
        timer_set_in(m->env->timers, &m->next, 0, round_due, m);
}

void monitor_switched(struct monitor *m)
{
    policy_switched(m->policy, timers_now_ms(m->env->timers));
    plan(m);
}

/* ---- what receivers say ---- */

enum policy_scope monitor_scope(struct slice scope, struct slice effect)
{
    if (!slice_eq(effect, SLICE("SWITCH"))) return POLICY_SCOPE_OTHER;
    if (slice_eq(scope, SLICE("ip-provider"))) return POLICY_SCOPE_PROVIDER;
    if (slice_eq(scope, SLICE("ip-public")) || slice_eq(scope, SLICE("ip-range")))
        return POLICY_SCOPE_ADDRESS;
    return POLICY_SCOPE_OTHER;
}

/* The last two labels of a host name: mx1.example.net and mx2.example.net are one voice. Below a public suffix of two
 * labels this takes several organisations for one, which errs towards not switching. */
uint64_t monitor_organisation(struct slice provider, struct slice destination)
{
    struct slice name = provider.n ? provider : destination;
    while (dns_name_labels(name) > 2) name = dns_name_parent(name);
    return slice_ihash(name);
}

static bool seen_before(struct monitor *m, uint64_t message, uint64_t organisation)
{
    size_t n = MIN(m->n_seen, (size_t)SEEN_MAX);
    for (size_t i = 0; i < n; i++)
        if (m->seen[i].message == message && m->seen[i].organisation == organisation) return true;
    size_t at = m->n_seen++ % SEEN_MAX;
    m->seen[at].message = message;
    m->seen[at].organisation = organisation;
    return false;
}

static void feed_refusal(struct monitor *m, const struct store_evidence *e)
{
    struct policy_event ev = { .kind = POLICY_EV_REFUSAL, .identity = e->identity };
    ev.scope = (enum policy_scope)e->scope;
    ev.organisation = e->organisation;
    ev.message = e->message;
    ev.text = e->text;
    feed(m, &ev);
    tell(m);
    plan(m);
}

void monitor_refusal(struct monitor *m, const struct link_refusal *r)
{
    const struct identity_conf *ids = m->conf.conf->cluster.identities.items;
    const struct identity_conf *id = cluster_identity(&m->conf.conf->cluster, r->identity);
    struct store_evidence e = { .identity = id ? (uint8_t)(id - ids) : STORE_FOREIGN,
                                .scope = (uint8_t)monitor_scope(r->scope, r->effect),
                                .organisation = monitor_organisation(r->provider, r->destination),
                                .message = slice_hash(r->message_id),
                                .wall_ms = r->wall_ms };
    log_info(m->env->log, "refusal", kv_slice("identity", r->identity), kv_slice("provider", r->provider),
             kv_slice("stage", r->stage), kv_slice("scope", r->scope), kv_slice("effect", r->effect),
             kv_slice("rule", r->rule), kv_slice("text", r->text));
    if (e.identity >= m->n_ids || e.scope == POLICY_SCOPE_OTHER) return;
    snprintf(e.text, sizeof e.text, "%.*s", SLICE_ARG(r->text));
    if (seen_before(m, e.message, e.organisation)) return;
    m->ev->evidence(m->owner, &e);
    feed_refusal(m, &e);
}

void monitor_evidence(struct monitor *m, const struct store_evidence *e)
{
    if (e->identity >= m->n_ids || e->scope == POLICY_SCOPE_OTHER || e->scope > POLICY_SCOPE_PROVIDER) return;
    if (!seen_before(m, e->message, e->organisation)) feed_refusal(m, e);
}

void monitor_mark(struct monitor *m, uint8_t identity, uint64_t quarantined_wall_ms)
{
    if (identity >= m->n_ids || m->marks[identity] == quarantined_wall_ms) return;
    m->marks[identity] = quarantined_wall_ms;
    struct policy_event ev = { .kind = POLICY_EV_MARK, .identity = identity };
    ev.quarantined_wall_ms = quarantined_wall_ms;
    feed(m, &ev);
    tell(m);
}

/* ---- life ---- */

static uint64_t tick_ms(const struct monitor *m)
{
    return MIN(m->conf.conf->cluster.failover.poll_ms, (uint64_t)TICK_MAX_MS);
}

static void ticked(struct timer *t)
{
    struct monitor *m = t->owner;
    struct policy_event ev = { .kind = POLICY_EV_TICK };
    timer_set_in(m->env->timers, &m->tick, tick_ms(m), ticked, m);
    feed(m, &ev);
    if (!m->running) tell(m); /* a round ends with its own verdicts */
}

struct monitor *monitor_create(const struct env *env, const struct monitor_conf *conf,
                               const struct monitor_events *ev, void *owner)
{
    struct policy_conf policy;
    struct monitor *m = xzalloc(sizeof *m);
    ASSERT(conf->n_resolvers > 0 && conf->n_resolvers <= POLICY_RESOLVERS_MAX);
    *m = (struct monitor){ .env = env, .conf = *conf, .ev = ev, .owner = owner };
    coordinator_conf_policy(conf->conf, conf->n_resolvers, &policy);
    m->policy = policy_create(&policy, env->log);
    m->n_ids = policy.n_identities;
    m->n_zones = policy.n_zones;
    size_t cells = (size_t)m->n_ids * m->n_zones * conf->n_resolvers;
    m->cells = xzalloc(cells * sizeof *m->cells + 1);
    m->questions = xzalloc(cells * sizeof *m->questions + 1);
    m->tests = xzalloc((size_t)m->n_zones * conf->n_resolvers * sizeof *m->tests + 1);
    m->zones = xzalloc(m->n_zones * sizeof *m->zones + 1);
    for (uint8_t z = 0; z < m->n_zones; z++) {
        m->zones[z].why = "not tested yet";
        for (uint8_t r = 0; r < conf->n_resolvers; r++) {
            m->tests[(size_t)z * conf->n_resolvers + r] =
                (struct test){ .monitor = m, .zone = z, .resolver = r };
            for (uint8_t i = 0; i < m->n_ids; i++)
                m->questions[cell_at(m, i, z, r)] =
                    (struct question){ .monitor = m, .identity = i, .zone = z, .resolver = r };
        }
    }
    timer_set_in(env->timers, &m->next, 0, round_due, m);
    timer_set_in(env->timers, &m->tick, tick_ms(m), ticked, m);
    return m;
}

void monitor_destroy(struct monitor *m)
{
    if (!m) return;
    timer_clear(m->env->timers, &m->next);
    timer_clear(m->env->timers, &m->tick);
    size_t tests = (size_t)m->n_zones * m->conf.n_resolvers;
    for (size_t i = 0; i < tests; i++) dnsbl_probe_cancel(&m->tests[i].op);
    for (size_t i = 0; i < tests * m->n_ids; i++) dnsbl_cancel(&m->questions[i].op);
    policy_destroy(m->policy);
    free(m->cells);
    free(m->questions);
    free(m->tests);
    free(m->zones);
    free(m);
}

/* ---- looks ---- */

const struct monitor_cell *monitor_cell(const struct monitor *m, uint8_t identity, uint8_t zone,
                                        uint8_t resolver)
{
    return &m->cells[cell_at(m, identity, zone, resolver)];
}

size_t monitor_zones(const struct monitor *m)
{
    return m->n_zones;
}

void monitor_zone(const struct monitor *m, uint8_t zone, struct monitor_zone *out)
{
    ASSERT(zone < m->n_zones);
    *out = (struct monitor_zone){ .conf = &m->conf.conf->zones[zone],
                                  .health = policy_zone_health(m->policy, zone),
                                  .probed_ms = m->zones[zone].probed_ms,
                                  .why = m->zones[zone].why };
}

uint64_t monitor_errors(const struct monitor *m, uint8_t zone, enum dnsbl_why why)
{
    ASSERT(zone < m->n_zones && (unsigned)why < WHYS);
    return m->zones[zone].errors[why];
}

bool monitor_lists(const struct monitor *m, uint8_t zone, uint8_t identity)
{
    for (uint8_t r = 0; r < m->conf.n_resolvers; r++) {
        const struct monitor_cell *c = monitor_cell(m, identity, zone, r);
        if (c->at_ms && c->state == DNSBL_LISTED) return true;
    }
    return false;
}

uint64_t monitor_next_ms(const struct monitor *m)
{
    return m->running ? timers_now_ms(m->env->timers) : m->next.due_ms;
}

const struct monitor_conf *monitor_conf(const struct monitor *m)
{
    return &m->conf;
}

void monitor_verdict(const struct monitor *m, uint8_t identity, struct policy_verdict *out)
{
    policy_verdict(m->policy, identity, timers_now_ms(m->env->timers), out);
}

void monitor_explain(const struct monitor *m, uint8_t identity, struct buf *out)
{
    policy_explain(m->policy, identity, timers_now_ms(m->env->timers), out);
}
