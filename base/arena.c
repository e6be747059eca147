#include "base/arena.h"

#include <stdio.h>
#include <stdarg.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 4096, BLOCK_KEEP_BYTES = 16384 };

struct arena_block {
    struct arena_block *next;
    size_t n, cap;
    _Alignas(max_align_t) char data[];
};

static struct arena_block *add_block(struct arena *a, size_t at_least)
{
    size_t cap = MAX(at_least, (size_t)BLOCK_BYTES);
    struct arena_block *b = xzalloc(sizeof *b + cap);
    b->cap = cap;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t align = _Alignof(max_align_t);
    n = (n + align - 1) / align * align;
    struct arena_block *b = a->blocks;
    if (!b || b->cap - b->n < n) b = add_block(a, n);
    void *p = b->data + b->n;
    b->n += n;
    a->bytes += n;
    return p;
}

char *arena_cstr(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (s.n) memcpy(p, s.p, s.n);
    return p;
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    return (struct slice){ arena_cstr(a, s), s.n };
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    ASSERT(n >= 0);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL;
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        if (!keep && b->cap <= BLOCK_KEEP_BYTES) {
            keep = b;
        } else {
            free(b);
        }
    }
    if (keep) {
        memset(keep->data, 0, keep->n);
        keep->n = 0;
        keep->next = NULL;
    }
    a->blocks = keep;
    a->bytes = 0;
}

void arena_deinit(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->bytes = 0;
}
