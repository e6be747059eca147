#include "tests/node/smtp/talk.h"

static void step(struct talk *t, const struct smtp_event *ev);

static void keep_message(struct talk *t)
{
    buf_putf(&t->stored, "from=<%.*s>", SLICE_ARG(t->s.mail.sender.whole));
    for (size_t i = 0; i < t->s.n_rcpts; i++)
        buf_putf(&t->stored, " to=<%.*s>", SLICE_ARG(t->s.rcpts[i].rcpt.to.whole));
    buf_put(&t->stored, SLICE("\n"));
    buf_put(&t->stored, buf_slice(&t->body));
    buf_put(&t->stored, SLICE("\n--\n"));
}

static void answer(struct talk *t, enum smtp_stage stage)
{
    struct smtp_event ev = { .kind = SMTP_EV_VERDICT };
    ev.verdict.reply = t->refuse_at[stage];
    bool foreign = stage == SMTP_AT_RCPT && t->foreign.n && slice_iends(t->s.rcpt.to.whole, t->foreign);
    ev.verdict.decision = ev.verdict.reply || foreign ? SMTP_REFUSE : SMTP_ACCEPT;
    t->judged[stage]++;
    if (stage == SMTP_AT_DATA && ev.verdict.decision == SMTP_ACCEPT) {
        ASSERT(!t->open && t->s.n_rcpts > 0);
        t->open = true;
        buf_clear(&t->body);
    }
    if (stage == SMTP_AT_END) {
        ASSERT(t->open);
        ASSERT(buf_len(&t->body) == t->s.data.bytes && !t->s.data.fault);
        if (ev.verdict.decision == SMTP_ACCEPT) keep_message(t);
        ev.verdict.detail = SLICE("ID");
        t->open = false;
    }
    step(t, &ev);
}

static void obey(struct talk *t, const struct smtp_out *out)
{
    struct smtp_event ev = { 0 };
    t->want = out->want;
    if (out->dropped) {
        ASSERT(t->open);
        t->open = false;
    }
    switch (out->want) {
    case SMTP_WANT_INPUT: break;
    case SMTP_WANT_BODY:
        ASSERT(t->open && out->body.n);
        buf_put(&t->body, out->body);
        break;
    case SMTP_WANT_JUDGE:
        t->stage = out->stage;
        if (!t->slow) answer(t, out->stage);
        break;
    case SMTP_WANT_PAUSE:
        t->paused_ms += out->pause_ms;
        ev.kind = SMTP_EV_PAUSED;
        step(t, &ev);
        break;
    case SMTP_WANT_TLS:
        buf_clear(&t->pending);
        ev.kind = SMTP_EV_TLS;
        ev.tls_ok = true;
        step(t, &ev);
        break;
    case SMTP_WANT_CLOSE:
        ASSERT(!t->open);
        t->closed = true;
        break;
    }
}

static void step(struct talk *t, const struct smtp_event *ev)
{
    struct smtp_out out = { .replies = &t->said };
    smtp_session_step(&t->s, ev, &out);
    if (ev->kind == SMTP_EV_INPUT) {
        ASSERT(out.used <= ev->input.n);
        if (out.want != SMTP_WANT_BODY) buf_consume(&t->pending, out.used);
    }
    obey(t, &out);
    if (ev->kind == SMTP_EV_INPUT && out.want == SMTP_WANT_BODY) buf_consume(&t->pending, out.used);
}

static void run(struct talk *t)
{
    bool again = buf_len(&t->pending) > 0;
    while (!t->closed && again && (t->want == SMTP_WANT_INPUT || t->want == SMTP_WANT_BODY)) {
        struct smtp_event ev = { .kind = SMTP_EV_INPUT, .input = buf_slice(&t->pending) };
        step(t, &ev);
        again = buf_len(&t->pending) > 0 || t->want == SMTP_WANT_BODY;
    }
}

void talk_send(struct talk *t, struct slice bytes)
{
    if (t->closed) return;
    buf_put(&t->pending, bytes);
    run(t);
}

void talk_answer(struct talk *t)
{
    ASSERT(t->want == SMTP_WANT_JUDGE);
    answer(t, t->stage);
    run(t);
}

void talk_verdict(struct talk *t, const struct smtp_verdict *v)
{
    struct smtp_event ev = { .kind = SMTP_EV_VERDICT, .verdict = *v };
    ASSERT(t->want == SMTP_WANT_JUDGE);
    if (t->stage == SMTP_AT_END) t->open = false;
    step(t, &ev);
    run(t);
}

void talk_event(struct talk *t, enum smtp_event_kind kind)
{
    struct smtp_event ev = { .kind = kind };
    step(t, &ev);
}

void talk_init_with(struct talk *t, const struct smtp_session_conf *conf)
{
    *t = (struct talk){ .conf = *conf };
    buf_init(&t->said, MIB(8));
    buf_init(&t->stored, MIB(64));
    buf_init(&t->body, MIB(64));
    buf_init(&t->pending, MIB(64));
    smtp_session_init(&t->s, &t->conf, NULL, "s1");
    talk_event(t, SMTP_EV_CONNECT);
}

void talk_init(struct talk *t)
{
    struct smtp_session_conf c = { .hostname = SLICE("mx.example.com"),
                                   .domain = SLICE("example.com"),
                                   .tls_offered = true,
                                   .auth_offered = true };
    smtp_session_conf_defaults(&c);
    c.size_max = 1000;
    talk_init_with(t, &c);
}

void talk_deinit(struct talk *t)
{
    smtp_session_deinit(&t->s);
    buf_deinit(&t->said);
    buf_deinit(&t->stored);
    buf_deinit(&t->body);
    buf_deinit(&t->pending);
}
