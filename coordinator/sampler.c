#include "coordinator/sampler.h"

#include <stdlib.h>

#include "base/timers.h"
#include "proto/store_redis_uv.h"

enum { TICK_MS = 200, FACES_MAX_MS = 60000, RECORDS_MAX_MS = 5000 };

struct face {
    struct sampler *sampler;
    uint8_t identity;
    enum role role;
    uint64_t since_wall_ms;
    struct preflight_op *op;
    struct timer due;
    bool known;
    struct preflight_report report;
};

struct sampler {
    const struct parts *parts;
    struct timer tick;
    struct face faces[STORE_IDENTITIES_MAX];
    size_t n;
    struct store_op_rec op; /* the one under way at the last look */
    struct records_op *verify;
    struct sampler_switch last;
};

/* ---- roles ---- */

const char *role_name(enum role r)
{
    static const char *const names[] = {
        [ROLE_DOWN] = "down",       [ROLE_UNFIT] = "unfit",
        [ROLE_FENCED] = "fenced",   [ROLE_QUARANTINED] = "quarantined",
        [ROLE_STANDBY] = "standby", [ROLE_ACTIVE] = "active",
    };
    ASSERT((unsigned)r < ARRAY_LEN(names));
    return names[r];
}

enum role role_of(const struct fo_status *st, uint8_t identity, bool link, bool quarantined)
{
    const struct fo_identity_status *id = &st->ids[identity];
    if (!id->fresh) return ROLE_DOWN;
    if (st->active == identity) return id->reported == STORE_R_FENCED ? ROLE_FENCED : ROLE_ACTIVE;
    if (quarantined) return ROLE_QUARANTINED;
    if (id->assigned == STORE_R_FENCED) return ROLE_FENCED;
    return id->fit && link ? ROLE_STANDBY : ROLE_UNFIT;
}

static bool has_link(const struct sampler *s, const char *node)
{
    struct links_node n;
    for (size_t i = 0; i < links_nodes(s->parts->links); i++) {
        links_node(s->parts->links, i, &n);
        if (strcmp(n.name, node) == 0) return n.up;
    }
    return false;
}

static void look_at_roles(struct sampler *s, const struct fo_status *st)
{
    const struct identity_conf *ids = s->parts->conf->cluster.identities.items;
    struct policy_verdict v;
    for (uint8_t i = 0; i < s->n; i++) {
        monitor_verdict(s->parts->monitor, i, &v);
        enum role now = role_of(st, i, has_link(s, ids[i].node), v.quarantined && !v.cleared);
        if (now == s->faces[i].role && s->faces[i].since_wall_ms) continue;
        s->faces[i].role = now;
        s->faces[i].since_wall_ms = now == ROLE_ACTIVE && st->since_wall_ms
                                        ? st->since_wall_ms
                                        : timers_wall_ms(s->parts->env->timers);
    }
}

/* ---- the last switch ---- */

static void look_at_op(struct sampler *s, const struct fo_status *st)
{
    const struct store_op_rec *was = &s->op;
    if (was->id && was->id != st->op.id && was->kind != STORE_OP_PUBLISH) {
        memcpy(s->last.took_ms, was->took_ms, sizeof s->last.took_ms);
        s->last.gap_ms = was->gap_ms;
        s->last.known = true;
        bool fenced = was->step > STORE_STEP_FENCING && was->from < s->n && was->from != was->to;
        if (fenced && was->flags & STORE_F_ACKED)
            s->last.fences_acked++;
        else if (fenced)
            s->last.fences_expired++;
    }
    s->op = st->op;
}

/* ---- name servers ---- */

static void verified(void *owner, const struct fo_verified *v)
{
    struct sampler *s = owner;
    s->verify = NULL; /* the look is with the records */
}

/* A secondary that lags is looked at again soon: the machine's own verification comes at its own pace. */
static void look_at_servers(struct sampler *s)
{
    struct records_look look;
    bool well = true;
    records_look(s->parts->records, &look);
    for (size_t i = 0; look.report && i < look.report->n; i++)
        well = well && records_judge(&look.report->server[i], &look.token) == VERIFY_PASS;
    uint64_t pace = MIN(s->parts->conf->cluster.failover.poll_ms, (uint64_t)RECORDS_MAX_MS);
    if (well || s->verify || timers_now_ms(s->parts->env->timers) < look.verified_ms + pace) return;
    s->verify = records_verify(s->parts->records, verified, s);
}

static void tick(struct timer *t)
{
    struct sampler *s = t->owner;
    struct fo_status st;
    timer_set_in(s->parts->env->timers, &s->tick, TICK_MS, tick, s);
    decider_status(s->parts->decider, &st);
    look_at_roles(s, &st);
    look_at_op(s, &st);
    look_at_servers(s);
}

/* ---- faces ---- */

static void look_at_face(struct timer *t);

static void face_seen(void *owner, const struct preflight_report *report)
{
    struct face *f = owner;
    struct sampler *s = f->sampler;
    f->op = NULL;
    f->known = true;
    f->report = *report;
    uint64_t poll = s->parts->conf->cluster.failover.poll_ms;
    timer_set_in(s->parts->env->timers, &f->due, MIN(10 * poll, (uint64_t)FACES_MAX_MS), look_at_face, f);
}

static void look_at_face(struct timer *t)
{
    struct face *f = t->owner;
    const struct parts *p = f->sampler->parts;
    const struct identity_conf *id = &(
        (const struct identity_conf *)p->conf->cluster.identities.items)[f->identity];
    struct preflight_subject subject = { .ip = id->ip,
                                         .helo = slice_of(id->helo),
                                         .mail_domain = slice_of(p->conf->cluster.dns.mail_domain) };
    f->op = preflight_start(p->resolver, &subject, face_seen, f);
}

/* ---- life ---- */

struct sampler *sampler_create(const struct parts *parts)
{
    struct sampler *s = xzalloc(sizeof *s);
    *s = (struct sampler){ .parts = parts, .n = parts->conf->cluster.identities.n };
    for (uint8_t i = 0; i < s->n; i++) {
        s->faces[i] = (struct face){ .sampler = s, .identity = i };
        timer_set_in(parts->env->timers, &s->faces[i].due, 0, look_at_face, &s->faces[i]);
    }
    timer_set_in(parts->env->timers, &s->tick, 0, tick, s);
    return s;
}

void sampler_destroy(struct sampler *s)
{
    if (!s) return;
    timer_clear(s->parts->env->timers, &s->tick);
    records_cancel(&s->verify);
    for (size_t i = 0; i < s->n; i++) {
        timer_clear(s->parts->env->timers, &s->faces[i].due);
        preflight_cancel(&s->faces[i].op);
    }
    free(s);
}

enum role sampler_role(const struct sampler *s, uint8_t identity, uint64_t *since_wall_ms)
{
    ASSERT(identity < s->n);
    *since_wall_ms = s->faces[identity].since_wall_ms;
    return s->faces[identity].role;
}

const struct preflight_report *sampler_faces(const struct sampler *s, uint8_t identity)
{
    ASSERT(identity < s->n);
    return s->faces[identity].known ? &s->faces[identity].report : NULL;
}

void sampler_switch(const struct sampler *s, struct sampler_switch *out)
{
    *out = s->last;
}
