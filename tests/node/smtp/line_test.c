#include "node/smtp/line.h"

#include <stdlib.h>

#include "tests/test.h"

/* What `in` gives in pieces: each line as "=text|", too long ones as "L|", those with a bare CR or LF as "B|". */
static void lines(struct slice in, size_t piece, size_t max, struct buf *out)
{
    struct smtp_line l = { 0 };
    buf_clear(out);
    while (in.n) {
        struct slice part = slice_sub(in, 0, piece), line;
        in = slice_skip(in, piece);
        while (part.n) {
            switch (smtp_line_take(&l, &part, max, &line)) {
            case SMTP_LINE_MORE: assert_int_equal(part.n, 0); break;
            case SMTP_LINE_READY: buf_putf(out, "=%.*s|", SLICE_ARG(line)); break;
            case SMTP_LINE_TOO_LONG: buf_put(out, SLICE("L|")); break;
            case SMTP_LINE_BARE: buf_put(out, SLICE("B|")); break;
            }
        }
    }
    smtp_line_deinit(&l);
}

TEST(only_cr_lf_ends_a_line_however_it_is_cut)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        { "a\r\nb\r\n", "=a|=b|" },
        { "\r\n\r\n", "=|=|" },
        { "a\nb\r\nc\r\n", "B|=c|" },
        { "a\rb\r\nc\r\n", "B|=c|" },
        { "a\r\r\nc\r\n", "B|=c|" },
        { "\n\r\nc\r\n", "B|=c|" },
        { "12345678\r\n", "=12345678|" },
        { "123456789\r\nx\r\n", "L|=x|" },
        { "1234567890\n\r\nx\r\n", "L|=x|" },
        { "unfinished", "" },
        { "half\r", "" },
    };
    struct buf out;
    buf_init(&out, 1000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t piece = 1; piece <= strlen(cases[i].in); piece++) {
            lines(slice_of(cases[i].in), piece, 10, &out);
            assert_slice(buf_slice(&out), cases[i].want);
        }
    }
    buf_deinit(&out);
}

TEST(a_line_that_never_ends_costs_no_more_than_the_limit)
{
    struct smtp_line l = { 0 };
    struct slice line;
    for (int i = 0; i < 10000; i++) {
        struct slice in = SLICE("0123456789");
        assert_int_equal(smtp_line_take(&l, &in, SMTP_LINE_MAX, &line), SMTP_LINE_MORE);
        assert_true(buf_len(&l.held) <= SMTP_LINE_MAX);
    }
    smtp_line_deinit(&l);
}
