#include <stdlib.h>

#include "dns/spf_record.h"
#include "tests/dns/zone.h"
#include "tests/test.h"

static const char zone[] =
    "example.com. 60 TXT \"v=spf1 include:_spf.gw.example.com -all\"\n"
    "example.com. 60 TXT \"site-verification=abc\"\n"
    "example.com. 60 TXT \"spf2.0/pra ?all\"\n"
    "_spf.gw.example.com. 60 TXT \"v=spf1 ip4:8.8.8.8 ip4:9.9.9.9 -all\"\n"
    "two.example.com. 60 TXT \"v=spf1 -all\"\ntwo.example.com. 60 TXT \"v=spf1 ~all\"\n"
    "open.example.com. 60 TXT \"v=spf1 +all\"\n"
    "open2.example.com. 60 TXT \"v=spf1 a all\"\nopen2.example.com. 60 A 8.8.8.8\n"
    "loop.example.com. 60 TXT \"v=spf1 include:loop2.example.com -all\"\n"
    "loop2.example.com. 60 TXT \"v=spf1 include:loop.example.com -all\"\n"
    "doc.example.com. 60 TXT \"v=spf1 ip4:198.51.100.10 -all\"\n"
    "private.example.com. 60 TXT \"v=spf1 ip4:10.0.0.0/24 -all\"\n"
    "wide.example.com. 60 TXT \"v=spf1 ip4:8.0.0.0/8 -all\"\n"
    "uses-wide.example.org. 60 TXT \"v=spf1 include:wide.example.com -all\"\n"
    "no-all.example.com. 60 TXT \"v=spf1 ip4:8.8.8.8\"\n"
    "neutral.example.com. 60 TXT \"v=spf1 ip4:8.8.8.8 ?all\"\n"
    "behind.example.com. 60 TXT \"v=spf1 -all ip4:8.8.8.8\"\n"
    "ptr.example.com. 60 TXT \"v=spf1 ptr -all\"\n"
    "bad.example.com. 60 TXT \"v=spf1 ipv4:8.8.8.8 -all\"\n"
    "none.example.com. 60 A 8.8.8.8\n"
    "inc-none.example.com. 60 TXT \"v=spf1 include:none.example.com -all\"\n"
    "inc-fail.example.com. 60 TXT \"v=spf1 include:fail.example.com -all\"\n"
    "fail.example.com. FAIL\n"
    "voids.example.com. 60 TXT \"v=spf1 a:v1.example.com a:v2.example.com mx:v3.example.com -all\"\n"
    "many.example.com. 60 TXT \"v=spf1 a mx a:b.example.com a:c.example.com include:m2.example.com -all\"\n"
    "m2.example.com. 60 TXT \"v=spf1 a a a a a a -all\"\nm2.example.com. 60 A 8.8.8.8\n"
    "many.example.com. 60 A 8.8.8.8\nmany.example.com. 60 MX 10 none.example.com.\n"
    "b.example.com. 60 A 8.8.8.8\nc.example.com. 60 A 8.8.8.8\n"
    "redirect.example.com. 60 TXT \"v=spf1 redirect=example.com\"\n"
    "macro.example.com. 60 TXT \"v=spf1 exists:%{i}.x.example.com include:%{d}.x.example.com -all\"\n";

static void lint(const char *name, const char *text, unsigned allow, struct spf_lint *out)
{
    struct dns_table t = { 0 };
    for (int round = 0; round < 20; round++) {
        if (text)
            spf_lint_text(&t, slice_of(name), slice_of(text), allow, out);
        else
            spf_lint(&t, slice_of(name), allow, out);
        if (out->n_missing == 0) break;
        zone_settle(&t, zone, out->missing, out->n_missing);
    }
    assert_int_equal(out->n_missing, 0);
    dns_table_deinit(&t);
}

TEST(each_fault_is_found_and_said)
{
    static const struct {
        const char *name;
        unsigned errors, warnings, lookups, voids;
        const char *text; /* in the first finding */
    } cases[] = {
        { "example.com", 0, 0, 1, 0, NULL },
        { "redirect.example.com", 0, 0, 2, 0, NULL },
        { "two.example.com", 1, 0, 0, 0, "2 SPF records" },
        { "open.example.com", 1, 0, 0, 0, "+all lets everybody send" },
        { "open2.example.com", 1, 0, 1, 0, "lets everybody send" },
        { "loop.example.com", 1, 0, 2, 0, "includes itself" },
        { "doc.example.com", 1, 0, 0, 0, "documentation" },
        { "private.example.com", 1, 0, 0, 0, "public Internet" },
        { "wide.example.com", 1, 0, 0, 0, "whole network" },
        { "uses-wide.example.org", 0, 0, 1, 0, "whole network" },
        { "no-all.example.com", 0, 1, 0, 0, "without \"all\"" },
        { "neutral.example.com", 0, 1, 0, 0, "?all says nothing" },
        { "behind.example.com", 0, 1, 0, 0, "never reached" },
        { "ptr.example.com", 0, 1, 1, 0, "ptr" },
        { "bad.example.com", 1, 1, 0, 0, "ipv4:8.8.8.8: this mechanism does not exist" },
        { "none.example.com", 1, 0, 0, 0, "has no SPF record" },
        { "nobody.example.com", 1, 0, 0, 0, "has no SPF record" },
        { "inc-none.example.com", 1, 0, 1, 1, "is included, but has no SPF record" },
        { "inc-fail.example.com", 1, 0, 1, 0, "cannot be looked up" },
        { "voids.example.com", 1, 3, 3, 3, "finds nothing" },
        { "many.example.com", 1, 0, 11, 0, "needs 11 look-ups" },
        { "macro.example.com", 0, 0, 2, 0, "depends on the message" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct spf_lint l;
        lint(cases[i].name, NULL, 0, &l);
        if (l.errors != cases[i].errors || l.warnings != cases[i].warnings)
            print_error("%s: %u errors, %u warnings: %s\n", cases[i].name, l.errors, l.warnings,
                        l.n ? l.finding[0].text : "");
        assert_int_equal(l.errors, cases[i].errors);
        assert_int_equal(l.warnings, cases[i].warnings);
        assert_int_equal(l.lookups, cases[i].lookups);
        assert_int_equal(l.voids, cases[i].voids);
        if (cases[i].text) assert_non_null(strstr(l.finding[0].text, cases[i].text));
        if (!cases[i].text) assert_int_equal(l.n, 0);
    }
}

TEST(what_is_allowed_is_no_fault)
{
    struct spf_lint l;
    lint("doc.example.com", NULL, SPF_ALLOW_DOCUMENTATION, &l);
    assert_int_equal(l.errors, 0);
    lint("private.example.com", NULL, SPF_ALLOW_PRIVATE, &l);
    assert_int_equal(l.errors, 0);
    lint("wide.example.com", NULL, SPF_ALLOW_WIDE, &l);
    assert_int_equal(l.errors, 0);
}

TEST(a_text_can_be_checked_before_it_is_published)
{
    struct spf_lint l;
    lint("_spf.gw.example.com", "v=spf1 ip4:8.8.8.8 -all", 0, &l);
    assert_int_equal(l.errors + l.warnings, 0);
    lint("_spf.gw.example.com", "something went wrong", 0, &l);
    assert_int_equal(l.errors, 1);
    lint("_spf.gw.example.com", "", 0, &l);
    assert_int_equal(l.errors, 1);
}

TEST(a_tree_that_doubles_at_each_level_ends)
{
    struct dns_table t = { 0 };
    struct spf_lint l;
    struct buf b;
    buf_init(&b, 65536);
    for (int i = 0; i < 30; i++)
        buf_putf(&b, "n%d.example. 60 TXT \"v=spf1 include:n%d.example include:n%d.example -all\"\n", i,
                 i + 1, i + 1);
    for (int round = 0; round < 40; round++) {
        spf_lint(&t, SLICE("n0.example"), 0, &l);
        if (l.n_missing == 0) break;
        zone_settle(&t, buf_cstr(&b), l.missing, l.n_missing);
    }
    assert_int_equal(l.n_missing, 0);
    assert_true(l.errors > 0);
    dns_table_deinit(&t);
    buf_deinit(&b);
}
