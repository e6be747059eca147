#include "node/egress.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/list.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/timers.h"
#include "dns/egress_record.h"
#include "dns/resolver.h"
#include "dns/spf_check.h"
#include "node/link.h"
#include "node/outside.h"
#include "proto/store_redis_uv.h"

enum {
    PREFLIGHT_AGAIN_MS = 60000,
    PREFLIGHT_WARN_AGAIN_MS = 10000,
    PREFLIGHT_BAD_AGAIN_MS = 3000,
    PREFLIGHT_SOON_MS = 1500,
    OUTSIDE_SOON_MS = 5000,
    OUTSIDE_LIMIT_MS = 10000,
    TOKEN_LIMIT_MS = 3000,
    SPF_LIMIT_MS = 8000
};

struct face { /* one identity of ours */
    struct egress *egress;
    uint8_t identity;
    const struct identity_conf *conf;
    struct gate gate;
    struct agent *agent;
    char path[512];
    struct timer due;
    /* asked of the world, at most one each */
    struct dns_op *token_op;
    struct spf_op *spf_op;
    uint32_t token_seq, spf_seq;
    bool token_fallback;  /* the primary did not answer: now through the resolver */
    struct list requests; /* struct request */
    bool persisted;       /* the disk answered inside the step: to be told after it */
    uint32_t persisted_seq;
    enum err persisted_err;
    /* what heartbeats say */
    struct store_beat beat;
    struct preflight_op *preflight_op;
    struct timer preflight_due;
    struct preflight_report preflight;
    bool preflight_known, fit;
    bool
        lapsed; /* outbound mail is aimed at this face, but its gate is closed: the owner was told to keep it */
    uint64_t sent;
    /* which source address another edge sees */
    struct outside_op *outside_op;
    struct timer outside_due;
    size_t outside_peer; /* index of the identity to ask next */
    char seen_as[ADDR_TEXT_MAX], seen_by[256];
};

struct request {
    struct list list;
    struct face *face;
    struct store_op *op;
    uint32_t seq;
};

struct egress {
    const struct env *env;
    struct egress_conf conf;
    const struct egress_events *ev;
    void *owner;
    struct face *faces;
    size_t n;
    uint8_t target;
    uint64_t reports;
    struct dns_name token_name;
};

static void step(struct face *f, struct agent_event *ev);

static const struct cluster_conf *cluster(const struct egress *e)
{
    return &e->conf.node->cluster;
}

static struct face *find_face(const struct egress *e, uint8_t identity)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->faces[i].identity == identity) return &e->faces[i];
    return NULL;
}

/* ---- the store ---- */

static void store_answered(void *owner, const struct store_reply *reply, const char *word)
{
    struct request *r = owner;
    struct face *f = r->face;
    struct agent_event ev = { .kind = AGENT_EV_STORE, .seq = r->seq, .reply = reply };
    list_remove(&r->list);
    free(r);
    step(f, &ev);
}

static void ask_store(struct face *f, const struct agent_action *x)
{
    struct egress *e = f->egress;
    struct request *r = xzalloc(sizeof *r);
    r->face = f;
    r->seq = x->seq;
    list_append(&f->requests, &r->list);
    r->op = store_redis_send(e->conf.store, &x->req, (uint32_t)cluster(e)->failover.redis_timeout_ms,
                             store_answered, r);
}

/* ---- the DNS token ---- */

static void ask_token(struct face *f);

static void read_record(const struct egress *e, const struct dns_answer *a, struct agent_token *t)
{
    struct egress_record r;
    t->present = true;
    t->identity = STORE_FOREIGN; /* until it reads as ours */
    if (a->n != 1 || egress_record_parse(a->records[0].text, &r)) return;
    if (strcmp(r.cluster, cluster(e)->cluster) != 0) return;
    t->epoch = r.epoch;
    t->identity = store_identity_index(cluster(e),
                                       strcmp(r.active, "-") == 0 ? SLICE("") : slice_of(r.active));
}

static void token_answered(void *owner, const struct dns_answer *a)
{
    struct face *f = owner;
    f->token_op = NULL;
    bool good = a->result == DNS_ANSWER || a->result == DNS_NODATA || a->result == DNS_NXDOMAIN;
    if (!good && !f->token_fallback) {
        f->token_fallback = true;
        ask_token(f);
        return;
    }
    struct agent_event ev = { .kind = AGENT_EV_TOKEN, .seq = f->token_seq, .token = { .reachable = good } };
    if (a->result == DNS_ANSWER) read_record(f->egress, a, &ev.token);
    log_debug(f->egress->env->log, "egress.token_read", kv_cstr("identity", f->conf->name),
              kv_cstr("result", dns_result_name(a->result)), kv_u64("epoch", ev.token.epoch),
              kv_bool("primary", !f->token_fallback));
    step(f, &ev);
}

static void ask_token(struct face *f)
{
    struct egress *e = f->egress;
    struct dns_ask how = { .flags = DNS_NO_CACHE, .limit_ms = TOKEN_LIMIT_MS };
    if (!f->token_fallback && cluster(e)->dns.server.family != ADDR_NONE) {
        how.flags |= DNS_NO_RECURSION;
        how.server = cluster(e)->dns.server;
    } else {
        f->token_fallback = true;
    }
    f->token_op = resolver_ask(e->conf.resolver, dns_name_slice(&e->token_name), DNS_TXT, &how,
                               token_answered, f);
}

/* ---- SPF, as a receiver would judge us ---- */

static void spf_answered(void *owner, const struct spf_verdict *v)
{
    struct face *f = owner;
    f->spf_op = NULL;
    enum agent_spf spf = v->result == SPF_PASS        ? AGENT_SPF_PASS
                         : v->result == SPF_TEMPERROR ? AGENT_SPF_UNKNOWN
                                                      : AGENT_SPF_FAIL;
    log_info(f->egress->env->log, "egress.spf_checked", kv_cstr("identity", f->conf->name),
             kv_cstr("result", spf_result_name(v->result)), kv_cstr("why", v->comment));
    struct agent_event ev = { .kind = AGENT_EV_SPF, .seq = f->spf_seq, .spf = spf };
    step(f, &ev);
}

static void ask_spf(struct face *f)
{
    const struct cluster_conf *c = cluster(f->egress);
    struct spf_question q = { .ip = f->conf->ip,
                              .helo = slice_of(f->conf->helo),
                              .mail_from = slice_of(c->dns.mail_domain) };
    struct spf_check_conf how = { .limit_ms = SPF_LIMIT_MS, .ask_flags = DNS_NO_CACHE };
    if (c->dns.server.family != ADDR_NONE) {
        enum err err = dns_name_parse(slice_of(c->dns.zone), &how.zone);
        ASSERT(!err); /* checked with the configuration */
        how.server = c->dns.server;
    }
    f->spf_op = spf_check_start(f->egress->conf.resolver, &q, &how, spf_answered, f);
}

/* ---- the epoch file ---- */

static void persist(struct face *f, const struct agent_action *x)
{
    struct buf text;
    buf_init(&text, 256);
    agent_file_format(&x->file, &text);
    f->persisted_err = disk_write(f->egress->env->disk, f->path, buf_slice(&text));
    f->persisted_seq = x->seq;
    f->persisted = true;
    if (f->persisted_err)
        log_error(f->egress->env->log, "egress.epoch_not_written", kv_cstr("file", f->path),
                  kv_err("err", f->persisted_err));
    buf_deinit(&text);
}

static enum err load_file(struct egress *e, const char *path, struct agent_file *out, struct buf *why)
{
    struct buf text;
    buf_init(&text, 4096);
    *out = (struct agent_file){ 0 };
    enum err err = disk_read(e->env->disk, path, &text);
    if (err == ERR_NOT_FOUND)
        err = ERR_OK;
    else if (err)
        buf_putf(why, "%s cannot be read", path), err = ERR_REFUSED;
    else if (agent_file_parse(buf_slice(&text), out))
        buf_putf(
            why,
            "%s is damaged: it holds the highest epoch this node ever saw, as \"epoch=N mine=0 fenced=N\"; "
            "gemelctl status shows the cluster's epoch",
            path),
            err = ERR_REFUSED;
    buf_deinit(&text);
    return err;
}

/* ---- heartbeats over the links ---- */

/* Another edge told us, and it is not the identity's address. */
static bool is_seen_wrong(const struct face *f)
{
    char ip[ADDR_TEXT_MAX];
    return *f->seen_as && strcmp(f->seen_as, addr_format(&f->conf->ip, ip)) != 0;
}

static void add_issue(struct link_identity *id, struct arena *a, const struct preflight_finding *fi)
{
    if (fi->mark == PREFLIGHT_OK || id->n_issues == LINK_ISSUES_MAX) return;
    id->issues[id->n_issues++] = slice_of(arena_printf(a, "%s: %s", fi->what, fi->cure));
}

static void report(struct egress *e)
{
    struct arena a = { 0 };
    struct link_heartbeat *h = arena_alloc(&a, sizeof *h);
    h->seq = ++e->reports;
    h->wall_ms = timers_wall_ms(e->env->timers);
    for (size_t i = 0; i < e->n; i++) {
        struct link_identity *id = &h->identities[h->n_identities++];
        id->identity = slice_of(e->faces[i].conf->name);
        id->beat = e->faces[i].beat;
        id->seen_as = slice_of(e->faces[i].seen_as);
        id->seen_by = slice_of(e->faces[i].seen_by);
        for (size_t k = 0; e->faces[i].preflight_known && k < PREFLIGHT_CHECKS; k++)
            if (k != PREFLIGHT_SPF_MAIL)
                add_issue(id, &a, &e->faces[i].preflight.finding[k]); /* the coordinator verifies that */
        if (is_seen_wrong(&e->faces[i]) && id->n_issues < LINK_ISSUES_MAX)
            id->issues[id->n_issues++] = slice_of(arena_printf(
                &a, "%s sees %s instead of the identity's address: correct the NAT in front of this edge",
                e->faces[i].seen_by, e->faces[i].seen_as));
    }
    bool up = node_link_up(e->conf.link) > 0;
    e->ev->queue(e->owner, &h->queue);
    if (up) h->n_refusals = e->ev->refusals(e->owner, h->refusals, LINK_REFUSALS_MAX, &a);
    node_link_heartbeat(e->conf.link, h);
    if (h->n_refusals) e->ev->reported(e->owner, up);
    arena_deinit(&a);
}

/* ---- actions ---- */

static void acknowledge(struct face *f, const struct agent_ack *k)
{
    static const enum link_order_kind kinds[] = {
        [AGENT_FENCE] = LINK_FENCE, [AGENT_GRANT] = LINK_GRANT, [AGENT_HANDOFF] = LINK_HANDOFF
    };
    struct link_ack ack = { .kind = kinds[k->kind],
                            .op = k->op,
                            .epoch = k->epoch,
                            .token = k->token,
                            .identity = slice_of(f->conf->name),
                            .done = k->done,
                            .why = slice_of(k->why) };
    node_link_ack(f->egress->conf.link, &ack);
}

static void preflight_again(struct timer *t);

/* Somebody was let send, so the records have just changed: what was wrong with them may be right now. */
static void look_again(struct egress *e)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->faces[i].preflight_known && !e->faces[i].preflight_op)
            timer_set_in(e->env->timers, &e->faces[i].preflight_due, PREFLIGHT_SOON_MS, preflight_again,
                         &e->faces[i]);
}

static void aim(struct face *f, uint8_t to)
{
    struct egress *e = f->egress;
    if (e->target == to) return;
    if (to == STORE_NONE && e->target != f->identity && e->target != STORE_NONE) {
        /* Another face of ours may be the one that sends: "keep" of this one does not end that. */
        struct face *other = find_face(e, e->target);
        if (other && other != f && agent_state(other->agent) == AGENT_ACTIVE) return;
    }
    e->target = to;
    e->ev->aim(e->owner, to);
    if (to != STORE_NONE) look_again(e);
}

static void perform(struct face *f, const struct agent_action *x)
{
    struct egress *e = f->egress;
    switch (x->kind) {
    case AGENT_DO_STORE: ask_store(f, x); break;
    case AGENT_DO_REPORT:
        f->beat = x->beat;
        report(e);
        break;
    case AGENT_DO_READ_TOKEN:
        resolver_cancel(&f->token_op);
        f->token_seq = x->seq;
        f->token_fallback = false;
        ask_token(f);
        break;
    case AGENT_DO_CHECK_SPF:
        spf_check_cancel(&f->spf_op);
        f->spf_seq = x->seq;
        ask_spf(f);
        break;
    case AGENT_DO_PERSIST: persist(f, x); break;
    case AGENT_DO_ABORT: e->ev->abort(e->owner, f->identity, x->seq); break;
    case AGENT_DO_ACK: acknowledge(f, &x->ack); break;
    case AGENT_DO_HANDOFF: aim(f, x->to); break;
    }
}

static void due(struct timer *t)
{
    struct agent_event ev = { .kind = AGENT_EV_TICK };
    step(t->owner, &ev);
}

static void step_once(struct face *f, struct agent_event *ev)
{
    struct agent_actions out;
    ev->now_ms = timers_now_ms(f->egress->env->timers);
    ev->wall_ms = timers_wall_ms(f->egress->env->timers);
    agent_step(f->agent, ev, &out);
    for (size_t i = 0; i < out.n; i++) perform(f, &out.v[i]);
}

/* A lease that lapses is no order: the mail stays aimed at us, but nothing is to be started until the gate is open again. */
static void tell_lapse(struct face *f)
{
    struct egress *e = f->egress;
    bool lapsed = e->target == f->identity && agent_state(f->agent) == AGENT_LAPSED;
    if (lapsed == f->lapsed) return;
    f->lapsed = lapsed;
    if (e->target == f->identity) e->ev->aim(e->owner, lapsed ? STORE_NONE : f->identity);
}

static void step(struct face *f, struct agent_event *ev)
{
    step_once(f, ev);
    while (f->persisted) {
        f->persisted = false;
        struct agent_event done = { .kind = AGENT_EV_PERSISTED,
                                    .seq = f->persisted_seq,
                                    .err = f->persisted_err };
        step_once(f, &done);
    }
    tell_lapse(f);
    timer_set(f->egress->env->timers, &f->due, agent_due_ms(f->agent), due, f);
}

/* ---- facts ---- */

/* Is the address on this host? What cannot be bound cannot send. */
static bool can_bind(const struct addr *a)
{
    struct sockaddr_storage sa;
    struct addr any_port = *a;
    any_port.port = 0;
    socklen_t n = addr_to_sockaddr(&any_port, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool ok = bind(fd, (struct sockaddr *)&sa, n) == 0;
    close(fd);
    return ok;
}

static void tell_facts(struct face *f)
{
    struct link_queue q = { 0 };
    f->egress->ev->queue(f->egress->owner, &q);
    struct agent_event ev = { .kind = AGENT_EV_FACTS,
                              .facts = { .preflight_ok = f->fit,
                                         .egress_ok = can_bind(&f->conf->ip),
                                         .queue_out = q.outbound,
                                         .sent = f->sent } };
    step(f, &ev);
}

static void log_preflight(struct face *f, bool was_fit)
{
    const struct log *log = f->egress->env->log;
    bool news = !f->preflight_known || was_fit != f->fit;
    for (size_t i = 0; i < PREFLIGHT_CHECKS; i++) {
        const struct preflight_finding *fi = &f->preflight.finding[i];
        if (fi->mark == PREFLIGHT_OK) continue;
        log_event(log, news ? LOG_WARN : LOG_DEBUG, "preflight.finding",
                  LOG_KVS(kv_cstr("identity", f->conf->name), kv_cstr("check", preflight_check_name(i)),
                          kv_cstr("mark", preflight_mark_name(fi->mark)), kv_cstr("seen", fi->what),
                          kv_cstr("cure", fi->cure)));
    }
    if (news) log_info(log, "preflight.done", kv_cstr("identity", f->conf->name), kv_bool("fit", f->fit));
}

static void preflight_again(struct timer *t);

/* What is wrong is looked at often, so that it is not shown long after it was put right. */
static uint64_t preflight_pause_ms(const struct face *f)
{
    uint64_t ms = f->fit ? PREFLIGHT_AGAIN_MS : PREFLIGHT_BAD_AGAIN_MS;
    for (size_t i = 0; i < PREFLIGHT_CHECKS; i++) {
        enum preflight_mark mark = f->preflight.finding[i].mark;
        if (mark != PREFLIGHT_OK)
            ms = MIN(ms,
                     (uint64_t)(mark == PREFLIGHT_WARN ? PREFLIGHT_WARN_AGAIN_MS : PREFLIGHT_BAD_AGAIN_MS));
    }
    return ms;
}

static void preflight_done(void *owner, const struct preflight_report *r)
{
    struct face *f = owner;
    bool was_fit = f->fit, on_host = can_bind(&f->conf->ip);
    f->preflight_op = NULL;
    f->preflight = *r;
    /* DNS trouble is no verdict: what was fit a while ago stays so (the coordinator verifies SPF by itself). */
    f->fit = on_host && !is_seen_wrong(f) && (r->fit || (r->unsure && was_fit));
    if (!on_host && (was_fit || !f->preflight_known))
        log_error(f->egress->env->log, "preflight.address_missing", kv_cstr("identity", f->conf->name),
                  kv_addr("ip", &f->conf->ip),
                  kv_cstr("cure", "configure the address on this host: mail is sent from it or not at all"));
    log_preflight(f, was_fit);
    f->preflight_known = true;
    tell_facts(f);
    timer_set_in(f->egress->env->timers, &f->preflight_due, preflight_pause_ms(f), preflight_again, f);
}

/* Whose SPF receivers check: as configured, or where nothing is (one node alone), the first domain we take mail for. */
static const char *mail_domain(const struct face *f)
{
    const struct cluster_conf *c = cluster(f->egress);
    const struct domain_conf *d = c->domains.items;
    if (*c->dns.mail_domain) return c->dns.mail_domain;
    return c->domains.n ? d->name : f->conf->helo;
}

static void preflight_again(struct timer *t)
{
    struct face *f = t->owner;
    struct preflight_subject s = { .ip = f->conf->ip,
                                   .helo = slice_of(f->conf->helo),
                                   .mail_domain = slice_of(mail_domain(f)) };
    f->preflight_op = preflight_start(f->egress->conf.resolver, &s, preflight_done, f);
}

/* ---- what the world sees ---- */

static void ask_outside(struct timer *t);

static void outside_answered(void *owner, enum err err, const struct addr *seen, const char *detail)
{
    struct face *f = owner;
    const struct identity_conf *ids = cluster(f->egress)->identities.items;
    char before[ADDR_TEXT_MAX];
    f->outside_op = NULL;
    snprintf(before, sizeof before, "%s", f->seen_as);
    if (!err) {
        addr_format(seen, f->seen_as);
        snprintf(f->seen_by, sizeof f->seen_by, "%s", ids[f->outside_peer].helo);
    } else if (!*f->seen_as) { /* what was seen before stays: the other edge may be away */
        snprintf(f->seen_by, sizeof f->seen_by, "%.100s: %.140s", ids[f->outside_peer].helo, detail);
    }
    if (strcmp(before, f->seen_as) != 0)
        log_event(f->egress->env->log, is_seen_wrong(f) ? LOG_ERROR : LOG_INFO, "preflight.source_seen",
                  LOG_KVS(kv_cstr("identity", f->conf->name), kv_cstr("by", f->seen_by),
                          kv_cstr("seen", f->seen_as), kv_addr("ours", &f->conf->ip)));
    if (is_seen_wrong(f) && f->fit) {
        f->fit = false;
        tell_facts(f);
    }
    timer_set_in(f->egress->env->timers, &f->outside_due, err ? OUTSIDE_SOON_MS : PREFLIGHT_AGAIN_MS,
                 ask_outside, f);
}

/* Asks the identities of other nodes in turn. */
static void ask_outside(struct timer *t)
{
    struct face *f = t->owner;
    const struct node_conf *n = f->egress->conf.node;
    const struct identity_conf *ids = n->cluster.identities.items;
    for (size_t tried = 0; tried < n->cluster.identities.n; tried++) {
        f->outside_peer = (f->outside_peer + 1) % n->cluster.identities.n;
        const struct identity_conf *peer = &ids[f->outside_peer];
        if (slice_eq(slice_of(peer->node), slice_of(n->name)) || peer->ip.family != f->conf->ip.family)
            continue;
        struct outside_conf conf = {
            .from = f->conf->ip, .to = peer->ip, .helo = f->conf->helo, .limit_ms = OUTSIDE_LIMIT_MS
        };
        conf.to.port = (uint16_t)n->relay.port;
        f->outside_op = outside_start(f->egress->env, &conf, outside_answered, f);
        return;
    }
}

/* ---- public ---- */

static void agent_conf_of(const struct egress *e, const struct face *f, struct agent_conf *c)
{
    const struct cluster_conf *k = cluster(e);
    agent_conf_default(c);
    snprintf(c->name, sizeof c->name, "%s", f->conf->name);
    c->identity = f->identity;
    c->solo = !e->conf.store;
    c->lease_ms = (uint32_t)k->failover.lease_ms;
    c->margin_ms = (uint32_t)k->failover.margin_ms;
    c->renew_ms = (uint32_t)k->failover.renew_ms;
    c->op_timeout_ms = (uint32_t)k->failover.redis_timeout_ms;
    c->beat_ms = (uint32_t)k->failover.heartbeat_ms;
    c->stall_ms = (uint32_t)k->failover.stall_ms;
}

static enum err face_init(struct egress *e, struct face *f, uint8_t identity,
                          const struct identity_conf *conf, struct buf *why)
{
    struct agent_file file;
    struct agent_conf agent_conf;
    *f = (struct face){ .egress = e, .identity = identity, .conf = conf };
    list_init(&f->requests);
    snprintf(f->path, sizeof f->path, "%s/epoch-%s", e->conf.node->state_dir, conf->name);
    enum err err = e->conf.store ? load_file(e, f->path, &file, why) : ERR_OK;
    if (err) return err;
    if (!e->conf.store) file = (struct agent_file){ 0 };
    gate_init(&f->gate, cluster(e)->failover.stall_ms);
    agent_conf_of(e, f, &agent_conf);
    f->agent = agent_create(&agent_conf, &f->gate, e->env->log, &file, rng_u64(e->env->rng),
                            timers_now_ms(e->env->timers));
    return ERR_OK;
}

enum err egress_create(const struct env *env, const struct egress_conf *conf, const struct egress_events *ev,
                       void *owner, struct egress **out, struct buf *why)
{
    struct egress *e = xzalloc(sizeof *e);
    *e = (struct egress){ .env = env, .conf = *conf, .ev = ev, .owner = owner, .target = STORE_NONE };
    const struct identity_conf *ids = cluster(e)->identities.items;
    e->faces = xzalloc(cluster(e)->identities.n * sizeof *e->faces);
    enum err err = ERR_OK;
    if (conf->store) err = dns_name_join(SLICE("_egress"), slice_of(cluster(e)->dns.zone), &e->token_name);
    for (size_t i = 0; !err && i < cluster(e)->identities.n; i++) {
        if (!slice_eq(slice_of(ids[i].node), slice_of(conf->node->name))) continue;
        err = face_init(e, &e->faces[e->n], (uint8_t)i, &ids[i], why);
        e->n += !err;
    }
    if (err) {
        egress_destroy(e);
        return err;
    }
    *out = e;
    return ERR_OK;
}

void egress_start(struct egress *e)
{
    for (size_t i = 0; i < e->n; i++) {
        struct face *f = &e->faces[i];
        if (e->conf.store)
            timer_set_in(e->env->timers, &f->due, 0, due, f);
        else
            aim(f, f->identity); /* alone: what preflight finds is told, and sends nobody else in */
        timer_set_in(e->env->timers, &f->preflight_due, 0, preflight_again, f);
        timer_set_in(e->env->timers, &f->outside_due, 0, ask_outside, f);
    }
}

static void face_deinit(struct face *f)
{
    struct timers *timers = f->egress->env->timers;
    timer_clear(timers, &f->due);
    timer_clear(timers, &f->preflight_due);
    timer_clear(timers, &f->outside_due);
    outside_cancel(&f->outside_op);
    resolver_cancel(&f->token_op);
    spf_check_cancel(&f->spf_op);
    preflight_cancel(&f->preflight_op);
    LIST_EACH_SAFE(&f->requests, it, next)
    {
        struct request *r = CONTAINER_OF(it, struct request, list);
        store_redis_cancel(&r->op);
        free(r);
    }
    gate_close(&f->gate);
    agent_destroy(f->agent);
}

void egress_destroy(struct egress *e)
{
    if (!e) return;
    for (size_t i = 0; i < e->n; i++) face_deinit(&e->faces[i]);
    free(e->faces);
    free(e);
}

void egress_order(struct egress *e, const struct link_order *o)
{
    struct face *f = find_face(e, store_identity_index(cluster(e), o->identity));
    struct agent_event ev = { .kind = AGENT_EV_ORDER };
    static const enum agent_order_kind kinds[] = {
        [LINK_FENCE] = AGENT_FENCE, [LINK_GRANT] = AGENT_GRANT, [LINK_HANDOFF] = AGENT_HANDOFF
    };
    if (!f) {
        log_warn(e->env->log, "egress.order_for_another", kv_slice("identity", o->identity),
                 kv_cstr("order", link_order_name(o->kind)));
        return;
    }
    ev.order = (struct agent_order){ .kind = kinds[o->kind],
                                     .identity = f->identity,
                                     .op = o->op,
                                     .epoch = o->epoch,
                                     .token = o->token,
                                     .term = o->term,
                                     .dns_pending = o->dns_pending };
    if (o->kind == LINK_HANDOFF) ev.order.identity = store_identity_index(cluster(e), o->to);
    log_info(e->env->log, "egress.order", kv_cstr("order", link_order_name(o->kind)),
             kv_slice("identity", o->identity), kv_u64("epoch", o->epoch), kv_slice("to", o->to),
             kv_slice("why", o->why));
    step(f, &ev);
}

void egress_aborted(struct egress *e, uint8_t identity, uint32_t seq)
{
    struct face *f = find_face(e, identity);
    struct agent_event ev = { .kind = AGENT_EV_ABORTED, .seq = seq };
    if (f) step(f, &ev);
}

void egress_sent(struct egress *e, uint8_t identity)
{
    struct face *f = find_face(e, identity);
    if (f) f->sent++;
}

size_t egress_faces(const struct egress *e)
{
    return e->n;
}

void egress_face(const struct egress *e, size_t i, struct egress_face *out)
{
    ASSERT(i < e->n);
    const struct face *f = &e->faces[i];
    *out = (struct egress_face){
        .identity = f->identity,
        .conf = f->conf,
        .gate = &f->gate,
        .state = agent_state(f->agent),
        .why = agent_why(f->agent),
        .epoch = agent_epoch(f->agent),
        .lease_left_ms = e->conf.store ? gate_left_ms(&f->gate, timers_now_ms(e->env->timers)) : UINT64_MAX,
        .sent = f->sent,
        .preflight_known = f->preflight_known,
        .fit = f->fit,
        .preflight = &f->preflight,
    };
}

struct gate *egress_gate(struct egress *e, uint8_t identity)
{
    struct face *f = find_face(e, identity);
    return f ? &f->gate : NULL;
}

uint8_t egress_target(const struct egress *e)
{
    return e->target;
}
