#include "dns/verify.h"

#include "tests/dns/fake.h"
#include "tests/test.h"

#define MARKER "v=gemel1 cluster=lab epoch=7 active=edge2 digest=d"
#define POLICY "v=spf1 ip4:203.0.113.10 -all"

struct got {
    unsigned calls;
    struct verify_report r;
};

static void keep(void *owner, const struct verify_report *r)
{
    struct got *g = owner;
    g->calls++;
    g->r = *r;
}

static struct verify_identity identity;

static struct verify_wanted wanted(void)
{
    struct verify_wanted w = {
        .spf = SLICE(POLICY), .egress = SLICE(MARKER), .epoch = 7, .identity = &identity, .n_identities = 1
    };
    assert_int_equal(dns_name_parse(SLICE("gw.example.com"), &w.zone), ERR_OK);
    assert_int_equal(dns_name_parse(SLICE("example.com"), &w.mail_domain), ERR_OK);
    assert_int_equal(dns_name_parse(SLICE("edge2.example.com"), &identity.helo), ERR_OK);
    assert_int_equal(addr_parse(SLICE("203.0.113.10"), &identity.ip), ERR_OK);
    return w;
}

/* Two name servers with two addresses, delegated from example.com, whose server is 192.0.2.1. */
static void say_zone(struct fake *f)
{
    fake_say(f, "gw.example.com NS", "",
             "gw.example.com. 60 NS ns1.example.com.\ngw.example.com. 60 NS ns2.example.com.\n");
    fake_say(f, "example.com NS", "", "example.com. 60 NS ns0.example.com.\n");
    fake_say(f, "ns0.example.com A", "", "ns0.example.com. 60 A 192.0.2.1\n");
    fake_say(f, "192.0.2.1 gw.example.com NS", "",
             "; authority\ngw.example.com. 60 NS ns1.example.com.\ngw.example.com. 60 NS ns2.example.com.\n");
    fake_say(f, "ns1.example.com A", "", "ns1.example.com. 60 A 192.0.2.11\n");
    fake_say(f, "ns2.example.com A", "", "ns2.example.com. 60 A 192.0.2.12\n");
    fake_say(f, "ns2.example.com AAAA", "", "ns2.example.com. 60 AAAA 2001:db8::12\n");
    fake_say(f, "example.com TXT", "", "example.com. 3600 TXT \"v=spf1 include:_spf.gw.example.com -all\"\n");
    fake_say(f, "_egress.gw.example.com TXT", "aa", "_egress.gw.example.com. 30 TXT \"" MARKER "\"\n");
    fake_say(f, "_spf.gw.example.com TXT", "aa", "_spf.gw.example.com. 300 TXT \"" POLICY "\"\n");
    fake_say(f, "gw.example.com SOA", "aa",
             "gw.example.com. 60 SOA ns1.example.com. h.example.com. 17 2 3 4 5\n");
}

static struct got verify(struct fake *f, const struct verify_wanted *w)
{
    struct got g = { 0 };
    verify_start(f->r, w, keep, &g);
    fake_run(f);
    assert_int_equal(g.calls, 1);
    return g;
}

TEST(every_address_of_every_name_server_is_asked)
{
    struct fake f;
    struct verify_wanted w = wanted();
    fake_init(&f, "192.0.2.53");
    say_zone(&f);
    struct got g = verify(&f, &w);
    assert_true(g.r.ok);
    assert_int_equal(g.r.n, 3);
    assert_int_equal(g.r.spf_ttl_max_s, 300);
    assert_int_equal(g.r.server[0].serial, 17);
    assert_int_equal(g.r.server[0].pass, 1);
    assert_true(g.r.server[0].at_parent && g.r.server[0].at_child);
    assert_false(g.r.delegation_differs);
    struct slice trace = fake_trace(&f);
    assert_true(slice_find_slice(trace, SLICE("udp 2001:db8::12 _spf.gw.example.com TXT\n")) != trace.n);
    fake_deinit(&f);
}

TEST(one_server_that_is_behind_spoils_the_round)
{
    struct fake f;
    struct verify_wanted w = wanted();
    fake_init(&f, "192.0.2.53");
    say_zone(&f);
    fake_say(&f, "192.0.2.12 _egress.gw.example.com TXT", "aa",
             "_egress.gw.example.com. 30 TXT \"v=gemel1 cluster=lab epoch=6 active=edge1 digest=d\"\n");
    fake_say(&f, "192.0.2.12 _spf.gw.example.com TXT", "aa",
             "_spf.gw.example.com. 900 TXT \"v=spf1 ip4:198.51.100.10 -all\"\n");
    struct got g = verify(&f, &w);
    assert_false(g.r.ok);
    assert_int_equal(g.r.count[VERIFY_OLD], 1);
    assert_int_equal(g.r.count[VERIFY_PASS], 2);
    assert_int_equal(g.r.spf_ttl_max_s, 900);
    fake_deinit(&f);
}

TEST(a_server_only_the_parent_knows_counts_too)
{
    struct fake f;
    struct verify_wanted w = wanted();
    fake_init(&f, "192.0.2.53");
    say_zone(&f);
    fake_say(&f, "192.0.2.1 gw.example.com NS", "",
             "; authority\ngw.example.com. 60 NS ns1.example.com.\ngw.example.com. 60 NS old.example.com.\n");
    fake_say(&f, "old.example.com A", "", "old.example.com. 60 A 192.0.2.66\n");
    fake_say(&f, "192.0.2.66 _spf.gw.example.com TXT", "refused", "");
    fake_say(&f, "192.0.2.66 _egress.gw.example.com TXT", "refused", "");
    struct got g = verify(&f, &w);
    assert_false(g.r.ok);
    assert_true(g.r.delegation_differs);
    assert_int_equal(g.r.count[VERIFY_NOT_AUTHORITATIVE], 1);
    fake_deinit(&f);
}

TEST(silence_is_told_from_a_wrong_answer_and_the_round_ends_in_time)
{
    struct fake f;
    struct verify_wanted w = wanted();
    w.limit_ms = 6000;
    fake_init(&f, "192.0.2.53");
    say_zone(&f);
    fake_say(&f, "192.0.2.11 _spf.gw.example.com TXT", "drop", "");
    fake_say(&f, "192.0.2.11 _egress.gw.example.com TXT", "drop", "");
    fake_say(&f, "192.0.2.11 gw.example.com SOA", "drop", "");
    struct got g = verify(&f, &w);
    assert_int_equal(g.r.count[VERIFY_SILENT], 1);
    assert_in_range(f.now_ms, 1000, 7000);
    fake_deinit(&f);
}

TEST(a_host_without_ipv6_does_not_judge_by_it)
{
    struct fake f;
    struct verify_wanted w = wanted();
    fake_init(&f, "192.0.2.53");
    say_zone(&f);
    fake_say(&f, "2001:db8::12 _spf.gw.example.com TXT", "icmp", "");
    fake_say(&f, "2001:db8::12 _egress.gw.example.com TXT", "icmp", "");
    fake_say(&f, "2001:db8::12 gw.example.com SOA", "icmp", "");
    struct got g = verify(&f, &w);
    assert_true(g.r.ok);
    assert_int_equal(g.r.n, 2);
    fake_deinit(&f);
}

TEST(names_inside_a_larger_zone_are_asked_of_its_servers)
{
    struct fake f;
    struct verify_wanted w = wanted();
    fake_init(&f, "192.0.2.53");
    say_zone(&f);
    fake_say(&f, "gw.example.com NS", "", "");
    fake_say(&f, "com NS", "", "com. 60 NS a.gtld.example.\n");
    fake_say(&f, "a.gtld.example A", "", "a.gtld.example. 60 A 192.0.2.99\n");
    fake_say(&f, "192.0.2.99 example.com NS", "", "; authority\nexample.com. 60 NS ns0.example.com.\n");
    struct got g = verify(&f, &w);
    assert_true(g.r.ok);
    assert_int_equal(g.r.n, 1);
    assert_slice(dns_name_slice(&g.r.server[0].name), "ns0.example.com");
    fake_deinit(&f);
}

TEST(without_name_servers_nothing_is_verified)
{
    struct fake f;
    struct verify_wanted w = wanted();
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "gw.example.com NS", "servfail", "");
    struct got g = verify(&f, &w);
    assert_false(g.r.ok);
    assert_int_equal(g.r.n, 0);
    assert_non_null(strstr(g.r.words, "cannot be looked up"));
    fake_deinit(&f);
}

TEST(a_round_can_be_cancelled_at_any_time)
{
    for (int ms = 0; ms < 12; ms++) {
        struct fake f;
        struct verify_wanted w = wanted();
        struct got g = { 0 };
        fake_init(&f, "192.0.2.53");
        say_zone(&f);
        struct verify_op *op = verify_start(f.r, &w, keep, &g);
        fake_run_ms(&f, (uint64_t)ms);
        if (!g.calls) verify_cancel(&op);
        fake_run(&f);
        fake_deinit(&f);
    }
}
