#include "dns/name.h"

#include <stdio.h>

#include "tests/test.h"

static const char label63[] = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0";

TEST(names_are_lower_cased_and_lose_the_final_dot)
{
    static const struct {
        const char *text;
        enum err err;
        const char *want;
    } cases[] = {
        { "Example.COM.", ERR_OK, "example.com" },
        { "_spf.gw.example.com", ERR_OK, "_spf.gw.example.com" },
        { "xn--bcher-kva.example", ERR_OK, "xn--bcher-kva.example" },
        { "a+b=c.example", ERR_OK, "a+b=c.example" },
        { "", ERR_OK, "" },
        { ".", ERR_OK, "" },
        { "..", ERR_MALFORMED, NULL },
        { "a..b", ERR_MALFORMED, NULL },
        { ".a", ERR_MALFORMED, NULL },
        { "a b", ERR_MALFORMED, NULL },
        { "b\xc3\xbc"
          "cher.example",
          ERR_MALFORMED, NULL },
        { "a\\.b", ERR_MALFORMED, NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dns_name n;
        assert_int_equal(dns_name_parse(slice_of(cases[i].text), &n), cases[i].err);
        if (cases[i].want) assert_slice(dns_name_slice(&n), cases[i].want);
    }
}

TEST(labels_hold_63_and_names_253_characters)
{
    struct dns_name n;
    char text[400];
    snprintf(text, sizeof text, "%s.%s.%s.%.61s", label63, label63, label63, label63);
    assert_int_equal(strlen(text), 253);
    assert_int_equal(dns_name_parse(slice_of(text), &n), ERR_OK);
    uint8_t wire[DNS_NAME_WIRE_MAX];
    assert_int_equal(dns_name_to_wire(dns_name_slice(&n), wire), 255);
    snprintf(text, sizeof text, "%s.%s.%s.%.62s", label63, label63, label63, label63);
    assert_int_equal(dns_name_parse(slice_of(text), &n), ERR_LIMIT);
    snprintf(text, sizeof text, "%sx.example", label63);
    assert_int_equal(dns_name_parse(slice_of(text), &n), ERR_LIMIT);
    assert_int_equal(dns_name_parse(slice_from("a\0b", 3), &n), ERR_MALFORMED);
}

TEST(wire_form_and_text_correspond)
{
    uint8_t wire[DNS_NAME_WIRE_MAX];
    struct dns_name n;
    assert_int_equal(dns_name_to_wire(SLICE("A.example."), wire), 11);
    assert_memory_equal(wire, "\1a\7example\0", 11);
    assert_int_equal(dns_name_from_wire(wire, 11, &n), ERR_OK);
    assert_slice(dns_name_slice(&n), "a.example");
    assert_int_equal(dns_name_from_wire(wire, 10, &n), ERR_MALFORMED);
    assert_int_equal(dns_name_from_wire((const uint8_t *)"\3a.b\0", 5, &n), ERR_MALFORMED);
    assert_int_equal(dns_name_from_wire((const uint8_t *)"\377a", 2, &n), ERR_MALFORMED);
    assert_int_equal(dns_name_from_wire((const uint8_t *)"", 1, &n), ERR_OK);
    assert_slice(dns_name_slice(&n), "");
}

TEST(a_subdomain_ends_at_a_label)
{
    assert_true(dns_name_below(SLICE("a.Example.com."), SLICE("example.com")));
    assert_true(dns_name_below(SLICE("example.com"), SLICE("example.com")));
    assert_true(dns_name_below(SLICE("example.com"), SLICE("")));
    assert_false(dns_name_below(SLICE("badexample.com"), SLICE("example.com")));
    assert_false(dns_name_below(SLICE("com"), SLICE("example.com")));
    assert_true(dns_name_eq(SLICE("A.b."), SLICE("a.B")));
    assert_slice(dns_name_parent(SLICE("a.b.c")), "b.c");
    assert_slice(dns_name_parent(SLICE("c")), "");
    assert_int_equal(dns_name_labels(SLICE("a.b.c.")), 3);
    assert_int_equal(dns_name_labels(SLICE("")), 0);
}

TEST(a_name_is_joined_within_the_bounds)
{
    struct dns_name n;
    assert_int_equal(dns_name_join(SLICE("_spf"), SLICE("gw.example.com"), &n), ERR_OK);
    assert_slice(dns_name_slice(&n), "_spf.gw.example.com");
    assert_int_equal(dns_name_join(SLICE("com"), SLICE(""), &n), ERR_OK);
    assert_slice(dns_name_slice(&n), "com");
    char text[260];
    memset(text, 'a', sizeof text);
    assert_int_equal(dns_name_join(slice_from(text, 250), SLICE("example.com"), &n), ERR_LIMIT);
}

TEST(host_names_are_letters_digits_hyphens)
{
    static const struct {
        const char *text;
        bool want;
    } cases[] = {
        { "edge1.example.com", true },
        { "localhost", true },
        { "3com.example", true },
        { "", false },
        { "192.0.2.1", false },
        { "a_b.example", false },
        { "-a.example", false },
        { "a-.example", false },
        { "a.123", false },
        { "xn--p1ai", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(dns_name_is_host(slice_of(cases[i].text)), cases[i].want);
}
