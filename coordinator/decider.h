/* coordinator/decider.h: the shell around the failover machine: turns answers into events and actions into calls.
 *
 * Has no opinion. What the machine asks of store, DNS, disk and the fence command is done here; what concerns links,
 * blocklists and operators is handed to whoever wired us (struct decider_events). */
#ifndef GEMEL_COORDINATOR_DECIDER_H
#define GEMEL_COORDINATOR_DECIDER_H

#include "base/env.h"
#include "coordinator/conf.h"
#include "coordinator/records.h"
#include "proto/link.h"

struct decider;
struct store_redis;
struct uv_loop_s;

struct decider_conf { /* borrowed while the decider lives */
    const struct coordinator_conf *conf;
    struct store_redis *store;
    struct records *records;
    struct uv_loop_s *loop; /* for the fence command; NULL in tests that have none */
};

struct decider_events { /* none of them may call back into the decider but for `view` */
    bool (*order)(void *owner, const char *node,
                  const struct link_order *o);             /* false: no link to that node */
    void (*poll)(void *owner);                             /* ask the blocklists now */
    void (*switched)(void *owner);                         /* another identity sends */
    void (*view)(void *owner, const struct store_view *v); /* each look at the store */
    void (*answer)(void *owner, uint64_t id, enum fo_answer result, uint64_t epoch, const char *text);
};

/* REFUSED: the journal cannot be used (`why`). */
MUST_USE enum err decider_create(const struct env *env, const struct decider_conf *conf,
                                 const struct decider_events *ev, void *owner, struct decider **out,
                                 struct buf *why);
void decider_start(struct decider *d); /* once everything the events need is there */
void decider_destroy(struct decider *d);

void decider_heartbeat(struct decider *d, const struct link_heartbeat *h);
void decider_link_lost(struct decider *d, struct slice node);
void decider_ack(struct decider *d, const struct link_ack *a);
void decider_verdict(struct decider *d, uint8_t identity, const struct policy_verdict *v);
/* A refusal this coordinator heard of first: into the store, when it leads. */
void decider_evidence(struct decider *d, const struct store_evidence *e);
/* The answer comes by `answer` with c->id, maybe at once, maybe several times. */
void decider_command(struct decider *d, const struct fo_command *c);

/* --- Looks --- */

void decider_status(const struct decider *d, struct fo_status *out);
bool decider_leads(const struct decider *d);
/* The coordinator that leads, as far as we know; NULL: nobody. Ourselves when we lead. */
const struct host_conf *decider_leader(const struct decider *d);
struct decider_store {    /* how the store answers; a server that takes no writes may still be read */
    uint64_t answered_ms; /* boot time of the last good answer; 0: none yet */
    char word[32];        /* of the last failure since then ("readonly", "deadline"…); "": none */
    unsigned failures;    /* in a row */
};
void decider_store(const struct decider *d, bool writing, struct decider_store *out);
const char *decider_fence_words(const struct decider *d); /* how the last fence command ended; "" */
uint64_t decider_fences_run(const struct decider *d);     /* fence commands that confirmed */

#endif
