#include "node/queue/envelope.h"

#include <stdio.h>

#include "node/queue/envelope_pb.h"

static void *arena_pb_alloc(void *arena, size_t n)
{
    return arena_alloc(arena, n);
}

static void arena_pb_free(void *arena, void *p)
{
}

ProtobufCAllocator envelope_pb_allocator(struct arena *a)
{
    return (ProtobufCAllocator){ .alloc = arena_pb_alloc, .free = arena_pb_free, .allocator_data = a };
}

/* ---- to protobuf ---- */

/* A cut never leaves half a UTF-8 character: proto3 strings must be valid, and people read them. */
static char *text(struct arena *a, struct slice s, size_t max)
{
    if (s.n > max) {
        s.n = max;
        while (s.n && ((unsigned char)s.p[s.n] & 0xc0) == 0x80) s.n--;
    }
    return s.n ? arena_cstr(a, s) : (char *)protobuf_c_empty_string;
}

static bool rcpt_fits(const struct envelope_rcpt *r)
{
    return r->address.n <= ENVELOPE_ADDRESS_MAX && r->orcpt.n <= ENVELOPE_ORCPT_MAX;
}

static void rcpt_to_pb(const struct envelope_rcpt *r, struct arena *a, Gemel__V1__Recipient *pb)
{
    gemel__v1__recipient__init(pb);
    pb->address = text(a, r->address, ENVELOPE_ADDRESS_MAX);
    pb->orcpt = text(a, r->orcpt, ENVELOPE_ORCPT_MAX);
    pb->notify = r->notify;
    pb->state = r->state;
    pb->attempts = r->attempts;
    pb->last_reply = text(a, r->last_reply, ENVELOPE_REPLY_MAX);
    pb->last_mta = text(a, r->last_mta, ENVELOPE_TEXT_MAX);
    pb->last_try_wall_ms = r->last_try_wall_ms;
    pb->next_try_wall_ms = r->next_try_wall_ms;
    pb->status = text(a, r->status, ENVELOPE_TEXT_MAX);
    pb->next_hop = text(a, r->next_hop, ENVELOPE_ADDRESS_MAX);
}

static void scalars_to_pb(const struct envelope *e, Gemel__V1__Envelope *pb)
{
    pb->version = ENVELOPE_VERSION;
    pb->flow = e->flow;
    pb->ret = e->ret;
    pb->smtputf8 = e->smtputf8;
    pb->body_8bit = e->body_8bit;
    pb->arrival_wall_ms = e->arrival_wall_ms;
    pb->expiry_wall_ms = e->expiry_wall_ms;
    pb->next_try_wall_ms = e->next_try_wall_ms;
    pb->attempts = e->attempts;
    pb->size_bytes = e->size_bytes;
    pb->chunks = e->chunks;
    pb->delay_dsn_sent = e->delay_dsn_sent;
    pb->is_dsn = e->is_dsn;
    pb->hops = e->hops;
    pb->hold = e->hold;
    pb->held_wall_ms = e->held_wall_ms;
}

/* Without the remote's words any envelope within bounds fits; whoever retries learns them again. */
static void drop_replies(Gemel__V1__Envelope *pb)
{
    for (size_t i = 0; i < pb->n_recipients; i++) {
        pb->recipients[i]->last_reply = (char *)protobuf_c_empty_string;
        pb->recipients[i]->last_mta = (char *)protobuf_c_empty_string;
    }
}

enum err envelope_to_pb(const struct envelope *e, struct arena *a, Gemel__V1__Envelope **out)
{
    if (e->n_rcpts > ENVELOPE_RCPTS_MAX || e->sender.n > ENVELOPE_ADDRESS_MAX) return ERR_LIMIT;
    for (size_t i = 0; i < e->n_rcpts; i++)
        if (!rcpt_fits(&e->rcpts[i])) return ERR_LIMIT;

    Gemel__V1__Envelope *pb = arena_alloc(a, sizeof *pb);
    gemel__v1__envelope__init(pb);
    scalars_to_pb(e, pb);
    pb->id = text(a, queue_id_slice(&e->id), QUEUE_ID_CHARS);
    pb->sender = text(a, e->sender, ENVELOPE_ADDRESS_MAX);
    pb->envid = text(a, e->envid, ENVELOPE_ENVID_MAX);
    pb->client_addr = text(a, e->client_addr, ENVELOPE_TEXT_MAX);
    pb->client_helo = text(a, e->client_helo, ENVELOPE_TEXT_MAX);
    pb->auth_user = text(a, e->auth_user, ENVELOPE_TEXT_MAX);
    pb->origin_node = text(a, e->origin_node, ENVELOPE_TEXT_MAX);
    pb->why_waiting = text(a, e->why_waiting, ENVELOPE_REPLY_MAX);
    pb->given_to = text(a, e->given_to, ENVELOPE_TEXT_MAX);
    pb->held_why = text(a, e->held_why, ENVELOPE_REPLY_MAX);
    pb->n_recipients = e->n_rcpts;
    pb->recipients = arena_alloc(a, (e->n_rcpts + 1) * sizeof *pb->recipients);
    Gemel__V1__Recipient *all = arena_alloc(a, (e->n_rcpts + 1) * sizeof *all);
    for (size_t i = 0; i < e->n_rcpts; i++) {
        pb->recipients[i] = &all[i];
        rcpt_to_pb(&e->rcpts[i], a, &all[i]);
    }
    if (gemel__v1__envelope__get_packed_size(pb) > ENVELOPE_BYTES_MAX) drop_replies(pb);
    *out = pb;
    return ERR_OK;
}

enum err envelope_pack(const struct envelope *e, struct buf *out)
{
    struct arena a = { 0 };
    Gemel__V1__Envelope *pb = NULL;
    char *room;
    enum err err = envelope_to_pb(e, &a, &pb);
    if (!err) err = buf_reserve(out, gemel__v1__envelope__get_packed_size(pb), &room);
    if (!err) buf_commit(out, gemel__v1__envelope__pack(pb, (uint8_t *)room));
    arena_deinit(&a);
    return err;
}

/* ---- from protobuf ---- */

/* False when too long. */
static bool take(struct arena *a, const char *s, size_t max, struct slice *out)
{
    struct slice from = slice_of(s);
    if (from.n > max) return false;
    *out = from.n ? arena_dup(a, from) : (struct slice){ "", 0 };
    return true;
}

static bool rcpt_from_pb(const Gemel__V1__Recipient *pb, struct arena *a, struct envelope_rcpt *r)
{
    r->notify = (uint8_t)(pb->notify & 15);
    r->state = (uint8_t)pb->state;
    r->attempts = pb->attempts;
    r->last_try_wall_ms = pb->last_try_wall_ms;
    r->next_try_wall_ms = pb->next_try_wall_ms;
    return pb->state < RCPT_STATES && take(a, pb->address, ENVELOPE_ADDRESS_MAX, &r->address) &&
           take(a, pb->orcpt, ENVELOPE_ORCPT_MAX, &r->orcpt) &&
           take(a, pb->last_reply, ENVELOPE_REPLY_MAX, &r->last_reply) &&
           take(a, pb->last_mta, ENVELOPE_TEXT_MAX, &r->last_mta) &&
           take(a, pb->status, ENVELOPE_TEXT_MAX, &r->status) &&
           take(a, pb->next_hop, ENVELOPE_ADDRESS_MAX, &r->next_hop);
}

static void scalars_from_pb(const Gemel__V1__Envelope *pb, struct envelope *e)
{
    e->flow = (enum flow)pb->flow;
    e->ret = (uint8_t)pb->ret;
    e->smtputf8 = pb->smtputf8;
    e->body_8bit = pb->body_8bit;
    e->arrival_wall_ms = pb->arrival_wall_ms;
    e->expiry_wall_ms = pb->expiry_wall_ms;
    e->next_try_wall_ms = pb->next_try_wall_ms;
    e->attempts = pb->attempts;
    e->size_bytes = pb->size_bytes;
    e->chunks = pb->chunks;
    e->delay_dsn_sent = pb->delay_dsn_sent;
    e->is_dsn = pb->is_dsn;
    e->hops = pb->hops;
    e->hold = (uint8_t)pb->hold;
    e->held_wall_ms = pb->held_wall_ms;
}

static bool texts_from_pb(const Gemel__V1__Envelope *pb, struct arena *a, struct envelope *e)
{
    return take(a, pb->sender, ENVELOPE_ADDRESS_MAX, &e->sender) &&
           take(a, pb->envid, ENVELOPE_ENVID_MAX, &e->envid) &&
           take(a, pb->client_addr, ENVELOPE_TEXT_MAX, &e->client_addr) &&
           take(a, pb->client_helo, ENVELOPE_TEXT_MAX, &e->client_helo) &&
           take(a, pb->auth_user, ENVELOPE_TEXT_MAX, &e->auth_user) &&
           take(a, pb->origin_node, ENVELOPE_TEXT_MAX, &e->origin_node) &&
           take(a, pb->why_waiting, ENVELOPE_REPLY_MAX, &e->why_waiting) &&
           take(a, pb->given_to, ENVELOPE_TEXT_MAX, &e->given_to) &&
           take(a, pb->held_why, ENVELOPE_REPLY_MAX, &e->held_why);
}

enum err envelope_from_pb(const Gemel__V1__Envelope *pb, struct arena *a, struct envelope *out)
{
    struct envelope e = { 0 };
    if (pb->version > ENVELOPE_VERSION) return ERR_REFUSED;
    /* Version 1 is the first; when 2 comes, what 1 lacks gets its default here. */
    if (pb->version == 0 || pb->flow >= FLOW_COUNT || pb->ret > RET_HDRS || pb->hold >= HOLD_KINDS ||
        pb->n_recipients > ENVELOPE_RCPTS_MAX)
        return ERR_MALFORMED;
    if (queue_id_parse(slice_of(pb->id), &e.id) || !texts_from_pb(pb, a, &e)) return ERR_MALFORMED;
    scalars_from_pb(pb, &e);
    e.n_rcpts = pb->n_recipients;
    e.rcpts = arena_alloc(a, (e.n_rcpts + 1) * sizeof *e.rcpts);
    for (size_t i = 0; i < e.n_rcpts; i++)
        if (!rcpt_from_pb(pb->recipients[i], a, &e.rcpts[i])) return ERR_MALFORMED;
    *out = e;
    return ERR_OK;
}

enum err envelope_unpack(struct slice record, struct arena *a, struct envelope *out)
{
    struct arena scratch = { 0 };
    if (record.n > ENVELOPE_BYTES_MAX) return ERR_MALFORMED;
    ProtobufCAllocator alloc = envelope_pb_allocator(&scratch);
    Gemel__V1__Envelope *pb = gemel__v1__envelope__unpack(&alloc, record.n, (const uint8_t *)record.p);
    enum err err = pb ? envelope_from_pb(pb, a, out) : ERR_MALFORMED;
    arena_deinit(&scratch);
    return err;
}

/* ---- the rest ---- */

void envelope_copy(const struct envelope *e, struct arena *a, struct envelope *out)
{
    *out = *e;
    struct slice *texts[] = { &out->sender,      &out->envid,     &out->client_addr,
                              &out->client_helo, &out->auth_user, &out->origin_node,
                              &out->why_waiting, &out->given_to,  &out->held_why };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) *texts[i] = arena_dup(a, *texts[i]);
    out->rcpts = arena_alloc(a, (e->n_rcpts + 1) * sizeof *out->rcpts);
    for (size_t i = 0; i < e->n_rcpts; i++) {
        struct envelope_rcpt *r = &out->rcpts[i];
        *r = e->rcpts[i];
        struct slice *parts[] = { &r->address,  &r->orcpt,  &r->last_reply,
                                  &r->last_mta, &r->status, &r->next_hop };
        for (size_t k = 0; k < ARRAY_LEN(parts); k++) *parts[k] = arena_dup(a, *parts[k]);
    }
}

size_t envelope_waiting(const struct envelope *e)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n_rcpts; i++) n += e->rcpts[i].state == RCPT_WAITING;
    return n;
}

uint64_t envelope_next_try(const struct envelope *e)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < e->n_rcpts; i++)
        if (e->rcpts[i].state == RCPT_WAITING) next = MIN(next, e->rcpts[i].next_try_wall_ms);
    return next;
}

struct slice envelope_domain(struct slice address)
{
    size_t at = slice_rfind(address, '@');
    return at < address.n ? slice_skip(address, at + 1) : (struct slice){ "", 0 };
}

void envelope_transfer_id(const struct envelope *e, char out[static TRANSFER_ID_MAX])
{
    snprintf(out, TRANSFER_ID_MAX, "%s/%" PRIu32, e->id.s, e->hops);
}

const char *flow_name(enum flow f)
{
    static const char *const names[] = { [FLOW_IN] = "in", [FLOW_OUT] = "out" };
    ASSERT(f < FLOW_COUNT);
    return names[f];
}

const char *rcpt_state_name(enum rcpt_state s)
{
    static const char *const names[] = {
        [RCPT_WAITING] = "waiting", [RCPT_SENT] = "sent",       [RCPT_RELAYED] = "relayed",
        [RCPT_FAILED] = "failed",   [RCPT_EXPIRED] = "expired", [RCPT_REMOVED] = "removed"
    };
    ASSERT(s < RCPT_STATES);
    return names[s];
}

const char *hold_name(enum envelope_hold h)
{
    static const char *const names[] = {
        [HOLD_NONE] = "", [HOLD_OPERATOR] = "held", [HOLD_POISON] = "set aside"
    };
    ASSERT(h < HOLD_KINDS);
    return names[h];
}
