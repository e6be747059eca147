#include "node/relay/route.h"

#include <idn2.h>
#include <stdlib.h>

#include "base/timers.h"

/* ---- reading a destination ---- */

/* U-labels become A-labels (RFC 5891); DNS is asked for nothing else. */
static enum err to_alabels(struct slice domain, struct dns_name *out)
{
    bool ascii = true;
    for (size_t i = 0; i < domain.n; i++) ascii &= (uint8_t)domain.p[i] < 0x80;
    if (ascii) return dns_name_parse(domain, out);
    uint8_t u8[4 * DNS_NAME_MAX + 1], *a = NULL;
    if (slice_cstr(domain, (char *)u8, sizeof u8)) return ERR_LIMIT;
    if (idn2_lookup_u8(u8, &a, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK) return ERR_MALFORMED;
    enum err err = dns_name_parse(slice_of((const char *)a), out);
    idn2_free(a);
    return err;
}

static bool parse_port(struct slice s, uint16_t *out)
{
    uint64_t port;
    if (slice_u64(s, 65535, &port) || !port) return false;
    *out = (uint16_t)port;
    return true;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 4.1.3), and either with ":port" as a next hop. */
static bool parse_literal(struct slice s, struct route_plan *p)
{
    size_t end = slice_find(s, ']');
    if (!s.n || s.p[0] != '[' || end == s.n) return false;
    struct slice inner = slice_sub(s, 1, end - 1), rest = slice_skip(s, end + 1);
    if (slice_istarts(inner, SLICE("IPv6:"))) inner = slice_skip(inner, 5);
    if (rest.n && (rest.p[0] != ':' || !parse_port(slice_skip(rest, 1), &p->port))) return false;
    p->configured = rest.n > 0;
    if (addr_parse(inner, &p->addr) == ERR_OK) {
        p->kind = ROUTE_BY_ADDRESS;
        p->addr.port = p->port;
        return true;
    }
    p->kind = ROUTE_BY_HOST; /* "[mail.inside.example]": a host, not a domain */
    return p->configured && to_alabels(inner, &p->name) == ERR_OK;
}

static bool parse_name(struct slice s, struct route_plan *p)
{
    size_t colon = slice_find(s, ':');
    p->configured = colon < s.n;
    p->kind = p->configured ? ROUTE_BY_HOST : ROUTE_BY_MX;
    if (p->configured && !parse_port(slice_skip(s, colon + 1), &p->port)) return false;
    return to_alabels(slice_sub(s, 0, colon), &p->name) == ERR_OK && p->name.n;
}

void route_parse(const struct route_conf *conf, struct slice destination, struct route_plan *out)
{
    *out = (struct route_plan){ .port = conf->port };
    if (addr_parse_port(destination, 0, &out->addr) == ERR_OK && out->addr.port) { /* "10.0.0.25:25" */
        out->kind = ROUTE_BY_ADDRESS;
        out->configured = true;
        out->port = out->addr.port;
        return;
    }
    *out = (struct route_plan){ .port = conf->port };
    bool ok = destination.n && destination.p[0] == '[' ? parse_literal(destination, out)
                                                       : parse_name(destination, out);
    if (!ok) out->kind = ROUTE_NOWHERE;
}

/* ---- choosing ---- */

static void ends(struct route_answer *out, enum relay_verdict v, uint16_t subject, uint16_t detail,
                 const char *text)
{
    *out = (struct route_answer){ .verdict = v,
                                  .enhanced = { v == RELAY_FAILED ? 5 : 4, subject, detail },
                                  .text = text };
}

static bool is_own_name(const struct route_conf *conf, struct slice name)
{
    for (size_t i = 0; i < conf->n_own_names; i++)
        if (dns_name_eq(conf->own_names[i], name)) return true;
    return false;
}

static bool is_own_addr(const struct route_conf *conf, const struct addr *a)
{
    for (size_t i = 0; i < conf->n_own_addrs; i++)
        if (addr_eq_ip(&conf->own_addrs[i], a)) return true;
    return false;
}

static bool is_public(const struct route_conf *conf, const struct addr *a)
{
    if (addr_is_documentation(a)) return conf->allow_documentation;
    return conf->allow_private || !addr_is_private(a);
}

static unsigned family_bit(const struct addr *a)
{
    return a->family == ADDR_V6 ? ADDRS_V6 : ADDRS_V4;
}

static bool is_ourselves(const struct route_conf *conf, const struct mx_host *h, const struct addrs_answer *a)
{
    if (is_own_name(conf, dns_name_slice(&h->name))) return true;
    for (size_t i = 0; i < a->n; i++)
        if (is_own_addr(conf, &a->addr[i])) return true;
    return false;
}

/* How many of the hosts come before ourselves: those of our own preference go too (RFC 5321 5.1). */
static size_t cut_at_ourselves(const struct route_conf *conf, const struct mx_answer *mx,
                               const struct addrs_answer *addrs)
{
    size_t n = MIN(mx->n, (size_t)ROUTE_HOSTS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (!is_ourselves(conf, &mx->hosts[i], &addrs[i])) continue;
        while (i && mx->hosts[i - 1].pref == mx->hosts[i].pref) i--;
        return i;
    }
    return n;
}

static void add_targets(const struct route_conf *conf, const struct mx_host *host,
                        const struct addrs_answer *a, unsigned families, struct route_answer *out,
                        bool *unfit)
{
    for (size_t i = 0; i < a->n && out->n < ROUTE_TARGETS_MAX; i++) {
        if (!is_public(conf, &a->addr[i])) {
            *unfit = true;
            continue;
        }
        if (!(family_bit(&a->addr[i]) & families)) continue;
        struct route_target *t = &out->target[out->n++];
        *t = (struct route_target){ .host = host->name, .addr = a->addr[i] };
        t->addr.port = conf->port;
    }
}

static bool mx_ends(const struct mx_answer *mx, struct route_answer *out)
{
    switch (mx->result) {
    case MX_FOUND: return false;
    case MX_NULL: ends(out, RELAY_FAILED, 1, 10, "the domain does not accept mail (null MX)"); return true;
    case MX_NO_DOMAIN: ends(out, RELAY_FAILED, 1, 2, "there is no such domain"); return true;
    case MX_NO_HOST:
        ends(out, RELAY_FAILED, 4, 4, "the domain has neither a mail server nor an address");
        return true;
    case MX_TRY_LATER: break;
    }
    ends(out, RELAY_DEFERRED, 4, 3,
         mx->why == DNS_WHY_NONE ? "the domain could not be looked up" : dns_why_text(mx->why));
    return true;
}

void route_choose(const struct route_conf *conf, const struct mx_answer *mx, const struct addrs_answer *addrs,
                  unsigned families, struct route_answer *out)
{
    *out = (struct route_answer){ 0 };
    if (mx_ends(mx, out)) return;
    size_t n = cut_at_ourselves(conf, mx, addrs);
    if (!n) {
        ends(out, RELAY_FAILED, 4, 6, "mail for this domain loops back: we are its best mail server");
        return;
    }
    bool unsure = false, unfit = false, other_family = false;
    for (size_t i = 0; i < n; i++) {
        unsure |= addrs[i].result == DNS_FAIL || addrs[i].partial;
        other_family |= addrs[i].n > 0;
        add_targets(conf, &mx->hosts[i], &addrs[i], families, out, &unfit);
    }
    if (out->n) return;
    if (unsure)
        ends(out, RELAY_DEFERRED, 4, 3, "the addresses of the domain's mail servers could not be looked up");
    else if (unfit)
        ends(out, RELAY_FAILED, 4, 4,
             "the domain's mail servers have addresses that are not on the Internet");
    else if (other_family)
        ends(out, RELAY_DEFERRED, 4, 1, "the domain's mail servers have no address of a family we send from");
    else
        ends(out, RELAY_FAILED, 4, 4, "the domain's mail servers have no address");
}

/* A next hop of ours, or an address literal of somebody's recipient. */
static void choose_address(const struct route_conf *conf, const struct route_plan *p, unsigned families,
                           struct route_answer *out)
{
    *out = (struct route_answer){ 0 };
    if (!p->configured && is_own_addr(conf, &p->addr))
        ends(out, RELAY_FAILED, 4, 6, "mail for this address loops back to us");
    else if (!p->configured && !is_public(conf, &p->addr))
        ends(out, RELAY_FAILED, 4, 4, "the address is not on the Internet");
    else if (!(family_bit(&p->addr) & families))
        ends(out, RELAY_DEFERRED, 4, 1, "the address is of a family we do not send from");
    else
        out->target[out->n++].addr = p->addr;
}

static void choose_host(const struct route_plan *p, const struct addrs_answer *a, struct route_answer *out)
{
    *out = (struct route_answer){ 0 };
    for (size_t i = 0; i < a->n && out->n < ROUTE_TARGETS_MAX; i++) {
        struct route_target *t = &out->target[out->n++];
        *t = (struct route_target){ .host = p->name, .addr = a->addr[i] };
        t->addr.port = p->port;
    }
    /* A next hop of ours that has no address is our mistake: it is never a reason to return mail. */
    if (!out->n) ends(out, RELAY_DEFERRED, 4, 3, "the configured next hop has no address");
}

/* ---- asking ---- */

struct route_op {
    const struct route_conf *conf;
    struct resolver *dns;
    route_done_fn *done;
    void *owner;
    unsigned families;
    struct route_plan plan;
    struct timer now; /* for what needs no question */
    struct mx_op *mx_op;
    struct mx_answer mx;
    struct addrs_op *ops[ROUTE_HOSTS_MAX];
    struct addrs_answer addrs[ROUTE_HOSTS_MAX];
    struct route_waiter {
        struct route_op *op;
        size_t at;
    } waiters[ROUTE_HOSTS_MAX];
    size_t waiting;
};

static void finish(struct route_op *op, const struct route_answer *a)
{
    struct route_answer copy = *a;
    route_done_fn *done = op->done;
    void *owner = op->owner;
    route_cancel(&op);
    done(owner, &copy);
}

static void got_all(struct route_op *op)
{
    struct route_answer a;
    if (op->plan.kind == ROUTE_BY_HOST)
        choose_host(&op->plan, &op->addrs[0], &a);
    else
        route_choose(op->conf, &op->mx, op->addrs, op->families, &a);
    finish(op, &a);
}

static void addrs_on(void *owner, const struct addrs_answer *a)
{
    struct route_waiter *w = owner;
    w->op->ops[w->at] = NULL;
    w->op->addrs[w->at] = *a;
    if (--w->op->waiting == 0) got_all(w->op);
}

/* Both families are asked for even when we send from one: our own address may hide in the other. */
static void ask_addrs(struct route_op *op, size_t at, struct slice host, unsigned families)
{
    op->waiters[at] = (struct route_waiter){ op, at };
    op->waiting++;
    op->ops[at] = addrs_lookup(op->dns, host, families, addrs_on, &op->waiters[at]);
}

static void mx_on(void *owner, const struct mx_answer *a)
{
    struct route_op *op = owner;
    op->mx_op = NULL;
    op->mx = *a;
    size_t n = a->result == MX_FOUND ? MIN(a->n, (size_t)ROUTE_HOSTS_MAX) : 0;
    for (size_t i = 0; i < n; i++) ask_addrs(op, i, dns_name_slice(&a->hosts[i].name), ADDRS_BOTH);
    if (!n) got_all(op);
}

static void at_once_on(struct timer *t)
{
    struct route_op *op = t->owner;
    struct route_answer a;
    if (op->plan.kind == ROUTE_BY_ADDRESS)
        choose_address(op->conf, &op->plan, op->families, &a);
    else
        ends(&a, RELAY_FAILED, 1, 2, "the domain is not a domain name");
    finish(op, &a);
}

struct route_op *route_start(const struct route_conf *conf, struct resolver *dns, struct slice destination,
                             unsigned families, route_done_fn *done, void *owner)
{
    struct route_op *op = xzalloc(sizeof *op);
    *op = (struct route_op){ .conf = conf, .dns = dns, .done = done, .owner = owner, .families = families };
    route_parse(conf, destination, &op->plan);
    switch (op->plan.kind) {
    case ROUTE_BY_MX: op->mx_op = mx_lookup(dns, dns_name_slice(&op->plan.name), mx_on, op); break;
    case ROUTE_BY_HOST: ask_addrs(op, 0, dns_name_slice(&op->plan.name), families); break;
    case ROUTE_BY_ADDRESS:
    case ROUTE_NOWHERE: timer_set_in(resolver_env(dns)->timers, &op->now, 0, at_once_on, op); break;
    }
    return op;
}

void route_cancel(struct route_op **op)
{
    struct route_op *o = *op;
    *op = NULL;
    if (!o) return;
    timer_clear(resolver_env(o->dns)->timers, &o->now);
    mx_cancel(&o->mx_op);
    for (size_t i = 0; i < ROUTE_HOSTS_MAX; i++) addrs_cancel(&o->ops[i]);
    free(o);
}
