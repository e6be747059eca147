/* node/smtp/server.h: the SMTP server of one loop: listeners, connections, and the session core between them.
 *
 * A shell over base/net.h: no libuv here, so a simulated network drives the very same code. Every worker loop has one,
 * on the same addresses (SO_REUSEPORT). It has no opinion about mail: relay control judges MAIL and RCPT, the auth port
 * passwords, the intake whether a message is on disk. An idle session costs a few KiB. */
#ifndef GEMEL_NODE_SMTP_SERVER_H
#define GEMEL_NODE_SMTP_SERVER_H

#include "base/net.h"
#include "node/accept/auth.h"
#include "node/queue/pressure.h"
#include "node/smtp/intake.h"

struct smtp_server;

struct smtp_listener_conf {
    struct addr addr;
    enum accept_listener kind;
    bool reuse_port;
    bool tls_required; /* MAIL only under TLS */
    bool tls_at_once;  /* TLS from the first byte (RFC 8314) */
};

/* Borrowed until smtp_server_destroy, with everything it points to. */
struct smtp_server_conf {
    const struct smtp_listener_conf *listeners;
    size_t n_listeners;
    struct smtp_session_conf session; /* the limits, hostname and domain; the booleans are set per listener */
    struct relay_control relay;
    struct intake_conf intake;
    struct tls_context *tls;         /* NULL: no STARTTLS, and so no AUTH */
    const struct auth *auth;         /* NULL: no AUTH */
    const struct pressure *pressure; /* NULL: never any */
    uint32_t sessions_max;
    uint32_t sessions_per_client_max; /* by address; hosts inside are not counted */
};
void smtp_server_conf_defaults(struct smtp_server_conf *c); /* the numbers */

/* REFUSED: an address cannot be had; `why` (may be NULL) says which and for what reason. */
MUST_USE enum err smtp_server_create(const struct env *env, const struct smtp_server_conf *conf,
                                     struct smtp_server **out, struct buf *why);
/* Stops listening, says 421 to every session; one whose message is being stored gets its answer first. `done` runs once,
 * never before this returns, when no session is left. */
typedef void smtp_server_done_fn(void *owner);
void smtp_server_shutdown(struct smtp_server *s, smtp_server_done_fn *done, void *owner);
void smtp_server_destroy(struct smtp_server *s); /* cuts what is left; safe on NULL */

struct smtp_server_stats {
    uint64_t sessions_open, sessions_total, sessions_turned_away;
    uint64_t messages_accepted, messages_refused;
    uint64_t tls_sessions, auth_failures;
    uint64_t pressed; /* MAIL refused for want of resources */
};
void smtp_server_stats(const struct smtp_server *s, struct smtp_server_stats *out);
/* Where listener `i` really listens: the port is known only now when 0 was asked for. */
void smtp_server_addr(const struct smtp_server *s, size_t i, struct addr *out);

#endif
