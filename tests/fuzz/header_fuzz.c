/* Headers: the same out however the input is cut, nothing stripped that the body says, nothing let through that is on
 * the list. */
#include "node/message/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void collect(void *owner, struct slice bytes)
{
    ASSERT(bytes.n);
    buf_put(owner, bytes);
}

static enum err pass(uint8_t how, struct slice in, size_t piece, struct buf *out)
{
    struct header h;
    struct header_conf c = { .host = SLICE("mx.example.com"),
                             .outbound = how & 1,
                             .add_missing = how & 2,
                             .helo = SLICE("x"),
                             .protocol = "ESMTP",
                             .id = SLICE("Q1"),
                             .wall_ms = 1136214245000 };
    enum err err = ERR_OK;
    buf_init(out, MIB(4));
    header_init(&h, &c, collect, out);
    for (; in.n && !err; in = slice_skip(in, piece))
        err = header_feed(&h, slice_sub(in, 0, piece), collect, out);
    if (!err) err = header_finish(&h, collect, out);
    header_deinit(&h);
    return err;
}

/* Outbound, no field of the header behind our own may be an inside one. */
static void check_header(uint8_t how, struct slice out)
{
    struct slice header = slice_sub(out, 0, slice_find_slice(out, SLICE("\r\n\r\n")) + 2);
    ASSERT(slice_starts(out, SLICE("Received: ")));
    if (!(how & 1)) return;
    ASSERT(slice_ifind_slice(header, SLICE("\nReceived:")) == header.n);
    ASSERT(slice_ifind_slice(header, SLICE("\nBcc:")) == header.n);
    ASSERT(slice_ifind_slice(header, SLICE("\nX-MS-Exchange-")) == header.n);
}

/* The text layer has refused bare CR and LF before a header is looked at. */
static void with_good_line_ends(struct slice s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        bool lf = s.p[i] == '\n', cr = s.p[i] == '\r';
        if (!cr) buf_put(out, lf ? SLICE("\r\n") : slice_sub(s, i, 1));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2) return 0;
    struct buf whole, cut, text;
    buf_init(&text, 2 * n);
    with_good_line_ends(slice_from(data + 2, n - 2), &text);
    struct slice in = buf_slice(&text);
    enum err a = pass(data[0], in, SIZE_MAX, &whole), b = pass(data[0], in, data[1] % 32 + 1, &cut);
    ASSERT(a == b);
    if (!a) {
        ASSERT(slice_eq(buf_slice(&whole), buf_slice(&cut)));
        check_header(data[0], buf_slice(&whole));
        size_t body = slice_find_slice(in, SLICE("\r\n\r\n"));
        if (body < in.n) ASSERT(slice_ends(buf_slice(&whole), slice_skip(in, body + 4)));
    }
    buf_deinit(&whole);
    buf_deinit(&cut);
    buf_deinit(&text);
    return 0;
}
