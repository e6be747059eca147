#include "node/smtp/address.h"

#include <stdio.h>

#include "tests/test.h"

TEST(paths_that_are_addresses)
{
    static const struct {
        const char *path, *whole, *local, *domain;
        bool literal, quoted, utf8, routed;
    } cases[] = {
        { "<a@b>", "a@b", "a", "b", .literal = false },
        { "<>", "", "", "", .literal = false },
        { "<postmaster>", "postmaster", "postmaster", "", .literal = false },
        { "<POSTMASTER>", "POSTMASTER", "POSTMASTER", "", .literal = false },
        { "<postmaster@x.example>", "postmaster@x.example", "postmaster", "x.example", .literal = false },
        { "<a.b+c=d@x.example>", "a.b+c=d@x.example", "a.b+c=d", "x.example", .literal = false },
        { "<!#$%&'*+-/=?^_`{|}~@x>", "!#$%&'*+-/=?^_`{|}~@x", "!#$%&'*+-/=?^_`{|}~", "x", .literal = false },
        { "<\"a b\"@x>", "\"a b\"@x", "\"a b\"", "x", .quoted = true },
        { "<\"a\\\"@b\"@x>", "\"a\\\"@b\"@x", "\"a\\\"@b\"", "x", .quoted = true },
        { "<\"\"@x>", "\"\"@x", "\"\"", "x", .quoted = true },
        { "<a@[192.0.2.1]>", "a@[192.0.2.1]", "a", "[192.0.2.1]", .literal = true },
        { "<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]", .literal = true },
        { "<@r.example:a@b>", "a@b", "a", "b", .routed = true },
        { "<@r.example,@s.example:a@b>", "a@b", "a", "b", .routed = true },
        { "<\xc3\xa9@\xc3\xa9.example>", "\xc3\xa9@\xc3\xa9.example", "\xc3\xa9", "\xc3\xa9.example",
          .utf8 = true },
        { "<a@my_host.example>", "a@my_host.example", "a", "my_host.example", .literal = false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[200];
        snprintf(text, sizeof text, "%s SIZE=1", cases[i].path);
        struct slice s = slice_of(text);
        struct smtp_address a;
        if (smtp_path_take(&s, &a)) fail_msg("%s", cases[i].path);
        assert_slice(s, " SIZE=1");
        assert_slice(a.whole, cases[i].whole);
        assert_slice(a.local, cases[i].local);
        assert_slice(a.domain, cases[i].domain);
        assert_int_equal(a.literal, cases[i].literal);
        assert_int_equal(a.quoted, cases[i].quoted);
        assert_int_equal(a.utf8, cases[i].utf8);
        assert_int_equal(a.routed, cases[i].routed);
    }
}

#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16
TEST(paths_that_are_not)
{
    static const char *const cases[] = {
        "",
        "<",
        "a@b",
        "<a@b",
        "a@b>",
        "<a>",
        "<@b>",
        "<a@>",
        "<a@b.>",
        "<a@.b>",
        "<a@b..c>",
        "<.a@b>",
        "<a.@b>",
        "<a..b@c>",
        "<a@-b>",
        "<a@b->",
        "<a b@c>",
        "<a@b c>",
        "<a@b,c>",
        "<a(b)@c>",
        "<a@b@c>",
        "<\"a@b>",
        "<\"a\"b@c>",
        "<a\"b\"@c>",
        "<\"a\\\"@b>",
        "<\"a\x01\"@b>",
        "<\"a\x7f\"@b>",
        "<a\x01@b>",
        "<a@b\x01>",
        "<a@[1.2.3]>",
        "<a@[1.2.3.4>",
        "<a@1.2.3.4]>",
        "<a@[IPv6:1.2.3.4]>",
        "<a@[2001:db8::1]>",
        "<a@[tag:x]>",
        "<a@[]>",
        "<@a:>",
        "<@a>",
        "<@a,b:c@d>",
        "<@a,:c@d>",
        "<@:c@d>",
        "<@a:@b:c@d>",
        "<@a.:c@d>",
        "<postmaster",
        "< a@b>",
        "<a@b >",
        "<\xff@b>",
        "<\xc0\xaf@b>",
        "<a@\xed\xa0\x80>",
        "<" A64 "a@b>",
        "<a@" A64 ".b>",
        "<a@" A16 "." A64 ">",
        "<postmasters>",
        "<<a@b>>",
        "<[1.2.3.4]@b>",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice s = slice_of(cases[i]);
        struct smtp_address a;
        if (smtp_path_take(&s, &a) == ERR_OK && s.n == 0) fail_msg("taken: %s", cases[i]);
    }
}

TEST(the_longest_local_part_and_domain_pass)
{
    struct smtp_address a;
    char text[512];
    int n = snprintf(text, sizeof text, A64 "@");
    for (int i = 0; i < 63; i++) n += snprintf(text + n, sizeof text - (size_t)n, "abc.");
    snprintf(text + n, sizeof text - (size_t)n, "abc");
    assert_int_equal(smtp_mailbox_parse(slice_of(text), &a), ERR_OK);
    assert_int_equal(a.domain.n, 255);
    strcat(text, "d");
    assert_int_equal(smtp_mailbox_parse(slice_of(text), &a), ERR_MALFORMED);
}

TEST(hello_names_that_can_stand_in_a_received_field)
{
    static const char *const good[] = { "a.example",  "localhost", "my_host", "[192.0.2.1]",
                                        "[IPv6:::1]", "10.0.0.1",  "WIN-123!" };
    static const char *const bad[] = { "",    "a b",  "a\tb", "(x)",      "a;b", "a,b",  "[x]",
                                       "<a>", "a\"b", "a\\b", "\xc3\xa9", "a@b", "a\x7f" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) assert_true(smtp_helo_valid(slice_of(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(smtp_helo_valid(slice_of(bad[i])));
}
