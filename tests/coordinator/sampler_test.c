#include "coordinator/sampler.h"
#include "tests/test.h"

static struct fo_status status(void)
{
    struct fo_status st = { .active = 0 };
    st.ids[0] = (struct fo_identity_status){
        .fresh = true, .fit = true, .reported = STORE_R_ACTIVE, .assigned = STORE_R_ACTIVE
    };
    st.ids[1] = (struct fo_identity_status){
        .fresh = true, .fit = true, .reported = STORE_R_STANDBY, .assigned = STORE_R_STANDBY
    };
    return st;
}

TEST(roles_say_what_an_identity_could_do_now)
{
    struct fo_status st = status();
    assert_int_equal(role_of(&st, 0, true, false), ROLE_ACTIVE);
    assert_int_equal(role_of(&st, 1, true, false), ROLE_STANDBY);
    assert_int_equal(role_of(&st, 1, true, true), ROLE_QUARANTINED);
    assert_int_equal(role_of(&st, 1, false, false), ROLE_UNFIT);
    st.ids[1].fit = false;
    assert_int_equal(role_of(&st, 1, true, false), ROLE_UNFIT);
    st.ids[1].fresh = false;
    assert_int_equal(role_of(&st, 1, true, true), ROLE_DOWN);
}

TEST(a_listed_sender_that_nobody_can_replace_is_still_the_active_one)
{
    struct fo_status st = status();
    assert_int_equal(role_of(&st, 0, true, true), ROLE_ACTIVE);
}

TEST(an_active_identity_whose_gate_is_closed_is_fenced)
{
    struct fo_status st = status();
    st.ids[0].reported = STORE_R_FENCED;
    assert_int_equal(role_of(&st, 0, true, false), ROLE_FENCED);
    st.active = STORE_NONE;
    st.ids[0].assigned = STORE_R_FENCED;
    assert_int_equal(role_of(&st, 0, true, false), ROLE_FENCED);
}
