#include "node/queue/record.h"

enum {
    AT_MAGIC = 0,
    AT_VERSION = 1,
    AT_FLOW = 2,
    AT_SUM = 4,
    AT_DUE = 8,
    AT_ARRIVAL = 16,
    AT_SIZE = 24,
    AT_CHUNKS = 32,
    AT_EXPIRY = 36,
    AT_FLAGS = 44,
    AT_DOMAIN = 45,
    AT_DOMAIN_V1 = 36, /* the first version ended here: its lines do not tell the expiry */
};

enum { FLAG_DELAY_TOLD = 1, FLAG_MORE = 2 };

static void put_be(char *p, uint64_t v, int n)
{
    for (int i = n; i-- > 0; v >>= 8) p[i] = (char)v;
}

static uint64_t get_be(const char *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | (unsigned char)p[i];
    return v;
}

uint32_t crc32c(struct slice s)
{
    /* One nibble at a time: 16 entries need no initialisation and records are small. */
    static const uint32_t table[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                        0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 };
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < s.n; i++) {
        c ^= (unsigned char)s.p[i];
        c = c >> 4 ^ table[c & 15];
        c = c >> 4 ^ table[c & 15];
    }
    return ~c;
}

/* The domain that all waiting recipients share, or nothing. */
static struct slice shared_domain(const struct envelope *e)
{
    struct slice domain = { "", 0 };
    for (size_t i = 0; i < e->n_rcpts; i++) {
        if (e->rcpts[i].state != RCPT_WAITING) continue;
        struct slice d = envelope_domain(e->rcpts[i].address);
        if (domain.n == 0) domain = d;
        if (d.n == 0 || d.n > 255 || !slice_ieq(d, domain)) return (struct slice){ "", 0 };
    }
    return domain;
}

/* What the scheduler has to know and the head does not hold. */
static bool says_more(const struct envelope *e)
{
    bool more = e->given_to.n || e->hold != HOLD_NONE;
    for (size_t i = 0; !more && i < e->n_rcpts; i++)
        more = e->rcpts[i].state == RCPT_WAITING && e->rcpts[i].next_hop.n;
    return more;
}

static size_t domain_at(const char *record)
{
    return record[AT_VERSION] == 1 ? AT_DOMAIN_V1 : AT_DOMAIN;
}

static void seal(char *record, size_t n)
{
    put_be(record + AT_SUM, crc32c(slice_from(record + AT_DUE, n - AT_DUE)), 4);
}

enum err record_pack(const struct envelope *e, uint64_t size, uint32_t chunks, struct buf *out)
{
    struct slice domain = shared_domain(e);
    size_t start = buf_len(out);
    char head[RECORD_HEAD_BYTES] = { 'g', RECORD_VERSION, (char)e->flow };
    put_be(head + AT_DUE, e->next_try_wall_ms, 8);
    put_be(head + AT_ARRIVAL, e->arrival_wall_ms, 8);
    put_be(head + AT_SIZE, size, 8);
    put_be(head + AT_CHUNKS, chunks, 4);
    put_be(head + AT_EXPIRY, e->expiry_wall_ms, 8);
    head[AT_FLAGS] = (char)((e->delay_dsn_sent ? FLAG_DELAY_TOLD : 0) | (says_more(e) ? FLAG_MORE : 0));
    head[AT_DOMAIN] = (char)domain.n;
    enum err err = buf_append(out, slice_from(head, sizeof head));
    if (!err) err = buf_append(out, domain);
    if (!err) err = envelope_pack(e, out);
    if (err) {
        buf_truncate(out, start);
        return err;
    }
    seal(out->p + out->head + start, buf_len(out) - start);
    return ERR_OK;
}

void record_set_body(struct buf *record, uint64_t size, uint32_t chunks)
{
    char *p = record->p + record->head;
    ASSERT(buf_len(record) > AT_DOMAIN_V1);
    put_be(p + AT_SIZE, size, 8);
    put_be(p + AT_CHUNKS, chunks, 4);
    seal(p, buf_len(record));
}

enum err record_peek(struct slice record, struct record_head *out)
{
    const char *p = record.p;
    if (record.n <= AT_DOMAIN_V1 || p[AT_MAGIC] != 'g') return ERR_MALFORMED;
    if ((unsigned char)p[AT_VERSION] > RECORD_VERSION) return ERR_REFUSED;
    size_t at = domain_at(p);
    if (record.n <= at) return ERR_MALFORMED;
    struct slice domain = slice_sub(record, at + 1, (unsigned char)p[at]);
    if (p[AT_VERSION] == 0 || (unsigned char)p[AT_FLOW] >= FLOW_COUNT || domain.n != (unsigned char)p[at])
        return ERR_MALFORMED;
    bool v1 = at == AT_DOMAIN_V1;
    unsigned flags = v1 ? FLAG_MORE : (unsigned char)p[AT_FLAGS]; /* to be sure: read the envelope */
    *out = (struct record_head){ .item = { .flow = (enum flow)p[AT_FLOW],
                                           .due_wall_ms = get_be(p + AT_DUE, 8),
                                           .arrival_wall_ms = get_be(p + AT_ARRIVAL, 8),
                                           .size_bytes = get_be(p + AT_SIZE, 8),
                                           .expiry_wall_ms = v1 ? 0 : get_be(p + AT_EXPIRY, 8),
                                           .delay_told = flags & FLAG_DELAY_TOLD,
                                           .complete = domain.n && !(flags & FLAG_MORE),
                                           .domain = domain },
                                 .chunks = (uint32_t)get_be(p + AT_CHUNKS, 4) };
    return ERR_OK;
}

struct slice record_index(struct slice record)
{
    size_t at = domain_at(record.p);
    ASSERT(record.n > at);
    return slice_sub(record, 0, at + 1 + (size_t)(unsigned char)record.p[at]);
}

enum err record_unpack(struct slice record, struct arena *a, struct envelope *out)
{
    struct record_head head;
    struct envelope e;
    enum err err = record_peek(record, &head);
    if (err) return err;
    if (get_be(record.p + AT_SUM, 4) != crc32c(slice_skip(record, AT_DUE))) return ERR_MALFORMED;
    err = envelope_unpack(slice_skip(record, record_index(record).n), a, &e);
    if (err) return err;
    e.size_bytes = head.item.size_bytes;
    e.chunks = head.chunks;
    *out = e;
    return ERR_OK;
}
