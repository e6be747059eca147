/* request → the table of paths → JSON of what the parts say now.
 *
 * Failure modes: an unknown path is 404, a wrong method 405, anything that changes things over TCP 404 as well: the
 * unix socket's file permission is the only key to it. */
#include "node/ops_uv.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/crew_uv.h"
#include "base/http_uv.h"
#include "base/log.h"
#include "base/timers.h"
#include "node/link.h"
#include "node/queue/queue.h"
#include "proto/store_redis_uv.h"

enum { METRICS_BYTES_MAX = 256 * 1024 };

struct door { /* by which of the two servers a request came */
    struct ops *ops;
    bool local;
    struct http_server *server;
};

struct ops {
    const struct env *env;
    struct ops_conf conf;
    struct door tcp, local;
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
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:{s:I, s:I, s:b, s:s}}", "node", o->conf.node->name,
                     "cluster", o->conf.node->cluster.cluster, "version", GEMEL_VERSION, "identities", faces,
                     "sender", store_identity_name(&o->conf.node->cluster, egress_target(o->conf.egress)),
                     "queue", "in", (json_int_t)s.messages[FLOW_IN], "out", (json_int_t)s.messages[FLOW_OUT],
                     "accepting", s.accepting, "why", s.why);
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
    return s.accepting && !o->conf.stopping(o->conf.owner);
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
    o->conf.smtp_metrics(o->conf.owner, &b);
    if (o->conf.store) {
        metric(&b, "store_up", "gauge", "1 while the shared store is connected");
        buf_putf(&b, "gemel_store_up %d\n", o->conf.store_up(o->conf.owner));
    }
    http_reply(req, 200, "text/plain; version=0.0.4", buf_slice(&b));
    buf_deinit(&b);
}

/* ---- the queue ---- */

static void get_queue(struct ops *o, struct http_request *req)
{
    struct queue_filter f = { 0 };
    struct slice limit = SLICE("");
    uint64_t n = 0;
    http_query(req, "flow", &f.flow);
    http_query(req, "domain", &f.domain);
    http_query(req, "sender", &f.sender);
    http_query(req, "recipient", &f.recipient);
    if (http_query(req, "limit", &limit) && slice_u64(limit, 100000, &n)) {
        say(req, 400, "limit: expected a whole number");
        return;
    }
    f.limit = n;
    answer(req, 200, queue_list(o->conf.queue, &f));
}

static void get_destinations(struct ops *o, struct http_request *req)
{
    answer(req, 200, queue_destinations(o->conf.queue));
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

static void get_message(struct ops *o, struct http_request *req, struct slice text)
{
    struct queue_id id;
    json_t *j = queue_id_parse(text, &id) ? NULL : queue_show(o->conf.queue, &id);
    if (j)
        answer(req, 200, j);
    else
        say(req, 404, "there is no such message in this node's queue");
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
    { SLICE_INIT("/queue"), get_queue, NULL, true },
    { SLICE_INIT("/queue/destinations"), get_destinations, NULL, true },
    { SLICE_INIT("/queue/flush"), NULL, post_flush, true },
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
    http_server_destroy(o->local.server);
    free(o);
}
