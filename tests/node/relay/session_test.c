#include "node/relay/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/test.h"

/* A conversation is a script: lines "S: " are what the server says, "C: " what the client must have written by then,
 * "! " an event. CRLF is added. The driver answers what the session wants: TLS, the next mail, the body, the flush. */

enum { MAILS_MAX = 3, RCPTS_MAX = 4, STEPS_MAX = 40 };

struct script {
    const char *name;
    const char *steps[STEPS_MAX];
    const char *want; /* one word per recipient: see describe */
    enum session_want end;
    /* what is sent, and how */
    struct relay_mail mail;
    const char *rcpts; /* blank separated; NULL: b@example.net */
    const char *body;  /* NULL: "Subject: x\r\n\r\nhi\r\n" */
    size_t piece;      /* of the body; 0: in one */
    uint32_t mails;    /* 0: one, the same one again and again */
    enum session_tls tls;
    enum err handshake;
    bool eightbit_anyway, no_chunking, report;
    uint32_t mails_max;
    int gate; /* -1: not gated; n: the nth question is answered no; 0: always open */
};

struct world {
    const struct script *script;
    struct session s;
    struct relay_rcpt rcpts[RCPTS_MAX];
    struct relay_mail mail;
    struct arena arena;
    struct session_conf conf;
    struct session_gate gate;
    int asked, dots;
    uint32_t mails;
    size_t body_at;
    struct buf sent;   /* what the client wrote and no step has claimed */
    struct buf report; /* outcomes of finished mails */
    uint64_t now_ms;
};

static bool gate_answer(void *owner)
{
    struct world *w = owner;
    return ++w->asked != w->script->gate;
}

static bool gate_dot_begin(void *owner)
{
    struct world *w = owner;
    if (!gate_answer(owner)) return false;
    w->dots++;
    return true;
}

static void gate_dot_end(void *owner)
{
    ((struct world *)owner)->dots--;
}

/* "sent/data/250/2.0.0", with +flag for each flag. */
static void describe(const struct relay_outcome *o, struct buf *out)
{
    buf_putf(out, "%s%s/%s/%u/%u.%u.%u", buf_len(out) ? " " : "", relay_verdict_name(o->verdict),
             relay_stage_name(o->stage), o->code, o->enhanced.class, o->enhanced.subject, o->enhanced.detail);
    if (o->tls) buf_put(out, SLICE("+tls"));
    if (o->gate_closed) buf_put(out, SLICE("+gate"));
    if (o->maybe_sent) buf_put(out, SLICE("+maybe"));
    if (o->dsn_relayed) buf_put(out, SLICE("+relayed"));
    if (o->too_many) buf_put(out, SLICE("+many"));
    assert_true(o->text.n > 0);
}

static void next_piece(struct world *w)
{
    struct slice body = slice_of(w->script->body ? w->script->body : "Subject: x\r\n\r\nhi\r\n");
    size_t n = w->script->piece ? w->script->piece : body.n;
    struct slice piece = slice_sub(body, w->body_at, n);
    w->body_at += piece.n;
    session_body(&w->s, piece, w->body_at == body.n, w->now_ms);
}

static void do_what_it_wants(struct world *w)
{
    for (;;) {
        struct relay_mail *done = session_done(&w->s);
        for (size_t i = 0; done && i < done->n_rcpts; i++) describe(&done->rcpts[i].out, &w->report);
        buf_put(&w->sent, buf_slice(&w->s.out));
        buf_clear(&w->s.out);
        switch (w->s.want) {
        case SESSION_WANTS_TLS: session_secured(&w->s, w->script->handshake, "told to", w->now_ms); break;
        case SESSION_WANTS_BODY: next_piece(w); break;
        case SESSION_WANTS_FLUSH: session_flushed(&w->s, w->now_ms); break;
        case SESSION_WANTS_MAIL:
            w->body_at = 0;
            if (w->mails++ < MAX(w->script->mails, 1u))
                session_begin(&w->s, &w->mail, w->now_ms);
            else
                session_quit(&w->s, w->now_ms);
            break;
        default: return;
        }
    }
}

static void setup(struct world *w, const struct script *sc)
{
    *w = (struct world){ .script = sc, .mail = sc->mail, .now_ms = 1000 };
    struct slice list = slice_of(sc->rcpts ? sc->rcpts : "b@example.net"), word;
    while ((word = slice_word(&list)).n) {
        w->rcpts[w->mail.n_rcpts].notify = sc->mail.ret ? RELAY_NOTIFY_SUCCESS : 0;
        w->rcpts[w->mail.n_rcpts++].address = word;
    }
    w->mail.sender = sc->report ? SLICE("") : SLICE("a@example.com");
    w->mail.rcpts = w->rcpts;
    w->mail.arena = &w->arena;
    w->conf = (struct session_conf){ .helo = "edge1.example.com",
                                     .tls = sc->tls,
                                     .eightbit_anyway = sc->eightbit_anyway,
                                     .no_chunking = sc->no_chunking,
                                     .mails_max = sc->mails_max ? sc->mails_max : 20,
                                     .limits = session_limits_rfc5321 };
    w->gate = (struct session_gate){ gate_answer, gate_dot_begin, gate_dot_end, w };
    buf_init(&w->sent, 1 << 20);
    buf_init(&w->report, 4096);
    struct addr mta = { 0 };
    session_init(&w->s, &w->conf, sc->gate < 0 ? NULL : &w->gate, SLICE("mx.example.net"), &mta, w->now_ms);
}

static void teardown(struct world *w)
{
    session_deinit(&w->s);
    assert_int_equal(w->dots, 0);
    buf_deinit(&w->sent);
    buf_deinit(&w->report);
    arena_deinit(&w->arena);
}

static void say(struct world *w, struct slice text, size_t step)
{
    for (; text.n; text = slice_skip(text, step)) {
        session_bytes(&w->s, slice_sub(text, 0, step), w->now_ms);
        do_what_it_wants(w);
    }
}

static void event(struct world *w, struct slice what)
{
    if (slice_eq(what, SLICE("lost")))
        session_lost(&w->s, ERR_CLOSED, NULL);
    else if (slice_eq(what, SLICE("reset")))
        session_lost(&w->s, ERR_RETRY, "connection reset by peer");
    else if (slice_eq(what, SLICE("abort")))
        session_abort(&w->s, true, "fenced");
    else if (slice_eq(what, SLICE("past the dot")))
        assert_true(session_past_dot(&w->s) && !session_abort(&w->s, true, "fenced"));
    else if (slice_eq(what, SLICE("wait"))) {
        assert_true(w->s.due_ms != UINT64_MAX);
        session_expire(&w->s, w->s.due_ms - 1);
        assert_int_equal(w->s.want, SESSION_WANTS_PEER);
        session_expire(&w->s, w->s.due_ms);
    } else
        fail_msg("no such event");
    do_what_it_wants(w);
}

static void run_script(const struct script *sc, size_t step)
{
    struct world w;
    setup(&w, sc);
    for (const char *const *at = sc->steps; *at; at++) {
        char line[4096];
        struct slice text = slice_of(*at);
        snprintf(line, sizeof line, "%.*s\r\n", (int)MAX(text.n, (size_t)3) - 3,
                 *at + MIN(text.n, (size_t)3));
        if (slice_starts(text, SLICE("S: "))) {
            say(&w, slice_of(line), step);
        } else if (slice_starts(text, SLICE("! "))) {
            event(&w, slice_skip(text, 2));
        } else {
            struct slice sent = buf_slice(&w.sent);
            if (!slice_starts(sent, slice_of(line))) {
                print_error("%s: step %td: want \"%s\"\n", sc->name, at - sc->steps, *at);
                assert_slices(slice_sub(sent, 0, strlen(line)), slice_of(line));
            }
            buf_consume(&w.sent, strlen(line));
        }
    }
    if (buf_len(&w.sent) || w.s.want != sc->end) print_error("%s:\n", sc->name);
    assert_slice(buf_slice(&w.sent), "");
    if (w.s.failure.verdict != RELAY_PENDING) describe(&w.s.failure, &w.report);
    if (!slice_eq(buf_slice(&w.report), slice_of(sc->want))) print_error("%s:\n", sc->name);
    assert_slice(buf_slice(&w.report), sc->want);
    assert_int_equal(w.s.want, sc->end);
    teardown(&w);
}

#define HELLO    "S: 220 mx.example.net ESMTP", "C: EHLO edge1.example.com"
#define PLAIN    HELLO, "S: 250 mx.example.net"
#define PIPELINE HELLO, "S: 250-mx.example.net", "S: 250 PIPELINING"
#define MAIL     "C: MAIL FROM:<a@example.com>"
#define RCPT     "C: RCPT TO:<b@example.net>"
#define BODY     "C: Subject: x", "C: ", "C: hi", "C: ."
#define TO_DATA  PLAIN, MAIL, "S: 250 ok", RCPT, "S: 250 ok", "C: DATA"
#define TO_DOT   TO_DATA, "S: 354 go", BODY

static const struct script scripts[] = {
    { "plain",
      { TO_DOT, "S: 250 2.0.0 queued as 77", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE },
    { "helo fallback",
      { "S: 220-mx", "S: 220 mx", "C: EHLO edge1.example.com", "S: 502 what?", "C: HELO edge1.example.com",
        "S: 250 mx", MAIL, "S: 250 ok", RCPT, "S: 250 ok", "C: DATA", "S: 354 go", BODY, "S: 250 ok",
        "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE },
    { "pipelined, one recipient refused, one for later",
      { PIPELINE, MAIL, "C: RCPT TO:<b@x>", "C: RCPT TO:<c@x>", "C: RCPT TO:<d@x>", "S: 250 ok",
        "S: 550 5.1.1 who?", "S: 250 ok", "S: 450 4.2.1 busy", "C: DATA", "S: 354 go", BODY, "S: 250 ok",
        "C: QUIT" },
      "failed/rcpt/550/5.1.1 sent/data/250/2.0.0 deferred/rcpt/450/4.2.1",
      SESSION_WANTS_CLOSE,
      .rcpts = "b@x c@x d@x" },
    { "every recipient refused: no DATA",
      { PIPELINE, MAIL, "C: RCPT TO:<b@x>", "C: RCPT TO:<c@x>", "S: 250 ok", "S: 550 no", "S: 451 no",
        "C: QUIT" },
      "failed/rcpt/550/5.0.0 deferred/rcpt/451/4.0.0",
      SESSION_WANTS_CLOSE,
      .rcpts = "b@x c@x" },
    { "MAIL refused, the replies to the pipelined RCPTs do not count",
      { PIPELINE, MAIL, "C: RCPT TO:<b@x>", "C: RCPT TO:<c@x>", "S: 550 5.7.1 listed",
        "S: 503 5.5.1 MAIL first", "S: 250 ok", "C: QUIT" },
      "failed/mail/550/5.7.1 failed/mail/550/5.7.1",
      SESSION_WANTS_CLOSE,
      .rcpts = "b@x c@x" },
    { "MAIL refused without pipelining: no RCPT",
      { PLAIN, MAIL, "S: 451 4.7.1 later", "C: QUIT" },
      "deferred/mail/451/4.7.1",
      SESSION_WANTS_CLOSE },
    { "too many recipients, new and old code",
      { PIPELINE, MAIL, "C: RCPT TO:<b@x>", "C: RCPT TO:<c@x>", "C: RCPT TO:<d@x>", "C: RCPT TO:<e@x>",
        "S: 250 ok", "S: 250 ok", "S: 452 4.5.3 too many", "S: 552 too many", "S: 452 4.2.2 mailbox full",
        "C: DATA", "S: 354 go", BODY, "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0 deferred/rcpt/452/4.5.3+many deferred/rcpt/552/5.0.0+many deferred/rcpt/452/4.2.2",
      SESSION_WANTS_CLOSE,
      .rcpts = "b@x c@x d@x e@x" },
    { "552 for the first recipient is about the recipient",
      { PLAIN, MAIL, "S: 250 ok", RCPT, "S: 552 full", "C: QUIT" },
      "failed/rcpt/552/5.0.0",
      SESSION_WANTS_CLOSE },
    { "the message refused after its end",
      { TO_DOT, "S: 554 5.7.1 spam", "C: QUIT" },
      "failed/data/554/5.7.1",
      SESSION_WANTS_CLOSE },
    { "DATA refused",
      { TO_DATA, "S: 451 4.3.0 later", "C: QUIT" },
      "deferred/data/451/4.3.0",
      SESSION_WANTS_CLOSE },
    { "two mails on one connection",
      { TO_DOT, "S: 250 ok", MAIL, "S: 250 ok", RCPT, "S: 250 ok", "C: DATA", "S: 354 go", BODY, "S: 250 ok",
        "C: QUIT" },
      "sent/data/250/2.0.0 sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .mails = 2 },
    { "RSET between, after a transaction that did not end",
      { PLAIN, MAIL, "S: 250 ok", RCPT, "S: 450 no", "C: RSET", "S: 250 ok", MAIL, "S: 250 ok", RCPT,
        "S: 250 ok", "C: DATA", "S: 354 go", BODY, "S: 250 ok", "C: QUIT" },
      "deferred/rcpt/450/4.0.0 sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .mails = 2 },
    { "RSET refused",
      { PIPELINE, MAIL, RCPT, "S: 250 ok", "S: 450 no", "C: RSET", MAIL, RCPT, "S: 500 what?" },
      "deferred/rcpt/450/4.0.0 deferred/mail/0/4.5.0",
      SESSION_WANTS_CLOSE,
      .mails = 2 },
    { "enough mails for this connection",
      { TO_DOT, "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .mails = 2,
      .mails_max = 1 },
    { "dots",
      { TO_DATA, "S: 354 go", "C: ..", "C: ...", "C: a.", "C: .", "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .body = ".\r\n..\r\na.\r\n",
      .piece = 1 },
    { "an empty body",
      { TO_DATA, "S: 354 go", "C: .", "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .body = "" },
    { "a 251 is as good as a 250",
      { PLAIN, MAIL, "S: 250 ok", RCPT, "S: 251 will forward", "C: DATA", "S: 354 go", BODY, "S: 250 ok",
        "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE },

    /* refused before any mail */
    { "a banner that refuses is never a bounce",
      { "S: 554-mx", "S: 554 5.7.1 you are listed" },
      "deferred/banner/554/5.7.1",
      SESSION_WANTS_CLOSE },
    { "a host that takes no mail (RFC 7504)",
      { "S: 521 no mail here" },
      "failed/banner/521/5.0.0",
      SESSION_WANTS_CLOSE },
    { "421 banner", { "S: 421 4.7.0 later" }, "deferred/banner/421/4.7.0", SESSION_WANTS_CLOSE },
    { "EHLO refused for what we are",
      { HELLO, "S: 550 5.7.1 go away" },
      "deferred/helo/550/5.7.1",
      SESSION_WANTS_CLOSE },
    { "HELO refused too",
      { HELLO, "S: 500 what?", "C: HELO edge1.example.com", "S: 550 5.7.1 no" },
      "deferred/helo/550/5.7.1",
      SESSION_WANTS_CLOSE },
    { "mail loops back",
      { HELLO, "S: 250 edge1.example.com hello" },
      "deferred/helo/0/4.4.6",
      SESSION_WANTS_CLOSE },
    { "closed before the banner", { "! lost" }, "deferred/banner/0/4.4.2", SESSION_WANTS_RESET },
    { "no banner in time", { "! wait" }, "deferred/banner/0/4.4.2", SESSION_WANTS_RESET },
    { "a web server", { "S: HTTP/1.1 400 Bad Request" }, "deferred/banner/0/4.5.0", SESSION_WANTS_RESET },

    /* TLS */
    { "TLS when offered, and everything is asked again",
      { HELLO, "S: 250-mx", "S: 250-CHUNKING", "S: 250 STARTTLS", "C: STARTTLS", "S: 220 go",
        "C: EHLO edge1.example.com", "S: 250 mx", MAIL, "S: 250 ok", RCPT, "S: 250 ok", "C: DATA",
        "S: 354 go", BODY, "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0+tls",
      SESSION_WANTS_CLOSE,
      .tls = SESSION_TLS_MAY },
    { "TLS not wanted",
      { HELLO, "S: 250-mx", "S: 250 STARTTLS", MAIL, "S: 550 no", "C: QUIT" },
      "failed/mail/550/5.0.0",
      SESSION_WANTS_CLOSE,
      .tls = SESSION_TLS_OFF },
    { "TLS offered, then refused: in clear, when it may",
      { HELLO, "S: 250-mx", "S: 250 STARTTLS", "C: STARTTLS", "S: 454 4.7.0 no entropy", MAIL, "S: 550 no",
        "C: QUIT" },
      "failed/mail/550/5.0.0",
      SESSION_WANTS_CLOSE,
      .tls = SESSION_TLS_MAY },
    { "TLS offered, then refused: not at all, when it must",
      { HELLO, "S: 250-mx", "S: 250 STARTTLS", "C: STARTTLS", "S: 554 5.7.0 no" },
      "deferred/tls/554/5.7.0",
      SESSION_WANTS_CLOSE,
      .tls = SESSION_TLS_ENCRYPT },
    { "TLS required and not offered",
      { PLAIN },
      "deferred/helo/0/4.7.4",
      SESSION_WANTS_CLOSE,
      .tls = SESSION_TLS_ENCRYPT },
    { "TLS required, and the peer knows HELO only",
      { HELLO, "S: 500 what?", "C: HELO edge1.example.com", "S: 250 mx" },
      "deferred/helo/0/4.7.4",
      SESSION_WANTS_CLOSE,
      .tls = SESSION_TLS_ENCRYPT },
    { "the handshake fails",
      { HELLO, "S: 250-mx", "S: 250 STARTTLS", "C: STARTTLS", "S: 220 go" },
      "deferred/tls/0/4.7.5",
      SESSION_WANTS_RESET,
      .tls = SESSION_TLS_MAY,
      .handshake = ERR_MALFORMED },

    /* extensions */
    { "SIZE, BODY, SMTPUTF8 and DSN to a peer that knows them",
      { HELLO, "S: 250-mx", "S: 250-SIZE 1000", "S: 250-8BITMIME", "S: 250-SMTPUTF8", "S: 250 DSN",
        "C: MAIL FROM:<a@example.com> SIZE=20 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e1", "S: 250 ok",
        "C: RCPT TO:<b@example.net> NOTIFY=SUCCESS", "S: 250 ok", "C: DATA", "S: 354 go", BODY, "S: 250 ok",
        "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .mail = { .size_bytes = 20,
                .body_8bit = true,
                .smtputf8 = true,
                .ret = RELAY_RET_HDRS,
                .envid = SLICE_INIT("e1") } },
    { "success is to be reported, and the peer knows no DSN",
      { TO_DOT, "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0+relayed",
      SESSION_WANTS_CLOSE,
      .mail = { .ret = RELAY_RET_FULL } },
    { "an 8-bit body for a 7-bit peer fails",
      { PLAIN, "C: QUIT" },
      "failed/mail/0/5.6.3",
      SESSION_WANTS_CLOSE,
      .mail = { .body_8bit = true } },
    { "or goes as it is, by option",
      { TO_DOT, "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .mail = { .body_8bit = true },
      .eightbit_anyway = true },
    { "a report goes as it is: nobody would hear of its refusal",
      { HELLO, "S: 250 mx", "C: MAIL FROM:<>", "S: 250 ok", "C: RCPT TO:<b@example.net>", "S: 250 ok",
        "C: DATA", "S: 354 go", BODY, "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .mail = { .body_8bit = true, .smtputf8 = true },
      .report = true },
    { "but not to an address that the peer cannot read",
      { PLAIN, "C: QUIT" },
      "failed/mail/0/5.6.7",
      SESSION_WANTS_CLOSE,
      .mail = { .smtputf8 = true },
      .rcpts = "gr\xc3\xbc\xc3\x9f"
               "e@example.net",
      .report = true },
    { "no SMTPUTF8",
      { PLAIN, "C: QUIT" },
      "failed/mail/0/5.6.7",
      SESSION_WANTS_CLOSE,
      .mail = { .smtputf8 = true } },
    { "too large for it",
      { HELLO, "S: 250-mx", "S: 250 SIZE 19", "C: QUIT" },
      "failed/mail/0/5.3.4",
      SESSION_WANTS_CLOSE,
      .mail = { .size_bytes = 20 } },
    { "SIZE 0 is no limit",
      { HELLO, "S: 250-mx", "S: 250 SIZE 0", "C: MAIL FROM:<a@example.com> SIZE=20", "S: 452 full",
        "C: QUIT" },
      "deferred/mail/452/4.0.0",
      SESSION_WANTS_CLOSE,
      .mail = { .size_bytes = 20 } },
    { "an address that would be a command",
      { PLAIN, MAIL, "S: 250 ok", "C: RCPT TO:<c@x>", "S: 550 no", "C: QUIT" },
      "failed/mail/0/5.1.3 failed/rcpt/550/5.0.0",
      SESSION_WANTS_CLOSE,
      .rcpts = "b\r\nDATA@x c@x" },

    /* BDAT */
    { "a small message in one BDAT",
      { HELLO, "S: 250-mx", "S: 250-PIPELINING", "S: 250 CHUNKING", MAIL, RCPT, "S: 250 ok", "S: 250 ok",
        "C: BDAT 6 LAST", "C: a", "C: .", "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .body = "a\r\n.\r\n" },
    { "pieces; the last one waits for the answers to the others",
      { HELLO,
        "S: 250-mx",
        "S: 250-PIPELINING",
        "S: 250 CHUNKING",
        MAIL,
        RCPT,
        "S: 250 ok",
        "S: 250 ok",
        "C: BDAT 2",
        "C: ",
        "C: BDAT 2",
        "C: ",
        "C: BDAT 2",
        "C: ",
        "S: 250 ok",
        "S: 250 ok",
        "S: 250 ok",
        "C: BDAT 2 LAST",
        "C: ",
        "S: 250 ok",
        "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .body = "\r\n\r\n\r\n\r\n",
      .piece = 2 },
    { "pieces without pipelining: one at a time",
      { HELLO, "S: 250-mx", "S: 250 CHUNKING", MAIL, "S: 250 ok", RCPT, "S: 250 ok", "C: BDAT 2", "C: ",
        "S: 250 ok", "C: BDAT 2", "C: ", "S: 250 ok", "C: BDAT 2 LAST", "C: ", "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .body = "\r\n\r\n\r\n",
      .piece = 2 },
    { "a piece refused",
      { HELLO, "S: 250-mx", "S: 250 CHUNKING", MAIL, "S: 250 ok", RCPT, "S: 250 ok", "C: BDAT 2",
        "C: ", "S: 552 5.3.4 full" },
      "failed/data/552/5.3.4",
      SESSION_WANTS_RESET,
      .body = "\r\n\r\n\r\n",
      .piece = 2 },
    { "DATA where BDAT is not trusted",
      { HELLO, "S: 250-mx", "S: 250 CHUNKING", MAIL, "S: 250 ok", RCPT, "S: 250 ok", "C: DATA", "S: 354 go",
        BODY, "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .no_chunking = true },

    /* the gate: question 1 is before MAIL, 2 before the end */
    { "gate closed before MAIL", { PLAIN }, "deferred/mail/0/4.3.2+gate", SESSION_WANTS_RESET, .gate = 1 },
    { "gate closed before the dot",
      { TO_DATA, "S: 354 go", "C: Subject: x", "C: ", "C: hi" },
      "deferred/data/0/4.3.2+gate",
      SESSION_WANTS_RESET,
      .gate = 2 },
    { "gate closed before BDAT LAST",
      { HELLO, "S: 250-mx", "S: 250 CHUNKING", MAIL, "S: 250 ok", RCPT, "S: 250 ok" },
      "deferred/data/0/4.3.2+gate",
      SESSION_WANTS_RESET,
      .gate = 2 },
    { "gate closed before the second mail",
      { TO_DOT, "S: 250 ok" },
      "sent/data/250/2.0.0 deferred/mail/0/4.3.2+gate",
      SESSION_WANTS_RESET,
      .gate = 3,
      .mails = 2 },
    { "what is not gated does not ask",
      { TO_DOT, "S: 250 ok", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE,
      .gate = -1 },
    { "fenced while waiting for MAIL's reply",
      { PLAIN, MAIL, "! abort" },
      "deferred/mail/0/4.3.2+gate",
      SESSION_WANTS_RESET },
    { "fenced while waiting for RCPT's reply",
      { PLAIN, MAIL, "S: 250 ok", RCPT, "! abort" },
      "deferred/rcpt/0/4.3.2+gate",
      SESSION_WANTS_RESET },
    { "fenced while waiting for 354",
      { TO_DATA, "! abort" },
      "deferred/data/0/4.3.2+gate",
      SESSION_WANTS_RESET },
    { "fenced after the dot: its reply still counts",
      { TO_DOT, "! past the dot", "S: 250 2.0.0 took it", "C: QUIT" },
      "sent/data/250/2.0.0",
      SESSION_WANTS_CLOSE },

    /* peers that misbehave */
    { "2xx to everything: no message was asked for",
      { TO_DATA, "S: 250 ok" },
      "deferred/data/0/4.5.0",
      SESSION_WANTS_RESET },
    { "stalls at MAIL", { PLAIN, MAIL, "! wait" }, "deferred/mail/0/4.4.2", SESSION_WANTS_RESET },
    { "stalls at RCPT",
      { PLAIN, MAIL, "S: 250 ok", RCPT, "! wait" },
      "deferred/rcpt/0/4.4.2",
      SESSION_WANTS_RESET },
    { "stalls after the dot: perhaps it took it",
      { TO_DOT, "! wait" },
      "deferred/data/0/4.4.2+maybe",
      SESSION_WANTS_RESET },
    { "drops after the dot: perhaps it took it",
      { TO_DOT, "! lost" },
      "deferred/data/0/4.4.2+maybe",
      SESSION_WANTS_RESET },
    { "nonsense after the dot: perhaps it took it",
      { TO_DOT, "S: fine" },
      "deferred/data/0/4.5.0+maybe",
      SESSION_WANTS_RESET },
    { "354 after the dot: perhaps it took it",
      { TO_DOT, "S: 354 go on" },
      "deferred/data/354/4.0.0+maybe",
      SESSION_WANTS_RESET },
    { "421 after the dot: it did not take it",
      { TO_DOT, "S: 421 4.3.2 bye" },
      "deferred/data/421/4.3.2",
      SESSION_WANTS_CLOSE },
    { "reset in the middle of the envelope",
      { PIPELINE, MAIL, "C: RCPT TO:<b@x>", "C: RCPT TO:<c@x>", "S: 250 ok", "S: 550 5.1.1 no", "! reset" },
      "failed/rcpt/550/5.1.1 deferred/rcpt/0/4.4.2",
      SESSION_WANTS_RESET,
      .rcpts = "b@x c@x" },
    { "421 in pipelining: what was accepted is for later too",
      { PIPELINE, MAIL, "C: RCPT TO:<b@x>", "C: RCPT TO:<c@x>", "S: 250 ok", "S: 250 ok",
        "S: 421 4.7.0 bye" },
      "deferred/rcpt/421/4.7.0 deferred/rcpt/421/4.7.0",
      SESSION_WANTS_CLOSE,
      .rcpts = "b@x c@x" },
    { "354 to MAIL means nothing",
      { PLAIN, MAIL, "S: 354 what", "C: QUIT" },
      "deferred/mail/354/4.0.0",
      SESSION_WANTS_CLOSE },
    { "mixed codes",
      { PLAIN, MAIL, "S: 250-ok", "S: 550 no" },
      "deferred/mail/0/4.5.0",
      SESSION_WANTS_RESET },
};

TEST(dialogues_end_as_they_should_however_the_bytes_are_cut)
{
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        run_script(&scripts[i], 4096);
        run_script(&scripts[i], 1);
        run_script(&scripts[i], 7);
    }
}

/* With CHUNKING nothing between RCPT and the message's end would show that the peer is one reply ahead. */
TEST(a_yes_that_came_before_its_question_is_never_taken_for_a_yes_to_the_message)
{
    struct script sc = { "ahead", { 0 }, "", SESSION_WANTS_RESET };
    const char *ahead[] = { "250 ok\r\n250 ok\r\n", "250 ok\r\n250 ok\r\n250 ok\r\n",
                            "250-a\r\n250 ok\r\n354 go\r\n250 queued\r\n" };
    for (size_t i = 0; i < ARRAY_LEN(ahead); i++) {
        struct world w;
        setup(&w, &sc);
        do_what_it_wants(&w);
        session_bytes(&w.s, SLICE("220 mx\r\n"), 1);
        session_bytes(&w.s, SLICE("250-mx\r\n250 CHUNKING\r\n"), 1);
        do_what_it_wants(&w);
        session_bytes(&w.s, slice_of(ahead[i]), 1);
        do_what_it_wants(&w);
        assert_slice(buf_slice(&w.report), "deferred/rcpt/0/4.5.0");
        assert_int_equal(w.s.want, SESSION_WANTS_RESET);
        teardown(&w);
    }
}

TEST(two_answers_behind_a_message_may_both_belong_to_something_else)
{
    struct script sc = { "behind", { 0 }, "", SESSION_WANTS_RESET };
    static const struct {
        const char *said, *want;
    } rows[] = { { "250 ok\r\n250 ok\r\n", "deferred/data/0/4.5.0+maybe" },
                 { "250 ok\r\n221 bye\r\n", "sent/data/250/2.0.0" },
                 { "250 ok\r\n421 bye\r\n", "sent/data/250/2.0.0" },
                 { "250 ok\r\n\r\n", "sent/data/250/2.0.0" } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        setup(&w, &sc);
        do_what_it_wants(&w);
        session_bytes(&w.s, SLICE("220 mx\r\n"), 1);
        session_bytes(&w.s, SLICE("250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n"), 1);
        do_what_it_wants(&w);
        session_bytes(&w.s, SLICE("250 ok\r\n250 ok\r\n"), 1);
        do_what_it_wants(&w);
        session_bytes(&w.s, slice_of(rows[i].said), 1);
        do_what_it_wants(&w);
        assert_slice(buf_slice(&w.report), rows[i].want);
        teardown(&w);
    }
}

TEST(clear_text_behind_the_answer_to_starttls_is_an_attack)
{
    struct script sc = { "injection", { 0 }, "", SESSION_WANTS_RESET, .tls = SESSION_TLS_MAY };
    struct world w;
    setup(&w, &sc);
    session_bytes(&w.s, SLICE("220 mx\r\n"), 1);
    session_bytes(&w.s, SLICE("250-mx\r\n250 STARTTLS\r\n"), 1);
    session_bytes(&w.s, SLICE("220 go\r\n250 PIPELINING\r\n"), 1);
    assert_true(w.s.tls_refused && !w.s.tls);
    assert_int_equal(w.s.failure.stage, RELAY_TLS);
    assert_int_equal(w.s.want, SESSION_WANTS_RESET);
    teardown(&w);
}

TEST(a_long_message_is_flushed_before_the_gate_is_asked)
{
    size_t n = 200 * 1000;
    char *body = xzalloc(n + 1);
    for (size_t i = 0; i < n; i += 100) snprintf(body + i, 101, "%098zu\r\n", i);
    struct script sc = { "long", { 0 }, "", 0, .body = body };
    struct world w;
    setup(&w, &sc);
    session_bytes(&w.s, SLICE("220 mx\r\n"), 1);
    session_bytes(&w.s, SLICE("250 mx\r\n"), 1);
    session_begin(&w.s, &w.mail, 1);
    session_bytes(&w.s, SLICE("250 ok\r\n"), 1);
    session_bytes(&w.s, SLICE("250 ok\r\n"), 1);
    session_bytes(&w.s, SLICE("354 go\r\n"), 1);
    buf_clear(&w.s.out);
    next_piece(&w);
    assert_int_equal(w.s.want, SESSION_WANTS_FLUSH);
    assert_int_equal(w.asked, 1);
    assert_slices(buf_slice(&w.s.out), slice_of(body));
    buf_clear(&w.s.out);
    assert_false(session_past_dot(&w.s));
    session_flushed(&w.s, 2);
    assert_int_equal(w.asked, 2);
    assert_slice(buf_slice(&w.s.out), ".\r\n");
    assert_true(session_past_dot(&w.s));
    teardown(&w);
    free(body);
}

TEST(the_time_for_a_reply_is_not_restarted_by_single_bytes)
{
    struct script sc = { "drip", { 0 }, "", 0 };
    struct world w;
    setup(&w, &sc);
    uint64_t due = w.s.due_ms;
    session_bytes(&w.s, SLICE("220-drip\r\n22"), due - 1);
    assert_int_equal(w.s.due_ms, due);
    session_expire(&w.s, due);
    assert_int_equal(w.s.want, SESSION_WANTS_RESET);
    teardown(&w);
}

TEST(an_idle_connection_that_the_peer_ends_harms_nothing)
{
    struct script sc = { "idle", { 0 }, "", 0 };
    struct world w;
    setup(&w, &sc);
    session_bytes(&w.s, SLICE("220 mx\r\n"), 1);
    session_bytes(&w.s, SLICE("250 mx\r\n"), 1);
    assert_int_equal(w.s.want, SESSION_WANTS_MAIL);
    session_bytes(&w.s, SLICE("421 4.4.2 idle too long\r\n"), 1);
    assert_int_equal(w.s.want, SESSION_WANTS_CLOSE);
    assert_int_equal(w.s.failure.verdict, RELAY_PENDING);
    assert_null(session_done(&w.s));
    teardown(&w);
}
