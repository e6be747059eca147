/* node/smtp/session.h: one SMTP server session: bytes in, replies and requests out.
 *
 * Pure: no I/O, no clock, no opinion about who may send what. RFC 5321 with PIPELINING, SIZE, 8BITMIME, SMTPUTF8,
 * STARTTLS, AUTH PLAIN and LOGIN, ENHANCEDSTATUSCODES, DSN and CHUNKING. BINARYMIME is not offered: the next hop may not
 * know it, and converting would change the message.
 *
 * The shell feeds an event, writes out->replies, then does what out->want says:
 *
 *   want    the shell does                                                  and then feeds
 *   INPUT   feeds the rest of the input, or waits for more                  INPUT (or TIMEOUT, SHUTDOWN)
 *   BODY    takes out->body (borrowed from the input), a run of the message the rest of the INPUT, even if empty
 *   JUDGE   finds out whether out->stage may go on; may take any time       VERDICT
 *   PAUSE   waits out->pause_ms and writes the replies only then            PAUSED
 *   TLS     writes the replies, starts TLS                                  TLS
 *   CLOSE   writes the replies, closes                                      nothing, ever
 *
 * While a JUDGE, PAUSE or TLS is owed the shell keeps further input to itself. out->dropped says that the transaction
 * begun at stage DATA is given up: whatever was stored of it goes. Each stage comes at most once in its place:
 * CONNECT, then HELO, AUTH, MAIL, RCPT… in dialogue order; DATA begins a message (BODY follows), END asks for it to be
 * kept: only an ACCEPT there is answered with 250, so a shell that syncs before it accepts never lies. */
#ifndef GEMEL_NODE_SMTP_SESSION_H
#define GEMEL_NODE_SMTP_SESSION_H

#include "base/arena.h"
#include "base/log.h"
#include "node/smtp/command.h"
#include "node/smtp/data.h"
#include "node/smtp/line.h"
#include "node/smtp/sasl.h"

enum {
    SMTP_SESSION_ID_MAX = 17,
    SMTP_REPLIES_MAX =
        128 * 1024, /* max of the buffer given as out->replies; the session stops taking input long before */
};

/* Const, shared, outlives its sessions. */
struct smtp_session_conf {
    struct slice hostname; /* banner and EHLO */
    struct slice domain;   /* "RCPT TO:<postmaster>" means postmaster here */
    bool tls_offered;
    bool tls_required; /* MAIL only under TLS */
    bool auth_offered; /* and then only under TLS */
    uint64_t size_max;
    uint32_t rcpts_max;
    uint32_t
        errors_free; /* refused commands before each further one is answered a second later than the last */
    uint32_t errors_max;        /* then 421 */
    uint32_t idle_commands_max; /* NOOP, RSET, EHLO… since the last message; then 421 */
    uint32_t auth_failures_max; /* then 421; each costs auth_pause_ms first */
    uint32_t auth_pause_ms;
    uint32_t command_limit_ms; /* waiting for a command (RFC 5321 4.5.3.2.7) */
    uint32_t data_limit_ms;    /* waiting for more of a message */
};
void smtp_session_conf_defaults(
    struct smtp_session_conf *c); /* everything but hostname, domain and the booleans */

enum smtp_stage {
    SMTP_AT_CONNECT,
    SMTP_AT_HELO, /* s->helo */
    SMTP_AT_AUTH, /* s->sasl.login, s->sasl.password */
    SMTP_AT_MAIL, /* s->mail */
    SMTP_AT_RCPT, /* s->rcpt */
    SMTP_AT_DATA, /* s->mail, s->rcpts: a message begins */
    SMTP_AT_END,  /* it is complete */
    SMTP_STAGES
};

enum smtp_decision { SMTP_ACCEPT, SMTP_REFUSE, SMTP_DISCONNECT /* refuse, and that was all */ };

struct smtp_verdict {
    enum smtp_decision decision;
    enum smtp_reply reply; /* NONE: what is usual at this stage */
    struct slice detail;   /* behind the reply's text; at END the queue id */
    int code;              /* not 0: this code and `text` instead of `reply` */
    struct slice text;     /* "5.7.1 Go away"; borrowed for the call */
    uint32_t pause_ms;     /* wait before answering (tarpit) */
    uint8_t tag;           /* at RCPT: kept in the recipient, for the shell */
};

enum smtp_event_kind {
    SMTP_EV_CONNECT, /* first, once */
    SMTP_EV_INPUT,
    SMTP_EV_VERDICT,
    SMTP_EV_TLS,
    SMTP_EV_PAUSED,
    SMTP_EV_TIMEOUT, /* smtp_session_limit_ms have passed without progress */
    SMTP_EV_SHUTDOWN, /* any time: say goodbye. Out is CLOSE, or what is owed already when a message is at END: that
                       * is still answered, and the CLOSE comes then */
};

struct smtp_event {
    enum smtp_event_kind kind;
    struct slice input;
    struct smtp_verdict verdict;
    bool tls_ok;
};

enum smtp_want {
    SMTP_WANT_INPUT,
    SMTP_WANT_BODY,
    SMTP_WANT_JUDGE,
    SMTP_WANT_PAUSE,
    SMTP_WANT_TLS,
    SMTP_WANT_CLOSE
};

struct smtp_out {
    struct buf *replies; /* the caller's, appended to */
    enum smtp_want want;
    size_t used; /* bytes of the input that are done with */
    struct slice body;
    enum smtp_stage stage;
    uint32_t pause_ms;
    bool dropped;
};

enum smtp_state {
    SMTP_NEW,     /* nothing said yet */
    SMTP_FRESH,   /* greeted, or TLS has just begun */
    SMTP_READY,   /* HELO or EHLO accepted */
    SMTP_SENDER,  /* MAIL accepted */
    SMTP_RCPTS,   /* at least one RCPT accepted */
    SMTP_SASL,    /* the next line is a response */
    SMTP_TEXT,    /* after 354 */
    SMTP_CHUNK,   /* inside a BDAT chunk */
    SMTP_CHUNKS,  /* between BDAT chunks */
    SMTP_SWALLOW, /* inside a chunk that was refused */
    SMTP_CLOSED,
    SMTP_STATES
};

struct smtp_recipient {
    struct smtp_rcpt rcpt;
    uint8_t tag;
};

struct smtp_session {
    /* For the shell to read. What the transaction's slices point to lives in `arena`, until the verdict at END or
     * out->dropped. */
    const struct smtp_session_conf *conf;
    const struct log *log;
    char id[SMTP_SESSION_ID_MAX];
    char peer
        [ADDR_TEXT_MAX]; /* named in the EHLO reply, so that a sender can learn what the world sees; "": not known */
    bool tls;
    bool esmtp;
    char *helo; /* NULL: none yet */
    char *user; /* NULL: not authenticated */
    struct sasl sasl;
    struct smtp_mail mail;
    struct smtp_rcpt rcpt; /* being judged */
    struct smtp_recipient *rcpts;
    size_t n_rcpts;
    struct smtp_data data;
    uint64_t messages, errors;
    enum smtp_reply last; /* words that closed it; NONE: it is not closed, or was in silence */
    uint64_t progress;    /* grows with each command line and each 512 bytes of a message */
    /* The session's own. */
    struct arena arena;
    struct smtp_line line;
    struct slice
        command; /* being carried out, for the log. Of AUTH the verb only, and nothing that is no command: it may be a password */
    enum smtp_state state;
    enum smtp_want owed; /* INPUT: nothing is */
    enum smtp_stage stage;
    size_t rcpts_cap;
    uint64_t chunk_left;
    bool chunk_last;
    bool in_chunks; /* the message being begun comes by BDAT */
    bool begun;     /* DATA was accepted: the shell holds a message of ours */
    bool leaving;   /* SHUTDOWN came while a message was at END */
    enum smtp_state after_swallow;
    uint32_t idle_commands, auth_failures, rcpt_commands, pause_ms;
};

/* `id` is put on every log line. */
void smtp_session_init(struct smtp_session *s, const struct smtp_session_conf *conf, const struct log *log,
                       const char *id);
void smtp_session_deinit(struct smtp_session *s);
void smtp_session_step(struct smtp_session *s, const struct smtp_event *ev, struct smtp_out *out);
uint32_t
smtp_session_limit_ms(const struct smtp_session *s); /* how long to wait for progress while want is INPUT */
const char *smtp_stage_name(enum smtp_stage stage);
/* What RFC 3848 and 6531 call this in a Received field: "ESMTPS". */
const char *smtp_session_protocol(const struct smtp_session *s);

#endif
