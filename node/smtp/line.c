#include "node/smtp/line.h"

/* How much of `in` belongs to the current line, its LF included; *whole: the line ends there. Marks bare CR and LF. */
static size_t scan(struct smtp_line *l, struct slice in, bool *whole)
{
    *whole = false;
    size_t i = 0;
    while (i < in.n && !*whole) {
        char c = in.p[i++];
        if (l->last_cr && c != '\n') l->bare = true;
        if (c == '\n') {
            *whole = l->last_cr;
            if (!l->last_cr) l->bare = true;
        }
        l->last_cr = c == '\r';
    }
    return i;
}

static enum smtp_line_is verdict(const struct smtp_line *l)
{
    return l->too_long ? SMTP_LINE_TOO_LONG : l->bare ? SMTP_LINE_BARE : SMTP_LINE_READY;
}

static void drop_held(struct smtp_line *l)
{
    if (l->held.p) explicit_bzero(l->held.p, l->held.cap);
    buf_deinit(&l->held);
    buf_init(&l->held, SMTP_LINE_AUTH_MAX);
    l->lent = false;
}

enum smtp_line_is smtp_line_take(struct smtp_line *l, struct slice *in, size_t max, struct slice *line)
{
    ASSERT(max <= SMTP_LINE_AUTH_MAX);
    *line = SLICE("");
    if (l->lent || !l->held.max) drop_held(l);
    bool whole;
    struct slice part = slice_sub(*in, 0, scan(l, *in, &whole));
    *in = slice_skip(*in, part.n);
    bool in_one_piece = whole && buf_len(&l->held) == 0;
    if (buf_len(&l->held) + part.n > max) l->too_long = true;
    if (!l->too_long && !in_one_piece) buf_put(&l->held, part);
    if (!whole) return SMTP_LINE_MORE;
    enum smtp_line_is is = verdict(l);
    if (is != SMTP_LINE_TOO_LONG) {
        *line = in_one_piece ? part : buf_slice(&l->held);
        line->n -= 2;
    }
    l->lent = true;
    l->last_cr = l->bare = l->too_long = false;
    return is;
}

void smtp_line_deinit(struct smtp_line *l)
{
    drop_held(l);
    *l = (struct smtp_line){ 0 };
}
