#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUF_KEEP_BYTES = 64 * 1024 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){ .max = max_bytes };
}

void buf_deinit(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ 0 };
}

struct slice buf_slice(const struct buf *b)
{
    return b->p ? (struct slice){ b->p + b->head, b->n - b->head } : (struct slice){ "", 0 };
}

size_t buf_len(const struct buf *b)
{
    return b->n - b->head;
}

static void slide_to_front(struct buf *b)
{
    if (b->head == 0) return;
    memmove(b->p, b->p + b->head, b->n - b->head);
    b->n -= b->head;
    b->head = 0;
}

/* Room for `more` bytes behind the contents, one NUL included in the capacity. The bound was checked before. */
static void grow(struct buf *b, size_t more)
{
    if (b->n + more + 1 <= b->cap) return;
    slide_to_front(b);
    if (b->n + more + 1 <= b->cap) return;
    size_t cap = MAX(b->cap * 2, b->n + more + 1);
    b->p = xrealloc(b->p, MAX(cap, (size_t)64));
    b->cap = MAX(cap, (size_t)64);
}

const char *buf_cstr(struct buf *b)
{
    grow(b, 0);
    b->p[b->n] = '\0';
    return b->p + b->head;
}

void buf_clear(struct buf *b)
{
    b->n = b->head = 0;
    if (b->cap <= BUF_KEEP_BYTES) return;
    free(b->p);
    b->p = NULL;
    b->cap = 0;
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= buf_len(b));
    b->head += n;
    if (b->head == b->n) b->head = b->n = 0;
}

void buf_truncate(struct buf *b, size_t n)
{
    ASSERT(n <= buf_len(b));
    b->n = b->head + n;
}

enum err buf_reserve(struct buf *b, size_t n, char **room)
{
    if (n > b->max || buf_len(b) > b->max - n) return ERR_LIMIT;
    grow(b, n);
    *room = b->p + b->n;
    return ERR_OK;
}

void buf_commit(struct buf *b, size_t n)
{
    ASSERT(b->n + n <= b->cap);
    b->n += n;
}

enum err buf_append(struct buf *b, struct slice s)
{
    char *room;
    if (s.n == 0) return ERR_OK;
    enum err err = buf_reserve(b, s.n, &room);
    if (err) return err;
    memcpy(room, s.p, s.n);
    buf_commit(b, s.n);
    return ERR_OK;
}

enum err buf_append_c(struct buf *b, char c)
{
    return buf_append(b, (struct slice){ &c, 1 });
}

enum err buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    char small[256];
    int n = vsnprintf(small, sizeof small, fmt, ap);
    ASSERT(n >= 0);
    char *room;
    enum err err = ERR_OK;
    if ((size_t)n < sizeof small) {
        err = buf_append(b, (struct slice){ small, (size_t)n });
    } else {
        err = buf_reserve(b, (size_t)n, &room);
        if (!err) {
            vsnprintf(room, (size_t)n + 1, fmt, again); /* grow() leaves room for the NUL */
            buf_commit(b, (size_t)n);
        }
    }
    va_end(again);
    return err;
}

enum err buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    enum err err = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return err;
}

void buf_put(struct buf *b, struct slice s)
{
    enum err err = buf_append(b, s);
    ASSERT(!err);
}

void buf_putf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    enum err err = buf_vprintf(b, fmt, ap);
    va_end(ap);
    ASSERT(!err);
}
