#include "node/queue/queue_id.h"

/* Crockford: no I, L, O, U; in ASCII order, so text sorts like the number. */
static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

enum { TIME_CHARS = 12, TAG_CHARS = QUEUE_ID_CHARS - TIME_CHARS, COUNTER_BITS = 18, START_BITS = 16 };
static const uint64_t EPOCH_MS = UINT64_C(1577836800000); /* 2020-01-01; 42 bits of ms last until 2159 */

static uint64_t mix(uint64_t x) /* splitmix64's finisher */
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

void queue_ids_init(struct queue_ids *g, struct slice node, struct rng *rng)
{
    g->nonce = rng_u64(rng);
    g->tag = (uint32_t)((mix(slice_hash(node)) & 0xfffff) << 10 | (g->nonce & 0x3ff));
    atomic_init(&g->last, 0);
}

static void put_base32(uint64_t v, char *out, int n)
{
    for (int i = n; i-- > 0; v >>= 5) out[i] = digits[v & 31];
}

void queue_ids_next(struct queue_ids *g, uint64_t wall_ms, struct queue_id *out)
{
    uint64_t ms = wall_ms > EPOCH_MS ? wall_ms - EPOCH_MS : 0;
    /* A new millisecond starts at a place of its own: after a restart with the clock set back, the same millisecond
     * would otherwise give the same ids again. */
    uint64_t fresh = ms << COUNTER_BITS | (mix(ms ^ g->nonce) & ((1u << START_BITS) - 1));
    uint64_t last = atomic_load(&g->last), next;
    do next = last < fresh ? fresh : last + 1;
    while (!atomic_compare_exchange_weak(&g->last, &last, next));
    put_base32(next, out->s, TIME_CHARS);
    put_base32(g->tag, out->s + TIME_CHARS, TAG_CHARS);
    out->s[QUEUE_ID_CHARS] = '\0';
}

static int digit_value(char c)
{
    if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

enum err queue_id_parse(struct slice s, struct queue_id *out)
{
    struct queue_id id;
    if (s.n != QUEUE_ID_CHARS) return ERR_MALFORMED;
    for (size_t i = 0; i < s.n; i++) {
        int v = digit_value(s.p[i]);
        if (v < 0) return ERR_MALFORMED;
        id.s[i] = digits[v];
    }
    id.s[QUEUE_ID_CHARS] = '\0';
    *out = id;
    return ERR_OK;
}

struct slice queue_id_slice(const struct queue_id *id)
{
    return slice_from(id->s, id->s[0] ? QUEUE_ID_CHARS : 0);
}

bool queue_id_eq(const struct queue_id *a, const struct queue_id *b)
{
    return memcmp(a->s, b->s, sizeof a->s) == 0;
}

uint64_t queue_id_wall_ms(const struct queue_id *id)
{
    uint64_t v = 0;
    for (int i = 0; i < TIME_CHARS; i++) {
        int d = digit_value(id->s[i]);
        v = v << 5 | (uint64_t)(d < 0 ? 0 : d);
    }
    return (v >> COUNTER_BITS) + EPOCH_MS;
}
