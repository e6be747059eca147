/* proto/store.h: what node and coordinator may ask of the shared store. Redis in production, proto/store_model in tests.
 *
 * One request is one script: it reads, decides and writes as one step, and may be sent twice without harm. Every answer
 * carries the egress and lease as they are after it. The store orders; it is no clock and no witness: nobody concludes
 * anything from a key that is missing or expired (docs/failover.md).
 *
 * Identities are indexes into the cluster configuration here; the shell writes and reads names. Wall times are for people
 * and for the bounds of days (dwell, cap, pin); nothing about a lease uses them.
 *
 * Keys. {c} is the cluster's name in braces, so that all of them share a slot; the version of the layout is the prefix.
 *   g1:{c}:coord        hash id token term, PX coordinator lease                        STORE_COORD
 *   g1:{c}:term         integer, the highest term ever given; permanent                 STORE_COORD
 *   g1:{c}:epoch        integer, the highest epoch ever granted; permanent              STORE_GRANT
 *   g1:{c}:egress       hash identity epoch state op token run since dns_pending        FENCE ADVANCE GRANT FINISH
 *   g1:{c}:lease        hash identity epoch token counter; permanent (the counter)      STORE_RENEW, cleared by GRANT
 *   g1:{c}:op           hash of struct store_op_rec and `no`, the number of operations  BEGIN ADVANCE FINISH
 *   g1:{c}:op:<id>      the same, kept 30 days for the history                          BEGIN ADVANCE FINISH
 *   g1:{c}:node:<name>  hash of struct store_beat, one per identity, PX 3 × heartbeat   STORE_BEAT
 *   g1:{c}:evidence     stream of refusals, trimmed by time (30 minutes)                STORE_EVIDENCE
 *   g1:{c}:controls     hash of struct store_controls; permanent                        STORE_CONTROLS
 *   g1:{c}:quarantine   hash identity → wall ms it was found listed; permanent          GRANT, STORE_MARK
 *   g1:{c}:auto         list of wall ms of the last automatic switches, 8 at most       STORE_GRANT
 *   g1:{c}:history      list of struct store_history, the last 500                      FINISH, STORE_HISTORY
 */
#ifndef GEMEL_PROTO_STORE_H
#define GEMEL_PROTO_STORE_H

#include "base/base.h"

enum {
    STORE_IDENTITIES_MAX = 16,
    STORE_NONE = 255,    /* no identity */
    STORE_FOREIGN = 254, /* a name in the store that our configuration does not know */
    STORE_NAME_MAX = 48, /* with the NUL */
    STORE_WHY_MAX = 240,
    STORE_AUTO_MAX = 8,
    STORE_STEPS = 8,
    STORE_EVIDENCE_MAX = 32,
};

enum store_status {
    STORE_OK,       /* done, or had been done by an earlier sending of the same request */
    STORE_STALE,    /* coordinator: you do not lead (any more); node: that epoch is not the granted one */
    STORE_CONFLICT, /* the world is not as the request assumed: see `conflict`; nothing was changed */
    STORE_UNKNOWN, /* no usable answer (timeout, reset, read-only, loading, no replica): it may have happened */
};

enum store_conflict {
    STORE_C_NONE,
    STORE_C_RUN,   /* another server process or role than `run` in the request: data may have been lost */
    STORE_C_HELD,  /* somebody else holds it */
    STORE_C_OP,    /* another operation is running, or this one has moved on */
    STORE_C_EPOCH, /* the epoch is not above, or not equal to, the one in the store */
    STORE_C_STATE, /* the egress is not in the state this needs */
};

enum store_egress_state {
    STORE_EGRESS_NONE,    /* never granted, or all data lost */
    STORE_EGRESS_ACTIVE,  /* the identity may renew */
    STORE_EGRESS_FENCING, /* renewals are refused from now on */
    STORE_EGRESS_FENCED,  /* and its gate is proven closed */
    STORE_EGRESS_HELD,    /* fenced by an operator: nobody sends until an operator says so */
};

struct store_egress {
    uint8_t identity; /* STORE_NONE when state is NONE */
    uint8_t state;    /* enum store_egress_state */
    bool dns_pending; /* granted although _egress could not be moved */
    uint64_t epoch;
    uint64_t op;
    uint64_t token; /* of the fence or grant order now in force; the node echoes it */
    uint64_t run;   /* the server's run when it was granted or fenced */
    uint64_t since_wall_ms;
};

struct store_lease {
    uint8_t identity;
    uint64_t epoch;
    uint64_t token;   /* of the process that renews; 0 until the first renewal */
    uint64_t counter; /* grows at each renewal, never goes back */
};

/* Order matters: enum fo_state of the coordinator has one row for each. */
enum store_step {
    STORE_STEP_RECORDED,
    STORE_STEP_FENCING,
    STORE_STEP_PUBLISHING,
    STORE_STEP_VERIFYING,
    STORE_STEP_WAITING,
    STORE_STEP_GRANTING,
    STORE_STEP_SETTLING,
    STORE_STEP_ROLLING_BACK,
};

enum store_op_kind {
    STORE_OP_NONE,
    STORE_OP_LISTED,     /* automatic: blocklists and refusals */
    STORE_OP_FAILED,     /* automatic: the active node is dead, cut or cannot send */
    STORE_OP_SWITCHOVER, /* operator, healthy: make before break */
    STORE_OP_FAILOVER,   /* operator, forced: quality checks are skipped, the fence never */
    STORE_OP_RESTORE,    /* nobody sends: first start, lost data, a failed operation */
    STORE_OP_REGRANT,    /* the same identity again under a new epoch */
    STORE_OP_PUBLISH,    /* DNS only: withdraw, restore, repair */
    STORE_OP_FENCE,      /* operator, or both listed and policy `hold`: nobody sends afterwards */
};

enum store_op_flag {
    STORE_F_PLANNED = 1,       /* publish and verify first, fence after */
    STORE_F_FORCED = 2,        /* operator skipped the quality checks */
    STORE_F_DNS_PENDING = 4,   /* _egress could not be moved; the grant says so */
    STORE_F_ROLLBACK = 8,      /* going back to who sent before */
    STORE_F_QUARANTINE = 16,   /* `from` is listed: it stays out until it is clean */
    STORE_F_AUTO = 32,         /* counts against dwell and cap */
    STORE_F_ACKED = 64,        /* the fence was acknowledged (not waited for) */
    STORE_F_ACCEPT_RISK = 128, /* operator: do not wait for the old TTL */
    STORE_F_GREW = 256,        /* the identity was not authorised before: receivers may hold the old answer */
};

struct store_op_rec {
    uint64_t id;  /* random; 0: none */
    uint64_t no;  /* operations so far, this one included */
    uint32_t seq; /* version of the record: each ADVANCE adds one */
    uint8_t kind, step, from, to;
    uint32_t flags;
    uint64_t base_epoch; /* the egress epoch it started from */
    uint64_t epoch;      /* the one it will grant */
    uint64_t token;      /* for its orders */
    uint32_t spf_set;    /* identities the published record authorises, as bits */
    uint64_t started_wall_ms;
    uint32_t took_ms[STORE_STEPS]; /* time spent in each step */
    uint32_t gap_ms;
    char by[STORE_NAME_MAX]; /* operator, or the coordinator that decided */
    char why[STORE_WHY_MAX]; /* evidence in a sentence */
};

enum store_reported { STORE_R_UNKNOWN, STORE_R_STANDBY, STORE_R_ACTIVE, STORE_R_FENCED, STORE_R_GRANTING };

/* A node's word about one identity; the same content travels over the link. */
struct store_beat {
    uint64_t seq;      /* grows with each beat of one process */
    uint64_t instance; /* random per process */
    uint8_t reported;  /* enum store_reported */
    bool preflight_ok, egress_ok, store_ok;
    uint64_t epoch;         /* highest ever seen, on its disk */
    uint64_t fenced_epoch;  /* closed for every epoch up to this, on its disk */
    uint64_t fence_token;   /* of the last fence order obeyed */
    uint64_t refused_epoch; /* last grant it refused, and why */
    char refused_why[64];
    uint64_t lease_left_ms;
    uint64_t queue_out; /* outbound messages waiting */
    uint64_t sent;      /* messages accepted by receivers since start */
    uint64_t wall_ms;
};

struct store_evidence { /* one refusal, as much of it as the policy counts */
    uint64_t id;        /* given by the store, grows */
    uint8_t identity;
    uint8_t scope;         /* enum policy_scope of the coordinator; the words of edge.proto's Refusal */
    uint64_t organisation; /* hash of the destination organisation */
    uint64_t message;      /* hash of the queue id */
    uint64_t wall_ms;
    char text[96]; /* for people */
};

struct store_controls {
    uint64_t version; /* grows by one with each change, so that a late twin of an older one does nothing */
    bool paused;
    uint8_t pin; /* identity, or STORE_NONE */
    uint64_t pin_until_wall_ms;
    char by[STORE_NAME_MAX];
};

struct store_history {
    uint64_t wall_ms, epoch, op;
    uint8_t kind, from, to;
    bool ok;
    uint32_t gap_ms;
    uint32_t took_ms[STORE_STEPS]; /* FINISH: as at the end; the record has them as of its last ADVANCE */
    char text[512];
};

/* What STORE_READ returns: one consistent look at everything. */
struct store_view {
    uint64_t epoch, term;
    struct store_egress egress;
    struct store_lease lease;
    uint64_t leader;        /* id of the coordinator that leads, 0: none */
    struct store_op_rec op; /* id 0: none running; `no` always counts */
    uint64_t used_epoch;    /* the highest that any operation was recorded with: who knows of a higher one has
                             * heard it from a server that this one has not copied */
    struct store_beat beats[STORE_IDENTITIES_MAX];
    struct store_controls controls;
    uint64_t quarantined_wall_ms[STORE_IDENTITIES_MAX]; /* 0: not */
    uint64_t auto_wall_ms[STORE_AUTO_MAX];              /* newest first; 0: none */
    uint32_t n_evidence;
    struct store_evidence evidence[STORE_EVIDENCE_MAX]; /* the newest, oldest first */
};

/* A coordinator's claim: checked by every script it sends. */
struct store_claim {
    uint64_t id;    /* hash of the coordinator's name */
    uint64_t token; /* random per leadership */
    uint64_t term;
    uint64_t run; /* the server it believes to talk to; 0: any (STORE_COORD, STORE_READ) */
};

enum store_req_kind {
    STORE_COORD, /* take or keep the lead. OK: term in the reply; CONFLICT HELD: somebody else's is running */
    STORE_READ,  /* the view */
    STORE_BEGIN, /* op: recorded when none runs, op.no is the next number and base_epoch is the egress epoch */
    STORE_ADVANCE, /* op with seq = stored seq + 1 replaces it; `fenced`: FENCING becomes FENCED in the same step */
    STORE_FINISH, /* the operation ends; its history is appended; `held`: FENCED becomes HELD */
    STORE_FENCE,  /* egress (identity, epoch) becomes FENCING for op; answers the lease counter */
    STORE_GRANT, /* egress becomes (identity, epoch) ACTIVE; needs FENCED or HELD or NONE, or the same identity */
    STORE_CONTROLS, /* pause, pin; controls.version is the stored one + 1 */
    STORE_MARK,     /* quarantine of `identity` := wall_ms (0: clean) */
    STORE_HISTORY,  /* one line of history that belongs to no operation */
    STORE_RENEW, /* node: counter + 1 when egress is ACTIVE for (identity, epoch) and no other token renews */
    STORE_BEAT,  /* node: put its heartbeat; the reply's egress is how orders reach it without a link */
    STORE_EVIDENCE, /* node: a refusal */
};

struct store_req {
    enum store_req_kind kind;
    struct store_claim claim; /* coordinators */
    uint8_t identity;
    uint64_t op, epoch, token, wall_ms;
    uint32_t op_seq;     /* FENCE, GRANT: the op's seq; one from before the last ADVANCE does nothing */
    uint64_t term_floor; /* COORD: the new term is above this too */
    bool fenced, held, dns_pending, automatic, quarantine;
    uint8_t quarantined; /* GRANT with `quarantine`: who is listed */
    union {
        struct store_op_rec rec;        /* BEGIN, ADVANCE */
        struct store_history history;   /* FINISH, HISTORY */
        struct store_controls controls; /* CONTROLS */
        struct store_beat beat;         /* BEAT */
        struct store_evidence evidence; /* EVIDENCE */
    };
};

struct store_reply {
    enum store_req_kind kind;
    enum store_status status;
    enum store_conflict conflict;
    uint64_t run; /* the server that answered; 0 with UNKNOWN */
    uint64_t term;
    struct store_egress egress;
    struct store_lease lease;
    const struct store_view *view; /* READ and OK only; borrowed until the callee returns */
};

const char *store_req_name(enum store_req_kind k);
const char *store_status_name(enum store_status s);
const char *store_conflict_name(enum store_conflict c);
const char *store_op_kind_name(enum store_op_kind k); /* "listed", "switchover": also the words in Redis */
const char *store_step_name(enum store_step s);
const char *store_egress_name(enum store_egress_state s);
const char *store_reported_name(enum store_reported r);

#endif
