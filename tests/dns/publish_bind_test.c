/* The rfc2136 publisher against BIND: first publication, switch, stale and foreign owners, refusals, lost answers. */
#include <stdio.h>
#include <stdlib.h>

#include "base/net.h"
#include "dns/publish.h"
#include "tests/dns/world.h"
#include "tests/test.h"

struct outcome {
    bool done;
    enum publish_result r;
    char detail[PUBLISH_DETAIL_MAX];
};

static void keep(void *owner, enum publish_result r, const char *detail)
{
    struct outcome *o = owner;
    o->done = true;
    o->r = r;
    snprintf(o->detail, sizeof o->detail, "%s", detail);
}

static struct publish_zone zone_at(struct world *w)
{
    struct publish_zone zone = { .server = w->server };
    assert_int_equal(dns_name_parse(SLICE("gw.example.com"), &zone.zone), ERR_OK);
    return zone;
}

static struct publish_wanted wanted(uint64_t expected, uint64_t epoch, const char *active)
{
    static struct addr senders[2];
    assert_int_equal(addr_parse(SLICE("198.51.100.10"), &senders[0]), ERR_OK);
    assert_int_equal(addr_parse(SLICE("203.0.113.10"), &senders[1]), ERR_OK);
    return (struct publish_wanted){ .cluster = SLICE("lab"),
                                    .active = slice_of(active),
                                    .digest = SLICE("d"),
                                    .epoch = epoch,
                                    .expected_epoch = expected,
                                    .senders = senders,
                                    .n_senders = 2,
                                    .all = '-',
                                    .allow = SPF_ALLOW_DOCUMENTATION };
}

static struct outcome publish(struct world *w, const struct tsig_key *key, const struct publish_wanted *want)
{
    struct outcome o = { 0 };
    struct publish_zone zone = zone_at(w);
    struct publisher *p = publisher_rfc2136(&w->env, w->r, &zone, key);
    publish_start(p, want, 20000, keep, &o);
    assert_false(o.done);
    world_wait(w, &o.done);
    publisher_destroy(p);
    return o;
}

struct text {
    bool done;
    size_t n;
    char text[600];
};

static void keep_text(void *owner, const struct dns_answer *a)
{
    struct text *t = owner;
    t->done = true;
    t->n = a->n;
    if (a->n) snprintf(t->text, sizeof t->text, "%.*s", SLICE_ARG(a->records[0].text));
}

static struct text txt(struct world *w, const char *name)
{
    struct text t = { 0 };
    struct dns_ask how = { .flags = DNS_NO_CACHE };
    resolver_ask(w->r, slice_of(name), DNS_TXT, &how, keep_text, &t);
    world_wait(w, &t.done);
    return t;
}

TEST(a_switch_is_published_and_an_equal_wish_changes_nothing)
{
    struct world w;
    world_init(&w, "");
    struct publish_wanted first = wanted(0, 1, "edge1"), second = wanted(1, 2, "edge2");
    assert_int_equal(publish(&w, &w.key, &first).r, PUBLISH_DONE);
    assert_string_equal(txt(&w, "_egress.gw.example.com").text,
                        "v=gemel1 cluster=lab epoch=1 active=edge1 digest=d");
    assert_string_equal(txt(&w, "_spf.gw.example.com").text,
                        "v=spf1 ip4:198.51.100.10 ip4:203.0.113.10 -all");
    assert_string_equal(publish(&w, &w.key, &first).detail, "it was published already");
    second.n_senders = 1;
    assert_int_equal(publish(&w, &w.key, &second).r, PUBLISH_DONE);
    assert_string_equal(txt(&w, "_spf.gw.example.com").text, "v=spf1 ip4:198.51.100.10 -all");
    assert_int_equal(txt(&w, "example.com").n, 2); /* the apex and its foreign records are as they were */
    world_deinit(&w);
}

TEST(a_stale_coordinator_changes_nothing)
{
    struct world w;
    world_init(&w, "");
    struct publish_wanted first = wanted(0, 1, "edge1"), second = wanted(1, 2, "edge2"),
                          stale = wanted(1, 2, "edge1");
    assert_int_equal(publish(&w, &w.key, &first).r, PUBLISH_DONE);
    assert_int_equal(publish(&w, &w.key, &second).r, PUBLISH_DONE);
    struct outcome o = publish(&w, &w.key, &stale);
    assert_int_equal(o.r, PUBLISH_STALE);
    assert_non_null(strstr(o.detail, "epoch 2"));
    assert_string_equal(txt(&w, "_egress.gw.example.com").text,
                        "v=gemel1 cluster=lab epoch=2 active=edge2 digest=d");
    world_deinit(&w);
}

TEST(a_foreign_marker_is_replaced_only_on_demand)
{
    struct world w;
    world_init(&w,
               "; gw\n_egress.gw.example.com. TXT \"v=gemel1 cluster=other epoch=9 active=x digest=y\"\n");
    struct publish_wanted first = wanted(0, 1, "edge1");
    assert_int_equal(publish(&w, &w.key, &first).r, PUBLISH_CONFLICT);
    assert_int_equal(txt(&w, "_spf.gw.example.com").n, 0);
    first.takeover = true;
    assert_int_equal(publish(&w, &w.key, &first).r, PUBLISH_DONE);
    world_deinit(&w);
}

TEST(two_coordinators_at_once_leave_one_winner)
{
    struct world w;
    struct outcome o[2] = { { 0 } };
    world_init(&w, "");
    struct publish_zone zone = zone_at(&w);
    struct publish_wanted a = wanted(0, 1, "edge1"), b = wanted(0, 1, "edge2");
    struct publisher *p = publisher_rfc2136(&w.env, w.r, &zone, &w.key);
    publish_start(p, &a, 20000, keep, &o[0]);
    publish_start(p, &b, 20000, keep, &o[1]);
    world_wait(&w, &o[0].done);
    world_wait(&w, &o[1].done);
    assert_true((o[0].r == PUBLISH_DONE && o[1].r == PUBLISH_STALE) ||
                (o[0].r == PUBLISH_STALE && o[1].r == PUBLISH_DONE));
    publisher_destroy(p);
    world_deinit(&w);
}

TEST(refusals_end_at_once_with_their_reason)
{
    struct world w;
    struct tsig_key wrong, poor;
    const char *why;
    world_init(&w, "");
    struct publish_wanted first = wanted(0, 1, "edge1");
    assert_int_equal(tsig_key_make(SLICE("gemel"), SLICE("hmac-sha256"), SLICE("b3RoZXI="), &wrong, &why),
                     ERR_OK);
    assert_int_equal(tsig_key_make(SLICE("poor"), SLICE("hmac-sha256"), slice_of(world_secret), &poor, &why),
                     ERR_OK);
    struct outcome o = publish(&w, &wrong, &first);
    assert_int_equal(o.r, PUBLISH_REFUSED);
    assert_non_null(strstr(o.detail, "secret"));
    o = publish(&w, &poor, &first);
    assert_int_equal(o.r, PUBLISH_REFUSED);
    assert_non_null(strstr(o.detail, "policy"));
    first.n_senders = 0;
    assert_int_equal(publish(&w, &w.key, &first).r, PUBLISH_LINT);
    world_deinit(&w);
}

TEST(no_server_is_a_failure_that_may_pass_and_a_cancel_is_final)
{
    struct world w;
    struct outcome o = { 0 };
    world_init(&w, "");
    struct publish_zone zone = zone_at(&w);
    struct publish_wanted first = wanted(0, 1, "edge1");
    struct publisher *p = publisher_rfc2136(&w.env, w.r, &zone, &w.key);
    struct publish_op *op = publish_start(p, &first, 20000, keep, &o);
    loop_run_for(w.loop, 1);
    publish_cancel(&op);
    loop_run_for(w.loop, 50);
    assert_false(o.done);
    publisher_destroy(p);
    zone.server.port = 1;
    p = publisher_rfc2136(&w.env, w.r, &zone, &w.key);
    publish_start(p, &first, 2000, keep, &o);
    world_wait(&w, &o.done);
    assert_int_equal(o.r, PUBLISH_FAILED);
    publisher_destroy(p);
    world_deinit(&w);
}

/* --- A proxy in front of BIND that loses the answer to each update --- */

struct proxy {
    struct world *w;
    struct listener *listener;
    struct stream *in, *out;
    struct net_op *dial;
    struct buf pending;
    unsigned lost;
};

static void close_both(struct proxy *p)
{
    net_dial_cancel(&p->dial);
    stream_close(&p->in);
    stream_close(&p->out);
}

static void from_bind(void *owner, struct slice bytes)
{
    struct proxy *p = owner;
    p->lost++;
    close_both(p); /* the change is made, the answer never arrives */
}

static void ended(void *owner, enum err why, const char *detail)
{
    close_both(owner);
}

static const struct stream_events out_events = { .data = from_bind, .end = ended };

static void on_dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct proxy *p = owner;
    p->dial = NULL;
    assert_int_equal(err, ERR_OK);
    p->out = s;
    stream_attach(s, &out_events, p);
    stream_write(s, buf_slice(&p->pending));
    buf_clear(&p->pending);
}

static void from_us(void *owner, struct slice bytes)
{
    struct proxy *p = owner;
    struct dial_conf conf = { .to = p->w->server, .limit_ms = 2000 };
    buf_put(&p->pending, bytes);
    if (!p->dial && !p->out) p->dial = net_dial(p->w->env.net, &conf, on_dialled, p);
}

static const struct stream_events in_events = { .data = from_us, .end = ended };

static void on_accepted(void *owner, struct stream *s)
{
    struct proxy *p = owner;
    p->in = s;
    stream_attach(s, &in_events, p);
}

static void keep_update(void *owner, enum update_result r, const char *detail)
{
    struct outcome *o = owner;
    o->done = true;
    o->r = (enum publish_result)r;
}

TEST(a_lost_answer_is_found_to_be_our_own_success)
{
    struct world w;
    struct proxy p = { 0 };
    struct outcome o = { 0 };
    struct listen_conf conf = { 0 };
    const char *detail;
    world_init(&w, "");
    p.w = &w;
    buf_init(&p.pending, 65536);
    assert_int_equal(addr_parse_port(SLICE("127.0.0.2"), w.bind.port, &conf.addr), ERR_OK);
    assert_int_equal(net_listen(w.env.net, &conf, on_accepted, &p, &p.listener, &detail), ERR_OK);
    /* The update itself, through the proxy: its outcome is unknown … */
    struct publish_wanted first = wanted(0, 1, "edge1");
    struct publish_zone zone = zone_at(&w);
    struct publish_plan plan;
    char text[PUBLISH_DETAIL_MAX];
    assert_int_equal(publish_plan_make(&zone, &first, &plan, text), PUBLISH_DONE);
    struct update_conf update_conf = { .server = conf.addr, .key = &w.key, .limit_ms = 3000 };
    struct update_set none = { .name = dns_name_slice(&plan.egress_name) };
    struct update_set set[2] = { { dns_name_slice(&plan.egress_name), 30, { buf_slice(&plan.egress) }, 1 },
                                 { dns_name_slice(&plan.spf_name), 300, { buf_slice(&plan.spf) }, 1 } };
    struct update u = { SLICE("gw.example.com"), &none, 1, set, 2 };
    update_send(&w.env, &update_conf, &u, keep_update, &o);
    world_wait(&w, &o.done);
    assert_int_equal(o.r, (enum publish_result)UPDATE_UNKNOWN);
    assert_int_equal(p.lost, 1);
    /* … and whoever publishes again finds his own text there. */
    o = publish(&w, &w.key, &first);
    assert_int_equal(o.r, PUBLISH_DONE);
    assert_string_equal(o.detail, "it was published already");
    publish_plan_deinit(&plan);
    listener_close(&p.listener);
    close_both(&p);
    buf_deinit(&p.pending);
    world_deinit(&w);
}
