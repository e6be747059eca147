/* node/smtp/sasl.h: the client's side of AUTH PLAIN (RFC 4616) and LOGIN, as far as it goes before somebody checks the
 * password.
 *
 * Pure. Passwords live here only between the line that brings them and sasl_deinit, which wipes them. */
#ifndef GEMEL_NODE_SMTP_SASL_H
#define GEMEL_NODE_SMTP_SASL_H

#include "base/buf.h"

enum { SASL_LOGIN_MAX = 255, SASL_PASSWORD_MAX = 1024 };

enum sasl_mechanism { SASL_NONE, SASL_PLAIN, SASL_LOGIN };

enum sasl_step {
    SASL_CHALLENGE, /* send *challenge, feed the answer */
    SASL_READY,     /* login and password are complete */
    SASL_CANCELLED, /* the client sent "*" */
    SASL_MALFORMED, /* not base64, too long, no login, or on behalf of somebody else */
};

/* Zeroed memory is valid. */
struct sasl {
    enum sasl_mechanism mechanism;
    struct buf login, password;
};

enum sasl_mechanism sasl_mechanism_named(struct slice name); /* SASL_NONE: unknown */
/* `initial`: the initial response in base64, "=" for an empty one, or the empty slice for none. *challenge is base64,
 * static. */
enum sasl_step sasl_start(struct sasl *s, enum sasl_mechanism m, struct slice initial,
                          struct slice *challenge);
enum sasl_step sasl_feed(struct sasl *s, struct slice line, struct slice *challenge);
void sasl_deinit(struct sasl *s);

#endif
