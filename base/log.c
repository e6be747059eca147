#include "base/log.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/timers.h"
#include "base/utf8.h"

enum { LINE_BYTES_MAX = 8192, VALUE_BYTES_MAX = 512 };

static bool is_plain(char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped(struct slice s, struct buf *out)
{
    for (size_t i = 0; i < s.n;) {
        uint8_t c = (uint8_t)s.p[i];
        size_t wide = c >= 0x80 ? utf8_wide(slice_skip(s, i)) : 0;
        if (wide) {
            buf_put(out, slice_sub(s, i, wide));
            i += wide;
            continue;
        }
        if (c == '\n')
            buf_put(out, SLICE("\\n"));
        else if (c == '\r')
            buf_put(out, SLICE("\\r"));
        else if (c == '\t')
            buf_put(out, SLICE("\\t"));
        else if (c == '"' || c == '\\')
            buf_putf(out, "\\%c", c);
        else if (c < ' ' || c >= 0x7f)
            buf_putf(out, "\\x%02x", c);
        else
            buf_putf(out, "%c", c);
        i++;
    }
}

static void put_value(struct slice s, struct buf *out)
{
    bool cut = s.n > VALUE_BYTES_MAX, plain = s.n > 0 && !cut;
    s = slice_sub(s, 0, VALUE_BYTES_MAX);
    for (size_t i = 0; plain && i < s.n; i++) plain = is_plain(s.p[i]);
    if (plain) {
        buf_put(out, s);
        return;
    }
    buf_put(out, SLICE("\""));
    put_escaped(s, out);
    buf_put(out, cut ? SLICE("…\"") : SLICE("\""));
}

void log_format_kvs(const struct kv *kvs, struct buf *out)
{
    char text[ADDR_TEXT_MAX];
    for (const struct kv *kv = kvs; kv->kind != KV_END; kv++) {
        buf_putf(out, " %s=", kv->key);
        switch (kv->kind) {
        case KV_SLICE: put_value(kv->slice, out); break;
        case KV_U64: buf_putf(out, "%" PRIu64, kv->u64); break;
        case KV_I64: buf_putf(out, "%" PRIi64, kv->i64); break;
        case KV_MS: buf_putf(out, "%" PRIu64 "ms", kv->u64); break;
        case KV_ADDR: buf_put(out, slice_of(kv->addr ? addr_format_port(kv->addr, text) : "-")); break;
        case KV_ERR: buf_put(out, slice_of(err_name(kv->err))); break;
        case KV_BOOL: buf_put(out, kv->yes ? SLICE("yes") : SLICE("no")); break;
        case KV_END: break;
        }
    }
}

static void put_time(uint64_t wall_ms, struct buf *out)
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    buf_putf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
             tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_ms % 1000));
}

void log_event(const struct log *l, enum log_level level, const char *event, const struct kv *kvs)
{
    static const char *const levels[] = { "debug", "info ", "warn ", "error" };
    if (!l || level < l->min) return;
    struct buf line;
    buf_init(&line, SIZE_MAX / 2); /* bounded by VALUE_BYTES_MAX times the number of pairs; cut below */
    if (l->wall_ms) put_time(l->wall_ms(l->owner), &line);
    buf_putf(&line, "%s ", levels[level]);
    buf_put(&line, slice_of(event));
    if (l->who) buf_putf(&line, " who=%s", l->who);
    log_format_kvs(kvs, &line);
    l->write(l->owner, level, slice_sub(buf_slice(&line), 0, LINE_BYTES_MAX));
    buf_deinit(&line);
}

static void write_fd(void *owner, enum log_level level, struct slice line)
{
    char text[LINE_BYTES_MAX + 1];
    memcpy(text, line.p, line.n);
    text[line.n] = '\n';
    /* A log that cannot be written has nowhere to say so. */
    ssize_t ignored = write((int)(intptr_t)owner, text, line.n + 1);
    (void)ignored;
}

void log_to_fd(struct log *l, int fd, enum log_level min)
{
    *l = (struct log){
        .write = write_fd, .owner = (void *)(intptr_t)fd, .min = min, .wall_ms = clock_wall_ms
    };
}
