#include "node/relay/rulebook.h"

#include <pthread.h>

#include "tests/test.h"

static struct classifier *rules(const char *text)
{
    struct classifier *c = NULL;
    struct classify_conf conf = { .rules = slice_of(text) };
    assert_int_equal(classifier_create(&conf, &c, NULL), ERR_OK);
    return c;
}

static enum relay_effect effect(const struct classifier *c)
{
    struct classify_output out;
    classify(c, &(struct classify_input){ .text = SLICE_INIT("550 no") }, &out);
    return out.effect;
}

TEST(who_holds_a_page_keeps_it_while_the_book_goes_on)
{
    struct rulebook *b = rulebook_create(rules("rule a geo DEST 5xx\n"));
    struct rulebook_page *old = rulebook_hold(b);
    rulebook_replace(b, rules("rule b rate SLOW 5xx\n"));
    struct rulebook_page *fresh = rulebook_hold(b);
    assert_int_equal(effect(rulebook_rules(old)), EFFECT_DEST);
    assert_int_equal(effect(rulebook_rules(fresh)), EFFECT_SLOW);
    rulebook_release(b, old);
    rulebook_release(b, fresh);
    rulebook_destroy(b);
}

static void *read_on(void *book)
{
    for (int i = 0; i < 2000; i++) {
        struct rulebook_page *p = rulebook_hold(book);
        ASSERT(effect(rulebook_rules(p)) == EFFECT_DEST);
        rulebook_release(book, p);
    }
    return NULL;
}

TEST(pages_are_turned_under_readers)
{
    struct rulebook *b = rulebook_create(rules("rule a geo DEST 5xx\n"));
    pthread_t t[3];
    for (size_t i = 0; i < ARRAY_LEN(t); i++) pthread_create(&t[i], NULL, read_on, b);
    for (int i = 0; i < 50; i++) rulebook_replace(b, rules("rule a geo DEST 5xx\n"));
    for (size_t i = 0; i < ARRAY_LEN(t); i++) pthread_join(t[i], NULL);
    rulebook_destroy(b);
}
