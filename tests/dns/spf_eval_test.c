#include "dns/spf_check.h"
#include "tests/dns/zone.h"
#include "tests/test.h"

static const char zone[] =
    "example.com. 60 TXT \"v=spf1 include:_spf.gw.example.com -all\"\n"
    "example.com. 60 TXT \"site-verification=abc\"\n"
    "_spf.gw.example.com. 60 TXT \"v=spf1 ip4:198.51.100.10 ip6:2001:db8::10 -all\"\n"
    "edge1.example.com. 60 TXT \"v=spf1 ip4:198.51.100.10 -all\"\n"
    "a.example.com. 60 TXT \"v=spf1 a mx:mx.example.com ~all\"\n"
    "a.example.com. 60 A 192.0.2.1\n"
    "mx.example.com. 60 MX 10 host.example.com.\n"
    "host.example.com. 60 A 192.0.2.2\n"
    "neutral.example.com. 60 TXT \"v=spf1 ?all\"\n"
    "two.example.com. 60 TXT \"v=spf1 -all\"\ntwo.example.com. 60 TXT \"v=spf1 +all\"\n"
    "bad.example.com. 60 TXT \"v=spf1 foo:bar -all\"\n"
    "fail.example.com. FAIL\n"
    "inc-fail.example.com. 60 TXT \"v=spf1 include:fail.example.com -all\"\n"
    "inc-none.example.com. 60 TXT \"v=spf1 include:host.example.com -all\"\n"
    "voids.example.com. 60 TXT \"v=spf1 a:v1.example.com a:v2.example.com a:v3.example.com ip4:192.0.2.1 "
    "-all\"\n"
    "two-voids.example.com. 60 TXT \"v=spf1 a:v1.example.com a:v2.example.com ip4:192.0.2.1 -all\"\n"
    "nul.example.com. 60 TXT \"v=spf1 ip4:192.0.2.1\\000 -all\"\n"
    "deep.example.com. 60 TXT \"v=spf1 include:d1.example.com -all\"\n"
    "d1.example.com. 60 TXT \"v=spf1 a:h1.example.com a:h2.example.com a:h3.example.com a:h4.example.com "
    "a:h5.example.com "
    "a:h6.example.com a:h7.example.com a:h8.example.com a:h9.example.com a:ha.example.com a:hb.example.com "
    "-all\"\n"
    "h1.example.com. 60 A 10.0.0.1\nh2.example.com. 60 A 10.0.0.1\nh3.example.com. 60 A 10.0.0.1\n"
    "h4.example.com. 60 A 10.0.0.1\nh5.example.com. 60 A 10.0.0.1\nh6.example.com. 60 A 10.0.0.1\n"
    "h7.example.com. 60 A 10.0.0.1\nh8.example.com. 60 A 10.0.0.1\nh9.example.com. 60 A 10.0.0.1\n"
    "ha.example.com. 60 A 10.0.0.1\nhb.example.com. 60 A 192.0.2.1\n"
    "redirect.example.com. 60 TXT \"v=spf1 redirect=example.com\"\n"
    "macro.example.com. 60 TXT \"v=spf1 exists:%{i}.%{l}._x.%{d} -all\"\n"
    "192.0.2.1.joe._x.macro.example.com. 60 A 127.0.0.2\n"
    "exp.example.com. 60 TXT \"v=spf1 -all exp=e.example.com\"\n"
    "ptr.example.com. 60 TXT \"v=spf1 ptr -all\"\n"
    "1.2.0.192.in-addr.arpa. 60 PTR h.ptr.example.com.\nh.ptr.example.com. 60 A 192.0.2.1\n";

static struct spf_verdict check(const char *ip, const char *helo, const char *from)
{
    struct dns_table t = { 0 };
    struct spf_question q = { .helo = slice_of(helo), .mail_from = slice_of(from) };
    struct spf_missing missing[SPF_MISSING_MAX];
    struct spf_verdict v = { 0 };
    size_t n;
    int rounds = 0;
    assert_int_equal(addr_parse(slice_of(ip), &q.ip), ERR_OK);
    while (spf_eval(&t, &q, &v, missing, &n) == ERR_RETRY) {
        assert_true(n > 0 && rounds++ < 60);
        zone_settle(&t, zone, missing, n);
    }
    dns_table_deinit(&t);
    return v;
}

TEST(policies_are_judged_as_receivers_judge_them)
{
    static const struct {
        const char *ip, *helo, *from;
        enum spf_result want;
    } cases[] = {
        { "198.51.100.10", "edge1.example.com", "joe@example.com", SPF_PASS },
        { "2001:db8::10", "edge1.example.com", "joe@example.com", SPF_PASS },
        { "203.0.113.10", "edge2.example.com", "joe@example.com", SPF_FAIL },
        { "198.51.100.10", "edge1.example.com", "", SPF_PASS }, /* null sender: the HELO name */
        { "203.0.113.10", "edge1.example.com", "", SPF_FAIL },
        { "198.51.100.10", "edge1.example.com", "example.com", SPF_PASS },
        { "192.0.2.1", "x.example", "joe@a.example.com", SPF_PASS },
        { "192.0.2.2", "x.example", "joe@a.example.com", SPF_PASS },
        { "192.0.2.3", "x.example", "joe@a.example.com", SPF_SOFTFAIL },
        { "192.0.2.3", "x.example", "joe@neutral.example.com", SPF_NEUTRAL },
        { "192.0.2.3", "x.example", "joe@nothing.example.com", SPF_NONE },
        { "192.0.2.3", "x.example", "joe@host.example.com", SPF_NONE },
        { "192.0.2.3", "x.example", "joe@two.example.com", SPF_PERMERROR },
        { "192.0.2.3", "x.example", "joe@bad.example.com", SPF_PERMERROR },
        { "192.0.2.3", "x.example", "joe@fail.example.com", SPF_TEMPERROR },
        { "192.0.2.3", "x.example", "joe@inc-fail.example.com", SPF_TEMPERROR },
        { "192.0.2.3", "x.example", "joe@inc-none.example.com", SPF_PERMERROR },
        { "192.0.2.1", "x.example", "joe@voids.example.com", SPF_PERMERROR },
        { "192.0.2.1", "x.example", "joe@two-voids.example.com", SPF_PASS },
        { "192.0.2.1", "x.example", "joe@nul.example.com", SPF_PERMERROR },
        { "192.0.2.1", "x.example", "joe@deep.example.com",
          SPF_PASS }, /* libspf2 counts so; spf_lint refuses it */
        { "198.51.100.10", "x.example", "joe@redirect.example.com", SPF_PASS },
        { "192.0.2.1", "x.example", "joe@macro.example.com", SPF_PASS },
        { "192.0.2.1", "x.example", "jim@macro.example.com", SPF_FAIL },
        { "192.0.2.1", "x.example", "jim@exp.example.com", SPF_FAIL },
        { "192.0.2.1", "x.example", "joe@ptr.example.com", SPF_PASS },
        { "127.0.0.1", "x.example", "joe@example.com", SPF_NONE },
        { "192.0.2.1", "localhost", "", SPF_NONE },
        { "192.0.2.1", "[192.0.2.1]", "", SPF_NONE },
        { "192.0.2.1", "x.example", "joe@a..b", SPF_NONE },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct spf_verdict v = check(cases[i].ip, cases[i].helo, cases[i].from);
        if (v.result != cases[i].want)
            print_error("%s %s: %s (%s)\n", cases[i].ip, cases[i].from, spf_result_name(v.result), v.comment);
        assert_int_equal(v.result, cases[i].want);
    }
}

TEST(a_verdict_says_why)
{
    struct spf_verdict v = check("203.0.113.10", "edge2.example.com", "joe@example.com");
    assert_true(v.comment[0]);
    assert_slice(dns_name_slice(&v.domain), "example.com");
    v = check("192.0.2.1", "x.example", "joe@voids.example.com");
    assert_non_null(strstr(v.comment, "find nothing"));
}
