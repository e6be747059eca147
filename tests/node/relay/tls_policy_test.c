#include "node/relay/tls_policy.h"

#include "tests/test.h"

static const struct tls_rule rules[] = {
    { .domain = "*", .level = TLS_LEVEL_ENCRYPT },
    { .domain = ".example.net", .level = TLS_LEVEL_VERIFY },
    { .domain = ".b.example.net", .level = TLS_LEVEL_NONE },
    { .domain = "Example.NET", .level = TLS_LEVEL_MAY, .on_failure = TLS_ON_FAILURE_DEFER },
    { .domain = "10.0.0.25", .level = TLS_LEVEL_NONE },
    { .domain = "mail.inside.example", .level = TLS_LEVEL_DANE },
};

static enum tls_level level(const char *destination, bool routed)
{
    struct tls_policies p = { .rules = rules, .n = ARRAY_LEN(rules) };
    struct tls_policy out;
    tls_policy_find(&p, slice_of(destination), routed, &out);
    return out.level;
}

TEST(the_nearest_rule_holds)
{
    static const struct {
        const char *destination;
        enum tls_level level;
    } cases[] = {
        { "example.net", TLS_LEVEL_MAY },       { "EXAMPLE.net.", TLS_LEVEL_MAY },
        { "a.example.net", TLS_LEVEL_VERIFY },  { "a.b.example.net", TLS_LEVEL_NONE },
        { "b.example.net", TLS_LEVEL_VERIFY },  { "notexample.net", TLS_LEVEL_ENCRYPT },
        { "[10.0.0.25]:25", TLS_LEVEL_NONE },   { "mail.inside.example:2525", TLS_LEVEL_DANE },
        { "[2001:db8::1]", TLS_LEVEL_ENCRYPT }, { "", TLS_LEVEL_ENCRYPT },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(level(cases[i].destination, true), cases[i].level);
}

TEST(without_a_rule_dane_holds_where_the_resolver_validates_and_the_receivers_dns_leads)
{
    struct tls_policies p = { .dane = true, .defer = true };
    struct tls_policy out;
    tls_policy_find(&p, SLICE("example.net"), true, &out);
    assert_int_equal(out.level, TLS_LEVEL_DANE);
    assert_false(out.clear);
    assert_null(out.rule);
    tls_policy_find(&p, SLICE("[10.0.0.25]:25"), false, &out);
    assert_int_equal(out.level, TLS_LEVEL_MAY);
    p = (struct tls_policies){ 0 };
    tls_policy_find(&p, SLICE("example.net"), true, &out);
    assert_int_equal(out.level, TLS_LEVEL_MAY);
    assert_true(out.clear);
}

TEST(a_rule_says_what_follows_a_failed_handshake)
{
    struct tls_policies p = { .rules = rules, .n = ARRAY_LEN(rules) };
    struct tls_policy out;
    tls_policy_find(&p, SLICE("example.net"), true, &out);
    assert_false(out.clear);
    assert_ptr_equal(out.rule, &rules[3]);
}

TEST(results_have_the_names_of_rfc_8460)
{
    assert_string_equal(tls_result_name(TLS_RESULT_NOT_OFFERED), "starttls-not-supported");
    assert_string_equal(tls_result_name(tls_result_of(TLS_FAULT_NAME)), "certificate-host-mismatch");
    assert_string_equal(tls_result_name(tls_result_of(TLS_FAULT_EXPIRED)), "certificate-expired");
    assert_string_equal(tls_result_name(tls_result_of(TLS_FAULT_UNTRUSTED)), "certificate-not-trusted");
    assert_string_equal(tls_result_name(tls_result_of(TLS_FAULT_PINS)), "validation-failure");
    assert_false(tls_result_failed(TLS_RESULT_CLEAR));
    assert_true(tls_result_failed(TLS_RESULT_DANE_REQUIRED));
}
