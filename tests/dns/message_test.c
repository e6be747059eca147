#include "dns/message.h"

#include "tests/dns/wire.h"
#include "tests/test.h"

struct parsed {
    struct dns_message m;
    struct dns_answer a;
    bool next;
};

/* What a server's answer to (name, type) means. */
static enum err answer_of(const char *name, uint16_t type, const char *flags, const char *records,
                          struct parsed *out)
{
    struct wire_question q = { .id = 7, .type = type };
    struct buf b;
    buf_init(&b, DNS_MESSAGE_BYTES_MAX);
    assert_int_equal(dns_name_parse(slice_of(name), &q.name), ERR_OK);
    wire_answer(&q, flags, records, &b);
    *out = (struct parsed){ 0 };
    enum err err = dns_message_parse(buf_slice(&b), &out->m);
    buf_deinit(&b);
    if (!err) dns_message_answer(&out->m, slice_of(name), type, &out->a, &out->next);
    return err;
}

TEST(a_question_carries_id_flags_and_edns)
{
    struct buf b;
    struct wire_question got;
    struct dns_query q = {
        .id = 0xbeef, .name = SLICE("Example.COM"), .type = DNS_MX, .recursion = true, .edns = true
    };
    buf_init(&b, DNS_QUERY_BYTES_MAX);
    assert_int_equal(dns_query_format(&q, &b), ERR_OK);
    assert_true(wire_question(buf_slice(&b), &got));
    assert_int_equal(got.id, 0xbeef);
    assert_int_equal(got.type, DNS_MX);
    assert_true(got.recursion && got.edns);
    assert_slice(dns_name_slice(&got.name), "example.com");
    q.name = SLICE("a..b");
    assert_int_equal(dns_query_format(&q, &b), ERR_MALFORMED);
    buf_deinit(&b);
}

TEST(records_of_every_kind_are_flat)
{
    struct parsed p;
    assert_int_equal(
        answer_of("example.com", DNS_MX, "aa ad",
                  "EXAMPLE.com. 300 MX 10 MX1.example.com.\n"
                  "example.com. 200 MX 20 mx2.example.com.\n"
                  "; authority\nexample.com. 900 NS ns1.example.com.\n"
                  "; additional\nmx1.example.com. 60 A 192.0.2.1\nmx1.example.com. 60 AAAA 2001:db8::1\n",
                  &p),
        ERR_OK);
    assert_int_equal(p.a.result, DNS_ANSWER);
    assert_true(p.a.aa && p.a.ad);
    assert_int_equal(p.a.ttl_s, 200);
    assert_int_equal(p.a.n, 2);
    assert_int_equal(p.a.records[0].pref, 10);
    assert_slice(p.a.records[0].name, "mx1.example.com");
    assert_int_equal(p.m.n_authority, 1);
    assert_int_equal(p.m.n_additional, 2);
    char text[ADDR_TEXT_MAX];
    assert_string_equal(addr_format(&p.m.additional[1].addr, text), "2001:db8::1");
    dns_message_deinit(&p.m);
}

TEST(txt_strings_are_joined_with_nothing_between)
{
    struct parsed p;
    assert_int_equal(
        answer_of("t.example", DNS_TXT, "", "t.example. 5 TXT \"v=spf1 ip4:192\" \".0.2.1 -all\" \"\"\n", &p),
        ERR_OK);
    assert_int_equal(p.a.n, 1);
    assert_slice(p.a.records[0].text, "v=spf1 ip4:192.0.2.1 -all");
    assert_int_equal(p.a.records[0].strings, 3);
    dns_message_deinit(&p.m);
}

TEST(aliases_are_followed_inside_the_message)
{
    struct parsed p;
    assert_int_equal(answer_of("a.example", DNS_A, "",
                               "a.example. 30 CNAME b.example.\nb.example. 300 CNAME c.example.\n"
                               "c.example. 300 A 192.0.2.3\nx.example. 1 A 192.0.2.9\n",
                               &p),
                     ERR_OK);
    assert_int_equal(p.a.result, DNS_ANSWER);
    assert_slice(p.a.canonical, "c.example");
    assert_int_equal(p.a.n, 1); /* what nobody asked for is not in it */
    assert_int_equal(p.a.ttl_s, 30);
    dns_message_deinit(&p.m);
}

TEST(an_alias_that_leaves_the_message_is_asked_next)
{
    struct parsed p;
    assert_int_equal(answer_of("a.example", DNS_A, "", "a.example. 30 CNAME b.example.\n", &p), ERR_OK);
    assert_true(p.next);
    assert_slice(p.a.canonical, "b.example");
    dns_message_deinit(&p.m);
    /* … unless the server says that there is nothing there */
    assert_int_equal(answer_of("a.example", DNS_A, "",
                               "a.example. 30 CNAME b.example.\n; authority\n"
                               "example. 300 SOA ns. h. 1 2 3 4 77\n",
                               &p),
                     ERR_OK);
    assert_false(p.next);
    assert_int_equal(p.a.result, DNS_NODATA);
    assert_int_equal(p.a.ttl_s, 30);
    dns_message_deinit(&p.m);
}

TEST(aliases_in_a_circle_end)
{
    struct parsed p;
    assert_int_equal(answer_of("a.example", DNS_A, "",
                               "a.example. 30 CNAME b.example.\nb.example. 30 CNAME a.example.\n", &p),
                     ERR_OK);
    assert_int_equal(p.a.result, DNS_FAIL);
    assert_int_equal(p.a.why, DNS_WHY_LOOP);
    dns_message_deinit(&p.m);
}

TEST(negative_answers_live_as_long_as_the_soa_lets_them)
{
    static const struct {
        const char *flags, *authority;
        enum dns_result result;
        uint32_t ttl_s;
    } cases[] = {
        { "nxdomain", "; authority\nexample. 300 SOA ns. h. 1 2 3 4 77\n", DNS_NXDOMAIN, 77 },
        { "", "; authority\nexample. 50 SOA ns. h. 1 2 3 4 77\n", DNS_NODATA, 50 },
        { "nxdomain", "", DNS_NXDOMAIN, 0 },
        { "nxdomain", "; authority\nother. 300 SOA ns. h. 1 2 3 4 77\n", DNS_NXDOMAIN, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct parsed p;
        assert_int_equal(answer_of("no.example", DNS_A, cases[i].flags, cases[i].authority, &p), ERR_OK);
        assert_int_equal(p.a.result, cases[i].result);
        assert_int_equal(p.a.ttl_s, cases[i].ttl_s);
        dns_message_deinit(&p.m);
    }
}

TEST(errors_are_failures_with_a_reason)
{
    static const struct {
        const char *flags;
        enum dns_why why;
    } cases[] = { { "servfail", DNS_WHY_SERVFAIL },
                  { "refused", DNS_WHY_REFUSED },
                  { "formerr", DNS_WHY_OTHER } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct parsed p;
        assert_int_equal(answer_of("x.example", DNS_A, cases[i].flags, "", &p), ERR_OK);
        assert_int_equal(p.a.result, DNS_FAIL);
        assert_int_equal(p.a.why, cases[i].why);
        dns_message_deinit(&p.m);
    }
}

TEST(names_that_are_no_text_are_left_out)
{
    struct parsed p;
    assert_int_equal(
        answer_of(
            "1.2.0.192.in-addr.arpa", DNS_PTR, "",
            "1.2.0.192.in-addr.arpa. 30 PTR a\\.b.example.\n1.2.0.192.in-addr.arpa. 30 PTR good.example.\n"
            "1.2.0.192.in-addr.arpa. 30 PTR nul\\000.example.\n",
            &p),
        ERR_OK);
    assert_int_equal(p.m.left_out, 2);
    assert_int_equal(p.a.n, 1);
    assert_slice(p.a.records[0].name, "good.example");
    dns_message_deinit(&p.m);
}

TEST(a_null_mx_is_the_root)
{
    struct parsed p;
    assert_int_equal(answer_of("n.example", DNS_MX, "", "n.example. 30 MX 0 .\n", &p), ERR_OK);
    assert_int_equal(p.a.n, 1);
    assert_int_equal(p.a.records[0].name.n, 0);
    dns_message_deinit(&p.m);
}

TEST(bytes_that_are_no_message_are_malformed)
{
    static const struct slice cases[] = {
        SLICE_INIT(""),
        SLICE_INIT("\0\1\2"),
        /* a name that points at itself */
        SLICE_INIT("\0\7\200\0\0\1\0\0\0\0\0\0\300\14\0\1\0\1"),
        /* an answer is announced, none is there */
        SLICE_INIT("\0\7\200\0\0\1\0\1\0\0\0\0\1a\0\0\1\0\1"),
        /* two questions */
        SLICE_INIT("\0\7\200\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1\1a\0\0\1\0\1"),
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dns_message m;
        assert_int_equal(dns_message_parse(cases[i], &m), ERR_MALFORMED);
    }
}

TEST(an_a_record_of_the_wrong_size_is_not_taken)
{
    struct dns_message m;
    struct slice wire = SLICE("\0\7\200\0\0\1\0\1\0\0\0\0\1a\0\0\1\0\1\1a\0\0\1\0\1\0\0\0\5\0\0");
    if (dns_message_parse(wire, &m) == ERR_OK) {
        assert_int_equal(m.n_answers, 0);
        dns_message_deinit(&m);
    }
}
