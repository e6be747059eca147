/* One connected UDP socket: send → answers of that peer only.
 *
 * Failure modes: the peer's host says "port unreachable" (ICMP): the kernel reports it on the next send or receive,
 * `data` gets RETRY. A datagram that cannot be sent for want of buffers is lost, as it might be on the way. */
#include <stdlib.h>

#include "base/stream_uv.h"

struct udp {
    uv_udp_t uv;
    struct net *net;
    struct list link;
    udp_data_fn *data;
    void *owner;
    bool closed;
    struct timer failed;
};

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    struct udp *u = h->data;
    *out = uv_buf_init(u->net->scratch, sizeof u->net->scratch);
}

static void on_recv(uv_udp_t *h, ssize_t n, const uv_buf_t *b, const struct sockaddr *from, unsigned flags)
{
    struct udp *u = h->data;
    if (u->closed || (n == 0 && !from)) return; /* nothing left to read */
    if (n < 0)
        u->data(u->owner, ERR_RETRY, SLICE(""));
    else if (!(flags & UV_UDP_PARTIAL))
        u->data(u->owner, ERR_OK, slice_from(b->base, (size_t)n));
}

static void on_closed(uv_handle_t *h)
{
    struct udp *u = h->data;
    struct net *n = u->net;
    free(u);
    net_handle_closed(n);
}

void udp_close(struct udp **at)
{
    struct udp *u = *at;
    *at = NULL;
    if (!u) return;
    u->closed = true;
    timer_clear(u->net->timers, &u->failed);
    list_remove(&u->link);
    uv_close((uv_handle_t *)&u->uv, on_closed);
}

enum err udp_open(struct net *n, const struct addr *to, udp_data_fn *data, void *owner, struct udp **out)
{
    struct sockaddr_storage ss;
    struct udp *u = xzalloc(sizeof *u);
    u->net = n;
    u->data = data;
    u->owner = owner;
    addr_to_sockaddr(to, &ss);
    if (uv_udp_init(n->uv, &u->uv) != 0) {
        free(u);
        return ERR_RETRY;
    }
    u->uv.data = u;
    net_handle_opened(n);
    list_append(&n->udps, &u->link);
    int status = uv_udp_connect(&u->uv, (struct sockaddr *)&ss);
    if (status == 0) status = uv_udp_recv_start(&u->uv, on_alloc, on_recv);
    if (status != 0) {
        udp_close(&u);
        return ERR_RETRY;
    }
    *out = u;
    return ERR_OK;
}

static void send_failed(struct timer *t)
{
    struct udp *u = t->owner;
    u->data(u->owner, ERR_RETRY, SLICE(""));
}

void udp_send(struct udp *u, struct slice datagram)
{
    uv_buf_t b = uv_buf_init((char *)datagram.p, (unsigned)datagram.n);
    int status = uv_udp_try_send(&u->uv, &b, 1, NULL);
    if (status < 0 && status != UV_EAGAIN && status != UV_ENOBUFS)
        timer_set_in(u->net->timers, &u->failed, 0, send_failed, u);
}
