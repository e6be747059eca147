#include "dns/spf_record.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Walks the tree of records as the unluckiest message would: every term that can be reached is counted, not only those in
 * front of a match, because receivers differ in what they count and a record must not depend on that. */

enum { LINT_LOOKUPS_END = 40, NEAR_LIMIT = 9, SHORTEST_4 = 24, SHORTEST_6 = 48, MX_NAMES_MAX = 10 };

struct walk {
    const struct dns_table *t;
    struct spf_lint *out;
    unsigned allow;
    struct slice root, own_text; /* what stands at `root` whatever the table says; p NULL: nothing */
    struct slice path[SPF_TREE_DEPTH_MAX];
    unsigned depth;
};

static void finding(struct walk *w, enum spf_lint_level level, struct slice name, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
static void finding(struct walk *w, enum spf_lint_level level, struct slice name, const char *fmt, ...)
{
    struct spf_lint *out = w->out;
    va_list ap;
    if (level == SPF_LINT_ERROR) out->errors++;
    if (level == SPF_LINT_WARNING) out->warnings++;
    if (out->n == SPF_LINT_FINDINGS_MAX) return;
    struct spf_finding *f = &out->finding[out->n++];
    f->level = level;
    if (dns_name_parse(name, &f->name)) f->name = (struct dns_name){ 0 };
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
}

/* A record of somebody else's may do what ours may not. */
static bool is_ours(const struct walk *w, struct slice name)
{
    return dns_name_below(name, w->root);
}

static const struct dns_answer *look(struct walk *w, struct slice name, uint16_t type)
{
    const struct dns_answer *a = dns_table_get(w->t, name, type);
    struct spf_lint *out = w->out;
    struct dns_name n;
    if (a || dns_name_parse(name, &n)) return a;
    for (size_t i = 0; i < out->n_missing; i++)
        if (out->missing[i].type == type && dns_name_eq(dns_name_slice(&out->missing[i].name), name))
            return NULL;
    if (out->n_missing < SPF_MISSING_MAX) out->missing[out->n_missing++] = (struct spf_missing){ n, type };
    return NULL;
}

static bool is_void(const struct dns_answer *a)
{
    return a && (a->result == DNS_NXDOMAIN || a->result == DNS_NODATA);
}

static void walk_name(struct walk *w, struct slice name);

/* --- One term --- */

static void check_net(struct walk *w, struct slice name, const struct spf_term *t)
{
    bool ours = is_ours(w, name);
    unsigned shortest = t->kind == SPF_IP6 ? SHORTEST_6 : SHORTEST_4;
    enum spf_lint_level level = ours ? SPF_LINT_ERROR : SPF_LINT_NOTE;
    if (addr_is_documentation(&t->net.base) && !(w->allow & SPF_ALLOW_DOCUMENTATION))
        finding(w, level, name, "%.*s lies in a documentation range", SLICE_ARG(t->text));
    else if (!addr_is_documentation(&t->net.base) && addr_is_private(&t->net.base) &&
             !(w->allow & SPF_ALLOW_PRIVATE))
        finding(w, level, name, "%.*s is not of the public Internet", SLICE_ARG(t->text));
    if (t->net.bits < shortest && !(w->allow & SPF_ALLOW_WIDE))
        finding(w, level, name, "%.*s lets a whole network send: shorter than /%u", SLICE_ARG(t->text),
                shortest);
}

static void check_all(struct walk *w, struct slice name, const struct spf_term *t)
{
    if (t->qualifier == '+') finding(w, SPF_LINT_ERROR, name, "%.*s lets everybody send", SLICE_ARG(t->text));
    if (t->qualifier == '?' && w->depth == 1)
        finding(w, SPF_LINT_WARNING, name, "?all says nothing about those who may not send");
}

static void count_void(struct walk *w, struct slice name, const struct spf_term *t)
{
    w->out->voids++;
    finding(w, SPF_LINT_WARNING, name, "%.*s finds nothing: a void look-up", SLICE_ARG(t->text));
}

static void check_a(struct walk *w, struct slice name, struct slice target, const struct spf_term *t)
{
    const struct dns_answer *v4 = look(w, target, DNS_A), *v6 = look(w, target, DNS_AAAA);
    if (is_void(v4) && is_void(v6)) count_void(w, name, t);
}

static void check_mx(struct walk *w, struct slice name, struct slice target, const struct spf_term *t)
{
    const struct dns_answer *mx = look(w, target, DNS_MX);
    if (is_void(mx)) count_void(w, name, t);
    if (mx && mx->n > MX_NAMES_MAX)
        finding(w, SPF_LINT_ERROR, name, "%.*s has %zu names; more than ten are an error", SLICE_ARG(t->text),
                mx->n);
}

static void check_exists(struct walk *w, struct slice name, struct slice target, const struct spf_term *t)
{
    if (is_void(look(w, target, DNS_A))) count_void(w, name, t);
}

static void check_term(struct walk *w, struct slice name, const struct spf_term *t)
{
    static const unsigned ask = BIT(SPF_INCLUDE) | BIT(SPF_A) | BIT(SPF_MX) | BIT(SPF_PTR) | BIT(SPF_EXISTS) |
                                BIT(SPF_REDIRECT);
    struct slice target = t->domain.n ? t->domain : name;
    if (ask & BIT(t->kind)) w->out->lookups++;
    if (t->kind == SPF_PTR) finding(w, SPF_LINT_WARNING, name, "\"ptr\" should not be used (RFC 7208 5.5)");
    if (t->macro) {
        if (t->kind == SPF_INCLUDE || t->kind == SPF_REDIRECT)
            finding(w, SPF_LINT_NOTE, name, "%.*s depends on the message and was not followed",
                    SLICE_ARG(t->text));
        return;
    }
    switch (t->kind) {
    case SPF_ALL: check_all(w, name, t); break;
    case SPF_IP4:
    case SPF_IP6: check_net(w, name, t); break;
    case SPF_A: check_a(w, name, target, t); break;
    case SPF_MX: check_mx(w, name, target, t); break;
    case SPF_EXISTS: check_exists(w, name, target, t); break;
    case SPF_INCLUDE:
    case SPF_REDIRECT: walk_name(w, target); break;
    case SPF_PTR:
    case SPF_EXP:
    case SPF_OTHER_MODIFIER: break;
    }
}

/* --- One record --- */

static bool has_kind(const struct spf_terms *terms, enum spf_kind kind)
{
    for (size_t i = 0; i < terms->n; i++)
        if (terms->term[i].kind == kind) return true;
    return false;
}

static void check_order(struct walk *w, struct slice name, const struct spf_terms *terms)
{
    bool all = has_kind(terms, SPF_ALL), redirect = has_kind(terms, SPF_REDIRECT);
    if (!all && !redirect && w->depth == 1)
        finding(w, SPF_LINT_WARNING, name, "the record ends without \"all\": the rest is neutral");
    if (all && redirect)
        finding(w, SPF_LINT_WARNING, name, "\"redirect\" is never reached: the record has \"all\"");
    for (size_t i = 0; i + 1 < terms->n; i++) {
        const struct spf_term *next = &terms->term[i + 1];
        if (terms->term[i].kind != SPF_ALL || next->qualifier == '=') continue;
        finding(w, SPF_LINT_WARNING, name, "%.*s stands behind \"all\" and is never reached",
                SLICE_ARG(next->text));
        return;
    }
}

static void walk_text(struct walk *w, struct slice name, struct slice text)
{
    struct spf_terms *terms = xzalloc(sizeof *terms); /* too big for a recursion on the stack */
    struct slice at;
    const char *why;
    if (text.n > SPF_RECORD_BYTES_MAX)
        finding(w, SPF_LINT_WARNING, name, "the record has %zu bytes: the answer may not fit one UDP packet",
                text.n);
    if (spf_record_parse(text, terms, &at, &why))
        finding(w, SPF_LINT_ERROR, name, "%.*s: %s", SLICE_ARG(slice_sub(at, 0, 80)), why);
    check_order(w, name, terms);
    bool all = has_kind(terms, SPF_ALL), behind = false;
    for (size_t i = 0; i < terms->n; i++) {
        const struct spf_term *t = &terms->term[i];
        if (behind && t->qualifier != '=') continue;
        if (t->kind == SPF_REDIRECT && all) continue;
        check_term(w, name, t);
        behind = behind || t->kind == SPF_ALL;
    }
    free(terms);
}

static void walk_answer(struct walk *w, struct slice name, const struct dns_answer *a)
{
    struct slice text = { NULL, 0 };
    size_t records = 0;
    if (a->result == DNS_FAIL) {
        finding(w, SPF_LINT_ERROR, name, "the record cannot be looked up: %s", dns_why_text(a->why));
        return;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (!spf_record_is(a->records[i].text)) continue;
        text = a->records[i].text;
        records++;
    }
    if (records == 1)
        walk_text(w, name, text);
    else if (records)
        finding(w, SPF_LINT_ERROR, name, "there are %zu SPF records; two are an error for every receiver",
                records);
    else
        finding(w, SPF_LINT_ERROR, name,
                w->depth > 1 ? "is included, but has no SPF record" : "has no SPF record");
    if (is_void(a) && w->depth > 1) w->out->voids++;
}

static void walk_name(struct walk *w, struct slice name)
{
    const struct dns_answer *a;
    for (unsigned i = 0; i < w->depth; i++) {
        if (!dns_name_eq(w->path[i], name)) continue;
        finding(w, SPF_LINT_ERROR, name, "includes itself");
        return;
    }
    if (w->depth == SPF_TREE_DEPTH_MAX || w->out->lookups > LINT_LOOKUPS_END) return; /* an error already */
    w->path[w->depth++] = name;
    if (w->own_text.p && dns_name_eq(name, w->root))
        walk_text(w, name, w->own_text);
    else if ((a = look(w, name, DNS_TXT)))
        walk_answer(w, name, a);
    w->depth--;
}

static void lint(struct walk *w)
{
    *w->out = (struct spf_lint){ 0 };
    walk_name(w, w->root);
    if (w->out->lookups > SPF_LOOKUPS_MAX)
        finding(w, SPF_LINT_ERROR, w->root, "needs %u look-ups; more than ten are an error", w->out->lookups);
    else if (w->out->lookups >= NEAR_LIMIT)
        finding(w, SPF_LINT_NOTE, w->root, "needs %u of ten look-ups", w->out->lookups);
    if (w->out->voids > SPF_VOIDS_MAX)
        finding(w, SPF_LINT_ERROR, w->root, "makes %u look-ups that find nothing; more than two are an error",
                w->out->voids);
}

void spf_lint(const struct dns_table *t, struct slice name, unsigned allow, struct spf_lint *out)
{
    struct walk w = { .t = t, .out = out, .allow = allow, .root = name };
    lint(&w);
}

void spf_lint_text(const struct dns_table *t, struct slice name, struct slice text, unsigned allow,
                   struct spf_lint *out)
{
    struct walk w = { .t = t, .out = out, .allow = allow, .root = name, .own_text = text };
    if (!w.own_text.p) w.own_text.p = "";
    lint(&w);
}
