#include "proto/channel.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/timers.h"
#include "proto/edge.pb-c.h"
#include "proto/frame.h"

struct channel {
    const struct env *env;
    const struct channel_conf *conf;
    const struct channel_events *ev;
    void *owner;
    struct stream *stream;
    struct buf in;
    struct timer limit;
    bool up;
    char peer[64];
    bool *destroyed; /* set while callbacks run, so that they may destroy the channel */
};

static void end(struct channel *c, enum err why, const char *detail)
{
    c->up = false;
    timer_clear(c->env->timers, &c->limit);
    stream_close(&c->stream);
    c->ev->down(c->owner, why, detail); /* may free c */
}

static const char *refusal(struct channel *c, const Gemel__V1__Hello *h)
{
    if (h->version != CHANNEL_VERSION) return "the peer speaks another version of the protocol";
    if (strcmp(h->cluster, c->conf->cluster) != 0) return "the peer belongs to another cluster";
    if (!*h->name || strlen(h->name) >= sizeof c->peer) return "the peer has no usable name";
    if (!c->conf->clear && strcmp(h->name, stream_tls_peer_name(c->stream)) != 0)
        return "the peer's name is not the name in its certificate";
    if (c->conf->knows && !c->conf->knows(c->owner, h->name))
        return "the peer's name is not in the configuration";
    return NULL;
}

/* False when the channel has ended. */
static bool take_hello(struct channel *c, struct slice payload)
{
    Gemel__V1__LinkFrame *f = gemel__v1__link_frame__unpack(NULL, payload.n, (const uint8_t *)payload.p);
    char detail[256];
    if (!f || f->body_case != GEMEL__V1__LINK_FRAME__BODY_HELLO) {
        if (f) gemel__v1__link_frame__free_unpacked(f, NULL);
        end(c, ERR_MALFORMED, "the first frame is not a Hello");
        return false;
    }
    const char *why = refusal(c, f->hello);
    if (why) {
        snprintf(detail, sizeof detail, "%s (it says \"%.63s\", its certificate \"%.63s\")", why,
                 f->hello->name, c->conf->clear ? "" : stream_tls_peer_name(c->stream));
        gemel__v1__link_frame__free_unpacked(f, NULL);
        end(c, ERR_REFUSED, detail);
        return false;
    }
    snprintf(c->peer, sizeof c->peer, "%s", f->hello->name);
    char digest[65] = "";
    size_t n = MIN(f->hello->config_digest.len, sizeof digest - 1);
    if (n) memcpy(digest, f->hello->config_digest.data, n);
    gemel__v1__link_frame__free_unpacked(f, NULL);
    timer_clear(c->env->timers, &c->limit);
    c->up = true;
    bool gone = false, *outer = c->destroyed;
    c->destroyed = &gone;
    c->ev->up(c->owner, c->peer, digest);
    if (gone) return false;
    c->destroyed = outer;
    return c->stream != NULL;
}

static void on_data(void *owner, struct slice bytes)
{
    struct channel *c = owner;
    if (buf_append(&c->in, bytes)) {
        end(c, ERR_LIMIT, "more bytes than one frame may have");
        return;
    }
    for (;;) {
        struct slice rest = buf_slice(&c->in), payload;
        enum err err = frame_next(&rest, &payload);
        if (err == ERR_RETRY) return;
        if (err) {
            end(c, err, err == ERR_LIMIT ? "a frame is longer than 1 MiB" : "an empty frame");
            return;
        }
        if (!c->up) {
            if (!take_hello(c, payload)) return;
        } else {
            bool gone = false;
            c->destroyed = &gone;
            c->ev->frame(c->owner, payload);
            if (gone) return;
            c->destroyed = NULL;
            if (!c->stream) return;
        }
        buf_consume(&c->in, FRAME_HEAD_BYTES + payload.n);
    }
}

static void on_end(void *owner, enum err why, const char *detail)
{
    end(owner, why, detail);
}

static void on_drained(void *owner)
{
    struct channel *c = owner;
    if (c->up && c->ev->drained) c->ev->drained(c->owner);
}

static const struct stream_events stream_events = { .data = on_data, .end = on_end, .drained = on_drained };

static void hello_late(struct timer *t)
{
    end(t->owner, ERR_TIMEOUT, "no Hello came");
}

static enum err put(struct channel *c, const ProtobufCMessage *message)
{
    struct buf out;
    buf_init(&out, FRAME_HEAD_BYTES + FRAME_BYTES_MAX);
    enum err err = frame_put_message(message, &out);
    if (!err) stream_write(c->stream, buf_slice(&out));
    buf_deinit(&out);
    return err;
}

static void send_hello(struct channel *c)
{
    Gemel__V1__Hello hello = GEMEL__V1__HELLO__INIT;
    hello.version = CHANNEL_VERSION;
    hello.cluster = (char *)c->conf->cluster;
    hello.name = (char *)c->conf->name;
    hello.build = (char *)GEMEL_VERSION;
    hello.config_digest.data = (uint8_t *)c->conf->digest;
    hello.config_digest.len = strlen(c->conf->digest);
    Gemel__V1__LinkFrame f = GEMEL__V1__LINK_FRAME__INIT; /* NodeFrame has its Hello in the same field */
    f.body_case = GEMEL__V1__LINK_FRAME__BODY_HELLO;
    f.hello = &hello;
    enum err err = put(c, &f.base);
    ASSERT(!err); /* names are bounded by the configuration */
}

struct channel *channel_create(const struct env *env, struct stream *s, const struct channel_conf *conf,
                               const struct channel_events *ev, void *owner)
{
    struct channel *c = xzalloc(sizeof *c);
    *c = (struct channel){ .env = env, .conf = conf, .ev = ev, .owner = owner, .stream = s };
    /* One frame not yet whole, and what one read of the stream may bring behind it. */
    buf_init(&c->in, 2 * (FRAME_HEAD_BYTES + FRAME_BYTES_MAX));
    stream_attach(s, &stream_events, c);
    timer_set_in(env->timers, &c->limit, CHANNEL_HELLO_LIMIT_MS, hello_late, c);
    send_hello(c);
    return c;
}

void channel_destroy(struct channel **slot)
{
    struct channel *c = *slot;
    *slot = NULL;
    if (!c) return;
    if (c->destroyed) *c->destroyed = true;
    timer_clear(c->env->timers, &c->limit);
    stream_close(&c->stream);
    buf_deinit(&c->in);
    free(c);
}

bool channel_is_up(const struct channel *c)
{
    return c && c->up;
}

const char *channel_peer(const struct channel *c)
{
    return c->peer;
}

size_t channel_pending_bytes(const struct channel *c)
{
    return c->stream ? stream_pending_bytes(c->stream) : 0;
}

enum err channel_send(struct channel *c, const ProtobufCMessage *message)
{
    if (!c->up) return ERR_RETRY;
    if (stream_pending_bytes(c->stream) > CHANNEL_PENDING_BYTES_MAX) return ERR_LIMIT;
    return put(c, message);
}
