/* node/conf.h: gemel-node's own file (who this host is, where its keys lie) and the cluster's file it names. */
#ifndef GEMEL_NODE_CONF_H
#define GEMEL_NODE_CONF_H

#include "node/limits.h"
#include "node/queue/pressure.h"
#include "proto/cluster_conf.h"

struct node_conf {
    const char *cluster_file, *name;
    const char *spool_dir, *state_dir;
    struct {
        struct opt_list mx, submission, smarthost; /* struct addr */
    } listen;
    struct {
        const char *ca, *cert, *key;
    } tls, smtp_tls; /* mTLS inside the cluster; SMTP's own certificate */
    const char *users_file, *admin_path, *host_name;
    uint64_t workers;
    struct {
        uint64_t size_max, recipients_max, sessions_max, command_ms, data_ms;
    } smtp;
    struct {
        uint64_t glitch_ms, glitch_tries, transient_ms, transient_tries, retry_ms;
        uint64_t delay_dsn_ms, expire_ms;
        uint64_t deliveries_max, per_destination_max, per_connection_max;
        uint64_t spool_bytes_max;
        uint64_t poison_crashes;
    } queue;
    struct {
        uint64_t connect_ms;
        bool tls;                   /* use STARTTLS when offered */
        uint64_t port;              /* the Internet's SMTP port; another only in tests */
        struct opt_list tls_policy; /* struct tls_rule */
        int tls_on_failure;         /* 0: clear, 1: defer */
        const char *tls_ca;
        bool dane;
        struct opt_list limits; /* struct limit_rule */
        const char *rules;      /* what refusals mean; "": as compiled in */
    } relay;
    struct pressure_conf pressure;
    int log_level;

    struct cluster_conf cluster;  /* loaded from cluster_file, not a row */
    const struct host_conf *self; /* our row below nodes */
};

extern const struct opt_table node_conf_table;

/* What holds for which destination; borrowed from the configuration. */
struct tls_policies;
void node_conf_limits(const struct node_conf *c, struct limits *out);
void node_conf_tls(const struct node_conf *c, struct tls_policies *out);

/* The classifier of relay.rules and of the cluster's blocklists; `why` gets lines "FILE:LINE: what is wrong". Any time:
 * the file is read anew. */
struct classifier;
MUST_USE enum err node_conf_rules(const struct node_conf *c, struct classifier **out, struct buf *why);

/* Both files with their checks. `solo`: the cluster file may leave out Redis, coordinators and DNS; exactly one identity
 * must be this node's. Errors of the cluster file are in cluster_src->errors, initialised here (yours to deinit). */
MUST_USE enum err node_conf_load(struct opt_source *src, struct opt_source *cluster_src, bool solo,
                                 struct node_conf *out);

#endif
