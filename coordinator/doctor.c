#include "coordinator/doctor.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/redis_uv.h"
#include "base/rng.h"
#include "base/timers.h"
#include "base/tls_uv.h"
#include "coordinator/status.h"
#include "dns/preflight.h"
#include "proto/store_redis_uv.h"
#include "dns/update.h"

enum { LIMIT_MS = 15000, ASK_LIMIT_MS = 5000, CERTIFICATE_DAYS = 14 };

struct face { /* one identity */
    struct doctor *doctor;
    const struct identity_conf *conf;
    struct preflight_op *op;
};

struct test { /* one zone by one resolver */
    struct doctor *doctor;
    struct dnsbl_probe_op *op;
    uint8_t zone, resolver;
};

struct doctor {
    const struct parts *p;
    json_t *checks;
    size_t waiting;
    struct timer limit;
    struct face faces[STORE_IDENTITIES_MAX];
    size_t n_faces;
    struct test *tests;
    size_t n_tests;
    struct records_op *read, *verify;
    struct update_op *update;
    struct redis_op *redis[3]; /* ROLE, INFO persistence, INFO memory */
    struct dns_op *rewrite[POLICY_RESOLVERS_MAX];
    struct rewrite_of {
        struct doctor *doctor;
        uint8_t resolver;
    } rewrite_of[POLICY_RESOLVERS_MAX];
    struct records_texts marker;
    doctor_done_fn *done;
    void *owner;
};

static const struct cluster_conf *cluster(const struct doctor *d)
{
    return &d->p->conf->cluster;
}

enum mark { OK, WARN, BAD, UNKNOWN };

static void say(struct doctor *d, const char *check, const char *subject, enum mark mark, const char *what,
                const char *cure)
{
    static const char *const marks[] = { "ok", "warn", "bad", "unknown" };
    json_t *o = json_object();
    json_object_set_new(o, "check", json_string(check));
    json_object_set_new(o, "subject", status_text(subject));
    json_object_set_new(o, "mark", json_string(marks[mark]));
    json_object_set_new(o, "what", status_text(what));
    json_object_set_new(o, "cure", status_text(cure));
    json_array_append_new(d->checks, o);
}

/* ---- the end ---- */

void doctor_cancel(struct doctor **slot)
{
    struct doctor *d = *slot;
    *slot = NULL;
    if (!d) return;
    timer_clear(d->p->env->timers, &d->limit);
    for (size_t i = 0; i < d->n_faces; i++) preflight_cancel(&d->faces[i].op);
    for (size_t i = 0; i < d->n_tests; i++) dnsbl_probe_cancel(&d->tests[i].op);
    records_cancel(&d->read);
    records_cancel(&d->verify);
    if (d->update) update_cancel(&d->update);
    for (size_t i = 0; i < ARRAY_LEN(d->redis); i++) redis_cancel(&d->redis[i]);
    for (size_t i = 0; i < ARRAY_LEN(d->rewrite); i++) resolver_cancel(&d->rewrite[i]);
    free(d->tests);
    json_decref(d->checks);
    free(d);
}

static void finish(struct doctor *d)
{
    size_t i;
    json_t *o = json_object(), *check;
    bool good = true;
    json_array_foreach(d->checks, i, check)
        good = good && strcmp(json_string_value(json_object_get(check, "mark")), "ok") == 0;
    json_object_set_new(o, "ok", json_boolean(good));
    json_object_set(o, "checks", d->checks);
    doctor_done_fn *done = d->done;
    void *owner = d->owner;
    doctor_cancel(&d);
    done(owner, o);
}

static void one_done(struct doctor *d)
{
    ASSERT(d->waiting > 0);
    if (--d->waiting == 0) finish(d);
}

static void limit_over(struct timer *t)
{
    struct doctor *d = t->owner;
    say(d, "doctor", d->p->conf->name, UNKNOWN, "some checks did not end in time and are missing here",
        "run it again; look at the resolvers first");
    finish(d);
}

/* ---- faces ---- */

static void face_seen(void *owner, const struct preflight_report *r)
{
    static const enum mark marks[] = {
        [PREFLIGHT_OK] = OK, [PREFLIGHT_WARN] = WARN, [PREFLIGHT_BAD] = BAD, [PREFLIGHT_UNKNOWN] = UNKNOWN
    };
    struct face *f = owner;
    f->op = NULL;
    for (unsigned i = 0; i < PREFLIGHT_CHECKS; i++)
        say(f->doctor, preflight_check_name((enum preflight_check)i), f->conf->name,
            marks[r->finding[i].mark], r->finding[i].what, r->finding[i].cure);
    one_done(f->doctor);
}

/* After NAT: told by another edge, which named the address in its EHLO reply. */
static void say_source(struct doctor *d, const struct identity_conf *id)
{
    char what[400], ip[ADDR_TEXT_MAX];
    const char *by,
        *as = links_identity_seen_as(d->p->links, store_identity_index(cluster(d), slice_of(id->name)), &by);
    addr_format(&id->ip, ip);
    if (!*as) {
        snprintf(what, sizeof what, "no other edge could tell which address %s really sends from%s%.200s",
                 id->name, *by ? ": " : "", by);
        say(d, "source", id->name, UNKNOWN, what,
            "let the edges reach each other's SMTP port by their public addresses");
    } else if (strcmp(as, ip) == 0) {
        snprintf(what, sizeof what, "%.200s sees %s", by, as);
        say(d, "source", id->name, OK, what, "");
    } else {
        snprintf(what, sizeof what,
                 "%.200s sees %.60s, not %s: something on the way changes the source address", by, as, ip);
        say(d, "source", id->name, BAD, what, "correct the NAT in front of this edge, or the identity's ip");
    }
}

static void start_faces(struct doctor *d)
{
    CONF_EACH(struct identity_conf, it, cluster(d)->identities)
    {
        struct face *f = &d->faces[d->n_faces++];
        struct preflight_subject s = { .ip = it->ip,
                                       .helo = slice_of(it->helo),
                                       .mail_domain = slice_of(cluster(d)->dns.mail_domain) };
        *f = (struct face){ .doctor = d, .conf = it };
        f->op = preflight_start(d->p->resolver, &s, face_seen, f);
        say_source(d, it);
        d->waiting++;
    }
}

/* ---- blocklists ---- */

static void zone_tested(void *owner, const struct dnsbl_probe *p)
{
    struct test *t = owner;
    struct doctor *d = t->doctor;
    char addr[ADDR_TEXT_MAX], subject[200];
    t->op = NULL;
    snprintf(subject, sizeof subject, "%s by %s", d->p->conf->zones[t->zone].shown,
             addr_format(&monitor_conf(d->p->monitor)->addrs[t->resolver], addr));
    say(d, "blocklist", subject, p->health == DNSBL_OK ? OK : WARN, p->why,
        p->health == DNSBL_OK
            ? ""
            : "it does not count until its test points are right: ask its operator, register the "
              "resolver, or take it out of blocklists");
    one_done(d);
}

static void start_zones(struct doctor *d)
{
    const struct monitor_conf *m = monitor_conf(d->p->monitor);
    const struct identity_conf *ids = cluster(d)->identities.items;
    d->tests = xzalloc(d->p->conf->n_zones * m->n_resolvers * sizeof *d->tests + 1);
    for (uint8_t z = 0; z < d->p->conf->n_zones; z++)
        for (uint8_t r = 0; r < m->n_resolvers; r++) {
            struct test *t = &d->tests[d->n_tests++];
            *t = (struct test){ .doctor = d, .zone = z, .resolver = r };
            t->op = dnsbl_probe(m->resolvers[r], &d->p->conf->zones[z].zone,
                                (enum addr_family)ids[0].ip.family, ASK_LIMIT_MS, zone_tested, t);
            d->waiting++;
        }
    if (!d->p->conf->n_zones)
        say(d, "blocklist", cluster(d)->cluster, WARN, "no blocklist is watched",
            "name at least one below blocklists, or only receivers' refusals can show a listing");
}

/* ---- our records, and whether we may change them ---- */

static void update_seen(void *owner, enum update_result r, const char *detail)
{
    struct doctor *d = owner;
    char what[400], addr[ADDR_TEXT_MAX];
    bool good = r == UPDATE_APPLIED ||
                r == UPDATE_STALE; /* stale: signed and allowed, and just then changed */
    char word[32];
    d->update = NULL;
    snprintf(word, sizeof word, "%s", update_result_name(r));
    for (char *c = word; *c; c++)
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
    snprintf(what, sizeof what, "%s: %s%s%s (key %s)", word,
             good ? "the server takes our updates" : update_result_text(r), *detail ? ": " : "", detail,
             cluster(d)->dns.tsig_name);
    say(d, "tsig", addr_format(&cluster(d)->dns.server, addr), good ? OK : BAD, what,
        good ? ""
             : "compare name, algorithm and secret of the key with the server's, and see that its policy "
               "grants the key TXT "
               "at _spf and _egress; dns.tsig.secret_file is our side");
    one_done(d);
}

static void try_update(struct doctor *d)
{
    char egress[DNS_NAME_MAX + 1];
    snprintf(egress, sizeof egress, "_egress.%s", cluster(d)->dns.zone);
    struct update_set set = { .name = slice_of(egress),
                              .ttl_s = (uint32_t)(cluster(d)->dns.spf.egress_ttl_ms / 1000),
                              .text = { slice_of(d->marker.egress) },
                              .n = *d->marker.egress ? 1 : 0 };
    struct update u = { .zone = slice_of(cluster(d)->dns.zone),
                        .require = &set,
                        .n_require = 1,
                        .replace = &set,
                        .n_replace = 1 };
    struct update_conf conf = { .server = cluster(d)->dns.server,
                                .key = d->p->conf->has_tsig ? &d->p->conf->tsig : NULL,
                                .limit_ms = ASK_LIMIT_MS };
    d->update = update_send(d->p->env, &conf, &u, update_seen, d);
    d->waiting++;
}

static void marker_read(void *owner, bool reachable, const struct fo_token *token)
{
    struct doctor *d = owner;
    struct records_look look;
    d->read = NULL;
    records_look(d->p->records, &look);
    d->marker = look.texts;
    bool foreign = reachable && token->present && token->foreign;
    say(d, "records", "primary", !reachable || foreign ? BAD : OK,
        !reachable       ? "the DNS primary does not answer"
        : foreign        ? "_egress belongs to another cluster, or holds something else"
        : token->present ? look.texts.egress
                         : "nothing is published yet",
        !reachable ? "see that dns.server is reachable by UDP and TCP, port 53"
        : foreign  ? "one zone serves one cluster: remove the record by hand if that cluster is gone"
                   : "");
    if (reachable && !foreign && cluster(d)->dns.publisher == PUBLISHER_RFC2136) try_update(d);
    one_done(d);
}

static void records_verified(void *owner, const struct fo_verified *v)
{
    struct doctor *d = owner;
    struct records_look look;
    d->verify = NULL;
    records_look(d->p->records, &look);
    for (size_t i = 0; look.report && i < look.report->n; i++) {
        const struct verify_server *s = &look.report->server[i];
        enum verify_verdict x = records_judge(s, &look.token);
        char subject[320], what[400], addr[ADDR_TEXT_MAX];
        snprintf(subject, sizeof subject, "%s (%s)", s->name.text, addr_format(&s->addr, addr));
        snprintf(what, sizeof what, "%s%s%s", verify_verdict_name(x), *s->words ? ": " : "", s->words);
        say(d, "records", subject,
            x == VERIFY_PASS     ? OK
            : x == VERIFY_SILENT ? UNKNOWN
                                 : BAD,
            what,
            x == VERIFY_PASS  ? ""
            : x == VERIFY_OLD ? "the transfer lags: look at NOTIFY and at the server's log"
                              : "every server of the zone must serve what the primary has");
    }
    if (!look.report || !look.report->n)
        say(d, "records", cluster(d)->dns.zone, BAD,
            look.report ? look.report->words : "no name server was found",
            "the zone needs NS records at its parent and in itself");
    one_done(d);
}

static void start_records(struct doctor *d)
{
    d->read = records_read(d->p->records, marker_read, d);
    d->verify = records_verify(d->p->records, records_verified, d);
    d->waiting += 2;
}

/* ---- the resolvers: a name that does not exist must not exist ---- */

static void nonsense_answered(void *owner, const struct dns_answer *a)
{
    struct rewrite_of *x = owner;
    struct doctor *d = x->doctor;
    char subject[ADDR_TEXT_MAX], what[200];
    addr_format(&monitor_conf(d->p->monitor)->addrs[x->resolver], subject);
    d->rewrite[x->resolver] = NULL;
    if (a->result == DNS_NXDOMAIN)
        say(d, "resolver", subject, OK, "says of a name that does not exist that it does not", "");
    else if (a->result == DNS_FAIL) {
        snprintf(what, sizeof what, "does not answer: %s", dns_why_text(a->why));
        say(d, "resolver", subject, BAD, what, "every host needs a recursive resolver of its own that works");
    } else
        say(d, "resolver", subject, BAD, "makes up answers for names that do not exist",
            "use a recursive resolver of your own: no forwarding, no filtering, no rewriting");
    one_done(d);
}

static void start_resolvers(struct doctor *d)
{
    const struct monitor_conf *m = monitor_conf(d->p->monitor);
    struct slice top = slice_of(cluster(d)->dns.mail_domain);
    char digits[17], name[64];
    while (dns_name_labels(top) > 1) top = dns_name_parent(top);
    rng_hex(d->p->env->rng, digits, 16);
    snprintf(name, sizeof name, "gemel-%s.%.*s", digits, SLICE_ARG(slice_sub(top, 0, 32)));
    for (uint8_t r = 0; r < m->n_resolvers; r++) {
        struct dns_ask how = { .flags = DNS_NO_CACHE, .limit_ms = ASK_LIMIT_MS };
        d->rewrite_of[r] = (struct rewrite_of){ d, r };
        d->rewrite[r] = resolver_ask(m->resolvers[r], slice_of(name), DNS_A, &how, nonsense_answered,
                                     &d->rewrite_of[r]);
        d->waiting++;
    }
    if (m->n_resolvers == 1)
        say(d, "resolver", cluster(d)->cluster, OK,
            "one resolver is configured: a listing is confirmed by polls alone, not by two resolvers", "");
}

/* ---- Redis ---- */

static void redis_says(struct doctor *d, enum mark mark, const char *what, const char *cure)
{
    char addr[ADDR_TEXT_MAX];
    say(d, "redis", addr_format_port(&cluster(d)->redis.server, addr), mark, what, cure);
}

/* False: no answer of use; said already. */
static bool redis_usable(struct doctor *d, enum err err, const struct redisReply *reply, const char *asked)
{
    char what[240];
    if (!err) return true;
    bool denied = slice_starts(redis_reply_text(reply), SLICE("NOPERM"));
    snprintf(what, sizeof what, "%s: %s", asked, denied ? "our user may not ask" : err_text(err));
    redis_says(d, denied ? OK : UNKNOWN, what, denied ? "" : "see that the server is up and takes our user");
    return false;
}

static void role_answered(void *owner, enum err err, const struct redisReply *reply, const char *word)
{
    struct doctor *d = owner;
    d->redis[0] = NULL;
    if (redis_usable(d, err, reply, "ROLE")) {
        struct slice role = redis_reply_text(redis_reply_at(reply, 0));
        bool master = slice_eq(role, SLICE("master"));
        redis_says(d, master ? OK : BAD,
                   master ? "it is a master" : "it is a replica: nothing can be written",
                   master ? "" : "point redis.server at the master");
    }
    one_done(d);
}

static struct slice info_field(struct slice text, const char *name)
{
    struct slice line;
    while (slice_cut(&text, '\n', &line)) {
        struct slice key;
        line = slice_trim(line);
        if (slice_cut(&line, ':', &key) && slice_eq(key, slice_of(name))) return line;
    }
    return SLICE("");
}

static void persistence_answered(void *owner, enum err err, const struct redisReply *reply, const char *word)
{
    struct doctor *d = owner;
    d->redis[1] = NULL;
    if (redis_usable(d, err, reply, "INFO persistence")) {
        bool aof = slice_eq(info_field(redis_reply_text(reply), "aof_enabled"), SLICE("1"));
        redis_says(d, aof ? OK : WARN,
                   aof ? "writes go to an append-only file" : "nothing is written to disk as it happens",
                   aof ? ""
                       : "appendonly yes; appendfsync always for a single server, everysec with replicas");
    }
    one_done(d);
}

static void memory_answered(void *owner, enum err err, const struct redisReply *reply, const char *word)
{
    struct doctor *d = owner;
    d->redis[2] = NULL;
    if (redis_usable(d, err, reply, "INFO memory")) {
        struct slice text = redis_reply_text(reply), policy = info_field(text, "maxmemory_policy");
        bool keeps = slice_eq(policy, SLICE("noeviction"));
        bool bounded = !slice_eq(info_field(text, "maxmemory"), SLICE("0"));
        redis_says(d,
                   keeps     ? OK
                   : bounded ? BAD
                             : WARN,
                   keeps ? "it evicts nothing"
                         : "it may throw keys away when memory is short, an epoch or a lease too",
                   keeps ? "" : "maxmemory-policy noeviction");
    }
    one_done(d);
}

static void start_redis(struct doctor *d)
{
    uint32_t limit = (uint32_t)cluster(d)->failover.redis_timeout_ms;
    d->redis[0] = redis_call(d->p->redis, limit, role_answered, d, SLICE("ROLE"));
    d->redis[1] = redis_call(d->p->redis, limit, persistence_answered, d, SLICE("INFO"),
                             SLICE("persistence"));
    d->redis[2] = redis_call(d->p->redis, limit, memory_answered, d, SLICE("INFO"), SLICE("memory"));
    d->waiting += 3;
}

/* ---- nodes, certificate: known already ---- */

static void look_at_nodes(struct doctor *d)
{
    struct links_node n;
    char what[200];
    for (size_t i = 0; i < links_nodes(d->p->links); i++) {
        links_node(d->p->links, i, &n);
        say(d, "link", n.name, n.up ? OK : BAD, n.up ? "connected" : "not connected to this coordinator",
            n.up ? "" : "look at the node's log for link.dial_failed, and at certificates");
        if (!n.heard) continue;
        bool far = llabs(n.clock_off_ms) > LINKS_CLOCK_SLACK_MS;
        snprintf(what, sizeof what, "its clock differs by %+.3f s", (double)n.clock_off_ms / 1000);
        say(d, "clock", n.name, far ? WARN : OK, what, far ? "let NTP keep all hosts' clocks" : "");
        say(d, "configuration", n.name, n.configuration_differs ? BAD : OK,
            n.configuration_differs ? "it has another cluster configuration than this coordinator"
                                    : "the same as ours",
            n.configuration_differs ? "copy the cluster's file to every host and restart the programs" : "");
    }
    CONF_EACH(struct identity_conf, it, cluster(d)->identities)
    {
        uint8_t index = (uint8_t)(it - (const struct identity_conf *)cluster(d)->identities.items);
        const char *text;
        for (size_t k = 0; (text = links_identity_issue(d->p->links, index, k)); k++)
            say(d, "preflight", it->name, WARN, text, "");
    }
}

static void look_at_certificate(struct doctor *d)
{
    char what[120];
    int64_t left = tls_context_expires_s(d->p->tls) - (int64_t)(timers_wall_ms(d->p->env->timers) / 1000);
    snprintf(what, sizeof what,
             left < 0 ? "our certificate ended %lld days ago" : "our certificate is good for %lld days",
             (long long)llabs(left) / 86400);
    say(d, "certificate", d->p->conf->name,
        left < 0                                   ? BAD
        : left < CERTIFICATE_DAYS * INT64_C(86400) ? WARN
                                                   : OK,
        what, left < CERTIFICATE_DAYS * INT64_C(86400) ? "issue a new one, then send SIGHUP" : "");
}

struct doctor *doctor_start(const struct parts *p, doctor_done_fn *done, void *owner)
{
    struct doctor *d = xzalloc(sizeof *d);
    *d = (struct doctor){ .p = p, .checks = json_array(), .done = done, .owner = owner };
    timer_set_in(p->env->timers, &d->limit, LIMIT_MS, limit_over, d);
    look_at_nodes(d);
    look_at_certificate(d);
    start_faces(d);
    start_zones(d);
    start_records(d);
    start_resolvers(d);
    start_redis(d);
    return d;
}
