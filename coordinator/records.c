#include "coordinator/records.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/timers.h"

enum { DIGEST_DIGITS = 16, ASK_LIMIT_MS = 3000 };

struct records {
    const struct env *env;
    struct records_conf conf;
    struct dns_name spf_name, egress_name;
    struct records_look look;
    struct verify_report report;
    char publish_detail[PUBLISH_DETAIL_MAX];
};

struct records_op {
    struct records *records;
    void *owner;
    records_token_fn *token_done;
    records_published_fn *published_done;
    records_verified_fn *verified_done;
    struct dns_op *egress_op, *spf_op;
    struct publish_op *publish_op;
    struct verify_op *verify_op;
    struct fo_token token, want;
    struct records_texts texts;
    bool failed;
};

static const struct cluster_conf *cluster(const struct records *r)
{
    return &r->conf.conf->cluster;
}

static const char *name_of(const struct records *r, uint8_t i)
{
    const struct identity_conf *ids = cluster(r)->identities.items;
    return i < cluster(r)->identities.n ? ids[i].name : "";
}

/* STORE_NONE for "-", STORE_FOREIGN for a name that our configuration does not have. */
static uint8_t index_of(const struct records *r, const char *name)
{
    const struct identity_conf *it = cluster_identity(cluster(r), slice_of(name));
    if (strcmp(name, "-") == 0) return STORE_NONE;
    return it ? (uint8_t)(it - (const struct identity_conf *)cluster(r)->identities.items) : STORE_FOREIGN;
}

/* The machine stops waiting after dns.update_timeout: our answer has to be there before. */
static uint32_t limit_ms(const struct records *r)
{
    return (uint32_t)(cluster(r)->dns.update_timeout_ms * 9 / 10);
}

/* ---- tokens and texts ---- */

struct wanted { /* what publish_wanted borrows */
    struct publish_wanted w;
    struct addr senders[STORE_IDENTITIES_MAX];
};

static void wanted_of(const struct records *r, const struct fo_token *t, struct wanted *out)
{
    const struct cluster_conf *c = cluster(r);
    const struct identity_conf *ids = c->identities.items;
    const char *active = name_of(r, t->identity);
    *out = (struct wanted){ .w = { .cluster = slice_of(c->cluster),
                                   .active = *active ? slice_of(active) : SLICE("-"),
                                   .digest = slice_sub(slice_of(c->digest), 0, DIGEST_DIGITS),
                                   .epoch = t->epoch,
                                   .serial = t->serial,
                                   .all = '-',
                                   .allow = c->allow_documentation_addresses ? SPF_ALLOW_DOCUMENTATION : 0,
                                   .spf_ttl_s = (uint32_t)(c->dns.spf.ttl_ms / 1000),
                                   .egress_ttl_s = (uint32_t)(c->dns.spf.egress_ttl_ms / 1000) } };
    for (size_t i = 0; i < c->identities.n; i++)
        if (t->spf_set & BIT(i)) out->senders[out->w.n_senders++] = ids[i].ip;
    out->w.senders = out->senders;
}

bool records_texts_of(const struct records *r, const struct fo_token *t, struct records_texts *out)
{
    struct wanted w;
    struct buf spf, egress;
    const char *why = "";
    wanted_of(r, t, &w);
    buf_init(&spf, SPF_RECORD_BYTES_MAX);
    buf_init(&egress, EGRESS_RECORD_BYTES_MAX);
    bool good = publish_texts(&w.w, &spf, &egress, &why) == ERR_OK;
    if (good) {
        snprintf(out->spf, sizeof out->spf, "%.*s", SLICE_ARG(buf_slice(&spf)));
        snprintf(out->egress, sizeof out->egress, "%.*s", SLICE_ARG(buf_slice(&egress)));
    }
    buf_deinit(&spf);
    buf_deinit(&egress);
    return good;
}

/* Which of our addresses does the text name? 0 unless the text is what we would write for them. */
static uint32_t set_of(const struct records *r, struct slice text)
{
    const struct identity_conf *ids = cluster(r)->identities.items;
    struct spf_terms terms;
    struct slice at;
    const char *why;
    if (spf_record_parse(text, &terms, &at, &why)) return 0;
    struct fo_token t = { .identity = STORE_NONE };
    for (size_t k = 0; k < terms.n; k++)
        for (size_t i = 0; i < cluster(r)->identities.n; i++)
            if ((terms.term[k].kind == SPF_IP4 || terms.term[k].kind == SPF_IP6) &&
                addr_eq_ip(&terms.term[k].net.base, &ids[i].ip))
                t.spf_set |= BIT(i);
    struct records_texts ours;
    bool same = t.spf_set && records_texts_of(r, &t, &ours) && slice_eq(text, slice_of(ours.spf));
    return same ? t.spf_set : 0;
}

static void read_marker(const struct records *r, const struct dns_answer *a, struct fo_token *t)
{
    struct egress_record m;
    t->present = a->result == DNS_ANSWER;
    if (!t->present) return;
    t->foreign = a->n != 1 || egress_record_parse(a->records[0].text, &m) != ERR_OK ||
                 strcmp(m.cluster, cluster(r)->cluster) != 0;
    if (t->foreign) return;
    t->epoch = m.epoch;
    t->serial = m.serial;
    t->identity = index_of(r, m.active);
}

/* ---- reading ---- */

static struct records_op *op_create(struct records *r, void *owner)
{
    struct records_op *op = xzalloc(sizeof *op);
    op->records = r;
    op->owner = owner;
    return op;
}

static void read_done(struct records_op *op)
{
    struct records *r = op->records;
    if (op->egress_op || op->spf_op) return;
    r->look.read = true;
    r->look.reachable = !op->failed;
    r->look.read_ms = timers_now_ms(r->env->timers);
    if (!op->failed) {
        r->look.token = op->token;
        r->look.texts = op->texts;
    }
    log_debug(r->env->log, "records.read", kv_bool("reachable", !op->failed),
              kv_u64("epoch", op->token.epoch), kv_u64("serial", op->token.serial),
              kv_cstr("active", name_of(r, op->token.identity)), kv_cstr("spf", op->texts.spf));
    records_token_fn *done = op->token_done;
    void *owner = op->owner;
    struct fo_token token = op->token;
    bool reachable = !op->failed;
    free(op);
    done(owner, reachable, &token);
}

static bool took(struct records_op *op, const struct dns_answer *a, char *text, size_t cap)
{
    if (a->result == DNS_FAIL) op->failed = true;
    if (a->result != DNS_ANSWER || a->n != 1) return false;
    snprintf(text, cap, "%.*s", SLICE_ARG(a->records[0].text));
    return true;
}

static void egress_answered(void *owner, const struct dns_answer *a)
{
    struct records_op *op = owner;
    op->egress_op = NULL;
    (void)took(op, a, op->texts.egress, sizeof op->texts.egress);
    if (a->result != DNS_FAIL) read_marker(op->records, a, &op->token);
    read_done(op);
}

static void spf_answered(void *owner, const struct dns_answer *a)
{
    struct records_op *op = owner;
    op->spf_op = NULL;
    if (took(op, a, op->texts.spf, sizeof op->texts.spf))
        op->token.spf_set = set_of(op->records, a->records[0].text);
    read_done(op);
}

struct records_op *records_read(struct records *r, records_token_fn *done, void *owner)
{
    struct records_op *op = op_create(r, owner);
    struct dns_ask how = { .flags = DNS_NO_CACHE, .limit_ms = MIN(limit_ms(r), (uint32_t)ASK_LIMIT_MS) };
    if (cluster(r)->dns.server.family != ADDR_NONE) { /* publishers that are no servers may leave it out */
        how.flags |= DNS_NO_RECURSION;
        how.server = cluster(r)->dns.server;
    }
    op->token_done = done;
    op->token.identity = STORE_NONE;
    op->egress_op = resolver_ask(r->conf.resolver, dns_name_slice(&r->egress_name), DNS_TXT, &how,
                                 egress_answered, op);
    op->spf_op = resolver_ask(r->conf.resolver, dns_name_slice(&r->spf_name), DNS_TXT, &how, spf_answered,
                              op);
    return op;
}

/* ---- publishing ---- */

static enum fo_published published_as(enum publish_result x)
{
    switch (x) {
    case PUBLISH_DONE: return FO_PUB_APPLIED;
    case PUBLISH_STALE:
    case PUBLISH_CONFLICT: return FO_PUB_CONFLICT;
    case PUBLISH_REFUSED:
    case PUBLISH_CLOCK: return FO_PUB_REFUSED;
    case PUBLISH_LINT: return FO_PUB_LINT;
    case PUBLISH_UNKNOWN:
    case PUBLISH_FAILED: break;
    }
    return FO_PUB_UNKNOWN;
}

static void publish_done(void *owner, enum publish_result x, const char *detail)
{
    struct records_op *op = owner;
    struct records *r = op->records;
    op->publish_op = NULL;
    bool good = x == PUBLISH_DONE;
    snprintf(r->publish_detail, sizeof r->publish_detail, "%s", detail);
    r->look.publish_word = publish_result_text(x);
    r->look.publish_failed = !good;
    if (good) {
        r->look.token = op->want;
        (void)records_texts_of(r, &op->want, &r->look.texts);
    }
    log_event(r->env->log, good ? LOG_INFO : LOG_WARN, "records.published",
              LOG_KVS(kv_cstr("result", publish_result_name(x)), kv_u64("epoch", op->want.epoch),
                      kv_u64("serial", op->want.serial), kv_cstr("active", name_of(r, op->want.identity)),
                      kv_cstr("spf", good ? r->look.texts.spf : ""), kv_cstr("detail", detail)));
    records_published_fn *done = op->published_done;
    void *whose = op->owner;
    free(op);
    done(whose, published_as(x));
}

struct records_op *records_publish(struct records *r, const struct fo_token *expect,
                                   const struct fo_token *want, records_published_fn *done, void *owner)
{
    struct records_op *op = op_create(r, owner);
    struct wanted w;
    op->published_done = done;
    op->want = *want;
    op->want.present = true;
    wanted_of(r, want, &w);
    if (expect->present && !expect->foreign) {
        w.w.expected_epoch = expect->epoch;
        w.w.expected_serial = expect->serial;
    }
    op->publish_op = publish_start(r->conf.publisher, &w.w, limit_ms(r), publish_done, op);
    return op;
}

/* ---- verifying ---- */

static void server_of(const struct verify_server *s, struct fo_server *out)
{
    bool silent = s->verdict == VERIFY_SILENT || s->verdict == VERIFY_NOT_AUTHORITATIVE;
    /* A lame server gives resolvers nothing to go by: they ask the next one, as with a silent server. */
    *out = (struct fo_server){ .state = silent         ? FO_SERVER_SILENT
                                        : s->no_policy ? FO_SERVER_BOGUS
                                                       : FO_SERVER_OK,
                               .pass_set = s->pass,
                               .epoch = s->epoch,
                               .ttl_ms = SECONDS(s->spf_ttl_s) };
}

static void verify_done(void *owner, const struct verify_report *report)
{
    struct records_op *op = owner;
    struct records *r = op->records;
    struct fo_verified v = { 0 };
    op->verify_op = NULL;
    bool first = !r->look.report;
    bool news = first || r->report.ok != report->ok || r->report.n != report->n;
    r->report = *report;
    r->look.report = &r->report;
    r->look.verified_ms = timers_now_ms(r->env->timers);
    for (size_t i = 0; i < report->n && v.n < FO_SERVERS_MAX; i++) server_of(&report->server[i], &v.v[v.n++]);
    log_event(r->env->log, news ? LOG_INFO : LOG_DEBUG, "records.verified",
              LOG_KVS(kv_u64("servers", report->n), kv_u64("pass", report->count[VERIFY_PASS]),
                      kv_u64("silent", report->count[VERIFY_SILENT]), kv_cstr("words", report->words)));
    records_verified_fn *done = op->verified_done;
    void *whose = op->owner;
    free(op);
    done(whose, &v);
}

struct records_op *records_verify(struct records *r, records_verified_fn *done, void *owner)
{
    const struct cluster_conf *c = cluster(r);
    struct records_op *op = op_create(r, owner);
    struct verify_identity ids[VERIFY_IDENTITIES_MAX];
    struct verify_wanted w = { .identity = ids, .limit_ms = limit_ms(r), .epoch = r->look.token.epoch };
    op->verified_done = done;
    CONF_EACH(struct identity_conf, it, c->identities)
    {
        struct verify_identity *id = &ids[w.n_identities++];
        *id = (struct verify_identity){ .ip = it->ip };
        enum err err = dns_name_parse(slice_of(it->helo), &id->helo);
        ASSERT(!err); /* checked with the configuration, like the next two */
    }
    enum err err = dns_name_parse(slice_of(c->dns.zone), &w.zone);
    if (!err) err = dns_name_parse(slice_of(c->dns.mail_domain), &w.mail_domain);
    ASSERT(!err);
    op->verify_op = verify_start(r->conf.resolver, &w, verify_done, op);
    return op;
}

enum verify_verdict records_judge(const struct verify_server *s, const struct fo_token *should)
{
    if (s->verdict == VERIFY_SILENT || s->verdict == VERIFY_NOT_AUTHORITATIVE) return s->verdict;
    if (s->no_policy) return VERIFY_WRONG;
    if (s->epoch < should->epoch) return VERIFY_OLD;
    return s->pass == should->spf_set ? VERIFY_PASS : VERIFY_WRONG;
}

/* ---- life ---- */

void records_cancel(struct records_op **slot)
{
    struct records_op *op = *slot;
    *slot = NULL;
    if (!op) return;
    resolver_cancel(&op->egress_op);
    resolver_cancel(&op->spf_op);
    if (op->publish_op) publish_cancel(&op->publish_op);
    if (op->verify_op) verify_cancel(&op->verify_op);
    free(op);
}

struct records *records_create(const struct env *env, const struct records_conf *conf)
{
    struct records *r = xzalloc(sizeof *r);
    *r = (struct records){ .env = env, .conf = *conf };
    r->look.publish_word = "";
    r->look.token.identity = STORE_NONE;
    enum err err = dns_name_join(SLICE("_spf"), slice_of(cluster(r)->dns.zone), &r->spf_name);
    if (!err) err = dns_name_join(SLICE("_egress"), slice_of(cluster(r)->dns.zone), &r->egress_name);
    ASSERT(!err); /* the zone was checked, and is short enough for eight characters more */
    return r;
}

void records_destroy(struct records *r)
{
    free(r);
}

void records_look(const struct records *r, struct records_look *out)
{
    *out = r->look;
    out->publish_detail = r->publish_detail;
    out->report = r->look.report ? &r->report : NULL;
}
