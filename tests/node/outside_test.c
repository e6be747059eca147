#include "node/outside.h"

#include <stdio.h>

#include "tests/base/peer.h"
#include "tests/test.h"

TEST(the_address_stands_in_brackets_behind_the_name)
{
    static const struct {
        const char *line, *want;
    } cases[] = {
        { "250-edge2.example.com Hello [198.51.100.10]", "198.51.100.10" },
        { "250 edge2.example.com Hello [IPv6:2001:db8::1]", "2001:db8::1" },
        { "250-mx.google.com at your service, [192.0.2.9]", "192.0.2.9" },
        { "250-edge2.example.com", NULL },
        { "250-edge2.example.com []", NULL },
        { "250-edge2.example.com [nowhere]", NULL },
        { "250-edge2.example.com [198.51.100.10", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr a;
        char text[ADDR_TEXT_MAX];
        enum err err = outside_parse(slice_of(cases[i].line), &a);
        assert_int_equal(err, cases[i].want ? ERR_OK : ERR_NOT_FOUND);
        if (cases[i].want) assert_string_equal(addr_format(&a, text), cases[i].want);
    }
}

struct answer {
    int calls;
    enum err err;
    char seen[ADDR_TEXT_MAX], detail[256];
};

static void answered(void *owner, enum err err, const struct addr *seen, const char *detail)
{
    struct answer *a = owner;
    a->calls++;
    a->err = err;
    if (seen) addr_format(seen, a->seen);
    snprintf(a->detail, sizeof a->detail, "%s", detail);
}

static const char *ehlo_reply; /* what the scripted edge says to EHLO; NULL: it hangs up */

static void speak(struct peer *p)
{
    struct slice got = buf_slice(&p->got);
    if (slice_find_slice(got, SLICE("EHLO edge1.example.com\r\n")) == got.n) return;
    buf_clear(&p->got);
    if (ehlo_reply)
        stream_write(p->s, slice_of(ehlo_reply));
    else
        stream_close(&p->s);
}

static void ask(const char *banner, const char *reply, struct answer *a)
{
    struct pair p;
    pair_init(&p);
    pair_listen(&p, (struct listen_conf){ 0 });
    p.server.on_data = speak;
    ehlo_reply = reply;
    struct outside_conf conf = { .to = p.addr, .from = p.addr, .helo = "edge1.example.com", .limit_ms = 700 };
    conf.from.port = 0;
    struct outside_op *op = outside_start(p.env, &conf, answered, a);
    assert_non_null(op);
    RUN_UNTIL(p.loop, p.accepts || a->calls);
    if (banner && p.server.s) stream_write(p.server.s, slice_of(banner));
    RUN_UNTIL(p.loop, a->calls);
    assert_int_equal(a->calls, 1);
    loop_run_for(p.loop, 20);
    pair_deinit(&p);
}

TEST(another_edge_is_asked_and_its_answers_understood)
{
    static const struct {
        const char *banner, *reply;
        enum err err;
        const char *seen, *detail;
    } cases[] = {
        { "220 edge2 ESMTP\r\n", "250-edge2 Hello [127.0.0.1]\r\n250-PIPELINING\r\n250 DSN\r\n", ERR_OK,
          "127.0.0.1", "" },
        { "220-edge2\r\n220 ready\r\n", "250 edge2 Hello [192.0.2.77]\r\n", ERR_OK, "192.0.2.77", "" },
        { "220 edge2 ESMTP\r\n", "250-edge2\r\n250 DSN\r\n", ERR_NOT_FOUND, "", "names no address" },
        { "554 go away [192.0.2.1]\r\n", NULL, ERR_REFUSED, "", "it says \"554 go away [192.0.2.1]\"" },
        { "220 edge2 ESMTP\r\n", "502 no\r\n", ERR_REFUSED, "", "it says \"502 no\"" },
        { "220 edge2 ESMTP\r\n", "", ERR_TIMEOUT, "", "no answer in time" },
        { NULL, NULL, ERR_TIMEOUT, "", "no answer in time" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct answer a = { 0 };
        ask(cases[i].banner, cases[i].reply, &a);
        assert_int_equal(a.err, cases[i].err);
        assert_string_equal(a.seen, cases[i].seen);
        assert_non_null(strstr(a.detail, cases[i].detail));
    }
}

TEST(an_edge_that_is_not_there_or_hangs_up_is_no_verdict)
{
    struct answer a = { 0 };
    ask("220 edge2 ESMTP\r\n", NULL, &a);
    assert_true(a.err == ERR_CLOSED || a.err == ERR_RETRY || a.err == ERR_TIMEOUT);
    assert_string_equal(a.seen, "");
    struct pair p;
    pair_init(&p);
    pair_listen(&p, (struct listen_conf){ 0 });
    listener_close(&p.listener);
    struct outside_conf conf = { .to = p.addr, .helo = "edge1.example.com", .limit_ms = 2000 };
    struct answer b = { 0 };
    struct outside_op *op = outside_start(p.env, &conf, answered, &b);
    RUN_UNTIL(p.loop, b.calls);
    assert_true(b.err != ERR_OK);
    op = outside_start(p.env, &conf, answered, &b);
    outside_cancel(&op); /* and nothing comes any more */
    loop_run_for(p.loop, 50);
    assert_int_equal(b.calls, 1);
    pair_deinit(&p);
}
