/* node/relay/session.h: the client's side of an SMTP conversation (RFC 5321), as a pure core.
 *
 * Bytes of the peer in; bytes for the peer in `out`, and in `want` what the shell must do next. No clock, no sockets.
 * The rule that makes a switch safe lives here: before MAIL, and again before the end of the message, the gate is
 * asked; once the end is written the message belongs to the peer, and its reply is waited for whatever the gate says.
 *
 * Use: after each call, write `out` to the peer and clear it; then do what `want` says; call session_expire when
 * due_ms has come. A mail that is finished is given back by session_done, its recipients' outcomes filled in. What
 * goes wrong before a mail was begun is in `failure`. */
#ifndef GEMEL_NODE_RELAY_SESSION_H
#define GEMEL_NODE_RELAY_SESSION_H

#include "node/relay/reply.h"
#include "node/relay/wire.h"

enum session_tls {
    SESSION_TLS_OFF,    /* never, even when offered */
    SESSION_TLS_MAY,    /* when offered */
    SESSION_TLS_ENCRYPT /* or not at all */
};

struct session_limits { /* how long a reply may take (RFC 5321 4.5.3.2); not restarted by single bytes */
    uint32_t banner_ms, helo_ms, starttls_ms, handshake_ms, mail_ms, rcpt_ms, data_ms, block_ms, dot_ms;
};
extern const struct session_limits session_limits_rfc5321;

struct session_conf {
    const char *helo; /* EHLO argument: the identity's name */
    enum session_tls tls;
    bool
        eightbit_anyway; /* send an 8-bit body to a peer without 8BITMIME instead of failing it (RFC 6152 3) */
    bool no_chunking;    /* DATA even where BDAT is offered */
    uint32_t mails_max;  /* per connection; then QUIT */
    struct session_limits limits;
};

/* The gate, as one connection asks it. A dot begun is owed its end, whatever came of it. */
struct session_gate {
    bool (*may_send)(void *owner);
    bool (*dot_begin)(void *owner);
    void (*dot_end)(void *owner);
    void *owner;
};

enum session_want {
    SESSION_WANTS_PEER,  /* bytes of the peer, until due_ms */
    SESSION_WANTS_TLS,   /* a handshake: session_secured */
    SESSION_WANTS_MAIL,  /* idle: session_begin, or session_quit */
    SESSION_WANTS_BODY,  /* the next piece: session_body; or session_abort when it cannot be read */
    SESSION_WANTS_FLUSH, /* session_flushed once everything written has left for the kernel */
    SESSION_WANTS_CLOSE, /* over: send what is pending, then close */
    SESSION_WANTS_RESET  /* over: the peer must not take what it has for a message */
};

struct session {
    enum session_want want;
    uint64_t due_ms; /* UINT64_MAX: no limit */
    struct buf out;
    struct wire_caps caps;
    bool tls;                     /* the conversation is encrypted */
    bool tls_refused;             /* TLS was offered and did not come about: `failure` is about that */
    bool tls_missing;             /* TLS is required and was not offered */
    struct relay_outcome failure; /* verdict PENDING: none; its text lives in the session */
    uint32_t mails;               /* begun on this connection */

    /* private: */
    const struct session_conf *conf;
    const struct session_gate *gate;
    unsigned state;
    struct reply reply;
    struct relay_mail *mail, *done;
    struct slice mta_name;
    struct addr mta;
    bool needs_rset; /* before the next MAIL */
    bool bdat, last_held;
    size_t sent, got; /* envelope: next command to write, next to be answered; see command_at */
    uint32_t waiting; /* commands without an answer yet */
    size_t accepted;  /* recipients */
    struct relay_outcome mail_refused; /* verdict PENDING: MAIL was not */
    uint64_t body_bytes;
    struct wire_stuffing stuffing;
    struct buf held; /* the last BDAT piece, until everything before it was answered */
    struct arena arena;
};

/* `conf`, `gate` (NULL: this traffic is not gated) and `mta_name` are borrowed for the session's life. The connection
 * is open; the banner is waited for. */
void session_init(struct session *s, const struct session_conf *conf, const struct session_gate *gate,
                  struct slice mta_name, const struct addr *mta, uint64_t now_ms);
void session_deinit(struct session *s);

void session_bytes(struct session *s, struct slice bytes, uint64_t now_ms);
void session_secured(struct session *s, enum err err, const char *detail, uint64_t now_ms);
void session_lost(struct session *s, enum err why, const char *detail); /* the connection ended */
void session_expire(struct session *s, uint64_t now_ms);                /* now_ms >= due_ms */

/* Only when MAIL is wanted. The mail is borrowed until session_done gives it back. */
void session_begin(struct session *s, struct relay_mail *mail, uint64_t now_ms);
void session_quit(struct session *s, uint64_t now_ms);
/* Only when BODY is wanted: pieces of any size up to SESSION_PIECE_BYTES_MAX, CRLF line ends. */
enum { SESSION_PIECE_BYTES_MAX = 256 * 1024 };
void session_body(struct session *s, struct slice piece, bool last, uint64_t now_ms);
void session_flushed(struct session *s, uint64_t now_ms);
/* Our own side cannot go on: gate closed (`gate`), or the body cannot be read. A mail not past its end is deferred with
 * `why`, and the session is over; one past its end goes on waiting for its reply, and the answer is false. */
bool session_abort(struct session *s, bool gate, const char *why);
bool session_past_dot(const struct session *s);

struct relay_mail *session_done(struct session *s); /* once per mail; NULL: none */

#endif
