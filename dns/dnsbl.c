#include "dns/dnsbl.h"

#include <stdlib.h>

#include "base/env.h"
#include "base/timers.h"

/* --- Codes --- */

#define OCTETS(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

static uint32_t number_of(const struct addr *a)
{
    return OCTETS(a->ip[0], a->ip[1], a->ip[2], a->ip[3]);
}

static bool is_error_code(uint32_t code)
{
    return code >> 8 == OCTETS(0, 127, 255, 255);
}

/* "4" is 127.0.0.4, "127.0.1.4" itself. */
static enum err one_code(struct slice s, uint32_t *out)
{
    struct addr a;
    uint64_t n;
    if (slice_find(s, '.') == s.n) {
        if (slice_u64(s, 255, &n)) return ERR_MALFORMED;
        *out = OCTETS(127, 0, 0, n);
        return ERR_OK;
    }
    if (addr_parse(s, &a) || a.family != ADDR_V4) return ERR_MALFORMED;
    *out = number_of(&a);
    return ERR_OK;
}

static enum err prefix_code(struct slice s, struct dnsbl_code *out)
{
    struct prefix p;
    if (prefix_parse(s, &p) || p.base.family != ADDR_V4 || p.bits < 8) return ERR_MALFORMED;
    out->lo = number_of(&p.base);
    out->hi = out->lo | (p.bits == 32 ? 0 : UINT32_MAX >> p.bits);
    return ERR_OK;
}

static enum err bit_code(struct slice s, struct dnsbl_code *out)
{
    uint64_t bits;
    if (slice_u64(s, 255, &bits) || bits == 0) return ERR_MALFORMED;
    *out = (struct dnsbl_code){ OCTETS(127, 0, 0, 0), OCTETS(127, 0, 0, 255), (uint8_t)bits };
    return ERR_OK;
}

enum err dnsbl_codes_add(struct dnsbl_codes *c, struct slice term)
{
    struct dnsbl_code code = { 0 };
    struct slice hi = term, lo;
    enum err err;
    if (slice_starts(term, SLICE("&"))) {
        err = bit_code(slice_skip(term, 1), &code);
    } else if (slice_find(term, '/') != term.n) {
        err = prefix_code(term, &code);
    } else {
        slice_cut(&hi, '-', &lo);
        err = one_code(lo, &code.lo);
        code.hi = code.lo;
        if (!err && lo.n != term.n) err = one_code(hi, &code.hi);
    }
    if (err) return err;
    if (code.lo > code.hi || code.lo >> 24 != 127 || code.hi >> 24 != 127) return ERR_MALFORMED;
    if (code.hi >= OCTETS(127, 255, 255, 0)) return ERR_MALFORMED;
    if (c->n == DNSBL_CODES_MAX) return ERR_LIMIT;
    c->code[c->n++] = code;
    return ERR_OK;
}

enum err dnsbl_codes_parse(struct slice s, struct dnsbl_codes *out)
{
    struct dnsbl_codes codes = { 0 };
    struct slice part;
    s = slice_trim(s);
    if (slice_starts(s, SLICE("[")) && slice_ends(s, SLICE("]"))) s = slice_sub(s, 1, s.n - 2);
    while (slice_cut(&s, ',', &part)) {
        for (struct slice term = slice_word(&part); term.n; term = slice_word(&part)) {
            enum err err = dnsbl_codes_add(&codes, term);
            if (err) return err;
        }
    }
    *out = codes;
    return ERR_OK;
}

bool dnsbl_codes_has(const struct dnsbl_codes *c, const struct addr *code)
{
    if (code->family != ADDR_V4) return false;
    uint32_t n = number_of(code);
    for (size_t i = 0; i < c->n; i++) {
        const struct dnsbl_code *k = &c->code[i];
        if (n >= k->lo && n <= k->hi && (!k->bit || (n & k->bit))) return true;
    }
    return false;
}

static void put_code(uint32_t code, struct buf *out)
{
    if (code >> 8 == OCTETS(0, 127, 0, 0))
        buf_putf(out, "%u", code & 255);
    else
        buf_putf(out, "%u.%u.%u.%u", code >> 24, code >> 16 & 255, code >> 8 & 255, code & 255);
}

void dnsbl_codes_format(const struct dnsbl_codes *c, struct buf *out)
{
    for (size_t i = 0; i < c->n; i++) {
        if (i) buf_put(out, SLICE(","));
        if (c->code[i].bit) {
            buf_putf(out, "&%u", c->code[i].bit);
            continue;
        }
        put_code(c->code[i].lo, out);
        if (c->code[i].hi == c->code[i].lo) continue;
        buf_put(out, SLICE("-"));
        put_code(c->code[i].hi, out);
    }
}

/* --- Words --- */

#define WHY_ROW(name, word, text) { word, text },
static const char *const whys[][2] = { DNSBL_WHY_MAP(WHY_ROW) };

const char *dnsbl_why_name(enum dnsbl_why w)
{
    ASSERT(w < ARRAY_LEN(whys));
    return whys[w][0];
}

const char *dnsbl_why_text(enum dnsbl_why w)
{
    ASSERT(w < ARRAY_LEN(whys));
    return whys[w][1];
}

const char *dnsbl_state_name(enum dnsbl_state s)
{
    static const char *const names[] = { "clean", "listed", "unknown" };
    ASSERT(s < ARRAY_LEN(names));
    return names[s];
}

const char *dnsbl_health_name(enum dnsbl_health h)
{
    static const char *const names[] = { "ok", "suspect", "blind" };
    ASSERT(h < ARRAY_LEN(names));
    return names[h];
}

/* --- One answer --- */

enum err dnsbl_question(const struct addr *a, struct slice zone, struct dns_name *out)
{
    struct buf b;
    buf_init(&b, DNS_NAME_MAX);
    addr_reversed(a, &b);
    enum err err = dns_name_join(buf_slice(&b), zone, out);
    buf_deinit(&b);
    return err;
}

static enum dnsbl_why why_failed(enum dns_why w)
{
    switch (w) {
    case DNS_WHY_SERVFAIL: return DNSBL_WHY_SERVFAIL;
    case DNS_WHY_TIMEOUT: return DNSBL_WHY_TIMEOUT;
    case DNS_WHY_REFUSED: return DNSBL_WHY_REFUSED;
    default: return DNSBL_WHY_FAIL;
    }
}

static enum dnsbl_why why_error(uint32_t code)
{
    switch (code & 255) {
    case 252: return DNSBL_WHY_TYPING_ERROR;
    case 254: return DNSBL_WHY_PUBLIC_RESOLVER;
    case 255: return DNSBL_WHY_QUOTA;
    default: return DNSBL_WHY_ERROR_CODE;
    }
}

/* The zone's own table goes before every general rule: there are zones whose real codes look odd. */
static enum dnsbl_why judge_code(const struct dnsbl_zone *z, const struct addr *code)
{
    uint32_t n = number_of(code);
    if (code->family != ADDR_V4 || n >> 24 != 127) return DNSBL_WHY_OUTSIDE_127;
    if (is_error_code(n)) return why_error(n);
    if (dnsbl_codes_has(&z->listed, code)) return DNSBL_WHY_CODE;
    if (dnsbl_codes_has(&z->policy, code)) return DNSBL_WHY_POLICY;
    return DNSBL_WHY_UNKNOWN_CODE;
}

static int rank(enum dnsbl_why w)
{
    switch (w) {
    case DNSBL_WHY_NOT_LISTED: return 0;
    case DNSBL_WHY_POLICY: return 1;
    case DNSBL_WHY_UNKNOWN_CODE: return 2;
    case DNSBL_WHY_CODE: return 3;
    default: return 4; /* errors and rewritten answers: nothing in this answer can be trusted */
    }
}

static enum dnsbl_state state_of(enum dnsbl_why w)
{
    if (w == DNSBL_WHY_CODE) return DNSBL_LISTED;
    return w == DNSBL_WHY_NOT_LISTED || w == DNSBL_WHY_POLICY ? DNSBL_CLEAN : DNSBL_UNKNOWN;
}

void dnsbl_classify(const struct dnsbl_zone *z, const struct dns_answer *a, struct dnsbl_verdict *out)
{
    struct dnsbl_verdict v = { .why = DNSBL_WHY_NOT_LISTED, .ttl_s = a->ttl_s };
    if (a->result == DNS_FAIL) v.why = why_failed(a->why);
    for (size_t i = 0; i < a->n; i++) {
        enum dnsbl_why why = judge_code(z, &a->records[i].addr);
        if (why == DNSBL_WHY_POLICY) v.policy = true;
        if (rank(why) <= rank(v.why)) continue;
        v.why = why;
        v.code = a->records[i].addr;
    }
    v.state = state_of(v.why);
    *out = v;
}

/* --- Health --- */

enum dnsbl_health dnsbl_health_judge(const struct dnsbl_verdict *listed, const struct dnsbl_verdict *clean,
                                     const char **why)
{
    bool clean_failed = clean->state == DNSBL_UNKNOWN && clean->why != DNSBL_WHY_UNKNOWN_CODE;
    if (clean->why == DNSBL_WHY_OUTSIDE_127 || listed->why == DNSBL_WHY_OUTSIDE_127) {
        *why = "a test point is answered with an address outside 127/8: a parked domain, or a resolver that "
               "rewrites";
        return DNSBL_SUSPECT;
    }
    if (!clean_failed && (clean->state != DNSBL_CLEAN || clean->policy)) {
        *why = "127.0.0.1 is listed: the zone lists the world";
        return DNSBL_SUSPECT;
    }
    if (clean_failed || (listed->state == DNSBL_UNKNOWN && listed->why != DNSBL_WHY_UNKNOWN_CODE)) {
        *why = dnsbl_why_text(clean_failed ? clean->why : listed->why);
        return DNSBL_BLIND;
    }
    if (listed->why == DNSBL_WHY_NOT_LISTED) {
        *why = "127.0.0.2 is not listed: the zone is empty, or not answered for us";
        return DNSBL_BLIND;
    }
    *why = "the test points answer as they should";
    return DNSBL_OK;
}

/* --- Asking --- */

struct dnsbl_op {
    struct resolver *r;
    struct dnsbl_zone zone;
    struct dns_name question;
    struct dns_ask how;
    bool want_text;
    struct dns_op *ask;
    struct timer timer; /* answers that need no question */
    struct dnsbl_verdict v;
    dnsbl_done_fn *done;
    void *owner;
};

void dnsbl_cancel(struct dnsbl_op **op_)
{
    struct dnsbl_op *op = *op_;
    *op_ = NULL;
    if (!op) return;
    resolver_cancel(&op->ask);
    timer_clear(resolver_env(op->r)->timers, &op->timer);
    free(op);
}

static void finish(struct dnsbl_op *op)
{
    struct dnsbl_verdict v = op->v;
    dnsbl_done_fn *done = op->done;
    void *owner = op->owner;
    free(op);
    done(owner, &v);
}

static void on_no_question(struct timer *t)
{
    finish(t->owner);
}

static void copy_text(struct slice s, char out[static DNSBL_TEXT_MAX + 1])
{
    size_t n = MIN(s.n, (size_t)DNSBL_TEXT_MAX);
    for (size_t i = 0; i < n; i++) out[i] = s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?';
    out[n] = 0;
}

static void on_text(void *owner, const struct dns_answer *a)
{
    struct dnsbl_op *op = owner;
    op->ask = NULL;
    if (a->result == DNS_ANSWER) copy_text(a->records[0].text, op->v.text);
    finish(op);
}

static void on_codes(void *owner, const struct dns_answer *a)
{
    struct dnsbl_op *op = owner;
    op->ask = NULL;
    dnsbl_classify(&op->zone, a, &op->v);
    if (op->v.state == DNSBL_LISTED && op->want_text)
        op->ask = resolver_ask(op->r, dns_name_slice(&op->question), DNS_TXT, &op->how, on_text, op);
    else
        finish(op);
}

struct dnsbl_op *dnsbl_ask(struct resolver *r, const struct dnsbl_zone *zone, const struct addr *a,
                           unsigned flags, uint32_t limit_ms, dnsbl_done_fn *done, void *owner)
{
    struct dnsbl_op *op = xzalloc(sizeof *op);
    op->r = r;
    op->zone = *zone;
    op->want_text = flags & DNSBL_WANT_TEXT;
    op->how = (struct dns_ask){ .flags = flags & DNSBL_FRESH ? DNS_NO_CACHE : 0, .limit_ms = limit_ms };
    op->done = done;
    op->owner = owner;
    op->v.state = DNSBL_UNKNOWN;
    op->v.why = DNSBL_WHY_FAIL;
    if (a->family == ADDR_V6 ? zone->no_v6 : zone->no_v4)
        op->v.why = DNSBL_WHY_FAMILY;
    else if (!dnsbl_question(a, dns_name_slice(&zone->name), &op->question))
        op->ask = resolver_ask(r, dns_name_slice(&op->question), DNS_A, &op->how, on_codes, op);
    if (!op->ask) timer_set_in(resolver_env(r)->timers, &op->timer, 0, on_no_question, op);
    return op;
}

/* --- Test points --- */

struct dnsbl_probe_op {
    struct dnsbl_op *listed, *clean;
    struct dnsbl_probe p;
    dnsbl_probe_fn *done;
    void *owner;
};

void dnsbl_probe_cancel(struct dnsbl_probe_op **op_)
{
    struct dnsbl_probe_op *op = *op_;
    *op_ = NULL;
    if (!op) return;
    dnsbl_cancel(&op->listed);
    dnsbl_cancel(&op->clean);
    free(op);
}

static void probe_step(struct dnsbl_probe_op *op)
{
    if (op->listed || op->clean) return;
    struct dnsbl_probe p = op->p;
    dnsbl_probe_fn *done = op->done;
    void *owner = op->owner;
    free(op);
    p.health = dnsbl_health_judge(&p.listed, &p.clean, &p.why);
    done(owner, &p);
}

static void on_listed_point(void *owner, const struct dnsbl_verdict *v)
{
    struct dnsbl_probe_op *op = owner;
    op->listed = NULL;
    op->p.listed = *v;
    probe_step(op);
}

static void on_clean_point(void *owner, const struct dnsbl_verdict *v)
{
    struct dnsbl_probe_op *op = owner;
    op->clean = NULL;
    op->p.clean = *v;
    probe_step(op);
}

/* Made by hand: base/addr would turn the mapped form into IPv4. */
static struct addr test_point(enum addr_family family, uint8_t last)
{
    struct addr a = { .family = family, .ip = { 127, 0, 0, last } };
    if (family == ADDR_V6) a = (struct addr){ .family = ADDR_V6, .ip = { [10] = 255, 255, 127, 0, 0, last } };
    return a;
}

struct dnsbl_probe_op *dnsbl_probe(struct resolver *r, const struct dnsbl_zone *zone, enum addr_family family,
                                   uint32_t limit_ms, dnsbl_probe_fn *done, void *owner)
{
    struct dnsbl_probe_op *op = xzalloc(sizeof *op);
    struct addr listed = test_point(family, 2), clean = test_point(family, 1);
    op->done = done;
    op->owner = owner;
    op->listed = dnsbl_ask(r, zone, &listed, DNSBL_FRESH, limit_ms, on_listed_point, op);
    op->clean = dnsbl_ask(r, zone, &clean, DNSBL_FRESH, limit_ms, on_clean_point, op);
    return op;
}
