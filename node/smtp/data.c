#include "node/smtp/data.h"

void smtp_data_init(struct smtp_data *d, uint64_t bytes_max)
{
    *d = (struct smtp_data){ .bytes_max = bytes_max };
}

/* The gravest one stays, not the first: which comes first depends on how the bytes were cut. */
static void blame(struct smtp_data *d, enum smtp_reply fault)
{
    _Static_assert(SMTP_REPLY_BARE_NEWLINE_IN_DATA < SMTP_REPLY_DATA_LINE_TOO_LONG &&
                       SMTP_REPLY_DATA_LINE_TOO_LONG < SMTP_REPLY_TOO_BIG,
                   "in order of gravity");
    if (!d->fault || fault < d->fault) d->fault = fault;
}

static void count(struct smtp_data *d, size_t n)
{
    d->bytes += n;
    d->line_bytes += n;
    if (d->bytes > d->bytes_max) blame(d, SMTP_REPLY_TOO_BIG);
    if (d->line_bytes > SMTP_DATA_LINE_MAX) blame(d, SMTP_REPLY_DATA_LINE_TOO_LONG);
}

/* Goes through text from s.p[i], up to and including the next LF or the end of `s`, and keeps `at` true. */
static size_t take_text(struct smtp_data *d, struct slice s, size_t i)
{
    struct slice rest = slice_skip(s, i);
    size_t lf = slice_find(rest, '\n');
    struct slice line = slice_sub(rest, 0, lf);
    size_t taken = MIN(lf + 1, rest.n);
    bool cr_before = line.n ? line.p[line.n - 1] == '\r' : d->at == SMTP_DATA_CR;
    /* CR is good only as the last byte before LF (or before the end of what we have, where we wait and see). */
    if (d->at == SMTP_DATA_CR && line.n) blame(d, SMTP_REPLY_BARE_NEWLINE_IN_DATA);
    if (line.n && slice_find(line, '\r') + 1 < line.n) blame(d, SMTP_REPLY_BARE_NEWLINE_IN_DATA);
    if (lf < rest.n && !cr_before) blame(d, SMTP_REPLY_BARE_NEWLINE_IN_DATA);
    count(d, taken);
    if (lf == rest.n) {
        d->at = cr_before ? SMTP_DATA_CR : SMTP_DATA_TEXT;
    } else {
        d->at = cr_before ? SMTP_DATA_LINE_START : SMTP_DATA_TEXT;
        if (cr_before) d->line_bytes = 0;
    }
    return i + taken;
}

/* Behind a dot that began a line; the dot itself is gone from the text. Returns bytes taken. */
static size_t take_after_dot(struct smtp_data *d, char c)
{
    if (d->at == SMTP_DATA_DOT) {
        d->at = c == '\r' ? SMTP_DATA_DOT_CR : SMTP_DATA_TEXT;
        return c == '\r';
    }
    if (c == '\n') {
        d->at = SMTP_DATA_END;
        return 1;
    }
    blame(
        d,
        SMTP_REPLY_BARE_NEWLINE_IN_DATA); /* dot, CR, something else: that CR is lost, and so is the message */
    d->at = c == '\r' ? SMTP_DATA_CR : SMTP_DATA_TEXT;
    return c == '\r';
}

struct slice smtp_data_take(struct smtp_data *d, struct slice *in)
{
    struct slice s = *in;
    size_t i = 0, from = 0;
    bool run = false; /* bytes from..i are text to give */
    while (i < s.n && d->at != SMTP_DATA_END) {
        bool dot = d->at == SMTP_DATA_LINE_START && s.p[i] == '.';
        bool after_dot = d->at == SMTP_DATA_DOT || d->at == SMTP_DATA_DOT_CR;
        if (run && dot) break;
        if (dot) {
            d->at = SMTP_DATA_DOT;
            i++;
        } else if (after_dot) {
            i += take_after_dot(d, s.p[i]);
        } else {
            if (!run) from = i;
            run = true;
            i = take_text(d, s, i);
        }
    }
    *in = slice_skip(s, i);
    return run ? slice_sub(s, from, i - from) : SLICE("");
}

struct slice smtp_data_take_chunk(struct smtp_data *d, struct slice chunk)
{
    for (size_t i = 0; i < chunk.n;) i = take_text(d, chunk, i);
    return chunk;
}

struct slice smtp_data_end_chunks(struct smtp_data *d)
{
    if (d->at == SMTP_DATA_CR) blame(d, SMTP_REPLY_BARE_NEWLINE_IN_DATA);
    bool missing = d->at == SMTP_DATA_TEXT;
    d->at = SMTP_DATA_END;
    if (!missing) return SLICE("");
    count(d, 2);
    return SLICE("\r\n");
}
