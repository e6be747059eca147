/* dns/cache.h: answers kept until they expire, within a number of entries and of bytes; the longest unused goes first.
 *
 * Pure: time is an argument. Keys are whatever bytes the resolver makes of a question. */
#ifndef GEMEL_DNS_CACHE_H
#define GEMEL_DNS_CACHE_H

#include "base/list.h"
#include "base/map.h"
#include "dns/answer.h"

struct
    cached; /* an answer with a reference count: it outlives its entry while somebody is about to deliver it */

struct cache {
    struct map map;
    struct list lru; /* the longest unused at the front */
    size_t entries, entries_max, bytes, bytes_max;
};

void cache_init(struct cache *c, size_t entries_max, size_t bytes_max);
void cache_deinit(struct cache *c);
void cache_flush(struct cache *c);
/* Copies `a`; it is served for `ttl_s`. An answer of more than a sixteenth of the cache is not kept. */
void cache_put(struct cache *c, struct slice key, const struct dns_answer *a, uint32_t ttl_s,
               uint64_t now_ms);
/* A reference, to be given back with cached_unref; NULL when there is none or it has expired. */
struct cached *cache_get(struct cache *c, struct slice key, uint64_t now_ms);

/* A shallow copy with the TTL that is left; borrowed from the reference. */
struct dns_answer cached_answer(const struct cached *e, uint64_t now_ms);
void cached_unref(struct cached *e);

#endif
