/* What a receiver answers: the reply parser, in pieces cut by the input itself, then the classifier on what was kept. */
#include "base/buf.h"
#include "node/relay/reply.h"
#include "proto/replies/classify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct classifier *rules(void)
{
    static struct classifier *c;
    if (!c && classifier_create(&(struct classify_conf){ 0 }, &c, NULL)) __builtin_trap();
    return c;
}

static void judge(struct slice text)
{
    struct classify_output out;
    struct classify_input in = {
        .stage_known = true, .stage = text.n % RELAY_STAGES, .provider = text, .text = text
    };
    if (addr_parse(SLICE("192.0.2.10"), &in.own)) __builtin_trap();
    classify(rules(), &in, &out);
    ASSERT(out.scope < RELAY_SCOPES && out.effect < RELAY_EFFECTS && out.rule.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct reply r;
    struct slice in = slice_from(data, n);
    size_t step = n ? 1 + data[n - 1] % 64u : 1;
    reply_init(&r);
    enum err err = ERR_RETRY;
    while (in.n && err != ERR_MALFORMED) {
        struct slice piece = slice_sub(in, 0, step);
        in = slice_skip(in, piece.n);
        while (piece.n && err != ERR_MALFORMED) {
            err = reply_feed(&r, &piece);
            ASSERT(buf_len(&r.text) <= REPLY_TEXT_BYTES_MAX);
            if (err) continue;
            judge(buf_slice(&r.text));
            reply_reset(&r);
        }
    }
    reply_deinit(&r);
    judge(slice_from(data, n));
    return 0;
}
