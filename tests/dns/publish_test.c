#include "dns/publish.h"

#include "tests/test.h"

static struct addr senders[2];

static struct publish_wanted wanted(void)
{
    assert_int_equal(addr_parse(SLICE("203.0.113.10"), &senders[0]), ERR_OK);
    assert_int_equal(addr_parse(SLICE("198.51.100.10"), &senders[1]), ERR_OK);
    return (struct publish_wanted){ .cluster = SLICE("lab"),
                                    .active = SLICE("edge2"),
                                    .digest = SLICE("4f1c"),
                                    .epoch = 7,
                                    .serial = 12,
                                    .expected_epoch = 6,
                                    .expected_serial = 11,
                                    .senders = senders,
                                    .n_senders = 2,
                                    .all = '-',
                                    .allow = SPF_ALLOW_DOCUMENTATION };
}

TEST(the_texts_are_the_same_for_the_same_wish)
{
    struct publish_wanted w = wanted();
    struct buf spf, egress;
    const char *why;
    buf_init(&spf, SPF_RECORD_BYTES_MAX);
    buf_init(&egress, EGRESS_RECORD_BYTES_MAX);
    assert_int_equal(publish_texts(&w, &spf, &egress, &why), ERR_OK);
    assert_slice(buf_slice(&spf), "v=spf1 ip4:198.51.100.10 ip4:203.0.113.10 -all");
    assert_slice(buf_slice(&egress), "v=gemel1 cluster=lab epoch=7 active=edge2 digest=4f1c serial=12");
    w.active = SLICE("two words");
    assert_int_not_equal(publish_texts(&w, &spf, &egress, &why), ERR_OK);
    buf_deinit(&spf);
    buf_deinit(&egress);
}

TEST(only_a_marker_of_ours_that_is_not_newer_may_be_replaced)
{
    static const struct {
        const char *marker; /* NULL: none; several are separated by '|' */
        bool takeover;
        enum publish_result want;
        bool create, same;
    } cases[] = {
        { NULL, false, PUBLISH_DONE, true, false },
        { "v=gemel1 cluster=lab epoch=6 active=edge1 digest=4f1c serial=11", false, PUBLISH_DONE, false,
          false },
        { "v=gemel1 cluster=lab epoch=5 active=edge1 digest=4f1c serial=9", false, PUBLISH_DONE, false,
          false },
        { "v=gemel1 cluster=lab epoch=7 active=edge2 digest=4f1c serial=12", false, PUBLISH_DONE, false,
          true },
        { "v=gemel1 cluster=lab epoch=7 active=edge1 digest=4f1c serial=12", false, PUBLISH_STALE, false,
          false },
        { "v=gemel1 cluster=lab epoch=6 active=edge1 digest=4f1c serial=12", false, PUBLISH_STALE, false,
          false },
        { "v=gemel1 cluster=lab epoch=8 active=edge1 digest=4f1c serial=1", false, PUBLISH_STALE, false,
          false },
        { "v=gemel1 cluster=lab epoch=8 active=edge1 digest=4f1c serial=1", true, PUBLISH_STALE, false,
          false },
        { "v=gemel1 cluster=other epoch=1 active=edge1 digest=4f1c", false, PUBLISH_CONFLICT, false, false },
        { "v=gemel1 cluster=other epoch=1 active=edge1 digest=4f1c", true, PUBLISH_DONE, false, false },
        { "hello", false, PUBLISH_CONFLICT, false, false },
        { "hello", true, PUBLISH_DONE, false, false },
        { "v=gemel1 cluster=lab epoch=6 active=edge1 digest=4f1c serial=11|hello", false, PUBLISH_CONFLICT,
          false, false },
    };
    struct publish_wanted w = wanted();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dns_record r[4] = { { 0 } };
        struct dns_answer a = { .result = cases[i].marker ? DNS_ANSWER : DNS_NXDOMAIN, .records = r };
        struct slice rest = slice_of(cases[i].marker), text;
        char detail[PUBLISH_DETAIL_MAX];
        bool create, same;
        while (slice_cut(&rest, '|', &text)) r[a.n++].text = text;
        w.takeover = cases[i].takeover;
        enum publish_result got = publish_judge(&w, &a, &create, &same, detail);
        if (got != cases[i].want) print_error("%zu: %s %s\n", i, publish_result_name(got), detail);
        assert_int_equal(got, cases[i].want);
        assert_int_equal(create, cases[i].create);
        assert_int_equal(same, cases[i].same);
        if (got != PUBLISH_DONE) assert_true(detail[0]);
    }
}

TEST(an_unreadable_marker_is_no_missing_one)
{
    struct publish_wanted w = wanted();
    struct dns_answer a = { .result = DNS_FAIL, .why = DNS_WHY_TIMEOUT };
    char detail[PUBLISH_DETAIL_MAX];
    bool create, same;
    assert_int_equal(publish_judge(&w, &a, &create, &same, detail), PUBLISH_FAILED);
    assert_false(create);
}

TEST(nothing_wrong_leaves_the_house)
{
    struct publish_zone zone = { 0 };
    struct publish_plan plan;
    struct publish_wanted w = wanted();
    char detail[PUBLISH_DETAIL_MAX];
    assert_int_equal(dns_name_parse(SLICE("gw.example.com"), &zone.zone), ERR_OK);
    assert_int_equal(publish_plan_make(&zone, &w, &plan, detail), PUBLISH_DONE);
    assert_slice(dns_name_slice(&plan.spf_name), "_spf.gw.example.com");
    assert_int_equal(plan.w.spf_ttl_s, 300);
    publish_plan_deinit(&plan);
    w.allow = 0;
    assert_int_equal(publish_plan_make(&zone, &w, &plan, detail), PUBLISH_LINT);
    assert_non_null(strstr(detail, "documentation"));
    publish_plan_deinit(&plan);
    w.n_senders = 0;
    assert_int_equal(publish_plan_make(&zone, &w, &plan, detail), PUBLISH_LINT);
    publish_plan_deinit(&plan);
}
