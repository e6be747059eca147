#include "base/opt.h"

#include "tests/test.h"

struct host {
    unsigned line;
    const char *name;
    struct addr addr;
};
struct conf {
    const char *cluster;
    bool on;
    uint64_t lease_ms, size, n;
    int mode;
    struct opt_list hosts, nets;
    const char *file;
};

static const char *const modes[] = { "overlap", "exclusive", NULL };
static const struct opt host_rows[] = {
    { "name", OPT_STRING, offsetof(struct host, name), NULL, 1, 63, "name of the host" },
    { "addr", OPT_ADDR_PORT, offsetof(struct host, addr), NULL, 0, 25, "where it listens" },
    { 0 },
};
static const struct opt_table host_table = { host_rows, sizeof(struct host), offsetof(struct host, line) };
static const struct opt rows[] = {
    { "cluster", OPT_STRING, offsetof(struct conf, cluster), NULL, 1, 63, "name of the cluster" },
    { "on", OPT_BOOL, offsetof(struct conf, on), "yes", 0, 0, "whether it works" },
    { "failover.lease", OPT_DURATION, offsetof(struct conf, lease_ms), "15s", SECONDS(1), MINUTES(5),
      "time to live" },
    { "failover.spf.mode", OPT_WORD, offsetof(struct conf, mode), "overlap", 0, 0, "which mode",
      .words = modes },
    { "size", OPT_BYTES, offsetof(struct conf, size), "35M", KIB(1), GIB(1), "largest message" },
    { "n", OPT_U64, offsetof(struct conf, n), "3", 1, 9, "a number" },
    { "hosts", OPT_LIST, offsetof(struct conf, hosts), "", 0, 4, "hosts", .sub = &host_table },
    { "nets", OPT_LIST, offsetof(struct conf, nets), "", 0, 4, "networks", .item = OPT_PREFIX },
    { "file", OPT_FILE, offsetof(struct conf, file), "", 0, 0, "a file" },
    { 0 },
};
static const struct opt_table table = { rows, sizeof(struct conf), SIZE_MAX };

TEST(values_units_and_defaults_arrive)
{
    struct opt_source src;
    struct conf c;
    opt_source_init(&src, "/etc/gemel/x.yaml");
    enum err err = opt_load_text(
        &src,
        SLICE("cluster: lab\nfailover: { lease: 2m, spf: { mode: exclusive } }\nsize: 2G\n"
              "hosts:\n  - { name: a, addr: 192.0.2.1 }\n  - name: b\n    addr: \"[2001:db8::1]:26\"\n"
              "nets: [ 10.0.0.0/8, \"::1\" ]\nfile: keys/a.pem\n"),
        &table, &c);
    assert_int_equal(err, ERR_MALFORMED); /* 2G is past the bound */
    opt_source_deinit(&src);

    opt_source_init(&src, "/etc/gemel/x.yaml");
    err = opt_load_text(
        &src,
        SLICE("cluster: lab\nfailover: { lease: 2m, spf: { mode: exclusive } }\nsize: 1M\n"
              "hosts:\n  - { name: a, addr: 192.0.2.1 }\n  - name: b\n    addr: \"[2001:db8::1]:26\"\n"
              "nets: [ 10.0.0.0/8, \"::1\" ]\nfile: keys/a.pem\n"),
        &table, &c);
    if (err) print_error("%s", buf_cstr(&src.errors));
    assert_int_equal(err, ERR_OK);
    assert_string_equal(c.cluster, "lab");
    assert_true(c.on);
    assert_int_equal(c.lease_ms, MINUTES(2));
    assert_int_equal(c.mode, 1);
    assert_int_equal(c.size, MIB(1));
    assert_int_equal(c.n, 3);
    assert_string_equal(c.file, "/etc/gemel/keys/a.pem");
    assert_int_equal(c.hosts.n, 2);
    const struct host *h = c.hosts.items;
    assert_int_equal(h[0].addr.port, 25);
    assert_int_equal(h[1].addr.port, 26);
    assert_int_equal(h[1].line, 6);
    assert_int_equal(c.nets.n, 2);
    assert_int_equal(opt_line(&src, "failover.lease"), 2);
    opt_source_deinit(&src);
}

TEST(each_mistake_names_file_line_key_and_what_was_expected)
{
    static const struct {
        const char *yaml, *error;
    } cases[] = {
        { "cluster: a\nlaese: 3s\n", "f.yaml:2: laese: unknown key" },
        { "cluster: a\nclustr: b\n", "f.yaml:2: clustr: unknown key; did you mean \"cluster\"?" },
        { "cluster: a\nfailover:\n  leese: 3s\n",
          "f.yaml:3: failover.leese: unknown key; did you mean \"failover.lease\"?" },
        { "cluster: a\nfailover: { lease: 3 }\n",
          "f.yaml:2: failover.lease: \"3\" is not allowed; expected a duration with a unit (250ms, 15s, 10m, "
          "6h, 2d) from 1s to 5m" },
        { "cluster: a\nfailover: { lease: 6m }\n", "f.yaml:2: failover.lease: \"6m\" is not allowed" },
        { "cluster: a\non: maybe\n", "f.yaml:2: on: \"maybe\" is not allowed; expected yes or no" },
        { "on: yes\n", "f.yaml:1: cluster: is missing; expected a text of 1 to 63 bytes" },
        { "cluster: a\ncluster: b\n", "f.yaml:2: cluster: stands here twice" },
        { "cluster: [a]\n", "f.yaml:1: cluster: \"a list\" is not allowed" },
        { "cluster: a\nhosts: [ { name: x, addr: nowhere } ]\n",
          "f.yaml:2: hosts[0].addr: \"nowhere\" is not allowed; expected an IP address" },
        { "cluster: a\nhosts: [ { name: x } ]\n", "f.yaml:2: hosts[0].addr: is missing" },
        { "cluster: a\nnets: [ 10.0.0.1/8 ]\n", "f.yaml:2: nets[0]: \"10.0.0.1/8\" is not allowed; expected "
                                                "an address or prefix without host bits" },
        { "cluster: a\nfailover: { spf: { mode: both } }\n",
          "f.yaml:2: failover.spf.mode: \"both\" is not allowed; expected one of overlap, exclusive" },
        { "cluster: a\nn: 10\n", "expected a whole number from 1 to 9" },
        { "cluster: \"a\n", "not YAML: " },
        { "- a\n", "expected a mapping of keys" },
        { "cluster: a\nfailover: 3\n", "f.yaml:2: failover: expected a mapping of its keys" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct opt_source src;
        struct conf c;
        opt_source_init(&src, "f.yaml");
        assert_int_equal(opt_load_text(&src, slice_of(cases[i].yaml), &table, &c), ERR_MALFORMED);
        if (!strstr(buf_cstr(&src.errors), cases[i].error))
            print_error("%s→ %swant %s\n", cases[i].yaml, buf_cstr(&src.errors), cases[i].error);
        assert_non_null(strstr(buf_cstr(&src.errors), cases[i].error));
        opt_source_deinit(&src);
    }
}

TEST(the_printed_defaults_are_a_file_that_loads)
{
    struct opt_source src;
    struct conf c;
    struct buf out;
    buf_init(&out, 65536);
    opt_print_defaults(&table, &out);
    buf_put(&out, SLICE("\ncluster: a\n"));
    assert_non_null(strstr(buf_cstr(&out), "failover:\n"));
    assert_non_null(strstr(buf_cstr(&out), "  spf:\n"));
    opt_source_init(&src, "f.yaml");
    enum err err = opt_load_text(&src, buf_slice(&out), &table, &c);
    if (err) print_error("%s\n%s", buf_cstr(&out), buf_cstr(&src.errors));
    assert_int_equal(err, ERR_OK);
    assert_int_equal(c.lease_ms, SECONDS(15));
    opt_source_deinit(&src);
    buf_deinit(&out);
}
