/* Each worker, in its thread: spool handle → resolver → deliveries → SMTP server; down in the opposite order.
 *
 * Failure modes: an address that cannot be listened on (all workers are taken down again, `why` says which). */
#include "node/workers_uv.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crew_uv.h"
#include "base/timers.h"
#include "node/accept/users_uv.h"
#include "node/queue/spool_lmdb_uv.h"
#include "proto/store.h"

enum { STATS_MS = 1000, LISTENERS_MAX = 64, NAMES_MAX = IDENTITIES_MAX + 1, PER_CLIENT_MAX = 100 };

struct worker {
    struct workers *all;
    size_t i;
    struct loop *loop;
    const struct env *env;
    struct spool *spool;
    struct resolver *resolver;
    struct users_file *users;
    struct smtp_server_conf server_conf;
    struct smtp_server *server;
    struct timer stats_due;
    struct smtp_server_stats stats; /* under all->lock */
};

struct workers {
    const struct workers_conf conf;
    struct crew *crew;
    pthread_mutex_t lock; /* guards stats and why */
    struct buf *why;
    /* what all of them use, made once */
    struct smtp_listener_conf listeners[LISTENERS_MAX];
    size_t n_listeners;
    struct delivery_conf deliveries[DISPATCH_FACES_MAX];
    uint8_t identities[DISPATCH_FACES_MAX];
    size_t n_faces;
    struct slice own_names[NAMES_MAX];
    struct addr own_addrs[NAMES_MAX];
    size_t n_own;
    struct slice *domains;
    struct loop *control;
    workers_drained_fn *drained;
    void *drained_owner;
    size_t draining;
    size_t n;
    struct worker workers[];
};

size_t workers_count(const struct node_conf *node)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (node->workers) return node->workers;
    return cores > 0 ? (size_t)cores : 1;
}

/* ---- what all share ---- */

static void add_listeners(struct workers *w, const struct opt_list *addrs, enum accept_listener kind)
{
    CONF_EACH(struct addr, it, *addrs)
    {
        ASSERT(w->n_listeners < LISTENERS_MAX); /* three lists of 16 */
        w->listeners[w->n_listeners++] = (struct smtp_listener_conf){
            .addr = *it, .kind = kind, .reuse_port = true, .tls_required = kind == ACCEPT_SUBMISSION
        };
    }
}

static void delivery_conf_of(struct workers *w, const struct identity_conf *id, uint8_t identity)
{
    const struct node_conf *n = w->conf.node;
    struct delivery_conf *c = &w->deliveries[w->n_faces];
    delivery_conf_default(c);
    c->node_helo = n->host_name;
    if (id) {
        c->identity = id->name;
        c->from = id->ip;
        c->helo = id->helo;
        c->gate = egress_gate(w->conf.egress, identity);
    }
    c->route = (struct route_conf){ .port = (uint16_t)n->relay.port,
                                    .own_names = w->own_names,
                                    .n_own_names = w->n_own,
                                    .own_addrs = w->own_addrs,
                                    .n_own_addrs = n->cluster.identities.n,
                                    .allow_documentation = n->cluster.allow_documentation_addresses };
    c->rules = w->conf.rules;
    c->tls = n->relay.tls ? w->conf.client_tls : NULL;
    c->tls_strict = w->conf.strict_tls;
    c->tls_verify = w->conf.verify_tls;
    c->tally = w->conf.tally;
    node_conf_tls(n, &c->policies);
    node_conf_limits(n, &c->limits_by_dest);
    c->connect_ms = (uint32_t)n->relay.connect_ms;
    w->identities[w->n_faces++] = identity;
}

static void share(struct workers *w)
{
    const struct node_conf *n = w->conf.node;
    const struct identity_conf *ids = n->cluster.identities.items;
    for (size_t i = 0; i < n->cluster.identities.n; i++) {
        w->own_names[i] = slice_of(ids[i].helo);
        w->own_addrs[i] = ids[i].ip;
    }
    w->n_own = n->cluster.identities.n;
    w->own_names[w->n_own++] = slice_of(n->host_name);
    add_listeners(w, &n->listen.mx, ACCEPT_MX);
    add_listeners(w, &n->listen.submission, ACCEPT_SUBMISSION);
    add_listeners(w, &n->listen.smarthost, ACCEPT_SMARTHOST);
    for (size_t i = 0; i < n->cluster.identities.n; i++)
        if (slice_eq(slice_of(ids[i].node), slice_of(n->name))) delivery_conf_of(w, &ids[i], (uint8_t)i);
    if (!w->n_faces) delivery_conf_of(w, NULL, STORE_NONE);
    w->domains = xzalloc((n->cluster.domains.n + 1) * sizeof *w->domains);
    size_t k = 0;
    CONF_EACH(struct domain_conf, it, n->cluster.domains) w->domains[k++] = slice_of(it->name);
}

/* ---- one worker ---- */

static void server_conf_of(struct worker *w, struct smtp_server_conf *c)
{
    struct workers *all = w->all;
    const struct node_conf *n = all->conf.node;
    smtp_server_conf_defaults(c);
    c->listeners = all->listeners;
    c->n_listeners = all->n_listeners;
    c->session.hostname = slice_of(n->host_name);
    c->session.domain = n->cluster.domains.n ? all->domains[0] : slice_of(n->host_name);
    c->session.size_max = n->smtp.size_max;
    c->session.rcpts_max = (uint32_t)n->smtp.recipients_max;
    c->session.command_limit_ms = (uint32_t)n->smtp.command_ms;
    c->session.data_limit_ms = (uint32_t)n->smtp.data_ms;
    c->relay = (struct relay_control){ .domains = all->domains,
                                       .n_domains = n->cluster.domains.n,
                                       .inside = n->cluster.inside.items,
                                       .n_inside = n->cluster.inside.n };
    c->intake.spool = w->spool;
    c->intake.ids = all->conf.ids;
    c->intake.host = slice_of(n->host_name);
    c->intake.node = slice_of(n->name);
    c->intake.expire_ms = n->queue.expire_ms;
    c->tls = all->conf.server_tls;
    c->pressure = all->conf.pressure;
    c->auth = w->users ? users_file_auth(w->users) : NULL;
    c->sessions_max = (uint32_t)((all->conf.sessions_max + all->n - 1) / all->n);
    c->sessions_per_client_max = PER_CLIENT_MAX;
}

static void stats_due(struct timer *t)
{
    struct worker *w = t->owner;
    struct smtp_server_stats s;
    smtp_server_stats(w->server, &s);
    pthread_mutex_lock(&w->all->lock);
    w->stats = s;
    pthread_mutex_unlock(&w->all->lock);
    timer_set_in(w->env->timers, t, STATS_MS, stats_due, w);
}

static void take_down(struct worker *w)
{
    timer_clear(w->env->timers, &w->stats_due);
    smtp_server_destroy(w->server);
    dispatch_leave(w->all->conf.dispatch, w->i);
    users_file_destroy(w->users);
    if (w->resolver) resolver_destroy(w->resolver);
    spool_lmdb_detach(w->spool);
}

static const char *users_path(const struct workers *all)
{
    const char *path = all->conf.node->users_file;
    return path ? path : "";
}

static enum err start(void *owner, size_t i, struct loop *l)
{
    struct workers *all = owner;
    struct worker *w = &all->workers[i];
    *w = (struct worker){ .all = all, .i = i, .loop = l, .env = loop_env(l) };
    w->spool = spool_lmdb_attach(all->conf.spool, l);
    w->resolver = resolver_create(w->env, all->conf.resolver);
    struct dispatch_worker d = { .loop = l,
                                 .env = w->env,
                                 .resolver = w->resolver,
                                 .spool = w->spool,
                                 .confs = all->deliveries,
                                 .identities = all->identities,
                                 .n = all->n_faces };
    dispatch_join(all->conf.dispatch, i, &d);
    struct buf why;
    buf_init(&why, 1024);
    enum err err = ERR_OK;
    if (*users_path(all)) err = users_file_create(w->env, loop_uv(l), users_path(all), &w->users, &why);
    if (!err) {
        server_conf_of(w, &w->server_conf);
        err = smtp_server_create(w->env, &w->server_conf, &w->server, &why);
    }
    if (err) {
        pthread_mutex_lock(&all->lock);
        if (!buf_len(all->why)) buf_put(all->why, buf_slice(&why));
        pthread_mutex_unlock(&all->lock);
        take_down(w);
    } else {
        timer_set_in(w->env->timers, &w->stats_due, STATS_MS, stats_due, w);
    }
    buf_deinit(&why);
    return err;
}

static void stop(void *owner, size_t i, struct loop *l)
{
    struct workers *all = owner;
    take_down(&all->workers[i]);
}

/* ---- going down in peace ---- */

static void one_drained(void *owner)
{
    struct workers *all = owner;
    if (--all->draining == 0) all->drained(all->drained_owner);
}

static void server_done(void *owner)
{
    struct worker *w = owner;
    if (loop_post(w->all->control, one_drained, w->all)) ASSERT(!"65536 posts wait for the control loop");
}

static void drain_here(void *owner)
{
    struct worker *w = owner;
    smtp_server_shutdown(w->server, server_done, w);
}

void workers_drain(struct workers *all, struct loop *control, workers_drained_fn *done, void *owner)
{
    all->control = control;
    all->drained = done;
    all->drained_owner = owner;
    all->draining = all->n;
    for (size_t i = 0; i < all->n; i++)
        if (loop_post(all->workers[i].loop, drain_here, &all->workers[i])) one_drained(all);
}

/* ---- life ---- */

enum err workers_create(const struct workers_conf *conf, struct workers **out, struct buf *why)
{
    size_t n = workers_count(conf->node);
    struct workers *w = xzalloc(sizeof *w + n * sizeof w->workers[0]);
    memcpy((void *)&w->conf, conf, sizeof *conf);
    pthread_mutex_init(&w->lock, NULL);
    w->why = why;
    w->n = n;
    share(w);
    struct crew_job job = { .name = "worker", .start = start, .stop = stop, .owner = w };
    enum err err = crew_create(n, conf->log, &job, &w->crew);
    if (err) {
        workers_destroy(w);
        return err;
    }
    *out = w;
    return ERR_OK;
}

void workers_destroy(struct workers *w)
{
    if (!w) return;
    crew_destroy(w->crew);
    pthread_mutex_destroy(&w->lock);
    free(w->domains);
    free(w);
}

struct crew *workers_crew(struct workers *w)
{
    return w->crew;
}

void workers_smtp_stats(struct workers *w, struct smtp_server_stats *out)
{
    *out = (struct smtp_server_stats){ 0 };
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n; i++) {
        const struct smtp_server_stats *s = &w->workers[i].stats;
        out->sessions_open += s->sessions_open;
        out->sessions_total += s->sessions_total;
        out->sessions_turned_away += s->sessions_turned_away;
        out->messages_accepted += s->messages_accepted;
        out->messages_refused += s->messages_refused;
        out->tls_sessions += s->tls_sessions;
        out->auth_failures += s->auth_failures;
        out->pressed += s->pressed;
    }
    pthread_mutex_unlock(&w->lock);
}
