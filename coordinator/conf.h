/* coordinator/conf.h: gemel-coordinator's own file and the cluster's file it names.
 *
 * Also what the cores want to know, made from it: the blocklists parsed, the parameters of failover and of policy. */
#ifndef GEMEL_COORDINATOR_CONF_H
#define GEMEL_COORDINATOR_CONF_H

#include "coordinator/failover.h"
#include "coordinator/policy.h"
#include "dns/dnsbl.h"
#include "dns/tsig.h"
#include "proto/cluster_conf.h"

struct watched_zone { /* one row below blocklists, ready to be asked */
    struct dnsbl_zone zone;
    char shown[96]; /* its name for people: keys redacted */
    const char *delist;
};

struct coordinator_conf {
    const char *cluster_file, *name, *state_dir, *admin_path;
    struct {
        const char *ca, *cert, *key;
    } tls;
    int log_level;
    struct cluster_conf cluster;  /* loaded from cluster_file, not a row */
    const struct host_conf *self; /* our row below coordinators */
    const char *redis_password;   /* read from its file; NULL: none configured */
    bool has_tsig;
    struct tsig_key tsig; /* has_tsig: publisher rfc2136 */
    size_t n_zones;
    struct watched_zone zones[POLICY_ZONES_MAX];
};

extern const struct opt_table coordinator_conf_table;

/* Both files with their checks; blocklists that have ended are refused with what happened to them. Errors of the cluster
 * file are in cluster_src->errors, initialised here (yours to deinit). */
MUST_USE enum err coordinator_conf_load(struct opt_source *src, struct opt_source *cluster_src,
                                        struct coordinator_conf *out);
void coordinator_conf_wipe(struct coordinator_conf *c); /* forgets the secrets it holds by value */

/* Intervals that the file does not name follow those it does: a cluster with leases of seconds looks more often. */
void coordinator_conf_failover(const struct coordinator_conf *c, struct fo_conf *out);
void coordinator_conf_policy(const struct coordinator_conf *c, uint8_t n_resolvers, struct policy_conf *out);

#endif
