#include "node/smtp/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/smtp/session_inside.h"

enum {
    REPLIES_SOFT_BYTES = 16 * 1024, /* no more input is taken before the shell has written these */
    PAUSE_STEP_MS = 1000,
    PAUSE_MAX_MS = 10000,
};

static const struct state_row {
    const char *name;
    uint32_t next;
} states[] = {
    [SMTP_NEW] = { "new", BIT(SMTP_FRESH) | BIT(SMTP_CLOSED) },
    [SMTP_FRESH] = { "fresh", BIT(SMTP_READY) | BIT(SMTP_SWALLOW) | BIT(SMTP_CLOSED) },
    [SMTP_READY] = { "ready", BIT(SMTP_FRESH) | BIT(SMTP_SASL) | BIT(SMTP_SENDER) | BIT(SMTP_SWALLOW) |
                                  BIT(SMTP_CLOSED) },
    [SMTP_SENDER] = { "sender", BIT(SMTP_RCPTS) | BIT(SMTP_READY) | BIT(SMTP_SWALLOW) | BIT(SMTP_CLOSED) },
    [SMTP_RCPTS] = { "rcpts", BIT(SMTP_TEXT) | BIT(SMTP_CHUNK) | BIT(SMTP_SWALLOW) | BIT(SMTP_READY) |
                                  BIT(SMTP_CLOSED) },
    [SMTP_SASL] = { "sasl", BIT(SMTP_READY) | BIT(SMTP_CLOSED) },
    [SMTP_TEXT] = { "text", BIT(SMTP_READY) | BIT(SMTP_CLOSED) },
    [SMTP_CHUNK] = { "chunk", BIT(SMTP_CHUNKS) | BIT(SMTP_READY) | BIT(SMTP_CLOSED) },
    [SMTP_CHUNKS] = { "chunks", BIT(SMTP_CHUNK) | BIT(SMTP_SWALLOW) | BIT(SMTP_READY) | BIT(SMTP_CLOSED) },
    [SMTP_SWALLOW] = { "swallow", BIT(SMTP_FRESH) | BIT(SMTP_READY) | BIT(SMTP_SENDER) | BIT(SMTP_RCPTS) |
                                      BIT(SMTP_CLOSED) },
    [SMTP_CLOSED] = { "closed", 0 },
};
_Static_assert(ARRAY_LEN(states) == SMTP_STATES, "one row per state");

static session_verb_fn on_helo, on_ehlo, on_rset, on_noop, on_quit, on_vrfy, on_expn, on_help;

enum {
    IN_DIALOGUE = BIT(SMTP_FRESH) | BIT(SMTP_READY) | BIT(SMTP_SENDER) | BIT(SMTP_RCPTS) | BIT(SMTP_CHUNKS)
};
static const struct verb_row {
    struct slice name;
    uint32_t legal; /* states; elsewhere it is 503 */
    session_verb_fn *on;
    bool idle; /* brings no mail closer */
} verbs[] = {
    { SLICE_INIT("RCPT"), BIT(SMTP_SENDER) | BIT(SMTP_RCPTS), session_rcpt, false },
    { SLICE_INIT("MAIL"), BIT(SMTP_READY), session_mail, false },
    { SLICE_INIT("DATA"), BIT(SMTP_RCPTS), session_data, false },
    { SLICE_INIT("BDAT"), IN_DIALOGUE, session_bdat,
      false }, /* judges the state itself: the chunk comes anyway */
    { SLICE_INIT("EHLO"), IN_DIALOGUE, on_ehlo, true },
    { SLICE_INIT("HELO"), IN_DIALOGUE, on_helo, true },
    { SLICE_INIT("RSET"), IN_DIALOGUE, on_rset, true },
    { SLICE_INIT("NOOP"), IN_DIALOGUE, on_noop, true },
    { SLICE_INIT("QUIT"), IN_DIALOGUE, on_quit, true },
    { SLICE_INIT("STARTTLS"), BIT(SMTP_READY), session_starttls, true },
    { SLICE_INIT("AUTH"), BIT(SMTP_READY), session_auth, true },
    { SLICE_INIT("VRFY"), IN_DIALOGUE, on_vrfy, true },
    { SLICE_INIT("EXPN"), IN_DIALOGUE, on_expn, true },
    { SLICE_INIT("HELP"), IN_DIALOGUE, on_help, true },
};

static session_accepted_fn connect_accepted, connect_refused, helo_accepted, helo_refused;
static const struct stage_row {
    const char *name;
    session_accepted_fn *yes, *no;
} stages[] = {
    [SMTP_AT_CONNECT] = { "connect", connect_accepted, connect_refused },
    [SMTP_AT_HELO] = { "helo", helo_accepted, helo_refused },
    [SMTP_AT_AUTH] = { "auth", session_auth_accepted, session_auth_refused },
    [SMTP_AT_MAIL] = { "mail", session_mail_accepted, session_mail_refused },
    [SMTP_AT_RCPT] = { "rcpt", session_rcpt_accepted, session_rcpt_refused },
    [SMTP_AT_DATA] = { "data", session_data_accepted, session_data_refused },
    [SMTP_AT_END] = { "end", session_end_accepted, session_end_refused },
};
_Static_assert(ARRAY_LEN(stages) == SMTP_STAGES, "one row per stage");

const char *smtp_stage_name(enum smtp_stage stage)
{
    return stages[stage].name;
}

/* ---- what the parts share ---- */

void session_move(struct smtp_session *s, enum smtp_state to)
{
    if (s->state == to) return;
    ASSERT(states[s->state].next & BIT(to));
    log_debug(s->log, "smtp.state", kv_cstr("sid", s->id), kv_cstr("from", states[s->state].name),
              kv_cstr("to", states[to].name));
    s->state = to;
    ASSERT(to != SMTP_RCPTS || s->n_rcpts > 0);
    ASSERT((to != SMTP_TEXT && to != SMTP_CHUNK && to != SMTP_CHUNKS) || s->begun);
}

void session_reply(struct smtp_session *s, struct smtp_out *out, enum smtp_reply r, struct slice detail)
{
    smtp_reply_put(out->replies, r, detail);
}

void session_owe(struct smtp_session *s, struct smtp_out *out, enum smtp_want want)
{
    ASSERT(s->owed == SMTP_WANT_INPUT && out->want == SMTP_WANT_INPUT);
    s->owed = out->want = want;
}

void session_judge(struct smtp_session *s, struct smtp_out *out, enum smtp_stage stage)
{
    session_owe(s, out, SMTP_WANT_JUDGE);
    s->stage = out->stage = stage;
}

static void forget_transaction(struct smtp_session *s)
{
    s->mail = (struct smtp_mail){ 0 };
    s->rcpt = (struct smtp_rcpt){ 0 };
    s->rcpts = NULL;
    s->n_rcpts = s->rcpts_cap = s->rcpt_commands = 0;
    s->begun = s->in_chunks = false;
    arena_deinit(&s->arena); /* an idle session holds nothing */
}

void session_drop(struct smtp_session *s, struct smtp_out *out)
{
    if (s->begun) out->dropped = true;
    forget_transaction(s);
    if (s->state >= SMTP_SENDER && s->state != SMTP_CLOSED) session_move(s, SMTP_READY);
}

void session_close(struct smtp_session *s, struct smtp_out *out, enum smtp_reply last)
{
    if (s->begun) out->dropped = true;
    forget_transaction(s);
    if (last) session_reply(s, out, last, SLICE(""));
    s->last = last;
    s->owed = out->want = SMTP_WANT_CLOSE;
    session_move(s, SMTP_CLOSED);
}

/* One more thing the client did wrong: slower each time past the free ones, then out. */
static void count_error(struct smtp_session *s, struct smtp_out *out)
{
    s->errors++;
    if (s->errors >= s->conf->errors_max) {
        session_close(s, out, SMTP_REPLY_TOO_MANY_ERRORS);
    } else if (s->errors > s->conf->errors_free) {
        uint64_t wait_ms = (s->errors - s->conf->errors_free) * PAUSE_STEP_MS;
        s->pause_ms = (uint32_t)MAX(s->pause_ms, MIN(wait_ms, PAUSE_MAX_MS));
    }
}

/* The reply just appended behind `from`, without its CR LF. */
static struct slice said(const struct smtp_out *out, size_t from)
{
    return slice_trim(slice_skip(buf_slice(out->replies), from));
}

static void log_refusal(const struct smtp_session *s, struct slice reply)
{
    log_info(s->log, "smtp.refused", kv_cstr("sid", s->id), kv_slice("command", s->command),
             kv_slice("reply", reply), kv_u64("errors", s->errors + 1));
}

void session_refuse(struct smtp_session *s, struct smtp_out *out, enum smtp_reply r, struct slice detail)
{
    size_t from = buf_len(out->replies);
    session_reply(s, out, r, detail);
    log_refusal(s, said(out, from));
    count_error(s, out);
}

void session_refuse_verdict(struct smtp_session *s, struct smtp_out *out, const struct smtp_verdict *v,
                            enum smtp_reply usual)
{
    size_t from = buf_len(out->replies);
    enum smtp_reply reply = v->reply ? v->reply : usual;
    int code = v->code ? v->code : smtp_reply_code(reply);
    if (v->code)
        smtp_reply_put_text(out->replies, v->code, v->text);
    else
        session_reply(s, out, reply, v->detail);
    log_info(s->log, "smtp.refused", kv_cstr("sid", s->id), kv_cstr("stage", stages[s->stage].name),
             kv_slice("from", s->mail.sender.whole), kv_slice("to", s->rcpt.to.whole),
             kv_slice("reply", said(out, from)));
    s->pause_ms = MAX(s->pause_ms, v->pause_ms);
    if (v->decision == SMTP_DISCONNECT || code == 421)
        session_close(s, out, SMTP_REPLY_NONE);
    else if (code >= 500)
        count_error(s, out); /* "not now" is not the client's fault */
}

/* ---- small verbs ---- */

static void connect_accepted(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    char text[SMTP_DOMAIN_MAX + 32];
    snprintf(text, sizeof text, "%.*s ESMTP", SLICE_ARG(s->conf->hostname));
    session_move(s, SMTP_FRESH);
    session_reply(s, out, SMTP_REPLY_GREETING, slice_of(text));
}

/* RFC 5321 3.1 lets a refused client only QUIT; we save it the trip. */
static void connect_refused(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    session_refuse_verdict(s, out, v, SMTP_REPLY_REFUSED);
    if (s->state != SMTP_CLOSED) session_close(s, out, SMTP_REPLY_NONE);
}

static void hello(struct smtp_session *s, struct slice args, bool esmtp, struct smtp_out *out)
{
    struct slice name = slice_word(&args);
    if (!smtp_helo_valid(name) || slice_trim(args).n) {
        session_refuse(s, out, SMTP_REPLY_BAD_HELO, SLICE(""));
        return;
    }
    session_drop(s, out);
    free(s->helo);
    s->helo = slice_dup(name);
    s->esmtp = esmtp;
    session_judge(s, out, SMTP_AT_HELO);
}

static void on_helo(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    hello(s, args, false, out);
}

static void on_ehlo(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    hello(s, args, true, out);
}

static void put_extensions(const struct smtp_session *s, struct buf *out)
{
    const char *ipv6 = strchr(s->peer, ':') ? "IPv6:" : ""; /* as an address literal, RFC 5321 4.1.3 */
    buf_putf(out, "250-%.*s", SLICE_ARG(s->conf->hostname));
    if (*s->peer) buf_putf(out, " Hello [%s%s]", ipv6, s->peer);
    buf_put(out, SLICE("\r\n"));
    buf_put(out, SLICE("250-PIPELINING\r\n"));
    buf_putf(out, "250-SIZE %" PRIu64 "\r\n", s->conf->size_max);
    if (s->conf->tls_offered && !s->tls) buf_put(out, SLICE("250-STARTTLS\r\n"));
    if (s->conf->auth_offered && s->tls && !s->user) buf_put(out, SLICE("250-AUTH PLAIN LOGIN\r\n"));
    buf_put(out,
            SLICE("250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 CHUNKING\r\n"));
}

static void helo_accepted(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    session_move(s, SMTP_READY);
    if (s->esmtp)
        put_extensions(s, out->replies);
    else
        session_reply(s, out, SMTP_REPLY_HELLO, s->conf->hostname);
}

static void helo_refused(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    free(s->helo);
    s->helo = NULL;
    if (s->state == SMTP_READY) session_move(s, SMTP_FRESH);
    session_refuse_verdict(s, out, v, SMTP_REPLY_REFUSED);
}

static void on_rset(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    session_drop(s, out);
    session_reply(s, out, SMTP_REPLY_OK, SLICE(""));
}

static void on_noop(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    session_reply(s, out, SMTP_REPLY_OK, SLICE(""));
}

static void on_quit(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    session_close(s, out, SMTP_REPLY_BYE);
}

static void on_vrfy(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    session_reply(s, out, SMTP_REPLY_NOT_VERIFIED, SLICE(""));
}

static void on_expn(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    session_refuse(s, out, SMTP_REPLY_NOT_IMPLEMENTED, SLICE(""));
}

static void on_help(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    session_reply(s, out, SMTP_REPLY_HELP, SLICE(""));
}

/* ---- the engine ---- */

/* A web browser, a scanner or the tail of a mail whose DATA failed: nothing it says next is for us. */
static bool is_not_smtp(struct slice verb)
{
    static const struct slice words[] = { SLICE_INIT("GET"),  SLICE_INIT("POST"),    SLICE_INIT("PUT"),
                                          SLICE_INIT("HEAD"), SLICE_INIT("CONNECT"), SLICE_INIT("OPTIONS") };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_ieq(verb, words[i])) return true;
    return verb.n && (uint8_t)verb.p[0] < ' ';
}

static const struct verb_row *find_verb(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (slice_ieq(name, verbs[i].name)) return &verbs[i];
    return NULL;
}

static void run_command(struct smtp_session *s, struct slice line, struct smtp_out *out)
{
    struct slice args = line, name = slice_word(&args);
    const struct verb_row *verb = find_verb(name);
    if (verb) s->command = slice_ieq(name, SLICE("AUTH")) ? name : line;
    if (!verb && is_not_smtp(name))
        session_close(s, out, SMTP_REPLY_NOT_SMTP);
    else if (!verb)
        session_refuse(s, out, SMTP_REPLY_UNKNOWN_COMMAND, SLICE(""));
    else if (!(verb->legal & BIT(s->state)))
        session_refuse(s, out, SMTP_REPLY_BAD_SEQUENCE, SLICE(""));
    else if (verb->idle && ++s->idle_commands > s->conf->idle_commands_max)
        session_close(s, out, SMTP_REPLY_NO_PROGRESS);
    else
        verb->on(s, args, out);
    s->command = SLICE("");
}

static void take_line(struct smtp_session *s, struct slice *in, struct smtp_out *out)
{
    struct slice line;
    bool sasl = s->state == SMTP_SASL;
    enum smtp_line_is is = smtp_line_take(&s->line, in, sasl ? SMTP_LINE_AUTH_MAX : SMTP_LINE_MAX, &line);
    if (is == SMTP_LINE_MORE) return;
    s->progress++;
    if (is == SMTP_LINE_READY && sasl) {
        session_sasl_line(s, line, out);
    } else if (is == SMTP_LINE_READY) {
        run_command(s, line, out);
    } else {
        if (sasl) session_move(s, SMTP_READY);
        session_refuse(s, out, is == SMTP_LINE_BARE ? SMTP_REPLY_BARE_NEWLINE : SMTP_REPLY_LINE_TOO_LONG,
                       SLICE(""));
    }
    smtp_line_deinit(&s->line); /* no memory between lines, no password left in it */
}

static void settle(struct smtp_session *s, struct smtp_out *out)
{
    if (out->want == SMTP_WANT_INPUT && s->pause_ms) {
        session_owe(s, out, SMTP_WANT_PAUSE);
        out->pause_ms = s->pause_ms;
    }
    if (out->want != SMTP_WANT_BODY) s->pause_ms = 0;
}

static bool can_go_on(const struct smtp_session *s, struct slice in)
{
    bool at_chunk_end = (s->state == SMTP_CHUNK || s->state == SMTP_SWALLOW) && s->chunk_left == 0;
    return in.n || at_chunk_end;
}

static void take_input(struct smtp_session *s, struct slice input, struct smtp_out *out)
{
    struct slice in = input;
    while (out->want == SMTP_WANT_INPUT && can_go_on(s, in) && buf_len(out->replies) < REPLIES_SOFT_BYTES) {
        if (s->state == SMTP_TEXT)
            session_take_text(s, &in, out);
        else if (s->state == SMTP_CHUNK || s->state == SMTP_SWALLOW)
            session_take_chunk(s, &in, out);
        else
            take_line(s, &in, out);
        settle(s, out);
    }
    out->used = out->want == SMTP_WANT_TLS || out->want == SMTP_WANT_CLOSE ? input.n : input.n - in.n;
}

static void take_verdict(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    const struct stage_row *row = &stages[s->stage];
    ASSERT(s->owed == SMTP_WANT_JUDGE);
    s->owed = SMTP_WANT_INPUT;
    (v->decision == SMTP_ACCEPT ? row->yes : row->no)(s, v, out);
    if (s->leaving && out->want == SMTP_WANT_INPUT) session_close(s, out, SMTP_REPLY_SHUTDOWN);
    settle(s, out);
}

static void shut_down(struct smtp_session *s, struct smtp_out *out)
{
    bool at_end = s->owed == SMTP_WANT_JUDGE && s->stage == SMTP_AT_END;
    if (at_end) {
        s->leaving = true;
        out->want = s->owed;
        out->stage = s->stage;
    } else {
        session_close(s, out, s->owed == SMTP_WANT_TLS ? SMTP_REPLY_NONE : SMTP_REPLY_SHUTDOWN);
    }
}

void smtp_session_step(struct smtp_session *s, const struct smtp_event *ev, struct smtp_out *out)
{
    *out = (struct smtp_out){ .replies = out->replies };
    ASSERT(s->state != SMTP_CLOSED);
    switch (ev->kind) {
    case SMTP_EV_CONNECT:
        ASSERT(s->state == SMTP_NEW && s->owed == SMTP_WANT_INPUT);
        session_judge(s, out, SMTP_AT_CONNECT);
        break;
    case SMTP_EV_INPUT:
        ASSERT(s->owed == SMTP_WANT_INPUT && s->state != SMTP_NEW);
        take_input(s, ev->input, out);
        break;
    case SMTP_EV_VERDICT: take_verdict(s, &ev->verdict, out); break;
    case SMTP_EV_PAUSED:
        ASSERT(s->owed == SMTP_WANT_PAUSE);
        s->owed = SMTP_WANT_INPUT;
        break;
    case SMTP_EV_TLS:
        ASSERT(s->owed == SMTP_WANT_TLS);
        s->owed = SMTP_WANT_INPUT;
        session_tls_started(s, ev->tls_ok, out);
        break;
    case SMTP_EV_TIMEOUT: session_close(s, out, SMTP_REPLY_IDLE); break;
    case SMTP_EV_SHUTDOWN: shut_down(s, out); break;
    }
    /* A chunk of no bytes is complete without input. */
    bool answered = ev->kind == SMTP_EV_VERDICT || ev->kind == SMTP_EV_PAUSED;
    if (answered && out->want == SMTP_WANT_INPUT) take_input(s, SLICE(""), out);
}

uint32_t smtp_session_limit_ms(const struct smtp_session *s)
{
    bool in_message = s->state == SMTP_TEXT || s->state == SMTP_CHUNK || s->state == SMTP_SWALLOW;
    return in_message ? s->conf->data_limit_ms : s->conf->command_limit_ms;
}

const char *smtp_session_protocol(const struct smtp_session *s)
{
    static const char *const names[2][2][2] = { { { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } },
                                                { { "UTF8SMTP", "UTF8SMTPA" },
                                                  { "UTF8SMTPS", "UTF8SMTPSA" } } };
    return s->esmtp ? names[s->mail.smtputf8][s->tls][s->user != NULL] : "SMTP";
}

void smtp_session_conf_defaults(struct smtp_session_conf *c)
{
    c->size_max = MIB(35);
    c->rcpts_max = 1000;
    c->errors_free = 5;
    c->errors_max = 20;
    c->idle_commands_max = 100;
    c->auth_failures_max = 3;
    c->auth_pause_ms = (uint32_t)SECONDS(5);
    c->command_limit_ms = (uint32_t)MINUTES(5);
    c->data_limit_ms = (uint32_t)MINUTES(3);
}

void smtp_session_init(struct smtp_session *s, const struct smtp_session_conf *conf, const struct log *log,
                       const char *id)
{
    *s = (struct smtp_session){ .conf = conf, .log = log };
    ASSERT(slice_cstr(slice_of(id), s->id, sizeof s->id) == ERR_OK);
}

void smtp_session_deinit(struct smtp_session *s)
{
    forget_transaction(s);
    smtp_line_deinit(&s->line);
    sasl_deinit(&s->sasl);
    free(s->helo);
    free(s->user);
    s->helo = s->user = NULL;
}
