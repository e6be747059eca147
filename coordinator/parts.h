/* coordinator/parts.h: what one coordinator is made of, for those who look at all of it. Borrowed; daemon_uv owns it. */
#ifndef GEMEL_COORDINATOR_PARTS_H
#define GEMEL_COORDINATOR_PARTS_H

#include "base/env.h"
#include "coordinator/conf.h"
#include "coordinator/decider.h"
#include "coordinator/links.h"
#include "coordinator/monitor.h"
#include "coordinator/records.h"

struct redis;
struct sampler;
struct store_redis;
struct tls_context;

struct parts {
    const struct env *env;
    const struct coordinator_conf *conf;
    struct tls_context *tls;
    struct redis *redis;
    struct store_redis *store;
    struct resolver *resolver; /* all configured addresses, for everything but the blocklists */
    struct decider *decider;
    struct links *links;
    struct monitor *monitor;
    struct records *records;
    struct sampler *sampler;
};

#endif
