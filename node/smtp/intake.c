#include "node/smtp/intake.h"

#include <stdlib.h>

#include "base/timers.h"

_Static_assert((int)SMTP_NOTIFY_NEVER == (int)NOTIFY_NEVER &&
                   (int)SMTP_NOTIFY_SUCCESS == (int)NOTIFY_SUCCESS &&
                   (int)SMTP_NOTIFY_FAILURE == (int)NOTIFY_FAILURE &&
                   (int)SMTP_NOTIFY_DELAY == (int)NOTIFY_DELAY,
               "one set of bits");
_Static_assert((int)SMTP_RET_FULL == (int)RET_FULL && (int)SMTP_RET_HDRS == (int)RET_HDRS,
               "one set of values");

struct half { /* the message for one side */
    struct intake *in;
    struct spool_put *put; /* NULL: no recipients there, or ended */
    struct queue_id id;
    bool wanted, stored;
};

struct intake {
    const struct env *env;
    const struct intake_conf *conf;
    struct half halves[FLOW_COUNT];
    struct header header;
    struct addr client;
    uint64_t arrival_wall_ms;
    enum smtp_reply refused;
    const char *why;
    unsigned waiting; /* halves whose commit is under way */
    intake_room_fn *room;
    intake_done_fn *done;
    void *owner;
};

static struct half *first_half(const struct intake *in)
{
    return (struct half *)&in->halves[in->halves[FLOW_IN].wanted ? FLOW_IN : FLOW_OUT];
}

const char *intake_id(const struct intake *in)
{
    return first_half(in)->id.s;
}

bool intake_blocked(const struct intake *in)
{
    bool blocked = false;
    for (size_t f = 0; f < FLOW_COUNT; f++)
        if (in->halves[f].put) blocked = blocked || spool_put_blocked(in->halves[f].put);
    return blocked && !in->refused;
}

static void half_has_room(void *owner)
{
    struct half *h = owner;
    if (!intake_blocked(h->in)) h->in->room(h->in->owner);
}

static void drop_puts(struct intake *in)
{
    for (size_t f = 0; f < FLOW_COUNT; f++) spool_put_abort(&in->halves[f].put);
}

static void store(void *owner, struct slice bytes)
{
    struct intake *in = owner;
    for (size_t f = 0; f < FLOW_COUNT && !in->refused; f++) {
        struct half *h = &in->halves[f];
        if (!h->wanted || spool_put_body(h->put, bytes) == ERR_OK) continue;
        in->refused = SMTP_REPLY_FULL;
        in->why = "spool takes no mail";
    }
}

static void judge_header(struct intake *in, enum err err)
{
    if (!err || in->refused) return;
    in->refused = err == ERR_REFUSED ? SMTP_REPLY_LOOP : SMTP_REPLY_HEADER_TOO_BIG;
    in->why = err == ERR_REFUSED ? "too many hops" : "header too big";
}

void intake_body(struct intake *in, struct slice bytes)
{
    if (!in->refused) judge_header(in, header_feed(&in->header, bytes, store, in));
    if (in->refused) drop_puts(in); /* the disk need not keep what will be refused */
}

static void start_header(struct intake *in, const struct smtp_session *s, const struct intake_client *client)
{
    struct header_conf c = {
        .host = in->conf->host,
        .outbound = client->trusted,
        .add_missing = client->trusted,
        .strip = client->trusted ? in->conf->strip_outbound : in->conf->strip_inbound,
        .hops_max = in->conf->hops_max,
        .helo = slice_of(s->helo),
        .client = client->addr,
        .protocol = smtp_session_protocol(s),
        .tls = client->tls,
        .id = slice_of(intake_id(in)),
        .rcpt = s->n_rcpts == 1 ? s->rcpts[0].rcpt.to.whole : SLICE(""),
        .wall_ms = in->arrival_wall_ms,
    };
    header_init(&in->header, &c, store, in);
}

struct intake *intake_begin(const struct env *env, const struct intake_conf *conf,
                            const struct smtp_session *s, const struct intake_client *client,
                            intake_room_fn *room, void *owner)
{
    struct intake *in = xzalloc(sizeof *in);
    ASSERT(s->n_rcpts > 0);
    in->env = env;
    in->conf = conf;
    in->room = room;
    in->owner = owner;
    in->why = "";
    in->client = client->addr;
    in->arrival_wall_ms = timers_wall_ms(env->timers);
    for (size_t i = 0; i < s->n_rcpts; i++) in->halves[s->rcpts[i].tag].wanted = true;
    for (size_t f = 0; f < FLOW_COUNT; f++) {
        struct half *h = &in->halves[f];
        h->in = in;
        if (!h->wanted) continue;
        queue_ids_next(conf->ids, in->arrival_wall_ms, &h->id);
        h->put = spool_put_begin(conf->spool, &h->id, half_has_room, h);
    }
    start_header(in, s, client);
    return in;
}

static void destroy(struct intake *in)
{
    header_deinit(&in->header);
    free(in);
}

void intake_abort(struct intake **in)
{
    if (!*in) return;
    drop_puts(*in);
    destroy(*in);
    *in = NULL;
}

/* ---- the end ---- */

/* All or nothing for the client: what did get stored of a refused message is taken out again. */
static void take_back(struct intake *in)
{
    for (size_t f = 0; f < FLOW_COUNT; f++)
        if (in->halves[f].stored) {
            struct spool_op *op = spool_remove(in->conf->spool, &in->halves[f].id, NULL, NULL);
            spool_op_cancel(&op); /* the change still happens; nobody waits for it */
        }
}

static void half_done(void *owner, enum err err, const char *why)
{
    struct half *h = owner;
    struct intake *in = h->in;
    h->put = NULL;
    h->stored = err == ERR_OK;
    if (err && !in->refused)
        in->refused = err == ERR_LIMIT ? SMTP_REPLY_TOO_MANY_RECIPIENTS : SMTP_REPLY_FULL;
    if (--in->waiting) return;
    if (in->refused) take_back(in);
    in->done(in->owner, in->refused, err ? why : "");
    destroy(in);
}

static void fill_envelope(const struct intake *in, const struct smtp_session *s, enum flow flow,
                          struct arena *a, struct envelope *e)
{
    char addr[ADDR_TEXT_MAX];
    *e = (struct envelope){
        .id = in->halves[flow].id,
        .flow = flow,
        .sender = s->mail.sender.whole,
        .envid = s->mail.envid,
        .ret = (uint8_t)s->mail.ret,
        .smtputf8 = s->mail.smtputf8,
        .body_8bit = s->mail.body_8bit,
        .arrival_wall_ms = in->arrival_wall_ms,
        .expiry_wall_ms = in->arrival_wall_ms + in->conf->expire_ms,
        .client_addr = arena_dup(a, slice_of(addr_format(&in->client, addr))),
        .client_helo = slice_of(s->helo),
        .auth_user = slice_of(s->user),
        .origin_node = in->conf->node,
    };
    e->rcpts = arena_alloc(a, s->n_rcpts * sizeof *e->rcpts);
    for (size_t i = 0; i < s->n_rcpts; i++) {
        const struct smtp_rcpt *r = &s->rcpts[i].rcpt;
        if (s->rcpts[i].tag != flow) continue;
        e->rcpts[e->n_rcpts++] =
            (struct envelope_rcpt){ .address = r->to.whole, .orcpt = r->orcpt, .notify = r->notify };
    }
}

enum smtp_reply intake_commit(struct intake *in, const struct smtp_session *s, intake_done_fn *done)
{
    struct arena a = { 0 };
    if (!in->refused) judge_header(in, header_finish(&in->header, store, in));
    if (in->refused) {
        log_info(in->env->log, "intake.refused", kv_cstr("sid", s->id), kv_cstr("id", intake_id(in)),
                 kv_cstr("why", in->why));
        return in->refused;
    }
    in->done = done;
    for (size_t f = 0; f < FLOW_COUNT; f++) in->waiting += in->halves[f].wanted;
    for (size_t f = 0; f < FLOW_COUNT; f++) {
        struct envelope e;
        struct half *h = &in->halves[f];
        if (!h->wanted) continue;
        fill_envelope(in, s, (enum flow)f, &a, &e);
        log_debug(in->env->log, "intake.message", kv_cstr("sid", s->id), kv_cstr("id", h->id.s),
                  kv_cstr("flow", flow_name((enum flow)f)), kv_slice("from", e.sender),
                  kv_u64("rcpts", e.n_rcpts));
        spool_put_commit(h->put, &e, NULL, half_done, h);
    }
    arena_deinit(&a);
    return SMTP_REPLY_NONE;
}
