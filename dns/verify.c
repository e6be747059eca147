#include "dns/verify.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/timers.h"
#include "dns/lookup.h"
#include "dns/verify_probe.h"

/* The round, step by step; each ends by starting the next:
 *
 *   find_child    NS of the zone by our resolver; no zone cut there: one label up, until there is one
 *   find_parent   NS of the zone above, up to where there are some, and an address of one of them
 *   ask_parent    that address, RD off, for the NS of our zone: the delegation
 *   find_addrs    every address of every name, at the same time
 *   probe         every address, at the same time
 *   finish
 *
 * The parent is asked for more servers to judge, not to be judged: when it cannot be found out, the round goes on. */

enum {
    NAMES_MAX = 16,
    PARENTS_MAX = 3,
    LIMIT_MS = 20000,
    DELEGATION_LIMIT_MS = 4000,
    PROBE_LIMIT_MS = 10000
};

struct ns {
    struct verify_op *op;
    struct dns_name name;
    bool at_parent, at_child;
    struct addrs_op *addrs;
};

struct probed {
    struct verify_op *op;
    struct verify_probe *probe;
    bool unreachable;
};

struct verify_op {
    struct resolver *r;
    struct verify_wanted w; /* with what it borrows in the arena */
    struct arena arena;
    struct dns_name cut, above; /* the zone that is asked for; the one whose NS are looked for now */
    struct dns_op *ask;
    struct ns parent_ns[PARENTS_MAX]; /* of the zone above */
    size_t n_parent_ns, parent_at;
    struct addrs_op *parent_addrs;
    bool parent_known;
    struct ns ns[NAMES_MAX];
    size_t n_ns;
    size_t waiting;
    struct probed probed[VERIFY_SERVERS_MAX];
    struct verify_report *report;
    uint64_t deadline_ms;
    struct timer limit;
    verify_done_fn *done;
    void *owner;
};

static struct timers *timers_of(const struct verify_op *op)
{
    return resolver_env(op->r)->timers;
}

static void op_free(struct verify_op *op)
{
    timer_clear(timers_of(op), &op->limit);
    resolver_cancel(&op->ask);
    addrs_cancel(&op->parent_addrs);
    for (size_t i = 0; i < NAMES_MAX; i++) addrs_cancel(&op->ns[i].addrs);
    for (size_t i = 0; i < VERIFY_SERVERS_MAX; i++) verify_probe_cancel(&op->probed[i].probe);
    arena_deinit(&op->arena);
    free(op->report);
    free(op);
}

void verify_cancel(struct verify_op **op)
{
    if (*op) op_free(*op);
    *op = NULL;
}

static uint32_t left_ms(const struct verify_op *op, uint32_t at_most)
{
    uint64_t now = timers_now_ms(timers_of(op));
    uint64_t left = op->deadline_ms > now ? op->deadline_ms - now : 1;
    return (uint32_t)MIN(left, (uint64_t)at_most);
}

/* --- The end --- */

/* A gateway without IPv6 cannot ask servers by IPv6, and neither will it send mail by it. Only when there is no route at
 * all: one IPv6 address that can be reached makes the others count. */
static void drop_unroutable_ipv6(struct verify_op *op)
{
    struct verify_report *r = op->report;
    size_t kept = 0, v4 = 0, v6_reached = 0;
    for (size_t i = 0; i < r->n; i++) {
        v4 += r->server[i].addr.family == ADDR_V4;
        v6_reached += r->server[i].addr.family == ADDR_V6 && !op->probed[i].unreachable;
    }
    if (v4 == 0 || v6_reached) return;
    for (size_t i = 0; i < r->n; i++)
        if (r->server[i].addr.family != ADDR_V6) r->server[kept++] = r->server[i];
    r->n = kept;
}

static void compare_delegation(struct verify_op *op)
{
    for (size_t i = 0; i < op->n_ns && op->parent_known; i++)
        if (op->ns[i].at_parent != op->ns[i].at_child) op->report->delegation_differs = true;
}

static void finish(struct verify_op *op)
{
    verify_done_fn *done = op->done;
    void *owner = op->owner;
    struct verify_report *report = op->report;
    drop_unroutable_ipv6(op);
    compare_delegation(op);
    verify_sum_up(&op->w, report);
    op->report = NULL;
    op_free(op);
    done(owner, report);
    free(report);
}

/* Whoever has not answered by now is silent. */
static void on_limit(struct timer *t)
{
    finish(t->owner);
}

/* --- Probing --- */

static void on_probed(void *owner, const struct verify_seen *seen, bool unreachable)
{
    struct probed *at = owner;
    struct verify_op *op = at->op;
    at->probe = NULL;
    at->unreachable = unreachable;
    verify_judge(&op->w, seen, &op->report->server[at - op->probed]);
    if (--op->waiting == 0) finish(op);
}

static void probe(struct verify_op *op)
{
    struct verify_report *r = op->report;
    for (size_t i = 0; i < r->n; i++) {
        struct verify_server *s = &r->server[i];
        struct addr server = s->addr;
        if (server.family == ADDR_NONE) continue;
        server.port = op->w.port ? op->w.port : 53;
        op->probed[i].op = op;
        op->waiting++;
        op->probed[i].probe = verify_probe_start(op->r, &op->w, &server, left_ms(op, PROBE_LIMIT_MS),
                                                 on_probed, &op->probed[i]);
    }
    if (op->waiting == 0) finish(op);
}

/* --- Addresses --- */

static struct verify_server *server_at(struct verify_op *op, const struct addr *a)
{
    struct verify_report *r = op->report;
    for (size_t i = 0; i < r->n && a->family; i++)
        if (addr_eq_ip(&r->server[i].addr, a)) return &r->server[i];
    if (r->n == VERIFY_SERVERS_MAX) return NULL;
    struct verify_server *s = &r->server[r->n++];
    s->addr = *a;
    s->verdict = VERIFY_SILENT;
    snprintf(s->words, sizeof s->words, "did not answer in time");
    return s;
}

static struct verify_server *add_server(struct verify_op *op, const struct ns *ns, const struct addr *a)
{
    struct verify_server *s = server_at(op, a);
    if (!s) return NULL;
    if (!s->name.n) s->name = ns->name;
    s->at_parent = s->at_parent || ns->at_parent;
    s->at_child = s->at_child || ns->at_child;
    return s;
}

static void on_addrs(void *owner, const struct addrs_answer *a)
{
    static const struct addr none;
    struct ns *ns = owner;
    struct verify_op *op = ns->op;
    ns->addrs = NULL;
    for (size_t i = 0; i < a->n; i++) (void)add_server(op, ns, &a->addr[i]);
    if (a->n == 0) {
        struct verify_server *s = add_server(op, ns, &none);
        if (s)
            snprintf(s->words, sizeof s->words, "the name has no address: %s",
                     a->result == DNS_FAIL ? dns_why_text(a->why) : dns_result_name(a->result));
    }
    if (--op->waiting == 0) probe(op);
}

static void find_addrs(struct verify_op *op)
{
    op->waiting = op->n_ns;
    for (size_t i = 0; i < op->n_ns; i++) {
        struct ns *ns = &op->ns[i];
        ns->op = op;
        ns->addrs = addrs_lookup(op->r, dns_name_slice(&ns->name), ADDRS_BOTH, on_addrs, ns);
    }
    if (op->n_ns == 0) finish(op);
}

/* --- The parent's delegation --- */

static void add_names(struct verify_op *op, const struct dns_record *records, size_t n, bool at_parent)
{
    for (size_t i = 0; i < n; i++) {
        struct ns *found = NULL;
        if (records[i].type != DNS_NS || !dns_name_eq(records[i].owner, dns_name_slice(&op->cut))) continue;
        for (size_t k = 0; k < op->n_ns; k++)
            if (dns_name_eq(dns_name_slice(&op->ns[k].name), records[i].name)) found = &op->ns[k];
        if (!found && op->n_ns == NAMES_MAX) return;
        if (!found) found = &op->ns[op->n_ns++];
        if (dns_name_parse(records[i].name, &found->name)) continue;
        found->at_parent = found->at_parent || at_parent;
        found->at_child = found->at_child || !at_parent;
    }
}

static void next_parent(struct verify_op *op);

static void on_delegation(void *owner, const struct dns_answer *a)
{
    struct verify_op *op = owner;
    op->ask = NULL;
    if (a->result == DNS_FAIL) {
        next_parent(op);
        return;
    }
    add_names(op, a->records, a->n, true);
    add_names(op, a->authority, a->n_authority, true);
    for (size_t i = 0; i < op->n_ns; i++) op->parent_known = op->parent_known || op->ns[i].at_parent;
    find_addrs(op);
}

static void on_parent_addrs(void *owner, const struct addrs_answer *a)
{
    struct verify_op *op = owner;
    struct dns_ask how = { .flags = DNS_NO_CACHE | DNS_NO_RECURSION,
                           .limit_ms = left_ms(op, DELEGATION_LIMIT_MS) };
    op->parent_addrs = NULL;
    if (a->n == 0) {
        next_parent(op);
        return;
    }
    how.server = a->addr[0];
    how.server.port = op->w.port ? op->w.port : 53;
    op->ask = resolver_ask(op->r, dns_name_slice(&op->cut), DNS_NS, &how, on_delegation, op);
}

static void next_parent(struct verify_op *op)
{
    if (op->parent_at == op->n_parent_ns) {
        find_addrs(op);
        return;
    }
    const struct dns_name *name = &op->parent_ns[op->parent_at++].name;
    op->parent_addrs = addrs_lookup(op->r, dns_name_slice(name), ADDRS_V4, on_parent_addrs, op);
}

static void find_parent(struct verify_op *op);

static void on_parent_ns(void *owner, const struct dns_answer *a)
{
    struct verify_op *op = owner;
    op->ask = NULL;
    if ((a->result == DNS_NODATA || a->result == DNS_NXDOMAIN) && op->above.n) {
        find_parent(op);
        return;
    }
    for (size_t i = 0; i < a->n && op->n_parent_ns < PARENTS_MAX; i++)
        if (!dns_name_parse(a->records[i].name, &op->parent_ns[op->n_parent_ns].name)) op->n_parent_ns++;
    next_parent(op);
}

static void find_parent(struct verify_op *op)
{
    struct dns_name up;
    if (op->above.n == 0 || dns_name_parse(dns_name_parent(dns_name_slice(&op->above)), &up)) {
        find_addrs(op);
        return;
    }
    op->above = up;
    op->ask = resolver_ask(op->r, dns_name_slice(&op->above), DNS_NS, NULL, on_parent_ns, op);
}

/* --- The zone's own NS --- */

static void find_child(struct verify_op *op);

static void on_child_ns(void *owner, const struct dns_answer *a)
{
    struct verify_op *op = owner;
    struct dns_name up;
    op->ask = NULL;
    if (a->result == DNS_NODATA || a->result == DNS_NXDOMAIN) {
        if (dns_name_labels(dns_name_slice(&op->cut)) > 2 &&
            !dns_name_parse(dns_name_parent(dns_name_slice(&op->cut)), &up)) {
            op->cut = up; /* not a zone of its own: the one it lies in has the servers */
            find_child(op);
            return;
        }
    }
    if (a->result == DNS_FAIL)
        snprintf(op->report->words, VERIFY_WORDS_MAX, "the name servers of %.150s cannot be looked up: %s",
                 op->cut.text, dns_why_text(a->why));
    add_names(op, a->records, a->n, false);
    op->above = op->cut;
    find_parent(op);
}

static void find_child(struct verify_op *op)
{
    struct dns_ask how = { .flags = DNS_NO_CACHE };
    op->ask = resolver_ask(op->r, dns_name_slice(&op->cut), DNS_NS, &how, on_child_ns, op);
}

/* --- The start --- */

static void copy_wanted(struct verify_op *op, const struct verify_wanted *w)
{
    struct verify_identity *ids = arena_alloc(&op->arena, (w->n_identities + 1) * sizeof *ids);
    ASSERT(w->n_identities <= VERIFY_IDENTITIES_MAX);
    if (w->n_identities) memcpy(ids, w->identity, w->n_identities * sizeof *ids);
    op->w = *w;
    op->w.identity = ids;
    op->w.spf = arena_dup(&op->arena, w->spf);
    op->w.egress = arena_dup(&op->arena, w->egress);
    if (!op->w.limit_ms) op->w.limit_ms = LIMIT_MS;
}

struct verify_op *verify_start(struct resolver *r, const struct verify_wanted *w, verify_done_fn *done,
                               void *owner)
{
    struct verify_op *op = xzalloc(sizeof *op);
    op->r = r;
    op->done = done;
    op->owner = owner;
    op->report = xzalloc(sizeof *op->report);
    op->cut = w->zone;
    copy_wanted(op, w);
    op->deadline_ms = timers_now_ms(timers_of(op)) + op->w.limit_ms;
    timer_set_in(timers_of(op), &op->limit, op->w.limit_ms, on_limit, op);
    find_child(op);
    return op;
}
