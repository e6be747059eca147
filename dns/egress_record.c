#include "dns/egress_record.h"

static bool word_char(char c)
{
    return ascii_is_alnum(c) || c == '-' || c == '_' || c == '.';
}

static enum err take_word(struct slice s, char out[static EGRESS_WORD_MAX + 1])
{
    if (s.n == 0) return ERR_MALFORMED;
    if (s.n > EGRESS_WORD_MAX) return ERR_LIMIT;
    for (size_t i = 0; i < s.n; i++)
        if (!word_char(s.p[i])) return ERR_MALFORMED;
    return slice_cstr(s, out, EGRESS_WORD_MAX + 1);
}

enum err egress_record_make(struct slice cluster, uint64_t epoch, uint32_t serial, struct slice active,
                            struct slice digest, struct egress_record *out)
{
    struct egress_record r = { .epoch = epoch, .serial = serial };
    enum err err = take_word(cluster, r.cluster);
    if (!err) err = take_word(active, r.active);
    if (!err) err = take_word(digest, r.digest);
    if (!err) *out = r;
    return err;
}

void egress_record_format(const struct egress_record *r, struct buf *out)
{
    buf_putf(out, "v=gemel1 cluster=%s epoch=%" PRIu64 " active=%s digest=%s", r->cluster, r->epoch,
             r->active, r->digest);
    if (r->serial) buf_putf(out, " serial=%" PRIu32, r->serial);
}

static bool take_field(struct slice *rest, struct slice key, struct slice *value)
{
    struct slice word = { "", 0 };
    if (!slice_cut(rest, ' ', &word) || !slice_starts(word, key)) return false;
    *value = slice_skip(word, key.n);
    return true;
}

enum err egress_record_parse(struct slice text, struct egress_record *out)
{
    struct slice none, cluster, epoch_text, active, digest, serial_text;
    uint64_t epoch, serial = 0;
    if (!take_field(&text, SLICE("v=gemel1"), &none) || none.n ||
        !take_field(&text, SLICE("cluster="), &cluster) || !take_field(&text, SLICE("epoch="), &epoch_text) ||
        !take_field(&text, SLICE("active="), &active) || !take_field(&text, SLICE("digest="), &digest))
        return ERR_MALFORMED;
    if (slice_u64(epoch_text, UINT64_MAX, &epoch)) return ERR_MALFORMED;
    if (take_field(&text, SLICE("serial="), &serial_text) && slice_u64(serial_text, UINT32_MAX, &serial))
        return ERR_MALFORMED;
    return egress_record_make(cluster, epoch, (uint32_t)serial, active, digest, out) ? ERR_MALFORMED : ERR_OK;
}

bool egress_record_eq(const struct egress_record *a, const struct egress_record *b)
{
    return a->epoch == b->epoch && a->serial == b->serial && strcmp(a->cluster, b->cluster) == 0 &&
           strcmp(a->active, b->active) == 0 && strcmp(a->digest, b->digest) == 0;
}
