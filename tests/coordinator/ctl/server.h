/* tests/coordinator/ctl/server.h: a daemon that says what the test wrote, byte for byte.
 *
 * Listens on a unix socket in a directory of its own and answers each connection by the first line of the script whose
 * request matches and that is not used up. What was asked is kept. */
#ifndef GEMEL_TESTS_CTL_SERVER_H
#define GEMEL_TESTS_CTL_SERVER_H

#include "base/buf.h"

struct reply {
    const char *request; /* how the request begins: "GET /cluster"; NULL ends the script */
    int status;          /* with `json`: a proper answer */
    const char *json;
    const char *raw;     /* or these bytes as they are; "" closes at once */
    size_t filler_bytes; /* then so many blanks */
    unsigned delay_ms;   /* before the answer */
    unsigned trickle_ms; /* between single bytes of it */
    bool for_ever;
};

struct server;
struct server *server_create(const struct reply *script);
void server_destroy(struct server *s);
const char *server_path(const struct server *s);
/* "POST /pin {…}\nGET /cluster\n": borrowed until the next call. */
const char *server_asked(struct server *s);

#endif
