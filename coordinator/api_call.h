/* coordinator/api_call.h: one request on its way to an answer; what the files of the api share. Nobody else includes it. */
#ifndef GEMEL_COORDINATOR_API_CALL_H
#define GEMEL_COORDINATOR_API_CALL_H

#include <jansson.h>

#include "base/http_uv.h"
#include "base/list.h"
#include "base/timers.h"
#include "coordinator/api.h"
#include "coordinator/doctor.h"
#include "coordinator/lists_check.h"
#include "proto/store_redis_uv.h"

struct api {
    struct api_conf conf;
    struct http_server *tcp, *socket;
    struct list calls;
    uint64_t next_id; /* of commands */
};

struct query { /* the parameters that any path takes; "": not given */
    char n[8], all[4], ip[64], identity[64], local[4];
};

struct call {
    struct list list;
    struct api *api;
    /* where it came from: one of the two */
    struct http_request *http;
    struct links_call *link;
    bool may_command; /* by the socket, or from another coordinator */
    char method[8], path[64], peer[64];
    struct query query;
    json_t *body; /* an object */
    /* what it waits for */
    uint64_t command; /* id; 0: none */
    struct store_op *history;
    struct records_op *records;
    struct lists_check *check;
    struct doctor *doctor;
    struct forward_op *forward;
    struct timer limit;
};

static inline const struct parts *call_parts(const struct call *c)
{
    return c->api->conf.parts;
}

/* Answers and ends the call. `o` becomes the callee's. */
void call_reply(struct call *c, unsigned status, json_t *o);
void call_reply_text(struct call *c, unsigned status, const char *type, struct slice text);
void call_error(struct call *c, unsigned status, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* After that it ends with 504 unless it was answered. */
void call_limit(struct call *c, uint64_t ms);
/* Index of the identity of that name; an unknown one is answered with 400 and the result is false. */
bool call_identity(struct call *c, const char *name, uint8_t *out);

/* api_commands.c: POST /switchover and its kin. `kind` is of the command. */
void call_command(struct call *c, enum fo_command_kind kind);

#endif
