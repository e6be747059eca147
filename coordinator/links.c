#include "coordinator/links.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/net.h"
#include "base/timers.h"
#include "proto/channel.h"

enum {
    CONNS_MAX = 256, /* nodes, coordinators, and whoever else has a certificate and has not said Hello yet */
    HANDSHAKE_LIMIT_MS = 5000
};

struct node {
    const struct host_conf *host;
    struct conn *conn; /* NULL: not connected */
    bool heard, differs;
    int64_t clock_off_ms;
    uint64_t beat_ms;
    struct link_queue queue;
};

struct words { /* what is wrong with one identity, by its node */
    struct arena arena;
    const char *issue[LINK_ISSUES_MAX];
    size_t n;
    const char *seen_as, *seen_by;
};

struct conn { /* a connection: before its Hello nobody's, then a node's or a coordinator's */
    struct list list;
    struct links *links;
    struct channel *channel;
    struct node *node;
    struct list calls; /* struct links_call */
    struct addr addr;
};

struct links_call {
    struct list list;
    struct conn *conn; /* NULL: the connection is gone, the answer goes nowhere */
    uint64_t id;
};

struct links {
    const struct env *env;
    const struct links_conf *conf;
    const struct links_events *ev;
    void *owner;
    struct channel_conf channel_conf;
    struct listener *listener;
    struct list conns;
    size_t n_conns;
    struct node *nodes;
    size_t n_nodes;
    struct words words[STORE_IDENTITIES_MAX];
    uint64_t refused_ms; /* when a refusal was logged last: a stranger must not fill the disk */
};

static void conn_destroy(struct conn *c)
{
    struct links *l = c->links;
    if (c->node && c->node->conn == c) {
        c->node->conn = NULL;
        c->node->heard = false;
    }
    LIST_EACH_SAFE(&c->calls, it, next)
    {
        list_remove(it);
        CONTAINER_OF(it, struct links_call, list)->conn = NULL;
    }
    list_remove(&c->list);
    l->n_conns--;
    channel_destroy(&c->channel);
    free(c);
}

/* ---- what a connection says ---- */

static struct node *node_of(const struct links *l, const char *name)
{
    for (size_t i = 0; i < l->n_nodes; i++)
        if (strcmp(l->nodes[i].host->name, name) == 0) return &l->nodes[i];
    return NULL;
}

static bool knows(void *owner, const char *name)
{
    const struct conn *c = owner;
    return node_of(c->links, name) || cluster_coordinator(c->links->conf->cluster, slice_of(name));
}

static void on_up(void *owner, const char *name, const char *digest)
{
    struct conn *c = owner;
    struct links *l = c->links;
    c->node = node_of(l, name);
    if (!c->node) return; /* a coordinator */
    if (c->node->conn) {
        log_info(l->env->log, "link.replaced", kv_cstr("node", name), kv_addr("addr", &c->addr));
        conn_destroy(c->node->conn);
    }
    c->node->conn = c;
    c->node->heard = false;
    c->node->differs = strcmp(digest, l->conf->cluster->digest) != 0;
    log_info(l->env->log, "link.up", kv_cstr("node", name), kv_addr("addr", &c->addr));
    if (c->node->differs)
        log_warn(l->env->log, "link.configuration_differs", kv_cstr("node", name), kv_cstr("theirs", digest),
                 kv_cstr("ours", l->conf->cluster->digest));
}

static void keep_words(struct links *l, const struct link_identity *id)
{
    const struct identity_conf *ids = l->conf->cluster->identities.items;
    for (size_t i = 0; i < l->conf->cluster->identities.n; i++) {
        if (!slice_eq(slice_of(ids[i].name), id->identity)) continue;
        struct words *w = &l->words[i];
        arena_reset(&w->arena);
        for (w->n = 0; w->n < id->n_issues; w->n++) w->issue[w->n] = arena_cstr(&w->arena, id->issues[w->n]);
        w->seen_as = arena_cstr(&w->arena, id->seen_as);
        w->seen_by = arena_cstr(&w->arena, id->seen_by);
    }
}

static void on_heartbeat(struct conn *c, const struct link_heartbeat *h)
{
    struct links *l = c->links;
    struct node *n = c->node;
    int64_t off = (int64_t)(h->wall_ms - timers_wall_ms(l->env->timers));
    bool was_far = n->heard && llabs(n->clock_off_ms) > LINKS_CLOCK_SLACK_MS;
    if (llabs(off) > LINKS_CLOCK_SLACK_MS && !was_far)
        log_warn(l->env->log, "link.clock_differs", kv_cstr("node", n->host->name), kv_i64("by_ms", off));
    n->heard = true;
    n->clock_off_ms = off;
    n->beat_ms = timers_now_ms(l->env->timers);
    n->queue = h->queue;
    for (size_t i = 0; i < h->n_identities; i++) keep_words(l, &h->identities[i]);
    l->ev->heartbeat(l->owner, n->host->name, h);
}

static void on_request(struct conn *c, const struct link_request *r)
{
    struct links *l = c->links;
    struct links_call *call = xzalloc(sizeof *call);
    call->conn = c;
    call->id = r->id;
    list_append(&c->calls, &call->list);
    l->ev->request(l->owner, channel_peer(c->channel), r, call);
}

static void on_frame(void *owner, struct slice payload)
{
    struct conn *c = owner;
    struct links *l = c->links;
    struct arena a = { 0 };
    struct link_frame *f = arena_alloc(&a, sizeof *f);
    enum err err = link_unpack(payload, &a, f);
    if (!err && c->node && f->kind == LINK_FRAME_HEARTBEAT)
        on_heartbeat(c, &f->heartbeat);
    else if (!err && c->node && f->kind == LINK_FRAME_ACK)
        l->ev->ack(l->owner, c->node->host->name, &f->ack);
    else if (!err && !c->node && f->kind == LINK_FRAME_REQUEST)
        on_request(c, &f->request);
    else
        log_warn(l->env->log, "link.frame_ignored", kv_cstr("peer", channel_peer(c->channel)),
                 kv_err("err", err));
    arena_deinit(&a);
}

static void on_down(void *owner, enum err why, const char *detail)
{
    enum { ONCE_A_MS = 1000 };
    struct conn *c = owner;
    struct links *l = c->links;
    uint64_t now = timers_now_ms(l->env->timers);
    if (c->node) {
        log_warn(l->env->log, "link.down", kv_cstr("node", c->node->host->name), kv_addr("addr", &c->addr),
                 kv_err("err", why), kv_cstr("why", detail));
        if (l->ev->gone) l->ev->gone(l->owner, c->node->host->name);
    } else if (!*channel_peer(c->channel) && now >= l->refused_ms + ONCE_A_MS) {
        log_warn(l->env->log, "link.refused", kv_addr("addr", &c->addr), kv_err("err", why),
                 kv_cstr("why", detail));
        l->refused_ms = now;
    }
    conn_destroy(c);
}

static const struct channel_events channel_events = { .up = on_up, .frame = on_frame, .down = on_down };

static void accepted(void *owner, struct stream *s)
{
    struct links *l = owner;
    struct addr from;
    stream_peer(s, &from);
    if (l->n_conns >= CONNS_MAX) {
        log_warn(l->env->log, "link.too_many", kv_addr("addr", &from), kv_u64("connections", l->n_conns));
        stream_close(&s);
        return;
    }
    struct conn *c = xzalloc(sizeof *c);
    *c = (struct conn){ .links = l, .addr = from };
    list_init(&c->calls);
    list_append(&l->conns, &c->list);
    l->n_conns++;
    c->channel = channel_create(l->env, s, &l->channel_conf, &channel_events, c);
}

/* ---- life ---- */

enum err links_create(const struct env *env, const struct links_conf *conf, const struct links_events *ev,
                      void *owner, struct links **out, struct buf *why)
{
    struct links *l = xzalloc(sizeof *l);
    const struct host_conf *hosts = conf->cluster->nodes.items;
    *l = (struct links){ .env = env, .conf = conf, .ev = ev, .owner = owner };
    l->channel_conf = (struct channel_conf){ .cluster = conf->cluster->cluster,
                                             .name = conf->self->name,
                                             .digest = conf->cluster->digest,
                                             .knows = knows,
                                             .clear = conf->clear };
    list_init(&l->conns);
    l->n_nodes = conf->cluster->nodes.n;
    l->nodes = xzalloc(l->n_nodes * sizeof *l->nodes);
    for (size_t i = 0; i < l->n_nodes; i++) l->nodes[i].host = &hosts[i];
    struct listen_conf where = { .addr = conf->self->link,
                                 .tls = conf->tls,
                                 .handshake_limit_ms = HANDSHAKE_LIMIT_MS };
    const char *detail = "";
    enum err err = net_listen(env->net, &where, accepted, l, &l->listener, &detail);
    if (err) {
        char addr[ADDR_TEXT_MAX];
        buf_putf(why, "cannot listen for nodes on %s: %s", addr_format_port(&conf->self->link, addr), detail);
        links_destroy(l);
        return err;
    }
    *out = l;
    return ERR_OK;
}

void links_destroy(struct links *l)
{
    if (!l) return;
    listener_close(&l->listener);
    LIST_EACH_SAFE(&l->conns, it, next)
    {
        struct conn *c = CONTAINER_OF(it, struct conn, list);
        LIST_EACH_SAFE(&c->calls, call, next_call) free(CONTAINER_OF(call, struct links_call, list));
        list_init(&c->calls);
        conn_destroy(c);
    }
    for (size_t i = 0; i < STORE_IDENTITIES_MAX; i++) arena_deinit(&l->words[i].arena);
    free(l->nodes);
    free(l);
}

bool links_order(struct links *l, const char *node, const struct link_order *o)
{
    struct node *n = node_of(l, node);
    if (!n || !n->conn) return false;
    enum err err = link_send_order(n->conn->channel, o);
    if (err)
        log_warn(l->env->log, "link.order_dropped", kv_cstr("node", node),
                 kv_cstr("order", link_order_name(o->kind)), kv_err("err", err));
    return !err;
}

void links_reply(struct links_call *call, unsigned status, struct slice body)
{
    struct conn *c = call->conn;
    if (c) {
        struct link_reply r = { .id = call->id, .status = status, .body = body };
        enum err err = link_send_reply(c->channel, &r);
        if (err)
            log_warn(c->links->env->log, "link.reply_dropped",
                     kv_cstr("coordinator", channel_peer(c->channel)), kv_err("err", err));
        list_remove(&call->list);
    }
    free(call);
}

/* ---- looks ---- */

size_t links_nodes(const struct links *l)
{
    return l->n_nodes;
}

void links_node(const struct links *l, size_t i, struct links_node *out)
{
    ASSERT(i < l->n_nodes);
    const struct node *n = &l->nodes[i];
    *out = (struct links_node){ .name = n->host->name,
                                .up = n->conn != NULL,
                                .heard = n->heard,
                                .configuration_differs = n->conn && n->differs,
                                .clock_off_ms = n->clock_off_ms,
                                .beat_ms = n->beat_ms,
                                .queue = n->queue };
}

const char *links_identity_issue(const struct links *l, uint8_t identity, size_t i)
{
    return identity < STORE_IDENTITIES_MAX && i < l->words[identity].n ? l->words[identity].issue[i] : NULL;
}

const char *links_identity_seen_as(const struct links *l, uint8_t identity, const char **by)
{
    const struct words *w = identity < STORE_IDENTITIES_MAX ? &l->words[identity] : NULL;
    *by = w && w->seen_by ? w->seen_by : "";
    return w && w->seen_as ? w->seen_as : "";
}
