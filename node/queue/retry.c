#include "node/queue/retry.h"

void retry_conf_default(struct retry_conf *c)
{
    *c = (struct retry_conf){ .glitch_ms = MINUTES(1),
                              .glitch_tries = 4,
                              .transient_ms = MINUTES(10),
                              .transient_tries = 6,
                              .steady_ms = MINUTES(30),
                              .delay_dsn_ms = HOURS(4),
                              .expire_ms = DAYS(2) };
}

uint64_t retry_wait_ms(const struct retry_conf *c, uint32_t failures)
{
    if (failures <= c->glitch_tries) return c->glitch_ms;
    if (failures - c->glitch_tries <= c->transient_tries) return c->transient_ms;
    return c->steady_ms;
}

/* "5.1.1" at the start of `s`, or nothing: class 2, 4 or 5, then two numbers of at most three digits. */
static struct slice enhanced(struct slice s)
{
    size_t i = 0;
    if (s.n < 5 || (s.p[0] != '2' && s.p[0] != '4' && s.p[0] != '5')) return (struct slice){ "", 0 };
    for (int part = 0; part < 3; part++) {
        size_t digits = 0;
        while (i < s.n && ascii_is_digit(s.p[i]) && digits < 3) i++, digits++;
        if (digits == 0) return (struct slice){ "", 0 };
        if (part < 2 && (i >= s.n || s.p[i++] != '.')) return (struct slice){ "", 0 };
    }
    return i == s.n || ascii_is_blank(s.p[i]) ? slice_sub(s, 0, i) : (struct slice){ "", 0 };
}

struct slice retry_status(struct slice status, struct slice reply)
{
    struct slice given = enhanced(status);
    if (given.n) return given;
    if (reply.n < 3 || !ascii_is_digit(reply.p[1]) || !ascii_is_digit(reply.p[2]))
        return (struct slice){ "", 0 };
    struct slice in_reply = enhanced(slice_skip(reply, 4));
    if (in_reply.n && in_reply.p[0] == reply.p[0]) return in_reply;
    switch (reply.p[0]) {
    case '2': return SLICE("2.0.0");
    case '4': return SLICE("4.0.0");
    case '5': return SLICE("5.0.0");
    default: return (struct slice){ "", 0 };
    }
}

static void note_reply(struct envelope_rcpt *r, const struct delivery_result *res, struct arena *a)
{
    r->last_reply = arena_dup(a, slice_sub(res->reply, 0, ENVELOPE_REPLY_MAX));
    r->last_mta = arena_dup(a, slice_sub(res->mta, 0, ENVELOPE_TEXT_MAX));
    r->status = arena_dup(a, retry_status(res->status, res->reply));
}

static void note_wait(const struct retry_conf *c, struct envelope_rcpt *r, const struct delivery_result *res,
                      uint64_t now_wall_ms, struct retry_effect *out)
{
    uint64_t wait = retry_wait_ms(c, r->attempts);
    r->next_try_wall_ms = now_wall_ms + wait;
    out->wait_ms = out->again ? MIN(out->wait_ms, wait) : wait;
    out->again = true;
    out->greylisted |= res->cause == DELIVERY_CAUSE_GREYLIST;
    out->listed |= res->outcome == DELIVERY_LISTED;
    out->destination_down |= res->outcome == DELIVERY_LISTED || res->cause == DELIVERY_CAUSE_CONNECTION;
}

static void apply_one(const struct retry_conf *c, struct envelope_rcpt *r, const struct delivery_result *res,
                      uint64_t now_wall_ms, struct arena *a, struct retry_effect *out)
{
    if (r->state != RCPT_WAITING) return; /* removed or expired by somebody while the job ran */
    if (res->outcome == DELIVERY_NOT_NOW) {
        out->again = true;
        out->wait_ms = 0;
        return;
    }
    out->tried = true;
    r->attempts++;
    r->last_try_wall_ms = now_wall_ms;
    note_reply(r, res, a);
    switch (res->outcome) {
    case DELIVERY_SENT: r->state = RCPT_SENT; break;
    case DELIVERY_RELAYED: r->state = RCPT_RELAYED; break;
    case DELIVERY_FAILED:
        r->state = RCPT_FAILED;
        out->failed++;
        break;
    default: note_wait(c, r, res, now_wall_ms, out); break;
    }
}

void retry_apply(const struct retry_conf *c, const struct delivery_job *job,
                 const struct delivery_result *results, uint64_t now_wall_ms, struct envelope *e,
                 struct arena *a, struct retry_effect *out)
{
    *out = (struct retry_effect){ 0 };
    for (size_t i = 0; i < job->n_rcpts; i++) {
        struct envelope_rcpt *r = &e->rcpts[job->rcpts[i]];
        apply_one(c, r, &results[i], now_wall_ms, a, out);
        if (r->state == RCPT_WAITING && results[i].outcome != DELIVERY_NOT_NOW)
            e->why_waiting = r->last_reply;
    }
    if (out->tried) e->attempts++;
    uint64_t next = envelope_next_try(e);
    e->next_try_wall_ms = next == UINT64_MAX ? 0 : next;
}

size_t retry_expire(struct envelope *e)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n_rcpts; i++) {
        struct envelope_rcpt *r = &e->rcpts[i];
        if (r->state != RCPT_WAITING) continue;
        r->state = RCPT_EXPIRED;
        r->status = SLICE("4.4.7");
        n++;
    }
    return n;
}
