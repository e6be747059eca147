/* The way up: certificates → spool → resolver → Redis → links → egress (gates closed) → dispatch and workers (mail is
 * taken from here on) → queue → HTTP. The way down: no new sessions, gates closed, workers, the rest.
 *
 * Failure modes: on the way up the first thing that cannot be had ends it, with a sentence. Later nothing ends it but a
 * signal: a store or coordinator that is away closes the gate, a full disk stops intake. */
#include "node/node_uv.h"

#include <signal.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/disk.h"
#include "base/env.h"
#include "base/loop_uv.h"
#include "base/redis_uv.h"
#include "base/rng.h"
#include "base/timers.h"
#include "base/tls_uv.h"
#include "dns/resolv_conf.h"
#include "node/dispatch_uv.h"
#include "node/egress.h"
#include "node/link.h"
#include "node/ops_uv.h"
#include "node/queue/queue_uv.h"
#include "node/queue/spool_lmdb_uv.h"
#include "node/relay/classify.h"
#include "node/workers_uv.h"
#include "proto/store_redis_uv.h"

enum { REFUSALS_KEPT = 256, DRAIN_MS = 10000, EVIDENCE_KEEP_MS = 30 * 60 * 1000 };

struct kept_refusal { /* evidence that waits for the next heartbeat with a link up */
    struct arena arena;
    struct link_refusal r;
};

struct node {
    const struct node_conf *conf;
    bool solo, stopping;
    const struct log *log;
    struct loop *loop;
    const struct env *env;
    struct opt_source secrets; /* owner of what was read from secret files */
    struct tls_context *cluster_tls, *smtp_tls, *redis_tls;
    struct spool_lmdb *spool_db;
    struct spool *spool;
    struct resolver_conf resolver_conf;
    struct resolver *resolver;
    struct redis *redis;
    struct store_redis_conf store_conf;
    struct store_redis *store;
    struct node_link_conf link_conf;
    struct node_link *link;
    struct egress *egress;
    struct classifier *rules;
    struct slice zones[BLOCKLISTS_MAX];
    struct queue_ids ids;
    struct dispatch *dispatch;
    struct workers_conf workers_conf;
    struct workers *workers;
    struct queue *queue;
    struct ops *ops;
    struct kept_refusal refusals[REFUSALS_KEPT]; /* a ring */
    size_t refusals_at, n_refusals, refusals_told;
    struct timer drain_limit;
};

/* ---- refusals: from the workers to the coordinators ---- */

static struct kept_refusal *refusal_at(struct node *n, size_t i)
{
    return &n->refusals[(n->refusals_at + i) % REFUSALS_KEPT];
}

static void drop_refusals(struct node *n, size_t count)
{
    for (; count && n->n_refusals; count--, n->n_refusals--) {
        arena_reset(&n->refusals[n->refusals_at].arena);
        n->refusals_at = (n->refusals_at + 1) % REFUSALS_KEPT;
    }
}

static void on_refused(void *owner, const struct refusal *r)
{
    struct node *n = owner;
    if (r->effect == EFFECT_NONE || n->solo) return;
    if (n->n_refusals == REFUSALS_KEPT) drop_refusals(n, 1); /* the oldest says least */
    struct kept_refusal *k = refusal_at(n, n->n_refusals++);
    k->r = (struct link_refusal){
        .identity = arena_dup(&k->arena, r->identity),
        .provider = arena_dup(&k->arena, r->provider),
        .destination = arena_dup(&k->arena, r->destination),
        .stage = slice_of(relay_stage_name(r->stage)),
        .scope = slice_of(relay_scope_name(r->scope)),
        .effect = slice_of(relay_effect_name(r->effect)),
        .rule = arena_dup(&k->arena, r->rule),
        .text = arena_dup(&k->arena, r->text),
        .message_id = arena_dup(&k->arena, r->message_id),
        .wall_ms = r->wall_ms,
    };
}

static void on_sent(void *owner, uint8_t identity, size_t mails)
{
    struct node *n = owner;
    for (size_t i = 0; i < mails; i++) egress_sent(n->egress, identity);
}

/* ---- egress ---- */

static void aborted(void *owner, uint64_t tag)
{
    struct node *n = owner;
    if (n->egress) egress_aborted(n->egress, (uint8_t)(tag >> 32), (uint32_t)tag);
}

static void on_abort(void *owner, uint8_t identity, uint32_t seq)
{
    struct node *n = owner;
    dispatch_abort(n->dispatch, aborted, n, (uint64_t)identity << 32 | seq);
}

static void on_aim(void *owner, uint8_t to)
{
    struct node *n = owner;
    const struct identity_conf *ids = n->conf->cluster.identities.items;
    bool ours = to < n->conf->cluster.identities.n && slice_eq(slice_of(ids[to].node), slice_of(n->conf->name));
    dispatch_aim(n->dispatch, ours ? to : STORE_NONE);
    log_info(n->log, "node.outbound", kv_cstr("identity", store_identity_name(&n->conf->cluster, to)),
             kv_cstr("what", ours ? "we send" : to < STORE_FOREIGN ? "handed over" : "kept until somebody may send"));
    if (!n->queue) return;
    if (ours) queue_send_out(n->queue);
    else if (to < n->conf->cluster.identities.n) queue_hand_out(n->queue, ids[to].node);
    else queue_keep_out(n->queue);
}

static void on_queue(void *owner, struct link_queue *out)
{
    struct node *n = owner;
    struct spool_stats s;
    spool_stats(n->spool, &s);
    uint64_t now = timers_wall_ms(n->env->timers), oldest = UINT64_MAX;
    for (int f = 0; f < FLOW_COUNT; f++)
        if (s.oldest_arrival_wall_ms[f]) oldest = MIN(oldest, s.oldest_arrival_wall_ms[f]);
    *out = (struct link_queue){ .outbound = s.messages[FLOW_OUT],
                                .inbound = s.messages[FLOW_IN],
                                .oldest_ms = oldest < now ? now - oldest : 0,
                                .bytes = s.bytes[FLOW_IN] + s.bytes[FLOW_OUT],
                                .accepting = s.accepting };
}

static size_t on_refusals(void *owner, struct link_refusal *out, size_t max, struct arena *a)
{
    struct node *n = owner;
    size_t count = MIN(max, n->n_refusals);
    for (size_t i = 0; i < count; i++) out[i] = refusal_at(n, i)->r;
    n->refusals_told = count;
    return count;
}

static void on_reported(void *owner, bool sent)
{
    struct node *n = owner;
    if (sent) drop_refusals(n, n->refusals_told);
    n->refusals_told = 0;
}

static const struct egress_events egress_events = {
    .abort = on_abort, .aim = on_aim, .queue = on_queue, .refusals = on_refusals, .reported = on_reported
};
static const struct dispatch_events dispatch_events = { .refused = on_refused, .sent = on_sent };

static void on_order(void *owner, const char *coordinator, const struct link_order *o)
{
    struct node *n = owner;
    if (n->egress) egress_order(n->egress, o);
}

static void on_links(void *owner, size_t up)
{
    struct node *n = owner;
    log_info(n->log, "node.links", kv_u64("up", up), kv_u64("of", n->conf->cluster.coordinators.n));
}

static const struct node_link_events link_events = { .order = on_order, .changed = on_links };

/* ---- the way up ---- */

static enum err load_tls(struct node *n, struct buf *why)
{
    const struct node_conf *c = n->conf;
    struct tls_conf cluster = { c->tls.ca, c->tls.cert, c->tls.key, TLS_VERIFY_PEER };
    struct tls_conf smtp = { NULL, c->smtp_tls.cert, c->smtp_tls.key, TLS_VERIFY_NONE };
    struct tls_conf redis = { c->cluster.redis.ca_file, NULL, NULL, TLS_VERIFY_PEER };
    enum err err = ERR_OK;
    if (c->tls.cert && *c->tls.cert) err = tls_context_create(&cluster, &n->cluster_tls, why);
    if (!err && c->smtp_tls.cert && *c->smtp_tls.cert) err = tls_context_create(&smtp, &n->smtp_tls, why);
    if (!err && !n->solo && c->cluster.redis.tls) err = tls_context_create(&redis, &n->redis_tls, why);
    return err;
}

static enum err open_spool(struct node *n, struct buf *why)
{
    char text[SPOOL_WHY_MAX];
    struct spool_lmdb_conf conf = { .dir = n->conf->spool_dir, .max_bytes = n->conf->queue.spool_bytes_max };
    enum err err = spool_lmdb_open(&conf, n->log, &n->spool_db, text);
    if (err) buf_putf(why, "%s", text);
    else n->spool = spool_lmdb_attach(n->spool_db, n->loop);
    return err;
}

static enum err make_resolver(struct node *n, struct buf *why)
{
    struct resolver_conf *rc = &n->resolver_conf;
    const struct addr *given = n->conf->cluster.resolvers.items;
    for (size_t i = 0; i < n->conf->cluster.resolvers.n; i++) rc->servers[rc->n_servers++] = given[i];
    if (!rc->n_servers) {
        struct buf text;
        buf_init(&text, 65536);
        if (!disk_read(n->env->disk, "/etc/resolv.conf", &text))
            rc->n_servers = resolv_conf_parse(buf_slice(&text), rc->servers, RESOLVER_SERVERS_MAX);
        buf_deinit(&text);
    }
    if (!rc->n_servers) {
        buf_put(why, SLICE("no resolver: name one below resolvers in the cluster's file, or in /etc/resolv.conf"));
        return ERR_REFUSED;
    }
    n->resolver = resolver_create(n->env, rc);
    return ERR_OK;
}

static void on_redis(void *owner, bool up, const char *why)
{
    struct node *n = owner;
    if (up) log_info(n->log, "store.up", kv_cstr("why", why));
    else log_warn(n->log, "store.down", kv_cstr("why", why));
}

static enum err make_store(struct node *n, struct buf *why)
{
    const struct cluster_conf *c = &n->conf->cluster;
    const char *password = NULL;
    opt_source_init(&n->secrets, n->conf->cluster_file);
    if (c->redis.password_file && opt_read_secret(&n->secrets, "redis.password_file", c->redis.password_file, &password)) {
        buf_put(why, slice_trim(buf_slice(&n->secrets.errors)));
        return ERR_REFUSED;
    }
    struct redis_conf rc = { .servers = &c->redis.server, .n_servers = 1, .user = *c->redis.user ? c->redis.user : NULL,
                             .password = password, .client_name = n->conf->name, .tls = n->redis_tls,
                             .tls_name = *c->redis.tls_name ? c->redis.tls_name : NULL,
                             .connect_limit_ms = (uint32_t)c->failover.redis_timeout_ms,
                             .ping_ms = (uint32_t)c->failover.redis_timeout_ms };
    n->redis = redis_create(n->env, &rc, on_redis, n);
    n->store_conf = (struct store_redis_conf){ c, c->failover.lease_ms, EVIDENCE_KEEP_MS };
    n->store = store_redis_create(n->env, n->redis, &n->store_conf);
    n->link_conf = (struct node_link_conf){ c, n->conf->name, n->cluster_tls };
    n->link = node_link_create(n->env, &n->link_conf, &link_events, n);
    return ERR_OK;
}

static enum err make_egress(struct node *n, struct buf *why)
{
    struct egress_conf conf = { .node = n->conf, .resolver = n->resolver, .store = n->store, .link = n->link };
    return egress_create(n->env, &conf, &egress_events, n, &n->egress, why);
}

static enum err make_rules(struct node *n, struct buf *why)
{
    struct classify_conf conf = { .zones = n->zones };
    CONF_EACH(struct blocklist_conf, it, n->conf->cluster.blocklists) n->zones[conf.n_zones++] = slice_of(it->zone);
    return classifier_create(&conf, &n->rules, why);
}

static enum err make_workers(struct node *n, struct buf *why)
{
    queue_ids_init(&n->ids, slice_of(n->conf->name), n->env->rng);
    n->dispatch = dispatch_create(n->loop, workers_count(n->conf), &dispatch_events, n);
    n->workers_conf = (struct workers_conf){ .node = n->conf, .log = n->log, .resolver = &n->resolver_conf,
                                             .spool = n->spool_db, .dispatch = n->dispatch, .egress = n->egress,
                                             .ids = &n->ids, .server_tls = n->smtp_tls,
                                             .client_tls = tls_context_opportunistic_client(), .rules = n->rules };
    enum err err = workers_create(&n->workers_conf, &n->workers, why);
    if (!err) dispatch_joined(n->dispatch);
    return err;
}
