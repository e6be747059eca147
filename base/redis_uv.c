/* dial → (TLS) → AUTH, SETNAME, PING → up: commands go out as they come, replies end them in order.
 *
 * - A command waits (not connected), is sent (in the FIFO of unanswered ones), or has ended (its report is due).
 * - What was given up by its owner or its limit stays in the FIFO as a ghost until its reply has passed.
 * - Everything that ends without a reply is reported from a timer, so no callback runs inside a call.
 *
 * Failure modes: no connection, no TLS, wrong password, server still loading → down, the next address after a pause
 * that doubles. Silence past a limit, bytes that are no RESP, a reply nobody asked for or too long to be one → the
 * connection is dropped; what was sent ends as UNKNOWN, what was not as RETRY. */
#include "base/redis_uv.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/net.h"
#include "base/rng.h"
#include "base/timers.h"

enum op_at { OP_WAITING, OP_SENT, OP_ENDED };

struct redis_op {
    struct list link; /* in the list of `at` */
    struct redis *r;
    enum op_at at;
    redis_done_fn *done; /* NULL: nobody waits for it */
    void *owner;
    struct timer limit;
    uint64_t due_ms, sent_ms;
    const struct redis_script *script; /* NULL once its text was sent */
    enum err err;                      /* when ended */
    const char *word;
    size_t bytes; /* of all arguments */
    size_t argc;
    struct slice *argv; /* the bytes follow in the same block */
};

enum state { REDIS_PAUSE, REDIS_DIALLING, REDIS_GREETING, REDIS_UP };

struct redis {
    const struct env *env;
    struct redis_conf conf;
    char *user, *password, *client_name, *tls_name;
    struct addr *servers;
    size_t server; /* index of the one in use */
    redis_state_fn *on_state;
    void *owner;

    enum state state;
    struct net_op *dial;
    struct stream *stream;
    redisReader *reader;
    redisReplyObjectFunctions fns; /* hiredis's own, with a bound on arrays */
    redisReplyObjectFunctions own_fns;
    size_t reply_bytes;  /* received for the reply under way */
    uint64_t connection; /* counts attempts: callbacks may have replaced the one they came from */
    uint64_t generation; /* counts those that came up */
    uint64_t heard_ms, up_ms;
    uint32_t backoff_ms;
    struct timer timer;  /* PAUSE: dial again; DIALLING, GREETING: give up; UP: quiet? */
    struct timer report; /* for `ended` and `tell` */

    struct list waiting, sent, ended;
    size_t n_ops, waiting_bytes;
    bool tell; /* `why` or up is to be reported */
    char why[200];
    char told[200]; /* the last `why` reported; "": up */
    bool *gone;     /* set while calling out: destroyed meanwhile? */
};

static void attempt(struct redis *r);
static void disconnect(struct redis *r, const char *word, const char *detail);
static void quiet(struct timer *t);

/* ---- operations ---- */

static void op_free(struct redis_op *op)
{
    if (op->at == OP_WAITING) op->r->waiting_bytes -= op->bytes;
    if (op->at != OP_ENDED) op->r->n_ops--;
    timer_clear(op->r->env->timers, &op->limit);
    list_remove(&op->link);
    free(op->argv);
    free(op);
}

/* Calls out and frees the operation. False: the client is gone. */
static bool op_finish(struct redis_op *op, enum err err, const struct redisReply *reply, const char *word)
{
    struct redis *r = op->r;
    redis_done_fn *done = op->done;
    void *owner = op->owner;
    bool gone = false;
    op_free(op);
    if (!done) return true;
    r->gone = &gone;
    done(owner, err, reply, word);
    if (!gone) r->gone = NULL;
    return !gone;
}

static void report(struct timer *t);

static void plan_report(struct redis *r)
{
    if (!timer_is_set(&r->report)) timer_set_in(r->env->timers, &r->report, 0, report, r);
}

/* Ended without a reply: `done` comes from the timer. */
static void op_end(struct redis_op *op, enum err err, const char *word)
{
    struct redis *r = op->r;
    if (!op->done) {
        op_free(op);
        return;
    }
    if (op->at == OP_WAITING) r->waiting_bytes -= op->bytes;
    if (op->at != OP_ENDED) r->n_ops--;
    timer_clear(r->env->timers, &op->limit);
    list_remove(&op->link);
    list_append(&r->ended, &op->link);
    op->at = OP_ENDED;
    op->err = err;
    op->word = word;
    plan_report(r);
}

static void report(struct timer *t)
{
    struct redis *r = t->owner;
    if (r->tell) {
        bool gone = false;
        bool up = r->state == REDIS_UP;
        char why[sizeof r->why];
        r->tell = false;
        snprintf(why, sizeof why, "%s", up ? "" : r->why);
        memcpy(r->told, why, sizeof why);
        r->gone = &gone;
        if (r->on_state) r->on_state(r->owner, up, why);
        if (gone) return;
        r->gone = NULL;
    }
    size_t n = 0; /* what ends meanwhile waits for the next turn */
    LIST_EACH(&r->ended, it) n++;
    while (n-- && !list_empty(&r->ended)) {
        struct redis_op *op = CONTAINER_OF(r->ended.next, struct redis_op, link);
        if (!op_finish(op, op->err, NULL, op->word)) return;
    }
    if (!list_empty(&r->ended)) plan_report(r);
}

static void tell_state(struct redis *r)
{
    r->tell = true;
    plan_report(r);
}

static struct redis_op *op_new(struct redis *r, const struct slice *argv, size_t argc, redis_done_fn *done,
                               void *owner)
{
    struct redis_op *op = xzalloc(sizeof *op);
    list_init(&op->link);
    op->r = r;
    op->at = OP_WAITING;
    op->done = done;
    op->owner = owner;
    op->argc = argc;
    for (size_t i = 0; i < argc; i++) op->bytes += argv[i].n;
    op->argv = xzalloc(argc * sizeof *argv + op->bytes);
    char *at = (char *)(op->argv + argc);
    for (size_t i = 0; i < argc; i++) {
        op->argv[i] = slice_from(at, argv[i].n);
        if (argv[i].n) memcpy(at, argv[i].p, argv[i].n);
        at += argv[i].n;
    }
    r->n_ops++;
    r->waiting_bytes += op->bytes;
    list_append(&r->waiting, &op->link);
    return op;
}

static void op_send(struct redis_op *op)
{
    struct redis *r = op->r;
    const char **argv = xzalloc(op->argc * sizeof *argv);
    size_t *lens = xzalloc(op->argc * sizeof *lens);
    for (size_t i = 0; i < op->argc; i++) {
        argv[i] = op->argv[i].p;
        lens[i] = op->argv[i].n;
    }
    char *bytes = NULL;
    int n = redisFormatCommandArgv(&bytes, (int)op->argc, argv, lens);
    ASSERT(n > 0); /* only memory can be missing */
    stream_write(r->stream, slice_from(bytes, (size_t)n));
    redisFreeCommand(bytes);
    free(lens);
    free(argv);
    if (op->at == OP_WAITING) r->waiting_bytes -= op->bytes;
    op->at = OP_SENT;
    op->sent_ms = timers_now_ms(r->env->timers);
    list_remove(&op->link);
    list_append(&r->sent, &op->link);
}

/* The server is not slow but gone when the oldest question has been waiting past its limit in total silence. */
static bool is_dead(const struct redis *r, uint64_t now)
{
    if (list_empty(&r->sent)) return false;
    const struct redis_op *oldest = CONTAINER_OF(r->sent.next, struct redis_op, link);
    return now >= oldest->due_ms && now - MAX(r->heard_ms, oldest->sent_ms) >= r->conf.ping_ms;
}

static void op_late(struct timer *t)
{
    struct redis_op *op = t->owner;
    struct redis *r = op->r;
    if (op->at == OP_WAITING) {
        op_end(op, ERR_TIMEOUT, "deadline");
        return;
    }
    /* The reply may still come: a ghost keeps its place in the queue. */
    struct redis_op *ghost = op_new(r, NULL, 0, NULL, NULL);
    ghost->at = OP_SENT;
    ghost->due_ms = op->due_ms;
    ghost->sent_ms = op->sent_ms;
    list_remove(&ghost->link);
    list_append(&op->link, &ghost->link); /* before `op`, which leaves now */
    op_end(op, ERR_UNKNOWN, "deadline");
    if (is_dead(r, timers_now_ms(r->env->timers))) disconnect(r, "deadline", "no answer in time");
}

static void op_set_limit(struct redis_op *op, uint32_t limit_ms)
{
    op->due_ms = timers_now_ms(op->r->env->timers) + limit_ms;
    timer_set(op->r->env->timers, &op->limit, op->due_ms, op_late, op);
}

/* NULL: refused, and nobody waits to hear of it. */
static struct redis_op *submit(struct redis *r, const struct slice *argv, size_t argc, uint32_t limit_ms,
                               redis_done_fn *done, void *owner)
{
    ASSERT(argc > 0);
    struct redis_op *op = op_new(r, argv, argc, done, owner);
    size_t queued = r->waiting_bytes + (r->stream ? stream_pending_bytes(r->stream) : 0);
    if (r->n_ops > r->conf.commands_max || queued > r->conf.queue_bytes_max) {
        op_end(op, ERR_LIMIT, "queue full");
        return done ? op : NULL;
    }
    op_set_limit(op, limit_ms);
    if (r->state == REDIS_UP) op_send(op);
    return op;
}

struct redis_op *redis_command(struct redis *r, const struct slice *argv, size_t argc, uint32_t limit_ms,
                               redis_done_fn *done, void *owner)
{
    struct redis_op *op = submit(r, argv, argc, limit_ms, done, owner);
    return done ? op : NULL;
}

void redis_cancel(struct redis_op **at)
{
    struct redis_op *op = *at;
    *at = NULL;
    if (!op) return;
    op->done = NULL;
    op->script = NULL;
    if (op->at != OP_SENT)
        op_free(op);
    else
        timer_clear(op->r->env->timers, &op->limit); /* a ghost now; `due_ms` still counts for is_dead */
}

struct redis_op *redis_eval(struct redis *r, const struct redis_script *s, const struct slice *keys,
                            size_t n_keys, const struct slice *args, size_t n_args, uint32_t limit_ms,
                            redis_done_fn *done, void *owner)
{
    char count[24];
    size_t argc = 3 + n_keys + n_args;
    struct slice *argv = xzalloc(argc * sizeof *argv);
    snprintf(count, sizeof count, "%zu", n_keys);
    argv[0] = SLICE("EVALSHA");
    argv[1] = slice_of(s->sha1);
    argv[2] = slice_of(count);
    for (size_t i = 0; i < n_keys; i++) argv[3 + i] = keys[i];
    for (size_t i = 0; i < n_args; i++) argv[3 + n_keys + i] = args[i];
    struct redis_op *op = submit(r, argv, argc, limit_ms, done, owner);
    free(argv);
    if (op && op->at != OP_ENDED) op->script = s;
    return done ? op : NULL;
}

/* ---- replies ---- */

static bool send_script_text(struct redis_op *op)
{
    if (!op->script) return false;
    op->argv[0] = SLICE("EVAL");
    op->argv[1] = slice_of(op->script->text);
    op->script = NULL;
    op_send(op); /* to the end of the FIFO; its limit goes on */
    return true;
}

/* One reply for the oldest question. False: stop reading, the connection or the client is no more. */
static bool on_reply(struct redis *r, const struct redisReply *reply)
{
    if (list_empty(&r->sent)) {
        disconnect(r, "disconnected", "wrong data: a reply nobody asked for");
        return false;
    }
    struct redis_op *op = CONTAINER_OF(r->sent.next, struct redis_op, link);
    uint64_t connection = r->connection;
    const char *word = "ok";
    enum err err = ERR_OK;
    if (reply->type == REDIS_REPLY_ERROR) {
        err = redis_classify(redis_reply_text(reply), &word);
        if (err == ERR_NOT_FOUND && send_script_text(op)) return true;
    }
    bool moved = slice_eq(slice_of(word), SLICE("readonly")) && r->conf.n_servers > 1;
    if (!op_finish(op, err, reply, word)) return false;
    if (r->connection != connection) return false;
    if (moved) disconnect(r, "readonly", "this server is a replica");
    return !moved;
}

static void on_data(void *owner, struct slice bytes)
{
    struct redis *r = owner;
    uint64_t connection = r->connection;
    r->heard_ms = timers_now_ms(r->env->timers);
    r->reply_bytes += bytes.n;
    redisReaderFeed(r->reader, bytes.p, bytes.n);
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
            char detail[160];
            snprintf(detail, sizeof detail, "wrong data: %.128s", r->reader->errstr);
            disconnect(r, "disconnected", detail);
            return;
        }
        if (!reply) break;
        r->reply_bytes = r->reader->len - r->reader->pos;
        redisReplyObjectFunctions fns = r->fns; /* `r` may be gone after the callback */
        bool go_on = on_reply(r, reply);
        fns.freeObject(reply);
        if (!go_on) return;
        ASSERT(r->connection == connection);
    }
    if (r->reply_bytes > r->conf.reply_bytes_max)
        disconnect(r, "disconnected", "wrong data: a reply without end");
}

static void on_end(void *owner, enum err why, const char *detail)
{
    char text[160];
    snprintf(text, sizeof text, "%s%s%.120s", err_name(why), detail[0] ? ": " : "", detail);
    disconnect(owner, "disconnected", text);
}

/* An array's header is a claim: memory is only given for what may still come. */
static void *bounded_array(const redisReadTask *task, int elements)
{
    struct redis *r = task->privdata;
    if (elements < 0 || (size_t)elements > r->conf.reply_bytes_max / 4) return NULL;
    return r->own_fns.createArray(task, elements);
}

/* ---- the connection ---- */

static void pause_is_over(struct timer *t)
{
    struct redis *r = t->owner;
    r->server = (r->server + 1) % r->conf.n_servers;
    attempt(r);
}

/* Ends the attempt or the connection, whatever its state, and plans the next one. */
static void disconnect(struct redis *r, const char *word, const char *detail)
{
    bool was_up = r->state == REDIS_UP;
    r->connection++;
    net_dial_cancel(&r->dial);
    stream_close(&r->stream);
    if (r->reader) redisReaderFree(r->reader);
    r->reader = NULL;
    r->state = REDIS_PAUSE;
    LIST_EACH_SAFE(&r->sent, it, next) op_end(CONTAINER_OF(it, struct redis_op, link), ERR_UNKNOWN, word);
    LIST_EACH_SAFE(&r->waiting, it, next)
    op_end(CONTAINER_OF(it, struct redis_op, link), ERR_RETRY, "unavailable");
    snprintf(r->why, sizeof r->why, "%s", detail);
    struct addr server;
    redis_server(r, &server);
    if (was_up || strcmp(r->why, r->told) != 0) {
        log_warn(r->env->log, "redis.down", kv_addr("server", &server), kv_cstr("why", r->why));
        tell_state(r);
    }
    uint64_t now = timers_now_ms(r->env->timers);
    /* A server that takes us in only to throw us out is not asked ten times a second. */
    if (was_up && now - r->up_ms >= r->conf.backoff_max_ms) r->backoff_ms = r->conf.backoff_min_ms;
    timer_set_in(r->env->timers, &r->timer, rng_jitter(r->env->rng, r->backoff_ms, 25), pause_is_over, r);
    r->backoff_ms = MIN(r->backoff_ms * 2, r->conf.backoff_max_ms);
}

static void quiet(struct timer *t)
{
    struct redis *r = t->owner;
    uint64_t now = timers_now_ms(r->env->timers);
    if (is_dead(r, now)) {
        disconnect(r, "disconnected", "no answer in time");
        return;
    }
    if (list_empty(&r->sent) && now - r->heard_ms >= r->conf.ping_ms) {
        const struct slice ping = SLICE_INIT("PING");
        struct redis_op *op = op_new(r, &ping, 1, NULL, NULL);
        op_set_limit(op, r->conf.ping_ms);
        op_send(op);
    }
    uint64_t next = MAX(r->heard_ms, now - r->conf.ping_ms / 2) + r->conf.ping_ms;
    timer_set(r->env->timers, t, MAX(next, now + 1), quiet, r);
}

static void came_up(struct redis *r)
{
    struct addr server;
    r->state = REDIS_UP;
    r->generation++;
    r->up_ms = timers_now_ms(r->env->timers);
    redis_server(r, &server);
    log_info(r->env->log, "redis.up", kv_addr("server", &server));
    timer_set_in(r->env->timers, &r->timer, r->conf.ping_ms, quiet, r);
    tell_state(r);
    LIST_EACH_SAFE(&r->waiting, it, next) op_send(CONTAINER_OF(it, struct redis_op, link));
}

static void greeting_failed(struct redis *r, const char *step, const struct redisReply *reply)
{
    char detail[160];
    snprintf(detail, sizeof detail, "%s: %.*s", step, (int)MIN(redis_reply_text(reply).n, (size_t)120),
             redis_reply_text(reply).p);
    disconnect(r, "disconnected", detail);
}

static void on_auth(void *owner, enum err err, const struct redisReply *reply, const char *word)
{
    struct redis *r = owner;
    if (err && reply) greeting_failed(r, "AUTH", reply);
}

/* The last of the greeting. A server that loads its data or wants a password says so to a PING; one whose rules only
 * forbid PING itself is good to work with. */
static void on_first_ping(void *owner, enum err err, const struct redisReply *reply, const char *word)
{
    struct redis *r = owner;
    if (!reply) return;
    if (err && !slice_eq(slice_of(word), SLICE("noperm")))
        greeting_failed(r, "PING", reply);
    else if (r->reader->len > r->reader->pos) /* would answer a command that is not sent yet */
        disconnect(r, "disconnected", "wrong data: a reply nobody asked for");
    else
        came_up(r);
}

static void greet(struct redis *r, const struct slice *argv, size_t argc, redis_done_fn *done)
{
    struct redis_op *op = op_new(r, argv, argc, done, r);
    op->due_ms = UINT64_MAX; /* the attempt as a whole has a limit */
    op_send(op);
}

static void start_reader(struct redis *r)
{
    r->reader = redisReaderCreate();
    ASSERT(r->reader);
    r->own_fns = r->fns = *r->reader->fn;
    r->fns.createArray = bounded_array;
    r->reader->fn = &r->fns;
    r->reader->privdata = r; /* the macro for it casts a pointer to int */
    r->reply_bytes = 0;
}

static void on_dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    static const struct stream_events events = { on_data, on_end, NULL, NULL };
    struct redis *r = owner;
    r->dial = NULL;
    if (err) {
        char text[160];
        snprintf(text, sizeof text, "connect: %.140s", detail);
        disconnect(r, "disconnected", text);
        return;
    }
    r->stream = s;
    r->state = REDIS_GREETING;
    r->heard_ms = timers_now_ms(r->env->timers);
    start_reader(r);
    /* The server's system vanished without a word: the kernel is as patient as we are, not fifteen minutes. */
    stream_set_write_limit(s, 2 * r->conf.ping_ms);
    stream_attach(s, &events, r);
    const struct slice auth[] = { SLICE("AUTH"), slice_of(r->user), slice_of(r->password) };
    const struct slice old_auth[] = { SLICE("AUTH"), slice_of(r->password) };
    const struct slice name[] = { SLICE("CLIENT"), SLICE("SETNAME"), slice_of(r->client_name) };
    const struct slice ping[] = { SLICE("PING") };
    if (r->password) greet(r, r->user ? auth : old_auth, r->user ? 3 : 2, on_auth);
    if (r->client_name) greet(r, name, ARRAY_LEN(name), NULL);
    greet(r, ping, ARRAY_LEN(ping), on_first_ping);
}

static void attempt_late(struct timer *t)
{
    struct redis *r = t->owner;
    disconnect(r, "disconnected",
               r->state == REDIS_DIALLING ? "connect: no answer in time" : "no answer to AUTH or PING");
}

static void attempt(struct redis *r)
{
    struct dial_conf dial = {
        .to = r->servers[r->server],
        .tls = r->conf.tls,
        .tls_name = r->tls_name,
        .limit_ms = r->conf.connect_limit_ms,
    };
    r->state = REDIS_DIALLING;
    timer_set_in(r->env->timers, &r->timer, r->conf.connect_limit_ms, attempt_late, r);
    r->dial = net_dial(r->env->net, &dial, on_dialled, r);
}

void redis_reconnect(struct redis *r, const char *why)
{
    if (r->state != REDIS_PAUSE) disconnect(r, "disconnected", why);
}

/* ---- life ---- */

static void set_defaults(struct redis_conf *c)
{
    if (!c->connect_limit_ms) c->connect_limit_ms = 3000;
    if (!c->ping_ms) c->ping_ms = 3000;
    if (!c->backoff_min_ms) c->backoff_min_ms = 100;
    if (!c->backoff_max_ms) c->backoff_max_ms = 5000;
    if (!c->commands_max) c->commands_max = 1024;
    if (!c->queue_bytes_max) c->queue_bytes_max = MIB(8);
    if (!c->reply_bytes_max) c->reply_bytes_max = MIB(16);
}

struct redis *redis_create(const struct env *env, const struct redis_conf *conf, redis_state_fn *state,
                           void *owner)
{
    ASSERT(conf->n_servers > 0);
    struct redis *r = xzalloc(sizeof *r);
    r->env = env;
    r->conf = *conf;
    set_defaults(&r->conf);
    r->servers = xzalloc(conf->n_servers * sizeof *r->servers);
    memcpy(r->servers, conf->servers, conf->n_servers * sizeof *r->servers);
    if (conf->user) r->user = xstrdup(conf->user);
    if (conf->password) r->password = xstrdup(conf->password);
    if (conf->client_name) r->client_name = xstrdup(conf->client_name);
    if (conf->tls_name) r->tls_name = xstrdup(conf->tls_name);
    r->on_state = state;
    r->owner = owner;
    r->backoff_ms = r->conf.backoff_min_ms;
    list_init(&r->waiting);
    list_init(&r->sent);
    list_init(&r->ended);
    attempt(r);
    return r;
}

static void free_list(struct list *l, const struct redis *r)
{
    LIST_EACH_SAFE(l, it, next)
    {
        struct redis_op *op = CONTAINER_OF(it, struct redis_op, link);
        ASSERT(!op->done || op->owner == r); /* somebody still waits for it */
        op_free(op);
    }
}

void redis_destroy(struct redis *r)
{
    if (!r) return;
    if (r->gone) *r->gone = true;
    net_dial_cancel(&r->dial);
    stream_close(&r->stream);
    if (r->reader) redisReaderFree(r->reader);
    free_list(&r->waiting, r);
    free_list(&r->sent, r);
    free_list(&r->ended, r);
    timer_clear(r->env->timers, &r->timer);
    timer_clear(r->env->timers, &r->report);
    free(r->servers);
    free(r->user);
    if (r->password) explicit_bzero(r->password, strlen(r->password));
    free(r->password);
    free(r->client_name);
    free(r->tls_name);
    free(r);
}

bool redis_is_up(const struct redis *r)
{
    return r->state == REDIS_UP;
}

uint64_t redis_generation(const struct redis *r)
{
    return r->generation;
}

void redis_server(const struct redis *r, struct addr *out)
{
    *out = r->servers[r->server];
}
