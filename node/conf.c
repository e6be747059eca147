#include "node/conf.h"

#include <stdio.h>

#include "base/log.h"
#include "base/disk.h"
#include "dns/dnsbl_conf.h"
#include "node/relay/tls_policy.h"
#include "proto/replies/load.h"

#define C(member) offsetof(struct node_conf, member)

static const char *const level_words[] = { "debug", "info", "warn", "error", NULL };

static const char *const failure_words[] = { "clear", "defer", NULL };

static const struct opt rows[] = {
    { "cluster", OPT_FILE, C(cluster_file), NULL, 0, 0,
      "the cluster's configuration, the same on every host" },
    { "name", OPT_STRING, C(name), NULL, 1, 63, "name of this node below nodes in the cluster's file" },
    { "spool", OPT_FILE, C(spool_dir), "/var/spool/gemel", 0, 0, "folder of the queue" },
    { "state", OPT_FILE, C(state_dir), "/var/lib/gemel", 0, 0, "folder of the epoch file" },
    { "host_name", OPT_STRING, C(host_name), "", 0, 253,
      "name in banner and Received; default: HELO name of this node's first identity" },
    { "listen.mx", OPT_LIST, C(listen.mx), "", 0, 16, "where the Internet delivers (port 25)",
      .item = OPT_ADDR_PORT },
    { "listen.submission", OPT_LIST, C(listen.submission), "", 0, 16,
      "where people submit: STARTTLS and AUTH (port 587)", .item = OPT_ADDR_PORT },
    { "listen.smarthost", OPT_LIST, C(listen.smarthost), "", 0, 16, "where inside hosts relay out",
      .item = OPT_ADDR_PORT },
    { "tls.ca", OPT_FILE, C(tls.ca), "", 0, 0, "certificate authority of the cluster's own links" },
    { "tls.cert", OPT_FILE, C(tls.cert), "", 0, 0, "this node's certificate; its name is the node's name" },
    { "tls.key", OPT_FILE, C(tls.key), "", 0, 0, "its key" },
    { "smtp_tls.cert", OPT_FILE, C(smtp_tls.cert), "", 0, 0,
      "certificate shown to SMTP clients; without it no STARTTLS and no AUTH" },
    { "smtp_tls.key", OPT_FILE, C(smtp_tls.key), "", 0, 0, "its key" },
    { "users", OPT_FILE, C(users_file), "", 0, 0, "submission users: lines of login:crypt(5) hash" },
    { "admin", OPT_FILE, C(admin_path), "/run/gemel/node.sock", 0, 0, "unix socket for gemelctl" },
    { "workers", OPT_U64, C(workers), "0", 0, 256, "worker threads; 0: one a core" },
    { "log", OPT_WORD, C(log_level), "info", 0, 0, "least level that is logged", .words = level_words },
    { "smtp.message_size", OPT_BYTES, C(smtp.size_max), "35M", KIB(64), GIB(1),
      "largest message (SIZE, RFC 1870)" },
    { "smtp.recipients", OPT_U64, C(smtp.recipients_max), "1000", 100, 10000,
      "recipients of one message (RFC 5321 4.5.3.1.8: at least 100)" },
    { "smtp.sessions", OPT_U64, C(smtp.sessions_max), "10000", 1, 1000000, "sessions at once on this node" },
    { "smtp.command_timeout", OPT_DURATION, C(smtp.command_ms), "5m", SECONDS(1), HOURS(1),
      "wait for a command (RFC 5321 4.5.3.2.7)" },
    { "smtp.data_timeout", OPT_DURATION, C(smtp.data_ms), "3m", SECONDS(1), HOURS(1),
      "wait for the next bytes of a message (RFC 5321 4.5.3.2.5)" },
    { "queue.glitch_interval", OPT_DURATION, C(queue.glitch_ms), "1m", 100, HOURS(1),
      "first retries: how far apart (QR-05)" },
    { "queue.glitch_tries", OPT_U64, C(queue.glitch_tries), "4", 0, 100, "first retries: how many (QR-05)" },
    { "queue.transient_interval", OPT_DURATION, C(queue.transient_ms), "10m", 100, DAYS(1),
      "next retries: how far apart (QR-06)" },
    { "queue.transient_tries", OPT_U64, C(queue.transient_tries), "6", 0, 100,
      "next retries: how many (QR-06)" },
    { "queue.retry_interval", OPT_DURATION, C(queue.retry_ms), "30m", 100, DAYS(1),
      "all later retries (QR-07; RFC 5321 4.5.4.1)" },
    { "queue.delay_notice", OPT_DURATION, C(queue.delay_dsn_ms), "4h", SECONDS(1), DAYS(30),
      "age at which the sender is told (QR-10)" },
    { "queue.expire", OPT_DURATION, C(queue.expire_ms), "2d", SECONDS(5), DAYS(90),
      "age at which a message is returned (QR-11)" },
    { "queue.deliveries", OPT_U64, C(queue.deliveries_max), "1000", 1, 100000, "deliveries at once (SC-18)" },
    { "queue.per_destination", OPT_U64, C(queue.per_destination_max), "20", 1, 10000,
      "deliveries at once to one destination (SC-18)" },
    { "queue.per_connection", OPT_U64, C(queue.per_connection_max), "20", 1, 10000,
      "messages over one connection (SC-01)" },
    { "queue.poison_crashes", OPT_U64, C(queue.poison_crashes), "2", 0, 1000,
      "a message that was in hand at so many crashes is set aside; 0: never (QR-13)" },
    { "queue.spool_size", OPT_BYTES, C(queue.spool_bytes_max), "64G", MIB(16), GIB(4096),
      "largest size of the queue on disk" },
    { "pressure.disk_medium", OPT_U64, C(pressure.limits[PRESSURE_DISK].medium), "96", 0, 101,
      "room of the spool in use (percent): from here on mail of others is refused (BP-02); 101: never" },
    { "pressure.disk_high", OPT_U64, C(pressure.limits[PRESSURE_DISK].high), "99", 0, 101,
      "room of the spool in use (percent): from here on all mail is refused (BP-02); 101: never" },
    { "pressure.disk_high_end", OPT_U64, C(pressure.limits[PRESSURE_DISK].high_end), "97", 0, 101,
      "room of the spool in use (percent): and below this again only mail of others (BP-02)" },
    { "pressure.disk_medium_end", OPT_U64, C(pressure.limits[PRESSURE_DISK].medium_end), "94", 0, 101,
      "room of the spool in use (percent): and below this nobody is refused (BP-02)" },
    { "pressure.memory_medium", OPT_U64, C(pressure.limits[PRESSURE_MEMORY].medium), "88", 0, 101,
      "memory of the host in use (percent): from here on mail of others is refused (BP-02); 101: never" },
    { "pressure.memory_high", OPT_U64, C(pressure.limits[PRESSURE_MEMORY].high), "94", 0, 101,
      "memory of the host in use (percent): from here on all mail is refused (BP-02); 101: never" },
    { "pressure.memory_high_end", OPT_U64, C(pressure.limits[PRESSURE_MEMORY].high_end), "89", 0, 101,
      "memory of the host in use (percent): and below this again only mail of others (BP-02)" },
    { "pressure.memory_medium_end", OPT_U64, C(pressure.limits[PRESSURE_MEMORY].medium_end), "84", 0, 101,
      "memory of the host in use (percent): and below this nobody is refused (BP-02)" },
    { "pressure.backlog_medium", OPT_U64, C(pressure.limits[PRESSURE_BACKLOG].medium), "99990", 0, 1000000000,
      "mail that waits for its turn (messages): from here on others wait, then are refused (BP-02)" },
    { "pressure.backlog_high", OPT_U64, C(pressure.limits[PRESSURE_BACKLOG].high), "150000", 0, 1000000000,
      "mail that waits for its turn (messages): from here on all mail is refused (BP-02)" },
    { "pressure.backlog_high_end", OPT_U64, C(pressure.limits[PRESSURE_BACKLOG].high_end), "100000", 0,
      1000000000,
      "mail that waits for its turn (messages): and below this again only mail of others (BP-02)" },
    { "pressure.backlog_medium_end", OPT_U64, C(pressure.limits[PRESSURE_BACKLOG].medium_end), "20000", 0,
      1000000000, "mail that waits for its turn (messages): and below this nobody is refused (BP-02)" },
    { "relay.connect_timeout", OPT_DURATION, C(relay.connect_ms), "30s", 100, MINUTES(5),
      "wait for a connection" },
    { "relay.tls", OPT_BOOL, C(relay.tls), "yes", 0, 0, "use STARTTLS when the receiver offers it" },
    { "relay.tls_policy", OPT_LIST, C(relay.tls_policy), "", 0, 4096,
      "how mail to a destination must be protected (docs/relay-tls.md)", .sub = &tls_rule_table },
    { "relay.tls_on_failure", OPT_WORD, C(relay.tls_on_failure), "clear", 0, 0,
      "where TLS is only tried: after a failed handshake send in clear text, or defer",
      .words = failure_words },
    { "relay.tls_ca", OPT_FILE, C(relay.tls_ca), "", 0, 0,
      "certificate authorities of other mail servers (PEM); default: the system's" },
    { "relay.dane", OPT_BOOL, C(relay.dane), "no", 0, 0,
      "use DANE (RFC 7672). Only with resolvers of your own that validate DNSSEC, reached over a safe way" },
    { "relay.limits", OPT_LIST, C(relay.limits), "", 0, 4096,
      "how much at once and how fast, by destination; gemelctl limits explain DOMAIN says what holds",
      .sub = &limit_rule_table },
    { "relay.port", OPT_U64, C(relay.port), "25", 1, 65535, "port of other domains' mail servers" },
    { "relay.rules", OPT_FILE, C(relay.rules), "", 0, 0,
      "rules that say what refusals mean, in place of the compiled-in ones (docs/replies.md); SIGHUP reads "
      "them again" },
    { 0 },
};

const struct opt_table node_conf_table = { rows, sizeof(struct node_conf), SIZE_MAX };

static bool is_file(const char *path)
{
    return path && *path;
}

static void check_files(struct opt_source *src, const struct node_conf *c, bool solo)
{
    bool any = is_file(c->tls.ca) || is_file(c->tls.cert) || is_file(c->tls.key);
    bool all = is_file(c->tls.ca) && is_file(c->tls.cert) && is_file(c->tls.key);
    if ((any || !solo) && !all)
        opt_error(src, 0, "tls",
                  "ca, cert and key are needed together: links between hosts are always authenticated");
    if (is_file(c->smtp_tls.cert) != is_file(c->smtp_tls.key))
        opt_error(src, 0, "smtp_tls", "cert and key go together");
    if (c->listen.submission.n && !is_file(c->smtp_tls.cert))
        opt_error(src, 0, "listen.submission", "needs smtp_tls: AUTH is only taken under TLS");
    if (c->listen.submission.n && !is_file(c->users_file))
        opt_error(src, 0, "listen.submission", "needs users: nobody could log in");
    if (!c->listen.mx.n && !c->listen.submission.n && !c->listen.smarthost.n)
        opt_error(src, 0, "listen", "nothing to listen on; expected mx, submission or smarthost");
}

static void check_pressure(struct opt_source *src, const struct node_conf *c)
{
    for (size_t r = 0; r < PRESSURE_RESOURCES; r++) {
        const char *wrong = pressure_limits_wrong(&c->pressure.limits[r]);
        char key[64];
        if (!wrong) continue;
        snprintf(key, sizeof key, "pressure.%s_%s", pressure_resource_name((enum pressure_resource)r), wrong);
        opt_error(src, 0, key,
                  "stands in the wrong order; expected medium_end < medium, medium_end <= high_end <= high, "
                  "medium <= high");
    }
}

static void check_self(struct opt_source *src, struct node_conf *c, bool solo)
{
    unsigned mine = 0;
    c->self = cluster_node(&c->cluster, slice_of(c->name));
    if (!c->self) opt_error(src, 0, "name", "\"%s\" is not below nodes in %s", c->name, c->cluster_file);
    CONF_EACH(struct identity_conf, it, c->cluster.identities)
    {
        if (!slice_eq(slice_of(it->node), slice_of(c->name))) continue;
        if (!mine++ && !*c->host_name) c->host_name = it->helo;
    }
    if (solo && mine != 1)
        opt_error(src, 0, "name", "--solo sends from exactly one identity; %u in %s name node \"%s\"", mine,
                  c->cluster_file, c->name);
    if (!mine && !*c->host_name)
        opt_error(src, 0, "host_name",
                  "is missing; a node without an identity needs a name to say in its banner");
    if (!solo && !c->cluster.coordinators.n)
        opt_error(src, 0, "cluster",
                  "%s names no coordinators: nobody could ever let this node send; start with --solo for a "
                  "single node",
                  c->cluster_file);
}

static void check_tls_policy(struct opt_source *src, const struct node_conf *c)
{
    CONF_EACH(struct tls_rule, it, c->relay.tls_policy)
    {
        bool dane = it->level == TLS_LEVEL_DANE || it->level == TLS_LEVEL_DANE_ONLY;
        if (!c->relay.tls && it->level > TLS_LEVEL_MAY)
            opt_error(src, it->line, "relay.tls_policy", "%s: %s needs TLS, but relay.tls is off", it->domain,
                      tls_level_words[it->level]);
        if (dane && !c->relay.dane)
            opt_error(src, it->line, "relay.tls_policy",
                      "%s: %s needs relay.dane: yes, your word that the resolvers validate DNSSEC",
                      it->domain, tls_level_words[it->level]);
        if (it->match.n && it->level != TLS_LEVEL_VERIFY)
            opt_error(src, it->line, "relay.tls_policy", "%s: match is only looked at with policy verify",
                      it->domain);
        for (const struct tls_rule *b = c->relay.tls_policy.items; b < it; b++)
            if (slice_ieq(slice_of(b->domain), slice_of(it->domain)))
                opt_error(src, it->line, "relay.tls_policy", "%s: has a rule in line %u already", it->domain,
                          b->line);
    }
}

static void check_limits(struct opt_source *src, const struct node_conf *c)
{
    CONF_EACH(struct limit_rule, it, c->relay.limits)
    for (const struct limit_rule *b = c->relay.limits.items; b < it; b++)
        if (slice_ieq(slice_of(b->domain), slice_of(it->domain)))
            opt_error(src, it->line, "relay.limits", "%s: has a rule in line %u already", it->domain,
                      b->line);
}

void node_conf_limits(const struct node_conf *c, struct limits *out)
{
    *out = (struct limits){ .rules = c->relay.limits.items,
                            .n = c->relay.limits.n,
                            .def = { [LIMIT_CONNECTIONS] = c->queue.per_destination_max,
                                     [LIMIT_MESSAGES_PER_CONNECTION] = c->queue.per_connection_max } };
}

void node_conf_tls(const struct node_conf *c, struct tls_policies *out)
{
    *out = (struct tls_policies){ .rules = c->relay.tls_policy.items,
                                  .n = c->relay.tls_policy.n,
                                  .dane = c->relay.dane,
                                  .defer = c->relay.tls_on_failure };
}

enum err node_conf_rules(const struct node_conf *c, struct classifier **out, struct buf *why)
{
    struct slice zones[BLOCKLISTS_MAX];
    size_t n = 0;
    struct disk disk;
    disk_os(&disk);
    CONF_EACH(struct blocklist_conf, it, c->cluster.blocklists) zones[n++] = slice_of(it->zone);
    return classifier_load(&disk, c->relay.rules, zones, n, out, why);
}

static void check_rules(struct opt_source *src, const struct node_conf *c)
{
    struct classifier *rules = NULL;
    struct buf why;
    struct slice rest, line;
    buf_init(&why, KIB(4));
    if (is_file(c->relay.rules) && node_conf_rules(c, &rules, &why)) {
        rest = buf_slice(&why);
        while (slice_cut(&rest, '\n', &line))
            if (line.n) opt_error(src, 0, "relay.rules", "%.*s", SLICE_ARG(line));
    }
    classifier_destroy(rules);
    buf_deinit(&why);
}

enum err node_conf_load(struct opt_source *src, struct opt_source *cluster_src, bool solo,
                        struct node_conf *out)
{
    opt_source_init(cluster_src, "");
    enum err err = opt_load_file(src, &node_conf_table, out);
    if (err) return err;
    opt_source_deinit(cluster_src);
    opt_source_init(cluster_src, out->cluster_file);
    err = cluster_conf_load(cluster_src, &out->cluster);
    if (!err) check_self(src, out, solo);
    check_files(src, out, solo);
    check_pressure(src, out);
    if (!err) check_rules(src, out);
    check_tls_policy(src, out);
    check_limits(src, out);
    CONF_EACH(struct blocklist_conf, it, out->cluster.blocklists)
    {
        /* The coordinators ask them; this node reads refusals that name them, and one file serves all hosts. */
        struct dnsbl_conf row = { it->line, it->zone, &it->codes, &it->policy, it->weight };
        struct dnsbl_zone zone;
        if (dnsbl_conf_load(cluster_src, &row, &zone)) err = ERR_MALFORMED;
    }
    return err || src->n_errors ? ERR_MALFORMED : ERR_OK;
}
