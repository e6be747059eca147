#include "dns/verify_probe.h"

#include <stdlib.h>

struct verify_probe {
    struct resolver *r;
    const struct verify_wanted *w;
    struct dns_op *egress_op, *spf_op, *soa_op;
    struct dns_answer *egress, *spf, *soa;
    struct identity_check {
        struct verify_probe *p;
        struct spf_op *op;
    } check[VERIFY_IDENTITIES_MAX];
    struct verify_seen seen;
    size_t waiting;
    verify_probe_fn *done;
    void *owner;
};

static void probe_free(struct verify_probe *p)
{
    resolver_cancel(&p->egress_op);
    resolver_cancel(&p->spf_op);
    resolver_cancel(&p->soa_op);
    for (size_t i = 0; i < VERIFY_IDENTITIES_MAX; i++) spf_check_cancel(&p->check[i].op);
    free(p->egress);
    free(p->spf);
    free(p->soa);
    free(p);
}

void verify_probe_cancel(struct verify_probe **p)
{
    if (*p) probe_free(*p);
    *p = NULL;
}

static bool has_no_route(const struct dns_answer *a)
{
    return a->result == DNS_FAIL && a->why == DNS_WHY_NETWORK;
}

static void step(struct verify_probe *p)
{
    if (--p->waiting) return;
    p->seen.egress = p->egress;
    p->seen.spf = p->spf;
    p->seen.soa = p->soa;
    p->done(p->owner, &p->seen, has_no_route(p->egress) && has_no_route(p->spf) && has_no_route(p->soa));
    probe_free(p);
}

static void on_egress(void *owner, const struct dns_answer *a)
{
    struct verify_probe *p = owner;
    p->egress_op = NULL;
    p->egress = dns_answer_dup(a);
    step(p);
}

static void on_spf(void *owner, const struct dns_answer *a)
{
    struct verify_probe *p = owner;
    p->spf_op = NULL;
    p->spf = dns_answer_dup(a);
    step(p);
}

static void on_soa(void *owner, const struct dns_answer *a)
{
    struct verify_probe *p = owner;
    p->soa_op = NULL;
    p->soa = dns_answer_dup(a);
    step(p);
}

static void on_checked(void *owner, const struct spf_verdict *v)
{
    struct identity_check *c = owner;
    struct verify_probe *p = c->p;
    c->op = NULL;
    p->seen.policy[c - p->check] = *v;
    step(p);
}

static struct dns_op *ask(struct verify_probe *p, const char *label, uint16_t type, const struct dns_ask *how,
                          dns_done_fn *done)
{
    struct dns_name name;
    p->waiting++;
    if (dns_name_join(slice_of(label), dns_name_slice(&p->w->zone), &name)) name = p->w->zone;
    return resolver_ask(p->r, dns_name_slice(&name), type, how, done, p);
}

struct verify_probe *verify_probe_start(struct resolver *r, const struct verify_wanted *w,
                                        const struct addr *server, uint32_t limit_ms, verify_probe_fn *done,
                                        void *owner)
{
    struct verify_probe *p = xzalloc(sizeof *p);
    struct dns_ask how = { .flags = DNS_NO_CACHE | DNS_NO_RECURSION,
                           .server = *server,
                           .limit_ms = limit_ms };
    struct spf_check_conf conf = { .limit_ms = limit_ms, .zone = w->zone, .server = *server };
    p->r = r;
    p->w = w;
    p->done = done;
    p->owner = owner;
    p->egress_op = ask(p, "_egress", DNS_TXT, &how, on_egress);
    p->spf_op = ask(p, "_spf", DNS_TXT, &how, on_spf);
    p->soa_op = ask(p, "", DNS_SOA, &how, on_soa);
    for (size_t i = 0; i < w->n_identities; i++) {
        const struct verify_identity *id = &w->identity[i];
        struct spf_question q = { id->ip, dns_name_slice(&id->helo), dns_name_slice(&w->mail_domain) };
        p->check[i].p = p;
        p->waiting++;
        p->check[i].op = spf_check_start(r, &q, &conf, on_checked, &p->check[i]);
    }
    return p;
}
