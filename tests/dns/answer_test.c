#include "dns/answer.h"

#include <stdlib.h>

#include "tests/test.h"

static struct dns_record txt(const char *text)
{
    return (struct dns_record){
        .type = DNS_TXT, .ttl_s = 9, .owner = SLICE("a.example"), .name = SLICE(""), .text = slice_of(text)
    };
}

TEST(a_copy_owns_all_it_says)
{
    char volatile_text[] = "v=spf1 -all";
    struct dns_record r = txt(volatile_text), ns = {
        .type = DNS_NS, .owner = SLICE("example"), .name = SLICE("ns.example"), .text = SLICE("")
    };
    struct dns_answer a = { .result = DNS_ANSWER,
                            .records = &r,
                            .n = 1,
                            .authority = &ns,
                            .n_authority = 1,
                            .canonical = SLICE("a.example"),
                            .why_detail = SLICE("x"),
                            .ttl_s = 9 };
    struct dns_answer *copy = dns_answer_dup(&a);
    memset(volatile_text, 'x', sizeof volatile_text - 1);
    assert_slice(copy->records[0].text, "v=spf1 -all");
    assert_slice(copy->authority[0].name, "ns.example");
    assert_slice(copy->canonical, "a.example");
    assert_int_equal(copy->ttl_s, 9);
    free(copy);
}

TEST(a_table_finds_by_name_and_type_whatever_the_case)
{
    struct dns_table t = { 0 };
    struct dns_record one = txt("one"), two = txt("two");
    struct dns_answer a = {
        .result = DNS_ANSWER, .records = &one, .n = 1, .canonical = SLICE(""), .why_detail = SLICE("")
    };
    dns_table_put(&t, SLICE("A.Example."), DNS_TXT, &a);
    assert_slice(dns_table_get(&t, SLICE("a.example"), DNS_TXT)->records[0].text, "one");
    assert_null(dns_table_get(&t, SLICE("a.example"), DNS_A));
    a.records = &two;
    dns_table_put(&t, SLICE("a.example"), DNS_TXT, &a);
    assert_slice(dns_table_get(&t, SLICE("A.EXAMPLE"), DNS_TXT)->records[0].text, "two");
    dns_table_deinit(&t);
}

TEST(words_name_types_codes_and_reasons)
{
    assert_string_equal(dns_type_name(DNS_TXT), "TXT");
    assert_string_equal(dns_type_name(999), "TYPE");
    assert_string_equal(dns_rcode_name(8), "NXRRSET");
    assert_string_equal(dns_rcode_name(3000), "RCODE");
    assert_string_equal(dns_result_name(DNS_NXDOMAIN), "nxdomain");
    assert_string_equal(dns_why_name(DNS_WHY_TIMEOUT), "timeout");
}
