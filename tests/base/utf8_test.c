#include "base/utf8.h"

#include "tests/test.h"

TEST(what_is_utf8_and_what_is_not)
{
    static const struct {
        const char *bytes;
        bool valid;
    } cases[] = {
        { "", true },
        { "plain", true },
        { "\xc3\xa9", true },
        { "\xe2\x82\xac", true },
        { "\xf0\x9f\x93\xa7", true },
        { "\xf4\x8f\xbf\xbf", true },  /* U+10FFFF */
        { "\xf4\x90\x80\x80", false }, /* one past it */
        { "\xc0\xaf", false },         /* overlong "/" */
        { "\xe0\x80\xaf", false },     /* overlong again */
        { "\xf0\x80\x80\xaf", false }, /* and again */
        { "\xed\xa0\x80", false },     /* a surrogate */
        { "\xc3", false },             /* cut */
        { "\x80", false },             /* a tail without a head */
        { "a\xff", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(utf8_valid(slice_of(cases[i].bytes)), cases[i].valid);
}

TEST(a_sequence_cut_by_the_end_of_the_slice_is_not_read_past_it)
{
    assert_int_equal(utf8_wide(slice_from("\xe2\x82\xac", 2)), 0);
    assert_int_equal(utf8_wide(slice_from("\xe2\x82\xac", 3)), 3);
    assert_int_equal(utf8_wide(SLICE("a")), 0);
}
