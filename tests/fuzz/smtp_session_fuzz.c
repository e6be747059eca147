/* Whole sessions: the first bytes choose how the shell behaves, the rest is what the client sends. The talk asserts the
 * session's promises at every step; on top, the same bytes cut differently must give the same answers and messages. */
#include "tests/node/smtp/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void start(struct talk *t, uint8_t how)
{
    struct smtp_session_conf c = { .hostname = SLICE("mx.example.com"), .domain = SLICE("example.com") };
    smtp_session_conf_defaults(&c);
    c.tls_required = how & 2;
    c.size_max = how & 4 ? 64 : 100000;
    c.rcpts_max = how & 8 ? 2 : 100;
    talk_init_with(t, &c);
    t->foreign = SLICE("@foreign.example");
    if (how & 16) t->refuse_at[SMTP_AT_DATA] = SMTP_REPLY_FULL;
    if (how & 32) t->refuse_at[SMTP_AT_END] = SMTP_REPLY_LOOP;
    if (how & 64) t->refuse_at[SMTP_AT_MAIL] = SMTP_REPLY_FULL;
}

/* Replies are lines of at most 512 bytes that begin with a code and end in CR LF. */
static void check_replies(struct slice said)
{
    while (said.n) {
        size_t end = slice_find_slice(said, SLICE("\r\n"));
        ASSERT(end < said.n && end >= 4 && end + 2 <= SMTP_REPLY_LINE_MAX);
        ASSERT(ascii_is_digit(said.p[0]) && ascii_is_digit(said.p[1]) && ascii_is_digit(said.p[2]));
        ASSERT(said.p[3] == ' ' || said.p[3] == '-');
        said = slice_skip(said, end + 2);
    }
}

/* Nothing that other servers could read as an end may be stored inside a message. */
static void check_stored(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) ASSERT(s.p[i] != '\r' || (i + 1 < s.n && s.p[i + 1] == '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2 || n > 65536) return 0;
    struct talk whole, cut;
    struct slice in = slice_from(data + 2, n - 2);
    start(&whole, data[0]);
    start(&cut, data[0]);
    talk_send(&whole, in);
    for (size_t piece = data[1] % 16 + 1; in.n; in = slice_skip(in, piece))
        talk_send(&cut, slice_sub(in, 0, piece));
    ASSERT(slice_eq(buf_slice(&whole.said), buf_slice(&cut.said)));
    ASSERT(slice_eq(buf_slice(&whole.stored), buf_slice(&cut.stored)));
    check_replies(buf_slice(&whole.said));
    check_stored(buf_slice(&whole.stored));
    if (!whole.closed) talk_event(&whole, data[1] & 16 ? SMTP_EV_SHUTDOWN : SMTP_EV_TIMEOUT);
    ASSERT(whole.closed && !whole.open);
    talk_deinit(&whole);
    talk_deinit(&cut);
    return 0;
}
