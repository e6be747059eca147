/* What a reply says: error words, values, and the name of a script. No connection here. */
#include <hiredis/hiredis.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/redis_uv.h"

static const struct {
    struct slice prefix; /* the first word, as the server writes it */
    const char *word;
    enum err err;
} words[] = {
    { SLICE_INIT("READONLY"), "readonly", ERR_RETRY }, /* a replica: the master has moved */
    { SLICE_INIT("LOADING"), "loading", ERR_RETRY },
    { SLICE_INIT("MASTERDOWN"), "masterdown", ERR_RETRY },
    { SLICE_INIT("NOREPLICAS"), "noreplicas", ERR_RETRY }, /* min-replicas-to-write: refused, not half done */
    { SLICE_INIT("OOM"), "oom", ERR_RETRY },
    { SLICE_INIT("BUSY"), "busy", ERR_RETRY },       /* another script runs; ours has not started */
    { SLICE_INIT("MISCONF"), "misconf", ERR_RETRY }, /* it cannot save, and refuses writes until it can */
    { SLICE_INIT("CLUSTERDOWN"), "clusterdown", ERR_RETRY },
    { SLICE_INIT("TRYAGAIN"), "tryagain", ERR_RETRY },
    { SLICE_INIT("EXECABORT"), "execabort", ERR_RETRY },
    { SLICE_INIT("UNKILLABLE"), "unkillable", ERR_RETRY },
    { SLICE_INIT("NOAUTH"), "noauth", ERR_REFUSED },
    { SLICE_INIT("WRONGPASS"), "wrongpass", ERR_REFUSED },
    { SLICE_INIT("NOPERM"), "noperm", ERR_REFUSED },
    { SLICE_INIT("MOVED"), "moved", ERR_REFUSED }, /* a Redis Cluster, which this client is not made for */
    { SLICE_INIT("WRONGTYPE"), "wrongtype", ERR_MALFORMED },
    { SLICE_INIT("NOSCRIPT"), "noscript", ERR_NOT_FOUND },
};

enum err redis_classify(struct slice text, const char **word)
{
    struct slice first = slice_word(&text);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!slice_eq(first, words[i].prefix)) continue;
        *word = words[i].word;
        return words[i].err;
    }
    *word = "err";
    return ERR_REFUSED;
}

bool redis_reply_is_nil(const struct redisReply *r)
{
    return !r || r->type == REDIS_REPLY_NIL;
}

struct slice redis_reply_text(const struct redisReply *r)
{
    bool text = r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS ||
                      r->type == REDIS_REPLY_ERROR);
    return text ? slice_from(r->str, r->len) : SLICE("");
}

bool redis_reply_int(const struct redisReply *r, int64_t *out)
{
    if (r && r->type == REDIS_REPLY_INTEGER) {
        *out = r->integer;
        return true;
    }
    struct slice s = redis_reply_text(r);
    bool negative = s.n && s.p[0] == '-';
    uint64_t n;
    if (!r || r->type == REDIS_REPLY_ERROR || slice_u64(slice_skip(s, negative), INT64_MAX, &n)) return false;
    *out = negative ? -(int64_t)n : (int64_t)n;
    return true;
}

size_t redis_reply_count(const struct redisReply *r)
{
    return r && r->type == REDIS_REPLY_ARRAY ? r->elements : 0;
}

const struct redisReply *redis_reply_at(const struct redisReply *r, size_t i)
{
    return i < redis_reply_count(r) ? r->element[i] : NULL;
}

const struct redisReply *redis_reply_field(const struct redisReply *r, struct slice name)
{
    for (size_t i = 0; i + 1 < redis_reply_count(r); i += 2)
        if (slice_eq(redis_reply_text(r->element[i]), name)) return r->element[i + 1];
    return NULL;
}

void redis_script_init(struct redis_script *s, const char *name, const char *text)
{
    unsigned char sum[20];
    unsigned n = 0;
    *s = (struct redis_script){ .name = name, .text = text };
    int ok = EVP_Digest(text, strlen(text), sum, &n, EVP_sha1(), NULL);
    ASSERT(ok == 1 && n == sizeof sum);
    for (size_t i = 0; i < sizeof sum; i++) snprintf(s->sha1 + 2 * i, 3, "%02x", sum[i]);
}
