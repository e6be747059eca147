#include "coordinator/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/disk.h"
#include "tests/certs.h"
#include "tests/test.h"

static const char cluster_yaml[] =
    "cluster: lab\n"
    "allow_documentation_addresses: true\n"
    "identities:\n"
    "  - { name: edge1, node: edge1, ip: 198.51.100.10, helo: edge1.example.com }\n"
    "  - { name: edge2, node: edge2, ip: 203.0.113.10, helo: edge2.example.com }\n"
    "nodes:\n"
    "  - { name: edge1, handoff: \"10.0.0.11:7301\" }\n"
    "  - { name: edge2, handoff: \"10.0.0.12:7301\" }\n"
    "coordinators:\n"
    "  - { name: coord1, link: \"10.0.0.21:7300\" }\n"
    "redis: { server: \"10.0.0.31:6379\", user: gemel, password_file: redis.pass }\n"
    "dns: { server: \"192.0.2.53\", zone: gw.example.com, mail_domain: example.com,\n"
    "       tsig: { name: gemel, algorithm: hmac-sha512, secret_file: tsig.secret } }\n"
    "blocklists:\n"
    "  - { zone: KEYKEYKEY123456789.zen.dq.spamhaus.net, codes: [ 2, 3, 4-7, 9 ], policy: [ 10-11 ], weight: "
    "5 }\n"
    "  - { zone: bl.dnsbl.example, codes: [ 2-11 ], weight: 4, delist: \"https://dnsbl.example/\" }\n"
    "failover: { lease: 3s, renew: 600ms, redis_timeout: 600ms, margin: 400ms, stall: 1s, heartbeat: 500ms, "
    "poll: 1s }\n";

struct place {
    char *folder;
    struct opt_source src, cluster_src;
    struct coordinator_conf conf;
    enum err err;
};

static void put(const struct place *p, const char *name, const char *text)
{
    struct disk d;
    char path[256];
    disk_os(&d);
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    assert_int_equal(disk_write(&d, path, slice_of(text)), ERR_OK);
}

/* The example with `old` replaced by `fresh`. */
static void load(struct place *p, const char *old, const char *fresh)
{
    char path[256];
    struct buf text;
    p->folder = test_folder();
    buf_init(&text, 8192);
    struct slice all = slice_of(cluster_yaml);
    size_t at = old ? slice_find_slice(all, slice_of(old)) : all.n;
    assert_true(!old || at < all.n);
    buf_put(&text, slice_sub(all, 0, at));
    if (old) {
        buf_put(&text, slice_of(fresh));
        buf_put(&text, slice_skip(all, at + strlen(old)));
    }
    put(p, "cluster.yaml", buf_cstr(&text));
    buf_deinit(&text);
    put(p, "coordinator.yaml",
        "cluster: cluster.yaml\nname: coord1\nstate: state\ntls: { ca: ca.pem, cert: c.pem, key: c.key "
        "}\nadmin: a.sock\n");
    put(p, "redis.pass", "secret\n");
    put(p, "tsig.secret", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=\n");
    snprintf(path, sizeof path, "%s/coordinator.yaml", p->folder);
    opt_source_init(&p->src, path);
    p->err = coordinator_conf_load(&p->src, &p->cluster_src, &p->conf);
}

static void unload(struct place *p)
{
    if (!p->err) coordinator_conf_wipe(&p->conf);
    opt_source_deinit(&p->src);
    opt_source_deinit(&p->cluster_src);
    test_folder_remove(p->folder);
    free(p->folder);
}

static void refused(const char *old, const char *fresh, const char *words)
{
    struct place p;
    load(&p, old, fresh);
    assert_int_equal(p.err, ERR_MALFORMED);
    struct slice said = buf_slice(&p.cluster_src.errors);
    if (slice_find_slice(said, slice_of(words)) == said.n)
        fail_msg("\"%s\" is not in \"%.*s\"", words, SLICE_ARG(said));
    unload(&p);
}

TEST(both_files_load_with_their_secrets)
{
    struct place p;
    load(&p, NULL, NULL);
    if (p.err)
        fail_msg("%.*s%.*s", SLICE_ARG(buf_slice(&p.src.errors)),
                 SLICE_ARG(buf_slice(&p.cluster_src.errors)));
    assert_string_equal(p.conf.self->name, "coord1");
    assert_string_equal(p.conf.redis_password, "secret");
    assert_true(p.conf.has_tsig);
    assert_int_equal(p.conf.tsig.algorithm, TSIG_SHA512);
    assert_int_equal(p.conf.n_zones, 2);
    assert_string_equal(p.conf.zones[0].shown, "<key>.zen.dq.spamhaus.net");
    assert_string_equal(p.conf.zones[0].delist, "https://check.spamhaus.org/");
    assert_int_equal(p.conf.zones[0].zone.listed.n, 4);
    assert_int_equal(p.conf.zones[0].zone.policy.n, 1);
    assert_int_equal(p.conf.zones[1].zone.weight, 4);
    unload(&p);
}

TEST(a_blocklist_that_has_ended_is_refused_with_its_story)
{
    refused("bl.dnsbl.example", "ix.dnsbl.manitu.net", "Nixspam ended");
}

TEST(codes_that_are_none_are_refused_by_line)
{
    refused("[ 2-11 ]", "[ 9-2 ]", "cluster.yaml:16: blocklists.codes: \"9-2\"");
    refused("[ 2-11 ]", "[ 127.255.255.254 ]", "blocklists.codes");
    refused("[ 10-11 ]", "[ x ]", "blocklists.policy");
}

TEST(a_zone_twice_is_refused)
{
    refused("bl.dnsbl.example, codes", "keykeykey123456789.zen.dq.spamhaus.net, codes", "twice");
}

TEST(secrets_are_checked_and_never_shown)
{
    refused("secret_file: tsig.secret", "secret_file: redis.pass", "dns.tsig.secret_file");
    refused("password_file: redis.pass", "password_file: nothing.pass", "nothing.pass");
}

TEST(a_fast_cluster_looks_often)
{
    struct place p;
    struct fo_conf fo;
    struct policy_conf policy;
    load(&p, NULL, NULL);
    coordinator_conf_failover(&p.conf, &fo);
    assert_string_equal(fo.me, "coord1");
    assert_int_equal(fo.n, 2);
    assert_string_equal(fo.ids[1].name, "edge2");
    assert_int_equal(fo.lease_ms, 3000);
    assert_int_equal(fo.view_ms, 300);
    assert_int_equal(fo.silent_ms, 1000);
    assert_int_equal(fo.dwell_ms, HOURS(6));
    assert_false(fo.fence_command);
    coordinator_conf_policy(&p.conf, 1, &policy);
    assert_int_equal(policy.n_zones, 2);
    assert_int_equal(policy.confirm_resolvers, 1);
    assert_int_equal(policy.probe_span_ms, 3000);
    assert_string_equal(policy.zones[1].name, "bl.dnsbl.example");
    unload(&p);
}

TEST(the_defaults_are_those_of_the_cores)
{
    struct place p;
    struct fo_conf fo, fo_default;
    struct policy_conf policy, policy_default;
    load(&p,
         "failover: { lease: 3s, renew: 600ms, redis_timeout: 600ms, margin: 400ms, stall: 1s, heartbeat: "
         "500ms, poll: 1s }\n",
         "");
    coordinator_conf_failover(&p.conf, &fo);
    failover_conf_default(&fo_default);
    memcpy(fo_default.me, fo.me, sizeof fo.me);
    memcpy(fo_default.ids, fo.ids, sizeof fo.ids);
    fo_default.n = fo.n;
    assert_int_equal(fo.view_ms, fo_default.view_ms);
    assert_int_equal(fo.silent_ms, fo_default.silent_ms);
    assert_int_equal(fo.coord_lease_ms, fo_default.coord_lease_ms);
    assert_int_equal(fo.fence_limit_ms, fo_default.fence_limit_ms);
    assert_int_equal(fo.spf_check_ms, fo_default.spf_check_ms);
    assert_int_equal(fo.cooldown_ms, fo_default.cooldown_ms);
    assert_int_equal(fo.verify_gap_ms, fo_default.verify_gap_ms);
    assert_int_equal(fo.dns_timeout_ms, fo_default.dns_timeout_ms);
    assert_int_equal(fo.confirm_limit_ms, fo_default.confirm_limit_ms);
    coordinator_conf_policy(&p.conf, 2, &policy);
    policy_conf_default(&policy_default);
    assert_int_equal(policy.poll_ms, policy_default.poll_ms);
    assert_int_equal(policy.probe_span_ms, policy_default.probe_span_ms);
    assert_int_equal(policy.watch_ms, policy_default.watch_ms);
    assert_int_equal(policy.keep_ms, policy_default.keep_ms);
    assert_int_equal(policy.clean_for_ms, policy_default.clean_for_ms);
    assert_int_equal(policy.confirm_resolvers, policy_default.confirm_resolvers);
    unload(&p);
}
