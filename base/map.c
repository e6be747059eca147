#include "base/map.h"

#include <stdlib.h>

struct map_slot {
    char *key; /* NULL and value NULL: never used; NULL and value set: removed */
    size_t n;
    uint64_t hash;
    void *value;
};

static char removed_mark;
#define REMOVED ((void *)&removed_mark)

void map_deinit(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++) free(m->slots[i].key);
    free(m->slots);
    *m = (struct map){ 0 };
}

static struct map_slot *find(const struct map *m, struct slice key, uint64_t hash)
{
    if (m->cap == 0) return NULL;
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_slot *s = &m->slots[i];
        if (!s->key && !s->value) return NULL;
        if (s->key && s->hash == hash && slice_eq((struct slice){ s->key, s->n }, key)) return s;
    }
}

static struct map_slot *free_slot(struct map *m, uint64_t hash)
{
    size_t i = hash & (m->cap - 1);
    while (m->slots[i].key) i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void rehash(struct map *m, size_t cap)
{
    struct map old = *m;
    m->slots = xzalloc(cap * sizeof *m->slots);
    m->cap = cap;
    m->used = m->n;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].key) *free_slot(m, old.slots[i].hash) = old.slots[i];
    free(old.slots);
}

void *map_get(const struct map *m, struct slice key)
{
    struct map_slot *s = find(m, key, slice_hash(key));
    return s ? s->value : NULL;
}

void *map_put(struct map *m, struct slice key, void *value)
{
    ASSERT(value);
    uint64_t hash = slice_hash(key);
    struct map_slot *s = find(m, key, hash);
    if (s) {
        void *old = s->value;
        s->value = value;
        return old;
    }
    if ((m->used + 1) * 4 > m->cap * 3)
        rehash(m, (m->n + 1) * 2 > m->cap ? MAX(m->cap * 2, (size_t)16) : m->cap);
    s = free_slot(m, hash);
    if (!s->value) m->used++;
    *s = (struct map_slot){ slice_dup(key), key.n, hash, value };
    m->n++;
    return NULL;
}

void *map_remove(struct map *m, struct slice key)
{
    struct map_slot *s = find(m, key, slice_hash(key));
    if (!s) return NULL;
    void *old = s->value;
    free(s->key);
    *s = (struct map_slot){ .value = REMOVED };
    m->n--;
    return old;
}

bool map_next(const struct map *m, size_t *at, struct slice *key, void **value)
{
    while (*at < m->cap) {
        struct map_slot *s = &m->slots[(*at)++];
        if (!s->key) continue;
        *key = (struct slice){ s->key, s->n };
        *value = s->value;
        return true;
    }
    return false;
}
