/* base/map.h: bytes → pointer, open addressing. Keys are copied; values are the caller's. Zeroed memory is an empty map. */
#ifndef GEMEL_BASE_MAP_H
#define GEMEL_BASE_MAP_H

#include "base/slice.h"

struct map_slot;
struct map {
    struct map_slot *slots;
    size_t n, used, cap;
};

void map_deinit(struct map *m); /* values are not touched */
void *map_get(const struct map *m, struct slice key);
void *map_put(struct map *m, struct slice key,
              void *value);                        /* the value replaced, or NULL; value is not NULL */
void *map_remove(struct map *m, struct slice key); /* the value removed, or NULL */
/* Walks in no order: start with *at = 0; false at the end. The map must not change meanwhile. */
bool map_next(const struct map *m, size_t *at, struct slice *key, void **value);

#endif
