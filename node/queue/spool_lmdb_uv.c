/* The happy path:
 *  1. A loop fills a chunk of a put; every full chunk is queued for the writer at once (OP_CHUNK), the rest goes along
 *     with the packed envelope (OP_PUT). Updates and removes are queued the same way.
 *  2. The writer takes all that is queued, up to BATCH_BYTES, applies it in one transaction and syncs: group commit.
 *  3. Each op goes to its handle's list of answers; one mailbox post wakes the loop, which runs the completions.
 *
 * When it goes wrong:
 *  - map full: the transaction is thrown away, the map doubled, the batch done again; ops are not consumed before.
 *  - disk full or failing: puts of the batch get RETRY and intake stops; updates, removes and discards stay in front of
 *    the queue and are tried again every RETRY_MS. The first success starts intake again.
 *  - little space left: intake stops before it is gone (conf.min_free_bytes), and starts again with half as much more.
 *  - a session ends in mid-message: OP_DISCARD takes its chunks away. A process dies: the next start sweeps them.
 *  - the writer cannot keep up: puts are blocked at QUEUE_HIGH_BYTES and told at QUEUE_LOW_BYTES. */
#include "node/queue/spool_lmdb_uv.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/list.h"
#include "base/loop_uv.h"
#include "base/mailbox_uv.h"
#include "base/timers.h"
#include "node/queue/record.h"
#include "node/queue/spool_db.h"

enum {
    QUEUE_HIGH_BYTES = 16 * 1024 * 1024,
    QUEUE_LOW_BYTES = 8 * 1024 * 1024,
    BATCH_BYTES = 8 * 1024 * 1024,
    BATCH_OPS = 4096,
    OP_OVERHEAD_BYTES = 512,
    RETRY_MS = 1000,
    HOUSEKEEPING_MS = 1000,
    EXPIRE_STEPS = 20000,
    TRANSFER_MAX = 255,
};
static const uint64_t MIN_FREE_DEFAULT = MIB(64);

enum op_kind { OP_CHUNK, OP_PUT, OP_UPDATE, OP_REMOVE, OP_FORGET, OP_DISCARD };

/* Shared by the ops of one put; only the writer looks inside, the count is for whoever is last. */
struct body {
    _Atomic int refs;
    bool begun;  /* chunks lie in the spool without an envelope */
    bool failed; /* a chunk is missing: no envelope may follow */
};

struct spool_op {
    struct spool *spool; /* first: spool.h asks it for the ops */
    struct list link;    /* the writer's queue, then the handle's answers */
    struct list all;     /* the handle's; loop thread */
    struct list of_put;  /* chunks that a put still waits for; loop thread */
    enum op_kind kind;
    enum err err;
    char why[SPOOL_WHY_MAX];
    enum err refused; /* before it came to the writer, which then only passes the answer on */
    size_t cost_bytes;
    struct queue_id id;
    uint32_t index;
    struct body *body;
    struct buf bytes;  /* a chunk */
    struct buf record; /* an envelope */
    struct buf transfer;
    uint64_t until_wall_ms;
    struct queue_id also_update, also_remove; /* s[0] == 0: none */
    struct buf also_record;
    struct spool_put *put; /* loop thread; NULL: aborted */
    spool_done_fn *done;   /* loop thread; NULL: nobody asks */
    void *owner;
};

struct spool_put {
    struct spool *spool; /* first */
    struct list all;     /* the handle's puts */
    struct queue_id id;
    struct buf chunk;
    uint32_t chunks;
    uint64_t size_bytes;
    struct body *body;
    enum err err; /* a chunk failed, or intake stood still */
    char why[SPOOL_WHY_MAX];
    struct list chunk_ops;
    struct spool_op *commit; /* NULL: not committed */
    bool told_blocked;
    spool_room_fn *room;
    spool_done_fn *done;
    void *owner, *done_owner;
};

struct handle {
    struct spool spool;
    struct spool_lmdb *l;
    struct list link; /* the spool's handles */
    struct spool_reader *reader;
    struct mailbox *mailbox;
    struct list puts, ops; /* loop thread */
    /* Under the spool's lock: */
    struct list answers;
    struct queue_id *stored;
    size_t n_stored, cap_stored;
    size_t outstanding; /* ops with the writer */
    bool posted, closing, want_room, watching;
    /* Loop thread: */
    spool_stored_fn *on_stored;
    void *stored_owner;
};

struct spool_lmdb {
    struct spool_db *db;
    struct log log_copy;
    const struct log *log; /* NULL: silent */
    uint64_t min_free_bytes;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    /* Under the lock: */
    struct list queue; /* for the writer */
    struct list handles;
    size_t queue_bytes;
    bool stop;
    bool failing; /* the last transaction failed */
    struct spool_stats stats;
    /* Writer only: */
    bool low;
};

static const struct spool_ops lmdb_ops;

static struct handle *of(struct spool *s)
{
    return CONTAINER_OF(s, struct handle, spool);
}

static void body_unref(struct body *b)
{
    if (b && atomic_fetch_sub(&b->refs, 1) == 1) free(b);
}

/* ---- ops, on the loop's side ---- */

static struct spool_op *op_new(struct handle *h, enum op_kind kind, const struct queue_id *id)
{
    struct spool_op *op = xzalloc(sizeof *op);
    op->spool = &h->spool;
    op->kind = kind;
    if (id) op->id = *id;
    list_init(&op->link);
    list_init(&op->of_put);
    list_append(&h->ops, &op->all);
    return op;
}

static void op_free(struct spool_op *op)
{
    list_remove(&op->all);
    list_remove(&op->of_put);
    body_unref(op->body);
    buf_deinit(&op->bytes);
    buf_deinit(&op->record);
    buf_deinit(&op->transfer);
    buf_deinit(&op->also_record);
    free(op);
}

/* True: the queue is over its mark, and the handle is woken when it is not any more. */
static bool op_queue(struct spool_op *op)
{
    struct handle *h = of(op->spool);
    struct spool_lmdb *l = h->l;
    op->cost_bytes = OP_OVERHEAD_BYTES + buf_len(&op->bytes) + buf_len(&op->record) +
                     buf_len(&op->also_record);
    pthread_mutex_lock(&l->lock);
    bool was_empty = list_empty(&l->queue);
    list_append(&l->queue, &op->link);
    l->queue_bytes += op->cost_bytes;
    h->outstanding++;
    bool high = l->queue_bytes > QUEUE_HIGH_BYTES;
    if (high) h->want_room = true;
    if (was_empty) pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    return high;
}

/* ---- answers, on the loop's side ---- */

static void put_free(struct spool_put *p)
{
    list_remove(&p->all);
    body_unref(p->body);
    buf_deinit(&p->chunk);
    free(p);
}

/* Chunks that are in the spool and will have no envelope. */
static void discard(struct handle *h, const struct queue_id *id, struct body *body)
{
    struct spool_op *op = op_new(h, OP_DISCARD, id);
    op->body = body;
    atomic_fetch_add(&body->refs, 1);
    op_queue(op);
}

/* The callback may do anything but free the handle; op and put are gone when it runs. */
static void answer(struct spool_op *op)
{
    struct spool_put *p = op->put;
    spool_done_fn *done = op->done;
    void *owner = op->owner;
    enum err err = op->err;
    char why[SPOOL_WHY_MAX];
    memcpy(why, op->why, sizeof why);
    if (op->kind == OP_CHUNK && p && err) {
        p->err = err;
        memcpy(p->why, why, sizeof why);
    }
    if (op->kind == OP_PUT && err && op->index) discard(of(op->spool), &op->id, op->body);
    if (op->kind == OP_PUT && p) {
        done = p->done;
        owner = p->done_owner;
        put_free(p);
    }
    op_free(op);
    if (done) done(owner, err, why);
}

static void tell_room(struct handle *h)
{
    struct list told;
    list_init(&told);
    LIST_EACH_SAFE(&h->puts, it, next)
    {
        struct spool_put *p = CONTAINER_OF(it, struct spool_put, all);
        if (!p->told_blocked) continue;
        list_remove(&p->all);
        list_append(&told, &p->all);
    }
    while (!list_empty(&told)) { /* a callback may end its own put, or another's */
        struct spool_put *p = CONTAINER_OF(told.next, struct spool_put, all);
        list_remove(&p->all);
        list_append(&h->puts, &p->all);
        p->told_blocked = false;
        if (p->room && !p->commit) p->room(p->owner);
    }
}

static void on_wake(void *owner, void *unused)
{
    struct handle *h = owner;
    struct spool_lmdb *l = h->l;
    struct list answers;
    list_init(&answers);
    pthread_mutex_lock(&l->lock);
    h->posted = false;
    while (!list_empty(&h->answers)) {
        struct list *it = h->answers.next;
        list_remove(it);
        list_append(&answers, it);
    }
    struct queue_id *stored = h->stored;
    size_t n_stored = h->n_stored;
    h->stored = NULL;
    h->n_stored = h->cap_stored = 0;
    bool room = h->want_room && l->queue_bytes <= QUEUE_LOW_BYTES;
    if (room) h->want_room = false;
    pthread_mutex_unlock(&l->lock);

    if (n_stored && h->on_stored) h->on_stored(h->stored_owner, stored, n_stored);
    free(stored);
    while (!list_empty(&answers)) {
        struct spool_op *op = CONTAINER_OF(answers.next, struct spool_op, link);
        list_remove(&op->link);
        answer(op);
    }
    if (room) tell_room(h);
}

/* ---- the writer ---- */

static void wake(struct handle *h) /* under the lock */
{
    if (h->posted || h->closing) return;
    h->posted = mailbox_post(h->mailbox, on_wake, h, NULL) ==
                ERR_OK; /* room for one, and one is all there is */
    ASSERT(h->posted);
}

static void tell_stored(struct spool_lmdb *l, const struct queue_id *id) /* under the lock */
{
    LIST_EACH(&l->handles, it)
    {
        struct handle *h = CONTAINER_OF(it, struct handle, link);
        if (!h->watching) continue;
        if (h->n_stored == h->cap_stored) {
            h->cap_stored = MAX(h->cap_stored * 2, (size_t)64);
            h->stored = xrealloc(h->stored, h->cap_stored * sizeof *h->stored);
        }
        h->stored[h->n_stored++] = *id;
        wake(h);
    }
}

static void give_back(struct spool_lmdb *l, struct spool_op *op) /* under the lock */
{
    struct handle *h = of(op->spool);
    list_remove(&op->link);
    if (op->kind == OP_PUT && !op->err) tell_stored(l, &op->id);
    l->queue_bytes -= op->cost_bytes;
    h->outstanding--;
    list_append(&h->answers, &op->link);
    wake(h);
    if (h->closing) pthread_cond_broadcast(&l->idle);
}

static bool is_intake(const struct spool_op *op)
{
    return op->kind == OP_CHUNK || op->kind == OP_PUT;
}

static void set_failed(struct spool_op *op, enum err err, const char *why)
{
    op->err = err;
    if (why != op->why) snprintf(op->why, sizeof op->why, "%s", why);
    if (is_intake(op)) op->body->failed = true;
}

static enum err apply_put(struct spool_db *db, struct spool_op *op)
{
    struct spool_db_put put = { .id = op->id,
                                .record = buf_slice(&op->record),
                                .index = op->index,
                                .last = buf_slice(&op->bytes),
                                .transfer = buf_slice(&op->transfer),
                                .until_wall_ms = op->until_wall_ms };
    enum err err = spool_db_put_message(db, &put);
    if (err) return err;
    if (op->also_update.s[0]) err = spool_db_update(db, &op->also_update, &op->also_record);
    if (err == ERR_NOT_FOUND) err = ERR_OK; /* somebody removed it meanwhile */
    if (!err && op->also_remove.s[0]) err = spool_db_remove(db, &op->also_remove);
    return err;
}

static enum err apply(struct spool_db *db, struct spool_op *op)
{
    enum err err;
    switch (op->kind) {
    case OP_CHUNK:
        err = spool_db_put_chunk(db, &op->id, op->index, buf_slice(&op->bytes), op->index == 0);
        if (!err && op->index == 0) op->body->begun = true;
        return err;
    case OP_PUT: return apply_put(db, op);
    case OP_UPDATE: return spool_db_update(db, &op->id, &op->record);
    case OP_REMOVE: return spool_db_remove(db, &op->id);
    case OP_FORGET: return spool_db_forget_transfer(db, buf_slice(&op->transfer), op->until_wall_ms);
    case OP_DISCARD: return op->body->begun ? spool_db_discard(db, &op->id) : ERR_OK;
    }
    return ERR_OK;
}

/* One attempt at the whole batch. RETRY and LIMIT: nothing of it happened. */
static enum err attempt(struct spool_db *db, struct list *batch, bool probe)
{
    enum err err = spool_db_begin(db);
    if (!err && probe) err = spool_db_probe(db);
    for (struct list *it = batch->next; !err && it != batch; it = it->next) {
        struct spool_op *op = CONTAINER_OF(it, struct spool_op, link);
        if (is_intake(op) && op->body->failed) {
            if (!op->err) set_failed(op, ERR_RETRY, "an earlier part of the message could not be written");
            continue;
        }
        op->err = ERR_OK; /* of an earlier attempt */
        if (op->refused) {
            set_failed(op, op->refused, op->why);
            continue;
        }
        enum err e = apply(db, op);
        if (e == ERR_CONFLICT || e == ERR_NOT_FOUND)
            set_failed(op, e, err_text(e));
        else
            err = e;
    }
    if (!err) err = spool_db_commit(db);
    if (!err) return ERR_OK;
    spool_db_abort(db);
    LIST_EACH(batch, it)
    {
        struct spool_op *op = CONTAINER_OF(it, struct spool_op, link);
        if (op->kind == OP_CHUNK && op->index == 0) op->body->begun = false;
    }
    return err;
}

static enum err write_batch(struct spool_db *db, struct list *batch, bool probe)
{
    for (;;) {
        enum err err = attempt(db, batch, probe);
        if (err != ERR_LIMIT) return err;
        if (spool_db_grow(db)) return ERR_RETRY;
    }
}

static void take_batch(struct spool_lmdb *l, struct list *batch) /* under the lock */
{
    size_t bytes = 0, ops = 0;
    while (!list_empty(&l->queue) && bytes < BATCH_BYTES && ops < BATCH_OPS) {
        struct spool_op *op = CONTAINER_OF(l->queue.next, struct spool_op, link);
        bytes += op->cost_bytes;
        ops++;
        list_remove(&op->link);
        list_append(batch, &op->link);
    }
}

static void set_accepting(struct spool_lmdb *l, bool accepting, const char *why) /* under the lock */
{
    if (l->stats.accepting && !accepting) log_error(l->log, "spool.intake_stopped", kv_cstr("why", why));
    if (!l->stats.accepting && accepting) log_info(l->log, "spool.intake_resumed");
    l->stats.accepting = accepting;
    snprintf(l->stats.why, sizeof l->stats.why, "%s", accepting ? "" : why);
}

/* Stops intake while updates and removes still have room; starts it again with half as much more. */
static void judge_room(struct spool_lmdb *l) /* under the lock */
{
    char why[SPOOL_WHY_MAX];
    uint64_t usable = spool_db_counts(l->db)->usable_bytes;
    uint64_t mark = l->low ? l->min_free_bytes + l->min_free_bytes / 2 : l->min_free_bytes;
    l->low = usable < mark;
    snprintf(why, sizeof why, "%" PRIu64 " KiB left for the spool, intake needs %" PRIu64, usable / KIB(1),
             mark / KIB(1));
    set_accepting(l, !l->low, why);
}

static void publish(struct spool_lmdb *l) /* under the lock */
{
    const struct spool_db_counts *c = spool_db_counts(l->db);
    for (int f = 0; f < FLOW_COUNT; f++) {
        l->stats.messages[f] = c->messages[f];
        l->stats.bytes[f] = c->bytes[f];
        l->stats.oldest_arrival_wall_ms[f] = c->messages[f] ? c->oldest_arrival_wall_ms[f] : 0;
    }
    l->stats.disk_bytes = c->file_bytes;
    l->stats.disk_free_bytes = c->disk_free_bytes;
    if (!l->failing) judge_room(l);
}

static void batch_done(struct spool_lmdb *l, struct list *batch) /* under the lock */
{
    l->failing = false;
    l->stats.commits++;
    publish(l); /* before anybody is told: who asks then finds it counted */
    while (!list_empty(batch)) {
        l->stats.committed_ops++;
        give_back(l, CONTAINER_OF(batch->next, struct spool_op, link));
    }
    LIST_EACH(&l->handles, it)
    {
        struct handle *h = CONTAINER_OF(it, struct handle, link);
        if (h->want_room && l->queue_bytes <= QUEUE_LOW_BYTES) wake(h);
    }
}

static void list_prepend(struct list *head, struct list *it)
{
    list_append(head->next, it);
}

/* Puts are told; changes go back to the front, in their order. Those of a handle that is being freed are given up: the
 * process ends, and what they would have said is found again at the next start. */
static void batch_failed(struct spool_lmdb *l, struct list *batch) /* under the lock */
{
    struct list told;
    list_init(&told);
    l->failing = true;
    while (!list_empty(batch)) {
        struct spool_op *op = CONTAINER_OF(batch->prev, struct spool_op, link);
        list_remove(&op->link);
        if (is_intake(op) || of(op->spool)->closing) {
            if (!op->err) set_failed(op, ERR_RETRY, spool_db_error(l->db));
            list_prepend(&told, &op->link);
        } else {
            list_prepend(&l->queue, &op->link);
        }
    }
    while (!list_empty(&told)) give_back(l, CONTAINER_OF(told.next, struct spool_op, link));
    set_accepting(l, false, spool_db_error(l->db));
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void wait_until(struct spool_lmdb *l, uint64_t due_ms) /* under the lock */
{
    struct timespec t = { .tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000 };
    pthread_cond_timedwait(&l->work, &l->lock, &t);
}

/* While the disk fails nobody waits in vain: new puts hear of it at once, the rest when the pause is over. */
static void fail_new_intake(struct spool_lmdb *l) /* under the lock */
{
    LIST_EACH_SAFE(&l->queue, it, next)
    {
        struct spool_op *op = CONTAINER_OF(it, struct spool_op, link);
        if (!is_intake(op) && !of(op->spool)->closing) continue;
        set_failed(op, ERR_RETRY, spool_db_error(l->db));
        give_back(l, op);
    }
}

static void work(struct spool_lmdb *l, bool probe) /* under the lock */
{
    struct list batch;
    list_init(&batch);
    take_batch(l, &batch);
    if (list_empty(&batch) && !probe) return;
    pthread_mutex_unlock(&l->lock);
    enum err err = write_batch(l->db, &batch, probe);
    spool_db_measure(l->db, false);
    pthread_mutex_lock(&l->lock);
    if (err)
        batch_failed(l, &batch);
    else
        batch_done(l, &batch);
}

static void housekeeping(struct spool_lmdb *l) /* under the lock */
{
    pthread_mutex_unlock(&l->lock);
    spool_db_measure(l->db, true);
    bool expire = spool_db_counts(l->db)->transfers > 0 && !l->failing;
    if (expire && spool_db_begin(l->db) == ERR_OK) {
        if (spool_db_expire_transfers(l->db, clock_wall_ms(NULL), EXPIRE_STEPS) || spool_db_commit(l->db))
            spool_db_abort(l->db); /* the next round tries again */
    }
    pthread_mutex_lock(&l->lock);
    publish(l);
}

static void *writer(void *arg)
{
    struct spool_lmdb *l = arg;
    uint64_t tidy_at = now_ms() + HOUSEKEEPING_MS, retry_at = 0;
    pthread_mutex_lock(&l->lock);
    while (!l->stop || !list_empty(&l->queue)) {
        uint64_t now = now_ms();
        if (now >= tidy_at) {
            housekeeping(l);
            tidy_at = now_ms() + HOUSEKEEPING_MS;
        }
        if (l->failing && now < retry_at) {
            fail_new_intake(l);
            wait_until(l, MIN(retry_at, tidy_at));
        } else if (!l->failing && list_empty(&l->queue)) {
            wait_until(l, tidy_at);
        } else {
            work(l, l->failing);
            if (l->failing) retry_at = now_ms() + RETRY_MS;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- the interface ---- */

static bool accepting(struct handle *h, char why[static SPOOL_WHY_MAX])
{
    pthread_mutex_lock(&h->l->lock);
    bool yes = h->l->stats.accepting;
    memcpy(why, h->l->stats.why, SPOOL_WHY_MAX);
    pthread_mutex_unlock(&h->l->lock);
    return yes;
}

static struct spool_put *lmdb_put_begin(struct spool *s, const struct queue_id *id, spool_room_fn *room,
                                        void *owner)
{
    struct handle *h = of(s);
    struct spool_put *p = xzalloc(sizeof *p);
    p->spool = s;
    p->id = *id;
    p->room = room;
    p->owner = owner;
    p->body = xzalloc(sizeof *p->body);
    atomic_init(&p->body->refs, 1);
    buf_init(&p->chunk, SPOOL_CHUNK_BYTES);
    list_init(&p->chunk_ops);
    list_append(&h->puts, &p->all);
    if (!accepting(h, p->why)) p->err = ERR_RETRY;
    return p;
}

static struct spool_op *put_op(struct spool_put *p, enum op_kind kind)
{
    struct spool_op *op = op_new(of(p->spool), kind, &p->id);
    op->put = p;
    op->body = p->body;
    atomic_fetch_add(&p->body->refs, 1);
    op->index = p->chunks;
    op->bytes = p->chunk;
    buf_init(&p->chunk, SPOOL_CHUNK_BYTES);
    return op;
}

/* A full chunk leaves when more bytes come: the last one then always goes along with the envelope. */
static enum err lmdb_put_body(struct spool_put *p, struct slice bytes)
{
    ASSERT(!p->commit);
    while (bytes.n && !p->err) {
        if (buf_len(&p->chunk) == SPOOL_CHUNK_BYTES) {
            char why[SPOOL_WHY_MAX];
            if (!accepting(of(p->spool), why)) {
                p->err = ERR_RETRY;
                memcpy(p->why, why, sizeof why);
                break;
            }
            struct spool_op *op = put_op(p, OP_CHUNK);
            p->chunks++;
            list_append(&p->chunk_ops, &op->of_put);
            if (op_queue(op)) p->told_blocked = true;
        }
        struct slice part = slice_sub(bytes, 0, SPOOL_CHUNK_BYTES - buf_len(&p->chunk));
        buf_put(&p->chunk, part);
        p->size_bytes += part.n;
        bytes = slice_skip(bytes, part.n);
    }
    return p->err;
}

static bool lmdb_put_blocked(const struct spool_put *p)
{
    return p->told_blocked;
}

static enum err pack_with(struct spool_op *op, const struct spool_with *with)
{
    buf_init(&op->transfer, TRANSFER_MAX);
    buf_init(&op->also_record, RECORD_BYTES_MAX);
    op->until_wall_ms = with->transfer_until_wall_ms;
    if (with->remove) op->also_remove = *with->remove;
    enum err err = buf_append(&op->transfer, with->transfer);
    if (err || !with->update) return err;
    op->also_update = with->update->id;
    return record_pack(with->update, with->update->size_bytes, with->update->chunks, &op->also_record);
}

/* What cannot be written is answered the way everything is: by the writer, later. */
static void lmdb_put_commit(struct spool_put *p, const struct envelope *e, const struct spool_with *with,
                            spool_done_fn *done, void *owner)
{
    ASSERT(!p->commit);
    struct envelope own = *e;
    uint32_t chunks = p->chunks + (buf_len(&p->chunk) > 0);
    struct spool_op *op = put_op(p, OP_PUT);
    own.id = p->id;
    buf_init(&op->record, RECORD_BYTES_MAX);
    enum err err = record_pack(&own, p->size_bytes, chunks, &op->record);
    if (!err && with) err = pack_with(op, with);
    p->commit = op;
    p->done = done;
    p->done_owner = owner;
    if (p->err) err = p->err;
    op->refused = err;
    if (err) snprintf(op->why, sizeof op->why, "%s", p->err && p->why[0] ? p->why : err_text(err));
    op_queue(op);
}

static void lmdb_put_abort(struct spool_put *p)
{
    while (!list_empty(&p->chunk_ops)) {
        struct spool_op *op = CONTAINER_OF(p->chunk_ops.next, struct spool_op, of_put);
        op->put = NULL;
        list_remove(&op->of_put);
    }
    if (p->commit)
        p->commit->put = NULL;
    else if (p->chunks)
        discard(of(p->spool), &p->id, p->body);
    put_free(p);
}

static struct spool_op *lmdb_update(struct spool *s, const struct envelope *e, spool_done_fn *done,
                                    void *owner)
{
    struct spool_op *op = op_new(of(s), OP_UPDATE, &e->id);
    op->done = done;
    op->owner = owner;
    buf_init(&op->record, RECORD_BYTES_MAX);
    op->refused = record_pack(e, e->size_bytes, e->chunks, &op->record);
    if (op->refused) snprintf(op->why, sizeof op->why, "%s", err_text(op->refused));
    op_queue(op);
    return op;
}

static struct spool_op *lmdb_remove(struct spool *s, const struct queue_id *id, spool_done_fn *done,
                                    void *owner)
{
    struct spool_op *op = op_new(of(s), OP_REMOVE, id);
    op->done = done;
    op->owner = owner;
    op_queue(op);
    return op;
}

static struct spool_op *lmdb_forget(struct spool *s, struct slice transfer, uint64_t until_wall_ms,
                                    spool_done_fn *done, void *owner)
{
    struct spool_op *op = op_new(of(s), OP_FORGET, NULL);
    op->done = done;
    op->owner = owner;
    op->until_wall_ms = until_wall_ms;
    buf_init(&op->transfer, TRANSFER_MAX);
    op->refused = buf_append(&op->transfer, transfer);
    op_queue(op);
    return op;
}

static void lmdb_op_cancel(struct spool_op *op)
{
    op->done = NULL;
}

static enum err lmdb_envelope(struct spool *s, const struct queue_id *id, struct arena *a,
                              struct envelope *out)
{
    return spool_reader_envelope(of(s)->reader, id, a, out);
}

static enum err lmdb_chunk(struct spool *s, const struct queue_id *id, uint32_t index, struct buf *out)
{
    return spool_reader_chunk(of(s)->reader, id, index, out);
}

static enum err lmdb_transfer_seen(struct spool *s, struct slice transfer)
{
    return spool_reader_transfer_seen(of(s)->reader, transfer);
}

static enum err lmdb_each(struct spool *s, uint64_t from_wall_ms,
                          bool (*fn)(void *owner, const struct spool_item *it), void *owner)
{
    return spool_reader_each(of(s)->reader, from_wall_ms, fn, owner);
}

static void lmdb_stats(struct spool *s, struct spool_stats *out)
{
    struct spool_lmdb *l = of(s)->l;
    pthread_mutex_lock(&l->lock);
    *out = l->stats;
    pthread_mutex_unlock(&l->lock);
}

static void lmdb_watch(struct spool *s, spool_stored_fn *stored, void *owner)
{
    struct handle *h = of(s);
    h->on_stored = stored;
    h->stored_owner = owner;
    pthread_mutex_lock(&h->l->lock);
    h->watching = stored != NULL;
    pthread_mutex_unlock(&h->l->lock);
}

static const struct spool_ops lmdb_ops = {
    .put_begin = lmdb_put_begin,
    .put_body = lmdb_put_body,
    .put_blocked = lmdb_put_blocked,
    .put_commit = lmdb_put_commit,
    .put_abort = lmdb_put_abort,
    .update = lmdb_update,
    .remove = lmdb_remove,
    .forget_transfer = lmdb_forget,
    .op_cancel = lmdb_op_cancel,
    .envelope = lmdb_envelope,
    .chunk = lmdb_chunk,
    .transfer_seen = lmdb_transfer_seen,
    .each = lmdb_each,
    .stats = lmdb_stats,
    .watch = lmdb_watch,
};

/* ---- life ---- */

struct spool *spool_lmdb_attach(struct spool_lmdb *l, struct loop *loop)
{
    struct handle *h = xzalloc(sizeof *h);
    h->spool.ops = &lmdb_ops;
    h->l = l;
    h->reader = spool_reader_create(l->db);
    h->mailbox = mailbox_create(loop, 2);
    list_init(&h->puts);
    list_init(&h->ops);
    list_init(&h->answers);
    pthread_mutex_lock(&l->lock);
    list_append(&l->handles, &h->link);
    pthread_mutex_unlock(&l->lock);
    return &h->spool;
}

void spool_lmdb_detach(struct spool *s)
{
    if (!s) return;
    struct handle *h = of(s);
    struct spool_lmdb *l = h->l;
    while (!list_empty(&h->puts)) lmdb_put_abort(CONTAINER_OF(h->puts.next, struct spool_put, all));
    pthread_mutex_lock(&l->lock);
    h->closing = true;
    pthread_cond_signal(&l->work);
    while (h->outstanding) pthread_cond_wait(&l->idle, &l->lock);
    list_remove(&h->link);
    pthread_mutex_unlock(&l->lock);
    while (!list_empty(&h->ops)) {
        struct spool_op *op = CONTAINER_OF(h->ops.next, struct spool_op, all);
        list_remove(&op->link);
        op_free(op);
    }
    mailbox_destroy(h->mailbox, NULL);
    spool_reader_destroy(h->reader);
    free(h->stored);
    free(h);
}

static enum err make_dir(const char *dir, char why[static SPOOL_WHY_MAX])
{
    if (mkdir(dir, 0700) == 0 || errno == EEXIST) return ERR_OK;
    snprintf(why, SPOOL_WHY_MAX, "spool %.120s: %.100s", dir, strerror(errno));
    return ERR_REFUSED;
}

enum err spool_lmdb_open(const struct spool_lmdb_conf *conf, const struct log *log, struct spool_lmdb **out,
                         char why[static SPOOL_WHY_MAX])
{
    struct spool_db_conf db_conf = { .dir = conf->dir,
                                     .max_bytes = conf->max_bytes,
                                     .map_bytes = conf->map_bytes };
    struct spool_db *db;
    why[0] = '\0';
    enum err err = make_dir(conf->dir, why);
    if (!err) err = spool_db_open(&db_conf, &db, why);
    if (err) return err;
    struct spool_lmdb *l = xzalloc(sizeof *l);
    l->db = db;
    if (log) l->log_copy = *log;
    l->log = log ? &l->log_copy : NULL;
    l->min_free_bytes = conf->min_free_bytes ? conf->min_free_bytes : MIN_FREE_DEFAULT;
    list_init(&l->queue);
    list_init(&l->handles);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&l->idle, NULL);
    pthread_mutex_init(&l->lock, NULL);
    l->stats.accepting = true;
    pthread_mutex_lock(&l->lock);
    housekeeping(l); /* so that the first statistics are true */
    pthread_mutex_unlock(&l->lock);
    ASSERT(pthread_create(&l->thread, NULL, writer, l) == 0);
    *out = l;
    return ERR_OK;
}

void spool_lmdb_close(struct spool_lmdb *l)
{
    if (!l) return;
    ASSERT(list_empty(&l->handles));
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    spool_db_close(l->db);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->idle);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
