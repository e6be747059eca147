/* accept → parse → body → handler → (suspended until http_reply) → answer. libmicrohttpd does the wire.
 *
 * Its epoll descriptor is watched by libuv; a timer of ours stands for its timeouts. The library calls back only inside
 * MHD_run.
 *
 * Failure modes: too many connections, too long headers, idle ones: the library closes them. A body longer than the
 * bound: 413, or the connection ends when the length was not announced. A client without a good certificate where one is
 * demanded: 403, and the handler never hears of it. */
#include "base/http_uv.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "base/disk.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop_uv.h"
#include "base/timers.h"

enum { PEM_BYTES_MAX = 1 << 20, BACKLOG = 128, TLS_WAIT_MIN_MS = 5 };

struct header {
    struct header *next;
    char *name, *value;
};

struct http_request {
    struct list link; /* in server->requests */
    struct http_server *server;
    struct MHD_Connection *conn;
    char *method, *path;
    char peer_name[256];
    struct buf body;
    bool handled;   /* the handler has been called */
    bool suspended; /* waits for http_reply */
    struct MHD_Response *response;
    unsigned status;
    struct header *headers;
    void (*gone)(void *owner);
    void *gone_owner;
};

struct http_server {
    const struct env *env;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    struct timer timer;
    struct list requests;
    http_handler_fn *handler;
    void *owner;
    struct addr addr;
    char *unix_path;
    struct buf cert, key, ca; /* PEM; the library reads them where they lie */
    bool running;
};

/* ---- requests ---- */

struct slice http_method(const struct http_request *req)
{
    return slice_of(req->method);
}

struct slice http_path(const struct http_request *req)
{
    return slice_of(req->path);
}

struct slice http_body(const struct http_request *req)
{
    return buf_slice(&req->body);
}

static bool look_up(const struct http_request *req, enum MHD_ValueKind kind, const char *name,
                    struct slice *out)
{
    const char *value = NULL;
    size_t n = 0;
    if (MHD_lookup_connection_value_n(req->conn, kind, name, strlen(name), &value, &n) != MHD_YES)
        return false;
    *out = slice_from(value ? value : "", value ? n : 0);
    return true;
}

bool http_query(const struct http_request *req, const char *name, struct slice *out)
{
    return look_up(req, MHD_GET_ARGUMENT_KIND, name, out);
}

bool http_header(const struct http_request *req, const char *name, struct slice *out)
{
    return look_up(req, MHD_HEADER_KIND, name, out);
}

void http_peer(const struct http_request *req, struct addr *out)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(req->conn,
                                                                   MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    *out = (struct addr){ 0 };
    if (info && info->client_addr) addr_from_sockaddr(info->client_addr, out);
}

const char *http_peer_name(const struct http_request *req)
{
    return req->peer_name;
}

void http_add_header(struct http_request *req, const char *name, const char *value)
{
    struct header *h = xzalloc(sizeof *h);
    h->name = xstrdup(name);
    h->value = xstrdup(value);
    h->next = req->headers;
    req->headers = h;
}

void http_on_gone(struct http_request *req, void (*gone)(void *owner), void *owner)
{
    req->gone = gone;
    req->gone_owner = owner;
}

static void run_soon(struct http_server *s);

void http_reply(struct http_request *req, unsigned status, const char *content_type, struct slice body)
{
    ASSERT(!req->response);
    req->status = status;
    req->response = MHD_create_response_from_buffer(body.n, (void *)(body.n ? body.p : ""),
                                                    MHD_RESPMEM_MUST_COPY);
    ASSERT(req->response);
    if (content_type) MHD_add_response_header(req->response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    for (struct header *h = req->headers; h; h = h->next)
        MHD_add_response_header(req->response, h->name, h->value);
    req->gone = NULL;
    if (!req->suspended) return; /* still inside the handler: request_complete goes on */
    req->suspended = false;
    MHD_resume_connection(req->conn);
    run_soon(req->server);
}

static void request_free(struct http_request *req)
{
    list_remove(&req->link);
    if (req->response) MHD_destroy_response(req->response);
    while (req->headers) {
        struct header *h = req->headers;
        req->headers = h->next;
        free(h->name);
        free(h->value);
        free(h);
    }
    buf_deinit(&req->body);
    free(req->method);
    free(req->path);
    free(req);
}

/* ---- the client's certificate ---- */

static void name_of(gnutls_x509_crt_t cert, char *out, size_t cap)
{
    for (unsigned i = 0;; i++) {
        size_t n = cap - 1;
        int kind = gnutls_x509_crt_get_subject_alt_name(cert, i, out, &n, NULL);
        if (kind == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) break;
        out[kind == GNUTLS_SAN_DNSNAME ? n : 0] = '\0';
        if (kind == GNUTLS_SAN_DNSNAME && strlen(out) == n) return;
        out[0] = '\0';
        if (kind == GNUTLS_SAN_DNSNAME) return; /* a NUL inside: no name */
    }
    size_t n = cap;
    if (gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, out, &n) != 0 ||
        strlen(out) != n)
        out[0] = '\0';
}

static bool peer_is_good(struct http_request *req)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(req->conn,
                                                                   MHD_CONNECTION_INFO_GNUTLS_SESSION);
    gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                      .data = (void *)GNUTLS_KP_TLS_WWW_CLIENT };
    gnutls_x509_crt_t cert;
    unsigned verdict = 0, n = 0;
    if (!info || !info->tls_session) return false;
    gnutls_session_t session = info->tls_session;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &n);
    if (!chain || n == 0) return false;
    if (gnutls_certificate_verify_peers(session, &purpose, 1, &verdict) != 0 || verdict != 0) return false;
    if (gnutls_x509_crt_init(&cert) != 0) return false;
    bool ok = gnutls_x509_crt_import(cert, &chain[0], GNUTLS_X509_FMT_DER) == 0;
    if (ok) name_of(cert, req->peer_name, sizeof req->peer_name);
    gnutls_x509_crt_deinit(cert);
    return ok;
}

/* ---- the library's callbacks ---- */

static struct http_request *request_new(struct http_server *s, struct MHD_Connection *conn, const char *path,
                                        const char *method)
{
    struct http_request *req = xzalloc(sizeof *req);
    req->server = s;
    req->conn = conn;
    req->method = xstrdup(method);
    req->path = xstrdup(path);
    buf_init(&req->body, HTTP_BODY_BYTES_MAX);
    list_append(&s->requests, &req->link);
    return req;
}

/* Headers are in. A body that announces too much is refused before it is sent. */
static enum MHD_Result headers_complete(struct http_request *req)
{
    struct slice text;
    uint64_t n = 0;
    if (!http_header(req, MHD_HTTP_HEADER_CONTENT_LENGTH, &text)) return MHD_YES;
    if (!slice_u64(text, HTTP_BODY_BYTES_MAX, &n)) return MHD_YES;
    req->handled = true;
    http_reply(req, MHD_HTTP_CONTENT_TOO_LARGE, "text/plain", SLICE("the body is too large\n"));
    return MHD_queue_response(req->conn, req->status, req->response);
}

/* Called again after a resume: then there is an answer. */
static enum MHD_Result request_complete(struct http_request *req)
{
    struct http_server *s = req->server;
    if (!req->handled) {
        req->handled = true;
        if (buf_len(&s->ca) && !peer_is_good(req))
            http_reply(req, MHD_HTTP_FORBIDDEN, "text/plain", SLICE("a client certificate is required\n"));
        else
            s->handler(s->owner, req);
    }
    if (req->response) return MHD_queue_response(req->conn, req->status, req->response);
    req->suspended = true;
    MHD_suspend_connection(req->conn);
    return MHD_YES;
}

static enum MHD_Result on_access(void *owner, struct MHD_Connection *conn, const char *path,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_n, void **slot)
{
    struct http_request *req = *slot;
    if (!req) {
        *slot = req = request_new(owner, conn, path, method);
        return headers_complete(req);
    }
    if (*upload_n == 0) return request_complete(req);
    if (buf_append(&req->body, slice_from(upload, *upload_n))) return MHD_NO; /* ends the connection */
    *upload_n = 0;
    return MHD_YES;
}

static void on_completed(void *owner, struct MHD_Connection *conn, void **slot,
                         enum MHD_RequestTerminationCode why)
{
    if (*slot) request_free(*slot);
    *slot = NULL;
}

static void PRINTF_LIKE(2, 0) on_library_log(void *owner, const char *fmt, va_list ap)
{
    struct http_server *s = owner;
    char text[400];
    vsnprintf(text, sizeof text, fmt, ap);
    log_debug(s->env->log, "http.library", kv_slice("says", slice_trim(slice_of(text))));
}

/* ---- the library in the loop ---- */

static void on_timer(struct timer *t);

static void run(struct http_server *s)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    s->running = true;
    MHD_run(s->daemon);
    s->running = false;
    bool wants = MHD_get_timeout(s->daemon, &wait_ms) == MHD_YES;
    /* Version 0.9.75 says "at once" for as long as a TLS handshake waits for the client. */
    if (buf_len(&s->cert)) wait_ms = MAX(wait_ms, TLS_WAIT_MIN_MS);
    if (wants)
        timer_set_in(s->env->timers, &s->timer, wait_ms, on_timer, s);
    else
        timer_clear(s->env->timers, &s->timer);
}

static void on_timer(struct timer *t)
{
    run(t->owner);
}

static void run_soon(struct http_server *s)
{
    if (!s->running) timer_set_in(s->env->timers, &s->timer, 0, on_timer, s);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    run(p->data);
}

/* ---- life ---- */

static void PRINTF_LIKE(2, 3) say(struct buf *why, const char *fmt, ...)
{
    if (!why) return;
    va_list ap;
    va_start(ap, fmt);
    buf_clear(why);
    if (buf_vprintf(why, fmt, ap)) buf_clear(why);
    va_end(ap);
}

static enum err read_pem(struct http_server *s, const char *path, struct buf *out, struct buf *why)
{
    buf_init(out, PEM_BYTES_MAX);
    if (!path) return ERR_OK;
    enum err err = disk_read(s->env->disk, path, out);
    if (err) say(why, "%s: %s", path, err == ERR_NOT_FOUND ? "No such file" : "cannot be read");
    return err == ERR_RETRY ? ERR_REFUSED : err;
}

static int bind_fd(struct http_server *s, const struct http_conf *conf, int fd)
{
    struct sockaddr_storage ss;
    socklen_t n;
    int one = 1;
    if (s->unix_path) {
        struct sockaddr_un *sun = (void *)&ss;
        *sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (slice_cstr(slice_of(s->unix_path), sun->sun_path, sizeof sun->sun_path)) return ENAMETOOLONG;
        if (connect(fd, (void *)sun, sizeof *sun) == 0) return EADDRINUSE;
        if (errno == ECONNREFUSED) unlink(s->unix_path); /* left by a process that is gone */
        n = sizeof *sun;
    } else {
        n = addr_to_sockaddr(&conf->addr, &ss);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    if (bind(fd, (void *)&ss, n) != 0) return errno;
    if (s->unix_path && chmod(s->unix_path, conf->unix_mode ? conf->unix_mode : 0660) != 0) return errno;
    if (listen(fd, BACKLOG) != 0) return errno;
    n = sizeof ss;
    if (!s->unix_path && getsockname(fd, (void *)&ss, &n) == 0) addr_from_sockaddr((void *)&ss, &s->addr);
    return 0;
}

static enum err open_socket(struct http_server *s, const struct http_conf *conf, int *out, struct buf *why)
{
    char text[ADDR_TEXT_MAX];
    int family = conf->unix_path ? AF_UNIX : conf->addr.family == ADDR_V6 ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        say(why, "socket: %s", strerror(errno));
        return ERR_RETRY;
    }
    int status = bind_fd(s, conf, fd);
    if (status == 0) {
        *out = fd;
        return ERR_OK;
    }
    say(why, "%s: %s", conf->unix_path ? conf->unix_path : addr_format_port(&conf->addr, text),
        strerror(status));
    close(fd);
    return ERR_REFUSED;
}

static enum err start_daemon(struct http_server *s, int fd, struct buf *why)
{
    bool tls = buf_len(&s->cert) > 0, mutual = buf_len(&s->ca) > 0;
    struct MHD_OptionItem tls_options[] = {
        { MHD_OPTION_HTTPS_MEM_CERT, 0, tls ? (void *)buf_cstr(&s->cert) : NULL },
        { MHD_OPTION_HTTPS_MEM_KEY, 0, tls ? (void *)buf_cstr(&s->key) : NULL },
        { MHD_OPTION_HTTPS_PRIORITIES, 0,
          (void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE" },
        { mutual ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, mutual ? (void *)buf_cstr(&s->ca) : NULL },
        { MHD_OPTION_END, 0, NULL },
    };
    struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0);
    s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_access, s, MHD_OPTION_EXTERNAL_LOGGER,
                                 on_library_log, s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED,
                                 on_completed, s, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
                                 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S, MHD_OPTION_ARRAY,
                                 tls ? tls_options : none, MHD_OPTION_END);
    if (s->daemon) return ERR_OK;
    say(why, tls ? "the certificate or its key cannot be used" : "libmicrohttpd does not start");
    return ERR_MALFORMED;
}

static void http_server_free(struct http_server *s)
{
    if (s->key.p) explicit_bzero(s->key.p, s->key.cap);
    buf_deinit(&s->cert);
    buf_deinit(&s->key);
    buf_deinit(&s->ca);
    free(s->unix_path);
    free(s);
}

static void watch(struct http_server *s, struct loop *l)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    ASSERT(info);
    int status = uv_poll_init(loop_uv(l), &s->poll, info->epoll_fd);
    ASSERT(status == 0);
    s->poll.data = s;
    uv_poll_start(&s->poll, UV_READABLE, on_poll);
}

enum err http_server_create(struct loop *l, const struct http_conf *conf, http_handler_fn *handler,
                            void *owner, struct http_server **out, struct buf *why)
{
    struct http_server *s = xzalloc(sizeof *s);
    int fd = -1;
    s->env = loop_env(l);
    s->handler = handler;
    s->owner = owner;
    list_init(&s->requests);
    if (conf->unix_path) s->unix_path = xstrdup(conf->unix_path);
    enum err err = read_pem(s, conf->cert_file, &s->cert, why);
    if (!err) err = read_pem(s, conf->key_file, &s->key, why);
    if (!err) err = read_pem(s, conf->ca_file, &s->ca, why);
    if (!err) err = open_socket(s, conf, &fd, why);
    if (!err) {
        err = start_daemon(s, fd, why);
        if (err) close(fd);
    }
    if (err) {
        http_server_free(s);
        return err;
    }
    watch(s, l);
    run_soon(s);
    *out = s;
    return ERR_OK;
}

static void on_poll_closed(uv_handle_t *h)
{
    http_server_free(h->data);
}

void http_server_destroy(struct http_server *s)
{
    if (!s) return;
    ASSERT(!s->running); /* not from inside a handler: post it */
    LIST_EACH_SAFE(&s->requests, it, next)
    {
        struct http_request *req = CONTAINER_OF(it, struct http_request, link);
        if (!req->suspended) continue;
        if (req->gone) req->gone(req->gone_owner);
        http_reply(req, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain", SLICE("shutting down\n"));
    }
    s->running = true;
    for (int i = 0; i < 3; i++) MHD_run(s->daemon); /* resume, answer, send */
    timer_clear(s->env->timers, &s->timer);
    uv_poll_stop(&s->poll);
    MHD_stop_daemon(s->daemon);
    if (s->unix_path) unlink(s->unix_path);
    uv_close((uv_handle_t *)&s->poll, on_poll_closed);
}

void http_server_addr(const struct http_server *s, struct addr *out)
{
    *out = s->addr;
}
