#include "node/smtp/data.h"

#include "base/buf.h"
#include "tests/test.h"

/* Everything before the end, and what was left behind it. */
static enum smtp_reply text(struct slice in, size_t piece, struct buf *out, struct buf *rest)
{
    struct smtp_data d;
    smtp_data_init(&d, 1000);
    buf_clear(out);
    buf_clear(rest);
    while (in.n) {
        struct slice part = slice_sub(in, 0, piece);
        in = slice_skip(in, piece);
        while (part.n && d.at != SMTP_DATA_END) buf_put(out, smtp_data_take(&d, &part));
        buf_put(rest, part);
    }
    if (!d.fault) assert_int_equal(d.bytes, buf_len(out));
    assert_true(d.at == SMTP_DATA_END || buf_len(rest) == 0);
    return d.fault;
}

TEST(the_text_ends_at_its_dot_however_it_is_cut)
{
    static const struct {
        const char *in, *out, *rest;
        enum smtp_reply fault;
    } cases[] = {
        { ".\r\nX", "", "X", SMTP_REPLY_NONE },
        { "a\r\n.\r\nX", "a\r\n", "X", SMTP_REPLY_NONE },
        { "a\r\n..\r\n.\r\n", "a\r\n.\r\n", "", SMTP_REPLY_NONE },
        { "..\r\n.\r\n", ".\r\n", "", SMTP_REPLY_NONE },
        { ".a\r\n.\r\n", "a\r\n", "", SMTP_REPLY_NONE },
        { "a.\r\n.\r\n", "a.\r\n", "", SMTP_REPLY_NONE },
        { "\r\n\r\n.\r\n", "\r\n\r\n", "", SMTP_REPLY_NONE },
        { "a\r\n.", "a\r\n", "", SMTP_REPLY_NONE },
        { "a\n.\n\r\n.\r\nX", NULL, "X", SMTP_REPLY_BARE_NEWLINE_IN_DATA },
        { "a\r.\r\n\r\n.\r\nX", NULL, "X", SMTP_REPLY_BARE_NEWLINE_IN_DATA },
        { "a\r\n.\n\r\n.\r\nX", NULL, "X", SMTP_REPLY_BARE_NEWLINE_IN_DATA },
        { "a\r\n.\ra\r\n.\r\nX", NULL, "X", SMTP_REPLY_BARE_NEWLINE_IN_DATA },
        { "a\r\n.\r\r\n.\r\nX", NULL, "X", SMTP_REPLY_BARE_NEWLINE_IN_DATA },
        { "a\r\r\n.\r\nX", NULL, "X", SMTP_REPLY_BARE_NEWLINE_IN_DATA },
        { "\n.\r\n\r\n.\r\nX", NULL, "X", SMTP_REPLY_BARE_NEWLINE_IN_DATA },
    };
    struct buf out, rest;
    buf_init(&out, 1000);
    buf_init(&rest, 1000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t piece = 1; piece <= strlen(cases[i].in); piece++) {
            assert_int_equal(text(slice_of(cases[i].in), piece, &out, &rest), cases[i].fault);
            if (cases[i].out) assert_slice(buf_slice(&out), cases[i].out);
            assert_slice(buf_slice(&rest), cases[i].rest);
        }
    }
    buf_deinit(&out);
    buf_deinit(&rest);
}

TEST(limits_are_faults_and_not_ends)
{
    struct smtp_data d;
    smtp_data_init(&d, 10);
    struct slice in = SLICE("0123456789\r\n.\r\n");
    while (in.n) (void)smtp_data_take(&d, &in);
    assert_int_equal(d.fault, SMTP_REPLY_TOO_BIG);
    assert_int_equal(d.at, SMTP_DATA_END);
    smtp_data_init(&d, UINT64_MAX);
    for (int i = 0; i <= SMTP_DATA_LINE_MAX / 16; i++)
        (void)smtp_data_take_chunk(&d, SLICE("0123456789abcdef"));
    assert_int_equal(d.fault, SMTP_REPLY_DATA_LINE_TOO_LONG);
}
