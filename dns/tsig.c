#include "dns/tsig.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { TYPE_TSIG = 250, CLASS_ANY = 255, HEADER_BYTES = 12, ARCOUNT_AT = 10 };
enum { RDATA_FIXED_BYTES = 16 }; /* time, fudge, MAC size, original id, error, other size */

static const struct algorithm {
    const char *name;
    uint8_t mac_n;
} algorithms[] = {
    [TSIG_SHA256] = { "hmac-sha256", 32 },
    [TSIG_SHA512] = { "hmac-sha512", 64 },
};

const char *tsig_algorithm_name(enum tsig_algorithm a)
{
    ASSERT(a < ARRAY_LEN(algorithms));
    return algorithms[a].name;
}

/* --- Keys --- */

static enum err find_algorithm(struct slice name, enum tsig_algorithm *out, const char **why)
{
    if (name.n && name.p[name.n - 1] == '.') name.n--;
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        if (!slice_ieq(name, slice_of(algorithms[i].name))) continue;
        *out = (enum tsig_algorithm)i;
        return ERR_OK;
    }
    *why = "the algorithm is not hmac-sha256 or hmac-sha512";
    if (slice_ieq(name, SLICE("hmac-sha384")))
        *why = "hmac-sha384 is refused: DNS tools built on ldns up to 1.8.3 misspell it on the wire; make a "
               "key for "
               "hmac-sha256 or hmac-sha512";
    else if (slice_istarts(name, SLICE("hmac-md5")) || slice_ieq(name, SLICE("hmac-sha1")))
        *why = "the algorithm is too weak: use hmac-sha256 or hmac-sha512";
    return ERR_REFUSED;
}

static enum err decode_secret(struct slice text, struct tsig_key *k)
{
    uint8_t out[TSIG_SECRET_MAX / 3 * 4 + 8];
    text = slice_trim(text);
    if (text.n == 0 || text.n % 4 || text.n / 4 * 3 > sizeof out) return ERR_MALFORMED;
    for (size_t i = 0; i < text.n; i++) /* OpenSSL would skip what does not belong */
        if (!ascii_is_alnum(text.p[i]) && text.p[i] != '+' && text.p[i] != '/' && text.p[i] != '=')
            return ERR_MALFORMED;
    size_t pad = slice_ends(text, SLICE("==")) ? 2 : slice_ends(text, SLICE("=")) ? 1 : 0;
    if (slice_find(text, '=') != text.n - pad) return ERR_MALFORMED;
    int n = EVP_DecodeBlock(out, (const unsigned char *)text.p, (int)text.n);
    if (n < 0 || (size_t)n <= pad || (size_t)n - pad > sizeof k->secret) return ERR_MALFORMED;
    k->secret_n = (size_t)n - pad;
    memcpy(k->secret, out, k->secret_n);
    OPENSSL_cleanse(out, sizeof out);
    return ERR_OK;
}

enum err tsig_key_make(struct slice name, struct slice algorithm, struct slice secret, struct tsig_key *out,
                       const char **why)
{
    struct tsig_key k = { 0 };
    enum err err = find_algorithm(algorithm, &k.algorithm, why);
    if (err) return err;
    if (dns_name_parse(name, &k.name) || k.name.n == 0) {
        *why = "the key's name is not a domain name";
        return ERR_MALFORMED;
    }
    if (decode_secret(secret, &k)) {
        *why = "the secret is not base64, or too long";
        return ERR_MALFORMED;
    }
    *out = k;
    tsig_key_wipe(&k);
    return ERR_OK;
}

void tsig_key_wipe(struct tsig_key *k)
{
    OPENSSL_cleanse(k->secret, sizeof k->secret);
    k->secret_n = 0;
}

/* --- Numbers on the wire --- */

static uint8_t *put16(uint8_t *to, uint16_t v)
{
    *to++ = (uint8_t)(v >> 8);
    *to++ = (uint8_t)v;
    return to;
}

static uint8_t *put48(uint8_t *to, uint64_t v)
{
    for (int shift = 40; shift >= 0; shift -= 8) *to++ = (uint8_t)(v >> shift);
    return to;
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint64_t get48(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 6; i++) v = v << 8 | p[i];
    return v;
}

/* --- The MAC (RFC 8945 4.3) --- */

struct variables { /* what is signed besides the message */
    uint64_t time_s;
    uint16_t fudge_s, error;
    const uint8_t *other;
    uint16_t other_n;
};

static uint8_t *put_name(uint8_t *to, struct slice name)
{
    uint8_t wire[DNS_NAME_WIRE_MAX];
    size_t n = dns_name_to_wire(name, wire);
    memcpy(to, wire, n);
    return to + n;
}

static struct tsig_mac mac_of(const struct tsig_key *k, const struct tsig_mac *asked, struct slice message,
                              const struct variables *v)
{
    struct tsig_mac mac = { 0 };
    uint8_t vars[2 * DNS_NAME_WIRE_MAX + 32], asked_n[2], *at = vars;
    const EVP_MD *md = k->algorithm == TSIG_SHA512 ? EVP_sha512() : EVP_sha256();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, k->secret, k->secret_n);
    size_t n = sizeof mac.p;
    ASSERT(ctx && key);
    at = put_name(at, dns_name_slice(&k->name));
    at = put16(at, CLASS_ANY);
    at = put16(put16(at, 0), 0); /* TTL */
    at = put_name(at, slice_of(algorithms[k->algorithm].name));
    at = put48(at, v->time_s);
    at = put16(at, v->fudge_s);
    at = put16(at, v->error);
    at = put16(at, v->other_n);
    bool ok = EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1;
    if (asked) {
        put16(asked_n, asked->n);
        ok = ok && EVP_DigestSignUpdate(ctx, asked_n, 2) == 1 &&
             EVP_DigestSignUpdate(ctx, asked->p, asked->n) == 1;
    }
    ok = ok && EVP_DigestSignUpdate(ctx, message.p, message.n) == 1;
    ok = ok && EVP_DigestSignUpdate(ctx, vars, (size_t)(at - vars)) == 1;
    if (v->other_n) ok = ok && EVP_DigestSignUpdate(ctx, v->other, v->other_n) == 1;
    ok = ok && EVP_DigestSignFinal(ctx, mac.p, &n) == 1;
    ASSERT(ok);
    EVP_PKEY_free(key);
    EVP_MD_CTX_free(ctx);
    mac.n = (uint8_t)n;
    return mac;
}

enum err tsig_sign(struct buf *message, const struct tsig_key *k, uint64_t now_s, struct tsig_mac *mac)
{
    uint8_t rr[2 * DNS_NAME_WIRE_MAX + RDATA_FIXED_BYTES + TSIG_MAC_MAX + 16], *at = rr, *rdata_n;
    struct variables v = { .time_s = now_s, .fudge_s = TSIG_FUDGE_S };
    ASSERT(buf_len(message) >= HEADER_BYTES);
    struct tsig_mac m = mac_of(k, NULL, buf_slice(message), &v);
    at = put_name(at, dns_name_slice(&k->name));
    at = put16(put16(at, TYPE_TSIG), CLASS_ANY);
    at = put16(put16(at, 0), 0);
    rdata_n = at;
    at = put_name(at + 2, slice_of(algorithms[k->algorithm].name));
    at = put16(put48(at, v.time_s), v.fudge_s);
    at = put16(at, m.n);
    memcpy(at, m.p, m.n);
    at += m.n;
    memcpy(at, buf_slice(message).p, 2); /* original id */
    at = put16(put16(at + 2, 0), 0);
    put16(rdata_n, (uint16_t)(at - rdata_n - 2));
    enum err err = buf_append(message, slice_from(rr, (size_t)(at - rr)));
    if (err) return err;
    uint8_t *header = (uint8_t *)message->p + message->head;
    put16(header + ARCOUNT_AT, (uint16_t)(get16(header + ARCOUNT_AT) + 1));
    *mac = m;
    return ERR_OK;
}

/* --- Finding the TSIG of an answer --- */

struct reader {
    const uint8_t *p;
    size_t n, at;
};

static bool skip(struct reader *r, size_t n)
{
    if (r->n - r->at < n) return false;
    r->at += n;
    return true;
}

/* Pointers must lead backwards, so this ends. */
static bool read_name(struct reader *r, struct dns_name *out)
{
    uint8_t wire[DNS_NAME_WIRE_MAX];
    size_t n = 0, at = r->at, limit = r->at;
    bool jumped = false;
    while (at < r->n) {
        uint8_t c = r->p[at];
        if (c >= 0xc0) {
            if (at + 2 > r->n) return false;
            size_t to = get16(r->p + at) & 0x3fff;
            if (!jumped) r->at = at + 2;
            jumped = true;
            if (to >= limit) return false;
            limit = at = to;
            continue;
        }
        if (c > DNS_LABEL_MAX || at + 1 + c > r->n || n + 1 + c > sizeof wire) return false;
        memcpy(wire + n, r->p + at, (size_t)c + 1);
        n += (size_t)c + 1;
        at += (size_t)c + 1;
        if (c) continue;
        if (!jumped) r->at = at;
        return dns_name_from_wire(wire, n, out) == ERR_OK;
    }
    return false;
}

/* A name we do not represent is still skipped. */
static bool skip_name(struct reader *r)
{
    while (r->at < r->n) {
        uint8_t c = r->p[r->at];
        if (c >= 0xc0) return skip(r, 2);
        if (!skip(r, (size_t)c + 1)) return false;
        if (c == 0) return true;
    }
    return false;
}

static bool skip_record(struct reader *r, uint16_t *type)
{
    if (!skip_name(r) || !skip(r, 10)) return false;
    *type = get16(r->p + r->at - 10);
    return skip(r, get16(r->p + r->at - 2));
}

struct found {
    size_t at; /* where the TSIG starts: the end of what is signed */
    struct dns_name key, algorithm;
    struct variables v;
    const uint8_t *mac;
    uint16_t mac_n, original_id;
};

static bool read_tsig(struct reader *r, struct found *f)
{
    if (!read_name(r, &f->key) || !skip(r, 10)) return false;
    if (get16(r->p + r->at - 8) != CLASS_ANY) return false;
    r->n = MIN(r->n, r->at + get16(r->p + r->at - 2));
    if (!read_name(r, &f->algorithm) || !skip(r, 10)) return false;
    f->v.time_s = get48(r->p + r->at - 10);
    f->v.fudge_s = get16(r->p + r->at - 4);
    f->mac_n = get16(r->p + r->at - 2);
    f->mac = r->p + r->at;
    if (!skip(r, f->mac_n) || !skip(r, 6)) return false;
    f->original_id = get16(r->p + r->at - 6);
    f->v.error = get16(r->p + r->at - 4);
    f->v.other_n = get16(r->p + r->at - 2);
    f->v.other = r->p + r->at;
    return skip(r, f->v.other_n) && r->at == r->n;
}

/* TSIG_OK: found. The last record of the additional section, and nothing behind it. */
static enum tsig_check find_tsig(struct slice answer, struct found *out)
{
    struct reader r = { (const uint8_t *)answer.p, answer.n, HEADER_BYTES };
    uint16_t type = 0;
    if (answer.n < HEADER_BYTES) return TSIG_MALFORMED;
    for (size_t i = get16(r.p + 4); i; i--)
        if (!skip_name(&r) || !skip(&r, 4)) return TSIG_MALFORMED;
    size_t records = (size_t)get16(r.p + 6) + get16(r.p + 8) + get16(r.p + ARCOUNT_AT);
    for (size_t i = 0; i < records; i++) {
        out->at = r.at;
        if (!skip_record(&r, &type)) return TSIG_MALFORMED;
        if (type == TYPE_TSIG && i + 1 < records) return TSIG_MALFORMED;
    }
    if (r.at != answer.n) return TSIG_MALFORMED;
    if (type != TYPE_TSIG || get16(r.p + ARCOUNT_AT) == 0) return TSIG_ABSENT;
    r.at = out->at;
    return read_tsig(&r, out) ? TSIG_OK : TSIG_MALFORMED;
}

/* The bytes that were signed: without the TSIG, its count taken back, with the original id. */
static bool mac_is_right(struct slice answer, const struct found *f, const struct tsig_key *k,
                         const struct tsig_mac *asked)
{
    struct buf b;
    if (f->mac_n != algorithms[k->algorithm].mac_n) return false; /* no truncated MACs */
    buf_init(&b, f->at);
    buf_put(&b, slice_sub(answer, 0, f->at));
    uint8_t *header = (uint8_t *)b.p + b.head;
    put16(header, f->original_id);
    put16(header + ARCOUNT_AT, (uint16_t)(get16(header + ARCOUNT_AT) - 1));
    struct tsig_mac want = mac_of(k, asked, buf_slice(&b), &f->v);
    buf_deinit(&b);
    return CRYPTO_memcmp(want.p, f->mac, want.n) == 0;
}

enum tsig_check tsig_check(struct slice answer, const struct tsig_key *k, const struct tsig_mac *asked,
                           uint64_t now_s, uint16_t *error, uint64_t *server_s)
{
    struct found f = { 0 };
    *error = 0;
    *server_s = 0;
    enum tsig_check found = find_tsig(answer, &f);
    if (found != TSIG_OK) return found;
    *error = f.v.error;
    *server_s = f.v.error == 18 && f.v.other_n == 6 ? get48(f.v.other) : f.v.time_s;
    if (f.mac_n == 0) return TSIG_ABSENT; /* BADKEY and BADSIG cannot be signed (5.3.2) */
    if (!dns_name_eq(dns_name_slice(&f.key), dns_name_slice(&k->name)) ||
        !dns_name_eq(dns_name_slice(&f.algorithm), slice_of(algorithms[k->algorithm].name)))
        return TSIG_WRONG_KEY;
    if (!mac_is_right(answer, &f, k, asked)) return TSIG_WRONG_MAC;
    uint64_t apart_s = now_s > f.v.time_s ? now_s - f.v.time_s : f.v.time_s - now_s;
    return apart_s <= f.v.fudge_s && apart_s <= TSIG_FUDGE_S ? TSIG_OK : TSIG_WRONG_TIME;
}
