#include "node/smtp/reply.h"

static const struct reply_row {
    int code;
    struct slice status, text;
} rows[] = {
#define REPLY_ROW(name, code, status, text) \
    [SMTP_REPLY_##name] = { code, SLICE_INIT(status), SLICE_INIT(text) },
    SMTP_REPLY_MAP(REPLY_ROW)
#undef REPLY_ROW
};
_Static_assert(ARRAY_LEN(rows) == SMTP_REPLY_COUNT, "one row per reply");

int smtp_reply_code(enum smtp_reply r)
{
    ASSERT(r > SMTP_REPLY_NONE && r < SMTP_REPLY_COUNT);
    return rows[r].code;
}

const char *smtp_reply_text(enum smtp_reply r)
{
    ASSERT(r > SMTP_REPLY_NONE && r < SMTP_REPLY_COUNT);
    return rows[r].text.p; /* a literal */
}

/* What comes from the peer or from configuration must not end our line or leave ASCII. */
static void put_clean(struct buf *out, struct slice s, size_t room)
{
    s = slice_sub(s, 0, room);
    for (size_t i = 0; i < s.n; i++) {
        bool plain = s.p[i] >= ' ' && s.p[i] < 0x7f;
        buf_put(out, plain ? slice_sub(s, i, 1) : SLICE("?"));
    }
}

void smtp_reply_put(struct buf *out, enum smtp_reply r, struct slice detail)
{
    ASSERT(r > SMTP_REPLY_NONE && r < SMTP_REPLY_COUNT);
    const struct reply_row *row = &rows[r];
    size_t from = buf_len(out);
    buf_putf(out, "%d ", row->code);
    if (row->status.n) buf_putf(out, "%.*s ", SLICE_ARG(row->status));
    buf_put(out, row->text);
    put_clean(out, detail, SMTP_REPLY_LINE_MAX - 2 - (buf_len(out) - from));
    buf_put(out, SLICE("\r\n"));
}

void smtp_reply_put_text(struct buf *out, int code, struct slice text)
{
    ASSERT(code >= 200 && code <= 599);
    buf_putf(out, "%d ", code);
    put_clean(out, text, SMTP_REPLY_LINE_MAX - 6);
    buf_put(out, SLICE("\r\n"));
}
