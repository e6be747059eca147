#include "node/queue/handoff.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "node/queue/spool_mem.h"
#include "tests/node/queue/sim_clock.h"
#include "tests/test.h"

/* Two nodes, a line each way, simulated disks. The queue manager's part is played in a few lines: what is ours and not
 * pinned may be given or sent, what is pinned is asked about first. */

enum { MESSAGES_MAX = 300, WINDOW = 8, LATENCY_MS = 7, NODES = 2 };

struct world;
enum own { OWN_NONE, OWN_OURS, OWN_GIVING, OWN_PINNED, OWN_ASKING };

struct node {
    struct world *w;
    char name[16];
    struct spool_mem *disk;
    struct spool *spool;
    struct giver *giver;
    struct receiver *receiver;
    enum own own[MESSAGES_MAX];
    bool active; /* sends, the other gives */
};

struct packet {
    struct list link;
    struct timer timer;
    struct line *line;
    bool to_receiver;
    struct buf bytes;
};

struct line { /* from node i to the other */
    struct world *w;
    struct node *from, *to;
    bool up;
    struct list packets;
    uint64_t packets_sent;
    size_t cut_after;        /* 0: never */
    unsigned repeats, swaps; /* of 100 packets: so many come twice, or late */
    struct rng *rng;
};

struct world {
    struct sim_clock clock;
    struct node nodes[NODES];
    struct line lines[NODES];
    unsigned n, sent[MESSAGES_MAX];
};

static struct queue_id id_of(unsigned n)
{
    struct queue_id id;
    char text[QUEUE_ID_CHARS + 1];
    snprintf(text, sizeof text, "%018u", n);
    assert_int_equal(queue_id_parse(slice_of(text), &id), ERR_OK);
    return id;
}

static unsigned number(const struct queue_id *id)
{
    return (unsigned)strtoul(id->s, NULL, 10);
}

/* ---- lines ---- */

static void packet_free(struct packet *p)
{
    timer_clear(&p->line->w->clock.timers, &p->timer);
    list_remove(&p->link);
    buf_deinit(&p->bytes);
    free(p);
}

static void line_cut(struct line *l)
{
    if (!l->up) return;
    l->up = false;
    while (!list_empty(&l->packets)) packet_free(CONTAINER_OF(l->packets.next, struct packet, link));
    if (l->to->receiver) receiver_down(l->to->receiver, l->from->name);
    if (l->from->giver) giver_down(l->from->giver);
}

static void on_packet(struct timer *t)
{
    struct packet *p = t->owner;
    struct line *l = p->line;
    struct slice b = buf_slice(&p->bytes);
    Gemel__V1__NodeFrame *f = gemel__v1__node_frame__unpack(NULL, b.n, (const uint8_t *)b.p);
    assert_non_null(f);
    bool to_receiver = p->to_receiver, mad = l->repeats || l->swaps;
    int times = l->repeats && rng_below(l->rng, 100) < l->repeats ? 2 : 1;
    packet_free(p);
    for (enum err err = ERR_OK; times && l->up; times--) {
        if (to_receiver)
            err = receiver_frame(l->to->receiver, l->from->name, f);
        else
            giver_reply(l->from->giver, f->reply);
        if (!mad) assert_int_equal(err, ERR_OK);
        if (err) line_cut(l); /* as the link does with a peer that breaks the rules */
    }
    gemel__v1__node_frame__free_unpacked(f, NULL);
}

static enum err line_send(struct line *l, const Gemel__V1__NodeFrame *f, bool to_receiver)
{
    if (!l->up) return ERR_RETRY;
    struct packet *p = xzalloc(sizeof *p);
    char *room;
    p->line = l;
    p->to_receiver = to_receiver;
    buf_init(&p->bytes, 1 << 20);
    assert_int_equal(buf_reserve(&p->bytes, gemel__v1__node_frame__get_packed_size(f), &room), ERR_OK);
    buf_commit(&p->bytes, gemel__v1__node_frame__pack(f, (uint8_t *)room));
    list_append(&l->packets, &p->link);
    uint64_t late = l->swaps && rng_below(l->rng, 100) < l->swaps ? rng_below(l->rng, 3 * LATENCY_MS) : 0;
    timer_set_in(&l->w->clock.timers, &p->timer, LATENCY_MS + late, on_packet, p);
    l->packets_sent++;
    return ERR_OK;
}

static enum err send_to_receiver(void *owner, const Gemel__V1__NodeFrame *f)
{
    return line_send(&((struct node *)owner)->w->lines[((struct node *)owner)->name[4] - '1'], f, true);
}

static enum err send_to_giver(void *owner, const Gemel__V1__NodeFrame *f)
{
    return line_send(owner, f, false);
}

/* ---- nodes ---- */

static void on_finished(void *owner, const struct queue_id *id, enum err err, const char *why)
{
    struct node *n = owner;
    enum own *own = &n->own[number(id)];
    assert_true(*own == OWN_GIVING || *own == OWN_ASKING);
    switch (err) {
    case ERR_OK:
    case ERR_NOT_FOUND: *own = OWN_NONE; break;
    case ERR_UNKNOWN: *own = OWN_PINNED; break;
    case ERR_RETRY: *own = OWN_OURS; break;
    default: fail_msg("%s: %s", err_name(err), why);
    }
}

static void on_stalled(void *owner)
{
    fail_msg("stalled");
}

static void on_superseded(void *owner, const struct queue_id *id)
{
    giver_forget(((struct node *)owner)->giver, id);
    ((struct node *)owner)->own[number(id)] = OWN_NONE;
}

static void on_stored(void *owner, const struct queue_id *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) ((struct node *)owner)->own[number(&ids[i])] = OWN_OURS;
}

static bool load_one(void *owner, const struct spool_item *it)
{
    ((struct node *)owner)->own[number(&it->id)] = OWN_OURS;
    return true;
}

static void node_start(struct node *n)
{
    const struct env *env = &n->w->clock.env;
    memset(n->own, 0, sizeof n->own);
    spool_watch(n->spool, on_stored, n);
    assert_int_equal(spool_each(n->spool, 0, load_one, n), ERR_OK);
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        struct arena a = { 0 };
        struct envelope e;
        struct queue_id id = id_of(i);
        if (n->own[i] && spool_envelope(n->spool, &id, &a, &e) == ERR_OK && e.given_to.n)
            n->own[i] = OWN_PINNED;
        arena_deinit(&a);
    }
    struct giver_conf gc = { n->spool,         n->name[4] == '1' ? "edge2" : "edge1",
                             send_to_receiver, on_finished,
                             on_stalled,       n };
    struct receiver_conf rc = { n->spool, on_superseded, n };
    n->giver = giver_create(env, &gc);
    n->receiver = receiver_create(env, &rc);
}

static void node_crash(struct node *n, bool synced)
{
    giver_destroy(n->giver);
    receiver_destroy(n->receiver);
    n->giver = NULL;
    n->receiver = NULL;
    for (int i = 0; i < NODES; i++) line_cut(&n->w->lines[i]);
    spool_mem_crash(n->disk, synced);
    node_start(n);
}

static void line_open(struct line *l)
{
    if (l->up) return;
    l->up = true;
    assert_int_equal(receiver_up(l->to->receiver, l->from->name, send_to_giver, l), ERR_OK);
    giver_up(l->from->giver);
}

/* What a queue manager does when it has a moment. */
static void node_pump(struct node *n)
{
    struct line *l = &n->w->lines[n->name[4] - '1'];
    for (unsigned i = 0; l->up && i < n->w->n && giver_open(n->giver) < WINDOW; i++) {
        struct queue_id id = id_of(i);
        if (n->own[i] == OWN_PINNED) {
            n->own[i] = OWN_ASKING;
            giver_ask(n->giver, &id);
        } else if (n->own[i] == OWN_OURS && !n->active) {
            n->own[i] = OWN_GIVING;
            giver_give(n->giver, &id);
        }
    }
}

/* Sends one message of its own to the world, as an active node may. */
static void node_send_one(struct node *n, struct rng *rng)
{
    unsigned i = (unsigned)rng_below(rng, n->w->n);
    struct queue_id id = id_of(i);
    if (!n->active || n->own[i] != OWN_OURS) return;
    n->w->sent[i]++;
    n->own[i] = OWN_NONE;
    spool_remove(n->spool, &id, NULL, NULL);
    sim_clock_advance(&n->w->clock,
                      20); /* the moment between the reply to the dot and the sync is not what is tested */
}

static size_t body_size(unsigned i)
{
    return i % 5 == 0 ? 0 : i % 5 == 1 ? 1000 : i % 5 == 2 ? 65536 : i % 5 == 3 ? 700000 : 3;
}

static void node_store(struct node *n, unsigned i)
{
    struct envelope_rcpt r = { .address = SLICE("bob@example.net"), .attempts = 3, .next_try_wall_ms = 99 };
    struct envelope e = { .flow = FLOW_OUT,
                          .sender = SLICE("alice@example.com"),
                          .rcpts = &r,
                          .n_rcpts = 1,
                          .arrival_wall_ms = 77,
                          .expiry_wall_ms = SIM_WALL_START_MS + DAYS(2) };
    struct queue_id id = id_of(i);
    struct spool_put *p = spool_put_begin(n->spool, &id, NULL, NULL);
    for (size_t k = 0; k < body_size(i); k += 1000) {
        char part[1000];
        memset(part, (int)(i + k / 1000), sizeof part);
        assert_int_equal(spool_put_body(p, slice_from(part, MIN(sizeof part, body_size(i) - k))), ERR_OK);
    }
    spool_put_commit(p, &e, NULL, NULL, NULL);
}

static void world_init(struct world *w, unsigned n)
{
    memset(w, 0, sizeof *w);
    sim_clock_init(&w->clock);
    w->n = n;
    for (int i = 0; i < NODES; i++) {
        struct node *node = &w->nodes[i];
        node->w = w;
        snprintf(node->name, sizeof node->name, "edge%d", i + 1);
        node->disk = spool_mem_create(&w->clock.env, 3);
        node->spool = spool_mem_spool(node->disk);
        w->lines[i] = (struct line){ .w = w, .from = node, .to = &w->nodes[1 - i] };
        list_init(&w->lines[i].packets);
        node_start(node);
    }
    w->nodes[1].active = true;
    for (unsigned i = 0; i < n; i++) node_store(&w->nodes[0], i);
    sim_clock_advance(&w->clock, 10);
}

static void world_deinit(struct world *w)
{
    for (int i = 0; i < NODES; i++) {
        giver_destroy(w->nodes[i].giver);
        receiver_destroy(w->nodes[i].receiver);
        w->nodes[i].giver = NULL;
        w->nodes[i].receiver = NULL;
    }
    for (int i = 0; i < NODES; i++) line_cut(&w->lines[i]);
    for (int i = 0; i < NODES; i++) spool_mem_destroy(w->nodes[i].disk);
    sim_clock_deinit(&w->clock);
}

/* Lines up, time passes, until nothing is under way any more. */
static void settle(struct world *w)
{
    for (int quiet = 0; quiet < 40;) {
        for (int i = 0; i < NODES; i++) line_open(&w->lines[i]);
        for (int i = 0; i < NODES; i++) node_pump(&w->nodes[i]);
        sim_clock_advance(&w->clock, 100);
        bool idle = giver_open(w->nodes[0].giver) == 0 && giver_open(w->nodes[1].giver) == 0;
        quiet = idle ? quiet + 1 : 0;
        assert_true(w->clock.now_ms < HOURS(10));
    }
}

static void assert_whole(struct node *n, unsigned i)
{
    struct arena a = { 0 };
    struct envelope e;
    struct queue_id id = id_of(i);
    struct buf b;
    assert_int_equal(spool_envelope(n->spool, &id, &a, &e), ERR_OK);
    assert_slice(e.given_to, "");
    assert_int_equal(e.arrival_wall_ms, 77);
    assert_int_equal(e.rcpts[0].attempts, 3);
    assert_int_equal(e.size_bytes, body_size(i));
    buf_init(&b, 1 << 20);
    for (uint32_t k = 0; k < e.chunks; k++) assert_int_equal(spool_chunk(n->spool, &id, k, &b), ERR_OK);
    assert_int_equal(buf_len(&b), body_size(i));
    for (size_t k = 0; k < buf_len(&b); k++)
        if (buf_slice(&b).p[k] != (char)(i + k / 1000)) fail_msg("byte %zu of message %u", k, i);
    buf_deinit(&b);
    arena_deinit(&a);
}

/* Sent once, or in exactly one spool, whole. */
static void assert_exactly_once(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        unsigned copies = 0;
        for (int k = 0; k < NODES; k++) {
            struct node *n = &w->nodes[k];
            struct queue_id id = id_of(i);
            struct arena a = { 0 };
            struct envelope e;
            bool here = spool_envelope(n->spool, &id, &a, &e) == ERR_OK;
            arena_deinit(&a);
            if (here != (n->own[i] == OWN_OURS))
                fail_msg("message %u, %s: spool and owner disagree", i, n->name);
            if (here) assert_whole(n, i);
            copies += here;
        }
        if (copies + w->sent[i] != 1) fail_msg("message %u: %u copies, sent %u times", i, copies, w->sent[i]);
    }
}

TEST(a_queue_moves_over_and_keeps_its_past)
{
    struct world w;
    world_init(&w, 100);
    settle(&w);
    assert_exactly_once(&w);
    for (unsigned i = 0; i < 100; i++) assert_int_equal(w.nodes[1].own[i], OWN_OURS);
    struct arena a = { 0 };
    struct envelope e;
    struct queue_id id = id_of(1);
    assert_int_equal(spool_envelope(w.nodes[1].spool, &id, &a, &e), ERR_OK);
    assert_int_equal(e.hops, 1);
    assert_int_equal(e.next_try_wall_ms, 0); /* another address speaks for it: at once */
    arena_deinit(&a);
    world_deinit(&w);
}

TEST(a_message_goes_back_and_forth_and_is_no_duplicate)
{
    struct world w;
    world_init(&w, 10);
    for (int i = 0; i < 6; i++) {
        w.nodes[0].active = i % 2;
        w.nodes[1].active = !w.nodes[0].active;
        settle(&w);
        assert_exactly_once(&w);
        assert_int_equal(w.nodes[w.nodes[1].active].own[3], OWN_OURS);
    }
    world_deinit(&w);
}

TEST(a_line_cut_after_every_single_packet_loses_and_doubles_nothing)
{
    for (size_t cut = 1; cut < 120; cut++) {
        struct world w;
        world_init(&w, 5);
        struct line *l = &w.lines[0];
        line_open(l);
        node_pump(&w.nodes[0]);
        while (l->packets_sent < cut && giver_open(w.nodes[0].giver)) sim_clock_advance(&w.clock, 1);
        line_cut(l);
        sim_clock_advance(&w.clock, 50);
        settle(&w);
        assert_exactly_once(&w);
        world_deinit(&w);
    }
}

TEST(a_crash_of_either_side_at_any_moment_loses_and_doubles_nothing)
{
    for (int who = 0; who < NODES; who++)
        for (int synced = 0; synced < 2; synced++)
            for (uint64_t at = 0; at < 150; at += 3) {
                struct world w;
                world_init(&w, 5);
                line_open(&w.lines[0]);
                node_pump(&w.nodes[0]);
                sim_clock_advance(&w.clock, at);
                node_crash(&w.nodes[who], synced);
                settle(&w);
                assert_exactly_once(&w);
                world_deinit(&w);
            }
}

TEST(a_broken_line_is_taken_up_where_it_broke)
{
    struct world w;
    world_init(&w, 4);
    for (unsigned i = 0; i < 3; i++) w.nodes[0].own[i] = OWN_NONE; /* only the big one */
    line_open(&w.lines[0]);
    node_pump(&w.nodes[0]);
    sim_clock_advance(&w.clock, 23); /* the offer, the answer, and a few chunks */
    uint64_t before = w.lines[0].packets_sent;
    line_cut(&w.lines[0]);
    sim_clock_advance(&w.clock, 50);
    w.lines[0].packets_sent = 0;
    settle(&w);
    assert_true(before >= 5);
    assert_true(w.lines[0].packets_sent < 14); /* a full run takes 11 chunks and 6 other packets */
    assert_int_equal(w.nodes[1].own[3], OWN_OURS);
    assert_whole(&w.nodes[1], 3);
    world_deinit(&w);
}

TEST(a_full_receiver_is_asked_again_until_it_has_room)
{
    struct world w;
    world_init(&w, 10);
    spool_mem_set_full(w.nodes[1].disk, true);
    line_open(&w.lines[0]);
    node_pump(&w.nodes[0]);
    sim_clock_advance(&w.clock, 30000);
    for (unsigned i = 0; i < 10; i++) assert_int_not_equal(w.nodes[0].own[i], OWN_NONE);
    spool_mem_set_full(w.nodes[1].disk, false);
    settle(&w);
    assert_exactly_once(&w);
    assert_int_equal(w.nodes[1].own[3], OWN_OURS);
    world_deinit(&w);
}

static unsigned stalls;
static void count_stall(void *owner)
{
    stalls++;
}

static void ignore_finished(void *owner, const struct queue_id *id, enum err err, const char *why)
{
}

static enum err swallow(void *owner, const Gemel__V1__NodeFrame *f)
{
    return ERR_OK;
}

TEST(a_receiver_that_never_answers_is_noticed)
{
    struct world w;
    world_init(&w, 1);
    struct giver_conf c = { w.nodes[0].spool, "edge2", swallow, ignore_finished, count_stall, NULL };
    struct giver *g = giver_create(&w.clock.env, &c);
    struct queue_id id = id_of(0);
    giver_up(g);
    giver_give(g, &id);
    stalls = 0;
    sim_clock_advance(&w.clock, 59000);
    assert_int_equal(stalls, 0);
    sim_clock_advance(&w.clock, 2000);
    assert_int_equal(stalls, 1);
    giver_destroy(g);
    world_deinit(&w);
}

TEST(whatever_breaks_each_message_is_sent_exactly_once)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct rng rng;
        struct world w;
        rng_init_seed(&rng, seed);
        world_init(&w, 30);
        for (int step = 0; step < 400; step++) {
            switch (rng_below(&rng, 12)) {
            case 0: line_cut(&w.lines[rng_below(&rng, NODES)]); break;
            case 1:
                if (rng_below(&rng, 3) == 0) node_crash(&w.nodes[rng_below(&rng, NODES)], rng_below(&rng, 2));
                break;
            case 2: /* the roles change; for a while nobody sends */
                w.nodes[0].active = w.nodes[1].active = false;
                w.nodes[rng_below(&rng, NODES)].active = rng_below(&rng, 2);
                break;
            case 3: node_send_one(&w.nodes[rng_below(&rng, NODES)], &rng); break;
            case 4:
            case 5: line_open(&w.lines[rng_below(&rng, NODES)]); break;
            default: sim_clock_advance(&w.clock, rng_below(&rng, 30)); break;
            }
            if (w.nodes[0].active != w.nodes[1].active)
                for (int i = 0; i < NODES; i++) node_pump(&w.nodes[i]);
        }
        w.nodes[0].active = seed % 2;
        w.nodes[1].active = !w.nodes[0].active;
        settle(&w);
        assert_exactly_once(&w);
        world_deinit(&w);
    }
}

/* TLS keeps frames in order and once; a peer gone mad does not. Whatever it repeats or mixes up, no message is lost or doubled. */
TEST(frames_repeated_and_out_of_order_lose_and_double_nothing)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rng rng;
        struct world w;
        rng_init_seed(&rng, seed);
        world_init(&w, 20);
        for (int i = 0; i < NODES; i++) {
            w.lines[i].rng = &rng;
            w.lines[i].repeats = seed % 3 == 1 ? 0 : 30;
            w.lines[i].swaps = seed % 3 == 0 ? 0 : 10;
        }
        for (int step = 0; step < 300; step++) {
            for (int i = 0; i < NODES; i++) line_open(&w.lines[i]);
            for (int i = 0; i < NODES; i++) node_pump(&w.nodes[i]);
            sim_clock_advance(&w.clock, rng_below(&rng, 20));
        }
        for (int i = 0; i < NODES; i++) w.lines[i].repeats = w.lines[i].swaps = 0;
        settle(&w);
        assert_exactly_once(&w);
        world_deinit(&w);
    }
}
