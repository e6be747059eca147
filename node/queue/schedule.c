#include "node/queue/schedule.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "node/queue/heap.h"

enum {
    NOT_NOW_WAIT_MS = 1000,    /* before a leg that was not even tried goes again */
    IDLE_DEST_MS = 10 * 60000, /* how long an empty destination is remembered for its failures */
    BUCKETS_MIN = 1024,
    READY_MAX =
        1000, /* of a destination, taken from those that wait: the rest is taken when these have gone */
};

enum leg_state { LEG_WAITING, LEG_READY, LEG_ACTIVE, LEG_PARKED, LEG_DONE };

/* A million of these may live at once: 32 bytes. */
struct leg {
    union {
        struct heap_node due; /* LEG_WAITING: in its destination's heap */
        struct list ready;    /* LEG_READY: in its destination's list */
    };
    struct dest *dest;
    uint16_t index; /* in its message */
    uint8_t state;  /* enum leg_state */
    bool listed;    /* its last answer was about our address */
};

struct message {
    struct queue_id id;
    uint8_t flow;
    bool pinned, held, giving, no_give, expired, told_delay, greylisted, doubted;
    uint16_t n_legs, active;
    struct message *next; /* same bucket */
    struct heap_node deadline;
    struct list idle; /* FLOW_OUT that could be given away now */
    uint64_t delayed_ms, expiry_ms;
    struct leg legs[];
};

struct dest {
    char *name;
    enum flow flow;
    struct heap waiting;
    struct list ready;
    size_t n_ready, active;
    size_t legs; /* of living messages, in any state: they point here */
    uint32_t failures;
    uint64_t hold_until_ms;
    struct schedule_limits limits;
    uint64_t next_start_ms;
    struct heap_node wake; /* in schedule.dests */
    struct list turn;      /* in schedule.turns: could start a leg */
};

struct schedule {
    struct schedule_conf conf;
    enum schedule_mode mode;
    struct message **buckets;
    size_t n_messages, n_buckets;
    size_t flow_messages[FLOW_COUNT], pinned, held;
    struct map by_name; /* flow digit and name → struct dest */
    struct heap dests;  /* by the time something changes for them */
    struct heap deadlines;
    struct list turns;
    struct list idle, idle_grey;
    size_t active, giving;
};

/* ---- messages by id ---- */

static struct message **bucket(const struct schedule *s, const struct queue_id *id)
{
    return &s->buckets[slice_hash(queue_id_slice(id)) & (s->n_buckets - 1)];
}

static struct message *find(const struct schedule *s, const struct queue_id *id)
{
    struct message *m = *bucket(s, id);
    while (m && !queue_id_eq(&m->id, id)) m = m->next;
    return m;
}

static void set_buckets(struct schedule *s, size_t to)
{
    struct message **old = s->buckets;
    size_t n = s->n_buckets;
    s->n_buckets = to;
    s->buckets = xzalloc(s->n_buckets * sizeof *s->buckets);
    for (size_t i = 0; i < n; i++)
        for (struct message *m = old[i], *next; m; m = next) {
            struct message **b = bucket(s, &m->id);
            next = m->next;
            m->next = *b;
            *b = m;
        }
    free(old);
}

void schedule_expect(struct schedule *s, size_t messages)
{
    size_t n = s->n_buckets;
    while (n < s->n_messages + messages) n *= 2;
    if (n > s->n_buckets) set_buckets(s, n);
}

static struct message *message_of(struct leg *l)
{
    return CONTAINER_OF(l - l->index, struct message, legs);
}

/* ---- destinations ---- */

static void dest_key(enum flow flow, struct slice name, struct buf *out)
{
    buf_init(out, 4096);
    buf_put(out, flow == FLOW_OUT ? SLICE("o") : SLICE("i"));
    buf_put(out, slice_sub(name, 0, 1024));
}

static struct dest *dest_find(const struct schedule *s, enum flow flow, struct slice name)
{
    struct buf key;
    dest_key(flow, name, &key);
    struct dest *d = map_get(&s->by_name, buf_slice(&key));
    buf_deinit(&key);
    return d;
}

static struct dest *dest_get(struct schedule *s, enum flow flow, struct slice name)
{
    struct dest *d = dest_find(s, flow, name);
    if (d) return d;
    struct buf key;
    d = xzalloc(sizeof *d);
    d->name = slice_dup(slice_sub(name, 0, 1024));
    d->flow = flow;
    d->limits = (struct schedule_limits){ .active = s->conf.active_per_dest };
    if (s->conf.limits) s->conf.limits(s->conf.owner, slice_of(d->name), &d->limits);
    ASSERT(d->limits.active);
    list_init(&d->ready);
    list_init(&d->turn);
    dest_key(flow, name, &key);
    map_put(&s->by_name, buf_slice(&key), d);
    buf_deinit(&key);
    return d;
}

static void dest_free(struct dest *d)
{
    heap_deinit(&d->waiting);
    free(d->name);
    free(d);
}

static bool dest_runnable(const struct schedule *s, const struct dest *d, uint64_t now_ms)
{
    size_t room = d->failures ? 1 : d->limits.active;
    return d->n_ready && d->active < room && now_ms >= MAX(d->hold_until_ms, d->next_start_ms) &&
           (d->flow == FLOW_IN || s->mode == SCHEDULE_SEND);
}

/* After any change of a destination: its place in the turns and the time it wants to be looked at again. */
static void dest_settle(struct schedule *s, struct dest *d, uint64_t now_ms)
{
    if (!dest_runnable(s, d, now_ms))
        list_remove(&d->turn);
    else if (list_empty(&d->turn))
        list_append(&s->turns, &d->turn);

    uint64_t wake = UINT64_MAX;
    if (d->waiting.n && d->n_ready < READY_MAX) wake = heap_first(&d->waiting)->key;
    uint64_t may_start_ms = MAX(d->hold_until_ms, d->next_start_ms);
    if (d->n_ready && may_start_ms > now_ms) wake = MIN(wake, may_start_ms);
    if (d->legs == 0)
        wake = d->failures ? MAX(d->hold_until_ms, now_ms) + IDLE_DEST_MS : MAX(d->next_start_ms, now_ms);
    if (wake == UINT64_MAX)
        heap_remove(&s->dests, &d->wake);
    else
        heap_set(&s->dests, &d->wake, wake);
}

static void dest_forget(struct schedule *s, struct dest *d)
{
    struct buf key;
    dest_key(d->flow, slice_of(d->name), &key);
    map_remove(&s->by_name, buf_slice(&key));
    buf_deinit(&key);
    heap_remove(&s->dests, &d->wake);
    list_remove(&d->turn);
    dest_free(d);
}

/* ---- legs ---- */

static void leg_take_out(struct leg *l) /* of whatever it is in; its destination is to be settled */
{
    if (l->state == LEG_WAITING) heap_remove(&l->dest->waiting, &l->due);
    if (l->state == LEG_READY) {
        list_remove(&l->ready);
        l->dest->n_ready--;
    }
}

static void leg_ready(struct leg *l)
{
    leg_take_out(l);
    l->state = LEG_READY;
    list_append(&l->dest->ready, &l->ready);
    l->dest->n_ready++;
}

static void leg_wait(struct leg *l, uint64_t due_ms)
{
    leg_take_out(l);
    l->state = LEG_WAITING;
    l->due = (struct heap_node){ 0 };
    heap_set(&l->dest->waiting, &l->due, due_ms);
}

/* Legs of a message that nobody may start. */
static void park(struct schedule *s, struct message *m, uint64_t now_ms)
{
    for (size_t i = 0; i < m->n_legs; i++) {
        struct leg *l = &m->legs[i];
        if (l->state != LEG_WAITING && l->state != LEG_READY) continue;
        leg_take_out(l);
        l->state = LEG_PARKED;
        dest_settle(s, l->dest, now_ms);
    }
}

static void unpark(struct schedule *s, struct message *m)
{
    for (size_t i = 0; i < m->n_legs; i++) {
        struct leg *l = &m->legs[i];
        if (l->state != LEG_PARKED) continue;
        leg_wait(l, 0);
        dest_settle(s, l->dest, 0);
    }
}

/* ---- messages ---- */

/* Whether it lies in one of the lists that GIVE takes from. */
static void settle_idle(struct schedule *s, struct message *m)
{
    bool idle = m->flow == FLOW_OUT && !m->pinned && !m->held && !m->giving && !m->no_give && !m->expired &&
                m->active == 0;
    list_remove(&m->idle);
    if (idle) list_append(m->greylisted ? &s->idle_grey : &s->idle, &m->idle);
}

static void settle_deadline(struct schedule *s, struct message *m)
{
    uint64_t at = m->told_delay ? m->expiry_ms : MIN(m->delayed_ms, m->expiry_ms);
    if (m->expired || m->held || at == UINT64_MAX)
        heap_remove(&s->deadlines, &m->deadline);
    else
        heap_set(&s->deadlines, &m->deadline, at);
}

bool schedule_add(struct schedule *s, const struct schedule_message *in)
{
    ASSERT(in->n_legs <= SCHEDULE_LEGS_MAX);
    if (find(s, &in->id)) return false;
    if (s->n_messages >= s->n_buckets) set_buckets(s, s->n_buckets * 2);
    struct message *m = xzalloc(sizeof *m + in->n_legs * sizeof m->legs[0]);
    struct message **b = bucket(s, &in->id);
    m->id = in->id;
    m->flow = (uint8_t)in->flow;
    m->pinned = in->pinned;
    m->held = in->held;
    m->n_legs = (uint16_t)in->n_legs;
    m->delayed_ms = in->delayed_ms;
    m->expiry_ms = in->expiry_ms;
    m->doubted = in->doubted;
    m->told_delay = in->delayed_ms == UINT64_MAX;
    m->next = *b;
    *b = m;
    list_init(&m->idle);
    s->n_messages++;
    s->flow_messages[in->flow]++;
    s->pinned += in->pinned;
    s->held += in->held;
    for (size_t i = 0; i < in->n_legs; i++) {
        struct leg *l = &m->legs[i];
        l->index = (uint16_t)i;
        l->dest = dest_get(s, in->flow, in->legs[i].dest);
        l->dest->legs++;
        l->state = LEG_PARKED;
        if (!m->pinned && !m->held) leg_wait(l, in->legs[i].due_ms);
        dest_settle(s, l->dest, 0);
    }
    settle_idle(s, m);
    settle_deadline(s, m);
    return true;
}

bool schedule_knows(const struct schedule *s, const struct queue_id *id)
{
    return find(s, id) != NULL;
}

bool schedule_life(const struct schedule *s, const struct queue_id *id, struct schedule_life *out)
{
    const struct message *m = find(s, id);
    if (!m) return false;
    *out = (struct schedule_life){ .expiry_ms = m->expiry_ms, .doubted = m->doubted };
    return true;
}

void schedule_remove(struct schedule *s, const struct queue_id *id)
{
    struct message **at = bucket(s, id);
    while (*at && !queue_id_eq(&(*at)->id, id)) at = &(*at)->next;
    struct message *m = *at;
    if (!m) return;
    *at = m->next;
    for (size_t i = 0; i < m->n_legs; i++) {
        struct leg *l = &m->legs[i];
        leg_take_out(l);
        if (l->state == LEG_ACTIVE) {
            l->dest->active--;
            s->active--;
        }
        l->dest->legs--;
        dest_settle(s, l->dest, 0);
    }
    s->giving -= m->giving;
    s->pinned -= m->pinned;
    s->held -= m->held;
    s->n_messages--;
    s->flow_messages[m->flow]--;
    heap_remove(&s->deadlines, &m->deadline);
    list_remove(&m->idle);
    free(m);
}

void schedule_unpin(struct schedule *s, const struct queue_id *id)
{
    struct message *m = find(s, id);
    if (!m || !m->pinned) return;
    m->pinned = false;
    s->pinned--;
    if (!m->expired && !m->held) unpark(s, m);
    settle_idle(s, m);
}

void schedule_hold(struct schedule *s, const struct queue_id *id)
{
    struct message *m = find(s, id);
    if (!m || m->held) return;
    m->held = true;
    s->held++;
    park(s, m, 0);
    settle_idle(s, m);
    settle_deadline(s, m);
}

enum schedule_status schedule_status(const struct schedule *s, const struct queue_id *id)
{
    const struct message *m = find(s, id);
    return !m          ? SCHEDULE_UNKNOWN
           : m->pinned ? SCHEDULE_IN_DOUBT
           : m->giving ? SCHEDULE_GIVING
           : m->active ? SCHEDULE_ACTIVE
           : m->held   ? SCHEDULE_HELD
                       : SCHEDULE_WAITING;
}

/* ---- what to do ---- */

static void settle_message(struct schedule *s, struct message *m)
{
    settle_idle(s, m);
    settle_deadline(s, m);
}

/* Deadlines of a message in somebody's hands wait until it is back: settle_deadline puts them in again. */
static bool next_deadline(struct schedule *s, uint64_t now_ms, struct schedule_action *out)
{
    for (struct heap_node *n; (n = heap_first(&s->deadlines)) && n->key <= now_ms;) {
        struct message *m = CONTAINER_OF(n, struct message, deadline);
        heap_remove(&s->deadlines, n);
        if (m->active || m->giving) continue;
        *out = (struct schedule_action){ .id = m->id, .flow = (enum flow)m->flow };
        if (m->expiry_ms <= now_ms) {
            m->expired = true;
            park(s, m, now_ms);
            settle_idle(s, m);
            out->kind = SCHEDULE_EXPIRED;
        } else {
            m->told_delay = true;
            settle_deadline(s, m);
            out->kind = SCHEDULE_DELAYED;
        }
        return true;
    }
    return false;
}

static bool next_give(struct schedule *s, uint64_t now_ms, struct schedule_action *out)
{
    if (s->mode != SCHEDULE_GIVE || s->giving >= s->conf.give_max) return false;
    struct list *from = list_empty(&s->idle) ? &s->idle_grey : &s->idle;
    if (list_empty(from)) return false;
    struct message *m = CONTAINER_OF(from->next, struct message, idle);
    m->giving = true;
    s->giving++;
    park(s, m, now_ms);
    settle_idle(s, m);
    *out = (struct schedule_action){ .kind = SCHEDULE_GIVE_AWAY, .id = m->id, .flow = FLOW_OUT };
    return true;
}

static void wake_dests(struct schedule *s, uint64_t now_ms)
{
    for (struct heap_node *n; (n = heap_first(&s->dests)) && n->key <= now_ms;) {
        struct dest *d = CONTAINER_OF(n, struct dest, wake);
        if (d->legs == 0) {
            dest_forget(s, d);
            continue;
        }
        for (struct heap_node *due;
             d->n_ready < READY_MAX && (due = heap_first(&d->waiting)) && due->key <= now_ms;)
            leg_ready(CONTAINER_OF(due, struct leg, due));
        dest_settle(s, d, now_ms);
    }
}

static bool next_start(struct schedule *s, uint64_t now_ms, struct schedule_action *out)
{
    while (s->active < s->conf.active_max && !list_empty(&s->turns)) {
        struct dest *d = CONTAINER_OF(s->turns.next, struct dest, turn);
        list_remove(&d->turn); /* its next turn comes after everybody else's */
        if (!dest_runnable(s, d, now_ms)) continue;
        struct leg *l = CONTAINER_OF(d->ready.next, struct leg, ready);
        struct message *m = message_of(l);
        leg_take_out(l);
        l->state = LEG_ACTIVE;
        l->listed = false;
        d->active++;
        s->active++;
        m->active++;
        d->next_start_ms = d->limits.gap_ms ? now_ms + d->limits.gap_ms : 0;
        settle_idle(s, m);
        dest_settle(s, d, now_ms);
        *out = (struct schedule_action){
            .kind = SCHEDULE_START, .id = m->id, .flow = d->flow, .dest = slice_of(d->name)
        };
        return true;
    }
    return false;
}

bool schedule_next(struct schedule *s, uint64_t now_ms, struct schedule_action *out)
{
    if (next_deadline(s, now_ms, out) || next_give(s, now_ms, out)) return true;
    wake_dests(s, now_ms);
    return next_start(s, now_ms, out);
}

uint64_t schedule_due_ms(const struct schedule *s)
{
    bool give = s->mode == SCHEDULE_GIVE && s->giving < s->conf.give_max &&
                !(list_empty(&s->idle) && list_empty(&s->idle_grey));
    bool start = s->active < s->conf.active_max && !list_empty(&s->turns);
    if (give || start) return 0;
    uint64_t due = UINT64_MAX;
    if (s->dests.n) due = heap_first(&s->dests)->key;
    if (s->deadlines.n) due = MIN(due, heap_first(&s->deadlines)->key);
    return due;
}

/* ---- what happened ---- */

/* Several legs may fail together on one dead destination: that is one failure, as long as its hold lasts. */
static void judge_dest(const struct schedule *s, struct dest *d, const struct retry_effect *e,
                       uint64_t now_ms)
{
    if (e->destination_down && now_ms >= d->hold_until_ms)
        d->hold_until_ms = now_ms + retry_wait_ms(&s->conf.retry, ++d->failures);
    else if (e->tried && !e->destination_down)
        d->failures = 0, d->hold_until_ms = 0;
}

static struct leg *active_leg(struct message *m, const struct dest *d)
{
    for (size_t i = 0; m && d && i < m->n_legs; i++)
        if (m->legs[i].dest == d && m->legs[i].state == LEG_ACTIVE) return &m->legs[i];
    return NULL;
}

void schedule_finished(struct schedule *s, const struct queue_id *id, struct slice dest,
                       const struct retry_effect *effect, uint64_t now_ms)
{
    struct message *m = find(s, id);
    struct dest *d = m ? dest_find(s, (enum flow)m->flow, dest) : NULL;
    struct leg *l = active_leg(m, d);
    if (!l) return; /* removed meanwhile */
    l->state = LEG_DONE;
    d->active--;
    s->active--;
    m->active--;
    judge_dest(s, d, effect, now_ms);
    if (effect->again) {
        l->listed = effect->listed;
        m->greylisted |= effect->greylisted;
        if (m->held)
            l->state = LEG_PARKED;
        else
            leg_wait(l, now_ms + (effect->tried ? effect->wait_ms : NOT_NOW_WAIT_MS));
    }
    dest_settle(s, d, now_ms);
    settle_message(s, m);
}

void schedule_given(struct schedule *s, const struct queue_id *id, enum err err)
{
    struct message *m = find(s, id);
    if (!m || !m->giving) return;
    if (err == ERR_OK) {
        schedule_remove(s, id);
        return;
    }
    m->giving = false;
    s->giving--;
    m->no_give = err == ERR_REFUSED;
    if (err == ERR_UNKNOWN) {
        m->pinned = true;
        s->pinned++;
    } else if (!m->held) {
        unpark(s, m);
    }
    settle_message(s, m);
}

/* ---- modes and orders ---- */

/* Taking one out reorders the heap: look first, then take. */
static void lift_listed_waits(struct dest *d)
{
    struct leg **listed = xzalloc((d->waiting.n + 1) * sizeof *listed);
    size_t n = 0;
    for (size_t i = 0; i < d->waiting.n; i++) {
        struct leg *l = CONTAINER_OF(d->waiting.p[i], struct leg, due);
        if (l->listed) listed[n++] = l;
    }
    for (size_t i = 0; i < n; i++) leg_ready(listed[i]);
    free(listed);
}

static void forget_refusals(struct schedule *s)
{
    for (size_t i = 0; i < s->n_buckets; i++)
        for (struct message *m = s->buckets[i]; m; m = m->next) {
            if (!m->no_give) continue;
            m->no_give = false;
            settle_idle(s, m);
        }
}

void schedule_out(struct schedule *s, enum schedule_mode mode, uint64_t now_ms)
{
    size_t at = 0;
    struct slice key;
    void *value;
    bool entering = mode == SCHEDULE_SEND && s->mode != SCHEDULE_SEND;
    s->mode = mode;
    while (map_next(&s->by_name, &at, &key, &value)) {
        struct dest *d = value;
        if (d->flow != FLOW_OUT) continue;
        if (entering) {
            d->failures = 0;
            d->hold_until_ms = 0;
            lift_listed_waits(d);
        }
        dest_settle(s, d, now_ms);
    }
    if (mode == SCHEDULE_GIVE) forget_refusals(s);
}

enum schedule_mode schedule_mode(const struct schedule *s)
{
    return s->mode;
}

static size_t flush_dest(struct schedule *s, struct dest *d, uint64_t now_ms)
{
    bool held = d->hold_until_ms > now_ms; /* what is due has not been tried either */
    size_t n = d->waiting.n + (held ? d->n_ready : 0);
    while (d->waiting.n) leg_ready(CONTAINER_OF(heap_first(&d->waiting), struct leg, due));
    d->hold_until_ms = 0;
    dest_settle(s, d, now_ms);
    return n;
}

static size_t flush_message(struct schedule *s, struct message *m, uint64_t now_ms)
{
    size_t n = 0;
    for (size_t i = 0; m && i < m->n_legs; i++) {
        struct leg *l = &m->legs[i];
        if (l->state != LEG_WAITING && l->state != LEG_READY) continue;
        leg_take_out(l); /* to the front: somebody asked for this one */
        l->state = LEG_READY;
        list_append(l->dest->ready.next, &l->ready);
        l->dest->n_ready++;
        l->dest->hold_until_ms = 0;
        dest_settle(s, l->dest, now_ms);
        n++;
    }
    return n;
}

size_t schedule_flush(struct schedule *s, const struct queue_id *id, struct slice dest, uint64_t now_ms)
{
    size_t at = 0, n = 0;
    struct slice key;
    void *value;
    if (id) return flush_message(s, find(s, id), now_ms);
    while (map_next(&s->by_name, &at, &key, &value)) {
        struct dest *d = value;
        if (dest.n == 0 || slice_ieq(slice_of(d->name), dest)) n += flush_dest(s, d, now_ms);
    }
    return n;
}

/* ---- views ---- */

void schedule_each_dest(const struct schedule *s, uint64_t now_ms,
                        void (*fn)(void *owner, const struct schedule_dest_view *v), void *owner)
{
    size_t at = 0;
    struct slice key;
    void *value;
    while (map_next(&s->by_name, &at, &key, &value)) {
        const struct dest *d = value;
        struct schedule_dest_view v = { .name = slice_of(d->name),
                                        .flow = d->flow,
                                        .waiting = d->waiting.n + d->n_ready,
                                        .active = d->active,
                                        .failures = d->failures };
        if (v.waiting == 0 && v.active == 0) continue;
        if (d->n_ready == 0 && d->waiting.n) v.next_ms = heap_first(&d->waiting)->key;
        if (d->hold_until_ms > now_ms) v.next_ms = MAX(v.next_ms, d->hold_until_ms);
        fn(owner, &v);
    }
}

size_t schedule_backlog(const struct schedule *s, uint64_t now_ms)
{
    size_t at = 0, n = 0;
    struct slice key;
    void *value;
    while (map_next(&s->by_name, &at, &key, &value)) {
        const struct dest *d = value;
        bool open = !d->failures && now_ms >= d->hold_until_ms &&
                    (d->flow == FLOW_IN || s->mode == SCHEDULE_SEND);
        if (open) n += d->n_ready;
    }
    return n;
}

void schedule_counts(const struct schedule *s, struct schedule_counts *out)
{
    *out = (struct schedule_counts){ .active = s->active,
                                     .giving = s->giving,
                                     .pinned = s->pinned,
                                     .held = s->held,
                                     .destinations = s->by_name.n };
    for (int f = 0; f < FLOW_COUNT; f++) out->messages[f] = s->flow_messages[f];
}

/* ---- life ---- */

struct schedule *schedule_create(const struct schedule_conf *conf)
{
    struct schedule *s = xzalloc(sizeof *s);
    ASSERT(conf->active_max && conf->active_per_dest && conf->give_max);
    s->conf = *conf;
    s->n_buckets = BUCKETS_MIN;
    s->buckets = xzalloc(s->n_buckets * sizeof *s->buckets);
    list_init(&s->turns);
    list_init(&s->idle);
    list_init(&s->idle_grey);
    return s;
}

void schedule_destroy(struct schedule *s)
{
    if (!s) return;
    size_t at = 0;
    struct slice key;
    void *value;
    for (size_t i = 0; i < s->n_buckets; i++)
        for (struct message *m = s->buckets[i], *next; m; m = next) {
            next = m->next;
            free(m);
        }
    while (map_next(&s->by_name, &at, &key, &value)) dest_free(value);
    map_deinit(&s->by_name);
    heap_deinit(&s->dests);
    heap_deinit(&s->deadlines);
    free(s->buckets);
    free(s);
}
