#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/timers.h"
#include "dns/publish.h"

/* Look, judge, update, look again: until what is there is what we want, or somebody else's.
 *
 *   LOOKING ──same──▶ done            (also after an update whose answer was lost: our own success)
 *      │ may be replaced
 *      ▼
 *   UPDATING ──applied, stale or unknown──▶ LOOKING, after a pause
 *      └──refused──▶ done
 *
 * Only a look ends in success: an answer that says "applied" is not believed unread. */

enum { TRIES_MAX = 5, PAUSE_MS = 500, UPDATE_LIMIT_MS = 10000, LOOK_LIMIT_MS = 5000 };

struct rfc2136 {
    struct publisher base;
    const struct env *env;
    struct resolver *r;
    struct publish_zone zone;
    struct tsig_key key;
    bool sign;
};

struct rfc2136_op {
    struct publish_op base;
    struct rfc2136 *p;
    struct publish_plan plan;
    struct publish_look *look;
    struct update_op *update;
    struct timer limit, pause;
    uint64_t deadline_ms;
    unsigned updates, looks; /* looks since the last update */
    enum update_result last; /* of the last update */
    char last_detail[UPDATE_DETAIL_MAX];
    enum publish_result early; /* the plan failed */
    char early_detail[PUBLISH_DETAIL_MAX];
    publish_done_fn *done;
    void *owner;
};

static void op_free(struct rfc2136_op *op)
{
    timer_clear(op->p->env->timers, &op->limit);
    timer_clear(op->p->env->timers, &op->pause);
    publish_look_cancel(&op->look);
    update_cancel(&op->update);
    publish_plan_deinit(&op->plan);
    free(op);
}

static void finish(struct rfc2136_op *op, enum publish_result r, const char *detail)
{
    publish_done_fn *done = op->done;
    void *owner = op->owner;
    char text[PUBLISH_DETAIL_MAX];
    snprintf(text, sizeof text, "%s", detail);
    op_free(op);
    done(owner, r, text);
}

static uint32_t left_ms(const struct rfc2136_op *op, uint32_t at_most)
{
    uint64_t now = timers_now_ms(op->p->env->timers);
    uint64_t left = op->deadline_ms > now ? op->deadline_ms - now : 1;
    return (uint32_t)MIN(left, (uint64_t)at_most);
}

/* --- Looking --- */

static void send_update(struct rfc2136_op *op, const struct publish_seen *seen);
static void on_seen(void *owner, const struct publish_seen *seen);

static void look(struct rfc2136_op *op)
{
    op->looks++;
    op->look = publish_look_start(op->p->r, &op->p->zone, &op->plan, left_ms(op, LOOK_LIMIT_MS), on_seen, op);
}

static void on_pause_over(struct timer *t)
{
    look(t->owner);
}

static void look_again(struct rfc2136_op *op)
{
    unsigned doublings = MIN(op->looks + op->updates, 6u);
    timer_set_in(op->p->env->timers, &op->pause, (uint64_t)PAUSE_MS << doublings >> 2, on_pause_over, op);
}

/* An update was sent, and no later look has shown what became of it. */
static bool in_doubt(const struct rfc2136_op *op)
{
    return op->updates > 0 && op->last != UPDATE_STALE;
}

static void on_unreadable(struct rfc2136_op *op, const char *detail)
{
    if (!in_doubt(op))
        finish(op, PUBLISH_FAILED, detail);
    else if (op->looks < TRIES_MAX)
        look_again(op);
    else
        finish(op, PUBLISH_UNKNOWN, detail);
}

/* The old records are there and may be replaced, although an update was sent: try again, or give up with its reason. */
static void on_not_changed(struct rfc2136_op *op, const struct publish_seen *seen)
{
    char detail[PUBLISH_DETAIL_MAX];
    snprintf(detail, sizeof detail, "%s%s%s", update_result_text(op->last), *op->last_detail ? ": " : "",
             op->last_detail);
    if (op->last == UPDATE_APPLIED && op->looks < TRIES_MAX)
        look_again(op); /* some primaries show a change a moment later */
    else if (op->last == UPDATE_APPLIED)
        finish(op, PUBLISH_UNKNOWN,
               "the server says that it made the change, and still serves the old records");
    else if (op->updates < TRIES_MAX)
        send_update(op, seen);
    else
        finish(op, op->last == UPDATE_UNSIGNED ? PUBLISH_REFUSED : PUBLISH_FAILED, detail);
}

static void on_seen(void *owner, const struct publish_seen *seen)
{
    struct rfc2136_op *op = owner;
    op->look = NULL;
    if (seen->judged == PUBLISH_FAILED)
        on_unreadable(op, seen->detail);
    else if (seen->judged != PUBLISH_DONE)
        finish(op, seen->judged, seen->detail);
    else if (seen->same)
        finish(op, PUBLISH_DONE, op->updates ? "" : "it was published already");
    else if (op->updates)
        on_not_changed(op, seen);
    else
        send_update(op, seen);
}

/* --- Updating --- */

static enum publish_result refusal_of(enum update_result r)
{
    switch (r) {
    case UPDATE_REFUSED:
    case UPDATE_NOTAUTH:
    case UPDATE_BADKEY:
    case UPDATE_BADSIG:
    case UPDATE_NOTZONE: return PUBLISH_REFUSED;
    case UPDATE_BADTIME: return PUBLISH_CLOCK;
    default: return PUBLISH_DONE; /* no refusal: look */
    }
}

static void on_updated(void *owner, enum update_result r, const char *detail)
{
    struct rfc2136_op *op = owner;
    char text[PUBLISH_DETAIL_MAX];
    op->update = NULL;
    op->updates++;
    op->looks = 0;
    op->last = r;
    snprintf(op->last_detail, sizeof op->last_detail, "%s", detail);
    log_info(op->p->env->log, "publish.update", kv_cstr("result", update_result_name(r)),
             kv_cstr("detail", detail), kv_u64("epoch", op->plan.w.epoch), kv_u64("try", op->updates));
    if (refusal_of(r) != PUBLISH_DONE) {
        snprintf(text, sizeof text, "%s%s%s", update_result_text(r), *detail ? ": " : "", detail);
        finish(op, refusal_of(r), text);
    } else if (r == UPDATE_APPLIED || r == UPDATE_STALE) {
        look(op);
    } else {
        look_again(op);
    }
}

/* The prerequisite is the whole RRset as it was read: a value somebody wrote meanwhile makes the update fail. */
static void send_update(struct rfc2136_op *op, const struct publish_seen *seen)
{
    struct publish_plan *plan = &op->plan;
    struct update_conf conf = { .server = op->p->zone.server,
                                .key = op->p->sign ? &op->p->key : NULL,
                                .limit_ms = left_ms(op, UPDATE_LIMIT_MS) };
    struct update_set require = { .name = dns_name_slice(&plan->egress_name) };
    struct update_set replace[2] = {
        { dns_name_slice(&plan->egress_name), plan->w.egress_ttl_s, { buf_slice(&plan->egress) }, 1 },
        { dns_name_slice(&plan->spf_name), plan->w.spf_ttl_s, { buf_slice(&plan->spf) }, 1 },
    };
    struct update u = { dns_name_slice(&op->p->zone.zone), &require, 1, replace, 2 };
    if (seen->egress->n > UPDATE_TEXTS_MAX) {
        finish(op, PUBLISH_CONFLICT, "the marker's name holds more records than an update can compare");
        return;
    }
    for (size_t i = 0; i < seen->egress->n; i++) require.text[require.n++] = seen->egress->records[i].text;
    op->update = update_send(op->p->env, &conf, &u, on_updated, op);
}

/* --- The publisher --- */

static void on_limit(struct timer *t)
{
    struct rfc2136_op *op = t->owner;
    if (op->early != PUBLISH_DONE)
        finish(op, op->early, op->early_detail);
    else
        finish(op, op->update || in_doubt(op) ? PUBLISH_UNKNOWN : PUBLISH_FAILED, "no result in time");
}

static struct publish_op *publish(struct publisher *base, const struct publish_wanted *w, uint32_t limit_ms,
                                  publish_done_fn *done, void *owner)
{
    struct rfc2136 *p = CONTAINER_OF(base, struct rfc2136, base);
    struct rfc2136_op *op = xzalloc(sizeof *op);
    op->base.publisher = base;
    op->p = p;
    op->done = done;
    op->owner = owner;
    op->deadline_ms = timers_now_ms(p->env->timers) + limit_ms;
    op->early = publish_plan_make(&p->zone, w, &op->plan, op->early_detail);
    timer_set_in(p->env->timers, &op->limit, op->early == PUBLISH_DONE ? limit_ms : 0, on_limit, op);
    if (op->early == PUBLISH_DONE) look(op);
    return &op->base;
}

static void cancel(struct publish_op *base)
{
    op_free(CONTAINER_OF(base, struct rfc2136_op, base));
}

static void destroy(struct publisher *base)
{
    struct rfc2136 *p = CONTAINER_OF(base, struct rfc2136, base);
    tsig_key_wipe(&p->key);
    free(p);
}

static const struct publisher_ops ops = { "rfc2136", publish, cancel, destroy };

struct publisher *publisher_rfc2136(const struct env *env, struct resolver *r,
                                    const struct publish_zone *zone, const struct tsig_key *key)
{
    struct rfc2136 *p = xzalloc(sizeof *p);
    p->base.ops = &ops;
    p->env = env;
    p->r = r;
    p->zone = *zone;
    p->sign = key;
    if (key) p->key = *key;
    return &p->base;
}
