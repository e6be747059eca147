#include "coordinator/api_call.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/loop_uv.h"
#include "coordinator/status.h"

enum {
    FORWARD_LIMIT_MS = 30000,
    WORK_LIMIT_MS = 25000, /* below the forwarding limit: the reason arrives, not a time-out */
    HISTORY_DEFAULT = 20,
    HISTORY_MAX = 500
};

/* ---- ends of a call ---- */

static void call_end(struct call *c)
{
    store_redis_cancel(&c->history);
    records_cancel(&c->records);
    lists_check_cancel(&c->check);
    doctor_cancel(&c->doctor);
    forward_cancel(&c->forward);
    timer_clear(call_parts(c)->env->timers, &c->limit);
    list_remove(&c->list);
    json_decref(c->body);
    free(c);
}

void call_reply_text(struct call *c, unsigned status, const char *type, struct slice text)
{
    if (c->http) http_reply(c->http, status, type, text);
    if (c->link) links_reply(c->link, status, text);
    call_end(c);
}

void call_reply(struct call *c, unsigned status, json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    call_reply_text(c, status, "application/json", slice_of(text ? text : "{}"));
    free(text);
}

void call_error(struct call *c, unsigned status, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const struct host_conf *leader = decider_leader(call_parts(c)->decider);
    json_t *o = json_object();
    json_object_set_new(o, "error", status_text(text));
    json_object_set_new(o, "leader", leader ? json_string(leader->name) : json_null());
    call_reply(c, status, o);
}

static void limit_over(struct timer *t)
{
    call_error(t->owner, 504, "no answer in time; look at the status");
}

void call_limit(struct call *c, uint64_t ms)
{
    timer_set_in(call_parts(c)->env->timers, &c->limit, ms, limit_over, c);
}

bool call_identity(struct call *c, const char *name, uint8_t *out)
{
    uint8_t i = store_identity_index(&call_parts(c)->conf->cluster, slice_of(name));
    if (i < call_parts(c)->conf->cluster.identities.n) {
        *out = i;
        return true;
    }
    call_error(c, 400, "there is no identity \"%s\"", name);
    return false;
}

/* ---- health ---- */

static void get_leader(struct call *c)
{
    call_reply(c, decider_leads(call_parts(c)->decider) ? 200 : 503, status_role(call_parts(c)));
}

static void get_health(struct call *c)
{
    call_reply(c, 200, status_role(call_parts(c))); /* that it answers is the answer */
}

static void get_liveness(struct call *c)
{
    const struct parts *p = call_parts(c);
    uint64_t lease = p->conf->cluster.failover.lease_ms, now = timers_now_ms(p->env->timers);
    uint64_t limit = decider_leads(p->decider) ? lease : 2 * lease;
    bool live = now <= loop_last_tick_ms(c->api->conf.loop) + limit;
    call_reply(c, live ? 200 : 503, status_role(p));
}

static void get_readiness(struct call *c)
{
    const struct parts *p = call_parts(c);
    struct decider_store store;
    decider_store(p->decider, false, &store);
    uint64_t limit = 3 * p->conf->cluster.failover.lease_ms;
    bool ready = store.answered_ms && timers_now_ms(p->env->timers) <= store.answered_ms + limit;
    call_reply(c, ready ? 200 : 503, status_role(p));
}

static void get_metrics(struct call *c)
{
    struct buf out;
    buf_init(&out, MIB(4));
    status_metrics(call_parts(c), &out);
    call_reply_text(c, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&out));
    buf_deinit(&out);
}

/* ---- looks ---- */

static void get_cluster(struct call *c)
{
    call_reply(c, 200, status_cluster(call_parts(c)));
}

static void history_read(void *owner, enum err err, const struct slice *lines, size_t n)
{
    struct call *c = owner;
    uint64_t max = HISTORY_DEFAULT;
    c->history = NULL;
    if (err) {
        call_error(c, 503, "Redis does not answer: %s", err_text(err));
        return;
    }
    if (*c->query.n) (void)!slice_u64(slice_of(c->query.n), HISTORY_MAX, &max); /* checked before */
    call_reply(c, 200, status_history(lines, n, max, *c->query.all != '\0'));
}

static void get_history(struct call *c)
{
    const struct parts *p = call_parts(c);
    uint64_t n;
    if (*c->query.n && (slice_u64(slice_of(c->query.n), HISTORY_MAX, &n) || n == 0)) {
        call_error(c, 400, "n is a number from 1 to %d", HISTORY_MAX);
        return;
    }
    /* All of it: changes of the records stand between the switches, and are mostly not shown. */
    c->history = store_redis_history(p->store, HISTORY_MAX,
                                     (uint32_t)p->conf->cluster.failover.redis_timeout_ms, history_read, c);
}

static void get_spf(struct call *c)
{
    call_reply(c, 200, status_spf(call_parts(c)));
}

static void spf_verified(void *owner, const struct fo_verified *v)
{
    struct call *c = owner;
    c->records = NULL;
    get_spf(c);
}

static void spf_read(void *owner, bool reachable, const struct fo_token *token)
{
    struct call *c = owner;
    c->records = records_verify(call_parts(c)->records, spf_verified, c);
}

static void post_spf_verify(struct call *c)
{
    call_limit(c, WORK_LIMIT_MS);
    c->records = records_read(call_parts(c)->records, spf_read, c);
}

static void get_dnsbl(struct call *c)
{
    call_reply(c, 200, status_dnsbl(call_parts(c)));
}

static uint8_t identity_by_ip(const struct call *c, const struct addr *ip)
{
    uint8_t i = 0;
    CONF_EACH(struct identity_conf, it, call_parts(c)->conf->cluster.identities)
    {
        if (addr_eq_ip(&it->ip, ip)) return i;
        i++;
    }
    return STORE_NONE;
}

static void get_explain(struct call *c)
{
    uint8_t which = STORE_NONE;
    struct addr ip;
    if (*c->query.identity && !call_identity(c, c->query.identity, &which)) return;
    if (*c->query.ip) {
        if (addr_parse(slice_of(c->query.ip), &ip)) {
            call_error(c, 400, "\"%s\" is not an address", c->query.ip);
            return;
        }
        which = identity_by_ip(c, &ip);
        if (which == STORE_NONE) {
            call_error(c, 404, "%s is none of our addresses; POST /dnsbl/check asks about any", c->query.ip);
            return;
        }
    }
    call_reply(c, 200, status_explain(call_parts(c), which));
}

static void checked(void *owner, json_t *result)
{
    struct call *c = owner;
    c->check = NULL;
    call_reply(c, 200, result);
}

static void post_check(struct call *c)
{
    const char *text = json_string_value(json_object_get(c->body, "ip"));
    struct addr ip;
    if (text && addr_parse(slice_of(text), &ip)) {
        call_error(c, 400, "\"%s\" is not an address", text);
        return;
    }
    call_limit(c, WORK_LIMIT_MS);
    c->check = lists_check_start(call_parts(c), text ? &ip : NULL, checked, c);
}

static void diagnosed(void *owner, json_t *result)
{
    struct call *c = owner;
    c->doctor = NULL;
    call_reply(c, 200, result);
}

static void get_doctor(struct call *c)
{
    c->doctor = doctor_start(call_parts(c), diagnosed, c);
}

static void post_switchover(struct call *c)
{
    call_command(c, FO_CMD_SWITCHOVER);
}
static void post_failover(struct call *c)
{
    call_command(c, FO_CMD_FAILOVER);
}
static void post_fence(struct call *c)
{
    call_command(c, FO_CMD_FENCE);
}
static void post_pause(struct call *c)
{
    call_command(c, FO_CMD_PAUSE);
}
static void post_resume(struct call *c)
{
    call_command(c, FO_CMD_RESUME);
}
static void post_pin(struct call *c)
{
    call_command(c, FO_CMD_PIN);
}
static void post_unpin(struct call *c)
{
    call_command(c, FO_CMD_UNPIN);
}

/* ---- routes ---- */

enum { LOCAL = 1, /* about the process asked: never passed on */ POST = 2 };

static const struct route {
    const char *path;
    unsigned flags;
    void (*on)(struct call *c);
} routes[] = {
    { "/leader", LOCAL, get_leader },
    { "/health", LOCAL, get_health },
    { "/liveness", LOCAL, get_liveness },
    { "/readiness", LOCAL, get_readiness },
    { "/metrics", LOCAL, get_metrics },
    { "/cluster", 0, get_cluster },
    { "/history", 0, get_history },
    { "/spf", 0, get_spf },
    { "/spf/verify", POST, post_spf_verify },
    { "/dnsbl", 0, get_dnsbl },
    { "/dnsbl/explain", 0, get_explain },
    { "/dnsbl/check", POST, post_check },
    { "/doctor", 0, get_doctor },
    { "/switchover", POST, post_switchover },
    { "/failover", POST, post_failover },
    { "/fence", POST, post_fence },
    { "/pause", POST, post_pause },
    { "/resume", POST, post_resume },
    { "/pin", POST, post_pin },
    { "/unpin", POST, post_unpin },
};

static const struct route *find_route(const struct call *c)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (strcmp(routes[i].path, c->path) == 0) return &routes[i];
    return NULL;
}

/* ---- passing on to the leader ---- */

static void format_query(const struct query *q, struct buf *out)
{
    const struct {
        const char *name, *value;
    } rows[] = { { "n", q->n }, { "all", q->all }, { "ip", q->ip }, { "identity", q->identity } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (*rows[i].value) buf_putf(out, "%s%s=%s", buf_len(out) ? "&" : "", rows[i].name, rows[i].value);
}

static void forwarded(void *owner, enum err err, unsigned status, struct slice body, const char *detail)
{
    struct call *c = owner;
    const struct route *route = find_route(c);
    c->forward = NULL;
    if (!err)
        call_reply_text(c, status, "application/json", body);
    else if (!(route->flags & POST))
        route->on(c); /* our own view is better than none; it says that we do not lead */
    else if (err == ERR_UNKNOWN)
        call_error(c, 503,
                   "the coordinator that leads was asked and its answer is missing (%s): look at the status",
                   detail);
    else
        call_error(c, 503, "the coordinator that leads cannot be reached: %s", detail);
}

static void pass_on(struct call *c, const struct host_conf *leader)
{
    struct buf query;
    char *body = json_dumps(c->body, JSON_COMPACT);
    buf_init(&query, 512);
    format_query(&c->query, &query);
    struct link_request r = { .method = slice_of(c->method),
                              .path = slice_of(c->path),
                              .query = buf_slice(&query),
                              .body = slice_of(body ? body : "{}") };
    c->forward = forward_start(call_parts(c)->env, c->api->conf.forward, leader, &r, FORWARD_LIMIT_MS,
                               forwarded, c);
    buf_deinit(&query);
    free(body);
}

/* ---- coming in ---- */

static void dispatch(struct call *c)
{
    const struct route *route = find_route(c);
    const struct parts *p = call_parts(c);
    const struct host_conf *leader = decider_leader(p->decider);
    if (!route) {
        call_error(c, 404, "there is no %s here; docs/admin-api.md lists what there is", c->path);
        return;
    }
    bool get = strcmp(c->method, "GET") == 0 || strcmp(c->method, "HEAD") == 0,
         post = strcmp(c->method, "POST") == 0;
    if (!c->may_command && !get) {
        call_error(c, 403, "this listener is for monitoring: commands come by the unix socket");
    } else if (route->flags & POST ? !post : !get) {
        if (c->http) http_add_header(c->http, "Allow", route->flags & POST ? "POST" : "GET, HEAD");
        call_error(c, 405, "%s does not take %s", c->path, c->method);
    } else {
        bool here = route->flags & LOCAL || *c->query.local || !c->may_command || c->link ||
                    decider_leads(p->decider);
        if (!here && leader)
            pass_on(c, leader);
        else
            route->on(c);
    }
}

static struct call *call_create(struct api *a)
{
    struct call *c = xzalloc(sizeof *c);
    c->api = a;
    list_append(&a->calls, &c->list);
    return c;
}

/* False: answered with 400. */
static bool take_body(struct call *c, struct slice body)
{
    json_error_t e;
    if (!slice_trim(body).n) {
        c->body = json_object();
        return true;
    }
    c->body = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &e);
    if (json_is_object(c->body)) return true;
    call_error(c, 400, "the body is not a JSON object%s%s", c->body ? "" : ": ", c->body ? "" : e.text);
    return false;
}

static void take_query(struct call *c, struct http_request *req)
{
    const struct {
        const char *name;
        char *to;
        size_t cap;
    } rows[] = { { "n", c->query.n, sizeof c->query.n },
                 { "all", c->query.all, sizeof c->query.all },
                 { "ip", c->query.ip, sizeof c->query.ip },
                 { "identity", c->query.identity, sizeof c->query.identity },
                 { "local", c->query.local, sizeof c->query.local } };
    struct slice v;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (http_query(req, rows[i].name, &v) && slice_cstr(v, rows[i].to, rows[i].cap))
            snprintf(rows[i].to, rows[i].cap, "?");
}

static void gone(void *owner)
{
    struct call *c = owner;
    c->http = NULL;
    call_end(c);
}

static void come(struct api *a, struct http_request *req, bool socket)
{
    struct call *c = call_create(a);
    c->http = req;
    c->may_command = socket;
    http_on_gone(req, gone, c);
    if (slice_cstr(http_method(req), c->method, sizeof c->method) ||
        slice_cstr(http_path(req), c->path, sizeof c->path)) {
        call_error(c, 404, "there is no such path");
        return;
    }
    take_query(c, req);
    if (take_body(c, socket ? http_body(req) : SLICE(""))) dispatch(c);
}

static void on_tcp(void *owner, struct http_request *req)
{
    come(owner, req, false);
}

static void on_socket(void *owner, struct http_request *req)
{
    come(owner, req, true);
}

void api_request(struct api *a, const char *coordinator, const struct link_request *r,
                 struct links_call *link)
{
    struct call *c = call_create(a);
    struct slice rest = r->query, one, key;
    c->link = link;
    c->may_command = true;
    snprintf(c->peer, sizeof c->peer, "%s", coordinator);
    bool good = !slice_cstr(r->method, c->method, sizeof c->method) &&
                !slice_cstr(r->path, c->path, sizeof c->path);
    while (slice_cut(&rest, '&', &one)) {
        if (!slice_cut(&one, '=', &key)) continue;
        if (slice_eq(key, SLICE("n"))) good = good && !slice_cstr(one, c->query.n, sizeof c->query.n);
        if (slice_eq(key, SLICE("all"))) good = good && !slice_cstr(one, c->query.all, sizeof c->query.all);
        if (slice_eq(key, SLICE("ip"))) good = good && !slice_cstr(one, c->query.ip, sizeof c->query.ip);
        if (slice_eq(key, SLICE("identity")))
            good = good && !slice_cstr(one, c->query.identity, sizeof c->query.identity);
    }
    if (!good)
        call_error(c, 400, "the request passed on by %s is malformed", coordinator);
    else if (take_body(c, r->body))
        dispatch(c);
}

/* ---- life ---- */

enum err api_create(const struct api_conf *conf, struct api **out, struct buf *why)
{
    struct api *a = xzalloc(sizeof *a);
    const struct coordinator_conf *k = conf->parts->conf;
    *a = (struct api){ .conf = *conf };
    list_init(&a->calls);
    struct http_conf tcp = { .addr = k->self->http },
                     socket = { .unix_path = k->admin_path, .unix_mode = 0660 };
    enum err err = http_server_create(conf->loop, &socket, on_socket, a, &a->socket, why);
    if (!err && k->self->http.family != ADDR_NONE)
        err = http_server_create(conf->loop, &tcp, on_tcp, a, &a->tcp, why);
    if (err) {
        api_destroy(a);
        return err;
    }
    *out = a;
    return ERR_OK;
}

void api_destroy(struct api *a)
{
    if (!a) return;
    http_server_destroy(a->tcp);
    http_server_destroy(a->socket);
    LIST_EACH_SAFE(&a->calls, it, next)
    {
        struct call *c = CONTAINER_OF(it, struct call, list);
        c->link = NULL; /* the links drop what was not answered */
        call_end(c);
    }
    free(a);
}
