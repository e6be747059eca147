#include "dns/spf_record.h"

#include <stdlib.h>

#include "tests/test.h"

static size_t addrs(const char *text, struct addr *out)
{
    struct slice rest = slice_of(text);
    size_t n = 0;
    for (struct slice w = slice_word(&rest); w.n; w = slice_word(&rest))
        assert_int_equal(addr_parse(w, &out[n++]), ERR_OK);
    return n;
}

TEST(a_record_is_canonical_whatever_the_order)
{
    static const struct {
        const char *senders;
        char all;
        unsigned allow;
        enum err err;
        const char *want;
    } cases[] = {
        { "8.8.8.8", '-', 0, ERR_OK, "v=spf1 ip4:8.8.8.8 -all" },
        { "9.9.9.9 2a00::2 8.8.8.8 2a00::1 9.9.9.9", '~', 0, ERR_OK,
          "v=spf1 ip4:8.8.8.8 ip4:9.9.9.9 ip6:2a00::1 ip6:2a00::2 ~all" },
        { "203.0.113.10 198.51.100.10", '-', SPF_ALLOW_DOCUMENTATION, ERR_OK,
          "v=spf1 ip4:198.51.100.10 ip4:203.0.113.10 -all" },
        { "198.51.100.10", '-', 0, ERR_REFUSED, "" },
        { "10.0.0.1", '-', 0, ERR_REFUSED, "" },
        { "10.0.0.1", '?', SPF_ALLOW_PRIVATE, ERR_OK, "v=spf1 ip4:10.0.0.1 ?all" },
        { "8.8.8.8", '+', 0, ERR_REFUSED, "" },
        { "", '-', 0, ERR_REFUSED, "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr a[8];
        struct spf_wanted w = {
            .senders = a, .n = addrs(cases[i].senders, a), .all = cases[i].all, .allow = cases[i].allow
        };
        const char *why;
        struct buf b;
        buf_init(&b, 4096);
        assert_int_equal(spf_record_format(&w, &b, &why), cases[i].err);
        assert_slice(buf_slice(&b), cases[i].want);
        assert_int_equal(why == NULL, cases[i].err == ERR_OK);
        buf_deinit(&b);
    }
}

TEST(a_record_too_long_for_a_packet_leaves_the_buffer_as_it_was)
{
    struct addr a[SPF_SENDERS_MAX];
    struct spf_wanted w = { .senders = a, .n = SPF_SENDERS_MAX, .all = '-' };
    const char *why;
    struct buf b;
    for (size_t i = 0; i < SPF_SENDERS_MAX; i++)
        a[i] = (struct addr){ .family = ADDR_V4, .ip = { 8, 8, 100, (uint8_t)(100 + i) } };
    buf_init(&b, 4096);
    buf_put(&b, SLICE("before"));
    assert_int_equal(spf_record_format(&w, &b, &why), ERR_LIMIT);
    assert_slice(buf_slice(&b), "before");
    w.n = 20;
    assert_int_equal(spf_record_format(&w, &b, &why), ERR_OK);
    buf_deinit(&b);
}

TEST(every_mechanism_is_read)
{
    struct spf_terms *t = xzalloc(sizeof *t);
    struct slice at;
    const char *why;
    assert_int_equal(
        spf_record_parse(
            SLICE("V=SPF1 A mx/24 ?mx:mail.example/24//64 a:h.example//48 ~include:_spf.example.com "
                  "ip4:192.0.2.0/24 -ip6:2001:db8::/32 exists:%{i}._x.%{d2r-}.example ptr "
                  "ptr:example.com unknown=any%20 redirect=_r.example exp=e.example -ALL"),
            t, &at, &why),
        ERR_MALFORMED);
    assert_int_equal(
        spf_record_parse(
            SLICE("v=spf1 A mx/24  ?mx:mail.example/24//64 a:h.example//48 ~include:_spf.example.com "
                  "ip4:192.0.2.0/24 -ip6:2001:db8::/32 exists:%{i}._x.%{d2r-}.example ptr "
                  "ptr:example.com unknown=any redirect=_r.example exp=e.example -ALL "),
            t, &at, &why),
        ERR_OK);
    static const enum spf_kind kinds[] = {
        SPF_A,   SPF_MX,     SPF_MX,  SPF_A,   SPF_INCLUDE,        SPF_IP4,
        SPF_IP6, SPF_EXISTS, SPF_PTR, SPF_PTR, SPF_OTHER_MODIFIER, SPF_REDIRECT,
        SPF_EXP, SPF_ALL
    };
    assert_int_equal(t->n, ARRAY_LEN(kinds));
    for (size_t i = 0; i < t->n; i++) assert_int_equal(t->term[i].kind, kinds[i]);
    assert_int_equal(t->term[1].cidr4, 24);
    assert_int_equal(t->term[1].cidr6, 128);
    assert_int_equal(t->term[2].qualifier, '?');
    assert_slice(t->term[2].domain, "mail.example");
    assert_int_equal(t->term[2].cidr6, 64);
    assert_int_equal(t->term[3].cidr4, 32);
    assert_int_equal(t->term[3].cidr6, 48);
    assert_int_equal(t->term[5].net.bits, 24);
    assert_true(t->term[7].macro);
    assert_int_equal(t->term[13].qualifier, '-');
    free(t);
}

TEST(what_the_grammar_does_not_know_is_malformed)
{
    static const char *const cases[] = {
        "",
        "v=spf2 -all",
        "v=spf1-all",
        "v=spf10 -all",
        "v=spf1 foo",
        "v=spf1 all:x",
        "v=spf1 -all/8",
        "v=spf1 include",
        "v=spf1 include:",
        "v=spf1 include:a..b.example",
        "v=spf1 include:nodots",
        "v=spf1 include:a.example/24",
        "v=spf1 include:192.0.2.1",
        "v=spf1 ip4",
        "v=spf1 ip4:",
        "v=spf1 ip4:192.0.2",
        "v=spf1 ip4:192.0.2.1/33",
        "v=spf1 ip4:192.0.2.1/032",
        "v=spf1 ip4:192.0.2.1/",
        "v=spf1 ip4:2001:db8::1",
        "v=spf1 ip6:192.0.2.1",
        "v=spf1 ip6:::ffff:192.0.2.1",
        "v=spf1 ip6:2001:db8::/129",
        "v=spf1 a/",
        "v=spf1 a/33",
        "v=spf1 a//129",
        "v=spf1 a///64",
        "v=spf1 a:",
        "v=spf1 axb",
        "v=spf1 exists",
        "v=spf1 exists:%{x}.example",
        "v=spf1 exists:%{i.example",
        "v=spf1 exists:%i.example",
        "v=spf1 exists:%{i0}.example",
        "v=spf1 redirect=",
        "v=spf1 redirect=a.example redirect=b.example",
        "v=spf1 exp=a.example exp=a.example",
        "v=spf1 -redirect=a.example",
        "v=spf1 1a=b",
        "v=spf1 =b",
        "v=spf1 -",
        "v=spf1 a\tb",
        "v=spf1 ip4:192.0.2.1\x01",
        "v=spf1 include:b\xc3\xbc.example",
    };
    struct spf_terms *t = xzalloc(sizeof *t);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice at;
        const char *why = NULL;
        if (spf_record_parse(slice_of(cases[i]), t, &at, &why) != ERR_MALFORMED) fail_msg("%s", cases[i]);
        assert_non_null(why);
    }
    struct slice at;
    const char *why;
    assert_int_equal(spf_record_parse(slice_from("v=spf1 a:b.example\0 -all", 24), t, &at, &why),
                     ERR_MALFORMED);
    free(t);
}

TEST(macros_may_end_a_domain)
{
    static const char *const cases[] = { "v=spf1 exists:%{d}",        "v=spf1 include:%{d4}.example",
                                         "v=spf1 redirect=_spf.%{d}", "v=spf1 exists:%{l1r+-}._spf.%{d} -all",
                                         "v=spf1 a:%{d}/24",          "v=spf1 exists:a%%b.example",
                                         "v=spf1 a:%{l/}.example/24", "v=spf1 include:example.com." };
    struct spf_terms *t = xzalloc(sizeof *t);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice at;
        const char *why = NULL;
        if (spf_record_parse(slice_of(cases[i]), t, &at, &why)) fail_msg("%s: %s", cases[i], why);
    }
    free(t);
}

TEST(terms_are_bounded)
{
    struct spf_terms *t = xzalloc(sizeof *t);
    struct slice at;
    const char *why;
    struct buf b;
    buf_init(&b, 65536);
    buf_put(&b, SLICE("v=spf1"));
    for (int i = 0; i <= SPF_TERMS_MAX; i++) buf_put(&b, SLICE(" a"));
    assert_int_equal(spf_record_parse(buf_slice(&b), t, &at, &why), ERR_LIMIT);
    buf_deinit(&b);
    free(t);
}

TEST(what_we_write_we_can_read)
{
    struct addr a[4];
    struct spf_wanted w = { .senders = a, .n = addrs("8.8.8.8 2a00::1 9.9.9.9", a), .all = '-' };
    struct spf_terms *t = xzalloc(sizeof *t);
    struct slice at;
    const char *why;
    struct buf b;
    buf_init(&b, SPF_RECORD_BYTES_MAX);
    assert_int_equal(spf_record_format(&w, &b, &why), ERR_OK);
    assert_int_equal(spf_record_parse(buf_slice(&b), t, &at, &why), ERR_OK);
    assert_int_equal(t->n, 4);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(t->term[i].net.bits, t->term[i].kind == SPF_IP6 ? 128 : 32);
    buf_deinit(&b);
    free(t);
}
