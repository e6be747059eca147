#include "node/relay/wire.h"

#include "tests/test.h"

TEST(ehlo_keywords_are_found_in_any_case_and_the_greeting_is_not_one)
{
    struct wire_caps c;
    wire_caps_parse(
        SLICE("250-PIPELINING DSN\n250-size 1000\n250-8bitmime\n250-AUTH PLAIN\n250-DSNX\n250 CHUNKING"), &c);
    assert_true(c.size && c.eightbitmime && c.chunking);
    assert_false(c.pipelining || c.dsn || c.starttls || c.smtputf8);
    assert_int_equal(c.size_max, 1000);
    wire_caps_parse(SLICE("250-mx\n250-SIZE\n250-PIPELINING\n250-STARTTLS\n250-DSN\n250 SMTPUTF8"), &c);
    assert_true(c.size && c.pipelining && c.starttls && c.dsn && c.smtputf8);
    assert_int_equal(c.size_max, 0);
    wire_caps_parse(SLICE("250-mx\n250 SIZE 99999999999999999999999"), &c);
    assert_true(c.size && !c.size_max);
    wire_caps_parse(SLICE(""), &c);
    assert_false(c.size);
}

static void check_mail(struct relay_mail m, struct wire_caps caps, const char *want)
{
    struct buf out;
    buf_init(&out, WIRE_COMMAND_BYTES_MAX);
    wire_mail(&m, &caps, &out);
    assert_slice(buf_slice(&out), want);
    buf_deinit(&out);
}

static void check_rcpt(struct relay_rcpt r, struct wire_caps caps, const char *want)
{
    struct buf out;
    buf_init(&out, WIRE_COMMAND_BYTES_MAX);
    wire_rcpt(&r, &caps, &out);
    assert_slice(buf_slice(&out), want);
    buf_deinit(&out);
}

TEST(parameters_are_written_only_to_a_peer_that_offered_them)
{
    struct relay_mail m = { .sender = SLICE_INIT("a@example.com"),
                            .size_bytes = 77,
                            .body_8bit = true,
                            .smtputf8 = true,
                            .ret = RELAY_RET_HDRS,
                            .envid = SLICE_INIT("x1") };
    struct wire_caps all = { .size = true, .eightbitmime = true, .smtputf8 = true, .dsn = true };
    check_mail(m, all, "MAIL FROM:<a@example.com> SIZE=77 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x1\r\n");
    check_mail(m, (struct wire_caps){ 0 }, "MAIL FROM:<a@example.com>\r\n");
    m.envid = SLICE("x 1");
    m.ret = RELAY_RET_FULL;
    check_mail(m, (struct wire_caps){ .dsn = true }, "MAIL FROM:<a@example.com> RET=FULL\r\n");
    check_mail((struct relay_mail){ 0 }, all, "MAIL FROM:<>\r\n");

    struct relay_rcpt r = { .address = SLICE_INIT("b@example.net"),
                            .notify = RELAY_NOTIFY_SUCCESS | RELAY_NOTIFY_DELAY,
                            .orcpt = SLICE_INIT("rfc822;b@example.net") };
    check_rcpt(r, all, "RCPT TO:<b@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@example.net\r\n");
    check_rcpt(r, (struct wire_caps){ 0 }, "RCPT TO:<b@example.net>\r\n");
    r.notify = RELAY_NOTIFY_NEVER;
    r.orcpt = SLICE("rfc822;b\r\nRSET");
    check_rcpt(r, all, "RCPT TO:<b@example.net> NOTIFY=NEVER\r\n");
}

TEST(an_address_with_a_control_character_never_reaches_a_command)
{
    assert_true(wire_address_ok(SLICE("\"a b>c\"@example.net")));
    assert_true(wire_address_ok(SLICE("jos\xc3\xa9@example.net")));
    assert_false(wire_address_ok(SLICE("a@b\r\nDATA")));
    assert_false(wire_address_ok(SLICE("a\0@b")));
    assert_false(wire_address_ok(SLICE("a\x7f@b")));
    assert_false(wire_address_ok(SLICE("")));
}

static const struct {
    const char *in, *out;
} bodies[] = {
    { "", "" },
    { "a", "a\r\n" },
    { "a\r\n", "a\r\n" },
    { ".\r\n", "..\r\n" },
    { "..\r\n.a\r\n", "...\r\n..a\r\n" },
    { "a.\r\n.\r\n", "a.\r\n..\r\n" },
    { "\r\n.\r\n\r\n", "\r\n..\r\n\r\n" },
    { "a\n.\r\nb", "a\r\n..\r\nb\r\n" },
    { "a\r.\rb\r", "a\r\n..\r\nb\r\n" },
    { "a\r\r\n.", "a\r\n\r\n..\r\n" },
    { "a\n\n.\n", "a\r\n\r\n..\r\n" },
    { "\n\r", "\r\n\r\n" },
};

TEST(dots_are_doubled_however_the_chunks_are_cut_and_no_bare_line_end_leaves)
{
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        for (size_t step = 1; step <= strlen(bodies[i].in) + 1; step++) {
            struct wire_stuffing st = { 0 };
            struct buf out;
            buf_init(&out, 100);
            for (struct slice in = slice_of(bodies[i].in); in.n; in = slice_skip(in, step))
                wire_stuff(&st, slice_sub(in, 0, step), &out);
            wire_stuff_end(&st, &out);
            assert_slice(buf_slice(&out), bodies[i].out);
            buf_deinit(&out);
        }
}
