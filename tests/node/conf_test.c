#include "node/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/disk.h"
#include "tests/test.h"

#define CLUSTER                                                                                  \
    "cluster: lab\nallow_documentation_addresses: yes\n"                                         \
    "identities: [ { name: edge1, node: edge1, ip: 198.51.100.10, helo: edge1.example.com } ]\n" \
    "nodes: [ { name: edge1, handoff: 10.0.0.11 } ]\n"

static const char *put(const char *dir, const char *name, const char *text)
{
    static char path[2][128];
    static int turn;
    struct disk disk;
    disk_os(&disk);
    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    assert_int_equal(disk_write(&disk, path[turn], slice_of(text)), ERR_OK);
    return path[turn];
}

/* What is wrong with these two files, all in one text; "" when nothing is. */
static const char *load(const char *node_yaml, const char *cluster_yaml, bool solo, struct node_conf *c)
{
    static char all[4096];
    char dir[] = "/tmp/gemel-conf-XXXXXX";
    assert_non_null(mkdtemp(dir));
    put(dir, "cluster.yaml", cluster_yaml);
    struct opt_source src, cluster_src;
    opt_source_init(&src, put(dir, "node.yaml", node_yaml));
    enum err err = node_conf_load(&src, &cluster_src, solo, c);
    snprintf(all, sizeof all, "%s%s", buf_cstr(&src.errors), buf_cstr(&cluster_src.errors));
    assert_int_equal(err == ERR_OK, !*all);
    opt_source_deinit(&src);
    opt_source_deinit(&cluster_src);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
    return all;
}

TEST(a_single_node_needs_very_little)
{
    struct node_conf c;
    assert_string_equal(load("cluster: cluster.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1:2525\" ] }\n",
                             CLUSTER, true, &c),
                        "");
    assert_int_equal(c.smtp.size_max, MIB(35));
    assert_int_equal(c.queue.glitch_tries, 4);
}

TEST(each_mistake_is_named)
{
    static const struct {
        const char *node, *cluster, *error;
        bool solo;
    } cases[] = {
        { "cluster: nowhere.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n", CLUSTER,
          "nowhere.yaml: cannot be read: No such file or directory", true },
        { "cluster: cluster.yaml\nname: edge7\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n", CLUSTER,
          "name: \"edge7\" is not below nodes in", true },
        { "cluster: cluster.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n", CLUSTER,
          "names no coordinators", false },
        { "cluster: cluster.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n", CLUSTER,
          "tls: ca, cert and key are needed together", false },
        { "cluster: cluster.yaml\nname: edge1\n", CLUSTER, "nothing to listen on", true },
        { "cluster: cluster.yaml\nname: edge1\nlisten: { submission: [ \"127.0.0.1:587\" ] }\n", CLUSTER,
          "needs smtp_tls: AUTH is only taken under TLS", true },
        { "cluster: cluster.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1\" ] }\n", CLUSTER,
          "listen.mx[0]: \"127.0.0.1\" is not allowed; expected an IP address and port", true },
        { "cluster: cluster.yaml\nname: edge1\nqueu: { expire: 2d }\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n",
          CLUSTER, "node.yaml:3: queu: unknown key", true },
        { "cluster: cluster.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n"
          "relay: { rules: cluster.yaml }\n",
          CLUSTER, "cluster.yaml:1: group, provider or rule was expected: cluster:", true },
        { "cluster: cluster.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n"
          "relay:\n  tls_policy:\n    - { domain: a.example, policy: dane }\n",
          CLUSTER, "node.yaml:6: relay.tls_policy: a.example: dane needs relay.dane: yes", true },
        { "cluster: cluster.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n"
          "relay:\n  tls: no\n  tls_policy:\n    - { domain: a.example, policy: verify }\n",
          CLUSTER, "node.yaml:7: relay.tls_policy: a.example: verify needs TLS, but relay.tls is off", true },
        { "cluster: cluster.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n"
          "relay:\n  tls_policy:\n    - { domain: a.example, policy: may }\n    - { domain: A.example, "
          "policy: none }\n",
          CLUSTER, "node.yaml:7: relay.tls_policy: A.example: has a rule in line 6 already", true },
        { "cluster: cluster.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n"
          "relay:\n  limits:\n    - { domain: a.example, rate: 5 }\n    - { domain: A.example, rate: 6 }\n",
          CLUSTER, "node.yaml:7: relay.limits: A.example: has a rule in line 6 already", true },
        { "cluster: cluster.yaml\nname: edge1\nlisten: { mx: [ \"127.0.0.1:25\" ] }\n"
          "relay: { tls_policy: [ { domain: a.example, policy: must } ] }\n",
          CLUSTER, "policy: \"must\" is not allowed", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node_conf c;
        const char *errors = load(cases[i].node, cases[i].cluster, cases[i].solo, &c);
        if (!strstr(errors, cases[i].error)) print_error("got %swant %s\n", errors, cases[i].error);
        assert_non_null(strstr(errors, cases[i].error));
    }
}
