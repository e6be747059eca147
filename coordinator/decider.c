#include "coordinator/decider.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/timers.h"
#include "coordinator/fence_uv.h"
#include "coordinator/journal.h"
#include "proto/store_redis_uv.h"

struct ask { /* something the machine waits for */
    struct list list;
    struct decider *decider;
    uint32_t seq; /* 0: nobody waits for the answer */
    struct store_op *store;
    struct records_op *records;
    struct fence_op *fence;
};

struct decider {
    const struct env *env;
    struct decider_conf conf;
    const struct decider_events *ev;
    void *owner;
    struct failover *machine;
    struct fo_conf fo_conf;
    struct timer due;
    struct list asks;
    struct fo_actions actions;
    bool stepping;                 /* `actions` is in use */
    uint64_t leader;               /* id in the newest view */
    uint8_t active;                /* identity that sends, as of the last step */
    struct decider_store store[2]; /* reading, writing */
    char fence_words[160];
    uint64_t fences_run;
    char journal_path[512];
};

static void step(struct decider *d, struct fo_event *ev);

static const struct cluster_conf *cluster(const struct decider *d)
{
    return &d->conf.conf->cluster;
}

/* ---- asking, and being answered ---- */

static struct ask *ask_create(struct decider *d, uint32_t seq)
{
    struct ask *a = xzalloc(sizeof *a);
    a->decider = d;
    a->seq = seq;
    list_append(&d->asks, &a->list);
    return a;
}

static uint32_t ask_over(struct ask *a)
{
    uint32_t seq = a->seq;
    list_remove(&a->list);
    free(a);
    return seq;
}

static void note_store(struct decider *d, const struct store_reply *reply, const char *word)
{
    struct decider_store *s = &d->store[reply->kind != STORE_READ];
    if (reply->status != STORE_UNKNOWN) {
        if (s->failures > 1)
            log_info(d->env->log, "store.answers_again", kv_cstr("request", store_req_name(reply->kind)),
                     kv_u64("failures", s->failures));
        *s = (struct decider_store){ .answered_ms = timers_now_ms(d->env->timers) };
        return;
    }
    if (strcmp(word, s->word) != 0)
        log_warn(d->env->log, "store.no_answer", kv_cstr("request", store_req_name(reply->kind)),
                 kv_cstr("why", word));
    snprintf(s->word, sizeof s->word, "%s", word);
    s->failures++;
}

static void store_answered(void *owner, const struct store_reply *reply, const char *word)
{
    struct ask *a = owner;
    struct decider *d = a->decider;
    struct fo_event ev = { .kind = FO_EV_STORE, .reply = reply };
    ev.seq = ask_over(a);
    note_store(d, reply, word);
    if (reply->view) {
        d->leader = reply->view->leader;
        d->ev->view(d->owner, reply->view);
    }
    if (ev.seq) step(d, &ev);
}

static void token_answered(void *owner, bool reachable, const struct fo_token *token)
{
    struct ask *a = owner;
    struct decider *d = a->decider;
    struct fo_event ev = { .kind = FO_EV_TOKEN, .reachable = reachable, .token = *token };
    ev.seq = ask_over(a);
    step(d, &ev);
}

static void publish_answered(void *owner, enum fo_published result)
{
    struct ask *a = owner;
    struct decider *d = a->decider;
    struct fo_event ev = { .kind = FO_EV_PUBLISHED, .published = result };
    ev.seq = ask_over(a);
    step(d, &ev);
}

static void verify_answered(void *owner, const struct fo_verified *v)
{
    struct ask *a = owner;
    struct decider *d = a->decider;
    struct fo_event ev = { .kind = FO_EV_VERIFIED, .verified = v };
    ev.seq = ask_over(a);
    step(d, &ev);
}

static void fence_answered(void *owner, bool confirmed, const char *words)
{
    struct ask *a = owner;
    struct decider *d = a->decider;
    struct fo_event ev = { .kind = FO_EV_FENCED, .ok = confirmed };
    ev.seq = ask_over(a);
    snprintf(d->fence_words, sizeof d->fence_words, "%s", words);
    d->fences_run += confirmed;
    log_event(d->env->log, confirmed ? LOG_INFO : LOG_ERROR, "fence_command.ended",
              LOG_KVS(kv_bool("confirmed", confirmed), kv_cstr("words", words)));
    step(d, &ev);
}

/* ---- actions ---- */

static void do_store(struct decider *d, const struct fo_action *x)
{
    struct ask *a = ask_create(d, x->seq);
    a->store = store_redis_send(d->conf.store, &x->req, (uint32_t)cluster(d)->failover.redis_timeout_ms,
                                store_answered, a);
}

static void do_order(struct decider *d, const struct fo_action *x)
{
    static const enum link_order_kind kinds[] = {
        [FO_ORDER_FENCE] = LINK_FENCE, [FO_ORDER_GRANT] = LINK_GRANT, [FO_ORDER_HANDOFF] = LINK_HANDOFF
    };
    const struct identity_conf *ids = cluster(d)->identities.items;
    struct link_order o = { .kind = kinds[x->order.kind],
                            .op = x->order.op,
                            .epoch = x->order.epoch,
                            .token = x->order.token,
                            .term = x->order.term,
                            .identity = slice_of(ids[x->identity].name),
                            .to = slice_of(store_identity_name(cluster(d), x->order.to)),
                            .dns_pending = x->order.dns_pending,
                            .why = slice_of(x->order.why) };
    bool sent = d->ev->order(d->owner, ids[x->identity].node, &o);
    log_info(d->env->log, "order", kv_cstr("order", link_order_name(o.kind)),
             kv_slice("identity", o.identity), kv_u64("epoch", o.epoch), kv_slice("to", o.to),
             kv_bool("link", sent), kv_slice("why", o.why));
}

static void do_fence_command(struct decider *d, const struct fo_action *x)
{
    const struct identity_conf *id = &(
        (const struct identity_conf *)cluster(d)->identities.items)[x->identity];
    struct fo_status st;
    failover_status(d->machine, timers_now_ms(d->env->timers), &st);
    struct fence_args args = { .command = cluster(d)->failover.fence_command,
                               .identity = id->name,
                               .node = id->node,
                               .ip = id->ip,
                               .epoch = st.epoch };
    log_warn(d->env->log, "fence_command.started", kv_cstr("command", args.command),
             kv_cstr("identity", id->name), kv_u64("epoch", st.epoch));
    struct ask *a = ask_create(d, x->seq);
    a->fence = fence_start(d->env, d->conf.loop, &args, (uint32_t)cluster(d)->failover.fence_timeout_ms,
                           fence_answered, a);
}

static void perform(struct decider *d, const struct fo_action *x)
{
    struct ask *a;
    switch (x->kind) {
    case FO_DO_STORE: do_store(d, x); break;
    case FO_DO_ORDER: do_order(d, x); break;
    case FO_DO_READ_TOKEN:
        a = ask_create(d, x->seq);
        a->records = records_read(d->conf.records, token_answered, a);
        break;
    case FO_DO_PUBLISH:
        a = ask_create(d, x->seq);
        a->records = records_publish(d->conf.records, &x->publish.expect, &x->publish.want, publish_answered,
                                     a);
        break;
    case FO_DO_VERIFY:
        a = ask_create(d, x->seq);
        a->records = records_verify(d->conf.records, verify_answered, a);
        break;
    case FO_DO_FENCE_COMMAND: do_fence_command(d, x); break;
    case FO_DO_JOURNAL:
        /* Should it fail, the epoch still is in the store, in DNS and with the nodes; the log says so at error level. */
        (void)!journal_append(d->env, d->journal_path, x->journal.epoch, x->journal.line);
        break;
    case FO_DO_NOTIFY: log_error(d->env->log, "attention", kv_cstr("text", x->text)); break;
    case FO_DO_ANSWER:
        d->ev->answer(d->owner, x->answer.id, x->answer.result, x->answer.epoch, x->answer.text);
        break;
    case FO_DO_POLL: d->ev->poll(d->owner); break;
    }
}

/* ---- one step ---- */

static void due(struct timer *t)
{
    struct fo_event ev = { .kind = FO_EV_TICK };
    step(t->owner, &ev);
}

static void note_active(struct decider *d)
{
    struct fo_status st;
    failover_status(d->machine, timers_now_ms(d->env->timers), &st);
    bool another = st.active != STORE_NONE && st.active != d->active;
    if (another && d->active != STORE_NONE) d->ev->switched(d->owner);
    if (another) d->active = st.active;
}

static void step(struct decider *d, struct fo_event *ev)
{
    ASSERT(!d->stepping);
    d->stepping = true;
    ev->now_ms = timers_now_ms(d->env->timers);
    ev->wall_ms = timers_wall_ms(d->env->timers);
    failover_step(d->machine, ev, &d->actions);
    for (size_t i = 0; i < d->actions.n; i++) perform(d, &d->actions.v[i]);
    d->stepping = false;
    note_active(d);
    timer_set(d->env->timers, &d->due, failover_due_ms(d->machine), due, d);
}

/* ---- events from others ---- */

void decider_heartbeat(struct decider *d, const struct link_heartbeat *h)
{
    for (size_t i = 0; i < h->n_identities; i++) {
        struct fo_event ev = { .kind = FO_EV_NODE,
                               .identity = store_identity_index(cluster(d), h->identities[i].identity),
                               .beat = &h->identities[i].beat };
        if (ev.identity < cluster(d)->identities.n)
            step(d, &ev);
        else
            log_debug(d->env->log, "decider.identity_unknown",
                      kv_slice("identity", h->identities[i].identity));
    }
}

void decider_link_lost(struct decider *d, struct slice node)
{
    const struct identity_conf *ids = cluster(d)->identities.items;
    for (size_t i = 0; i < cluster(d)->identities.n; i++) {
        struct fo_event ev = { .kind = FO_EV_LINK_LOST, .identity = (uint8_t)i };
        if (slice_eq(slice_of(ids[i].node), node)) step(d, &ev);
    }
}

void decider_ack(struct decider *d, const struct link_ack *a)
{
    struct fo_ack ack = {
        .fence = a->kind == LINK_FENCE, .done = a->done, .op = a->op, .epoch = a->epoch, .token = a->token
    };
    struct fo_event ev = { .kind = FO_EV_ACK,
                           .identity = store_identity_index(cluster(d), a->identity),
                           .ack = &ack };
    snprintf(ack.why, sizeof ack.why, "%.*s", (int)MIN(a->why.n, sizeof ack.why - 1),
             a->why.n ? a->why.p : "");
    log_info(d->env->log, "ack", kv_cstr("order", link_order_name(a->kind)),
             kv_slice("identity", a->identity), kv_u64("epoch", a->epoch), kv_bool("done", a->done),
             kv_slice("why", a->why));
    if (ev.identity >= cluster(d)->identities.n || (a->kind != LINK_FENCE && a->kind != LINK_GRANT)) return;
    step(d, &ev);
}

void decider_verdict(struct decider *d, uint8_t identity, const struct policy_verdict *v)
{
    struct fo_event ev = { .kind = FO_EV_VERDICT, .identity = identity, .verdict = v };
    step(d, &ev);
}

void decider_evidence(struct decider *d, const struct store_evidence *e)
{
    if (!decider_leads(d)) return; /* every coordinator hears of it; one writes */
    struct store_req req = { .kind = STORE_EVIDENCE, .identity = e->identity, .evidence = *e };
    struct ask *a = ask_create(d, 0);
    a->store = store_redis_send(d->conf.store, &req, (uint32_t)cluster(d)->failover.redis_timeout_ms,
                                store_answered, a);
}

void decider_command(struct decider *d, const struct fo_command *c)
{
    struct fo_event ev = { .kind = FO_EV_COMMAND, .command = c };
    log_info(d->env->log, "command", kv_u64("id", c->id), kv_u64("kind", c->kind),
             kv_cstr("to", store_identity_name(cluster(d), c->to)), kv_cstr("by", c->by),
             kv_bool("dry_run", c->dry_run), kv_cstr("why", c->why));
    step(d, &ev);
}

/* ---- life ---- */

enum err decider_create(const struct env *env, const struct decider_conf *conf,
                        const struct decider_events *ev, void *owner, struct decider **out, struct buf *why)
{
    struct decider *d = xzalloc(sizeof *d);
    uint64_t epoch = 0;
    *d = (struct decider){ .env = env, .conf = *conf, .ev = ev, .owner = owner, .active = STORE_NONE };
    list_init(&d->asks);
    snprintf(d->journal_path, sizeof d->journal_path, "%s/journal", conf->conf->state_dir);
    enum err err = journal_open(env, d->journal_path, &epoch, why);
    if (err) {
        decider_destroy(d);
        return err;
    }
    coordinator_conf_failover(conf->conf, &d->fo_conf);
    d->machine = failover_create(&d->fo_conf, env->log, rng_u64(env->rng), epoch, timers_now_ms(env->timers));
    log_info(env->log, "decider.started", kv_cstr("name", conf->conf->name), kv_u64("journal_epoch", epoch));
    *out = d;
    return ERR_OK;
}

void decider_start(struct decider *d)
{
    timer_set_in(d->env->timers, &d->due, 0, due, d);
}

void decider_destroy(struct decider *d)
{
    if (!d) return;
    timer_clear(d->env->timers, &d->due);
    LIST_EACH_SAFE(&d->asks, it, next)
    {
        struct ask *a = CONTAINER_OF(it, struct ask, list);
        store_redis_cancel(&a->store);
        records_cancel(&a->records);
        fence_cancel(&a->fence);
        free(a);
    }
    if (d->machine) failover_destroy(d->machine);
    free(d);
}

/* ---- looks ---- */

void decider_status(const struct decider *d, struct fo_status *out)
{
    failover_status(d->machine, timers_now_ms(d->env->timers), out);
}

bool decider_leads(const struct decider *d)
{
    return failover_leads(d->machine, timers_now_ms(d->env->timers));
}

const struct host_conf *decider_leader(const struct decider *d)
{
    if (decider_leads(d)) return d->conf.conf->self;
    CONF_EACH(struct host_conf, it, cluster(d)->coordinators)
    if (it != d->conf.conf->self && slice_hash(slice_of(it->name)) == d->leader) return it;
    return NULL;
}

void decider_store(const struct decider *d, bool writing, struct decider_store *out)
{
    *out = d->store[writing];
}

const char *decider_fence_words(const struct decider *d)
{
    return d->fence_words;
}

uint64_t decider_fences_run(const struct decider *d)
{
    return d->fences_run;
}
