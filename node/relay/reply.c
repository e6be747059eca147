#include "node/relay/reply.h"

void reply_init(struct reply *r)
{
    *r = (struct reply){ 0 };
    buf_init(&r->text, REPLY_TEXT_BYTES_MAX);
}

void reply_deinit(struct reply *r)
{
    buf_deinit(&r->text);
}

void reply_reset(struct reply *r)
{
    struct buf text = r->text;
    buf_clear(&text);
    *r = (struct reply){ .text = text };
}

static void keep(struct reply *r, char c)
{
    if (r->in_line >= REPLY_LINE_BYTES_MAX || buf_append_c(&r->text, c))
        r->cut = true;
    else
        r->in_line++;
}

/* The first four bytes of a line: three digits, and '-' when more lines follow. */
static enum err head_byte(struct reply *r, char c)
{
    if (r->at < 3) {
        if (!ascii_is_digit(c)) return ERR_MALFORMED;
        r->now = (uint16_t)(r->now * 10 + (c - '0'));
        if (r->at++ < 2) return ERR_OK;
        if (r->now < 200 || r->now > 599) return ERR_MALFORMED;
        if (r->lines && r->now != r->code) return ERR_MALFORMED;
        r->code = r->now;
        r->last = true; /* until a '-' says otherwise: "250" alone is a reply */
        return ERR_OK;
    }
    r->at++;
    r->last = c != '-';
    return c == ' ' || c == '-' ? ERR_OK : ERR_MALFORMED;
}

/* The line is complete: its enhanced code, and the state for the next one. */
static enum err end_line(struct reply *r)
{
    if (r->at < 3) return ERR_MALFORMED;
    if (!r->enhanced.class && r->line_from + 4 < buf_len(&r->text)) {
        struct enhanced e = refusal_enhanced(slice_skip(buf_slice(&r->text), r->line_from + 4));
        if (e.class == r->code / 100) r->enhanced = e;
    }
    r->lines++;
    r->at = 0;
    r->now = 0;
    r->in_line = 0;
    r->cr = false;
    return ERR_OK;
}

static enum err one_byte(struct reply *r, char c)
{
    if (c == '\n') return end_line(r);
    if (r->at == 0 && r->now == 0 && r->in_line == 0) {
        if (r->lines && buf_append_c(&r->text, '\n')) r->cut = true;
        r->line_from = buf_len(&r->text);
    }
    if (r->cr) { /* a CR that ended no line is text */
        r->cr = false;
        if (r->at < 3) return ERR_MALFORMED;
        keep(r, '\r');
    }
    if (c == '\r') {
        r->cr = true;
        return ERR_OK;
    }
    enum err err = r->at < 4 ? head_byte(r, c) : ERR_OK;
    if (!err) keep(r, c ? c : '?'); /* a NUL would end texts further on */
    return err;
}

enum err reply_feed(struct reply *r, struct slice *in)
{
    while (in->n) {
        char c = in->p[0];
        *in = slice_skip(*in, 1);
        if (++r->bytes > REPLY_BYTES_MAX) return ERR_MALFORMED;
        enum err err = one_byte(r, c);
        if (err) return err;
        if (c == '\n' && r->last) return ERR_OK;
    }
    return ERR_RETRY;
}
