/* What gemelctl queue shows, as JSON. Reads the spool, not the scheduler's memory: the truth is on disk. */
#include <jansson.h>
#include <stdlib.h>

#include "node/queue/queue.h"
#include "node/queue/queue_inside.h"

enum { HEADERS_MAX = 16384 };

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
    return json_pack("{s:o, s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "address", text(r->address), "state",
                     rcpt_state_name(r->state), "attempts", (json_int_t)r->attempts, "last_try",
                     (json_int_t)r->last_try_wall_ms, "next_try", (json_int_t)r->next_try_wall_ms,
                     "last_reply", text(r->last_reply), "last_mta", text(r->last_mta), "next_hop",
                     text(r->next_hop));
}

/* QR-03. */
static const char *status_of(const struct queue *q, const struct envelope *e)
{
    static const char *const names[] = {
        [SCHEDULE_UNKNOWN] = "waiting", [SCHEDULE_IN_DOUBT] = "in doubt", [SCHEDULE_GIVING] = "handing over",
        [SCHEDULE_ACTIVE] = "active",   [SCHEDULE_HELD] = "held",         [SCHEDULE_WAITING] = "waiting"
    };
    return e->hold ? hold_name((enum envelope_hold)e->hold)
                   : names[schedule_status(queue_schedule(q), &e->id)];
}

json_t *queue_message_json(const struct queue *q, const struct envelope *e)
{
    json_t *rcpts = json_array();
    for (size_t i = 0; i < e->n_rcpts; i++) json_array_append_new(rcpts, rcpt_json(&e->rcpts[i]));
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, "
                     "s:o, s:o, s:b}",
                     "id", e->id.s, "status", status_of(q, e), "held_why", text(e->held_why), "origin",
                     text(e->origin_node), "held_since", (json_int_t)e->held_wall_ms, "chunks",
                     (json_int_t)e->chunks, "flow", flow_name(e->flow), "sender", text(e->sender), "size",
                     (json_int_t)e->size_bytes, "arrival", (json_int_t)e->arrival_wall_ms, "expiry",
                     (json_int_t)e->expiry_wall_ms, "next_try", (json_int_t)e->next_try_wall_ms, "attempts",
                     (json_int_t)e->attempts, "recipients", rcpts, "helo", text(e->client_helo), "why",
                     text(e->why_waiting), "client", text(e->client_addr), "user", text(e->auth_user),
                     "given_to", text(e->given_to), "dsn", e->is_dsn);
}

json_t *queue_show(struct queue *q, const struct queue_id *id)
{
    struct arena a = { 0 };
    struct envelope e;
    struct buf body;
    json_t *out = NULL;
    buf_init(&body, SPOOL_CHUNK_BYTES);
    if (!spool_envelope(queue_spool(q), id, &a, &e)) {
        out = queue_message_json(q, &e);
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

static int by_waiting(const void *pa, const void *pb)
{
    json_t *const *a = pa, *const *b = pb;
    json_int_t na = json_integer_value(json_object_get(*a, "waiting")),
               nb = json_integer_value(json_object_get(*b, "waiting"));
    if (na != nb) return na > nb ? -1 : 1;
    return strcmp(json_string_value(json_object_get(*a, "destination")),
                  json_string_value(json_object_get(*b, "destination")));
}

/* The longest first. */
static json_t *top(json_t *all, size_t limit)
{
    size_t n = json_array_size(all);
    json_t *out = json_array(), **p = xzalloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = json_array_get(all, i);
    qsort(p, n, sizeof *p, by_waiting);
    for (size_t i = 0; i < n && (!limit || i < limit); i++) json_array_append(out, p[i]);
    free(p);
    json_decref(all);
    return out;
}

json_t *queue_destinations(struct queue *q, size_t limit)
{
    struct dest_listing l = { json_array(), queue_now_ms(q) };
    schedule_each_dest(queue_schedule(q), l.now_ms, dest_json, &l);
    size_t total = json_array_size(l.list);
    return json_pack("{s:o, s:I}", "destinations", top(l.list, limit), "total", (json_int_t)total);
}
