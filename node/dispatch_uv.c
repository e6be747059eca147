/* start: control loop → job in a parcel → the destination's worker → its delivery → results copied into the parcel →
 * control loop → the queue's `done`.
 *
 * Failure modes: a mailbox is full (the parcel waits in the sender's own list and is posted again after RETRY_MS); the
 * node stops (parcels in mailboxes are dropped with them: their mail is on disk and waits for the next start). */
#include "node/dispatch_uv.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mailbox_uv.h"
#include "base/timers.h"
#include "proto/store.h"

enum { POSTS_MAX = 16384, RETRY_MS = 20 };

struct dispatch;
struct worker;

enum parcel_kind { PARCEL_START, PARCEL_STOP, PARCEL_DONE, PARCEL_ABORT, PARCEL_ABORTED, PARCEL_REFUSAL };
struct parcel {          /* what travels between two loops; one owner at a time */
    struct list waiting; /* for room in the mailbox; while its job is with a delivery: in worker->running */
    enum parcel_kind kind;
    struct worker *worker;
    struct delivery_job *job;
    delivery_done_fn *done;
    void *queue;
    uint8_t identity;
    struct abort *abort;
    struct refusal refusal;
    struct delivery_result *results;
    struct arena arena;
};

struct abort { /* one dispatch_abort on its way */
    dispatch_aborted_fn *done;
    void *owner;
    uint64_t tag;
    size_t left;
};

struct outbox { /* parcels of one loop to one mailbox, in order */
    struct timers *timers;
    struct mailbox *to;
    struct list waiting;
    struct timer again;
};

struct worker {
    struct dispatch *dispatch;
    struct dispatch_worker conf;
    struct mailbox *inbox;    /* made and freed on the worker's loop */
    struct outbox to_worker;  /* control loop's */
    struct outbox to_control; /* worker's */
    struct delivery *deliveries[DISPATCH_FACES_MAX];
    struct list running; /* parcels whose jobs are with a delivery; the worker's */
    bool joined;
};

struct dispatch {
    struct loop *control;
    const struct dispatch_events *ev;
    void *owner;
    struct mailbox *inbox; /* of the control loop */
    struct outbox to_self;
    uint8_t target;
    size_t n;
    struct worker workers[];
};

/* ---- parcels ---- */

static void parcel_free(struct parcel *p)
{
    arena_deinit(&p->arena);
    free(p);
}

static void open_at_worker(void *owner, void *arg);
static void open_at_control(void *owner, void *arg);

static void flush(struct outbox *o);

static void flush_due(struct timer *t)
{
    flush(t->owner);
}

static mailbox_fn *opener(const struct outbox *o, const struct parcel *p)
{
    return o->to == p->worker->inbox ? open_at_worker : open_at_control;
}

static void flush(struct outbox *o)
{
    LIST_EACH_SAFE(&o->waiting, it, next)
    {
        struct parcel *p = CONTAINER_OF(it, struct parcel, waiting);
        list_remove(it);
        if (!mailbox_post(o->to, opener(o, p), p->worker, p)) continue;
        list_init(it);
        struct list *first = o->waiting.next; /* back to the front: order is kept */
        it->prev = &o->waiting, it->next = first;
        o->waiting.next = first->prev = it;
        timer_set_in(o->timers, &o->again, RETRY_MS, flush_due, o);
        return;
    }
}

static void post(struct outbox *o, struct parcel *p)
{
    list_append(&o->waiting, &p->waiting);
    if (!timer_is_set(&o->again)) flush(o);
}

static struct parcel *parcel(enum parcel_kind kind, struct worker *w)
{
    struct parcel *p = xzalloc(sizeof *p);
    p->kind = kind;
    p->worker = w;
    list_init(&p->waiting);
    return p;
}

static void outbox_init(struct outbox *o, struct timers *timers, struct mailbox *to)
{
    *o = (struct outbox){ .timers = timers, .to = to };
    list_init(&o->waiting);
}

static void outbox_deinit(struct outbox *o)
{
    if (!o->timers) return;
    timer_clear(o->timers, &o->again);
    LIST_EACH_SAFE(&o->waiting, it, next) parcel_free(CONTAINER_OF(it, struct parcel, waiting));
    list_init(&o->waiting);
    o->timers = NULL;
}

/* ---- the worker's side ---- */

static void job_done(void *owner, struct delivery_job *job, const struct delivery_result *results)
{
    struct parcel *p = owner;
    list_remove(&p->waiting);
    p->kind = PARCEL_DONE;
    p->results = arena_alloc(&p->arena, job->n_rcpts * sizeof *p->results);
    for (size_t i = 0; i < job->n_rcpts; i++) {
        struct delivery_result *r = &p->results[i];
        *r = results[i];
        r->reply = arena_dup(&p->arena, r->reply);
        r->mta = arena_dup(&p->arena, r->mta);
        r->status = arena_dup(&p->arena, r->status);
        r->stage = arena_dup(&p->arena, r->stage);
    }
    post(&p->worker->to_control, p);
}

static void on_refusal(void *owner, const struct refusal *r)
{
    struct worker *w = owner;
    struct parcel *p = parcel(PARCEL_REFUSAL, w);
    p->refusal = *r;
    p->refusal.identity = arena_dup(&p->arena, r->identity);
    p->refusal.provider = arena_dup(&p->arena, r->provider);
    p->refusal.destination = arena_dup(&p->arena, r->destination);
    p->refusal.rule = arena_dup(&p->arena, r->rule);
    p->refusal.text = arena_dup(&p->arena, r->text);
    p->refusal.message_id = arena_dup(&p->arena, r->message_id);
    post(&w->to_control, p);
}

static size_t face_of(const struct worker *w, uint8_t identity)
{
    for (size_t i = 0; i < w->conf.n; i++)
        if (w->conf.identities[i] == identity) return i;
    return 0; /* FLOW_IN goes out with the node's name, whichever it is */
}

static void start_here(struct worker *w, struct parcel *p)
{
    struct deliverer d;
    list_append(&w->running, &p->waiting);
    delivery_deliverer(w->deliveries[face_of(w, p->identity)], &d);
    d.start(d.owner, p->job, job_done, p);
}

/* The job may have ended and gone while the order to stop was on its way: only one found here may be touched. */
static void stop_here(struct worker *w, const struct delivery_job *job)
{
    struct deliverer d;
    LIST_EACH(&w->running, it)
    {
        struct parcel *p = CONTAINER_OF(it, struct parcel, waiting);
        if (p->job != job) continue;
        delivery_deliverer(w->deliveries[face_of(w, p->identity)], &d);
        d.stop(d.owner, p->job);
        return;
    }
}

static void open_at_worker(void *owner, void *arg)
{
    struct worker *w = owner;
    struct parcel *p = arg;
    switch (p->kind) {
    case PARCEL_START: start_here(w, p); break;
    case PARCEL_STOP:
        stop_here(w, p->job);
        parcel_free(p);
        break;
    case PARCEL_ABORT:
        for (size_t i = 0; i < w->conf.n; i++) delivery_abort_all(w->deliveries[i]);
        p->kind = PARCEL_ABORTED;
        post(&w->to_control, p);
        break;
    default: ASSERT(!"a parcel at the wrong door");
    }
}

void dispatch_join(struct dispatch *d, size_t i, const struct dispatch_worker *conf)
{
    ASSERT(i < d->n && conf->n > 0 && conf->n <= DISPATCH_FACES_MAX);
    struct worker *w = &d->workers[i];
    w->conf = *conf;
    w->inbox = mailbox_create(conf->loop, POSTS_MAX);
    outbox_init(&w->to_control, conf->env->timers, d->inbox);
    list_init(&w->running);
    for (size_t k = 0; k < conf->n; k++)
        w->deliveries[k] = delivery_create(conf->env, &conf->confs[k], conf->resolver, conf->spool,
                                           on_refusal, w);
    w->joined = true;
}

static void drop(mailbox_fn *fn, void *owner, void *arg)
{
    parcel_free(arg);
}

void dispatch_leave(struct dispatch *d, size_t i)
{
    struct worker *w = &d->workers[i];
    if (!w->joined) return;
    w->joined = false;
    for (size_t k = 0; k < w->conf.n; k++) delivery_destroy(w->deliveries[k]);
    LIST_EACH_SAFE(&w->running, it, next) parcel_free(CONTAINER_OF(it, struct parcel, waiting));
    outbox_deinit(&w->to_control);
    mailbox_destroy(w->inbox, drop);
}

/* ---- the control loop's side ---- */

static void start(void *owner, struct delivery_job *job, delivery_done_fn *done, void *queue)
{
    struct dispatch *d = owner;
    struct worker *w = &d->workers[slice_ihash(job->destination) % d->n];
    struct parcel *p = parcel(PARCEL_START, w);
    p->job = job;
    p->done = done;
    p->queue = queue;
    p->identity = job->flow == FLOW_OUT ? d->target : STORE_NONE;
    if (job->flow == FLOW_OUT &&
        d->target == STORE_NONE) { /* the scheduler should not ask; a gate may close meanwhile */
        p->results = arena_alloc(&p->arena, job->n_rcpts * sizeof *p->results);
        for (size_t i = 0; i < job->n_rcpts; i++)
            p->results[i] = (struct delivery_result){ .outcome = DELIVERY_NOT_NOW,
                                                      .reply = SLICE("no identity of this node sends") };
        p->kind = PARCEL_DONE;
        post(&d->to_self, p); /* never before start returns: through our own mailbox */
        return;
    }
    job->deliverer_data = NULL;
    post(&w->to_worker, p);
}

static void stop(void *owner, struct delivery_job *job)
{
    struct dispatch *d = owner;
    struct worker *w = &d->workers[slice_ihash(job->destination) % d->n];
    struct parcel *p = parcel(PARCEL_STOP, w);
    p->job = job;
    post(&w->to_worker, p);
}

static void count_sent(struct dispatch *d, const struct parcel *p)
{
    size_t sent = 0;
    for (size_t i = 0; i < p->job->n_rcpts; i++)
        sent += p->results[i].outcome == DELIVERY_SENT || p->results[i].outcome == DELIVERY_RELAYED;
    if (sent && p->job->flow == FLOW_OUT) d->ev->sent(d->owner, p->identity, 1);
}

static void aborted(struct abort *a)
{
    if (--a->left) return;
    a->done(a->owner, a->tag);
    free(a);
}

static void open_at_control(void *owner, void *arg)
{
    struct worker *w = owner;
    struct dispatch *d = w->dispatch;
    struct parcel *p = arg;
    switch (p->kind) {
    case PARCEL_DONE:
        count_sent(d, p);
        p->done(p->queue, p->job, p->results);
        break;
    case PARCEL_ABORTED: aborted(p->abort); break;
    case PARCEL_REFUSAL: d->ev->refused(d->owner, &p->refusal); break;
    default: ASSERT(!"a parcel at the wrong door");
    }
    parcel_free(p);
}

void dispatch_abort(struct dispatch *d, dispatch_aborted_fn *done, void *owner, uint64_t tag)
{
    struct abort *a = xzalloc(sizeof *a);
    *a = (struct abort){ .done = done, .owner = owner, .tag = tag, .left = d->n };
    for (size_t i = 0; i < d->n; i++) {
        struct parcel *p = parcel(PARCEL_ABORT, &d->workers[i]);
        p->abort = a;
        post(&d->workers[i].to_worker, p);
    }
}

void dispatch_aim(struct dispatch *d, uint8_t identity)
{
    d->target = identity;
}

void dispatch_deliverer(struct dispatch *d, struct deliverer *out)
{
    *out = (struct deliverer){ .start = start, .stop = stop, .owner = d };
}

static void add_counters(struct dispatch_totals *t, const struct delivery_counters *c)
{
    for (size_t f = 0; f < FLOW_COUNT; f++) {
        t->sent[f] += c->sent[f];
        t->deferred[f] += c->deferred[f];
        t->failed[f] += c->failed[f];
        t->mails_sent[f] += c->mails_sent[f];
    }
    t->maybe_sent += c->maybe_sent;
    t->connections += c->connections;
    t->reused += c->reused;
    t->tls += c->tls;
    t->tls_failed += c->tls_failed;
    for (size_t e = 0; e < RELAY_EFFECTS; e++) t->refused[e] += c->refused[e];
}

void dispatch_totals(const struct dispatch *d, struct dispatch_totals *out)
{
    *out = (struct dispatch_totals){ 0 };
    for (size_t i = 0; i < d->n; i++)
        for (size_t k = 0; d->workers[i].joined && k < d->workers[i].conf.n; k++)
            add_counters(out, delivery_counters(d->workers[i].deliveries[k]));
}

struct dispatch *dispatch_create(struct loop *control, size_t n_workers, const struct dispatch_events *ev,
                                 void *owner)
{
    struct dispatch *d = xzalloc(sizeof *d + n_workers * sizeof d->workers[0]);
    d->control = control;
    d->ev = ev;
    d->owner = owner;
    d->target = STORE_NONE;
    d->n = n_workers;
    d->inbox = mailbox_create(control, POSTS_MAX);
    outbox_init(&d->to_self, loop_env(control)->timers, d->inbox);
    for (size_t i = 0; i < n_workers; i++) {
        d->workers[i].dispatch = d;
        outbox_init(&d->workers[i].to_worker, loop_env(control)->timers, NULL);
    }
    return d;
}

void dispatch_joined(struct dispatch *d)
{
    for (size_t i = 0; i < d->n; i++) {
        ASSERT(d->workers[i].joined);
        d->workers[i].to_worker.to = d->workers[i].inbox;
    }
}

void dispatch_destroy(struct dispatch *d)
{
    if (!d) return;
    outbox_deinit(&d->to_self);
    for (size_t i = 0; i < d->n; i++) outbox_deinit(&d->workers[i].to_worker);
    mailbox_destroy(d->inbox, drop);
    free(d);
}
