#include "proto/store.h"

#include "tests/test.h"

/* The words stand in Redis, in logs and in what operators read: one each, and never the same for two. */
#define CHECK_NAMES(fn, type, last)                                                        \
    do {                                                                                   \
        for (int i = 0; i <= (int)(last); i++) {                                           \
            assert_string_not_equal(fn((type)i), "?");                                     \
            for (int k = 0; k < i; k++) assert_string_not_equal(fn((type)i), fn((type)k)); \
        }                                                                                  \
        assert_string_equal(fn((type)((int)(last) + 1)), "?");                             \
        assert_string_equal(fn((type)STORE_NONE), "?");                                    \
    } while (0)

TEST(every_value_has_a_word_of_its_own_and_what_is_none_says_so)
{
    CHECK_NAMES(store_req_name, enum store_req_kind, STORE_EVIDENCE);
    CHECK_NAMES(store_status_name, enum store_status, STORE_UNKNOWN);
    CHECK_NAMES(store_conflict_name, enum store_conflict, STORE_C_STATE);
    CHECK_NAMES(store_op_kind_name, enum store_op_kind, STORE_OP_FENCE);
    CHECK_NAMES(store_step_name, enum store_step, STORE_STEP_ROLLING_BACK);
    CHECK_NAMES(store_egress_name, enum store_egress_state, STORE_EGRESS_HELD);
    CHECK_NAMES(store_reported_name, enum store_reported, STORE_R_GRANTING);
}

/* A record written by an older version is read by a newer one: these may not change. */
TEST(the_words_in_redis_stay_what_they_are)
{
    assert_string_equal(store_op_kind_name(STORE_OP_LISTED), "listed");
    assert_string_equal(store_op_kind_name(STORE_OP_REGRANT), "regrant");
    assert_string_equal(store_step_name(STORE_STEP_ROLLING_BACK), "rolling_back");
    assert_string_equal(store_egress_name(STORE_EGRESS_FENCED), "fenced");
    assert_string_equal(store_reported_name(STORE_R_STANDBY), "standby");
    assert_int_equal(STORE_STEPS, STORE_STEP_ROLLING_BACK + 1); /* took_ms has one place per step */
}
