/* base/err.h: few codes, named after what the caller does next. */
#ifndef GEMEL_BASE_ERR_H
#define GEMEL_BASE_ERR_H

#include "base/base.h"

#define ERR_MAP(X)                                    \
    X(OK, "ok")                                       \
    X(RETRY, "not now; the same call may work later") \
    X(TIMEOUT, "no answer in time")                   \
    X(REFUSED, "the other side said no, for good")    \
    X(MALFORMED, "bytes we cannot accept")            \
    X(LIMIT, "one of our own bounds was reached")     \
    X(CLOSED, "the connection ended")                 \
    X(NOT_FOUND, "there is no such thing")            \
    X(CONFLICT, "somebody else changed it first")     \
    X(UNKNOWN, "nobody can say whether it happened")

enum err {
#define ERR_ENUM(name, text) ERR_##name,
    ERR_MAP(ERR_ENUM)
#undef ERR_ENUM
        ERR_COUNT
};

const char *err_name(enum err e); /* "timeout": lower case, for logs */
const char *err_text(enum err e); /* the sentence above */

#endif
