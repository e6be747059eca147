/* Links with real sockets on loopback, without TLS: who may connect, what is heard, what is told, what is passed on. */
#include "coordinator/links.h"

#include <stdio.h>
#include <stdlib.h>

#include "coordinator/forward.h"
#include "proto/channel.h"
#include "tests/base/peer.h"
#include "tests/test.h"

#define YAML                                                                                     \
    "cluster: lab\nallow_documentation_addresses: yes\n"                                         \
    "identities: [ { name: id1, node: n1, ip: 198.51.100.1, helo: a.example.com }, "             \
    "{ name: id2, node: n2, ip: 203.0.113.1, helo: b.example.com } ]\n"                          \
    "nodes: [ { name: n1, handoff: 10.0.0.1 }, { name: n2, handoff: 10.0.0.2 } ]\n"              \
    "coordinators: [ { name: c1, link: \"127.0.0.1:%u\" }, { name: c2, link: \"10.0.0.4\" } ]\n" \
    "redis: { server: 10.0.0.9 }\n"                                                              \
    "dns: { server: 10.0.0.8, zone: gw.example.com, mail_domain: example.com, tsig: { name: k, " \
    "secret_file: x } }\n"

struct node { /* the other end, as a node would be */
    struct world *w;
    struct channel_conf conf;
    struct channel *channel;
    struct net_op *dial;
    int ups, downs;
    char why[256];
    struct link_order order;
    char order_why[64];
    int orders;
};

struct world {
    struct loop *loop;
    struct opt_source src;
    struct cluster_conf cluster;
    struct host_conf self;
    struct links_conf conf;
    struct links *links;
    int beats, acks, requests, gone;
    char from[32], path[64], query[64], body[64];
    struct link_ack ack;
    struct links_call *call;
    bool keep; /* do not answer requests at once */
};

static void on_heartbeat(void *owner, const char *node, const struct link_heartbeat *h)
{
    struct world *w = owner;
    w->beats++;
    snprintf(w->from, sizeof w->from, "%s", node);
}

static void on_ack(void *owner, const char *node, const struct link_ack *a)
{
    struct world *w = owner;
    w->acks++;
    w->ack = *a;
}

static void on_gone(void *owner, const char *node)
{
    struct world *w = owner;
    w->gone++;
    snprintf(w->from, sizeof w->from, "%s", node);
}

static void on_request(void *owner, const char *who, const struct link_request *r, struct links_call *call)
{
    struct world *w = owner;
    w->requests++;
    snprintf(w->from, sizeof w->from, "%s", who);
    snprintf(w->path, sizeof w->path, "%.*s %.*s", SLICE_ARG(r->method), SLICE_ARG(r->path));
    snprintf(w->query, sizeof w->query, "%.*s", SLICE_ARG(r->query));
    snprintf(w->body, sizeof w->body, "%.*s", SLICE_ARG(r->body));
    if (w->keep)
        w->call = call;
    else
        links_reply(call, 202, SLICE("{\"result\":\"accepted\"}"));
}

static const struct links_events events = {
    .heartbeat = on_heartbeat, .ack = on_ack, .gone = on_gone, .request = on_request
};

static void world_init(struct world *w)
{
    struct buf text, why;
    struct addr any = { .family = ADDR_V4, .ip = { 127, 0, 0, 1 } };
    struct listener *probe;
    *w = (struct world){ 0 };
    assert_int_equal(loop_create(NULL, &w->loop), ERR_OK);
    /* A port that is free: taken, given back, and asked for again. */
    struct listen_conf lc = { .addr = any };
    assert_int_equal(net_listen(loop_env(w->loop)->net, &lc, NULL, NULL, &probe, NULL), ERR_OK);
    listener_addr(probe, &any);
    listener_close(&probe);
    loop_run_for(w->loop, 5);
    buf_init(&text, 4096);
    buf_putf(&text, YAML, (unsigned)any.port);
    opt_source_init(&w->src, "cluster.yaml");
    if (cluster_conf_load_text(&w->src, buf_slice(&text), &w->cluster))
        fail_msg("%s", buf_cstr(&w->src.errors));
    w->conf = (struct links_conf){ .cluster = &w->cluster,
                                   .self = cluster_coordinator(&w->cluster, SLICE("c1")),
                                   .clear = true };
    buf_init(&why, 1024);
    if (links_create(loop_env(w->loop), &w->conf, &events, w, &w->links, &why))
        fail_msg("%s", buf_cstr(&why));
    buf_deinit(&text);
    buf_deinit(&why);
}

static void world_deinit(struct world *w)
{
    links_destroy(w->links);
    loop_destroy(w->loop);
    opt_source_deinit(&w->src);
}

/* ---- a node ---- */

static void node_up(void *owner, const char *peer, const char *digest)
{
    ((struct node *)owner)->ups++;
}

static void node_frame(void *owner, struct slice payload)
{
    struct node *n = owner;
    struct arena a = { 0 };
    struct link_frame *f = arena_alloc(&a, sizeof *f);
    assert_int_equal(link_unpack(payload, &a, f), ERR_OK);
    assert_int_equal(f->kind, LINK_FRAME_ORDER);
    n->orders++;
    n->order = f->order;
    snprintf(n->order_why, sizeof n->order_why, "%.*s", SLICE_ARG(f->order.why));
    arena_deinit(&a);
}

static void node_down(void *owner, enum err why, const char *detail)
{
    struct node *n = owner;
    n->downs++;
    snprintf(n->why, sizeof n->why, "%s", detail);
    channel_destroy(&n->channel);
}

static const struct channel_events node_events = { .up = node_up, .frame = node_frame, .down = node_down };

static void node_dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct node *n = owner;
    n->dial = NULL;
    assert_int_equal(err, ERR_OK);
    n->channel = channel_create(loop_env(n->w->loop), s, &n->conf, &node_events, n);
}

static void connect_as(struct world *w, struct node *n, const char *name, const char *digest)
{
    *n = (struct node){
        .w = w, .conf = { .cluster = w->cluster.cluster, .name = name, .digest = digest, .clear = true }
    };
    struct dial_conf dial = { .to = w->conf.self->link, .limit_ms = 5000 };
    n->dial = net_dial(loop_env(w->loop)->net, &dial, node_dialled, n);
    RUN_UNTIL(w->loop, n->ups || n->downs);
}

static void beat(struct world *w, struct node *n, int64_t clock_off_ms, const char *issue)
{
    struct link_heartbeat h = { .seq = 1, .n_identities = 1, .queue = { .outbound = 3, .accepting = true } };
    int before = w->beats;
    h.wall_ms = (uint64_t)((int64_t)clock_wall_ms(NULL) + clock_off_ms);
    h.identities[0] = (struct link_identity){ .identity = SLICE("id1"), .beat = { .seq = 1, .instance = 7 } };
    if (issue) h.identities[0].issues[h.identities[0].n_issues++] = slice_of(issue);
    assert_int_equal(link_send_heartbeat(n->channel, &h), ERR_OK);
    RUN_UNTIL(w->loop, w->beats > before);
}

TEST(a_node_is_heard_and_gets_its_orders)
{
    struct world w;
    struct node n;
    struct links_node look;
    world_init(&w);
    connect_as(&w, &n, "n1", w.cluster.digest);
    RUN_UNTIL(w.loop, (links_node(w.links, 0, &look), look.up));
    assert_false(look.heard);
    assert_false(look.configuration_differs);
    beat(&w, &n, 0, "ptr: none: ask your provider");
    links_node(w.links, 0, &look);
    assert_true(look.heard);
    assert_int_equal(look.queue.outbound, 3);
    assert_true(llabs(look.clock_off_ms) < LINKS_CLOCK_SLACK_MS);
    assert_string_equal(links_identity_issue(w.links, 0, 0), "ptr: none: ask your provider");
    assert_null(links_identity_issue(w.links, 0, 1));
    beat(&w, &n, 0, NULL);
    assert_null(links_identity_issue(w.links, 0, 0));

    struct link_order o = {
        .kind = LINK_FENCE, .epoch = 4, .token = 9, .identity = SLICE("id1"), .why = SLICE("listed")
    };
    assert_true(links_order(w.links, "n1", &o));
    assert_false(links_order(w.links, "n2", &o));
    RUN_UNTIL(w.loop, n.orders);
    assert_int_equal(n.order.token, 9);
    assert_string_equal(n.order_why, "listed");
    struct link_ack ack = { .kind = LINK_FENCE, .token = 9, .identity = SLICE("id1"), .done = true };
    assert_int_equal(link_send_ack(n.channel, &ack), ERR_OK);
    RUN_UNTIL(w.loop, w.acks);
    assert_true(w.ack.done);
    channel_destroy(&n.channel);
    RUN_UNTIL(w.loop, (links_node(w.links, 0, &look), !look.up));
    world_deinit(&w);
}

TEST(a_newer_link_takes_the_place_of_the_older)
{
    struct world w;
    struct node old, fresh;
    struct links_node look;
    world_init(&w);
    connect_as(&w, &old, "n1", w.cluster.digest);
    RUN_UNTIL(w.loop, (links_node(w.links, 0, &look), look.up));
    connect_as(&w, &fresh, "n1", w.cluster.digest);
    RUN_UNTIL(w.loop, old.downs);
    beat(&w, &fresh, 0, NULL);
    struct link_order o = { .kind = LINK_GRANT, .identity = SLICE("id1") };
    assert_true(links_order(w.links, "n1", &o));
    RUN_UNTIL(w.loop, fresh.orders);
    assert_int_equal(w.gone, 0); /* a node that dialled again was never away */
    channel_destroy(&fresh.channel);
    RUN_UNTIL(w.loop, w.gone == 1);
    assert_string_equal(w.from, "n1");
    world_deinit(&w);
}

TEST(strangers_are_refused)
{
    struct world w;
    struct node n;
    world_init(&w);
    connect_as(&w, &n, "n9", w.cluster.digest);
    RUN_UNTIL(w.loop, n.downs);
    channel_destroy(&n.channel);
    world_deinit(&w);
}

TEST(another_configuration_and_another_clock_are_seen)
{
    struct world w;
    struct node n;
    struct links_node look;
    world_init(&w);
    connect_as(&w, &n, "n2", "another");
    beat(&w, &n, -5000, NULL);
    links_node(w.links, 1, &look);
    assert_true(look.configuration_differs);
    assert_true(look.clock_off_ms < -LINKS_CLOCK_SLACK_MS && look.clock_off_ms > -6000);
    channel_destroy(&n.channel);
    world_deinit(&w);
}

/* ---- requests of another coordinator ---- */

struct answer {
    int dones;
    enum err err;
    unsigned status;
    char body[128], detail[128];
};

static void on_forwarded(void *owner, enum err err, unsigned status, struct slice body, const char *detail)
{
    struct answer *a = owner;
    a->dones++;
    a->err = err;
    a->status = status;
    snprintf(a->body, sizeof a->body, "%.*s", SLICE_ARG(body));
    snprintf(a->detail, sizeof a->detail, "%s", detail);
}

static struct forward_op *ask(struct world *w, const struct forward_conf *conf, struct answer *a,
                              uint32_t limit_ms)
{
    struct link_request r = {
        .method = SLICE("POST"), .path = SLICE("/pause"), .query = SLICE("n=5"), .body = SLICE("{}")
    };
    *a = (struct answer){ 0 };
    return forward_start(loop_env(w->loop), conf, w->conf.self, &r, limit_ms, on_forwarded, a);
}

TEST(a_request_is_passed_on_and_its_answer_brought_back)
{
    struct world w;
    struct answer a;
    world_init(&w);
    struct forward_conf conf = { &w.cluster, "c2", NULL };
    (void)ask(&w, &conf, &a, 5000);
    RUN_UNTIL(w.loop, a.dones);
    assert_int_equal(a.err, ERR_OK);
    assert_int_equal(a.status, 202);
    assert_string_equal(a.body, "{\"result\":\"accepted\"}");
    assert_string_equal(w.from, "c2");
    assert_string_equal(w.path, "POST /pause");
    assert_string_equal(w.query, "n=5");
    assert_string_equal(w.body, "{}");
    world_deinit(&w);
}

TEST(an_answer_that_does_not_come_is_unknown)
{
    struct world w;
    struct answer a;
    world_init(&w);
    w.keep = true;
    struct forward_conf conf = { &w.cluster, "c2", NULL };
    (void)ask(&w, &conf, &a, 200);
    RUN_UNTIL(w.loop, a.dones);
    assert_int_equal(a.err, ERR_UNKNOWN);
    RUN_UNTIL(w.loop, w.call != NULL);
    loop_run_for(w.loop, 20);
    links_reply(w.call, 200, SLICE("{}")); /* nobody is there any more */
    assert_int_equal(a.dones, 1);
    world_deinit(&w);
}

TEST(a_stranger_passes_nothing_on)
{
    struct world w;
    struct answer a;
    world_init(&w);
    struct forward_conf conf = { &w.cluster, "c7", NULL };
    (void)ask(&w, &conf, &a, 2000);
    RUN_UNTIL(w.loop, a.dones);
    assert_true(a.err == ERR_RETRY || a.err == ERR_UNKNOWN);
    assert_int_equal(w.requests, 0);
    world_deinit(&w);
}

TEST(a_cancelled_request_says_nothing_and_an_open_one_is_dropped_with_the_links)
{
    struct world w;
    struct answer a;
    world_init(&w);
    w.keep = true;
    struct forward_conf conf = { &w.cluster, "c2", NULL };
    struct forward_op *op = ask(&w, &conf, &a, 5000);
    RUN_UNTIL(w.loop, w.call != NULL);
    forward_cancel(&op);
    assert_null(op);
    assert_int_equal(a.dones, 0);
    world_deinit(&w);
}
