/* tests/node/queue/queue_world.h: a queue over a simulated disk, for queue_test and queue_task_test. */
#ifndef GEMEL_TESTS_NODE_QUEUE_QUEUE_WORLD_H
#define GEMEL_TESTS_NODE_QUEUE_QUEUE_WORLD_H

#include <stdio.h>
#include <stdlib.h>

#include "node/queue/queue.h"
#include "node/queue/reporter.h"
#include "node/queue/spool_mem.h"
#include "tests/node/queue/sim_clock.h"
#include "tests/test.h"

/* A queue over a simulated disk, a deliverer that does what the test says, and a giver that only writes down. */

enum { JOBS_MAX = 32 };

struct world {
    struct sim_clock clock;
    struct spool_mem *disk;
    struct queue_ids ids;
    struct reporter_conf reporter_conf;
    struct reporter *reporter;
    struct queue *queue;
    struct in_hand_suspects *suspects;
    void (*forgive)(void *owner, const struct queue_id *id);
    struct delivery_job *jobs[JOBS_MAX];
    size_t n_jobs, started, called_back;
    delivery_done_fn *done;
    void *done_owner;
    struct queue_id given[JOBS_MAX];
    size_t n_given, doubts;
    queue_given_fn *given_done;
    void *given_owner;
    char given_to[16];
    uint8_t given_state[JOBS_MAX]; /* what the disk said of the first recipient at that moment */
};

static inline void start(void *owner, struct delivery_job *job, delivery_done_fn *done, void *queue)
{
    struct world *w = owner;
    ASSERT(w->n_jobs < JOBS_MAX);
    w->jobs[w->n_jobs++] = job;
    w->started++;
    w->done = done;
    w->done_owner = queue;
}

static inline void call_back(void *owner, struct delivery_job *job)
{
    struct world *w = owner;
    w->called_back++;
}

static inline void give(void *owner, const struct queue_id *id, const char *node, queue_given_fn *done,
                        void *queue)
{
    struct world *w = owner;
    struct arena a = { 0 };
    struct envelope e;
    assert_int_equal(spool_envelope(spool_mem_spool(w->disk), id, &a, &e), ERR_OK);
    w->given_state[w->n_given] = e.rcpts[0].state;
    w->given[w->n_given++] = *id;
    w->given_done = done;
    w->given_owner = queue;
    snprintf(w->given_to, sizeof w->given_to, "%s", node);
    arena_deinit(&a);
}

static inline void doubt(void *owner, const struct queue_id *id, struct slice node)
{
    ((struct world *)owner)->doubts++;
}

static inline const char *next_hop(void *owner, struct slice domain)
{
    return slice_ieq(domain, SLICE("example.com")) ? "[10.0.0.25]:25" : NULL;
}

static inline bool is_ours(void *owner, struct slice domain)
{
    return next_hop(owner, domain) != NULL;
}

static inline void queue_up(struct world *w)
{
    struct queue_conf qc = { .schedule = { .active_max = 10, .active_per_dest = 10, .give_max = 4 },
                             .next_hop = next_hop,
                             .suspects = w->suspects,
                             .poison = 2,
                             .forgive = w->forgive };
    retry_conf_default(&qc.schedule.retry);
    struct queue_ports ports = { .spool = spool_mem_spool(w->disk),
                                 .deliverer = { .start = start, .stop = call_back, .owner = w },
                                 .giver = { give, doubt, w } };
    w->reporter = reporter_create(&w->clock.env, &w->reporter_conf);
    reporter_port(w->reporter, &ports.reporter);
    w->queue = queue_create(&w->clock.env, &qc, &ports);
    assert_int_equal(queue_start(w->queue), ERR_OK);
}

static inline void queue_down(struct world *w)
{
    reporter_destroy(w->reporter);
    queue_destroy(w->queue);
    w->n_jobs = 0;
}

static inline void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    sim_clock_init(&w->clock);
    w->disk = spool_mem_create(&w->clock.env, 5);
    queue_ids_init(&w->ids, SLICE("edge1"), &w->clock.rng);
    w->reporter_conf = (struct reporter_conf){ .spool = spool_mem_spool(w->disk),
                                               .ids = &w->ids,
                                               .host = SLICE("edge1.example.com"),
                                               .node = SLICE("edge1"),
                                               .expire_ms = DAYS(2),
                                               .is_ours = is_ours };
    queue_up(w);
}

static inline void world_deinit(struct world *w)
{
    queue_down(w);
    spool_mem_destroy(w->disk);
    sim_clock_deinit(&w->clock);
}

static inline void crash(struct world *w)
{
    queue_down(w);
    spool_mem_crash(w->disk, false);
    queue_up(w);
}

/* Stores a message to one or two recipients and lets it be synced. */
static inline struct queue_id store(struct world *w, enum flow flow, const char *one, const char *two,
                                    struct slice given_to)
{
    struct envelope_rcpt r[2] = { { .address = slice_of(one) }, { .address = slice_of(two) } };
    uint64_t wall = timers_wall_ms(&w->clock.timers);
    struct envelope e = { .flow = flow,
                          .sender = SLICE("alice@example.com"),
                          .rcpts = r,
                          .n_rcpts = two ? 2 : 1,
                          .given_to = given_to,
                          .arrival_wall_ms = wall,
                          .expiry_wall_ms = wall + DAYS(2) };
    struct queue_id id;
    queue_ids_next(&w->ids, wall, &id);
    struct spool_put *p = spool_put_begin(spool_mem_spool(w->disk), &id, NULL, NULL);
    assert_int_equal(spool_put_body(p, SLICE("Subject: hello\r\n\r\nbody\r\n")), ERR_OK);
    spool_put_commit(p, &e, NULL, NULL, NULL);
    sim_clock_advance(&w->clock, 10);
    return id;
}

/* The deliverer's oldest job comes back with one outcome for all its recipients. */
static inline void finish(struct world *w, enum delivery_outcome outcome, const char *reply)
{
    struct delivery_result results[4];
    assert_true(w->n_jobs > 0);
    struct delivery_job *job = w->jobs[0];
    memmove(w->jobs, w->jobs + 1, --w->n_jobs * sizeof w->jobs[0]);
    for (size_t i = 0; i < job->n_rcpts; i++)
        results[i] =
            (struct delivery_result){ .outcome = outcome, .reply = slice_of(reply), .stage = SLICE("rcpt") };
    w->done(w->done_owner, job, results);
}

static inline size_t on_disk(struct world *w)
{
    struct spool_stats st;
    spool_stats(spool_mem_spool(w->disk), &st);
    return st.messages[FLOW_IN] + st.messages[FLOW_OUT];
}

/* The answer of a list or an order, which comes from the loop. */
static inline void keep_answer(void *owner, struct json_t *answer)
{
    *(struct json_t **)owner = answer;
}

static inline struct json_t *list_now(struct world *w, const struct queue_filter *f, size_t limit)
{
    struct json_t *answer = NULL;
    queue_list(w->queue, f, limit, keep_answer, &answer);
    assert_null(answer);
    for (int i = 0; i < 1000 && !answer; i++) sim_clock_advance(&w->clock, 1);
    assert_non_null(answer);
    return answer;
}

static inline struct json_t *order_now(struct world *w, const struct queue_order *o)
{
    struct json_t *answer = NULL;
    queue_order(w->queue, o, keep_answer, &answer);
    for (int i = 0; i < 1000 && !answer; i++) sim_clock_advance(&w->clock, 1);
    assert_non_null(answer);
    return answer;
}

#endif
