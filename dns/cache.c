#include "dns/cache.h"

#include <stdlib.h>

struct cached {
    struct list link;
    unsigned refs;
    uint64_t expires_ms;
    size_t bytes;
    struct dns_answer *answer;
    size_t key_n;
    char key[];
};

void cache_init(struct cache *c, size_t entries_max, size_t bytes_max)
{
    *c = (struct cache){ .entries_max = entries_max, .bytes_max = bytes_max };
    list_init(&c->lru);
}

void cached_unref(struct cached *e)
{
    if (--e->refs) return;
    free(e->answer);
    free(e);
}

static void forget(struct cache *c, struct cached *e)
{
    list_remove(&e->link);
    map_remove(&c->map, slice_from(e->key, e->key_n));
    c->entries--;
    c->bytes -= e->bytes;
    cached_unref(e);
}

void cache_flush(struct cache *c)
{
    while (!list_empty(&c->lru)) forget(c, CONTAINER_OF(c->lru.next, struct cached, link));
}

void cache_deinit(struct cache *c)
{
    if (!c->lru.next) return;
    cache_flush(c);
    map_deinit(&c->map);
}

void cache_put(struct cache *c, struct slice key, const struct dns_answer *a, uint32_t ttl_s, uint64_t now_ms)
{
    struct cached *old = map_get(&c->map, key);
    if (old) forget(c, old);
    size_t bytes = sizeof *old + key.n + dns_answer_bytes(a);
    if (ttl_s == 0 || bytes > c->bytes_max / 16 || c->entries_max == 0) return;
    struct cached *e = xzalloc(sizeof *e + key.n);
    e->refs = 1;
    e->expires_ms = now_ms + SECONDS(ttl_s);
    e->bytes = bytes;
    e->answer = dns_answer_dup(a);
    e->key_n = key.n;
    memcpy(e->key, key.p, key.n);
    while (c->entries >= c->entries_max || c->bytes + bytes > c->bytes_max)
        forget(c, CONTAINER_OF(c->lru.next, struct cached, link));
    map_put(&c->map, key, e);
    list_append(&c->lru, &e->link);
    c->entries++;
    c->bytes += bytes;
}

struct cached *cache_get(struct cache *c, struct slice key, uint64_t now_ms)
{
    struct cached *e = map_get(&c->map, key);
    if (!e) return NULL;
    if (now_ms >= e->expires_ms) {
        forget(c, e);
        return NULL;
    }
    list_remove(&e->link);
    list_append(&c->lru, &e->link);
    e->refs++;
    return e;
}

struct dns_answer cached_answer(const struct cached *e, uint64_t now_ms)
{
    struct dns_answer a = *e->answer;
    a.ttl_s = now_ms < e->expires_ms ? (uint32_t)((e->expires_ms - now_ms + 999) / 1000) : 0;
    return a;
}
