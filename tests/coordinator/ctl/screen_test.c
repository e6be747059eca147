#include "coordinator/ctl/screen.h"

#include <stdlib.h>

#include "tests/test.h"

TEST(words_from_outside_cannot_move_the_cursor)
{
    static const struct {
        const char *raw, *clean;
    } cases[] = {
        { "plain", "plain" },
        { "two\r\nlines\tand a tab", "two? lines and a tab" },
        { "\033[2J\a\x7f", "?[2J??" },
        { "\xc2\x9b"
          "31m",
          "?31m" },                              /* C1 CSI */
        { "a\xe2\x80\xaetxt.exe", "a?txt.exe" }, /* right-to-left override */
        { "a\xe2\x81\xa6"
          "b\xe2\x80\xa8"
          "c",
          "a?b?c" }, /* isolate, line separator */
        { "jürgen@bücher.example 例え", "jürgen@bücher.example 例え" },
        { "bad \xff\xc3( utf8 \xed\xa0\x80", "bad ?"
                                             "?( utf8 ???" },
    };
    struct screen s;
    screen_init(&s, false, true, 0, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(text_clean(&s, slice_of(cases[i].raw)), cases[i].clean);
    screen_deinit(&s);
}

TEST(durations_are_short_and_never_wrong)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        { 0, "0 ms" },
        { 412, "412 ms" },
        { 999, "999 ms" },
        { 1000, "1.0 s" },
        { 9999, "9.9 s" },
        { 10000, "10 s" },
        { 59999, "59 s" },
        { 60000, "1 min" },
        { 250000, "4 min 10 s" },
        { HOURS(2) + MINUTES(5), "2 h 5 min" },
        { DAYS(3) + HOURS(4) + MINUTES(59), "3 d 4 h" },
        { DAYS(400), "400 d" },
    };
    struct screen s;
    screen_init(&s, false, true, 0, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(text_ms(&s, cases[i].ms), cases[i].text);
    assert_string_equal(text_ago(&s, 5), "0 ms");
    screen_deinit(&s);
}

TEST(sizes_are_in_powers_of_1024)
{
    struct screen s;
    screen_init(&s, false, true, 0, 0);
    assert_string_equal(text_bytes(&s, 0), "0 B");
    assert_string_equal(text_bytes(&s, 1023), "1023 B");
    assert_string_equal(text_bytes(&s, 1536), "1.5 KiB");
    assert_string_equal(text_bytes(&s, MIB(35)), "35 MiB");
    assert_string_equal(text_bytes(&s, UINT64_MAX), "17179869183 GiB");
    screen_deinit(&s);
}

TEST(width_is_counted_in_columns)
{
    assert_int_equal(text_width(slice_of("edge1")), 5);
    assert_int_equal(text_width(slice_of("bücher")), 6);
    assert_int_equal(text_width(slice_of("例え")), 4);
    assert_int_equal(text_width(slice_of("e\xcc\x81")), 1);
    assert_int_equal(text_width(slice_of("\xff\xfe")), 2);
    assert_slice(text_fit(slice_of("例え"), 3), "例");
    assert_slice(text_fit(slice_of("例え"), 0), "");
    assert_slice(text_fit(slice_of("abc"), 5), "abc");
}

TEST(without_utf8_our_signs_are_ascii_and_names_stay)
{
    struct screen s;
    char *out;
    size_t n;
    FILE *f = open_memstream(&out, &n);
    screen_init(&s, true, false, 0, 0);
    say(&s, "edge1 → bücher – · …");
    say_in(&s, STYLE_BAD, "bad");
    screen_flush(&s, f);
    screen_flush(&s, f);
    fclose(f);
    assert_string_equal(out, "edge1 -> bücher - - ~\033[31mbad\033[0m");
    free(out);
    screen_deinit(&s);
}
