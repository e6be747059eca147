#include "coordinator/forward.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/net.h"
#include "base/timers.h"
#include "proto/channel.h"

struct forward_op {
    const struct env *env;
    const struct host_conf *to;
    struct arena arena;
    struct link_request request;
    struct channel_conf channel_conf;
    struct net_op *dial;
    struct channel *channel;
    struct timer limit;
    bool sent;
    forward_done_fn *done;
    void *owner;
};

void forward_cancel(struct forward_op **slot)
{
    struct forward_op *op = *slot;
    *slot = NULL;
    if (!op) return;
    net_dial_cancel(&op->dial);
    channel_destroy(&op->channel);
    timer_clear(op->env->timers, &op->limit);
    arena_deinit(&op->arena);
    free(op);
}

static void finish(struct forward_op *op, enum err err, unsigned status, struct slice body,
                   const char *detail)
{
    forward_done_fn *done = op->done;
    void *owner = op->owner;
    struct arena keep =
        op->arena; /* `detail` may lie in what goes away now, `body` in the frame's own arena */
    char *why = arena_cstr(&keep, slice_of(detail));
    op->arena = (struct arena){ 0 };
    forward_cancel(&op);
    done(owner, err, status, body, why);
    arena_deinit(&keep);
}

static void fail(struct forward_op *op, const char *detail)
{
    finish(op, op->sent ? ERR_UNKNOWN : ERR_RETRY, 0, SLICE(""), detail);
}

static void late(struct timer *t)
{
    fail(t->owner, "no answer in time");
}

static void on_up(void *owner, const char *peer, const char *digest)
{
    struct forward_op *op = owner;
    if (link_send_request(op->channel, &op->request))
        fail(op, "the request is too long");
    else
        op->sent = true;
}

static void on_frame(void *owner, struct slice payload)
{
    struct forward_op *op = owner;
    struct arena a = { 0 };
    struct link_frame *f = arena_alloc(&a, sizeof *f);
    if (!link_unpack(payload, &a, f) && f->kind == LINK_FRAME_REPLY && f->reply.id == op->request.id)
        finish(op, ERR_OK, f->reply.status, f->reply.body, "");
    arena_deinit(&a);
}

static void on_down(void *owner, enum err why, const char *detail)
{
    fail(owner, detail);
}

static const struct channel_events channel_events = { .up = on_up, .frame = on_frame, .down = on_down };

static bool knows(void *owner, const char *name)
{
    const struct forward_op *op = owner;
    return strcmp(op->to->name, name) == 0;
}

static void dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct forward_op *op = owner;
    op->dial = NULL;
    if (err)
        fail(op, detail);
    else
        op->channel = channel_create(op->env, s, &op->channel_conf, &channel_events, op);
}

struct forward_op *forward_start(const struct env *env, const struct forward_conf *conf,
                                 const struct host_conf *to, const struct link_request *request,
                                 uint32_t limit_ms, forward_done_fn *done, void *owner)
{
    struct forward_op *op = xzalloc(sizeof *op);
    *op = (struct forward_op){ .env = env, .to = to, .done = done, .owner = owner };
    op->request = (struct link_request){ .id = 1,
                                         .method = arena_dup(&op->arena, request->method),
                                         .path = arena_dup(&op->arena, request->path),
                                         .query = arena_dup(&op->arena, request->query),
                                         .body = arena_dup(&op->arena, request->body) };
    op->channel_conf = (struct channel_conf){ .cluster = conf->cluster->cluster,
                                              .name = conf->name,
                                              .digest = conf->cluster->digest,
                                              .knows = knows,
                                              .clear = conf->tls == NULL };
    struct dial_conf dial = { .to = to->link, .tls = conf->tls, .tls_name = to->name, .limit_ms = limit_ms };
    op->dial = net_dial(env->net, &dial, dialled, op);
    timer_set_in(env->timers, &op->limit, limit_ms, late, op);
    return op;
}
