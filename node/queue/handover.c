/* The happy path: a line comes up; what we were in doubt about is asked; the queue gives, the giver moves; the other
 * node's lines bring us frames for the receiver.
 *
 * When it fails: a line that breaks ends its gives (RETRY, or UNKNOWN: a doubt) and is dialled again with a growing
 * pause. A give for a line that is down waits a second, then goes back to the queue. A peer's new line replaces its old
 * one before a frame of it is read. A peer that breaks the protocol loses its line. */
#include "node/queue/handover.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/net.h"
#include "base/rng.h"
#include "base/timers.h"
#include "node/queue/handoff.h"
#include "proto/channel.h"

enum {
    DIAL_LIMIT_MS = 5000,
    HANDSHAKE_LIMIT_MS = 5000,
    PAUSE_MIN_MS = 200,
    PAUSE_MAX_MS = 5000,
    JITTER_PERCENT = 25,
    WAIT_FOR_LINE_MS = 1000,
    ASK_AGAIN_MS = 5000,
    ASKING_MAX = 64,
    LINES_IN_MAX = 2 * NODES_MAX +
                   16, /* the peers', their successors, and strangers not yet shown the door */
};

struct doubt { /* a message that the peer may have */
    struct list link;
    struct queue_id id;
    bool asked;
};

struct waiting { /* a give whose line is not up */
    struct list link;
    struct queue_id id;
};

struct peer { /* another node, and our line to it */
    struct handover *h;
    const struct host_conf *host;
    struct net_op *dial;
    struct channel *channel;
    struct giver *giver;
    struct timer pause, patience, ask;
    uint64_t pause_ms;
    bool complained;
    struct list waiting;
    struct list doubts;
    struct map doubts_by_id;
    size_t n_doubts, n_asked;
    uint64_t given;
};

struct line_in { /* a line that somebody dialled to us */
    struct handover *h;
    struct list link;
    struct channel *channel;
    char peer[64]; /* "": not known yet */
};

struct handover {
    const struct env *env;
    const struct handover_conf *conf;
    struct channel_conf channel_out, channel_in;
    struct listener *listener;
    struct list lines_in;
    size_t n_lines_in;
    struct receiver *receiver;
    struct peer *peers;
    size_t n_peers;
    struct queue *queue;
    queue_given_fn *given;
    void *given_owner;
};

/* ---- doubts ---- */

static struct doubt *doubt_find(const struct peer *p, const struct queue_id *id)
{
    return map_get(&p->doubts_by_id, queue_id_slice(id));
}

static void doubt_drop(struct peer *p, struct doubt *d)
{
    map_remove(&p->doubts_by_id, queue_id_slice(&d->id));
    list_remove(&d->link);
    p->n_doubts--;
    p->n_asked -= d->asked;
    free(d);
}

static void ask(struct peer *p)
{
    LIST_EACH_SAFE(&p->doubts, it, next)
    {
        struct doubt *d = CONTAINER_OF(it, struct doubt, link);
        if (!channel_is_up(p->channel) || p->n_asked >= ASKING_MAX) return;
        if (d->asked) continue;
        d->asked = true;
        p->n_asked++;
        giver_ask(p->giver, &d->id);
    }
}

static void ask_due(struct timer *t)
{
    ask(t->owner);
}

static void doubt_add(struct peer *p, const struct queue_id *id)
{
    if (doubt_find(p, id)) return;
    struct doubt *d = xzalloc(sizeof *d);
    d->id = *id;
    list_append(&p->doubts, &d->link);
    map_put(&p->doubts_by_id, queue_id_slice(id), d);
    p->n_doubts++;
    if (!timer_is_set(&p->ask)) timer_set_in(p->h->env->timers, &p->ask, 0, ask_due, p);
}

/* Asked: gone or ours is an answer; anything else leaves the doubt, to be asked again. */
static void doubt_answered(struct peer *p, struct doubt *d, enum err err, const char *why)
{
    struct handover *h = p->h;
    struct queue_id id = d->id;
    bool gone = err == ERR_OK || err == ERR_NOT_FOUND;
    if (gone || err == ERR_RETRY) {
        log_info(h->env->log, "handover.settled", kv_slice("id", queue_id_slice(&id)),
                 kv_cstr("node", p->host->name), kv_cstr("who_has_it", gone ? "that node" : "we"));
        doubt_drop(p, d);
        ask(p);
        if (h->queue) queue_settled(h->queue, &id, gone);
        return;
    }
    log_debug(h->env->log, "handover.in_doubt", kv_slice("id", queue_id_slice(&id)),
              kv_cstr("node", p->host->name), kv_cstr("why", why));
    d->asked = false;
    p->n_asked--;
    timer_set_in(h->env->timers, &p->ask, ASK_AGAIN_MS, ask_due, p);
}

/* ---- giving ---- */

static void on_finished(void *owner, const struct queue_id *id, enum err err, const char *why)
{
    struct peer *p = owner;
    struct handover *h = p->h;
    struct doubt *d = doubt_find(p, id);
    if (d && d->asked) {
        doubt_answered(p, d, err, why);
        return;
    }
    if (err == ERR_UNKNOWN) {
        log_info(h->env->log, "handover.unknown", kv_slice("id", queue_id_slice(id)),
                 kv_cstr("node", p->host->name), kv_cstr("why", why));
        doubt_add(p, id);
    }
    if (err == ERR_REFUSED)
        log_warn(h->env->log, "handover.refused", kv_slice("id", queue_id_slice(id)),
                 kv_cstr("node", p->host->name), kv_cstr("why", why));
    if (err == ERR_OK) {
        p->given++;
        log_info(h->env->log, "handover.given", kv_slice("id", queue_id_slice(id)),
                 kv_cstr("node", p->host->name));
    }
    /* The schedule knows OK for "no longer here". */
    h->given(h->given_owner, id, err == ERR_NOT_FOUND ? ERR_OK : err);
}

static enum err send_out(void *owner, const Gemel__V1__NodeFrame *f)
{
    struct peer *p = owner;
    return channel_is_up(p->channel) ? channel_send(p->channel, &f->base) : ERR_RETRY;
}

static void give_waiting(struct peer *p)
{
    while (!list_empty(&p->waiting) && channel_is_up(p->channel)) {
        struct waiting *w = CONTAINER_OF(p->waiting.next, struct waiting, link);
        struct queue_id id = w->id;
        list_remove(&w->link);
        free(w);
        giver_give(p->giver, &id);
    }
}

/* The line does not come up: the queue may have another idea by now. */
static void patience_over(struct timer *t)
{
    struct peer *p = t->owner;
    struct list gone;
    list_init(&gone);
    while (!list_empty(&p->waiting)) {
        struct list *it = p->waiting.next;
        list_remove(it);
        list_append(&gone, it);
    }
    while (!list_empty(&gone)) {
        struct waiting *w = CONTAINER_OF(gone.next, struct waiting, link);
        struct queue_id id = w->id;
        list_remove(&w->link);
        free(w);
        p->h->given(p->h->given_owner, &id, ERR_RETRY);
    }
}

static struct peer *peer_find(struct handover *h, struct slice name)
{
    for (size_t i = 0; i < h->n_peers; i++)
        if (slice_eq(slice_of(h->peers[i].host->name), name)) return &h->peers[i];
    return NULL;
}

static void port_give(void *owner, const struct queue_id *id, const char *node, queue_given_fn *done,
                      void *queue)
{
    struct handover *h = owner;
    struct peer *p = peer_find(h, slice_of(node));
    ASSERT(p); /* the aim is an identity of the configuration, and not ours */
    h->given = done;
    h->given_owner = queue;
    if (channel_is_up(p->channel)) {
        giver_give(p->giver, id);
        return;
    }
    struct waiting *w = xzalloc(sizeof *w);
    w->id = *id;
    list_append(&p->waiting, &w->link);
    if (!timer_is_set(&p->patience))
        timer_set_in(h->env->timers, &p->patience, WAIT_FOR_LINE_MS, patience_over, p);
}

/* A node that is no longer in the configuration cannot be asked: its claim stays, for people to decide. */
static void port_doubt(void *owner, const struct queue_id *id, struct slice node)
{
    struct handover *h = owner;
    struct peer *p = peer_find(h, node);
    if (p)
        doubt_add(p, id);
    else
        log_warn(h->env->log, "handover.nobody_to_ask", kv_slice("id", queue_id_slice(id)),
                 kv_slice("node", node));
}

/* ---- our lines ---- */

static void dial(struct peer *p);

static void pause_over(struct timer *t)
{
    dial(t->owner);
}

static void try_again(struct peer *p, const char *event, enum err err, const char *detail)
{
    const struct env *env = p->h->env;
    log_event(env->log, p->complained ? LOG_DEBUG : LOG_WARN, event,
              LOG_KVS(kv_cstr("node", p->host->name), kv_addr("addr", &p->host->link), kv_err("err", err),
                      kv_cstr("why", detail)));
    p->complained = true;
    p->pause_ms = p->pause_ms ? MIN(p->pause_ms * 2, (uint64_t)PAUSE_MAX_MS) : PAUSE_MIN_MS;
    timer_set_in(env->timers, &p->pause, rng_jitter(env->rng, p->pause_ms, JITTER_PERCENT), pause_over, p);
}

static void out_up(void *owner, const char *name, const char *digest)
{
    struct peer *p = owner;
    log_info(p->h->env->log, "handover.line_up", kv_cstr("node", name), kv_u64("in_doubt", p->n_doubts));
    p->pause_ms = 0;
    p->complained = false;
    giver_up(p->giver);
    ask(p);
    give_waiting(p);
}

static void cut(struct peer *p, enum err why, const char *detail)
{
    channel_destroy(&p->channel);
    try_again(p, "handover.line_down", why, detail);
    giver_down(p->giver);
}

static void out_down(void *owner, enum err why, const char *detail)
{
    cut(owner, why, detail);
}

static void on_stalled(void *owner)
{
    cut(owner, ERR_TIMEOUT, "no answer for a minute");
}

static void out_frame(void *owner, struct slice payload)
{
    struct peer *p = owner;
    Gemel__V1__NodeFrame *f = gemel__v1__node_frame__unpack(NULL, payload.n, (const uint8_t *)payload.p);
    if (f && f->body_case == GEMEL__V1__NODE_FRAME__BODY_REPLY) giver_reply(p->giver, f->reply);
    bool bad = !f;
    if (f) gemel__v1__node_frame__free_unpacked(f, NULL);
    if (bad) cut(p, ERR_MALFORMED, "not a frame");
}

static void out_drained(void *owner)
{
    giver_drained(((struct peer *)owner)->giver);
}

static const struct channel_events out_events = {
    .up = out_up, .frame = out_frame, .down = out_down, .drained = out_drained
};

static void dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct peer *p = owner;
    p->dial = NULL;
    if (err)
        try_again(p, "handover.dial_failed", err, detail);
    else
        p->channel = channel_create(p->h->env, s, &p->h->channel_out, &out_events, p);
}

static void dial(struct peer *p)
{
    struct dial_conf conf = {
        .to = p->host->link, .tls = p->h->conf->tls, .tls_name = p->host->name, .limit_ms = DIAL_LIMIT_MS
    };
    p->dial = net_dial(p->h->env->net, &conf, dialled, p);
}

static bool knows_out(void *owner, const char *name)
{
    return strcmp(((struct peer *)owner)->host->name, name) == 0;
}

/* ---- their lines ---- */

static void line_in_end(struct line_in *l)
{
    if (l->peer[0]) receiver_down(l->h->receiver, l->peer);
    channel_destroy(&l->channel);
    list_remove(&l->link);
    l->h->n_lines_in--;
    free(l);
}

static enum err send_in(void *owner, const Gemel__V1__NodeFrame *f)
{
    struct line_in *l = owner;
    return channel_send(l->channel, &f->base);
}

/* What an older line of the peer still holds must not be read any more: it may contain a commit that the peer has given
 * up on. */
static void in_up(void *owner, const char *name, const char *digest)
{
    struct line_in *l = owner;
    struct handover *h = l->h;
    LIST_EACH_SAFE(&h->lines_in, it, next)
    {
        struct line_in *older = CONTAINER_OF(it, struct line_in, link);
        if (older != l && strcmp(older->peer, name) == 0) line_in_end(older);
    }
    if (receiver_up(h->receiver, name, send_in, l)) {
        line_in_end(l);
        return;
    }
    ASSERT(strlen(name) < sizeof l->peer);
    memcpy(l->peer, name, strlen(name) + 1);
    log_info(h->env->log, "handover.peer_up", kv_cstr("node", name));
}

static void in_frame(void *owner, struct slice payload)
{
    struct line_in *l = owner;
    struct handover *h = l->h;
    Gemel__V1__NodeFrame *f = gemel__v1__node_frame__unpack(NULL, payload.n, (const uint8_t *)payload.p);
    enum err err = f ? receiver_frame(h->receiver, l->peer, f) : ERR_MALFORMED;
    if (f) gemel__v1__node_frame__free_unpacked(f, NULL);
    if (!err) return;
    log_warn(h->env->log, "handover.peer_cut", kv_cstr("node", l->peer), kv_err("err", err));
    line_in_end(l);
}

static void in_down(void *owner, enum err why, const char *detail)
{
    struct line_in *l = owner;
    log_event(l->h->env->log, why == ERR_REFUSED || !l->peer[0] ? LOG_WARN : LOG_INFO, "handover.peer_down",
              LOG_KVS(kv_cstr("node", l->peer), kv_err("err", why), kv_cstr("why", detail)));
    line_in_end(l);
}

static const struct channel_events in_events = { .up = in_up, .frame = in_frame, .down = in_down };

static void accepted(void *owner, struct stream *s)
{
    struct handover *h = owner;
    if (h->n_lines_in >= LINES_IN_MAX) {
        stream_close(&s);
        return;
    }
    struct line_in *l = xzalloc(sizeof *l);
    l->h = h;
    list_append(&h->lines_in, &l->link);
    h->n_lines_in++;
    l->channel = channel_create(h->env, s, &h->channel_in, &in_events, l);
}

static bool knows_in(void *owner, const char *name)
{
    return peer_find(((struct line_in *)owner)->h, slice_of(name)) != NULL;
}

static void on_superseded(void *owner, const struct queue_id *id)
{
    struct handover *h = owner;
    for (size_t i = 0; i < h->n_peers; i++) {
        struct peer *p = &h->peers[i];
        struct doubt *d = doubt_find(p, id);
        giver_forget(p->giver, id);
        if (d) doubt_drop(p, d);
        LIST_EACH_SAFE(&p->waiting, it, next)
        {
            struct waiting *w = CONTAINER_OF(it, struct waiting, link);
            if (!queue_id_eq(&w->id, id)) continue;
            list_remove(&w->link);
            free(w);
        }
    }
    if (h->queue) queue_superseded(h->queue, id);
}

/* ---- life ---- */

static void make_peer(struct handover *h, const struct host_conf *host)
{
    struct peer *p = &h->peers[h->n_peers++];
    *p = (struct peer){ .h = h, .host = host };
    list_init(&p->waiting);
    list_init(&p->doubts);
    struct giver_conf conf = { .spool = h->conf->spool,
                               .to = host->name,
                               .send = send_out,
                               .finished = on_finished,
                               .stalled = on_stalled,
                               .owner = p };
    p->giver = giver_create(h->env, &conf);
    dial(p);
}

static void peer_end(struct peer *p)
{
    struct timers *t = p->h->env->timers;
    net_dial_cancel(&p->dial);
    channel_destroy(&p->channel);
    giver_destroy(p->giver);
    timer_clear(t, &p->pause);
    timer_clear(t, &p->patience);
    timer_clear(t, &p->ask);
    LIST_EACH_SAFE(&p->waiting, it, next) free(CONTAINER_OF(it, struct waiting, link));
    while (!list_empty(&p->doubts)) doubt_drop(p, CONTAINER_OF(p->doubts.next, struct doubt, link));
    map_deinit(&p->doubts_by_id);
}

static enum err start_listening(struct handover *h, const struct host_conf *self, struct buf *why)
{
    struct listen_conf conf = {
        .addr = self->link, .backlog = 64, .tls = h->conf->tls, .handshake_limit_ms = HANDSHAKE_LIMIT_MS
    };
    const char *detail = "";
    char addr[ADDR_TEXT_MAX];
    enum err err = net_listen(h->env->net, &conf, accepted, h, &h->listener, &detail);
    if (err) buf_putf(why, "hand-off address %s: %s", addr_format_port(&self->link, addr), detail);
    return err;
}

enum err handover_create(const struct env *env, const struct handover_conf *conf, struct handover **out,
                         struct buf *why)
{
    struct handover *h = xzalloc(sizeof *h);
    const struct host_conf *hosts = conf->cluster->nodes.items;
    h->env = env;
    h->conf = conf;
    list_init(&h->lines_in);
    h->channel_out = (struct channel_conf){ .cluster = conf->cluster->cluster,
                                            .name = conf->name,
                                            .digest = conf->cluster->digest,
                                            .knows = knows_out,
                                            .clear = conf->clear };
    h->channel_in = h->channel_out;
    h->channel_in.knows = knows_in;
    struct receiver_conf rc = { .spool = conf->spool, .superseded = on_superseded, .owner = h };
    h->receiver = receiver_create(env, &rc);
    h->peers = xzalloc((conf->cluster->nodes.n + 1) * sizeof *h->peers);
    const struct host_conf *self = NULL;
    for (size_t i = 0; i < conf->cluster->nodes.n; i++) {
        if (strcmp(hosts[i].name, conf->name) == 0)
            self = &hosts[i];
        else
            make_peer(h, &hosts[i]);
    }
    ASSERT(self); /* the configuration was checked */
    enum err err = start_listening(h, self, why);
    if (err) {
        handover_destroy(h);
        return err;
    }
    *out = h;
    return ERR_OK;
}

void handover_destroy(struct handover *h)
{
    if (!h) return;
    listener_close(&h->listener);
    while (!list_empty(&h->lines_in)) line_in_end(CONTAINER_OF(h->lines_in.next, struct line_in, link));
    for (size_t i = 0; i < h->n_peers; i++) peer_end(&h->peers[i]);
    receiver_destroy(h->receiver);
    free(h->peers);
    free(h);
}

void handover_port(struct handover *h, struct queue_giver *out)
{
    *out = (struct queue_giver){ .give = port_give, .doubt = port_doubt, .owner = h };
}

void handover_attach(struct handover *h, struct queue *q)
{
    h->queue = q;
}

size_t handover_nodes(const struct handover *h)
{
    return h->n_peers;
}

void handover_view(const struct handover *h, size_t i, struct handover_view *out)
{
    const struct peer *p = &h->peers[i];
    *out = (struct handover_view){ .node = p->host->name,
                                   .up = channel_is_up(p->channel),
                                   .giving = giver_open(p->giver),
                                   .doubts = p->n_doubts,
                                   .given = p->given };
}
