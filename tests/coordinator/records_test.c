/* The records on a table of DNS answers and a publisher that only notes what it is asked. */
#include "coordinator/records.h"

#include <stdio.h>

#include "tests/dns/fake.h"
#include "tests/test.h"

#define YAML                                                                            \
    "cluster: lab\nallow_documentation_addresses: yes\n"                                \
    "identities: [ { name: edge1, node: n1, ip: 198.51.100.10, helo: a.example.com }, " \
    "{ name: edge2, node: n2, ip: 203.0.113.10, helo: b.example.com } ]\n"              \
    "nodes: [ { name: n1, handoff: 10.0.0.1 }, { name: n2, handoff: 10.0.0.2 } ]\n"     \
    "dns: { server: 192.0.2.1, zone: gw.example.com, mail_domain: example.com }\n"

#define EGRESS "192.0.2.1 _egress.gw.example.com TXT"
#define SPF    "192.0.2.1 _spf.gw.example.com TXT"

struct world {
    struct fake dns;
    struct opt_source src;
    struct coordinator_conf conf;
    struct publisher publisher;
    struct publish_op op;
    publish_done_fn *publish_done;
    void *publish_owner;
    struct publish_wanted wanted;
    struct records *r;
    int tokens, publications;
    bool reachable;
    struct fo_token token;
    enum fo_published published;
};

static struct world *the; /* the publisher's functions are given no owner */

static struct publish_op *note(struct publisher *p, const struct publish_wanted *w, uint32_t limit_ms,
                               publish_done_fn *done, void *owner)
{
    the->wanted = *w;
    the->publish_done = done;
    the->publish_owner = owner;
    the->op.publisher = p;
    return &the->op;
}

static void forget(struct publish_op *op)
{
    the->publish_done = NULL;
}

static const struct publisher_ops ops = { "test", note, forget, NULL };

static void world_init(struct world *w)
{
    *w = (struct world){ .publisher = { &ops } };
    the = w;
    opt_source_init(&w->src, "cluster.yaml");
    if (cluster_conf_load_text(&w->src, SLICE(YAML), &w->conf.cluster))
        fail_msg("%s", buf_cstr(&w->src.errors));
    fake_init(&w->dns, "192.0.2.53");
    struct records_conf rc = { &w->conf, w->dns.r, &w->publisher };
    w->r = records_create(&w->dns.env, &rc);
}

static void world_deinit(struct world *w)
{
    records_destroy(w->r);
    fake_deinit(&w->dns);
    opt_source_deinit(&w->src);
}

static void on_token(void *owner, bool reachable, const struct fo_token *t)
{
    struct world *w = owner;
    w->tokens++;
    w->reachable = reachable;
    w->token = *t;
}

static void read_now(struct world *w, const char *egress, const char *spf)
{
    char e[512], s[512];
    int before = w->tokens;
    snprintf(e, sizeof e, "_egress.gw.example.com. 30 TXT \"%s\"\n", egress ? egress : "");
    snprintf(s, sizeof s, "_spf.gw.example.com. 300 TXT \"%s\"\n", spf ? spf : "");
    if (egress) fake_say(&w->dns, EGRESS, "aa", e);
    if (spf) fake_say(&w->dns, SPF, "aa", s);
    (void)records_read(w->r, on_token, w);
    fake_run(&w->dns);
    assert_int_equal(w->tokens, before + 1);
    w->dns.n = 0; /* what was said points into this function */
}

TEST(the_token_is_read_from_both_names_of_the_primary)
{
    struct world w;
    world_init(&w);
    read_now(&w, "v=gemel1 cluster=lab epoch=17 active=edge2 digest=abc serial=5",
             "v=spf1 ip4:198.51.100.10 ip4:203.0.113.10 -all");
    assert_true(w.reachable);
    assert_true(w.token.present);
    assert_false(w.token.foreign);
    assert_int_equal(w.token.epoch, 17);
    assert_int_equal(w.token.serial, 5);
    assert_int_equal(w.token.identity, 1);
    assert_int_equal(w.token.spf_set, 3);
    read_now(&w, "v=gemel1 cluster=lab epoch=18 active=- digest=-", "v=spf1 ip4:203.0.113.10 -all");
    assert_int_equal(w.token.identity, STORE_NONE);
    assert_int_equal(w.token.serial, 0);
    assert_int_equal(w.token.spf_set, 2);
    world_deinit(&w);
}

TEST(a_text_that_is_not_ours_authorises_nobody_for_us)
{
    static const char *const cases[] = { "v=spf1 ip4:198.51.100.10 ip4:192.0.2.99 -all",
                                         "v=spf1 ip4:198.51.100.10 ~all", "v=spf1 +all",
                                         "v=spf1 ip4:198.51.100.0/24 -all", "nonsense" };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        read_now(&w, "v=gemel1 cluster=lab epoch=17 active=edge2 digest=abc", cases[i]);
        assert_int_equal(w.token.spf_set, 0);
    }
    world_deinit(&w);
}

TEST(somebody_elses_marker_is_foreign)
{
    struct world w;
    world_init(&w);
    read_now(&w, "v=gemel1 cluster=other epoch=17 active=edge2 digest=abc", NULL);
    assert_true(w.token.present && w.token.foreign);
    read_now(&w, "hands off", NULL);
    assert_true(w.token.present && w.token.foreign);
    world_deinit(&w);
}

TEST(nothing_there_is_not_the_same_as_no_answer)
{
    struct world w;
    world_init(&w);
    read_now(&w, NULL, NULL);
    assert_true(w.reachable);
    assert_false(w.token.present);
    fake_say(&w.dns, EGRESS, "drop", "");
    (void)records_read(w.r, on_token, &w);
    fake_run(&w.dns);
    assert_false(w.reachable);
    struct records_look look;
    records_look(w.r, &look);
    assert_true(look.read && !look.reachable);
    world_deinit(&w);
}

static void on_published(void *owner, enum fo_published p)
{
    struct world *w = owner;
    w->publications++;
    w->published = p;
}

TEST(what_is_published_is_the_token_in_words)
{
    struct world w;
    struct records_look look;
    world_init(&w);
    struct fo_token expect = { .present = true, .epoch = 17, .serial = 5, .spf_set = 3 };
    struct fo_token want = { .present = true, .identity = 1, .epoch = 18, .serial = 6, .spf_set = 2 };
    (void)records_publish(w.r, &expect, &want, on_published, &w);
    assert_slice(w.wanted.cluster, "lab");
    assert_slice(w.wanted.active, "edge2");
    assert_int_equal(w.wanted.epoch, 18);
    assert_int_equal(w.wanted.serial, 6);
    assert_int_equal(w.wanted.expected_epoch, 17);
    assert_int_equal(w.wanted.expected_serial, 5);
    assert_int_equal(w.wanted.n_senders, 1);
    assert_int_equal(w.wanted.senders[0].ip[0], 203);
    assert_int_equal(w.wanted.spf_ttl_s, 300);
    w.publish_done(w.publish_owner, PUBLISH_DONE, "");
    assert_int_equal(w.published, FO_PUB_APPLIED);
    records_look(w.r, &look);
    assert_int_equal(look.token.epoch, 18);
    assert_string_equal(look.texts.spf, "v=spf1 ip4:203.0.113.10 -all");
    world_deinit(&w);
}

TEST(each_way_a_publication_can_fail_means_one_thing)
{
    static const struct {
        enum publish_result in;
        enum fo_published out;
    } cases[] = {
        { PUBLISH_STALE, FO_PUB_CONFLICT },  { PUBLISH_CONFLICT, FO_PUB_CONFLICT },
        { PUBLISH_REFUSED, FO_PUB_REFUSED }, { PUBLISH_CLOCK, FO_PUB_REFUSED },
        { PUBLISH_LINT, FO_PUB_LINT },       { PUBLISH_UNKNOWN, FO_PUB_UNKNOWN },
        { PUBLISH_FAILED, FO_PUB_UNKNOWN },
    };
    struct world w;
    struct records_look look;
    world_init(&w);
    struct fo_token none = { 0 }, want = { .identity = 0, .epoch = 1, .serial = 1, .spf_set = 1 };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)records_publish(w.r, &none, &want, on_published, &w);
        assert_int_equal(w.wanted.expected_epoch, 0);
        w.publish_done(w.publish_owner, cases[i].in, "because");
        assert_int_equal(w.published, cases[i].out);
        records_look(w.r, &look);
        assert_true(look.publish_failed);
        assert_string_equal(look.publish_detail, "because");
    }
    world_deinit(&w);
}

TEST(a_server_is_judged_by_what_should_be_there)
{
    struct fo_token should = { .present = true, .epoch = 5, .spf_set = 2 };
    struct verify_server s = { .verdict = VERIFY_WRONG, .epoch = 5, .pass = 2 };
    assert_int_equal(records_judge(&s, &should), VERIFY_PASS); /* one withdrawn: it must not pass */
    s.pass = 3;
    assert_int_equal(records_judge(&s, &should), VERIFY_WRONG);
    s = (struct verify_server){ .verdict = VERIFY_PASS, .epoch = 4, .pass = 2 };
    assert_int_equal(records_judge(&s, &should), VERIFY_OLD);
    s.verdict = VERIFY_SILENT;
    assert_int_equal(records_judge(&s, &should), VERIFY_SILENT);
    s = (struct verify_server){ .verdict = VERIFY_WRONG, .epoch = 5, .no_policy = true };
    assert_int_equal(records_judge(&s, &should), VERIFY_WRONG);
}
