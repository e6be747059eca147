/* base/arena.h: what dies together is allocated together.
 *
 * Pointers live until arena_reset or arena_deinit. Zeroed memory is a valid, empty arena. Allocation aborts when
 * memory is gone; callers bound what they ask for. */
#ifndef GEMEL_BASE_ARENA_H
#define GEMEL_BASE_ARENA_H

#include "base/slice.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t bytes; /* handed out since the last reset */
};

void *arena_alloc(struct arena *a, size_t n);            /* zeroed, aligned for anything */
struct slice arena_dup(struct arena *a, struct slice s); /* NUL-terminated copy (the NUL is not counted) */
char *arena_cstr(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void arena_reset(struct arena *a); /* frees all but one block of at most 16 KiB */
void arena_deinit(struct arena *a);

#endif
