/* /metrics: Prometheus text (exposition format 0.0.4), names and labels as in docs/admin-api.md. */
#include <stdio.h>

#include "base/redis_uv.h"
#include "base/timers.h"
#include "base/tls_uv.h"
#include "coordinator/sampler.h"
#include "coordinator/status.h"

struct metric {
    struct buf *out;
    const char *name;
};

static struct metric metric(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_putf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    return (struct metric){ out, name };
}

/* Label values are names, addresses and zones: nothing in them needs escaping. */
static void sample(const struct metric *m, double value, const char *labels, ...) PRINTF_LIKE(3, 4);
static void sample(const struct metric *m, double value, const char *labels, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, labels);
    vsnprintf(text, sizeof text, labels, ap);
    va_end(ap);
    buf_put(m->out, slice_of(m->name));
    if (*text) buf_putf(m->out, "{%s}", text);
    buf_putf(m->out, " %.15g\n", value);
}

static const struct identity_conf *identity(const struct parts *p, uint8_t i)
{
    return &((const struct identity_conf *)p->conf->cluster.identities.items)[i];
}

static void put_cluster(const struct parts *p, const struct fo_status *st, struct buf *out)
{
    uint8_t n = (uint8_t)p->conf->cluster.identities.n;
    struct metric m = metric(out, "gemel_egress_active", "gauge",
                             "1: this identity sends, as its node reports it");
    for (uint8_t i = 0; i < n; i++)
        sample(&m, st->ids[i].fresh && st->ids[i].reported == STORE_R_ACTIVE && st->ids[i].lease_left_ms > 0,
               "identity=\"%s\"", identity(p, i)->name);
    m = metric(out, "gemel_egress_epoch", "gauge", "epoch of the grant in force");
    sample(&m, (double)st->epoch, "%s", "");
    m = metric(out, "gemel_lease_seconds_left", "gauge",
               "what is left of each identity's lease, as its node reports it");
    for (uint8_t i = 0; i < n; i++)
        sample(&m, (double)st->ids[i].lease_left_ms / 1000, "identity=\"%s\"", identity(p, i)->name);
    m = metric(out, "gemel_coordinator_leading", "gauge", "1: this coordinator decides");
    sample(&m, st->leading, "%s", "");
    m = metric(out, "gemel_coordinator_state", "gauge", "1: the state the failover machine is in");
    for (unsigned s = 0; s < FO_STATES; s++)
        sample(&m, st->state == (enum fo_state)s, "state=\"%s\"", failover_state_name((enum fo_state)s));
    m = metric(out, "gemel_identity_fit", "gauge", "1: could take over now");
    for (uint8_t i = 0; i < n; i++) sample(&m, st->ids[i].fit, "identity=\"%s\"", identity(p, i)->name);
    m = metric(out, "gemel_identity_score", "gauge",
               "sum of the weights of what speaks against the identity");
    for (uint8_t i = 0; i < n; i++) sample(&m, st->ids[i].score, "identity=\"%s\"", identity(p, i)->name);
    m = metric(out, "gemel_queue_messages", "gauge", "outbound messages waiting at the identity's node");
    for (uint8_t i = 0; i < n; i++)
        sample(&m, (double)st->ids[i].queue_out, "identity=\"%s\"", identity(p, i)->name);
}

static void put_nodes(const struct parts *p, struct buf *out)
{
    struct links_node n;
    struct metric m = metric(out, "gemel_node_up", "gauge", "1: the node is connected to this coordinator");
    for (size_t i = 0; i < links_nodes(p->links); i++) {
        links_node(p->links, i, &n);
        sample(&m, n.up, "node=\"%s\"", n.name);
    }
    m = metric(out, "gemel_node_clock_offset_seconds", "gauge", "the node's wall clock minus ours");
    for (size_t i = 0; i < links_nodes(p->links); i++) {
        links_node(p->links, i, &n);
        if (n.heard) sample(&m, (double)n.clock_off_ms / 1000, "node=\"%s\"", n.name);
    }
}

static void put_dnsbl(const struct parts *p, struct buf *out)
{
    char ip[ADDR_TEXT_MAX];
    struct monitor_zone zone;
    uint8_t zones = (uint8_t)monitor_zones(p->monitor), n = (uint8_t)p->conf->cluster.identities.n;
    struct metric m = metric(out, "gemel_dnsbl_listed", "gauge",
                             "1: the newest answer of any resolver says listed");
    for (uint8_t z = 0; z < zones; z++)
        for (uint8_t i = 0; i < n; i++)
            sample(&m, monitor_lists(p->monitor, z, i), "ip=\"%s\",zone=\"%s\"",
                   addr_format(&identity(p, i)->ip, ip), p->conf->zones[z].shown);
    m = metric(out, "gemel_dnsbl_zone_health", "gauge",
               "1: the zone's test points are as they must be; 0: it does not count");
    for (uint8_t z = 0; z < zones; z++) {
        monitor_zone(p->monitor, z, &zone);
        sample(&m, zone.health == POLICY_OK, "zone=\"%s\"", zone.conf->shown);
    }
    m = metric(out, "gemel_dnsbl_query_errors_total", "counter", "answers that say neither listed nor clean");
    for (uint8_t z = 0; z < zones; z++)
        for (unsigned w = 0; w <= DNSBL_WHY_FAMILY; w++) {
            uint64_t errors = monitor_errors(p->monitor, z, (enum dnsbl_why)w);
            if (errors)
                sample(&m, (double)errors, "zone=\"%s\",code=\"%s\"", p->conf->zones[z].shown,
                       dnsbl_why_name((enum dnsbl_why)w));
        }
}

static void put_spf(const struct parts *p, struct buf *out)
{
    char addr[ADDR_TEXT_MAX];
    struct records_look look;
    records_look(p->records, &look);
    struct metric m = metric(out, "gemel_spf_authorized", "gauge",
                             "1: SPF passes for the identity at this authoritative server");
    for (size_t s = 0; look.report && s < look.report->n; s++)
        for (uint8_t i = 0; i < p->conf->cluster.identities.n; i++)
            sample(&m, (look.report->server[s].pass & BIT(i)) != 0, "server=\"%s\",identity=\"%s\"",
                   addr_format(&look.report->server[s].addr, addr), identity(p, i)->name);
}

static void put_switches(const struct parts *p, const struct fo_status *st, struct buf *out)
{
    struct sampler_switch last;
    sampler_switch(p->sampler, &last);
    struct metric m = metric(out, "gemel_switchover_step_seconds", "gauge",
                             "time each step of the last switch took");
    for (unsigned s = 0; last.known && s < STORE_STEPS; s++)
        sample(&m, (double)last.took_ms[s] / 1000, "step=\"%s\"", store_step_name((enum store_step)s));
    m = metric(out, "gemel_switchover_gap_seconds", "gauge", "how long nobody sent at the last switch");
    if (last.known) sample(&m, (double)last.gap_ms / 1000, "%s", "");
    m = metric(out, "gemel_switches_total", "counter", "switches this coordinator has led");
    sample(&m, st->switches, "%s", "");
    m = metric(out, "gemel_fence_total", "counter", "senders fenced, by what proved their gate closed");
    sample(&m, (double)last.fences_acked, "reason=\"%s\"", "acknowledged");
    sample(&m, (double)last.fences_expired, "reason=\"%s\"", "expired");
    sample(&m, (double)decider_fences_run(p->decider), "reason=\"%s\"", "command");
}

static void count_issue(void *owner, const char *text)
{
    ++*(unsigned *)owner;
}

static void put_self(const struct parts *p, const struct fo_status *st, struct buf *out)
{
    unsigned issues = 0;
    status_issues(p, count_issue, &issues);
    struct metric m = metric(out, "gemel_redis_role_changes_total", "counter",
                             "times another Redis server answered");
    sample(&m, st->role_changes, "%s", "");
    m = metric(out, "gemel_redis_up", "gauge", "1: connected to Redis");
    sample(&m, redis_is_up(p->redis), "%s", "");
    m = metric(out, "gemel_issues", "gauge", "issues that status shows");
    sample(&m, issues, "%s", "");
    m = metric(out, "gemel_certificate_expiry_timestamp_seconds", "gauge",
               "Unix time at which our certificate ends");
    sample(&m, (double)tls_context_expires_s(p->tls), "%s", "");
    m = metric(out, "gemel_build_info", "gauge", "version of this program");
    sample(&m, 1, "version=\"%s\"", GEMEL_VERSION);
}

void status_metrics(const struct parts *p, struct buf *out)
{
    struct fo_status st;
    decider_status(p->decider, &st);
    put_cluster(p, &st, out);
    put_nodes(p, out);
    put_dnsbl(p, out);
    put_spf(p, out);
    put_switches(p, &st, out);
    put_self(p, &st, out);
}
