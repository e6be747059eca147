#include "dns/gather.h"

#include <stdio.h>

#include "tests/dns/fake.h"
#include "tests/test.h"

struct got {
    unsigned calls;
    enum err err;
};

static void note(void *owner, enum err err)
{
    struct got *g = owner;
    g->calls++;
    g->err = err;
}

static struct spf_missing txt(const char *name)
{
    struct spf_missing m = { .type = DNS_TXT };
    assert_int_equal(dns_name_parse(slice_of(name), &m.name), ERR_OK);
    return m;
}

TEST(what_is_asked_for_is_in_the_table_afterwards)
{
    struct fake f;
    struct gather g;
    struct got got = { 0 };
    struct spf_missing m[2] = { txt("a.example"), txt("b.example") };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "a.example TXT", "", "a.example. 60 TXT \"x\"\n");
    fake_say(&f, "b.example TXT", "servfail", "");
    gather_init(&g, f.r, NULL, 5000, note, &got);
    gather_ask(&g, m, 2);
    fake_run(&f);
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.err, ERR_OK);
    assert_int_equal(dns_table_get(&g.table, SLICE("a.example"), DNS_TXT)->n, 1);
    assert_int_equal(dns_table_get(&g.table, SLICE("b.example"), DNS_TXT)->result, DNS_FAIL);
    gather_deinit(&g);
    fake_deinit(&f);
}

TEST(what_does_not_come_in_time_is_a_failure)
{
    struct fake f;
    struct gather g;
    struct got got = { 0 };
    struct spf_missing m[2] = { txt("a.example"), txt("b.example") };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "a.example TXT", "drop", "");
    gather_init(&g, f.r, NULL, 500, note, &got);
    gather_ask(&g, m, 2);
    fake_run(&f);
    assert_int_equal(got.calls, 1);
    assert_int_equal(dns_table_get(&g.table, SLICE("a.example"), DNS_TXT)->why, DNS_WHY_TIMEOUT);
    assert_int_equal(dns_table_get(&g.table, SLICE("b.example"), DNS_TXT)->result, DNS_NXDOMAIN);
    gather_deinit(&g);
    fake_deinit(&f);
}

TEST(questions_are_bounded_over_all_rounds)
{
    struct fake f;
    struct gather g;
    struct got got = { 0 };
    unsigned rounds = 0;
    fake_init(&f, "192.0.2.53");
    gather_init(&g, f.r, NULL, 500000, note, &got);
    while (got.err == ERR_OK && rounds < 1000) {
        char name[40];
        snprintf(name, sizeof name, "n%u.example", rounds++);
        struct spf_missing m = txt(name);
        gather_ask(&g, &m, 1);
        fake_run(&f);
    }
    assert_int_equal(got.err, ERR_LIMIT);
    assert_int_equal(rounds, GATHER_QUESTIONS_MAX + 1);
    gather_deinit(&g);
    fake_deinit(&f);
}
