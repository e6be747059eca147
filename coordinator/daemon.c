/* 1. daemon_create: loop, TLS, resolvers, Redis, publisher, then what stands on them: records, decider, links, monitor,
 *    sampler, api. Each part is told of the others by the callbacks below.
 * 2. daemon_run: the decider starts; from then on everything happens in callbacks.
 * 3. daemon_destroy: the way up in reverse.
 *
 * Redis away, DNS away, nodes away: not failures here; the parts show them as issues and go on. What ends the start is what
 * only an operator can put right: files, addresses in use, a journal that cannot be read. */
#include "coordinator/daemon.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/disk.h"
#include "base/loop_uv.h"
#include "base/redis_uv.h"
#include "base/tls_uv.h"
#include "coordinator/api.h"
#include "coordinator/sampler.h"
#include "dns/publish_uv.h"
#include "dns/resolv_conf.h"
#include "proto/store_redis_uv.h"

enum { EVIDENCE_KEEP_MS = 30 * 60 * 1000 };

struct daemon {
    const struct coordinator_conf *conf;
    const struct log *log;
    struct loop *loop;
    struct parts parts; /* what the others look at */
    struct tls_context *redis_tls;
    struct redis *
        redis; /* the lead and the decisions; parts.redis is for looks, so that they never wait for each other */
    struct store_redis *store;
    struct store_redis_conf store_conf;
    struct resolver_conf resolver_conf;
    struct resolver *each[POLICY_RESOLVERS_MAX];
    struct publisher *publisher;
    struct links_conf links_conf;
    struct forward_conf forward_conf;
    struct api *api;
};

/* ---- who tells whom ---- */

static bool on_order(void *owner, const char *node, const struct link_order *o)
{
    struct daemon *d = owner;
    return links_order(d->parts.links, node, o);
}

static void on_poll(void *owner)
{
    struct daemon *d = owner;
    monitor_poll(d->parts.monitor);
}

static void on_switched(void *owner)
{
    struct daemon *d = owner;
    monitor_switched(d->parts.monitor);
}

static void on_view(void *owner, const struct store_view *v)
{
    struct daemon *d = owner;
    for (size_t i = 0; i < v->n_evidence; i++) monitor_evidence(d->parts.monitor, &v->evidence[i]);
    for (uint8_t i = 0; i < d->conf->cluster.identities.n; i++)
        monitor_mark(d->parts.monitor, i, v->quarantined_wall_ms[i]);
}

static void on_answer(void *owner, uint64_t id, enum fo_answer result, uint64_t epoch, const char *text)
{
    struct daemon *d = owner;
    api_answer(d->api, id, result, epoch, text);
}

static const struct decider_events decider_events = {
    .order = on_order, .poll = on_poll, .switched = on_switched, .view = on_view, .answer = on_answer
};

static void on_heartbeat(void *owner, const char *node, const struct link_heartbeat *h)
{
    struct daemon *d = owner;
    for (size_t i = 0; i < h->n_refusals; i++) monitor_refusal(d->parts.monitor, &h->refusals[i]);
    decider_heartbeat(d->parts.decider, h);
}

static void on_ack(void *owner, const char *node, const struct link_ack *a)
{
    struct daemon *d = owner;
    decider_ack(d->parts.decider, a);
}

static void on_gone(void *owner, const char *node)
{
    struct daemon *d = owner;
    decider_link_lost(d->parts.decider, slice_of(node));
}

static void on_request(void *owner, const char *coordinator, const struct link_request *r,
                       struct links_call *call)
{
    struct daemon *d = owner;
    api_request(d->api, coordinator, r, call);
}

static const struct links_events links_events = {
    .heartbeat = on_heartbeat, .ack = on_ack, .gone = on_gone, .request = on_request
};

static void on_verdict(void *owner, uint8_t identity, const struct policy_verdict *v)
{
    struct daemon *d = owner;
    decider_verdict(d->parts.decider, identity, v);
}

static void on_evidence(void *owner, const struct store_evidence *e)
{
    struct daemon *d = owner;
    decider_evidence(d->parts.decider, e);
}

static const struct monitor_events monitor_events = { .verdict = on_verdict, .evidence = on_evidence };

/* ---- the way up ---- */

static enum err load_tls(struct daemon *d, struct buf *why)
{
    const struct coordinator_conf *c = d->conf;
    struct tls_conf cluster = { c->tls.ca, c->tls.cert, c->tls.key, TLS_VERIFY_PEER };
    struct tls_conf redis = { c->cluster.redis.ca_file, NULL, NULL, TLS_VERIFY_PEER };
    enum err err = tls_context_create(&cluster, &d->parts.tls, why);
    if (!err && c->cluster.redis.tls) err = tls_context_create(&redis, &d->redis_tls, why);
    return err;
}

static enum err make_resolvers(struct daemon *d, struct monitor_conf *m, struct buf *why)
{
    struct resolver_conf *rc = &d->resolver_conf;
    const struct addr *given = d->conf->cluster.resolvers.items;
    for (size_t i = 0; i < d->conf->cluster.resolvers.n; i++) rc->servers[rc->n_servers++] = given[i];
    if (!rc->n_servers) {
        struct buf text;
        buf_init(&text, 65536);
        if (!disk_read(d->parts.env->disk, "/etc/resolv.conf", &text))
            rc->n_servers = resolv_conf_parse(buf_slice(&text), rc->servers, RESOLVER_SERVERS_MAX);
        buf_deinit(&text);
    }
    if (!rc->n_servers) {
        buf_put(why,
                SLICE("no resolver: name one below resolvers in the cluster's file, or in /etc/resolv.conf"));
        return ERR_REFUSED;
    }
    d->parts.resolver = resolver_create(d->parts.env, rc);
    /* One more for each address: two resolvers agree only if each was asked by itself. */
    m->n_resolvers = (uint8_t)MIN(rc->n_servers, (size_t)POLICY_RESOLVERS_MAX);
    for (uint8_t i = 0; i < m->n_resolvers; i++) {
        struct resolver_conf one = { .servers = { rc->servers[i] }, .n_servers = 1 };
        d->each[i] = resolver_create(d->parts.env, &one);
    }
    m->resolvers = d->each;
    m->addrs = rc->servers;
    return ERR_OK;
}

static void on_redis(void *owner, bool up, const char *why)
{
    struct daemon *d = owner;
    log_event(d->log, up ? LOG_INFO : LOG_WARN, up ? "store.up" : "store.down", LOG_KVS(kv_cstr("why", why)));
}

static void make_store(struct daemon *d)
{
    const struct cluster_conf *c = &d->conf->cluster;
    uint32_t limit = (uint32_t)c->failover.redis_timeout_ms;
    struct redis_conf rc = { .servers = &c->redis.server,
                             .n_servers = 1,
                             .user = *c->redis.user ? c->redis.user : NULL,
                             .password = d->conf->redis_password,
                             .client_name = d->conf->name,
                             .tls = d->redis_tls,
                             .tls_name = *c->redis.tls_name ? c->redis.tls_name : NULL,
                             .connect_limit_ms = limit,
                             .ping_ms = limit };
    d->store_conf = (struct store_redis_conf){ c, c->failover.lease_ms, EVIDENCE_KEEP_MS };
    d->redis = redis_create(d->parts.env, &rc, on_redis, d);
    d->store = store_redis_create(d->parts.env, d->redis, &d->store_conf);
    d->parts.redis = redis_create(d->parts.env, &rc, NULL, NULL);
    d->parts.store = store_redis_create(d->parts.env, d->parts.redis, &d->store_conf);
}

static void make_publisher(struct daemon *d)
{
    const struct cluster_conf *c = &d->conf->cluster;
    struct publish_zone zone = { .server = c->dns.server };
    struct uv_loop_s *uv = loop_uv(d->loop);
    enum err err = dns_name_parse(slice_of(c->dns.zone), &zone.zone);
    ASSERT(!err); /* checked with the configuration */
    switch ((enum publisher_kind)c->dns.publisher) {
    case PUBLISHER_RFC2136:
        d->publisher = publisher_rfc2136(d->parts.env, d->parts.resolver, &zone,
                                         d->conf->has_tsig ? &d->conf->tsig : NULL);
        break;
    case PUBLISHER_EXEC:
        d->publisher = publisher_exec(d->parts.env, uv, d->parts.resolver, &zone, c->dns.command);
        break;
    case PUBLISHER_FILE:
        d->publisher = publisher_file(d->parts.env, uv, d->parts.resolver, &zone, c->dns.path, c->dns.reload);
        break;
    }
}

static enum err make_decider(struct daemon *d, struct buf *why)
{
    struct records_conf records = { d->conf, d->parts.resolver, d->publisher };
    struct decider_conf decider = { d->conf, d->store, NULL, loop_uv(d->loop) };
    decider.records = d->parts.records = records_create(d->parts.env, &records);
    if (mkdir(d->conf->state_dir, 0750) == 0)
        log_info(d->log, "daemon.folder_made", kv_cstr("state", d->conf->state_dir));
    return decider_create(d->parts.env, &decider, &decider_events, d, &d->parts.decider, why);
}

static enum err make_rest(struct daemon *d, const struct monitor_conf *m, struct buf *why)
{
    d->links_conf =
        (struct links_conf){ .cluster = &d->conf->cluster, .self = d->conf->self, .tls = d->parts.tls };
    d->forward_conf = (struct forward_conf){ &d->conf->cluster, d->conf->name, d->parts.tls };
    struct api_conf api = { &d->parts, d->loop, &d->forward_conf };
    enum err err = links_create(d->parts.env, &d->links_conf, &links_events, d, &d->parts.links, why);
    if (err) return err;
    d->parts.monitor = monitor_create(d->parts.env, m, &monitor_events, d);
    d->parts.sampler = sampler_create(&d->parts);
    return api_create(&api, &d->api, why);
}

static void on_signal(void *owner, int signo)
{
    struct daemon *d = owner;
    struct buf why;
    if (signo != SIGHUP) {
        log_info(d->log, "daemon.ending", kv_u64("signal", (uint64_t)signo));
        loop_stop(d->loop);
        return;
    }
    buf_init(&why, 1024);
    enum err err = tls_context_reload(d->parts.tls, &why);
    if (!err && d->redis_tls) err = tls_context_reload(d->redis_tls, &why);
    log_event(d->log, err ? LOG_ERROR : LOG_INFO,
              err ? "daemon.certificates_stay" : "daemon.certificates_reloaded",
              LOG_KVS(kv_slice("why", buf_slice(&why))));
    buf_deinit(&why);
}

enum err daemon_create(const struct coordinator_conf *conf, const struct log *log, struct daemon **out,
                       struct buf *why)
{
    struct daemon *d = xzalloc(sizeof *d);
    struct monitor_conf monitor = { .conf = conf };
    *d = (struct daemon){ .conf = conf, .log = log };
    enum err err = loop_create(log, &d->loop);
    if (!err) {
        d->parts = (struct parts){ .env = loop_env(d->loop), .conf = conf };
        err = load_tls(d, why);
    }
    if (!err) err = make_resolvers(d, &monitor, why);
    if (!err) {
        make_store(d);
        make_publisher(d);
        err = make_decider(d, why);
    }
    if (!err) err = make_rest(d, &monitor, why);
    if (err) {
        daemon_destroy(d);
        return err;
    }
    *out = d;
    return ERR_OK;
}

void daemon_run(struct daemon *d)
{
    loop_on_signal(d->loop, on_signal, d);
    decider_start(d->parts.decider);
    loop_run(d->loop);
    loop_on_signal(d->loop, NULL, NULL);
}

void daemon_destroy(struct daemon *d)
{
    if (!d) return;
    api_destroy(d->api);
    sampler_destroy(d->parts.sampler);
    monitor_destroy(d->parts.monitor);
    links_destroy(d->parts.links);
    decider_destroy(d->parts.decider);
    records_destroy(d->parts.records);
    publisher_destroy(d->publisher);
    store_redis_destroy(d->store);
    store_redis_destroy(d->parts.store);
    redis_destroy(d->redis);
    redis_destroy(d->parts.redis);
    for (size_t i = 0; i < ARRAY_LEN(d->each); i++)
        if (d->each[i]) resolver_destroy(d->each[i]);
    if (d->parts.resolver) resolver_destroy(d->parts.resolver);
    tls_context_destroy(d->parts.tls);
    tls_context_destroy(d->redis_tls);
    loop_destroy(d->loop);
    free(d);
}
