/* base/buf.h: bytes that grow, with a bound set at init.
 *
 * Owned by whoever holds the struct. A failed append leaves the contents as they were. Zeroed memory is a valid,
 * empty buffer with max 0, so nothing can be appended to it by accident. */
#ifndef GEMEL_BASE_BUF_H
#define GEMEL_BASE_BUF_H

#include <stdarg.h>

#include "base/slice.h"

struct buf {
    char *p;
    size_t n, cap, max;
    size_t head; /* consumed bytes in front of p[head]; private */
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_deinit(struct buf *b); /* zeroed memory and a second call are fine; keeps max 0 */
struct slice
buf_slice(const struct buf *b); /* the unconsumed bytes; valid until the next call that changes b */
size_t buf_len(const struct buf *b);
const char *buf_cstr(struct buf *b);                         /* the same with a NUL behind it (not counted) */
void buf_clear(struct buf *b);                               /* empty, keeps memory up to 64 KiB */
void buf_consume(struct buf *b, size_t n);                   /* drops n bytes from the front; n ≤ buf_len */
void buf_truncate(struct buf *b, size_t n);                  /* keeps the first n */
MUST_USE enum err buf_append(struct buf *b, struct slice s); /* LIMIT past max */
MUST_USE enum err buf_append_c(struct buf *b, char c);
MUST_USE enum err buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
MUST_USE enum err buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Room for n more bytes to write at *room, then buf_commit what was used. LIMIT past max. */
MUST_USE enum err buf_reserve(struct buf *b, size_t n, char **room);
void buf_commit(struct buf *b, size_t n);

/* For texts whose bound was computed before: abort instead of failing. */
void buf_put(struct buf *b, struct slice s);
void buf_putf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
