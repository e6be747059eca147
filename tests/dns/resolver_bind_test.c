/* The resolver on real sockets: UDP, truncation and TCP, aliases, silence, many questions at once. */
#include "dns/resolver.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/dns/world.h"
#include "tests/test.h"

struct asked {
    bool done;
    struct dns_answer *a;
};

static void keep(void *owner, const struct dns_answer *a)
{
    struct asked *q = owner;
    q->done = true;
    q->a = dns_answer_dup(a);
}

static struct asked ask(struct world *w, const char *name, uint16_t type, const struct dns_ask *how)
{
    struct asked q = { 0 };
    resolver_ask(w->r, slice_of(name), type, how, keep, &q);
    assert_false(q.done);
    world_wait(w, &q.done);
    return q;
}

TEST(a_real_server_is_asked_by_udp_and_when_truncated_by_tcp)
{
    struct world w;
    struct buf zone;
    buf_init(&zone, 65536);
    for (int i = 0; i < 40; i++)
        buf_putf(&zone,
                 "big TXT \"%d 0123456789012345678901234567890123456789012345678901234567890123456789\"\n",
                 i);
    buf_put(&zone, SLICE("alias CNAME edge1\n"));
    world_init(&w, buf_cstr(&zone));
    struct asked q = ask(&w, "edge1.example.com", DNS_A, NULL);
    assert_int_equal(q.a->result, DNS_ANSWER);
    assert_false(q.a->tcp);
    assert_true(q.a->aa);
    free(q.a);
    q = ask(&w, "big.example.com", DNS_TXT, NULL);
    assert_int_equal(q.a->n, 40);
    assert_true(q.a->tcp);
    free(q.a);
    q = ask(&w, "alias.example.com", DNS_A, NULL);
    assert_slice(q.a->canonical, "edge1.example.com");
    free(q.a);
    q = ask(&w, "nobody.example.com", DNS_A, NULL);
    assert_int_equal(q.a->result, DNS_NXDOMAIN);
    assert_int_equal(q.a->ttl_s, 60);
    free(q.a);
    q = ask(&w, "edge1.example.com", DNS_AAAA, NULL);
    assert_int_equal(q.a->result, DNS_NODATA);
    free(q.a);
    struct dns_ask tcp = { .flags = DNS_TCP | DNS_NO_RECURSION, .server = w.server };
    q = ask(&w, "edge1.example.com", DNS_A, &tcp);
    assert_true(q.a->tcp);
    free(q.a);
    buf_deinit(&zone);
    world_deinit(&w);
}

TEST(a_closed_port_is_a_network_failure_at_once)
{
    struct world w;
    struct dns_ask how = { .flags = DNS_NO_RECURSION };
    world_init(&w, "");
    assert_int_equal(addr_parse_port(SLICE("127.0.0.1"), 1, &how.server), ERR_OK);
    uint64_t before = clock_boot_ms(NULL);
    struct asked q = ask(&w, "edge1.example.com", DNS_A, &how);
    assert_int_equal(q.a->result, DNS_FAIL);
    assert_int_equal(q.a->why, DNS_WHY_NETWORK);
    assert_true(clock_boot_ms(NULL) - before < 1000);
    free(q.a);
    world_deinit(&w);
}

TEST(many_questions_at_once_are_all_answered)
{
    enum { N = 500 };
    struct world w;
    static struct asked q[N];
    char name[40];
    world_init(&w, "");
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "n%d.example.com", i);
        resolver_ask(w.r, slice_of(name), DNS_A, NULL, keep, &q[i]);
    }
    for (int i = 0; i < N; i++) {
        world_wait(&w, &q[i].done);
        assert_int_equal(q[i].a->result, DNS_NXDOMAIN);
        free(q[i].a);
    }
    world_deinit(&w);
}
