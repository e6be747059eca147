#include "coordinator/conf.h"

#include <stdio.h>

#include "base/log.h"
#include "dns/dnsbl_conf.h"

#define C(member) offsetof(struct coordinator_conf, member)

static const char *const level_words[] = { "debug", "info", "warn", "error", NULL };

static const struct opt rows[] = {
    { "cluster", OPT_FILE, C(cluster_file), NULL, 0, 0,
      "the cluster's configuration, the same on every host" },
    { "name", OPT_STRING, C(name), NULL, 1, 63,
      "name of this coordinator below coordinators in the cluster's file" },
    { "state", OPT_FILE, C(state_dir), "/var/lib/gemel", 0, 0, "folder of the journal" },
    { "tls.ca", OPT_FILE, C(tls.ca), NULL, 0, 0, "certificate authority of the cluster's own links" },
    { "tls.cert", OPT_FILE, C(tls.cert), NULL, 0, 0,
      "this coordinator's certificate; its name is the coordinator's name" },
    { "tls.key", OPT_FILE, C(tls.key), NULL, 0, 0, "its key" },
    { "admin", OPT_FILE, C(admin_path), "/run/gemel/coordinator.sock", 0, 0, "unix socket for gemelctl" },
    { "log", OPT_WORD, C(log_level), "info", 0, 0, "least level that is logged", .words = level_words },
    { 0 },
};

const struct opt_table coordinator_conf_table = { rows, sizeof(struct coordinator_conf), SIZE_MAX };

static void check_self(struct opt_source *src, struct coordinator_conf *c)
{
    c->self = cluster_coordinator(&c->cluster, slice_of(c->name));
    if (!c->self)
        opt_error(src, 0, "name", "\"%s\" is not below coordinators in %s", c->name, c->cluster_file);
}

/* ---- blocklists ---- */

static void add_zone(struct opt_source *src, struct coordinator_conf *c, const struct blocklist_conf *it)
{
    const struct dnsbl_known *known = dnsbl_known_find(slice_of(it->zone));
    struct dnsbl_conf row = { it->line, it->zone, &it->codes, &it->policy, it->weight };
    if (c->n_zones == POLICY_ZONES_MAX) {
        opt_error(src, it->line, "blocklists", "more than %d lists", POLICY_ZONES_MAX);
        return;
    }
    struct watched_zone *z = &c->zones[c->n_zones];
    if (dnsbl_conf_load(src, &row, &z->zone)) return;
    for (size_t i = 0; i < c->n_zones; i++)
        if (dns_name_eq(dns_name_slice(&c->zones[i].zone.name), slice_of(it->zone)))
            opt_error(src, it->line, "blocklists.zone", "%s stands in the list twice", it->zone);
    z->delist = *it->delist ? it->delist : known && known->delist.n ? known->delist.p : "";
    struct buf shown;
    buf_init(&shown, 1024);
    dnsbl_redact(slice_of(it->zone), &shown);
    snprintf(z->shown, sizeof z->shown, "%s", buf_cstr(&shown));
    buf_deinit(&shown);
    c->n_zones++;
}

/* ---- secrets ---- */

static void read_secrets(struct opt_source *src, struct coordinator_conf *c)
{
    const struct cluster_conf *k = &c->cluster;
    if (k->redis.password_file &&
        opt_read_secret(src, "redis.password_file", k->redis.password_file, &c->redis_password))
        return; /* opt_read_secret has said why */
    if (k->dns.publisher != PUBLISHER_RFC2136 || !k->dns.tsig_secret_file) return;
    const char *secret = NULL, *why = "";
    if (opt_read_secret(src, "dns.tsig.secret_file", k->dns.tsig_secret_file, &secret)) return;
    struct slice algorithm = k->dns.tsig_algorithm == TSIG_WORD_SHA512 ? SLICE("hmac-sha512")
                                                                       : SLICE("hmac-sha256");
    if (tsig_key_make(slice_of(k->dns.tsig_name), algorithm, slice_of(secret), &c->tsig, &why))
        opt_error(src, 0, "dns.tsig.secret_file", "%s: %s", k->dns.tsig_secret_file, why);
    else
        c->has_tsig = true;
}

enum err coordinator_conf_load(struct opt_source *src, struct opt_source *cluster_src,
                               struct coordinator_conf *out)
{
    opt_source_init(cluster_src, "");
    enum err err = opt_load_file(src, &coordinator_conf_table, out);
    if (err) return err;
    opt_source_deinit(cluster_src);
    opt_source_init(cluster_src, out->cluster_file);
    err = cluster_conf_load(cluster_src, &out->cluster);
    if (!err) {
        check_self(src, out);
        read_secrets(cluster_src, out);
    }
    CONF_EACH(struct blocklist_conf, it, out->cluster.blocklists) add_zone(cluster_src, out, it);
    return err || src->n_errors || cluster_src->n_errors ? ERR_MALFORMED : ERR_OK;
}

void coordinator_conf_wipe(struct coordinator_conf *c)
{
    if (c->has_tsig) tsig_key_wipe(&c->tsig);
    c->has_tsig = false;
}

/* ---- for the cores ---- */

void coordinator_conf_failover(const struct coordinator_conf *c, struct fo_conf *out)
{
    const struct cluster_conf *k = &c->cluster;
    failover_conf_default(out);
    snprintf(out->me, sizeof out->me, "%s", c->name);
    CONF_EACH(struct identity_conf, it, k->identities)
    {
        struct fo_identity *id = &out->ids[out->n++];
        snprintf(id->name, sizeof id->name, "%s", it->name);
        snprintf(id->node, sizeof id->node, "%s", it->node);
    }
    out->exclusive = k->dns.spf.mode == SPF_EXCLUSIVE;
    out->verify_strict = k->dns.spf.verify_strict;
    out->fence_command = k->failover.fence_command != NULL;
    out->both_listed = k->failover.both_listed == BOTH_LISTED_LEAST_BAD ? FO_BOTH_LEAST_BAD
                       : k->failover.both_listed == BOTH_LISTED_HOLD    ? FO_BOTH_HOLD
                                                                        : FO_BOTH_STAY;
    out->lease_ms = out->coord_lease_ms = k->failover.lease_ms;
    out->coord_margin_ms = k->failover.margin_ms;
    out->store_timeout_ms = k->failover.redis_timeout_ms;
    out->view_ms = MIN(out->view_ms, k->failover.lease_ms / 10);
    out->slack_ms = k->failover.takeover_slack_ms;
    out->role_wait_ms = k->failover.redis_role_wait_ms;
    out->silent_ms = 2 * k->failover.heartbeat_ms;
    out->confirm_limit_ms = MAX(out->confirm_limit_ms,
                                3 * k->failover.confirm_polls * k->failover.confirm_ms);
    out->fence_limit_ms = MIN(out->fence_limit_ms, k->failover.lease_ms);
    out->order_repeat_ms = MIN(out->order_repeat_ms, k->failover.heartbeat_ms);
    out->cooldown_ms = MIN(out->cooldown_ms, 10 * k->failover.poll_ms);
    out->verify_limit_ms = k->dns.spf.verify_timeout_ms;
    out->verify_gap_ms = k->dns.spf.verify_round_ms;
    out->spf_fresh_ms = k->dns.spf.verify_age_ms;
    out->spf_check_ms = MIN(out->spf_check_ms, 10 * k->failover.poll_ms);
    out->spf_ttl_ms = k->dns.spf.ttl_ms;
    out->grace_ms = k->dns.spf.grace_ms;
    out->dns_timeout_ms = k->dns.update_timeout_ms;
    out->dwell_ms = k->failover.dwell_ms;
    out->daily_cap = (uint32_t)k->failover.daily_cap;
    out->score_lead = (uint32_t)k->failover.margin_score;
}

void coordinator_conf_policy(const struct coordinator_conf *c, uint8_t n_resolvers, struct policy_conf *out)
{
    const struct cluster_conf *k = &c->cluster;
    policy_conf_default(out);
    CONF_EACH(struct identity_conf, it, k->identities)
    snprintf(out->names[out->n_identities++], STORE_NAME_MAX, "%s", it->name);
    for (size_t i = 0; i < c->n_zones; i++) {
        struct policy_zone_conf *z = &out->zones[out->n_zones++];
        snprintf(z->name, sizeof z->name, "%s", c->zones[i].shown);
        z->weight = (uint32_t)c->zones[i].zone.weight;
    }
    out->n_resolvers = n_resolvers;
    out->threshold = (uint32_t)k->failover.threshold;
    out->warn = (uint32_t)MIN(k->failover.warn, k->failover.eligible_below);
    out->confirm_polls = (uint32_t)k->failover.confirm_polls;
    out->confirm_resolvers = MIN(out->confirm_resolvers, n_resolvers);
    out->poll_ms = k->failover.poll_ms;
    out->confirm_ms = k->failover.confirm_ms;
    out->watch_ms = MIN(out->watch_ms, k->failover.poll_ms);
    out->probe_span_ms = MIN(out->probe_span_ms, 3 * k->failover.poll_ms);
    out->probe_fresh_ms = 2 * k->failover.poll_ms;
    out->keep_ms = 6 * k->failover.poll_ms;
    out->clean_for_ms = k->failover.clean_for_ms;
    out->refusal_window_ms = k->failover.refusal_window_ms;
    out->clean_polls = (uint32_t)k->failover.clean_polls;
}
