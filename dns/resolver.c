#include "dns/resolver.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/net.h"
#include "base/rng.h"
#include "base/timers.h"
#include "dns/cache.h"
#include "dns/message.h"

/* One question on its way: equal questions of several askers share it.
 *
 * A flight is a series of tries. A try is a new UDP socket, or a TCP connection when the answer was truncated (or somebody
 * seems to be guessing ids). Whatever ends a try without an answer sets `why` and goes on to the next server; the flight
 * lands with an answer, or with the last `why` when the tries or the time are used up. */
enum {
    KEY_MAX = DNS_NAME_MAX + 8,
    TRIES_PER_SERVER = 2,
    TRIES_MIN = 3,
    FORGED_MAX = 8, /* answers with a wrong id or question before UDP is given up (RFC 5452 9.2) */
    FAIL_TTL_S = 5, /* RFC 9520: failures are kept too, for a short time */
};

struct flight {
    struct resolver *r;
    struct list ops;
    struct dns_name name, current; /* as asked; where aliases have led */
    uint16_t type, id;
    unsigned flags, tries, aliases, forged;
    uint32_t said_no; /* bit n: server n answered with an error */
    uint32_t ttl_s;
    size_t server; /* index of the one being asked */
    struct addr direct;
    bool edns, shared, landed, ad;
    enum dns_why why;
    uint16_t rcode;
    uint64_t deadline_ms;
    struct timer timer;
    struct udp *udp;
    struct net_op *dial;
    struct stream *stream;
    struct buf rx;
};

struct dns_op {
    struct resolver *r;
    struct list link;
    struct flight *flight; /* NULL: the answer is at hand, and delivered by `timer` */
    struct cached *cached;
    enum dns_why why;
    struct timer timer;
    dns_done_fn *done;
    void *owner;
};

struct resolver {
    const struct env *env;
    struct resolver_conf conf;
    size_t preferred; /* the server that answered last */
    struct cache cache;
    struct map flights;
    size_t in_flight, ops;
    struct resolver_stats stats;
};

static uint64_t now_ms(const struct resolver *r)
{
    return timers_now_ms(r->env->timers);
}

struct resolver *resolver_create(const struct env *env, const struct resolver_conf *conf)
{
    struct resolver *r = xzalloc(sizeof *r);
    struct resolver_conf *c = &r->conf;
    r->env = env;
    *c = *conf;
    ASSERT(c->n_servers <= RESOLVER_SERVERS_MAX);
    if (!c->try_ms) c->try_ms = 1500;
    if (!c->limit_ms) c->limit_ms = 8000;
    if (!c->cache_entries) c->cache_entries = 8192;
    if (!c->cache_bytes) c->cache_bytes = MIB(8);
    if (!c->ttl_max_s) c->ttl_max_s = 3600;
    if (!c->negative_ttl_max_s) c->negative_ttl_max_s = 300;
    if (!c->in_flight_max) c->in_flight_max = 4096;
    for (size_t i = 0; i < c->n_servers; i++)
        if (!c->servers[i].port) c->servers[i].port = 53;
    cache_init(&r->cache, c->cache_entries, c->cache_bytes);
    return r;
}

void resolver_destroy(struct resolver *r)
{
    if (!r) return;
    ASSERT(r->ops == 0 && r->in_flight == 0);
    cache_deinit(&r->cache);
    map_deinit(&r->flights);
    free(r);
}

void resolver_flush(struct resolver *r)
{
    cache_flush(&r->cache);
}

const struct env *resolver_env(const struct resolver *r)
{
    return r->env;
}

void resolver_stats(const struct resolver *r, struct resolver_stats *out)
{
    *out = r->stats;
    out->entries = r->cache.entries;
    out->bytes = r->cache.bytes;
}

/* --- Keys --- */

static struct slice key_of(const struct dns_name *name, uint16_t type, unsigned flags,
                           char out[static KEY_MAX])
{
    size_t n = 0;
    out[n++] = (char)(type >> 8);
    out[n++] = (char)type;
    out[n++] = (char)(flags & (DNS_WANT_AD | DNS_TCP));
    memcpy(out + n, name->text, name->n);
    return slice_from(out, n + name->n);
}

/* --- The end of a flight --- */

static void close_try(struct flight *f)
{
    timer_clear(f->r->env->timers, &f->timer);
    udp_close(&f->udp);
    net_dial_cancel(&f->dial);
    stream_close(&f->stream);
    buf_deinit(&f->rx);
}

static void flight_free(struct flight *f)
{
    char key[KEY_MAX];
    close_try(f);
    if (f->shared) map_remove(&f->r->flights, key_of(&f->name, f->type, f->flags, key));
    f->r->in_flight--;
    free(f);
}

static void keep(struct flight *f, const struct dns_answer *a)
{
    const struct resolver_conf *c = &f->r->conf;
    char key[KEY_MAX];
    uint32_t ttl_s = MIN(a->ttl_s, a->result == DNS_ANSWER ? c->ttl_max_s : c->negative_ttl_max_s);
    if (a->result == DNS_FAIL) ttl_s = FAIL_TTL_S;
    if (f->shared) cache_put(&f->r->cache, key_of(&f->name, f->type, f->flags, key), a, ttl_s, now_ms(f->r));
}

/* Completions may cancel other ops of this flight and ask anew: the flight is out of the map before the first one runs. */
static void land(struct flight *f, const struct dns_answer *a)
{
    char key[KEY_MAX];
    keep(f, a);
    close_try(f);
    if (f->shared) map_remove(&f->r->flights, key_of(&f->name, f->type, f->flags, key));
    f->shared = false;
    f->landed = true;
    while (!list_empty(&f->ops)) {
        struct dns_op *op = CONTAINER_OF(f->ops.next, struct dns_op, link);
        dns_done_fn *done = op->done;
        void *owner = op->owner;
        list_remove(&op->link);
        f->r->ops--;
        free(op);
        done(owner, a);
    }
    flight_free(f);
}

static struct dns_answer failure(enum dns_why why, uint16_t rcode, struct slice name)
{
    return (struct dns_answer){
        .result = DNS_FAIL, .why = why, .rcode = rcode, .canonical = name, .why_detail = SLICE("")
    };
}

static void land_failed(struct flight *f)
{
    struct dns_answer a = failure(f->why, f->rcode, dns_name_slice(&f->current));
    f->r->stats.failed++;
    log_debug(f->r->env->log, "dns.fail", kv_slice("name", dns_name_slice(&f->current)),
              kv_cstr("type", dns_type_name(f->type)), kv_cstr("why", dns_why_name(f->why)));
    land(f, &a);
}

/* --- Tries --- */

static void start_try(struct flight *f);

static const struct addr *server_of(const struct flight *f)
{
    return f->direct.family != ADDR_NONE ? &f->direct : &f->r->conf.servers[f->server];
}

static void on_due(struct timer *t)
{
    struct flight *f = t->owner;
    start_try(f);
}

/* Always through the loop: a try that fails at once must not complete inside resolver_ask. */
static void next_try(struct flight *f, enum dns_why why)
{
    close_try(f);
    f->why = why;
    if (f->direct.family == ADDR_NONE && f->r->conf.n_servers)
        f->server = (f->server + 1) % f->r->conf.n_servers;
    timer_set_in(f->r->env->timers, &f->timer, 0, on_due, f);
}

static void on_silence(struct timer *t)
{
    struct flight *f = t->owner;
    f->r->stats.timeouts++;
    if (f->direct.family == ADDR_NONE && f->server == f->r->preferred)
        f->r->preferred = (f->server + 1) % f->r->conf.n_servers;
    next_try(f, f->why == DNS_WHY_MALFORMED ? DNS_WHY_MALFORMED : DNS_WHY_TIMEOUT);
}

static bool format_query(struct flight *f, struct buf *out)
{
    struct dns_query q = { .id = f->id,
                           .name = dns_name_slice(&f->current),
                           .type = f->type,
                           .recursion = !(f->flags & DNS_NO_RECURSION),
                           .edns = f->edns,
                           .want_ad = f->flags & DNS_WANT_AD };
    buf_init(out, DNS_QUERY_BYTES_MAX);
    return dns_query_format(&q, out) == ERR_OK;
}

/* --- What an answer does --- */

static bool answers_us(const struct flight *f, const struct dns_message *m)
{
    if (!m->response || m->opcode != 0 || m->id != f->id) return false;
    if (!m->has_question) return m->rcode != DNS_RCODE_NOERROR && m->n_answers == 0;
    return m->qtype == f->type && m->qclass == 1 &&
           slice_eq(dns_name_slice(&m->qname), dns_name_slice(&f->current));
}

/* A server that does not resolve for us says so with REFUSED, or with an empty answer that is nobody's. */
static bool is_lame(const struct flight *f, const struct dns_message *m, const struct dns_answer *a)
{
    return !(f->flags & DNS_NO_RECURSION) && !m->ra && !m->aa && a->result == DNS_NODATA && a->canonical.n &&
           a->ttl_s == 0;
}

static bool all_said_no(const struct flight *f)
{
    return f->direct.family != ADDR_NONE || f->said_no == (UINT32_C(1) << f->r->conf.n_servers) - 1;
}

static void on_error(struct flight *f, enum dns_why why, uint16_t rcode)
{
    if (f->edns && (rcode == DNS_RCODE_FORMERR || rcode == DNS_RCODE_NOTIMP || rcode == 16 /* BADVERS */)) {
        f->edns = false; /* RFC 6891 6.2.2: the same server, in plain old DNS */
        close_try(f);
        timer_set_in(f->r->env->timers, &f->timer, 0, on_due, f);
        return;
    }
    if (f->direct.family == ADDR_NONE) f->said_no |= UINT32_C(1) << f->server;
    f->rcode = rcode;
    f->why = why;
    if (all_said_no(f))
        land_failed(f);
    else
        next_try(f, why);
}

static void follow(struct flight *f, const struct dns_answer *a)
{
    struct dns_name next;
    if (++f->aliases > DNS_ALIASES_MAX || dns_name_parse(a->canonical, &next)) {
        f->why = DNS_WHY_LOOP;
        land_failed(f);
        return;
    }
    f->current = next;
    f->tries = 0;
    f->said_no = 0;
    close_try(f);
    timer_set_in(f->r->env->timers, &f->timer, 0, on_due, f);
}

static void on_message(struct flight *f, const struct dns_message *m, bool tcp)
{
    struct dns_answer a;
    bool more;
    dns_message_answer(m, dns_name_slice(&f->current), f->type, &a, &more);
    if (a.result == DNS_FAIL && a.why == DNS_WHY_LOOP) {
        f->why = DNS_WHY_LOOP;
        land_failed(f);
    } else if (a.result == DNS_FAIL) {
        on_error(f, a.why, m->rcode);
    } else if (is_lame(f, m, &a) && !more) {
        on_error(f, DNS_WHY_REFUSED, m->rcode);
    } else {
        if (f->direct.family == ADDR_NONE) f->r->preferred = f->server;
        f->ttl_s = MIN(f->ttl_s, more ? a.ttl_s : UINT32_MAX);
        f->ad = f->ad && m->ad;
        if (more && !(f->flags & DNS_NO_RECURSION)) {
            follow(f, &a);
            return;
        }
        a.ttl_s = MIN(a.ttl_s, f->ttl_s);
        a.ad = f->ad;
        a.tcp = tcp;
        land(f, &a);
    }
}

/* --- TCP --- */

static void on_tcp_bytes(void *owner, struct slice bytes)
{
    struct flight *f = owner;
    struct dns_message m;
    if (buf_append(&f->rx, bytes)) {
        next_try(f, DNS_WHY_MALFORMED);
        return;
    }
    struct slice got = buf_slice(&f->rx);
    if (got.n < 2) return;
    size_t n = (size_t)(uint8_t)got.p[0] << 8 | (uint8_t)got.p[1];
    if (got.n < 2 + n) return;
    if (dns_message_parse(slice_sub(got, 2, n), &m)) {
        next_try(f, DNS_WHY_MALFORMED);
        return;
    }
    if (answers_us(f, &m))
        on_message(f, &m, true); /* may free f */
    else
        next_try(f, DNS_WHY_MALFORMED);
    dns_message_deinit(&m);
}

static void on_tcp_end(void *owner, enum err why, const char *detail)
{
    next_try(owner, DNS_WHY_NETWORK);
}

static const struct stream_events tcp_events = { .data = on_tcp_bytes, .end = on_tcp_end };

static void on_dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct flight *f = owner;
    struct buf query;
    f->dial = NULL;
    if (err) {
        next_try(f, err == ERR_TIMEOUT ? DNS_WHY_TIMEOUT : DNS_WHY_NETWORK);
        return;
    }
    f->stream = s;
    stream_attach(s, &tcp_events, f);
    if (format_query(f, &query)) {
        struct slice q = buf_slice(&query);
        char prefix[2] = { (char)(q.n >> 8), (char)q.n };
        stream_write(s, slice_from(prefix, 2));
        stream_write(s, q);
    }
    buf_deinit(&query);
}

static uint64_t try_limit_ms(const struct flight *f, unsigned factor)
{
    uint64_t now = now_ms(f->r), wait = (uint64_t)f->r->conf.try_ms * factor;
    return MIN(wait, f->deadline_ms > now ? f->deadline_ms - now : 1);
}

static void start_tcp(struct flight *f)
{
    close_try(f);
    struct dial_conf conf = { .to = *server_of(f), .limit_ms = (uint32_t)try_limit_ms(f, 2) };
    f->r->stats.tcp++;
    buf_init(&f->rx, DNS_MESSAGE_BYTES_MAX + 2);
    f->dial = net_dial(f->r->env->net, &conf, on_dialled, f);
    timer_set_in(f->r->env->timers, &f->timer, try_limit_ms(f, 2), on_silence, f);
}

/* --- UDP --- */

/* Anybody can send a datagram to our port: one that is not the answer is ignored, and the real one waited for. */
static void on_forged(struct flight *f)
{
    f->r->stats.forged++;
    if (++f->forged == FORGED_MAX) start_tcp(f);
}

static void on_datagram(void *owner, enum err err, struct slice datagram)
{
    struct flight *f = owner;
    struct dns_message m;
    if (err) {
        next_try(f, DNS_WHY_NETWORK);
        return;
    }
    if (dns_message_parse(datagram, &m)) {
        f->why = DNS_WHY_MALFORMED;
        on_forged(f);
        return;
    }
    if (!answers_us(f, &m))
        on_forged(f);
    else if (m.tc)
        start_tcp(f);
    else
        on_message(f, &m, false); /* may free f */
    dns_message_deinit(&m);
}

static void start_udp(struct flight *f)
{
    struct buf query;
    if (udp_open(f->r->env->net, server_of(f), on_datagram, f, &f->udp)) {
        next_try(f, DNS_WHY_NETWORK);
        return;
    }
    if (format_query(f, &query)) udp_send(f->udp, buf_slice(&query));
    buf_deinit(&query);
    timer_set_in(f->r->env->timers, &f->timer, try_limit_ms(f, f->tries > f->r->conf.n_servers ? 2 : 1),
                 on_silence, f);
}

static void skip_those_who_said_no(struct flight *f)
{
    if (f->direct.family != ADDR_NONE) return;
    for (size_t i = 0; i < f->r->conf.n_servers && (f->said_no & UINT32_C(1) << f->server); i++)
        f->server = (f->server + 1) % f->r->conf.n_servers;
}

static void start_try(struct flight *f)
{
    size_t n = f->direct.family != ADDR_NONE ? 1 : f->r->conf.n_servers;
    if (n == 0 || f->tries >= MAX(n * TRIES_PER_SERVER, (size_t)TRIES_MIN) ||
        now_ms(f->r) >= f->deadline_ms) {
        if (f->why == DNS_WHY_NONE) f->why = n ? DNS_WHY_TIMEOUT : DNS_WHY_NETWORK;
        land_failed(f);
        return;
    }
    f->tries++;
    f->id = (uint16_t)rng_u64(f->r->env->rng);
    f->forged = 0;
    f->r->stats.sent++;
    skip_those_who_said_no(f);
    if (f->flags & DNS_TCP)
        start_tcp(f);
    else
        start_udp(f);
}

/* --- Asking --- */

static void on_deliver(struct timer *t)
{
    struct dns_op *op = t->owner;
    struct resolver *r = op->r;
    dns_done_fn *done = op->done;
    void *owner = op->owner;
    struct cached *cached = op->cached;
    struct dns_answer a = cached ? cached_answer(cached, now_ms(r)) : failure(op->why, 0, SLICE(""));
    r->ops--;
    free(op);
    done(owner, &a);
    if (cached) cached_unref(cached);
}

static struct flight *flight_start(struct resolver *r, const struct dns_name *name, uint16_t type,
                                   const struct dns_ask *how, bool shared)
{
    struct flight *f = xzalloc(sizeof *f);
    char key[KEY_MAX];
    f->r = r;
    list_init(&f->ops);
    f->name = f->current = *name;
    f->type = type;
    f->flags = how->flags;
    f->direct = how->server;
    if (f->direct.family != ADDR_NONE && !f->direct.port) f->direct.port = 53;
    f->edns = f->ad = true;
    f->shared = shared;
    f->ttl_s = UINT32_MAX;
    f->server = r->preferred;
    f->deadline_ms = now_ms(r) + (how->limit_ms ? how->limit_ms : r->conf.limit_ms);
    if (shared) map_put(&r->flights, key_of(name, type, how->flags, key), f);
    r->in_flight++;
    if (f->direct.family == ADDR_NONE && r->conf.n_servers == 0)
        timer_set_in(r->env->timers, &f->timer, 0, on_due, f);
    else
        start_try(f);
    return f;
}

static void join(struct dns_op *op, struct flight *f)
{
    op->flight = f;
    list_append(&f->ops, &op->link);
}

static void deliver_soon(struct dns_op *op, enum dns_why why, struct cached *cached)
{
    op->why = why;
    op->cached = cached;
    timer_set_in(op->r->env->timers, &op->timer, 0, on_deliver, op);
}

struct dns_op *resolver_ask(struct resolver *r, struct slice name, uint16_t type, const struct dns_ask *how,
                            dns_done_fn *done, void *owner)
{
    static const struct dns_ask usual = { 0 };
    struct dns_op *op = xzalloc(sizeof *op);
    struct dns_name parsed;
    struct cached *cached = NULL;
    struct flight *f = NULL;
    char key[KEY_MAX];
    if (!how) how = &usual;
    bool shared = !(how->flags & (DNS_NO_CACHE | DNS_NO_RECURSION)) && how->server.family == ADDR_NONE;
    op->r = r;
    op->done = done;
    op->owner = owner;
    r->ops++;
    r->stats.asked++;
    if (dns_name_parse(name, &parsed)) {
        deliver_soon(op, DNS_WHY_NAME, NULL);
        return op;
    }
    if (shared) {
        cached = cache_get(&r->cache, key_of(&parsed, type, how->flags, key), now_ms(r));
        f = map_get(&r->flights, key_of(&parsed, type, how->flags, key));
    }
    if (cached) {
        r->stats.cached++;
        deliver_soon(op, DNS_WHY_NONE, cached);
    } else if (f) {
        r->stats.shared++;
        join(op, f);
    } else if (r->in_flight >= r->conf.in_flight_max) {
        deliver_soon(op, DNS_WHY_LIMIT, NULL);
    } else {
        join(op, flight_start(r, &parsed, type, how, shared));
    }
    return op;
}

void resolver_cancel(struct dns_op **op_)
{
    struct dns_op *op = *op_;
    *op_ = NULL;
    if (!op) return;
    if (op->flight) {
        list_remove(&op->link);
        if (list_empty(&op->flight->ops) && !op->flight->landed) flight_free(op->flight);
    }
    timer_clear(op->r->env->timers, &op->timer);
    if (op->cached) cached_unref(op->cached);
    op->r->ops--;
    free(op);
}
