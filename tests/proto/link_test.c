#include "proto/link.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/tls_uv.h"
#include "proto/channel.h"
#include "tests/base/peer.h"
#include "tests/certs.h"
#include "tests/test.h"

struct end { /* one end of a channel and what came through it */
    struct channel *c;
    struct channel_conf conf;
    int ups, frames, downs;
    enum err why;
    char detail[256], peer[64], digest[65];
    struct arena arena;
    struct link_frame last;
};

static void on_up(void *owner, const char *peer, const char *digest)
{
    struct end *e = owner;
    e->ups++;
    snprintf(e->peer, sizeof e->peer, "%s", peer);
    snprintf(e->digest, sizeof e->digest, "%s", digest);
}

static void on_frame(void *owner, struct slice payload)
{
    struct end *e = owner;
    e->frames++;
    arena_reset(&e->arena);
    assert_int_equal(link_unpack(payload, &e->arena, &e->last), ERR_OK);
}

static void on_down(void *owner, enum err why, const char *detail)
{
    struct end *e = owner;
    e->downs++;
    e->why = why;
    snprintf(e->detail, sizeof e->detail, "%s", detail);
    channel_destroy(&e->c);
}

static const struct channel_events events = { .up = on_up, .frame = on_frame, .down = on_down };

struct world {
    struct loop *loop;
    const struct env *env;
    struct listener *listener;
    struct net_op *dial;
    struct end a, b; /* a dialled, b accepted */
};

static void accepted(void *owner, struct stream *s)
{
    struct world *w = owner;
    w->b.c = channel_create(w->env, s, &w->b.conf, &events, &w->b);
}

static void dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct world *w = owner;
    w->dial = NULL;
    assert_int_equal(err, ERR_OK);
    w->a.c = channel_create(w->env, s, &w->a.conf, &events, &w->a);
}

static bool only_coord1(void *owner, const char *name)
{
    return strcmp(name, "coord1") == 0;
}

static void world_init(struct world *w, struct tls_context *server, struct tls_context *client)
{
    *w = (struct world){ 0 };
    assert_int_equal(loop_create(NULL, &w->loop), ERR_OK);
    w->env = loop_env(w->loop);
    w->a.conf = (struct channel_conf){ .cluster = "lab", .name = "edge1", .digest = "d1", .clear = !client };
    w->b.conf = (struct channel_conf){ .cluster = "lab", .name = "coord1", .digest = "d2", .clear = !server };
    struct listen_conf lc = { .tls = server, .backlog = 8, .handshake_limit_ms = 5000 };
    assert_int_equal(addr_parse_port(SLICE("127.0.0.1:0"), 0, &lc.addr), ERR_OK);
    const char *why = "";
    assert_int_equal(net_listen(w->env->net, &lc, accepted, w, &w->listener, &why), ERR_OK);
    struct dial_conf dc = { .tls = client, .tls_name = "coord1", .limit_ms = 5000 };
    listener_addr(w->listener, &dc.to);
    w->dial = net_dial(w->env->net, &dc, dialled, w);
}

static void world_deinit(struct world *w)
{
    channel_destroy(&w->a.c);
    channel_destroy(&w->b.c);
    net_dial_cancel(&w->dial);
    listener_close(&w->listener);
    arena_deinit(&w->a.arena);
    arena_deinit(&w->b.arena);
    loop_destroy(w->loop);
}

TEST(a_heartbeat_arrives_as_it_was_sent)
{
    struct world w;
    world_init(&w, NULL, NULL);
    RUN_UNTIL(w.loop, w.a.ups && w.b.ups);
    assert_string_equal(w.b.peer, "edge1");
    assert_string_equal(w.b.digest, "d1");
    struct link_heartbeat h = {
        .seq = 7,
        .wall_ms = 1700000000000,
        .n_identities = 1,
        .n_refusals = 1,
        .queue = { .outbound = 3, .inbound = 4, .oldest_ms = 5, .bytes = 6, .accepting = true }
    };
    h.identities[0] = (struct link_identity){ .identity = SLICE("edge1"),
                                              .n_issues = 1,
                                              .issues = { SLICE("no PTR: get one") },
                                              .beat = { .seq = 9,
                                                        .instance = 0xfedcba9876543210,
                                                        .reported = STORE_R_ACTIVE,
                                                        .preflight_ok = true,
                                                        .epoch = 4,
                                                        .fenced_epoch = 3,
                                                        .fence_token = 11,
                                                        .lease_left_ms = 1234,
                                                        .refused_why = "because" } };
    h.refusals[0] = (struct link_refusal){ .identity = SLICE("edge1"),
                                           .destination = SLICE("example.net"),
                                           .scope = SLICE("ip-public"),
                                           .effect = SLICE("SWITCH"),
                                           .text = SLICE("554 5.7.1 listed"),
                                           .wall_ms = 5 };
    assert_int_equal(link_send_heartbeat(w.a.c, &h), ERR_OK);
    RUN_UNTIL(w.loop, w.b.frames == 1);
    const struct link_heartbeat *g = &w.b.last.heartbeat;
    assert_int_equal(w.b.last.kind, LINK_FRAME_HEARTBEAT);
    assert_int_equal(g->seq, 7);
    assert_int_equal(g->n_identities, 1);
    assert_slice(g->identities[0].identity, "edge1");
    assert_int_equal(g->identities[0].beat.instance, 0xfedcba9876543210);
    assert_int_equal(g->identities[0].beat.reported, STORE_R_ACTIVE);
    assert_int_equal(g->identities[0].beat.queue_out, 3);
    assert_string_equal(g->identities[0].beat.refused_why, "because");
    assert_slice(g->identities[0].issues[0], "no PTR: get one");
    assert_slice(g->refusals[0].text, "554 5.7.1 listed");
    assert_true(g->queue.accepting);
    world_deinit(&w);
}

TEST(an_order_and_its_acknowledgement_echo_op_epoch_and_token)
{
    struct world w;
    world_init(&w, NULL, NULL);
    RUN_UNTIL(w.loop, w.a.ups && w.b.ups);
    struct link_order o = { .kind = LINK_GRANT,
                            .op = UINT64_MAX,
                            .epoch = 5,
                            .token = 1,
                            .term = 2,
                            .identity = SLICE("edge1"),
                            .why = SLICE("granted"),
                            .dns_pending = true };
    assert_int_equal(link_send_order(w.b.c, &o), ERR_OK);
    RUN_UNTIL(w.loop, w.a.frames == 1);
    assert_int_equal(w.a.last.order.kind, LINK_GRANT);
    assert_true(w.a.last.order.op == UINT64_MAX && w.a.last.order.dns_pending);
    struct link_ack k = { .kind = LINK_GRANT,
                          .op = w.a.last.order.op,
                          .epoch = 5,
                          .token = 1,
                          .identity = SLICE("edge1"),
                          .done = true,
                          .why = SLICE("sending") };
    assert_int_equal(link_send_ack(w.a.c, &k), ERR_OK);
    RUN_UNTIL(w.loop, w.b.frames == 1);
    assert_true(w.b.last.ack.done && w.b.last.ack.op == UINT64_MAX);
    world_deinit(&w);
}

TEST(a_peer_of_another_cluster_or_without_a_place_here_is_refused_in_words)
{
    struct world w;
    world_init(&w, NULL, NULL);
    w.a.conf.cluster = "other";
    RUN_UNTIL(w.loop, w.a.downs && w.b.downs);
    assert_true(w.b.why == ERR_REFUSED || w.a.why == ERR_REFUSED);
    assert_non_null(strstr(w.b.why == ERR_REFUSED ? w.b.detail : w.a.detail, "another cluster"));
    world_deinit(&w);
    world_init(&w, NULL, NULL);
    w.b.conf.knows = only_coord1;
    RUN_UNTIL(w.loop, w.b.downs);
    assert_non_null(strstr(w.b.detail, "not in the configuration (it says \"edge1\""));
    world_deinit(&w);
}

TEST(bytes_that_are_no_frames_end_the_channel)
{
    static const char *const cases[] = { "GET / HTTP/1.1\r\n\r\n", "\0\0\0\2\x08\1", "\0\0\0\0" };
    static const size_t lengths[] = { 18, 6, 4 };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        world_init(&w, NULL, NULL);
        RUN_UNTIL(w.loop, w.b.c != NULL);
        struct dial_conf dc = { .limit_ms = 5000 };
        struct pair p = { .loop = w.loop, .env = w.env };
        listener_addr(w.listener, &dc.to);
        peer_init(&p.client);
        peer_init(&p.server);
        channel_destroy(&w.b.c);
        w.b.downs = 0;
        pair_dial(&p, dc);
        RUN_UNTIL(w.loop, p.dialled);
        RUN_UNTIL(w.loop, w.b.c != NULL);
        stream_write(p.client.s, slice_from(cases[i], lengths[i]));
        RUN_UNTIL(w.loop, w.b.downs == 1);
        assert_true(w.b.why == ERR_LIMIT || w.b.why == ERR_MALFORMED);
        peer_deinit(&p.client);
        peer_deinit(&p.server);
        world_deinit(&w);
    }
}

TEST(the_name_in_the_hello_must_be_the_name_in_the_certificate)
{
    char *folder = test_folder();
    struct certs *ca = certs_create(folder, "ca");
    struct cert_files coord, edge;
    struct tls_context *server, *client;
    certs_issue(ca, "coord1", "coord1", "DNS:coord1", 1, &coord);
    certs_issue(ca, "edge2", "edge2", "DNS:edge2", 1, &edge);
    struct tls_conf sc = { coord.ca, coord.cert, coord.key, TLS_VERIFY_PEER },
                    cc = { edge.ca, edge.cert, edge.key, TLS_VERIFY_PEER };
    assert_int_equal(tls_context_create(&sc, &server, NULL), ERR_OK);
    assert_int_equal(tls_context_create(&cc, &client, NULL), ERR_OK);
    struct world w;
    world_init(&w, server, client);
    w.a.conf.name = "edge2";
    RUN_UNTIL(w.loop, w.a.ups && w.b.ups);
    assert_string_equal(w.b.peer, "edge2");
    world_deinit(&w);
    world_init(&w, server, client); /* says edge1, shows edge2's certificate */
    RUN_UNTIL(w.loop, w.b.downs);
    assert_int_equal(w.b.why, ERR_REFUSED);
    assert_non_null(
        strstr(w.b.detail, "not the name in its certificate (it says \"edge1\", its certificate \"edge2\")"));
    world_deinit(&w);
    tls_context_destroy(server);
    tls_context_destroy(client);
    certs_destroy(ca);
    test_folder_remove(folder);
    free(folder);
}
