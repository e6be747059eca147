#include "dns/spf_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "dns/gather.h"

enum { LIMIT_MS = 20000 };

/* --- SPF --- */

struct spf_op {
    struct gather gather;
    struct timer timer; /* the first step: nothing completes inside the start */
    struct spf_question q;
    struct spf_missing missing[SPF_MISSING_MAX];
    unsigned rounds;
    struct resolver *r;
    spf_done_fn *done;
    void *owner;
};

static void spf_free(struct spf_op *op)
{
    timer_clear(resolver_env(op->r)->timers, &op->timer);
    gather_deinit(&op->gather);
    free((char *)op->q.helo.p);
    free((char *)op->q.mail_from.p);
    free(op);
}

void spf_check_cancel(struct spf_op **op)
{
    if (*op) spf_free(*op);
    *op = NULL;
}

static void spf_finish(struct spf_op *op, struct spf_verdict *v)
{
    spf_done_fn *done = op->done;
    void *owner = op->owner;
    v->rounds = op->rounds;
    spf_free(op);
    done(owner, v);
}

static void spf_step(struct spf_op *op)
{
    struct spf_verdict v;
    size_t n = 0;
    op->rounds++;
    if (spf_eval(&op->gather.table, &op->q, &v, op->missing, &n) == ERR_OK)
        spf_finish(op, &v);
    else
        gather_ask(&op->gather, op->missing, n);
}

static void on_gathered(void *owner, enum err err)
{
    struct spf_op *op = owner;
    struct spf_verdict v = { .result = SPF_TEMPERROR };
    if (!err) {
        spf_step(op);
        return;
    }
    if (err == ERR_LIMIT) v.result = SPF_PERMERROR;
    snprintf(v.comment, sizeof v.comment, "%s",
             err == ERR_LIMIT ? "the policy needs too many look-ups"
                              : "the policy could not be looked up in time");
    spf_finish(op, &v);
}

static void on_first(struct timer *t)
{
    spf_step(t->owner);
}

static struct slice keep(struct slice s)
{
    return (struct slice){ slice_dup(s), s.n };
}

struct spf_op *spf_check_start(struct resolver *r, const struct spf_question *q,
                               const struct spf_check_conf *conf, spf_done_fn *done, void *owner)
{
    struct spf_op *op = xzalloc(sizeof *op);
    struct gather_conf where = { 0 };
    uint32_t limit_ms = conf && conf->limit_ms ? conf->limit_ms : LIMIT_MS;
    if (conf) where = (struct gather_conf){ conf->zone, conf->server, conf->ask_flags };
    op->r = r;
    op->done = done;
    op->owner = owner;
    op->q = (struct spf_question){ q->ip, keep(q->helo), keep(q->mail_from) };
    gather_init(&op->gather, r, &where, limit_ms, on_gathered, op);
    timer_set_in(resolver_env(r)->timers, &op->timer, 0, on_first, op);
    return op;
}

/* --- Lint --- */

struct spf_lint_op {
    struct gather gather;
    struct timer timer;
    struct dns_name name;
    struct slice text;
    bool own_text;
    unsigned allow;
    struct spf_lint lint;
    struct resolver *r;
    spf_lint_fn *done;
    void *owner;
};

static void lint_free(struct spf_lint_op *op)
{
    timer_clear(resolver_env(op->r)->timers, &op->timer);
    gather_deinit(&op->gather);
    free((char *)op->text.p);
    free(op);
}

void spf_lint_cancel(struct spf_lint_op **op)
{
    if (*op) lint_free(*op);
    *op = NULL;
}

static void lint_step(struct spf_lint_op *op, bool final)
{
    struct slice name = dns_name_slice(&op->name);
    if (op->own_text)
        spf_lint_text(&op->gather.table, name, op->text, op->allow, &op->lint);
    else
        spf_lint(&op->gather.table, name, op->allow, &op->lint);
    if (op->lint.n_missing && !final) {
        gather_ask(&op->gather, op->lint.missing, op->lint.n_missing);
        return;
    }
    op->done(op->owner, &op->lint);
    lint_free(op);
}

/* Out of time or questions: the findings so far, with what is missing still in them. */
static void on_lint_gathered(void *owner, enum err err)
{
    lint_step(owner, err != ERR_OK);
}

static void on_lint_first(struct timer *t)
{
    lint_step(t->owner, false);
}

struct spf_lint_op *spf_lint_start(struct resolver *r, struct slice name, struct slice text, unsigned allow,
                                   uint32_t limit_ms, spf_lint_fn *done, void *owner)
{
    struct spf_lint_op *op = xzalloc(sizeof *op);
    op->r = r;
    op->done = done;
    op->owner = owner;
    op->allow = allow;
    op->own_text = text.n > 0;
    op->text = keep(text);
    if (dns_name_parse(name, &op->name)) op->name = (struct dns_name){ 0 };
    gather_init(&op->gather, r, NULL, limit_ms ? limit_ms : LIMIT_MS, on_lint_gathered, op);
    timer_set_in(resolver_env(r)->timers, &op->timer, 0, on_lint_first, op);
    return op;
}
