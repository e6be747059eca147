/* node/queue/schedule.h: which message goes next, and when. A pure core.
 *
 * Knows messages by id and their legs: one leg a destination (a recipient domain, or a next hop). Everything is in boot
 * time; whoever loads a spool converts. It hands out actions one by one through schedule_next:
 *   START    a leg is due, its destination and the node have room: deliver it, then tell schedule_finished
 *   GIVE     outbound mail is another node's to send: hand it over, then tell schedule_given
 *   DELAYED  waits so long that its sender should hear of it
 *   EXPIRED  waits too long; told once, nothing else happens with it until schedule_remove
 *
 * Destinations take turns, one leg each: a dead or slow one with any number of messages costs the others nothing. After
 * a failed connection a destination is held for its retry stage, then tried with one leg before it gets all its room
 * back. Legs of FLOW_OUT start in mode SEND only. */
#ifndef GEMEL_NODE_QUEUE_SCHEDULE_H
#define GEMEL_NODE_QUEUE_SCHEDULE_H

#include "node/queue/retry.h"

enum { SCHEDULE_LEGS_MAX = ENVELOPE_RCPTS_MAX };

struct schedule_limits {
    uint32_t active; /* at least 1 */
    uint32_t gap_ms; /* between two starts */
};

struct schedule_conf {
    uint32_t active_max;      /* deliveries at once, of the node */
    uint32_t active_per_dest; /* and of one destination */
    /* What holds for one of them instead; asked once while it is known. `out` has the above and no gap. NULL: nothing. */
    void (*limits)(void *owner, struct slice dest, struct schedule_limits *out);
    void *owner;
    uint32_t give_max; /* hand-offs at once */
    struct retry_conf retry;
};

struct schedule_leg {
    struct slice dest; /* lower case */
    uint64_t due_ms;
};

struct schedule_message {
    struct queue_id id;
    enum flow flow;
    uint64_t delayed_ms; /* UINT64_MAX: nobody is to be told */
    uint64_t expiry_ms;
    const struct schedule_leg *legs; /* different destinations */
    size_t n_legs;
    bool doubted; /* its expiry_ms comes from a wall clock that may be wrong; kept for schedule_life */
    bool pinned;  /* may be on another node already: neither started nor given until schedule_unpin */
    bool
        held; /* neither started nor given, and its age is nobody's business: remove it and add it anew to go on */
};

enum schedule_mode { SCHEDULE_KEEP, SCHEDULE_SEND, SCHEDULE_GIVE }; /* what to do with FLOW_OUT */

enum schedule_kind { SCHEDULE_START, SCHEDULE_GIVE_AWAY, SCHEDULE_DELAYED, SCHEDULE_EXPIRED };
struct schedule_action {
    enum schedule_kind kind;
    struct queue_id id;
    enum flow flow;
    struct slice dest; /* START; borrowed until the next call */
};

struct schedule;
struct schedule *schedule_create(const struct schedule_conf *conf);
void schedule_destroy(struct schedule *s);

/* So many messages will be added: a hint, worth giving for many. */
void schedule_expect(struct schedule *s, size_t messages);
/* False: known already, nothing changed. */
bool schedule_add(struct schedule *s, const struct schedule_message *m);
bool schedule_knows(const struct schedule *s, const struct queue_id *id);
struct schedule_life {
    uint64_t expiry_ms;
    bool doubted;
};
/* False: no such message. */
bool schedule_life(const struct schedule *s, const struct queue_id *id, struct schedule_life *out);
/* Forgets it; a schedule_finished or schedule_given still to come is ignored. */
void schedule_remove(struct schedule *s, const struct queue_id *id);
void schedule_unpin(struct schedule *s, const struct queue_id *id);
/* Held from now on. What is active comes back as ever; what of it would be tried again is not. */
void schedule_hold(struct schedule *s, const struct queue_id *id);

enum schedule_status { /* QR-03; the first that fits */
                       SCHEDULE_UNKNOWN,
                       SCHEDULE_IN_DOUBT, /* pinned */
                       SCHEDULE_GIVING,
                       SCHEDULE_ACTIVE, /* with the deliverer */
                       SCHEDULE_HELD,
                       SCHEDULE_WAITING,
};
enum schedule_status schedule_status(const struct schedule *s, const struct queue_id *id);

/* Entering SEND forgets holds and lifts waits that were about the sending address: it may be another one now. */
void schedule_out(struct schedule *s, enum schedule_mode mode, uint64_t now_ms);
enum schedule_mode schedule_mode(const struct schedule *s);

/* False: nothing to do until schedule_due_ms. */
bool schedule_next(struct schedule *s, uint64_t now_ms, struct schedule_action *out);
uint64_t schedule_due_ms(const struct schedule *s); /* when to ask again; UINT64_MAX: after the next event */

/* A leg came back. `effect->again`: it waits for effect->wait_ms; otherwise the leg is done. */
void schedule_finished(struct schedule *s, const struct queue_id *id, struct slice dest,
                       const struct retry_effect *effect, uint64_t now_ms);
/* A hand-off ended. OK: gone, as schedule_remove. RETRY: give again. REFUSED: that node will never take it: stays
 * until the mode is set again. UNKNOWN: pinned from now on. */
void schedule_given(struct schedule *s, const struct queue_id *id, enum err err);

/* Everything that waits and fits is due now: one message, one destination, or with both empty all. Returns how many legs. */
size_t schedule_flush(struct schedule *s, const struct queue_id *id, struct slice dest, uint64_t now_ms);

struct schedule_dest_view {
    struct slice name;
    enum flow flow;
    size_t waiting, active; /* legs */
    uint32_t failures;      /* connections in a row that failed */
    uint64_t next_ms;       /* when it will be tried; 0: now or already */
};
void schedule_each_dest(const struct schedule *s, uint64_t now_ms,
                        void (*fn)(void *owner, const struct schedule_dest_view *v), void *owner);

struct schedule_counts {
    size_t messages[FLOW_COUNT];
    size_t active, giving, pinned, held, destinations;
};
void schedule_counts(const struct schedule *s, struct schedule_counts *out);
/* Legs that could start this moment and have not had their turn. Walks all destinations. */
size_t schedule_backlog(const struct schedule *s, uint64_t now_ms);

#endif
