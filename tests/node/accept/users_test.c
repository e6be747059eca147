#include "node/accept/users.h"

#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/test.h"

static struct users *parse(const char *text)
{
    struct users *u;
    assert_int_equal(users_parse(slice_of(text), &u, NULL), ERR_OK);
    return u;
}

static bool fits(const struct users *u, const char *login, const char *password)
{
    char hash[USERS_HASH_MAX];
    users_hash(u, slice_of(login), hash);
    return users_check(hash, password);
}

TEST(a_password_fits_its_login_and_nothing_else)
{
    struct crypt_data data = { 0 };
    char text[1024], *hash = crypt_r("secret", "$5$rounds=1000$salt$", &data);
    snprintf(text, sizeof text,
             "# people\n\nann:%s\r\nBob:%s:1000:rest\nlocked:!%s\nnone:\nold:ab0LfKmS8t6Xo\n", hash, hash,
             hash);
    struct users *u = parse(text);
    assert_int_equal(users_count(u), 5);
    assert_true(fits(u, "ann", "secret"));
    assert_true(fits(u, "ANN", "secret"));
    assert_true(fits(u, "bob", "secret"));
    assert_false(fits(u, "ann", "Secret"));
    assert_false(fits(u, "ann", ""));
    assert_false(fits(u, "locked", "secret"));
    assert_false(fits(u, "none", ""));
    assert_false(fits(u, "old", "secret"));
    assert_false(
        fits(u, "nobody", "secret")); /* the decoy is made of ann's hash, and must not fit her password */
    assert_false(fits(u, "", "secret"));
    users_destroy(u);
}

TEST(an_empty_file_lets_nobody_in)
{
    struct users *u = parse("");
    assert_false(fits(u, "ann", ""));
    users_destroy(u);
    users_destroy(NULL);
}

TEST(a_bad_line_is_named)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "ann:$5$x\nbob\n", "line 2: expected login:hash" },
        { ":x\n", "line 1: expected login:hash" },
        { "ann:x\n# c\nAnn:y\n", "line 3: login appears twice" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct users *u;
        struct buf why;
        buf_init(&why, 200);
        assert_int_equal(users_parse(slice_of(cases[i].text), &u, &why), ERR_MALFORMED);
        assert_slice(buf_slice(&why), cases[i].why);
        buf_deinit(&why);
    }
}
