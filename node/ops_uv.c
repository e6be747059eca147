/* request → the table of paths → JSON of what the parts say now.
 *
 * Failure modes: an unknown path is 404, a wrong method 405, anything that changes things over TCP 404 as well: the
 * unix socket's file permission is the only key to it. */
#include "node/ops_uv.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/crew_uv.h"
#include "base/http_uv.h"
#include "base/list.h"
#include "base/log.h"
#include "base/timers.h"
#include "node/link.h"
#include "node/ops_limits.h"
#include "node/ops_tls.h"
#include "node/queue/queue.h"
#include "proto/store_redis_uv.h"

enum { METRICS_BYTES_MAX = 256 * 1024, ORDER_IDS_MAX = 1000 };

struct door { /* by which of the two servers a request came */
    struct ops *ops;
    bool local;
    struct http_server *server;
};

struct ops {
    const struct env *env;
    struct ops_conf conf;
    struct door tcp, local;
    struct list waiting; /* answers that come later */
};

static void answer(struct http_request *req, unsigned status, json_t *body)
{
    char *text = json_dumps(body, JSON_INDENT(2));
    http_reply(req, status, "application/json", slice_of(text));
    free(text);
    json_decref(body);
}

static void say(struct http_request *req, unsigned status, const char *error)
{
    answer(req, status, json_pack("{s:s}", "error", error));
}

/* ---- roles ---- */

static const char *role_of(const struct egress_face *f)
{
    return f->lease_left_ms ? "active" : f->state == AGENT_STANDBY ? "standby" : "fenced";
}

static json_t *face_json(const struct egress_face *f)
{
    char ip[ADDR_TEXT_MAX];
    json_t *issues = json_array();
    for (size_t i = 0; f->preflight_known && i < PREFLIGHT_CHECKS; i++) {
        const struct preflight_finding *fi = &f->preflight->finding[i];
        if (fi->mark == PREFLIGHT_OK) continue;
        json_array_append_new(issues,
                              json_pack("{s:s, s:s, s:s, s:s}", "check", preflight_check_name(i), "mark",
                                        preflight_mark_name(fi->mark), "seen", fi->what, "cure", fi->cure));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:I, s:o}", "name", f->conf->name, "ip",
                     addr_format(&f->conf->ip, ip), "helo", f->conf->helo, "role", role_of(f), "state",
                     agent_state_name(f->state), "why", f->why, "epoch", (json_int_t)f->epoch,
                     "lease_left_ms", (json_int_t)(f->lease_left_ms == UINT64_MAX ? 0 : f->lease_left_ms),
                     "fit", f->fit, "sent", (json_int_t)f->sent, "preflight", issues);
}

static json_t *pressure_json(const struct pressure *p)
{
    json_t *all = json_object();
    for (size_t r = 0; r < PRESSURE_RESOURCES; r++)
        json_object_set_new(all, pressure_resource_name((enum pressure_resource)r),
                            json_pack("{s:s, s:I}", "level", pressure_level_name(p->level[r]), "value",
                                      (json_int_t)p->value[r]));
    return all;
}

static json_t *state_json(const struct ops *o)
{
    json_t *faces = json_array();
    for (size_t i = 0; i < egress_faces(o->conf.egress); i++) {
        struct egress_face f;
        egress_face(o->conf.egress, i, &f);
        json_array_append_new(faces, face_json(&f));
    }
    struct spool_stats s;
    spool_stats(o->conf.spool, &s);
    char why[64];
    bool pressed = pressure_worst(o->conf.pressure) != PRESSURE_LOW;
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:{s:I, s:I, s:b, s:s}, s:o}", "node", o->conf.node->name,
                     "cluster", o->conf.node->cluster.cluster, "version", GEMEL_VERSION, "identities", faces,
                     "sender", store_identity_name(&o->conf.node->cluster, egress_target(o->conf.egress)),
                     "queue", "in", (json_int_t)s.messages[FLOW_IN], "out", (json_int_t)s.messages[FLOW_OUT],
                     "accepting", s.accepting && !pressed, "why",
                     s.accepting ? pressure_why(o->conf.pressure, why) : s.why, "pressure",
                     pressure_json(o->conf.pressure));
}

static bool any_active(const struct ops *o)
{
    for (size_t i = 0; i < egress_faces(o->conf.egress); i++) {
        struct egress_face f;
        egress_face(o->conf.egress, i, &f);
        if (f.lease_left_ms) return true;
    }
    return false;
}

static bool any_standby(const struct ops *o)
{
    for (size_t i = 0; i < egress_faces(o->conf.egress); i++) {
        struct egress_face f;
        egress_face(o->conf.egress, i, &f);
        if (!f.lease_left_ms && f.fit && (f.state == AGENT_STANDBY || f.state == AGENT_FENCED)) return true;
    }
    return false;
}

static bool accepting(const struct ops *o)
{
    struct spool_stats s;
    spool_stats(o->conf.spool, &s);
    return s.accepting && pressure_worst(o->conf.pressure) == PRESSURE_LOW &&
           !o->conf.stopping(o->conf.owner);
}

/* Every loop has ticked within one lease. The control loop is answering, so it lives. */
static bool alive(const struct ops *o)
{
    uint64_t now = timers_now_ms(o->env->timers), limit = o->conf.node->cluster.failover.lease_ms;
    for (size_t i = 0; i < crew_size(o->conf.workers); i++) {
        uint64_t tick = loop_last_tick_ms(crew_loop(o->conf.workers, i));
        if (tick + limit < now) return false;
    }
    return true;
}

static void get_active(struct ops *o, struct http_request *req)
{
    answer(req, any_active(o) ? 200 : 503, state_json(o));
}

static void get_standby(struct ops *o, struct http_request *req)
{
    answer(req, any_standby(o) ? 200 : 503, state_json(o));
}

static void get_health(struct ops *o, struct http_request *req)
{
    answer(req, accepting(o) ? 200 : 503, state_json(o));
}

static void get_liveness(struct ops *o, struct http_request *req)
{
    answer(req, alive(o) ? 200 : 503, state_json(o));
}

/* ---- metrics ---- */

static void metric(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_putf(b, "# HELP gemel_%s %s\n# TYPE gemel_%s %s\n", name, help, name, type);
}

static void face_metrics(const struct ops *o, struct buf *b)
{
    struct egress_face f;
    size_t n = egress_faces(o->conf.egress);
    metric(b, "egress_active", "gauge", "1 while the identity may send, by this node's clock");
    for (size_t i = 0; i < n; i++)
        egress_face(o->conf.egress, i, &f),
            buf_putf(b, "gemel_egress_active{identity=\"%s\"} %d\n", f.conf->name, f.lease_left_ms > 0);
    metric(b, "egress_epoch", "gauge", "highest epoch the node has seen");
    for (size_t i = 0; i < n; i++)
        egress_face(o->conf.egress, i, &f),
            buf_putf(b, "gemel_egress_epoch{identity=\"%s\"} %" PRIu64 "\n", f.conf->name, f.epoch);
    metric(b, "lease_seconds_left", "gauge", "seconds until the gate closes unless the lease is renewed");
    for (size_t i = 0; i < n; i++) {
        egress_face(o->conf.egress, i, &f);
        buf_putf(b, "gemel_lease_seconds_left{identity=\"%s\"} %.3f\n", f.conf->name,
                 f.lease_left_ms == UINT64_MAX ? 0.0 : (double)f.lease_left_ms / 1000);
    }
    metric(b, "preflight_fit", "gauge", "1 while reverse name, HELO name and address agree");
    for (size_t i = 0; i < n; i++)
        egress_face(o->conf.egress, i, &f),
            buf_putf(b, "gemel_preflight_fit{identity=\"%s\"} %d\n", f.conf->name, f.fit);
}

static void queue_metrics(const struct ops *o, struct buf *b)
{
    struct spool_stats s;
    spool_stats(o->conf.spool, &s);
    metric(b, "queue_messages", "gauge", "messages on disk");
    for (int f = 0; f < FLOW_COUNT; f++)
        buf_putf(b, "gemel_queue_messages{flow=\"%s\"} %" PRIu64 "\n", flow_name(f), s.messages[f]);
    struct schedule_counts c;
    queue_counts(o->conf.queue, &c);
    metric(b, "queue_held_messages", "gauge",
           "messages held or set aside, until somebody releases or removes them");
    buf_putf(b, "gemel_queue_held_messages %zu\n", c.held);
    metric(b, "pressure_level", "gauge", "0 low, 1 medium: others are refused, 2 high: everybody is");
    for (size_t r = 0; r < PRESSURE_RESOURCES; r++)
        buf_putf(b, "gemel_pressure_level{resource=\"%s\"} %d\n",
                 pressure_resource_name((enum pressure_resource)r), (int)o->conf.pressure->level[r]);
    metric(b, "pressure_value", "gauge", "what the level was judged by: percent in use, messages");
    for (size_t r = 0; r < PRESSURE_RESOURCES; r++)
        buf_putf(b, "gemel_pressure_value{resource=\"%s\"} %" PRIu64 "\n",
                 pressure_resource_name((enum pressure_resource)r), o->conf.pressure->value[r]);
    metric(b, "queue_bytes", "gauge", "bytes of messages on disk");
    for (int f = 0; f < FLOW_COUNT; f++)
        buf_putf(b, "gemel_queue_bytes{flow=\"%s\"} %" PRIu64 "\n", flow_name(f), s.bytes[f]);
    metric(b, "queue_accepting", "gauge", "1 while new mail is accepted");
    buf_putf(b, "gemel_queue_accepting %d\n", s.accepting);
    metric(b, "spool_commits_total", "counter", "synced transactions");
    buf_putf(b, "gemel_spool_commits_total %" PRIu64 "\n", s.commits);
    metric(b, "spool_operations_total", "counter", "changes those transactions held");
    buf_putf(b, "gemel_spool_operations_total %" PRIu64 "\n", s.committed_ops);
    metric(b, "spool_disk_free_bytes", "gauge", "free bytes on the queue's disk");
    buf_putf(b, "gemel_spool_disk_free_bytes %" PRIu64 "\n", s.disk_free_bytes);
}

static void per_flow(struct buf *b, const char *name, const char *help, const uint64_t *v)
{
    metric(b, name, "counter", help);
    for (int f = 0; f < FLOW_COUNT; f++)
        buf_putf(b, "gemel_%s{flow=\"%s\"} %" PRIu64 "\n", name, flow_name(f), v[f]);
}

static void relay_metrics(const struct ops *o, struct buf *b)
{
    struct dispatch_totals t;
    dispatch_totals(o->conf.dispatch, &t);
    per_flow(b, "relay_sent_total", "recipients accepted by the next hop", t.sent);
    per_flow(b, "relay_deferred_total", "recipients put off", t.deferred);
    per_flow(b, "relay_failed_total", "recipients refused for good", t.failed);
    per_flow(b, "relay_messages_sent_total", "messages accepted for at least one recipient", t.mails_sent);
    metric(b, "relay_maybe_sent_total", "counter",
           "messages whose final reply was lost: they may arrive twice");
    buf_putf(b, "gemel_relay_maybe_sent_total %" PRIu64 "\n", t.maybe_sent);
    metric(b, "relay_connections_total", "counter", "connections made to next hops");
    buf_putf(b, "gemel_relay_connections_total %" PRIu64 "\n", t.connections);
    metric(b, "relay_connections_tls_total", "counter", "of those, encrypted");
    buf_putf(b, "gemel_relay_connections_tls_total %" PRIu64 "\n", t.tls);
    metric(b, "relay_refusals_total", "counter", "refusals by their effect on our identity");
    for (size_t i = EFFECT_NONE + 1; i < RELAY_EFFECTS; i++)
        buf_putf(b, "gemel_relay_refusals_total{effect=\"%s\"} %" PRIu64 "\n", relay_effect_name(i),
                 t.refused[i]);
}

static void get_metrics(struct ops *o, struct http_request *req)
{
    struct buf b;
    buf_init(&b, METRICS_BYTES_MAX);
    face_metrics(o, &b);
    queue_metrics(o, &b);
    relay_metrics(o, &b);
    ops_tls_metrics(o->conf.tally, &b);
    o->conf.smtp_metrics(o->conf.owner, &b);
    if (o->conf.store) {
        metric(&b, "store_up", "gauge", "1 while the shared store is connected");
        buf_putf(&b, "gemel_store_up %d\n", o->conf.store_up(o->conf.owner));
    }
    http_reply(req, 200, "text/plain; version=0.0.4", buf_slice(&b));
    buf_deinit(&b);
}

/* ---- the queue ---- */

/* An answer that comes later. */
struct waiting {
    struct list list;
    struct http_request *req;
    struct queue_task *task;
    bool ordered;
};

static void waiting_free(struct waiting *w)
{
    queue_task_cancel(&w->task);
    list_remove(&w->list);
    free(w);
}

static void gone(void *owner)
{
    waiting_free(owner);
}

static bool did_nothing(json_t *j)
{
    return json_integer_value(json_object_get(j, "skipped")) &&
           !json_integer_value(json_object_get(j, "done")) &&
           !json_integer_value(json_object_get(j, "in_delivery"));
}

static void answered(void *owner, json_t *j)
{
    struct waiting *w = owner;
    struct http_request *req = w->req;
    json_t *first = json_array_get(json_object_get(j, "why"), 0);
    unsigned status = !w->ordered ? 200 : json_object_get(j, "error") ? 503 : did_nothing(j) ? 412 : 200;
    if (status == 412)
        json_object_set_new(j, "text",
                            json_sprintf("nothing was changed: %s: %s",
                                         json_string_value(json_object_get(first, "id")),
                                         json_string_value(json_object_get(first, "why"))));
    w->task = NULL;
    waiting_free(w);
    answer(req, status, j);
}

static struct waiting *wait_for(struct ops *o, struct http_request *req)
{
    struct waiting *w = xzalloc(sizeof *w);
    w->req = req;
    list_append(&o->waiting, &w->list);
    http_on_gone(req, gone, w);
    return w;
}

static bool get_number(struct http_request *req, const char *name, uint64_t max, uint64_t *out)
{
    struct slice text = SLICE("");
    return !http_query(req, name, &text) || slice_u64(text, max, out) == ERR_OK;
}

static void get_queue(struct ops *o, struct http_request *req)
{
    struct queue_filter f = { 0 };
    struct slice held = SLICE("");
    uint64_t limit = 0;
    http_query(req, "flow", &f.flow);
    http_query(req, "domain", &f.domain);
    http_query(req, "sender", &f.sender);
    http_query(req, "recipient", &f.recipient);
    http_query(req, "why", &f.why);
    f.held = http_query(req, "held", &held);
    if (!get_number(req, "limit", 100000, &limit) ||
        !get_number(req, "older_ms", UINT64_MAX / 2, &f.older_ms)) {
        say(req, 400, "limit, older_ms: expected a whole number");
        return;
    }
    struct waiting *w = wait_for(o, req);
    w->task = queue_list(o->conf.queue, &f, limit, answered, w);
}

static void get_destinations(struct ops *o, struct http_request *req)
{
    uint64_t limit = 0;
    if (get_number(req, "limit", 100000, &limit))
        answer(req, 200, queue_destinations(o->conf.queue, limit));
    else
        say(req, 400, "limit: expected a whole number");
}

static void post_flush(struct ops *o, struct http_request *req)
{
    struct slice body = http_body(req);
    json_t *j = body.n ? json_loadb(body.p, body.n, 0, NULL) : json_object();
    const char *id_text = json_string_value(json_object_get(j, "id")),
               *domain = json_string_value(json_object_get(j, "domain"));
    struct queue_id id;
    if (!json_is_object(j)) {
        say(req, 400, "expected a JSON object with id or domain, or nothing for all");
    } else if (id_text && queue_id_parse(slice_of(id_text), &id)) {
        say(req, 400, "id: not a queue id");
    } else {
        size_t n = queue_flush(o->conf.queue, id_text ? &id : NULL, slice_of(domain));
        log_info(o->env->log, "queue.flushed", kv_cstr("id", id_text), kv_cstr("domain", domain),
                 kv_u64("legs", n));
        answer(req, 200, json_pack("{s:I}", "flushed", (json_int_t)n));
    }
    json_decref(j);
}

static struct slice member(json_t *o, const char *name)
{
    json_t *j = json_object_get(o, name);
    return json_is_string(j) ? slice_from(json_string_value(j), json_string_length(j)) : SLICE("");
}

/* {"ids":[…]}, or {"filter":{…}}, or {"all":true}; and by, reason, to. NULL: fine; else what is wrong. */
static const char *read_order(json_t *j, struct queue_order *out, struct queue_id *ids)
{
    json_t *list = json_object_get(j, "ids"), *filter = json_object_get(j, "filter"), *id;
    size_t i;
    if (!json_is_object(j)) return "expected a JSON object with ids, filter or all";
    out->by = member(j, "by");
    out->reason = member(j, "reason");
    out->to = member(j, "to");
    if (out->kind == QUEUE_REDIRECT &&
        (!json_is_string(json_object_get(j, "to")) || (out->to.n && !queue_is_next_hop(out->to))))
        return "to: expected a next hop, [address]:port or host:port, or an empty text for where the domain "
               "goes";
    if (out->kind == QUEUE_REMOVE && json_is_true(json_object_get(j, "dsn"))) out->kind = QUEUE_BOUNCE;
    if ((list != NULL) + (filter != NULL) + json_is_true(json_object_get(j, "all")) != 1)
        return "expected one of ids, filter, all";
    if (list && (!json_array_size(list) || json_array_size(list) > ORDER_IDS_MAX))
        return "ids: expected 1 to 1000";
    json_array_foreach(list, i, id)
    {
        if (queue_id_parse(slice_of(json_string_value(id)), &ids[i])) return "ids: not a queue id";
    }
    out->ids = ids;
    out->n_ids = json_array_size(list);
    if (filter && !json_object_size(filter)) return "filter: is empty; to mean everything, say all";
    struct queue_filter *f = &out->filter;
    *f = (struct queue_filter){ .flow = member(filter, "flow"),
                                .domain = member(filter, "domain"),
                                .sender = member(filter, "sender"),
                                .recipient = member(filter, "recipient"),
                                .why = member(filter, "why"),
                                .older_ms = (uint64_t)json_integer_value(json_object_get(filter, "older_ms")),
                                .held = json_is_true(json_object_get(filter, "held")) };
    /* A misspelt filter must not mean everything. */
    static const char *const known[] = { "flow", "domain", "sender", "recipient", "why", "older_ms", "held" };
    size_t n = 0;
    for (size_t k = 0; k < ARRAY_LEN(known); k++) n += json_object_get(filter, known[k]) != NULL;
    return n == json_object_size(filter) ? NULL
                                         : "filter: flow, domain, sender, recipient, why, older_ms, held";
}

static void order(struct ops *o, struct http_request *req, enum queue_order_kind kind)
{
    struct queue_order q = { .kind = kind };
    struct queue_id *ids = xzalloc(ORDER_IDS_MAX * sizeof *ids);
    struct slice body = http_body(req);
    json_t *j = json_loadb(body.p, body.n, 0, NULL);
    const char *wrong = read_order(j, &q, ids);
    if (wrong) {
        say(req, 400, wrong);
    } else {
        struct waiting *w = wait_for(o, req);
        w->ordered = true;
        w->task = queue_order(o->conf.queue, &q, answered, w);
    }
    json_decref(j);
    free(ids);
}

static void post_hold(struct ops *o, struct http_request *req)
{
    order(o, req, QUEUE_HOLD);
}

static void post_release(struct ops *o, struct http_request *req)
{
    order(o, req, QUEUE_RELEASE);
}

static void post_retry(struct ops *o, struct http_request *req)
{
    order(o, req, QUEUE_RETRY);
}

static void post_remove(struct ops *o, struct http_request *req)
{
    order(o, req, QUEUE_REMOVE);
}

static void post_redirect(struct ops *o, struct http_request *req)
{
    order(o, req, QUEUE_REDIRECT);
}

/* "ID/chunks/N": a piece of the message as it is on disk. */
static bool get_chunk(struct ops *o, struct http_request *req, struct slice text)
{
    struct slice way = SLICE("/chunks/");
    struct queue_id id;
    uint64_t index;
    size_t at = slice_find_slice(text, way);
    if (at >= text.n || queue_id_parse(slice_sub(text, 0, at), &id) ||
        slice_u64(slice_skip(text, at + way.n), UINT32_MAX, &index))
        return false;
    struct buf b;
    buf_init(&b, SPOOL_CHUNK_BYTES);
    enum err err = spool_chunk(o->conf.spool, &id, (uint32_t)index, &b);
    if (!err) http_reply(req, 200, "application/octet-stream", buf_slice(&b));
    buf_deinit(&b);
    return !err;
}

static void get_message(struct ops *o, struct http_request *req, struct slice text)
{
    struct queue_id id;
    json_t *j = queue_id_parse(text, &id) ? NULL : queue_show(o->conf.queue, &id);
    if (j)
        answer(req, 200, j);
    else if (!get_chunk(o, req, text))
        say(req, 404, "there is no such message in this node's queue");
}

static void get_tls(struct ops *o, struct http_request *req)
{
    answer(req, 200, ops_tls_json(o->conf.tally));
}

static void get_limits(struct ops *o, struct http_request *req)
{
    struct slice domain = SLICE("");
    if (http_query(req, "domain", &domain) && domain.n && domain.n <= 255)
        answer(req, 200, ops_limits_json(o->conf.node, domain));
    else
        say(req, 400, "domain: expected a domain or a next hop");
}

/* ---- the table ---- */

typedef void handler(struct ops *o, struct http_request *req);
static const struct path {
    struct slice path;
    handler *get, *post;
    bool local; /* on the unix socket only */
} paths[] = {
    { SLICE_INIT("/"), get_active, NULL, false },
    { SLICE_INIT("/active"), get_active, NULL, false },
    { SLICE_INIT("/standby"), get_standby, NULL, false },
    { SLICE_INIT("/health"), get_health, NULL, false },
    { SLICE_INIT("/liveness"), get_liveness, NULL, false },
    { SLICE_INIT("/readiness"), get_health, NULL, false },
    { SLICE_INIT("/metrics"), get_metrics, NULL, false },
    { SLICE_INIT("/limits"), get_limits, NULL, true },
    { SLICE_INIT("/tls"), get_tls, NULL, true },
    { SLICE_INIT("/queue"), get_queue, NULL, true },
    { SLICE_INIT("/queue/destinations"), get_destinations, NULL, true },
    { SLICE_INIT("/queue/flush"), NULL, post_flush, true },
    { SLICE_INIT("/queue/retry"), NULL, post_retry, true },
    { SLICE_INIT("/queue/hold"), NULL, post_hold, true },
    { SLICE_INIT("/queue/release"), NULL, post_release, true },
    { SLICE_INIT("/queue/remove"), NULL, post_remove, true },
    { SLICE_INIT("/queue/redirect"), NULL, post_redirect, true },
};

static const struct path *find_path(const struct door *d, struct slice path)
{
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (slice_eq(path, paths[i].path) && (d->local || !paths[i].local)) return &paths[i];
    return NULL;
}

static void handle(void *owner, struct http_request *req)
{
    struct door *d = owner;
    struct slice method = http_method(req), path = http_path(req), messages = SLICE("/queue/");
    bool get = slice_eq(method, SLICE("GET")) || slice_eq(method, SLICE("HEAD")),
         post = slice_eq(method, SLICE("POST"));
    const struct path *p = find_path(d, path);
    if (p && get && p->get) {
        p->get(d->ops, req);
    } else if (p && post && p->post) {
        p->post(d->ops, req);
    } else if (p) {
        http_add_header(req, "Allow", p->get ? "GET, HEAD" : "POST");
        say(req, 405, p->get ? "only GET and HEAD" : "only POST");
    } else if (d->local && get && slice_starts(path, messages)) {
        get_message(d->ops, req, slice_skip(path, messages.n));
    } else {
        say(req, 404, "there is no such path here");
    }
}

enum err ops_create(struct loop *l, const struct ops_conf *conf, struct ops **out, struct buf *why)
{
    struct ops *o = xzalloc(sizeof *o);
    *o = (struct ops){ .env = loop_env(l), .conf = *conf };
    list_init(&o->waiting);
    o->tcp = (struct door){ .ops = o };
    o->local = (struct door){ .ops = o, .local = true };
    struct http_conf tcp = { .addr = conf->node->self->http },
                     local = { .unix_path = conf->node->admin_path };
    enum err err = ERR_OK;
    if (tcp.addr.family != ADDR_NONE) err = http_server_create(l, &tcp, handle, &o->tcp, &o->tcp.server, why);
    if (!err) err = http_server_create(l, &local, handle, &o->local, &o->local.server, why);
    if (err) {
        ops_destroy(o);
        return err;
    }
    *out = o;
    return ERR_OK;
}

void ops_destroy(struct ops *o)
{
    if (!o) return;
    http_server_destroy(o->tcp.server);
    http_server_destroy(o->local.server); /* what waits hears that its request is gone */
    ASSERT(list_empty(&o->waiting));
    free(o);
}
