/* Mail in the simulated cluster: the real queue, spool twin, hand-over and scheduler of each node, over simulated wires and
 * clocks, with deliveries that go through the real gate to receivers that keep count (I12).
 *
 * A message counts as ours from the moment its spool has synced it (the 250). From then on it is in some spool or it was
 * taken by its receiver, and it is taken once, unless the reply to the dot was lost or the node died before it wrote
 * down what the receiver had said: those are counted and excused. */
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/timers.h"
#include "node/queue/handover.h"
#include "node/queue/reporter.h"
#include "node/queue/spool_mem.h"
#include "proto/cluster_conf.h"
#include "tests/sim/sim.h"

enum { MAIL_MAX = 2048 };

struct letter {
    struct queue_id id;
    bool ours; /* its 250 was given */
    uint8_t taken, excused;
};

struct post { /* one message on its way into a spool */
    struct post *next;
    struct mail *mail;
    size_t letter;
    struct spool_put *put;
};

struct run { /* one delivery */
    struct run *next;
    struct timer timer;
    struct mail *mail;
    struct delivery_job *job;
    delivery_done_fn *done;
    void *queue;
    uint64_t ticket;
    enum { RUN_MAIL, RUN_DOT, RUN_REPLY } at;
    bool reply_lost;
};

struct mail { /* of one node; lives as long as its disk */
    struct sim *w;
    uint8_t node;
    struct timers timers;
    struct rng rng;
    struct env env;
    uint64_t loop_ms; /* the next EV_LOOP */
    uint32_t loop_life;
    struct spool_mem *disk;
    struct handover_conf handover_conf;
    struct handover *handover;
    struct queue_ids ids;
    struct reporter_conf reporter_conf;
    struct reporter *reporter;
    struct queue *queue;
    struct post *posts;
    struct run *runs;
    char name[STORE_NAME_MAX];
};

struct mail_world {
    struct cluster_conf cluster;
    struct host_conf hosts[SIM_NODES_MAX];
    char names[SIM_NODES_MAX][STORE_NAME_MAX];
    struct letter letters[MAIL_MAX];
    size_t n;
    struct mail mails[SIM_NODES_MAX];
};

static uint64_t boot_now(void *clock)
{
    struct mail *m = clock;
    return sim_boot_ms(m->w, m->node);
}

static uint64_t wall_now(void *clock)
{
    struct mail *m = clock;
    return sim_wall_ms(m->w, m->node);
}

static void head_changed(void *owner, uint64_t due)
{
    struct mail *m = owner;
    struct actor *a = &m->w->actors[m->node];
    uint64_t now = boot_now(m);
    if (due == UINT64_MAX || !a->alive) return;
    uint64_t at = m->w->now_ms + (due > now ? due - now : 0);
    if (m->loop_life == a->life && m->loop_ms > m->w->now_ms && m->loop_ms <= at)
        return; /* one comes before */
    m->loop_ms = at;
    m->loop_life = a->life;
    sim_push(m->w, at, EV_LOOP, m->node, a->life, (struct ev){ 0 });
}

static struct letter *letter_of(struct sim *w, const struct queue_id *id)
{
    for (size_t i = 0; i < w->mail->n; i++)
        if (queue_id_eq(&w->mail->letters[i].id, id)) return &w->mail->letters[i];
    return NULL;
}

/* ---- delivering ---- */

static void run_end(struct run *r, enum delivery_outcome outcome, enum delivery_cause cause,
                    struct slice reply)
{
    struct run **at = &r->mail->runs;
    while (*at != r) at = &(*at)->next;
    *at = r->next;
    timer_clear(&r->mail->timers, &r->timer);
    struct delivery_result results[4] = { 0 };
    ASSERT(r->job->n_rcpts <= ARRAY_LEN(results));
    for (size_t i = 0; i < r->job->n_rcpts; i++)
        results[i] = (struct delivery_result){ .outcome = outcome, .cause = cause, .reply = reply };
    r->done(r->queue, r->job, results);
    free(r);
}

static void run_step(struct timer *t);

static void run_next(struct run *r, int at, uint64_t lo, uint64_t hi)
{
    r->at = at;
    timer_set_in(&r->mail->timers, &r->timer, rng_between(&r->mail->rng, lo, hi), run_step, r);
}

static bool listed_somewhere(const struct sim *w, uint8_t node)
{
    for (int z = 0; z < ZONES; z++)
        if (w->listed[z][node]) return true;
    return false;
}

/* The dot is written: the receiver has the message from here on, whatever we hear of it. */
static void taken(struct run *r)
{
    struct sim *w = r->mail->w;
    struct letter *l = letter_of(w, &r->job->id);
    ASSERT(l);
    w->delivered++;
    check_gates(w, r->mail->node);
    if (l->taken++ > l->excused)
        sim_violation(w, "I12 message %.18s is taken a second time, from node%u", l->id.s, r->mail->node);
    r->reply_lost = rng_chance(&w->rng, 10000);
    if (r->reply_lost) l->excused++;
}

static void run_step(struct timer *t)
{
    struct run *r = t->owner;
    struct mail *m = r->mail;
    struct gate *g = &m->w->nodes[m->node].gate;
    switch (r->at) {
    case RUN_MAIL:
        if (!gate_valid(g, r->ticket, boot_now(m)))
            run_end(r, DELIVERY_NOT_NOW, DELIVERY_CAUSE_MESSAGE, SLICE("not our turn"));
        else if (listed_somewhere(m->w, m->node) && rng_below(&m->w->rng, 3))
            run_end(r, DELIVERY_LISTED, DELIVERY_CAUSE_CONNECTION, SLICE("554 5.7.1 listed"));
        else
            run_next(r, RUN_DOT, 5, 400);
        return;
    case RUN_DOT:
        if (!gate_dot_begin(g, r->ticket, boot_now(m))) {
            run_end(r, DELIVERY_NOT_NOW, DELIVERY_CAUSE_MESSAGE, SLICE("not our turn any more"));
            return;
        }
        taken(r);
        run_next(r, RUN_REPLY, 5, 600);
        return;
    case RUN_REPLY: break;
    }
    gate_dot_end(g);
    if (r->reply_lost)
        run_end(r, DELIVERY_DEFERRED, DELIVERY_CAUSE_CONNECTION,
                SLICE("the connection broke behind the dot"));
    else
        run_end(r, DELIVERY_SENT, DELIVERY_CAUSE_MESSAGE, SLICE("250 2.0.0 taken"));
}

static void run_start(void *owner, struct delivery_job *job, delivery_done_fn *done, void *queue)
{
    struct mail *m = owner;
    struct run *r = xzalloc(sizeof *r);
    *r = (struct run){ .next = m->runs, .mail = m, .job = job, .done = done, .queue = queue };
    m->runs = r;
    r->ticket = gate_ticket(&m->w->nodes[m->node].gate, boot_now(m));
    run_next(r, RUN_MAIL, 2, 60);
}

static void run_stop(void *owner, struct delivery_job *job)
{
    struct mail *m = owner;
    for (struct run *r = m->runs; r; r = r->next)
        if (r->job == job && r->at != RUN_REPLY) {
            r->ticket = 0;
            run_next(r, RUN_MAIL, 1, 1);
        }
}

/* ---- taking in ---- */

static void post_done(void *owner, enum err err, const char *why)
{
    struct post *p = owner;
    if (!err) p->mail->w->mail->letters[p->letter].ours = true; /* now it is promised */
    struct post **at = &p->mail->posts;
    while (*at != p) at = &(*at)->next;
    *at = p->next;
    free(p);
}

void mail_post(struct sim *w, uint8_t node)
{
    struct mail *m = &w->mail->mails[node];
    if (w->mail->n == MAIL_MAX) return;
    struct post *p = xzalloc(sizeof *p);
    struct letter *l = &w->mail->letters[w->mail->n];
    queue_ids_next(&m->ids, wall_now(m), &l->id);
    struct envelope_rcpt r = { .address = SLICE("bob@example.net") };
    struct envelope e = { .flow = FLOW_OUT, .sender = SLICE("alice@example.com"), .rcpts = &r, .n_rcpts = 1 };
    e.arrival_wall_ms = wall_now(m);
    e.expiry_wall_ms = e.arrival_wall_ms + DAYS(2);
    *p = (struct post){ .next = m->posts, .mail = m, .letter = w->mail->n++ };
    p->put = spool_put_begin(spool_mem_spool(m->disk), &l->id, NULL, NULL);
    if (spool_put_body(p->put, SLICE("Subject: a letter\r\n\r\nhello\r\n"))) {
        spool_put_abort(&p->put);
        free(p);
        return;
    }
    m->posts = p;
    spool_put_commit(p->put, &e, NULL, post_done, p);
}

/* ---- life ---- */

static bool not_ours(void *owner, struct slice domain)
{
    return false;
}

static const char *nowhere(void *owner, struct slice domain)
{
    return NULL;
}

void mail_start(struct sim *w, uint8_t node)
{
    struct mail *m = &w->mail->mails[node];
    struct buf why;
    buf_init(&why, 1000);
    enum err err = handover_create(&m->env, &m->handover_conf, &m->handover, &why);
    ASSERT(!err);
    buf_deinit(&why);
    queue_ids_init(&m->ids, slice_of(m->name), &m->rng);
    m->reporter = reporter_create(&m->env, &m->reporter_conf);
    struct queue_conf qc = { .schedule = { .active_max = 10, .active_per_dest = 5, .give_max = 8 },
                             .next_hop = nowhere };
    retry_conf_default(&qc.schedule.retry);
    qc.schedule.retry.glitch_ms = SECONDS(5);
    struct queue_ports ports = { .spool = spool_mem_spool(m->disk),
                                 .deliverer = { .start = run_start, .stop = run_stop, .owner = m } };
    handover_port(m->handover, &ports.giver);
    reporter_port(m->reporter, &ports.reporter);
    m->queue = queue_create(&m->env, &qc, &ports);
    handover_attach(m->handover, m->queue);
    err = queue_start(m->queue);
    ASSERT(!err);
    queue_keep_out(m->queue);
}

static bool excuse(void *owner, const struct spool_item *it)
{
    struct letter *l = letter_of(owner, &it->id);
    if (l && l->taken > l->excused)
        l->excused = l->taken; /* taken, and the note of it did not reach the disk */
    return true;
}

static void mail_stop(struct sim *w, uint8_t node)
{
    struct mail *m = &w->mail->mails[node];
    if (!m->queue) return;
    handover_destroy(m->handover);
    reporter_destroy(m->reporter);
    queue_destroy(m->queue);
    m->handover = NULL;
    m->reporter = NULL;
    m->queue = NULL;
    for (struct run *r = m->runs, *next; r; r = next) {
        next = r->next;
        timer_clear(&m->timers, &r->timer);
        free(r);
    }
    m->runs = NULL;
    for (struct post *p = m->posts, *next; p; p = next) {
        next = p->next;
        spool_put_abort(&p->put);
        free(p);
    }
    m->posts = NULL;
}

void mail_crash(struct sim *w, uint8_t node)
{
    struct mail *m = &w->mail->mails[node];
    mail_stop(w, node);
    spool_mem_crash(m->disk, rng_below(&w->rng, 2));
    (void)!spool_each(spool_mem_spool(m->disk), 0, excuse, w);
}

void mail_aim(struct sim *w, uint8_t node, uint8_t to)
{
    struct mail *m = &w->mail->mails[node];
    if (!m->queue) return;
    if (to == node)
        queue_send_out(m->queue);
    else if (to < w->n_nodes)
        queue_hand_out(m->queue, w->mail->names[to]);
    else
        queue_keep_out(m->queue);
}

void mail_abort(struct sim *w, uint8_t node)
{
    struct mail *m = &w->mail->mails[node];
    for (struct run *r = m->runs; r; r = r->next)
        if (r->at != RUN_REPLY) run_stop(m, r->job);
}

uint64_t mail_waiting(struct sim *w, uint8_t node)
{
    struct mail *m = &w->mail->mails[node];
    struct schedule_counts c = { 0 };
    if (m->queue) queue_counts(m->queue, &c);
    return c.messages[FLOW_OUT];
}

void mail_loop(struct sim *w, uint8_t node)
{
    struct mail *m = &w->mail->mails[node];
    if (m->loop_ms > w->now_ms) return; /* set anew since */
    timers_run(&m->timers);
    uint64_t due = timers_due_ms(&m->timers), now = boot_now(m);
    head_changed(m, due <= now ? now + 1 : due); /* a slow clock may not be there yet */
}

void mail_create(struct sim *w)
{
    struct mail_world *mw = w->mail = xzalloc(sizeof *w->mail);
    mw->cluster.cluster = "sim";
    mw->cluster.nodes = (struct opt_list){ .items = mw->hosts, .n = w->n_nodes };
    for (uint8_t i = 0; i < w->n_nodes; i++) {
        snprintf(mw->names[i], sizeof mw->names[i], "node%u", i);
        mw->hosts[i].name = mw->names[i];
        mw->hosts[i].link =
            (struct addr){ .family = ADDR_V4, .ip = { 10, 0, 0, i }, .port = (uint16_t)(SIM_PORT + i) };
    }
    for (uint8_t i = 0; i < w->n_nodes; i++) {
        struct mail *m = &mw->mails[i];
        m->w = w;
        m->node = i;
        snprintf(m->name, sizeof m->name, "node%u", i);
        timers_init(&m->timers);
        m->timers.now_ms = boot_now;
        m->timers.wall_ms = wall_now;
        m->timers.clock = m->timers.owner = m;
        m->timers.changed = head_changed;
        rng_init_seed(&m->rng, rng_u64(&w->rng));
        m->env = (struct env){ .timers = &m->timers,
                               .rng = &m->rng,
                               .net = sim_net_of(w, i),
                               .log = w->conf.trace ? &w->logs[i] : NULL };
        m->disk = spool_mem_create(&m->env, 3);
        m->handover_conf = (struct handover_conf){
            .cluster = &mw->cluster, .name = m->name, .spool = spool_mem_spool(m->disk), .clear = true
        };
        m->reporter_conf = (struct reporter_conf){ .spool = spool_mem_spool(m->disk),
                                                   .ids = &m->ids,
                                                   .host = SLICE("sim.example"),
                                                   .node = slice_of(m->name),
                                                   .expire_ms = DAYS(2),
                                                   .is_ours = not_ours };
    }
}

/* ---- the end ---- */

struct census {
    struct sim *w;
    bool seen[MAIL_MAX];
};

static bool count(void *owner, const struct spool_item *it)
{
    struct census *c = owner;
    struct letter *l = letter_of(c->w, &it->id);
    if (l) c->seen[l - c->w->mail->letters] = true;
    return true;
}

void mail_check(struct sim *w)
{
    struct census c = { .w = w };
    for (uint8_t i = 0; i < w->n_nodes; i++)
        (void)!spool_each(spool_mem_spool(w->mail->mails[i].disk), 0, count, &c);
    for (size_t k = 0; k < w->mail->n; k++) {
        const struct letter *l = &w->mail->letters[k];
        if (l->ours && !l->taken && !c.seen[k])
            sim_violation(w, "I12 message %.18s was promised and is lost", l->id.s);
    }
}

void mail_destroy(struct sim *w)
{
    if (!w->mail) return;
    for (uint8_t i = 0; i < w->n_nodes; i++) {
        struct mail *m = &w->mail->mails[i];
        mail_stop(w, i);
        spool_mem_crash(m->disk, true);
        spool_mem_destroy(m->disk);
        timers_deinit(&m->timers);
    }
    free(w->mail);
    w->mail = NULL;
}
