#include "dns/publish.h"

#include <stdio.h>
#include <stdlib.h>

#include "dns/spf_check.h"

/* --- Words --- */

#define PUBLISH_ROW(name, word, text) { word, text },
static const char *const words[][2] = { PUBLISH_MAP(PUBLISH_ROW) };

const char *publish_result_name(enum publish_result r)
{
    ASSERT(r < ARRAY_LEN(words));
    return words[r][0];
}

const char *publish_result_text(enum publish_result r)
{
    ASSERT(r < ARRAY_LEN(words));
    return words[r][1];
}

/* --- The texts --- */

static enum err wanted_marker(const struct publish_wanted *w, struct egress_record *out)
{
    return egress_record_make(w->cluster, w->epoch, w->serial, w->active, w->digest, out);
}

enum err publish_texts(const struct publish_wanted *w, struct buf *spf, struct buf *egress, const char **why)
{
    struct egress_record marker;
    struct spf_wanted set = { .senders = w->senders, .n = w->n_senders, .all = w->all, .allow = w->allow };
    enum err err = wanted_marker(w, &marker);
    *why = "the cluster, the identity or the digest is not a word that can stand in the marker";
    if (err) return err;
    err = spf_record_format(&set, spf, why);
    if (!err) egress_record_format(&marker, egress);
    return err;
}

/* --- The judgement --- */

static int by_age(uint64_t epoch, uint32_t serial, uint64_t other_epoch, uint32_t other_serial)
{
    if (epoch != other_epoch) return epoch < other_epoch ? -1 : 1;
    return serial < other_serial ? -1 : serial > other_serial;
}

static enum publish_result judge_marker(const struct publish_wanted *w, const struct egress_record *now,
                                        bool *same, char *detail)
{
    struct egress_record want;
    *same = wanted_marker(w, &want) == ERR_OK && egress_record_eq(&want, now);
    if (*same) return PUBLISH_DONE;
    if (by_age(now->epoch, now->serial, w->expected_epoch, w->expected_serial) > 0 ||
        by_age(now->epoch, now->serial, w->epoch, w->serial) >= 0) {
        snprintf(detail, PUBLISH_DETAIL_MAX,
                 "the marker says epoch %" PRIu64 ", serial %u, active %s; we knew of epoch %" PRIu64
                 ", serial %u",
                 now->epoch, now->serial, now->active, w->expected_epoch, w->expected_serial);
        return PUBLISH_STALE;
    }
    return PUBLISH_DONE;
}

static enum publish_result judge_foreign(const struct publish_wanted *w, const struct dns_answer *now,
                                         char *detail)
{
    struct egress_record m;
    if (now->n == 1 && !egress_record_parse(now->records[0].text, &m))
        snprintf(detail, PUBLISH_DETAIL_MAX, "the marker belongs to the cluster \"%s\"", m.cluster);
    else
        snprintf(detail, PUBLISH_DETAIL_MAX, "the marker's name holds %zu record%s that %s not a marker",
                 now->n, now->n == 1 ? "" : "s", now->n == 1 ? "is" : "are");
    return w->takeover ? PUBLISH_DONE : PUBLISH_CONFLICT;
}

enum publish_result publish_judge(const struct publish_wanted *w, const struct dns_answer *now, bool *create,
                                  bool *same, char detail[static PUBLISH_DETAIL_MAX])
{
    struct egress_record marker;
    detail[0] = 0;
    *create = *same = false;
    switch (now->result) {
    case DNS_FAIL:
        snprintf(detail, PUBLISH_DETAIL_MAX, "the marker cannot be read: %s", dns_why_text(now->why));
        return PUBLISH_FAILED;
    case DNS_NODATA:
    case DNS_NXDOMAIN: *create = true; return PUBLISH_DONE;
    case DNS_ANSWER: break;
    }
    if (now->n == 1 && !egress_record_parse(now->records[0].text, &marker) &&
        slice_eq(slice_of(marker.cluster), w->cluster))
        return judge_marker(w, &marker, same, detail);
    return judge_foreign(w, now, detail);
}

/* --- The plan --- */

static void copy_wanted(const struct publish_wanted *w, struct publish_plan *p)
{
    size_t bytes = w->n_senders * sizeof *w->senders;
    struct addr *senders = arena_alloc(&p->arena, bytes + 1);
    if (bytes) memcpy(senders, w->senders, bytes);
    p->w = *w;
    p->w.cluster = arena_dup(&p->arena, w->cluster);
    p->w.active = arena_dup(&p->arena, w->active);
    p->w.digest = arena_dup(&p->arena, w->digest);
    p->w.senders = senders;
    if (!p->w.spf_ttl_s) p->w.spf_ttl_s = 300;
    if (!p->w.egress_ttl_s) p->w.egress_ttl_s = 30;
}

static bool lint_ok(const struct publish_plan *p, char *detail)
{
    static const struct dns_table nothing;
    struct spf_lint *l = xzalloc(sizeof *l);
    spf_lint_text(&nothing, dns_name_slice(&p->spf_name), buf_slice(&p->spf), p->w.allow, l);
    bool ok = l->errors == 0 && l->n_missing == 0;
    for (size_t i = 0; i < l->n && !ok; i++)
        if (l->finding[i].level == SPF_LINT_ERROR)
            snprintf(detail, PUBLISH_DETAIL_MAX, "%s", l->finding[i].text);
    free(l);
    return ok;
}

/* As a receiver would see it, if `_spf` itself were a mail domain. */
static bool all_pass(const struct publish_plan *p, char *detail)
{
    struct dns_record r = {
        .type = DNS_TXT, .owner = SLICE(""), .name = SLICE(""), .text = buf_slice(&p->spf)
    };
    struct dns_answer a = {
        .result = DNS_ANSWER, .records = &r, .n = 1, .canonical = SLICE(""), .why_detail = SLICE("")
    };
    struct dns_table t = { 0 };
    bool ok = true;
    dns_table_put(&t, dns_name_slice(&p->spf_name), DNS_TXT, &a);
    for (size_t i = 0; i < p->w.n_senders && ok; i++) {
        struct spf_question q = { p->w.senders[i], SLICE(""), dns_name_slice(&p->spf_name) };
        struct spf_missing missing[SPF_MISSING_MAX];
        struct spf_verdict v = { 0 };
        size_t n;
        char text[ADDR_TEXT_MAX];
        ok = spf_eval(&t, &q, &v, missing, &n) == ERR_OK && v.result == SPF_PASS;
        if (!ok)
            snprintf(detail, PUBLISH_DETAIL_MAX, "%s would not pass: %s", addr_format(&q.ip, text),
                     v.comment);
    }
    dns_table_deinit(&t);
    return ok;
}

enum publish_result publish_plan_make(const struct publish_zone *zone, const struct publish_wanted *w,
                                      struct publish_plan *out, char detail[static PUBLISH_DETAIL_MAX])
{
    const char *why = "the names below the zone are too long";
    *out = (struct publish_plan){ 0 };
    detail[0] = 0;
    buf_init(&out->spf, SPF_RECORD_BYTES_MAX);
    buf_init(&out->egress, EGRESS_RECORD_BYTES_MAX);
    copy_wanted(w, out);
    if (dns_name_join(SLICE("_spf"), dns_name_slice(&zone->zone), &out->spf_name) ||
        dns_name_join(SLICE("_egress"), dns_name_slice(&zone->zone), &out->egress_name) ||
        publish_texts(&out->w, &out->spf, &out->egress, &why)) {
        snprintf(detail, PUBLISH_DETAIL_MAX, "%s", why);
        return PUBLISH_LINT;
    }
    return lint_ok(out, detail) && all_pass(out, detail) ? PUBLISH_DONE : PUBLISH_LINT;
}

void publish_plan_deinit(struct publish_plan *p)
{
    buf_deinit(&p->spf);
    buf_deinit(&p->egress);
    arena_deinit(&p->arena);
}

/* --- Looking --- */

struct publish_look {
    struct resolver *r;
    const struct publish_plan *plan;
    bool direct;
    struct dns_op *egress_op, *spf_op;
    struct dns_answer *egress, *spf;
    publish_seen_fn *done;
    void *owner;
};

static void look_free(struct publish_look *l)
{
    resolver_cancel(&l->egress_op);
    resolver_cancel(&l->spf_op);
    free(l->egress);
    free(l->spf);
    free(l);
}

void publish_look_cancel(struct publish_look **l)
{
    if (*l) look_free(*l);
    *l = NULL;
}

static bool holds(const struct dns_answer *a, struct slice text)
{
    return a->result == DNS_ANSWER && a->n == 1 && slice_eq(a->records[0].text, text);
}

static void look_step(struct publish_look *l)
{
    struct publish_seen seen = { 0 };
    if (l->egress_op || l->spf_op) return;
    seen.egress = l->egress;
    seen.spf = l->spf;
    seen.judged = publish_judge(&l->plan->w, l->egress, &seen.create, &seen.same, seen.detail);
    seen.same = seen.same && holds(l->spf, buf_slice(&l->plan->spf));
    /* A primary speaks with authority; what else answers here may be anybody, and its "nothing there" no reason to create. */
    if (l->direct && seen.judged == PUBLISH_DONE && !l->egress->aa) {
        seen.judged = PUBLISH_FAILED;
        snprintf(seen.detail, sizeof seen.detail, "the server has no authority for %s",
                 l->plan->egress_name.text);
    }
    publish_seen_fn *done = l->done;
    void *owner = l->owner;
    done(owner, &seen);
    look_free(l);
}

static void on_egress(void *owner, const struct dns_answer *a)
{
    struct publish_look *l = owner;
    l->egress_op = NULL;
    l->egress = dns_answer_dup(a);
    look_step(l);
}

static void on_spf(void *owner, const struct dns_answer *a)
{
    struct publish_look *l = owner;
    l->spf_op = NULL;
    l->spf = dns_answer_dup(a);
    look_step(l);
}

struct publish_look *publish_look_start(struct resolver *r, const struct publish_zone *zone,
                                        const struct publish_plan *plan, uint32_t limit_ms,
                                        publish_seen_fn *done, void *owner)
{
    struct publish_look *l = xzalloc(sizeof *l);
    struct dns_ask how = { .flags = DNS_NO_CACHE, .server = zone->server, .limit_ms = limit_ms };
    l->r = r;
    l->plan = plan;
    l->done = done;
    l->owner = owner;
    l->direct = zone->server.family != ADDR_NONE;
    if (l->direct) how.flags |= DNS_NO_RECURSION;
    l->egress_op = resolver_ask(r, dns_name_slice(&plan->egress_name), DNS_TXT, &how, on_egress, l);
    l->spf_op = resolver_ask(r, dns_name_slice(&plan->spf_name), DNS_TXT, &how, on_spf, l);
    return l;
}

/* --- Any kind --- */

enum { LIMIT_MS = 60000 };

struct publish_op *publish_start(struct publisher *p, const struct publish_wanted *w, uint32_t limit_ms,
                                 publish_done_fn *done, void *owner)
{
    return p->ops->publish(p, w, limit_ms ? limit_ms : LIMIT_MS, done, owner);
}

void publish_cancel(struct publish_op **op)
{
    if (*op) (*op)->publisher->ops->cancel(*op);
    *op = NULL;
}

void publisher_destroy(struct publisher *p)
{
    if (p) p->ops->destroy(p);
}
