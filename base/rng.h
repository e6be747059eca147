/* base/rng.h: random numbers with two sources: the kernel (ids, ports, jitter) and a seed (simulator, tests). */
#ifndef GEMEL_BASE_RNG_H
#define GEMEL_BASE_RNG_H

#include "base/base.h"

enum { RNG_POOL = 32 };

struct rng {                 /* one thread's */
    bool seeded;             /* false: getrandom(2), fit for ids and ports */
    uint64_t s[4];           /* xoshiro256** */
    uint64_t pool[RNG_POOL]; /* from the kernel, in one call; each word is given out once and wiped */
    size_t pooled;
};

void rng_init_kernel(struct rng *r);
void rng_init_seed(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);                 /* [0, n), unbiased; n > 0 */
uint64_t rng_between(struct rng *r, uint64_t lo, uint64_t hi); /* [lo, hi] */
bool rng_chance(struct rng *r, uint32_t per_million);
uint64_t rng_jitter(struct rng *r, uint64_t ms, uint32_t percent); /* ms ± percent */
void rng_bytes(struct rng *r, void *out, size_t n);
void rng_hex(struct rng *r, char *out,
             size_t digits); /* lower case, NUL-terminated: needs digits + 1 bytes */

#endif
