#include "proto/replies/classify.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/replies/rules.h"

enum {
    F_BANNER,
    F_HELO,
    F_MAIL,
    F_RCPT,
    F_DATA,
    F_4XX,
    F_5XX,
    F_OWN_IP,       /* our address, in its usual form or reversed */
    F_OWN_NET,      /* a network around it: "192.0.2.0", "192.0.2.0/24" */
    F_OTHER_IP,     /* somebody else's public address, and ours is nowhere */
    F_DNSBL_ANSWER, /* 127.0.0.x */
    F_LIST_HOST,    /* a host name with a label that lists have: rbl, dnsbl, bl… */
    F_WATCHED_ZONE, /* a list the cluster itself asks */
    F_ADDRESS,      /* <somebody@somewhere> */
    F_KNOWN_PROVIDER,
    FACTS_BUILTIN
};

static const char *const fact_names[] = {
    [F_BANNER] = "banner",
    [F_HELO] = "helo",
    [F_MAIL] = "mail",
    [F_RCPT] = "rcpt",
    [F_DATA] = "data",
    [F_4XX] = "4xx",
    [F_5XX] = "5xx",
    [F_OWN_IP] = "own-ip",
    [F_OWN_NET] = "own-net",
    [F_OTHER_IP] = "other-ip",
    [F_DNSBL_ANSWER] = "dnsbl-answer",
    [F_LIST_HOST] = "list-host",
    [F_WATCHED_ZONE] = "watched-zone",
    [F_ADDRESS] = "address",
    [F_KNOWN_PROVIDER] = "known-provider",
};
_Static_assert(ARRAY_LEN(fact_names) == FACTS_BUILTIN, "one name per fact");

enum { ZONES_MAX = 64, TEXT_BYTES_MAX = REFUSAL_TEXT_READ_MAX };

struct classifier {
    struct rules rules;
    struct arena arena;
    struct slice zones[ZONES_MAX];
    size_t n_zones;
};

/* ---- addresses and host names in the text ---- */

struct scan {
    const struct classifier *c;
    const struct classify_input *in;
    struct facts *facts;
    bool other_ip;
};

static bool addr_same_net(const struct addr *own, const struct addr *a, struct slice behind)
{
    uint64_t bits;
    struct prefix p = { .base = *a };
    size_t n = 0;
    if (own->family != ADDR_V4 || a->family != ADDR_V4) return false;
    while (n < 3 && n + 1 < behind.n && ascii_is_digit(behind.p[n + 1])) n++;
    if (behind.n && behind.p[0] == '/' && n && slice_u64(slice_sub(behind, 1, n), 31, &bits) == ERR_OK) {
        p.bits = (uint8_t)bits;
        return bits >= 8 && prefix_has(&p, own);
    }
    return a->ip[3] == 0 && memcmp(a->ip, own->ip, 3) == 0;
}

static bool addr_is_reverse(const struct addr *own, const struct addr *a)
{
    if (own->family != ADDR_V4 || a->family != ADDR_V4) return false;
    for (size_t i = 0; i < 4; i++)
        if (own->ip[i] != a->ip[3 - i]) return false;
    return true;
}

static void see_addr(struct scan *s, const struct addr *a, struct slice behind)
{
    const struct addr *own = &s->in->own;
    if (a->family == ADDR_V4 && a->ip[0] == 127)
        facts_set(s->facts, F_DNSBL_ANSWER);
    else if (own->family == ADDR_NONE || addr_eq_ip(own, a) || addr_is_reverse(own, a))
        facts_set(s->facts, F_OWN_IP);
    else if (addr_same_net(own, a, behind))
        facts_set(s->facts, F_OWN_NET);
    else if (!addr_is_private(a))
        s->other_ip = true;
}

static bool is_list_label(struct slice label)
{
    static const struct slice labels[] = {
        SLICE_INIT("rbl"),       SLICE_INIT("dnsbl"),      SLICE_INIT("bl"),         SLICE_INIT("drbl"),
        SLICE_INIT("dnsrbl"),    SLICE_INIT("blacklist"),  SLICE_INIT("blacklists"), SLICE_INIT("blocklist"),
        SLICE_INIT("blackhole"), SLICE_INIT("blackholes"), SLICE_INIT("ipbl"),       SLICE_INIT("rbldns"),
        SLICE_INIT("spamlist"),  SLICE_INIT("badips"),
    };
    while (label.n && (ascii_is_digit(label.p[label.n - 1]) || label.p[label.n - 1] == '-')) label.n--;
    for (size_t i = 0; i < ARRAY_LEN(labels); i++)
        if (slice_eq(label, labels[i])) return true;
    return slice_ends(label, SLICE("-bl")) || slice_ends(label, SLICE("-rbl")) ||
           slice_ends(label, SLICE("-dnsbl"));
}

static void see_host(struct scan *s, struct slice host)
{
    while (host.n && host.p[host.n - 1] == '.') host.n--;
    for (size_t i = 0; i < s->c->n_zones; i++) {
        struct slice zone = s->c->zones[i];
        if (slice_ends(host, zone) && (host.n == zone.n || host.p[host.n - zone.n - 1] == '.'))
            facts_set(s->facts, F_WATCHED_ZONE);
    }
    if (slice_find(host, '.') == host.n) return;
    for (struct slice label; slice_cut(&host, '.', &label);)
        if (is_list_label(label)) facts_set(s->facts, F_LIST_HOST);
}

/* "[ipv6:2001:db8::1]:25", "192.0.2.1.", "ip=192.0.2.1": what is around an address is taken off. */
static bool see_token(struct scan *s, struct slice token, struct slice behind)
{
    struct addr a;
    if (slice_istarts(token, SLICE("ipv6:"))) token = slice_skip(token, 5);
    while (token.n &&
           (token.p[token.n - 1] == '.' || token.p[token.n - 1] == ':' || token.p[token.n - 1] == '-'))
        token.n--;
    if (addr_parse(token, &a) == ERR_OK) {
        see_addr(s, &a, behind);
        return true;
    }
    struct slice host = token;
    size_t colon = slice_find(token, ':');
    if (colon < token.n) { /* a port behind it, or a scheme before it */
        host = slice_sub(token, 0, colon);
        if (addr_parse(host, &a) == ERR_OK) {
            see_addr(s, &a, behind);
            return true;
        }
    }
    see_host(s, host);
    return false;
}

static bool in_token(char c)
{
    return ascii_is_alnum(c) || c == '.' || c == ':' || c == '-';
}

/* An address may be glued to words by dots and hyphens ("2.0.0.127.zen.example"); its reversed form is four numbers in
 * front of a zone. */
static void see_reversed(struct scan *s, struct slice token)
{
    size_t dots = 0, at = 0;
    while (at < token.n && dots < 4 && (ascii_is_digit(token.p[at]) || token.p[at] == '.'))
        dots += token.p[at++] == '.';
    struct addr a;
    if (dots == 4 && at < token.n && addr_parse(slice_sub(token, 0, at - 1), &a) == ERR_OK)
        see_addr(s, &a, SLICE(""));
}

static void scan_text(struct scan *s, struct slice text)
{
    for (size_t at = 0; at < text.n;) {
        size_t from = at;
        while (at < text.n && in_token(text.p[at])) at++;
        struct slice token = slice_sub(text, from, at - from);
        if (token.n > 2 && !see_token(s, token, slice_skip(text, at))) see_reversed(s, token);
        if (at < text.n && text.p[at] == '<') {
            struct slice rest = slice_sub(text, at + 1, 320);
            size_t close = slice_find(rest, '>');
            if (close < rest.n && slice_find(slice_sub(rest, 0, close), '@') < close)
                facts_set(s->facts, F_ADDRESS);
        }
        if (at == from) at++;
    }
    if (s->other_ip && !facts_has(s->facts, F_OWN_IP)) facts_set(s->facts, F_OTHER_IP);
}

/* ---- codes, stage, provider ---- */

static struct enhanced find_enhanced(struct slice text)
{
    struct slice line;
    while (refusal_next_line(&text, &line)) {
        struct slice word, rest = line;
        for (int words = 0; words < 6 && (word = slice_word(&rest)).n; words++) {
            struct enhanced e = refusal_enhanced(word);
            if (e.class) return e;
        }
    }
    return (struct enhanced){ 0 };
}

static void set_codes(const struct classifier *c, struct slice text, struct facts *facts)
{
    uint64_t code = 0;
    if (slice_u64(slice_sub(text, 0, 3), 599, &code)) code = 0;
    struct enhanced e = find_enhanced(text);
    if (code / 100 == 4) facts_set(facts, F_4XX);
    if (code / 100 == 5) facts_set(facts, F_5XX);
    for (unsigned i = FACTS_BUILTIN; i < c->rules.n_facts; i++) {
        const struct rule_fact *f = &c->rules.facts[i];
        if (f->kind == FACT_CODE && f->code == code) facts_set(facts, i);
        if (f->kind == FACT_ENHANCED && e.class && (!f->enhanced.class || f->enhanced.class == e.class) &&
            f->enhanced.subject == e.subject && f->enhanced.detail == e.detail)
            facts_set(facts, i);
    }
}

/* The provider's fact, or -1. People's words have '-' for their blanks. */
static int find_provider(const struct classifier *c, struct slice provider)
{
    char text[256];
    size_t n = MIN(provider.n, sizeof text - 2);
    text[0] = '.';
    for (size_t i = 0; i < n; i++) text[i + 1] = provider.p[i] == ' ' ? '-' : ascii_lower(provider.p[i]);
    struct slice dotted = { text, n + 1 };
    if (n && text[n] == '.') dotted.n--;
    for (size_t i = 0; i < c->rules.n_providers; i++) {
        struct slice word = c->rules.providers[i].word;
        if (word.p[0] == '.' ? slice_ends(dotted, word) : slice_eq(slice_skip(dotted, 1), word))
            return c->rules.providers[i].fact;
    }
    return -1;
}

static void set_stage(const struct classify_input *in, struct facts *facts)
{
    static const int of[RELAY_STAGES] = {
        [RELAY_ROUTE] = -1,    [RELAY_CONNECT] = -1,  [RELAY_TLS] = -1,      [RELAY_BANNER] = F_BANNER,
        [RELAY_HELO] = F_HELO, [RELAY_MAIL] = F_MAIL, [RELAY_RCPT] = F_RCPT, [RELAY_DATA] = F_DATA
    };
    if (in->stage_known && in->stage < RELAY_STAGES && of[in->stage] >= 0)
        facts_set(facts, (unsigned)of[in->stage]);
}

/* ---- the whole ---- */

static void find_facts(const struct classifier *c, const struct classify_input *in, struct facts *facts,
                       int *provider)
{
    struct slice text = slice_sub(in->text, 0, TEXT_BYTES_MAX), rest = text, line;
    struct buf lower, normal;
    buf_init(&lower, TEXT_BYTES_MAX + 1);
    buf_init(&normal, TEXT_BYTES_MAX + 1);
    while (refusal_next_line(&rest, &line)) {
        for (size_t i = 0; i < line.n; i++) {
            char l = ascii_lower(line.p[i]);
            buf_put(&lower, (struct slice){ &l, 1 });
        }
        if (rest.n) buf_put(&lower, SLICE(" "));
    }
    words_normalise(buf_slice(&lower), &normal);
    words_find(&c->rules.words, buf_slice(&normal), facts);
    struct scan s = { .c = c, .in = in, .facts = facts };
    scan_text(&s, buf_slice(&lower));
    set_codes(c, text, facts);
    set_stage(in, facts);
    *provider = find_provider(c, in->provider);
    if (*provider >= 0) {
        facts_set(facts, (unsigned)*provider);
        facts_set(facts, F_KNOWN_PROVIDER);
    }
    buf_deinit(&lower);
    buf_deinit(&normal);
}

static struct slice provider_name(const struct classifier *c, int fact, struct slice given)
{
    return fact < 0 ? given : slice_skip(c->rules.facts[fact].name, strlen("provider:"));
}

void classify(const struct classifier *c, const struct classify_input *in, struct classify_output *out)
{
    struct facts facts = { 0 };
    int provider;
    find_facts(c, in, &facts, &provider);
    const struct rule *r = rules_match(&c->rules, &facts);
    *out = (struct classify_output){ .scope = r ? r->scope : SCOPE_NONE,
                                     .effect = r ? r->effect : EFFECT_NONE,
                                     .rule = r ? r->name : SLICE("none"),
                                     .provider = provider_name(c, provider, in->provider) };
}

struct slice classify_provider(const struct classifier *c, struct slice mx)
{
    int fact = find_provider(c, mx);
    if (fact >= 0) return provider_name(c, fact, mx);
    while (mx.n && mx.p[mx.n - 1] == '.') mx.n--;
    size_t dots = 0, at = mx.n;
    while (at && dots < 2) dots += mx.p[--at] == '.';
    return dots < 2 ? mx : slice_skip(mx, at + 1);
}

void classify_explain(const struct classifier *c, const struct classify_input *in, struct buf *out)
{
    struct facts facts = { 0 };
    int provider;
    const char *before = "";
    find_facts(c, in, &facts, &provider);
    for (unsigned i = 0; i < c->rules.n_facts; i++) {
        if (!facts_has(&facts, i)) continue;
        if (buf_printf(out, "%s%.*s", before, SLICE_ARG(c->rules.facts[i].name))) return;
        before = " ";
    }
}

/* What a scope says, to be read by an administrator. */
static const char *const scope_meanings[] = {
    [SCOPE_NONE] = "nothing about us that a rule knows",
    [SCOPE_IP_PUBLIC] = "our address is on a public blocklist",
    [SCOPE_IP_PROVIDER] = "our address is on this provider's own list",
    [SCOPE_IP_LOCAL] = "this site alone does not take our address",
    [SCOPE_IP_RANGE] = "the network around our address is not welcome",
    [SCOPE_IP_COLD] = "our address is new or unknown to them",
    [SCOPE_HELO] = "the name we greet with is wrong or not welcome",
    [SCOPE_PTR] = "the reverse name of our address is missing or does not fit",
    [SCOPE_SPF] = "SPF does not let our address send for this domain",
    [SCOPE_DKIM_DMARC] = "signature or alignment fails",
    [SCOPE_DOMAIN] = "the sender's domain is refused, whoever sends it",
    [SCOPE_URL] = "a link in the message is refused",
    [SCOPE_CONTENT] = "the message itself is refused",
    [SCOPE_RCPT] = "the recipient",
    [SCOPE_RATE] = "too much, too fast",
    [SCOPE_GREYLIST] = "greylisting: the same again, later",
    [SCOPE_GEO] = "our country or provider is not welcome",
    [SCOPE_RECEIVER_FAULT] = "the receiver's own trouble",
    [SCOPE_IP_OTHER] = "an address that is not ours",
};
_Static_assert(ARRAY_LEN(scope_meanings) == RELAY_SCOPES, "one meaning per scope");

/* Of each clause the fact that made it hold. */
static void put_deciding(const struct classifier *c, const struct rule *r, const struct facts *facts,
                         struct buf *out)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct rule_clause *cl = &r->clauses[i];
        size_t k = 0;
        while (k + 1 < cl->n && facts_has(facts, cl->any[k].fact) == cl->any[k].negated) k++;
        struct slice name = slice_sub(c->rules.facts[cl->any[k].fact].name, 0, 80);
        buf_putf(out, "%s%s%.*s", i ? ", " : "", cl->any[k].negated ? "not " : "", SLICE_ARG(name));
    }
}

void classify_reason(const struct classifier *c, const struct classify_input *in, struct buf *out)
{
    struct facts facts = { 0 };
    int provider;
    find_facts(c, in, &facts, &provider);
    const struct rule *r = rules_match(&c->rules, &facts);
    buf_putf(out, "%s: ", scope_meanings[r ? r->scope : SCOPE_NONE]);
    if (r) {
        put_deciding(c, r, &facts, out);
        buf_put(out, SLICE("; found: "));
    } else {
        buf_put(out, SLICE("found only: "));
    }
    classify_explain(c, in, out);
}

/* ---- making one ---- */

enum err classifier_create(const struct classify_conf *conf, struct classifier **out, struct buf *why)
{
    struct classifier *c = xzalloc(sizeof *c);
    struct slice text = conf->rules.n ? conf->rules : slice_of(classify_builtin_rules);
    enum err err = rules_parse(text, fact_names, FACTS_BUILTIN, &c->rules, why);
    if (!err && conf->n_zones > ZONES_MAX) err = ERR_LIMIT;
    for (size_t i = 0; !err && i < conf->n_zones; i++) {
        struct slice zone = arena_dup(&c->arena, conf->zones[i]);
        for (size_t k = 0; k < zone.n; k++) ((char *)zone.p)[k] = ascii_lower(zone.p[k]);
        if (zone.n) c->zones[c->n_zones++] = zone;
    }
    if (err) {
        classifier_destroy(c);
        return err;
    }
    *out = c;
    return ERR_OK;
}

void classifier_destroy(struct classifier *c)
{
    if (!c) return;
    rules_deinit(&c->rules);
    arena_deinit(&c->arena);
    free(c);
}

/* Every clause of `early` is also a demand of `late`, so `late` can only match where `early` did. */
static bool clause_within(const struct rule_clause *narrow, const struct rule_clause *wide)
{
    for (size_t i = 0; i < narrow->n; i++) {
        size_t k = 0;
        while (k < wide->n &&
               (narrow->any[i].fact != wide->any[k].fact || narrow->any[i].negated != wide->any[k].negated))
            k++;
        if (k == wide->n) return false;
    }
    return true;
}

static bool shadows(const struct rule *early, const struct rule *late)
{
    for (size_t i = 0; i < early->n; i++) {
        size_t k = 0;
        while (k < late->n && !clause_within(&late->clauses[k], &early->clauses[i])) k++;
        if (k == late->n) return false;
    }
    return true;
}

void classifier_lint(const struct classifier *c, struct buf *out)
{
    const struct rules *r = &c->rules;
    for (size_t i = FACTS_BUILTIN; i < r->n_facts; i++)
        if (r->facts[i].kind == FACT_GROUP && !r->facts[i].used &&
            buf_printf(out, "line %u: no rule uses the group %.*s\n", r->facts[i].line,
                       SLICE_ARG(r->facts[i].name)))
            return;
    for (size_t late = 0; late < r->n_rules; late++)
        for (size_t early = 0; early < late; early++)
            if (shadows(&r->rules[early], &r->rules[late]) &&
                buf_printf(out, "line %u: rule %.*s can never match, %.*s comes first\n", r->rules[late].line,
                           SLICE_ARG(r->rules[late].name), SLICE_ARG(r->rules[early].name)))
                return;
}
