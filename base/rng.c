#include "base/rng.h"

#include <sys/random.h>

#include <string.h>

void rng_init_kernel(struct rng *r)
{
    *r = (struct rng){ 0 };
}

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void rng_init_seed(struct rng *r, uint64_t seed)
{
    r->seeded = true;
    for (size_t i = 0; i < ARRAY_LEN(r->s); i++) r->s[i] = splitmix(&seed);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static uint64_t xoshiro(uint64_t s[4])
{
    uint64_t out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0], s[3] ^= s[1], s[1] ^= s[2], s[0] ^= s[3], s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t rng_u64(struct rng *r)
{
    if (r->seeded) return xoshiro(r->s);
    if (!r->pooled) {
        _Static_assert(sizeof r->pool <= 256, "up to 256 bytes getrandom gives all or nothing");
        ssize_t n = getrandom(r->pool, sizeof r->pool, 0);
        ASSERT(n == (ssize_t)sizeof r->pool);
        r->pooled = RNG_POOL;
    }
    uint64_t v = r->pool[--r->pooled];
    r->pool[r->pooled] = 0;
    return v;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    ASSERT(n > 0);
    uint64_t v, limit = UINT64_MAX - UINT64_MAX % n;
    do {
        v = rng_u64(r);
    } while (v >= limit);
    return v % n;
}

uint64_t rng_between(struct rng *r, uint64_t lo, uint64_t hi)
{
    ASSERT(lo <= hi && hi - lo < UINT64_MAX);
    return lo + rng_below(r, hi - lo + 1);
}

bool rng_chance(struct rng *r, uint32_t per_million)
{
    return rng_below(r, 1000000) < per_million;
}

uint64_t rng_jitter(struct rng *r, uint64_t ms, uint32_t percent)
{
    uint64_t span = ms * percent / 100;
    return ms - span + rng_below(r, 2 * span + 1);
}

void rng_bytes(struct rng *r, void *out, size_t n)
{
    char *p = out;
    while (n) {
        uint64_t v = rng_u64(r);
        size_t part = MIN(n, sizeof v);
        memcpy(p, &v, part);
        p += part, n -= part;
    }
}

void rng_hex(struct rng *r, char *out, size_t digits)
{
    uint64_t v = 0;
    for (size_t i = 0; i < digits; i++, v >>= 4) {
        if (i % 16 == 0) v = rng_u64(r);
        out[i] = "0123456789abcdef"[v & 15];
    }
    out[digits] = '\0';
}
