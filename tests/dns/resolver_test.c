#include "dns/resolver.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/dns/fake.h"
#include "tests/test.h"

struct asked {
    unsigned calls;
    struct dns_answer *a;
    struct dns_op *op;
};

static void keep(void *owner, const struct dns_answer *a)
{
    struct asked *q = owner;
    q->op = NULL;
    q->calls++;
    free(q->a);
    q->a = dns_answer_dup(a);
}

static void ask_how(struct fake *f, const char *name, uint16_t type, const struct dns_ask *how,
                    struct asked *q)
{
    q->op = resolver_ask(f->r, slice_of(name), type, how, keep, q);
    assert_int_equal(q->calls, 0); /* never before it returns */
}

/* One question, and the clock until it is answered. */
static void ask(struct fake *f, const char *name, uint16_t type, struct asked *q)
{
    q->calls = 0;
    ask_how(f, name, type, NULL, q);
    fake_run(f);
    assert_int_equal(q->calls, 1);
}

TEST(an_answer_is_kept_for_its_time_to_live)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "mx.example A", "", "mx.example. 60 A 192.0.2.1\n");
    ask(&f, "MX.example.", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_ANSWER);
    assert_int_equal(q.a->n, 1);
    assert_slice(fake_trace(&f), "udp 192.0.2.53 mx.example A\n");
    fake_run_ms(&f, SECONDS(30));
    ask(&f, "mx.example", DNS_A, &q);
    assert_slice(fake_trace(&f), "");
    assert_in_range(q.a->ttl_s, 29, 31);
    fake_run_ms(&f, SECONDS(31));
    ask(&f, "mx.example", DNS_A, &q);
    assert_slice(fake_trace(&f), "udp 192.0.2.53 mx.example A\n");
    free(q.a);
    fake_deinit(&f);
}

TEST(negative_answers_are_kept_too_and_told_apart)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "empty.example A", "", "; authority\nexample. 600 SOA ns. h. 1 2 3 4 20\n");
    ask(&f, "empty.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_NODATA);
    assert_int_equal(q.a->ttl_s, 20);
    ask(&f, "nobody.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_NXDOMAIN);
    fake_trace(&f);
    ask(&f, "nobody.example", DNS_A, &q);
    assert_slice(fake_trace(&f), "");
    free(q.a);
    fake_deinit(&f);
}

TEST(each_try_has_its_own_id_and_the_next_server_is_asked_when_one_is_silent)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53 192.0.2.54");
    fake_say(&f, "192.0.2.53 a.example A", "drop", "");
    fake_say(&f, "192.0.2.54 a.example A", "", "a.example. 60 A 192.0.2.1\n");
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_ANSWER);
    assert_slice(fake_trace(&f), "udp 192.0.2.53 a.example A\nudp 192.0.2.54 a.example A\n");
    assert_int_not_equal(f.ids[0], f.ids[1]);
    /* and from now on the one that answers is asked first */
    ask(&f, "b.example", DNS_A, &q);
    assert_slice(fake_trace(&f), "udp 192.0.2.54 b.example A\n");
    free(q.a);
    fake_deinit(&f);
}

TEST(silence_ends_in_a_failure_within_the_limit)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53 192.0.2.54");
    fake_say(&f, "a.example A", "drop", "");
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_FAIL);
    assert_int_equal(q.a->why, DNS_WHY_TIMEOUT);
    assert_in_range(f.now_ms, 1000, 1000 + 8000);
    free(q.a);
    fake_deinit(&f);
}

TEST(a_servers_error_is_final_only_when_all_of_them_have_one)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53 192.0.2.54");
    fake_say(&f, "192.0.2.53 a.example A", "servfail", "");
    fake_say(&f, "192.0.2.54 a.example A", "", "a.example. 60 A 192.0.2.1\n");
    fake_say(&f, "bad.example A", "servfail", "");
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_ANSWER);
    fake_trace(&f);
    ask(&f, "bad.example", DNS_A, &q);
    assert_int_equal(q.a->why, DNS_WHY_SERVFAIL);
    assert_slice(fake_trace(&f), "udp 192.0.2.54 bad.example A\nudp 192.0.2.53 bad.example A\n");
    free(q.a);
    fake_deinit(&f);
}

TEST(forged_answers_are_ignored_and_many_of_them_lead_to_tcp)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "a.example A", "badid badname delay=20", "a.example. 60 A 192.0.2.1\n");
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_ANSWER);
    char text[ADDR_TEXT_MAX];
    assert_string_equal(addr_format(&q.a->records[0].addr, text), "192.0.2.1");
    struct resolver_stats stats;
    resolver_stats(f.r, &stats);
    assert_int_equal(stats.forged, 2);
    free(q.a);
    fake_deinit(&f);
}

TEST(garbage_is_never_an_answer)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "a.example A", "garbage", "");
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_FAIL);
    assert_int_equal(q.a->why, DNS_WHY_MALFORMED);
    free(q.a);
    fake_deinit(&f);
}

TEST(a_truncated_answer_is_asked_again_by_tcp)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "big.example TXT", "udp-tc", "big.example. 60 TXT \"long\"\n");
    ask(&f, "big.example", DNS_TXT, &q);
    assert_int_equal(q.a->result, DNS_ANSWER);
    assert_true(q.a->tcp);
    assert_slice(fake_trace(&f), "udp 192.0.2.53 big.example TXT\ntcp 192.0.2.53 big.example TXT\n");
    free(q.a);
    fake_deinit(&f);
}

TEST(truncation_without_tcp_is_a_failure)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "big.example TXT", "udp-tc notcp", "");
    ask(&f, "big.example", DNS_TXT, &q);
    assert_int_equal(q.a->result, DNS_FAIL);
    assert_int_equal(q.a->why, DNS_WHY_NETWORK);
    free(q.a);
    fake_deinit(&f);
}

TEST(a_server_that_does_not_know_edns_is_asked_without)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "a.example A", "noedns", "a.example. 60 A 192.0.2.1\n");
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_ANSWER);
    free(q.a);
    fake_deinit(&f);
}

TEST(aliases_are_followed_from_answer_to_answer)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "a.example A", "", "a.example. 10 CNAME b.example.\n");
    fake_say(&f, "b.example A", "", "b.example. 60 CNAME c.example.\n");
    fake_say(&f, "c.example A", "", "c.example. 60 A 192.0.2.1\n");
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_ANSWER);
    assert_slice(q.a->canonical, "c.example");
    assert_int_equal(q.a->ttl_s, 10);
    free(q.a);
    fake_deinit(&f);
}

TEST(aliases_in_a_circle_are_a_failure)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "a.example A", "", "a.example. 10 CNAME b.example.\n");
    fake_say(&f, "b.example A", "", "b.example. 60 CNAME a.example.\n");
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->why, DNS_WHY_LOOP);
    free(q.a);
    fake_deinit(&f);
}

TEST(equal_questions_share_one_flight_and_each_may_be_cancelled)
{
    struct fake f;
    struct asked q[3] = { { 0 } };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "a.example A", "delay=50", "a.example. 60 A 192.0.2.1\n");
    for (int i = 0; i < 3; i++) ask_how(&f, "a.example", DNS_A, NULL, &q[i]);
    fake_run_ms(&f, 10);
    resolver_cancel(&q[1].op);
    resolver_cancel(&q[1].op);
    fake_run(&f);
    assert_int_equal(q[0].calls, 1);
    assert_int_equal(q[1].calls, 0);
    assert_int_equal(q[2].calls, 1);
    assert_slice(fake_trace(&f), "udp 192.0.2.53 a.example A\n");
    for (int i = 0; i < 3; i++) free(q[i].a);
    fake_deinit(&f);
}

TEST(the_last_to_cancel_ends_the_flight)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "a.example A", "delay=50", "");
    ask_how(&f, "a.example", DNS_A, NULL, &q);
    resolver_cancel(&q.op);
    assert_true(list_empty(&f.open));
    ask_how(&f, "a b", DNS_A, NULL, &q);
    resolver_cancel(&q.op);
    fake_run(&f);
    assert_int_equal(q.calls, 0);
    fake_deinit(&f);
}

struct pair {
    struct fake *f;
    struct dns_op *first, *second;
    unsigned calls;
};

static void cancel_the_other(void *owner, const struct dns_answer *a)
{
    struct pair *p = owner;
    p->first = NULL;
    p->calls++;
    resolver_cancel(&p->second);
}

TEST(a_completion_may_cancel_another_of_the_same_flight)
{
    struct fake f;
    struct pair p = { &f };
    fake_init(&f, "192.0.2.53");
    p.first = resolver_ask(f.r, SLICE("a.example"), DNS_A, NULL, cancel_the_other, &p);
    p.second = resolver_ask(f.r, SLICE("a.example"), DNS_A, NULL, cancel_the_other, &p);
    fake_run(&f);
    assert_int_equal(p.calls, 1);
    fake_deinit(&f);
}

TEST(one_given_server_is_asked_without_recursion_and_not_remembered)
{
    struct fake f;
    struct asked q = { 0 };
    struct dns_ask how = { .flags = DNS_NO_RECURSION };
    fake_init(&f, "192.0.2.53");
    assert_int_equal(addr_parse(SLICE("203.0.113.53"), &how.server), ERR_OK);
    fake_say(&f, "203.0.113.53 a.example A", "aa", "a.example. 60 A 192.0.2.1\n");
    for (int i = 0; i < 2; i++) {
        q.calls = 0;
        ask_how(&f, "a.example", DNS_A, &how, &q);
        fake_run(&f);
        assert_int_equal(q.a->result, DNS_ANSWER);
        assert_true(q.a->aa);
        assert_slice(fake_trace(&f), "udp 203.0.113.53 a.example A\n");
    }
    free(q.a);
    fake_deinit(&f);
}

TEST(a_server_that_does_not_resolve_for_us_counts_as_refusing)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53");
    fake_say(&f, "a.example A", "nora", "; authority\nexample. 60 NS ns.example.\n");
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_FAIL);
    assert_int_equal(q.a->why, DNS_WHY_REFUSED);
    free(q.a);
    fake_deinit(&f);
}

TEST(what_cannot_be_asked_fails_through_the_completion)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "");
    ask(&f, "a b", DNS_A, &q);
    assert_int_equal(q.a->why, DNS_WHY_NAME);
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->why, DNS_WHY_NETWORK);
    free(q.a);
    fake_deinit(&f);
}

TEST(questions_in_flight_are_bounded)
{
    struct fake f;
    struct asked q[3] = { { 0 } };
    fake_init_conf(&f, "192.0.2.53", (struct resolver_conf){ .in_flight_max = 2 });
    ask_how(&f, "a.example", DNS_A, NULL, &q[0]);
    ask_how(&f, "b.example", DNS_A, NULL, &q[1]);
    ask_how(&f, "c.example", DNS_A, NULL, &q[2]);
    fake_run(&f);
    assert_int_equal(q[1].a->result, DNS_NXDOMAIN);
    assert_int_equal(q[2].a->why, DNS_WHY_LIMIT);
    for (int i = 0; i < 3; i++) free(q[i].a);
    fake_deinit(&f);
}

TEST(icmp_errors_go_to_the_next_server_at_once)
{
    struct fake f;
    struct asked q = { 0 };
    fake_init(&f, "192.0.2.53 192.0.2.54");
    fake_say(&f, "192.0.2.53 a.example A", "icmp", "");
    fake_say(&f, "192.0.2.54 a.example A", "", "a.example. 60 A 192.0.2.1\n");
    ask(&f, "a.example", DNS_A, &q);
    assert_int_equal(q.a->result, DNS_ANSWER);
    assert_in_range(f.now_ms, 1000, 1010);
    free(q.a);
    fake_deinit(&f);
}
