#include "node/relay/route.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/timers.h"
#include "tests/test.h"

static struct addr ip(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_of(text), &a), ERR_OK);
    return a;
}

static const struct slice own_names[] = { SLICE_INIT("edge1.example.com"), SLICE_INIT("edge2.example.com") };

static struct route_conf conf(void)
{
    static struct addr own_addrs[2];
    own_addrs[0] = ip("198.51.100.10");
    own_addrs[1] = ip("203.0.113.10");
    return (struct route_conf){
        .port = 25, .own_names = own_names, .n_own_names = 2, .own_addrs = own_addrs, .n_own_addrs = 2
    };
}

static const struct {
    const char *in;
    enum route_kind kind;
    bool configured;
    const char *name, *addr;
    uint16_t port;
} destinations[] = {
    { "example.net", ROUTE_BY_MX, false, "example.net", NULL, 25 },
    { "b\xc3\xbc"
      "cher.example",
      ROUTE_BY_MX, false, "xn--bcher-kva.example", NULL, 25 },
    { "[10.0.0.25]:2525", ROUTE_BY_ADDRESS, true, NULL, "10.0.0.25:2525", 2525 },
    { "10.0.0.25:2525", ROUTE_BY_ADDRESS, true, NULL, "10.0.0.25:2525", 2525 },
    { "[2001:db8::1]:26", ROUTE_BY_ADDRESS, true, NULL, "[2001:db8::1]:26", 26 },
    { "mail.inside.example:24", ROUTE_BY_HOST, true, "mail.inside.example", NULL, 24 },
    { "[mail.inside.example]:24", ROUTE_BY_HOST, true, "mail.inside.example", NULL, 24 },
    { "[192.0.2.9]", ROUTE_BY_ADDRESS, false, NULL, "192.0.2.9:25", 25 },
    { "[IPv6:2001:db8::9]", ROUTE_BY_ADDRESS, false, NULL, "[2001:db8::9]:25", 25 },
    { "", ROUTE_NOWHERE, false, NULL, NULL, 0 },
    { "a..b", ROUTE_NOWHERE, false, NULL, NULL, 0 },
    { "[10.0.0.25", ROUTE_NOWHERE, false, NULL, NULL, 0 },
    { "[10.0.0.25]:0", ROUTE_NOWHERE, false, NULL, NULL, 0 },
    { "[10.0.0.25]x", ROUTE_NOWHERE, false, NULL, NULL, 0 },
    { "[example.net]", ROUTE_NOWHERE, false, NULL, NULL, 0 },
    { "mail.example:99999", ROUTE_NOWHERE, false, NULL, NULL, 0 },
    { "\xff\xfe", ROUTE_NOWHERE, false, NULL, NULL, 0 },
};

TEST(a_destination_is_a_domain_or_a_next_hop_of_ours)
{
    struct route_conf c = conf();
    for (size_t i = 0; i < ARRAY_LEN(destinations); i++) {
        struct route_plan p;
        char text[ADDR_TEXT_MAX];
        route_parse(&c, slice_of(destinations[i].in), &p);
        if (p.kind != destinations[i].kind) print_error("%s\n", destinations[i].in);
        assert_int_equal(p.kind, destinations[i].kind);
        if (p.kind == ROUTE_NOWHERE) continue;
        assert_int_equal(p.configured, destinations[i].configured);
        assert_int_equal(p.port, destinations[i].port);
        if (destinations[i].name) assert_slice(dns_name_slice(&p.name), destinations[i].name);
        if (destinations[i].addr) assert_string_equal(addr_format_port(&p.addr, text), destinations[i].addr);
    }
}

/* An MX list as text: "10 a.example 192.0.2.1 2001:db8::1, 20 b.example ?": a '?' is a look-up that failed. */
struct listing {
    struct mx_answer mx;
    struct addrs_answer addrs[ROUTE_HOSTS_MAX];
};

static void add_host(struct listing *l, struct slice text)
{
    struct mx_host *h = &l->mx.hosts[l->mx.n];
    struct addrs_answer *a = &l->addrs[l->mx.n++];
    uint64_t pref;
    struct slice word;
    assert_int_equal(slice_u64(slice_word(&text), 65535, &pref), ERR_OK);
    h->pref = (uint16_t)pref;
    assert_int_equal(dns_name_parse(slice_word(&text), &h->name), ERR_OK);
    a->result = DNS_NODATA;
    while ((word = slice_word(&text)).n) {
        a->result = slice_eq(word, SLICE("?")) ? DNS_FAIL : DNS_ANSWER;
        if (a->result == DNS_ANSWER) assert_int_equal(addr_parse(word, &a->addr[a->n++]), ERR_OK);
    }
}

static void parse_listing(const char *text, struct listing *l)
{
    struct slice all = slice_of(text), one;
    *l = (struct listing){ .mx = { .result = MX_FOUND } };
    while (slice_cut(&all, ',', &one)) add_host(l, one);
}

static void describe(const struct route_answer *a, char *out, size_t cap)
{
    char text[ADDR_TEXT_MAX];
    size_t at = 0;
    out[0] = '\0';
    if (a->verdict != RELAY_PENDING)
        snprintf(out, cap, "%s %u.%u.%u", relay_verdict_name(a->verdict), a->enhanced.class,
                 a->enhanced.subject, a->enhanced.detail);
    for (size_t i = 0; a->verdict == RELAY_PENDING && i < a->n; i++)
        at += (size_t)snprintf(out + at, cap - at, "%s%s=%s", i ? " " : "", a->target[i].host.text,
                               addr_format_port(&a->target[i].addr, text));
}

static const struct {
    const char *mx;
    unsigned families;
    bool private, documentation;
    const char *want;
} lists[] = {
    { "10 a.example 9.9.9.1, 20 b.example 9.9.9.2 9.9.9.3", ADDRS_V4, false, false,
      "a.example=9.9.9.1:25 b.example=9.9.9.2:25 b.example=9.9.9.3:25" },
    { "10 a.example 9.9.9.1 2a00::1", ADDRS_V4, false, false, "a.example=9.9.9.1:25" },
    { "10 a.example 9.9.9.1 2a00::1", ADDRS_BOTH, false, false,
      "a.example=9.9.9.1:25 a.example=[2a00::1]:25" },
    { "10 a.example 2a00::1", ADDRS_V4, false, false, "deferred 4.4.1" },
    /* ourselves, by name and by address */
    { "10 a.example 9.9.9.1, 20 EDGE2.example.com 9.9.9.2, 30 c.example 9.9.9.3", ADDRS_V4, false, false,
      "a.example=9.9.9.1:25" },
    { "10 a.example 9.9.9.1, 20 b.example 9.9.9.2, 20 us.example 198.51.100.10, 30 c.example 9.9.9.3",
      ADDRS_V4, false, false, "a.example=9.9.9.1:25" },
    { "10 us.example 203.0.113.10, 20 c.example 9.9.9.3", ADDRS_V4, false, false, "failed 5.4.6" },
    /* not on the Internet */
    { "10 a.example 127.0.0.1", ADDRS_V4, false, false, "failed 5.4.4" },
    { "10 a.example 10.1.1.1 0.0.0.0 ::1, 20 b.example 9.9.9.2", ADDRS_BOTH, false, false,
      "b.example=9.9.9.2:25" },
    { "10 a.example 192.0.2.1", ADDRS_V4, false, false, "failed 5.4.4" },
    { "10 a.example 192.0.2.1", ADDRS_V4, false, true, "a.example=192.0.2.1:25" },
    { "10 a.example 127.0.0.1", ADDRS_V4, true, false, "a.example=127.0.0.1:25" },
    /* nothing, and not knowing */
    { "10 a.example, 20 b.example", ADDRS_V4, false, false, "failed 5.4.4" },
    { "10 a.example ?, 20 b.example", ADDRS_V4, false, false, "deferred 4.4.3" },
    { "10 a.example ?, 20 b.example 127.0.0.1", ADDRS_V4, false, false, "deferred 4.4.3" },
    { "10 a.example ?, 20 b.example 9.9.9.2", ADDRS_V4, false, false, "b.example=9.9.9.2:25" },
};

TEST(targets_come_from_the_list_and_it_is_cut_at_ourselves)
{
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct route_conf c = conf();
        struct listing l;
        struct route_answer a;
        char got[1000];
        c.allow_private = lists[i].private;
        c.allow_documentation = lists[i].documentation;
        parse_listing(lists[i].mx, &l);
        route_choose(&c, &l.mx, l.addrs, lists[i].families, &a);
        describe(&a, got, sizeof got);
        if (strcmp(got, lists[i].want) != 0) print_error("%s\n", lists[i].mx);
        assert_string_equal(got, lists[i].want);
    }
}

TEST(what_dns_says_of_the_domain_decides_without_hosts)
{
    static const struct {
        enum mx_result result;
        const char *want;
    } cases[] = {
        { MX_NULL, "failed 5.1.10" },
        { MX_NO_DOMAIN, "failed 5.1.2" },
        { MX_NO_HOST, "failed 5.4.4" },
        { MX_TRY_LATER, "deferred 4.4.3" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route_conf c = conf();
        struct mx_answer mx = { .result = cases[i].result };
        struct route_answer a;
        char got[100];
        route_choose(&c, &mx, NULL, ADDRS_V4, &a);
        describe(&a, got, sizeof got);
        assert_string_equal(got, cases[i].want);
    }
}

/* ---- the asynchronous part, with DNS played by the test ---- */

struct resolver {
    struct env env;
    struct timers timers;
    uint64_t now;
    const char *listing;
    struct mx_op {
        mx_done_fn *done;
        void *owner;
    } * mx;
    struct addrs_op {
        addrs_done_fn *done;
        void *owner;
        size_t at;
    } * addrs[ROUTE_HOSTS_MAX];
    size_t asked, open;
};
static struct resolver *the_resolver;

const struct env *resolver_env(const struct resolver *r)
{
    return &r->env;
}

struct mx_op *mx_lookup(struct resolver *r, struct slice domain, mx_done_fn *done, void *owner)
{
    r->mx = xzalloc(sizeof *r->mx);
    *r->mx = (struct mx_op){ done, owner };
    r->open++;
    return r->mx;
}

void mx_cancel(struct mx_op **op)
{
    if (*op) the_resolver->open--;
    free(*op);
    *op = NULL;
}

struct addrs_op *addrs_lookup(struct resolver *r, struct slice host, unsigned families, addrs_done_fn *done,
                              void *owner)
{
    struct addrs_op *op = xzalloc(sizeof *op);
    *op = (struct addrs_op){ done, owner, r->asked };
    r->addrs[r->asked++] = op;
    r->open++;
    return op;
}

void addrs_cancel(struct addrs_op **op)
{
    if (*op) the_resolver->open--;
    free(*op);
    *op = NULL;
}

static uint64_t fake_now(void *clock)
{
    return ((struct resolver *)clock)->now;
}

static void setup(struct resolver *r)
{
    *r = (struct resolver){ .now = 1000 };
    timers_init(&r->timers);
    r->timers.now_ms = fake_now;
    r->timers.clock = r;
    r->env.timers = &r->timers;
    the_resolver = r;
}

static void route_on(void *owner, const struct route_answer *a)
{
    describe(a, owner, 1000);
}

static void answer_mx(struct resolver *r, const struct listing *l)
{
    struct mx_op *op = r->mx;
    op->done(op->owner, &l->mx);
    r->open--;
    free(op);
}

static void answer_addrs(struct resolver *r, const struct listing *l, size_t at)
{
    struct addrs_op *op = r->addrs[at];
    op->done(op->owner, &l->addrs[at]);
    r->open--;
    free(op);
}

TEST(the_list_is_asked_for_then_all_addresses_at_once)
{
    struct resolver r;
    struct listing l;
    struct route_conf c = conf();
    char got[1000] = "";
    setup(&r);
    parse_listing("10 a.example 9.9.9.1, 20 b.example 9.9.9.2", &l);
    struct route_op *op = route_start(&c, &r, SLICE("example.net"), ADDRS_V4, route_on, got);
    assert_non_null(op);
    answer_mx(&r, &l);
    assert_int_equal(r.asked, 2);
    answer_addrs(&r, &l, 1);
    assert_string_equal(got, "");
    answer_addrs(&r, &l, 0);
    assert_string_equal(got, "a.example=9.9.9.1:25 b.example=9.9.9.2:25");
    assert_int_equal(r.open, 0);
    timers_deinit(&r.timers);
}

TEST(a_cancelled_route_leaves_no_question_open)
{
    struct resolver r;
    struct listing l;
    struct route_conf c = conf();
    setup(&r);
    parse_listing("10 a.example 9.9.9.1, 20 b.example 9.9.9.2", &l);
    struct route_op *op = route_start(&c, &r, SLICE("example.net"), ADDRS_V4, route_on, NULL);
    answer_mx(&r, &l);
    assert_int_equal(r.open, 2);
    route_cancel(&op);
    route_cancel(&op);
    assert_int_equal(r.open, 0);
    timers_deinit(&r.timers);
}

TEST(a_next_hop_of_ours_needs_no_mx_and_its_loss_is_no_bounce)
{
    struct resolver r;
    struct route_conf c = conf();
    char got[1000] = "";
    setup(&r);
    struct route_op *op = route_start(&c, &r, SLICE("[10.0.0.25]:25"), ADDRS_V4, route_on, got);
    assert_non_null(op);
    assert_string_equal(got, "");
    timers_run(&r.timers);
    assert_string_equal(got, "=10.0.0.25:25");

    struct listing l = { 0 };
    l.addrs[0].result = DNS_NXDOMAIN;
    op = route_start(&c, &r, SLICE("mail.inside.example:25"), ADDRS_V4, route_on, got);
    answer_addrs(&r, &l, 0);
    assert_string_equal(got, "deferred 4.4.3");

    op = route_start(&c, &r, SLICE("[10.0.0.25]"), ADDRS_V4, route_on, got);
    timers_run(&r.timers);
    assert_string_equal(got, "failed 5.4.4");
    op = route_start(&c, &r, SLICE("no good"), ADDRS_V4, route_on, got);
    timers_run(&r.timers);
    assert_string_equal(got, "failed 5.1.2");
    assert_int_equal(r.open, 0);
    timers_deinit(&r.timers);
}
