#include "node/relay/session.h"

#include <stdio.h>

enum {
    OUT_BYTES_MAX = 2 * SESSION_PIECE_BYTES_MAX + 512 * 1024, /* a stuffed piece, or a window of commands */
    WINDOW = 100,                                             /* commands in flight, when pipelining */
    /* A body up to this size and its end leave in one write. It fits the first congestion window, so the end does not
     * wait in a queue of ours while the gate may close. A longer one is flushed first, then the gate is asked. */
    ONE_WRITE_BYTES = 14 * 1024
};

const struct session_limits session_limits_rfc5321 = {
    .banner_ms = MINUTES(5),
    .helo_ms = MINUTES(5),
    .starttls_ms = MINUTES(2),
    .handshake_ms = MINUTES(2),
    .mail_ms = MINUTES(5),
    .rcpt_ms = MINUTES(5),
    .data_ms = MINUTES(2),
    .block_ms = MINUTES(3),
    .dot_ms = MINUTES(10),
};

enum state {
    ST_BANNER,
    ST_EHLO,
    ST_HELO,
    ST_STARTTLS,
    ST_HANDSHAKE,
    ST_IDLE,
    ST_ENVELOPE, /* RSET, MAIL and RCPT in flight */
    ST_DATA,     /* 354 is waited for */
    ST_BODY,
    ST_DOT, /* the message belongs to the peer; only its reply counts */
    ST_OVER,
    STATES
};

typedef void on_reply_fn(struct session *s, uint64_t now_ms);
static on_reply_fn banner_on, ehlo_on, helo_on, starttls_on, envelope_on, data_on, body_on, dot_on, stray_on;

#define LIMIT(field) offsetof(struct session_limits, field)
#define NO_LIMIT     SIZE_MAX

static const struct row {
    const char *during; /* "… while sending MAIL", for outcomes without a reply */
    unsigned next;
    size_t limit; /* offset in struct session_limits */
    enum relay_stage stage;
    on_reply_fn *on;
} rows[] = {
    [ST_BANNER] = { "waiting for the greeting", BIT(ST_EHLO), LIMIT(banner_ms), RELAY_BANNER, banner_on },
    [ST_EHLO] = { "saying EHLO", BIT(ST_HELO) | BIT(ST_STARTTLS) | BIT(ST_IDLE), LIMIT(helo_ms), RELAY_HELO,
                  ehlo_on },
    [ST_HELO] = { "saying HELO", BIT(ST_IDLE), LIMIT(helo_ms), RELAY_HELO, helo_on },
    [ST_STARTTLS] = { "asking for TLS", BIT(ST_HANDSHAKE) | BIT(ST_IDLE), LIMIT(starttls_ms), RELAY_TLS,
                      starttls_on },
    [ST_HANDSHAKE] = { "negotiating TLS", BIT(ST_EHLO), LIMIT(handshake_ms), RELAY_TLS, stray_on },
    [ST_IDLE] = { "idle", BIT(ST_ENVELOPE), NO_LIMIT, RELAY_MAIL, stray_on },
    [ST_ENVELOPE] = { "sending the envelope", BIT(ST_IDLE) | BIT(ST_DATA) | BIT(ST_BODY), LIMIT(mail_ms),
                      RELAY_MAIL, envelope_on },
    [ST_DATA] = { "sending DATA", BIT(ST_IDLE) | BIT(ST_BODY), LIMIT(data_ms), RELAY_DATA, data_on },
    [ST_BODY] = { "sending the message", BIT(ST_IDLE) | BIT(ST_DOT), LIMIT(block_ms), RELAY_DATA, body_on },
    [ST_DOT] = { "waiting for the reply to the message", BIT(ST_IDLE), LIMIT(dot_ms), RELAY_DATA, dot_on },
    [ST_OVER] = { "over", 0, NO_LIMIT, RELAY_MAIL, stray_on },
};
_Static_assert(ARRAY_LEN(rows) == STATES, "one row per state");

static void set_due(struct session *s, size_t limit, uint64_t now_ms)
{
    s->due_ms = limit == NO_LIMIT ? UINT64_MAX
                                  : now_ms + *(const uint32_t *)((const char *)&s->conf->limits + limit);
}

static void move_to(struct session *s, enum state to, enum session_want want, uint64_t now_ms)
{
    ASSERT(rows[s->state].next & BIT(to));
    s->state = to;
    s->want = want;
    set_due(s, rows[to].limit, now_ms);
}

static void over(struct session *s, enum session_want want)
{
    ASSERT(!s->mail);
    s->state = ST_OVER;
    s->want = want;
    s->due_ms = UINT64_MAX;
}

static enum relay_stage stage_now(const struct session *s)
{
    return s->state == ST_ENVELOPE && s->got > 1 ? RELAY_RCPT : rows[s->state].stage;
}

/* ---- outcomes ---- */

static struct relay_outcome outcome(const struct session *s, enum relay_verdict verdict, struct enhanced e)
{
    return (struct relay_outcome){ .verdict = verdict,
                                   .stage = stage_now(s),
                                   .enhanced = e,
                                   .mta_name = s->mta_name,
                                   .mta = s->mta,
                                   .tls = s->tls };
}

static struct arena *outcome_arena(struct session *s)
{
    return s->mail ? s->mail->arena : &s->arena;
}

/* What the peer's reply decides. A code that has no place here defers: nobody can say what it means. */
static struct relay_outcome said(struct session *s)
{
    const struct reply *r = &s->reply;
    unsigned class = r->code / 100;
    enum relay_verdict v = class == 5 ? RELAY_FAILED : class == 2 ? RELAY_SENT : RELAY_DEFERRED;
    struct enhanced e = r->enhanced.class ? r->enhanced
                                          : (struct enhanced){ .class = class == 3 ? 4 : (uint8_t) class };
    struct relay_outcome o = outcome(s, v, e);
    o.code = r->code;
    o.text = arena_dup(outcome_arena(s), buf_slice(&r->text));
    return o;
}

static struct relay_outcome ours(struct session *s, enum relay_verdict verdict, struct enhanced e,
                                 const char *text)
{
    struct relay_outcome o = outcome(s, verdict, e);
    o.text = arena_dup(outcome_arena(s), slice_of(text));
    return o;
}

/* Recipients nothing was decided about yet. */
static void settle(struct session *s, struct relay_outcome o)
{
    for (size_t i = 0; i < s->mail->n_rcpts; i++)
        if (s->mail->rcpts[i].out.verdict == RELAY_PENDING) s->mail->rcpts[i].out = o;
}

static void give_back(struct session *s)
{
    if (s->state == ST_DOT && s->gate) s->gate->dot_end(s->gate->owner);
    for (size_t i = 0; i < s->mail->n_rcpts; i++) ASSERT(s->mail->rcpts[i].out.verdict != RELAY_PENDING);
    ASSERT(!s->done);
    s->done = s->mail;
    s->mail = NULL;
    buf_clear(&s->held);
    s->last_held = false;
}

struct relay_mail *session_done(struct session *s)
{
    struct relay_mail *m = s->done;
    s->done = NULL;
    return m;
}

/* The conversation ends here, with `o` for whatever it was about. */
static void end_with(struct session *s, struct relay_outcome o, enum session_want want)
{
    if (s->mail) {
        settle(s, o);
        give_back(s);
    } else if (s->state != ST_IDLE && s->state != ST_OVER) {
        s->failure = o;
    }
    over(s, want);
}

static void finish_mail(struct session *s, uint64_t now_ms)
{
    give_back(s);
    if (s->mails >= s->conf->mails_max) {
        session_quit(s, now_ms);
        return;
    }
    move_to(s, ST_IDLE, SESSION_WANTS_MAIL, now_ms);
}

/* ---- greeting ---- */

static void say_hello(struct session *s, enum state to, uint64_t now_ms)
{
    s->caps = (struct wire_caps){ 0 };
    buf_putf(&s->out, "%s %s\r\n", to == ST_EHLO ? "EHLO" : "HELO", s->conf->helo);
    move_to(s, to, SESSION_WANTS_PEER, now_ms);
}

/* A refusal of the connection says nothing of any recipient: it is never a reason to return mail. The exception says
 * so itself: 521, this host does not accept mail (RFC 7504). */
static void refuse_connection(struct session *s)
{
    struct relay_outcome o = said(s);
    if (s->reply.code != 521) o.verdict = RELAY_DEFERRED;
    end_with(s, o, SESSION_WANTS_CLOSE);
}

static void banner_on(struct session *s, uint64_t now_ms)
{
    if (s->reply.code == 220)
        say_hello(s, ST_EHLO, now_ms);
    else
        refuse_connection(s);
}

static void greeted(struct session *s, uint64_t now_ms)
{
    struct slice text = buf_slice(&s->reply.text), line;
    if (refusal_next_line(&text, &line) && slice_ieq(slice_word(&line), slice_of(s->conf->helo))) {
        end_with(s,
                 ours(s, RELAY_DEFERRED, (struct enhanced){ 4, 4, 6 },
                      "the next hop greets with our own name: mail loops back"),
                 SESSION_WANTS_CLOSE);
        return;
    }
    if (!s->tls && s->caps.starttls && s->conf->tls != SESSION_TLS_OFF) {
        buf_put(&s->out, SLICE("STARTTLS\r\n"));
        move_to(s, ST_STARTTLS, SESSION_WANTS_PEER, now_ms);
        return;
    }
    if (!s->tls && s->conf->tls == SESSION_TLS_ENCRYPT) {
        s->tls_missing = true;
        end_with(s,
                 ours(s, RELAY_DEFERRED, (struct enhanced){ 4, 7, 4 }, "TLS is required and was not offered"),
                 SESSION_WANTS_CLOSE);
        return;
    }
    move_to(s, ST_IDLE, SESSION_WANTS_MAIL, now_ms);
}

static void ehlo_on(struct session *s, uint64_t now_ms)
{
    if (s->reply.code / 100 == 2) {
        wire_caps_parse(buf_slice(&s->reply.text), &s->caps);
        greeted(s, now_ms);
    } else if (s->reply.code >= 500 && s->reply.code <= 504) {
        say_hello(s, ST_HELO, now_ms); /* it does not know EHLO; anything else is a refusal of us */
    } else {
        refuse_connection(s);
    }
}

static void helo_on(struct session *s, uint64_t now_ms)
{
    if (s->reply.code / 100 == 2)
        greeted(s, now_ms);
    else
        refuse_connection(s);
}

static void starttls_on(struct session *s, uint64_t now_ms)
{
    if (s->reply.code == 220) {
        move_to(s, ST_HANDSHAKE, SESSION_WANTS_TLS, now_ms);
        return;
    }
    if (s->conf->tls == SESSION_TLS_ENCRYPT) {
        s->tls_missing = true;
        refuse_connection(s);
        return;
    }
    move_to(s, ST_IDLE, SESSION_WANTS_MAIL, now_ms);
}

void session_secured(struct session *s, enum err err, const char *detail, uint64_t now_ms)
{
    if (s->state != ST_HANDSHAKE) return;
    if (!err) {
        s->tls = true;
        say_hello(s, ST_EHLO, now_ms);
        return;
    }
    char text[300];
    snprintf(text, sizeof text, "the TLS handshake failed: %s", detail ? detail : err_text(err));
    s->tls_refused = true;
    end_with(s, ours(s, RELAY_DEFERRED, (struct enhanced){ 4, 7, 5 }, text), SESSION_WANTS_RESET);
}

/* ---- envelope: command 0 is RSET, 1 is MAIL, 2 + i is RCPT i ---- */

/* The next command to be sent at or after `at`; beyond the last one: n_rcpts + 2. */
static size_t command_at(const struct session *s, size_t at)
{
    if (at == 0 && !s->needs_rset) at = 1;
    while (at >= 2 && at < s->mail->n_rcpts + 2 && s->mail->rcpts[at - 2].out.verdict != RELAY_PENDING) at++;
    return at;
}

static void put_command(struct session *s, size_t at)
{
    if (at == 0)
        buf_put(&s->out, SLICE("RSET\r\n"));
    else if (at == 1)
        wire_mail(s->mail, &s->caps, &s->out);
    else
        wire_rcpt(&s->mail->rcpts[at - 2], &s->caps, &s->out);
}

static void end_envelope(struct session *s, uint64_t now_ms)
{
    s->needs_rset = true;
    if (s->mail_refused.verdict != RELAY_PENDING) settle(s, s->mail_refused);
    if (s->mail_refused.verdict != RELAY_PENDING || !s->accepted) {
        finish_mail(s, now_ms);
        return;
    }
    s->bdat = s->caps.chunking && !s->conf->no_chunking;
    s->stuffing = (struct wire_stuffing){ 0 };
    s->body_bytes = 0;
    if (s->bdat) {
        move_to(s, ST_BODY, SESSION_WANTS_BODY, now_ms);
        return;
    }
    buf_put(&s->out, SLICE("DATA\r\n"));
    move_to(s, ST_DATA, SESSION_WANTS_PEER, now_ms);
}

static void pump_envelope(struct session *s, uint64_t now_ms)
{
    uint32_t window = s->caps.pipelining ? WINDOW : 1;
    bool refused = s->mail_refused.verdict != RELAY_PENDING;
    for (; !refused && s->waiting < window; s->waiting++, s->sent++) {
        s->sent = command_at(s, s->sent);
        if (s->sent >= s->mail->n_rcpts + 2) break;
        put_command(s, s->sent);
    }
    if (!s->waiting) end_envelope(s, now_ms);
}

static void rcpt_on(struct session *s, struct relay_rcpt *r)
{
    unsigned class = s->reply.code / 100;
    if (class == 2) {
        s->accepted++;
        return;
    }
    r->out = said(s);
    /* RFC 5321 4.5.3.1.10: too many recipients is 452, and of old 552; the rest may follow in a new transaction. */
    if (s->accepted && (s->reply.code == 452 || s->reply.code == 552) &&
        (!r->out.enhanced.subject || (r->out.enhanced.subject == 5 && r->out.enhanced.detail == 3))) {
        r->out.verdict = RELAY_DEFERRED;
        r->out.too_many = true;
    }
}

static void envelope_on(struct session *s, uint64_t now_ms)
{
    s->got = command_at(s, s->got);
    ASSERT(s->waiting && s->got < s->mail->n_rcpts + 2);
    s->waiting--;
    bool positive = s->reply.code / 100 == 2;
    if (s->got == 0) {
        if (!positive) {
            end_with(s, ours(s, RELAY_DEFERRED, (struct enhanced){ 4, 5, 0 }, "the next hop refused RSET"),
                     SESSION_WANTS_CLOSE);
            return;
        }
        s->needs_rset = false;
    } else if (s->got == 1) {
        if (!positive) s->mail_refused = said(s);
    } else if (s->mail_refused.verdict == RELAY_PENDING) {
        rcpt_on(s, &s->mail->rcpts[s->got - 2]);
    }
    s->got++;
    set_due(s, s->got > 1 ? LIMIT(rcpt_ms) : LIMIT(mail_ms), now_ms);
    pump_envelope(s, now_ms);
}

static bool gate_closed(struct session *s)
{
    session_abort(s, true, "this node may not send now");
    return false;
}

static bool may_send(struct session *s)
{
    return !s->gate || s->gate->may_send(s->gate->owner) || gate_closed(s);
}

static void refuse_invalid(struct session *s)
{
    struct relay_mail *m = s->mail;
    if (m->sender.n && !wire_address_ok(m->sender))
        settle(s, ours(s, RELAY_FAILED, (struct enhanced){ 5, 1, 7 },
                       "the sender's address cannot be written in a command"));
    for (size_t i = 0; i < m->n_rcpts; i++)
        if (!wire_address_ok(m->rcpts[i].address))
            m->rcpts[i].out = ours(s, RELAY_FAILED, (struct enhanced){ 5, 1, 3 },
                                   "the address cannot be written in a command");
}

static bool is_ascii(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] >= 0x80) return false;
    return true;
}

/* Mail from nobody is a report, and its refusal is told to nobody: better a report in a form that the peer did not offer than
 * none. */
static bool is_report_to_ascii(const struct relay_mail *m)
{
    for (size_t i = 0; i < m->n_rcpts; i++)
        if (!is_ascii(m->rcpts[i].address)) return false;
    return m->sender.n == 0;
}

/* What this peer cannot take, whoever it is for. */
static void refuse_unfit(struct session *s)
{
    const struct relay_mail *m = s->mail;
    bool anyway = is_report_to_ascii(m);
    if (m->smtputf8 && !s->caps.smtputf8 && !anyway)
        settle(s, ours(s, RELAY_FAILED, (struct enhanced){ 5, 6, 7 },
                       "the next hop does not take internationalised addresses or headers (SMTPUTF8)"));
    if (m->body_8bit && !s->caps.eightbitmime && !s->conf->eightbit_anyway && !anyway)
        settle(s, ours(s, RELAY_FAILED, (struct enhanced){ 5, 6, 3 },
                       "the next hop does not take 8-bit bodies (8BITMIME)"));
    if (s->caps.size_max && m->size_bytes > s->caps.size_max)
        settle(s, ours(s, RELAY_FAILED, (struct enhanced){ 5, 3, 4 },
                       "the message is larger than the next hop takes (SIZE)"));
}

void session_begin(struct session *s, struct relay_mail *mail, uint64_t now_ms)
{
    ASSERT(s->want == SESSION_WANTS_MAIL && !s->mail && !s->done);
    s->mail = mail;
    for (size_t i = 0; i < mail->n_rcpts; i++) mail->rcpts[i].out = (struct relay_outcome){ 0 };
    refuse_invalid(s);
    refuse_unfit(s);
    bool pending = false;
    for (size_t i = 0; i < mail->n_rcpts; i++) pending |= mail->rcpts[i].out.verdict == RELAY_PENDING;
    if (!pending) {
        give_back(s);
        return;
    }
    if (!may_send(s)) return;
    s->mails++;
    s->sent = s->got = s->accepted = s->waiting = 0;
    s->mail_refused = (struct relay_outcome){ 0 };
    move_to(s, ST_ENVELOPE, SESSION_WANTS_PEER, now_ms);
    pump_envelope(s, now_ms);
}

/* ---- the message ---- */

static void data_on(struct session *s, uint64_t now_ms)
{
    switch (s->reply.code / 100) {
    case 3: move_to(s, ST_BODY, SESSION_WANTS_BODY, now_ms); break;
    case 2:
        end_with(s,
                 ours(s, RELAY_DEFERRED, (struct enhanced){ 4, 5, 0 },
                      "the next hop answered DATA with success, unasked for a message"),
                 SESSION_WANTS_RESET);
        break;
    default: settle(s, said(s)); finish_mail(s, now_ms);
    }
}

static void put_bdat(struct session *s, struct slice piece, bool last)
{
    buf_putf(&s->out, "BDAT %zu%s\r\n", piece.n, last ? " LAST" : "");
    buf_put(&s->out, piece);
    s->waiting++;
}

/* The one place where a message is handed to the peer for good. */
static void end_message(struct session *s, struct slice last_piece, uint64_t now_ms)
{
    if (s->gate && !s->gate->dot_begin(s->gate->owner) && !gate_closed(s)) return;
    if (s->bdat)
        put_bdat(s, last_piece, true);
    else
        buf_put(&s->out, SLICE(".\r\n"));
    move_to(s, ST_DOT, SESSION_WANTS_PEER, now_ms);
}

static void bdat_piece(struct session *s, struct slice piece, bool last, uint64_t now_ms)
{
    if (last && s->waiting) {
        buf_put(&s->held, piece);
        s->last_held = true;
        s->want = SESSION_WANTS_PEER;
    } else if (last) {
        end_message(s, piece, now_ms);
    } else if (piece.n) {
        put_bdat(s, piece, false);
        s->want = s->caps.pipelining ? SESSION_WANTS_BODY : SESSION_WANTS_PEER;
    }
}

void session_body(struct session *s, struct slice piece, bool last, uint64_t now_ms)
{
    ASSERT(s->want == SESSION_WANTS_BODY && piece.n <= SESSION_PIECE_BYTES_MAX);
    set_due(s, rows[ST_BODY].limit, now_ms);
    s->body_bytes += piece.n;
    if (s->bdat) {
        bdat_piece(s, piece, last, now_ms);
        return;
    }
    wire_stuff(&s->stuffing, piece, &s->out);
    if (!last) return;
    wire_stuff_end(&s->stuffing, &s->out);
    if (s->body_bytes <= ONE_WRITE_BYTES)
        end_message(s, SLICE(""), now_ms);
    else
        s->want = SESSION_WANTS_FLUSH;
}

void session_flushed(struct session *s, uint64_t now_ms)
{
    if (s->want == SESSION_WANTS_FLUSH) end_message(s, SLICE(""), now_ms);
}

/* A reply before the end: to a BDAT piece, or one that nobody asked for. */
static void body_on(struct session *s, uint64_t now_ms)
{
    unsigned class = s->reply.code / 100;
    if (class < 4 && !(class == 2 && s->bdat && s->waiting)) {
        end_with(s,
                 ours(s, RELAY_DEFERRED, (struct enhanced){ 4, 5, 0 },
                      "the next hop answered before the end of the message"),
                 SESSION_WANTS_RESET);
        return;
    }
    if (class >=
        4) { /* what is still in flight would be answered too, and a message may be half there: no way on */
        end_with(s, said(s), SESSION_WANTS_RESET);
        return;
    }
    s->waiting--;
    set_due(s, rows[ST_BODY].limit, now_ms);
    if (s->last_held && !s->waiting)
        end_message(s, buf_slice(&s->held), now_ms);
    else if (!s->last_held && s->want == SESSION_WANTS_PEER)
        s->want = SESSION_WANTS_BODY;
}

static void dot_on(struct session *s, uint64_t now_ms)
{
    struct relay_outcome o = said(s);
    if (s->reply.code / 100 == 3) {
        o.maybe_sent = true;
        end_with(s, o, SESSION_WANTS_RESET);
        return;
    }
    s->needs_rset = o.verdict != RELAY_SENT;
    for (size_t i = 0; i < s->mail->n_rcpts; i++) {
        struct relay_rcpt *r = &s->mail->rcpts[i];
        if (r->out.verdict != RELAY_PENDING) continue;
        r->out = o;
        r->out.dsn_relayed = o.verdict == RELAY_SENT && !s->caps.dsn && (r->notify & RELAY_NOTIFY_SUCCESS);
    }
    finish_mail(s, now_ms);
}

/* ---- the connection ---- */

/* Nobody asked: on an idle connection most often 421. Nothing was at stake. */
static void stray_on(struct session *s, uint64_t now_ms)
{
    (void)now_ms;
    end_with(s, said(s), s->state == ST_HANDSHAKE ? SESSION_WANTS_RESET : SESSION_WANTS_CLOSE);
}

static void on_reply(struct session *s, uint64_t now_ms)
{
    /* 421 at any time: the peer is closing the channel (RFC 5321 3.8). Whatever was open is for later. */
    if (s->reply.code == 421 && s->state != ST_IDLE)
        end_with(s, said(s), SESSION_WANTS_CLOSE);
    else
        rows[s->state].on(s, now_ms);
}

/* Where the next reply counts as the answer to a command of ours. */
static bool expects_answer(const struct session *s)
{
    return s->state != ST_BODY && s->state != ST_IDLE && s->state != ST_HANDSHAKE;
}

/* Another yes right behind the one to the message: perhaps neither of them is. "221", said while closing, is. */
static bool is_more_yes(struct slice rest)
{
    return rest.n >= 3 && rest.p[0] == '2' && ascii_is_digit(rest.p[1]) && ascii_is_digit(rest.p[2]) &&
           !slice_starts(rest, SLICE("221"));
}

/* A peer that answers more than it was asked is one reply ahead of us: its yes to an early command would be taken for its yes to
 * the message. Replies that came together cannot answer what was said after the first of them. */
void session_bytes(struct session *s, struct slice bytes, uint64_t now_ms)
{
    uint32_t owed = s->state == ST_ENVELOPE || s->state == ST_BODY ? s->waiting : 1;
    while (bytes.n && s->state != ST_OVER) {
        /* Bytes behind the answer to STARTTLS came in clear: they are somebody's attempt to be taken for the peer. */
        if (s->state == ST_HANDSHAKE) {
            session_secured(s, ERR_MALFORMED, "clear text after the answer to STARTTLS", now_ms);
            return;
        }
        enum err err = reply_feed(&s->reply, &bytes);
        if (err == ERR_RETRY) return;
        if (err) {
            session_lost(s, ERR_MALFORMED, "it does not speak SMTP");
            return;
        }
        bool ahead = !owed && expects_answer(s) && s->reply.code != 421;
        if (ahead || (s->state == ST_DOT && is_more_yes(bytes))) {
            session_lost(s, ERR_MALFORMED, "it answers what it was not asked");
            return;
        }
        owed -= owed > 0;
        on_reply(s, now_ms);
        reply_reset(&s->reply);
    }
}

void session_lost(struct session *s, enum err why, const char *detail)
{
    if (s->state == ST_OVER) return;
    char text[300];
    snprintf(text, sizeof text, "%s while %s: %s",
             why == ERR_TIMEOUT     ? "no answer in time"
             : why == ERR_MALFORMED ? "nonsense from the next hop"
                                    : "the connection was lost",
             rows[s->state].during, detail && *detail ? detail : err_text(why));
    struct relay_outcome o = ours(
        s, RELAY_DEFERRED, (struct enhanced){ 4, why == ERR_MALFORMED ? 5 : 4, why == ERR_MALFORMED ? 0 : 2 },
        text);
    o.maybe_sent = s->state == ST_DOT;
    if (s->state == ST_HANDSHAKE) s->tls_refused = true;
    end_with(s, o, SESSION_WANTS_RESET);
}

void session_expire(struct session *s, uint64_t now_ms)
{
    if (now_ms >= s->due_ms) session_lost(s, ERR_TIMEOUT, NULL);
}

bool session_past_dot(const struct session *s)
{
    return s->state == ST_DOT;
}

bool session_abort(struct session *s, bool gate, const char *why)
{
    if (s->state == ST_DOT) return false;
    if (s->state == ST_OVER) return true;
    struct relay_outcome o = ours(s, RELAY_DEFERRED, (struct enhanced){ 4, 3, 2 }, why);
    o.gate_closed = gate;
    end_with(s, o, SESSION_WANTS_RESET);
    return true;
}

void session_quit(struct session *s, uint64_t now_ms)
{
    (void)now_ms;
    if (s->state == ST_OVER) return;
    ASSERT(!s->mail);
    buf_put(&s->out, SLICE("QUIT\r\n")); /* its answer would change nothing */
    over(s, SESSION_WANTS_CLOSE);
}

void session_init(struct session *s, const struct session_conf *conf, const struct session_gate *gate,
                  struct slice mta_name, const struct addr *mta, uint64_t now_ms)
{
    ASSERT(conf->mails_max > 0 && conf->helo && *conf->helo);
    *s =
        (struct session){ .conf = conf, .gate = gate, .mta_name = mta_name, .mta = *mta, .state = ST_BANNER };
    buf_init(&s->out, OUT_BYTES_MAX);
    buf_init(&s->held, SESSION_PIECE_BYTES_MAX);
    reply_init(&s->reply);
    set_due(s, rows[ST_BANNER].limit, now_ms);
}

void session_deinit(struct session *s)
{
    if (s->state == ST_DOT && s->mail && s->gate) s->gate->dot_end(s->gate->owner);
    s->state = ST_OVER;
    buf_deinit(&s->out);
    buf_deinit(&s->held);
    reply_deinit(&s->reply);
    arena_deinit(&s->arena);
}
