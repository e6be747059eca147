#include "node/queue/dsn.h"

#include "node/message/header.h"

enum dsn_action dsn_due(const struct envelope *e, const struct envelope_rcpt *r, bool delayed)
{
    if (e->sender.n == 0 || e->is_dsn || r->notify & NOTIFY_NEVER) return DSN_NOTHING;
    switch (r->state) {
    case RCPT_FAILED:
    case RCPT_EXPIRED: return !r->notify || r->notify & NOTIFY_FAILURE ? DSN_FAILED : DSN_NOTHING;
    case RCPT_RELAYED: return r->notify & NOTIFY_SUCCESS ? DSN_RELAYED : DSN_NOTHING;
    case RCPT_WAITING: return delayed && (!r->notify || r->notify & NOTIFY_DELAY) ? DSN_DELAYED : DSN_NOTHING;
    default: return DSN_NOTHING;
    }
}

static bool any(const struct dsn *d, enum dsn_action action)
{
    for (size_t i = 0; i < d->n_rcpts; i++)
        if (d->rcpts[i].action == action) return true;
    return false;
}

bool dsn_returns_all(const struct dsn *d)
{
    if (d->about->ret == RET_HDRS || d->about->size_bytes > DSN_FULL_BYTES_MAX) return false;
    return any(d, DSN_FAILED); /* RFC 3461 6.2: RET is about failures; other reports carry the header */
}

/* ---- pieces ---- */

/* Text that came from elsewhere stays on its line. */
static void put_line_text(struct slice s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++)
        buf_putf(out, "%c", (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? ' ' : s.p[i]);
}

static void put_date(uint64_t wall_ms, struct buf *out)
{
    char date[HEADER_DATE_MAX];
    buf_put(out, slice_of(header_date(wall_ms, date)));
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* xtext (RFC 3461 4): "+2B" is "+". What does not decode stays as it is. */
static void put_xtext(struct slice s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        int hi = s.p[i] == '+' && i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
        int lo = hi >= 0 ? hex_digit(s.p[i + 2]) : -1;
        char c = s.p[i];
        if (lo >= 0) c = (char)(hi << 4 | lo), i += 2;
        put_line_text(slice_from(&c, 1), out);
    }
}

static const char *subject_of(const struct dsn *d)
{
    if (any(d, DSN_FAILED)) return "Undelivered mail: it could not be delivered";
    if (any(d, DSN_DELAYED)) return "Delayed mail: still being tried";
    return "Mail passed on: no further notification is to be expected";
}

/* ---- the part for people ---- */

static void put_said(const struct envelope_rcpt *r, struct buf *out)
{
    if (r->last_reply.n == 0) return;
    buf_put(out, SLICE("    "));
    if (r->last_mta.n) {
        put_line_text(r->last_mta, out);
        buf_put(out, SLICE(" said: "));
    }
    put_line_text(r->last_reply, out);
    buf_put(out, SLICE("\r\n"));
}

static void put_list(const struct dsn *d, enum dsn_action action, const char *sentence, struct buf *out)
{
    if (!any(d, action)) return;
    buf_putf(out, "%s\r\n\r\n", sentence);
    for (size_t i = 0; i < d->n_rcpts; i++) {
        if (d->rcpts[i].action != action) continue;
        buf_put(out, SLICE("  "));
        put_line_text(d->rcpts[i].rcpt->address, out);
        buf_put(out, SLICE("\r\n"));
        put_said(d->rcpts[i].rcpt, out);
        if (d->rcpts[i].rcpt->state == RCPT_EXPIRED)
            buf_put(out, SLICE("    It was tried until its time was over.\r\n"));
    }
    buf_put(out, SLICE("\r\n"));
}

static void put_human(const struct dsn *d, struct buf *out)
{
    buf_putf(out, "This is the mail gateway %.*s.\r\n\r\n", SLICE_ARG(d->host));
    put_list(
        d, DSN_FAILED,
        "Your message could not be delivered to the following addresses, and will not be tried again:", out);
    put_list(
        d, DSN_DELAYED,
        "Your message has not been delivered to the following addresses yet. You need not send it again:",
        out);
    if (any(d, DSN_DELAYED)) {
        buf_put(out, SLICE("It will be tried until "));
        put_date(d->about->expiry_wall_ms, out);
        buf_put(out, SLICE(".\r\n\r\n"));
    }
    put_list(
        d, DSN_RELAYED,
        "Your message was passed on for the following addresses, to a system that sends no notifications:",
        out);
    buf_putf(out, "If you ask somebody for help, show this whole message. Its number here was %s.\r\n",
             d->about->id.s);
}

/* ---- the part for programs ---- */

static const char *action_word(enum dsn_action a)
{
    static const char *const words[] = { "", "failed", "delayed", "relayed" };
    return words[a];
}

static struct slice status_of(const struct dsn_rcpt *r)
{
    if (r->action == DSN_RELAYED) return SLICE("2.0.0");
    if (r->rcpt->state == RCPT_EXPIRED) return SLICE("4.4.7");
    if (r->rcpt->status.n) return r->rcpt->status;
    return r->action == DSN_DELAYED ? SLICE("4.0.0") : SLICE("5.0.0");
}

static bool is_reply(struct slice s)
{
    return s.n >= 3 && ascii_is_digit(s.p[0]) && ascii_is_digit(s.p[1]) && ascii_is_digit(s.p[2]);
}

static void put_original(struct slice orcpt, struct buf *out)
{
    struct slice type;
    if (orcpt.n == 0 || !slice_cut(&orcpt, ';', &type)) return;
    buf_putf(out, "Original-Recipient: %.*s;", SLICE_ARG(type));
    put_xtext(orcpt, out);
    buf_put(out, SLICE("\r\n"));
}

static void put_group(const struct dsn *d, const struct dsn_rcpt *r, struct buf *out)
{
    struct slice status = status_of(r);
    buf_put(out, SLICE("\r\n"));
    put_original(r->rcpt->orcpt, out);
    buf_put(out, d->about->smtputf8 ? SLICE("Final-Recipient: utf-8;") : SLICE("Final-Recipient: rfc822;"));
    put_line_text(r->rcpt->address, out);
    buf_putf(out, "\r\nAction: %s\r\nStatus: %.*s\r\n", action_word(r->action), SLICE_ARG(status));
    if (r->rcpt->last_mta.n) {
        buf_put(out, SLICE("Remote-MTA: dns;"));
        put_line_text(r->rcpt->last_mta, out);
        buf_put(out, SLICE("\r\n"));
    }
    if (is_reply(r->rcpt->last_reply)) {
        buf_put(out, SLICE("Diagnostic-Code: smtp;"));
        put_line_text(r->rcpt->last_reply, out);
        buf_put(out, SLICE("\r\n"));
    }
    if (r->rcpt->last_try_wall_ms) {
        buf_put(out, SLICE("Last-Attempt-Date: "));
        put_date(r->rcpt->last_try_wall_ms, out);
        buf_put(out, SLICE("\r\n"));
    }
    if (r->action == DSN_DELAYED) {
        buf_put(out, SLICE("Will-Retry-Until: "));
        put_date(d->about->expiry_wall_ms, out);
        buf_put(out, SLICE("\r\n"));
    }
}

static void put_status(const struct dsn *d, struct buf *out)
{
    buf_putf(out, "Reporting-MTA: dns;%.*s\r\n", SLICE_ARG(d->host));
    if (d->about->envid.n) {
        buf_put(out, SLICE("Original-Envelope-Id: "));
        put_xtext(d->about->envid, out);
        buf_put(out, SLICE("\r\n"));
    }
    buf_put(out, SLICE("Arrival-Date: "));
    put_date(d->about->arrival_wall_ms, out);
    buf_put(out, SLICE("\r\n"));
    for (size_t i = 0; i < d->n_rcpts; i++) put_group(d, &d->rcpts[i], out);
}

/* ---- the whole ---- */

static void put_part(const struct dsn *d, const char *type, const char *encoding, struct buf *out)
{
    buf_putf(out, "\r\n--%s\r\nContent-Type: %s\r\n%s\r\n", d->boundary, type, encoding);
}

void dsn_head(const struct dsn *d, struct buf *out)
{
    bool utf8 = d->about->smtputf8;
    const char *eight = "Content-Transfer-Encoding: 8bit\r\n";
    buf_putf(out, "From: Mail Delivery System <MAILER-DAEMON@%.*s>\r\nTo: <", SLICE_ARG(d->host));
    put_line_text(d->about->sender, out);
    buf_putf(out, ">\r\nSubject: %s\r\nDate: ", subject_of(d));
    put_date(d->now_wall_ms, out);
    buf_putf(out, "\r\nMessage-ID: <%s@%.*s>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n",
             d->id.s, SLICE_ARG(d->host));
    buf_putf(out, "Content-Type: multipart/report; report-type=%s;\r\n boundary=\"%s\"\r\n\r\n",
             utf8 ? "global-delivery-status" : "delivery-status", d->boundary);
    buf_put(out, SLICE("This is a delivery status notification (RFC 3464).\r\n"));
    put_part(d, "text/plain; charset=utf-8", eight, out);
    put_human(d, out);
    put_part(d, utf8 ? "message/global-delivery-status" : "message/delivery-status", utf8 ? eight : "", out);
    put_status(d, out);
    if (dsn_returns_all(d))
        put_part(d, utf8 ? "message/global" : "message/rfc822", eight, out);
    else
        put_part(d, utf8 ? "message/global-headers" : "text/rfc822-headers", eight, out);
}

void dsn_tail(const struct dsn *d, struct buf *out)
{
    buf_putf(out, "\r\n--%s--\r\n", d->boundary);
}
