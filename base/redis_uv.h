/* base/redis_uv.h: one connection to Redis that repairs itself.
 *
 * hiredis formats commands and parses replies (RESP2); stream, TLS, deadlines and reconnecting are ours. Commands are
 * pipelined and answered in order. Use separate connections for work that must not wait for each other.
 *
 * What `done` may say, and what is then known:
 *   OK        the reply, which is not an error
 *   RETRY     it was not carried out: never sent, or the server says not now (`word` says which)
 *   TIMEOUT   the limit passed before it could be sent: it was not carried out
 *   UNKNOWN   sent, and no answer within the limit or the connection broke: it may have been carried out
 *   LIMIT     our queue is full: it was not sent
 *   REFUSED, MALFORMED, NOT_FOUND   the server's error reply, see redis_classify */
#ifndef GEMEL_BASE_REDIS_UV_H
#define GEMEL_BASE_REDIS_UV_H

#include "base/addr.h"
#include "base/env.h"

struct redisReply; /* hiredis; the redis_reply_* functions below read it without its header */
struct tls_context;
struct redis;
struct redis_op;

struct redis_conf { /* a limit of 0 stands for the default in brackets; everything is copied but `tls` */
    const struct addr
        *servers; /* tried in turn; a new address each time one fails or turns out to be a replica */
    size_t n_servers;
    const char *user, *password; /* NULL password: no AUTH; NULL user: the old AUTH with the password alone */
    const char *client_name;     /* CLIENT SETNAME; NULL: none */
    struct tls_context *tls;     /* must outlive the client; NULL: clear */
    const char *tls_name;        /* the server's name in its certificate */
    uint32_t connect_limit_ms;   /* TCP, TLS, AUTH and SETNAME together [3000] */
    uint32_t ping_ms;            /* quiet time before a PING, and how long its answer may take [3000] */
    uint32_t backoff_min_ms, backoff_max_ms; /* between attempts, doubled each time, ± 25 % [100, 5000] */
    uint32_t commands_max;                   /* waiting or unanswered [1024] */
    size_t queue_bytes_max;                  /* formatted and not yet with the kernel [8 MiB] */
    size_t reply_bytes_max; /* a longer reply is wrong data: the connection is dropped [16 MiB] */
};

/* Up: commands flow. Down: `why` for the log ("connect: connection refused", "WRONGPASS …"), borrowed. Runs from the
 * loop, never inside another call; a second failure in a row is reported again when `why` has changed. */
typedef void redis_state_fn(void *owner, bool up, const char *why);

/* Starts connecting at once; there is no failure, only `state`. `state` may be NULL. */
struct redis *redis_create(const struct env *env, const struct redis_conf *conf, redis_state_fn *state,
                           void *owner);
void redis_destroy(
    struct redis *r); /* safe on NULL; the owners have cancelled their operations before (asserted) */
bool redis_is_up(const struct redis *r);
uint64_t redis_generation(const struct redis *r); /* grows with each connection that came up; 0: none yet */
void redis_server(const struct redis *r, struct addr *out); /* the one in use or tried last */
/* Drops the connection and dials again; pending commands end as after any loss of the connection. */
void redis_reconnect(struct redis *r, const char *why);

/* Runs once, from the loop, never before the call that started it returned. `reply` is borrowed and NULL unless the
 * server answered; `word` is a stable word for the log ("ok", "readonly", "deadline", "disconnected"…). */
typedef void redis_done_fn(void *owner, enum err err, const struct redisReply *reply, const char *word);

/* While there is no connection the command waits for the attempt under way and ends with RETRY when that fails.
 * `limit_ms` counts from now. `done` NULL: the answer is of no interest (the result is NULL then). Arguments are
 * copied. */
struct redis_op *redis_command(struct redis *r, const struct slice *argv, size_t argc, uint32_t limit_ms,
                               redis_done_fn *done, void *owner);
void redis_cancel(struct redis_op **op); /* `done` will not run; what was sent was sent; safe on NULL */

/* redis_call(r, 3000, done, owner, SLICE("HGET"), key, SLICE("epoch")) */
#define redis_call(r, limit_ms, done, owner, ...)             \
    redis_command((r), (const struct slice[]){ __VA_ARGS__ }, \
                  ARRAY_LEN(((const struct slice[]){ __VA_ARGS__ })), (limit_ms), (done), (owner))

/* A script is known by the SHA-1 of its text; the server may forget it (restart, failover), then the text is sent. */
struct redis_script {
    const char *name, *text; /* borrowed */
    char sha1[41];
};
void redis_script_init(struct redis_script *s, const char *name, const char *text);
/* As redis_command: EVALSHA, and once EVAL on NOSCRIPT, within the same limit. */
struct redis_op *redis_eval(struct redis *r, const struct redis_script *s, const struct slice *keys,
                            size_t n_keys, const struct slice *args, size_t n_args, uint32_t limit_ms,
                            redis_done_fn *done, void *owner);

/* What an error reply means for the caller. `word` is static: the first word in lower case when known, else "err".
 *   RETRY      readonly, loading, masterdown, noreplicas, oom, busy, misconf, clusterdown, tryagain, execabort, unkillable
 *   REFUSED    noauth, wrongpass, noperm, moved, err
 *   MALFORMED  wrongtype (somebody keeps other data under our key)
 *   NOT_FOUND  noscript */
enum err redis_classify(struct slice error_text, const char **word);

/* Reading replies; NULL is accepted everywhere and reads as nil. */
bool redis_reply_is_nil(const struct redisReply *r);
struct slice redis_reply_text(const struct redisReply *r); /* string, status or error; else empty */
bool redis_reply_int(const struct redisReply *r,
                     int64_t *out);                   /* an integer, or a string that is one in decimal */
size_t redis_reply_count(const struct redisReply *r); /* elements of an array; else 0 */
const struct redisReply *redis_reply_at(const struct redisReply *r, size_t i); /* NULL past the end */
/* The value behind `name` in a flat array of names and values (HGETALL, a stream entry); NULL: not there. */
const struct redisReply *redis_reply_field(const struct redisReply *r, struct slice name);

#endif
