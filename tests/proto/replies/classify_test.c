#include "proto/replies/classify.h"

#include <stdlib.h>

#include "tests/proto/replies/replies.h"
#include "tests/test.h"

static struct classifier *make(const char *zone)
{
    struct classifier *c = NULL;
    struct slice zones[] = { slice_of(zone) };
    struct classify_conf conf = { .zones = zones, .n_zones = zone ? 1 : 0 };
    assert_int_equal(classifier_create(&conf, &c, NULL), ERR_OK);
    return c;
}

static void check_file(const char *path, unsigned scope_percent, unsigned switch_percent)
{
    struct classifier *c = make(NULL);
    struct replies *r = xzalloc(sizeof *r);
    struct replies_score s;
    struct buf wrong;
    buf_init(&wrong, 1 << 20);
    assert_int_equal(replies_load(path, r), ERR_OK);
    replies_measure(c, r, &s, &wrong);
    if (buf_len(&wrong)) print_message("%s", buf_cstr(&wrong));
    assert_true(s.n > 50);
    assert_true(s.scope * 100 >= s.n * scope_percent);
    assert_true(s.switch_right * 100 >= s.n * switch_percent);
    buf_deinit(&wrong);
    replies_deinit(r);
    free(r);
    classifier_destroy(c);
}

TEST(labelled_refusals_are_understood)
{
    check_file("tests/data/replies.psv", 95, 98);
    check_file("tests/data/replies-more.psv", 95, 98);
}

TEST(no_rule_is_idle)
{
    struct classifier *c = make(NULL);
    struct buf out;
    buf_init(&out, 10000);
    classifier_lint(c, &out);
    assert_slice(buf_slice(&out), "");
    buf_deinit(&out);
    classifier_destroy(c);
}

static struct classify_output ask(const struct classifier *c, const char *own, enum relay_stage stage,
                                  const char *text)
{
    struct classify_output out;
    struct classify_input in = { .stage_known = true, .stage = stage, .text = slice_of(text) };
    assert_int_equal(addr_parse(slice_of(own), &in.own), ERR_OK);
    classify(c, &in, &out);
    return out;
}

TEST(a_list_of_our_own_configuration_counts_whatever_its_name)
{
    const char *text =
        "554 5.7.1 Service unavailable; Client host [198.51.100.10] blocked using bl.dnsbl.example; listed";
    struct classifier *c = make("bl.DNSBL.example");
    assert_int_equal(ask(c, "198.51.100.10", RELAY_RCPT, text).effect, EFFECT_SWITCH);
    assert_int_equal(ask(c, "198.51.100.10", RELAY_RCPT, text).scope, SCOPE_IP_PUBLIC);
    classifier_destroy(c);
    c = make(NULL);
    assert_int_equal(ask(c, "198.51.100.10", RELAY_RCPT, text).effect, EFFECT_DEST);
    classifier_destroy(c);
}

TEST(an_address_that_is_not_ours_is_no_evidence)
{
    struct classifier *c = make(NULL);
    const char *text = "554 5.7.1 Client host [198.51.100.10] blocked using zen.spamhaus.org";
    assert_int_equal(ask(c, "198.51.100.10", RELAY_RCPT, text).effect, EFFECT_SWITCH);
    assert_int_equal(ask(c, "203.0.113.10", RELAY_RCPT, text).scope, SCOPE_IP_OTHER);
    assert_int_equal(ask(c, "203.0.113.10", RELAY_RCPT, text).effect, EFFECT_NONE);
    /* ours stands there too, or reversed, or as a network */
    assert_int_equal(
        ask(c, "203.0.113.10", RELAY_RCPT, "554 198.51.100.7 says 203.0.113.10 is listed in zen.spamhaus.org")
            .effect,
        EFFECT_SWITCH);
    assert_int_equal(ask(c, "203.0.113.10", RELAY_RCPT, "554 blocked: 10.113.0.203.zen.spamhaus.org").effect,
                     EFFECT_SWITCH);
    assert_int_equal(
        ask(c, "2001:db8::10", RELAY_RCPT, "554 [IPv6:2001:DB8:0::10]:25 is listed in zen.spamhaus.org")
            .effect,
        EFFECT_SWITCH);
    classifier_destroy(c);
}

TEST(providers_are_known_by_their_mail_servers)
{
    struct classifier *c = make(NULL);
    struct classify_output out;
    struct classify_input in = { .provider = SLICE_INIT("example-net.mail.protection.OUTLOOK.com"),
                                 .text = SLICE_INIT("550 no") };
    classify(c, &in, &out);
    assert_slice(out.provider, "microsoft");
    in.provider = SLICE("gmail-smtp-in.l.google.com.");
    classify(c, &in, &out);
    assert_slice(out.provider, "gmail");
    in.provider = SLICE("mx.example.net");
    classify(c, &in, &out);
    assert_slice(out.provider, "mx.example.net");
    in.provider = SLICE("notgoogle.com");
    classify(c, &in, &out);
    assert_slice(out.provider, "notgoogle.com");
    classifier_destroy(c);
}

TEST(an_operators_rules_take_the_place_of_ours)
{
    struct classifier *c = NULL;
    struct buf why;
    struct classify_output out;
    buf_init(&why, 1000);
    struct classify_conf conf = { .rules = SLICE_INIT("group pink \"pink\"\nrule pink geo DEST pink 5xx\n") };
    assert_int_equal(classifier_create(&conf, &c, &why), ERR_OK);
    classify(c, &(struct classify_input){ .text = SLICE_INIT("550 too pink") }, &out);
    assert_int_equal(out.scope, SCOPE_GEO);
    classify(c, &(struct classify_input){ .text = SLICE_INIT("450 too pink") }, &out);
    assert_slice(out.rule, "none");
    classifier_destroy(c);
    conf.rules = SLICE("rule x");
    assert_int_equal(classifier_create(&conf, &c, &why), ERR_MALFORMED);
    buf_deinit(&why);
}

TEST(what_was_found_can_be_explained)
{
    struct classifier *c = make(NULL);
    struct buf out;
    buf_init(&out, 1000);
    struct classify_input in = { .stage_known = true,
                                 .stage = RELAY_BANNER,
                                 .text = SLICE_INIT("421 4.7.25 127.0.0.2 <a@b>") };
    classify_explain(c, &in, &out);
    assert_slice(buf_slice(&out), "banner 4xx dnsbl-answer address x.7.25 421");
    buf_deinit(&out);
    classifier_destroy(c);
}
