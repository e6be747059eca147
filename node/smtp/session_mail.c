/* From MAIL to the end of the message. */
#include <stdio.h>

#include "node/smtp/session_inside.h"

/* ---- the envelope ---- */

static struct smtp_address dup_address(struct arena *a, const struct smtp_address *from)
{
    struct smtp_address to = *from;
    to.whole = arena_dup(a, from->whole);
    to.local = slice_sub(to.whole, 0, from->local.n);
    to.domain = slice_skip(to.whole, from->whole.n - from->domain.n);
    return to;
}

static void refuse_size(struct smtp_session *s, struct smtp_out *out)
{
    char limit[32];
    snprintf(limit, sizeof limit, "%" PRIu64, s->conf->size_max);
    session_refuse(s, out, SMTP_REPLY_TOO_BIG, slice_of(limit));
}

void session_mail(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    struct smtp_mail m;
    enum smtp_reply refused = s->conf->tls_required && !s->tls ? SMTP_REPLY_TLS_REQUIRED
                                                               : smtp_mail_parse(args, &m);
    if (refused) {
        session_refuse(s, out, refused, SLICE(""));
    } else if (m.size > s->conf->size_max) {
        refuse_size(s, out);
    } else {
        s->mail = m;
        s->mail.sender = dup_address(&s->arena, &m.sender);
        s->mail.envid = arena_dup(&s->arena, m.envid);
        session_judge(s, out, SMTP_AT_MAIL);
    }
}

void session_mail_accepted(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    session_move(s, SMTP_SENDER);
    session_reply(s, out, SMTP_REPLY_SENDER_OK, SLICE(""));
}

void session_mail_refused(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    session_refuse_verdict(s, out, v, SMTP_REPLY_REFUSED);
    if (s->state != SMTP_CLOSED) session_drop(s, out);
}

/* RFC 5321 4.5.1: every server has a postmaster, even without a domain. */
static void name_postmaster(struct smtp_session *s, struct smtp_address *to)
{
    if (to->domain.n) return;
    char *whole = arena_printf(&s->arena, "postmaster@%.*s", SLICE_ARG(s->conf->domain));
    to->whole = slice_of(whole);
    to->local = slice_sub(to->whole, 0, sizeof "postmaster" - 1);
    to->domain = slice_skip(to->whole, to->local.n + 1);
}

void session_rcpt(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    struct smtp_rcpt r;
    if (++s->rcpt_commands > 4 * s->conf->rcpts_max) {
        session_close(s, out, SMTP_REPLY_NO_PROGRESS);
        return;
    }
    if (s->n_rcpts >= s->conf->rcpts_max) {
        /* Not an error of the client's: it may send the rest in another transaction (RFC 5321 4.5.3.1.10). */
        session_reply(s, out, SMTP_REPLY_TOO_MANY_RECIPIENTS, SLICE(""));
        return;
    }
    enum smtp_reply refused = smtp_rcpt_parse(args, s->mail.smtputf8, &r);
    if (refused) {
        session_refuse(s, out, refused, SLICE(""));
        return;
    }
    s->rcpt = r;
    s->rcpt.to = dup_address(&s->arena, &r.to);
    s->rcpt.orcpt = arena_dup(&s->arena, r.orcpt);
    name_postmaster(s, &s->rcpt.to);
    session_judge(s, out, SMTP_AT_RCPT);
}

static bool is_known(const struct smtp_session *s, struct slice address)
{
    for (size_t i = 0; i < s->n_rcpts; i++)
        if (slice_eq(s->rcpts[i].rcpt.to.whole, address)) return true;
    return false;
}

static void add_rcpt(struct smtp_session *s, uint8_t tag)
{
    if (s->n_rcpts == s->rcpts_cap) {
        size_t cap = s->rcpts_cap ? 2 * s->rcpts_cap : 4;
        struct smtp_recipient *more = arena_alloc(&s->arena, cap * sizeof *more);
        if (s->n_rcpts) memcpy(more, s->rcpts, s->n_rcpts * sizeof *more);
        s->rcpts = more;
        s->rcpts_cap = cap;
    }
    s->rcpts[s->n_rcpts++] = (struct smtp_recipient){ .rcpt = s->rcpt, .tag = tag };
}

void session_rcpt_accepted(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    if (!is_known(s, s->rcpt.to.whole)) add_rcpt(s, v->tag); /* named twice, delivered once */
    s->rcpt = (struct smtp_rcpt){ 0 };
    session_move(s, SMTP_RCPTS);
    session_reply(s, out, SMTP_REPLY_RECIPIENT_OK, SLICE(""));
}

void session_rcpt_refused(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    session_refuse_verdict(s, out, v, SMTP_REPLY_RELAY_DENIED);
    s->rcpt = (struct smtp_rcpt){ 0 };
}

/* ---- DATA ---- */

void session_data(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    if (slice_trim(args).n) {
        session_refuse(s, out, SMTP_REPLY_BAD_SYNTAX, SLICE(""));
        return;
    }
    s->in_chunks = false;
    session_judge(s, out, SMTP_AT_DATA);
}

void session_data_accepted(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    s->begun = true;
    smtp_data_init(&s->data, s->conf->size_max);
    session_move(s, s->in_chunks ? SMTP_CHUNK : SMTP_TEXT);
    if (!s->in_chunks) session_reply(s, out, SMTP_REPLY_SEND_DATA, SLICE(""));
}

static void swallow(struct smtp_session *s, enum smtp_state after)
{
    s->after_swallow = after;
    session_move(s, SMTP_SWALLOW);
}

void session_data_refused(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    session_refuse_verdict(s, out, v, SMTP_REPLY_LOCAL_ERROR);
    if (s->state != SMTP_CLOSED && s->in_chunks) swallow(s, SMTP_RCPTS);
}

static void give_body(struct smtp_session *s, struct slice run, struct smtp_out *out)
{
    uint64_t before = s->data.bytes - run.n;
    s->progress += s->data.bytes / 512 - before / 512;
    if (s->data.fault && s->begun) {
        s->begun = false; /* what is stored of it can go now; the client hears of it at the end */
        out->dropped = true;
    } else if (s->begun && run.n) {
        out->body = run;
        out->want = SMTP_WANT_BODY;
    }
}

static void refuse_message(struct smtp_session *s, struct smtp_out *out)
{
    enum smtp_reply fault = s->data.fault;
    session_drop(s, out);
    if (fault == SMTP_REPLY_TOO_BIG)
        refuse_size(s, out);
    else
        session_refuse(s, out, fault, SLICE(""));
}

/* A client that goes on and on after it was told (by SIZE) how much we take need not be heard out. */
static bool is_flood(const struct smtp_session *s)
{
    return s->data.bytes > 2 * s->conf->size_max && s->data.bytes > MIB(1);
}

void session_take_text(struct smtp_session *s, struct slice *in, struct smtp_out *out)
{
    struct slice run = smtp_data_take(&s->data, in);
    if (s->data.at != SMTP_DATA_END) {
        give_body(s, run, out);
        if (is_flood(s)) session_close(s, out, SMTP_REPLY_NO_PROGRESS);
    } else if (s->data.fault) {
        refuse_message(s, out);
    } else {
        session_judge(s, out, SMTP_AT_END);
    }
}

/* ---- BDAT ---- */

void session_bdat(struct smtp_session *s, struct slice args, struct smtp_out *out)
{
    struct smtp_bdat b;
    enum smtp_reply refused = smtp_bdat_parse(args, &b);
    if (refused) {
        /* Nobody knows how many bytes follow: what comes next could be read as anything. */
        session_refuse(s, out, refused, SLICE(""));
        if (s->state != SMTP_CLOSED) session_close(s, out, SMTP_REPLY_NONE);
        return;
    }
    s->chunk_left = b.size;
    s->chunk_last = b.last;
    bool in_place = s->state == SMTP_RCPTS || s->state == SMTP_CHUNKS;
    uint64_t so_far = s->state == SMTP_CHUNKS ? s->data.bytes : 0;
    if (b.size > s->conf->size_max || so_far + b.size > s->conf->size_max) {
        session_drop(s, out);
        refuse_size(s, out);
        if (s->state == SMTP_CLOSED) return;
        if (b.size > 2 * s->conf->size_max)
            session_close(s, out, SMTP_REPLY_NONE);
        else
            swallow(s, s->state);
    } else if (!in_place) {
        session_refuse(s, out, SMTP_REPLY_BAD_SEQUENCE, SLICE(""));
        if (s->state != SMTP_CLOSED) swallow(s, s->state);
    } else if (s->state == SMTP_CHUNKS) {
        session_move(s, SMTP_CHUNK);
    } else {
        s->in_chunks = true;
        session_judge(s, out, SMTP_AT_DATA);
    }
}

static void end_chunk(struct smtp_session *s, struct smtp_out *out)
{
    struct slice missing = s->chunk_last && s->data.at != SMTP_DATA_END ? smtp_data_end_chunks(&s->data)
                                                                        : SLICE("");
    if (s->data.fault) {
        refuse_message(s, out);
    } else if (missing.n) {
        give_body(s, missing, out); /* and back here, with nothing missing */
    } else if (s->chunk_last) {
        session_judge(s, out, SMTP_AT_END);
    } else {
        char n[32];
        snprintf(n, sizeof n, "%" PRIu64, s->data.bytes);
        session_move(s, SMTP_CHUNKS);
        session_reply(s, out, SMTP_REPLY_CHUNK_OK, slice_of(n));
    }
}

void session_take_chunk(struct smtp_session *s, struct slice *in, struct smtp_out *out)
{
    if (s->chunk_left == 0 && s->state == SMTP_SWALLOW) {
        session_move(s, s->after_swallow);
    } else if (s->chunk_left == 0) {
        end_chunk(s, out);
    } else {
        struct slice piece = slice_sub(*in, 0, MIN((uint64_t)in->n, s->chunk_left));
        *in = slice_skip(*in, piece.n);
        s->chunk_left -= piece.n;
        if (s->state == SMTP_SWALLOW)
            s->progress += piece.n > 0;
        else
            give_body(s, smtp_data_take_chunk(&s->data, piece), out);
    }
}

/* ---- the end ---- */

static void end_message(struct smtp_session *s, struct smtp_out *out)
{
    s->begun = false; /* the shell has settled it */
    session_drop(s, out);
}

void session_end_accepted(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    s->messages++;
    s->idle_commands = 0;
    log_info(s->log, "smtp.accepted", kv_cstr("sid", s->id), kv_slice("id", v->detail),
             kv_slice("from", s->mail.sender.whole), kv_u64("rcpts", s->n_rcpts),
             kv_u64("bytes", s->data.bytes), kv_cstr("with", smtp_session_protocol(s)));
    session_reply(s, out, v->reply ? v->reply : SMTP_REPLY_QUEUED, v->detail);
    end_message(s, out);
}

void session_end_refused(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out)
{
    s->begun = false;
    session_refuse_verdict(s, out, v, SMTP_REPLY_LOCAL_ERROR);
    if (s->state != SMTP_CLOSED) end_message(s, out);
}
