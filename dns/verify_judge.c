#include <stdio.h>

#include "dns/egress_record.h"
#include "dns/verify_probe.h"

#define VERIFY_ROW(name, word, text) { word, text },
static const char *const words[][2] = { VERIFY_MAP(VERIFY_ROW) };

const char *verify_verdict_name(enum verify_verdict v)
{
    ASSERT(v < ARRAY_LEN(words));
    return words[v][0];
}

/* --- One server --- */

static bool is_silence(const struct dns_answer *a)
{
    return a->result == DNS_FAIL && a->why != DNS_WHY_REFUSED && a->why != DNS_WHY_SERVFAIL &&
           a->why != DNS_WHY_OTHER;
}

/* A server that answers, but not for this zone: REFUSED, SERVFAIL (an expired copy), or without AA. */
static bool is_lame(const struct dns_answer *a)
{
    return a->result == DNS_FAIL || !a->aa;
}

static bool is_exactly(const struct dns_answer *a, struct slice text)
{
    return a->result == DNS_ANSWER && a->n == 1 && slice_eq(a->records[0].text, text);
}

static void take_marker(const struct verify_wanted *w, const struct dns_answer *a, struct verify_server *out,
                        bool *old)
{
    struct egress_record now = { 0 }, want = { 0 };
    *old = a->n == 0; /* it has not heard of the first publication yet */
    if (a->n != 1 || egress_record_parse(a->records[0].text, &now)) return;
    out->epoch = now.epoch;
    *old = now.epoch < w->epoch;
    if (w->egress.n && !egress_record_parse(w->egress, &want))
        *old = now.epoch < want.epoch || (now.epoch == want.epoch && now.serial < want.serial);
}

static void take_policy(const struct dns_answer *a, struct verify_server *out)
{
    size_t policies = 0;
    for (size_t i = 0; i < a->n; i++) policies += spf_record_is(a->records[i].text);
    out->no_policy = policies != 1;
    if (a->n) out->spf_ttl_s = a->ttl_s;
}

/* The first identity that does not pass; n when all do. */
static size_t first_failure(const struct verify_wanted *w, const struct verify_seen *seen,
                            struct verify_server *out)
{
    size_t first = w->n_identities;
    for (size_t i = w->n_identities; i-- > 0;) {
        if (seen->policy[i].result == SPF_PASS)
            out->pass |= BIT(i);
        else
            first = i;
    }
    return first;
}

#define say(out, ...) snprintf((out)->words, sizeof(out)->words, __VA_ARGS__)

static void say_failure(const struct verify_wanted *w, const struct verify_seen *seen, size_t i,
                        struct verify_server *out)
{
    char text[ADDR_TEXT_MAX];
    const struct spf_verdict *v = &seen->policy[i];
    say(out, "SPF says %s for %s: %.120s", spf_result_name(v->result), addr_format(&w->identity[i].ip, text),
        v->comment);
}

static enum verify_verdict judge_content(const struct verify_wanted *w, const struct verify_seen *seen,
                                         struct verify_server *out)
{
    bool old;
    take_marker(w, seen->egress, out, &old);
    take_policy(seen->spf, out);
    size_t failure = first_failure(w, seen, out);
    if (old) {
        say(out, seen->egress->n ? "still serves epoch %" PRIu64 : "does not have the marker yet",
            out->epoch);
        return VERIFY_OLD;
    }
    if (w->egress.n && !is_exactly(seen->egress, w->egress))
        say(out, "its marker is not the one that was published");
    else if (w->spf.n && !is_exactly(seen->spf, w->spf))
        say(out, seen->spf->n ? "its SPF record is not the one that was published" : "it has no SPF record");
    else if (out->no_policy)
        say(out, seen->spf->n ? "it has several records at the SPF name" : "it has no SPF record");
    else if (failure < w->n_identities)
        say_failure(w, seen, failure, out);
    else
        return VERIFY_PASS;
    return VERIFY_WRONG;
}

void verify_judge(const struct verify_wanted *w, const struct verify_seen *seen, struct verify_server *out)
{
    const struct dns_answer *worst = is_lame(seen->egress) ? seen->egress : seen->spf;
    out->words[0] = 0;
    if (seen->soa->result == DNS_ANSWER && seen->soa->n) out->serial = seen->soa->records[0].serial;
    if (is_silence(seen->egress) || is_silence(seen->spf)) {
        out->verdict = VERIFY_SILENT;
        say(out, "%s", dns_why_text(is_silence(seen->egress) ? seen->egress->why : seen->spf->why));
    } else if (is_lame(worst)) {
        out->verdict = VERIFY_NOT_AUTHORITATIVE;
        if (worst->result == DNS_FAIL)
            say(out, "answers %s: it does not serve the zone", dns_rcode_name(worst->rcode));
        else
            say(out, "answers without authority: it does not serve the zone itself");
    } else {
        out->verdict = judge_content(w, seen, out);
    }
}

/* --- All of them --- */

void verify_sum_up(const struct verify_wanted *w, struct verify_report *report)
{
    const struct verify_server *bad = NULL;
    char text[ADDR_TEXT_MAX];
    memset(report->count, 0, sizeof report->count);
    report->spf_ttl_max_s = 0;
    for (size_t i = 0; i < report->n; i++) {
        const struct verify_server *s = &report->server[i];
        report->count[s->verdict]++;
        report->spf_ttl_max_s = MAX(report->spf_ttl_max_s, s->spf_ttl_s);
        if (!bad && s->verdict != VERIFY_PASS) bad = s;
    }
    report->ok = report->n > 0 && !bad;
    if (report->n == 0 && !*report->words) say(report, "no name server of %.180s can be found", w->zone.text);
    if (report->ok)
        say(report, "verified at %zu of %zu name server addresses", report->n, report->n);
    else if (bad)
        say(report, "verified at %u of %zu name server addresses; %.80s (%s): %.100s",
            report->count[VERIFY_PASS], report->n, bad->name.text,
            bad->addr.family ? addr_format(&bad->addr, text) : "no address", bad->words);
}
