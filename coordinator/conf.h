/* coordinator/conf.h: gemel-coordinator's own file and the cluster's file it names. */
#ifndef GEMEL_COORDINATOR_CONF_H
#define GEMEL_COORDINATOR_CONF_H

#include "proto/cluster_conf.h"

struct coordinator_conf {
    const char *cluster_file, *name, *state_dir, *admin_path;
    struct {
        const char *ca, *cert, *key;
    } tls;
    int log_level;
    struct cluster_conf cluster;              /* loaded from cluster_file, not a row */
    const struct host_conf *self;             /* our row below coordinators */
    const char *redis_password, *tsig_secret; /* read from their files; NULL: none configured */
};

extern const struct opt_table coordinator_conf_table;

/* Both files with their checks; blocklists that have ended are refused with what happened to them. Errors of the cluster
 * file are in cluster_src->errors, initialised here (yours to deinit). */
MUST_USE enum err coordinator_conf_load(struct opt_source *src, struct opt_source *cluster_src,
                                        struct coordinator_conf *out);

#endif
