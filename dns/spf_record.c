#include "dns/spf_record.h"

#include <stdlib.h>

/* --- Writing --- */

static int by_address(const void *a, const void *b)
{
    return addr_cmp_ip(a, b);
}

static const char *why_not(const struct addr *a, unsigned allow)
{
    if (a->family == ADDR_NONE) return "an address is missing";
    if (addr_is_documentation(a) && !(allow & SPF_ALLOW_DOCUMENTATION))
        return "an address lies in a documentation range (RFC 5737, 3849)";
    if (addr_is_private(a) && !(allow & SPF_ALLOW_PRIVATE))
        return "an address is private, or not of the public Internet";
    return NULL;
}

static enum err put_terms(const struct addr *sorted, size_t n, char all, struct buf *out)
{
    enum err err = buf_append(out, SLICE("v=spf1"));
    for (size_t i = 0; i < n && !err; i++) {
        char text[ADDR_TEXT_MAX];
        if (i && addr_eq_ip(&sorted[i], &sorted[i - 1])) continue;
        err = buf_printf(out, " ip%c:%s", sorted[i].family == ADDR_V6 ? '6' : '4',
                         addr_format(&sorted[i], text));
    }
    return err ? err : buf_printf(out, " %call", all);
}

enum err spf_record_format(const struct spf_wanted *w, struct buf *out, const char **why)
{
    struct addr sorted[SPF_SENDERS_MAX];
    size_t before = buf_len(out);
    *why = NULL;
    if (w->n == 0) *why = "there is no address to authorise";
    if (w->all != '-' && w->all != '~' && w->all != '?') *why = "the record must end in -all, ~all or ?all";
    for (size_t i = 0; i < w->n && !*why; i++) *why = why_not(&w->senders[i], w->allow);
    if (*why) return ERR_REFUSED;
    *why = "the record would not fit one UDP packet";
    if (w->n > SPF_SENDERS_MAX) return ERR_LIMIT;
    memcpy(sorted, w->senders, w->n * sizeof sorted[0]);
    qsort(sorted, w->n, sizeof sorted[0], by_address);
    enum err err = put_terms(sorted, w->n, w->all, out);
    if (!err && buf_len(out) - before > SPF_RECORD_BYTES_MAX) err = ERR_LIMIT;
    if (err)
        buf_truncate(out, before);
    else
        *why = NULL;
    return err;
}

/* --- Reading (RFC 7208 section 12) --- */

struct parser {
    struct spf_terms *out;
    const char *why;
};

static enum err wrong(struct parser *p, const char *why)
{
    p->why = why;
    return ERR_MALFORMED;
}

static bool is_macro_letter(char c)
{
    return c && strchr("slodipvh", ascii_lower(c));
}

/* "%{" letter [digits] ["r"] *delimiter "}"; `s` starts behind "%{". The bytes used, 0 when it is none. */
static size_t macro_length(struct slice s)
{
    size_t i = 0;
    if (s.n == 0 || !is_macro_letter(s.p[i++])) return 0;
    size_t digits = i;
    while (i < s.n && ascii_is_digit(s.p[i])) i++;
    if (i > digits) { /* a count of labels to keep; 0 keeps none, which means nothing */
        uint64_t keep;
        if (slice_u64(slice_sub(s, digits, i - digits), 128, &keep) || keep == 0) return 0;
    }
    if (i < s.n && ascii_lower(s.p[i]) == 'r') i++;
    while (i < s.n && strchr(".-+,/_=", s.p[i])) i++;
    return i < s.n && s.p[i] == '}' ? i + 1 : 0;
}

/* Checks a macro-string; *macro when something is expanded; *ends_in_macro when the last thing is one. */
static bool macro_string_ok(struct slice s, bool *macro, bool *ends_in_macro)
{
    *macro = *ends_in_macro = false;
    for (size_t i = 0; i < s.n; i++) {
        *ends_in_macro = false;
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f) return false;
        if (s.p[i] != '%') continue;
        char next = i + 1 < s.n ? s.p[i + 1] : 0;
        if (next == '%' || next == '_' || next == '-') {
            i++;
            *ends_in_macro = true;
            continue;
        }
        size_t n = next == '{' ? macro_length(slice_skip(s, i + 2)) : 0;
        if (n == 0) return false;
        i += n + 1;
        *macro = *ends_in_macro = true;
    }
    return true;
}

/* "." toplabel ["."]: a letter somewhere, no hyphen at the ends. */
static bool top_label_ok(struct slice s)
{
    bool letter = false;
    if (s.n && s.p[s.n - 1] == '.') s.n--;
    size_t dot = slice_rfind(s, '.');
    struct slice top = slice_skip(s, dot + 1);
    if (dot == s.n || top.n == 0 || top.p[0] == '-' || top.p[top.n - 1] == '-') return false;
    for (size_t i = 0; i < top.n; i++) {
        if (!ascii_is_alnum(top.p[i]) && top.p[i] != '-') return false;
        letter = letter || !ascii_is_digit(top.p[i]);
    }
    return letter;
}

static enum err domain_spec(struct parser *p, struct slice s, struct spf_term *t)
{
    bool ends_in_macro;
    struct dns_name name;
    if (s.n == 0) return wrong(p, "a domain is missing");
    if (!macro_string_ok(s, &t->macro, &ends_in_macro)) return wrong(p, "a macro is not well-formed");
    if (!ends_in_macro && !top_label_ok(s)) return wrong(p, "the domain has no valid top-level label");
    if (!t->macro && dns_name_parse(s, &name)) return wrong(p, "the domain is not a domain name");
    t->domain = s;
    return ERR_OK;
}

static enum err cidr(struct parser *p, struct slice digits, unsigned max, uint8_t *out)
{
    uint64_t n;
    if (slice_u64(digits, max, &n) || (digits.n > 1 && digits.p[0] == '0'))
        return wrong(p, "the prefix length is not a number in range");
    *out = (uint8_t)n;
    return ERR_OK;
}

/* Cuts "/24", "//64" or "/24//64" off the end of `s`. A slash inside a macro is none of it. */
static enum err dual_cidr(struct parser *p, struct slice *s, struct spf_term *t)
{
    size_t brace = slice_rfind(*s, '}'), from = brace == s->n ? 0 : brace + 1;
    size_t at = from + slice_find(slice_skip(*s, from), '/');
    struct slice tail = slice_skip(*s, at), four, six;
    t->cidr4 = 32;
    t->cidr6 = 128;
    *s = slice_sub(*s, 0, at);
    if (tail.n == 0) return ERR_OK;
    size_t both = slice_find_slice(tail, SLICE("//"));
    four = slice_sub(tail, 1, both > 1 ? both - 1 : 0);
    six = slice_skip(tail, both + 2);
    if (both != tail.n && cidr(p, six, 128, &t->cidr6)) return ERR_MALFORMED;
    if (both == tail.n) four = slice_skip(tail, 1);
    return both == 0 ? ERR_OK : cidr(p, four, 32, &t->cidr4);
}

static enum err a_or_mx(struct parser *p, struct slice rest, struct spf_term *t)
{
    if (dual_cidr(p, &rest, t)) return ERR_MALFORMED;
    if (rest.n == 0) return ERR_OK;
    return rest.p[0] == ':' ? domain_spec(p, slice_skip(rest, 1), t)
                            : wrong(p, "this mechanism does not exist");
}

static enum err ip_net(struct parser *p, struct slice rest, bool six, struct spf_term *t)
{
    struct addr a;
    size_t slash = slice_find(rest, '/');
    uint8_t bits = six ? 128 : 32;
    if (rest.n < 2 || rest.p[0] != ':') return wrong(p, "an address is missing");
    struct slice ip = slice_sub(rest, 1, slash - 1);
    if ((slice_find(ip, ':') != ip.n) != six || addr_parse(ip, &a))
        return wrong(p, "this is not an address of its family");
    if (slash != rest.n && cidr(p, slice_skip(rest, slash + 1), bits, &bits)) return ERR_MALFORMED;
    /* base/addr turns ::ffff:a.b.c.d into IPv4, which no ip6 ever matches as such: keep it as a single odd host. */
    if (six && a.family == ADDR_V4) return wrong(p, "an IPv4-mapped address in ip6 never matches");
    t->net = (struct prefix){ a, bits };
    return ERR_OK;
}

static enum err need_domain(struct parser *p, struct slice rest, struct spf_term *t)
{
    if (rest.n == 0 || rest.p[0] != ':') return wrong(p, "a domain is missing");
    return domain_spec(p, slice_skip(rest, 1), t);
}

static enum err bare(struct parser *p, struct slice rest, struct spf_term *t)
{
    return rest.n ? wrong(p, "nothing may follow \"all\"") : ERR_OK;
}

static enum err optional_domain(struct parser *p, struct slice rest, struct spf_term *t)
{
    return rest.n ? need_domain(p, rest, t) : ERR_OK;
}

static enum err ip4(struct parser *p, struct slice rest, struct spf_term *t)
{
    return ip_net(p, rest, false, t);
}

static enum err ip6(struct parser *p, struct slice rest, struct spf_term *t)
{
    return ip_net(p, rest, true, t);
}

static const struct mechanism {
    struct slice name;
    enum spf_kind kind;
    enum err (*read)(struct parser *p, struct slice rest, struct spf_term *t);
} mechanisms[] = {
    { SLICE_INIT("all"), SPF_ALL, bare },
    { SLICE_INIT("include"), SPF_INCLUDE, need_domain },
    { SLICE_INIT("a"), SPF_A, a_or_mx },
    { SLICE_INIT("mx"), SPF_MX, a_or_mx },
    { SLICE_INIT("ptr"), SPF_PTR, optional_domain },
    { SLICE_INIT("ip4"), SPF_IP4, ip4 },
    { SLICE_INIT("ip6"), SPF_IP6, ip6 },
    { SLICE_INIT("exists"), SPF_EXISTS, need_domain },
};

static enum err modifier(struct parser *p, struct slice name, struct slice value, struct spf_term *t)
{
    bool macro, ends_in_macro;
    t->qualifier = '=';
    t->kind = SPF_OTHER_MODIFIER;
    if (slice_ieq(name, SLICE("redirect"))) t->kind = SPF_REDIRECT;
    if (slice_ieq(name, SLICE("exp"))) t->kind = SPF_EXP;
    for (size_t i = 0; i < p->out->n && t->kind != SPF_OTHER_MODIFIER; i++)
        if (p->out->term[i].kind == t->kind) return wrong(p, "this modifier may stand once only");
    if (t->kind != SPF_OTHER_MODIFIER) return domain_spec(p, value, t);
    t->domain = value;
    return macro_string_ok(value, &macro, &ends_in_macro) ? ERR_OK : wrong(p, "a macro is not well-formed");
}

/* name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ) */
static size_t name_length(struct slice s)
{
    size_t i = 0;
    if (s.n == 0 || !ascii_is_alpha(s.p[0])) return 0;
    while (i < s.n && (ascii_is_alnum(s.p[i]) || (s.p[i] && strchr("-_.", s.p[i])))) i++;
    return i;
}

static enum err read_term(struct parser *p, struct slice word)
{
    struct spf_term *t = &p->out->term[p->out->n];
    struct slice s = word;
    *t = (struct spf_term){ .text = word, .qualifier = '+', .domain = SLICE("") };
    size_t n = name_length(s);
    if (n && n < s.n && s.p[n] == '=') return modifier(p, slice_sub(s, 0, n), slice_skip(s, n + 1), t);
    if (s.n && s.p[0] && strchr("+-~?", s.p[0])) {
        t->qualifier = s.p[0];
        s = slice_skip(s, 1);
        n = name_length(s);
    }
    for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++) {
        if (!slice_ieq(slice_sub(s, 0, n), mechanisms[i].name)) continue;
        t->kind = mechanisms[i].kind;
        return mechanisms[i].read(p, slice_skip(s, n), t);
    }
    return wrong(p, "this mechanism does not exist");
}

bool spf_record_is(struct slice text)
{
    struct slice tag = SLICE("v=spf1");
    return slice_istarts(text, tag) && (text.n == tag.n || text.p[tag.n] == ' ');
}

enum err spf_record_parse(struct slice text, struct spf_terms *out, struct slice *at, const char **why)
{
    struct parser p = { .out = out };
    struct slice rest = slice_skip(text, 6), word;
    out->n = 0;
    *at = slice_sub(text, 0, 64);
    *why = "the record does not begin with v=spf1";
    if (!spf_record_is(text)) return ERR_MALFORMED;
    for (size_t i = 0; i < text.n; i++) {
        *why = "only printable ASCII may stand in a record";
        if (text.p[i] < 0x20 || text.p[i] >= 0x7f) return ERR_MALFORMED;
    }
    while (slice_cut(&rest, ' ', &word)) {
        if (word.n == 0) continue;
        *at = word;
        *why = "there are too many terms";
        if (out->n == SPF_TERMS_MAX) return ERR_LIMIT;
        enum err err = read_term(&p, word);
        *why = p.why;
        if (err) return err;
        out->n++;
    }
    *why = NULL;
    return ERR_OK;
}
