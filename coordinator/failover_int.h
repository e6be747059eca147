/* coordinator/failover_int.h: what the files of the failover machine share. Nobody else includes it.
 *
 *   failover.c         the table of states, the lead, the poll of the store, what is learnt from each event
 *   failover_watch.c   why something should happen: triggers, fitness, moderation, the operator, reconciling DNS
 *   failover_switch.c  how it happens: one handler per step of an operation
 *   failover_publish.c the steps of them that are about DNS
 *   failover_why.c     sentences: history, status, log
 */
#ifndef GEMEL_COORDINATOR_FAILOVER_INT_H
#define GEMEL_COORDINATOR_FAILOVER_INT_H

#include "base/rng.h"
#include "coordinator/failover.h"

enum { EPOCH_LEAP = 100 }; /* added when somebody we cannot ask may know a higher epoch */

struct fo_wait {  /* one request under way */
    uint32_t seq; /* 0: none */
    uint64_t sent_ms;
};

struct fo_ident {
    struct store_beat beat;         /* the newest, whichever way it came */
    uint64_t beat_ms, link_ms;      /* when the last one came; 0: never; link_ms: over the link */
    uint64_t store_seq, store_inst; /* of the last one in the store */
    uint64_t closed_ms;             /* since when it says its gate is closed; 0: it does not */
    uint64_t egress_down_ms;        /* since when it reports no way out */
    uint64_t ack_token;             /* of the last fence it acknowledged */
    bool grant_done, grant_refused; /* about op.epoch */
    char refused_why[96];
    struct policy_verdict verdict;
    bool judged;
    uint64_t pass_ms;       /* when all servers last passed it, with none silent */
    uint64_t pass_since_ms; /* since when no look at them found otherwise; 0: the last one did */
    uint32_t spf_ok, spf_of;
    uint64_t cool_until_ms; /* refused a grant lately */
    uint64_t handoff_ms;
};

struct fo_plan { /* an operation wanted, before it is recorded */
    enum store_op_kind kind;
    uint8_t to, from;
    uint32_t flags, spf_set;
    uint64_t command;
    char by[STORE_NAME_MAX];
    char why[FO_WHY_MAX];
};

struct failover {
    struct fo_conf conf;
    const struct log *log;
    struct rng rng;
    struct fo_actions *out;
    uint64_t now_ms, wall_ms;
    enum fo_state state;
    uint64_t state_ms;
    unsigned phase; /* within the state; each handler names its own */
    uint32_t seq;

    struct store_claim claim;
    uint64_t lead_until_ms; /* 0: not leading */
    uint64_t lead_since_ms;
    struct fo_wait lead, view_wait, step, aux_wait;
    uint64_t lead_next_ms, view_next_ms, step_next_ms;
    struct store_req step_req;
    struct fo_aux { /* controls and marks; the first is under way */
        struct store_req req;
        uint64_t command; /* whom to tell when it is written; 0: nobody */
        const char *done; /* what to tell */
    } aux[8];
    size_t n_aux;

    struct store_view view;
    uint64_t view_ms;           /* 0: none yet */
    bool view_old;              /* something was written since: wait for the next one */
    uint64_t view_gap_ms;       /* when the store was last unreadable for a while */
    struct store_egress egress; /* from the newest answer of any kind */
    uint64_t egress_ms;         /* since when it is this epoch and state, as seen by us */
    uint64_t learnt_sent_ms;    /* when the newest request whose answer was believed was sent */
    struct store_lease lease;
    uint64_t lease_ms; /* when we last saw it change */
    uint64_t run, role_ms;
    uint32_t role_changes, switches;

    struct fo_wait dns, publish, verify, command_wait;
    struct fo_token token;
    uint64_t token_ms; /* when read; 0: never */
    bool token_reachable;
    uint64_t token_next_ms, verify_next_ms;
    uint64_t known_epoch, journal_epoch;
    uint64_t known_ms, view_asked_ms; /* when the former last grew; when the view was asked for */
    uint64_t doubted_epoch; /* the known one that the store had not recorded, when that was last noticed */
    uint64_t set_ttl_ms;    /* longest TTL any server gave */

    struct fo_plan plan;
    struct store_op_rec op;
    uint64_t step_ms;         /* when the current step began */
    uint32_t confirm_took_ms; /* how long the last confirmation took */
    bool op_dirty;            /* the record differs from the stored one: ADVANCE before anything else */
    uint32_t replans;
    uint64_t order_next_ms;
    uint32_t tries, rounds;
    bool round_bad; /* the last verification found a server that says otherwise */
    uint64_t try_next_ms, verified_ms, verify_took_ms;
    uint64_t standing_ms;     /* when all servers passed the new one, as known when verifying began */
    bool fence_run;           /* the fence command has been started for this operation */
    uint64_t fence_run_token; /* and confirmed for this token */
    uint64_t gap_from_ms;
    uint64_t op_command; /* operator's command behind the operation */
    bool op_ok, gave_way;
    char fail_why[FO_WHY_MAX];

    struct fo_command pending; /* id 0 and no kind: none */
    bool has_pending;
    uint64_t quiet_until_ms, urgent_ms;
    uint64_t auto_ms;                           /* last automatic switch we did ourselves */
    uint64_t withdraw_ms[STORE_IDENTITIES_MAX]; /* since when a listed identity may leave the record */
    char issue[FO_WHY_MAX];                     /* why we do nothing although we would */
    uint64_t issue_ms, notified_ms;
    struct fo_ident ids[STORE_IDENTITIES_MAX];
};

typedef void fo_on_fn(struct failover *f, const struct fo_event *ev);

/* failover.c */
struct fo_action *fo_act(struct failover *f, enum fo_action_kind kind);
void fo_move_to(struct failover *f, enum fo_state to, const char *why);
uint32_t fo_seq(struct failover *f);
void fo_send_step(struct failover *f, const struct store_req *req);
bool fo_aux(struct failover *f, const struct store_req *req, uint64_t command, const char *done);
void fo_read_token(struct failover *f);
void fo_verify(struct failover *f);
bool fo_view_covers(struct failover *f);
void fo_refresh(struct failover *f); /* the view is old: read it now */
void fo_recover(struct failover *f, const char *why);
bool fo_waiting(struct failover *f, struct fo_wait *w,
                uint64_t limit_ms); /* true while an answer may still come */
bool fo_answered(const struct fo_event *ev, enum fo_event_kind kind, struct fo_wait *w);
void fo_notify(struct failover *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
void fo_answer(struct failover *f, uint64_t id, enum fo_answer result, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void fo_step_down(struct failover *f, const char *why);
uint64_t fo_next_epoch(struct failover *f);
bool fo_leading(const struct failover *f);
struct store_claim fo_claim(const struct failover *f);
enum fo_state fo_state_of(enum store_step step);

/* failover_watch.c */
fo_on_fn fo_watching_on, fo_confirming_on;
const char *fo_not_usable(const struct failover *f, uint8_t i);
const char *fo_not_fit(const struct failover *f, uint8_t i);
bool fo_fresh(const struct failover *f, uint8_t i);
bool fo_link_fresh(const struct failover *f, uint8_t i);
uint32_t fo_wanted_set(const struct failover *f, uint8_t active, uint8_t also);
uint32_t fo_steady_set(const struct failover *f); /* when nothing is under way */
void fo_take_command(struct failover *f, const struct fo_command *c);
bool fo_urgent(struct failover *f);
bool fo_known_to_all(const struct failover *f, uint8_t i);

/* failover_switch.c */
/* The phases every step begins with; it names its own from PH_FIRST on. */
enum { PH_RECORD, PH_RECORDING, PH_FIRST };
fo_on_fn fo_recording_on, fo_fencing_on, fo_granting_on, fo_settling_on, fo_rolling_back_on;
void fo_resume(struct failover *f);
void fo_start(struct failover *f, const char *why); /* f->plan */
/* True once `step` is recorded; until then the handler returns. */
bool fo_recorded(struct failover *f, enum store_step step, const struct fo_event *ev);
enum fo_state fo_after_publishing(const struct failover *f);
void fo_fail(struct failover *f, const char *why); /* the operation ends without its aim */
void fo_roll_back(struct failover *f,
                  const char *why); /* who sent before sends again; fails when there is nobody */
bool fo_replan(struct failover *f); /* a higher epoch is known: publish again, above it; false: too often */

/* failover_publish.c */
fo_on_fn fo_publishing_on, fo_verifying_on, fo_waiting_on;

/* failover_why.c */
void fo_history_text(const struct failover *f, const struct store_op_rec *op, bool ok, char out[FO_TEXT_MAX]);
const char *fo_name(const struct failover *f, uint8_t identity);

#endif
