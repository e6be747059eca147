#include "proto/replies/rules.h"

#include "tests/test.h"

static const char *const builtin[] = { "4xx", "5xx" };

static enum err parse(const char *text, struct rules *out, struct buf *why)
{
    buf_clear(why);
    return rules_parse(slice_of(text), builtin, ARRAY_LEN(builtin), out, why);
}

static const struct {
    const char *text, *why;
} mistakes[] = {
    { "frob x", "line 1: group, provider or rule was expected: frob" },
    { "\n\ngroup", "line 3: a group needs a name: " },
    { "group x", "line 1: a phrase in quotes was expected: " },
    { "group x \"a", "line 1: the quote is not closed: \"a" },
    { "group x \"A\"", "line 1: a phrase is lower case ASCII, with blanks for '-' and '_': A" },
    { "group x \"a-b\"", "line 1: a phrase is lower case ASCII, with blanks for '-' and '_': a-b" },
    { "group x \"a\"\ngroup y \"a\"", "line 2: the phrase is in another group already: a" },
    { "group 4xx \"a\"", "line 1: the name is taken: 4xx" },
    { "rule r nowhere NONE 4xx", "line 1: no such scope: nowhere" },
    { "rule r rcpt BOUNCE 4xx", "line 1: no such effect: BOUNCE" },
    { "rule r rcpt NONE", "line 1: a rule without facts would match everything: r" },
    { "rule r rcpt NONE 4xx|", NULL },
    { "rule r rcpt NONE 4xx||5xx", "line 1: an empty fact: 5xx" },
    { "rule r rcpt NONE !", "line 1: an empty fact: " },
    { "rule r rcpt NONE 4xx\nrule r rcpt NONE 5xx", "line 2: a rule of this name exists: r" },
    { "rule r rcpt NONE typo", "line 1: nothing defines this fact: typo" },
    { "rule r rcpt NONE provider:nobody", "line 1: nothing defines this fact: provider:nobody" },
};

TEST(a_mistake_in_the_rules_is_told_with_its_line)
{
    struct buf why;
    buf_init(&why, 1000);
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
        struct rules r;
        enum err err = parse(mistakes[i].text, &r, &why);
        if (!mistakes[i].why) {
            assert_int_equal(err, ERR_OK);
            rules_deinit(&r);
            continue;
        }
        assert_int_equal(err, ERR_MALFORMED);
        assert_slice(buf_slice(&why), mistakes[i].why);
    }
    buf_deinit(&why);
}

static unsigned fact(const struct rules *r, const char *name)
{
    uintptr_t known = (uintptr_t)map_get(&r->names, slice_of(name));
    assert_true(known > 0);
    return (unsigned)known - 1;
}

TEST(the_first_rule_whose_facts_all_hold_decides)
{
    struct rules r;
    struct buf why;
    buf_init(&why, 1000);
    assert_int_equal(parse("group a \"a\"\ngroup b \"b\"\n"
                           "rule both ip-public SWITCH a b\n"
                           "rule either rcpt NONE a|b !4xx\n"
                           "rule soft greylist RETRY 4xx|5.7.1|421 a|!b\n",
                           &r, &why),
                     ERR_OK);
    struct facts f = { 0 };
    assert_null(rules_match(&r, &f));
    facts_set(&f, fact(&r, "a"));
    assert_slice(rules_match(&r, &f)->name, "either");
    facts_set(&f, fact(&r, "4xx"));
    assert_slice(rules_match(&r, &f)->name, "soft");
    facts_set(&f, fact(&r, "b"));
    assert_slice(rules_match(&r, &f)->name, "both");
    assert_int_equal(rules_match(&r, &f)->effect, EFFECT_SWITCH);
    rules_deinit(&r);
    buf_deinit(&why);
}
