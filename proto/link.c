#include "proto/link.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/channel.h"
#include "proto/edge.pb-c.h"

/* protobuf-c wants NUL-terminated strings: each is copied into the arena of the packing. */
static char *text(struct arena *a, struct slice s)
{
    return arena_cstr(a, slice_sub(s, 0, LINK_TEXT_MAX));
}

static struct slice dup(struct arena *a, const char *s)
{
    return arena_dup(a, slice_sub(slice_of(s), 0, LINK_TEXT_MAX));
}

static struct slice bytes(struct arena *a, const ProtobufCBinaryData *b)
{
    return arena_dup(a, slice_from(b->data, b->len));
}

const char *link_order_name(enum link_order_kind k)
{
    static const char *const names[] = { "unknown", "fence", "grant", "handoff" };
    return (unsigned)k < ARRAY_LEN(names) ? names[k] : names[0];
}

static void pack_identity(struct arena *a, const struct link_identity *in, Gemel__V1__IdentityState *out)
{
    gemel__v1__identity_state__init(out);
    out->identity = text(a, in->identity);
    out->reported = (Gemel__V1__Reported)in->beat.reported;
    out->epoch = in->beat.epoch;
    out->lease_left_ms = in->beat.lease_left_ms;
    out->preflight_ok = in->beat.preflight_ok;
    out->n_preflight_issues = in->n_issues;
    out->preflight_issues = arena_alloc(a, in->n_issues * sizeof(char *));
    for (size_t i = 0; i < in->n_issues; i++) out->preflight_issues[i] = text(a, in->issues[i]);
    out->sent = in->beat.sent;
    out->instance = in->beat.instance;
    out->seq = in->beat.seq;
    out->egress_ok = in->beat.egress_ok;
    out->store_ok = in->beat.store_ok;
    out->fenced_epoch = in->beat.fenced_epoch;
    out->fence_token = in->beat.fence_token;
    out->refused_epoch = in->beat.refused_epoch;
    out->refused_why = text(a, slice_of(in->beat.refused_why));
    out->seen_as = text(a, in->seen_as);
    out->seen_by = text(a, in->seen_by);
}

static void pack_refusal(struct arena *a, const struct link_refusal *in, Gemel__V1__Refusal *out)
{
    gemel__v1__refusal__init(out);
    out->identity = text(a, in->identity);
    out->provider = text(a, in->provider);
    out->destination = text(a, in->destination);
    out->stage = text(a, in->stage);
    out->scope = text(a, in->scope);
    out->effect = text(a, in->effect);
    out->rule = text(a, in->rule);
    out->text = text(a, in->text);
    out->wall_ms = in->wall_ms;
    out->message_id = text(a, in->message_id);
}

static void pack_queue(const struct link_queue *in, Gemel__V1__QueueState *out)
{
    gemel__v1__queue_state__init(out);
    out->outbound_messages = in->outbound;
    out->inbound_messages = in->inbound;
    out->oldest_ms = in->oldest_ms;
    out->bytes = in->bytes;
    out->accepting = in->accepting;
}

enum err link_send_heartbeat(struct channel *c, const struct link_heartbeat *h)
{
    struct arena a = { 0 };
    Gemel__V1__LinkFrame frame = GEMEL__V1__LINK_FRAME__INIT;
    Gemel__V1__Heartbeat beat = GEMEL__V1__HEARTBEAT__INIT;
    Gemel__V1__QueueState queue;
    pack_queue(&h->queue, &queue);
    beat.seq = h->seq;
    beat.wall_ms = h->wall_ms;
    beat.queue = &queue;
    beat.n_identities = h->n_identities;
    beat.identities = arena_alloc(&a, h->n_identities * sizeof(void *));
    for (size_t i = 0; i < h->n_identities; i++) {
        beat.identities[i] = arena_alloc(&a, sizeof **beat.identities);
        pack_identity(&a, &h->identities[i], beat.identities[i]);
    }
    beat.n_refusals = h->n_refusals;
    beat.refusals = arena_alloc(&a, h->n_refusals * sizeof(void *));
    for (size_t i = 0; i < h->n_refusals; i++) {
        beat.refusals[i] = arena_alloc(&a, sizeof **beat.refusals);
        pack_refusal(&a, &h->refusals[i], beat.refusals[i]);
    }
    frame.body_case = GEMEL__V1__LINK_FRAME__BODY_HEARTBEAT;
    frame.heartbeat = &beat;
    enum err err = channel_send(c, &frame.base);
    arena_deinit(&a);
    return err;
}

enum err link_send_order(struct channel *c, const struct link_order *o)
{
    struct arena a = { 0 };
    Gemel__V1__LinkFrame frame = GEMEL__V1__LINK_FRAME__INIT;
    Gemel__V1__Order order = GEMEL__V1__ORDER__INIT;
    order.kind = (Gemel__V1__Order__Kind)o->kind;
    order.op = o->op;
    order.epoch = o->epoch;
    order.identity = text(&a, o->identity);
    order.to = text(&a, o->to);
    order.token = o->token;
    order.dns_pending = o->dns_pending;
    order.term = o->term;
    order.why = text(&a, o->why);
    frame.body_case = GEMEL__V1__LINK_FRAME__BODY_ORDER;
    frame.order = &order;
    enum err err = channel_send(c, &frame.base);
    arena_deinit(&a);
    return err;
}

enum err link_send_ack(struct channel *c, const struct link_ack *k)
{
    struct arena a = { 0 };
    Gemel__V1__LinkFrame frame = GEMEL__V1__LINK_FRAME__INIT;
    Gemel__V1__OrderAck ack = GEMEL__V1__ORDER_ACK__INIT;
    ack.kind = (Gemel__V1__Order__Kind)k->kind;
    ack.op = k->op;
    ack.epoch = k->epoch;
    ack.identity = text(&a, k->identity);
    ack.done = k->done;
    ack.why = text(&a, k->why);
    ack.token = k->token;
    frame.body_case = GEMEL__V1__LINK_FRAME__BODY_ACK;
    frame.ack = &ack;
    enum err err = channel_send(c, &frame.base);
    arena_deinit(&a);
    return err;
}

enum err link_send_request(struct channel *c, const struct link_request *r)
{
    struct arena a = { 0 };
    Gemel__V1__LinkFrame frame = GEMEL__V1__LINK_FRAME__INIT;
    Gemel__V1__AdminRequest request = GEMEL__V1__ADMIN_REQUEST__INIT;
    request.id = r->id;
    request.method = text(&a, r->method);
    request.path = text(&a, r->path);
    request.query = text(&a, r->query);
    request.body.data = (uint8_t *)r->body.p;
    request.body.len = r->body.n;
    frame.body_case = GEMEL__V1__LINK_FRAME__BODY_REQUEST;
    frame.request = &request;
    enum err err = channel_send(c, &frame.base);
    arena_deinit(&a);
    return err;
}

enum err link_send_reply(struct channel *c, const struct link_reply *r)
{
    Gemel__V1__LinkFrame frame = GEMEL__V1__LINK_FRAME__INIT;
    Gemel__V1__AdminReply reply = GEMEL__V1__ADMIN_REPLY__INIT;
    reply.id = r->id;
    reply.status = r->status;
    reply.body.data = (uint8_t *)r->body.p;
    reply.body.len = r->body.n;
    frame.body_case = GEMEL__V1__LINK_FRAME__BODY_REPLY;
    frame.reply = &reply;
    return channel_send(c, &frame.base);
}

static void unpack_identity(struct arena *a, const Gemel__V1__IdentityState *in, struct link_identity *out)
{
    struct store_beat *b = &out->beat;
    out->identity = dup(a, in->identity);
    b->reported = in->reported <= GEMEL__V1__REPORTED__GRANTING ? (uint8_t)in->reported : STORE_R_UNKNOWN;
    b->epoch = in->epoch;
    b->lease_left_ms = in->lease_left_ms;
    b->preflight_ok = in->preflight_ok;
    b->sent = in->sent;
    b->instance = in->instance;
    b->seq = in->seq;
    b->egress_ok = in->egress_ok;
    b->store_ok = in->store_ok;
    b->fenced_epoch = in->fenced_epoch;
    b->fence_token = in->fence_token;
    b->refused_epoch = in->refused_epoch;
    snprintf(b->refused_why, sizeof b->refused_why, "%s", in->refused_why);
    out->seen_as = dup(a, in->seen_as);
    out->seen_by = dup(a, in->seen_by);
    out->n_issues = MIN(in->n_preflight_issues, (size_t)LINK_ISSUES_MAX);
    for (size_t i = 0; i < out->n_issues; i++) out->issues[i] = dup(a, in->preflight_issues[i]);
}

static void unpack_refusal(struct arena *a, const Gemel__V1__Refusal *in, struct link_refusal *out)
{
    *out = (struct link_refusal){
        .identity = dup(a, in->identity),
        .provider = dup(a, in->provider),
        .destination = dup(a, in->destination),
        .stage = dup(a, in->stage),
        .scope = dup(a, in->scope),
        .effect = dup(a, in->effect),
        .rule = dup(a, in->rule),
        .text = dup(a, in->text),
        .message_id = dup(a, in->message_id),
        .wall_ms = in->wall_ms,
    };
}

static void unpack_heartbeat(struct arena *a, const Gemel__V1__Heartbeat *in, struct link_heartbeat *out)
{
    *out = (struct link_heartbeat){ .seq = in->seq, .wall_ms = in->wall_ms };
    out->n_identities = MIN(in->n_identities, (size_t)STORE_IDENTITIES_MAX);
    for (size_t i = 0; i < out->n_identities; i++) {
        unpack_identity(a, in->identities[i], &out->identities[i]);
        out->identities[i].beat.wall_ms = in->wall_ms;
    }
    if (in->queue) {
        out->queue = (struct link_queue){ .outbound = in->queue->outbound_messages,
                                          .inbound = in->queue->inbound_messages,
                                          .oldest_ms = in->queue->oldest_ms,
                                          .bytes = in->queue->bytes,
                                          .accepting = in->queue->accepting };
        for (size_t i = 0; i < out->n_identities; i++)
            out->identities[i].beat.queue_out = out->queue.outbound;
    }
    out->n_refusals = MIN(in->n_refusals, (size_t)LINK_REFUSALS_MAX);
    for (size_t i = 0; i < out->n_refusals; i++) unpack_refusal(a, in->refusals[i], &out->refusals[i]);
}

static enum link_order_kind kind_of(int kind)
{
    return kind >= LINK_FENCE && kind <= LINK_HANDOFF ? (enum link_order_kind)kind : 0;
}

static void unpack_order(struct arena *a, const Gemel__V1__Order *in, struct link_order *out)
{
    *out = (struct link_order){ .kind = kind_of((int)in->kind),
                                .op = in->op,
                                .epoch = in->epoch,
                                .token = in->token,
                                .term = in->term,
                                .identity = dup(a, in->identity),
                                .to = dup(a, in->to),
                                .why = dup(a, in->why),
                                .dns_pending = in->dns_pending };
}

static void unpack_ack(struct arena *a, const Gemel__V1__OrderAck *in, struct link_ack *out)
{
    *out = (struct link_ack){ .kind = kind_of((int)in->kind),
                              .op = in->op,
                              .epoch = in->epoch,
                              .token = in->token,
                              .identity = dup(a, in->identity),
                              .why = dup(a, in->why),
                              .done = in->done };
}

enum err link_unpack(struct slice payload, struct arena *a, struct link_frame *out)
{
    Gemel__V1__LinkFrame *f = gemel__v1__link_frame__unpack(NULL, payload.n, (const uint8_t *)payload.p);
    if (!f) return ERR_MALFORMED;
    switch (f->body_case) {
    case GEMEL__V1__LINK_FRAME__BODY_HEARTBEAT:
        out->kind = LINK_FRAME_HEARTBEAT;
        unpack_heartbeat(a, f->heartbeat, &out->heartbeat);
        break;
    case GEMEL__V1__LINK_FRAME__BODY_ORDER:
        out->kind = LINK_FRAME_ORDER;
        unpack_order(a, f->order, &out->order);
        break;
    case GEMEL__V1__LINK_FRAME__BODY_ACK:
        out->kind = LINK_FRAME_ACK;
        unpack_ack(a, f->ack, &out->ack);
        break;
    case GEMEL__V1__LINK_FRAME__BODY_REQUEST:
        out->kind = LINK_FRAME_REQUEST;
        out->request = (struct link_request){ .id = f->request->id,
                                              .method = dup(a, f->request->method),
                                              .path = dup(a, f->request->path),
                                              .query = dup(a, f->request->query),
                                              .body = bytes(a, &f->request->body) };
        break;
    case GEMEL__V1__LINK_FRAME__BODY_REPLY:
        out->kind = LINK_FRAME_REPLY;
        out->reply = (struct link_reply){ .id = f->reply->id,
                                          .status = f->reply->status,
                                          .body = bytes(a, &f->reply->body) };
        break;
    default: out->kind = LINK_FRAME_OTHER; break;
    }
    gemel__v1__link_frame__free_unpacked(f, NULL);
    return ERR_OK;
}
