#include "base/err.h"

#include "tests/test.h"

TEST(every_error_has_its_own_name_and_sentence)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        assert_true(strlen(err_name(i)) > 1);
        assert_true(strlen(err_text(i)) > 1);
        for (const char *p = err_name(i); *p; p++) assert_true((*p >= 'a' && *p <= 'z') || *p == '-');
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(err_name(i), err_name(k));
            assert_string_not_equal(err_text(i), err_text(k));
        }
    }
}

TEST(names_are_those_of_the_log)
{
    assert_int_equal(ERR_OK, 0); /* `if (err)` is how the whole tree asks */
    assert_string_equal(err_name(ERR_OK), "ok");
    assert_string_equal(err_name(ERR_NOT_FOUND), "not-found");
    assert_string_equal(err_name(ERR_UNKNOWN), "unknown");
    assert_string_equal(err_text(ERR_TIMEOUT), "no answer in time");
}
