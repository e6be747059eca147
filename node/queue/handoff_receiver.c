#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/timers.h"
#include "node/queue/envelope_pb.h"
#include "node/queue/handoff.h"

enum {
    IDLE_MS = 120000, /* how long the beginning of a message waits for its line to come back */
    PEER_NAME_MAX = 64,
    CREDIT_CHUNKS = 8, /* in flight for one message: 512 KiB */
};
/* A giver that is down for longer than a message lives, and a day on top, has lost its claim. */
static const uint64_t REMEMBER_MS = DAYS(1);
/* The giver has said that its copy is gone: only frames still on their way could repeat the transfer. */
static const uint64_t REMEMBER_DONE_MS = HOURS(1);

#define REPLY(word) GEMEL__V1__HANDOFF_REPLY__RESULT__##word

struct peer {
    char name[PEER_NAME_MAX]; /* "": free */
    handoff_send_fn *send;    /* NULL: down */
    void *send_owner;
};

/* One message on its way in; between lines it belongs to nobody. */
struct taking {
    struct receiver *r;
    struct list link;
    char transfer[TRANSFER_ID_MAX];
    struct peer *peer; /* who is to be answered */
    struct spool_put *put;
    bool committing;
    struct arena arena;
    struct envelope envelope;
    uint32_t next_chunk;
    uint64_t bytes;
    uint64_t idle_since_ms;
};

struct receiver {
    const struct env *env;
    struct receiver_conf conf;
    struct peer peers[RECEIVER_PEERS_MAX];
    struct list takings;
    size_t n_takings;
    struct map by_transfer;
    struct timer timer;
};

static uint64_t now_ms(const struct receiver *r)
{
    return timers_now_ms(r->env->timers);
}

static void reply_full(struct peer *p, char *transfer, Gemel__V1__HandoffReply__Result result,
                       uint32_t next_chunk, uint32_t credit, const char *why)
{
    Gemel__V1__NodeFrame f = GEMEL__V1__NODE_FRAME__INIT;
    Gemel__V1__HandoffReply reply = GEMEL__V1__HANDOFF_REPLY__INIT;
    if (!p->send) return;
    reply.transfer = transfer;
    reply.result = result;
    reply.next_chunk = next_chunk;
    reply.credit = credit;
    reply.why = (char *)why;
    f.body_case = GEMEL__V1__NODE_FRAME__BODY_REPLY;
    f.reply = &reply;
    if (p->send(p->send_owner, &f)) {
    } /* an answer that is lost is asked for again: the giver's line stalls or breaks */
}

static void reply(struct peer *p, char *transfer, Gemel__V1__HandoffReply__Result result, const char *why)
{
    reply_full(p, transfer, result, 0, 0, why);
}

static void reply_wanted(struct taking *t)
{
    reply_full(t->peer, t->transfer, REPLY(WANTED), t->next_chunk, CREDIT_CHUNKS, "");
}

/* The writer has room again: so has the giver. */
static void on_room(void *owner)
{
    struct taking *t = owner;
    if (!t->committing) reply_wanted(t);
}

static void taking_free(struct taking *t)
{
    spool_put_abort(&t->put);
    map_remove(&t->r->by_transfer, slice_of(t->transfer));
    list_remove(&t->link);
    t->r->n_takings--;
    arena_deinit(&t->arena);
    free(t);
}

/* Beginnings that nobody came back for. A commit under way is left alone: it ends by itself. */
static void on_timer(struct timer *timer)
{
    struct receiver *r = timer->owner;
    uint64_t now = now_ms(r);
    LIST_EACH_SAFE(&r->takings, it, next)
    {
        struct taking *t = CONTAINER_OF(it, struct taking, link);
        if (!t->committing && now - t->idle_since_ms >= IDLE_MS) taking_free(t);
    }
    if (r->n_takings) timer_set_in(r->env->timers, &r->timer, IDLE_MS / 4, on_timer, r);
}

/* ---- offer ---- */

static struct taking *begin(struct receiver *r, struct peer *p, const char *transfer, struct arena *a,
                            const struct envelope *e)
{
    struct taking *t = xzalloc(sizeof *t);
    t->r = r;
    t->peer = p;
    snprintf(t->transfer, sizeof t->transfer, "%s", transfer);
    t->arena = *a;
    *a = (struct arena){ 0 };
    t->envelope = *e;
    t->idle_since_ms = now_ms(r);
    t->put = spool_put_begin(r->conf.spool, &e->id, on_room, t);
    list_append(&r->takings, &t->link);
    r->n_takings++;
    map_put(&r->by_transfer, slice_of(t->transfer), t);
    if (!timer_is_set(&r->timer)) timer_set_in(r->env->timers, &r->timer, IDLE_MS / 4, on_timer, r);
    return t;
}

/* A copy of ours with fewer hops that we once gave away is no obstacle: the offer proves that it arrived. Any other is:
 * then the giver has to wait until we know more. */
static bool make_way(struct receiver *r, const struct envelope *offered)
{
    struct arena a = { 0 };
    struct envelope own;
    enum err err = spool_envelope(r->conf.spool, &offered->id, &a, &own);
    bool given_away = !err && own.hops < offered->hops && own.given_to.n > 0;
    arena_deinit(&a);
    if (err != ERR_NOT_FOUND && !given_away) return false;
    if (given_away) spool_remove(r->conf.spool, &offered->id, NULL, NULL);
    if (r->conf.superseded) r->conf.superseded(r->conf.owner, &offered->id);
    return true;
}

/* As it will be with us: one hop more, tried at once, since another address speaks for it now. */
static void make_ours(struct envelope *e)
{
    e->hops++;
    e->given_to = SLICE("");
    e->next_try_wall_ms = 0;
    for (size_t i = 0; i < e->n_rcpts; i++) e->rcpts[i].next_try_wall_ms = 0;
}

static void offer_unknown(struct receiver *r, struct peer *p, const Gemel__V1__HandoffOffer *o,
                          struct arena *a, struct envelope *e)
{
    struct spool_stats st;
    if (o->query) {
        reply(p, o->transfer, REPLY(ABSENT), "");
        return;
    }
    spool_stats(r->conf.spool, &st);
    if (!st.accepting || r->n_takings >= RECEIVER_TRANSFERS_MAX) {
        reply(p, o->transfer, REPLY(BUSY), st.accepting ? "too many transfers" : st.why);
        return;
    }
    if (!make_way(r, e)) {
        reply(p, o->transfer, REPLY(BUSY), "an earlier copy is still here");
        return;
    }
    make_ours(e);
    reply_wanted(begin(r, p, o->transfer, a, e));
}

static void offer_known(struct taking *t, struct peer *p, const Gemel__V1__HandoffOffer *o)
{
    t->peer = p;
    t->idle_since_ms = now_ms(t->r);
    if (t->committing) return; /* its result is the answer, to either question */
    if (o->query) {            /* the giver has started afresh and sends no more of it under this offer */
        taking_free(t);
        reply(p, o->transfer, REPLY(ABSENT), "");
    } else {
        reply_wanted(t);
    }
}

static enum err on_offer(struct receiver *r, struct peer *p, const Gemel__V1__HandoffOffer *o)
{
    char want[TRANSFER_ID_MAX];
    struct arena a = { 0 };
    struct envelope e;
    if (!o->envelope) return ERR_MALFORMED;
    enum err err = envelope_from_pb(o->envelope, &a, &e);
    if (err) {
        reply(p, o->transfer, REPLY(REJECTED),
              err == ERR_REFUSED ? "its envelope is of a newer version" : "no envelope");
        arena_deinit(&a);
        return ERR_OK;
    }
    envelope_transfer_id(&e, want);
    struct taking *t = map_get(&r->by_transfer, slice_of(o->transfer));
    if (strcmp(want, o->transfer) != 0)
        err = ERR_MALFORMED;
    else if (t)
        offer_known(t, p, o);
    else
        switch (spool_transfer_seen(r->conf.spool, slice_of(o->transfer))) {
        case ERR_OK: reply(p, o->transfer, REPLY(DUPLICATE), ""); break;
        case ERR_NOT_FOUND: offer_unknown(r, p, o, &a, &e); break;
        default: reply(p, o->transfer, REPLY(BUSY), "the spool cannot be read"); break;
        }
    arena_deinit(&a);
    return err;
}

/* ---- chunks and commit ---- */

static enum err on_chunk(struct receiver *r, struct peer *p, const Gemel__V1__HandoffChunk *c)
{
    struct taking *t = map_get(&r->by_transfer, slice_of(c->transfer));
    if (c->data.len == 0 || c->data.len > SPOOL_CHUNK_BYTES) return ERR_MALFORMED;
    if (!t || t->committing || c->index < t->next_chunk)
        return ERR_OK; /* of an offer that is over, or twice */
    t->peer = p;
    t->idle_since_ms = now_ms(r);
    if (c->index > t->next_chunk || c->index >= t->envelope.chunks)
        return ERR_MALFORMED; /* lines lose nothing */
    enum err err = spool_put_body(t->put, slice_from(c->data.data, c->data.len));
    if (err) {
        taking_free(t);
        reply(p, c->transfer, REPLY(BUSY), "the spool does not take it");
        return ERR_OK;
    }
    t->next_chunk++;
    t->bytes += c->data.len;
    if (t->next_chunk % (CREDIT_CHUNKS / 2) == 0 && !spool_put_blocked(t->put)) reply_wanted(t);
    return ERR_OK;
}

static void on_stored(void *owner, enum err err, const char *why)
{
    struct taking *t = owner;
    struct receiver *r = t->r;
    struct peer *p = t->peer;
    char transfer[TRANSFER_ID_MAX];
    memcpy(transfer, t->transfer, sizeof transfer);
    t->put = NULL; /* it ended itself */
    taking_free(t);
    if (err == ERR_CONFLICT && spool_transfer_seen(r->conf.spool, slice_of(transfer)) == ERR_OK)
        reply(p, transfer, REPLY(DUPLICATE), "");
    else if (err == ERR_LIMIT)
        reply(p, transfer, REPLY(REJECTED), why);
    else if (err) /* CONFLICT: an older copy of ours is still being removed */
        reply(p, transfer, REPLY(BUSY), why);
    else
        reply(p, transfer, REPLY(SYNCED), "");
}

static void commit(struct taking *t)
{
    uint64_t wall = timers_wall_ms(t->r->env->timers);
    struct spool_with with = { .transfer = slice_of(t->transfer),
                               .transfer_until_wall_ms = MAX(t->envelope.expiry_wall_ms, wall) +
                                                         REMEMBER_MS };
    t->committing = true;
    spool_put_commit(t->put, &t->envelope, &with, on_stored, t);
}

static enum err on_commit(struct receiver *r, struct peer *p, const Gemel__V1__HandoffCommit *c)
{
    struct taking *t = map_get(&r->by_transfer, slice_of(c->transfer));
    if (!t) {
        switch (spool_transfer_seen(r->conf.spool, slice_of(c->transfer))) {
        case ERR_OK: reply(p, c->transfer, REPLY(DUPLICATE), ""); break;
        case ERR_NOT_FOUND: reply(p, c->transfer, REPLY(ABSENT), ""); break;
        default: reply(p, c->transfer, REPLY(BUSY), "the spool cannot be read"); break;
        }
        return ERR_OK;
    }
    t->peer = p;
    t->idle_since_ms = now_ms(r);
    if (t->committing) return ERR_OK;
    if (t->next_chunk != c->chunks || t->bytes != c->size_bytes) {
        taking_free(t);
        return ERR_MALFORMED;
    }
    commit(t);
    return ERR_OK;
}

/* ---- frames and peers ---- */

static struct peer *peer_find(struct receiver *r, const char *name)
{
    for (size_t i = 0; i < RECEIVER_PEERS_MAX; i++)
        if (strcmp(r->peers[i].name, name) == 0) return &r->peers[i];
    return NULL;
}

enum err receiver_frame(struct receiver *r, const char *peer, const Gemel__V1__NodeFrame *frame)
{
    struct peer *p = peer_find(r, peer);
    ASSERT(p && p->send);
    switch (frame->body_case) {
    case GEMEL__V1__NODE_FRAME__BODY_OFFER: return on_offer(r, p, frame->offer);
    case GEMEL__V1__NODE_FRAME__BODY_CHUNK: return on_chunk(r, p, frame->chunk);
    case GEMEL__V1__NODE_FRAME__BODY_COMMIT: return on_commit(r, p, frame->commit);
    case GEMEL__V1__NODE_FRAME__BODY_DONE:
        if (strlen(frame->done->transfer) >= TRANSFER_ID_MAX) return ERR_MALFORMED;
        spool_forget_transfer(r->conf.spool, slice_of(frame->done->transfer),
                              timers_wall_ms(r->env->timers) + REMEMBER_DONE_MS, NULL, NULL);
        return ERR_OK;
    default: return ERR_OK; /* a newer program's: ignored */
    }
}

enum err receiver_up(struct receiver *r, const char *peer, handoff_send_fn *send, void *send_owner)
{
    ASSERT(*peer && strlen(peer) < PEER_NAME_MAX);
    struct peer *p = peer_find(r, peer);
    if (!p) p = peer_find(r, "");
    if (!p) return ERR_LIMIT;
    snprintf(p->name, sizeof p->name, "%s", peer);
    p->send = send;
    p->send_owner = send_owner;
    return ERR_OK;
}

void receiver_down(struct receiver *r, const char *peer)
{
    struct peer *p = peer_find(r, peer);
    if (p) p->send = NULL;
}

struct receiver *receiver_create(const struct env *env, const struct receiver_conf *conf)
{
    struct receiver *r = xzalloc(sizeof *r);
    r->env = env;
    r->conf = *conf;
    list_init(&r->takings);
    return r;
}

void receiver_destroy(struct receiver *r)
{
    if (!r) return;
    while (!list_empty(&r->takings)) taking_free(CONTAINER_OF(r->takings.next, struct taking, link));
    timer_clear(r->env->timers, &r->timer);
    map_deinit(&r->by_transfer);
    free(r);
}
