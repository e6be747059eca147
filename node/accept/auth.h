/* node/accept/auth.h: the port behind AUTH: is this the password of that login? users_uv is the real one. */
#ifndef GEMEL_NODE_ACCEPT_AUTH_H
#define GEMEL_NODE_ACCEPT_AUTH_H

#include "base/slice.h"

struct auth_op;
/* Once, from the loop, never before start returns. OK: it is; REFUSED: it is not, or there is no such login;
 * RETRY: nobody can say now. */
typedef void auth_done_fn(void *owner, enum err err);

struct auth {
    struct auth_op *(*start)(void *owner, struct slice login, struct slice password, auth_done_fn *done,
                             void *done_owner);
    void (*cancel)(struct auth_op **op); /* `done` will not run; safe on NULL */
    void *owner;
};

#endif
