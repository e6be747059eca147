#include "proto/replies/words.h"

#include "tests/test.h"

static const struct {
    const char *phrase, *text;
    bool found;
} cases[] = {
    { "listed", "ip is listed at x", true },
    { "listed", "blacklisted", false },
    { "*listed", "blacklisted", true },
    { "black*", "blacklisted", true },
    { "black", "blacklisted", false },
    { "black", "black-listed", true },
    { "black listed", "Black-\r\n Listed", true },
    { "black listed", "black__listed!", true },
    { "(s31##)", "block list (S3150).", true },
    { "(s31##)", "block list (S31500).", false },
    { "aup\\#i 12##", "AUP#I-1220", true },
    { "aup\\#i 12##", "AUP5I-1220", false },
    { "weren't sent", "weren\xe2\x80\x99t sent", true },
    { "bloqu?*",
      "Bloqu\xe9"
      "e",
      true },
    { "a", "", false },
    { "a b", "a", false },
};

TEST(phrases_are_found_where_words_begin_and_end)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct words w;
        struct facts f = { 0 };
        struct buf normal;
        words_init(&w);
        buf_init(&normal, 1000);
        assert_int_equal(words_add(&w, slice_of(cases[i].phrase), 300), ERR_OK);
        words_normalise(slice_of(cases[i].text), &normal);
        words_find(&w, buf_slice(&normal), &f);
        if (facts_has(&f, 300) != cases[i].found) print_error("%s in %s\n", cases[i].phrase, cases[i].text);
        assert_int_equal(facts_has(&f, 300), cases[i].found);
        buf_deinit(&normal);
        words_deinit(&w);
    }
}

TEST(many_phrases_are_found_in_one_walk)
{
    struct words w;
    struct facts f = { 0 };
    words_init(&w);
    assert_int_equal(words_add(&w, SLICE("block"), 0), ERR_OK);
    assert_int_equal(words_add(&w, SLICE("block list"), 1), ERR_OK);
    assert_int_equal(words_add(&w, SLICE("block*"), 2), ERR_OK);
    assert_int_equal(words_add(&w, SLICE("list"), 511), ERR_OK);
    assert_int_equal(words_add(&w, SLICE("blocker"), 4), ERR_OK);
    words_find(&w, SLICE("our block list"), &f);
    assert_true(facts_has(&f, 0) && facts_has(&f, 1) && facts_has(&f, 2) && facts_has(&f, 511));
    assert_false(facts_has(&f, 4));
    words_deinit(&w);
}

TEST(a_phrase_belongs_to_one_fact_and_is_bounded)
{
    struct words w;
    char big[WORDS_PHRASE_MAX + 2];
    words_init(&w);
    memset(big, 'x', sizeof big);
    assert_int_equal(words_add(&w, SLICE("a"), 1), ERR_OK);
    assert_int_equal(words_add(&w, SLICE("a"), 1), ERR_OK);
    assert_int_equal(words_add(&w, SLICE("a"), 2), ERR_CONFLICT);
    assert_int_equal(words_add(&w, SLICE(""), 1), ERR_MALFORMED);
    assert_int_equal(words_add(&w, SLICE("*"), 1), ERR_MALFORMED);
    assert_int_equal(words_add(&w, slice_from(big, sizeof big), 1), ERR_MALFORMED);
    words_deinit(&w);
}
