#include "node/relay/dane.h"

#include "tests/dns/fake.h"
#include "tests/test.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct got {
    int done;
    struct dane_answer a;
    uint8_t first;
};

static void on_done(void *owner, const struct dane_answer *a)
{
    struct got *g = owner;
    g->done++;
    g->a = *a;
    if (a->n) g->first = (uint8_t)a->pins[0].data.p[0];
}

static struct got ask(struct fake *f, const char *domain)
{
    struct got g = { 0 };
    struct dane_op *op = dane_start(f->r, slice_of(domain), SLICE("mx.example.net"), 25, on_done, &g);
    assert_non_null(op);
    assert_int_equal(g.done, 0);
    fake_run(f);
    assert_int_equal(g.done, 1);
    return g;
}

static void signed_net(struct fake *f)
{
    fake_init(f, "192.0.2.53");
    fake_say(f, "example.net MX", "ad", "example.net. 60 MX 10 mx.example.net.\n");
    fake_say(f, "mx.example.net A", "ad", "mx.example.net. 60 A 192.0.2.1\n");
}

TEST(signed_records_pin_the_server)
{
    struct fake f;
    signed_net(&f);
    fake_say(&f, "_25._tcp.mx.example.net TLSA", "ad",
             "_25._tcp.mx.example.net. 60 TLSA 1 1 1 " DIGEST "\n"
             "_25._tcp.mx.example.net. 60 TLSA 3 1 1 " DIGEST "\n"
             "_25._tcp.mx.example.net. 60 TLSA 3 1 2 " DIGEST "\n"
             "_25._tcp.mx.example.net. 60 TLSA 2 0 1 " DIGEST "\n");
    struct got g = ask(&f, "example.net");
    assert_int_equal(g.a.result, DANE_PINNED);
    assert_int_equal(g.a.n, 2); /* not the one for browsers, not the one of a wrong length */
    assert_int_equal(g.a.pins[0].usage, 3);
    assert_int_equal(g.a.pins[1].usage, 2);
    assert_int_equal(g.a.pins[0].data.n, 32);
    assert_int_equal(g.first, 0x01);
    fake_deinit(&f);
}

TEST(records_that_are_no_use_for_mail_still_demand_tls)
{
    struct fake f;
    signed_net(&f);
    fake_say(&f, "_25._tcp.mx.example.net TLSA", "ad", "_25._tcp.mx.example.net. 60 TLSA 0 0 1 " DIGEST "\n");
    assert_int_equal(ask(&f, "example.net").a.result, DANE_ENCRYPT);
    fake_deinit(&f);
}

TEST(what_is_not_signed_says_nothing)
{
    struct fake f;
    signed_net(&f);
    fake_say(&f, "_25._tcp.mx.example.net TLSA", "", "_25._tcp.mx.example.net. 60 TLSA 3 1 1 " DIGEST "\n");
    assert_int_equal(ask(&f, "example.net").a.result, DANE_ABSENT);
    fake_deinit(&f);

    fake_init(&f, "192.0.2.53");
    fake_say(&f, "example.net MX", "", "example.net. 60 MX 10 mx.example.net.\n");
    assert_int_equal(ask(&f, "example.net").a.result, DANE_ABSENT);
    assert_slice(fake_trace(&f), "udp 192.0.2.53 example.net MX\n"); /* nothing further was asked */
    fake_deinit(&f);

    signed_net(&f); /* signed, and there are none */
    assert_int_equal(ask(&f, "example.net").a.result, DANE_ABSENT);
    fake_deinit(&f);
}

TEST(a_configured_host_needs_no_mx)
{
    struct fake f;
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "mx.example.net A", "ad", "mx.example.net. 60 A 192.0.2.1\n");
    fake_say(&f, "_25._tcp.mx.example.net TLSA", "ad", "_25._tcp.mx.example.net. 60 TLSA 3 1 1 " DIGEST "\n");
    assert_int_equal(ask(&f, "").a.result, DANE_PINNED);
    fake_deinit(&f);
}

TEST(a_question_that_fails_is_not_no_record)
{
    struct fake f;
    signed_net(&f);
    fake_say(&f, "_25._tcp.mx.example.net TLSA", "servfail", "");
    assert_int_equal(ask(&f, "example.net").a.result, DANE_FAILED);
    fake_deinit(&f);
    signed_net(&f);
    fake_say(&f, "mx.example.net A", "servfail", "");
    assert_int_equal(ask(&f, "example.net").a.result, DANE_FAILED);
    fake_deinit(&f);
    signed_net(&f);
    fake_say(&f, "example.net MX", "servfail", "");
    assert_int_equal(ask(&f, "example.net").a.result, DANE_FAILED);
    fake_deinit(&f);
}

TEST(a_cancelled_question_never_answers)
{
    struct fake f;
    struct got g = { 0 };
    signed_net(&f);
    struct dane_op *op = dane_start(f.r, SLICE("example.net"), SLICE("mx.example.net"), 25, on_done, &g);
    dane_cancel(&op);
    dane_cancel(&op);
    fake_run(&f);
    assert_int_equal(g.done, 0);
    fake_deinit(&f);
}
