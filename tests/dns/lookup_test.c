#include "dns/lookup.h"

#include "tests/dns/fake.h"
#include "tests/test.h"

static void keep_mx(void *owner, const struct mx_answer *a)
{
    *(struct mx_answer *)owner = *a;
}

static struct mx_answer mx(struct fake *f, const char *domain)
{
    struct mx_answer a = { .n = 99 };
    mx_lookup(f->r, slice_of(domain), keep_mx, &a);
    assert_int_equal(a.n, 99);
    fake_run(f);
    return a;
}

TEST(mail_goes_to_the_mx_hosts_best_first)
{
    struct fake f;
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "example.com MX", "",
             "example.com. 60 MX 20 b.example.\nexample.com. 50 MX 10 A.example.\nexample.com. 60 MX 30 "
             "a.example.\n");
    struct mx_answer a = mx(&f, "Example.com");
    assert_int_equal(a.result, MX_FOUND);
    assert_false(a.implicit);
    assert_int_equal(a.n, 2); /* the same host twice is one host */
    assert_slice(dns_name_slice(&a.hosts[0].name), "a.example");
    assert_slice(dns_name_slice(&a.hosts[1].name), "b.example");
    assert_int_equal(a.ttl_s, 50);
    fake_deinit(&f);
}

TEST(equal_preferences_come_in_random_order)
{
    struct fake f;
    unsigned first[2] = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "example.com MX", "",
             "example.com. 600 MX 10 a.example.\nexample.com. 600 MX 10 b.example.\n");
    for (int i = 0; i < 60; i++) {
        struct mx_answer a = mx(&f, "example.com");
        first[a.hosts[0].name.text[0] - 'a']++;
    }
    assert_true(first[0] > 10 && first[1] > 10);
    fake_deinit(&f);
}

TEST(a_domain_says_what_it_takes)
{
    static const struct {
        const char *domain;
        enum mx_result result;
    } cases[] = {
        { "null.example", MX_NULL },          { "nobody.example", MX_NO_DOMAIN }, { "own.example", MX_FOUND },
        { "text.example", MX_NO_HOST },       { "sick.example", MX_TRY_LATER },   { "a..b", MX_NO_DOMAIN },
        { "halfsick.example", MX_TRY_LATER },
    };
    struct fake f;
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "null.example MX", "", "null.example. 60 MX 0 .\n");
    fake_say(&f, "own.example MX", "", "");
    fake_say(&f, "own.example A", "", "own.example. 60 A 192.0.2.1\n");
    fake_say(&f, "text.example MX", "", "");
    fake_say(&f, "text.example A", "", "");
    fake_say(&f, "text.example AAAA", "", "");
    fake_say(&f, "sick.example MX", "servfail", "");
    fake_say(&f, "halfsick.example MX", "", "");
    fake_say(&f, "halfsick.example A", "servfail", "");
    fake_say(&f, "halfsick.example AAAA", "", "");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct mx_answer a = mx(&f, cases[i].domain);
        assert_int_equal(a.result, cases[i].result);
        assert_int_equal(a.implicit, strcmp(cases[i].domain, "own.example") == 0);
    }
    fake_deinit(&f);
}

static void keep_addrs(void *owner, const struct addrs_answer *a)
{
    *(struct addrs_answer *)owner = *a;
}

TEST(addresses_of_both_families_ipv4_first)
{
    struct fake f;
    struct addrs_answer a = { 0 };
    char text[ADDR_TEXT_MAX];
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "h.example A", "delay=50", "h.example. 60 A 192.0.2.1\nh.example. 60 A 192.0.2.2\n");
    fake_say(&f, "h.example AAAA", "", "h.example. 60 AAAA 2001:db8::1\n");
    addrs_lookup(f.r, SLICE("h.example"), ADDRS_BOTH, keep_addrs, &a);
    fake_run(&f);
    assert_int_equal(a.n, 3);
    assert_string_equal(addr_format(&a.addr[0], text), "192.0.2.1");
    assert_string_equal(addr_format(&a.addr[2], text), "2001:db8::1");
    fake_deinit(&f);
}

TEST(one_family_that_fails_leaves_the_other)
{
    struct fake f;
    struct addrs_answer a = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "h.example A", "", "h.example. 60 A 192.0.2.1\n");
    fake_say(&f, "h.example AAAA", "servfail", "");
    addrs_lookup(f.r, SLICE("h.example"), ADDRS_BOTH, keep_addrs, &a);
    fake_run(&f);
    assert_int_equal(a.result, DNS_ANSWER);
    assert_true(a.partial);
    fake_deinit(&f);
}

static void keep_ptr(void *owner, const struct ptr_answer *a)
{
    *(struct ptr_answer *)owner = *a;
}

static struct ptr_answer ptr(struct fake *f, const char *text)
{
    struct ptr_answer a = { .n = 99 };
    struct addr addr;
    assert_int_equal(addr_parse(slice_of(text), &addr), ERR_OK);
    ptr_lookup(f->r, &addr, keep_ptr, &a);
    fake_run(f);
    return a;
}

TEST(a_name_counts_when_it_leads_back)
{
    struct fake f;
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "10.100.51.198.in-addr.arpa PTR", "",
             "10.100.51.198.in-addr.arpa. 60 PTR liar.example.\n10.100.51.198.in-addr.arpa. 60 PTR "
             "edge1.example.com.\n");
    fake_say(&f, "liar.example A", "", "liar.example. 60 A 192.0.2.9\n");
    fake_say(&f, "edge1.example.com A", "", "edge1.example.com. 60 A 198.51.100.10\n");
    struct ptr_answer a = ptr(&f, "198.51.100.10");
    assert_true(a.confirmed);
    assert_false(a.unsure);
    assert_int_equal(a.n, 2);
    assert_slice(dns_name_slice(&a.names[0].name), "edge1.example.com");
    assert_false(a.names[1].confirmed);
    fake_deinit(&f);
}

TEST(a_reverse_name_of_ipv6_has_nibbles)
{
    struct fake f;
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR", "",
             "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 PTR h.example.\n");
    fake_say(&f, "h.example AAAA", "", "h.example. 60 AAAA 2001:db8::1\n");
    assert_true(ptr(&f, "2001:db8::1").confirmed);
    fake_deinit(&f);
}

TEST(not_confirmed_and_not_known_are_told_apart)
{
    struct fake f;
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "1.2.0.192.in-addr.arpa PTR", "", "1.2.0.192.in-addr.arpa. 60 PTR sick.example.\n");
    fake_say(&f, "sick.example A", "servfail", "");
    fake_say(&f, "2.2.0.192.in-addr.arpa PTR", "servfail", "");
    struct ptr_answer a = ptr(&f, "192.0.2.1");
    assert_true(!a.confirmed && a.unsure);
    a = ptr(&f, "192.0.2.2");
    assert_int_equal(a.result, DNS_FAIL);
    a = ptr(&f, "192.0.2.3");
    assert_int_equal(a.result, DNS_NXDOMAIN);
    fake_deinit(&f);
}

TEST(look_ups_can_be_cancelled_at_any_time)
{
    for (int ms = 0; ms < 4; ms++) {
        struct fake f;
        struct addr addr;
        struct ptr_answer p = { .n = 99 };
        struct mx_answer m = { .n = 99 };
        fake_init(&f, "192.0.2.53");
        fake_say(&f, "own.example MX", "", "");
        fake_say(&f, "own.example A", "", "own.example. 60 A 192.0.2.1\n");
        fake_say(&f, "1.2.0.192.in-addr.arpa PTR", "", "1.2.0.192.in-addr.arpa. 60 PTR own.example.\n");
        assert_int_equal(addr_parse(SLICE("192.0.2.1"), &addr), ERR_OK);
        struct mx_op *mx_op = mx_lookup(f.r, SLICE("own.example"), keep_mx, &m);
        struct ptr_op *ptr_op = ptr_lookup(f.r, &addr, keep_ptr, &p);
        fake_run_ms(&f, (uint64_t)ms);
        if (m.n == 99) mx_cancel(&mx_op);
        if (p.n == 99) ptr_cancel(&ptr_op);
        fake_run(&f);
        fake_deinit(&f);
    }
}
