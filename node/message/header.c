#include "node/message/header.h"

#include <stdio.h>
#include <time.h>

static const struct slice internal_names[] = {
    SLICE_INIT("Received"),
    SLICE_INIT("X-Originating-IP"),
    SLICE_INIT("X-Mailer"),
    SLICE_INIT("User-Agent"),
    SLICE_INIT("Bcc"),
    SLICE_INIT("Resent-Bcc"),
    SLICE_INIT("Return-Path"),
    SLICE_INIT("X-MS-Exchange-*"),
    SLICE_INIT("X-OriginatorOrg"),
    SLICE_INIT("X-ClientProxiedBy"),
    SLICE_INIT("X-Forefront-*"),
    SLICE_INIT("X-Microsoft-Antispam*"),
    SLICE_INIT("X-Spam-*"),
    SLICE_INIT("X-Virus-*"),
    SLICE_INIT("X-Antivirus*"),
    SLICE_INIT("X-MimeOLE"),
    SLICE_INIT("X-Authenticated-*"),
    SLICE_INIT("X-Gemel-*"),
};
const struct header_names header_internal = { internal_names, ARRAY_LEN(internal_names) };

static const struct slice forged_names[] = {
    SLICE_INIT("Return-Path"),
    SLICE_INIT("X-MS-Exchange-Organization-*"),
    SLICE_INIT("X-MS-Exchange-Forest-*"),
    SLICE_INIT("X-MS-Exchange-CrossPremises-*"),
    SLICE_INIT("X-Forefront-Antispam-Report*"),
    SLICE_INIT("X-Microsoft-Antispam*"),
    SLICE_INIT("X-Gemel-*"),
};
const struct header_names header_forged = { forged_names, ARRAY_LEN(forged_names) };

const char *header_date(uint64_t wall_ms, char out[static HEADER_DATE_MAX])
{
    static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    snprintf(out, HEADER_DATE_MAX, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
             months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return out;
}

/* ---- what we add ---- */

static void put_client(const struct header_conf *c, struct buf *out)
{
    char ip[ADDR_TEXT_MAX];
    buf_putf(out, "from %.*s (", SLICE_ARG(c->helo));
    if (c->rdns.n) buf_putf(out, "%.*s ", SLICE_ARG(c->rdns));
    buf_putf(out, "[%s%s])\r\n\t", c->client.family == ADDR_V6 ? "IPv6:" : "", addr_format(&c->client, ip));
}

static void put_received(const struct header_conf *c, struct buf *out)
{
    char date[HEADER_DATE_MAX];
    buf_put(out, SLICE("Received: "));
    if (!c->outbound) put_client(c, out);
    buf_putf(out, "by %.*s with %s", SLICE_ARG(c->host), c->protocol);
    if (!c->outbound && c->tls && *c->tls) buf_putf(out, " (%s)", c->tls);
    buf_putf(out, "\r\n\tid %.*s", SLICE_ARG(c->id));
    if (!c->outbound && c->rcpt.n) buf_putf(out, "\r\n\tfor <%.*s>", SLICE_ARG(c->rcpt));
    buf_putf(out, ";\r\n\t%s\r\n", header_date(c->wall_ms, date));
}

static void give(header_sink_fn *sink, void *owner, struct slice bytes)
{
    if (bytes.n) sink(owner, bytes);
}

void header_init(struct header *h, const struct header_conf *c, header_sink_fn *sink, void *owner)
{
    char date[HEADER_DATE_MAX];
    *h = (struct header){ .strip = c->strip,
                          .host = c->host,
                          .hops_max = c->hops_max ? c->hops_max : HEADER_HOPS_MAX,
                          .outbound = c->outbound,
                          .add_missing = c->add_missing };
    if (!h->strip.n) h->strip = c->outbound ? header_internal : header_forged;
    buf_init(&h->field, HEADER_BYTES_MAX);
    buf_init(&h->line, HEADER_BYTES_MAX);
    buf_init(&h->tail, 4096);
    buf_putf(&h->tail, "Date: %s\r\n", header_date(c->wall_ms, date));
    h->date_bytes = buf_len(&h->tail);
    buf_putf(&h->tail, "Message-ID: <%.*s@%.*s>\r\n", SLICE_ARG(c->id), SLICE_ARG(c->host));
    put_received(c, &h->line);
    give(sink, owner, buf_slice(&h->line));
    buf_clear(&h->line);
}

void header_deinit(struct header *h)
{
    buf_deinit(&h->field);
    buf_deinit(&h->line);
    buf_deinit(&h->tail);
}

/* ---- what passes ---- */

static bool in_names(const struct header_names *names, struct slice name)
{
    for (size_t i = 0; i < names->n; i++) {
        struct slice want = names->names[i];
        bool prefix = want.n && want.p[want.n - 1] == '*';
        if (prefix ? slice_istarts(name, slice_sub(want, 0, want.n - 1)) : slice_ieq(name, want)) return true;
    }
    return false;
}

/* Behind blanks, line ends and comments (RFC 5322 3.2.2). */
static struct slice skip_cfws(struct slice s)
{
    unsigned depth = 0;
    size_t i = 0;
    for (; i < s.n; i++) {
        char c = s.p[i];
        bool blank = ascii_is_blank(c) || c == '\r' || c == '\n';
        if (c == '(') {
            depth++;
        } else if (c == ')' && depth) {
            depth--;
        } else if (c == '\\' && depth) {
            i++;
        } else if (!depth && !blank) {
            break;
        }
    }
    return slice_skip(s, i);
}

/* Authentication-Results that claim to be ours (RFC 8601 5): only we may speak in our name. */
static bool is_forged_result(const struct header *h, struct slice name, struct slice value)
{
    if (!slice_ieq(name, SLICE("Authentication-Results"))) return false;
    value = skip_cfws(value);
    if (value.n && value.p[0] == '"') value = slice_skip(value, 1);
    if (!slice_istarts(value, h->host)) return false;
    value = slice_skip(value, h->host.n);
    return !value.n || !(ascii_is_alnum(value.p[0]) || strchr("-._", value.p[0]));
}

/* Our own trace of outbound mail: "by HOST with ESMTP id 1JM50KCN98KDSHMJN3;", naming no client, with a queue id. Found in
 * mail that one of ours brings, it was here before: at this node or at another of the cluster. */
static bool is_our_trace(struct slice value)
{
    enum { ID_CHARS = 18 };
    struct slice rest = slice_trim(value);
    if (!slice_istarts(rest, SLICE("by "))) return false;
    rest = slice_skip(rest, slice_find_slice(rest, SLICE("id ")) + 3);
    for (size_t i = 0; i < ID_CHARS; i++)
        if (i >= rest.n || !ascii_is_alnum(rest.p[i])) return false;
    return rest.n > ID_CHARS && rest.p[ID_CHARS] == ';';
}

/* Each is counted; whether it stays is the list's business. */
static void count_hops(struct header *h, struct slice name, struct slice value, bool dropped)
{
    uint64_t n;
    if (slice_ieq(name, SLICE("Received"))) {
        h->hops++;
        h->stripped_hops += dropped;
        h->circled = h->circled || is_our_trace(value);
    } else if (slice_ieq(name, SLICE("X-Gemel-Hops")) && slice_u64(slice_trim(value), 1000, &n) == ERR_OK) {
        h->hops += (uint32_t)n;
        h->carried_hops += (uint32_t)n;
    }
}

static void end_field(struct header *h, header_sink_fn *sink, void *owner)
{
    struct slice field = buf_slice(&h->field);
    if (!field.n) return;
    size_t colon = slice_find(field, ':');
    struct slice name = slice_trim(slice_sub(field, 0, colon)), value = slice_skip(field, colon + 1);
    bool hops = slice_ieq(name, SLICE("X-Gemel-Hops"));
    bool drop = hops || in_names(&h->strip, name) || is_forged_result(h, name, value);
    count_hops(h, name, value, drop);
    h->has_date = h->has_date || slice_ieq(name, SLICE("Date"));
    h->has_id = h->has_id || slice_ieq(name, SLICE("Message-ID"));
    if (!drop) give(sink, owner, field);
    buf_clear(&h->field);
}

static void end_header(struct header *h, header_sink_fn *sink, void *owner)
{
    char hops[48];
    end_field(h, sink, owner);
    h->at = HEADER_BODY;
    if (h->hops > h->hops_max) {
        h->err = ERR_REFUSED;
        return;
    }
    uint32_t carried = h->carried_hops + h->stripped_hops;
    int n = snprintf(hops, sizeof hops, "X-Gemel-Hops: %" PRIu32 "\r\n", carried);
    if (carried && (h->circled || h->carried_hops)) give(sink, owner, slice_from(hops, (size_t)n));
    struct slice date = slice_sub(buf_slice(&h->tail), 0, h->date_bytes);
    struct slice id = slice_skip(buf_slice(&h->tail), h->date_bytes);
    if (h->add_missing && !h->has_date) give(sink, owner, date);
    if (h->add_missing && !h->has_id) give(sink, owner, id);
    buf_deinit(&h->field);
    buf_deinit(&h->tail);
}

/* Printable ASCII and a colon; blanks before the colon were once allowed (RFC 5322 4.5), UTF-8 never (RFC 6532 3.7). */
static bool is_field(struct slice line)
{
    size_t colon = slice_find(line, ':');
    if (colon == line.n) return false;
    struct slice name = slice_sub(line, 0, colon);
    while (name.n && ascii_is_blank(name.p[name.n - 1])) name.n--;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] >= 0x7f) return false;
    return name.n > 0;
}

static void take_line(struct header *h, struct slice line, header_sink_fn *sink, void *owner)
{
    bool first = h->at == HEADER_FIRST;
    bool goes_on = ascii_is_blank(line.p[0]) && buf_len(&h->field);
    h->at = HEADER_FIELDS;
    if (goes_on) {
        buf_put(&h->field, line);
    } else if (slice_eq(line, SLICE("\r\n"))) {
        end_header(h, sink, owner);
        if (!h->err) give(sink, owner, line);
    } else if (first && (slice_starts(line, SLICE("From ")) || slice_starts(line, SLICE(">From ")))) {
        /* An mbox separator that lost its way (RFC 4155): no field, and no reason to take the rest for text. */
    } else if (is_field(line)) {
        end_field(h, sink, owner);
        buf_put(&h->field, line);
    } else {
        end_header(h, sink, owner);
        if (h->err) return;
        give(sink, owner, SLICE("\r\n"));
        give(sink, owner, line);
    }
}

enum err header_feed(struct header *h, struct slice in, header_sink_fn *sink, void *owner)
{
    while (in.n && h->at != HEADER_BODY && !h->err) {
        size_t n = MIN(slice_find(in, '\n') + 1, in.n);
        struct slice part = slice_sub(in, 0, n);
        in = slice_skip(in, n);
        h->bytes += n;
        bool whole = part.p[n - 1] == '\n';
        if (h->bytes > HEADER_BYTES_MAX) {
            h->err = ERR_LIMIT;
        } else if (whole && buf_len(&h->line) == 0) {
            take_line(h, part, sink, owner);
        } else {
            buf_put(&h->line, part);
            if (whole) {
                take_line(h, buf_slice(&h->line), sink, owner);
                buf_clear(&h->line);
            }
        }
    }
    if (h->at == HEADER_BODY) buf_deinit(&h->line);
    if (!h->err) give(sink, owner, in);
    return h->err;
}

enum err header_finish(struct header *h, header_sink_fn *sink, void *owner)
{
    if (h->err || h->at == HEADER_BODY) return h->err;
    if (buf_len(&h->line)) take_line(h, buf_slice(&h->line), sink, owner);
    if (h->at != HEADER_BODY) end_header(h, sink, owner);
    return h->err;
}
