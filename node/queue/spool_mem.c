#include "node/queue/spool_mem.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "base/timers.h"
#include "node/queue/record.h"

enum { RETRY_MS = 1000, BLOCKED_OPS = 1024 };

struct message {
    struct buf record, body;
};

enum op_kind { OP_PUT, OP_UPDATE, OP_REMOVE, OP_FORGET };

/* Also a put: the same thing with a body, not in the list before its commit. */
struct spool_op {
    struct spool *spool; /* first: spool.h asks it for the ops */
    struct spool_mem *m;
    struct list all, queued;
    enum op_kind kind;
    enum err err;
    bool committed, cancelled;
    struct queue_id id;
    struct buf record, body;
    struct buf transfer;
    uint64_t until_wall_ms;
    struct queue_id also_update, also_remove; /* s[0] == 0: none */
    struct buf update_record;
    spool_room_fn *room;
    void *room_owner;
    spool_done_fn *done;
    void *owner;
};

struct spool_mem {
    struct spool spool;
    const struct env *env;
    uint32_t sync_ms;
    struct map messages;  /* id → struct message */
    struct map transfers; /* transfer → uint64_t *until */
    struct list ops;      /* every op and put that lives */
    struct list queue;    /* committed, not synced */
    size_t n_queue;
    struct timer sync;
    bool full;
    spool_stored_fn *stored;
    void *stored_owner;
    uint64_t commits, committed_ops;
};

static const struct spool_ops mem_ops;

static struct spool_mem *of(struct spool *s)
{
    return CONTAINER_OF(s, struct spool_mem, spool);
}

static struct slice id_key(const struct queue_id *id)
{
    return queue_id_slice(id);
}

/* ---- ops ---- */

static struct spool_op *op_new(struct spool_mem *m, enum op_kind kind, const struct queue_id *id)
{
    struct spool_op *op = xzalloc(sizeof *op);
    op->spool = &m->spool;
    op->m = m;
    op->kind = kind;
    if (id) op->id = *id;
    buf_init(&op->record, RECORD_BYTES_MAX);
    buf_init(&op->update_record, RECORD_BYTES_MAX);
    buf_init(&op->transfer, 512);
    buf_init(&op->body, SIZE_MAX / 2);
    list_append(&m->ops, &op->all);
    list_init(&op->queued);
    return op;
}

static void op_free(struct spool_op *op)
{
    if (op->queued.next != &op->queued) op->m->n_queue--;
    list_remove(&op->queued);
    list_remove(&op->all);
    buf_deinit(&op->record);
    buf_deinit(&op->update_record);
    buf_deinit(&op->transfer);
    buf_deinit(&op->body);
    free(op);
}

static void on_sync(struct timer *t);

static void op_queue(struct spool_op *op, spool_done_fn *done, void *owner)
{
    struct spool_mem *m = op->m;
    op->committed = true;
    op->done = done;
    op->owner = owner;
    list_append(&m->queue, &op->queued);
    m->n_queue++;
    if (!timer_is_set(&m->sync)) timer_set_in(m->env->timers, &m->sync, m->sync_ms, on_sync, m);
}

/* ---- what is stored ---- */

static void message_free(struct message *msg)
{
    if (!msg) return;
    buf_deinit(&msg->record);
    buf_deinit(&msg->body);
    free(msg);
}

static void store_record(struct message *msg, struct buf *record)
{
    struct record_head head;
    if (buf_len(&msg->record)) {
        ASSERT(record_peek(buf_slice(&msg->record), &head) == ERR_OK);
        record_set_body(record, head.item.size_bytes, head.chunks);
    }
    buf_deinit(&msg->record);
    msg->record = *record;
    *record = (struct buf){ 0 };
}

static void apply_put(struct spool_mem *m, struct spool_op *op)
{
    struct slice transfer = buf_slice(&op->transfer);
    if (map_get(&m->messages, id_key(&op->id)) || (transfer.n && map_get(&m->transfers, transfer))) {
        op->err = ERR_CONFLICT;
        return;
    }
    struct message *msg = xzalloc(sizeof *msg);
    store_record(msg, &op->record);
    msg->body = op->body;
    op->body = (struct buf){ 0 };
    map_put(&m->messages, id_key(&op->id), msg);
    if (transfer.n) {
        uint64_t *until = xzalloc(sizeof *until);
        *until = op->until_wall_ms;
        map_put(&m->transfers, transfer, until);
    }
    struct message *other = op->also_update.s[0] ? map_get(&m->messages, id_key(&op->also_update)) : NULL;
    if (other) store_record(other, &op->update_record);
    if (op->also_remove.s[0]) message_free(map_remove(&m->messages, id_key(&op->also_remove)));
}

static void apply(struct spool_mem *m, struct spool_op *op)
{
    struct message *msg = map_get(&m->messages, id_key(&op->id));
    uint64_t *until;
    switch (op->kind) {
    case OP_PUT: apply_put(m, op); break;
    case OP_UPDATE:
        if (msg)
            store_record(msg, &op->record);
        else
            op->err = ERR_NOT_FOUND;
        break;
    case OP_REMOVE: message_free(map_remove(&m->messages, id_key(&op->id))); break;
    case OP_FORGET:
        until = map_get(&m->transfers, buf_slice(&op->transfer));
        if (until) *until = MIN(*until, op->until_wall_ms);
        break;
    }
}

static void expire_transfers(struct spool_mem *m)
{
    uint64_t now = timers_wall_ms(m->env->timers);
    size_t at = 0;
    struct slice key;
    void *until;
    while (map_next(&m->transfers, &at, &key, &until)) {
        if (*(uint64_t *)until > now) continue;
        free(map_remove(&m->transfers, key)); /* a removal leaves every other slot where it was */
    }
}

/* ---- the sync ---- */

static void complete(struct spool_op *op)
{
    struct spool_mem *m = op->m;
    spool_done_fn *done = op->cancelled ? NULL : op->done;
    void *owner = op->owner;
    enum err err = op->err;
    struct queue_id id = op->id;
    bool stored = op->kind == OP_PUT && !err;
    op_free(op);
    if (stored && m->stored) m->stored(m->stored_owner, &id, 1);
    if (done) done(owner, err, err == ERR_OK ? "" : err == ERR_RETRY ? "disk full" : err_text(err));
}

/* Applies all that wait, or with a full disk fails the puts. The completions come from a list of their own: what they
 * write goes into the next sync. */
static void take_batch(struct spool_mem *m, struct list *batch)
{
    list_init(batch);
    LIST_EACH_SAFE(&m->queue, it, next)
    {
        struct spool_op *op = CONTAINER_OF(it, struct spool_op, queued);
        if (m->full && op->kind != OP_PUT) continue;
        if (m->full && !op->err) op->err = ERR_RETRY;
        if (!op->err) apply(m, op);
        list_remove(&op->queued);
        list_append(batch, &op->queued); /* still counted: op_free takes it off */
        m->committed_ops++;
    }
    m->commits++;
}

static void tell_room(struct spool_mem *m)
{
    LIST_EACH_SAFE(&m->ops, it, next)
    {
        struct spool_op *op = CONTAINER_OF(it, struct spool_op, all);
        if (op->kind == OP_PUT && !op->committed && op->room) op->room(op->room_owner);
    }
}

static void on_sync(struct timer *t)
{
    struct spool_mem *m = t->owner;
    struct list batch;
    bool was_blocked = m->n_queue >= BLOCKED_OPS;
    expire_transfers(m);
    take_batch(m, &batch);
    while (!list_empty(&batch)) complete(CONTAINER_OF(batch.next, struct spool_op, queued));
    if (was_blocked && m->n_queue < BLOCKED_OPS) tell_room(m);
    if (m->n_queue && !timer_is_set(&m->sync))
        timer_set_in(m->env->timers, &m->sync, m->full ? RETRY_MS : m->sync_ms, on_sync, m);
}

/* ---- the interface ---- */

static struct spool_put *mem_put_begin(struct spool *s, const struct queue_id *id, spool_room_fn *room,
                                       void *owner)
{
    struct spool_op *op = op_new(of(s), OP_PUT, id);
    op->room = room;
    op->room_owner = owner;
    return (struct spool_put *)op;
}

static enum err mem_put_body(struct spool_put *p, struct slice bytes)
{
    struct spool_op *op = (struct spool_op *)p;
    ASSERT(!op->committed);
    return op->m->full ? ERR_RETRY : buf_append(&op->body, bytes);
}

static bool mem_put_blocked(const struct spool_put *p)
{
    return ((const struct spool_op *)p)->m->n_queue >= BLOCKED_OPS;
}

static uint32_t chunks_of(size_t n)
{
    return (uint32_t)((n + SPOOL_CHUNK_BYTES - 1) / SPOOL_CHUNK_BYTES);
}

static void mem_put_commit(struct spool_put *p, const struct envelope *e, const struct spool_with *with,
                           spool_done_fn *done, void *owner)
{
    struct spool_op *op = (struct spool_op *)p;
    struct envelope own = *e;
    ASSERT(!op->committed);
    own.id = op->id;
    op->err = record_pack(&own, buf_len(&op->body), chunks_of(buf_len(&op->body)), &op->record);
    if (with) {
        buf_put(&op->transfer, with->transfer);
        op->until_wall_ms = with->transfer_until_wall_ms;
        if (with->remove) op->also_remove = *with->remove;
        if (with->update) {
            op->also_update = with->update->id;
            if (!op->err)
                op->err = record_pack(with->update, with->update->size_bytes, with->update->chunks,
                                      &op->update_record);
        }
    }
    op_queue(op, done, owner);
}

static void mem_op_cancel(struct spool_op *op)
{
    op->cancelled = true;
}

static void mem_put_abort(struct spool_put *p)
{
    struct spool_op *op = (struct spool_op *)p;
    if (op->committed)
        op->cancelled = true;
    else
        op_free(op);
}

static struct spool_op *mem_update(struct spool *s, const struct envelope *e, spool_done_fn *done,
                                   void *owner)
{
    struct spool_op *op = op_new(of(s), OP_UPDATE, &e->id);
    op->err = record_pack(e, e->size_bytes, e->chunks, &op->record);
    op_queue(op, done, owner);
    return op;
}

static struct spool_op *mem_remove(struct spool *s, const struct queue_id *id, spool_done_fn *done,
                                   void *owner)
{
    struct spool_op *op = op_new(of(s), OP_REMOVE, id);
    op_queue(op, done, owner);
    return op;
}

static struct spool_op *mem_forget(struct spool *s, struct slice transfer, uint64_t until_wall_ms,
                                   spool_done_fn *done, void *owner)
{
    struct spool_op *op = op_new(of(s), OP_FORGET, NULL);
    buf_put(&op->transfer, transfer);
    op->until_wall_ms = until_wall_ms;
    op_queue(op, done, owner);
    return op;
}

static enum err mem_envelope(struct spool *s, const struct queue_id *id, struct arena *a,
                             struct envelope *out)
{
    const struct message *msg = map_get(&of(s)->messages, id_key(id));
    return msg ? record_unpack(buf_slice(&msg->record), a, out) : ERR_NOT_FOUND;
}

static enum err mem_chunk(struct spool *s, const struct queue_id *id, uint32_t index, struct buf *out)
{
    const struct message *msg = map_get(&of(s)->messages, id_key(id));
    if (!msg || index >= chunks_of(buf_len(&msg->body))) return ERR_NOT_FOUND;
    return buf_append(out,
                      slice_sub(buf_slice(&msg->body), (size_t)index * SPOOL_CHUNK_BYTES, SPOOL_CHUNK_BYTES));
}

static enum err mem_transfer_seen(struct spool *s, struct slice transfer)
{
    return map_get(&of(s)->transfers, transfer) ? ERR_OK : ERR_NOT_FOUND;
}

static int by_due(const void *pa, const void *pb)
{
    const struct spool_item *a = pa, *b = pb;
    if (a->due_wall_ms != b->due_wall_ms) return a->due_wall_ms < b->due_wall_ms ? -1 : 1;
    return strcmp(a->id.s, b->id.s);
}

static size_t items(struct spool_mem *m, uint64_t from_wall_ms, struct spool_item *out)
{
    size_t at = 0, n = 0;
    struct slice key;
    void *value;
    while (map_next(&m->messages, &at, &key, &value)) {
        struct record_head head;
        ASSERT(record_peek(buf_slice(&((struct message *)value)->record), &head) == ERR_OK);
        if (head.item.due_wall_ms < from_wall_ms) continue;
        out[n] = head.item;
        memcpy(out[n++].id.s, key.p, QUEUE_ID_CHARS);
    }
    return n;
}

static enum err mem_each(struct spool *s, uint64_t from_wall_ms,
                         bool (*fn)(void *owner, const struct spool_item *it), void *owner)
{
    struct spool_mem *m = of(s);
    struct spool_item *all = xzalloc((m->messages.n + 1) * sizeof *all);
    size_t n = items(m, from_wall_ms, all);
    qsort(all, n, sizeof *all, by_due);
    for (size_t i = 0; i < n && fn(owner, &all[i]); i++) {
    }
    free(all);
    return ERR_OK;
}

static void mem_stats(struct spool *s, struct spool_stats *out)
{
    struct spool_mem *m = of(s);
    struct spool_item *all = xzalloc((m->messages.n + 1) * sizeof *all);
    size_t n = items(m, 0, all);
    *out = (struct spool_stats){ .accepting = !m->full,
                                 .commits = m->commits,
                                 .committed_ops = m->committed_ops };
    if (m->full) snprintf(out->why, sizeof out->why, "disk full");
    for (size_t i = 0; i < n; i++) {
        enum flow f = all[i].flow;
        out->messages[f]++;
        out->bytes[f] += all[i].size_bytes;
        if (!out->oldest_arrival_wall_ms[f] || all[i].arrival_wall_ms < out->oldest_arrival_wall_ms[f])
            out->oldest_arrival_wall_ms[f] = all[i].arrival_wall_ms;
    }
    free(all);
}

static void mem_watch(struct spool *s, spool_stored_fn *stored, void *owner)
{
    of(s)->stored = stored;
    of(s)->stored_owner = owner;
}

static const struct spool_ops mem_ops = {
    .put_begin = mem_put_begin,
    .put_body = mem_put_body,
    .put_blocked = mem_put_blocked,
    .put_commit = mem_put_commit,
    .put_abort = mem_put_abort,
    .update = mem_update,
    .remove = mem_remove,
    .forget_transfer = mem_forget,
    .op_cancel = mem_op_cancel,
    .envelope = mem_envelope,
    .chunk = mem_chunk,
    .transfer_seen = mem_transfer_seen,
    .each = mem_each,
    .stats = mem_stats,
    .watch = mem_watch,
};

struct spool_mem *spool_mem_create(const struct env *env, uint32_t sync_ms)
{
    struct spool_mem *m = xzalloc(sizeof *m);
    m->spool.ops = &mem_ops;
    m->env = env;
    m->sync_ms = sync_ms;
    list_init(&m->ops);
    list_init(&m->queue);
    return m;
}

struct spool *spool_mem_spool(struct spool_mem *m)
{
    return &m->spool;
}

void spool_mem_crash(struct spool_mem *m, bool synced)
{
    struct list batch;
    timer_clear(m->env->timers, &m->sync);
    list_init(&batch);
    if (synced) take_batch(m, &batch);
    while (!list_empty(&batch)) op_free(CONTAINER_OF(batch.next, struct spool_op, queued));
    while (!list_empty(&m->ops)) op_free(CONTAINER_OF(m->ops.next, struct spool_op, all));
    m->stored = NULL;
}

void spool_mem_set_full(struct spool_mem *m, bool full)
{
    m->full = full;
}

size_t spool_mem_pending(const struct spool_mem *m)
{
    return m->n_queue;
}

static void free_values(struct map *m, void (*release)(void *value))
{
    size_t at = 0;
    struct slice key;
    void *value;
    while (map_next(m, &at, &key, &value)) release(value);
    map_deinit(m);
}

static void release_message(void *value)
{
    message_free(value);
}

void spool_mem_destroy(struct spool_mem *m)
{
    if (!m) return;
    spool_mem_crash(m, false);
    free_values(&m->messages, release_message);
    free_values(&m->transfers, free);
    free(m);
}
