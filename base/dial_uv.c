/* A connection of ours: bind the source → connect → is the source really that one? → (TLS handshake) → `done`.
 *
 * Failure modes: the source cannot be bound or the kernel used another (REFUSED: mail must never leave by a wrong
 * address); nobody listens, no route (RETRY); the limit passes, for both steps together (TIMEOUT); TLS fails. A failure
 * to start comes through `done` as well, from a timer. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/stream_uv.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

struct net_op {
    struct net *net;
    struct list link;
    struct stream *s;
    struct addr from, to;
    struct tls_context *tls;
    char *tls_name;
    net_dialled_fn *done;
    void *owner;
    struct timer limit;
    enum err err; /* of a start that failed */
    const char *detail;
};

static void op_free(struct net_op *op)
{
    timer_clear(op->net->timers, &op->limit);
    list_remove(&op->link);
    if (op->s) op->s->dial = NULL;
    stream_close(&op->s);
    free(op->tls_name);
    free(op);
}

void net_dial_cancel(struct net_op **at)
{
    struct net_op *op = *at;
    *at = NULL;
    if (op) op_free(op);
}

static void complete(struct net_op *op, enum err err, const char *detail)
{
    net_dialled_fn *done = op->done;
    void *owner = op->owner;
    struct stream *s = NULL;
    if (!err) {
        s = op->s;
        op->s = NULL;
        s->dial = NULL;
        s->ev = NULL; /* nothing is read until the owner attaches */
    }
    /* `detail` may live in the stream: it is freed by libuv later, the operation now. */
    op_free(op);
    done(owner, err, s, detail);
}

static void dial_data(void *owner, struct slice bytes)
{
    ASSERT(!"data before the handshake is over");
}

static void dial_end(void *owner, enum err why, const char *detail)
{
    complete(owner, why, detail);
}

static void dial_secured(void *owner, enum err err, const char *detail)
{
    complete(owner, err, detail);
}

static void dial_late(struct timer *t)
{
    struct net_op *op = t->owner;
    complete(op, ERR_TIMEOUT, op->s->connecting ? "no answer to connect" : "no end of the TLS handshake");
}

static void dial_stillborn(struct timer *t)
{
    struct net_op *op = t->owner;
    complete(op, op->err, op->detail);
}

static const char *wrong_ends(const struct net_op *op)
{
    struct addr local;
    stream_local(op->s, &local);
    if (op->from.family != ADDR_NONE && !addr_eq_ip(&local, &op->from))
        return "the kernel chose another source address";
    /* A dial to a local port nobody listens on may meet itself (simultaneous open). */
    if (!op->s->is_unix && addr_eq_ip(&local, &op->to) && local.port == op->to.port)
        return "connected to itself";
    return NULL;
}

static void on_connected(uv_connect_t *c, int status)
{
    static const struct stream_events events = { dial_data, dial_end, NULL, dial_secured };
    struct stream *s = c->data;
    if (s->state == STREAM_CLOSED) return; /* cancelled */
    struct net_op *op = s->dial;
    s->connecting = false;
    if (status < 0) {
        complete(op, stream_err(status), stream_text(status));
        return;
    }
    const char *wrong = wrong_ends(op);
    if (wrong) {
        complete(op, op->from.family != ADDR_NONE ? ERR_REFUSED : ERR_RETRY, wrong);
        return;
    }
    stream_set_up(s);
    if (!op->tls) {
        complete(op, ERR_OK, "");
        return;
    }
    stream_attach(s, &events, op);
    stream_starttls(s, op->tls, false, op->tls_name);
}

static enum err bind_source(struct net_op *op)
{
    struct sockaddr_storage ss;
    struct addr from = op->from;
    int one = 1, fd;
    if (from.family == ADDR_NONE) return ERR_OK;
    op->detail = "source and destination are of different families";
    if (from.family != op->to.family) return ERR_REFUSED;
    from.port = 0;
    addr_to_sockaddr(&from, &ss);
    /* The port is chosen at connect, by the whole 4-tuple: thousands of connections from one address. */
    if (uv_fileno(&op->s->handle, &fd) == 0)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    int status = uv_tcp_bind(&op->s->tcp, (struct sockaddr *)&ss, 0);
    op->detail = stream_text(status);
    return status == 0 ? ERR_OK : ERR_REFUSED;
}

static enum err start_tcp(struct net_op *op)
{
    struct sockaddr_storage ss;
    int status;
    op->s = stream_new_tcp(op->net, op->to.family == ADDR_V6 ? AF_INET6 : AF_INET, &status);
    op->detail = stream_text(status);
    if (!op->s) return ERR_RETRY;
    enum err err = bind_source(op);
    if (err) return err;
    addr_to_sockaddr(&op->to, &ss);
    status = uv_tcp_connect(&op->s->connect, &op->s->tcp, (struct sockaddr *)&ss, on_connected);
    op->detail = stream_text(status);
    /* A bind that libuv only reports here (EADDRNOTAVAIL) is the source's failure. */
    if (status == UV_EADDRNOTAVAIL && op->from.family != ADDR_NONE) return ERR_REFUSED;
    return status == 0 ? ERR_OK : stream_err(status);
}

static enum err start_unix(struct net_op *op, const char *path)
{
    int status;
    op->s = stream_new_unix(op->net, &status);
    op->detail = stream_text(status);
    if (!op->s) return ERR_RETRY;
    uv_pipe_connect(&op->s->connect, &op->s->pipe, path, on_connected); /* errors come by the callback */
    return ERR_OK;
}

struct net_op *net_dial(struct net *n, const struct dial_conf *conf, net_dialled_fn *done, void *owner)
{
    struct net_op *op = xzalloc(sizeof *op);
    op->net = n;
    op->to = conf->to;
    if (!conf->unix_path) op->from = conf->from;
    op->tls = conf->tls;
    if (conf->tls_name) op->tls_name = xstrdup(conf->tls_name);
    op->done = done;
    op->owner = owner;
    list_append(&n->dials, &op->link);
    op->err = conf->unix_path ? start_unix(op, conf->unix_path) : start_tcp(op);
    if (op->s) {
        op->s->dial = op;
        op->s->connecting = !op->err;
    }
    if (op->err)
        timer_set_in(n->timers, &op->limit, 0, dial_stillborn, op);
    else
        timer_set_in(n->timers, &op->limit, conf->limit_ms, dial_late, op);
    return op;
}
