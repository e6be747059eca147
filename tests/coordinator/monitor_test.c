/* The monitor on simulated time and a table of DNS answers: when it asks, what it tells, what counts once. */
#include "coordinator/monitor.h"

#include <stdio.h>

#include "tests/dns/fake.h"
#include "tests/test.h"

#define YAML                                                                         \
    "cluster: lab\nallow_documentation_addresses: yes\n"                             \
    "identities: [ { name: id1, node: n1, ip: 198.51.100.1, helo: a.example.com }, " \
    "{ name: id2, node: n2, ip: 203.0.113.1, helo: b.example.com } ]\n"              \
    "nodes: [ { name: n1, handoff: 10.0.0.1 }, { name: n2, handoff: 10.0.0.2 } ]\n"  \
    "blocklists: [ { zone: bl.example, codes: [ 2-9 ], weight: 5 } ]\n"              \
    "failover: { poll: 10m, confirm: 2m }\n"

struct world {
    struct fake dns;
    struct opt_source src;
    struct coordinator_conf conf;
    struct addr addr;
    struct monitor *m;
    struct policy_verdict verdict[2];
    int verdicts, evidence;
    struct store_evidence last;
};

static void on_verdict(void *owner, uint8_t identity, const struct policy_verdict *v)
{
    struct world *w = owner;
    w->verdict[identity] = *v;
    w->verdicts++;
}

static void on_evidence(void *owner, const struct store_evidence *e)
{
    struct world *w = owner;
    w->evidence++;
    w->last = *e;
}

static const struct monitor_events events = { on_verdict, on_evidence };

static void world_init(struct world *w)
{
    *w = (struct world){ 0 };
    opt_source_init(&w->src, "cluster.yaml");
    if (cluster_conf_load_text(&w->src, SLICE(YAML), &w->conf.cluster))
        fail_msg("%s", buf_cstr(&w->src.errors));
    struct watched_zone *z = &w->conf.zones[w->conf.n_zones++];
    z->zone.weight = 5;
    z->delist = "";
    snprintf(z->shown, sizeof z->shown, "bl.example");
    assert_int_equal(dns_name_parse(SLICE("bl.example"), &z->zone.name), ERR_OK);
    assert_int_equal(dnsbl_codes_parse(SLICE("2-9"), &z->zone.listed), ERR_OK);
    fake_init(&w->dns, "192.0.2.53");
    fake_say(&w->dns, "2.0.0.127.bl.example A", "", "2.0.0.127.bl.example. 60 A 127.0.0.2\n");
    assert_int_equal(addr_parse(SLICE("192.0.2.53"), &w->addr), ERR_OK);
    struct monitor_conf mc = {
        .conf = &w->conf, .resolvers = &w->dns.r, .addrs = &w->addr, .n_resolvers = 1
    };
    w->m = monitor_create(&w->dns.env, &mc, &events, w);
}

static void world_deinit(struct world *w)
{
    monitor_destroy(w->m);
    fake_deinit(&w->dns);
    opt_source_deinit(&w->src);
}

static int asked(struct world *w, const char *what)
{
    struct slice rest = fake_trace(&w->dns), line;
    int n = 0;
    while (slice_cut(&rest, '\n', &line)) n += slice_find_slice(line, slice_of(what)) < line.n;
    return n;
}

TEST(a_round_asks_everything_at_once_and_the_next_comes_when_it_is_due)
{
    struct world w;
    world_init(&w);
    fake_run_ms(&w.dns, 1000);
    assert_true(w.verdicts >= 2);
    assert_true(w.verdict[0].fit);
    assert_int_equal(w.verdict[0].score, 0);
    const struct monitor_cell *c = monitor_cell(w.m, 0, 0, 0);
    assert_true(c->at_ms);
    assert_int_equal(c->state, DNSBL_CLEAN);
    struct monitor_zone z;
    monitor_zone(w.m, 0, &z);
    assert_int_equal(z.health, POLICY_OK);
    assert_int_equal(asked(&w, "1.100.51.198.bl.example A"), 1);
    fake_run_ms(&w.dns, MINUTES(10) - 2000);
    assert_int_equal(asked(&w, "1.100.51.198.bl.example A"), 0);
    fake_run_ms(&w.dns, MINUTES(3)); /* jitter: up to a fifth later, never earlier */
    assert_int_equal(asked(&w, "1.100.51.198.bl.example A"), 1);
    world_deinit(&w);
}

TEST(a_listing_is_seen_then_confirmed_by_a_poll_far_enough_away)
{
    struct world w;
    world_init(&w);
    fake_say(&w.dns, "1.100.51.198.bl.example A", "", "1.100.51.198.bl.example. 60 A 127.0.0.4\n");
    fake_run_ms(&w.dns, 1000);
    assert_int_equal(w.verdict[0].score, 5);
    assert_false(w.verdict[0].confirmed);
    assert_true(monitor_lists(w.m, 0, 0));
    assert_false(monitor_lists(w.m, 0, 1));
    monitor_poll(w.m);
    fake_run_ms(&w.dns, 1000);
    assert_false(w.verdict[0].confirmed); /* a second poll, but at once */
    fake_run_ms(&w.dns, MINUTES(3));
    assert_true(w.verdict[0].confirmed);
    assert_non_null(strstr(w.verdict[0].why, "bl.example"));
    world_deinit(&w);
}

TEST(a_zone_that_lists_the_world_does_not_count)
{
    struct world w;
    world_init(&w);
    fake_say(&w.dns, "1.0.0.127.bl.example A", "", "1.0.0.127.bl.example. 60 A 127.0.0.2\n");
    fake_say(&w.dns, "1.100.51.198.bl.example A", "", "1.100.51.198.bl.example. 60 A 127.0.0.2\n");
    fake_run_ms(&w.dns, MINUTES(30));
    struct monitor_zone z;
    monitor_zone(w.m, 0, &z);
    assert_int_equal(z.health, POLICY_SUSPECT);
    assert_int_equal(w.verdict[0].score, 0);
    assert_false(w.verdict[0].confirmed);
    world_deinit(&w);
}

TEST(errors_are_counted_and_neither_clean_nor_listed)
{
    struct world w;
    world_init(&w);
    fake_say(&w.dns, "1.100.51.198.bl.example A", "", "1.100.51.198.bl.example. 60 A 127.255.255.254\n");
    fake_run_ms(&w.dns, 2000);
    assert_int_equal(monitor_cell(w.m, 0, 0, 0)->state, DNSBL_UNKNOWN);
    assert_int_equal(monitor_errors(w.m, 0, DNSBL_WHY_PUBLIC_RESOLVER), 1);
    assert_int_equal(w.verdict[0].score, 0);
    world_deinit(&w);
}

static struct link_refusal refusal(const char *destination, const char *id)
{
    return (struct link_refusal){ .identity = SLICE("id1"),
                                  .destination = slice_of(destination),
                                  .scope = SLICE("ip-public"),
                                  .effect = SLICE("SWITCH"),
                                  .text = SLICE("554 5.7.1 198.51.100.1 is listed"),
                                  .message_id = slice_of(id) };
}

TEST(a_refusal_is_shared_once_and_counts_once_whichever_way_it_comes)
{
    struct world w;
    world_init(&w);
    fake_run_ms(&w.dns, 1000);
    struct link_refusal a = refusal("one.example", "m1"), b = refusal("two.example", "m2"),
                        c = refusal("three.example", "m3");
    monitor_refusal(w.m, &a);
    monitor_refusal(w.m, &a);
    assert_int_equal(w.evidence, 1);
    assert_int_equal(w.last.scope, POLICY_SCOPE_ADDRESS);
    struct store_evidence from_store = w.last;
    monitor_evidence(w.m, &from_store); /* our own, read back */
    monitor_refusal(w.m, &b);
    assert_int_equal(w.verdict[0].score, 0); /* two organisations */
    from_store.organisation = monitor_organisation(SLICE(""), c.destination);
    from_store.message = slice_hash(c.message_id);
    monitor_evidence(w.m, &from_store); /* another coordinator's */
    assert_int_equal(w.verdict[0].score, 4);
    assert_int_equal(w.evidence, 2);
    world_deinit(&w);
}

TEST(a_refusal_that_says_nothing_about_our_address_is_not_evidence)
{
    struct world w;
    world_init(&w);
    struct link_refusal r = refusal("one.example", "m1");
    r.effect = SLICE("NONE");
    monitor_refusal(w.m, &r);
    r = refusal("one.example", "m2");
    r.identity = SLICE("nobody");
    monitor_refusal(w.m, &r);
    assert_int_equal(w.evidence, 0);
    world_deinit(&w);
}

TEST(the_classifiers_words_have_a_scope)
{
    assert_int_equal(monitor_scope(SLICE("ip-public"), SLICE("SWITCH")), POLICY_SCOPE_ADDRESS);
    assert_int_equal(monitor_scope(SLICE("ip-range"), SLICE("SWITCH")), POLICY_SCOPE_ADDRESS);
    assert_int_equal(monitor_scope(SLICE("ip-provider"), SLICE("SWITCH")), POLICY_SCOPE_PROVIDER);
    assert_int_equal(monitor_scope(SLICE("ip-provider"), SLICE("SLOW")), POLICY_SCOPE_OTHER);
    assert_int_equal(monitor_scope(SLICE("helo"), SLICE("SWITCH")), POLICY_SCOPE_OTHER);
}

TEST(hosts_of_one_organisation_are_one_voice)
{
    uint64_t a = monitor_organisation(SLICE("mx1.example.net"), SLICE("x.org"));
    assert_true(a == monitor_organisation(SLICE("MX2.example.NET"), SLICE("y.org")));
    assert_true(a == monitor_organisation(SLICE(""), SLICE("example.net")));
    assert_true(a != monitor_organisation(SLICE(""), SLICE("example.org")));
}

TEST(a_quarantine_in_the_store_makes_it_unfit_until_it_is_clean_for_long_enough)
{
    struct world w;
    world_init(&w);
    fake_run_ms(&w.dns, 1000);
    assert_true(w.verdict[0].fit);
    monitor_mark(w.m, 0, w.dns.wall_ms);
    assert_true(w.verdict[0].quarantined);
    assert_false(w.verdict[0].fit);
    fake_run_ms(&w.dns, HOURS(27));
    assert_true(w.verdict[0].cleared);
    world_deinit(&w);
}
