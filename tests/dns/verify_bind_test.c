/* Published at BIND, then verified at it and at a second server that was told nothing. */
#include "dns/verify.h"

#include <arpa/inet.h>
#include <signal.h>

#include "dns/publish.h"
#include "tests/dns/world.h"
#include "tests/test.h"

struct got {
    bool done;
    struct verify_report r;
};

static void keep(void *owner, const struct verify_report *r)
{
    struct got *g = owner;
    g->done = true;
    g->r = *r;
}

static void keep_published(void *owner, enum publish_result r, const char *detail)
{
    assert_int_equal(r, PUBLISH_DONE);
    *(bool *)owner = true;
}

static struct addr senders[2];

static struct publish_wanted wanted(uint64_t epoch)
{
    assert_int_equal(addr_parse(SLICE("198.51.100.10"), &senders[0]), ERR_OK);
    assert_int_equal(addr_parse(SLICE("203.0.113.10"), &senders[1]), ERR_OK);
    return (struct publish_wanted){ .cluster = SLICE("lab"),
                                    .active = SLICE("edge1"),
                                    .digest = SLICE("d"),
                                    .epoch = epoch,
                                    .expected_epoch = epoch - 1,
                                    .senders = senders,
                                    .n_senders = 2,
                                    .all = '-',
                                    .allow = SPF_ALLOW_DOCUMENTATION };
}

static void publish(struct world *w, uint64_t epoch)
{
    struct publish_zone zone = { .server = w->server };
    struct publish_wanted want = wanted(epoch);
    bool done = false;
    assert_int_equal(dns_name_parse(SLICE("gw.example.com"), &zone.zone), ERR_OK);
    struct publisher *p = publisher_rfc2136(&w->env, w->r, &zone, &w->key);
    publish_start(p, &want, 0, keep_published, &done);
    world_wait(w, &done);
    publisher_destroy(p);
}

static struct got verify(struct world *w, uint64_t epoch)
{
    struct publish_wanted want = wanted(epoch);
    struct verify_identity id[2] = { { .ip = senders[0] }, { .ip = senders[1] } };
    struct verify_wanted v = {
        .epoch = epoch, .identity = id, .n_identities = 2, .port = w->bind.port, .limit_ms = 6000
    };
    struct buf spf, egress;
    const char *why;
    struct got g = { 0 };
    buf_init(&spf, SPF_RECORD_BYTES_MAX);
    buf_init(&egress, EGRESS_RECORD_BYTES_MAX);
    assert_int_equal(publish_texts(&want, &spf, &egress, &why), ERR_OK);
    assert_int_equal(dns_name_parse(SLICE("gw.example.com"), &v.zone), ERR_OK);
    assert_int_equal(dns_name_parse(SLICE("example.com"), &v.mail_domain), ERR_OK);
    assert_int_equal(dns_name_parse(SLICE("edge1.example.com"), &id[0].helo), ERR_OK);
    assert_int_equal(dns_name_parse(SLICE("edge2.example.com"), &id[1].helo), ERR_OK);
    v.spf = buf_slice(&spf);
    v.egress = buf_slice(&egress);
    verify_start(w->r, &v, keep, &g);
    world_wait(w, &g.done);
    buf_deinit(&spf);
    buf_deinit(&egress);
    return g;
}

/* Knot at 127.0.0.3 (BIND would not listen there), with the zone as a file, or without. */
static void start_second(struct server *s, uint16_t port, const char *zone)
{
    static const char *const argv[] = { "/usr/sbin/knotd", "-c", "knot.conf", NULL };
    server_prepare(s);
    s->port = port;
    server_write(s, "knot.conf",
                 "server:\n  listen: 127.0.0.3@%u\n  rundir: %s\n"
                 "database:\n  storage: %s\n"
                 "log:\n  - target: stderr\n    any: info\n%s%s%s",
                 port, s->dir, s->dir, zone ? "zone:\n  - domain: gw.example.com\n    file: " : "",
                 zone ? s->dir : "", zone ? "/gw.zone\n" : "");
    if (zone)
        server_write(
            s, "gw.zone",
            "$TTL 60\n@ SOA ns1.example.com. h.example.com. 1 60 60 60 60\n@ NS ns1.example.com.\n%s", zone);
    server_start(s, "127.0.0.3", false, argv);
}

static const char two_servers[] = "gw NS ns2\nns2 A 127.0.0.3\n; gw\n@ NS ns2.example.com.\n";

TEST(what_was_published_is_verified_at_a_real_server)
{
    struct world w;
    world_init(&w, "");
    publish(&w, 1);
    struct got g = verify(&w, 1);
    if (!g.r.ok) print_error("%s\n", g.r.words);
    assert_true(g.r.ok);
    assert_int_equal(g.r.n, 1);
    assert_int_equal(g.r.server[0].pass, 3);
    assert_int_equal(g.r.spf_ttl_max_s, 300);
    g = verify(&w, 2);
    assert_int_equal(g.r.count[VERIFY_OLD], 1);
    world_deinit(&w);
}

TEST(a_second_server_that_was_told_nothing_is_seen)
{
    static const struct {
        const char *zone; /* NULL: it does not have the zone */
        bool stopped;
        enum verify_verdict want;
    } cases[] = {
        { "_egress TXT \"v=gemel1 cluster=lab epoch=1 active=edge1 digest=d\"\n_spf TXT \"v=spf1 "
          "ip4:198.51.100.10 -all\"\n",
          false, VERIFY_OLD },
        { "_egress TXT \"v=gemel1 cluster=lab epoch=2 active=edge1 digest=d\"\n_spf TXT \"v=spf1 "
          "ip4:198.51.100.10 -all\"\n",
          false, VERIFY_WRONG },
        { NULL, false, VERIFY_NOT_AUTHORITATIVE },
        { NULL, true, VERIFY_SILENT },
    };
    struct world w;
    world_init(&w, two_servers);
    publish(&w, 1);
    publish(&w, 2);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct server second;
        start_second(&second, w.bind.port, cases[i].zone);
        if (cases[i].stopped) kill(second.pid, SIGSTOP);
        struct got g = verify(&w, 2);
        if (g.r.count[cases[i].want] != 1) print_error("%zu: %s\n", i, g.r.words);
        assert_int_equal(g.r.n, 2);
        assert_int_equal(g.r.count[VERIFY_PASS], 1);
        assert_int_equal(g.r.count[cases[i].want], 1);
        server_stop(&second);
    }
    world_deinit(&w);
}
