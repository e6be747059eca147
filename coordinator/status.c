#include "coordinator/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/timers.h"
#include "base/utf8.h"
#include "coordinator/sampler.h"
#include "proto/store_redis_uv.h"

/* ---- small things ---- */

const char *status_time(uint64_t wall_ms, char out[static STATUS_TIME_MAX])
{
    struct tm tm;
    time_t s = (time_t)(wall_ms / 1000);
    out[0] = '\0';
    if (!wall_ms) return out;
    gmtime_r(&s, &tm);
    size_t n = strftime(out, STATUS_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, STATUS_TIME_MAX - n, ".%03uZ", (unsigned)(wall_ms % 1000));
    return out;
}

static json_t *time_json(uint64_t wall_ms)
{
    char text[STATUS_TIME_MAX];
    return wall_ms ? json_string(status_time(wall_ms, text)) : json_null();
}

json_t *status_text(const char *s)
{
    if (utf8_valid(slice_of(s))) return json_string(s);
    char *copy = xstrdup(s);
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p >= 0x80) *p = '?';
    json_t *j = json_string(copy);
    free(copy);
    return j;
}

static json_t *u64_json(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static void put(json_t *o, const char *key, json_t *value)
{
    json_object_set_new(o, key, value);
}

static const struct identity_conf *identity(const struct parts *p, uint8_t i)
{
    return &((const struct identity_conf *)p->conf->cluster.identities.items)[i];
}

static json_t *name_json(const struct parts *p, uint8_t i)
{
    return i < p->conf->cluster.identities.n ? json_string(identity(p, i)->name) : json_null();
}

static json_t *set_json(const struct parts *p, uint32_t set)
{
    json_t *a = json_array();
    for (uint8_t i = 0; i < p->conf->cluster.identities.n; i++)
        if (set & BIT(i)) json_array_append_new(a, json_string(identity(p, i)->name));
    return a;
}

static json_t *addr_json(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    return a->family == ADDR_NONE ? json_null() : json_string(addr_format(a, text));
}

static uint64_t age_ms(const struct parts *p, uint64_t at_ms)
{
    return timers_now_ms(p->env->timers) - at_ms;
}

/* -1: never. */
static json_t *age_json(const struct parts *p, uint64_t at_ms)
{
    return at_ms ? u64_json(age_ms(p, at_ms)) : json_integer(-1);
}

static json_t *leader_json(const struct parts *p)
{
    const struct host_conf *leader = decider_leader(p->decider);
    return leader ? json_string(leader->name) : json_null();
}

static bool node_of(const struct parts *p, const char *name, struct links_node *out)
{
    for (size_t i = 0; i < links_nodes(p->links); i++) {
        links_node(p->links, i, out);
        if (strcmp(out->name, name) == 0) return true;
    }
    return false;
}

json_t *status_role(const struct parts *p)
{
    struct fo_status st;
    decider_status(p->decider, &st);
    json_t *o = json_object();
    put(o, "coordinator", json_string(p->conf->name));
    put(o, "leading", json_boolean(st.leading));
    put(o, "leader", leader_json(p));
    put(o, "state", json_string(failover_state_name(st.state)));
    put(o, "epoch", u64_json(st.epoch));
    return o;
}

/* ---- issues ---- */

struct issues {
    status_issue_fn *each;
    void *owner;
};

static void issue(const struct issues *x, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void issue(const struct issues *x, const char *fmt, ...)
{
    char text[640];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    x->each(x->owner, text);
}

static void issues_of_zones(const struct parts *p, const struct issues *x)
{
    for (uint8_t z = 0; z < monitor_zones(p->monitor); z++) {
        struct monitor_zone zone;
        monitor_zone(p->monitor, z, &zone);
        if (zone.health != POLICY_OK && zone.health != POLICY_UNPROBED)
            issue(x, "blocklist %s is %s and does not count: %s", zone.conf->shown,
                  policy_health_name(zone.health), zone.why);
        for (uint8_t i = 0; i < p->conf->cluster.identities.n; i++) {
            for (uint8_t r = 0; r < monitor_conf(p->monitor)->n_resolvers; r++) {
                const struct monitor_cell *c = monitor_cell(p->monitor, i, z, r);
                char code[ADDR_TEXT_MAX] = "";
                if (!c->at_ms || c->state == DNSBL_CLEAN) continue;
                if (c->code.family) addr_format(&c->code, code);
                if (c->state == DNSBL_LISTED)
                    issue(x, "%s is listed by %s (%s)", identity(p, i)->name, zone.conf->shown, code);
                else if (zone.health == POLICY_OK)
                    issue(x, "blocklist %s says nothing about %s: %s", zone.conf->shown, identity(p, i)->name,
                          dnsbl_why_text(c->why));
                break; /* one resolver's word is enough for a sentence */
            }
        }
    }
}

static void issues_of_nodes(const struct parts *p, const struct issues *x)
{
    struct links_node n;
    for (size_t i = 0; i < links_nodes(p->links); i++) {
        links_node(p->links, i, &n);
        if (!n.up) issue(x, "node %s is not connected", n.name);
        if (n.configuration_differs)
            issue(x, "node %s has another cluster configuration than this coordinator", n.name);
        if (n.heard && llabs(n.clock_off_ms) > LINKS_CLOCK_SLACK_MS)
            issue(x, "the clock of node %s differs by %+.1f s", n.name, (double)n.clock_off_ms / 1000);
        if (n.heard && !n.queue.accepting)
            issue(x, "node %s does not take mail: its queue is full or fails", n.name);
    }
    for (uint8_t i = 0; i < p->conf->cluster.identities.n; i++) {
        const char *text;
        if (!node_of(p, identity(p, i)->node, &n) || !n.up) continue;
        for (size_t k = 0; (text = links_identity_issue(p->links, i, k)); k++)
            issue(x, "%s: %s", identity(p, i)->name, text);
    }
}

static void issues_of_records(const struct parts *p, const struct issues *x)
{
    struct records_look look;
    records_look(p->records, &look);
    if (look.publish_failed)
        issue(x, "the last publication failed: %s%s%s", look.publish_word, *look.publish_detail ? ": " : "",
              look.publish_detail);
    for (size_t i = 0; look.report && i < look.report->n; i++) {
        const struct verify_server *s = &look.report->server[i];
        enum verify_verdict v = records_judge(s, &look.token);
        char addr[ADDR_TEXT_MAX];
        if (v != VERIFY_PASS)
            issue(x, "name server %s (%s): %s%s%s", s->name.text, addr_format(&s->addr, addr),
                  verify_verdict_name(v), *s->words ? ": " : "", s->words);
    }
    if (look.report && look.report->delegation_differs)
        issue(x, "the zone and its parent name different servers for %s", p->conf->cluster.dns.zone);
}

void status_issues(const struct parts *p, status_issue_fn *each, void *owner)
{
    enum { FAILURES_MIN = 2 };
    struct issues x = { each, owner };
    struct fo_status st;
    struct decider_store reads, writes;
    decider_status(p->decider, &st);
    decider_store(p->decider, false, &reads);
    decider_store(p->decider, true, &writes);
    for (size_t i = 0; i < st.n_issues; i++) issue(&x, "%s", st.issues[i]);
    if (reads.failures >= FAILURES_MIN)
        issue(&x, "Redis gives no usable answer: %s", reads.word);
    else if (writes.failures >= FAILURES_MIN)
        issue(&x, "Redis takes no writes: %s", writes.word);
    if (st.active != STORE_NONE && st.ids[st.active].fresh && st.ids[st.active].reported == STORE_R_FENCED)
        issue(&x, "%s is to send, but its gate is closed", identity(p, st.active)->name);
    if (!decider_leader(p->decider)) issue(&x, "no coordinator leads");
    issues_of_nodes(p, &x);
    issues_of_zones(p, &x);
    issues_of_records(p, &x);
}

static void append_issue(void *owner, const char *text)
{
    json_t *a = owner, *j, *fresh = status_text(text);
    size_t i;
    json_array_foreach(a, i, j) if (json_equal(j, fresh))
    {
        json_decref(fresh);
        return;
    }
    json_array_append_new(a, fresh);
}

/* ---- /cluster ---- */

static json_t *spf_json(const struct parts *p)
{
    struct records_look look;
    unsigned good = 0;
    records_look(p->records, &look);
    for (size_t i = 0; look.report && i < look.report->n; i++)
        good += records_judge(&look.report->server[i], &look.token) == VERIFY_PASS;
    json_t *o = json_object();
    put(o, "verified", u64_json(good));
    put(o, "servers", u64_json(look.report ? look.report->n : 0));
    put(o, "age_ms", age_json(p, look.verified_ms));
    return o;
}

static bool ptr_ok(const struct preflight_report *r)
{
    return r && r->finding[PREFLIGHT_PTR].mark == PREFLIGHT_OK &&
           r->finding[PREFLIGHT_HELO_ADDRESS].mark == PREFLIGHT_OK;
}

static json_t *listed_json(const struct parts *p, uint8_t i)
{
    json_t *a = json_array();
    for (uint8_t z = 0; z < monitor_zones(p->monitor); z++)
        if (monitor_lists(p->monitor, z, i)) json_array_append_new(a, json_string(p->conf->zones[z].shown));
    return a;
}

static json_t *identity_json(const struct parts *p, const struct fo_status *st, uint8_t i)
{
    const struct identity_conf *id = identity(p, i);
    const struct fo_identity_status *s = &st->ids[i];
    struct links_node n = { 0 };
    uint64_t since = 0;
    enum role role = sampler_role(p->sampler, i, &since);
    bool link = node_of(p, id->node, &n) && n.up;
    json_t *o = json_object();
    put(o, "name", json_string(id->name));
    put(o, "ip", addr_json(&id->ip));
    put(o, "helo", json_string(id->helo));
    put(o, "node", json_string(id->node));
    put(o, "role", json_string(role_name(role)));
    put(o, "reported", json_string(store_reported_name(s->reported)));
    put(o, "assigned", json_string(store_reported_name(s->assigned)));
    put(o, "score", u64_json(s->score));
    put(o, "lease_left_ms", u64_json(s->lease_left_ms));
    put(o, "spf_ok", json_boolean(s->spf_of && s->spf_ok == s->spf_of));
    put(o, "spf_servers", u64_json(s->spf_ok));
    put(o, "ptr_ok", json_boolean(ptr_ok(sampler_faces(p->sampler, i))));
    put(o, "listed", listed_json(p, i));
    put(o, "fit", json_boolean(s->fit && link));
    put(o, "why_not", status_text(s->fit && !link ? "its node is not connected" : s->why_not));
    put(o, "queue", u64_json(s->queue_out));
    put(o, "epoch", u64_json(s->epoch));
    put(o, "beat_age_ms", s->beat_age_ms == UINT64_MAX ? json_integer(-1) : u64_json(s->beat_age_ms));
    put(o, "link", json_boolean(link));
    put(o, "since", time_json(since));
    put(o, "evidence", status_text(s->evidence));
    return o;
}

static json_t *operation_json(const struct parts *p, const struct fo_status *st)
{
    const struct store_op_rec *op = &st->op;
    char id[24];
    if (!op->id) return json_null();
    snprintf(id, sizeof id, "%016" PRIx64, op->id);
    json_t *o = json_object();
    put(o, "id", json_string(id));
    put(o, "kind", json_string(store_op_kind_name(op->kind)));
    put(o, "step", json_string(store_step_name(op->step)));
    put(o, "from", name_json(p, op->from));
    put(o, "to", name_json(p, op->to));
    put(o, "epoch", u64_json(op->epoch));
    put(o, "by", status_text(op->by));
    put(o, "why", status_text(op->why));
    put(o, "started", time_json(op->started_wall_ms));
    put(o, "in_step_ms", u64_json(st->in_state_ms));
    return o;
}

static json_t *pin_json(const struct parts *p, const struct fo_status *st)
{
    if (st->pin >= p->conf->cluster.identities.n || st->pin_until_wall_ms <= timers_wall_ms(p->env->timers))
        return json_null();
    json_t *o = json_object();
    put(o, "identity", name_json(p, st->pin));
    put(o, "until", time_json(st->pin_until_wall_ms));
    return o;
}

json_t *status_cluster(const struct parts *p)
{
    struct fo_status st;
    decider_status(p->decider, &st);
    json_t *o = json_object(), *ids = json_array(), *issues = json_array(), *pin = pin_json(p, &st);
    for (uint8_t i = 0; i < p->conf->cluster.identities.n; i++)
        json_array_append_new(ids, identity_json(p, &st, i));
    status_issues(p, append_issue, issues);
    put(o, "cluster", json_string(p->conf->cluster.cluster));
    put(o, "coordinator", json_string(p->conf->name));
    put(o, "leading", json_boolean(st.leading));
    put(o, "leader", leader_json(p));
    put(o, "term", u64_json(st.term));
    put(o, "state", json_string(failover_state_name(st.state)));
    put(o, "epoch", u64_json(st.epoch));
    put(o, "mode", json_string(st.paused ? "paused" : json_is_null(pin) ? "auto" : "pinned"));
    put(o, "pin", pin);
    put(o, "active", name_json(p, st.active));
    put(o, "degraded", json_boolean(st.degraded));
    put(o, "spf", spf_json(p));
    put(o, "identities", ids);
    put(o, "issues", issues);
    put(o, "operation", operation_json(p, &st));
    return o;
}

/* ---- /spf ---- */

static json_t *texts_json(const struct records_texts *t)
{
    json_t *o = json_object();
    put(o, "_spf", status_text(t->spf));
    put(o, "_egress", status_text(t->egress));
    return o;
}

static json_t *server_json(const struct parts *p, const struct verify_server *s,
                           const struct fo_token *should)
{
    json_t *o = json_object();
    put(o, "name", json_string(s->name.text));
    put(o, "addr", addr_json(&s->addr));
    put(o, "verdict", json_string(verify_verdict_name(records_judge(s, should))));
    put(o, "serial", u64_json(s->serial));
    put(o, "epoch", u64_json(s->epoch));
    put(o, "ttl_s", u64_json(s->spf_ttl_s));
    put(o, "pass", set_json(p, s->pass));
    put(o, "words", status_text(s->words));
    return o;
}

/* What should stand there: the token with the identities that the machine wants authorised now. */
static bool wanted_texts(const struct parts *p, const struct records_look *look, struct records_texts *out)
{
    struct fo_status st;
    decider_status(p->decider, &st);
    struct fo_token t = look->token;
    if (st.active == STORE_NONE || !st.wanted_set) return false;
    if (t.epoch != st.epoch || t.identity != st.active || t.spf_set != st.wanted_set) t.serial++;
    t.epoch = MAX(t.epoch, st.epoch);
    t.identity = st.active;
    t.spf_set = st.wanted_set;
    return records_texts_of(p->records, &t, out);
}

json_t *status_spf(const struct parts *p)
{
    struct records_look look;
    struct records_texts wanted;
    records_look(p->records, &look);
    json_t *o = json_object(), *servers = json_array(), *published = texts_json(&look.texts);
    bool has_wanted = wanted_texts(p, &look, &wanted), all = look.report && look.report->n;
    for (size_t i = 0; look.report && i < look.report->n; i++) {
        json_array_append_new(servers, server_json(p, &look.report->server[i], &look.token));
        all = all && records_judge(&look.report->server[i], &look.token) == VERIFY_PASS;
    }
    bool same = has_wanted && look.read && look.reachable && strcmp(wanted.spf, look.texts.spf) == 0 &&
                strcmp(wanted.egress, look.texts.egress) == 0;
    put(published, "reachable", json_boolean(look.read && look.reachable));
    put(o, "zone", json_string(p->conf->cluster.dns.zone));
    put(o, "mode", json_string(p->conf->cluster.dns.spf.mode == SPF_EXCLUSIVE ? "exclusive" : "overlap"));
    put(o, "age_ms", age_json(p, look.verified_ms));
    put(o, "ok", json_boolean(all && same));
    put(o, "words", status_text(look.report ? look.report->words : "no round of verification yet"));
    put(o, "in_sync", json_boolean(same));
    put(o, "wanted", has_wanted ? texts_json(&wanted) : json_null());
    put(o, "published", published);
    put(o, "servers", servers);
    return o;
}

/* ---- /dnsbl ---- */

static json_t *cell_json(const struct parts *p, uint8_t i, uint8_t z, uint8_t r)
{
    const struct monitor_cell *c = monitor_cell(p->monitor, i, z, r);
    json_t *o = json_object();
    put(o, "identity", json_string(identity(p, i)->name));
    put(o, "resolver", addr_json(&monitor_conf(p->monitor)->addrs[r]));
    put(o, "state", json_string(c->at_ms ? dnsbl_state_name(c->state) : "unknown"));
    put(o, "why", json_string(c->at_ms ? dnsbl_why_name(c->why) : "not-asked"));
    put(o, "code", addr_json(&c->code));
    put(o, "age_ms", age_json(p, c->at_ms));
    put(o, "text", status_text(c->text));
    return o;
}

static json_t *zone_json(const struct parts *p, uint8_t z)
{
    struct monitor_zone zone;
    monitor_zone(p->monitor, z, &zone);
    json_t *o = json_object(), *answers = json_array();
    for (uint8_t i = 0; i < p->conf->cluster.identities.n; i++)
        for (uint8_t r = 0; r < monitor_conf(p->monitor)->n_resolvers; r++)
            json_array_append_new(answers, cell_json(p, i, z, r));
    put(o, "zone", json_string(zone.conf->shown));
    put(o, "weight", json_integer(zone.conf->zone.weight));
    put(o, "health", json_string(policy_health_name(zone.health)));
    put(o, "why", status_text(zone.why));
    put(o, "probe_age_ms", age_json(p, zone.probed_ms));
    put(o, "delist", status_text(zone.conf->delist));
    put(o, "answers", answers);
    return o;
}

json_t *status_dnsbl(const struct parts *p)
{
    json_t *o = json_object(), *zones = json_array(), *resolvers = json_array();
    uint64_t now = timers_now_ms(p->env->timers), next = monitor_next_ms(p->monitor);
    for (uint8_t r = 0; r < monitor_conf(p->monitor)->n_resolvers; r++)
        json_array_append_new(resolvers, addr_json(&monitor_conf(p->monitor)->addrs[r]));
    for (uint8_t z = 0; z < monitor_zones(p->monitor); z++) json_array_append_new(zones, zone_json(p, z));
    put(o, "next_round_ms", u64_json(next > now ? next - now : 0));
    put(o, "resolvers", resolvers);
    put(o, "threshold", u64_json(p->conf->cluster.failover.threshold));
    put(o, "zones", zones);
    return o;
}

static json_t *explain_json(const struct parts *p, uint8_t i)
{
    struct policy_verdict v;
    struct buf text;
    json_t *o = json_object(), *lines = json_array();
    monitor_verdict(p->monitor, i, &v);
    buf_init(&text, 65536);
    monitor_explain(p->monitor, i, &text);
    struct slice rest = buf_slice(&text), line;
    while (slice_cut(&rest, '\n', &line)) {
        char *one = slice_dup(line);
        if (line.n) json_array_append_new(lines, status_text(one));
        free(one);
    }
    buf_deinit(&text);
    put(o, "identity", json_string(identity(p, i)->name));
    put(o, "ip", addr_json(&identity(p, i)->ip));
    put(o, "score", u64_json(v.score));
    put(o, "threshold", u64_json(p->conf->cluster.failover.threshold));
    put(o, "confirmed", json_boolean(v.confirmed));
    put(o, "quarantined", json_boolean(v.quarantined));
    put(o, "fit", json_boolean(v.fit));
    put(o, "clean_rounds", u64_json(v.clean_rounds));
    put(o, "why", status_text(v.why));
    put(o, "lines", lines);
    return o;
}

json_t *status_explain(const struct parts *p, uint8_t which)
{
    json_t *o = json_object(), *ids = json_array();
    for (uint8_t i = 0; i < p->conf->cluster.identities.n; i++)
        if (which == STORE_NONE || which == i) json_array_append_new(ids, explain_json(p, i));
    put(o, "identities", ids);
    return o;
}
