#include "dns/verify_probe.h"
#include "tests/test.h"

#define OURS "v=gemel1 cluster=lab epoch=7 active=edge2 digest=d serial=3"
#define SPF  "v=spf1 ip4:198.51.100.10 -all"

struct said { /* what a server says at one name; texts separated by '|' */
    enum dns_result result;
    enum dns_why why;
    uint16_t rcode;
    bool aa;
    const char *texts;
};

static struct dns_answer answer(const struct said *s, struct dns_record r[4])
{
    struct dns_answer a = {
        .result = s->result, .why = s->why, .rcode = s->rcode, .aa = s->aa, .records = r, .ttl_s = 300
    };
    struct slice rest = slice_of(s->texts), text;
    while (slice_cut(&rest, '|', &text)) r[a.n++] = (struct dns_record){ .type = DNS_TXT, .text = text };
    return a;
}

#define TEXT(t)                   \
    {                             \
        DNS_ANSWER, 0, 0, true, t \
    }
static const struct said gone = { DNS_NXDOMAIN, 0, 3, true, NULL },
                         timeout = { DNS_FAIL, DNS_WHY_TIMEOUT, 0, false, NULL },
                         refused = { DNS_FAIL, DNS_WHY_REFUSED, 5, false, NULL },
                         expired = { DNS_FAIL, DNS_WHY_SERVFAIL, 2, false, NULL },
                         cached = { DNS_ANSWER, 0, 0, false, OURS };

TEST(each_server_gets_its_verdict)
{
    static const struct said ours = TEXT(OURS), spf = TEXT(SPF);
    static const struct said older = TEXT("v=gemel1 cluster=lab epoch=6 active=edge1 digest=d serial=2");
    static const struct said serial = TEXT("v=gemel1 cluster=lab epoch=7 active=edge2 digest=d serial=2");
    static const struct said other = TEXT("v=gemel1 cluster=lab epoch=8 active=edge1 digest=d serial=4");
    static const struct said hello = TEXT("hello"), two_spf = TEXT(SPF "|v=spf1 -all"),
                             other_spf = TEXT("v=spf1 -all");
    static const struct said spf_and_more = TEXT(SPF "|note");
    const struct {
        const struct said *egress, *spf;
        enum spf_result policy;
        enum verify_verdict want;
        bool no_policy;
        const char *words;
    } cases[] = {
        { &ours, &spf, SPF_PASS, VERIFY_PASS, false, "" },
        { &ours, &spf, SPF_FAIL, VERIFY_WRONG, false, "SPF says fail for 198.51.100.10" },
        { &ours, &spf, SPF_TEMPERROR, VERIFY_WRONG, false, "SPF says temperror" },
        { &older, &other_spf, SPF_FAIL, VERIFY_OLD, false, "still serves epoch 6" },
        { &serial, &spf, SPF_PASS, VERIFY_OLD, false, "still serves epoch 7" },
        { &gone, &gone, SPF_NONE, VERIFY_OLD, true, "does not have the marker yet" },
        { &other, &spf, SPF_PASS, VERIFY_WRONG, false, "marker" },
        { &hello, &spf, SPF_PASS, VERIFY_WRONG, false, "marker" },
        { &ours, &other_spf, SPF_PASS, VERIFY_WRONG, false, "SPF record is not the one" },
        { &ours, &spf_and_more, SPF_PASS, VERIFY_WRONG, false, "SPF record is not the one" },
        { &ours, &two_spf, SPF_PERMERROR, VERIFY_WRONG, true, "SPF record is not the one" },
        { &ours, &gone, SPF_PERMERROR, VERIFY_WRONG, true, "no SPF record" },
        { &timeout, &spf, SPF_PASS, VERIFY_SILENT, false, "no server answered in time" },
        { &ours, &timeout, SPF_TEMPERROR, VERIFY_SILENT, false, "no server answered in time" },
        { &refused, &refused, SPF_TEMPERROR, VERIFY_NOT_AUTHORITATIVE, false, "REFUSED" },
        { &expired, &expired, SPF_TEMPERROR, VERIFY_NOT_AUTHORITATIVE, false, "SERVFAIL" },
        { &cached, &spf, SPF_PASS, VERIFY_NOT_AUTHORITATIVE, false, "without authority" },
    };
    struct verify_identity id = { 0 };
    struct verify_wanted w = {
        .spf = SLICE(SPF), .egress = SLICE(OURS), .epoch = 7, .identity = &id, .n_identities = 1
    };
    assert_int_equal(addr_parse(SLICE("198.51.100.10"), &id.ip), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dns_record r[2][4];
        struct dns_answer egress = answer(cases[i].egress, r[0]), spf_answer = answer(cases[i].spf, r[1]);
        struct dns_answer soa = { .result = DNS_NODATA };
        struct verify_seen seen = { &egress, &spf_answer, &soa, { { .result = cases[i].policy } } };
        struct verify_server s = { 0 };
        verify_judge(&w, &seen, &s);
        if (s.verdict != cases[i].want || !strstr(s.words, cases[i].words))
            print_error("%zu: %s, %s\n", i, verify_verdict_name(s.verdict), s.words);
        assert_int_equal(s.verdict, cases[i].want);
        assert_int_equal(s.no_policy, cases[i].no_policy);
        assert_int_equal(s.pass, cases[i].policy == SPF_PASS && s.verdict != VERIFY_SILENT &&
                                     s.verdict != VERIFY_NOT_AUTHORITATIVE);
        assert_non_null(strstr(s.words, cases[i].words));
    }
}

TEST(without_texts_the_epoch_and_the_evaluation_decide)
{
    static const struct said ours = TEXT(OURS), spf = TEXT(SPF);
    struct verify_identity id[2] = { { .helo = { 0 } } };
    struct verify_wanted w = { .epoch = 7, .identity = id, .n_identities = 2 };
    struct dns_record r[2][4];
    struct dns_answer egress = answer(&ours, r[0]), spf_answer = answer(&spf, r[1]),
                      soa = { .result = DNS_NODATA };
    struct verify_seen seen = {
        &egress, &spf_answer, &soa, { { .result = SPF_PASS }, { .result = SPF_FAIL } }
    };
    struct verify_server s = { 0 };
    w.spf = w.egress = SLICE("");
    verify_judge(&w, &seen, &s);
    assert_int_equal(s.verdict, VERIFY_WRONG);
    assert_int_equal(s.pass, 1);
    assert_int_equal(s.epoch, 7);
    assert_int_equal(s.spf_ttl_s, 300);
    w.epoch = 8;
    verify_judge(&w, &seen, &s);
    assert_int_equal(s.verdict, VERIFY_OLD);
}

TEST(the_sum_is_a_sentence)
{
    struct verify_wanted w = { 0 };
    static struct verify_report r;
    assert_int_equal(dns_name_parse(SLICE("gw.example.com"), &w.zone), ERR_OK);
    verify_sum_up(&w, &r);
    assert_false(r.ok);
    assert_string_equal(r.words, "no name server of gw.example.com can be found");
    r.n = 2;
    r.server[0].spf_ttl_s = 300;
    r.server[1].spf_ttl_s = 600;
    verify_sum_up(&w, &r);
    assert_true(r.ok);
    assert_int_equal(r.spf_ttl_max_s, 600);
    assert_string_equal(r.words, "verified at 2 of 2 name server addresses");
    r.server[1].verdict = VERIFY_OLD;
    assert_int_equal(dns_name_parse(SLICE("ns2.example.com"), &r.server[1].name), ERR_OK);
    assert_int_equal(addr_parse(SLICE("192.0.2.54"), &r.server[1].addr), ERR_OK);
    strcpy(r.server[1].words, "still serves epoch 6");
    verify_sum_up(&w, &r);
    assert_false(r.ok);
    assert_int_equal(r.count[VERIFY_OLD], 1);
    assert_string_equal(
        r.words,
        "verified at 1 of 2 name server addresses; ns2.example.com (192.0.2.54): still serves epoch 6");
}
