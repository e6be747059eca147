/* The writer's half of spool_lmdb_uv.c, which tells the story. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mailbox_uv.h"
#include "base/timers.h"
#include "node/queue/spool_lmdb_inside.h"

enum {
    BATCH_BYTES = 8 * 1024 * 1024,
    BATCH_OPS = 4096,
    RETRY_MS = 1000,
    HOUSEKEEPING_MS = 1000,
    EXPIRE_STEPS = 20000,
};

static const uint64_t MIN_FREE_DEFAULT = MIB(64);

static void wake(struct handle *h) /* under the lock */
{
    if (h->posted || h->closing) return;
    h->posted = mailbox_post(h->mailbox, spool_lmdb_wake, h, NULL) ==
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
    struct handle *h = spool_lmdb_handle(op->spool);
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
    uint64_t reserve = l->min_free_bytes ? l->min_free_bytes
                                         : MIN(MIN_FREE_DEFAULT, spool_db_counts(l->db)->room_bytes / 8);
    uint64_t mark = l->low ? reserve + reserve / 2 : reserve;
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
    l->stats.room_bytes = c->room_bytes;
    l->stats.usable_bytes = c->usable_bytes;
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
        if (h->want_room && l->queue_bytes <= SPOOL_QUEUE_LOW_BYTES) wake(h);
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
        if (is_intake(op) || spool_lmdb_handle(op->spool)->closing) {
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
        if (!is_intake(op) && !spool_lmdb_handle(op->spool)->closing) continue;
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
    spool_db_let_go(l->db);
    pthread_mutex_lock(&l->lock);
    if (err)
        batch_failed(l, &batch);
    else
        batch_done(l, &batch);
}

void spool_writer_tidy(struct spool_lmdb *l) /* under the lock */
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

void *spool_writer(void *arg)
{
    struct spool_lmdb *l = arg;
    uint64_t tidy_at = now_ms() + HOUSEKEEPING_MS, retry_at = 0;
    pthread_mutex_lock(&l->lock);
    while (!l->stop || !list_empty(&l->queue)) {
        uint64_t now = now_ms();
        if (now >= tidy_at) {
            spool_writer_tidy(l);
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
