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
 *  - the writer cannot keep up: puts are blocked at SPOOL_QUEUE_HIGH_BYTES and told at SPOOL_QUEUE_LOW_BYTES. */
#include "node/queue/spool_lmdb_uv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/loop_uv.h"
#include "base/mailbox_uv.h"
#include "node/queue/record.h"
#include "node/queue/spool_lmdb_inside.h"

enum { OP_OVERHEAD_BYTES = 512, TRANSFER_MAX = 255 };

static const struct spool_ops lmdb_ops;

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
    struct handle *h = spool_lmdb_handle(op->spool);
    struct spool_lmdb *l = h->l;
    op->cost_bytes = OP_OVERHEAD_BYTES + buf_len(&op->bytes) + buf_len(&op->record) +
                     buf_len(&op->also_record);
    pthread_mutex_lock(&l->lock);
    bool was_empty = list_empty(&l->queue);
    list_append(&l->queue, &op->link);
    l->queue_bytes += op->cost_bytes;
    h->outstanding++;
    bool high = l->queue_bytes > SPOOL_QUEUE_HIGH_BYTES;
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
    if (op->kind == OP_PUT && err && op->index) discard(spool_lmdb_handle(op->spool), &op->id, op->body);
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

void spool_lmdb_wake(void *owner, void *unused)
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
    bool room = h->want_room && l->queue_bytes <= SPOOL_QUEUE_LOW_BYTES;
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
    struct handle *h = spool_lmdb_handle(s);
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
    struct spool_op *op = op_new(spool_lmdb_handle(p->spool), kind, &p->id);
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
            if (!accepting(spool_lmdb_handle(p->spool), why)) {
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
        discard(spool_lmdb_handle(p->spool), &p->id, p->body);
    put_free(p);
}

static struct spool_op *lmdb_update(struct spool *s, const struct envelope *e, spool_done_fn *done,
                                    void *owner)
{
    struct spool_op *op = op_new(spool_lmdb_handle(s), OP_UPDATE, &e->id);
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
    struct spool_op *op = op_new(spool_lmdb_handle(s), OP_REMOVE, id);
    op->done = done;
    op->owner = owner;
    op_queue(op);
    return op;
}

static struct spool_op *lmdb_forget(struct spool *s, struct slice transfer, uint64_t until_wall_ms,
                                    spool_done_fn *done, void *owner)
{
    struct spool_op *op = op_new(spool_lmdb_handle(s), OP_FORGET, NULL);
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
    return spool_reader_envelope(spool_lmdb_handle(s)->reader, id, a, out);
}

static enum err lmdb_chunk(struct spool *s, const struct queue_id *id, uint32_t index, struct buf *out)
{
    return spool_reader_chunk(spool_lmdb_handle(s)->reader, id, index, out);
}

static enum err lmdb_transfer_seen(struct spool *s, struct slice transfer)
{
    return spool_reader_transfer_seen(spool_lmdb_handle(s)->reader, transfer);
}

static enum err lmdb_each(struct spool *s, uint64_t from_wall_ms,
                          bool (*fn)(void *owner, const struct spool_item *it), void *owner)
{
    return spool_reader_each(spool_lmdb_handle(s)->reader, from_wall_ms, fn, owner);
}

static void lmdb_stats(struct spool *s, struct spool_stats *out)
{
    struct spool_lmdb *l = spool_lmdb_handle(s)->l;
    pthread_mutex_lock(&l->lock);
    *out = l->stats;
    pthread_mutex_unlock(&l->lock);
}

static void lmdb_watch(struct spool *s, spool_stored_fn *stored, void *owner)
{
    struct handle *h = spool_lmdb_handle(s);
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
    struct handle *h = spool_lmdb_handle(s);
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
    l->min_free_bytes = conf->min_free_bytes;
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
    spool_writer_tidy(l); /* so that the first statistics are true */
    pthread_mutex_unlock(&l->lock);
    ASSERT(pthread_create(&l->thread, NULL, spool_writer, l) == 0);
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
