#include "node/queue/queue_inside.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/timers.h"
#include "node/queue/age.h"

/* Live messages beside those with the deliverer. A start after a long rest finds many messages whose senders are to be
 * told: not all of them at once. */
enum { WRITING_MAX = 10000 };

enum { READ_AGAIN_MS = 1000 };

/* A message something happens to: its envelope as it will be on disk when all that was written is. */
struct live {
    struct queue *queue;
    struct arena arena;
    struct envelope e;
    unsigned jobs; /* with the deliverer */
    bool
        writing; /* a report is under way; what happens meanwhile waits for it, so that disk never goes back */
    bool removed;  /* all recipients are done: the last write takes it off the disk */
    bool *news;    /* by recipient: has a result that is not reported yet */
    size_t n_news; /* how many */
    bool delayed;  /* the delay is not reported yet */
    bool give;     /* to be handed over as soon as all is written */
    bool changed;  /* by an operator: to be written, nothing to be told */
    /* What an operator ordered while it was with the deliverer. */
    enum { AFTER_NOTHING, AFTER_RESCHEDULE, AFTER_REMOVE, AFTER_BOUNCE } after;
    struct slice after_why;
};

struct job { /* one leg on its way; the arena holds what the deliverer may read from another thread */
    struct delivery_job job;
    struct queue *queue;
    struct arena arena;
    struct envelope envelope;
    struct list list;
};

struct unread { /* a message in the spool that could not be read for the moment */
    struct list link;
    struct queue_id id;
};

struct queue {
    const struct env *env;
    struct queue_conf conf;
    struct queue_ports ports;
    struct schedule *schedule;
    struct map live; /* id → struct live */
    struct list jobs;
    struct list unread;
    struct timer read_again;
    struct timer due;
    const char *give_to;
    bool stopping;
    queue_stopped_fn *stopped; /* not told yet */
    void *stopped_owner;
};

static void run(struct queue *q);

/* ---- live envelopes ---- */

static struct live *find_live(const struct queue *q, const struct queue_id *id)
{
    return map_get(&q->live, queue_id_slice(id));
}

/* The wall clock was set since the message was scheduled: what is left of its life is what the boot clock says. */
static void follow_clock(const struct queue *q, struct envelope *e)
{
    struct schedule_life life;
    if (!schedule_life(q->schedule, &e->id, &life) || life.doubted || e->hold) return;
    uint64_t now = timers_now_ms(q->env->timers);
    uint64_t expiry = timers_wall_ms(q->env->timers) + (life.expiry_ms > now ? life.expiry_ms - now : 0);
    uint64_t off = expiry > e->expiry_wall_ms ? expiry - e->expiry_wall_ms : e->expiry_wall_ms - expiry;
    if (off > AGE_JUMP_MS) e->expiry_wall_ms = expiry;
}

static struct live *load(struct queue *q, const struct queue_id *id, enum err *err)
{
    struct live *l = find_live(q, id);
    if (l) return l;
    l = xzalloc(sizeof *l);
    l->queue = q;
    *err = spool_envelope(q->ports.spool, id, &l->arena, &l->e);
    if (*err) {
        arena_deinit(&l->arena);
        free(l);
        return NULL;
    }
    map_put(&q->live, queue_id_slice(id), l);
    follow_clock(q, &l->e);
    return l;
}

static void free_live(struct live *l)
{
    arena_deinit(&l->arena);
    free(l);
}

static void maybe_drop(struct live *l)
{
    if (l->jobs || l->writing) return;
    map_remove(&l->queue->live, queue_id_slice(&l->e.id));
    free_live(l);
}

/* ---- destinations ---- */

/* The destination, lower case, into `out`: of a domain, or where it was redirected to. */
static struct slice dest_of_domain(const struct queue *q, enum flow flow, struct slice domain,
                                   struct slice redirected, char *out, size_t cap)
{
    const char *hop = flow == FLOW_IN && !redirected.n ? q->conf.next_hop(q->conf.owner, domain) : NULL;
    struct slice dest = redirected.n ? redirected : hop ? slice_of(hop) : domain;
    size_t n = MIN(dest.n, cap - 1);
    for (size_t i = 0; i < n; i++) out[i] = ascii_lower(dest.p[i]);
    out[n] = '\0';
    return slice_from(out, n);
}

static struct slice dest_of(const struct queue *q, enum flow flow, const struct envelope_rcpt *r, char *out,
                            size_t cap)
{
    return dest_of_domain(q, flow, envelope_domain(r->address), r->next_hop, out, cap);
}

struct clocks { /* one moment on both */
    uint64_t wall_ms, boot_ms;
};

static struct clocks clocks(const struct queue *q)
{
    return (struct clocks){ timers_wall_ms(q->env->timers), timers_now_ms(q->env->timers) };
}

/* At most `most_ms` ahead. What is past keeps its order. */
static uint64_t to_boot(const struct clocks *c, uint64_t wall_ms, uint64_t most_ms)
{
    if (wall_ms > c->wall_ms) return c->boot_ms + age_wait_ms(wall_ms, c->wall_ms, most_ms);
    return c->boot_ms > c->wall_ms - wall_ms ? c->boot_ms - (c->wall_ms - wall_ms) : 1;
}

static struct schedule_leg *find_leg(struct schedule_leg *legs, size_t n, struct slice dest)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(legs[i].dest, dest)) return &legs[i];
    return NULL;
}

/* One leg a destination, due when the earliest of its recipients is. */
static size_t legs_of(const struct queue *q, const struct envelope *e, struct arena *a,
                      struct schedule_leg *legs)
{
    char text[ENVELOPE_ADDRESS_MAX + 1];
    uint64_t longest = age_longest_wait_ms(&q->conf.schedule.retry);
    struct clocks c = clocks(q);
    size_t n = 0;
    for (size_t i = 0; i < e->n_rcpts; i++) {
        if (e->rcpts[i].state != RCPT_WAITING) continue;
        struct slice dest = dest_of(q, e->flow, &e->rcpts[i], text, sizeof text);
        uint64_t due = to_boot(&c, e->rcpts[i].next_try_wall_ms, longest);
        struct schedule_leg *leg = find_leg(legs, n, dest);
        if (leg)
            leg->due_ms = MIN(leg->due_ms, due);
        else
            legs[n++] = (struct schedule_leg){ arena_dup(a, dest), due };
    }
    return n;
}

struct ages {
    uint64_t arrival_wall_ms, expiry_wall_ms;
    bool delay_told;
};

/* When its sender hears of it: of the delay, of the end. A doubtful age counts only after more tries. */
static void set_ages(const struct queue *q, const struct clocks *c, const struct ages *a, bool doubted,
                     struct schedule_message *m)
{
    const struct retry_conf *r = &q->conf.schedule.retry;
    m->doubted = doubted;
    m->delayed_ms = UINT64_MAX;
    if (r->delay_dsn_ms && !a->delay_told)
        m->delayed_ms = to_boot(c, a->arrival_wall_ms + r->delay_dsn_ms, r->delay_dsn_ms);
    m->expiry_ms = to_boot(c, a->expiry_wall_ms, r->expire_ms);
    if (!doubted) return;
    m->delayed_ms = MAX(m->delayed_ms, c->boot_ms + age_longest_wait_ms(r));
    m->expiry_ms = MAX(m->expiry_ms, c->boot_ms + age_grace_ms(r));
}

static void add(struct queue *q, const struct envelope *e, bool doubted)
{
    struct arena a = { 0 };
    struct schedule_leg *legs = arena_alloc(&a, MAX(e->n_rcpts, (size_t)1) * sizeof *legs);
    struct schedule_message m = {
        .id = e->id, .flow = e->flow, .legs = legs, .n_legs = legs_of(q, e, &a, legs)
    };
    struct ages ages = { e->arrival_wall_ms, e->expiry_wall_ms, e->delay_dsn_sent };
    struct clocks c = clocks(q);
    set_ages(q, &c, &ages, doubted, &m);
    m.pinned = e->given_to.n > 0 && q->ports.giver.give; /* alone, nobody else can have it */
    m.held = e->hold != HOLD_NONE;
    if (m.n_legs) {
        schedule_add(q->schedule, &m);
        if (m.pinned) q->ports.giver.doubt(q->ports.giver.owner, &e->id, e->given_to);
    } else { /* the last write before a crash was its removal */
        log_info(q->env->log, "queue.finished_before", kv_slice("id", queue_id_slice(&e->id)));
        spool_remove(q->ports.spool, &e->id, NULL, NULL);
    }
    arena_deinit(&a);
}

/* From the line of the index alone: a start with a full queue reads no envelopes. */
static void add_line(struct queue *q, const struct clocks *c, const struct spool_item *it)
{
    char text[ENVELOPE_ADDRESS_MAX + 1];
    const struct retry_conf *r = &q->conf.schedule.retry;
    struct ages ages = { it->arrival_wall_ms, it->expiry_wall_ms, it->delay_told };
    struct schedule_leg leg = { .dest = dest_of_domain(q, it->flow, it->domain, (struct slice){ "", 0 }, text,
                                                       sizeof text),
                                .due_ms = to_boot(c, it->due_wall_ms, age_longest_wait_ms(r)) };
    struct schedule_message m = { .id = it->id, .flow = it->flow, .legs = &leg, .n_legs = 1 };
    bool doubted = age_untouched(r, MAX(it->arrival_wall_ms, it->due_wall_ms), c->wall_ms);
    set_ages(q, c, &ages, doubted, &m);
    schedule_add(q->schedule, &m);
}

static void add_stored(struct queue *q, const struct queue_id *id);

static void on_read_again(struct timer *t)
{
    struct queue *q = t->owner;
    struct list all;
    list_init(&all);
    while (!list_empty(&q->unread)) {
        struct list *it = q->unread.next;
        list_remove(it);
        list_append(&all, it);
    }
    while (!list_empty(&all)) {
        struct unread *u = CONTAINER_OF(all.next, struct unread, link);
        list_remove(&u->link);
        if (!q->stopping && !schedule_knows(q->schedule, &u->id) && !find_live(q, &u->id))
            add_stored(q, &u->id);
        free(u);
    }
    run(q);
}

/* A failing disk makes the spool unreadable until it is opened afresh: the message is looked at again then. */
static void read_later(struct queue *q, const struct queue_id *id)
{
    struct unread *u = xzalloc(sizeof *u);
    u->id = *id;
    list_append(&q->unread, &u->link);
    schedule_remove(q->schedule, id);
    if (!timer_is_set(&q->read_again))
        timer_set_in(q->env->timers, &q->read_again, READ_AGAIN_MS, on_read_again, q);
}

static void add_stored(struct queue *q, const struct queue_id *id)
{
    struct arena a = { 0 };
    struct envelope e;
    enum err err = spool_envelope(q->ports.spool, id, &a, &e);
    if (err == ERR_OK)
        add(q, &e, age_is_doubtful(&q->conf.schedule.retry, &e, timers_wall_ms(q->env->timers)));
    else if (err == ERR_RETRY)
        read_later(q, id);
    else if (err != ERR_NOT_FOUND)
        log_error(q->env->log, "queue.damaged", kv_slice("id", queue_id_slice(id)), kv_err("err", err),
                  kv_cstr("what", "left in the spool as it is"));
    arena_deinit(&a);
}

static void on_stored(void *owner, const struct queue_id *ids, size_t n)
{
    struct queue *q = owner;
    for (size_t i = 0; i < n; i++)
        if (!schedule_knows(q->schedule, &ids[i]) && !find_live(q, &ids[i])) add_stored(q, &ids[i]);
    run(q);
}

static size_t waiting_rcpts(const struct envelope *e, uint32_t *out)
{
    size_t n = 0;
    for (uint32_t i = 0; i < e->n_rcpts; i++)
        if (e->rcpts[i].state == RCPT_WAITING) out[n++] = i;
    return n;
}

/* ---- handing over ---- */

static void given(void *owner, const struct queue_id *id, enum err err)
{
    struct queue *q = owner;
    schedule_given(q->schedule, id, err);
    run(q);
}

/* The other node gets what is on disk: nothing that we know better may still be on its way there. */
static void give_away(struct queue *q, const struct queue_id *id)
{
    struct live *l = find_live(q, id);
    if (l && l->writing)
        l->give = true;
    else
        q->ports.giver.give(q->ports.giver.owner, id, q->give_to, given, q);
}

/* Meanwhile the mail may have become ours again. */
static void give_after_all(struct queue *q, const struct queue_id *id)
{
    if (schedule_mode(q->schedule) == SCHEDULE_GIVE)
        q->ports.giver.give(q->ports.giver.owner, id, q->give_to, given, q);
    else
        schedule_given(q->schedule, id, ERR_RETRY);
}

/* ---- what happened is written down ---- */

static void write_down(struct live *l);

static void written(void *owner, enum err err)
{
    struct live *l = owner;
    struct queue *q = l->queue;
    struct queue_id id = l->e.id;
    l->writing = false;
    in_hand(&id);
    if (err)
        log_error(q->env->log, "queue.not_written", kv_slice("id", queue_id_slice(&id)), kv_err("err", err));
    write_down(l);
    if (!l->writing) {
        bool give = l->give;
        maybe_drop(l);
        if (give) give_after_all(q, &id);
    }
    in_hand(NULL);
    run(q);
}

static size_t take_news(struct live *l, uint32_t *out)
{
    size_t n = 0;
    for (uint32_t i = 0; l->n_news && i < l->e.n_rcpts; i++) {
        if (l->news[i]) out[n++] = i;
        l->news[i] = false;
    }
    l->n_news = 0;
    return n;
}

/* The envelope as it is now goes to disk, with all that happened since the last time: one report at a time. */
static void write_down(struct live *l)
{
    const struct queue_reporter *r = &l->queue->ports.reporter;
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];
    if (l->writing || (l->n_news == 0 && !l->delayed && !l->changed)) return;
    enum queue_event what = l->n_news || !l->delayed ? QUEUE_RESULTS : QUEUE_DELAYED;
    size_t n = what == QUEUE_RESULTS ? take_news(l, rcpts) : waiting_rcpts(&l->e, rcpts);
    l->changed = false;
    l->delayed = l->delayed && what == QUEUE_RESULTS && !l->removed;
    l->writing = true;
    r->report(r->owner, what, &l->e, rcpts, n, l->removed, written, l);
}

static void note(struct live *l, const uint32_t *rcpts, size_t n)
{
    struct queue *q = l->queue;
    uint64_t wall = timers_wall_ms(q->env->timers);
    if (!l->news) l->news = arena_alloc(&l->arena, l->e.n_rcpts * sizeof *l->news);
    for (size_t i = 0; i < n; i++) {
        l->n_news += !l->news[rcpts[i]];
        l->news[rcpts[i]] = true;
    }
    if (!l->removed && envelope_waiting(&l->e) == 0) {
        l->removed = true;
        schedule_remove(q->schedule, &l->e.id);
        log_info(q->env->log, "queue.done", kv_slice("id", queue_id_slice(&l->e.id)),
                 kv_slice("sender", l->e.sender), kv_ms("age", wall - MIN(l->e.arrival_wall_ms, wall)));
    }
    write_down(l);
}

static void job_free(struct job *j)
{
    list_remove(&j->list);
    arena_deinit(&j->arena);
    free(j);
}

/* ---- what an operator orders ---- */

static void take_out(struct live *l, bool tell, struct slice why)
{
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];
    size_t n = waiting_rcpts(&l->e, rcpts);
    for (size_t i = 0; i < n; i++) {
        struct envelope_rcpt *r = &l->e.rcpts[rcpts[i]];
        r->state = tell ? RCPT_FAILED : RCPT_REMOVED;
        r->last_reply = why;
        r->last_mta = (struct slice){ "", 0 };
        r->status = SLICE("5.7.1");
    }
    note(l, rcpts, n);
}

static void reschedule(struct live *l)
{
    struct queue *q = l->queue;
    schedule_remove(q->schedule, &l->e.id);
    add(q, &l->e, age_is_doubtful(&q->conf.schedule.retry, &l->e, timers_wall_ms(q->env->timers)));
}

static void do_after(struct live *l)
{
    if (!l->removed && l->after == AFTER_RESCHEDULE) reschedule(l);
    if (!l->removed && l->after > AFTER_RESCHEDULE) take_out(l, l->after == AFTER_BOUNCE, l->after_why);
    l->after = AFTER_NOTHING;
}

static void call_back_jobs(struct queue *q, const struct queue_id *id)
{
    const struct deliverer *d = &q->ports.deliverer;
    LIST_EACH_SAFE(&q->jobs, it, next)
    {
        struct job *j = CONTAINER_OF(it, struct job, list);
        if (queue_id_eq(&j->job.id, id)) d->stop(d->owner, &j->job);
    }
}

/* At once, or when the deliverer has given back what it holds: until then nothing new of it starts. */
static enum queue_applied when_back(struct live *l, int after)
{
    if (l->after < AFTER_REMOVE) l->after = after;
    if (l->jobs) {
        schedule_hold(l->queue->schedule, &l->e.id);
        call_back_jobs(l->queue, &l->e.id);
        return QUEUE_APPLIED_LATER;
    }
    do_after(l);
    return QUEUE_APPLIED;
}

static enum queue_applied hold(struct live *l, const struct queue_order *o)
{
    struct queue *q = l->queue;
    if (l->e.hold) return QUEUE_NOT_SO;
    l->e.hold = HOLD_OPERATOR;
    l->e.held_wall_ms = timers_wall_ms(q->env->timers);
    l->e.held_why = slice_of(arena_printf(&l->arena, "%.*s%s%.*s", SLICE_ARG(o->by), o->reason.n ? ": " : "",
                                          SLICE_ARG(o->reason)));
    l->changed = true;
    schedule_hold(q->schedule, &l->e.id);
    call_back_jobs(q, &l->e.id);
    return l->jobs ? QUEUE_APPLIED_LATER : QUEUE_APPLIED;
}

static enum queue_applied release(struct live *l, const struct queue_order *o)
{
    uint64_t now = timers_wall_ms(l->queue->env->timers);
    if (!l->e.hold) return QUEUE_NOT_SO;
    if (l->e.hold == HOLD_POISON) l->queue->conf.forgive(l->queue->conf.owner, &l->e.id);
    l->e.expiry_wall_ms += now - MIN(l->e.held_wall_ms, now);
    l->e.hold = HOLD_NONE;
    l->e.held_wall_ms = 0;
    l->e.held_why = (struct slice){ "", 0 };
    for (size_t i = 0; i < l->e.n_rcpts; i++) l->e.rcpts[i].next_try_wall_ms = 0;
    l->e.next_try_wall_ms = 0;
    l->changed = true;
    return when_back(l, AFTER_RESCHEDULE);
}

static enum queue_applied redirect(struct live *l, const struct queue_order *o)
{
    struct slice to = arena_dup(&l->arena, o->to);
    bool any = false;
    for (size_t i = 0; i < l->e.n_rcpts; i++) {
        struct envelope_rcpt *r = &l->e.rcpts[i];
        if (r->state != RCPT_WAITING || slice_eq(r->next_hop, to)) continue;
        if (o->filter.domain.n && !slice_ieq(o->filter.domain, envelope_domain(r->address))) continue;
        r->next_hop = to;
        r->next_try_wall_ms = 0;
        any = true;
    }
    if (!any) return QUEUE_NOT_SO;
    l->e.next_try_wall_ms = 0;
    l->changed = true;
    return when_back(l, AFTER_RESCHEDULE);
}

static enum queue_applied take_away(struct live *l, const struct queue_order *o)
{
    l->after_why = slice_of(arena_printf(&l->arena, "removed from the queue by its administrator%s%.*s",
                                         o->reason.n ? ": " : "", SLICE_ARG(o->reason)));
    return when_back(l, o->kind == QUEUE_BOUNCE ? AFTER_BOUNCE : AFTER_REMOVE);
}

static enum queue_applied try_now(struct live *l, const struct queue_order *o)
{
    struct queue *q = l->queue;
    if (l->e.hold) return QUEUE_NOT_SO;
    schedule_flush(q->schedule, &l->e.id, (struct slice){ "", 0 }, timers_now_ms(q->env->timers));
    return QUEUE_APPLIED;
}

static enum queue_applied apply_known(struct queue *q, const struct queue_id *id, const struct queue_order *o)
{
    typedef enum queue_applied apply_fn(struct live * l, const struct queue_order *o);
    static apply_fn *const apply[QUEUE_ORDERS] = {
        [QUEUE_RETRY] = try_now,    [QUEUE_HOLD] = hold,        [QUEUE_RELEASE] = release,
        [QUEUE_REMOVE] = take_away, [QUEUE_BOUNCE] = take_away, [QUEUE_REDIRECT] = redirect
    };
    enum err err = ERR_OK;
    struct live *l = load(q, id, &err);
    if (!l || l->removed) return QUEUE_GONE;
    enum queue_applied did = apply[o->kind](l, o);
    if (did <= QUEUE_APPLIED_LATER && o->kind != QUEUE_RETRY)
        log_info(q->env->log, "queue.ordered", kv_slice("id", queue_id_slice(id)),
                 kv_cstr("what", queue_order_name(o->kind)), kv_slice("sender", l->e.sender),
                 kv_slice("to", o->to), kv_slice("by", o->by), kv_slice("reason", o->reason));
    write_down(l);
    maybe_drop(l);
    return did;
}

enum queue_applied queue_apply(struct queue *q, const struct queue_id *id, const struct queue_order *o)
{
    switch (schedule_status(q->schedule, id)) {
    case SCHEDULE_UNKNOWN: return QUEUE_GONE;
    case SCHEDULE_IN_DOUBT:
    case SCHEDULE_GIVING: return QUEUE_ELSEWHERE;
    default: return apply_known(q, id, o);
    }
}

void queue_run(struct queue *q)
{
    run(q);
}

/* ---- results ---- */

static void delivered(void *owner, struct delivery_job *dj, const struct delivery_result *results)
{
    struct queue *q = owner;
    struct job *j = CONTAINER_OF(dj, struct job, job);
    struct live *l = find_live(q, &dj->id);
    struct retry_effect effect;
    ASSERT(l && l->jobs);
    in_hand(&dj->id);
    l->jobs--;
    retry_apply(&q->conf.schedule.retry, dj, results, timers_wall_ms(q->env->timers), &l->e, &l->arena,
                &effect);
    schedule_finished(q->schedule, &dj->id, dj->destination, &effect, timers_now_ms(q->env->timers));
    if (effect.tried && !l->removed) note(l, dj->rcpts, dj->n_rcpts);
    if (!l->jobs) do_after(l);
    maybe_drop(l);
    job_free(j);
    in_hand(NULL);
    run(q);
}

/* ---- actions of the scheduler ---- */

static void start_leg(struct queue *q, const struct schedule_action *x)
{
    enum err err = ERR_OK;
    struct live *l = load(q, &x->id, &err);
    char text[ENVELOPE_ADDRESS_MAX + 1];
    if (!l) {
        log_error(q->env->log, "queue.unreadable", kv_slice("id", queue_id_slice(&x->id)),
                  kv_err("err", err));
        if (err == ERR_RETRY)
            read_later(q, &x->id);
        else
            schedule_remove(q->schedule, &x->id);
        return;
    }
    l->e.given_to =
        (struct slice){ "", 0 }; /* what may be sent is ours alone; the mark goes with the next write */
    struct job *j = xzalloc(sizeof *j);
    j->queue = q;
    list_append(&q->jobs, &j->list);
    envelope_copy(&l->e, &j->arena, &j->envelope);
    uint32_t *rcpts = arena_alloc(&j->arena, l->e.n_rcpts * sizeof *rcpts);
    j->job = (struct delivery_job){ .id = x->id,
                                    .flow = l->e.flow,
                                    .destination = arena_dup(&j->arena, x->dest),
                                    .envelope = &j->envelope,
                                    .rcpts = rcpts };
    for (uint32_t i = 0; i < l->e.n_rcpts; i++)
        if (l->e.rcpts[i].state == RCPT_WAITING &&
            slice_eq(dest_of(q, l->e.flow, &l->e.rcpts[i], text, sizeof text), x->dest))
            rcpts[j->job.n_rcpts++] = i;
    l->jobs++;
    if (j->job.n_rcpts) {
        q->ports.deliverer.start(q->ports.deliverer.owner, &j->job, delivered, q);
        return;
    }
    struct retry_effect nothing = {
        0
    }; /* its recipients are done, or their domain goes elsewhere since a reload */
    l->jobs--;
    schedule_finished(q->schedule, &x->id, x->dest, &nothing, timers_now_ms(q->env->timers));
    maybe_drop(l);
    job_free(j);
}

/* The wall clock was ahead when the message was found, and has been put right since: it has its life back, once. */
static bool revived(struct queue *q, const struct live *l)
{
    struct schedule_life life;
    uint64_t wall = timers_wall_ms(q->env->timers);
    if (!schedule_life(q->schedule, &l->e.id, &life) || !life.doubted) return false;
    if (l->e.expiry_wall_ms <= wall || l->e.given_to.n) return false;
    log_info(q->env->log, "queue.clock_put_right", kv_slice("id", queue_id_slice(&l->e.id)),
             kv_ms("left", l->e.expiry_wall_ms - wall));
    schedule_remove(q->schedule, &l->e.id);
    add(q, &l->e, false);
    return true;
}

static void tell_age(struct queue *q, const struct schedule_action *x)
{
    enum err err = ERR_OK;
    struct live *l = load(q, &x->id, &err);
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];
    if (!l) {
        if (err == ERR_RETRY) read_later(q, &x->id); /* and told again */
        return;
    }
    size_t n = waiting_rcpts(&l->e, rcpts);
    if (x->kind == SCHEDULE_EXPIRED && revived(q, l)) {
        maybe_drop(l);
    } else if (x->kind == SCHEDULE_EXPIRED) {
        retry_expire(&l->e);
        note(l, rcpts, n);
    } else {
        l->e.delay_dsn_sent = true;
        l->delayed = true;
        write_down(l);
    }
}

static void due(struct timer *t)
{
    run(t->owner);
}

static void stopped_due(struct timer *t)
{
    struct queue *q = t->owner;
    queue_stopped_fn *done = q->stopped;
    q->stopped = NULL;
    done(q->stopped_owner);
}

static void run(struct queue *q)
{
    struct schedule_action x;
    if (q->stopping) {
        if (q->stopped && !q->live.n) timer_set_in(q->env->timers, &q->due, 0, stopped_due, q);
        return;
    }
    size_t live_max = q->conf.schedule.active_max + WRITING_MAX;
    while (q->live.n < live_max && schedule_next(q->schedule, timers_now_ms(q->env->timers), &x)) {
        struct queue_id id = x.id;
        in_hand(&id);
        switch (x.kind) {
        case SCHEDULE_START: start_leg(q, &x); break;
        case SCHEDULE_GIVE_AWAY: give_away(q, &id); break;
        case SCHEDULE_DELAYED:
        case SCHEDULE_EXPIRED: tell_age(q, &x); break;
        }
        in_hand(NULL);
    }
    /* What is live comes back here when it is done. */
    uint64_t at = q->live.n < live_max ? schedule_due_ms(q->schedule) : UINT64_MAX;
    if (at == UINT64_MAX)
        timer_clear(q->env->timers, &q->due);
    else
        timer_set(q->env->timers, &q->due, at, due, q);
}

/* ---- public ---- */

struct queue *queue_create(const struct env *env, const struct queue_conf *conf,
                           const struct queue_ports *ports)
{
    struct queue *q = xzalloc(sizeof *q);
    *q = (struct queue){ .env = env, .conf = *conf, .ports = *ports };
    list_init(&q->jobs);
    list_init(&q->unread);
    q->schedule = schedule_create(&q->conf.schedule);
    return q;
}

struct finding {
    struct queue *queue;
    struct clocks clocks; /* once for all: only their difference counts */
};

static bool add_found(void *owner, const struct spool_item *it)
{
    const struct finding *f = owner;
    struct queue *q = f->queue;
    if (it->complete)
        add_line(q, &f->clocks, it);
    else if (!schedule_knows(q->schedule, &it->id))
        add_stored(q, &it->id);
    return true;
}

static void set_aside(struct queue *q, const struct in_hand_suspect *s)
{
    enum err err = ERR_OK;
    struct live *l = load(q, &s->id, &err);
    if (!l) return;
    if (l->e.hold == HOLD_NONE) {
        l->e.hold = HOLD_POISON;
        l->e.held_wall_ms = timers_wall_ms(q->env->timers);
        l->e.held_why = slice_of(
            arena_printf(&l->arena, "it was in hand at %" PRIu32 " crashes of this program", s->crashes));
        l->changed = true;
        schedule_hold(q->schedule, &s->id);
        log_error(q->env->log, "queue.set_aside", kv_slice("id", queue_id_slice(&s->id)),
                  kv_slice("sender", l->e.sender), kv_u64("crashes", s->crashes),
                  kv_cstr("cure", "gemelctl queue show, export; then release or remove"));
    }
    write_down(l);
    maybe_drop(l);
}

/* Before anything starts. */
static void judge_suspects(struct queue *q)
{
    const struct in_hand_suspects all = q->conf.suspects ? *q->conf.suspects : (struct in_hand_suspects){ 0 };
    for (size_t i = 0; i < all.n; i++) { /* a copy: forgiving changes the list */
        if (!schedule_knows(q->schedule, &all.of[i].id))
            q->conf.forgive(q->conf.owner, &all.of[i].id);
        else if (q->conf.poison && all.of[i].crashes >= q->conf.poison)
            set_aside(q, &all.of[i]);
    }
}

enum err queue_start(struct queue *q)
{
    spool_watch(q->ports.spool, on_stored, q);
    struct finding f = { q, clocks(q) };
    struct spool_stats st;
    spool_stats(q->ports.spool, &st);
    schedule_expect(q->schedule, st.messages[FLOW_IN] + st.messages[FLOW_OUT]);
    enum err err = spool_each(q->ports.spool, 0, add_found, &f);
    judge_suspects(q);
    struct schedule_counts n;
    schedule_counts(q->schedule, &n);
    log_info(q->env->log, "queue.loaded", kv_u64("in", n.messages[FLOW_IN]),
             kv_u64("out", n.messages[FLOW_OUT]), kv_u64("pinned", n.pinned));
    run(q);
    return err;
}

void queue_stop(struct queue *q, queue_stopped_fn *done, void *owner)
{
    const struct deliverer *d = &q->ports.deliverer;
    q->stopping = true;
    q->stopped = done;
    q->stopped_owner = owner;
    timer_clear(q->env->timers, &q->due);
    LIST_EACH(&q->jobs, it) d->stop(d->owner, &CONTAINER_OF(it, struct job, list)->job);
    run(q);
}

void queue_destroy(struct queue *q)
{
    if (!q) return;
    size_t at = 0;
    struct slice key;
    void *l;
    spool_watch(q->ports.spool, NULL, NULL);
    timer_clear(q->env->timers, &q->due);
    timer_clear(q->env->timers, &q->read_again);
    LIST_EACH_SAFE(&q->unread, it, next) free(CONTAINER_OF(it, struct unread, link));
    LIST_EACH_SAFE(&q->jobs, it, next) job_free(CONTAINER_OF(it, struct job, list));
    while (map_next(&q->live, &at, &key, &l)) free_live(l);
    map_deinit(&q->live);
    schedule_destroy(q->schedule);
    free(q);
}

static void out(struct queue *q, enum schedule_mode mode, const char *node)
{
    q->give_to = node;
    schedule_out(q->schedule, mode, timers_now_ms(q->env->timers));
    run(q);
}

void queue_send_out(struct queue *q)
{
    out(q, SCHEDULE_SEND, NULL);
}

void queue_hand_out(struct queue *q, const char *node)
{
    out(q, q->ports.giver.give ? SCHEDULE_GIVE : SCHEDULE_KEEP, node);
}

void queue_keep_out(struct queue *q)
{
    out(q, SCHEDULE_KEEP, NULL);
}

void queue_settled(struct queue *q, const struct queue_id *id, bool gone)
{
    if (gone)
        schedule_remove(q->schedule, id);
    else
        schedule_unpin(q->schedule, id);
    run(q);
}

void queue_superseded(struct queue *q, const struct queue_id *id)
{
    schedule_remove(q->schedule, id);
    run(q);
}

static size_t flush_domain(struct queue *q, struct slice domain, uint64_t now)
{
    char text[ENVELOPE_ADDRESS_MAX + 1];
    size_t n = MIN(domain.n, sizeof text - 1);
    for (size_t i = 0; i < n; i++) text[i] = ascii_lower(domain.p[i]);
    const char *hop = q->conf.next_hop(q->conf.owner, domain);
    size_t legs = schedule_flush(q->schedule, NULL, slice_from(text, n), now);
    return hop ? legs + schedule_flush(q->schedule, NULL, slice_of(hop), now) : legs;
}

size_t queue_flush(struct queue *q, const struct queue_id *id, struct slice domain)
{
    uint64_t now = timers_now_ms(q->env->timers);
    size_t n = domain.n ? flush_domain(q, domain, now) : schedule_flush(q->schedule, id, domain, now);
    run(q);
    return n;
}

void queue_counts(const struct queue *q, struct schedule_counts *counts)
{
    schedule_counts(q->schedule, counts);
}

size_t queue_backlog(const struct queue *q)
{
    return schedule_backlog(q->schedule, timers_now_ms(q->env->timers));
}

struct spool *queue_spool(const struct queue *q)
{
    return q->ports.spool;
}

struct schedule *queue_schedule(const struct queue *q)
{
    return q->schedule;
}

const struct env *queue_env(const struct queue *q)
{
    return q->env;
}

uint64_t queue_now_ms(const struct queue *q)
{
    return timers_now_ms(q->env->timers);
}
