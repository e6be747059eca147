#include "node/smtp/server.h"

#include <stdlib.h>

#include "node/smtp/server_inside.h"

enum { BACKLOG = 1024, HANDSHAKE_LIMIT_MS = 30000 };

void smtp_server_conf_defaults(struct smtp_server_conf *c)
{
    smtp_session_conf_defaults(&c->session);
    c->sessions_max = 5000;
    c->sessions_per_client_max = 20;
    c->intake.expire_ms = DAYS(2);
}

/* ---- limits ---- */

static struct slice client_key(const struct addr *a)
{
    return slice_from(a->ip, a->family == ADDR_V4 ? 4 : 8); /* an IPv6 host has a /64 of its own */
}

static bool is_inside(const struct smtp_server *s, const struct addr *a)
{
    for (size_t i = 0; i < s->conf.relay.n_inside; i++)
        if (prefix_has(&s->conf.relay.inside[i], a)) return true;
    return false;
}

static size_t sessions_of(const struct smtp_server *s, const struct addr *peer)
{
    return (uintptr_t)map_get(&s->per_client, client_key(peer));
}

static void count_client(struct smtp_server *s, const struct addr *peer, int change)
{
    size_t n = sessions_of(s, peer) + (size_t)change;
    if (n)
        map_put(&s->per_client, client_key(peer), (void *)(uintptr_t)n);
    else
        map_remove(&s->per_client, client_key(peer));
}

static enum smtp_reply at_the_door(const struct smtp_server *s, const struct addr *peer)
{
    if (s->leaving) return SMTP_REPLY_SHUTDOWN;
    if (s->stats.sessions_open >= s->conf.sessions_max) return SMTP_REPLY_BUSY;
    bool crowd = sessions_of(s, peer) >= s->conf.sessions_per_client_max;
    return crowd && !is_inside(s, peer) ? SMTP_REPLY_TOO_MANY_CONNECTIONS : SMTP_REPLY_NONE;
}

static void on_accepted(void *owner, struct stream *stream)
{
    struct smtp_door *door = owner;
    struct smtp_server *s = door->server;
    struct addr peer;
    stream_peer(stream, &peer);
    enum smtp_reply turned_away = at_the_door(s, &peer);
    s->stats.sessions_total++;
    s->stats.sessions_open++;
    s->stats.sessions_turned_away += turned_away != SMTP_REPLY_NONE;
    count_client(s, &peer, 1);
    smtp_conn_open(door, stream, turned_away);
}

static void say_done(struct timer *t)
{
    struct smtp_server *s = t->owner;
    s->done(s->done_owner);
}

static void done_if_empty(struct smtp_server *s)
{
    if (s->done && list_empty(&s->conns) && !timer_is_set(&s->done_timer))
        timer_set_in(s->env.timers, &s->done_timer, 0, say_done, s);
}

void server_left(struct smtp_server *s, const struct addr *peer)
{
    s->stats.sessions_open--;
    count_client(s, peer, -1);
    done_if_empty(s);
}

/* ---- making and ending ---- */

static void door_init(struct smtp_door *d, struct smtp_server *s, const struct smtp_listener_conf *conf)
{
    *d = (struct smtp_door){ .server = s, .conf = conf, .session = s->conf.session };
    d->session.tls_offered = s->conf.tls != NULL;
    d->session.tls_required = conf->tls_required;
    /* People log in where people send; a password asked for on port 25 is only an invitation to guess. */
    d->session.auth_offered = s->conf.tls && s->conf.auth && conf->kind != ACCEPT_MX;
}

static enum err door_open(struct smtp_door *d, struct buf *why)
{
    char addr[ADDR_TEXT_MAX];
    const char *detail = "";
    struct listen_conf lc = { .addr = d->conf->addr,
                              .reuse_port = d->conf->reuse_port,
                              .backlog = BACKLOG,
                              .tls = d->conf->tls_at_once ? d->server->conf.tls : NULL,
                              .handshake_limit_ms = HANDSHAKE_LIMIT_MS };
    enum err err = net_listen(d->server->env.net, &lc, on_accepted, d, &d->listener, &detail);
    if (!err) {
        listener_addr(d->listener, &lc.addr);
        log_info(d->server->env.log, "smtp.listening", kv_addr("addr", &lc.addr),
                 kv_cstr("kind", accept_listener_name(d->conf->kind)));
    } else if (why) {
        buf_putf(why, "cannot listen on %s: %s", addr_format_port(&d->conf->addr, addr), detail);
    }
    return err;
}

enum err smtp_server_create(const struct env *env, const struct smtp_server_conf *conf,
                            struct smtp_server **out, struct buf *why)
{
    struct smtp_server *s = xzalloc(sizeof *s);
    enum err err = ERR_OK;
    s->env = *env;
    s->conf = *conf;
    list_init(&s->conns);
    s->doors = xzalloc(MAX(conf->n_listeners, (size_t)1) * sizeof *s->doors);
    for (size_t i = 0; i < conf->n_listeners && !err; i++) {
        door_init(&s->doors[i], s, &conf->listeners[i]);
        err = door_open(&s->doors[i], why);
    }
    if (err) {
        smtp_server_destroy(s);
        return err;
    }
    *out = s;
    return ERR_OK;
}

static void close_doors(struct smtp_server *s)
{
    for (size_t i = 0; i < s->conf.n_listeners; i++)
        if (s->doors[i].listener) listener_close(&s->doors[i].listener);
}

void smtp_server_shutdown(struct smtp_server *s, smtp_server_done_fn *done, void *owner)
{
    s->leaving = true;
    s->done = done;
    s->done_owner = owner;
    close_doors(s);
    LIST_EACH_SAFE(&s->conns, it, next) smtp_conn_shutdown(it);
    done_if_empty(s);
}

void smtp_server_destroy(struct smtp_server *s)
{
    if (!s) return;
    s->done = NULL;
    close_doors(s);
    while (!list_empty(&s->conns)) smtp_conn_destroy(s->conns.next);
    timer_clear(s->env.timers, &s->done_timer);
    map_deinit(&s->per_client);
    free(s->doors);
    free(s);
}

void smtp_server_stats(const struct smtp_server *s, struct smtp_server_stats *out)
{
    *out = s->stats;
}

void smtp_server_addr(const struct smtp_server *s, size_t i, struct addr *out)
{
    ASSERT(i < s->conf.n_listeners);
    listener_addr(s->doors[i].listener, out);
}
