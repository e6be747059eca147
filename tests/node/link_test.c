#include "node/link.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/tls_uv.h"
#include "proto/channel.h"
#include "proto/edge.pb-c.h"
#include "tests/base/peer.h"
#include "tests/certs.h"
#include "tests/test.h"

enum { COORDS = 2 };

struct coord { /* a coordinator's end: accepts one node, keeps what it says */
    struct world *w;
    struct listener *listener;
    struct channel_conf conf;
    struct channel *c;
    int accepts, ups, heartbeats, acks;
    struct arena arena;
    struct link_frame last;
    char peer[64];
};

struct world {
    struct loop *loop;
    const struct env *env;
    char *folder;
    struct certs *ca;
    struct tls_context *node_tls, *coord_tls[COORDS];
    struct coord coord[COORDS];
    struct host_conf hosts[COORDS];
    struct cluster_conf cluster;
    struct node_link_conf conf;
    struct node_link *link;
    int orders, changes;
    size_t up;
    char from[64];
    struct link_order order;
    char identity[64];
};

static void on_up(void *owner, const char *peer, const char *digest)
{
    struct coord *c = owner;
    c->ups++;
    snprintf(c->peer, sizeof c->peer, "%s", peer);
}

static void on_frame(void *owner, struct slice payload)
{
    struct coord *c = owner;
    arena_reset(&c->arena);
    assert_int_equal(link_unpack(payload, &c->arena, &c->last), ERR_OK);
    c->heartbeats += c->last.kind == LINK_FRAME_HEARTBEAT;
    c->acks += c->last.kind == LINK_FRAME_ACK;
}

static void on_down(void *owner, enum err why, const char *detail)
{
    struct coord *c = owner;
    channel_destroy(&c->c);
}

static const struct channel_events channel_events = { .up = on_up, .frame = on_frame, .down = on_down };

static void on_accepted(void *owner, struct stream *s)
{
    struct coord *c = owner;
    c->accepts++;
    channel_destroy(&c->c);
    c->c = channel_create(c->w->env, s, &c->conf, &channel_events, c);
}

static void coord_listen(struct world *w, size_t i)
{
    struct coord *c = &w->coord[i];
    struct listen_conf lc = {
        .addr = w->hosts[i].link, .tls = w->coord_tls[i], .backlog = 8, .handshake_limit_ms = 5000
    };
    assert_int_equal(net_listen(w->env->net, &lc, on_accepted, c, &c->listener, NULL), ERR_OK);
    listener_addr(c->listener, &w->hosts[i].link); /* the port it got, for good */
}

static void coord_stop(struct coord *c)
{
    channel_destroy(&c->c);
    listener_close(&c->listener);
}

static void on_order(void *owner, const char *coordinator, const struct link_order *o)
{
    struct world *w = owner;
    w->orders++;
    snprintf(w->from, sizeof w->from, "%s", coordinator);
    w->order = *o;
    snprintf(w->identity, sizeof w->identity, "%.*s", SLICE_ARG(o->identity));
}

static void on_changed(void *owner, size_t up)
{
    struct world *w = owner;
    w->changes++;
    w->up = up;
}

static const struct node_link_events link_events = { .order = on_order, .changed = on_changed };

static struct tls_context *tls_of(struct world *w, const char *name)
{
    struct cert_files f;
    char san[80];
    snprintf(san, sizeof san, "DNS:%s", name);
    certs_issue(w->ca, name, name, san, 1, &f);
    const struct tls_conf conf = {
        .ca_file = f.ca, .cert_file = f.cert, .key_file = f.key, .verify = TLS_VERIFY_PEER
    };
    struct tls_context *tls = NULL;
    assert_int_equal(tls_context_create(&conf, &tls, NULL), ERR_OK);
    return tls;
}

/* `names`: what the coordinators' certificates and Hellos say; the configuration has coord1 and coord2. */
static void world_init(struct world *w, const char *const names[COORDS])
{
    *w = (struct world){ .folder = test_folder() };
    assert_int_equal(loop_create(NULL, &w->loop), ERR_OK);
    w->env = loop_env(w->loop);
    w->ca = certs_create(w->folder, "ca");
    w->node_tls = tls_of(w, "edge1");
    for (size_t i = 0; i < COORDS; i++) {
        w->hosts[i] = (struct host_conf){ .name = i ? "coord2" : "coord1" };
        assert_int_equal(addr_parse(SLICE("127.0.0.1"), &w->hosts[i].link), ERR_OK);
        w->coord[i].w = w;
        w->coord[i].conf = (struct channel_conf){ .cluster = "lab", .name = names[i], .digest = "d" };
        w->coord_tls[i] = tls_of(w, names[i]);
        coord_listen(w, i);
    }
    w->cluster = (struct cluster_conf){ .cluster = "lab", .coordinators = { w->hosts, COORDS } };
    snprintf(w->cluster.digest, sizeof w->cluster.digest, "d");
    w->conf = (struct node_link_conf){ .cluster = &w->cluster, .name = "edge1", .tls = w->node_tls };
    w->link = node_link_create(w->env, &w->conf, &link_events, w);
}

static void world_deinit(struct world *w)
{
    node_link_destroy(w->link);
    for (size_t i = 0; i < COORDS; i++) {
        coord_stop(&w->coord[i]);
        arena_deinit(&w->coord[i].arena);
        tls_context_destroy(w->coord_tls[i]);
    }
    tls_context_destroy(w->node_tls);
    loop_destroy(w->loop);
    certs_destroy(w->ca);
    test_folder_remove(w->folder);
    free(w->folder);
}

static const char *const right_names[COORDS] = { "coord1", "coord2" };

TEST(a_node_keeps_a_line_to_every_coordinator_and_tells_all_of_them)
{
    struct world w;
    world_init(&w, right_names);
    RUN_UNTIL(w.loop, w.coord[0].ups && w.coord[1].ups && w.up == 2);
    assert_string_equal(w.coord[0].peer, "edge1");
    assert_int_equal(node_link_up(w.link), 2);
    struct link_heartbeat h = { .seq = 3, .n_identities = 1 };
    h.identities[0] = (struct link_identity){ .identity = SLICE("edge1"), .beat = { .epoch = 4 } };
    node_link_heartbeat(w.link, &h);
    node_link_ack(
        w.link, &(struct link_ack){ .kind = LINK_FENCE, .op = 9, .identity = SLICE("edge1"), .done = true });
    for (size_t i = 0; i < COORDS; i++) {
        RUN_UNTIL(w.loop, w.coord[i].heartbeats == 1 && w.coord[i].acks == 1);
        assert_int_equal(w.coord[i].last.ack.op, 9);
        assert_true(w.coord[i].last.ack.done);
    }
    world_deinit(&w);
}

TEST(an_order_comes_with_the_name_of_who_gave_it)
{
    struct world w;
    world_init(&w, right_names);
    RUN_UNTIL(w.loop, w.coord[1].ups && w.up == 2);
    struct link_order o = {
        .kind = LINK_GRANT, .op = 7, .epoch = 5, .token = 11, .term = 2, .identity = SLICE("edge1")
    };
    assert_int_equal(link_send_order(w.coord[1].c, &o), ERR_OK);
    RUN_UNTIL(w.loop, w.orders == 1);
    assert_string_equal(w.from, "coord2");
    assert_int_equal(w.order.kind, LINK_GRANT);
    assert_int_equal(w.order.epoch, 5);
    assert_int_equal(w.order.token, 11);
    assert_string_equal(w.identity, "edge1");
    world_deinit(&w);
}

/* A newer coordinator may know orders that this node does not. */
TEST(an_order_of_unknown_kind_is_refused_in_words_and_what_is_no_order_is_ignored)
{
    struct world w;
    world_init(&w, right_names);
    RUN_UNTIL(w.loop, w.coord[0].ups && w.up == 2);
    Gemel__V1__Order strange = GEMEL__V1__ORDER__INIT;
    Gemel__V1__LinkFrame f = GEMEL__V1__LINK_FRAME__INIT;
    strange.op = 77, strange.epoch = 6, strange.token = 5;
    strange.kind = (Gemel__V1__Order__Kind)99;
    strange.identity = (char *)"edge1";
    f.body_case = GEMEL__V1__LINK_FRAME__BODY_ORDER;
    f.order = &strange;
    assert_int_equal(link_send_heartbeat(w.coord[0].c, &(struct link_heartbeat){ .seq = 1 }), ERR_OK);
    assert_int_equal(channel_send(w.coord[0].c, &f.base), ERR_OK);
    RUN_UNTIL(w.loop, w.coord[0].acks == 1);
    assert_int_equal(w.orders, 0);
    assert_false(w.coord[0].last.ack.done);
    assert_int_equal(w.coord[0].last.ack.op, 77);
    assert_int_equal(w.coord[0].last.ack.token, 5);
    assert_slice(w.coord[0].last.ack.why, "this node does not know that kind of order");
    assert_int_equal(node_link_up(w.link), 2);
    world_deinit(&w);
}

TEST(a_line_that_breaks_comes_back_and_the_other_stays)
{
    struct world w;
    world_init(&w, right_names);
    RUN_UNTIL(w.loop, w.up == 2 && w.coord[0].ups == 1 && w.coord[1].ups == 1);
    coord_stop(&w.coord[0]);
    RUN_UNTIL(w.loop, w.up == 1);
    node_link_heartbeat(w.link, &(struct link_heartbeat){ .seq = 1 }); /* what is down is left out */
    RUN_UNTIL(w.loop, w.coord[1].heartbeats == 1);
    loop_run_for(w.loop, 300); /* at least one dial that nobody answers */
    assert_int_equal(node_link_up(w.link), 1);
    coord_listen(&w, 0);
    RUN_UNTIL(w.loop, w.up == 2);
    assert_int_equal(w.coord[0].ups, 2);
    assert_int_equal(w.coord[0].heartbeats, 0); /* the next one says it all: nothing was kept */
    assert_int_equal(w.coord[1].ups, 1);
    world_deinit(&w);
}

TEST(a_coordinator_with_anothers_certificate_is_not_spoken_to)
{
    static const char *const names[COORDS] = { "coord1", "coord1" };
    struct world w;
    world_init(&w, names);
    RUN_UNTIL(w.loop, w.coord[0].ups == 1);
    loop_run_for(w.loop, 300);
    assert_int_equal(node_link_up(w.link), 1);
    assert_int_equal(w.coord[1].ups, 0);
    node_link_heartbeat(w.link, &(struct link_heartbeat){ .seq = 1 });
    RUN_UNTIL(w.loop, w.coord[0].heartbeats == 1);
    assert_int_equal(w.coord[1].heartbeats, 0);
    world_deinit(&w);
}
