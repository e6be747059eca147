#include "coordinator/policy.h"

#include <stdio.h>
#include <stdlib.h>

enum { TTL_MAX_MS = 3600 * 1000, CLOSE_LOOK_MS = 60 * 1000 };

struct cell {                                     /* what one zone says about one identity */
    enum policy_answer now[POLICY_RESOLVERS_MAX]; /* in this round */
    uint32_t said;                                /* resolvers that gave a good answer in this round */
    bool listed;
    uint8_t code;
    uint64_t good_ms; /* last good answer; 0: none yet */
    uint64_t listed_since_ms;
    uint64_t ttl_ms;
    uint32_t polls; /* that say listed, far enough apart, by enough resolvers */
    uint64_t counted_ms;
};

struct zone {
    enum policy_health health;
    uint64_t since_ms, probe_ms;
    uint32_t good_probes;
    uint64_t good_since_ms;
    uint32_t news; /* identities that became listed in this round, as bits */
};

struct refusal {
    uint8_t identity;
    enum policy_scope scope;
    uint64_t organisation, message, at_ms;
    char text[96];
};

struct ident {
    uint32_t rounds, clean_rounds;
    uint64_t clean_since_ms, mark_wall_ms;
};

struct policy {
    struct policy_conf conf;
    const struct log *log;
    struct cell cells[STORE_IDENTITIES_MAX][POLICY_ZONES_MAX];
    struct zone zones[POLICY_ZONES_MAX];
    struct ident ids[STORE_IDENTITIES_MAX];
    struct refusal refusals[POLICY_REFUSALS_MAX];
    size_t n_refusals;
    uint64_t now_ms, round_ms, switched_ms;
    bool in_round, hurry;
};

void policy_conf_default(struct policy_conf *c)
{
    *c = (struct policy_conf){
        .threshold = 5,
        .warn = 3,
        .confirm_polls = 2,
        .confirm_resolvers = 2,
        .probe_polls = 3,
        .probe_span_ms = MINUTES(30),
        .poll_ms = MINUTES(10),
        .confirm_ms = MINUTES(2),
        .watch_ms = MINUTES(5),
        .watch_for_ms = HOURS(2),
        .probe_fresh_ms = MINUTES(20),
        .retire_ms = DAYS(7),
        .keep_ms = HOURS(1),
        .clean_for_ms = HOURS(24),
        .clean_polls = 12,
        .refusal_window_ms = MINUTES(30),
        .refusal_organisations = 3,
        .refusal_weight = 4,
        .provider_weight = 3,
    };
}

const char *policy_health_name(enum policy_health h)
{
    static const char *const names[] = { [POLICY_OK] = "ok",
                                         [POLICY_SUSPECT] = "suspect",
                                         [POLICY_BLIND] = "blind",
                                         [POLICY_RETIRED] = "retired",
                                         [POLICY_UNPROBED] = "unprobed" };
    return names[h];
}

/* ---- zones ---- */

static void set_health(struct policy *p, uint8_t z, enum policy_health h, const char *why)
{
    struct zone *zone = &p->zones[z];
    if (zone->health == h) return;
    log_event(p->log, h == POLICY_OK ? LOG_INFO : LOG_WARN, "dnsbl.zone",
              LOG_KVS(kv_cstr("zone", p->conf.zones[z].name),
                      kv_cstr("from", policy_health_name(zone->health)), kv_cstr("to", policy_health_name(h)),
                      kv_cstr("why", why)));
    zone->health = h;
    zone->since_ms = p->now_ms;
    zone->good_probes = 0;
}

static void distrust(struct policy *p, uint8_t z, const char *why)
{
    struct zone *zone = &p->zones[z];
    zone->good_probes = 0;
    if (zone->health != POLICY_RETIRED) set_health(p, z, POLICY_SUSPECT, why);
}

static void good_probe(struct policy *p, uint8_t z)
{
    struct zone *zone = &p->zones[z];
    if (zone->health == POLICY_UNPROBED || zone->health == POLICY_BLIND)
        set_health(p, z, POLICY_OK, "test points are right");
    if (zone->health != POLICY_SUSPECT) return;
    if (zone->good_probes++ == 0) zone->good_since_ms = p->now_ms;
    if (zone->good_probes >= p->conf.probe_polls && p->now_ms >= zone->good_since_ms + p->conf.probe_span_ms)
        set_health(p, z, POLICY_OK, "right for long enough");
}

static void on_probe(struct policy *p, const struct policy_event *ev)
{
    struct zone *zone = &p->zones[ev->zone];
    zone->probe_ms = p->now_ms;
    if (ev->answered && ev->lists_1)
        distrust(p, ev->zone, "127.0.0.1 is listed: it lists everything");
    else if (ev->answered && ev->flipped >= 2)
        distrust(p, ev->zone, "control addresses changed together");
    else if (!ev->answered || !ev->lists_2) {
        /* A suspect zone that also goes blind stays suspect: its way back is the longer one. */
        zone->good_probes = 0;
        if (zone->health != POLICY_SUSPECT && zone->health != POLICY_RETIRED)
            set_health(p, ev->zone, POLICY_BLIND,
                       ev->answered ? "127.0.0.2 is not listed" : "test points give errors");
    } else
        good_probe(p, ev->zone);
    if (zone->health == POLICY_SUSPECT && p->now_ms >= zone->since_ms + p->conf.retire_ms)
        set_health(p, ev->zone, POLICY_RETIRED, "suspect for too long");
}

static bool trusted(const struct policy *p, uint8_t z, uint64_t now)
{
    const struct zone *zone = &p->zones[z];
    return zone->health == POLICY_OK && now < zone->probe_ms + p->conf.probe_fresh_ms;
}

enum policy_health policy_zone_health(const struct policy *p, uint8_t z)
{
    ASSERT(z < p->conf.n_zones);
    return p->zones[z].health;
}

/* ---- answers ---- */

static uint32_t resolvers_needed(const struct policy *p)
{
    return MIN(p->conf.confirm_resolvers, MAX(p->conf.n_resolvers, 1U));
}

static void on_answer(struct policy *p, const struct policy_event *ev)
{
    struct cell *c = &p->cells[ev->identity][ev->zone];
    if (ev->answer == POLICY_UNKNOWN) {
        if (ev->outside) distrust(p, ev->zone, "answers outside 127/8");
        return;
    }
    c->now[ev->resolver] = ev->answer;
    c->said |= BIT(ev->resolver);
    if (ev->answer == POLICY_LISTED) {
        c->code = ev->code;
        c->ttl_ms = MIN(ev->ttl_ms, (uint64_t)TTL_MAX_MS);
    }
}

static void begin_round(struct policy *p)
{
    p->round_ms = p->now_ms;
    p->in_round = true;
    p->hurry = false;
    for (uint8_t z = 0; z < p->conf.n_zones; z++) p->zones[z].news = 0;
    for (uint8_t i = 0; i < p->conf.n_identities; i++)
        for (uint8_t z = 0; z < p->conf.n_zones; z++) p->cells[i][z].said = 0;
}

static void end_cell(struct policy *p, uint8_t i, uint8_t z)
{
    struct cell *c = &p->cells[i][z];
    if (!c->said) return; /* nothing but errors: what was known holds, and ages */
    uint32_t listed = 0;
    for (uint8_t r = 0; r < POLICY_RESOLVERS_MAX; r++)
        if (c->said & BIT(r) && c->now[r] == POLICY_LISTED) listed++;
    c->good_ms = p->now_ms;
    if (!listed) {
        c->listed = false;
        c->polls = 0;
        return;
    }
    if (!c->listed) {
        c->listed = true;
        c->listed_since_ms = p->now_ms;
        c->polls = 0;
        p->zones[z].news |= BIT(i);
    }
    bool apart = c->polls == 0 || p->now_ms >= c->counted_ms + MAX(p->conf.confirm_ms, c->ttl_ms);
    if (listed < resolvers_needed(p) || !apart) return;
    c->polls++;
    c->counted_ms = p->now_ms;
}

static bool counts(const struct policy *p, uint8_t i, uint8_t z, uint64_t now)
{
    const struct cell *c = &p->cells[i][z];
    return c->listed && trusted(p, z, now) && now < c->good_ms + p->conf.keep_ms;
}

static void end_identity(struct policy *p, uint8_t i)
{
    struct ident *id = &p->ids[i];
    bool listed = false, clean = false;
    for (uint8_t z = 0; z < p->conf.n_zones; z++) {
        if (!p->conf.zones[z].weight) continue;
        listed = listed || counts(p, i, z, p->now_ms);
        clean = clean || (p->cells[i][z].said && !p->cells[i][z].listed && trusted(p, z, p->now_ms));
    }
    id->rounds++;
    if (listed) {
        id->clean_rounds = 0;
    } else if (clean) {
        if (id->clean_rounds++ == 0) id->clean_since_ms = p->now_ms;
    }
}

static void end_round(struct policy *p)
{
    p->in_round = false;
    uint32_t all = (uint32_t)((UINT64_C(1) << p->conf.n_identities) - 1);
    for (uint8_t i = 0; i < p->conf.n_identities; i++)
        for (uint8_t z = 0; z < p->conf.n_zones; z++) end_cell(p, i, z);
    for (uint8_t z = 0; z < p->conf.n_zones; z++)
        if (p->conf.n_identities > 1 && p->zones[z].news == all)
            distrust(p, z, "all our addresses appeared in one poll");
    for (uint8_t i = 0; i < p->conf.n_identities; i++) end_identity(p, i);
}

/* ---- refusals ---- */

static void on_refusal(struct policy *p, const struct policy_event *ev)
{
    if (ev->scope == POLICY_SCOPE_OTHER || ev->identity >= p->conf.n_identities) return;
    for (size_t i = 0; i < p->n_refusals; i++) {
        const struct refusal *r = &p->refusals[i];
        if (r->identity == ev->identity && r->message == ev->message && r->organisation == ev->organisation)
            return;
    }
    if (p->n_refusals == POLICY_REFUSALS_MAX) {
        memmove(p->refusals, p->refusals + 1, sizeof p->refusals - sizeof p->refusals[0]);
        p->n_refusals--;
    }
    struct refusal *r = &p->refusals[p->n_refusals++];
    *r = (struct refusal){ .identity = ev->identity,
                           .scope = ev->scope,
                           .organisation = ev->organisation,
                           .message = ev->message,
                           .at_ms = p->now_ms };
    snprintf(r->text, sizeof r->text, "%s", ev->text ? ev->text : "");
    p->hurry = true;
}

struct tally {
    uint32_t score, organisations;
    bool provider;
    const char *text;
};

static bool seen_before(const struct policy *p, size_t at, uint64_t now)
{
    for (size_t i = 0; i < at; i++)
        if (p->refusals[i].identity == p->refusals[at].identity &&
            now < p->refusals[i].at_ms + p->conf.refusal_window_ms &&
            p->refusals[i].organisation == p->refusals[at].organisation)
            return true;
    return false;
}

static struct tally tally(const struct policy *p, uint8_t identity, uint64_t now)
{
    struct tally t = { .text = "" };
    for (size_t i = 0; i < p->n_refusals; i++) {
        const struct refusal *r = &p->refusals[i];
        if (r->identity != identity || now >= r->at_ms + p->conf.refusal_window_ms) continue;
        if (r->scope == POLICY_SCOPE_PROVIDER) t.provider = true;
        if (!seen_before(p, i, now)) t.organisations++;
        t.text = r->text;
    }
    if (t.organisations >= p->conf.refusal_organisations) t.score += p->conf.refusal_weight;
    if (t.provider) t.score += p->conf.provider_weight;
    return t;
}

/* ---- verdicts ---- */

static void add(char *out, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void add(char *out, size_t cap, const char *fmt, ...)
{
    size_t n = strlen(out);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out + n, cap - n, fmt, ap);
    va_end(ap);
}

static void add_zone(const struct policy *p, const struct cell *c, uint8_t z, struct policy_verdict *v)
{
    add(v->why, sizeof v->why, "%s%s lists it (127.0.0.%u, weight %u, %u poll%s)", v->why[0] ? "; " : "",
        p->conf.zones[z].name, c->code, p->conf.zones[z].weight, c->polls, c->polls == 1 ? "" : "s");
}

static void add_refusals(const struct tally *t, struct policy_verdict *v)
{
    if (!t->organisations) return;
    add(v->why, sizeof v->why, "%s%u organisation%s refuse%s its address (weight %u), last: \"%s\"",
        v->why[0] ? "; " : "", t->organisations, t->organisations == 1 ? "" : "s",
        t->organisations == 1 ? "s" : "", t->score, t->text);
}

void policy_verdict(const struct policy *p, uint8_t identity, uint64_t now, struct policy_verdict *out)
{
    ASSERT(identity < p->conf.n_identities);
    const struct ident *id = &p->ids[identity];
    struct tally t = tally(p, identity, now);
    struct policy_verdict v = { .score = t.score,
                                .clean_rounds = id->clean_rounds,
                                .clean_since_ms = id->clean_since_ms };
    uint32_t needed = t.score ? 1 : p->conf.confirm_polls, sure = t.score;
    for (uint8_t z = 0; z < p->conf.n_zones; z++) {
        const struct cell *c = &p->cells[identity][z];
        if (!counts(p, identity, z, now)) continue;
        v.score += p->conf.zones[z].weight;
        if (c->polls >= needed) sure += p->conf.zones[z].weight;
        add_zone(p, c, z, &v);
    }
    add_refusals(&t, &v);
    v.suspect = v.score >= p->conf.threshold;
    v.confirmed = sure >= p->conf.threshold;
    bool clean = v.score == 0 && id->clean_rounds >= p->conf.clean_polls &&
                 now >= id->clean_since_ms + p->conf.clean_for_ms;
    v.quarantined = id->mark_wall_ms && !clean;
    v.cleared = id->mark_wall_ms && clean;
    v.fit = v.score < p->conf.warn && !v.quarantined && (id->rounds > 0 || !p->conf.n_zones);
    if (!v.why[0]) add(v.why, sizeof v.why, "%s", id->rounds ? "no list names it" : "not asked yet");
    *out = v;
}

void policy_explain(const struct policy *p, uint8_t identity, uint64_t now, struct buf *out)
{
    static const char *const words[] = { [POLICY_CLEAN] = "clean", [POLICY_LISTED] = "listed" };
    ASSERT(identity < p->conf.n_identities);
    for (uint8_t z = 0; z < p->conf.n_zones; z++) {
        const struct cell *c = &p->cells[identity][z];
        enum policy_health h = p->zones[z].health;
        buf_putf(out, "%s: %s", p->conf.zones[z].name,
                 !c->good_ms ? "no answer yet" : words[c->listed ? POLICY_LISTED : POLICY_CLEAN]);
        if (c->listed)
            buf_putf(out, " with 127.0.0.%u for %" PRIu64 " s, %u polls agree", c->code,
                     (now - c->listed_since_ms) / 1000, c->polls);
        if (c->good_ms) buf_putf(out, ", asked %" PRIu64 " s ago", (now - c->good_ms) / 1000);
        bool on = trusted(p, z, now);
        buf_putf(out, "; the zone is %s and weighs %u%s\n", policy_health_name(h),
                 on ? p->conf.zones[z].weight : 0, counts(p, identity, z, now) ? ": counted" : "");
    }
}

/* ---- the module ---- */

void policy_step(struct policy *p, const struct policy_event *ev)
{
    p->now_ms = ev->now_ms;
    switch (ev->kind) {
    case POLICY_EV_ROUND: begin_round(p); break;
    case POLICY_EV_ANSWER:
        ASSERT(ev->identity < p->conf.n_identities && ev->zone < p->conf.n_zones &&
               ev->resolver < POLICY_RESOLVERS_MAX);
        on_answer(p, ev);
        break;
    case POLICY_EV_PROBE:
        ASSERT(ev->zone < p->conf.n_zones);
        on_probe(p, ev);
        break;
    case POLICY_EV_ROUND_END:
        if (p->in_round) end_round(p);
        break;
    case POLICY_EV_REFUSAL: on_refusal(p, ev); break;
    case POLICY_EV_MARK: {
        ASSERT(ev->identity < p->conf.n_identities);
        struct ident *id = &p->ids[ev->identity];
        if (ev->quarantined_wall_ms && !id->mark_wall_ms) id->clean_rounds = 0; /* clean counts from now on */
        id->mark_wall_ms = ev->quarantined_wall_ms;
        break;
    }
    case POLICY_EV_TICK: break;
    }
}

void policy_switched(struct policy *p, uint64_t now_ms)
{
    p->switched_ms = now_ms;
}

uint64_t policy_next_round_ms(const struct policy *p)
{
    const struct policy_conf *c = &p->conf;
    uint64_t every = c->poll_ms;
    if (p->switched_ms && p->now_ms < p->switched_ms + c->watch_for_ms) every = MIN(every, c->watch_ms);
    for (uint8_t z = 0; z < c->n_zones; z++)
        if (p->zones[z].health == POLICY_SUSPECT) every = MIN(every, (uint64_t)CLOSE_LOOK_MS);
    for (uint8_t i = 0; i < c->n_identities; i++) {
        struct policy_verdict v;
        policy_verdict(p, i, p->now_ms, &v);
        if (v.suspect && !v.confirmed) every = MIN(every, c->confirm_ms);
    }
    if (p->hurry) every = MIN(every, c->confirm_ms / 4);
    return p->round_ms ? p->round_ms + every : 0;
}

struct policy *policy_create(const struct policy_conf *conf, const struct log *log)
{
    ASSERT(conf->n_identities <= STORE_IDENTITIES_MAX && conf->n_zones <= POLICY_ZONES_MAX);
    struct policy *p = xzalloc(sizeof *p);
    p->conf = *conf;
    p->log = log;
    for (uint8_t z = 0; z < conf->n_zones; z++) p->zones[z].health = POLICY_UNPROBED;
    return p;
}

void policy_destroy(struct policy *p)
{
    free(p);
}
