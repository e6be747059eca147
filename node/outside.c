#include "node/outside.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/timers.h"

enum { REPLY_BYTES_MAX = 8192, QUIT_MS = 1000 };

enum at { AT_BANNER, AT_EHLO };

struct outside_op {
    const struct env *env;
    char helo[256];
    outside_done_fn *done;
    void *owner;
    struct net_op *dial;
    struct stream *stream;
    struct timer limit;
    struct buf in;
    enum at at;
    struct addr seen;
    enum err found; /* what the first line of the EHLO reply gave */
    bool first_line;
};

enum err outside_parse(struct slice line, struct addr *out)
{
    size_t open = slice_find(line, '[');
    struct slice inner = slice_skip(line, open + 1);
    size_t close = slice_find(inner, ']');
    if (open == line.n || close == inner.n) return ERR_NOT_FOUND;
    struct slice ip = slice_sub(inner, 0, close);
    if (slice_istarts(ip, SLICE("IPv6:"))) ip = slice_skip(ip, 5);
    return addr_parse(ip, out) ? ERR_NOT_FOUND : ERR_OK;
}

static void op_free(struct outside_op *op)
{
    timer_clear(op->env->timers, &op->limit);
    net_dial_cancel(&op->dial);
    stream_close(&op->stream);
    buf_deinit(&op->in);
    free(op);
}

static void finish(struct outside_op *op, enum err err, const char *detail)
{
    char text[512];
    struct addr seen = op->seen;
    outside_done_fn *done = op->done;
    void *owner = op->owner;
    snprintf(text, sizeof text, "%s", detail);
    if (op->stream && op->at == AT_EHLO && err != ERR_CLOSED) {
        stream_write(op->stream, SLICE("QUIT\r\n"));
        stream_finish(&op->stream, QUIT_MS);
    }
    op_free(op);
    done(owner, err, err ? NULL : &seen, text);
}

/* One line of a reply, without its end. True: the operation is over. */
static bool take_line(struct outside_op *op, struct slice line)
{
    char text[300];
    bool last = line.n < 4 || line.p[3] != '-';
    bool good = line.n >= 3 && line.p[0] == '2';
    if (!good) {
        snprintf(text, sizeof text, "it says \"%.*s\"", (int)MIN(line.n, (size_t)200), line.p);
        finish(op, ERR_REFUSED, text);
        return true;
    }
    if (op->at == AT_EHLO && op->first_line) {
        op->found = outside_parse(line, &op->seen);
        op->first_line = false;
    }
    if (!last) return false;
    if (op->at == AT_EHLO) {
        finish(op, op->found, op->found ? "its EHLO reply names no address" : "");
        return true;
    }
    char ehlo[300];
    int n = snprintf(ehlo, sizeof ehlo, "EHLO %s\r\n", op->helo);
    op->at = AT_EHLO;
    op->first_line = true;
    stream_write(op->stream, slice_from(ehlo, (size_t)n));
    return false;
}

static void on_data(void *owner, struct slice bytes)
{
    struct outside_op *op = owner;
    if (buf_append(&op->in, bytes)) {
        finish(op, ERR_REFUSED, "its reply does not end");
        return;
    }
    for (;;) {
        struct slice all = buf_slice(&op->in);
        size_t end = slice_find_slice(all, SLICE("\r\n"));
        if (end == all.n) return;
        if (take_line(op, slice_sub(all, 0, end))) return;
        buf_consume(&op->in, end + 2);
    }
}

static void on_end(void *owner, enum err why, const char *detail)
{
    finish(owner, why == ERR_OK ? ERR_CLOSED : why, detail);
}

static const struct stream_events events = { .data = on_data, .end = on_end };

static void dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct outside_op *op = owner;
    op->dial = NULL;
    if (err) {
        finish(op, err, detail);
        return;
    }
    op->stream = s;
    stream_attach(s, &events, op);
}

static void late(struct timer *t)
{
    finish(t->owner, ERR_TIMEOUT, "no answer in time");
}

struct outside_op *outside_start(const struct env *env, const struct outside_conf *conf,
                                 outside_done_fn *done, void *owner)
{
    struct outside_op *op = xzalloc(sizeof *op);
    *op = (struct outside_op){ .env = env, .done = done, .owner = owner, .found = ERR_NOT_FOUND };
    snprintf(op->helo, sizeof op->helo, "%s", conf->helo);
    buf_init(&op->in, REPLY_BYTES_MAX);
    struct dial_conf dial = { .to = conf->to, .from = conf->from, .limit_ms = conf->limit_ms };
    op->dial = net_dial(env->net, &dial, dialled, op);
    timer_set_in(env->timers, &op->limit, conf->limit_ms, late, op);
    return op;
}

void outside_cancel(struct outside_op **slot)
{
    struct outside_op *op = *slot;
    *slot = NULL;
    if (op) op_free(op);
}
