/* node/accept/users_uv.h: the auth port on a users file, with the slow part in libuv's thread pool.
 *
 * One for each loop. The file is looked at before each check, at most once a second, and read again when it changed; a
 * bad or missing new one is logged and the old one stays. */
#ifndef GEMEL_NODE_ACCEPT_USERS_UV_H
#define GEMEL_NODE_ACCEPT_USERS_UV_H

#include "base/env.h"
#include "node/accept/auth.h"

typedef struct uv_loop_s uv_loop_t;
struct users_file;
struct buf;

enum {
    USERS_CHECKS_MAX = 64
}; /* at once; a further one is answered RETRY, so that guessing cannot fill the pool */

/* NOT_FOUND, RETRY, MALFORMED: `why` (may be NULL) says it. `path` is copied. */
MUST_USE enum err users_file_create(const struct env *env, uv_loop_t *uv, const char *path,
                                    struct users_file **out, struct buf *why);
/* Checks under way must have been cancelled; run the loop afterwards until it has let go of them. */
void users_file_destroy(struct users_file *f); /* safe on NULL */
const struct auth *users_file_auth(struct users_file *f);

#endif
