#include "proto/cluster_conf.h"

#include <stdlib.h>

#include "tests/test.h"

#define HEAD "cluster: lab\n"
#define DOCS "allow_documentation_addresses: yes\n"
#define IDS                                                                                      \
    "identities:\n - { name: edge1, node: edge1, ip: 198.51.100.10, helo: edge1.example.com }\n" \
    " - { name: edge2, node: edge2, ip: 203.0.113.10, helo: edge2.example.com }\n"
#define NODES  "nodes: [ { name: edge1, handoff: 10.0.0.11 }, { name: edge2, handoff: 10.0.0.12 } ]\n"
#define COORDS "coordinators: [ { name: coord1, link: 10.0.0.21 } ]\nredis: { server: 10.0.0.31 }\n"
#define DNS                                                                                            \
    "dns: { server: 192.0.2.53, zone: gw.example.com, mail_domain: example.com, tsig: { name: gemel, " \
    "secret_file: /x } }\n"

static enum err load(const char *yaml, struct opt_source *src, struct cluster_conf *c)
{
    opt_source_init(src, "cluster.yaml");
    return cluster_conf_load_text(src, slice_of(yaml), c);
}

TEST(a_whole_cluster_loads_with_defaults)
{
    struct opt_source src;
    struct cluster_conf c;
    enum err err = load(
        HEAD DOCS IDS NODES COORDS DNS
        "inside: [ 10.0.0.0/24 ]\ndomains: [ { name: Example.com, next_hop: \"[10.0.0.25]:25\" } ]\n"
        "blocklists: [ { zone: bl.dnsbl.example, codes: [ 2-11 ], weight: 5 } ]\n",
        &src, &c);
    if (err) print_error("%s", buf_cstr(&src.errors));
    assert_int_equal(err, ERR_OK);
    assert_int_equal(c.failover.lease_ms, SECONDS(15));
    assert_int_equal(cluster_node(&c, SLICE("edge2"))->link.port, 7301);
    assert_non_null(cluster_identity(&c, SLICE("edge1")));
    assert_null(cluster_identity(&c, SLICE("edge3")));
    assert_non_null(cluster_domain(&c, SLICE("EXAMPLE.COM")));
    struct addr a;
    assert_int_equal(addr_parse(SLICE("10.0.0.7"), &a), ERR_OK);
    assert_true(cluster_is_inside(&c, &a));
    assert_int_equal(addr_parse(SLICE("10.0.1.7"), &a), ERR_OK);
    assert_false(cluster_is_inside(&c, &a));
    assert_int_equal(strlen(c.digest), 64);
    opt_source_deinit(&src);
}

TEST(what_cannot_be_meant_is_refused_with_its_line)
{
    static const struct {
        const char *yaml, *error;
    } cases[] = {
        { HEAD IDS NODES,
          "cluster.yaml:3: identities.ip: 198.51.100.10 is a documentation address (RFC 5737, 3849)" },
        { HEAD "identities: [ { name: a, node: edge1, ip: 10.0.0.1, helo: a.example.com } ]\n" NODES,
          "10.0.0.1 is a private address" },
        { HEAD DOCS "identities:\n - { name: a, node: edge1, ip: 192.0.2.1, helo: a.example.com }\n - { "
                    "name: b, node: edge2, ip: 192.0.2.1, helo: b.example.com }\n" NODES,
          "cluster.yaml:5: identities.ip: 192.0.2.1 belongs to identity \"a\" (line 4) already" },
        { HEAD DOCS "identities:\n - { name: a, node: edge9, ip: 192.0.2.1, helo: a.example.com }\n" NODES,
          "there is no node \"edge9\" below nodes" },
        { HEAD DOCS "identities:\n - { name: a, node: edge1, ip: 192.0.2.1, helo: short }\n" NODES,
          "\"short\" is not a full host name" },
        { HEAD DOCS IDS NODES COORDS
          "dns: { server: 192.0.2.53, zone: gw.example.com, mail_domain: example.com, tsig: { name: gemel, "
          "algorithm: hmac-sha384, secret_file: /x } }\n",
          "dns.tsig.algorithm: hmac-sha384 cannot be used" },
        { HEAD DOCS IDS NODES COORDS DNS "failover: { lease: 6s }\n",
          "failover.lease: 6000 ms is too short: renew + 2 × redis_timeout + margin is 11000 ms" },
        { HEAD DOCS IDS NODES "coordinators: [ { name: coord1, link: 10.0.0.21 } ]\n" DNS,
          "redis.server: is missing" },
        { HEAD DOCS IDS
          "nodes: [ { name: edge1, handoff: 10.0.0.11 }, { name: edge1, handoff: 10.0.0.12 } ]\n",
          "\"edge1\" stands on line 6 too" },
        { HEAD DOCS IDS NODES COORDS "dns: { zone: gw.example.com, mail_domain: example.com }\n",
          "dns.server: is missing" },
        { HEAD DOCS IDS NODES COORDS
          "dns: { publisher: exec, zone: gw.example.com, mail_domain: example.com }\n",
          "dns.command: is missing" },
        { "cluster: \"a b\"\n" DOCS IDS NODES, "cluster.yaml:1: cluster: \"a b\" is not allowed" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct opt_source src;
        struct cluster_conf c;
        assert_int_equal(load(cases[i].yaml, &src, &c), ERR_MALFORMED);
        if (!strstr(buf_cstr(&src.errors), cases[i].error))
            print_error("%s→ %swant %s\n", cases[i].yaml, buf_cstr(&src.errors), cases[i].error);
        assert_non_null(strstr(buf_cstr(&src.errors), cases[i].error));
        opt_source_deinit(&src);
    }
}
