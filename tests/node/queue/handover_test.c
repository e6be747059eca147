#include "node/queue/handover.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/loop_uv.h"
#include "base/net.h"
#include "base/timers.h"
#include "base/tls_uv.h"
#include "node/queue/reporter.h"
#include "node/queue/spool_mem.h"
#include "tests/base/peer.h"
#include "tests/certs.h"
#include "tests/test.h"

/* Two whole queues with real lines and certificates between them, in one loop. The deliverers only count. */

enum { NODES = 2, MESSAGES = 60 };

struct world;

struct node {
    struct world *w;
    int n;
    struct tls_context *tls;
    struct spool_mem *disk;
    struct handover_conf conf;
    struct handover *handover;
    struct reporter_conf reporter_conf;
    struct reporter *reporter;
    struct queue *queue;
    struct queue_ids ids;
    unsigned sent[MESSAGES + 1], total;
};

struct world {
    struct loop *loop;
    const struct env *env;
    char *folder;
    struct certs *ca;
    struct host_conf hosts[NODES];
    struct cluster_conf cluster;
    struct node nodes[NODES];
};

/* ---- a deliverer that says yes a moment later ---- */

struct yes {
    struct timer timer;
    struct node *n;
    struct delivery_job *job;
    delivery_done_fn *done;
    void *queue;
};

static void say_yes(struct timer *t)
{
    struct yes *y = t->owner;
    struct delivery_result results[4] = { 0 };
    for (size_t i = 0; i < y->job->n_rcpts; i++)
        results[i] = (struct delivery_result){ .outcome = DELIVERY_SENT, .reply = SLICE("250 2.0.0 taken") };
    y->n->sent[strtoul(y->job->id.s, NULL, 10)]++;
    y->n->total++;
    y->done(y->queue, y->job, results);
    free(y);
}

static void start(void *owner, struct delivery_job *job, delivery_done_fn *done, void *queue)
{
    struct yes *y = xzalloc(sizeof *y);
    *y = (struct yes){ .n = owner, .job = job, .done = done, .queue = queue };
    timer_set_in(y->n->w->env->timers, &y->timer, 1, say_yes, y);
}

static const char *nowhere(void *owner, struct slice domain)
{
    return NULL;
}

static bool not_ours(void *owner, struct slice domain)
{
    return false;
}

/* ---- nodes ---- */

static void node_start(struct node *n)
{
    struct world *w = n->w;
    struct buf why;
    buf_init(&why, 1000);
    if (handover_create(w->env, &n->conf, &n->handover, &why)) fail_msg("%s", buf_cstr(&why));
    buf_deinit(&why);
    n->reporter = reporter_create(w->env, &n->reporter_conf);
    struct queue_conf qc = { .schedule = { .active_max = 10, .active_per_dest = 10, .give_max = 16 },
                             .next_hop = nowhere };
    retry_conf_default(&qc.schedule.retry);
    struct queue_ports ports = { .spool = spool_mem_spool(n->disk),
                                 .deliverer = { .start = start, .owner = n } };
    handover_port(n->handover, &ports.giver);
    reporter_port(n->reporter, &ports.reporter);
    n->queue = queue_create(w->env, &qc, &ports);
    handover_attach(n->handover, n->queue);
    assert_int_equal(queue_start(n->queue), ERR_OK);
}

static void node_stop(struct node *n)
{
    handover_destroy(n->handover);
    reporter_destroy(n->reporter);
    queue_destroy(n->queue);
    n->handover = NULL;
    n->reporter = NULL;
    n->queue = NULL;
}

static void node_crash(struct node *n, bool synced)
{
    node_stop(n);
    spool_mem_crash(n->disk, synced);
    node_start(n);
}

static void free_port(struct world *w, struct addr *out)
{
    struct listen_conf lc = { .backlog = 1 };
    struct listener *l;
    const char *why;
    assert_int_equal(addr_parse_port(SLICE("127.0.0.1:0"), 0, &lc.addr), ERR_OK);
    assert_int_equal(net_listen(w->env->net, &lc, NULL, NULL, &l, &why), ERR_OK);
    listener_addr(l, out);
    listener_close(&l);
}

static void store(struct node *n, unsigned i)
{
    struct envelope_rcpt r = { .address = SLICE("bob@example.net") };
    struct envelope e = { .flow = FLOW_OUT, .sender = SLICE("alice@example.com"), .rcpts = &r, .n_rcpts = 1 };
    struct queue_id id;
    char text[QUEUE_ID_CHARS + 1], body[3000] = "";
    snprintf(text, sizeof text, "%018u", i);
    assert_int_equal(queue_id_parse(slice_of(text), &id), ERR_OK);
    e.arrival_wall_ms = timers_wall_ms(n->w->env->timers);
    e.expiry_wall_ms = e.arrival_wall_ms + DAYS(2);
    struct spool_put *p = spool_put_begin(spool_mem_spool(n->disk), &id, NULL, NULL);
    for (unsigned k = 0; k < (i % 7 == 0 ? 100 : 1); k++)
        assert_int_equal(spool_put_body(p, slice_from(body, sizeof body)), ERR_OK);
    spool_put_commit(p, &e, NULL, NULL, NULL);
}

static void world_init(struct world *w)
{
    *w = (struct world){ .cluster = { .cluster = "lab", .nodes = { w->hosts, NODES } } };
    assert_int_equal(loop_create(NULL, &w->loop), ERR_OK);
    w->env = loop_env(w->loop);
    w->folder = test_folder();
    w->ca = certs_create(w->folder, "ca");
    static const char *const names[] = { "edge1", "edge2" }, *const sans[] = { "DNS:edge1", "DNS:edge2" };
    for (int i = 0; i < NODES; i++) {
        w->hosts[i].name = names[i];
        free_port(w, &w->hosts[i].link);
    }
    for (int i = 0; i < NODES; i++) {
        struct node *n = &w->nodes[i];
        struct cert_files files;
        certs_issue(w->ca, names[i], names[i], sans[i], 1, &files);
        struct tls_conf tc = { files.ca, files.cert, files.key, TLS_VERIFY_PEER };
        assert_int_equal(tls_context_create(&tc, &n->tls, NULL), ERR_OK);
        n->w = w;
        n->n = i;
        n->disk = spool_mem_create(w->env, 2);
        n->conf = (struct handover_conf){ &w->cluster, names[i], n->tls, spool_mem_spool(n->disk), false };
        queue_ids_init(&n->ids, slice_of(names[i]), w->env->rng);
        n->reporter_conf = (struct reporter_conf){ .spool = spool_mem_spool(n->disk),
                                                   .ids = &n->ids,
                                                   .host = slice_of(names[i]),
                                                   .node = slice_of(names[i]),
                                                   .is_ours = not_ours };
        node_start(n);
    }
}

static void world_deinit(struct world *w)
{
    loop_run_for(w->loop, 20); /* yes-sayers end */
    for (int i = 0; i < NODES; i++) {
        node_stop(&w->nodes[i]);
        spool_mem_destroy(w->nodes[i].disk);
        tls_context_destroy(w->nodes[i].tls);
    }
    certs_destroy(w->ca);
    test_folder_remove(w->folder);
    free(w->folder);
    loop_destroy(w->loop);
}

static size_t left(struct node *n)
{
    struct spool_stats st;
    spool_stats(spool_mem_spool(n->disk), &st);
    return st.messages[FLOW_OUT];
}

static void assert_each_sent_once(struct world *w)
{
    for (unsigned i = 1; i <= MESSAGES; i++)
        if (w->nodes[0].sent[i] + w->nodes[1].sent[i] != 1)
            fail_msg("message %u was sent %u + %u times", i, w->nodes[0].sent[i], w->nodes[1].sent[i]);
}

TEST(a_standby_gives_its_mail_to_the_active_node_which_sends_it)
{
    struct world w;
    world_init(&w);
    for (unsigned i = 1; i <= MESSAGES; i++) store(&w.nodes[0], i);
    queue_hand_out(w.nodes[0].queue, "edge2");
    queue_send_out(w.nodes[1].queue);
    RUN_UNTIL(w.loop, w.nodes[1].total == MESSAGES && left(&w.nodes[0]) + left(&w.nodes[1]) == 0);
    assert_int_equal(w.nodes[0].total, 0);
    assert_each_sent_once(&w);
    struct handover_view v;
    assert_int_equal(handover_nodes(w.nodes[0].handover), 1);
    handover_view(w.nodes[0].handover, 0, &v);
    assert_string_equal(v.node, "edge2");
    assert_true(v.up);
    assert_int_equal(v.given, MESSAGES);
    assert_int_equal(v.doubts, 0);
    world_deinit(&w);
}

TEST(mail_for_a_node_that_is_away_stays_and_goes_when_the_roles_change)
{
    struct world w;
    world_init(&w);
    node_stop(&w.nodes[1]);
    for (unsigned i = 1; i <= MESSAGES; i++) store(&w.nodes[0], i);
    queue_hand_out(w.nodes[0].queue, "edge2");
    loop_run_for(w.loop, 300);
    assert_int_equal(left(&w.nodes[0]), MESSAGES);
    queue_send_out(w.nodes[0].queue);
    RUN_UNTIL(w.loop, w.nodes[0].total == MESSAGES && left(&w.nodes[0]) == 0);
    assert_each_sent_once(&w);
    node_start(&w.nodes[1]);
    world_deinit(&w);
}

TEST(crashes_in_the_middle_leave_no_message_behind_and_double_none)
{
    for (int round = 0; round < 8; round++) {
        struct world w;
        world_init(&w);
        for (unsigned i = 1; i <= MESSAGES; i++) store(&w.nodes[0], i);
        queue_hand_out(w.nodes[0].queue, "edge2");
        loop_run_for(w.loop, 30 + (uint64_t)round * 5);
        node_crash(&w.nodes[round % 2], round & 2);
        queue_hand_out(w.nodes[0].queue, "edge2");
        queue_keep_out(
            w.nodes[1].queue); /* nothing is sent while crashes happen: that window is the relay's */
        RUN_UNTIL(w.loop, left(&w.nodes[1]) == MESSAGES && left(&w.nodes[0]) == 0);
        queue_send_out(w.nodes[1].queue);
        RUN_UNTIL(w.loop, w.nodes[1].total == MESSAGES && left(&w.nodes[1]) == 0);
        assert_each_sent_once(&w);
        world_deinit(&w);
    }
}

static void note_result(void *owner, const struct queue_id *id, enum err err)
{
    *(enum err *)owner = err;
}

TEST(a_stranger_with_a_certificate_of_ours_is_not_listened_to)
{
    struct world w;
    struct cert_files files;
    struct tls_context *tls;
    world_init(&w);
    certs_issue(w.ca, "coord1", "coord1", "DNS:coord1", 1, &files);
    struct tls_conf tc = { files.ca, files.cert, files.key, TLS_VERIFY_PEER };
    assert_int_equal(tls_context_create(&tc, &tls, NULL), ERR_OK);
    struct spool_mem *disk = spool_mem_create(w.env, 2);
    struct host_conf hosts[2] = { w.hosts[0], w.hosts[1] };
    struct cluster_conf cluster = { .cluster = "lab", .nodes = { hosts, 2 } };
    struct handover_conf conf = { &cluster, "coord1", tls, spool_mem_spool(disk), false };
    struct handover *h;
    struct buf why;
    buf_init(&why, 1000);
    hosts[1].name = "coord1"; /* plays a node named coord1, whom edge1 does not know */
    free_port(&w, &hosts[1].link);
    assert_int_equal(handover_create(w.env, &conf, &h, &why), ERR_OK);
    struct node thief = { .w = &w, .disk = disk };
    struct queue_giver port;
    struct queue_id id;
    enum err result = ERR_OK;
    store(&thief, 1);
    loop_run_for(w.loop, 50);
    handover_port(h, &port);
    assert_int_equal(queue_id_parse(SLICE("000000000000000001"), &id), ERR_OK);
    port.give(port.owner, &id, "edge1", note_result, &result);
    RUN_UNTIL(w.loop, result != ERR_OK);
    assert_int_equal(result, ERR_RETRY);
    assert_int_equal(left(&w.nodes[0]), 0);
    assert_int_equal(left(&thief), 1);
    handover_destroy(h);
    spool_mem_destroy(disk);
    tls_context_destroy(tls);
    buf_deinit(&why);
    world_deinit(&w);
}

TEST(an_address_that_cannot_be_had_is_named)
{
    struct world w;
    struct handover *h;
    struct buf why;
    world_init(&w);
    buf_init(&why, 1000);
    assert_int_equal(handover_create(w.env, &w.nodes[0].conf, &h, &why),
                     ERR_REFUSED); /* edge1 listens there already */
    char addr[ADDR_TEXT_MAX];
    assert_non_null(strstr(buf_cstr(&why), addr_format_port(&w.hosts[0].link, addr)));
    buf_deinit(&why);
    world_deinit(&w);
}
