/* base/http_uv.h: a small HTTP/1.1 server in the loop, for health checks, metrics and administration.
 *
 * libmicrohttpd parses and frames; it is driven through its epoll descriptor, no thread is added. Requests are bounded
 * (HTTP_BODY_BYTES_MAX, HTTP_CONNECTIONS_MAX, HTTP_IDLE_S). Knows nothing of paths: the handler does. */
#ifndef GEMEL_BASE_HTTP_UV_H
#define GEMEL_BASE_HTTP_UV_H

#include "base/addr.h"
#include "base/env.h"

struct loop;
struct http_server;
struct http_request;

enum { HTTP_BODY_BYTES_MAX = 1 << 20, HTTP_CONNECTIONS_MAX = 256, HTTP_IDLE_S = 30 };

/* A request whose body is complete. Answer it with http_reply: at once, or later from the same loop. HEAD arrives as
 * HEAD: answer as for GET, the body is left out on the wire. */
typedef void http_handler_fn(void *owner, struct http_request *req);

struct http_conf {
    struct addr addr;
    const char *unix_path; /* instead of addr: a unix socket of mode `unix_mode` [0660] */
    uint32_t unix_mode;
    /* HTTPS: PEM files; a client must show a certificate of `ca_file` when that is given. NULL: clear text. */
    const char *cert_file, *key_file, *ca_file;
};

/* `why` (may be NULL) gets a sentence. REFUSED: address in use, not ours, no permission. NOT_FOUND, MALFORMED: files. */
MUST_USE enum err http_server_create(struct loop *l, const struct http_conf *conf, http_handler_fn *handler,
                                     void *owner, struct http_server **out, struct buf *why);
/* Open requests are answered with 503, after their `gone` callback. Safe on NULL. */
void http_server_destroy(struct http_server *s);
void http_server_addr(const struct http_server *s, struct addr *out); /* the port really bound */

/* Borrowed until http_reply. */
struct slice http_method(const struct http_request *req);
struct slice http_path(const struct http_request *req); /* percent-decoded, without the query */
struct slice http_body(const struct http_request *req);
bool http_query(const struct http_request *req, const char *name,
                struct slice *out); /* decoded; "" without "=" */
bool http_header(const struct http_request *req, const char *name, struct slice *out);
void http_peer(const struct http_request *req, struct addr *out); /* family NONE: came by the unix socket */
/* The name in the verified client certificate (first dNSName, else CN); "" without one. */
const char *http_peer_name(const struct http_request *req);

/* Adds a header to the answer to come ("Location", "Allow"…). Copied. */
void http_add_header(struct http_request *req, const char *name, const char *value);
/* Answers, once; `req` is gone. `content_type` NULL: none. Body is copied. */
void http_reply(struct http_request *req, unsigned status, const char *content_type, struct slice body);
/* For answers that come later: `gone` runs when the server is destroyed before the answer; `req` is invalid then. */
void http_on_gone(struct http_request *req, void (*gone)(void *owner), void *owner);

#endif
