#include "proto/replies/refusal.h"

static const char *const stages[] = {
    [RELAY_ROUTE] = "route", [RELAY_CONNECT] = "connect", [RELAY_BANNER] = "banner", [RELAY_HELO] = "helo",
    [RELAY_TLS] = "tls",     [RELAY_MAIL] = "mail",       [RELAY_RCPT] = "rcpt",     [RELAY_DATA] = "data",
};
_Static_assert(ARRAY_LEN(stages) == RELAY_STAGES, "one name per stage");

static const char *const scopes[] = {
#define SCOPE_NAME(name, text) [SCOPE_##name] = (text),
    RELAY_SCOPE_MAP(SCOPE_NAME)
#undef SCOPE_NAME
};

static const char *const effects[] = {
    [EFFECT_NONE] = "NONE", [EFFECT_SWITCH] = "SWITCH", [EFFECT_DEST] = "DEST",
    [EFFECT_SLOW] = "SLOW", [EFFECT_RETRY] = "RETRY",   [EFFECT_FIX] = "FIX",
};
_Static_assert(ARRAY_LEN(effects) == RELAY_EFFECTS, "one name per effect");

const char *relay_stage_name(enum relay_stage s)
{
    return s < RELAY_STAGES ? stages[s] : "?";
}

const char *relay_scope_name(enum relay_scope s)
{
    return s < RELAY_SCOPES ? scopes[s] : "?";
}

const char *relay_effect_name(enum relay_effect e)
{
    return e < RELAY_EFFECTS ? effects[e] : "?";
}

static enum err find_name(const char *const *names, size_t n, struct slice s, size_t *out)
{
    for (size_t i = 0; i < n; i++)
        if (slice_ieq(s, slice_of(names[i]))) {
            *out = i;
            return ERR_OK;
        }
    return ERR_MALFORMED;
}

enum err relay_scope_parse(struct slice s, enum relay_scope *out)
{
    size_t at;
    enum err err = find_name(scopes, RELAY_SCOPES, s, &at);
    if (!err) *out = (enum relay_scope)at;
    return err;
}

enum err relay_effect_parse(struct slice s, enum relay_effect *out)
{
    size_t at;
    enum err err = find_name(effects, RELAY_EFFECTS, s, &at);
    if (!err) *out = (enum relay_effect)at;
    return err;
}

enum err relay_stage_parse(struct slice s, enum relay_stage *out)
{
    size_t at;
    enum err err = find_name(stages, RELAY_STAGES, s, &at);
    if (!err) *out = (enum relay_stage)at;
    return err;
}

bool refusal_next_line(struct slice *at, struct slice *line)
{
    if (!slice_cut(at, '\n', line)) return false;
    size_t digits = 0;
    while (digits < 3 && digits < line->n && ascii_is_digit(line->p[digits])) digits++;
    if (digits == 3 && (line->n == 3 || line->p[3] == ' ' || line->p[3] == '-')) *line = slice_skip(*line, 4);
    return true;
}

static bool number(struct slice *s, unsigned max_digits, uint16_t *out)
{
    unsigned n = 0, v = 0;
    while (n < s->n && n < max_digits && ascii_is_digit(s->p[n])) v = v * 10 + (unsigned)(s->p[n++] - '0');
    if (!n || (n < s->n && ascii_is_digit(s->p[n]))) return false;
    *s = slice_skip(*s, n);
    *out = (uint16_t)v;
    return true;
}

static bool dot(struct slice *s)
{
    if (!s->n || s->p[0] != '.') return false;
    *s = slice_skip(*s, 1);
    return true;
}

struct enhanced refusal_enhanced(struct slice line)
{
    uint16_t class, subject, detail;
    while (line.n && (line.p[0] == ' ' || line.p[0] == '#' || line.p[0] == '(')) line = slice_skip(line, 1);
    if (!number(&line, 1, &class) || !dot(&line) || !number(&line, 3, &subject) || !dot(&line) ||
        !number(&line, 3, &detail) || (class != 2 && class != 4 && class != 5))
        return (struct enhanced){ 0 };
    return (struct enhanced){ .class = (uint8_t) class, .subject = subject, .detail = detail };
}
