#include "dns/preflight.h"

#include "tests/dns/fake.h"
#include "tests/test.h"

#define IP_PTR  "10.100.51.198.in-addr.arpa"
#define HELO    "edge1.example.com"
#define PTR(to) IP_PTR ". 60 PTR " to ".\n"

static void keep(void *owner, const struct preflight_report *r)
{
    *(struct preflight_report *)owner = *r;
}

static struct preflight_subject subject(const char *ip)
{
    struct preflight_subject s = { .helo = SLICE(HELO), .mail_domain = SLICE("example.com") };
    assert_int_equal(addr_parse(slice_of(ip), &s.ip), ERR_OK);
    return s;
}

/* A face without fault; a row said later takes the place of one of these. */
static void say_coherent(struct fake *f)
{
    fake_say(f, IP_PTR " PTR", "", PTR(HELO));
    fake_say(f, HELO " A", "", HELO ". 60 A 198.51.100.10\n");
    fake_say(f, HELO " TXT", "", HELO ". 60 TXT \"v=spf1 ip4:198.51.100.10 -all\"\n");
    fake_say(f, "example.com TXT", "", "example.com. 60 TXT \"v=spf1 ip4:198.51.100.10 -all\"\n");
    fake_say(f, "example.com MX", "", "example.com. 60 MX 10 " HELO ".\n");
}

struct flaw { /* what DNS says otherwise, and what is then found */
    const char *question, *flags, *records;
    enum preflight_check check;
    enum preflight_mark mark;
    const char *what, *cure;
    bool fit, unsure;
};

static void check_flaw(const struct flaw *w)
{
    struct fake f;
    struct preflight_report r = { 0 };
    struct preflight_subject s = subject("198.51.100.10");
    fake_init(&f, "192.0.2.53");
    say_coherent(&f);
    if (w->question) fake_say(&f, w->question, w->flags, w->records);
    preflight_start(f.r, &s, keep, &r);
    fake_run(&f);
    const struct preflight_finding *found = &r.finding[w->check];
    if (found->mark != w->mark || !strstr(found->what, w->what) || !strstr(found->cure, w->cure))
        print_error("%s: %s, cure: %s\n", preflight_mark_name(found->mark), found->what, found->cure);
    assert_int_equal(found->mark, w->mark);
    assert_non_null(strstr(found->what, w->what));
    assert_non_null(strstr(found->cure, w->cure));
    assert_true((found->mark == PREFLIGHT_OK) == !*found->cure);
    assert_int_equal(r.fit, w->fit);
    assert_int_equal(r.unsure, w->unsure);
    fake_deinit(&f);
}

TEST(a_coherent_face_has_no_findings)
{
    for (int c = 0; c < PREFLIGHT_CHECKS; c++)
        check_flaw(&(struct flaw){ .check = c, .mark = PREFLIGHT_OK, .what = "", .cure = "", .fit = true });
}

TEST(what_receivers_refuse_makes_it_unfit_and_comes_with_its_cure)
{
    static const struct flaw flaws[] = {
        { IP_PTR " PTR", "nxdomain", "", PREFLIGHT_PTR, PREFLIGHT_BAD, "has no reverse name",
          "a PTR record that says " HELO, false, false },
        { IP_PTR " PTR", "", PTR("host10.provider.example"), PREFLIGHT_PTR, PREFLIGHT_BAD,
          "is host10.provider.example, not " HELO, "the same name", false, false },
        { HELO " A", "", HELO ". 60 A 198.51.100.99\n", PREFLIGHT_PTR, PREFLIGHT_BAD,
          "does not lead back to 198.51.100.10", "add an address record", false, false },
        { HELO " A", "", HELO ". 60 A 198.51.100.99\n", PREFLIGHT_HELO_ADDRESS, PREFLIGHT_BAD,
          "has other addresses only", "with 198.51.100.10", false, false },
        { HELO " A", "nxdomain", "", PREFLIGHT_HELO_ADDRESS, PREFLIGHT_BAD, "has no address",
          "with 198.51.100.10", false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(flaws); i++) check_flaw(&flaws[i]);
}

TEST(what_receivers_only_mind_leaves_it_fit)
{
    static const struct flaw flaws[] = {
        { IP_PTR " PTR", "", PTR("other.example.com") PTR(HELO), PREFLIGHT_PTR, PREFLIGHT_WARN,
          "has 2 reverse names", "keep only", true, false },
        { HELO " TXT", "nxdomain", "", PREFLIGHT_SPF_HELO, PREFLIGHT_WARN, "gives none",
          "\"v=spf1 ip4:198.51.100.10 -all\"", true, false },
        { "example.com TXT", "", "example.com. 60 TXT \"v=spf1 ip4:203.0.113.10 -all\"\n", PREFLIGHT_SPF_MAIL,
          PREFLIGHT_WARN, "gives fail", "must say include:", true, false },
        { "example.com MX", "", "example.com. 60 MX 10 mx.elsewhere.example.\n", PREFLIGHT_MX, PREFLIGHT_WARN,
          "is not an MX", "names " HELO, true, false },
        { "example.com MX", "", "example.com. 60 MX 20 EDGE1.example.com.\n", PREFLIGHT_MX, PREFLIGHT_OK,
          "is an MX", "", true, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(flaws); i++) check_flaw(&flaws[i]);
}

TEST(dns_that_does_not_answer_is_no_verdict)
{
    static const struct flaw flaws[] = {
        { IP_PTR " PTR", "servfail", "", PREFLIGHT_PTR, PREFLIGHT_UNKNOWN, "cannot be looked up",
          "reverse zone", false, true },
        { HELO " A", "servfail", "", PREFLIGHT_HELO_ADDRESS, PREFLIGHT_UNKNOWN, "cannot be looked up",
          "name servers of " HELO, false, true },
        { HELO " A", "servfail", "", PREFLIGHT_PTR, PREFLIGHT_UNKNOWN, "whether it leads back",
          "name servers of " HELO, false, true },
        { "example.com TXT", "servfail", "", PREFLIGHT_SPF_MAIL, PREFLIGHT_UNKNOWN, "cannot be evaluated", "",
          true, true },
        { "example.com MX", "servfail", "", PREFLIGHT_MX, PREFLIGHT_UNKNOWN, "cannot be looked up",
          "check the resolver", true, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(flaws); i++) check_flaw(&flaws[i]);
}

TEST(ipv6_is_judged_by_its_own_records)
{
    struct fake f;
    struct preflight_report r = { 0 };
    struct preflight_subject s = subject("2001:db8::1");
    fake_init(&f, "192.0.2.53");
    say_coherent(&f); /* IPv4 only */
    preflight_start(f.r, &s, keep, &r);
    fake_run(&f);
    assert_int_equal(r.finding[PREFLIGHT_PTR].mark, PREFLIGHT_BAD);
    assert_int_equal(r.finding[PREFLIGHT_HELO_ADDRESS].mark, PREFLIGHT_BAD);
    assert_int_equal(r.finding[PREFLIGHT_SPF_HELO].mark, PREFLIGHT_WARN);
    assert_non_null(strstr(r.finding[PREFLIGHT_SPF_HELO].cure, "ip6:2001:db8::1"));
    assert_false(r.fit);
    fake_deinit(&f);
}

TEST(a_cancel_is_final_and_leaves_nothing_open)
{
    struct fake f;
    struct preflight_report r = { .unsure = true };
    struct preflight_subject s = subject("198.51.100.10");
    fake_init(&f, "192.0.2.53");
    say_coherent(&f);
    struct preflight_op *op = preflight_start(f.r, &s, keep, &r);
    preflight_cancel(&op);
    assert_null(op);
    preflight_cancel(&op);
    fake_run(&f);
    assert_true(r.unsure && !r.fit); /* untouched */
    fake_deinit(&f);
}

TEST(every_check_and_mark_has_its_word)
{
    for (int c = 0; c < PREFLIGHT_CHECKS; c++) {
        assert_true(strlen(preflight_check_name(c)) > 1);
        assert_true(strlen(preflight_check_text(c)) > strlen(preflight_check_name(c)));
    }
    assert_string_equal(preflight_mark_name(PREFLIGHT_UNKNOWN), "unknown");
}
