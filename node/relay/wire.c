#include "node/relay/wire.h"

#include "node/relay/reply.h"

static void cap_size(struct slice value, struct wire_caps *out)
{
    uint64_t max;
    out->size = true;
    if (slice_u64(slice_word(&value), UINT64_MAX, &max) == ERR_OK) out->size_max = max;
}

void wire_caps_parse(struct slice text, struct wire_caps *out)
{
    static const struct {
        struct slice word;
        size_t at;
    } flags[] = {
        { SLICE_INIT("PIPELINING"), offsetof(struct wire_caps, pipelining) },
        { SLICE_INIT("CHUNKING"), offsetof(struct wire_caps, chunking) },
        { SLICE_INIT("STARTTLS"), offsetof(struct wire_caps, starttls) },
        { SLICE_INIT("8BITMIME"), offsetof(struct wire_caps, eightbitmime) },
        { SLICE_INIT("SMTPUTF8"), offsetof(struct wire_caps, smtputf8) },
        { SLICE_INIT("DSN"), offsetof(struct wire_caps, dsn) },
    };
    struct slice line;
    *out = (struct wire_caps){ 0 };
    if (!refusal_next_line(&text, &line)) return; /* the first line is the greeting */
    while (refusal_next_line(&text, &line)) {
        struct slice word = slice_word(&line);
        if (slice_ieq(word, SLICE("SIZE"))) cap_size(line, out);
        for (size_t i = 0; i < ARRAY_LEN(flags); i++)
            if (slice_ieq(word, flags[i].word)) *(bool *)((char *)out + flags[i].at) = true;
    }
}

bool wire_address_ok(struct slice address)
{
    if (!address.n || address.n > WIRE_ADDRESS_BYTES_MAX) return false;
    for (size_t i = 0; i < address.n; i++)
        if ((uint8_t)address.p[i] < ' ' || address.p[i] == 0x7f) return false;
    return true;
}

/* RFC 3461 4: printable ASCII without '='; '+' begins a hex pair. ORCPT has "type;" in front, and RFC 6533 allows
 * UTF-8 there. */
static bool is_xtext(struct slice s, bool utf8)
{
    if (!s.n || s.n > WIRE_XTEXT_BYTES_MAX) return false;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c <= ' ' || c == '=' || c == 0x7f || (c > 0x7e && !utf8)) return false;
    }
    return true;
}

void wire_mail(const struct relay_mail *m, const struct wire_caps *caps, struct buf *out)
{
    buf_putf(out, "MAIL FROM:<%.*s>", SLICE_ARG(m->sender));
    if (caps->size && m->size_bytes) buf_putf(out, " SIZE=%" PRIu64, m->size_bytes);
    if (caps->eightbitmime && m->body_8bit) buf_put(out, SLICE(" BODY=8BITMIME"));
    if (caps->smtputf8 && m->smtputf8) buf_put(out, SLICE(" SMTPUTF8"));
    if (caps->dsn && m->ret) buf_put(out, m->ret == RELAY_RET_FULL ? SLICE(" RET=FULL") : SLICE(" RET=HDRS"));
    if (caps->dsn && is_xtext(m->envid, false)) buf_putf(out, " ENVID=%.*s", SLICE_ARG(m->envid));
    buf_put(out, SLICE("\r\n"));
}

static void put_notify(uint32_t notify, struct buf *out)
{
    static const struct {
        uint32_t bit;
        const char *word;
    } words[] = { { RELAY_NOTIFY_SUCCESS, "SUCCESS" },
                  { RELAY_NOTIFY_FAILURE, "FAILURE" },
                  { RELAY_NOTIFY_DELAY, "DELAY" } };
    const char *before = " NOTIFY=";
    if (notify & RELAY_NOTIFY_NEVER) {
        buf_put(out, SLICE(" NOTIFY=NEVER"));
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (notify & words[i].bit) {
            buf_putf(out, "%s%s", before, words[i].word);
            before = ",";
        }
}

void wire_rcpt(const struct relay_rcpt *r, const struct wire_caps *caps, struct buf *out)
{
    buf_putf(out, "RCPT TO:<%.*s>", SLICE_ARG(r->address));
    if (caps->dsn) {
        put_notify(r->notify, out);
        if (is_xtext(r->orcpt, caps->smtputf8)) buf_putf(out, " ORCPT=%.*s", SLICE_ARG(r->orcpt));
    }
    buf_put(out, SLICE("\r\n"));
}

static void end_line(struct wire_stuffing *st, struct buf *out)
{
    buf_put(out, SLICE("\r\n"));
    st->within = false;
}

void wire_stuff(struct wire_stuffing *st, struct slice in, struct buf *out)
{
    while (in.n) {
        bool cr = st->cr;
        st->cr = false;
        if (cr) { /* CRLF, or a bare CR that is made one */
            end_line(st, out);
            if (in.p[0] == '\n') {
                in = slice_skip(in, 1);
                continue;
            }
        }
        size_t run = 0;
        while (run < in.n && in.p[run] != '\r' && in.p[run] != '\n') run++;
        if (run) {
            if (!st->within && in.p[0] == '.') buf_put(out, SLICE("."));
            buf_put(out, slice_sub(in, 0, run));
            st->within = true;
        }
        if (run == in.n) return;
        if (in.p[run] == '\r')
            st->cr = true;
        else
            end_line(st, out);
        in = slice_skip(in, run + 1);
    }
}

void wire_stuff_end(struct wire_stuffing *st, struct buf *out)
{
    if (st->within || st->cr) end_line(st, out);
    st->cr = false;
}
