#include "dns/spf_check.h"

#include "tests/dns/fake.h"
#include "tests/test.h"

static void keep(void *owner, const struct spf_verdict *v)
{
    *(struct spf_verdict *)owner = *v;
}

static struct spf_question question(void)
{
    struct spf_question q = { .helo = SLICE("edge2.example.com"), .mail_from = SLICE("example.com") };
    assert_int_equal(addr_parse(SLICE("203.0.113.10"), &q.ip), ERR_OK);
    return q;
}

static void say_policy(struct fake *f)
{
    fake_say(f, "example.com TXT", "", "example.com. 60 TXT \"v=spf1 include:_spf.gw.example.com -all\"\n");
    fake_say(f, "_spf.gw.example.com TXT", "",
             "_spf.gw.example.com. 60 TXT \"v=spf1 ip4:198.51.100.10 -all\"\n");
    fake_say(f, "203.0.113.53 _spf.gw.example.com TXT", "aa",
             "_spf.gw.example.com. 60 TXT \"v=spf1 ip4:198.51.100.10 ip4:203.0.113.10 -all\"\n");
}

TEST(a_policy_is_fetched_as_far_as_it_is_needed)
{
    struct fake f;
    struct spf_question q = question();
    struct spf_verdict v = { .result = SPF_NONE };
    fake_init(&f, "192.0.2.53");
    say_policy(&f);
    spf_check_start(f.r, &q, NULL, keep, &v);
    fake_run(&f);
    assert_int_equal(v.result, SPF_FAIL);
    assert_int_equal(v.rounds, 3);
    assert_slice(fake_trace(&f), "udp 192.0.2.53 example.com TXT\nudp 192.0.2.53 _spf.gw.example.com TXT\n");
    fake_deinit(&f);
}

TEST(the_owned_names_can_be_asked_of_one_server_alone)
{
    struct fake f;
    struct spf_question q = question();
    struct spf_verdict v = { .result = SPF_NONE };
    struct spf_check_conf conf = { 0 };
    fake_init(&f, "192.0.2.53");
    say_policy(&f);
    assert_int_equal(dns_name_parse(SLICE("gw.example.com"), &conf.zone), ERR_OK);
    assert_int_equal(addr_parse(SLICE("203.0.113.53"), &conf.server), ERR_OK);
    spf_check_start(f.r, &q, &conf, keep, &v);
    fake_run(&f);
    assert_int_equal(v.result, SPF_PASS);
    assert_slice(fake_trace(&f),
                 "udp 192.0.2.53 example.com TXT\nudp 203.0.113.53 _spf.gw.example.com TXT\n");
    fake_deinit(&f);
}

TEST(a_policy_without_end_ends)
{
    struct fake f;
    struct spf_question q = question();
    struct spf_verdict v = { .result = SPF_NONE };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "example.com TXT", "", "example.com. 60 TXT \"v=spf1 redirect=example.com\"\n");
    spf_check_start(f.r, &q, NULL, keep, &v);
    fake_run(&f);
    assert_int_equal(v.result, SPF_PERMERROR);
    fake_deinit(&f);
}

TEST(silence_is_a_temporary_error_within_the_limit)
{
    struct fake f;
    struct spf_question q = question();
    struct spf_verdict v = { .result = SPF_NONE };
    struct spf_check_conf conf = { .limit_ms = 3000 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "example.com TXT", "drop", "");
    spf_check_start(f.r, &q, &conf, keep, &v);
    fake_run(&f);
    assert_int_equal(v.result, SPF_TEMPERROR);
    assert_in_range(f.now_ms, 4000, 4010);
    fake_deinit(&f);
}

TEST(a_check_can_be_cancelled_at_any_time)
{
    for (int ms = 0; ms < 4; ms++) {
        struct fake f;
        struct spf_question q = question();
        struct spf_verdict v = { .rounds = 0 };
        fake_init(&f, "192.0.2.53");
        say_policy(&f);
        struct spf_op *op = spf_check_start(f.r, &q, NULL, keep, &v);
        fake_run_ms(&f, (uint64_t)ms);
        if (v.rounds == 0) spf_check_cancel(&op);
        fake_run(&f);
        fake_deinit(&f);
    }
}

static void keep_lint(void *owner, const struct spf_lint *l)
{
    *(struct spf_lint *)owner = *l;
}

TEST(a_tree_is_fetched_and_linted)
{
    struct fake f;
    struct spf_lint l = { .errors = 99 };
    fake_init(&f, "192.0.2.53");
    say_policy(&f);
    spf_lint_start(f.r, SLICE("example.com"), SLICE(""), SPF_ALLOW_DOCUMENTATION, 0, keep_lint, &l);
    fake_run(&f);
    assert_int_equal(l.errors, 0);
    assert_int_equal(l.lookups, 1);
    spf_lint_start(f.r, SLICE("example.com"), SLICE("v=spf1 +all"), 0, 0, keep_lint, &l);
    fake_run(&f);
    assert_int_equal(l.errors, 1);
    struct spf_lint_op *op = spf_lint_start(f.r, SLICE("example.com"), SLICE(""), 0, 0, keep_lint, &l);
    spf_lint_cancel(&op);
    fake_deinit(&f);
}
