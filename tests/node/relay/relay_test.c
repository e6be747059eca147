#include "node/relay/relay.h"

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
    assert_string_equal(relay_verdict_name(RELAY_FAILED), "failed");
}
