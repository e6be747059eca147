/* coordinator/forward.h: passes an operator's request on to the coordinator that leads, and brings the answer back.
 *
 * One connection for one request: mutual TLS to the leader's link address, Hello, request, reply. Nothing is repeated: an
 * answer that is lost is RETRY or UNKNOWN, and the operator looks at the status. */
#ifndef GEMEL_COORDINATOR_FORWARD_H
#define GEMEL_COORDINATOR_FORWARD_H

#include "base/env.h"
#include "proto/cluster_conf.h"
#include "proto/link.h"

struct forward_op;
struct tls_context;

struct forward_conf { /* borrowed while operations run */
    const struct cluster_conf *cluster;
    const char *name; /* ours */
    struct tls_context *tls;
};

/* Runs once, never before the start returned; `body` is borrowed. RETRY: it was never sent. UNKNOWN: sent, and the
 * answer did not come. */
typedef void forward_done_fn(void *owner, enum err err, unsigned status, struct slice body,
                             const char *detail);
/* `request` is copied. */
struct forward_op *forward_start(const struct env *env, const struct forward_conf *conf,
                                 const struct host_conf *to, const struct link_request *request,
                                 uint32_t limit_ms, forward_done_fn *done, void *owner);
void forward_cancel(struct forward_op **op); /* the leader may do it all the same; safe on NULL */

#endif
