#include "node/smtp/sasl.h"

#include "tests/test.h"

TEST(initial_responses)
{
    static const struct {
        enum sasl_mechanism m;
        const char *initial;
        enum sasl_step want;
        const char *login, *password;
    } cases[] = {
        { SASL_PLAIN, "AGFubgBzZWNyZXQ=", SASL_READY, "ann", "secret" },
        { SASL_PLAIN, "YW5uAGFubgBzZWNyZXQ=", SASL_READY, "ann", "secret" },
        { SASL_PLAIN, "AGFubgA=", SASL_READY, "ann", "" },
        { SASL_PLAIN, "AMOpAHg=", SASL_READY, "\xc3\xa9", "x" },
        { SASL_PLAIN, "", SASL_CHALLENGE, "", "" },
        { SASL_PLAIN, "*", SASL_CANCELLED, "", "" },
        { SASL_PLAIN, "=", SASL_MALFORMED, "", "" },
        { SASL_PLAIN, "Ym9iAGFubgBzZWNyZXQ=", SASL_MALFORMED, "", "" }, /* ann for bob */
        { SASL_PLAIN, "AABzZWNyZXQ=", SASL_MALFORMED, "", "" },         /* no login */
        { SASL_PLAIN, "AGFubgBzZQBj", SASL_MALFORMED, "", "" },         /* a NUL in the password */
        { SASL_PLAIN, "AGEKbgBz", SASL_MALFORMED, "", "" },             /* a line end in the login */
        { SASL_PLAIN, "AGFubgBzZWNyZXQ", SASL_MALFORMED, "", "" },      /* no padding */
        { SASL_PLAIN, "AG=ubgBzZWNyZXQ=", SASL_MALFORMED, "", "" },
        { SASL_PLAIN, "====", SASL_MALFORMED, "", "" },
        { SASL_LOGIN, "YW5u", SASL_CHALLENGE, "ann", "" },
        { SASL_LOGIN, "", SASL_CHALLENGE, "", "" },
        { SASL_LOGIN, "=", SASL_MALFORMED, "", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sasl s = { 0 };
        struct slice challenge = SLICE("");
        assert_int_equal(sasl_start(&s, cases[i].m, slice_of(cases[i].initial), &challenge), cases[i].want);
        assert_slice(buf_slice(&s.login), cases[i].login);
        assert_slice(buf_slice(&s.password), cases[i].password);
        sasl_deinit(&s);
        assert_null(s.password.p);
    }
}

TEST(a_password_longer_than_any_is_refused)
{
    struct sasl s = { 0 };
    struct slice challenge;
    char line[4001];
    memset(line, 'A', 4000);
    line[4000] = '\0';
    assert_int_equal(sasl_start(&s, SASL_LOGIN, SLICE("YW5u"), &challenge), SASL_CHALLENGE);
    assert_slice(challenge, "UGFzc3dvcmQ6");
    assert_int_equal(sasl_feed(&s, slice_of(line), &challenge), SASL_MALFORMED);
    sasl_deinit(&s);
}
