/* dial → check where we really come from → session: bytes in, its `out` written, its `want` done.
 *
 * Failure modes: no connection (outcome of stage connect); our own address cannot be bound or the kernel used another
 * (own_address_failed: nothing was said); the stream ends or stalls (the session knows what that means); the body cannot
 * be read (the mail is deferred, the connection reset: the peer must not take the half for a whole). */
#include "node/relay/conn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/timers.h"
#include "node/queue/in_hand.h"

enum {
    PENDING_BYTES_MAX = 128 * 1024, /* of a body, written and not yet with the kernel */
    FINISH_MS = 5000
};

struct conn {
    const struct env *env;
    struct conn_conf conf;
    conn_changed_fn *changed;
    void *owner;
    enum conn_state state;
    struct net_op *dial;
    struct stream *stream;
    struct addr local;
    struct session session;
    struct session_gate gate;
    struct timer due;
    bool own_address_failed;
    enum tls_fault tls_fault;
    struct relay_mail *done;
    struct queue_id hand; /* the message being sent; s[0] == 0: none */
    uint32_t chunks, next_chunk;
    conn_chunk_fn *chunk;
    void *chunk_owner;
    struct buf piece;
    struct arena arena;
};

static uint64_t now_ms(const struct conn *c)
{
    return timers_now_ms(c->env->timers);
}

/* ---- the gate, under this connection's ticket ---- */

static bool may_send(void *owner)
{
    struct conn *c = owner;
    return gate_valid(c->conf.gate, c->conf.ticket, now_ms(c));
}

static bool dot_begin(void *owner)
{
    struct conn *c = owner;
    return gate_dot_begin(c->conf.gate, c->conf.ticket, now_ms(c));
}

static void dot_end(void *owner)
{
    struct conn *c = owner;
    gate_dot_end(c->conf.gate);
}

/* ---- doing what the session wants ---- */

static void due_on(struct timer *t);

static bool read_piece(struct conn *c)
{
    buf_clear(&c->piece);
    if (c->next_chunk >= c->chunks) return true;
    return c->chunk(c->chunk_owner, c->next_chunk++, &c->piece) == ERR_OK;
}

static void feed_body(struct conn *c)
{
    if (read_piece(c))
        session_body(&c->session, buf_slice(&c->piece), c->next_chunk >= c->chunks, now_ms(c));
    else
        session_abort(&c->session, false, "the message could not be read from the spool");
}

static void start_tls(struct conn *c)
{
    struct tls_peer peer = c->conf.peer ? *c->conf.peer : (struct tls_peer){ 0 };
    peer.name = c->conf.host.n ? c->conf.host.p : NULL;
    stream_starttls_client(c->stream, c->conf.tls, &peer);
}

/* One thing the session wants. False: wait for the peer, the kernel or the owner. */
static bool step(struct conn *c)
{
    switch (c->session.want) {
    case SESSION_WANTS_PEER:
    case SESSION_WANTS_MAIL: return false;
    case SESSION_WANTS_TLS: start_tls(c); return false;
    case SESSION_WANTS_BODY:
        if (stream_pending_bytes(c->stream) > PENDING_BYTES_MAX) return false; /* `drained` goes on */
        feed_body(c);
        return true;
    case SESSION_WANTS_FLUSH:
        if (stream_pending_bytes(c->stream)) return false;
        session_flushed(&c->session, now_ms(c));
        return true;
    case SESSION_WANTS_CLOSE: stream_finish(&c->stream, FINISH_MS); return false;
    case SESSION_WANTS_RESET: stream_reset(&c->stream); return false;
    }
    return false;
}

static void write_out(struct conn *c)
{
    struct slice out = buf_slice(&c->session.out);
    /* What would follow a reset is not sent at all: it may be the end of a message. */
    if (out.n && c->stream && c->session.want != SESSION_WANTS_RESET) stream_write(c->stream, out);
    buf_clear(&c->session.out);
}

static enum conn_state state_of(const struct conn *c)
{
    if (!c->stream) return CONN_OVER;
    if (c->session.want == SESSION_WANTS_MAIL) return CONN_READY;
    return c->session.mail ? CONN_BUSY : CONN_OPENING;
}

/* Until there is nothing to do but wait. */
static void pump(struct conn *c)
{
    do write_out(c);
    while (c->stream && step(c));
    struct relay_mail *done = session_done(&c->session);
    if (done) c->done = done;
    c->state = state_of(c);
    if (c->stream && c->session.due_ms != UINT64_MAX)
        timer_set(c->env->timers, &c->due, c->session.due_ms, due_on, c);
    else
        timer_clear(c->env->timers, &c->due);
}

/* What a peer or the body makes of us from here on is about this message. */
static void begin_work(const struct conn *c)
{
    in_hand(c->hand.s[0] ? &c->hand : NULL);
}

/* After something happened in the loop. Must be the last thing a callback does. */
static void pump_and_tell(struct conn *c)
{
    begin_work(c);
    enum conn_state before = c->state;
    pump(c);
    if (c->state != before || c->done) c->changed(c->owner);
    in_hand(NULL);
}

static void due_on(struct timer *t)
{
    struct conn *c = t->owner;
    session_expire(&c->session, now_ms(c));
    pump_and_tell(c);
}

/* ---- the stream ---- */

static void data_on(void *owner, struct slice bytes)
{
    struct conn *c = owner;
    begin_work(c);
    session_bytes(&c->session, bytes, now_ms(c));
    pump_and_tell(c);
}

static void end_on(void *owner, enum err why, const char *detail)
{
    struct conn *c = owner;
    session_lost(&c->session, why, detail);
    pump_and_tell(c);
}

static void drained_on(void *owner)
{
    pump_and_tell(owner);
}

static void secured_on(void *owner, enum err err, const char *detail)
{
    struct conn *c = owner;
    if (err) c->tls_fault = stream_tls_fault(c->stream);
    session_secured(&c->session, err, detail, now_ms(c));
    pump_and_tell(c);
}

static const struct stream_events events = { data_on, end_on, drained_on, secured_on };

/* ---- the dial ---- */

static void connect_failed(struct conn *c, const char *detail)
{
    char to[ADDR_TEXT_MAX];
    c->session.failure = (struct relay_outcome){
        .verdict = RELAY_DEFERRED,
        .stage = RELAY_CONNECT,
        .enhanced = { 4, c->own_address_failed ? 3 : 4, c->own_address_failed ? 0 : 1 },
        .text = slice_of(
            arena_printf(&c->arena, "%s %s: %s",
                         c->own_address_failed ? "our own address cannot be used for" : "no connection to",
                         addr_format_port(&c->conf.to, to), detail)),
        .mta_name = c->conf.host,
        .mta = c->conf.to,
    };
    c->state = CONN_OVER;
}

/* The port has checked it already; a message from a wrong address is worth asking twice. */
static bool from_is_ours(const struct conn *c)
{
    return c->conf.from.family == ADDR_NONE || addr_eq_ip(&c->conf.from, &c->local);
}

static void dialled_on(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct conn *c = owner;
    c->dial = NULL;
    if (!err) {
        c->stream = s;
        stream_local(s, &c->local);
        if (from_is_ours(c)) {
            stream_attach(s, &events, c);
            pump(c);
            return; /* the greeting is waited for */
        }
        stream_reset(&c->stream);
        err = ERR_REFUSED;
        detail = "the kernel used another";
    }
    c->own_address_failed = err == ERR_REFUSED && c->conf.from.family != ADDR_NONE;
    connect_failed(c, detail && *detail ? detail : err_text(err));
    c->changed(c->owner);
}

struct conn *conn_start(const struct env *env, const struct conn_conf *conf, conn_changed_fn *changed,
                        void *owner)
{
    struct conn *c = xzalloc(sizeof *c);
    *c = (struct conn){ .env = env, .conf = *conf, .changed = changed, .owner = owner };
    c->conf.host = arena_dup(&c->arena, conf->host);
    buf_init(&c->piece, SESSION_PIECE_BYTES_MAX);
    c->gate = (struct session_gate){ may_send, dot_begin, dot_end, c };
    /* The greeting's time begins now: the dial has a limit of its own, and it counts for both. */
    session_init(&c->session, conf->session, conf->gate ? &c->gate : NULL, c->conf.host, &c->conf.to,
                 now_ms(c));
    struct dial_conf dial = { .to = conf->to, .from = conf->from, .limit_ms = conf->connect_ms };
    dial.from.port = 0;
    c->dial = net_dial(env->net, &dial, dialled_on, c);
    return c;
}

/* ---- the owner's side ---- */

void conn_destroy(struct conn **cp)
{
    struct conn *c = *cp;
    *cp = NULL;
    if (!c) return;
    timer_clear(c->env->timers, &c->due);
    net_dial_cancel(&c->dial);
    if (c->stream) stream_reset(&c->stream);
    session_deinit(&c->session);
    buf_deinit(&c->piece);
    arena_deinit(&c->arena);
    free(c);
}

void conn_close(struct conn **cp)
{
    struct conn *c = *cp;
    if (c && c->state == CONN_READY) {
        session_quit(&c->session, now_ms(c));
        pump(c);
    }
    conn_destroy(cp);
}

enum conn_state conn_state(const struct conn *c)
{
    return c->state;
}

const struct relay_outcome *conn_failure(const struct conn *c)
{
    return &c->session.failure;
}

bool conn_own_address_failed(const struct conn *c)
{
    return c->own_address_failed;
}

bool conn_tls_failed(const struct conn *c)
{
    return c->session.tls_refused;
}

enum tls_fault conn_tls_fault(const struct conn *c)
{
    return c->tls_fault;
}

bool conn_tls_missing(const struct conn *c)
{
    return c->session.tls_missing;
}

bool conn_is_tls(const struct conn *c)
{
    return c->session.tls;
}

uint32_t conn_mails(const struct conn *c)
{
    return c->session.mails;
}

uint64_t conn_ticket(const struct conn *c)
{
    return c->conf.ticket;
}

const struct addr *conn_local(const struct conn *c)
{
    return &c->local;
}

struct slice conn_host(const struct conn *c)
{
    return c->conf.host;
}

void conn_send(struct conn *c, struct relay_mail *mail, uint32_t chunks, conn_chunk_fn *chunk,
               void *chunk_owner)
{
    ASSERT(c->state == CONN_READY && !c->done);
    c->chunks = chunks;
    c->next_chunk = 0;
    c->chunk = chunk;
    c->chunk_owner = chunk_owner;
    session_begin(&c->session, mail, now_ms(c));
    pump(c);
}

void conn_in_hand(struct conn *c, const struct queue_id *id)
{
    c->hand = *id;
}

struct relay_mail *conn_take_done(struct conn *c)
{
    c->hand.s[0] = 0;
    struct relay_mail *m = c->done;
    c->done = NULL;
    return m;
}

bool conn_past_dot(const struct conn *c)
{
    return c->stream && session_past_dot(&c->session);
}

bool conn_abort(struct conn *c, bool gate, const char *why)
{
    if (!c->stream) { /* dialling, or over */
        net_dial_cancel(&c->dial);
        c->state = CONN_OVER;
        return true;
    }
    if (!session_abort(&c->session, gate, why)) return false;
    pump(c);
    return true;
}
