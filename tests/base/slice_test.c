#include "base/slice.h"

#include <stdlib.h>

#include "tests/test.h"

TEST(a_cut_takes_the_head_and_keeps_the_rest)
{
    struct slice s = SLICE("a:b::c"), head;
    const char *want[] = { "a", "b", "", "c" };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(slice_cut(&s, ':', &head));
        assert_slice(head, want[i]);
    }
    assert_false(slice_cut(&s, ':', &head));
}

TEST(words_are_separated_by_runs_of_blanks)
{
    struct slice s = SLICE("  MAIL\t FROM ");
    assert_slice(slice_word(&s), "MAIL");
    assert_slice(slice_word(&s), "FROM");
    assert_slice(slice_word(&s), "");
}

TEST(numbers_are_whole_decimal_and_bounded)
{
    static const struct {
        const char *text;
        uint64_t max;
        enum err err;
        uint64_t want;
    } cases[] = {
        { "0", 9, ERR_OK, 0 },
        { "18446744073709551615", UINT64_MAX, ERR_OK, UINT64_MAX },
        { "18446744073709551616", UINT64_MAX, ERR_LIMIT, 0 },
        { "10", 9, ERR_LIMIT, 0 },
        { "", 9, ERR_MALFORMED, 0 },
        { "-1", 9, ERR_MALFORMED, 0 },
        { "1 ", 9, ERR_MALFORMED, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t got = 0;
        assert_int_equal(slice_u64(slice_of(cases[i].text), cases[i].max, &got), cases[i].err);
        assert_int_equal(got, cases[i].want);
    }
}

TEST(case_is_folded_only_where_asked)
{
    assert_true(slice_ieq(SLICE("Example.COM"), SLICE("eXAMPLE.com")));
    assert_false(slice_eq(SLICE("a"), SLICE("A")));
    assert_true(slice_istarts(SLICE("MaIl From"), SLICE("mail")));
    assert_true(slice_iends(SLICE("a.EXAMPLE"), SLICE(".example")));
    assert_int_equal(slice_ifind_slice(SLICE("xxAbC"), SLICE("abc")), 2);
    assert_int_equal(slice_ihash(SLICE("AbC")), slice_ihash(SLICE("aBc")));
}

TEST(a_copy_with_a_nul_inside_is_refused)
{
    char out[8] = "old";
    assert_int_equal(slice_cstr(slice_from("a\0b", 3), out, sizeof out), ERR_LIMIT);
    assert_string_equal(out, "");
    assert_int_equal(slice_cstr(SLICE("12345678"), out, sizeof out), ERR_LIMIT);
    assert_int_equal(slice_cstr(SLICE("1234567"), out, sizeof out), ERR_OK);
    assert_string_equal(out, "1234567");
}
