/* queue_fill DIR MESSAGES BYTES DOMAINS FROM_S TO_S: a spool of messages that wait, for tests/bench/queue.
 *
 * Each has one recipient in one of DOMAINS domains below example.org, was tried a few times, and is due between FROM_S
 * and TO_S from now. Written through the spool itself, a window of puts at a time, so that commits are large. */
#include <stdio.h>
#include <stdlib.h>

#include "base/loop_uv.h"
#include "base/timers.h"
#include "node/queue/spool_lmdb_uv.h"

enum { WINDOW = 4000, AGE_S = 1800, LIFE_S = 2 * 86400 };

struct fill {
    struct loop *loop;
    struct spool *spool;
    struct queue_ids ids;
    struct slice body;
    uint64_t total, begun, done, failed;
    uint64_t domains, from_s, to_s;
};

static void top_up(struct fill *f);

static void stored(void *owner, enum err err, const char *why)
{
    struct fill *f = owner;
    if (err && !f->failed++) fprintf(stderr, "queue_fill: %s\n", why);
    if (++f->done == f->total || f->failed)
        loop_stop(f->loop);
    else if (f->begun - f->done < WINDOW / 2)
        top_up(f);
}

static void put_one(struct fill *f)
{
    const struct env *env = loop_env(f->loop);
    uint64_t now = timers_wall_ms(env->timers), n = f->begun++;
    uint64_t due = now + 1000 * (f->from_s + rng_below(env->rng, f->to_s - f->from_s + 1));
    char address[64];
    snprintf(address, sizeof address, "user%" PRIu64 "@d%" PRIu64 ".example.org", n, n % f->domains);
    struct envelope_rcpt rcpt = { .address = slice_of(address),
                                  .attempts = 5,
                                  .last_try_wall_ms = now,
                                  .next_try_wall_ms = due,
                                  .last_reply = SLICE("451 4.7.1 try again later"),
                                  .last_mta = SLICE("mx.example.org"),
                                  .status = SLICE("4.7.1") };
    struct envelope e = { .flow = FLOW_OUT,
                          .sender = SLICE("from@example.com"),
                          .arrival_wall_ms = now - AGE_S * 1000,
                          .expiry_wall_ms = now + LIFE_S * UINT64_C(1000),
                          .next_try_wall_ms = due,
                          .attempts = 5,
                          .rcpts = &rcpt,
                          .n_rcpts = 1,
                          .client_addr = SLICE("10.0.0.25"),
                          .client_helo = SLICE("mail.example.com"),
                          .origin_node = SLICE("edge1"),
                          .why_waiting = SLICE("451 4.7.1 try again later") };
    queue_ids_next(&f->ids, now, &e.id);
    struct spool_put *p = spool_put_begin(f->spool, &e.id, NULL, NULL);
    enum err err = spool_put_body(p, f->body);
    (void)err; /* the commit says the same */
    spool_put_commit(p, &e, NULL, stored, f);
}

static void top_up(struct fill *f)
{
    while (f->begun < f->total && f->begun - f->done < WINDOW) put_one(f);
}

int main(int argc, char **argv)
{
    struct fill f = { 0 };
    struct spool_lmdb *l;
    char why[SPOOL_WHY_MAX];
    if (argc != 7) {
        fprintf(stderr, "usage: queue_fill DIR MESSAGES BYTES DOMAINS FROM_S TO_S\n");
        return 2;
    }
    size_t bytes = strtoull(argv[3], NULL, 10);
    char *body = xzalloc(bytes + 1);
    memset(body, 'x', bytes);
    f.body = slice_from(body, bytes);
    f.total = strtoull(argv[2], NULL, 10);
    f.domains = MAX(strtoull(argv[4], NULL, 10), 1ULL);
    f.from_s = strtoull(argv[5], NULL, 10);
    f.to_s = MAX(strtoull(argv[6], NULL, 10), f.from_s);
    struct spool_lmdb_conf conf = { .dir = argv[1], .map_bytes = MIB(1024) };
    if (spool_lmdb_open(&conf, NULL, &l, why)) {
        fprintf(stderr, "queue_fill: %s\n", why);
        return 1;
    }
    if (loop_create(NULL, &f.loop)) return 1;
    queue_ids_init(&f.ids, SLICE("edge1"), loop_env(f.loop)->rng);
    f.spool = spool_lmdb_attach(l, f.loop);
    top_up(&f);
    if (f.total) loop_run(f.loop);
    spool_lmdb_detach(f.spool);
    spool_lmdb_close(l);
    loop_destroy(f.loop);
    free(body);
    return f.failed ? 1 : 0;
}
