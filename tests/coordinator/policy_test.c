#include "coordinator/policy.h"

#include "base/rng.h"
#include "tests/test.h"

enum { A, B };
enum { BIG, SMALL };

struct rig {
    struct policy *p;
    uint64_t now;
    enum policy_answer say[2][2]; /* identity, zone: by all resolvers */
    bool one_resolver, outside;
    bool lists_1, blind, errors;
    uint64_t ttl_ms;
};

static struct rig rig(void)
{
    struct policy_conf c;
    policy_conf_default(&c);
    c.n_identities = c.n_zones = c.n_resolvers = 2;
    strcpy(c.zones[BIG].name, "big.example");
    c.zones[BIG].weight = 5;
    strcpy(c.zones[SMALL].name, "small.example");
    c.zones[SMALL].weight = 3;
    return (struct rig){ .p = policy_create(&c, NULL), .now = 1000, .ttl_ms = 1000 };
}

static void feed(struct rig *r, struct policy_event ev)
{
    ev.now_ms = r->now;
    policy_step(r->p, &ev);
}

static void poll(struct rig *r)
{
    feed(r, (struct policy_event){ .kind = POLICY_EV_ROUND });
    for (uint8_t z = 0; z < 2; z++) {
        bool bad = z == BIG;
        feed(r, (struct policy_event){ .kind = POLICY_EV_PROBE,
                                       .zone = z,
                                       .answered = !(bad && r->errors),
                                       .lists_2 = !(bad && r->blind),
                                       .lists_1 = bad && r->lists_1 });
        for (uint8_t i = 0; i < 2; i++)
            for (uint8_t k = 0; k < 2; k++) {
                enum policy_answer a = r->say[i][z];
                if (k && r->one_resolver && a == POLICY_LISTED) a = POLICY_CLEAN;
                feed(r, (struct policy_event){ .kind = POLICY_EV_ANSWER,
                                               .zone = z,
                                               .identity = i,
                                               .resolver = k,
                                               .answer = a,
                                               .code = 2,
                                               .ttl_ms = r->ttl_ms,
                                               .outside = bad && r->outside });
            }
    }
    feed(r, (struct policy_event){ .kind = POLICY_EV_ROUND_END });
}

static struct policy_verdict verdict(struct rig *r, uint8_t i)
{
    struct policy_verdict v;
    policy_verdict(r->p, i, r->now, &v);
    return v;
}

TEST(nothing_known_is_not_fit_and_one_clean_round_is)
{
    struct rig r = rig();
    assert_false(verdict(&r, A).fit);
    poll(&r);
    assert_true(verdict(&r, A).fit);
    assert_int_equal(verdict(&r, A).score, 0);
    assert_string_equal(verdict(&r, A).why, "no list names it");
    policy_destroy(r.p);
}

TEST(a_listing_is_suspected_at_once_and_confirmed_by_a_second_poll_far_enough_apart)
{
    struct rig r = rig();
    poll(&r);
    r.say[A][BIG] = POLICY_LISTED;
    r.now += MINUTES(10);
    poll(&r);
    assert_true(verdict(&r, A).suspect);
    assert_false(verdict(&r, A).confirmed);
    assert_int_equal(policy_next_round_ms(r.p), r.now + MINUTES(2));
    r.now += MINUTES(1);
    poll(&r); /* too soon to count */
    assert_false(verdict(&r, A).confirmed);
    r.now += MINUTES(1);
    poll(&r);
    assert_true(verdict(&r, A).confirmed);
    assert_false(verdict(&r, B).suspect);
    assert_string_equal(verdict(&r, A).why, "big.example lists it (127.0.0.2, weight 5, 2 polls)");
    policy_destroy(r.p);
}

TEST(a_second_poll_within_the_ttl_is_the_same_answer)
{
    struct rig r = rig();
    r.ttl_ms = MINUTES(35);
    poll(&r);
    r.say[A][BIG] = POLICY_LISTED;
    for (int k = 0; k < 4; k++) {
        r.now += MINUTES(10);
        poll(&r);
        assert_false(verdict(&r, A).confirmed);
    }
    r.now += MINUTES(10);
    poll(&r);
    assert_true(verdict(&r, A).confirmed);
    policy_destroy(r.p);
}

TEST(one_resolver_alone_confirms_nothing)
{
    struct rig r = rig();
    poll(&r);
    r.say[A][BIG] = POLICY_LISTED;
    r.one_resolver = true;
    for (int k = 0; k < 20; k++) {
        r.now += MINUTES(10);
        poll(&r);
        assert_false(verdict(&r, A).confirmed);
    }
    policy_destroy(r.p);
}

/* I8 */
TEST(errors_neither_raise_nor_clear_a_score)
{
    struct rig r = rig();
    poll(&r);
    r.say[A][BIG] = POLICY_UNKNOWN;
    for (int k = 0; k < 20; k++) {
        r.now += MINUTES(10);
        poll(&r);
        assert_int_equal(verdict(&r, A).score, 0);
    }
    r.say[A][BIG] = POLICY_LISTED;
    r.now += MINUTES(10);
    poll(&r);
    r.say[A][BIG] = POLICY_UNKNOWN;
    r.now += MINUTES(10);
    poll(&r);
    assert_int_equal(verdict(&r, A).score, 5); /* holds its last good answer… */
    assert_false(verdict(&r, A).confirmed);
    r.now += HOURS(1);
    poll(&r);
    assert_int_equal(verdict(&r, A).score, 0); /* …for keep_ms */
    policy_destroy(r.p);
}

/* I9 */
TEST(an_unhealthy_zone_weighs_nothing)
{
    for (int how = 0; how < 5; how++) {
        struct rig r = rig();
        poll(&r);
        assert_int_equal(policy_zone_health(r.p, BIG), POLICY_OK);
        r.say[A][BIG] = how == 3 ? POLICY_UNKNOWN : POLICY_LISTED;
        if (how == 0) r.lists_1 = true;
        if (how == 1) r.blind = true;
        if (how == 2) r.errors = true;
        if (how == 3) r.outside = true;
        if (how == 4) r.say[B][BIG] = POLICY_LISTED; /* all ours in one poll */
        for (int k = 0; k < 3; k++) {
            r.now += MINUTES(10);
            poll(&r);
            assert_int_equal(verdict(&r, A).score, 0);
            assert_int_not_equal(policy_zone_health(r.p, BIG), POLICY_OK);
        }
        policy_destroy(r.p);
    }
}

TEST(a_suspect_zone_comes_back_after_three_good_probes_over_half_an_hour)
{
    struct rig r = rig();
    r.lists_1 = true;
    poll(&r);
    assert_int_equal(policy_zone_health(r.p, BIG), POLICY_SUSPECT);
    r.lists_1 = false;
    unsigned probes = 0;
    while (policy_zone_health(r.p, BIG) == POLICY_SUSPECT && probes < 100) {
        r.now += MINUTES(1);
        poll(&r);
        probes++;
    }
    assert_int_equal(probes, 31);
    policy_destroy(r.p);
}

TEST(a_zone_suspect_for_a_week_is_retired)
{
    struct rig r = rig();
    r.lists_1 = true;
    for (int h = 0; h < 24 * 8; h++) {
        poll(&r);
        r.now += HOURS(1);
    }
    assert_int_equal(policy_zone_health(r.p, BIG), POLICY_RETIRED);
    policy_destroy(r.p);
}

static void refusal(struct rig *r, enum policy_scope scope, uint64_t organisation, uint64_t message)
{
    feed(r, (struct policy_event){ .kind = POLICY_EV_REFUSAL,
                                   .identity = A,
                                   .scope = scope,
                                   .organisation = organisation,
                                   .message = message,
                                   .text = "554 5.7.1 198.51.100.10 is blocked" });
}

TEST(refusals_by_one_organisation_never_switch)
{
    struct rig r = rig();
    poll(&r);
    for (uint64_t k = 0; k < 300; k++) refusal(&r, POLICY_SCOPE_ADDRESS, 1, k);
    assert_int_equal(verdict(&r, A).score, 0);
    for (uint64_t k = 0; k < 300; k++) refusal(&r, POLICY_SCOPE_PROVIDER, 1, 1000 + k);
    assert_false(verdict(&r, A).suspect);
    policy_destroy(r.p);
}

TEST(refusals_by_three_organisations_make_one_poll_enough)
{
    struct rig r = rig();
    poll(&r);
    for (uint64_t k = 0; k < 3; k++) refusal(&r, POLICY_SCOPE_ADDRESS, k, k);
    assert_int_equal(verdict(&r, A).score, 4);
    assert_true(policy_next_round_ms(r.p) <= r.now + MINUTES(1)); /* and the lists are asked soon */
    r.say[A][SMALL] = POLICY_LISTED;
    r.now += MINUTES(1);
    poll(&r);
    assert_true(verdict(&r, A).confirmed);
    assert_string_equal(
        verdict(&r, A).why,
        "small.example lists it (127.0.0.2, weight 3, 1 poll); 3 organisations refuse its address "
        "(weight 4), last: \"554 5.7.1 198.51.100.10 is blocked\"");
    r.now += MINUTES(31);
    poll(&r);
    assert_int_equal(verdict(&r, A).score, 3); /* refusals are forgotten after their window */
    policy_destroy(r.p);
}

TEST(the_same_refusal_reported_twice_counts_once)
{
    struct rig r = rig();
    poll(&r);
    for (int k = 0; k < 500; k++)
        refusal(&r, POLICY_SCOPE_ADDRESS, 1, 1), refusal(&r, POLICY_SCOPE_OTHER, 2, 2);
    for (uint64_t k = 2; k < 4; k++) refusal(&r, POLICY_SCOPE_ADDRESS, k, k);
    assert_int_equal(verdict(&r, A).score, 4);
    policy_destroy(r.p);
}

TEST(quarantine_ends_after_a_clean_day_of_enough_polls)
{
    struct rig r = rig();
    poll(&r);
    feed(&r, (struct policy_event){ .kind = POLICY_EV_MARK, .identity = A, .quarantined_wall_ms = 1 });
    assert_true(verdict(&r, A).quarantined);
    assert_false(verdict(&r, A).fit);
    for (int k = 0; k < 143; k++) {
        r.now += MINUTES(10);
        poll(&r);
    }
    assert_true(verdict(&r, A).quarantined);
    r.say[A][SMALL] = POLICY_LISTED; /* one relapse, and the day begins again */
    r.now += MINUTES(10);
    poll(&r);
    r.say[A][SMALL] = POLICY_CLEAN;
    for (int k = 0; k < 145; k++) {
        assert_false(verdict(&r, A).cleared);
        r.now += MINUTES(10);
        poll(&r);
    }
    assert_true(verdict(&r, A).cleared);
    assert_true(verdict(&r, A).fit);
    feed(&r, (struct policy_event){ .kind = POLICY_EV_MARK, .identity = A });
    assert_false(verdict(&r, A).cleared);
    policy_destroy(r.p);
}

TEST(errors_do_not_count_as_clean)
{
    struct rig r = rig();
    poll(&r);
    feed(&r, (struct policy_event){ .kind = POLICY_EV_MARK, .identity = A, .quarantined_wall_ms = 1 });
    r.say[A][BIG] = r.say[A][SMALL] = POLICY_UNKNOWN;
    for (int k = 0; k < 300; k++) {
        r.now += MINUTES(10);
        poll(&r);
    }
    assert_false(verdict(&r, A).cleared);
    policy_destroy(r.p);
}

TEST(after_a_switch_the_lists_are_asked_more_often_for_a_while)
{
    struct rig r = rig();
    poll(&r);
    assert_int_equal(policy_next_round_ms(r.p), r.now + MINUTES(10));
    policy_switched(r.p, r.now);
    assert_int_equal(policy_next_round_ms(r.p), r.now + MINUTES(5));
    r.now += HOURS(3);
    poll(&r);
    assert_int_equal(policy_next_round_ms(r.p), r.now + MINUTES(10));
    policy_destroy(r.p);
}

/* Whatever the lists say: no confirmation without two counted polls or corroboration, no score from a zone that is not OK,
 * and never a fit identity that is suspected. */
TEST(random_lists_never_break_the_rules)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig r = rig();
        struct rng rng;
        rng_init_seed(&rng, seed);
        for (int k = 0; k < 200; k++) {
            for (int i = 0; i < 4; i++) r.say[i / 2][i % 2] = (enum policy_answer)rng_below(&rng, 3);
            r.lists_1 = rng_below(&rng, 12) == 0;
            r.errors = rng_below(&rng, 12) == 0;
            r.blind = rng_below(&rng, 12) == 0;
            r.now += rng_between(&rng, 1000, MINUTES(15));
            poll(&r);
            for (uint8_t i = 0; i < 2; i++) {
                struct policy_verdict v = verdict(&r, i);
                assert_true(v.score >= 5 || !v.confirmed);
                assert_false(v.fit && v.suspect);
                if (policy_zone_health(r.p, BIG) != POLICY_OK) assert_true(v.score <= 3);
            }
        }
        policy_destroy(r.p);
    }
}

TEST(it_explains_each_zone_in_a_line)
{
    struct rig r = rig();
    poll(&r);
    r.say[A][BIG] = POLICY_LISTED;
    r.now += MINUTES(10);
    poll(&r);
    r.now += 5000;
    struct buf b;
    buf_init(&b, 4096);
    policy_explain(r.p, A, r.now, &b);
    assert_slice(buf_slice(&b), "big.example: listed with 127.0.0.2 for 5 s, 1 polls agree, asked 5 s ago; "
                                "the zone is ok and weighs 5: counted\n"
                                "small.example: clean, asked 5 s ago; the zone is ok and weighs 3\n");
    buf_deinit(&b);
    policy_destroy(r.p);
}
