#include <stdio.h>
#include <stdlib.h>

#include "node/queue/queue.h"
#include "node/queue/reporter.h"
#include "node/queue/spool_mem.h"
#include "tests/node/queue/sim_clock.h"
#include "tests/test.h"

/* A queue with its reporter over a simulated disk and a next hop that remembers. At the Nth call through any port one thing goes
 * wrong, for every N: what was answered 250 reaches every recipient or is reported, and twice only when the power went
 * between the next hop's yes and the sync of it. */

enum {
    MAILS = 6,
    ADDRESSES = 64,
    JOBS = 32,
    SYNC_MS = 5,
    HOP_MS = 7,
    WINDOW_MS = 4 * SYNC_MS, /* a report waits for the one before it */
};
enum fault { CUT_LOST, CUT_SYNCED, DISK_FULL, UNREADABLE, FAULTS };

struct world;
struct slot {
    struct world *w;
    struct delivery_job *job;
    delivery_done_fn *done;
    void *queue;
    struct timer timer;
};

struct world {
    struct sim_clock clock;
    struct spool_mem *disk;
    struct spool_ops ops; /* the disk's, counted */
    const struct spool_ops *whole;
    struct queue_ids ids;
    struct reporter_conf reporter_conf;
    struct reporter *reporter;
    struct queue *queue;
    struct slot slots[JOBS];
    unsigned calls, at;
    enum fault fault;
    bool due;        /* the fault happens as soon as nobody is in a call */
    unsigned unread; /* reads that fail */
    uint64_t cut_ms, full_until_ms;
    unsigned n;                                 /* addresses in use */
    unsigned tries[ADDRESSES], took[ADDRESSES]; /* the next hop's own memory */
    uint64_t took_ms[ADDRESSES];
    bool answered[ADDRESSES], late_double[ADDRESSES];
    unsigned reported[ADDRESSES];
};

static struct world *the; /* the spool's calls have no owner of their own */

static bool count_call(struct world *w)
{
    if (++w->calls != w->at) return false;
    w->due = true;
    if (w->fault == UNREADABLE) w->unread = 3;
    return true;
}

/* ---- the disk, counted ---- */

static struct spool_put *put_begin(struct spool *s, const struct queue_id *id, spool_room_fn *room,
                                   void *owner)
{
    count_call(the);
    return the->whole->put_begin(s, id, room, owner);
}

static void put_commit(struct spool_put *p, const struct envelope *e, const struct spool_with *with,
                       spool_done_fn *done, void *owner)
{
    count_call(the);
    the->whole->put_commit(p, e, with, done, owner);
}

static struct spool_op *update(struct spool *s, const struct envelope *e, spool_done_fn *done, void *owner)
{
    count_call(the);
    return the->whole->update(s, e, done, owner);
}

static struct spool_op *take_off(struct spool *s, const struct queue_id *id, spool_done_fn *done, void *owner)
{
    count_call(the);
    return the->whole->remove(s, id, done, owner);
}

static enum err envelope(struct spool *s, const struct queue_id *id, struct arena *a, struct envelope *out)
{
    count_call(the);
    if (!the->unread) return the->whole->envelope(s, id, a, out);
    the->unread--;
    return ERR_RETRY;
}

/* ---- the next hop: "ok" takes mail, "late" after two tries, "bad" never ---- */

static unsigned number(struct slice address)
{
    size_t i = 0;
    while (i < address.n && !ascii_is_digit(address.p[i])) i++;
    return (unsigned)strtoul(address.p + i, NULL, 10);
}

static void take(struct world *w, unsigned i)
{
    if (w->took[i]++ && !(w->cut_ms >= w->took_ms[i] && w->cut_ms - w->took_ms[i] <= WINDOW_MS))
        w->late_double[i] = true;
    w->took_ms[i] = w->clock.now_ms;
}

static struct delivery_result answer(struct world *w, struct slice address)
{
    unsigned i = number(address);
    ASSERT(i < ADDRESSES);
    bool bad = slice_starts(address, SLICE("bad")), late = slice_starts(address, SLICE("late"));
    if (bad) return (struct delivery_result){ .outcome = DELIVERY_FAILED, .reply = SLICE("550 5.1.1 no") };
    if (late && w->tries[i]++ < 2)
        return (struct delivery_result){ .outcome = DELIVERY_DEFERRED, .reply = SLICE("450 4.2.1 later") };
    take(w, i);
    return (struct delivery_result){ .outcome = DELIVERY_SENT, .reply = SLICE("250 2.0.0 ok") };
}

static void hop_due(struct timer *t)
{
    struct slot *s = t->owner;
    struct world *w = s->w;
    struct delivery_job *job = s->job;
    struct delivery_result results[4];
    ASSERT(job->n_rcpts <= ARRAY_LEN(results));
    for (size_t i = 0; i < job->n_rcpts; i++) {
        struct slice to = job->envelope->rcpts[job->rcpts[i]].address;
        results[i] = answer(w, to);
        if (job->envelope->is_dsn) w->reported[number(to)]++;
    }
    s->job = NULL;
    count_call(w);
    s->done(s->queue, job, results);
}

static void start(void *owner, struct delivery_job *job, delivery_done_fn *done, void *queue)
{
    struct world *w = owner;
    struct slot *s = w->slots;
    while (s->job) s++;
    ASSERT(s < w->slots + JOBS);
    s->w = w;
    s->job = job;
    s->done = done;
    s->queue = queue;
    count_call(w);
    timer_set_in(&w->clock.timers, &s->timer, HOP_MS, hop_due, s);
}

static void call_back(void *owner, struct delivery_job *job)
{
    fail_msg("nothing is called back here");
}

static const char *next_hop(void *owner, struct slice domain)
{
    return slice_ieq(domain, SLICE("example.com")) ? "[10.0.0.25]:25" : NULL;
}

static bool is_ours(void *owner, struct slice domain)
{
    return next_hop(owner, domain) != NULL;
}

/* ---- the world ---- */

static void up(struct world *w)
{
    struct queue_conf qc = { .schedule = { .active_max = 10, .active_per_dest = 10, .give_max = 4 },
                             .next_hop = next_hop };
    retry_conf_default(&qc.schedule.retry);
    struct queue_ports ports = { .spool = spool_mem_spool(w->disk),
                                 .deliverer = { .start = start, .stop = call_back, .owner = w } };
    w->reporter = reporter_create(&w->clock.env, &w->reporter_conf);
    reporter_port(w->reporter, &ports.reporter);
    w->queue = queue_create(&w->clock.env, &qc, &ports);
    assert_int_equal(queue_start(w->queue), ERR_OK);
    queue_send_out(w->queue);
}

static void down(struct world *w)
{
    for (size_t i = 0; i < JOBS; i++) {
        timer_clear(&w->clock.timers, &w->slots[i].timer);
        w->slots[i].job = NULL;
    }
    reporter_destroy(w->reporter);
    queue_destroy(w->queue);
}

static void go_wrong(struct world *w)
{
    w->due = false;
    if (w->fault == DISK_FULL) {
        spool_mem_set_full(w->disk, true);
        w->full_until_ms = w->clock.now_ms + 2500;
    } else if (w->fault != UNREADABLE) {
        down(w);
        spool_mem_crash(w->disk, w->fault == CUT_SYNCED);
        w->cut_ms = w->clock.now_ms;
        up(w);
    }
}

/* Lets time pass, event by event, until `until` or until nothing is left to do. */
static void run(struct world *w, uint64_t until_ms)
{
    for (;;) {
        uint64_t due = MIN(timers_due_ms(&w->clock.timers), until_ms);
        if (w->full_until_ms) due = MIN(due, w->full_until_ms);
        sim_clock_advance(&w->clock, due > w->clock.now_ms ? due - w->clock.now_ms : 0);
        if (w->full_until_ms && w->clock.now_ms >= w->full_until_ms) {
            spool_mem_set_full(w->disk, false);
            w->full_until_ms = 0;
        }
        if (w->due) go_wrong(w);
        if (w->clock.now_ms >= until_ms) return;
    }
}

static void init(struct world *w, enum fault fault, unsigned at)
{
    memset(w, 0, sizeof *w);
    the = w;
    sim_clock_init(&w->clock);
    w->fault = fault;
    w->at = at;
    w->disk = spool_mem_create(&w->clock.env, SYNC_MS);
    w->whole = spool_mem_spool(w->disk)->ops;
    w->ops = *w->whole;
    w->ops.put_begin = put_begin;
    w->ops.put_commit = put_commit;
    w->ops.update = update;
    w->ops.remove = take_off;
    w->ops.envelope = envelope;
    spool_mem_spool(w->disk)->ops = &w->ops;
    queue_ids_init(&w->ids, SLICE("edge1"), &w->clock.rng);
    w->reporter_conf = (struct reporter_conf){ .spool = spool_mem_spool(w->disk),
                                               .ids = &w->ids,
                                               .host = SLICE("edge1.example.com"),
                                               .node = SLICE("edge1"),
                                               .expire_ms = DAYS(2),
                                               .is_ours = is_ours };
    up(w);
}

static void deinit(struct world *w)
{
    down(w);
    spool_mem_destroy(w->disk);
    sim_clock_deinit(&w->clock);
}

/* ---- mail ---- */

struct intake {
    struct world *w;
    unsigned first;
    bool over;
};

static void stored(void *owner, enum err err, const char *why)
{
    struct intake *in = owner;
    in->over = true;
    for (unsigned i = in->first; !err && i < in->first + 4; i++) in->w->answered[i] = true;
}

/* A message to a good, a slow and a bad address of ours or of others; its sender is the fourth address: who hears of the bad one. */
static void send_one(struct world *w, enum flow flow)
{
    const char *domain = flow == FLOW_IN ? "example.com" : "example.net";
    char text[4][40];
    snprintf(text[0], sizeof text[0], "ok%u@%s", w->n, domain);
    snprintf(text[1], sizeof text[1], "late%u@%s", w->n + 1, flow == FLOW_IN ? domain : "example.org");
    snprintf(text[2], sizeof text[2], "bad%u@%s", w->n + 2, domain);
    snprintf(text[3], sizeof text[3], "ok%u@example.com", w->n + 3);
    struct envelope_rcpt r[3] = { { .address = slice_of(text[0]) },
                                  { .address = slice_of(text[1]) },
                                  { .address = slice_of(text[2]) } };
    uint64_t wall = timers_wall_ms(&w->clock.timers);
    struct envelope e = { .flow = flow,
                          .sender = slice_of(text[3]),
                          .rcpts = r,
                          .n_rcpts = 3,
                          .arrival_wall_ms = wall,
                          .expiry_wall_ms = wall + DAYS(2) };
    struct intake in = { .w = w, .first = w->n };
    struct queue_id id;
    w->n += 4;
    queue_ids_next(&w->ids, wall, &id);
    struct spool_put *p = spool_put_begin(spool_mem_spool(w->disk), &id, NULL, NULL);
    if (spool_put_body(p, SLICE("Subject: hello\r\n\r\nbody\r\n"))) {
        spool_put_abort(&p);
        return;
    }
    uint64_t cut_ms = w->cut_ms;
    spool_put_commit(p, &e, NULL, stored, &in);
    for (int i = 0; i < 3 && !in.over && w->cut_ms == cut_ms; i++) run(w, w->clock.now_ms + SYNC_MS);
    if (!in.over && w->cut_ms == cut_ms) spool_put_abort(&p);
}

static bool check(struct world *w)
{
    struct spool_stats st;
    spool_stats(spool_mem_spool(w->disk), &st);
    bool right = st.messages[FLOW_IN] + st.messages[FLOW_OUT] == 0;
    for (unsigned i = 0; i < w->n; i++) {
        bool whole = i % 4 == 2 || i % 4 == 3 || w->took[i]; /* 2 takes nothing, 3 is checked as a report */
        if (w->answered[i] && i % 4 == 3 && !w->reported[i]) whole = false;
        if (w->answered[i] && !whole) right = false;
        if (w->late_double[i]) right = false;
    }
    return right;
}

static unsigned scenario(enum fault fault, unsigned at)
{
    struct world w;
    init(&w, fault, at);
    for (unsigned i = 0; i < MAILS; i++) {
        send_one(&w, i % 2 ? FLOW_OUT : FLOW_IN);
        run(&w, w.clock.now_ms + 3);
    }
    run(&w, w.clock.now_ms + MINUTES(20));
    if (!check(&w)) fail_msg("fault %d at call %u", (int)fault, at);
    if (!at)
        for (unsigned i = 0; i < w.n; i++) assert_true(w.answered[i] && w.took[i] <= 1);
    unsigned calls = w.calls;
    deinit(&w);
    return calls;
}

TEST(whatever_call_goes_wrong_what_was_accepted_arrives_or_is_reported)
{
    unsigned calls = scenario(CUT_LOST, 0);
    assert_in_range(calls, 50, 1000);
    for (enum fault f = 0; f < FAULTS; f++)
        for (unsigned at = 1; at <= calls; at++) scenario(f, at);
    print_message("%u calls, each failed in %d ways\n", calls, FAULTS);
}
