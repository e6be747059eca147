#include "dns/preflight.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/timers.h"
#include "dns/lookup.h"
#include "dns/spf_check.h"

struct preflight_op {
    struct resolver *resolver;
    preflight_done_fn *done;
    void *owner;
    struct addr ip;
    char ip_text[ADDR_TEXT_MAX];
    char helo[256], domain[256];
    struct ptr_op *ptr;
    struct addrs_op *addrs;
    struct spf_op *spf_helo, *spf_mail;
    struct mx_op *mx;
    unsigned waiting;
    struct preflight_report report;
};

const char *preflight_check_name(enum preflight_check c)
{
    static const char *const names[] = {
#define X(name, word, text) word,
        PREFLIGHT_MAP(X)
#undef X
    };
    return names[c];
}

const char *preflight_check_text(enum preflight_check c)
{
    static const char *const texts[] = {
#define X(name, word, text) text,
        PREFLIGHT_MAP(X)
#undef X
    };
    return texts[c];
}

const char *preflight_mark_name(enum preflight_mark m)
{
    static const char *const names[] = { "ok", "warn", "bad", "unknown" };
    return names[m];
}

static void finish(struct preflight_op *op)
{
    struct preflight_report *r = &op->report;
    for (size_t i = 0; i < PREFLIGHT_CHECKS; i++)
        r->unsure = r->unsure || r->finding[i].mark == PREFLIGHT_UNKNOWN;
    enum preflight_mark ptr = r->finding[PREFLIGHT_PTR].mark, helo = r->finding[PREFLIGHT_HELO_ADDRESS].mark;
    r->fit = (ptr == PREFLIGHT_OK || ptr == PREFLIGHT_WARN) &&
             (helo == PREFLIGHT_OK || helo == PREFLIGHT_WARN);
    preflight_done_fn *done = op->done;
    void *owner = op->owner;
    struct preflight_report report = *r;
    free(op);
    done(owner, &report);
}

/* Texts are cut at their bound: the numbers are far above what real names need. */
static void say(char *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void say(char *out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out, PREFLIGHT_WORDS_MAX, fmt, ap);
    va_end(ap);
}

#define FOUND(op, check, mark_, ...)                        \
    do {                                                    \
        (op)->report.finding[check].mark = (mark_);         \
        say((op)->report.finding[check].what, __VA_ARGS__); \
    } while (0)
#define CURE(op, check, ...) say((op)->report.finding[check].cure, __VA_ARGS__)

static void answered(struct preflight_op *op)
{
    if (--op->waiting == 0) finish(op);
}

static const struct ptr_name *ptr_of_helo(const struct ptr_answer *a, const char *helo)
{
    for (size_t i = 0; i < a->n; i++)
        if (slice_ieq(slice_of(a->names[i].name.text), slice_of(helo))) return &a->names[i];
    return NULL;
}

static void judge_ptr(struct preflight_op *op, const struct ptr_answer *a)
{
    const struct ptr_name *mine = ptr_of_helo(a, op->helo);
    if (a->result == DNS_FAIL) {
        FOUND(op, PREFLIGHT_PTR, PREFLIGHT_UNKNOWN, "the reverse name of %s cannot be looked up: %s",
              op->ip_text, dns_why_text(a->why));
        CURE(op, PREFLIGHT_PTR, "check the resolver, then the reverse zone's name servers");
    } else if (a->n == 0) {
        FOUND(op, PREFLIGHT_PTR, PREFLIGHT_BAD, "%s has no reverse name", op->ip_text);
        CURE(op, PREFLIGHT_PTR, "ask the provider of %s for a PTR record that says %s", op->ip_text,
             op->helo);
    } else if (!mine) {
        FOUND(op, PREFLIGHT_PTR, PREFLIGHT_BAD, "the reverse name of %s is %s, not %s", op->ip_text,
              a->names[0].name.text, op->helo);
        CURE(op, PREFLIGHT_PTR, "make the PTR of %s and the identity's helo the same name", op->ip_text);
    } else if (!mine->confirmed && !a->unsure) {
        FOUND(op, PREFLIGHT_PTR, PREFLIGHT_BAD, "the reverse name %s does not lead back to %s", op->helo,
              op->ip_text);
        CURE(op, PREFLIGHT_PTR, "add an address record for %s with %s", op->helo, op->ip_text);
    } else if (!mine->confirmed) {
        FOUND(op, PREFLIGHT_PTR, PREFLIGHT_UNKNOWN,
              "the reverse name is %s, but whether it leads back cannot be looked up", op->helo);
        CURE(op, PREFLIGHT_PTR, "check the resolver, then the name servers of %s", op->helo);
    } else if (a->n > 1) {
        FOUND(op, PREFLIGHT_PTR, PREFLIGHT_WARN, "%s has %zu reverse names, %s among them", op->ip_text, a->n,
              op->helo);
        CURE(op, PREFLIGHT_PTR, "keep only the PTR that says %s: some receivers look at one of them",
             op->helo);
    } else {
        FOUND(op, PREFLIGHT_PTR, PREFLIGHT_OK, "the reverse name of %s is %s and leads back", op->ip_text,
              op->helo);
    }
}

static void ptr_done(void *owner, const struct ptr_answer *a)
{
    struct preflight_op *op = owner;
    op->ptr = NULL;
    judge_ptr(op, a);
    answered(op);
}

static void addrs_done(void *owner, const struct addrs_answer *a)
{
    struct preflight_op *op = owner;
    op->addrs = NULL;
    bool has = false, family = false;
    for (size_t i = 0; i < a->n; i++) {
        has = has || addr_eq_ip(&a->addr[i], &op->ip);
        family = family || a->addr[i].family == op->ip.family;
    }
    if (has) {
        FOUND(op, PREFLIGHT_HELO_ADDRESS, PREFLIGHT_OK, "%s has the address %s", op->helo, op->ip_text);
    } else if (a->result == DNS_FAIL || (a->partial && !family)) {
        FOUND(op, PREFLIGHT_HELO_ADDRESS, PREFLIGHT_UNKNOWN, "the addresses of %s cannot be looked up: %s",
              op->helo, dns_why_text(a->why));
        CURE(op, PREFLIGHT_HELO_ADDRESS, "check the resolver, then the name servers of %s", op->helo);
    } else {
        FOUND(op, PREFLIGHT_HELO_ADDRESS, PREFLIGHT_BAD, "%s %s", op->helo,
              a->n ? "has other addresses only" : "has no address");
        CURE(op, PREFLIGHT_HELO_ADDRESS, "add an address record for %s with %s", op->helo, op->ip_text);
    }
    answered(op);
}

static void judge_spf(struct preflight_op *op, enum preflight_check check, const char *domain,
                      const struct spf_verdict *v)
{
    const char *result = spf_result_name(v->result);
    switch (v->result) {
    case SPF_PASS: FOUND(op, check, PREFLIGHT_OK, "SPF of %s passes for %s", domain, op->ip_text); return;
    case SPF_TEMPERROR:
        FOUND(op, check, PREFLIGHT_UNKNOWN, "SPF of %s cannot be evaluated: %s", domain, v->comment);
        break;
    default:
        FOUND(op, check, PREFLIGHT_WARN, "SPF of %s gives %s for %s", domain, result, op->ip_text);
        break;
    }
    if (check == PREFLIGHT_SPF_HELO)
        CURE(op, check, "publish at %s: \"v=spf1 ip%c:%s -all\"", domain,
             op->ip.family == ADDR_V4 ? '4' : '6', op->ip_text);
    else
        CURE(op, check,
             "the SPF record of %s must say include: for our _spf name (see gemelctl spf show), or ip%c:%s "
             "where one "
             "node is alone",
             domain, op->ip.family == ADDR_V4 ? '4' : '6', op->ip_text);
}

static void spf_helo_done(void *owner, const struct spf_verdict *v)
{
    struct preflight_op *op = owner;
    op->spf_helo = NULL;
    judge_spf(op, PREFLIGHT_SPF_HELO, op->helo, v);
    answered(op);
}

static void spf_mail_done(void *owner, const struct spf_verdict *v)
{
    struct preflight_op *op = owner;
    op->spf_mail = NULL;
    judge_spf(op, PREFLIGHT_SPF_MAIL, op->domain, v);
    answered(op);
}

static void mx_done(void *owner, const struct mx_answer *a)
{
    struct preflight_op *op = owner;
    op->mx = NULL;
    bool named = false;
    for (size_t i = 0; i < a->n; i++)
        named = named || slice_ieq(slice_of(a->hosts[i].name.text), slice_of(op->helo));
    if (named) {
        FOUND(op, PREFLIGHT_MX, PREFLIGHT_OK, "%s is an MX of %s", op->helo, op->domain);
    } else if (a->result == MX_TRY_LATER) {
        FOUND(op, PREFLIGHT_MX, PREFLIGHT_UNKNOWN, "the MX of %s cannot be looked up: %s", op->domain,
              dns_why_text(a->why));
        CURE(op, PREFLIGHT_MX, "check the resolver, then the name servers of %s", op->domain);
    } else {
        FOUND(op, PREFLIGHT_MX, PREFLIGHT_WARN, "%s is not an MX of %s", op->helo, op->domain);
        CURE(op, PREFLIGHT_MX,
             "publish an MX of %s that names %s: some receivers expect the sender among them", op->domain,
             op->helo);
    }
    answered(op);
}

struct preflight_op *preflight_start(struct resolver *r, const struct preflight_subject *s,
                                     preflight_done_fn *done, void *owner)
{
    struct preflight_op *op = xzalloc(sizeof *op);
    *op = (struct preflight_op){ .resolver = r, .done = done, .owner = owner, .ip = s->ip };
    op->ip.port = 0;
    addr_format(&op->ip, op->ip_text);
    snprintf(op->helo, sizeof op->helo, "%.*s", SLICE_ARG(s->helo));
    snprintf(op->domain, sizeof op->domain, "%.*s", SLICE_ARG(s->mail_domain));
    struct spf_question bounce = { .ip = op->ip, .helo = slice_of(op->helo), .mail_from = SLICE("") };
    struct spf_question mail = { .ip = op->ip,
                                 .helo = slice_of(op->helo),
                                 .mail_from = slice_of(op->domain) };
    op->waiting = PREFLIGHT_CHECKS;
    op->ptr = ptr_lookup(r, &op->ip, ptr_done, op);
    op->addrs = addrs_lookup(r, slice_of(op->helo), ADDRS_BOTH, addrs_done, op);
    op->spf_helo = spf_check_start(r, &bounce, NULL, spf_helo_done, op);
    op->spf_mail = spf_check_start(r, &mail, NULL, spf_mail_done, op);
    op->mx = mx_lookup(r, slice_of(op->domain), mx_done, op);
    return op;
}

void preflight_cancel(struct preflight_op **slot)
{
    struct preflight_op *op = *slot;
    *slot = NULL;
    if (!op) return;
    ptr_cancel(&op->ptr);
    addrs_cancel(&op->addrs);
    spf_check_cancel(&op->spf_helo);
    spf_check_cancel(&op->spf_mail);
    mx_cancel(&op->mx);
    free(op);
}
