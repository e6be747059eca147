#include "dns/lookup.h"

#include <stdlib.h>

#include "base/rng.h"

/* --- Addresses --- */

struct addrs_op {
    struct resolver *r;
    struct dns_op *v4, *v6;
    struct addrs_answer *a;
    size_t n_v4;
    bool exists; /* some answer was not NXDOMAIN */
    enum dns_why why;
    addrs_done_fn *done;
    void *owner;
};

void addrs_cancel(struct addrs_op **op_)
{
    struct addrs_op *op = *op_;
    *op_ = NULL;
    if (!op) return;
    resolver_cancel(&op->v4);
    resolver_cancel(&op->v6);
    free(op->a);
    free(op);
}

static void add_addrs(struct addrs_answer *to, const struct dns_answer *a, size_t at)
{
    for (size_t i = 0; i < a->n && to->n < ADDRS_MAX; i++) {
        memmove(&to->addr[at + 1], &to->addr[at], (to->n - at) * sizeof to->addr[0]);
        to->addr[at++] = a->records[i].addr;
        to->n++;
    }
}

static void addrs_take(struct addrs_op *op, const struct dns_answer *a, size_t at)
{
    struct addrs_answer *to = op->a;
    add_addrs(to, a, at);
    to->ttl_s = MIN(to->ttl_s, a->ttl_s);
    if (a->result == DNS_FAIL) {
        to->partial = true;
        op->why = a->why;
    } else if (a->result != DNS_NXDOMAIN) {
        op->exists = true;
    }
    if (op->v4 || op->v6) return;
    if (to->n)
        to->result = DNS_ANSWER;
    else if (to->partial)
        to->result = DNS_FAIL;
    else
        to->result = op->exists ? DNS_NODATA : DNS_NXDOMAIN;
    to->why = to->result == DNS_FAIL ? op->why : DNS_WHY_NONE;
    addrs_done_fn *done = op->done;
    void *owner = op->owner;
    free(op);
    done(owner, to);
    free(to);
}

static void on_v4(void *owner, const struct dns_answer *a)
{
    struct addrs_op *op = owner;
    op->v4 = NULL;
    addrs_take(op, a, 0); /* IPv4 first, whichever answer comes first */
}

static void on_v6(void *owner, const struct dns_answer *a)
{
    struct addrs_op *op = owner;
    op->v6 = NULL;
    addrs_take(op, a, op->a->n);
}

struct addrs_op *addrs_lookup(struct resolver *r, struct slice host, unsigned families, addrs_done_fn *done,
                              void *owner)
{
    struct addrs_op *op = xzalloc(sizeof *op);
    ASSERT(families & ADDRS_BOTH);
    op->r = r;
    op->done = done;
    op->owner = owner;
    op->a = xzalloc(sizeof *op->a);
    op->a->ttl_s = UINT32_MAX;
    if (families & ADDRS_V4) op->v4 = resolver_ask(r, host, DNS_A, NULL, on_v4, op);
    if (families & ADDRS_V6) op->v6 = resolver_ask(r, host, DNS_AAAA, NULL, on_v6, op);
    return op;
}

/* --- MX --- */

struct mx_op {
    struct resolver *r;
    struct dns_op *mx;
    struct addrs_op *addrs; /* no MX: does the domain have an address of its own? */
    struct dns_name domain;
    struct mx_answer a;
    mx_done_fn *done;
    void *owner;
};

void mx_cancel(struct mx_op **op_)
{
    struct mx_op *op = *op_;
    *op_ = NULL;
    if (!op) return;
    resolver_cancel(&op->mx);
    addrs_cancel(&op->addrs);
    free(op);
}

static void mx_finish(struct mx_op *op, enum mx_result result, enum dns_why why)
{
    op->a.result = result;
    op->a.why = why;
    op->done(op->owner, &op->a);
    free(op);
}

static bool has_host(const struct mx_answer *a, struct slice name)
{
    for (size_t i = 0; i < a->n; i++)
        if (slice_eq(dns_name_slice(&a->hosts[i].name), name)) return true;
    return false;
}

static int by_preference(const void *a, const void *b)
{
    return ((const struct dns_record *)a)->pref - ((const struct dns_record *)b)->pref;
}

/* Equal preferences are shuffled before a sort that may not be stable: any order of equals is as good (RFC 5321 5.1). */
static void take_hosts(struct mx_op *op, const struct dns_answer *a)
{
    struct rng *rng = resolver_env(op->r)->rng;
    struct dns_record *mx = xzalloc((a->n + 1) * sizeof *mx);
    if (a->n) memcpy(mx, a->records, a->n * sizeof *mx);
    for (size_t i = a->n; i > 1; i--) {
        size_t k = rng_below(rng, i);
        struct dns_record swap = mx[i - 1];
        mx[i - 1] = mx[k];
        mx[k] = swap;
    }
    qsort(mx, a->n, sizeof *mx, by_preference);
    for (size_t i = 0; i < a->n && op->a.n < MX_HOSTS_MAX; i++) {
        if (mx[i].name.n == 0 || has_host(&op->a, mx[i].name)) continue;
        struct mx_host *host = &op->a.hosts[op->a.n];
        host->pref = mx[i].pref;
        if (!dns_name_parse(mx[i].name, &host->name)) op->a.n++;
    }
    free(mx);
}

static void on_own_address(void *owner, const struct addrs_answer *a)
{
    struct mx_op *op = owner;
    op->addrs = NULL;
    op->a.ttl_s = MIN(op->a.ttl_s, a->ttl_s);
    if (a->result == DNS_FAIL) {
        mx_finish(op, MX_TRY_LATER, a->why);
    } else if (a->result != DNS_ANSWER) {
        mx_finish(op, MX_NO_HOST, DNS_WHY_NONE);
    } else {
        op->a.implicit = true;
        op->a.n = 1;
        op->a.hosts[0].name = op->domain;
        mx_finish(op, MX_FOUND, DNS_WHY_NONE);
    }
}

static void on_mx(void *owner, const struct dns_answer *a)
{
    struct mx_op *op = owner;
    op->mx = NULL;
    op->a.ttl_s = a->ttl_s;
    op->a.ad = a->ad;
    switch (a->result) {
    case DNS_ANSWER:
        take_hosts(op, a);
        mx_finish(op, op->a.n ? MX_FOUND : MX_NULL, DNS_WHY_NONE);
        return;
    case DNS_NODATA:
        op->addrs = addrs_lookup(op->r, dns_name_slice(&op->domain), ADDRS_BOTH, on_own_address, op);
        return;
    case DNS_NXDOMAIN: mx_finish(op, MX_NO_DOMAIN, DNS_WHY_NONE); return;
    case DNS_FAIL:
        /* A name that is none will not become one. */
        mx_finish(op, a->why == DNS_WHY_NAME ? MX_NO_DOMAIN : MX_TRY_LATER, a->why);
        return;
    }
}

struct mx_op *mx_lookup(struct resolver *r, struct slice domain, mx_done_fn *done, void *owner)
{
    struct mx_op *op = xzalloc(sizeof *op);
    op->r = r;
    op->done = done;
    op->owner = owner;
    if (dns_name_parse(domain, &op->domain))
        op->domain.n = 0; /* the resolver says so through its completion */
    op->mx = resolver_ask(r, domain, DNS_MX, NULL, on_mx, op);
    return op;
}

/* --- PTR --- */

struct ptr_op {
    struct resolver *r;
    struct addr addr;
    struct dns_op *ptr;
    struct addrs_op *forward[PTR_NAMES_MAX];
    struct ptr_forward { /* which name an addrs_op is about */
        struct ptr_op *op;
        size_t i;
    } at[PTR_NAMES_MAX];
    size_t waiting;
    struct ptr_answer a;
    ptr_done_fn *done;
    void *owner;
};

void ptr_question(const struct addr *a, struct dns_name *out)
{
    struct buf b;
    buf_init(&b, DNS_NAME_MAX);
    addr_reversed(a, &b);
    buf_put(&b, a->family == ADDR_V6 ? SLICE(".ip6.arpa") : SLICE(".in-addr.arpa"));
    enum err err = dns_name_parse(buf_slice(&b), out);
    buf_deinit(&b);
    ASSERT(!err);
}

void ptr_cancel(struct ptr_op **op_)
{
    struct ptr_op *op = *op_;
    *op_ = NULL;
    if (!op) return;
    resolver_cancel(&op->ptr);
    for (size_t i = 0; i < PTR_NAMES_MAX; i++) addrs_cancel(&op->forward[i]);
    free(op);
}

static void ptr_finish(struct ptr_op *op)
{
    struct ptr_name sorted[PTR_NAMES_MAX];
    size_t n = 0;
    for (int confirmed = 1; confirmed >= 0; confirmed--)
        for (size_t i = 0; i < op->a.n; i++)
            if (op->a.names[i].confirmed == confirmed) sorted[n++] = op->a.names[i];
    memcpy(op->a.names, sorted, n * sizeof sorted[0]);
    op->done(op->owner, &op->a);
    free(op);
}

static void on_forward(void *owner, const struct addrs_answer *a)
{
    struct ptr_forward *at = owner;
    struct ptr_op *op = at->op;
    op->forward[at->i] = NULL;
    if (a->result == DNS_FAIL) op->a.unsure = true;
    for (size_t i = 0; i < a->n; i++)
        if (addr_eq_ip(&a->addr[i], &op->addr)) op->a.names[at->i].confirmed = op->a.confirmed = true;
    if (--op->waiting == 0) ptr_finish(op);
}

static void on_ptr(void *owner, const struct dns_answer *a)
{
    struct ptr_op *op = owner;
    unsigned family = op->addr.family == ADDR_V6 ? ADDRS_V6 : ADDRS_V4;
    op->ptr = NULL;
    op->a.result = a->result;
    op->a.why = a->why;
    op->a.ttl_s = a->ttl_s;
    for (size_t i = 0; i < a->n && op->a.n < PTR_NAMES_MAX; i++)
        if (!dns_name_parse(a->records[i].name, &op->a.names[op->a.n].name)) op->a.n++;
    op->waiting = op->a.n;
    for (size_t i = 0; i < op->a.n; i++) {
        op->at[i] = (struct ptr_forward){ op, i };
        op->forward[i] = addrs_lookup(op->r, dns_name_slice(&op->a.names[i].name), family, on_forward,
                                      &op->at[i]);
    }
    if (op->waiting == 0) ptr_finish(op);
}

struct ptr_op *ptr_lookup(struct resolver *r, const struct addr *a, ptr_done_fn *done, void *owner)
{
    struct ptr_op *op = xzalloc(sizeof *op);
    struct dns_name question;
    op->r = r;
    op->addr = *a;
    op->done = done;
    op->owner = owner;
    ptr_question(a, &question);
    op->ptr = resolver_ask(r, dns_name_slice(&question), DNS_PTR, NULL, on_ptr, op);
    return op;
}
