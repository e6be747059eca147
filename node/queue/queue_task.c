/* Lists and orders over many messages: the due index is walked a slice at a time, then what was found is worked off a slice at
 * a time, each on disk before the next begins, so that neither the loop nor memory feels how many there are. */
#include <jansson.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/timers.h"
#include "node/queue/queue.h"
#include "node/queue/queue_inside.h"

enum {
    LIST_DEFAULT = 100,
    LIST_MAX = 100000,
    SLICE_LOOKS = 20000,    /* lines of the index at once: a few ms */
    SLICE_ENVELOPES = 1000, /* envelopes read at once: a few ms */
    SLICE_ORDERS = 200,
    SKIPPED_TOLD = 20,
};

struct queue_task {
    struct queue *q;
    struct arena arena;
    struct timer next;
    struct queue_filter filter;
    queue_answer_fn *done;
    void *owner;
    /* where the walk is: behind this message */
    uint64_t at_ms;
    struct queue_id at;
    size_t looks, envelopes;
    bool more;
    /* a list */
    json_t *messages;
    size_t limit, total;
    /* an order */
    bool orders;
    struct queue_order order;
    struct queue_id *ids;
    size_t n_ids, cap_ids, applied;
    size_t counts[QUEUE_APPLIED_KINDS];
    json_t *skipped;
    struct spool_op *written;
};

static void again(struct queue_task *t, timer_fn *fn)
{
    timer_set_in(queue_env(t->q)->timers, &t->next, 0, fn, t);
}

static void task_free(struct queue_task *t)
{
    timer_clear(queue_env(t->q)->timers, &t->next);
    spool_op_cancel(&t->written);
    json_decref(t->messages);
    json_decref(t->skipped);
    arena_deinit(&t->arena);
    free(t->ids);
    free(t);
}

static void finish(struct queue_task *t, json_t *answer)
{
    queue_answer_fn *done = t->done;
    void *owner = t->owner;
    task_free(t);
    done(owner, answer);
}

void queue_task_cancel(struct queue_task **t)
{
    if (*t) task_free(*t);
    *t = NULL;
}

static struct queue_task *task_create(struct queue *q, const struct queue_filter *f, queue_answer_fn *done,
                                      void *owner)
{
    struct queue_task *t = xzalloc(sizeof *t);
    *t = (struct queue_task){ .q = q, .filter = *f, .done = done, .owner = owner };
    struct slice *texts[] = { &t->filter.flow,      &t->filter.domain, &t->filter.sender,
                              &t->filter.recipient, &t->filter.why,    &t->filter.redirect };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) *texts[i] = arena_dup(&t->arena, *texts[i]);
    return t;
}

/* ---- what fits ---- */

static bool contains(struct slice s, struct slice part)
{
    for (size_t i = 0; i + part.n <= s.n; i++)
        if (slice_ieq(slice_sub(s, i, part.n), part)) return true;
    return false;
}

static bool fits_why(struct slice why, const struct envelope *e)
{
    bool found = !why.n || contains(e->why_waiting, why) || contains(e->held_why, why);
    for (size_t i = 0; !found && i < e->n_rcpts; i++) found = contains(e->rcpts[i].last_reply, why);
    return found;
}

static bool fits_rcpt(const struct queue_filter *f, const struct envelope *e)
{
    bool found = !f->recipient.n && !f->domain.n && !f->redirect.n;
    for (size_t i = 0; !found && i < e->n_rcpts; i++) {
        const struct envelope_rcpt *r = &e->rcpts[i];
        found = (!f->recipient.n || slice_ieq(f->recipient, r->address)) &&
                (!f->redirect.n || slice_ieq(f->redirect, r->next_hop)) &&
                (!f->domain.n || slice_ieq(f->domain, envelope_domain(r->address)));
    }
    return found;
}

static bool fits(const struct queue_filter *f, const struct envelope *e)
{
    return (!f->held || e->hold) && (!f->sender.n || slice_ieq(f->sender, e->sender)) && fits_rcpt(f, e) &&
           fits_why(f->why, e);
}

/* What the index alone knows: most messages that do not fit are never read. */
static bool may_fit(const struct queue_task *t, const struct spool_item *it)
{
    const struct queue_filter *f = &t->filter;
    uint64_t now = timers_wall_ms(queue_env(t->q)->timers);
    return (!f->flow.n || slice_eq(f->flow, slice_of(flow_name(it->flow)))) &&
           (!(f->held || f->redirect.n) || !it->complete) && /* the line says when the envelope says more */
           (!f->domain.n || !it->domain.n || slice_ieq(f->domain, it->domain)) &&
           (!f->older_ms || it->arrival_wall_ms + f->older_ms <= now);
}

/* What the index says yes to need only be counted, once enough is shown. */
static bool is_counted(const struct queue_task *t, const struct spool_item *it)
{
    const struct queue_filter *f = &t->filter;
    return !t->orders && t->total >= t->limit && !f->sender.n && !f->recipient.n && !f->why.n && !f->held &&
           !f->redirect.n && (!f->domain.n || it->domain.n);
}

/* ---- the walk ---- */

static void found(struct queue_task *t, const struct envelope *e)
{
    t->total++;
    if (!t->orders) {
        if (t->total <= t->limit) json_array_append_new(t->messages, queue_message_json(t->q, e));
        return;
    }
    if (t->n_ids == t->cap_ids) {
        t->cap_ids = t->cap_ids ? 2 * t->cap_ids : 256;
        t->ids = xrealloc(t->ids, t->cap_ids * sizeof *t->ids);
    }
    t->ids[t->n_ids++] = e->id;
}

static bool look_at(void *owner, const struct spool_item *it)
{
    struct queue_task *t = owner;
    struct arena a = { 0 };
    struct envelope e;
    if (it->due_wall_ms == t->at_ms && strcmp(it->id.s, t->at.s) <= 0) return true;
    t->at_ms = it->due_wall_ms;
    t->at = it->id;
    if (may_fit(t, it) && is_counted(t, it)) {
        t->total++;
    } else if (may_fit(t, it)) {
        t->envelopes++;
        if (!spool_envelope(queue_spool(t->q), &it->id, &a, &e) && fits(&t->filter, &e)) found(t, &e);
        arena_deinit(&a);
    }
    t->more = ++t->looks >= SLICE_LOOKS || t->envelopes >= SLICE_ENVELOPES;
    return !t->more;
}

/* True: there is more, later. */
static bool walk(struct queue_task *t, enum err *err)
{
    t->looks = t->envelopes = 0;
    t->more = false;
    *err = spool_each(queue_spool(t->q), t->at_ms, look_at, t);
    return !*err && t->more;
}

/* ---- lists ---- */

static bool is_everything(const struct queue_filter *f)
{
    return !f->flow.n && !f->domain.n && !f->sender.n && !f->recipient.n && !f->why.n && !f->older_ms &&
           !f->held && !f->redirect.n;
}

static void list_on(struct timer *timer)
{
    struct queue_task *t = timer->owner;
    enum err err;
    bool enough = t->total >= t->limit && is_everything(&t->filter);
    if (!enough && walk(t, &err)) {
        again(t, list_on);
        return;
    }
    if (enough) { /* how many there are in all is known without counting them */
        struct spool_stats s;
        spool_stats(queue_spool(t->q), &s);
        t->total = MAX(t->total, (size_t)(s.messages[FLOW_IN] + s.messages[FLOW_OUT]));
        err = ERR_OK;
    }
    json_t *answer = json_pack("{s:O, s:I}", "messages", t->messages, "total", (json_int_t)t->total);
    if (err) json_object_set_new(answer, "error", json_string(err_text(err)));
    finish(t, answer);
}

struct queue_task *queue_list(struct queue *q, const struct queue_filter *f, size_t limit,
                              queue_answer_fn *done, void *owner)
{
    struct queue_task *t = task_create(q, f, done, owner);
    t->messages = json_array();
    t->limit = limit ? MIN(limit, (size_t)LIST_MAX) : LIST_DEFAULT;
    again(t, list_on);
    return t;
}

/* ---- orders ---- */

static void order_on(struct timer *timer);

/* All that was ordered before it is on disk: one writer takes changes in turn. */
static void written(void *owner, enum err err, const char *why)
{
    struct queue_task *t = owner;
    t->written = NULL;
    again(t, order_on);
}

static json_t *order_answer(struct queue_task *t)
{
    size_t skipped = t->n_ids - t->counts[QUEUE_APPLIED] - t->counts[QUEUE_APPLIED_LATER];
    return json_pack("{s:I, s:I, s:I, s:I, s:O}", "matched", (json_int_t)t->n_ids, "done",
                     (json_int_t)t->counts[QUEUE_APPLIED], "in_delivery",
                     (json_int_t)t->counts[QUEUE_APPLIED_LATER], "skipped", (json_int_t)skipped, "why",
                     t->skipped);
}

static const char *skip_text(enum queue_order_kind kind, enum queue_applied did)
{
    static const char *const not_so[QUEUE_ORDERS] = { [QUEUE_RETRY] = "it is held: release it first",
                                                      [QUEUE_HOLD] = "it is held already",
                                                      [QUEUE_RELEASE] = "it is not held",
                                                      [QUEUE_REDIRECT] = "it goes there already" };
    if (did == QUEUE_GONE) return "there is no such message in this node's queue";
    if (did == QUEUE_ELSEWHERE) return "it is being handed over to another node: ask there";
    return not_so[kind] ? not_so[kind] : "there is nothing to do";
}

static void skip(struct queue_task *t, const struct queue_id *id, enum queue_applied did)
{
    if (json_array_size(t->skipped) >= SKIPPED_TOLD) return;
    json_array_append_new(t->skipped,
                          json_pack("{s:s, s:s}", "id", id->s, "why", skip_text(t->order.kind, did)));
}

static void order_on(struct timer *timer)
{
    static const struct queue_id nobody = { "000000000000000000" }; /* the year 2020, no node */
    struct queue_task *t = timer->owner;
    if (t->applied == t->n_ids) {
        finish(t, order_answer(t));
        return;
    }
    for (size_t n = 0; n < SLICE_ORDERS && t->applied < t->n_ids; n++) {
        const struct queue_id *id = &t->ids[t->applied++];
        enum queue_applied did = queue_apply(t->q, id, &t->order);
        t->counts[did]++;
        if (did > QUEUE_APPLIED_LATER) skip(t, id, did);
    }
    queue_run(t->q);
    t->written = spool_remove(queue_spool(t->q), &nobody, written, t);
}

/* All that fits is known before the first is touched: an order may move a message to where the walk has not been yet. */
static void collect_on(struct timer *timer)
{
    struct queue_task *t = timer->owner;
    enum err err;
    if (walk(t, &err))
        again(t, collect_on);
    else if (err)
        finish(t, json_pack("{s:s}", "error", err_text(err)));
    else
        order_on(timer);
}

struct queue_task *queue_order(struct queue *q, const struct queue_order *o, queue_answer_fn *done,
                               void *owner)
{
    struct queue_task *t = task_create(q, &o->filter, done, owner);
    t->orders = true;
    t->order = *o;
    t->order.filter = t->filter;
    t->order.ids = NULL;
    t->skipped = json_array();
    struct slice *texts[] = { &t->order.by, &t->order.reason, &t->order.to };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) *texts[i] = arena_dup(&t->arena, *texts[i]);
    if (o->n_ids) {
        t->ids = xzalloc(o->n_ids * sizeof *t->ids);
        memcpy(t->ids, o->ids, o->n_ids * sizeof *t->ids);
        t->n_ids = o->n_ids;
    }
    again(t, o->n_ids ? order_on : collect_on);
    return t;
}

const char *queue_order_name(enum queue_order_kind k)
{
    static const char *const names[QUEUE_ORDERS] = {
        [QUEUE_RETRY] = "retry",   [QUEUE_HOLD] = "hold",     [QUEUE_RELEASE] = "release",
        [QUEUE_REMOVE] = "remove", [QUEUE_BOUNCE] = "bounce", [QUEUE_REDIRECT] = "redirect"
    };
    ASSERT(k < QUEUE_ORDERS);
    return names[k];
}

bool queue_is_next_hop(struct slice s)
{
    size_t colon = slice_rfind(s, ':');
    uint64_t port = 0;
    struct addr addr;
    if (colon >= s.n || slice_u64(slice_skip(s, colon + 1), 65535, &port) || !port) return false;
    struct slice host = slice_sub(s, 0, colon);
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        host = slice_sub(host, 1, host.n - 2);
        if (slice_istarts(host, SLICE("IPv6:"))) host = slice_skip(host, 5);
        return addr_parse(host, &addr) == ERR_OK;
    }
    for (size_t i = 0; i < host.n; i++)
        if (!ascii_is_alnum(host.p[i]) && host.p[i] != '.' && host.p[i] != '-') return false;
    return host.n > 0 && host.n <= 255;
}
