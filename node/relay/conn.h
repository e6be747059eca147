/* node/relay/conn.h: one SMTP connection to one address: the dial, and what the session wants done, done.
 *
 * The owner gives it mail when it is ready and looks at it when it says that something has changed. A connection with a
 * gate belongs to one opening of it (its ticket): it is never used under another. With `from`, it leaves from that
 * address or not at all. */
#ifndef GEMEL_NODE_RELAY_CONN_H
#define GEMEL_NODE_RELAY_CONN_H

#include "node/queue/queue_id.h"
#include "base/env.h"
#include "base/net.h"
#include "node/gate.h"
#include "node/relay/session.h"

struct conn;

struct conn_conf {
    const struct session_conf *session; /* borrowed for life */
    struct addr to;
    struct addr from;        /* family NONE: the kernel chooses */
    struct slice host;       /* for SNI and reports; copied; empty for an address literal */
    struct tls_context *tls; /* for STARTTLS; not NULL when session->tls is not OFF */
    const struct tls_peer
        *peer;         /* what the server must show; borrowed until READY or OVER; NULL: nothing. Its `name`
                                  * is not looked at: SNI is `host` */
    struct gate *gate; /* NULL: not gated */
    uint64_t ticket;
    uint32_t connect_ms;
};

enum conn_state {
    CONN_OPENING, /* until the session can take mail */
    CONN_READY,
    CONN_BUSY, /* with a mail */
    CONN_OVER  /* only to be destroyed; conn_failure says why when it never was ready */
};

/* Appends chunk `index` of the body. NOT_FOUND: past the last. */
typedef enum err conn_chunk_fn(void *owner, uint32_t index, struct buf *out);

/* From the loop, after the connection changed its state, finished a mail, or both. It may be destroyed inside. */
typedef void conn_changed_fn(void *owner);

struct conn *conn_start(const struct env *env, const struct conn_conf *conf, conn_changed_fn *changed,
                        void *owner);
void conn_destroy(struct conn **c); /* at once; a mail in it is forgotten; safe on NULL */
void conn_close(struct conn **c);   /* READY: QUIT; otherwise as conn_destroy */

enum conn_state conn_state(const struct conn *c);
const struct relay_outcome *conn_failure(const struct conn *c);
bool conn_own_address_failed(const struct conn *c);  /* the failure is ours: another address would not help */
bool conn_tls_failed(const struct conn *c);          /* STARTTLS was agreed on and did not work */
enum tls_fault conn_tls_fault(const struct conn *c); /* why */
bool conn_tls_missing(const struct conn *c);         /* TLS is required and was not offered */
bool conn_is_tls(const struct conn *c);
uint32_t conn_mails(const struct conn *c); /* begun on it */
uint64_t conn_ticket(const struct conn *c);
const struct addr *conn_local(const struct conn *c);
struct slice conn_host(const struct conn *c);

/* READY only. The mail is borrowed until conn_take_done gives it back; look at the connection afterwards, it may be done
 * at once. `chunks` of them, through `chunk`. */
void conn_send(struct conn *c, struct relay_mail *mail, uint32_t chunks, conn_chunk_fn *chunk,
               void *chunk_owner);
struct relay_mail *conn_take_done(struct conn *c); /* NULL: none */
/* The message the next conn_send is about, until it is done: noted while this connection works (node/queue/in_hand.h). */
void conn_in_hand(struct conn *c, const struct queue_id *id);

/* A mail that is not past its end is deferred with `why` and the connection is over; false: past the end, it goes on. */
bool conn_abort(struct conn *c, bool gate, const char *why);
bool conn_past_dot(const struct conn *c);

#endif
