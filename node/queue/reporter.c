#include "node/queue/reporter.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/timers.h"
#include "node/queue/dsn.h"

enum { AGAIN_MS = 1000 };

struct report {
    struct reporter *reporter;
    struct list list;
    struct arena arena;
    struct envelope e; /* as it is to stand on disk */
    bool remove;
    struct dsn_rcpt *rcpts;
    struct dsn dsn;
    queue_reported_fn *done;
    void *owner;
    struct spool_put *put;
    struct spool_op *op;
    struct timer again;
};

struct reporter {
    const struct env *env;
    const struct reporter_conf *conf;
    struct list open;
    uint64_t sent;
};

static void report_free(struct report *p)
{
    timer_clear(p->reporter->env->timers, &p->again);
    spool_put_abort(&p->put);
    spool_op_cancel(&p->op);
    list_remove(&p->list);
    arena_deinit(&p->arena);
    free(p);
}

static void finish(struct report *p, enum err err)
{
    queue_reported_fn *done = p->done;
    void *owner = p->owner;
    report_free(p);
    done(owner, err);
}

/* ---- without a notification ---- */

static void changed(void *owner, enum err err, const char *why)
{
    struct report *p = owner;
    p->op = NULL;
    finish(p, err);
}

static void change_only(struct report *p)
{
    struct spool *s = p->reporter->conf->spool;
    p->op = p->remove ? spool_remove(s, &p->e.id, changed, p) : spool_update(s, &p->e, changed, p);
}

/* ---- with one ---- */

static void tell(struct report *p);

static void tell_again(struct timer *t)
{
    tell(t->owner);
}

static void stored(void *owner, enum err err, const char *why)
{
    struct report *p = owner;
    struct reporter *r = p->reporter;
    p->put = NULL;
    if (err == ERR_RETRY) {
        timer_set_in(r->env->timers, &p->again, AGAIN_MS, tell_again, p);
        return;
    }
    if (!err) r->sent++;
    log_info(r->env->log, "queue.reported", kv_slice("id", queue_id_slice(&p->e.id)),
             kv_slice("dsn", queue_id_slice(&p->dsn.id)), kv_slice("to", p->e.sender),
             kv_u64("recipients", p->dsn.n_rcpts), kv_err("err", err));
    finish(p, err);
}

static enum err put_buf(struct report *p, struct buf *b)
{
    enum err err = spool_put_body(p->put, buf_slice(b));
    buf_clear(b);
    return err;
}

static enum err put_chunks(struct report *p)
{
    struct buf b;
    enum err err = ERR_OK;
    buf_init(&b, SPOOL_CHUNK_BYTES);
    for (uint32_t i = 0; !err && i < p->e.chunks; i++) {
        err = spool_chunk(p->reporter->conf->spool, &p->e.id, i, &b);
        if (!err) err = put_buf(p, &b);
    }
    buf_deinit(&b);
    return err;
}

/* The header, up to and with the empty line. It is bounded at intake to less than two chunks. */
static enum err put_header(struct report *p)
{
    struct buf b;
    enum err err = ERR_OK;
    size_t end = SIZE_MAX;
    buf_init(&b, 4 * SPOOL_CHUNK_BYTES);
    for (uint32_t i = 0; !err && i < p->e.chunks && i < 4 && end == SIZE_MAX; i++) {
        err = spool_chunk(p->reporter->conf->spool, &p->e.id, i, &b);
        size_t at = slice_find_slice(buf_slice(&b), SLICE("\r\n\r\n"));
        if (at < buf_len(&b)) end = at + 4;
    }
    if (end < buf_len(&b)) buf_truncate(&b, end);
    if (!err) err = put_buf(p, &b);
    buf_deinit(&b);
    return err;
}

static enum err put_all(struct report *p)
{
    struct buf text;
    buf_init(&text, 4 << 20); /* a thousand recipients with their replies and addresses, twice */
    dsn_head(&p->dsn, &text);
    enum err err = put_buf(p, &text);
    if (!err) err = dsn_returns_all(&p->dsn) ? put_chunks(p) : put_header(p);
    dsn_tail(&p->dsn, &text);
    if (!err) err = put_buf(p, &text);
    buf_deinit(&text);
    return err;
}

static void envelope_of(const struct report *p, struct envelope_rcpt *to, struct envelope *out)
{
    const struct reporter_conf *c = p->reporter->conf;
    *to = (struct envelope_rcpt){ .address = p->e.sender, .notify = NOTIFY_NEVER };
    *out = (struct envelope){ .id = p->dsn.id,
                              .flow = c->is_ours(c->owner, envelope_domain(p->e.sender)) ? FLOW_IN : FLOW_OUT,
                              .smtputf8 = p->e.smtputf8,
                              .body_8bit = true,
                              .is_dsn = true,
                              .arrival_wall_ms = p->dsn.now_wall_ms,
                              .expiry_wall_ms = p->dsn.now_wall_ms + c->expire_ms,
                              .rcpts = to,
                              .n_rcpts = 1,
                              .origin_node = c->node };
}

static void tell(struct report *p)
{
    struct reporter *r = p->reporter;
    struct envelope e;
    struct envelope_rcpt to;
    queue_ids_next(r->conf->ids, timers_wall_ms(r->env->timers), &p->dsn.id);
    p->dsn.now_wall_ms = timers_wall_ms(r->env->timers);
    rng_hex(r->env->rng, p->dsn.boundary, DSN_BOUNDARY_CHARS);
    p->put = spool_put_begin(r->conf->spool, &p->dsn.id, NULL, NULL);
    enum err err = put_all(p);
    if (err) {
        spool_put_abort(&p->put);
        if (err != ERR_RETRY)
            log_warn(r->env->log, "queue.report_failed", kv_slice("id", queue_id_slice(&p->e.id)),
                     kv_err("err", err));
        timer_set_in(r->env->timers, &p->again, AGAIN_MS, tell_again, p);
        return;
    }
    envelope_of(p, &to, &e);
    struct spool_with with = { .update = p->remove ? NULL : &p->e, .remove = p->remove ? &p->e.id : NULL };
    spool_put_commit(p->put, &e, &with, stored, p);
}

static void report(void *owner, enum queue_event what, const struct envelope *e, const uint32_t *rcpts,
                   size_t n_rcpts, bool remove, queue_reported_fn *done, void *done_owner)
{
    struct reporter *r = owner;
    struct report *p = xzalloc(sizeof *p);
    *p = (struct report){ .reporter = r, .remove = remove, .done = done, .owner = done_owner };
    list_append(&r->open, &p->list);
    envelope_copy(e, &p->arena, &p->e);
    p->rcpts = arena_alloc(&p->arena, n_rcpts * sizeof *p->rcpts);
    p->dsn = (struct dsn){ .about = &p->e, .rcpts = p->rcpts, .host = r->conf->host };
    for (size_t i = 0; i < n_rcpts; i++) {
        const struct envelope_rcpt *one = &p->e.rcpts[rcpts[i]];
        enum dsn_action action = dsn_due(&p->e, one, what == QUEUE_DELAYED);
        if (action != DSN_NOTHING)
            p->rcpts[p->dsn.n_rcpts++] = (struct dsn_rcpt){ one, action };
        else if (one->state == RCPT_FAILED || one->state == RCPT_EXPIRED)
            log_warn(r->env->log, "queue.bad_mail", kv_slice("id", queue_id_slice(&e->id)),
                     kv_slice("recipient", one->address), kv_slice("reply", one->last_reply),
                     kv_cstr("why", "failed for good, and nobody is to be told (DS-10)"));
    }
    if (p->dsn.n_rcpts)
        tell(p);
    else
        change_only(p);
}

struct reporter *reporter_create(const struct env *env, const struct reporter_conf *conf)
{
    struct reporter *r = xzalloc(sizeof *r);
    *r = (struct reporter){ .env = env, .conf = conf };
    list_init(&r->open);
    return r;
}

void reporter_destroy(struct reporter *r)
{
    if (!r) return;
    LIST_EACH_SAFE(&r->open, it, next) report_free(CONTAINER_OF(it, struct report, list));
    free(r);
}

void reporter_port(struct reporter *r, struct queue_reporter *out)
{
    *out = (struct queue_reporter){ .report = report, .owner = r };
}

uint64_t reporter_sent(const struct reporter *r)
{
    return r->sent;
}
