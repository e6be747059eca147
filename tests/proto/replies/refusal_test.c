#include "proto/replies/refusal.h"

#include "tests/test.h"

TEST(words_of_scopes_effects_and_stages_go_there_and_back)
{
    for (enum relay_scope s = 0; s < RELAY_SCOPES; s++) {
        enum relay_scope back;
        assert_int_equal(relay_scope_parse(slice_of(relay_scope_name(s)), &back), ERR_OK);
        assert_int_equal(back, s);
    }
    for (enum relay_effect e = 0; e < RELAY_EFFECTS; e++) {
        enum relay_effect back;
        assert_int_equal(relay_effect_parse(slice_of(relay_effect_name(e)), &back), ERR_OK);
        assert_int_equal(back, e);
    }
    for (enum relay_stage s = 0; s < RELAY_STAGES; s++) {
        enum relay_stage back;
        assert_int_equal(relay_stage_parse(slice_of(relay_stage_name(s)), &back), ERR_OK);
        assert_int_equal(back, s);
    }
}

TEST(any_is_not_a_stage)
{
    enum relay_stage s = RELAY_MAIL;
    assert_int_equal(relay_stage_parse(SLICE("any"), &s), ERR_MALFORMED);
    assert_int_equal(s, RELAY_MAIL);
}

TEST(text_lines_come_without_their_codes)
{
    struct slice at = SLICE("550-first\n550\n550 5.1.1 third"), line;
    assert_true(refusal_next_line(&at, &line));
    assert_slice(line, "first");
    assert_true(refusal_next_line(&at, &line));
    assert_slice(line, "");
    assert_true(refusal_next_line(&at, &line));
    assert_slice(line, "5.1.1 third");
    assert_false(refusal_next_line(&at, &line));
}
