/* MX of the domain → address of the host → TLSA; the first that is not signed ends it with ABSENT, the first that fails
 * with FAILED. */
#include "node/relay/dane.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/timers.h"

enum { QUESTION_MAX = 300 };

struct dane_op {
    struct resolver *dns;
    dane_done_fn *done;
    void *owner;
    struct dns_op *ask;
    char host[256], question[QUESTION_MAX];
};

static const struct dns_ask secure = { .flags = DNS_WANT_AD };

static void finish(struct dane_op *op, const struct dane_answer *a)
{
    dane_done_fn *done = op->done;
    void *owner = op->owner;
    dane_cancel(&op);
    done(owner, a);
}

static void end(struct dane_op *op, enum dane_result result, const char *why)
{
    finish(op, &(struct dane_answer){ .result = result, .why = why });
}

void dane_pins(const struct dns_answer *tlsa, struct dane_answer *out)
{
    *out = (struct dane_answer){ .result = DANE_ENCRYPT };
    for (size_t i = 0; i < tlsa->n && out->n < DANE_PINS_MAX; i++) {
        struct slice rdata = tlsa->records[i].text;
        if (rdata.n < 4) continue;
        struct tls_pin p = { (uint8_t)rdata.p[0], (uint8_t)rdata.p[1], (uint8_t)rdata.p[2],
                             slice_skip(rdata, 3) };
        bool right_length = (p.matching == 0) || (p.matching == 1 && p.data.n == 32) ||
                            (p.matching == 2 && p.data.n == 64);
        if ((p.usage == 2 || p.usage == 3) && p.selector <= 1 && right_length) out->pins[out->n++] = p;
    }
    if (out->n) out->result = DANE_PINNED;
}

static void tlsa_on(void *owner, const struct dns_answer *a)
{
    struct dane_op *op = owner;
    struct dane_answer out;
    op->ask = NULL;
    if (a->result == DNS_FAIL) {
        end(op, DANE_FAILED, "its TLSA records could not be looked up");
    } else if (a->result != DNS_ANSWER || !a->ad) {
        end(op, DANE_ABSENT,
            a->result == DNS_ANSWER ? "its TLSA records are not signed" : "it has no TLSA records");
    } else {
        dane_pins(a, &out);
        finish(op, &out);
    }
}

static void ask_tlsa(struct dane_op *op)
{
    op->ask = resolver_ask(op->dns, slice_of(op->question), DNS_TLSA, &secure, tlsa_on, op);
}

static void addr_on(void *owner, const struct dns_answer *a)
{
    struct dane_op *op = owner;
    op->ask = NULL;
    if (a->result == DNS_FAIL)
        end(op, DANE_FAILED, "its address could not be looked up securely");
    else if (!a->ad)
        end(op, DANE_ABSENT, "its address is not signed");
    else
        ask_tlsa(op);
}

static void ask_addr(struct dane_op *op)
{
    op->ask = resolver_ask(op->dns, slice_of(op->host), DNS_A, &secure, addr_on, op);
}

static void mx_on(void *owner, const struct dns_answer *a)
{
    struct dane_op *op = owner;
    op->ask = NULL;
    if (a->result == DNS_FAIL)
        end(op, DANE_FAILED, "the domain's mail servers could not be looked up securely");
    else if (!a->ad)
        end(op, DANE_ABSENT, "the domain's mail servers are not signed");
    else
        ask_addr(op);
}

struct dane_op *dane_start(struct resolver *dns, struct slice domain, struct slice host, uint16_t port,
                           dane_done_fn *done, void *owner)
{
    struct dane_op *op = xzalloc(sizeof *op);
    *op = (struct dane_op){ .dns = dns, .done = done, .owner = owner };
    snprintf(op->host, sizeof op->host, "%.*s", SLICE_ARG(host));
    snprintf(op->question, sizeof op->question, "_%u._tcp.%.*s", port, SLICE_ARG(host));
    if (domain.n)
        op->ask = resolver_ask(dns, domain, DNS_MX, &secure, mx_on, op);
    else
        ask_addr(op);
    return op;
}

void dane_cancel(struct dane_op **op)
{
    struct dane_op *o = *op;
    *op = NULL;
    if (!o) return;
    resolver_cancel(&o->ask);
    free(o);
}
