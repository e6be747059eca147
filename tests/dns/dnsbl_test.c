#include "dns/dnsbl.h"

#include <stdio.h>

#include "tests/dns/fake.h"
#include "tests/test.h"

static struct addr addr(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_of(text), &a), ERR_OK);
    return a;
}

static struct dnsbl_zone zone(const char *name, const char *listed, const char *policy)
{
    struct dnsbl_zone z = { .weight = 5 };
    assert_int_equal(dns_name_parse(slice_of(name), &z.name), ERR_OK);
    assert_int_equal(dnsbl_codes_parse(slice_of(listed), &z.listed), ERR_OK);
    assert_int_equal(dnsbl_codes_parse(slice_of(policy), &z.policy), ERR_OK);
    return z;
}

TEST(codes_are_written_in_several_ways)
{
    static const struct {
        const char *text, *in, *out;
    } cases[] = {
        { "2-11", "127.0.0.2 127.0.0.11", "127.0.0.1 127.0.0.12 127.0.1.2" },
        { "[ 2, 4 ]", "127.0.0.2 127.0.0.4", "127.0.0.3" },
        { "127.0.0.2", "127.0.0.2", "127.0.0.3 10.0.0.2" },
        { "127.0.1.0/24", "127.0.1.0 127.0.1.255", "127.0.0.255 127.0.2.0" },
        { "127.0.1.4-127.0.1.6", "127.0.1.5", "127.0.0.5" },
        { "&4", "127.0.0.4 127.0.0.6 127.0.0.12", "127.0.0.2 127.0.0.8 127.0.1.4" },
        { "", "", "127.0.0.2" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dnsbl_codes c;
        struct slice in = slice_of(cases[i].in), out = slice_of(cases[i].out);
        assert_int_equal(dnsbl_codes_parse(slice_of(cases[i].text), &c), ERR_OK);
        for (struct slice w = slice_word(&in); w.n; w = slice_word(&in)) {
            struct addr a;
            assert_int_equal(addr_parse(w, &a), ERR_OK);
            assert_true(dnsbl_codes_has(&c, &a));
        }
        for (struct slice w = slice_word(&out); w.n; w = slice_word(&out)) {
            struct addr a;
            assert_int_equal(addr_parse(w, &a), ERR_OK);
            assert_false(dnsbl_codes_has(&c, &a));
        }
    }
}

TEST(codes_that_can_be_no_listing_are_refused)
{
    static const char *const cases[] = {
        "256", "11-2", "127.255.255.254", "127.0.0.0/8", "10.0.0.2",           "x", "&0", "&256", "2-",
        "-2",  "::1",  "127.0.0.2/24",    "2;4",         "126.0.0.1-127.0.0.1"
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dnsbl_codes c;
        assert_int_equal(dnsbl_codes_parse(slice_of(cases[i]), &c), ERR_MALFORMED);
    }
    struct dnsbl_codes c;
    assert_int_equal(dnsbl_codes_parse(SLICE("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"), &c), ERR_LIMIT);
}

TEST(codes_are_printed_as_they_can_be_read)
{
    struct dnsbl_codes c, again;
    struct buf b;
    buf_init(&b, 200);
    assert_int_equal(dnsbl_codes_parse(SLICE("2-11 127.0.1.0/24,&4,127.0.0.200"), &c), ERR_OK);
    dnsbl_codes_format(&c, &b);
    assert_slice(buf_slice(&b), "2-11,127.0.1.0-127.0.1.255,&4,200");
    assert_int_equal(dnsbl_codes_parse(buf_slice(&b), &again), ERR_OK);
    assert_memory_equal(&c, &again, sizeof c);
    buf_deinit(&b);
}

TEST(the_question_is_the_reversed_address_and_the_zone)
{
    struct dns_name n;
    struct addr a4 = addr("198.51.100.10"), a6 = addr("2001:db8::1");
    assert_int_equal(dnsbl_question(&a4, SLICE("bl.example"), &n), ERR_OK);
    assert_slice(dns_name_slice(&n), "10.100.51.198.bl.example");
    assert_int_equal(dnsbl_question(&a6, SLICE("bl.example"), &n), ERR_OK);
    assert_slice(dns_name_slice(&n),
                 "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example");
}

TEST(an_answer_is_listed_clean_or_unknown)
{
    static const struct {
        const char *codes; /* addresses in the answer; "": none */
        enum dns_result result;
        enum dns_why why;
        enum dnsbl_state state;
        enum dnsbl_why verdict;
        bool policy;
    } cases[] = {
        { "", DNS_NXDOMAIN, 0, DNSBL_CLEAN, DNSBL_WHY_NOT_LISTED, false },
        { "", DNS_NODATA, 0, DNSBL_CLEAN, DNSBL_WHY_NOT_LISTED, false },
        { "127.0.0.2", DNS_ANSWER, 0, DNSBL_LISTED, DNSBL_WHY_CODE, false },
        { "127.0.0.10", DNS_ANSWER, 0, DNSBL_CLEAN, DNSBL_WHY_POLICY, true },
        { "127.0.0.10 127.0.0.4", DNS_ANSWER, 0, DNSBL_LISTED, DNSBL_WHY_CODE, true },
        { "127.0.0.99", DNS_ANSWER, 0, DNSBL_UNKNOWN, DNSBL_WHY_UNKNOWN_CODE, false },
        { "127.0.0.99 127.0.0.2", DNS_ANSWER, 0, DNSBL_LISTED, DNSBL_WHY_CODE, false },
        { "127.255.255.252", DNS_ANSWER, 0, DNSBL_UNKNOWN, DNSBL_WHY_TYPING_ERROR, false },
        { "127.255.255.254", DNS_ANSWER, 0, DNSBL_UNKNOWN, DNSBL_WHY_PUBLIC_RESOLVER, false },
        { "127.255.255.255", DNS_ANSWER, 0, DNSBL_UNKNOWN, DNSBL_WHY_QUOTA, false },
        { "127.255.255.7", DNS_ANSWER, 0, DNSBL_UNKNOWN, DNSBL_WHY_ERROR_CODE, false },
        { "127.0.0.2 127.255.255.254", DNS_ANSWER, 0, DNSBL_UNKNOWN, DNSBL_WHY_PUBLIC_RESOLVER, false },
        { "192.0.2.80", DNS_ANSWER, 0, DNSBL_UNKNOWN, DNSBL_WHY_OUTSIDE_127, false },
        { "127.0.0.2 192.0.2.80", DNS_ANSWER, 0, DNSBL_UNKNOWN, DNSBL_WHY_OUTSIDE_127, false },
        { "", DNS_FAIL, DNS_WHY_SERVFAIL, DNSBL_UNKNOWN, DNSBL_WHY_SERVFAIL, false },
        { "", DNS_FAIL, DNS_WHY_TIMEOUT, DNSBL_UNKNOWN, DNSBL_WHY_TIMEOUT, false },
        { "", DNS_FAIL, DNS_WHY_REFUSED, DNSBL_UNKNOWN, DNSBL_WHY_REFUSED, false },
        { "", DNS_FAIL, DNS_WHY_MALFORMED, DNSBL_UNKNOWN, DNSBL_WHY_FAIL, false },
    };
    struct dnsbl_zone z = zone("bl.example", "2-9", "10,11");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dns_record r[4] = { { 0 } };
        struct dns_answer a = { .result = cases[i].result, .why = cases[i].why, .records = r, .ttl_s = 60 };
        struct slice rest = slice_of(cases[i].codes);
        struct dnsbl_verdict v;
        for (struct slice w = slice_word(&rest); w.n; w = slice_word(&rest))
            assert_int_equal(addr_parse(w, &r[a.n++].addr), ERR_OK);
        dnsbl_classify(&z, &a, &v);
        assert_int_equal(v.state, cases[i].state);
        assert_int_equal(v.why, cases[i].verdict);
        assert_int_equal(v.policy, cases[i].policy);
    }
}

static void keep(void *owner, const struct dnsbl_verdict *v)
{
    *(struct dnsbl_verdict *)owner = *v;
}

TEST(a_listing_comes_with_the_zones_own_words)
{
    struct fake f;
    struct dnsbl_zone z = zone("bl.example", "2", "");
    struct addr a = addr("198.51.100.10");
    struct dnsbl_verdict v = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "10.100.51.198.bl.example A", "", "10.100.51.198.bl.example. 60 A 127.0.0.2\n");
    fake_say(&f, "10.100.51.198.bl.example TXT", "",
             "10.100.51.198.bl.example. 60 TXT \"see\\010 https://bl.example/\"\n");
    dnsbl_ask(f.r, &z, &a, DNSBL_WANT_TEXT, 0, keep, &v);
    fake_run(&f);
    assert_int_equal(v.state, DNSBL_LISTED);
    assert_string_equal(v.text, "see? https://bl.example/");
    assert_int_equal(v.ttl_s, 60);
    fake_deinit(&f);
}

TEST(a_family_the_zone_does_not_take_is_unknown_without_a_question)
{
    struct fake f;
    struct dnsbl_zone z = zone("bl.example", "2", "");
    struct addr a = addr("2001:db8::1");
    struct dnsbl_verdict v = { 0 };
    z.no_v6 = true;
    fake_init(&f, "192.0.2.53");
    dnsbl_ask(f.r, &z, &a, 0, 0, keep, &v);
    fake_run(&f);
    assert_int_equal(v.state, DNSBL_UNKNOWN);
    assert_int_equal(v.why, DNSBL_WHY_FAMILY);
    assert_slice(fake_trace(&f), "");
    struct dnsbl_op *op = dnsbl_ask(f.r, &z, &a, 0, 0, keep, &v);
    dnsbl_cancel(&op);
    fake_deinit(&f);
}

static void keep_probe(void *owner, const struct dnsbl_probe *p)
{
    *(struct dnsbl_probe *)owner = *p;
}

TEST(the_test_points_tell_the_health_of_a_zone)
{
    static const struct {
        const char *two, *one; /* answers for 127.0.0.2 and 127.0.0.1; "": not listed, "!": SERVFAIL */
        enum dnsbl_health want;
    } cases[] = {
        { "127.0.0.2", "", DNSBL_OK },
        { "127.0.0.10", "", DNSBL_OK }, /* a policy code */
        { "127.0.0.99", "", DNSBL_OK }, /* a test code of its own */
        { "127.0.0.2", "127.0.0.2", DNSBL_SUSPECT },
        { "127.0.0.2", "127.0.0.10", DNSBL_SUSPECT },
        { "127.0.0.77", "127.0.0.77", DNSBL_SUSPECT },
        { "192.0.2.80", "192.0.2.80", DNSBL_SUSPECT },
        { "192.0.2.80", "", DNSBL_SUSPECT },
        { "", "", DNSBL_BLIND },
        { "127.255.255.254", "127.255.255.254", DNSBL_BLIND },
        { "!", "", DNSBL_BLIND },
        { "127.0.0.2", "!", DNSBL_BLIND },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake f;
        struct dnsbl_zone z = zone("bl.example", "2-9", "10");
        struct dnsbl_probe p = { 0 };
        char two[100], one[100];
        fake_init(&f, "192.0.2.53");
        snprintf(two, sizeof two, "2.0.0.127.bl.example. 60 A %s\n", cases[i].two);
        snprintf(one, sizeof one, "1.0.0.127.bl.example. 60 A %s\n", cases[i].one);
        if (cases[i].two[0])
            fake_say(&f, "2.0.0.127.bl.example A", *cases[i].two == '!' ? "servfail" : "",
                     *cases[i].two == '!' ? "" : two);
        if (cases[i].one[0])
            fake_say(&f, "1.0.0.127.bl.example A", *cases[i].one == '!' ? "servfail" : "",
                     *cases[i].one == '!' ? "" : one);
        dnsbl_probe(f.r, &z, ADDR_V4, 0, keep_probe, &p);
        fake_run(&f);
        if (p.health != cases[i].want) print_error("row %zu: %s\n", i, p.why);
        assert_int_equal(p.health, cases[i].want);
        fake_deinit(&f);
    }
}

TEST(ipv6_has_test_points_of_its_own)
{
    struct fake f;
    struct dnsbl_zone z = zone("bl.example", "2", "");
    struct dnsbl_probe p = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example A", "",
             "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example. 60 A 127.0.0.2\n");
    dnsbl_probe(f.r, &z, ADDR_V6, 0, keep_probe, &p);
    fake_run(&f);
    assert_int_equal(p.health, DNSBL_OK);
    fake_deinit(&f);
}
