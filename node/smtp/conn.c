/* One connection: a stream on one side, the session core on the other.
 *
 * The happy path: bytes come (on_data) → session_step says what it wants → pump() does that and feeds the next event,
 * until it is the world's turn: more bytes, a verdict from auth or intake, a timer, TLS. Meanwhile the stream is paused
 * and bytes already read are kept in `held`, which is one read at most.
 *
 * When it fails: the peer is gone (on_end), a limit passes (on_timer), the spool says no (the session refuses the
 * message), the server leaves (conn_shutdown). In each case conn_destroy cancels everything at once. */
#include <stdio.h>
#include <stdlib.h>

#include "node/smtp/server_inside.h"

enum {
    FINISH_LIMIT_MS = 10000,
    TLS_LIMIT_MS = 60000,
    PENDING_BYTES_MAX = 256 * 1024, /* replies a client does not read: then we stop reading it */
    SPOOL_ASK_MS = 500,
};

/* Whose turn it is. */
enum turn { TURN_PEER, TURN_JUDGE, TURN_ROOM, TURN_DRAIN, TURN_PAUSE, TURN_TLS };

struct conn {
    struct list link;
    struct smtp_server *server;
    struct smtp_door *door;
    struct stream *stream;
    struct addr peer;
    struct smtp_session session;
    enum turn turn;
    enum smtp_reply turned_away;
    struct timer timer;
    uint64_t progress; /* of the session when the timer was set */
    struct slice rest; /* input the session has not taken: borrowed in on_data, else in `held` */
    struct buf held, replies;
    struct intake *intake;
    struct auth_op *auth_op;
    char lost[128]; /* how the client went, when it was not we who closed */
};

static void pump(struct conn *c, struct smtp_event ev);

static const char *why_closed(const struct conn *c)
{
    if (c->lost[0]) return c->lost;
    if (c->session.state != SMTP_CLOSED) return "the server ends";
    if (c->session.last == SMTP_REPLY_BYE) return "quit";
    return c->session.last ? smtp_reply_text(c->session.last) : "refused";
}

static void conn_free(struct conn *c)
{
    struct smtp_server *s = c->server;
    struct addr peer = c->peer;
    log_info(s->env.log, "smtp.close", kv_cstr("sid", c->session.id), kv_u64("messages", c->session.messages),
             kv_u64("errors", c->session.errors), kv_cstr("why", why_closed(c)));
    timer_clear(s->env.timers, &c->timer);
    if (c->auth_op) s->conf.auth->cancel(&c->auth_op);
    intake_abort(&c->intake);
    smtp_session_deinit(&c->session);
    buf_deinit(&c->held);
    buf_deinit(&c->replies);
    list_remove(&c->link);
    free(c);
    server_left(s, &peer);
}

void smtp_conn_destroy(struct list *link)
{
    struct conn *c = CONTAINER_OF(link, struct conn, link);
    stream_close(&c->stream);
    conn_free(c);
}

static void finish(struct conn *c)
{
    stream_finish(&c->stream, FINISH_LIMIT_MS);
    conn_free(c);
}

/* ---- judging ---- */

static struct accept_client client_of(const struct conn *c)
{
    return (struct accept_client){ .listener = c->door->conf->kind,
                                   .addr = c->peer,
                                   .authenticated = c->session.user != NULL };
}

static bool spool_accepts(struct smtp_server *s)
{
    uint64_t now_ms = timers_now_ms(s->env.timers);
    if (!s->spool_asked_ms || now_ms - s->spool_asked_ms >= SPOOL_ASK_MS) {
        struct spool_stats stats = { 0 };
        spool_stats(s->conf.intake.spool, &stats);
        s->spool_accepts = stats.accepting;
        s->spool_asked_ms = now_ms;
    }
    return s->spool_accepts;
}

/* BP-05 to BP-07: refused at MAIL; the session itself is welcome. */
static enum smtp_reply judge_room(struct conn *c, const struct accept_client *client, uint32_t *pause_ms)
{
    const struct smtp_server_conf *conf = &c->server->conf;
    bool ours = relay_control_trusts(&conf->relay, client);
    if (!spool_accepts(c->server)) return SMTP_REPLY_FULL;
    if (!conf->pressure || pressure_takes(conf->pressure, ours, pause_ms)) return SMTP_REPLY_NONE;
    c->server->stats.pressed++;
    return SMTP_REPLY_PRESSURE;
}

static enum smtp_reply judge_mail(struct conn *c, uint32_t *pause_ms)
{
    struct accept_client client = client_of(c);
    enum smtp_reply refused = relay_control_mail(&c->server->conf.relay, &client);
    if (refused == SMTP_REPLY_AUTH_REQUIRED && !c->session.tls && c->session.conf->auth_offered)
        refused = SMTP_REPLY_TLS_REQUIRED; /* the first step towards it */
    return refused ? refused : judge_room(c, &client, pause_ms);
}

static enum smtp_reply judge_rcpt(struct conn *c, uint8_t *tag)
{
    struct accept_client client = client_of(c);
    enum flow flow = FLOW_IN;
    enum smtp_reply refused = relay_control_rcpt(&c->server->conf.relay, &client, &c->session.rcpt.to, &flow);
    *tag = (uint8_t)flow;
    return refused;
}

static void on_auth(void *owner, enum err err)
{
    struct conn *c = owner;
    c->auth_op = NULL;
    c->server->stats.auth_failures += err != ERR_OK;
    struct smtp_event ev = { .kind = SMTP_EV_VERDICT };
    ev.verdict.decision = err ? SMTP_REFUSE : SMTP_ACCEPT;
    if (err) ev.verdict.reply = err == ERR_REFUSED ? SMTP_REPLY_AUTH_FAILED : SMTP_REPLY_AUTH_LATER;
    pump(c, ev);
}

static void start_auth(struct conn *c)
{
    const struct auth *auth = c->server->conf.auth;
    c->auth_op = auth->start(auth->owner, buf_slice(&c->session.sasl.login),
                             buf_slice(&c->session.sasl.password), on_auth, c);
}

static void on_room(void *owner)
{
    struct conn *c = owner;
    if (c->turn != TURN_ROOM) return;
    pump(c, (struct smtp_event){ .kind = SMTP_EV_INPUT, .input = c->rest });
}

static void begin_message(struct conn *c)
{
    char tls[128] = "";
    struct accept_client client = client_of(c);
    struct intake_client ic = { .addr = c->peer,
                                .trusted = relay_control_trusts(&c->server->conf.relay, &client),
                                .tls = tls };
    ic.addr.port = 0;
    if (c->session.tls)
        snprintf(tls, sizeof tls, "%s %s", stream_tls_version(c->stream), stream_tls_cipher(c->stream));
    c->intake = intake_begin(&c->server->env, &c->server->conf.intake, &c->session, &ic, on_room, c);
}

static void on_stored(void *owner, enum smtp_reply refused, const char *why)
{
    struct conn *c = owner;
    struct smtp_event ev = { .kind = SMTP_EV_VERDICT };
    char id[QUEUE_ID_CHARS + 1];
    snprintf(id, sizeof id, "%s", intake_id(c->intake));
    c->intake = NULL; /* it has ended */
    if (refused) {
        log_warn(c->server->env.log, "intake.failed", kv_cstr("sid", c->session.id), kv_cstr("id", id),
                 kv_cstr("why", why));
        c->server->stats.messages_refused++;
    } else {
        c->server->stats.messages_accepted++;
    }
    ev.verdict.decision = refused ? SMTP_REFUSE : SMTP_ACCEPT;
    ev.verdict.reply = refused;
    if (!refused) ev.verdict.detail = slice_of(id);
    pump(c, ev);
}

/* True: *v is the verdict. False: it will come by on_auth or on_stored. */
static bool judge(struct conn *c, enum smtp_stage stage, struct smtp_verdict *v)
{
    *v = (struct smtp_verdict){ 0 };
    bool later = false;
    switch (stage) {
    case SMTP_AT_CONNECT: v->reply = c->turned_away; break;
    case SMTP_AT_HELO: break;
    case SMTP_AT_AUTH:
        start_auth(c);
        later = true;
        break;
    case SMTP_AT_MAIL: v->reply = judge_mail(c, &v->pause_ms); break;
    case SMTP_AT_RCPT: v->reply = judge_rcpt(c, &v->tag); break;
    case SMTP_AT_DATA: begin_message(c); break;
    case SMTP_AT_END:
        v->reply = intake_commit(c->intake, &c->session, on_stored);
        later = !v->reply;
        if (later) break;
        c->server->stats.messages_refused++;
        intake_abort(&c->intake);
        break;
    case SMTP_STAGES: break;
    }
    v->decision = v->reply ? SMTP_REFUSE : SMTP_ACCEPT;
    return !later;
}

/* ---- doing what the session wants ---- */

static void flush(struct conn *c)
{
    struct slice s = buf_slice(&c->replies);
    if (s.n) stream_write(c->stream, s);
    buf_deinit(&c->replies);
    buf_init(&c->replies, SMTP_REPLIES_MAX);
}

/* It is somebody else's turn: no more input until then, and what was read is kept. */
static void hold(struct conn *c, enum turn turn)
{
    c->turn = turn;
    timer_clear(c->server->env.timers, &c->timer);
    stream_pause(c->stream);
    if (!c->rest.n || buf_len(&c->held)) return; /* nothing to keep, or it is a part of `held` already */
    buf_put(&c->held, c->rest);
    c->rest = buf_slice(&c->held);
}

static void on_timer(struct timer *t)
{
    struct conn *c = t->owner;
    if (c->turn == TURN_PAUSE)
        pump(c, (struct smtp_event){ .kind = SMTP_EV_PAUSED });
    else if (c->turn == TURN_TLS)
        pump(c, (struct smtp_event){ .kind = SMTP_EV_TLS, .tls_ok = false });
    else
        pump(c, (struct smtp_event){ .kind = SMTP_EV_TIMEOUT });
}

static void set_timer(struct conn *c, uint32_t ms)
{
    timer_set_in(c->server->env.timers, &c->timer, ms, on_timer, c);
    c->progress = c->session.progress;
}

/* The limit is for progress, not for bytes: a client that feeds us one byte at a time does not push it back. */
static void wait_for_peer(struct conn *c)
{
    buf_deinit(&c->held);
    buf_init(&c->held, SIZE_MAX / 2); /* one read of the stream, which has its own bound */
    if (c->turn != TURN_PEER || c->progress != c->session.progress || !timer_is_set(&c->timer))
        set_timer(c, smtp_session_limit_ms(&c->session));
    c->turn = TURN_PEER;
    stream_resume(c->stream);
}

static void start_tls(struct conn *c)
{
    flush(c);
    c->rest = SLICE("");
    buf_clear(&c->held);
    c->turn = TURN_TLS;
    set_timer(c, TLS_LIMIT_MS);
    stream_resume(c->stream);
    stream_starttls(c->stream, c->server->conf.tls, true, NULL);
}

/* Does what `out` says. True: *ev is to be fed next. False: wait, or the connection is gone. */
static bool obey(struct conn *c, const struct smtp_out *out, struct smtp_event *ev)
{
    bool go_on = true;
    *ev = (struct smtp_event){ .kind = SMTP_EV_INPUT, .input = c->rest };
    switch (out->want) {
    case SMTP_WANT_INPUT:
        flush(c);
        if (c->rest.n && stream_pending_bytes(c->stream) > PENDING_BYTES_MAX) {
            hold(c, TURN_DRAIN);
            go_on = false;
        } else if (!c->rest.n) {
            wait_for_peer(c);
            go_on = false;
        }
        break;
    case SMTP_WANT_BODY:
        intake_body(c->intake, out->body);
        go_on = !intake_blocked(c->intake);
        if (!go_on) hold(c, TURN_ROOM);
        break;
    case SMTP_WANT_JUDGE:
        ev->kind = SMTP_EV_VERDICT;
        c->turn = TURN_JUDGE;
        go_on = judge(c, out->stage, &ev->verdict);
        if (go_on) break;
        flush(c);
        hold(c, TURN_JUDGE);
        break;
    case SMTP_WANT_PAUSE:
        hold(c, TURN_PAUSE);
        set_timer(c, out->pause_ms);
        go_on = false;
        break;
    case SMTP_WANT_TLS:
        start_tls(c);
        go_on = false;
        break;
    case SMTP_WANT_CLOSE:
        flush(c);
        finish(c);
        go_on = false;
        break;
    }
    return go_on;
}

static void pump(struct conn *c, struct smtp_event ev)
{
    bool go_on = true;
    while (go_on) {
        struct smtp_out out = { .replies = &c->replies };
        smtp_session_step(&c->session, &ev, &out);
        if (ev.kind == SMTP_EV_INPUT) c->rest = slice_skip(c->rest, out.used);
        if (out.dropped) intake_abort(&c->intake);
        if (ev.kind == SMTP_EV_SHUTDOWN && out.want != SMTP_WANT_CLOSE)
            return; /* its verdict is still to come */
        go_on = obey(c, &out, &ev);
    }
}

/* ---- what the stream says ---- */

static void on_data(void *owner, struct slice bytes)
{
    struct conn *c = owner;
    c->rest = bytes;
    pump(c, (struct smtp_event){ .kind = SMTP_EV_INPUT, .input = bytes });
}

static void on_end(void *owner, enum err why, const char *detail)
{
    struct conn *c = owner;
    if (!detail || !*detail) detail = why == ERR_CLOSED ? "the client left" : err_text(why);
    snprintf(c->lost, sizeof c->lost, "%s%s", detail, c->session.begun ? ", in mid-message" : "");
    if (why == ERR_CLOSED)
        finish(c); /* it may still be listening for the last replies */
    else
        smtp_conn_destroy(&c->link);
}

static void on_drained(void *owner)
{
    struct conn *c = owner;
    if (c->turn == TURN_DRAIN) pump(c, (struct smtp_event){ .kind = SMTP_EV_INPUT, .input = c->rest });
}

static void on_secured(void *owner, enum err err, const char *detail)
{
    struct conn *c = owner;
    if (err) {
        snprintf(c->lost, sizeof c->lost, "no TLS");
        log_info(c->server->env.log, "smtp.tls_failed", kv_cstr("sid", c->session.id),
                 kv_addr("peer", &c->peer), kv_cstr("why", detail ? detail : err_text(err)));
    } else {
        log_info(c->server->env.log, "smtp.tls", kv_cstr("sid", c->session.id),
                 kv_cstr("version", stream_tls_version(c->stream)),
                 kv_cstr("cipher", stream_tls_cipher(c->stream)));
    }
    c->server->stats.tls_sessions += err == ERR_OK;
    pump(c, (struct smtp_event){ .kind = SMTP_EV_TLS, .tls_ok = err == ERR_OK });
}

static const struct stream_events events = { on_data, on_end, on_drained, on_secured };

void smtp_conn_open(struct smtp_door *door, struct stream *stream, enum smtp_reply turned_away)
{
    struct smtp_server *s = door->server;
    struct conn *c = xzalloc(sizeof *c);
    char id[SMTP_SESSION_ID_MAX];
    rng_hex(s->env.rng, id, SMTP_SESSION_ID_MAX - 1);
    c->server = s;
    c->door = door;
    c->stream = stream;
    c->turned_away = turned_away;
    stream_peer(stream, &c->peer);
    buf_init(&c->replies, SMTP_REPLIES_MAX);
    buf_init(&c->held, SIZE_MAX / 2);
    list_append(&s->conns, &c->link);
    smtp_session_init(&c->session, &door->session, s->env.log, id);
    addr_format(&c->peer, c->session.peer);
    c->session.tls = stream_is_tls(stream);
    stream_attach(stream, &events, c);
    log_info(s->env.log, "smtp.open", kv_cstr("sid", id), kv_addr("peer", &c->peer),
             kv_cstr("listener", accept_listener_name(door->conf->kind)), kv_bool("tls", c->session.tls));
    pump(c, (struct smtp_event){ .kind = SMTP_EV_CONNECT });
}

void smtp_conn_shutdown(struct list *link)
{
    struct conn *c = CONTAINER_OF(link, struct conn, link);
    pump(c, (struct smtp_event){ .kind = SMTP_EV_SHUTDOWN });
}
