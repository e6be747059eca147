#include "node/relay/reply.h"

#include <stdlib.h>

#include "tests/test.h"

static enum err feed_all(struct reply *r, struct slice in, size_t step, struct slice *rest)
{
    enum err err = ERR_RETRY;
    while (in.n && err == ERR_RETRY) {
        struct slice part = slice_sub(in, 0, step);
        size_t offered = part.n;
        err = reply_feed(r, &part);
        in = slice_skip(in, offered - part.n);
    }
    *rest = in;
    return err;
}

static const struct {
    const char *in;
    enum err err;
    uint16_t code;
    struct enhanced enhanced;
    const char *text;
} cases[] = {
    { "250 ok\r\n", ERR_OK, 250, { 0 }, "250 ok" },
    { "250\r\n", ERR_OK, 250, { 0 }, "250" },
    { "250 \r\n", ERR_OK, 250, { 0 }, "250 " },
    { "250 ok\n", ERR_OK, 250, { 0 }, "250 ok" },
    { "250-a\r\n250-b\r\n250 c\r\n", ERR_OK, 250, { 0 }, "250-a\n250-b\n250 c" },
    { "250-a\r\n250\r\n", ERR_OK, 250, { 0 }, "250-a\n250" },
    { "250-\r\n250 \r\n", ERR_OK, 250, { 0 }, "250-\n250 " },
    { "550 5.7.1 no\r\n", ERR_OK, 550, { 5, 7, 1 }, "550 5.7.1 no" },
    { "550 #5.7.1 no\r\n", ERR_OK, 550, { 5, 7, 1 }, "550 #5.7.1 no" },
    { "550-no\r\n550 5.7.511 no\r\n", ERR_OK, 550, { 5, 7, 511 }, "550-no\n550 5.7.511 no" },
    { "550 4.7.1 class does not fit\r\n", ERR_OK, 550, { 0 }, "550 4.7.1 class does not fit" },
    { "550 5.7.1234 no\r\n", ERR_OK, 550, { 0 }, "550 5.7.1234 no" },
    { "550 5.7 no\r\n", ERR_OK, 550, { 0 }, "550 5.7 no" },
    { "250 a\rb\r\n", ERR_OK, 250, { 0 }, "250 a\rb" },
    { "250 a\r\r\n", ERR_OK, 250, { 0 }, "250 a\r" },
    { "250-a\r\n550 b\r\n", ERR_MALFORMED, 0, { 0 }, NULL },
    { "hello\r\n", ERR_MALFORMED, 0, { 0 }, NULL },
    { "\r\n", ERR_MALFORMED, 0, { 0 }, NULL },
    { "25\r\n", ERR_MALFORMED, 0, { 0 }, NULL },
    { "25\r0 x\r\n", ERR_MALFORMED, 0, { 0 }, NULL },
    { "2500 x\r\n", ERR_MALFORMED, 0, { 0 }, NULL },
    { "150 x\r\n", ERR_MALFORMED, 0, { 0 }, NULL },
    { "600 x\r\n", ERR_MALFORMED, 0, { 0 }, NULL },
    { "250-a\r\n\r\n", ERR_MALFORMED, 0, { 0 }, NULL },
};

TEST(replies_are_read_the_same_however_the_bytes_are_cut)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t step = 1; step <= strlen(cases[i].in); step++) {
            struct reply r;
            struct slice rest;
            reply_init(&r);
            assert_int_equal(feed_all(&r, slice_of(cases[i].in), step, &rest), cases[i].err);
            if (!cases[i].err) {
                assert_int_equal(rest.n, 0);
                assert_int_equal(r.code, cases[i].code);
                assert_memory_equal(&r.enhanced, &cases[i].enhanced, sizeof r.enhanced);
                assert_slice(buf_slice(&r.text), cases[i].text);
            }
            reply_deinit(&r);
        }
}

TEST(one_reply_is_taken_at_a_time)
{
    struct reply r;
    struct slice in = SLICE("250-a\r\n250 b\r\n550 5.1.1 c\r\n25");
    reply_init(&r);
    assert_int_equal(reply_feed(&r, &in), ERR_OK);
    assert_slice(buf_slice(&r.text), "250-a\n250 b");
    reply_reset(&r);
    assert_int_equal(reply_feed(&r, &in), ERR_OK);
    assert_int_equal(r.code, 550);
    assert_slice(buf_slice(&r.text), "550 5.1.1 c");
    reply_reset(&r);
    assert_int_equal(reply_feed(&r, &in), ERR_RETRY);
    in = SLICE("0 d\r\n");
    assert_int_equal(reply_feed(&r, &in), ERR_OK);
    assert_int_equal(r.code, 250);
    reply_deinit(&r);
}

TEST(a_line_of_a_megabyte_is_cut_and_the_reply_stands)
{
    struct reply r;
    size_t n = 1 << 20;
    char *big = xzalloc(n);
    memset(big, 'x', n);
    reply_init(&r);
    struct slice in = SLICE("550-5.7.1 ");
    assert_int_equal(reply_feed(&r, &in), ERR_RETRY);
    in = slice_from(big, n);
    assert_int_equal(reply_feed(&r, &in), ERR_RETRY);
    in = SLICE("\r\n550 the end\r\n");
    assert_int_equal(reply_feed(&r, &in), ERR_OK);
    assert_true(r.cut);
    assert_int_equal(r.enhanced.detail, 1);
    assert_int_equal(buf_len(&r.text), REPLY_LINE_BYTES_MAX + strlen("\n550 the end"));
    assert_true(slice_ends(buf_slice(&r.text), SLICE("\n550 the end")));
    reply_deinit(&r);
    free(big);
}

TEST(many_lines_are_cut_and_a_reply_without_end_is_malformed)
{
    struct reply r;
    reply_init(&r);
    enum err err = ERR_RETRY;
    size_t lines = 0;
    while (err == ERR_RETRY) {
        struct slice in = SLICE("250-again and again and again\r\n");
        err = reply_feed(&r, &in);
        lines++;
        assert_true(buf_len(&r.text) <= REPLY_TEXT_BYTES_MAX);
    }
    assert_int_equal(err, ERR_MALFORMED);
    assert_true(lines * 31 > REPLY_BYTES_MAX && lines * 31 < REPLY_BYTES_MAX + 62);
    reply_deinit(&r);
}

TEST(a_nul_is_not_kept)
{
    struct reply r;
    reply_init(&r);
    struct slice in = SLICE("250 a\0b\r\n");
    assert_int_equal(reply_feed(&r, &in), ERR_OK);
    assert_slice(buf_slice(&r.text), "250 a?b");
    reply_deinit(&r);
}
