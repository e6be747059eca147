/* proto/cluster_conf.h: the cluster's configuration file, the same on every host.
 *
 * Both daemons and gemelctl read it; what only one of them needs stands here too, so that one file describes the cluster
 * and its digest shows when two hosts disagree. Secrets are never in it, only the paths of files that hold them. */
#ifndef GEMEL_PROTO_CLUSTER_CONF_H
#define GEMEL_PROTO_CLUSTER_CONF_H

#include "base/opt.h"

enum { IDENTITIES_MAX = 16, NODES_MAX = 16, COORDINATORS_MAX = 7, BLOCKLISTS_MAX = 64 };

struct identity_conf { /* a public face: address, name; owned by one node */
    unsigned line;
    const char *name, *node, *helo;
    struct addr ip;
};

struct host_conf { /* a node or a coordinator, as the others reach it */
    unsigned line;
    const char *name;
    struct addr link; /* node: hand-off listener; coordinator: link listener. mTLS, certificate name = name */
    struct addr http; /* health and metrics, clear text, read only. Family NONE: none */
};

struct domain_conf { /* a domain of ours: mail for it goes inside */
    unsigned line;
    const char *name;
    const char *next_hop; /* "[10.0.0.25]:25", "mail.inside.example:25" */
};

struct blocklist_conf {
    unsigned line;
    const char *zone;
    struct opt_list codes;  /* const char *: "2", "2-11", "127.0.1.0/24", "&4": what counts as listed */
    struct opt_list policy; /* the same: codes that mean misconfiguration; they alarm and never count */
    uint64_t weight;
    const char *delist; /* page for people */
};

enum publisher_kind { PUBLISHER_RFC2136, PUBLISHER_EXEC, PUBLISHER_FILE };
enum spf_mode { SPF_OVERLAP, SPF_EXCLUSIVE };
enum both_listed { BOTH_LISTED_STAY, BOTH_LISTED_LEAST_BAD, BOTH_LISTED_HOLD };
/* hmac-…; dns/tsig.h does the work */
enum tsig_word { TSIG_WORD_SHA256, TSIG_WORD_SHA512, TSIG_WORD_SHA384 };

struct cluster_conf {
    const char *cluster;
    bool allow_documentation_addresses;
    struct opt_list identities;   /* struct identity_conf, in order of preference */
    struct opt_list nodes;        /* struct host_conf */
    struct opt_list coordinators; /* struct host_conf */
    struct opt_list domains;      /* struct domain_conf */
    struct opt_list inside;       /* struct prefix: hosts that may relay out without AUTH */
    struct opt_list resolvers;    /* struct addr */

    struct {
        struct addr server; /* family NONE: no Redis configured */
        const char *user, *password_file, *ca_file;
        bool tls;
        const char *tls_name;
    } redis;

    struct {
        int publisher;      /* enum publisher_kind */
        struct addr server; /* rfc2136: where updates go */
        const char *zone;   /* "gw.example.com": we own _spf and _egress below it */
        const char *mail_domain;
        const char *tsig_name, *tsig_secret_file;
        int tsig_algorithm;        /* enum tsig_word */
        const char *command;       /* exec */
        const char *path, *reload; /* file */
        uint64_t update_timeout_ms;
        struct {
            int mode; /* enum spf_mode */
            uint64_t ttl_ms, egress_ttl_ms;
            uint64_t grace_ms;          /* how long a listed, replaced identity stays authorised */
            uint64_t verify_round_ms;   /* between the two verifying rounds */
            uint64_t verify_timeout_ms; /* all of the verification */
            uint64_t verify_age_ms;     /* how old a verification may be and still count */
            bool verify_strict;         /* a silent server is never tolerated */
        } spf;
    } dns;

    struct opt_list blocklists; /* struct blocklist_conf */

    struct {
        uint64_t lease_ms, renew_ms, redis_timeout_ms, margin_ms, stall_ms;
        uint64_t heartbeat_ms;       /* node → coordinator */
        uint64_t takeover_slack_ms;  /* added to lease × 1.01 before a silent holder counts as fenced */
        uint64_t redis_role_wait_ms; /* extra after Redis changed role or restarted */
        uint64_t poll_ms, confirm_ms, confirm_polls;
        uint64_t dwell_ms, daily_cap;
        uint64_t clean_for_ms, clean_polls;
        uint64_t refusal_window_ms; /* receivers' refusals count as evidence for so long */
        uint64_t threshold, warn, eligible_below, margin_score;
        int both_listed; /* enum both_listed */
        const char *fence_command;
        uint64_t fence_timeout_ms;
    } failover;

    /* Filled after the load, not from the file. */
    char digest[65]; /* SHA-256 of the file's bytes, hexadecimal */
};

extern const struct opt_table cluster_conf_table;

/* Loads and checks by meaning: names are unique and refer to each other, no two identities share an address, no private
 * address is an identity, documentation addresses only when allowed, the timing inequalities of the lease hold
 * (renew + 2 × redis_timeout + margin ≤ lease), hmac-sha384 is refused. Errors are in src->errors. */
MUST_USE enum err cluster_conf_load(struct opt_source *src, struct cluster_conf *out);
MUST_USE enum err cluster_conf_load_text(struct opt_source *src, struct slice yaml, struct cluster_conf *out);

const struct identity_conf *cluster_identity(const struct cluster_conf *c, struct slice name);
const struct host_conf *cluster_node(const struct cluster_conf *c, struct slice name);
const struct host_conf *cluster_coordinator(const struct cluster_conf *c, struct slice name);
const struct domain_conf *cluster_domain(const struct cluster_conf *c,
                                         struct slice domain); /* exact, case folded */
bool cluster_is_inside(const struct cluster_conf *c, const struct addr *a);

/* The items of a list, typed. An empty one has no array, and C knows no sum of NULL, not even with 0. */
#define CONF_EACH(type, it, list) \
    for (const type *it = (list).items, *it##_end = it ? it + (list).n : it; it < it##_end; it++)

#endif
