/* A job: (a waiting connection to the same place | route → address after address → connection) → mail → outcomes →
 * classified, logged, reported → the queue's `done`; the connection waits a little for the next job.
 *
 * Failure modes: the gate is closed, before or within (NOT_NOW; nothing left, or nothing after the check); no route; an
 * address does not answer or refuses with 4yz: the next one; our own address cannot be bound: deferred, no other is
 * tried; a waiting connection turns out to be dead: the job starts over without it; TLS fails: the same address again in
 * clear, when policy allows, else the next; DANE cannot be asked for: the next; a lost reply after the final dot: deferred and counted, the one window for a second copy. */
#include "node/queue/in_hand.h"
#include "node/relay/delivery.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/timers.h"
#include "node/relay/conn.h"
#include "node/relay/dane.h"
#include "node/relay/report.h"

enum { TLS_NAMES_MAX = 32 }; /* relay.tls_policy has no more */
enum { AGAIN_MAX = 20 };     /* further transactions for "too many recipients" in one job */

struct line { /* a connection with somebody to talk to, or waiting for one */
    struct list all;
    struct delivery *d;
    struct conn *conn;
    struct task *task; /* NULL: idle */
    enum flow flow;
    char *destination; /* what it may be used for again */
    struct session_conf session;
    struct timer idle;
};

enum task_state { TASK_START, TASK_ROUTING, TASK_NEXT, TASK_DANE, TASK_OPENING, TASK_SENDING };

struct task { /* one job */
    struct list all;
    struct delivery *d;
    struct delivery_job *job;
    delivery_done_fn *done;
    void *queue;
    enum task_state at;
    uint64_t seq;
    bool stopped;    /* the queue wants it back */
    bool fresh_only; /* no waiting connection any more: one has failed us */
    bool in_clear;   /* TLS failed at this address */
    struct timer now;
    struct route_op *route_op;
    struct route_answer route;
    size_t target; /* the next to be tried */
    struct limit_value limits[LIMITS];
    struct tls_policy policy;
    enum tls_level level; /* at this target, after DNS was asked */
    struct dane_op *dane_op;
    struct dane_answer dane; /* of this target; its texts in the arena */
    struct slice names[TLS_NAMES_MAX];
    struct tls_peer peer;
    struct line *line;
    uint64_t ticket; /* of the gate; 0: not gated */
    uint64_t started_ms;
    struct addr from; /* as the kernel said */
    struct relay_mail mail;
    struct relay_rcpt *rcpts;       /* of the transaction; cookie: index in `outcomes` */
    struct relay_outcome *outcomes; /* of the job */
    struct relay_outcome worst;     /* of the addresses tried so far */
    unsigned again;
    struct arena arena;
};

struct delivery {
    struct env env;
    const struct delivery_conf *conf;
    struct resolver *dns;
    struct spool *spool;
    delivery_refused_fn *refused;
    void *owner;
    struct session_conf sessions[FLOW_COUNT][SESSION_TLS_ENCRYPT + 1]; /* by enum session_tls */
    struct list tasks, lines;
    size_t n_tasks, n_idle;
    uint64_t seq;
    struct delivery_counters counters;
};

#define COUNT(d, what) atomic_fetch_add_explicit(&(d)->counters.what, 1, memory_order_relaxed)

static void tick(struct task *t);

static uint64_t now_ms(const struct delivery *d)
{
    return timers_now_ms(d->env.timers);
}

/* ---- lines ---- */

static void line_free(struct line *l)
{
    timer_clear(l->d->env.timers, &l->idle);
    conn_destroy(&l->conn);
    list_remove(&l->all);
    if (!l->task) l->d->n_idle--;
    free(l->destination);
    free(l);
}

static void line_quit(struct line *l)
{
    conn_close(&l->conn);
    line_free(l);
}

static void idle_on(struct timer *timer)
{
    line_quit(timer->owner);
}

static void line_changed(void *owner)
{
    struct line *l = owner;
    if (l->task)
        tick(l->task);
    else
        line_free(l); /* the peer had enough of waiting */
}

/* The job is done with it. Ready ones wait for the next; the oldest makes room. */
static void line_release(struct line *l)
{
    struct delivery *d = l->d;
    l->task = NULL;
    d->n_idle++;
    if (conn_state(l->conn) != CONN_READY || !d->conf->idle_ms || !d->conf->idle_max) {
        line_free(l);
        return;
    }
    timer_set_in(d->env.timers, &l->idle, d->conf->idle_ms, idle_on, l);
    LIST_EACH_SAFE(&d->lines, it, next)
    {
        struct line *old = CONTAINER_OF(it, struct line, all);
        if (d->n_idle <= d->conf->idle_max) break;
        if (!old->task && old != l) line_quit(old);
    }
}

static struct line *line_waiting(struct task *t)
{
    struct delivery *d = t->d;
    LIST_EACH_SAFE(&d->lines, it, next)
    {
        struct line *l = CONTAINER_OF(it, struct line, all);
        if (l->task || l->flow != t->job->flow || !slice_eq(slice_of(l->destination), t->job->destination))
            continue;
        if (conn_ticket(l->conn) != t->ticket) { /* of another opening of the gate */
            line_free(l);
            continue;
        }
        timer_clear(d->env.timers, &l->idle);
        l->task = t;
        d->n_idle--;
        return l;
    }
    return NULL;
}

static enum session_tls session_mode(const struct task *t)
{
    if (!t->d->conf->tls || t->in_clear || t->level == TLS_LEVEL_NONE) return SESSION_TLS_OFF;
    return t->level == TLS_LEVEL_MAY ? SESSION_TLS_MAY : SESSION_TLS_ENCRYPT;
}

/* Which names a certificate must have: those of the rule, else the host's, or the domain's (whose MX may be somebody
 * else's). */
static void demand_names(struct task *t, const struct route_target *to)
{
    const char *const *match = t->policy.match->items;
    size_t n = 0;
    for (; n < t->policy.match->n && n < TLS_NAMES_MAX; n++) t->names[n] = slice_of(match[n]);
    if (!n) {
        struct slice host = dns_name_slice(&to->host);
        if (host.n) t->names[n++] = host;
        if (t->job->flow == FLOW_OUT) t->names[n++] = t->job->destination;
    }
    t->peer.names = t->names;
    t->peer.n_names = n;
}

static struct tls_context *demand(struct task *t, const struct route_target *to)
{
    const struct delivery_conf *c = t->d->conf;
    t->peer = (struct tls_peer){ 0 };
    switch (t->level) {
    case TLS_LEVEL_NONE:
    case TLS_LEVEL_MAY: return c->tls;
    case TLS_LEVEL_ENCRYPT: return c->tls_strict;
    case TLS_LEVEL_VERIFY: demand_names(t, to); return c->tls_verify;
    case TLS_LEVEL_DANE:
    case TLS_LEVEL_DANE_ONLY: break;
    }
    demand_names(t, to); /* below a pinned anchor: the host's name or the domain's (RFC 7672 3.2.2) */
    t->peer.pins = t->dane.pins;
    t->peer.n_pins = t->dane.n;
    return c->tls_strict;
}

static void line_open(struct task *t, const struct route_target *to)
{
    struct delivery *d = t->d;
    enum flow flow = t->job->flow;
    struct line *l = xzalloc(sizeof *l);
    *l = (struct line){ .d = d, .task = t, .flow = flow, .destination = slice_dup(t->job->destination) };
    list_append(&d->lines, &l->all);
    l->session = d->sessions[flow][session_mode(t)];
    l->session.mails_max = (uint32_t)MAX(t->limits[LIMIT_MESSAGES_PER_CONNECTION].value, UINT64_C(1));
    struct conn_conf conf = { .session = &l->session,
                              .to = to->addr,
                              .host = dns_name_slice(&to->host),
                              .tls = demand(t, to),
                              .peer = &t->peer,
                              .connect_ms = d->conf->connect_ms };
    if (flow == FLOW_OUT) {
        conf.from = d->conf->from;
        conf.gate = d->conf->gate;
        conf.ticket = t->ticket;
    }
    t->line = l;
    l->conn = conn_start(&d->env, &conf, line_changed, l);
    COUNT(d, connections);
}

/* ---- the end of a job ---- */

static void count(struct task *t, const struct relay_outcome *o)
{
    struct delivery *d = t->d;
    enum flow flow = t->job->flow;
    if (o->verdict == RELAY_SENT)
        COUNT(d, sent[flow]);
    else if (o->verdict == RELAY_FAILED)
        COUNT(d, failed[flow]);
    else if (!o->gate_closed)
        COUNT(d, deferred[flow]);
    if (o->effect != EFFECT_NONE) COUNT(d, refused[o->effect]);
}

static void count_mail(struct task *t)
{
    bool sent = false, maybe = false;
    for (size_t i = 0; i < t->job->n_rcpts; i++) {
        sent |= t->outcomes[i].verdict == RELAY_SENT;
        maybe |= t->outcomes[i].maybe_sent;
    }
    if (sent) COUNT(t->d, mails_sent[t->job->flow]);
    if (maybe) COUNT(t->d, maybe_sent);
}

static struct slice rcpt_address(const struct task *t, size_t i)
{
    return t->job->envelope->rcpts[t->job->rcpts[i]].address;
}

static void report(struct task *t)
{
    struct delivery *d = t->d;
    struct report_attempt a = { .queue_id = t->mail.queue_id,
                                .destination = t->job->destination,
                                .flow = t->job->flow,
                                .from = t->from,
                                .helo = d->sessions[t->job->flow][0].helo,
                                .took_ms = now_ms(d) - t->started_ms };
    struct slice told = SLICE(
        ""); /* one piece of evidence for one reason, however many recipients heard it */
    struct rulebook_page *page = d->conf->rules ? rulebook_hold(d->conf->rules) : NULL;
    for (size_t i = 0; i < t->job->n_rcpts; i++) {
        struct relay_outcome *o = &t->outcomes[i];
        struct refusal r;
        report_log(d->env.log, &a, rcpt_address(t, i), o);
        count(t, o);
        if (!d->refused || !page || slice_eq(o->rule, told)) continue;
        if (!report_refusal(&a, d->conf->identity, rulebook_rules(page), o, timers_wall_ms(d->env.timers),
                            &r))
            continue;
        told = o->rule;
        d->refused(d->owner, &r);
    }
    if (page) rulebook_release(d->conf->rules, page);
}

static void task_free(struct task *t)
{
    timer_clear(t->d->env.timers, &t->now);
    route_cancel(&t->route_op);
    dane_cancel(&t->dane_op);
    list_remove(&t->all);
    t->d->n_tasks--;
    arena_deinit(&t->arena);
    free(t);
}

/* All recipients have an outcome. Frees the task. */
static void finish(struct task *t)
{
    struct delivery_result *results = arena_alloc(&t->arena,
                                                  MAX(t->job->n_rcpts, (size_t)1) * sizeof *results);
    count_mail(t);
    report(t);
    for (size_t i = 0; i < t->job->n_rcpts; i++) report_result(&t->outcomes[i], &t->arena, &results[i]);
    if (t->line) line_release(t->line);
    t->line = NULL;
    t->done(t->queue, t->job, results);
    task_free(t);
}

/* The same for every recipient nothing was decided about. */
static void finish_with(struct task *t, struct relay_outcome o)
{
    if (o.verdict == RELAY_PENDING) o.verdict = RELAY_DEFERRED;
    for (size_t i = 0; i < t->job->n_rcpts; i++)
        if (t->outcomes[i].verdict == RELAY_PENDING || t->outcomes[i].too_many) t->outcomes[i] = o;
    finish(t);
}

static void finish_not_now(struct task *t, const char *why)
{
    dane_cancel(&t->dane_op);
    if (t->line) line_free(t->line);
    t->line = NULL;
    finish_with(t, (struct relay_outcome){ .verdict = RELAY_DEFERRED,
                                           .stage = RELAY_CONNECT,
                                           .enhanced = { 4, 3, 2 },
                                           .text = slice_of(why),
                                           .gate_closed = true });
}

/* ---- the mail ---- */

static enum err chunk_on(void *owner, uint32_t index, struct buf *out)
{
    const struct task *t = owner;
    return spool_chunk(t->d->spool, &t->job->id, index, out);
}

/* Those of the job's recipients about whom nothing is decided, or who were one too many last time; as many as may go in
 * one transaction. */
static void fill_mail(struct task *t)
{
    const struct envelope *e = t->job->envelope;
    size_t most = t->limits[LIMIT_RECIPIENTS].value ? t->limits[LIMIT_RECIPIENTS].value : SIZE_MAX;
    t->mail.n_rcpts = 0;
    for (size_t i = 0; i < t->job->n_rcpts && t->mail.n_rcpts < most; i++) {
        const struct envelope_rcpt *r = &e->rcpts[t->job->rcpts[i]];
        if (t->outcomes[i].verdict != RELAY_PENDING && !t->outcomes[i].too_many) continue;
        t->rcpts[t->mail.n_rcpts++] = (struct relay_rcpt){
            .address = r->address, .orcpt = r->orcpt, .notify = r->notify, .cookie = &t->outcomes[i]
        };
    }
}

static void send_mail(struct task *t)
{
    fill_mail(t);
    t->at = TASK_SENDING;
    t->from = *conn_local(t->line->conn);
    conn_in_hand(t->line->conn, &t->job->id);
    conn_send(t->line->conn, &t->mail, t->job->envelope->chunks, chunk_on, t);
}

static void classify_one(struct task *t, struct relay_outcome *o)
{
    struct rulebook *book = t->d->conf->rules;
    if (!book || !o->code) return;
    struct rulebook_page *page = rulebook_hold(book);
    report_classify(rulebook_rules(page), &t->from, o);
    o->rule = arena_dup(&t->arena, o->rule);
    rulebook_release(book, page);
}

/* The connection broke, or was being closed, before anything was decided: no answer to this mail. */
static bool was_dead(const struct task *t)
{
    const struct relay_outcome *o = &t->mail.rcpts[0].out;
    for (size_t i = 0; i < t->mail.n_rcpts; i++)
        if (t->mail.rcpts[i].out.text.p != o->text.p) return false;
    if (o->verdict != RELAY_DEFERRED || o->maybe_sent || o->gate_closed) return false;
    return conn_state(t->line->conn) == CONN_OVER &&
           ((!o->code && o->stage < RELAY_DATA) || (o->code == 421 && o->stage == RELAY_MAIL));
}

static bool take_outcomes(struct task *t)
{
    bool sent = false, too_many = false;
    struct slice host = arena_dup(&t->arena,
                                  conn_host(t->line->conn)); /* the connection may go before the outcome */
    for (size_t i = 0; i < t->mail.n_rcpts; i++) {
        struct relay_outcome *o = t->mail.rcpts[i].cookie;
        *o = t->mail.rcpts[i].out;
        o->mta_name = host;
        classify_one(t, o);
        sent |= o->verdict == RELAY_SENT;
        too_many |= o->too_many;
    }
    return sent && too_many && t->again++ < AGAIN_MAX && conn_state(t->line->conn) == CONN_READY;
}

/* ---- the flow ---- */

static void route_on(void *owner, const struct route_answer *a)
{
    struct task *t = owner;
    t->route_op = NULL;
    t->route = *a;
    tick(t);
}

static struct relay_outcome no_route(const struct route_answer *a)
{
    return (struct relay_outcome){
        .verdict = a->verdict, .stage = RELAY_ROUTE, .enhanced = a->enhanced, .text = slice_of(a->text)
    };
}

static unsigned families(const struct task *t)
{
    if (t->job->flow != FLOW_OUT || t->d->conf->from.family == ADDR_NONE) return ADDRS_BOTH;
    return t->d->conf->from.family == ADDR_V6 ? ADDRS_V6 : ADDRS_V4;
}

/* Of several addresses' answers, one with a reply tells more than one without; and mail comes back only when every
 * address said so. */
static void remember_failure(struct task *t, const struct relay_outcome *o)
{
    struct relay_outcome kept = *o;
    kept.text = arena_dup(&t->arena, o->text);
    kept.mta_name = arena_dup(&t->arena, o->mta_name);
    classify_one(t, &kept);
    bool soft = t->worst.verdict == RELAY_DEFERRED || kept.verdict == RELAY_DEFERRED;
    if (t->worst.verdict == RELAY_PENDING || kept.code || !t->worst.code) t->worst = kept;
    if (soft) t->worst.verdict = RELAY_DEFERRED;
}

static void tally(struct task *t, enum tls_result result, struct slice why)
{
    const struct route_target *to = &t->route.target[t->target - 1];
    if (!t->d->conf->tally) return;
    tls_tally_add(t->d->conf->tally, &(struct tls_event){ .destination = t->job->destination,
                                                          .level = t->level,
                                                          .result = result,
                                                          .mx = dns_name_slice(&to->host),
                                                          .why = why,
                                                          .to = to->addr,
                                                          .from = t->from,
                                                          .wall_ms = timers_wall_ms(t->d->env.timers) });
}

/* The connection was over before it could take mail. Says whether another address may be tried. */
static bool after_failure(struct task *t)
{
    struct conn *c = t->line->conn;
    bool own_fault = conn_own_address_failed(c), tls_failed = conn_tls_failed(c);
    bool clear = tls_failed && !t->in_clear && t->level == TLS_LEVEL_MAY && t->policy.clear;
    t->from = *conn_local(c);
    if (tls_failed) tally(t, tls_result_of(conn_tls_fault(c)), conn_failure(c)->text);
    if (conn_tls_missing(c)) tally(t, TLS_RESULT_NOT_OFFERED, conn_failure(c)->text);
    remember_failure(t, conn_failure(c));
    line_free(t->line);
    t->line = NULL;
    if (tls_failed) {
        COUNT(t->d, tls_failed);
        log_warn(t->d->env.log, "relay.tls_failed", kv_slice("id", t->mail.queue_id),
                 kv_slice("mx", t->worst.mta_name), kv_addr("to", &t->worst.mta),
                 kv_slice("why", t->worst.text), kv_cstr("policy", tls_level_words[t->level]),
                 kv_bool("clear", clear));
    }
    if (clear) {
        t->in_clear = true;
        t->target--;
        return true;
    }
    t->in_clear = false;
    /* A host that has us on its list has told its neighbours. */
    return !own_fault && t->worst.effect != EFFECT_SWITCH;
}

/* ---- DANE: once for each host ---- */

static bool routed(const struct task *t)
{
    struct route_plan plan;
    route_parse(&t->d->conf->route, t->job->destination, &plan);
    return plan.kind == ROUTE_BY_MX;
}

static void dane_on(void *owner, const struct dane_answer *a)
{
    struct task *t = owner;
    t->dane_op = NULL;
    t->dane = *a;
    for (size_t i = 0; i < a->n; i++) t->dane.pins[i].data = arena_dup(&t->arena, a->pins[i].data);
    tick(t);
}

/* Opens the connection to the current target, or asks first how. */
static void approach(struct task *t)
{
    const struct route_target *to = &t->route.target[t->target++];
    bool dane = t->policy.level == TLS_LEVEL_DANE || t->policy.level == TLS_LEVEL_DANE_ONLY;
    t->level = t->policy.level;
    t->dane = (struct dane_answer){ .result = DANE_ABSENT, .why = "it is an address, without a name" };
    t->at = dane ? TASK_DANE : TASK_OPENING;
    if (!dane)
        line_open(t, to);
    else if (dns_name_slice(&to->host).n)
        t->dane_op = dane_start(t->d->dns, routed(t) ? t->job->destination : SLICE(""),
                                dns_name_slice(&to->host), to->addr.port, dane_on, t);
}

static void dane_prevents(struct task *t, enum tls_result result)
{
    const struct route_target *to = &t->route.target[t->target - 1];
    struct slice host = dns_name_slice(&to->host);
    struct relay_outcome o = { .verdict = RELAY_DEFERRED,
                               .stage = RELAY_TLS,
                               .enhanced = { 4, 7, 5 },
                               .mta_name = host,
                               .mta = to->addr,
                               .text = slice_of(arena_printf(&t->arena, "DANE for %.*s: %s", SLICE_ARG(host),
                                                             t->dane.why)) };
    tally(t, result, o.text);
    remember_failure(t, &o);
    t->at = TASK_NEXT;
}

/* The answer is there: the level that holds at this target. */
static void after_dane(struct task *t)
{
    switch (t->dane.result) {
    case DANE_PINNED: t->level = TLS_LEVEL_DANE; break;
    case DANE_ENCRYPT: t->level = TLS_LEVEL_ENCRYPT; break;
    case DANE_FAILED: dane_prevents(t, TLS_RESULT_DNSSEC_INVALID); return;
    case DANE_ABSENT:
        if (t->policy.level == TLS_LEVEL_DANE_ONLY) {
            dane_prevents(t, TLS_RESULT_DANE_REQUIRED);
            return;
        }
        t->level = TLS_LEVEL_MAY;
        break;
    }
    t->at = TASK_OPENING;
    line_open(t, &t->route.target[t->target - 1]);
}

static void start_or_join(struct task *t)
{
    if (!t->fresh_only && (t->line = line_waiting(t))) {
        COUNT(t->d, reused);
        send_mail(t);
        return;
    }
    t->at = TASK_ROUTING;
    if (!t->route.n)
        t->route_op = route_start(&t->d->conf->route, t->d->dns, t->job->destination, families(t), route_on,
                                  t);
}

/* The next transaction, when there are more recipients than go in one: on this connection, or on a new one when it has had
 * its share. Where it broke, the others share the lot of those who were on it. */
static bool go_on(struct task *t)
{
    const struct relay_outcome *last = t->mail.rcpts[t->mail.n_rcpts - 1].cookie;
    size_t pending = 0;
    bool sent = false;
    for (size_t i = 0; i < t->job->n_rcpts; i++) pending += t->outcomes[i].verdict == RELAY_PENDING;
    for (size_t i = 0; i < t->mail.n_rcpts; i++)
        sent |= ((struct relay_outcome *)t->mail.rcpts[i].cookie)->verdict == RELAY_SENT;
    if (!pending) {
        finish(t);
        return false;
    }
    if (conn_state(t->line->conn) == CONN_READY) {
        send_mail(t);
        return true;
    }
    if (!sent) {
        struct relay_outcome o = *last;
        o.verdict = RELAY_DEFERRED;
        finish_with(t, o);
        return false;
    }
    line_free(t->line);
    t->line = NULL;
    t->target = 0;
    t->at = TASK_START;
    return true;
}

/* The mail is back. False: the task is gone. */
static bool after_mail(struct task *t)
{
    struct line *l = t->line;
    if (conn_mails(l->conn) > 1 && was_dead(t)) { /* it had been waiting for us too long */
        line_free(l);
        t->line = NULL;
        t->fresh_only = true;
        t->at = TASK_START;
        return true;
    }
    if (t->target && t->target < t->route.n && was_dead(t)) {
        remember_failure(t, &t->mail.rcpts[0].out);
        line_free(l);
        t->line = NULL;
        t->at = TASK_NEXT;
        return true;
    }
    if (take_outcomes(t)) {
        send_mail(t);
        return true;
    }
    return go_on(t);
}

/* False: wait, or the task is gone. */
static bool step(struct task *t)
{
    switch (t->at) {
    case TASK_START: start_or_join(t); return true;
    case TASK_ROUTING:
        if (t->route_op) return false;
        if (t->route.verdict != RELAY_PENDING) {
            finish_with(t, no_route(&t->route));
            return false;
        }
        t->at = TASK_NEXT;
        return true;
    case TASK_NEXT:
        if (t->target >= t->route.n) {
            finish_with(t, t->worst);
            return false;
        }
        approach(t);
        return t->at == TASK_DANE;
    case TASK_DANE:
        if (t->dane_op) return false;
        after_dane(t);
        return t->at == TASK_NEXT;
    case TASK_OPENING:
        if (conn_state(t->line->conn) == CONN_OPENING) return false;
        if (conn_state(t->line->conn) == CONN_READY) {
            bool is_tls = conn_is_tls(t->line->conn);
            if (is_tls) COUNT(t->d, tls);
            t->from = *conn_local(t->line->conn);
            tally(t, is_tls ? TLS_RESULT_SUCCESS : TLS_RESULT_CLEAR, SLICE(""));
            send_mail(t);
            return true;
        }
        if (!after_failure(t)) t->target = t->route.n;
        t->at = TASK_NEXT;
        return true;
    case TASK_SENDING: return conn_take_done(t->line->conn) && after_mail(t);
    }
    return false;
}

static bool gate_allows(const struct task *t)
{
    struct gate *g = t->d->conf->gate;
    return t->job->flow != FLOW_OUT || !g || gate_valid(g, t->ticket, now_ms(t->d));
}

static void tick_one(struct task *t)
{
    if (t->at != TASK_SENDING) { /* within a mail the session asks the gate itself */
        if (t->stopped) {
            finish_not_now(t, "the queue took it back");
            return;
        }
        if (!gate_allows(t)) {
            finish_not_now(t, "this node may not send now");
            return;
        }
    }
    while (step(t)) {
    }
}

static void tick(struct task *t)
{
    in_hand(&t->job->id);
    tick_one(t);
    in_hand(NULL);
}

/* ---- the queue's side ---- */

static void now_on(struct timer *timer)
{
    struct task *t = timer->owner;
    if (t->job->flow == FLOW_OUT && !t->d->conf->identity) {
        finish_not_now(t, "no identity of this node sends");
        return;
    }
    if (t->stopped && t->at == TASK_SENDING && !conn_past_dot(t->line->conn))
        conn_abort(t->line->conn, true, "the queue took it back");
    tick(t);
}

static void fill_constants(struct task *t)
{
    const struct envelope *e = t->job->envelope;
    t->mail = (struct relay_mail){ .queue_id = queue_id_slice(&t->job->id),
                                   .sender = e->sender,
                                   .envid = e->envid,
                                   .ret = e->ret,
                                   .smtputf8 = e->smtputf8,
                                   .body_8bit = e->body_8bit,
                                   .size_bytes = e->size_bytes,
                                   .rcpts = t->rcpts,
                                   .arena = &t->arena };
}

static void start(void *owner, struct delivery_job *job, delivery_done_fn *done, void *queue)
{
    struct delivery *d = owner;
    struct task *t = xzalloc(sizeof *t);
    *t = (struct task){
        .d = d, .job = job, .done = done, .queue = queue, .seq = d->seq++, .started_ms = now_ms(d)
    };
    list_append(&d->tasks, &t->all);
    d->n_tasks++;
    t->rcpts = arena_alloc(&t->arena, MAX(job->n_rcpts, (size_t)1) * sizeof *t->rcpts);
    t->outcomes = arena_alloc(&t->arena, MAX(job->n_rcpts, (size_t)1) * sizeof *t->outcomes);
    fill_constants(t);
    limits_find(&d->conf->limits_by_dest, job->destination, t->limits);
    tls_policy_find(&d->conf->policies, job->destination, job->flow == FLOW_OUT && routed(t), &t->policy);
    if (job->flow == FLOW_OUT && d->conf->gate) t->ticket = gate_ticket(d->conf->gate, now_ms(d));
    timer_set_in(d->env.timers, &t->now, 0, now_on, t);
}

static void stop(void *owner, struct delivery_job *job)
{
    struct delivery *d = owner;
    LIST_EACH(&d->tasks, it)
    {
        struct task *t = CONTAINER_OF(it, struct task, all);
        if (t->job != job) continue;
        t->stopped = true;
        timer_set_in(d->env.timers, &t->now, 0, now_on, t);
        return;
    }
}

void delivery_deliverer(struct delivery *d, struct deliverer *out)
{
    *out = (struct deliverer){ .start = start, .stop = stop, .owner = d };
}

/* ---- the gate's side ---- */

/* True: past its dot, and left alone. */
static bool abort_task(struct task *t)
{
    if (t->at == TASK_SENDING && !conn_abort(t->line->conn, true, "this node may not send now")) return true;
    if (t->at == TASK_SENDING)
        tick(t); /* takes the mail back */
    else
        finish_not_now(t, "this node may not send now");
    return false;
}

size_t delivery_abort_all(struct delivery *d)
{
    size_t past_dot = 0;
    uint64_t until = d->seq; /* what `done` starts anew finds the gate closed by itself */
    LIST_EACH_SAFE(&d->lines, it, next)
    {
        struct line *l = CONTAINER_OF(it, struct line, all);
        if (!l->task && l->flow == FLOW_OUT) line_free(l);
    }
    for (struct list *it = d->tasks.next, *next; it != &d->tasks; it = next) {
        struct task *t = CONTAINER_OF(it, struct task, all);
        next = it->next;
        if (t->seq >= until) break;
        if (t->job->flow == FLOW_OUT) past_dot += abort_task(t);
    }
    return past_dot;
}

/* ---- life ---- */

void delivery_conf_default(struct delivery_conf *c)
{
    *c = (struct delivery_conf){ .route = { .port = 25 },
                                 .limits_by_dest = { .def = { [LIMIT_MESSAGES_PER_CONNECTION] = 20 } },
                                 .connect_ms = SECONDS(30),
                                 .idle_ms = SECONDS(5),
                                 .idle_max = 50,
                                 .limits = session_limits_rfc5321 };
}

static struct session_conf session_conf(const struct delivery_conf *c, enum flow flow, enum session_tls tls)
{
    return (struct session_conf){ .helo = flow == FLOW_OUT && c->helo ? c->helo : c->node_helo,
                                  .tls = tls,
                                  .eightbit_anyway = c->eightbit_anyway,
                                  .no_chunking = c->no_chunking,
                                  .mails_max = 1, /* the line's limit takes its place */
                                  .limits = c->limits };
}

struct delivery *delivery_create(const struct env *env, const struct delivery_conf *conf,
                                 struct resolver *dns, struct spool *spool, delivery_refused_fn *refused,
                                 void *owner)
{
    struct delivery *d = xzalloc(sizeof *d);
    d->env = *env;
    d->conf = conf;
    d->dns = dns;
    d->spool = spool;
    d->refused = refused;
    d->owner = owner;
    list_init(&d->tasks);
    list_init(&d->lines);
    for (enum flow f = 0; f < FLOW_COUNT; f++)
        for (enum session_tls m = SESSION_TLS_OFF; m <= SESSION_TLS_ENCRYPT; m++)
            d->sessions[f][m] = session_conf(conf, f, m);
    return d;
}

void delivery_close_idle(struct delivery *d)
{
    LIST_EACH_SAFE(&d->lines, it, next)
    {
        struct line *l = CONTAINER_OF(it, struct line, all);
        if (!l->task) line_quit(l);
    }
}

void delivery_destroy(struct delivery *d)
{
    if (!d) return;
    delivery_close_idle(d);
    LIST_EACH_SAFE(&d->tasks, it, next)
    {
        struct task *t = CONTAINER_OF(it, struct task, all);
        if (t->line) line_free(t->line);
        task_free(t);
    }
    ASSERT(list_empty(&d->lines));
    free(d);
}

size_t delivery_open(const struct delivery *d)
{
    return d->n_tasks;
}

const struct delivery_counters *delivery_counters(const struct delivery *d)
{
    return &d->counters;
}
