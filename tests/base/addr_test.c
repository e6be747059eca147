#include "base/addr.h"

#include "tests/test.h"

static struct addr addr(const char *text)
{
    struct addr a;
    if (addr_parse_port(slice_of(text), 0, &a)) fail_msg("%s", text);
    return a;
}

TEST(addresses_with_and_without_ports_are_read_and_written)
{
    static const struct {
        const char *in, *out; /* NULL: malformed */
        uint16_t port;
    } cases[] = {
        { "192.0.2.1", "192.0.2.1:25", 25 },
        { "192.0.2.1:587", "192.0.2.1:587", 587 },
        { "[2001:db8::1]:587", "[2001:db8::1]:587", 587 },
        { "2001:DB8:0::1", "[2001:db8::1]:25", 25 },
        { "[::1]", "[::1]:25", 25 },
        { "::ffff:192.0.2.7", "192.0.2.7:25", 25 }, /* one host, one form */
        { "192.0.2.1:0", "192.0.2.1", 0 },
        { "", NULL, 0 },
        { "192.0.2", NULL, 0 },
        { "192.0.2.256", NULL, 0 },
        { "192.0.2.1:", NULL, 0 },
        { "192.0.2.1:65536", NULL, 0 },
        { "192.0.2.1:x", NULL, 0 },
        { "[::1]:", NULL, 0 },
        { "[::1]x", NULL, 0 },
        { "[::1", NULL, 0 },
        { "example.com:25", NULL, 0 },
        { " 192.0.2.1", NULL, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr a;
        char text[ADDR_TEXT_MAX];
        enum err err = addr_parse_port(slice_of(cases[i].in), 25, &a);
        if (err != (cases[i].out ? ERR_OK : ERR_MALFORMED)) fail_msg("%s: %s", cases[i].in, err_name(err));
        if (!cases[i].out) continue;
        assert_string_equal(addr_format_port(&a, text), cases[i].out);
        assert_int_equal(a.port, cases[i].port);
    }
    struct addr a;
    assert_int_equal(addr_parse(slice_from("1.2.3.4\0", 8), &a), ERR_MALFORMED);
    assert_int_equal(addr_parse(SLICE("1.2.3.4:25"), &a), ERR_MALFORMED);
}

TEST(a_prefix_holds_its_addresses_and_no_others)
{
    static const struct {
        const char *prefix, *addr;
        int has; /* -1: the prefix is malformed */
    } cases[] = {
        { "10.0.0.0/8", "10.255.1.2", 1 },
        { "10.0.0.0/8", "11.0.0.0", 0 },
        { "192.0.2.128/25", "192.0.2.129", 1 },
        { "192.0.2.128/25", "192.0.2.127", 0 },
        { "0.0.0.0/0", "203.0.113.9", 1 },
        { "0.0.0.0/0", "::1", 0 },
        { "192.0.2.1", "192.0.2.1", 1 },
        { "192.0.2.1", "192.0.2.2", 0 },
        { "2001:db8::/33", "2001:db8:7fff::1", 1 },
        { "2001:db8::/33", "2001:db8:8000::1", 0 },
        { "::1/128", "::1", 1 },
        { "10.0.0.1/8", "", -1 },
        { "10.0.0.0/33", "", -1 },
        { "10.0.0.0/", "", -1 },
        { "10.0.0.0/-1", "", -1 },
        { "10.0.0.0/8/8", "", -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct prefix p;
        enum err err = prefix_parse(slice_of(cases[i].prefix), &p);
        if ((err != ERR_OK) != (cases[i].has < 0)) fail_msg("%s: %s", cases[i].prefix, err_name(err));
        if (err) continue;
        struct addr a = addr(cases[i].addr);
        if (prefix_has(&p, &a) != cases[i].has) fail_msg("%s and %s", cases[i].prefix, cases[i].addr);
    }
}

TEST(kinds_of_addresses_are_a_table)
{
    static const struct {
        const char *addr;
        bool loopback, private, documentation;
    } cases[] = {
        { "127.0.0.1", 1, 1, 0 },     { "::1", 1, 1, 0 },
        { "10.1.2.3", 0, 1, 0 },      { "172.16.0.1", 0, 1, 0 },
        { "172.32.0.1", 0, 0, 0 },    { "192.168.255.1", 0, 1, 0 },
        { "100.64.0.1", 0, 1, 0 },    { "100.128.0.1", 0, 0, 0 },
        { "169.254.1.1", 0, 1, 0 },   { "0.0.0.0", 0, 1, 0 },
        { "224.0.0.1", 0, 1, 0 },     { "255.255.255.255", 0, 1, 0 },
        { "fd00::1", 0, 1, 0 },       { "fe80::1", 0, 1, 0 },
        { "ff02::1", 0, 1, 0 },       { "::", 0, 1, 0 },
        { "2001:db8::1", 0, 0, 1 },   { "192.0.2.1", 0, 0, 1 },
        { "198.51.100.10", 0, 0, 1 }, { "203.0.113.10", 0, 0, 1 },
        { "8.8.8.8", 0, 0, 0 },       { "2a00:1450::1", 0, 0, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr a = addr(cases[i].addr);
        if (addr_is_loopback(&a) != cases[i].loopback || addr_is_private(&a) != cases[i].private ||
            addr_is_documentation(&a) != cases[i].documentation)
            fail_msg("%s", cases[i].addr);
    }
}

TEST(order_is_ipv4_first_then_by_bytes_and_ports_do_not_count)
{
    static const char *const sorted[] = { "1.2.3.4", "1.2.3.5", "200.0.0.1", "::1", "2001:db8::1" };
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
        for (size_t k = 0; k < ARRAY_LEN(sorted); k++) {
            struct addr a = addr(sorted[i]), b = addr(sorted[k]);
            int want = i < k ? -1 : i > k, got = addr_cmp_ip(&a, &b);
            assert_int_equal(got < 0 ? -1 : got > 0, want);
        }
    struct addr a = addr("1.2.3.4:25"), b = addr("1.2.3.4:587");
    assert_true(addr_eq_ip(&a, &b));
}

TEST(socket_addresses_go_there_and_back)
{
    static const char *const texts[] = { "192.0.2.1:25", "[2001:db8::1]:587" };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct sockaddr_storage ss;
        struct addr a = addr(texts[i]), b;
        char text[ADDR_TEXT_MAX];
        assert_true(addr_to_sockaddr(&a, &ss) > 0);
        addr_from_sockaddr((const struct sockaddr *)&ss, &b);
        assert_string_equal(addr_format_port(&b, text), texts[i]);
    }
}

TEST(reversed_labels_are_those_of_rfc_5782)
{
    static const struct {
        const char *addr, *reversed;
    } cases[] = {
        { "192.0.2.99", "99.2.0.192" },
        { "2001:db8:1:2:3:4:567:89ab", "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr a = addr(cases[i].addr);
        struct buf b;
        buf_init(&b, 100);
        addr_reversed(&a, &b);
        assert_slice(buf_slice(&b), cases[i].reversed);
        buf_deinit(&b);
    }
}
