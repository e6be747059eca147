/* The way up: certificates → spool → resolver → Redis → links → egress (gates closed) → dispatch and workers (mail is
 * taken from here on) → queue → HTTP. The way down: no new sessions and deliveries; sessions end, what next hops have taken is
 * written down; workers, the rest.
 *
 * Failure modes: on the way up the first thing that cannot be had ends it, with a sentence. Later nothing ends it but a
 * signal: a store or coordinator that is away closes the gate, a full disk stops intake. */
#include "node/node_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "base/crew_uv.h"
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
#include "node/queue/handover.h"
#include "node/queue/in_hand.h"
#include "node/queue/queue.h"
#include "node/queue/reporter.h"
#include "node/queue/spool_lmdb_uv.h"
#include "node/relay/rulebook.h"
#include "node/relay/tls_tally.h"
#include "node/workers_uv.h"
#include "proto/store_redis_uv.h"

enum {
    FILES_OWN = 256,
    REFUSALS_KEPT = 256,
    GIVES_MAX = 256,
    DRAIN_MS = 10000,
    EVIDENCE_KEEP_MS = 30 * 60 * 1000
};

struct kept_refusal { /* evidence that waits for the next heartbeat with a link up */
    struct arena arena;
    struct link_refusal r;
};

struct node {
    const struct node_conf *conf;
    bool solo, stopping;
    unsigned leaving; /* parts that have not ended in peace yet */
    const struct log *log;
    struct loop *loop;
    const struct env *env;
    struct opt_source secrets; /* owner of what was read from secret files */
    struct tls_context *cluster_tls, *smtp_tls, *redis_tls, *client_tls, *strict_tls, *verify_tls;
    struct tls_tally *tally;
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
    struct rulebook *rules;
    struct queue_ids ids;
    struct in_hand_suspects suspects;
    struct pressure pressure;
    struct timer pressure_due;
    struct dispatch *dispatch;
    struct workers_conf workers_conf;
    struct workers *workers;
    struct handover_conf handover_conf;
    struct handover *handover;
    struct queue *queue;
    struct ops *ops;
    struct kept_refusal refusals[REFUSALS_KEPT]; /* a ring */
    size_t refusals_at, n_refusals, refusals_told;
    struct timer drain_limit;
    struct reporter_conf reporter_conf;
    struct reporter *reporter;
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
    bool ours = to < n->conf->cluster.identities.n &&
                slice_eq(slice_of(ids[to].node), slice_of(n->conf->name));
    dispatch_aim(n->dispatch, ours ? to : STORE_NONE);
    log_info(n->log, "node.outbound", kv_cstr("identity", store_identity_name(&n->conf->cluster, to)),
             kv_cstr("what", ours                 ? "we send"
                             : to < STORE_FOREIGN ? "handed over"
                                                  : "kept until somebody may send"));
    if (!n->queue) return;
    if (ours)
        queue_send_out(n->queue);
    else if (to < n->conf->cluster.identities.n)
        queue_hand_out(n->queue, ids[to].node);
    else
        queue_keep_out(n->queue);
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
                                .accepting = s.accepting && pressure_worst(&n->pressure) == PRESSURE_LOW };
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
    struct tls_conf strict = { NULL, NULL, NULL, TLS_VERIFY_NONE };
    struct tls_conf verify = { c->relay.tls_ca && *c->relay.tls_ca ? c->relay.tls_ca : NULL, NULL, NULL,
                               TLS_VERIFY_SERVER };
    enum err err = tls_context_create(&strict, &n->strict_tls, why);
    if (!err) err = tls_context_create(&verify, &n->verify_tls, why);
    n->client_tls = tls_context_opportunistic_client();
    if (!err && c->tls.cert && *c->tls.cert) err = tls_context_create(&cluster, &n->cluster_tls, why);
    if (!err && c->smtp_tls.cert && *c->smtp_tls.cert) err = tls_context_create(&smtp, &n->smtp_tls, why);
    if (!err && !n->solo && c->cluster.redis.tls) err = tls_context_create(&redis, &n->redis_tls, why);
    return err;
}

static enum err open_spool(struct node *n, struct buf *why)
{
    char text[SPOOL_WHY_MAX];
    struct spool_lmdb_conf conf = { .dir = n->conf->spool_dir, .max_bytes = n->conf->queue.spool_bytes_max };
    enum err err = spool_lmdb_open(&conf, n->log, &n->spool_db, text);
    if (err)
        buf_putf(why, "%s", text);
    else
        n->spool = spool_lmdb_attach(n->spool_db, n->loop);
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
        buf_put(why,
                SLICE("no resolver: name one below resolvers in the cluster's file, or in /etc/resolv.conf"));
        return ERR_REFUSED;
    }
    n->resolver = resolver_create(n->env, rc);
    return ERR_OK;
}

static enum err make_store(struct node *n, struct buf *why)
{
    const struct cluster_conf *c = &n->conf->cluster;
    const char *password = NULL;
    if (c->redis.password_file &&
        opt_read_secret(&n->secrets, "redis.password_file", c->redis.password_file, &password)) {
        buf_put(why, slice_trim(buf_slice(&n->secrets.errors)));
        return ERR_REFUSED;
    }
    struct redis_conf rc = { .servers = &c->redis.server,
                             .n_servers = 1,
                             .user = *c->redis.user ? c->redis.user : NULL,
                             .password = password,
                             .client_name = n->conf->name,
                             .tls = n->redis_tls,
                             .tls_name = *c->redis.tls_name ? c->redis.tls_name : NULL,
                             .connect_limit_ms = (uint32_t)c->failover.redis_timeout_ms,
                             .ping_ms = (uint32_t)c->failover.redis_timeout_ms };
    n->redis = redis_create(n->env, &rc, NULL, NULL);
    n->store_conf = (struct store_redis_conf){ c, c->failover.lease_ms, EVIDENCE_KEEP_MS };
    n->store = store_redis_create(n->env, n->redis, &n->store_conf);
    n->link_conf = (struct node_link_conf){ c, n->conf->name, n->cluster_tls };
    n->link = node_link_create(n->env, &n->link_conf, &link_events, n);
    return ERR_OK;
}

static enum err make_egress(struct node *n, struct buf *why)
{
    struct egress_conf conf = {
        .node = n->conf, .resolver = n->resolver, .store = n->store, .link = n->link
    };
    return egress_create(n->env, &conf, &egress_events, n, &n->egress, why);
}

static enum err make_rules(struct node *n, struct buf *why)
{
    struct classifier *c = NULL;
    enum err err = node_conf_rules(n->conf, &c, why);
    if (!err) n->rules = rulebook_create(c);
    return err;
}

/* Each session and each delivery is a file descriptor. Where there are not enough, sessions are turned away in words,
 * before the kernel does it in silence. */
static uint64_t room_for_sessions(struct node *n)
{
    struct rlimit lim;
    uint64_t wanted = n->conf->smtp.sessions_max, others = n->conf->queue.deliveries_max + FILES_OWN;
    if (getrlimit(RLIMIT_NOFILE, &lim)) return wanted;
    lim.rlim_cur = lim.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &lim)) getrlimit(RLIMIT_NOFILE, &lim);
    if (lim.rlim_cur >= wanted + others) return wanted;
    uint64_t room = lim.rlim_cur > 2 * others ? lim.rlim_cur - others : MAX(lim.rlim_cur / 2, (rlim_t)1);
    log_warn(n->log, "node.few_files", kv_u64("limit", lim.rlim_cur), kv_u64("needed", wanted + others),
             kv_u64("sessions", room),
             kv_cstr("cure", "raise the limit of open files (LimitNOFILE=), or lower smtp.sessions"));
    return room;
}

/* ---- back pressure ---- */

/* What cannot be read presses nobody: the spool itself still stops intake when its disk fails. */
static uint64_t disk_used(const struct node *n)
{
    struct spool_stats s;
    spool_stats(n->spool, &s);
    return pressure_disk(s.room_bytes, s.usable_bytes);
}

static uint64_t memory_used(void)
{
    char text[4096];
    uint64_t percent = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    size_t got = f ? fread(text, 1, sizeof text, f) : 0;
    if (f) fclose(f);
    return pressure_memory(slice_from(text, got), &percent) ? 0 : percent;
}

static void sample_pressure(struct timer *t)
{
    struct node *n = t->owner;
    uint64_t values[PRESSURE_RESOURCES] = { [PRESSURE_DISK] = disk_used(n),
                                            [PRESSURE_MEMORY] = memory_used(),
                                            [PRESSURE_BACKLOG] = n->queue ? queue_backlog(n->queue) : 0 };
    pressure_sample(&n->pressure, values, n->log);
    timer_set_in(n->env->timers, t, PRESSURE_SAMPLE_MS, sample_pressure, n);
}

static void watch_pressure(struct node *n)
{
    pressure_init(&n->pressure, &n->conf->pressure);
    n->pressure_due.owner = n;
    sample_pressure(&n->pressure_due); /* known before the first session */
}

static enum err make_workers(struct node *n, struct buf *why)
{
    n->tally = tls_tally_create();
    queue_ids_init(&n->ids, slice_of(n->conf->name), n->env->rng);
    n->dispatch = dispatch_create(n->loop, workers_count(n->conf), &dispatch_events, n);
    n->workers_conf = (struct workers_conf){ .node = n->conf,
                                             .log = n->log,
                                             .resolver = &n->resolver_conf,
                                             .spool = n->spool_db,
                                             .dispatch = n->dispatch,
                                             .egress = n->egress,
                                             .ids = &n->ids,
                                             .pressure = &n->pressure,
                                             .sessions_max = room_for_sessions(n),
                                             .server_tls = n->smtp_tls,
                                             .client_tls = n->client_tls,
                                             .strict_tls = n->strict_tls,
                                             .verify_tls = n->verify_tls,
                                             .tally = n->tally,
                                             .rules = n->rules };
    enum err err = workers_create(&n->workers_conf, &n->workers, why);
    if (!err) dispatch_joined(n->dispatch);
    return err;
}

static const char *next_hop(void *owner, struct slice domain)
{
    struct node *n = owner;
    const struct domain_conf *d = cluster_domain(&n->conf->cluster, domain);
    return d ? d->next_hop : NULL;
}

static bool is_ours(void *owner, struct slice domain)
{
    return next_hop(owner, domain) != NULL;
}

static enum err make_handover(struct node *n, struct buf *why)
{
    n->handover_conf = (struct handover_conf){
        .cluster = &n->conf->cluster, .name = n->conf->name, .tls = n->cluster_tls, .spool = n->spool
    };
    return handover_create(n->env, &n->handover_conf, &n->handover, why);
}

/* A rate is kept by evenly spaced starts, so that no burst follows a pause. */
static void dest_limits(void *owner, struct slice dest, struct schedule_limits *out)
{
    struct node *n = owner;
    struct limits limits;
    struct limit_value v[LIMITS];
    node_conf_limits(n->conf, &limits);
    limits_find(&limits, dest, v);
    out->active = (uint32_t)v[LIMIT_CONNECTIONS].value;
    out->gap_ms = v[LIMIT_RATE].value
                      ? (uint32_t)((MINUTES(1) + v[LIMIT_RATE].value - 1) / v[LIMIT_RATE].value)
                      : 0;
}

static void forgive(void *owner, const struct queue_id *id)
{
    struct node *n = owner;
    in_hand_forgive(n->conf->state_dir, n->env->disk, &n->suspects, id);
}

/* Without it mail flows all the same: only nothing is known of what crashes us. */
static void watch_hands(struct node *n)
{
    enum err err = in_hand_open(n->conf->state_dir, n->env->disk, &n->suspects);
    if (err)
        log_warn(n->log, "node.no_poison_detection", kv_cstr("state", n->conf->state_dir),
                 kv_err("err", err));
    for (size_t i = 0; i < n->suspects.n; i++)
        log_warn(n->log, "queue.suspect", kv_slice("id", queue_id_slice(&n->suspects.of[i].id)),
                 kv_u64("crashes", n->suspects.of[i].crashes));
}

static enum err make_queue(struct node *n, struct buf *why)
{
    const struct node_conf *c = n->conf;
    struct queue_conf conf = { .next_hop = next_hop,
                               .suspects = &n->suspects,
                               .poison = (uint32_t)c->queue.poison_crashes,
                               .forgive = forgive,
                               .owner = n,
                               .schedule = { .active_max = (uint32_t)c->queue.deliveries_max,
                                             .active_per_dest = (uint32_t)c->queue.per_destination_max,
                                             .limits = dest_limits,
                                             .owner = n,
                                             .give_max = GIVES_MAX,
                                             .retry = { .glitch_ms = c->queue.glitch_ms,
                                                        .transient_ms = c->queue.transient_ms,
                                                        .steady_ms = c->queue.retry_ms,
                                                        .glitch_tries = (uint32_t)c->queue.glitch_tries,
                                                        .transient_tries = (uint32_t)c->queue.transient_tries,
                                                        .delay_dsn_ms = c->queue.delay_dsn_ms,
                                                        .expire_ms = c->queue.expire_ms } } };
    struct queue_ports ports = { .spool = n->spool };
    dispatch_deliverer(n->dispatch, &ports.deliverer);
    n->reporter_conf = (struct reporter_conf){ .spool = n->spool,
                                               .ids = &n->ids,
                                               .host = slice_of(c->host_name),
                                               .node = slice_of(c->name),
                                               .is_ours = is_ours,
                                               .owner = n,
                                               .expire_ms = c->queue.expire_ms };
    n->reporter = reporter_create(n->env, &n->reporter_conf);
    reporter_port(n->reporter, &ports.reporter);
    if (n->handover) handover_port(n->handover, &ports.giver);
    n->queue = queue_create(n->env, &conf, &ports);
    if (n->handover) handover_attach(n->handover, n->queue);
    enum err err = queue_start(n->queue);
    if (err) buf_putf(why, "the queue in %s cannot be read: %s", c->spool_dir, err_text(err));
    return err;
}

/* ---- HTTP ---- */

static bool store_up(void *owner)
{
    struct node *n = owner;
    return n->redis && redis_is_up(n->redis);
}

static bool is_stopping(void *owner)
{
    struct node *n = owner;
    return n->stopping;
}

static void smtp_metric(struct buf *b, const char *name, const char *type, const char *help, uint64_t v)
{
    buf_putf(b, "# HELP gemel_smtp_%s %s\n# TYPE gemel_smtp_%s %s\ngemel_smtp_%s %" PRIu64 "\n", name, help,
             name, type, name, v);
}

static void smtp_metrics(void *owner, struct buf *b)
{
    struct node *n = owner;
    struct smtp_server_stats s;
    workers_smtp_stats(n->workers, &s);
    smtp_metric(b, "sessions_open", "gauge", "sessions now", s.sessions_open);
    smtp_metric(b, "sessions_total", "counter", "sessions so far", s.sessions_total);
    smtp_metric(b, "sessions_turned_away_total", "counter", "connections refused for want of room",
                s.sessions_turned_away);
    smtp_metric(b, "messages_accepted_total", "counter", "messages answered 250 after the dot",
                s.messages_accepted);
    smtp_metric(b, "messages_refused_total", "counter", "messages refused after DATA", s.messages_refused);
    smtp_metric(b, "sessions_tls_total", "counter", "sessions that were encrypted", s.tls_sessions);
    smtp_metric(b, "mail_refused_by_pressure_total", "counter", "MAIL answered 452 for want of resources",
                s.pressed);
    smtp_metric(b, "auth_failures_total", "counter", "failed log-ins", s.auth_failures);
}

static enum err make_ops(struct node *n, struct buf *why)
{
    struct ops_conf conf = { .node = n->conf,
                             .egress = n->egress,
                             .queue = n->queue,
                             .spool = n->spool,
                             .dispatch = n->dispatch,
                             .tally = n->tally,
                             .pressure = &n->pressure,
                             .workers = workers_crew(n->workers),
                             .store = n->store,
                             .store_up = store_up,
                             .stopping = is_stopping,
                             .smtp_metrics = smtp_metrics,
                             .owner = n };
    return ops_create(n->loop, &conf, &n->ops, why);
}

/* ---- signals ---- */

static void stop_now(struct timer *t)
{
    struct node *n = t->owner;
    struct smtp_server_stats s;
    struct schedule_counts q;
    workers_smtp_stats(n->workers, &s);
    queue_counts(n->queue, &q);
    log_warn(n->log, "node.cut_short", kv_u64("sessions", s.sessions_open), kv_u64("deliveries", q.active),
             kv_cstr("why", "they did not end in time; mail on its way may be delivered twice"));
    loop_stop(n->loop);
}

static void left(void *owner)
{
    struct node *n = owner;
    if (--n->leaving == 0) loop_stop(n->loop);
}

static void reload_tls(struct node *n, struct tls_context *t, const char *what)
{
    struct buf why;
    buf_init(&why, 1024);
    if (t && tls_context_reload(t, &why))
        log_error(n->log, "node.certificate_not_reloaded", kv_cstr("what", what),
                  kv_slice("why", buf_slice(&why)));
    else if (t)
        log_info(n->log, "node.certificate_reloaded", kv_cstr("what", what));
    buf_deinit(&why);
}

static void reload_rules(struct node *n)
{
    struct classifier *c = NULL;
    struct buf why;
    if (!n->conf->relay.rules || !*n->conf->relay.rules) return;
    buf_init(&why, KIB(4));
    if (node_conf_rules(n->conf, &c, &why)) {
        log_error(n->log, "node.rules_not_reloaded", kv_slice("why", buf_slice(&why)));
    } else {
        rulebook_replace(n->rules, c);
        log_info(n->log, "node.rules_reloaded", kv_cstr("file", n->conf->relay.rules));
    }
    buf_deinit(&why);
}

static void on_signal(void *owner, int signo)
{
    struct node *n = owner;
    if (signo == SIGHUP) {
        reload_tls(n, n->smtp_tls, "smtp_tls");
        reload_tls(n, n->cluster_tls, "tls");
        reload_tls(n, n->verify_tls, "relay.tls_ca");
        reload_rules(n);
    } else if (!n->stopping) {
        n->stopping = true;
        log_info(n->log, "node.stopping", kv_u64("signal", (uint64_t)signo));
        n->leaving = 2;
        workers_drain(n->workers, n->loop, left, n);
        queue_stop(n->queue, left, n);
        timer_set_in(n->env->timers, &n->drain_limit, DRAIN_MS, stop_now, n);
    } else {
        loop_stop(n->loop); /* asked twice */
    }
}

/* ---- life ---- */

static enum err start(struct node *n, struct buf *why)
{
    enum err err = load_tls(n, why);
    if (!err) err = open_spool(n, why);
    if (!err) err = make_resolver(n, why);
    if (!err && !n->solo) err = make_store(n, why);
    if (!err) err = make_egress(n, why);
    if (!err) err = make_rules(n, why);
    if (!err) watch_hands(n);
    if (!err) watch_pressure(n);
    if (!err) err = make_workers(n, why);
    if (!err && !n->solo) err = make_handover(n, why);
    if (!err) err = make_queue(n, why);
    if (!err) err = make_ops(n, why);
    if (err) return err;
    egress_start(n->egress);
    loop_on_signal(n->loop, on_signal, n);
    return ERR_OK;
}

enum err node_create(const struct node_conf *conf, bool solo, const struct log *log, struct node **out,
                     struct buf *why)
{
    struct node *n = xzalloc(sizeof *n);
    n->conf = conf;
    n->solo = solo;
    n->log = log;
    opt_source_init(&n->secrets, conf->cluster_file);
    enum err err = loop_create(log, &n->loop);
    if (err) {
        buf_put(why, SLICE("no event loop: out of file descriptors"));
    } else {
        n->env = loop_env(n->loop);
        err = start(n, why);
    }
    if (err) {
        node_destroy(n);
        return err;
    }
    *out = n;
    return ERR_OK;
}

void node_run(struct node *n)
{
    log_info(n->log, "node.ready", kv_cstr("node", n->conf->name), kv_cstr("version", GEMEL_VERSION),
             kv_bool("solo", n->solo), kv_u64("workers", crew_size(workers_crew(n->workers))));
    loop_run(n->loop);
}

void node_destroy(struct node *n)
{
    if (!n) return;
    if (n->loop) timer_clear(n->env->timers, &n->drain_limit);
    if (n->loop) timer_clear(n->env->timers, &n->pressure_due);
    ops_destroy(n->ops);
    handover_destroy(n->handover); /* before the queue it tells */
    queue_destroy(n->queue);
    reporter_destroy(n->reporter);
    workers_destroy(n->workers); /* before the gates they read */
    dispatch_destroy(n->dispatch);
    in_hand_close();
    egress_destroy(n->egress);
    node_link_destroy(n->link);
    store_redis_destroy(n->store);
    redis_destroy(n->redis);
    if (n->resolver) resolver_destroy(n->resolver);
    spool_lmdb_detach(n->spool);
    spool_lmdb_close(n->spool_db);
    rulebook_destroy(n->rules);
    loop_destroy(n->loop);
    tls_context_destroy(n->cluster_tls);
    tls_context_destroy(n->smtp_tls);
    tls_context_destroy(n->redis_tls);
    tls_context_destroy(n->client_tls);
    tls_context_destroy(n->strict_tls);
    tls_context_destroy(n->verify_tls);
    tls_tally_destroy(n->tally);
    for (size_t i = 0; i < REFUSALS_KEPT; i++) arena_deinit(&n->refusals[i].arena);
    opt_source_deinit(&n->secrets);
    free(n);
}
