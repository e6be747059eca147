/* STARTTLS (RFC 3207) and AUTH (RFC 4954). */
#include <stdlib.h>

#include "node/smtp/session_inside.h"

void session_starttls(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    enum smtp_reply refused = !s->conf->tls_offered ? SMTP_REPLY_NOT_IMPLEMENTED
                              : s->tls              ? SMTP_REPLY_BAD_SEQUENCE
                              : slice_trim(args).n  ? SMTP_REPLY_BAD_SYNTAX
                                                    : SMTP_REPLY_NONE;
    if (refused) {
        session_refuse(s, out, refused, SLICE(""));
        return;
    }
    session_reply(s, out, SMTP_REPLY_TLS_READY, SLICE(""));
    session_owe(s, out, SMTP_WANT_TLS); /* which also throws away what came behind the command, in clear */
}

void session_tls_started(struct smtp_session *s, bool ok, struct smtp_out *out)
{
    if (!ok) {
        session_close(s, out, SMTP_REPLY_NONE);
        return;
    }
    /* Nothing said in clear counts any more (RFC 3207 4.2). */
    s->tls = true;
    free(s->helo);
    s->helo = NULL;
    smtp_line_deinit(&s->line);
    session_move(s, SMTP_FRESH);
}

static void end_sasl(struct smtp_session *s, struct smtp_out *out, enum smtp_reply refused)
{
    sasl_deinit(&s->sasl);
    if (s->state == SMTP_SASL) session_move(s, SMTP_READY);
    if (refused) session_refuse(s, out, refused, SLICE(""));
}

static void go_on(struct smtp_session *s, enum sasl_step step, struct slice challenge, struct smtp_out *out)
{
    switch (step) {
    case SASL_CHALLENGE:
        session_move(s, SMTP_SASL);
        session_reply(s, out, SMTP_REPLY_CHALLENGE, challenge);
        break;
    case SASL_READY:
        if (s->state == SMTP_SASL) session_move(s, SMTP_READY);
        session_judge(s, out, SMTP_AT_AUTH);
        break;
    case SASL_CANCELLED: end_sasl(s, out, SMTP_REPLY_AUTH_CANCELLED); break;
    case SASL_MALFORMED: end_sasl(s, out, SMTP_REPLY_AUTH_BAD_RESPONSE); break;
    }
}

void session_auth(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    struct slice name = slice_word(&args), initial = slice_word(&args);
    enum sasl_mechanism m = sasl_mechanism_named(name);
    enum smtp_reply refused = !s->conf->auth_offered ? SMTP_REPLY_NOT_IMPLEMENTED
                              : s->user              ? SMTP_REPLY_BAD_SEQUENCE
                              : !s->tls              ? SMTP_REPLY_AUTH_NEEDS_TLS
                              : slice_trim(args).n   ? SMTP_REPLY_BAD_SYNTAX
                              : !m                   ? SMTP_REPLY_AUTH_UNKNOWN
                                                     : SMTP_REPLY_NONE;
    if (refused) {
        session_refuse(s, out, refused, SLICE(""));
        return;
    }
    struct slice challenge = SLICE("");
    enum sasl_step step = sasl_start(&s->sasl, m, initial, &challenge);
    go_on(s, step, challenge, out);
}

void session_sasl_line(struct smtp_session *s, struct slice line, struct smtp_out *out)
{
    struct slice challenge = SLICE("");
    enum sasl_step step = sasl_feed(&s->sasl, line, &challenge);
    go_on(s, step, challenge, out);
}

void session_auth_accepted(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    s->user = slice_dup(buf_slice(&s->sasl.login));
    log_info(s->log, "smtp.auth", kv_cstr("sid", s->id), kv_cstr("user", s->user),
             kv_cstr("result", "accepted"));
    end_sasl(s, out, SMTP_REPLY_NONE);
    session_reply(s, out, SMTP_REPLY_AUTHENTICATED, SLICE(""));
}

void session_auth_refused(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    log_warn(s->log, "smtp.auth", kv_cstr("sid", s->id), kv_slice("user", buf_slice(&s->sasl.login)),
             kv_cstr("result", "refused"));
    end_sasl(s, out, SMTP_REPLY_NONE);
    session_refuse_verdict(s, out, v, SMTP_REPLY_AUTH_FAILED);
    if (s->state == SMTP_CLOSED) return;
    s->pause_ms = MAX(s->pause_ms, s->conf->auth_pause_ms);
    if (++s->auth_failures >= s->conf->auth_failures_max) session_close(s, out, SMTP_REPLY_TOO_MANY_ERRORS);
}
