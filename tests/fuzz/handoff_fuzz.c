/* What another node may send us: any frames, in any order, to both sides of a hand-off. In front of each frame stand four
 * bytes: how long to wait after it, whether the line breaks then, and its length. */
#include "node/queue/handoff.h"
#include "node/queue/spool_mem.h"
#include "tests/node/queue/sim_clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum err swallow(void *owner, const Gemel__V1__NodeFrame *f)
{
    ASSERT(gemel__v1__node_frame__get_packed_size(f) < 1 << 20);
    return ERR_OK;
}

static void finished(void *owner, const struct queue_id *id, enum err err, const char *why)
{
}

static void stalled(void *owner)
{
}

static void store_one(struct spool *s, struct queue_id *id)
{
    struct envelope_rcpt r = { .address = SLICE("bob@example.net") };
    struct envelope e = { .flow = FLOW_OUT, .sender = SLICE("alice@example.com"), .rcpts = &r, .n_rcpts = 1 };
    ASSERT(queue_id_parse(SLICE("00000000000000000G"), id) == ERR_OK);
    struct spool_put *p = spool_put_begin(s, id, NULL, NULL);
    ASSERT(spool_put_body(p, SLICE("Subject: x\r\n\r\n")) == ERR_OK);
    spool_put_commit(p, &e, NULL, NULL, NULL);
}

static void play(struct sim_clock *c, struct giver *g, struct receiver *r, struct slice in)
{
    while (in.n >= 4) {
        const unsigned char *h = (const unsigned char *)in.p;
        size_t len = (size_t)h[2] << 8 | h[3];
        struct slice payload = slice_sub(in, 4, len);
        in = slice_skip(in, 4 + len);
        Gemel__V1__NodeFrame *f = gemel__v1__node_frame__unpack(NULL, payload.n, (const uint8_t *)payload.p);
        if (f && f->body_case == GEMEL__V1__NODE_FRAME__BODY_REPLY) giver_reply(g, f->reply);
        if (f && receiver_frame(r, "edge2", f)) {
            receiver_down(r, "edge2");
            ASSERT(receiver_up(r, "edge2", swallow, NULL) == ERR_OK);
        }
        if (f) gemel__v1__node_frame__free_unpacked(f, NULL);
        sim_clock_advance(c, h[0]);
        if (h[1] & 0x80) {
            giver_down(g);
            giver_up(g);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sim_clock c;
    struct queue_id id;
    sim_clock_init(&c);
    struct spool_mem *m = spool_mem_create(&c.env, 3);
    struct giver_conf gc = { spool_mem_spool(m), "edge2", swallow, finished, stalled, NULL };
    struct receiver_conf rc = { spool_mem_spool(m), NULL, NULL };
    store_one(spool_mem_spool(m), &id);
    sim_clock_advance(&c, 10);
    struct giver *g = giver_create(&c.env, &gc);
    struct receiver *r = receiver_create(&c.env, &rc);
    giver_up(g);
    ASSERT(receiver_up(r, "edge2", swallow, NULL) == ERR_OK);
    giver_give(g, &id);
    sim_clock_advance(&c, 10);
    play(&c, g, r, slice_from(data, n));
    giver_destroy(g);
    receiver_destroy(r);
    spool_mem_destroy(m);
    sim_clock_deinit(&c);
    return 0;
}
