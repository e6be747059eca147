#include "node/smtp/reply.h"

#include "tests/test.h"

TEST(codes_agree_with_their_enhanced_codes)
{
    struct buf b;
    buf_init(&b, 1000);
    for (int r = SMTP_REPLY_NONE + 1; r < SMTP_REPLY_COUNT; r++) {
        buf_clear(&b);
        smtp_reply_put(&b, (enum smtp_reply)r, SLICE(""));
        struct slice s = buf_slice(&b);
        assert_true(slice_ends(s, SLICE("\r\n")));
        int code = smtp_reply_code((enum smtp_reply)r);
        assert_true(code >= 200 && code < 560);
        /* RFC 2034 3: the class is the code's first digit; 334, 354, banner and hello have none */
        bool bare = code == 334 || code == 354 || code == 220 || r == SMTP_REPLY_HELLO;
        if (!bare || s.p[4] == s.p[0]) assert_true(s.p[4] == s.p[0] && s.p[5] == '.');
    }
    buf_deinit(&b);
}

TEST(a_detail_from_outside_cannot_end_the_line)
{
    struct buf b;
    char big[2000];
    memset(big, 'x', sizeof big);
    buf_init(&b, 4000);
    smtp_reply_put(&b, SMTP_REPLY_QUEUED, SLICE("a\r\n250 b\xff"));
    assert_slice(buf_slice(&b), "250 2.0.0 queued as a??250 b?\r\n");
    buf_clear(&b);
    smtp_reply_put(&b, SMTP_REPLY_QUEUED, slice_from(big, sizeof big));
    assert_int_equal(buf_len(&b), SMTP_REPLY_LINE_MAX);
    buf_clear(&b);
    smtp_reply_put_text(&b, 550, slice_from(big, sizeof big));
    assert_int_equal(buf_len(&b), SMTP_REPLY_LINE_MAX);
    buf_deinit(&b);
}
