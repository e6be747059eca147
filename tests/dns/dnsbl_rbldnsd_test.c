/* Real blocklists: rbldnsd serving sound, broken and dead zones. */
#include "dns/dnsbl.h"

#include <stdio.h>

#include "base/loop_uv.h"
#include "tests/dns/servers.h"
#include "tests/test.h"

struct lists {
    struct server rbldnsd;
    struct loop *loop;
    struct resolver *r;
};

static void lists_init(struct lists *l)
{
    static char bind[40];
    static const char *const argv[] = { "/usr/sbin/rbldnsd",
                                        "-n",
                                        "-b",
                                        bind,
                                        "-u",
                                        "nobody",
                                        "-r",
                                        ".",
                                        "-w",
                                        ".",
                                        "bl.test:ip4set:bl4",
                                        "bl.test:ip6trie:bl6",
                                        "refused.test:ip4trie:refused",
                                        "world.test:ip4trie:world",
                                        "empty.test:ip4set:empty",
                                        "parked.test:ip4trie:parked",
                                        NULL };
    struct resolver_conf conf = { .n_servers = 1, .try_ms = 500 };
    server_prepare(&l->rbldnsd);
    snprintf(bind, sizeof bind, "127.0.0.1/%u", l->rbldnsd.port);
    server_write(&l->rbldnsd, "bl4",
                 ":127.0.0.2:Listed, see https://bl.test/?$\n127.0.0.2\n198.51.100.0/24\n!198.51.100.7\n"
                 "203.0.113.5 :127.0.0.4:Exploited $\n203.0.113.6 :127.0.0.10:Policy $\n203.0.113.7 "
                 ":127.0.0.99:What\n");
    server_write(&l->rbldnsd, "bl6", ":127.0.0.2:Listed\n::ffff:7f00:2/128\n2001:db8:1::/48\n");
    server_write(&l->rbldnsd, "refused", "0/0 :127.255.255.254:Query refused\n");
    server_write(&l->rbldnsd, "world", "0/0 :127.0.0.2:Gone\n");
    server_write(&l->rbldnsd, "empty", "192.0.2.1 :127.0.0.2:One\n");
    server_write(&l->rbldnsd, "parked", "0/0 :192.0.2.80:Buy this domain\n");
    server_start(&l->rbldnsd, "127.0.0.1", true, argv);
    assert_int_equal(loop_create(NULL, &l->loop), ERR_OK);
    assert_int_equal(addr_parse_port(SLICE("127.0.0.1"), l->rbldnsd.port, &conf.servers[0]), ERR_OK);
    l->r = resolver_create(loop_env(l->loop), &conf);
}

static void lists_deinit(struct lists *l)
{
    resolver_destroy(l->r);
    loop_destroy(l->loop);
    server_stop(&l->rbldnsd);
}

static struct dnsbl_zone zone(const char *name)
{
    struct dnsbl_zone z = { .weight = 5 };
    assert_int_equal(dns_name_parse(slice_of(name), &z.name), ERR_OK);
    assert_int_equal(dnsbl_codes_parse(SLICE("2-9"), &z.listed), ERR_OK);
    assert_int_equal(dnsbl_codes_parse(SLICE("10,11"), &z.policy), ERR_OK);
    return z;
}

struct got {
    bool done;
    struct dnsbl_verdict v;
    struct dnsbl_probe p;
};

static void keep(void *owner, const struct dnsbl_verdict *v)
{
    struct got *g = owner;
    g->v = *v;
    g->done = true;
}

static void keep_probe(void *owner, const struct dnsbl_probe *p)
{
    struct got *g = owner;
    g->p = *p;
    g->done = true;
}

static void wait_for(struct lists *l, const struct got *g)
{
    for (int i = 0; i < 1000 && !g->done; i++) loop_run_for(l->loop, 10);
    assert_true(g->done);
}

TEST(addresses_are_listed_clean_or_unknown_at_a_real_server)
{
    static const struct {
        const char *zone, *addr;
        enum dnsbl_state state;
        enum dnsbl_why why;
    } cases[] = {
        { "bl.test", "198.51.100.10", DNSBL_LISTED, DNSBL_WHY_CODE },
        { "bl.test", "198.51.100.7", DNSBL_CLEAN, DNSBL_WHY_NOT_LISTED },
        { "bl.test", "192.0.2.1", DNSBL_CLEAN, DNSBL_WHY_NOT_LISTED },
        { "bl.test", "203.0.113.5", DNSBL_LISTED, DNSBL_WHY_CODE },
        { "bl.test", "203.0.113.6", DNSBL_CLEAN, DNSBL_WHY_POLICY },
        { "bl.test", "203.0.113.7", DNSBL_UNKNOWN, DNSBL_WHY_UNKNOWN_CODE },
        { "bl.test", "2001:db8:1::7", DNSBL_LISTED, DNSBL_WHY_CODE },
        { "bl.test", "2001:db8:2::7", DNSBL_CLEAN, DNSBL_WHY_NOT_LISTED },
        { "refused.test", "198.51.100.10", DNSBL_UNKNOWN, DNSBL_WHY_PUBLIC_RESOLVER },
        { "parked.test", "198.51.100.10", DNSBL_UNKNOWN, DNSBL_WHY_OUTSIDE_127 },
        { "nobodys.test", "198.51.100.10", DNSBL_UNKNOWN, DNSBL_WHY_REFUSED },
    };
    struct lists l;
    lists_init(&l);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dnsbl_zone z = zone(cases[i].zone);
        struct got g = { 0 };
        struct addr a;
        assert_int_equal(addr_parse(slice_of(cases[i].addr), &a), ERR_OK);
        dnsbl_ask(l.r, &z, &a, DNSBL_WANT_TEXT, 0, keep, &g);
        wait_for(&l, &g);
        if (g.v.why != cases[i].why)
            print_error("%s %s: %s\n", cases[i].zone, cases[i].addr, dnsbl_why_name(g.v.why));
        assert_int_equal(g.v.state, cases[i].state);
        assert_int_equal(g.v.why, cases[i].why);
        if (i == 0) assert_string_equal(g.v.text, "Listed, see https://bl.test/?198.51.100.10");
    }
    lists_deinit(&l);
}

TEST(zones_that_list_the_world_or_nothing_are_found_out)
{
    static const struct {
        const char *zone;
        enum addr_family family;
        enum dnsbl_health want;
    } cases[] = {
        { "bl.test", ADDR_V4, DNSBL_OK },         { "bl.test", ADDR_V6, DNSBL_OK },
        { "world.test", ADDR_V4, DNSBL_SUSPECT }, { "parked.test", ADDR_V4, DNSBL_SUSPECT },
        { "empty.test", ADDR_V4, DNSBL_BLIND },   { "refused.test", ADDR_V4, DNSBL_BLIND },
    };
    struct lists l;
    lists_init(&l);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dnsbl_zone z = zone(cases[i].zone);
        struct got g = { 0 };
        dnsbl_probe(l.r, &z, cases[i].family, 0, keep_probe, &g);
        wait_for(&l, &g);
        if (g.p.health != cases[i].want) print_error("%s: %s\n", cases[i].zone, g.p.why);
        assert_int_equal(g.p.health, cases[i].want);
    }
    lists_deinit(&l);
}

TEST(a_list_that_does_not_answer_is_unknown)
{
    struct lists l;
    struct got g = { 0 };
    struct dnsbl_zone z = zone("bl.test");
    struct addr a;
    struct resolver_conf conf = { .n_servers = 1, .try_ms = 100, .limit_ms = 500 };
    lists_init(&l);
    assert_int_equal(addr_parse_port(SLICE("127.0.0.1"), 1, &conf.servers[0]), ERR_OK);
    struct resolver *r = resolver_create(loop_env(l.loop), &conf);
    assert_int_equal(addr_parse(SLICE("198.51.100.10"), &a), ERR_OK);
    dnsbl_ask(r, &z, &a, 0, 0, keep, &g);
    wait_for(&l, &g);
    assert_int_equal(g.v.state, DNSBL_UNKNOWN);
    resolver_destroy(r);
    lists_deinit(&l);
}
