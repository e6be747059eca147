#include "coordinator/ctl/json.h"

#include <time.h>

const char *js_text(struct screen *s, const json_t *o, const char *key, const char *def)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_string(v) || json_string_length(v) == 0) return def;
    return text_clean(s, slice_from(json_string_value(v), json_string_length(v)));
}

uint64_t js_u64(const json_t *o, const char *key, uint64_t def)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_integer(v)) return json_integer_value(v) < 0 ? def : (uint64_t)json_integer_value(v);
    if (!json_is_real(v)) return def;
    double d = json_real_value(v);
    return d >= 0 && d < 9e18 ? (uint64_t)d : def;
}

const char *js_age(struct screen *s, const json_t *o, const char *key)
{
    uint64_t ms = js_u64(o, key, UINT64_MAX);
    return ms == UINT64_MAX ? "never" : text_printf(s, "%s ago", text_ms(s, ms));
}

static uint64_t parse_rfc3339(const char *text)
{
    struct tm tm = { 0 };
    unsigned ms = 0;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest) return 0;
    if (*rest == '.') {
        unsigned scale = 100;
        for (rest++; ascii_is_digit(*rest); rest++, scale /= 10) ms += scale * (unsigned)(*rest - '0');
    }
    time_t t = timegm(&tm);
    return (*rest == 'Z' || *rest == 'z') && t > 0 ? (uint64_t)t * 1000 + ms : 0;
}

uint64_t js_time(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_string(v) ? parse_rfc3339(json_string_value(v)) : js_u64(o, key, 0);
}

bool js_bool(const json_t *o, const char *key, bool def)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_integer(v)) return json_integer_value(v) != 0;
    return json_is_boolean(v) ? json_is_true(v) : def;
}

const json_t *js_object(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_object(v) ? v : NULL;
}

const json_t *js_list(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_array(v) ? v : NULL;
}

bool js_has(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return v && !json_is_null(v);
}

static const char *scalar(struct screen *s, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING: return text_clean(s, slice_from(json_string_value(v), json_string_length(v)));
    case JSON_INTEGER: return text_printf(s, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    case JSON_REAL: return text_printf(s, "%g", json_real_value(v));
    case JSON_TRUE: return "yes";
    case JSON_FALSE: return "no";
    default: return "–";
    }
}

/* One level deep; what lies deeper is left to --json. */
static const char *pairs(struct screen *s, json_t *o)
{
    struct buf all;
    buf_init(&all, SIZE_MAX / 2);
    const char *key;
    json_t *v;
    json_object_foreach(o, key, v)
    {
        if (json_is_object(v) || json_is_array(v) || json_is_null(v)) continue;
        buf_putf(&all, "%s%s %s", buf_len(&all) ? ", " : "", text_clean(s, slice_of(key)), scalar(s, v));
    }
    const char *out = arena_cstr(&s->arena, buf_slice(&all));
    buf_deinit(&all);
    return out;
}

const char *js_sentence(struct screen *s, const json_t *v)
{
    if (!v) return "";
    if (json_is_array(v)) return js_join(s, v, ", ");
    if (!json_is_object(v)) return scalar(s, v);
    const char *text = js_text(s, v, "text", NULL);
    if (!text) text = js_text(s, v, "what", NULL);
    return text ? text : pairs(s, (json_t *)v);
}

const char *js_join(struct screen *s, const json_t *list, const char *sep)
{
    struct buf all;
    buf_init(&all, SIZE_MAX / 2);
    const json_t *v;
    JS_EACH(i, v, list)
    {
        if (json_is_array(v)) continue;
        buf_putf(&all, "%s%s", buf_len(&all) ? sep : "", js_sentence(s, v));
    }
    const char *out = arena_cstr(&s->arena, buf_slice(&all));
    buf_deinit(&all);
    return out;
}
