#include "node/queue/dsn.h"

#include "tests/test.h"

static struct envelope_rcpt rcpts[3];
static struct envelope about = { .sender = SLICE_INIT("alice@example.com"),
                                 .rcpts = rcpts,
                                 .n_rcpts = 3,
                                 .arrival_wall_ms = 1700000000000,
                                 .expiry_wall_ms = 1700172800000,
                                 .size_bytes = 5000 };

static enum dsn_action due(uint8_t state, uint8_t notify, bool delayed)
{
    struct envelope_rcpt r = { .state = state, .notify = notify };
    return dsn_due(&about, &r, delayed);
}

TEST(who_is_told_what_follows_rfc_3461)
{
    static const struct {
        uint8_t state, notify;
        bool delayed;
        enum dsn_action want;
    } cases[] = {
        { RCPT_FAILED, 0, false, DSN_FAILED },
        { RCPT_FAILED, NOTIFY_FAILURE, false, DSN_FAILED },
        { RCPT_FAILED, NOTIFY_SUCCESS, false, DSN_NOTHING },
        { RCPT_FAILED, NOTIFY_NEVER, false, DSN_NOTHING },
        { RCPT_EXPIRED, 0, false, DSN_FAILED },
        { RCPT_RELAYED, 0, false, DSN_NOTHING },
        { RCPT_RELAYED, NOTIFY_SUCCESS | NOTIFY_FAILURE, false, DSN_RELAYED },
        { RCPT_SENT, NOTIFY_SUCCESS, false, DSN_NOTHING },
        { RCPT_WAITING, 0, true, DSN_DELAYED },
        { RCPT_WAITING, NOTIFY_FAILURE, true, DSN_NOTHING },
        { RCPT_WAITING, NOTIFY_DELAY, true, DSN_DELAYED },
        { RCPT_WAITING, 0, false, DSN_NOTHING },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(due(cases[i].state, cases[i].notify, cases[i].delayed), cases[i].want);
}

TEST(the_null_sender_and_notifications_are_never_answered)
{
    struct envelope_rcpt r = { .state = RCPT_FAILED };
    struct envelope e = about;
    e.sender = SLICE("");
    assert_int_equal(dsn_due(&e, &r, false), DSN_NOTHING);
    e = about;
    e.is_dsn = true;
    assert_int_equal(dsn_due(&e, &r, false), DSN_NOTHING);
}

static void write(const struct dsn *d, struct buf *out)
{
    dsn_head(d, out);
    buf_put(out, SLICE("Subject: original\r\n\r\n"));
    dsn_tail(d, out);
}

TEST(a_failure_reads_well_for_people_and_programs)
{
    rcpts[0] = (struct envelope_rcpt){ .address = SLICE("bob@example.net"),
                                       .state = RCPT_FAILED,
                                       .orcpt = SLICE("rfc822;b+2Bob@example.net"),
                                       .last_reply = SLICE("550 5.1.1 no\r\nsuch user"),
                                       .last_mta = SLICE("mx.example.net"),
                                       .status = SLICE("5.1.1"),
                                       .last_try_wall_ms = 1700000001000 };
    struct dsn_rcpt one = { &rcpts[0], DSN_FAILED };
    struct dsn d = { .about = &about,
                     .rcpts = &one,
                     .n_rcpts = 1,
                     .host = SLICE("edge1.example.com"),
                     .now_wall_ms = 1700000002000,
                     .boundary = "BOUND" };
    struct buf out;
    buf_init(&out, 65536);
    about.envid = SLICE("QQ+3D1");
    write(&d, &out);
    static const char *const wanted[] = {
        "To: <alice@example.com>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "report-type=delivery-status;\r\n boundary=\"BOUND\"",
        "  bob@example.net\r\n    mx.example.net said: 550 5.1.1 no  such user\r\n",
        "Reporting-MTA: dns;edge1.example.com\r\n",
        "Original-Envelope-Id: QQ=1\r\n",
        "Original-Recipient: rfc822;b+ob@example.net\r\n",
        "Final-Recipient: rfc822;bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        "Remote-MTA: dns;mx.example.net\r\n",
        "Diagnostic-Code: smtp;550 5.1.1 no  such user\r\n",
        "Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n",
        "Content-Type: message/rfc822\r\n",
        "\r\n--BOUND--\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (!strstr(buf_cstr(&out), wanted[i])) fail_msg("missing: %s\nin: %s", wanted[i], buf_cstr(&out));
    about.envid = SLICE("");
    buf_deinit(&out);
}

TEST(only_failures_bring_the_whole_message_back_and_only_up_to_a_size)
{
    struct dsn_rcpt failed = { &rcpts[0], DSN_FAILED }, delayed = { &rcpts[0], DSN_DELAYED };
    struct dsn d = { .about = &about, .rcpts = &failed, .n_rcpts = 1 };
    assert_true(dsn_returns_all(&d));
    d.rcpts = &delayed;
    assert_false(dsn_returns_all(&d));
    struct envelope big = about;
    big.size_bytes = DSN_FULL_BYTES_MAX + 1;
    d.about = &big;
    d.rcpts = &failed;
    assert_false(dsn_returns_all(&d));
    big.size_bytes = 1;
    big.ret = RET_HDRS;
    assert_false(dsn_returns_all(&d));
}

TEST(addresses_in_utf_8_make_a_global_notification)
{
    struct envelope e = about;
    e.smtputf8 = true;
    struct envelope_rcpt r = { .address = SLICE("bøb@example.net"),
                               .state = RCPT_RELAYED,
                               .notify = NOTIFY_SUCCESS };
    struct dsn_rcpt one = { &r, DSN_RELAYED };
    struct dsn d = { .about = &e, .rcpts = &one, .n_rcpts = 1, .host = SLICE("h.example"), .boundary = "B" };
    struct buf out;
    buf_init(&out, 65536);
    write(&d, &out);
    assert_non_null(strstr(buf_cstr(&out), "message/global-delivery-status"));
    assert_non_null(strstr(buf_cstr(&out),
                           "Final-Recipient: utf-8;bøb@example.net\r\nAction: relayed\r\nStatus: 2.0.0\r\n"));
    assert_non_null(strstr(buf_cstr(&out), "message/global-headers"));
    buf_deinit(&out);
}
