#include "proto/cluster_conf.h"

#include <stdio.h>

#include "base/disk.h"
#include "base/sha256.h"

#define O(type, member) offsetof(struct type, member)
#define C(member)       offsetof(struct cluster_conf, member)

static const char *const publisher_words[] = { "rfc2136", "exec", "file", NULL };
static const char *const mode_words[] = { "overlap", "exclusive", NULL };
static const char *const both_words[] = { "stay", "least_bad", "hold", NULL };
static const char *const tsig_words[] = { "hmac-sha256", "hmac-sha512", "hmac-sha384", NULL };

static const struct opt identity_rows[] = {
    { "name", OPT_STRING, O(identity_conf, name), NULL, 1, 63,
      "name of the identity, used in commands and logs" },
    { "node", OPT_STRING, O(identity_conf, node), NULL, 1, 63, "node that owns the address" },
    { "ip", OPT_ADDR, O(identity_conf, ip), NULL, 0, 0, "public address it sends from" },
    { "helo", OPT_STRING, O(identity_conf, helo), NULL, 4, 253, "HELO name; A and PTR must match it" },
    { 0 },
};
static const struct opt_table identity_table = { identity_rows, sizeof(struct identity_conf),
                                                 O(identity_conf, line) };

static const struct opt node_rows[] = {
    { "name", OPT_STRING, O(host_conf, name), NULL, 1, 63,
      "name of the node; also the name in its certificate" },
    { "handoff", OPT_ADDR_PORT, O(host_conf, link), NULL, 0, 7301,
      "where other nodes hand mail over (mutual TLS)" },
    { "http", OPT_ADDR_PORT, O(host_conf, http), "", 0, 9301, "where monitoring asks (health, metrics)" },
    { 0 },
};
static const struct opt_table node_table = { node_rows, sizeof(struct host_conf), O(host_conf, line) };

static const struct opt coordinator_rows[] = {
    { "name", OPT_STRING, O(host_conf, name), NULL, 1, 63,
      "name of the coordinator; also the name in its certificate" },
    { "link", OPT_ADDR_PORT, O(host_conf, link), NULL, 0, 7300, "where nodes connect (mutual TLS)" },
    { "http", OPT_ADDR_PORT, O(host_conf, http), "", 0, 9300, "where monitoring asks (health, metrics)" },
    { 0 },
};
static const struct opt_table coordinator_table = { coordinator_rows, sizeof(struct host_conf),
                                                    O(host_conf, line) };

static const struct opt domain_rows[] = {
    { "name", OPT_STRING, O(domain_conf, name), NULL, 1, 253, "domain we accept mail for" },
    { "next_hop", OPT_STRING, O(domain_conf, next_hop), NULL, 1, 300,
      "where its mail goes: \"[10.0.0.25]:25\" or \"mail.inside.example:25\"" },
    { 0 },
};
static const struct opt_table domain_table = { domain_rows, sizeof(struct domain_conf),
                                               O(domain_conf, line) };

static const struct opt blocklist_rows[] = {
    { "zone", OPT_STRING, O(blocklist_conf, zone), NULL, 3, 253, "zone of the list" },
    { "codes", OPT_LIST, O(blocklist_conf, codes), NULL, 1, 64,
      "answers that mean listed: 2, 2-11, 127.0.1.0/24, &4 (bit)", .item = OPT_STRING },
    { "policy", OPT_LIST, O(blocklist_conf, policy), "", 0, 64,
      "answers that mean bad configuration: they alarm, never count", .item = OPT_STRING },
    { "weight", OPT_U64, O(blocklist_conf, weight), "3", 0, 100, "what a listing adds to the score" },
    { "delist", OPT_STRING, O(blocklist_conf, delist), "", 0, 500, "page where people ask to be removed" },
    { 0 },
};
static const struct opt_table blocklist_table = { blocklist_rows, sizeof(struct blocklist_conf),
                                                  O(blocklist_conf, line) };

static const struct opt rows[] = {
    { "cluster", OPT_STRING, C(cluster), NULL, 1, 63,
      "name of the cluster; in Redis keys and in the _egress record" },
    { "allow_documentation_addresses", OPT_BOOL, C(allow_documentation_addresses), "no", 0, 0,
      "accept 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32 (labs only)" },
    { "identities", OPT_LIST, C(identities), NULL, 1, IDENTITIES_MAX, "who may send, in order of preference",
      .sub = &identity_table },
    { "nodes", OPT_LIST, C(nodes), NULL, 1, NODES_MAX, "the edge hosts", .sub = &node_table },
    { "coordinators", OPT_LIST, C(coordinators), "", 0, COORDINATORS_MAX, "the hosts that decide who sends",
      .sub = &coordinator_table },
    { "domains", OPT_LIST, C(domains), "", 0, 4096, "domains we accept mail for", .sub = &domain_table },
    { "inside", OPT_LIST, C(inside), "", 0, 256, "hosts that may relay out without AUTH",
      .item = OPT_PREFIX },
    { "resolvers", OPT_LIST, C(resolvers), "", 0, 8, "recursive resolvers; empty: those of /etc/resolv.conf",
      .item = OPT_ADDR },

    { "redis.server", OPT_ADDR_PORT, C(redis.server), "", 0, 6379, "the shared store" },
    { "redis.user", OPT_STRING, C(redis.user), "", 0, 128, "ACL user" },
    { "redis.password_file", OPT_FILE, C(redis.password_file), "", 0, 0, "file with the user's password" },
    { "redis.tls", OPT_BOOL, C(redis.tls), "no", 0, 0, "speak TLS to Redis" },
    { "redis.ca", OPT_FILE, C(redis.ca_file), "", 0, 0, "certificate authority of the Redis server" },
    { "redis.tls_name", OPT_STRING, C(redis.tls_name), "", 0, 253, "name its certificate must carry" },

    { "dns.publisher", OPT_WORD, C(dns.publisher), "rfc2136", 0, 0, "how our records are changed",
      .words = publisher_words },
    { "dns.server", OPT_ADDR_PORT, C(dns.server), "", 0, 53, "rfc2136: primary that takes the updates" },
    { "dns.zone", OPT_STRING, C(dns.zone), "", 0, 240, "zone we own _spf and _egress in (gw.example.com)" },
    { "dns.mail_domain", OPT_STRING, C(dns.mail_domain), "", 0, 253,
      "MAIL FROM domain whose SPF is evaluated" },
    { "dns.tsig.name", OPT_STRING, C(dns.tsig_name), "", 0, 253, "rfc2136: name of the key" },
    { "dns.tsig.algorithm", OPT_WORD, C(dns.tsig_algorithm), "hmac-sha256", 0, 0,
      "rfc2136: algorithm of the key", .words = tsig_words },
    { "dns.tsig.secret_file", OPT_FILE, C(dns.tsig_secret_file), "", 0, 0,
      "rfc2136: file with the key's secret, base64" },
    { "dns.command", OPT_FILE, C(dns.command), "", 0, 0,
      "exec: program that gets the wanted records as JSON on standard input" },
    { "dns.path", OPT_FILE, C(dns.path), "", 0, 0, "file: zone fragment to write" },
    { "dns.reload", OPT_STRING, C(dns.reload), "", 0, 1000, "file: command to run after writing" },
    { "dns.update_timeout", OPT_DURATION, C(dns.update_timeout_ms), "5s", 100, MINUTES(5),
      "one attempt to change the records" },
    { "dns.spf.mode", OPT_WORD, C(dns.spf.mode), "overlap", 0, 0,
      "overlap: every healthy identity is authorised; exclusive: only the active one", .words = mode_words },
    { "dns.spf.ttl", OPT_DURATION, C(dns.spf.ttl_ms), "5m", SECONDS(1), DAYS(1), "time to live of _spf" },
    { "dns.spf.egress_ttl", OPT_DURATION, C(dns.spf.egress_ttl_ms), "30s", SECONDS(1), HOURS(1),
      "time to live of _egress" },
    { "dns.spf.grace", OPT_DURATION, C(dns.spf.grace_ms), "1h", 0, DAYS(7),
      "how long a listed identity stays authorised after its last message" },
    { "dns.spf.verify_round", OPT_DURATION, C(dns.spf.verify_round_ms), "5s", 0, MINUTES(5),
      "between two verifying rounds" },
    { "dns.spf.verify_timeout", OPT_DURATION, C(dns.spf.verify_timeout_ms), "10m", SECONDS(1), HOURS(6),
      "all of a verification" },
    { "dns.spf.verify_age", OPT_DURATION, C(dns.spf.verify_age_ms), "1h", SECONDS(1), DAYS(1),
      "how old a verification may be and still count" },
    { "dns.spf.verify_strict", OPT_BOOL, C(dns.spf.verify_strict), "no", 0, 0,
      "a name server that does not answer is never tolerated" },

    { "blocklists", OPT_LIST, C(blocklists), "", 0, BLOCKLISTS_MAX,
      "DNS blocklists to watch for our own addresses", .sub = &blocklist_table },

    { "failover.lease", OPT_DURATION, C(failover.lease_ms), "15s", 500, MINUTES(5),
      "how long a sender may send without renewing" },
    { "failover.renew", OPT_DURATION, C(failover.renew_ms), "3s", 100, MINUTES(1),
      "how often the sender renews" },
    { "failover.redis_timeout", OPT_DURATION, C(failover.redis_timeout_ms), "3s", 50, MINUTES(1),
      "one Redis call" },
    { "failover.margin", OPT_DURATION, C(failover.margin_ms), "2s", 10, MINUTES(1),
      "the sender stops this long before its lease ends" },
    { "failover.stall", OPT_DURATION, C(failover.stall_ms), "2s", 100, MINUTES(1),
      "a process that stood still this long stops sending until it has renewed" },
    { "failover.heartbeat", OPT_DURATION, C(failover.heartbeat_ms), "3s", 50, MINUTES(1),
      "node to coordinator" },
    { "failover.takeover_slack", OPT_DURATION, C(failover.takeover_slack_ms), "3s", 10, MINUTES(5),
      "added to lease × 1.01 before a silent sender counts as fenced" },
    { "failover.redis_role_wait", OPT_DURATION, C(failover.redis_role_wait_ms), "30s", 0, MINUTES(10),
      "extra wait after Redis changed its role or lost data" },
    { "failover.poll", OPT_DURATION, C(failover.poll_ms), "10m", 200, DAYS(1),
      "how often each blocklist is asked" },
    { "failover.confirm", OPT_DURATION, C(failover.confirm_ms), "2m", 100, HOURS(6),
      "between the polls that confirm a listing" },
    { "failover.confirm_polls", OPT_U64, C(failover.confirm_polls), "2", 1, 10,
      "polls that must agree before a listing is acted on" },
    { "failover.dwell", OPT_DURATION, C(failover.dwell_ms), "6h", 0, DAYS(30),
      "least time between two automatic switches" },
    { "failover.daily_cap", OPT_U64, C(failover.daily_cap), "2", 0, 10000, "automatic switches in 24 hours" },
    { "failover.clean_for", OPT_DURATION, C(failover.clean_for_ms), "24h", 0, DAYS(60),
      "how long an identity must be off all lists before it may stand by again" },
    { "failover.clean_polls", OPT_U64, C(failover.clean_polls), "12", 1, 1000,
      "clean polls in a row needed for that" },
    { "failover.refusal_window", OPT_DURATION, C(failover.refusal_window_ms), "30m", SECONDS(1), DAYS(1),
      "how long receivers' refusals count as evidence" },
    { "failover.threshold", OPT_U64, C(failover.threshold), "5", 1, 1000, "score that makes a switch" },
    { "failover.warn", OPT_U64, C(failover.warn), "3", 1, 1000, "score that warns" },
    { "failover.eligible_below", OPT_U64, C(failover.eligible_below), "3", 1, 1000,
      "a standby's score must be below this" },
    { "failover.better_by", OPT_U64, C(failover.margin_score), "2", 0, 1000,
      "a standby's score must be lower than the sender's by this" },
    { "failover.both_listed", OPT_WORD, C(failover.both_listed), "stay", 0, 0,
      "when every identity is listed", .words = both_words },
    { "failover.fence_command", OPT_FILE, C(failover.fence_command), "", 0, 0,
      "program that cuts a node off when it does not answer: NAME EPOCH as arguments, exit 0 confirms" },
    { "failover.fence_timeout", OPT_DURATION, C(failover.fence_timeout_ms), "20s", 100, MINUTES(10),
      "how long to wait for it" },
    { 0 },
};

const struct opt_table cluster_conf_table = { rows, sizeof(struct cluster_conf), SIZE_MAX };

const struct identity_conf *cluster_identity(const struct cluster_conf *c, struct slice name)
{
    CONF_EACH(struct identity_conf, it, c->identities)
    if (slice_eq(slice_of(it->name), name)) return it;
    return NULL;
}

static const struct host_conf *find_host(const struct opt_list *hosts, struct slice name)
{
    CONF_EACH(struct host_conf, it, *hosts)
    if (slice_eq(slice_of(it->name), name)) return it;
    return NULL;
}

const struct host_conf *cluster_node(const struct cluster_conf *c, struct slice name)
{
    return find_host(&c->nodes, name);
}

const struct host_conf *cluster_coordinator(const struct cluster_conf *c, struct slice name)
{
    return find_host(&c->coordinators, name);
}

const struct domain_conf *cluster_domain(const struct cluster_conf *c, struct slice domain)
{
    CONF_EACH(struct domain_conf, it, c->domains)
    if (slice_ieq(slice_of(it->name), domain)) return it;
    return NULL;
}

bool cluster_is_inside(const struct cluster_conf *c, const struct addr *a)
{
    CONF_EACH(struct prefix, it, c->inside)
    if (prefix_has(it, a)) return true;
    return false;
}

/* ---- checks by meaning ---- */

static bool is_host_name(struct slice s)
{
    struct slice label;
    if (s.n == 0 || s.n > 253 || s.p[s.n - 1] == '.') return false;
    while (slice_cut(&s, '.', &label)) {
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-') return false;
        for (size_t i = 0; i < label.n; i++)
            if (!ascii_is_alnum(label.p[i]) && label.p[i] != '-') return false;
    }
    return true;
}

/* Names stand in Redis keys, DNS records, certificates and file names: letters, digits, hyphen. */
static bool is_name(struct slice s)
{
    return is_host_name(s) && slice_find(s, '.') == s.n;
}

static void check_identity(struct opt_source *src, const struct cluster_conf *c,
                           const struct identity_conf *it)
{
    char ip[ADDR_TEXT_MAX];
    addr_format(&it->ip, ip);
    if (!is_name(slice_of(it->name)))
        opt_error(src, it->line, "identities.name",
                  "\"%s\" is not allowed; expected letters, digits and hyphens", it->name);
    if (!is_host_name(slice_of(it->helo)) || slice_find(slice_of(it->helo), '.') == strlen(it->helo))
        opt_error(src, it->line, "identities.helo", "\"%s\" is not a full host name (RFC 5321 4.1.1.1)",
                  it->helo);
    if (!cluster_node(c, slice_of(it->node)))
        opt_error(src, it->line, "identities.node", "there is no node \"%s\" below nodes", it->node);
    if (addr_is_private(&it->ip))
        opt_error(
            src, it->line, "identities.ip",
            "%s is a private address: receivers never see it; expected the public address mail leaves from",
            ip);
    if (addr_is_documentation(&it->ip) && !c->allow_documentation_addresses)
        opt_error(
            src, it->line, "identities.ip",
            "%s is a documentation address (RFC 5737, 3849); set allow_documentation_addresses in a lab", ip);
    CONF_EACH(struct identity_conf, other, c->identities)
    {
        if (other >= it) break;
        if (slice_eq(slice_of(other->name), slice_of(it->name)))
            opt_error(src, it->line, "identities.name", "\"%s\" stands on line %u too", it->name,
                      other->line);
        if (addr_eq_ip(&other->ip, &it->ip))
            opt_error(
                src, it->line, "identities.ip",
                "%s belongs to identity \"%s\" (line %u) already: two identities never share an address", ip,
                other->name, other->line);
        if (slice_ieq(slice_of(other->helo), slice_of(it->helo)))
            opt_error(src, it->line, "identities.helo", "\"%s\" belongs to identity \"%s\" (line %u) already",
                      it->helo, other->name, other->line);
    }
}

static void check_hosts(struct opt_source *src, const struct opt_list *hosts, const char *key)
{
    CONF_EACH(struct host_conf, it, *hosts)
    {
        if (!is_name(slice_of(it->name)))
            opt_error(src, it->line, key,
                      "\"%s\" is not allowed as a name; expected letters, digits and hyphens", it->name);
        CONF_EACH(struct host_conf, other, *hosts)
        {
            if (other >= it) break;
            if (slice_eq(slice_of(other->name), slice_of(it->name)))
                opt_error(src, it->line, key, "\"%s\" stands on line %u too", it->name, other->line);
            if (addr_eq_ip(&other->link, &it->link) && other->link.port == it->link.port)
                opt_error(src, it->line, key, "\"%s\" has the same address and port as \"%s\" (line %u)",
                          it->name, other->name, other->line);
        }
    }
}

static void check_domains(struct opt_source *src, const struct cluster_conf *c)
{
    CONF_EACH(struct domain_conf, it, c->domains)
    {
        if (!is_host_name(slice_of(it->name)))
            opt_error(src, it->line, "domains.name",
                      "\"%s\" is not a domain name; write an internationalised one as xn--…", it->name);
        CONF_EACH(struct domain_conf, other, c->domains)
        {
            if (other >= it) break;
            if (slice_ieq(slice_of(other->name), slice_of(it->name)))
                opt_error(src, it->line, "domains.name", "\"%s\" stands on line %u too", it->name,
                          other->line);
        }
    }
}

static void check_dns(struct opt_source *src, const struct cluster_conf *c)
{
    if (!c->coordinators.n) return;
    if (!*c->dns.zone)
        opt_error(src, 0, "dns.zone", "is missing; expected the zone that holds _spf and _egress");
    else if (!is_host_name(slice_of(c->dns.zone)))
        opt_error(src, 0, "dns.zone", "\"%s\" is not a domain name", c->dns.zone);
    if (!*c->dns.mail_domain)
        opt_error(src, 0, "dns.mail_domain", "is missing; expected the domain whose SPF receivers check");
    if (c->dns.publisher == PUBLISHER_RFC2136) {
        if (c->dns.server.family == ADDR_NONE)
            opt_error(src, 0, "dns.server", "is missing; publisher rfc2136 needs the primary's address");
        if (!*c->dns.tsig_name) opt_error(src, 0, "dns.tsig.name", "is missing; updates are always signed");
        if (!c->dns.tsig_secret_file)
            opt_error(src, 0, "dns.tsig.secret_file", "is missing; updates are always signed");
        if (c->dns.tsig_algorithm == TSIG_WORD_SHA384)
            opt_error(src, 0, "dns.tsig.algorithm",
                      "hmac-sha384 cannot be used: ldns 1.8 misspells its name and cannot sign with it; "
                      "expected hmac-sha256 or hmac-sha512");
    }
    if (c->dns.publisher == PUBLISHER_EXEC && !c->dns.command)
        opt_error(src, 0, "dns.command", "is missing; publisher exec runs it");
    if (c->dns.publisher == PUBLISHER_FILE && !c->dns.path)
        opt_error(src, 0, "dns.path", "is missing; publisher file writes it");
}

static void check_timing(struct opt_source *src, const struct cluster_conf *c)
{
    uint64_t need = c->failover.renew_ms + 2 * c->failover.redis_timeout_ms + c->failover.margin_ms;
    if (need > c->failover.lease_ms)
        opt_error(src, 0, "failover.lease",
                  "%" PRIu64 " ms is too short: renew + 2 × redis_timeout + margin is %" PRIu64
                  " ms and must fit in it",
                  c->failover.lease_ms, need);
    if (c->failover.stall_ms >= c->failover.lease_ms)
        opt_error(src, 0, "failover.stall", "must be shorter than failover.lease");
    if (c->coordinators.n && c->redis.server.family == ADDR_NONE)
        opt_error(src, 0, "redis.server", "is missing; coordinators and nodes share their state there");
}

static void check(struct opt_source *src, const struct cluster_conf *c)
{
    if (!is_name(slice_of(c->cluster)))
        opt_error(src, 0, "cluster", "\"%s\" is not allowed; expected letters, digits and hyphens",
                  c->cluster);
    CONF_EACH(struct identity_conf, it, c->identities) check_identity(src, c, it);
    check_hosts(src, &c->nodes, "nodes");
    check_hosts(src, &c->coordinators, "coordinators");
    check_domains(src, c);
    check_dns(src, c);
    check_timing(src, c);
}

enum err cluster_conf_load_text(struct opt_source *src, struct slice yaml, struct cluster_conf *out)
{
    enum err err = opt_load_text(src, yaml, &cluster_conf_table, out);
    if (err) return err;
    sha256_hex(yaml, out->digest);
    check(src, out);
    return src->n_errors ? ERR_MALFORMED : ERR_OK;
}

enum err cluster_conf_load(struct opt_source *src, struct cluster_conf *out)
{
    struct buf text;
    enum err err = opt_read_file(src, &text);
    if (!err) err = cluster_conf_load_text(src, buf_slice(&text), out);
    buf_deinit(&text);
    return err;
}
