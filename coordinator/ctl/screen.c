#include "coordinator/ctl/screen.h"

#include <time.h>

#include "base/utf8.h"

static const char *const codes[STYLES] = {
    [STYLE_BOLD] = "1", [STYLE_DIM] = "2", [STYLE_GOOD] = "32", [STYLE_WARN] = "33", [STYLE_BAD] = "31",
};

void screen_init(struct screen *s, bool colour, bool utf8, unsigned width, uint64_t now_ms)
{
    *s = (struct screen){ .colour = colour, .utf8 = utf8, .width = width, .now_ms = now_ms };
    buf_init(&s->out, SIZE_MAX / 2); /* bounded by the answer it is made from */
}

void screen_deinit(struct screen *s)
{
    buf_deinit(&s->out);
    arena_deinit(&s->arena);
}

/* The signs we use ourselves. Addresses with other characters stay as they are. */
static const struct sign {
    struct slice utf8, ascii;
} signs[] = {
    { SLICE_INIT("→"), SLICE_INIT("->") },
    { SLICE_INIT("–"), SLICE_INIT("-") },
    { SLICE_INIT("…"), SLICE_INIT("~") },
    { SLICE_INIT("·"), SLICE_INIT("-") },
};

static void write_ascii(struct slice text, FILE *to)
{
    while (text.n > 0) {
        size_t skip = 1;
        struct slice put = slice_sub(text, 0, 1);
        for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
            if (!slice_starts(text, signs[i].utf8)) continue;
            skip = signs[i].utf8.n;
            put = signs[i].ascii;
        }
        fwrite(put.p, 1, put.n, to);
        text = slice_skip(text, skip);
    }
}

void screen_flush(struct screen *s, FILE *to)
{
    struct slice text = buf_slice(&s->out);
    if (s->utf8)
        fwrite(text.p, 1, text.n, to);
    else
        write_ascii(text, to);
    fflush(to);
    buf_clear(&s->out);
}

PRINTF_LIKE(2, 0) static void say_va(struct screen *s, const char *fmt, va_list ap)
{
    enum err err = buf_vprintf(&s->out, fmt, ap);
    ASSERT(!err);
}

void say(struct screen *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say_va(s, fmt, ap);
    va_end(ap);
}

void say_in(struct screen *s, enum style style, const char *fmt, ...)
{
    bool styled = s->colour && codes[style];
    if (styled) buf_putf(&s->out, "\033[%sm", codes[style]);
    va_list ap;
    va_start(ap, fmt);
    say_va(s, fmt, ap);
    va_end(ap);
    if (styled) buf_put(&s->out, SLICE("\033[0m"));
}

/* Columns used since the last line break. Only asked where no colours are on the line. */
static unsigned column(const struct screen *s)
{
    struct slice all = buf_slice(&s->out);
    size_t nl = slice_rfind(all, '\n');
    return text_width(nl == all.n ? all : slice_skip(all, nl + 1));
}

void say_wrapped(struct screen *s, unsigned indent, const char *text)
{
    struct slice rest = slice_of(text), word;
    unsigned at = column(s);
    bool first = true;
    while ((word = slice_word(&rest)).n > 0) {
        unsigned w = text_width(word);
        if (!first && s->width && at + 1 + w > s->width) {
            buf_putf(&s->out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (!first) {
            buf_put(&s->out, SLICE(" "));
            at++;
        }
        buf_put(&s->out, word);
        at += w;
        first = false;
    }
    buf_put(&s->out, SLICE("\n"));
}

static uint32_t decode(struct slice s, size_t *used)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t n = utf8_wide(s);
    *used = n ? n : 1;
    switch (n) {
    case 2: return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
    case 3: return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
    case 4:
        return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6 |
               (p[3] & 0x3f);
    default: return p[0];
    }
}

static bool is_unsafe(uint32_t c, size_t used)
{
    if (used == 1) return c < 0x20 || c >= 0x7f;
    return c <= 0x9f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e ||
           c == 0x200f || c == 0x061c || c == 0xfeff;
}

const char *text_clean(struct screen *s, struct slice raw)
{
    char *out = arena_alloc(&s->arena, raw.n + 1), *p = out;
    while (raw.n > 0) {
        size_t used;
        uint32_t c = decode(raw, &used);
        if (used == 1 && (c == '\n' || c == '\t')) {
            *p++ = ' ';
        } else if (is_unsafe(c, used)) {
            *p++ = '?';
        } else {
            memcpy(p, raw.p, used);
            p += used;
        }
        raw = slice_skip(raw, used);
    }
    *p = '\0';
    return out;
}

const char *text_printf(struct screen *s, const char *fmt, ...)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2);
    va_list ap;
    va_start(ap, fmt);
    enum err err = buf_vprintf(&b, fmt, ap);
    va_end(ap);
    ASSERT(!err);
    char *out = arena_cstr(&s->arena, buf_slice(&b));
    buf_deinit(&b);
    return out;
}

/* "2 h 5 min", and "2 h" when nothing is left over. */
static const char *two_units(struct screen *s, uint64_t big, const char *big_name, uint64_t small,
                             const char *small_name)
{
    if (small == 0) return text_printf(s, "%" PRIu64 " %s", big, big_name);
    return text_printf(s, "%" PRIu64 " %s %" PRIu64 " %s", big, big_name, small, small_name);
}

const char *text_ms(struct screen *s, uint64_t ms)
{
    if (ms < SECONDS(1)) return text_printf(s, "%" PRIu64 " ms", ms);
    if (ms < SECONDS(10)) return text_printf(s, "%" PRIu64 ".%" PRIu64 " s", ms / 1000, ms % 1000 / 100);
    if (ms < MINUTES(1)) return text_printf(s, "%" PRIu64 " s", ms / 1000);
    if (ms < HOURS(1)) return two_units(s, ms / MINUTES(1), "min", ms % MINUTES(1) / 1000, "s");
    if (ms < DAYS(1)) return two_units(s, ms / HOURS(1), "h", ms % HOURS(1) / MINUTES(1), "min");
    return two_units(s, ms / DAYS(1), "d", ms % DAYS(1) / HOURS(1), "h");
}

const char *text_when(struct screen *s, uint64_t wall_ms)
{
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[64];
    if (!localtime_r(&t, &tm) || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm) == 0) return "–";
    return text_printf(s, "%s", text);
}

const char *text_ago(struct screen *s, uint64_t wall_ms)
{
    uint64_t age = s->now_ms > wall_ms ? s->now_ms - wall_ms : 0;
    return text_ms(s, age / 1000 * 1000 + (age < SECONDS(10) ? age % 1000 : 0));
}

const char *text_bytes(struct screen *s, uint64_t bytes)
{
    static const struct {
        uint64_t unit;
        const char *name;
    } units[] = { { GIB(1), "GiB" }, { MIB(1), "MiB" }, { KIB(1), "KiB" } };
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (bytes < units[i].unit) continue;
        uint64_t tenths = bytes / units[i].unit * 10 + bytes % units[i].unit * 10 / units[i].unit;
        if (tenths >= 100) return text_printf(s, "%" PRIu64 " %s", tenths / 10, units[i].name);
        return text_printf(s, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, units[i].name);
    }
    return text_printf(s, "%" PRIu64 " B", bytes);
}

/* Combining marks and joiners take no column; ideographs, kana, Hangul, full-width forms and emoji take two. */
static unsigned columns_of(uint32_t c)
{
    static const struct {
        uint32_t from, to;
        unsigned columns;
    } ranges[] = {
        { 0x0300, 0x036f, 0 },   { 0x0483, 0x0489, 0 },   { 0x0591, 0x05bd, 0 },   { 0x0610, 0x061a, 0 },
        { 0x064b, 0x065f, 0 },   { 0x1100, 0x115f, 2 },   { 0x1ab0, 0x1aff, 0 },   { 0x1dc0, 0x1dff, 0 },
        { 0x200b, 0x200d, 0 },   { 0x20d0, 0x20ff, 0 },   { 0x2e80, 0x303e, 2 },   { 0x3041, 0xa4cf, 2 },
        { 0xac00, 0xd7a3, 2 },   { 0xf900, 0xfaff, 2 },   { 0xfe00, 0xfe0f, 0 },   { 0xfe20, 0xfe2f, 0 },
        { 0xfe30, 0xfe6f, 2 },   { 0xff00, 0xff60, 2 },   { 0xffe0, 0xffe6, 2 },   { 0x1f300, 0x1f64f, 2 },
        { 0x1f900, 0x1f9ff, 2 }, { 0x20000, 0x3fffd, 2 }, { 0xe0100, 0xe01ef, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (c >= ranges[i].from && c <= ranges[i].to) return ranges[i].columns;
    return 1;
}

unsigned text_width(struct slice s)
{
    unsigned w = 0;
    while (s.n > 0) {
        size_t used;
        w += columns_of(decode(s, &used));
        s = slice_skip(s, used);
    }
    return w;
}

struct slice text_fit(struct slice s, unsigned columns)
{
    size_t n = 0;
    unsigned w = 0;
    while (n < s.n) {
        size_t used;
        unsigned c = columns_of(decode(slice_skip(s, n), &used));
        if (c > columns - w) break;
        w += c;
        n += used;
    }
    return slice_sub(s, 0, n);
}
