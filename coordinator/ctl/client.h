/* coordinator/ctl/client.h: one HTTP request to a daemon's admin socket, one JSON answer.
 *
 * Blocking, over libcurl. The target is the path of a unix socket. What comes back is bounded in size and time and must be
 * JSON, or it is an error with a sentence that says what to do; an HTTP error status is an answer like any other. No
 * proxies, no redirects, no retries: a request that changes something is sent at most once. */
#ifndef GEMEL_COORDINATOR_CTL_CLIENT_H
#define GEMEL_COORDINATOR_CTL_CLIENT_H

#include <jansson.h>

#include "base/buf.h"

enum { CLIENT_ANSWER_BYTES_MAX = 16 << 20, CLIENT_WHY_MAX = 512 };

struct client_target {
    const char *socket;  /* path */
    const char *program; /* "gemel-coordinator": for the sentences */
    const char *option;  /* "--admin": how the operator names another */
};

struct answer {
    long status; /* 200… */
    struct buf body;
    json_t *json;             /* NULL: an empty body */
    char why[CLIENT_WHY_MAX]; /* after an error */
};

struct client;
struct client *client_create(void);
void client_destroy(struct client *c);
/* `path` with its query, escaped; `body` NULL: GET, else POST. `out` is initialised here and yours to answer_deinit, also after
 * an error. NOT_FOUND: no socket; REFUSED: no permission, or nobody listens; TIMEOUT; CLOSED: ended before the answer
 * did; LIMIT: too long; MALFORMED: not HTTP, not JSON. */
MUST_USE enum err client_call(struct client *c, const struct client_target *to, const char *path,
                              const json_t *body, uint64_t limit_ms, struct answer *out);
/* A GET whose 200 answer is bytes: they are in out->body, and out->json is NULL. */
MUST_USE enum err client_fetch(struct client *c, const struct client_target *to, const char *path,
                               uint64_t limit_ms, struct answer *out);
void answer_deinit(struct answer *a);

/* Appends `text` percent-escaped for a path segment or a query value. */
void client_escape(struct buf *out, struct slice text);

#endif
