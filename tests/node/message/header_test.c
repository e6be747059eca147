#include "node/message/header.h"

#include "tests/test.h"

#define DATE    "Mon, 02 Jan 2006 15:04:05 +0000"
#define WALL_MS UINT64_C(1136214245000)
#define RECEIVED \
    "Received: from a.example ([192.0.2.1])\r\n\tby mx.example.com with ESMTP\r\n\tid Q1;\r\n\t" DATE "\r\n"
#define SENT "Received: by mx.example.com with ESMTP\r\n\tid Q1;\r\n\t" DATE "\r\n"

static void collect(void *owner, struct slice bytes)
{
    assert_true(bytes.n > 0);
    buf_put(owner, bytes);
}

static struct header_conf conf_of(bool outbound)
{
    struct header_conf c = { .host = SLICE("mx.example.com"),
                             .outbound = outbound,
                             .helo = SLICE("a.example"),
                             .protocol = "ESMTP",
                             .id = SLICE("Q1"),
                             .wall_ms = WALL_MS };
    assert_int_equal(addr_parse(SLICE("192.0.2.1"), &c.client), ERR_OK);
    return c;
}

/* Feeds `in` in pieces and leaves what came out in `out`. */
static enum err pass(const struct header_conf *c, struct slice in, size_t piece, struct buf *out)
{
    struct header h;
    enum err err = ERR_OK;
    buf_clear(out);
    header_init(&h, c, collect, out);
    while (in.n && !err) {
        err = header_feed(&h, slice_sub(in, 0, piece), collect, out);
        in = slice_skip(in, piece);
    }
    if (!err) err = header_finish(&h, collect, out);
    header_deinit(&h);
    return err;
}

static void expect(const struct header_conf *c, const char *in, const char *want)
{
    struct buf out;
    buf_init(&out, MIB(1));
    for (size_t piece = 1; piece <= strlen(in) + 1; piece++) {
        assert_int_equal(pass(c, slice_of(in), piece, &out), ERR_OK);
        assert_slice(buf_slice(&out), want);
    }
    buf_deinit(&out);
}

TEST(inbound_mail_gets_our_trace_and_loses_forged_stamps)
{
    struct header_conf c = conf_of(false);
    expect(&c, "Subject: x\r\n\r\nbody\r\n", RECEIVED "Subject: x\r\n\r\nbody\r\n");
    expect(&c,
           "X-MS-Exchange-Organization-SCL: -1\r\n folded\r\nSubject: x\r\nRETURN-PATH : <a@b>\r\n"
           "Authentication-Results: (hi) MX.example.com; spf=pass\r\n"
           "Authentication-Results: mx.example.com.evil.example; spf=pass\r\n"
           "Authentication-Results: other.example; spf=pass\r\nX-Gemel-Verdict: fine\r\n\r\nX-Gemel-Body: "
           "stays\r\n",
           RECEIVED "Subject: x\r\nAuthentication-Results: mx.example.com.evil.example; spf=pass\r\n"
                    "Authentication-Results: other.example; spf=pass\r\n\r\nX-Gemel-Body: stays\r\n");
}

TEST(outbound_mail_says_nothing_of_the_inside)
{
    struct header_conf c = conf_of(true);
    expect(&c,
           "Received: from pc17.corp (10.0.0.7)\r\n\tby srv.corp; x\r\nReceived: a\r\nFrom: "
           "a@b\r\nX-Originating-IP: 10.1.2.3\r\n"
           "Bcc: secret@x\r\nX-Mailer: y\r\nuser-agent: z\r\nX-MS-Exchange-Foo: 1\r\nTo: c@d\r\n\r\nb\r\n",
           SENT "From: a@b\r\nTo: c@d\r\n\r\nb\r\n");
}

TEST(date_and_message_id_are_added_only_when_asked_for_and_missing)
{
    struct header_conf c = conf_of(true);
    c.add_missing = true;
    expect(&c, "From: a@b\r\n\r\n",
           SENT "From: a@b\r\nDate: " DATE "\r\nMessage-ID: <Q1@mx.example.com>\r\n\r\n");
    expect(&c, "date: x\r\nMESSAGE-ID: <y>\r\n\r\n", SENT "date: x\r\nMESSAGE-ID: <y>\r\n\r\n");
    expect(&c, "Date: x\r\n", SENT "Date: x\r\nMessage-ID: <Q1@mx.example.com>\r\n");
}

TEST(a_header_that_is_none_is_kept_apart_from_the_text)
{
    struct header_conf c = conf_of(false);
    expect(&c, "", RECEIVED);
    expect(&c, "\r\n", RECEIVED "\r\n");
    expect(&c, "hello world\r\nSubject: no\r\n", RECEIVED "\r\nhello world\r\nSubject: no\r\n");
    expect(&c, "Subject: x\r\nhello\r\n\r\nmore\r\n", RECEIVED "Subject: x\r\n\r\nhello\r\n\r\nmore\r\n");
    expect(&c, " starts folded\r\n", RECEIVED "\r\n starts folded\r\n");
    expect(&c, ": no name\r\n", RECEIVED "\r\n: no name\r\n");
    expect(&c, "From someone Mon Jan  2\r\nSubject: x\r\n\r\n", RECEIVED "Subject: x\r\n\r\n");
    expect(&c, "Subject: x\r\nFrom someone else\r\n", RECEIVED "Subject: x\r\n\r\nFrom someone else\r\n");
}

TEST(the_trace_names_client_tls_and_a_single_recipient)
{
    struct header_conf c = conf_of(false);
    assert_int_equal(addr_parse(SLICE("2001:db8::1"), &c.client), ERR_OK);
    c.rdns = SLICE("host.example");
    c.tls = "TLSv1.3 TLS_AES_256_GCM_SHA384";
    c.protocol = "ESMTPS";
    c.rcpt = SLICE("b@example.com");
    expect(&c, "\r\n",
           "Received: from a.example (host.example [IPv6:2001:db8::1])\r\n"
           "\tby mx.example.com with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n\tid Q1\r\n\tfor "
           "<b@example.com>;\r\n\t" DATE "\r\n\r\n");
}

static enum err with_hops(bool outbound, const char *field, unsigned n)
{
    struct header_conf c = conf_of(outbound);
    struct buf in, out;
    buf_init(&in, MIB(1));
    buf_init(&out, MIB(1));
    for (unsigned i = 0; i < n; i++) buf_put(&in, slice_of(field));
    buf_put(&in, SLICE("\r\nbody\r\n"));
    enum err err = pass(&c, buf_slice(&in), 7, &out);
    buf_deinit(&in);
    buf_deinit(&out);
    return err;
}

TEST(a_message_that_goes_in_circles_is_noticed_even_when_its_traces_are_stripped)
{
    assert_int_equal(with_hops(false, "Received: x\r\n", 25), ERR_OK);
    assert_int_equal(with_hops(false, "Received: x\r\n", 26), ERR_REFUSED);
    assert_int_equal(with_hops(true, "received : x\r\n", 26), ERR_REFUSED);
    assert_int_equal(with_hops(false, "X-Gemel-Hops: 13\r\n", 1), ERR_OK);
    assert_int_equal(with_hops(false, "X-Gemel-Hops: 13\r\n", 2), ERR_REFUSED);
    assert_int_equal(with_hops(true, "X-Gemel-Hops: 26\r\n", 1), ERR_REFUSED);
    assert_int_equal(with_hops(true, "X-Gemel-Hops: junk\r\n", 30), ERR_OK);
    struct header_conf c = conf_of(true);
    expect(&c, "Received: x\r\nX-Gemel-Hops: 4\r\n\r\n", SENT "X-Gemel-Hops: 5\r\n\r\n");
    expect(&c,
           "Received: from edge2.example.com by srv.corp; x\r\nReceived: by edge2.example.com with "
           "ESMTP\r\n\tid 1JM50KCN98KDSHMJN3;\r\n\tx\r\n\r\n",
           SENT "X-Gemel-Hops: 2\r\n\r\n");
    expect(&c, "Received: by srv.corp (Postfix, from userid 0)\r\n\tid 4jX2pf3lYGz8CkZ; x\r\n\r\n",
           SENT "\r\n");
    c = conf_of(false);
    expect(&c, "Received: x\r\nX-Gemel-Hops: 4\r\n\r\n", RECEIVED "Received: x\r\nX-Gemel-Hops: 4\r\n\r\n");
}

TEST(a_header_without_end_is_refused)
{
    assert_int_equal(with_hops(false, "X-A: 0123456789012345678901234567890123456789\r\n", 2500), ERR_OK);
    assert_int_equal(with_hops(false, "X-A: 0123456789012345678901234567890123456789\r\n", 3000), ERR_LIMIT);
    assert_int_equal(with_hops(false, "X-A: 0123456789012345678901234567890123456789", 3000), ERR_LIMIT);
}

TEST(after_the_header_nothing_is_held_or_copied)
{
    struct header h;
    struct header_conf c = conf_of(false);
    struct buf out;
    buf_init(&out, MIB(1));
    header_init(&h, &c, collect, &out);
    assert_int_equal(header_feed(&h, SLICE("A: b\r\n\r\n"), collect, &out), ERR_OK);
    assert_null(h.field.p);
    assert_null(h.line.p);
    assert_null(h.tail.p);
    header_deinit(&h);
    buf_deinit(&out);
}
