/* Listeners, and what all sockets of a loop share.
 *
 * bind → listen → accept → (TLS handshake, within its limit) → `accepted`.
 *
 * Failure modes: an address that cannot be bound is told at once; a connection that dies before or in its handshake is
 * dropped without a word (strangers do that all day); out of descriptors, libuv accepts and closes. */
#include "base/net_uv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/stream_uv.h"

enum { BACKLOG = 511, HANDSHAKE_LIMIT_MS = 30000 };

/* ---- the net ---- */

void net_handle_opened(struct net *n)
{
    n->handles++;
}

void net_handle_closed(struct net *n)
{
    ASSERT(n->handles > 0);
    if (--n->handles || !n->dying) return;
    BIO_meth_free(n->bio);
    free(n);
}

static void on_busy(uv_idle_t *h)
{
}

/* One pass: what callbacks make dirty again waits for the next turn, so that a fast pair cannot hold the loop. */
static void on_before_poll(uv_prepare_t *h)
{
    struct net *n = h->data;
    struct list now;
    if (list_empty(&n->dirty)) {
        uv_idle_stop(&n->busy);
        return;
    }
    list_init(&now);
    list_append(&n->dirty, &now); /* `now` takes the place of the head */
    list_remove(&n->dirty);
    while (!list_empty(&now)) {
        struct stream *s = CONTAINER_OF(now.next, struct stream, dirty);
        list_remove(&s->dirty);
        stream_before_poll(s);
    }
    if (list_empty(&n->dirty))
        uv_idle_stop(&n->busy);
    else
        uv_idle_start(&n->busy, on_busy);
}

struct net *net_create(uv_loop_t *uv, struct timers *timers)
{
    struct net *n = xzalloc(sizeof *n);
    n->uv = uv;
    n->timers = timers;
    n->bio = tls_conn_bio_method();
    list_init(&n->dirty);
    list_init(&n->streams);
    list_init(&n->listeners);
    list_init(&n->dials);
    list_init(&n->udps);
    list_init(&n->finishing);
    uv_prepare_init(uv, &n->before_poll);
    uv_idle_init(uv, &n->busy);
    n->before_poll.data = n->busy.data = n;
    uv_prepare_start(&n->before_poll, on_before_poll);
    uv_unref((uv_handle_t *)&n->before_poll);
    n->handles = 2;
    return n;
}

static void on_own_closed(uv_handle_t *h)
{
    net_handle_closed(h->data);
}

void net_destroy(struct net *n)
{
    if (!n) return;
    ASSERT(list_empty(&n->listeners) && list_empty(&n->dials) && list_empty(&n->udps));
    ASSERT(list_empty(&n->streams));
    on_before_poll(&n->before_poll); /* last words that the kernel takes at once still leave */
    while (!list_empty(&n->finishing)) stream_cut(CONTAINER_OF(n->finishing.next, struct stream, link));
    n->dying = true;
    uv_close((uv_handle_t *)&n->before_poll, on_own_closed);
    uv_close((uv_handle_t *)&n->busy, on_own_closed);
}

/* ---- listeners ---- */

struct listener {
    union {
        uv_handle_t handle;
        uv_stream_t uv;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    struct net *net;
    struct list link;
    struct list handshakes; /* struct incoming */
    struct tls_context *tls;
    uint32_t handshake_limit_ms;
    net_accepted_fn *accepted;
    void *owner;
    bool is_unix;
};

struct incoming { /* a connection in its handshake; the listener's until then */
    struct list link;
    struct listener *l;
    struct stream *s;
    struct timer limit;
};

static void incoming_free(struct incoming *in)
{
    timer_clear(in->l->net->timers, &in->limit);
    list_remove(&in->link);
    stream_close(&in->s);
    free(in);
}

static void incoming_data(void *owner, struct slice bytes)
{
    ASSERT(!"data before the handshake is over");
}

static void incoming_end(void *owner, enum err why, const char *detail)
{
    incoming_free(owner);
}

static void incoming_late(struct timer *t)
{
    incoming_free(t->owner);
}

static void incoming_secured(void *owner, enum err err, const char *detail)
{
    struct incoming *in = owner;
    struct listener *l = in->l;
    struct stream *s = in->s;
    if (!err) {
        in->s = NULL;
        s->ev = NULL; /* nothing is read until the new owner attaches */
    }
    incoming_free(in);
    if (!err) l->accepted(l->owner, s);
}

static void start_handshake(struct listener *l, struct stream *s)
{
    static const struct stream_events events = { incoming_data, incoming_end, NULL, incoming_secured };
    struct incoming *in = xzalloc(sizeof *in);
    in->l = l;
    in->s = s;
    list_append(&l->handshakes, &in->link);
    stream_attach(s, &events, in);
    timer_set_in(l->net->timers, &in->limit, l->handshake_limit_ms, incoming_late, in);
    stream_starttls(s, l->tls, true, NULL);
}

static void on_connection(uv_stream_t *h, int status)
{
    struct listener *l = h->data;
    if (status < 0) return;
    struct stream *s = l->is_unix ? stream_new_unix(l->net, &status)
                                  : stream_new_tcp(l->net, AF_UNSPEC, &status);
    if (!s) return;
    if (uv_accept(h, &s->uv) != 0) {
        stream_close(&s);
        return;
    }
    stream_set_up(s);
    if (l->tls)
        start_handshake(l, s);
    else
        l->accepted(l->owner, s);
}

static void on_listener_closed(uv_handle_t *h)
{
    struct listener *l = h->data;
    struct net *n = l->net;
    free(l);
    net_handle_closed(n);
}

void listener_close(struct listener **at)
{
    struct listener *l = *at;
    *at = NULL;
    if (!l) return;
    while (!list_empty(&l->handshakes))
        incoming_free(CONTAINER_OF(l->handshakes.next, struct incoming, link));
    list_remove(&l->link);
    uv_close(&l->handle, on_listener_closed);
}

static int bind_tcp(struct listener *l, const struct listen_conf *conf)
{
    struct sockaddr_storage ss;
    int one = 1, fd, v6 = conf->addr.family == ADDR_V6;
    addr_to_sockaddr(&conf->addr, &ss);
    int status = uv_fileno(&l->handle, &fd);
    if (status == 0 && conf->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0)
        status = -errno;
    if (status == 0) status = uv_tcp_bind(&l->tcp, (struct sockaddr *)&ss, v6 ? UV_TCP_IPV6ONLY : 0);
    return status;
}

/* A socket left by a process that is gone refuses connections; only such a one is removed. */
static void remove_stale_socket(const char *path)
{
    struct stat st;
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode)) return;
    if (slice_cstr(slice_of(path), sun.sun_path, sizeof sun.sun_path)) return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    if (connect(fd, (struct sockaddr *)&sun, sizeof sun) != 0 && errno == ECONNREFUSED) unlink(path);
    close(fd);
}

static int bind_unix(struct listener *l, const char *path)
{
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path) return UV_ENAMETOOLONG;
    remove_stale_socket(path);
    int status = uv_pipe_bind(&l->pipe, path);
    if (status == 0 && chmod(path, 0660) != 0) status = -errno; /* nobody can connect before listen() */
    return status;
}

static int bind_listener(struct listener *l, const struct listen_conf *conf)
{
    l->handle.data = l;
    int status = l->is_unix
                     ? uv_pipe_init(l->net->uv, &l->pipe, 0)
                     : uv_tcp_init_ex(l->net->uv, &l->tcp, conf->addr.family == ADDR_V6 ? AF_INET6 : AF_INET);
    if (status != 0) {
        free(l);
        return status;
    }
    l->handle.data = l;
    net_handle_opened(l->net);
    list_append(&l->net->listeners, &l->link);
    status = l->is_unix ? bind_unix(l, conf->unix_path) : bind_tcp(l, conf);
    if (status == 0)
        status = uv_listen(&l->uv, (int)(conf->backlog ? conf->backlog : BACKLOG), on_connection);
    if (status != 0) listener_close(&l);
    return status;
}

enum err net_listen(struct net *n, const struct listen_conf *conf, net_accepted_fn *accepted, void *owner,
                    struct listener **out, const char **detail)
{
    struct listener *l = xzalloc(sizeof *l);
    l->net = n;
    l->tls = conf->tls;
    l->handshake_limit_ms = conf->handshake_limit_ms ? conf->handshake_limit_ms : HANDSHAKE_LIMIT_MS;
    l->accepted = accepted;
    l->owner = owner;
    l->is_unix = conf->unix_path != NULL;
    list_init(&l->link);
    list_init(&l->handshakes);
    int status = bind_listener(l, conf);
    if (status != 0) {
        if (detail) *detail = stream_text(status);
        return status == UV_EMFILE || status == UV_ENFILE || status == UV_ENOMEM ? ERR_RETRY : ERR_REFUSED;
    }
    *out = l;
    return ERR_OK;
}

void listener_addr(const struct listener *l, struct addr *out)
{
    struct sockaddr_storage ss;
    int n = sizeof ss;
    *out = (struct addr){ 0 };
    if (!l->is_unix && uv_tcp_getsockname(&l->tcp, (void *)&ss, &n) == 0)
        addr_from_sockaddr((void *)&ss, out);
}
