/* node/agent.h: the node's side of the failover protocol, for one identity: obeys orders, keeps the lease, moves the gate.
 *
 * Pure: events in with the time inside, actions out; it writes the gate itself, which is atomics and no I/O. A node with
 * two identities has two agents and two gates. What it promises, whatever arrives in whatever order:
 *   - the gate is open only between a renewal's answer OK and that renewal's *sending* time + lease − margin;
 *   - a grant is obeyed only when its epoch is above every epoch seen and fenced, DNS does not say otherwise, SPF passes
 *     for the identity, the epoch is on disk, every old session is reset (or past its dot) and the store has said OK once;
 *   - a fence is acknowledged only when the gate is closed, sessions before the dot are gone, those past it have ended
 *     (or drain_ms has passed) and "fenced up to" is on disk;
 *   - after a restart it is fenced for every epoch its file knows.
 * It refuses to know: how orders travel, which server answered, what mail is. */
#ifndef GEMEL_NODE_AGENT_H
#define GEMEL_NODE_AGENT_H

#include "base/buf.h"
#include "base/log.h"
#include "node/gate.h"
#include "proto/store.h"

enum { AGENT_WHY_MAX = 96, AGENT_ACTIONS_MAX = 12 };

struct agent_conf {
    char name[STORE_NAME_MAX]; /* the identity's, for the log */
    uint8_t identity;
    bool solo; /* no coordinator, no store: the gate is open from the start */
    uint32_t lease_ms, margin_ms, renew_ms;
    uint32_t op_timeout_ms; /* an unanswered store request counts as UNKNOWN after this */
    uint32_t beat_ms;       /* heartbeat to store and links; also sent at once on each change */
    uint32_t stall_ms;      /* longest time between two ticks */
    uint32_t drain_ms;      /* how long a fence waits for sessions past the dot */
    uint32_t check_ms;      /* how long a grant may take to be verified */
};
/* 15 s, 2 s, 3 s, 3 s, 2 s, 2 s, 5 s, 20 s: failover.md A.4. Names and identity are left empty. */
void agent_conf_default(struct agent_conf *c);

enum agent_state {
    AGENT_STANDBY,  /* closed; waits for a grant */
    AGENT_CHECKING, /* closed; a grant is being verified */
    AGENT_ACTIVE,   /* open as long as the deadline lasts */
    AGENT_LAPSED, /* closed: the deadline passed or the process stalled; the next OK of the same server reopens */
    AGENT_FENCING, /* closed; sessions are ending, the fence is on its way to the disk */
    AGENT_FENCED,  /* closed; only a higher epoch opens it again */
    AGENT_STATES
};

enum agent_order_kind { AGENT_FENCE, AGENT_GRANT, AGENT_HANDOFF };
struct agent_order {
    enum agent_order_kind kind;
    uint8_t identity; /* HANDOFF: to whom; otherwise ours */
    uint64_t op, epoch, token, term;
    bool dns_pending; /* GRANT: a lower epoch in DNS is allowed */
};

/* The synced file. Text, so that a person can read it: "epoch=7 mine=1 fenced=6\n". */
struct agent_file {
    uint64_t epoch;  /* highest ever seen */
    bool mine;       /* that epoch was granted to this identity */
    uint64_t fenced; /* closed for every epoch up to this */
};
void agent_file_format(const struct agent_file *f, struct buf *out);
MUST_USE enum err agent_file_parse(struct slice text, struct agent_file *out);

/* The _egress record as the node read it from the primary or any authoritative server. */
struct agent_token {
    bool reachable; /* some server answered with authority */
    bool present;
    uint8_t identity; /* STORE_FOREIGN: another cluster's or an unknown name */
    uint64_t epoch;
};

enum agent_spf { AGENT_SPF_PASS, AGENT_SPF_FAIL, AGENT_SPF_UNKNOWN };

enum agent_event_kind {
    AGENT_EV_TICK,      /* at least every stall_ms / 4 */
    AGENT_EV_ORDER,     /* over a link */
    AGENT_EV_STORE,     /* the answer to DO_STORE `seq`; a timeout is STORE_UNKNOWN */
    AGENT_EV_TOKEN,     /* the answer to DO_READ_TOKEN */
    AGENT_EV_SPF,       /* the answer to DO_CHECK_SPF */
    AGENT_EV_PERSISTED, /* the answer to DO_PERSIST; anything but OK is tried again */
    AGENT_EV_ABORTED, /* the answer to DO_ABORT: every session older than it is reset, but for those past the dot */
    AGENT_EV_FACTS, /* preflight, egress, queue: copied into the next heartbeat */
};

struct agent_facts {
    bool preflight_ok, egress_ok;
    uint64_t queue_out, sent;
};

struct agent_event {
    enum agent_event_kind kind;
    uint64_t now_ms; /* boot clock */
    uint64_t wall_ms;
    uint32_t seq; /* of the action this answers */
    union {
        struct agent_order order;
        const struct store_reply *reply;
        struct agent_token token;
        enum agent_spf spf;
        enum err err;
        struct agent_facts facts;
    };
};

enum agent_action_kind {
    AGENT_DO_STORE,      /* send req; answer with EV_STORE */
    AGENT_DO_REPORT,     /* send beat over every link */
    AGENT_DO_READ_TOKEN, /* ask the DNS primary, then any authoritative server */
    AGENT_DO_CHECK_SPF,  /* evaluate SPF for the identity, fresh, as a receiver would */
    AGENT_DO_PERSIST,    /* write `file`, synced */
    AGENT_DO_ABORT,      /* reset every outbound session that is not past the dot */
    AGENT_DO_ACK,        /* answer an order over every link */
    AGENT_DO_HANDOFF,    /* outbound mail now belongs to `to` (STORE_NONE: keep it until told) */
};

struct agent_ack {
    enum agent_order_kind kind;
    uint64_t op, epoch, token;
    bool done;       /* false: refused, see why */
    const char *why; /* static text */
};

struct agent_action {
    enum agent_action_kind kind;
    uint32_t seq;
    union {
        struct store_req req;
        struct store_beat beat;
        struct agent_file file;
        struct agent_ack ack;
        uint8_t to;
    };
};

struct agent_actions {
    size_t n;
    struct agent_action v[AGENT_ACTIONS_MAX];
};

struct agent; /* node/agent.c; the caller's memory through agent_create */

/* `gate` and `log` outlive it. `file`: what was on disk (zero: none). `instance`: random, new for each process. */
struct agent *agent_create(const struct agent_conf *conf, struct gate *gate, const struct log *log,
                           const struct agent_file *file, uint64_t instance, uint64_t now_ms);
void agent_destroy(struct agent *a);

/* Feeds one event; replaces `out` with what must now happen. */
void agent_step(struct agent *a, const struct agent_event *ev, struct agent_actions *out);
uint64_t agent_due_ms(const struct agent *a); /* when it wants EV_TICK at the latest */

enum agent_state agent_state(const struct agent *a);
const char *agent_state_name(enum agent_state s);
uint64_t agent_epoch(const struct agent *a);          /* highest seen */
uint8_t agent_active_identity(const struct agent *a); /* who sends, as far as known; STORE_NONE */
const char *agent_why(const struct agent *a);         /* why it is in this state, a sentence's worth */
enum store_reported agent_reported(const struct agent *a);

#endif
