#include "node/link.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/net.h"
#include "base/rng.h"
#include "base/timers.h"
#include "proto/channel.h"

enum { DIAL_LIMIT_MS = 5000, PAUSE_MIN_MS = 200, PAUSE_MAX_MS = 5000, JITTER_PERCENT = 25 };

struct peer { /* one coordinator: dialling, or pausing before the next dial, or connected */
    struct node_link *link;
    const struct host_conf *host;
    struct net_op *dial;
    struct channel *channel;
    struct timer pause;
    uint64_t pause_ms;
    bool complained; /* the failure has been logged; once is enough until it works again */
};

struct node_link {
    const struct env *env;
    const struct node_link_conf *conf;
    const struct node_link_events *ev;
    void *owner;
    struct channel_conf channel_conf;
    struct peer *peers;
    size_t n_peers;
};

static void dial(struct peer *p);

static void pause_over(struct timer *t)
{
    dial(t->owner);
}

static void try_again(struct peer *p, const char *event, enum err err, const char *detail)
{
    const struct env *env = p->link->env;
    log_event(env->log, p->complained ? LOG_DEBUG : LOG_WARN, event,
              LOG_KVS(kv_cstr("coordinator", p->host->name), kv_addr("addr", &p->host->link),
                      kv_err("err", err), kv_cstr("why", detail)));
    p->complained = true;
    p->pause_ms = p->pause_ms ? MIN(p->pause_ms * 2, (uint64_t)PAUSE_MAX_MS) : PAUSE_MIN_MS;
    timer_set_in(env->timers, &p->pause, rng_jitter(env->rng, p->pause_ms, JITTER_PERCENT), pause_over, p);
}

size_t node_link_up(const struct node_link *l)
{
    size_t up = 0;
    for (size_t i = 0; i < l->n_peers; i++) up += channel_is_up(l->peers[i].channel);
    return up;
}

static void on_up(void *owner, const char *name, const char *digest)
{
    struct peer *p = owner;
    struct node_link *l = p->link;
    log_info(l->env->log, "link.up", kv_cstr("coordinator", name), kv_addr("addr", &p->host->link));
    if (strcmp(digest, l->conf->cluster->digest) != 0)
        log_warn(l->env->log, "link.configuration_differs", kv_cstr("coordinator", name),
                 kv_cstr("theirs", digest), kv_cstr("ours", l->conf->cluster->digest));
    p->pause_ms = 0;
    p->complained = false;
    l->ev->changed(l->owner, node_link_up(l));
}

static void on_frame(void *owner, struct slice payload)
{
    struct peer *p = owner;
    struct node_link *l = p->link;
    struct arena a = { 0 };
    struct link_frame *f = arena_alloc(&a, sizeof *f);
    enum err err = link_unpack(payload, &a, f);
    if (err || f->kind != LINK_FRAME_ORDER) {
        log_warn(l->env->log, "link.frame_ignored", kv_cstr("coordinator", p->host->name),
                 kv_err("err", err));
    } else if (!f->order.kind) {
        struct link_ack no = { .op = f->order.op,
                               .epoch = f->order.epoch,
                               .token = f->order.token,
                               .identity = f->order.identity,
                               .why = SLICE("this node does not know that kind of order") };
        log_warn(l->env->log, "link.order_unknown", kv_cstr("coordinator", p->host->name),
                 kv_slice("why", f->order.why));
        if (link_send_ack(p->channel, &no)) log_debug(l->env->log, "link.ack_dropped");
    } else {
        l->ev->order(l->owner, p->host->name, &f->order);
    }
    arena_deinit(&a);
}

static void on_down(void *owner, enum err why, const char *detail)
{
    struct peer *p = owner;
    struct node_link *l = p->link;
    channel_destroy(&p->channel);
    try_again(p, "link.down", why, detail);
    l->ev->changed(l->owner, node_link_up(l));
}

static const struct channel_events channel_events = { .up = on_up, .frame = on_frame, .down = on_down };

static bool knows(void *owner, const char *name)
{
    struct peer *p = owner;
    return strcmp(p->host->name, name) == 0;
}

static void dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct peer *p = owner;
    p->dial = NULL;
    if (err) {
        try_again(p, "link.dial_failed", err, detail);
        return;
    }
    p->channel = channel_create(p->link->env, s, &p->link->channel_conf, &channel_events, p);
}

static void dial(struct peer *p)
{
    struct dial_conf conf = {
        .to = p->host->link, .tls = p->link->conf->tls, .tls_name = p->host->name, .limit_ms = DIAL_LIMIT_MS
    };
    p->dial = net_dial(p->link->env->net, &conf, dialled, p);
}

struct node_link *node_link_create(const struct env *env, const struct node_link_conf *conf,
                                   const struct node_link_events *ev, void *owner)
{
    struct node_link *l = xzalloc(sizeof *l);
    *l = (struct node_link){ .env = env, .conf = conf, .ev = ev, .owner = owner };
    l->channel_conf = (struct channel_conf){
        .cluster = conf->cluster->cluster, .name = conf->name, .digest = conf->cluster->digest, .knows = knows
    };
    l->n_peers = conf->cluster->coordinators.n;
    l->peers = xzalloc(l->n_peers * sizeof *l->peers);
    const struct host_conf *hosts = conf->cluster->coordinators.items;
    for (size_t i = 0; i < l->n_peers; i++) {
        l->peers[i] = (struct peer){ .link = l, .host = &hosts[i] };
        dial(&l->peers[i]);
    }
    return l;
}

void node_link_destroy(struct node_link *l)
{
    if (!l) return;
    for (size_t i = 0; i < l->n_peers; i++) {
        net_dial_cancel(&l->peers[i].dial);
        channel_destroy(&l->peers[i].channel);
        timer_clear(l->env->timers, &l->peers[i].pause);
    }
    free(l->peers);
    free(l);
}

void node_link_heartbeat(struct node_link *l, const struct link_heartbeat *h)
{
    for (size_t i = 0; i < l->n_peers; i++) {
        if (!channel_is_up(l->peers[i].channel)) continue;
        enum err err = link_send_heartbeat(l->peers[i].channel, h);
        if (err)
            log_warn(l->env->log, "link.heartbeat_dropped", kv_cstr("coordinator", l->peers[i].host->name),
                     kv_err("err", err));
    }
}

void node_link_ack(struct node_link *l, const struct link_ack *a)
{
    for (size_t i = 0; i < l->n_peers; i++) {
        if (!channel_is_up(l->peers[i].channel)) continue;
        enum err err = link_send_ack(l->peers[i].channel, a);
        if (err)
            log_warn(l->env->log, "link.ack_dropped", kv_cstr("coordinator", l->peers[i].host->name),
                     kv_err("err", err));
    }
}
