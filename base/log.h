/* base/log.h: one line an event: a stable event name and key=value.
 *
 *   2026-03-01T02:14:07.123Z info  gate.closed node=edge1 epoch=4 why=ordered
 *
 * Values from outside are escaped here, once: anything but printable ASCII without space, quote and backslash makes the
 * value quoted, with \n, \t, \" \\ and \xHH inside; UTF-8 stays as it is when valid. A value is cut at 512 bytes.
 * Thread-safe: a line is one write(2). */
#ifndef GEMEL_BASE_LOG_H
#define GEMEL_BASE_LOG_H

#include "base/addr.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum kv_kind { KV_END, KV_SLICE, KV_U64, KV_I64, KV_MS, KV_ADDR, KV_ERR, KV_BOOL };
struct kv {
    enum kv_kind kind;
    const char *key;
    union {
        struct slice slice;
        uint64_t u64;
        int64_t i64;
        const struct addr *addr;
        enum err err;
        bool yes;
    };
};

#define kv_slice(k, v) ((struct kv){ .kind = KV_SLICE, .key = (k), .slice = (v) })
#define kv_cstr(k, v)  ((struct kv){ .kind = KV_SLICE, .key = (k), .slice = slice_of(v) })
#define kv_u64(k, v)   ((struct kv){ .kind = KV_U64, .key = (k), .u64 = (v) })
#define kv_i64(k, v)   ((struct kv){ .kind = KV_I64, .key = (k), .i64 = (v) })
#define kv_ms(k, v)    ((struct kv){ .kind = KV_MS, .key = (k), .u64 = (v) }) /* printed as 1234ms */
#define kv_addr(k, v)  ((struct kv){ .kind = KV_ADDR, .key = (k), .addr = (v) })
#define kv_err(k, v)   ((struct kv){ .kind = KV_ERR, .key = (k), .err = (v) })
#define kv_bool(k, v)  ((struct kv){ .kind = KV_BOOL, .key = (k), .yes = (v) })

/* Where lines go. `line` ends without a newline and is borrowed. Tests and the simulator collect; main() uses
 * log_to_stderr. `wall_ms` may be NULL: then the line starts with the level (systemd adds the time itself). */
struct log {
    void (*write)(void *owner, enum log_level level, struct slice line);
    void *owner;
    enum log_level min;
    uint64_t (*wall_ms)(void *owner); /* Unix time in ms; printed as UTC */
    const char *who;                  /* "node=edge1" style prefix value printed as who=…; NULL: none */
};

void log_to_fd(struct log *l, int fd, enum log_level min); /* fills l: real clock, one write(2) a line */

/* NULL log: nothing is written. `kvs` ends with KV_END. */
void log_event(const struct log *l, enum log_level level, const char *event, const struct kv *kvs);
#define LOG_KVS(...)             ((const struct kv[]){ __VA_ARGS__ __VA_OPT__(, ){ .kind = KV_END } })
#define log_debug(l, event, ...) log_event((l), LOG_DEBUG, (event), LOG_KVS(__VA_ARGS__))
#define log_info(l, event, ...)  log_event((l), LOG_INFO, (event), LOG_KVS(__VA_ARGS__))
#define log_warn(l, event, ...)  log_event((l), LOG_WARN, (event), LOG_KVS(__VA_ARGS__))
#define log_error(l, event, ...) log_event((l), LOG_ERROR, (event), LOG_KVS(__VA_ARGS__))

/* Appends ` key=value` for each; the escaping above. Used by the log and by whoever writes such text elsewhere. */
void log_format_kvs(const struct kv *kvs, struct buf *out);

#endif
