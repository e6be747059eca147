#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "base/timers.h"
#include "node/queue/envelope_pb.h"
#include "node/queue/handoff.h"

enum {
    BUSY_PAUSE_MS = 1000, /* before a BUSY receiver is offered the message again */
    STALL_MS = 60000,     /* without a single answer while some are owed */
    WHY_MAX = 200,
};

enum give_state {
    GIVE_TO_OFFER,  /* the offer has to be sent (first, or again) */
    GIVE_OFFERED,   /* WANTED is awaited */
    GIVE_SENDING,   /* chunks, then the commit */
    GIVE_COMMITTED, /* SYNCED is awaited */
    GIVE_PAUSED,    /* BUSY: until pause_until_ms */
    GIVE_TO_ASK,    /* the query has to be sent */
    GIVE_ASKED,     /* DUPLICATE or ABSENT is awaited */
    GIVE_REMOVING,  /* theirs; our copy goes */
    GIVE_OVER,      /* `finished` is to be told */
};

struct give {
    struct giver *g;
    struct list link;
    struct queue_id id;
    char transfer[TRANSFER_ID_MAX];
    enum give_state state;
    bool marked;      /* "given to" is synced: a commit may go out */
    bool maybe_there; /* a commit went out, now or before a restart */
    struct arena arena;
    struct envelope envelope;
    uint32_t next_chunk;
    uint32_t chunk_limit; /* what the receiver has room for */
    uint64_t pause_until_ms;
    struct spool_op *op; /* the mark, or the remove */
    enum err result;
    char why[WHY_MAX];
};

struct giver {
    const struct env *env;
    struct giver_conf conf;
    struct list gives;
    size_t n_gives;
    struct map by_transfer;
    bool up, full;
    uint64_t heard_ms; /* the last answer, or when the first was owed */
    struct timer timer;
};

static void set_timer(struct giver *g);

static uint64_t now_ms(const struct giver *g)
{
    return timers_now_ms(g->env->timers);
}

/* ---- one give ---- */

static void give_free(struct give *v)
{
    spool_op_cancel(&v->op);
    if (v->transfer[0]) map_remove(&v->g->by_transfer, slice_of(v->transfer));
    list_remove(&v->link);
    v->g->n_gives--;
    arena_deinit(&v->arena);
    free(v);
}

/* The result is told from the timer: never inside the call that led to it. */
static void over(struct give *v, enum err result, const char *why)
{
    v->state = GIVE_OVER;
    v->result = result;
    snprintf(v->why, sizeof v->why, "%s", why);
    set_timer(v->g);
}

static void note_given(struct give *v, const char *node, spool_done_fn *done)
{
    struct envelope e = v->envelope;
    e.given_to = slice_of(node);
    spool_op_cancel(&v->op);
    v->op = spool_update(v->g->conf.spool, &e, done, v);
    if (!done) v->op = NULL;
}

/* Ours again, for certain. The mark on disk is taken off in passing; were it to survive a crash, one question would
 * settle it. */
static void ours_again(struct give *v, enum err result, const char *why)
{
    note_given(v, "", NULL);
    over(v, result, why);
}

static enum err send(struct give *v, Gemel__V1__NodeFrame *f)
{
    enum err err = v->g->conf.send(v->g->conf.owner, f);
    if (err) v->g->full = true;
    return err;
}

static enum err send_offer(struct give *v, bool query)
{
    Gemel__V1__NodeFrame f = GEMEL__V1__NODE_FRAME__INIT;
    Gemel__V1__HandoffOffer offer = GEMEL__V1__HANDOFF_OFFER__INIT;
    struct arena a = { 0 };
    enum err err = envelope_to_pb(&v->envelope, &a, &offer.envelope);
    ASSERT(!err); /* it came out of the spool */
    offer.transfer = v->transfer;
    offer.query = query;
    f.body_case = GEMEL__V1__NODE_FRAME__BODY_OFFER;
    f.offer = &offer;
    err = send(v, &f);
    arena_deinit(&a);
    return err;
}

static enum err send_chunk(struct give *v)
{
    Gemel__V1__NodeFrame f = GEMEL__V1__NODE_FRAME__INIT;
    Gemel__V1__HandoffChunk chunk = GEMEL__V1__HANDOFF_CHUNK__INIT;
    struct buf b;
    buf_init(&b, SPOOL_CHUNK_BYTES);
    enum err err = spool_chunk(v->g->conf.spool, &v->id, v->next_chunk, &b);
    if (err) {
        ours_again(v, err == ERR_RETRY ? ERR_RETRY : ERR_REFUSED, "its body cannot be read");
        buf_deinit(&b);
        return ERR_OK;
    }
    chunk.transfer = v->transfer;
    chunk.index = v->next_chunk;
    chunk.data = (ProtobufCBinaryData){ .len = buf_len(&b), .data = (uint8_t *)buf_slice(&b).p };
    f.body_case = GEMEL__V1__NODE_FRAME__BODY_CHUNK;
    f.chunk = &chunk;
    err = send(v, &f);
    buf_deinit(&b);
    return err;
}

static enum err send_commit(struct give *v)
{
    Gemel__V1__NodeFrame f = GEMEL__V1__NODE_FRAME__INIT;
    Gemel__V1__HandoffCommit commit = GEMEL__V1__HANDOFF_COMMIT__INIT;
    commit.transfer = v->transfer;
    commit.chunks = v->envelope.chunks;
    commit.size_bytes = v->envelope.size_bytes;
    f.body_case = GEMEL__V1__NODE_FRAME__BODY_COMMIT;
    f.commit = &commit;
    return send(v, &f);
}

static void send_done(struct give *v)
{
    Gemel__V1__NodeFrame f = GEMEL__V1__NODE_FRAME__INIT;
    Gemel__V1__HandoffDone done = GEMEL__V1__HANDOFF_DONE__INIT;
    done.transfer = v->transfer;
    f.body_case = GEMEL__V1__NODE_FRAME__BODY_DONE;
    f.done = &done;
    if (send(v, &f)) {
    } /* a courtesy: without it the receiver keeps the id to its end */
}

static void give_step(struct give *v)
{
    while (v->g->up && !v->g->full) switch (v->state) {
        case GIVE_TO_OFFER:
            if (send_offer(v, false)) return;
            v->state = GIVE_OFFERED;
            return;
        case GIVE_TO_ASK:
            if (send_offer(v, true)) return;
            v->state = GIVE_ASKED;
            return;
        case GIVE_SENDING:
            if (v->next_chunk < v->envelope.chunks) {
                if (v->next_chunk >= v->chunk_limit || send_chunk(v)) return;
                if (v->state == GIVE_SENDING) v->next_chunk++;
                break;
            }
            if (!v->marked || send_commit(v)) return;
            v->maybe_there = true;
            v->state = GIVE_COMMITTED;
            return;
        default: return;
        }
}

static void on_marked(void *owner, enum err err, const char *why)
{
    struct give *v = owner;
    v->op = NULL;
    if (err == ERR_NOT_FOUND) { /* removed by an operator meanwhile */
        over(v, ERR_NOT_FOUND, "removed meanwhile");
        return;
    }
    v->marked = !err;
    if (err)
        over(v, ERR_RETRY, why);
    else
        give_step(v);
}

static void on_removed(void *owner, enum err err, const char *why)
{
    struct give *v = owner;
    v->op = NULL;
    if (v->g->up) send_done(v);
    over(v, ERR_OK, "");
}

static void remove_ours(struct give *v)
{
    spool_op_cancel(&v->op);
    v->state = GIVE_REMOVING;
    v->op = spool_remove(v->g->conf.spool, &v->id, on_removed, v);
}

/* ---- answers ---- */

static void pause_give(struct give *v)
{
    v->state = GIVE_PAUSED;
    v->pause_until_ms = now_ms(v->g) + BUSY_PAUSE_MS;
    set_timer(v->g);
}

/* Only the answer to a question, on this line, says that the receiver has nothing of it. In every other state ABSENT
 * means that it lost the beginning: offer again. */
static void on_absent(struct give *v)
{
    if (v->state == GIVE_ASKED) {
        ours_again(v, ERR_RETRY, "the other node does not have it");
        return;
    }
    v->state = GIVE_TO_OFFER;
    give_step(v);
}

/* The first one says where to begin, the following ones only that there is room for more. */
static void on_wanted(struct give *v, uint32_t next_chunk, uint32_t credit)
{
    if (v->state != GIVE_OFFERED && v->state != GIVE_SENDING) return;
    if (v->state == GIVE_OFFERED) v->next_chunk = MIN(next_chunk, v->envelope.chunks);
    v->chunk_limit = credit && next_chunk < UINT32_MAX - credit ? next_chunk + credit : UINT32_MAX;
    v->state = GIVE_SENDING;
    give_step(v);
}

void giver_reply(struct giver *g, const Gemel__V1__HandoffReply *reply)
{
    struct give *v = map_get(&g->by_transfer, slice_of(reply->transfer));
    g->heard_ms = now_ms(g);
    if (!v || v->state == GIVE_REMOVING || v->state == GIVE_OVER) return; /* said twice */
    switch (reply->result) {
    case GEMEL__V1__HANDOFF_REPLY__RESULT__WANTED: on_wanted(v, reply->next_chunk, reply->credit); break;
    case GEMEL__V1__HANDOFF_REPLY__RESULT__SYNCED:
    case GEMEL__V1__HANDOFF_REPLY__RESULT__DUPLICATE: remove_ours(v); break;
    case GEMEL__V1__HANDOFF_REPLY__RESULT__ABSENT: on_absent(v); break;
    case GEMEL__V1__HANDOFF_REPLY__RESULT__REJECTED:
        if (v->maybe_there)
            over(v, ERR_UNKNOWN, reply->why);
        else
            ours_again(v, ERR_REFUSED, reply->why);
        break;
    default: /* BUSY, or a word of a newer program */
        if (v->state == GIVE_ASKED || v->state == GIVE_TO_ASK)
            over(v, ERR_UNKNOWN, reply->why);
        else
            pause_give(v);
    }
}

/* ---- all of them ---- */

static void tell_over(struct giver *g)
{
    struct list told;
    list_init(&told);
    LIST_EACH_SAFE(&g->gives, it, next)
    {
        struct give *v = CONTAINER_OF(it, struct give, link);
        if (v->state != GIVE_OVER) continue;
        list_remove(&v->link);
        list_append(&told, &v->link);
    }
    while (!list_empty(&told)) {
        struct give *v = CONTAINER_OF(told.next, struct give, link);
        struct queue_id id = v->id;
        enum err result = v->result;
        char why[WHY_MAX];
        memcpy(why, v->why, sizeof why);
        give_free(v);
        g->conf.finished(g->conf.owner, &id, result, why);
    }
}

static void resume_paused(struct giver *g)
{
    uint64_t now = now_ms(g);
    LIST_EACH_SAFE(&g->gives, it, next)
    {
        struct give *v = CONTAINER_OF(it, struct give, link);
        if (v->state != GIVE_PAUSED || v->pause_until_ms > now) continue;
        v->state = GIVE_TO_OFFER;
        give_step(v);
    }
}

static bool owes_answer(const struct give *v)
{
    return v->state == GIVE_OFFERED || v->state == GIVE_COMMITTED || v->state == GIVE_ASKED;
}

static void on_timer(struct timer *t)
{
    struct giver *g = t->owner;
    tell_over(g);
    resume_paused(g);
    bool owed = false;
    LIST_EACH(&g->gives, it) owed |= owes_answer(CONTAINER_OF(it, struct give, link));
    if (!owed) g->heard_ms = now_ms(g);
    set_timer(g);
    if (owed && g->up && now_ms(g) >= g->heard_ms + STALL_MS) {
        g->heard_ms = now_ms(g);
        g->conf.stalled(g->conf.owner);
    }
}

static void set_timer(struct giver *g)
{
    uint64_t due = UINT64_MAX;
    bool owed = false;
    LIST_EACH(&g->gives, it)
    {
        struct give *v = CONTAINER_OF(it, struct give, link);
        if (v->state == GIVE_OVER) due = 0;
        if (v->state == GIVE_PAUSED) due = MIN(due, v->pause_until_ms);
        owed |= owes_answer(v);
    }
    if (owed && g->up) due = MIN(due, g->heard_ms + STALL_MS);
    if (due != UINT64_MAX)
        timer_set(g->env->timers, &g->timer, MAX(due, now_ms(g)), on_timer, g);
    else
        timer_clear(g->env->timers, &g->timer);
}

void giver_up(struct giver *g)
{
    g->up = true;
    g->full = false;
    g->heard_ms = now_ms(g);
}

void giver_down(struct giver *g)
{
    g->up = false;
    LIST_EACH_SAFE(&g->gives, it, next)
    {
        struct give *v = CONTAINER_OF(it, struct give, link);
        if (v->state == GIVE_REMOVING || v->state == GIVE_OVER) continue;
        if (v->maybe_there)
            over(v, ERR_UNKNOWN, "the line broke before its answer came");
        else
            ours_again(v, ERR_RETRY, "the line broke");
    }
}

static struct give *give_new(struct giver *g, const struct queue_id *id)
{
    struct give *v = xzalloc(sizeof *v);
    v->g = g;
    v->id = *id;
    list_append(&g->gives, &v->link);
    g->n_gives++;
    enum err err = spool_envelope(g->conf.spool, id, &v->arena, &v->envelope);
    if (err) {
        over(v, err == ERR_NOT_FOUND || err == ERR_RETRY ? err : ERR_REFUSED, "its envelope cannot be read");
        return v;
    }
    envelope_transfer_id(&v->envelope, v->transfer);
    ASSERT(!map_put(&g->by_transfer, slice_of(v->transfer), v)); /* the schedule gives each once */
    return v;
}

void giver_give(struct giver *g, const struct queue_id *id)
{
    struct give *v = give_new(g, id);
    if (v->state == GIVE_OVER) return;
    if (!g->up) {
        over(v, ERR_RETRY, "no line");
        return;
    }
    note_given(v, g->conf.to, on_marked);
    give_step(v);
    set_timer(g);
}

void giver_ask(struct giver *g, const struct queue_id *id)
{
    struct give *v = give_new(g, id);
    if (v->state == GIVE_OVER) return;
    v->maybe_there = true;
    v->state = GIVE_TO_ASK;
    if (!g->up) {
        over(v, ERR_UNKNOWN, "no line");
        return;
    }
    give_step(v);
    set_timer(g);
}

void giver_forget(struct giver *g, const struct queue_id *id)
{
    LIST_EACH_SAFE(&g->gives, it, next)
    {
        struct give *v = CONTAINER_OF(it, struct give, link);
        if (queue_id_eq(&v->id, id)) give_free(v);
    }
    set_timer(g);
}

void giver_drained(struct giver *g)
{
    g->full = false;
    LIST_EACH_SAFE(&g->gives, it, next) give_step(CONTAINER_OF(it, struct give, link));
}

size_t giver_open(const struct giver *g)
{
    return g->n_gives;
}

struct giver *giver_create(const struct env *env, const struct giver_conf *conf)
{
    struct giver *g = xzalloc(sizeof *g);
    g->env = env;
    g->conf = *conf;
    list_init(&g->gives);
    return g;
}

void giver_destroy(struct giver *g)
{
    if (!g) return;
    while (!list_empty(&g->gives)) give_free(CONTAINER_OF(g->gives.next, struct give, link));
    timer_clear(g->env->timers, &g->timer);
    map_deinit(&g->by_transfer);
    free(g);
}
