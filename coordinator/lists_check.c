#include "coordinator/lists_check.h"

#include <stdlib.h>

#include "base/timers.h"
#include "coordinator/status.h"

enum { LIMIT_MS = 5000 };

struct one { /* a question, or a test of a zone */
    struct lists_check *check;
    struct dnsbl_op *op;
    struct dnsbl_probe_op *probe;
    struct addr ip;
    const char *identity;
    uint8_t zone, resolver;
};

struct lists_check {
    const struct parts *parts;
    struct one *ones;
    size_t n, waiting;
    json_t *results, *zones;
    struct timer empty; /* nothing to ask: told later all the same */
    lists_check_fn *done;
    void *owner;
};

void lists_check_cancel(struct lists_check **slot)
{
    struct lists_check *c = *slot;
    *slot = NULL;
    if (!c) return;
    for (size_t i = 0; i < c->n; i++) {
        dnsbl_cancel(&c->ones[i].op);
        dnsbl_probe_cancel(&c->ones[i].probe);
    }
    timer_clear(c->parts->env->timers, &c->empty);
    json_decref(c->results);
    json_decref(c->zones);
    free(c->ones);
    free(c);
}

static void finish(struct lists_check *c)
{
    lists_check_fn *done = c->done;
    void *owner = c->owner;
    json_t *o = json_object();
    json_object_set(o, "results", c->results);
    json_object_set(o, "zones", c->zones);
    lists_check_cancel(&c);
    done(owner, o);
}

static void one_done(struct lists_check *c)
{
    if (--c->waiting == 0) finish(c);
}

static json_t *addr_json(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    return a->family == ADDR_NONE ? json_null() : json_string(addr_format(a, text));
}

static const struct addr *resolver_of(const struct one *x)
{
    return &monitor_conf(x->check->parts->monitor)->addrs[x->resolver];
}

static void answered(void *owner, const struct dnsbl_verdict *v)
{
    struct one *x = owner;
    const struct watched_zone *zone = &x->check->parts->conf->zones[x->zone];
    json_t *o = json_object();
    x->op = NULL;
    json_object_set_new(o, "ip", addr_json(&x->ip));
    json_object_set_new(o, "identity", x->identity ? json_string(x->identity) : json_null());
    json_object_set_new(o, "zone", json_string(zone->shown));
    json_object_set_new(o, "weight", json_integer(zone->zone.weight));
    json_object_set_new(o, "resolver", addr_json(resolver_of(x)));
    json_object_set_new(o, "state", json_string(dnsbl_state_name(v->state)));
    json_object_set_new(o, "why", json_string(dnsbl_why_name(v->why)));
    json_object_set_new(o, "words", json_string(dnsbl_why_text(v->why)));
    json_object_set_new(o, "code", addr_json(&v->code));
    json_object_set_new(o, "ttl_s", json_integer(v->ttl_s));
    json_object_set_new(o, "text", status_text(v->text));
    json_object_set_new(o, "delist", status_text(zone->delist));
    json_array_append_new(x->check->results, o);
    one_done(x->check);
}

static void tested(void *owner, const struct dnsbl_probe *p)
{
    struct one *x = owner;
    json_t *o = json_object();
    x->probe = NULL;
    json_object_set_new(o, "zone", json_string(x->check->parts->conf->zones[x->zone].shown));
    json_object_set_new(o, "resolver", addr_json(resolver_of(x)));
    json_object_set_new(o, "health", json_string(dnsbl_health_name(p->health)));
    json_object_set_new(o, "why", status_text(p->why));
    json_array_append_new(x->check->zones, o);
    one_done(x->check);
}

static void nothing(struct timer *t)
{
    finish(t->owner);
}

static struct one *next_one(struct lists_check *c, uint8_t zone, uint8_t resolver)
{
    struct one *x = &c->ones[c->n++];
    *x = (struct one){ .check = c, .zone = zone, .resolver = resolver };
    c->waiting++;
    return x;
}

static void ask(struct lists_check *c, uint8_t z, uint8_t r, const struct addr *ip, const char *identity)
{
    struct one *x = next_one(c, z, r);
    x->ip = *ip;
    x->identity = identity;
    x->op = dnsbl_ask(monitor_conf(c->parts->monitor)->resolvers[r], &c->parts->conf->zones[z].zone, ip,
                      DNSBL_FRESH | DNSBL_WANT_TEXT, LIMIT_MS, answered, x);
}

static const char *ours(const struct parts *p, const struct addr *ip)
{
    CONF_EACH(struct identity_conf, it, p->conf->cluster.identities)
    if (addr_eq_ip(&it->ip, ip)) return it->name;
    return NULL;
}

struct lists_check *lists_check_start(const struct parts *p, const struct addr *ip, lists_check_fn *done,
                                      void *owner)
{
    struct lists_check *c = xzalloc(sizeof *c);
    size_t zones = p->conf->n_zones, resolvers = monitor_conf(p->monitor)->n_resolvers;
    size_t addresses = ip ? 1 : p->conf->cluster.identities.n;
    *c = (struct lists_check){ .parts = p, .done = done, .owner = owner };
    c->results = json_array();
    c->zones = json_array();
    c->ones = xzalloc(zones * resolvers * (addresses + 1) * sizeof *c->ones + 1);
    const struct identity_conf *ids = p->conf->cluster.identities.items;
    enum addr_family family = ip ? (enum addr_family)ip->family : (enum addr_family)ids[0].ip.family;
    for (uint8_t z = 0; z < zones; z++)
        for (uint8_t r = 0; r < resolvers; r++) {
            struct one *x = next_one(c, z, r);
            x->probe = dnsbl_probe(monitor_conf(p->monitor)->resolvers[r], &p->conf->zones[z].zone, family,
                                   LIMIT_MS, tested, x);
            if (ip) ask(c, z, r, ip, ours(p, ip));
            for (size_t i = 0; !ip && i < addresses; i++) ask(c, z, r, &ids[i].ip, ids[i].name);
        }
    if (!c->waiting) timer_set_in(p->env->timers, &c->empty, 0, nothing, c);
    return c;
}
