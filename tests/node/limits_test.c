#include "node/limits.h"

#include "tests/test.h"

static const struct limit_rule rules[] = {
    { .domain = "*", .value = { [LIMIT_CONNECTIONS] = 10 } },
    { .domain = ".example.net", .value = { [LIMIT_RATE] = 60, [LIMIT_CONNECTIONS] = 4 } },
    { .domain = "mail.example.net", .value = { [LIMIT_CONNECTIONS] = 2 } },
    { .domain = "10.0.0.25", .value = { [LIMIT_CONNECTIONS] = 40 } },
};
static const struct limits limits = { rules, ARRAY_LEN(rules), { 20, 30, 0, 0 } };

static void check(const char *destination, enum limit k, uint64_t value, const struct limit_rule *rule)
{
    struct limit_value out[LIMITS];
    limits_find(&limits, slice_of(destination), out);
    assert_int_equal(out[k].value, value);
    assert_ptr_equal(out[k].rule, rule);
}

TEST(each_value_comes_from_the_nearest_rule_that_gives_it)
{
    check("mail.example.net", LIMIT_CONNECTIONS, 2, &rules[2]);
    check("mail.example.net", LIMIT_RATE, 60, &rules[1]);
    check("mail.example.net", LIMIT_MESSAGES_PER_CONNECTION, 30, NULL);
    check("other.example.net", LIMIT_CONNECTIONS, 4, &rules[1]);
    check("example.net", LIMIT_CONNECTIONS, 10, &rules[0]);
    check("example.net", LIMIT_RATE, 0, NULL);
    check("[10.0.0.25]:25", LIMIT_CONNECTIONS, 40, &rules[3]);
}

TEST(destinations_fit_whole_or_by_their_end)
{
    assert_int_equal(destination_fit("example.net", SLICE("Example.NET.")), SIZE_MAX);
    assert_int_equal(destination_fit("example.net", SLICE("a.example.net")), 0);
    assert_int_equal(destination_fit(".example.net", SLICE("example.net")), 0);
    assert_true(destination_fit(".b.example.net", SLICE("a.b.example.net")) >
                destination_fit(".example.net", SLICE("a.b.example.net")));
    assert_int_equal(destination_fit("*", SLICE("")), 1);
}
