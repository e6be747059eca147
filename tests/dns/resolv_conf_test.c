#include "dns/resolv_conf.h"

#include "tests/test.h"

TEST(nameserver_lines_count_and_everything_else_does_not)
{
    struct addr a[3];
    char text[ADDR_TEXT_MAX];
    size_t n = resolv_conf_parse(
        SLICE("# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\n"
              "nameserver\tnowhere\n nameserver 2001:db8::1 # near\nnameserver fe80::1%eth0\n"
              "options edns0\nnameserver 192.0.2.3\nnameserver 192.0.2.4"),
        a, ARRAY_LEN(a));
    assert_int_equal(n, 3);
    assert_string_equal(addr_format(&a[0], text), "192.0.2.1");
    assert_string_equal(addr_format(&a[1], text), "2001:db8::1");
    assert_string_equal(addr_format(&a[2], text), "192.0.2.3");
    assert_int_equal(resolv_conf_parse(SLICE(""), a, 3), 0);
}
