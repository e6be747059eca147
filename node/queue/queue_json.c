/* What gemelctl queue shows, as JSON. Reads the spool, not the scheduler's memory: the truth is on disk. */
#include <jansson.h>

#include "node/queue/queue.h"
#include "node/queue/queue_inside.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 10000, HEADERS_MAX = 16384 };

static json_t *text(struct slice s)
{
    json_t *j = json_stringn(s.p, s.n); /* NULL when it is not UTF-8: old mail may hold any bytes */
    if (j) return j;
    struct buf b;
    buf_init(&b, 4 * s.n + 4);
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x80)
            buf_putf(&b, "%c", s.p[i]);
        else
            buf_putf(&b, "\\x%02x", (unsigned char)s.p[i]);
    }
    j = json_stringn(buf_slice(&b).p, buf_len(&b));
    buf_deinit(&b);
    return j;
}

static json_t *rcpt_json(const struct envelope_rcpt *r)
{
    return json_pack("{s:o, s:s, s:I, s:I, s:I, s:o, s:o}", "address", text(r->address), "state",
                     rcpt_state_name(r->state), "attempts", (json_int_t)r->attempts, "last_try",
                     (json_int_t)r->last_try_wall_ms, "next_try", (json_int_t)r->next_try_wall_ms,
                     "last_reply", text(r->last_reply), "last_mta", text(r->last_mta));
}

static json_t *message_json(const struct envelope *e)
{
    json_t *rcpts = json_array();
    for (size_t i = 0; i < e->n_rcpts; i++) json_array_append_new(rcpts, rcpt_json(&e->rcpts[i]));
    return json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:b}", "id", e->id.s,
                     "flow", flow_name(e->flow), "sender", text(e->sender), "size", (json_int_t)e->size_bytes,
                     "arrival", (json_int_t)e->arrival_wall_ms, "expiry", (json_int_t)e->expiry_wall_ms,
                     "next_try", (json_int_t)e->next_try_wall_ms, "attempts", (json_int_t)e->attempts,
                     "recipients", rcpts, "why", text(e->why_waiting), "client", text(e->client_addr), "user",
                     text(e->auth_user), "given_to", text(e->given_to), "dsn", e->is_dsn);
}

static bool wanted(const struct queue_filter *f, const struct envelope *e)
{
    bool rcpt = !f->recipient.n && !f->domain.n;
    if (f->flow.n && !slice_eq(f->flow, slice_of(flow_name(e->flow)))) return false;
    if (f->sender.n && !slice_ieq(f->sender, e->sender)) return false;
    for (size_t i = 0; !rcpt && i < e->n_rcpts; i++)
        rcpt = (!f->recipient.n || slice_ieq(f->recipient, e->rcpts[i].address)) &&
               (!f->domain.n || slice_ieq(f->domain, envelope_domain(e->rcpts[i].address)));
    return rcpt;
}

struct listing {
    struct spool *spool;
    const struct queue_filter *filter;
    json_t *messages;
    size_t limit, total;
};

/* What the index knows is not asked of the envelope: a long queue is counted, and only what is shown is read. */
enum seen { SEEN_NO, SEEN_YES, SEEN_PERHAPS };

static enum seen seen_in_index(const struct queue_filter *f, const struct spool_item *it)
{
    if (f->flow.n && !slice_eq(f->flow, slice_of(flow_name(it->flow)))) return SEEN_NO;
    if (f->domain.n && it->domain.n && !slice_ieq(f->domain, it->domain)) return SEEN_NO;
    return f->sender.n || f->recipient.n || (f->domain.n && !it->domain.n) ? SEEN_PERHAPS : SEEN_YES;
}

static bool list_one(void *owner, const struct spool_item *it)
{
    struct listing *l = owner;
    struct arena a = { 0 };
    struct envelope e;
    enum seen seen = seen_in_index(l->filter, it);
    if (seen == SEEN_NO) return true;
    if (seen == SEEN_YES && l->total >= l->limit) {
        l->total++;
        return true;
    }
    if (!spool_envelope(l->spool, &it->id, &a, &e) && wanted(l->filter, &e) && l->total++ < l->limit)
        json_array_append_new(l->messages, message_json(&e));
    arena_deinit(&a);
    return true;
}

json_t *queue_list(struct queue *q, const struct queue_filter *f)
{
    struct listing l = { queue_spool(q), f, json_array(),
                         f->limit ? MIN(f->limit, (size_t)LIST_MAX) : LIST_DEFAULT, 0 };
    enum err err = spool_each(l.spool, 0, list_one, &l);
    json_t *out = json_pack("{s:o, s:I}", "messages", l.messages, "total", (json_int_t)l.total);
    if (err) json_object_set_new(out, "error", json_string(err_text(err)));
    return out;
}

json_t *queue_show(struct queue *q, const struct queue_id *id)
{
    struct arena a = { 0 };
    struct envelope e;
    struct buf body;
    json_t *out = NULL;
    buf_init(&body, SPOOL_CHUNK_BYTES);
    if (!spool_envelope(queue_spool(q), id, &a, &e)) {
        out = message_json(&e);
        if (e.chunks && !spool_chunk(queue_spool(q), id, 0, &body)) {
            struct slice s = buf_slice(&body);
            size_t end = slice_find_slice(s, SLICE("\r\n\r\n"));
            json_object_set_new(out, "headers", text(slice_sub(s, 0, MIN(end, (size_t)HEADERS_MAX))));
        }
    }
    buf_deinit(&body);
    arena_deinit(&a);
    return out;
}

struct dest_listing {
    json_t *list;
    uint64_t now_ms;
};

static void dest_json(void *owner, const struct schedule_dest_view *v)
{
    struct dest_listing *l = owner;
    uint64_t wait = v->next_ms > l->now_ms ? v->next_ms - l->now_ms : 0;
    json_array_append_new(l->list, json_pack("{s:o, s:s, s:I, s:I, s:I, s:I}", "destination", text(v->name),
                                             "flow", flow_name(v->flow), "waiting", (json_int_t)v->waiting,
                                             "active", (json_int_t)v->active, "failures",
                                             (json_int_t)v->failures, "next_in_ms", (json_int_t)wait));
}

json_t *queue_destinations(struct queue *q)
{
    struct dest_listing l = { json_array(), queue_now_ms(q) };
    schedule_each_dest(queue_schedule(q), l.now_ms, dest_json, &l);
    return json_pack("{s:o}", "destinations", l.list);
}
