/* coordinator/failover.h: who sends. The machine that leads, decides, fences, publishes, verifies, grants.
 *
 * Pure: events in with the time inside, actions out; the log is its only other effect. One per coordinator process; only
 * the one that holds the coordinator lease acts, the others watch. Each step is recorded in the store before it is done and may be
 * done twice: another coordinator goes on from the recorded step. docs/failover.md is the protocol in words.
 *
 * Actions that want an answer carry `seq`; an answer with another seq is late and ignored. The shell answers each once;
 * what it cannot tell it answers as unknown, and the machine also gives up waiting by itself. */
#ifndef GEMEL_COORDINATOR_FAILOVER_H
#define GEMEL_COORDINATOR_FAILOVER_H

#include "base/log.h"
#include "coordinator/policy.h"
#include "proto/store.h"

enum { FO_SERVERS_MAX = 24, FO_ACTIONS_MAX = 48, FO_TEXT_MAX = 512, FO_WHY_MAX = STORE_WHY_MAX };

struct fo_identity {
    char name[STORE_NAME_MAX];
    char node[STORE_NAME_MAX];
};

enum fo_both_listed { FO_BOTH_STAY, FO_BOTH_LEAST_BAD, FO_BOTH_HOLD };

struct fo_conf {
    char me[STORE_NAME_MAX];
    uint8_t n; /* identities, in order of preference */
    struct fo_identity ids[STORE_IDENTITIES_MAX];
    bool exclusive;     /* SPF authorises the active identity only */
    bool verify_strict; /* a silent authoritative server is never tolerated */
    bool fence_command; /* one is configured */
    enum fo_both_listed both_listed;
    /* leases: failover.md A.4 */
    uint64_t lease_ms, coord_lease_ms, coord_margin_ms, store_timeout_ms;
    uint64_t view_ms;      /* how often the store is read: 1 s */
    uint64_t slack_ms;     /* takeover wait W = lease × 1.01 + slack (3 s) */
    uint64_t role_wait_ms; /* extra wait after another server took over: 30 s */
    uint64_t
        silent_ms; /* no heartbeat over the link for this long: one of the two signals of a dead node (6 s) */
    uint64_t egress_down_ms; /* a node that reports no way out for this long has failed (60 s) */
    /* steps */
    uint64_t confirm_limit_ms, fence_limit_ms, verify_limit_ms, grant_limit_ms, order_repeat_ms, cooldown_ms;
    uint32_t publish_tries;
    uint64_t publish_backoff_ms;
    uint64_t verify_gap_ms; /* between two good rounds: 5 s */
    uint64_t spf_fresh_ms;  /* a full verification older than this excuses nothing: 1 h */
    uint64_t spf_check_ms;  /* the standing verification: 60 s */
    uint64_t spf_ttl_ms, grace_ms, dns_timeout_ms;
    /* moderation */
    uint64_t dwell_ms;
    uint32_t daily_cap;
    uint32_t score_lead; /* the other must be better by this: 2 */
};
void failover_conf_default(struct fo_conf *c);

enum fo_state {
    FO_FOLLOWING,  /* another coordinator leads, or nobody knows */
    FO_RECOVERING, /* we lead since a moment: reading store and DNS before anything else */
    FO_WATCHING,
    FO_CONFIRMING,
    FO_RECORDING,
    FO_FENCING,
    FO_PUBLISHING,
    FO_VERIFYING,
    FO_WAITING,
    FO_GRANTING,
    FO_SETTLING,
    FO_ROLLING_BACK,
    FO_STATES
};

/* _egress and _spf as one value: who may send, under which epoch, and which identities the SPF record authorises. */
struct fo_token {
    bool present;     /* false: no _egress record */
    bool foreign;     /* somebody else's marker: never touched */
    uint8_t identity; /* STORE_NONE, STORE_FOREIGN possible */
    uint64_t epoch;
    uint32_t serial; /* of our changes; each publication adds one */
    uint32_t spf_set;
};

enum fo_published {
    FO_PUB_APPLIED,
    FO_PUB_CONFLICT, /* NXRRSET, YXRRSET: not as expected; perhaps our own earlier attempt */
    FO_PUB_UNKNOWN,  /* timeout, SERVFAIL, reset, unsigned answer */
    FO_PUB_REFUSED,  /* REFUSED, NOTAUTH, BADTIME, BADKEY: configuration */
    FO_PUB_LINT,     /* we would not publish that */
};

enum fo_server_state { FO_SERVER_OK, FO_SERVER_SILENT, FO_SERVER_BOGUS };
struct fo_server {     /* one address of one authoritative server */
    uint8_t state;     /* enum fo_server_state; BOGUS: DNSSEC fails, no SPF record, two of them */
    uint32_t pass_set; /* identities for which SPF evaluates to pass there */
    uint64_t epoch;    /* of its _egress; 0: none */
    uint64_t ttl_ms;
};
struct fo_verified {
    uint8_t n;
    struct fo_server v[FO_SERVERS_MAX];
};

enum fo_command_kind {
    FO_CMD_SWITCHOVER, /* to (STORE_NONE: the best), flags, by, why */
    FO_CMD_FAILOVER,
    FO_CMD_FENCE, /* whoever is `to` stops sending; nobody sends until switchover or failover */
    FO_CMD_PAUSE,
    FO_CMD_RESUME,
    FO_CMD_PIN, /* to, until_wall_ms */
    FO_CMD_UNPIN,
};
struct fo_command {
    uint64_t id; /* the shell's, comes back with each FO_DO_ANSWER */
    enum fo_command_kind kind;
    uint8_t to;
    bool dry_run, accept_risk;
    uint64_t until_wall_ms;
    char by[STORE_NAME_MAX];
    char why[96];
};
enum fo_answer {
    FO_ANS_ACCEPTED,
    FO_ANS_DONE,
    FO_ANS_REFUSED,
    FO_ANS_BUSY,
    FO_ANS_NOT_LEADER,
    FO_ANS_FAILED
};

enum fo_event_kind {
    FO_EV_TICK,
    FO_EV_STORE,     /* seq, reply */
    FO_EV_NODE,      /* identity, beat: a heartbeat over the link */
    FO_EV_LINK_LOST, /* identity: the link to its node has ended */
    FO_EV_ACK,       /* identity, ack: an order's answer over the link */
    FO_EV_TOKEN,     /* seq, token; reachable false: the primary did not answer */
    FO_EV_PUBLISHED, /* seq, published */
    FO_EV_VERIFIED,  /* seq, verified */
    FO_EV_FENCED,    /* seq, ok: the fence command's confirmation */
    FO_EV_VERDICT,   /* identity, verdict */
    FO_EV_COMMAND,   /* command */
};

struct fo_ack {
    bool fence; /* else grant */
    bool done;
    uint64_t op, epoch, token;
    char why[96];
};

struct fo_event {
    enum fo_event_kind kind;
    uint64_t now_ms, wall_ms; /* boot clock; Unix time */
    uint32_t seq;
    uint8_t identity;
    bool reachable, ok;
    union {
        const struct store_reply *reply;
        const struct store_beat *beat;
        const struct fo_ack *ack;
        struct fo_token token;
        enum fo_published published;
        const struct fo_verified *verified;
        const struct policy_verdict *verdict;
        const struct fo_command *command;
    };
};

enum fo_action_kind {
    FO_DO_STORE,         /* seq, req; answer EV_STORE */
    FO_DO_ORDER,         /* order to the node of `identity`, over its link; no answer but acks and beats */
    FO_DO_READ_TOKEN,    /* seq; from the primary; answer EV_TOKEN */
    FO_DO_PUBLISH,       /* seq, publish: one UPDATE whose prerequisite is `expect`; answer EV_PUBLISHED */
    FO_DO_VERIFY,        /* seq; every authoritative address, every identity; answer EV_VERIFIED */
    FO_DO_FENCE_COMMAND, /* seq, identity; answer EV_FENCED */
    FO_DO_JOURNAL,       /* append `text`, synced; `epoch` must be readable at the next start */
    FO_DO_NOTIFY,        /* page somebody; the machine repeats itself, the shell need not */
    FO_DO_ANSWER,        /* an operator's command */
    FO_DO_POLL,          /* ask the blocklists now */
};

enum fo_order_kind { FO_ORDER_FENCE, FO_ORDER_GRANT, FO_ORDER_HANDOFF };
struct fo_order {
    enum fo_order_kind kind;
    uint8_t to; /* HANDOFF: the identity that takes the queue */
    bool dns_pending;
    uint64_t op, epoch, token, term;
    char why[96];
};

struct fo_action {
    enum fo_action_kind kind;
    uint32_t seq;
    uint8_t identity;
    union {
        struct store_req req;
        struct fo_order order;
        struct {
            struct fo_token expect, want;
        } publish;
        struct {
            uint64_t id;
            enum fo_answer result;
            uint64_t epoch;
            char text[FO_TEXT_MAX];
        } answer;
        char text[FO_TEXT_MAX];
        struct {
            uint64_t epoch;
            char line[FO_TEXT_MAX];
        } journal;
    };
};

struct fo_actions {
    size_t n;
    struct fo_action v[FO_ACTIONS_MAX];
};

struct failover;
/* `seed` random: ids and tokens come from it. `journal_epoch`: the highest epoch in our journal, 0: none. */
struct failover *failover_create(const struct fo_conf *conf, const struct log *log, uint64_t seed,
                                 uint64_t journal_epoch, uint64_t now_ms);
void failover_destroy(struct failover *f);
/* Feeds one event; replaces `out` with what must now happen. */
void failover_step(struct failover *f, const struct fo_event *ev, struct fo_actions *out);
uint64_t failover_due_ms(const struct failover *f); /* when it wants FO_EV_TICK */

/* What status, HTTP and metrics show. */
struct fo_identity_status {
    enum store_reported reported; /* by the node */
    enum store_reported assigned; /* by the store: ACTIVE, FENCED or STANDBY */
    bool fresh;                   /* the node was heard of lately */
    bool fit;                     /* standby_ready */
    uint32_t score, spf_ok, spf_of;
    uint64_t lease_left_ms, epoch, queue_out, beat_age_ms;
    char why_not[96]; /* fit is false because */
    char evidence[FO_WHY_MAX];
};
struct fo_status {
    enum fo_state state;
    bool leading, paused, degraded;
    uint8_t pin, active; /* STORE_NONE: none */
    uint64_t epoch, term, since_wall_ms, pin_until_wall_ms, in_state_ms;
    struct store_op_rec op; /* id 0: none */
    uint32_t role_changes, switches;
    uint32_t wanted_set; /* identities that SPF should authorise now */
    struct fo_identity_status ids[STORE_IDENTITIES_MAX];
    uint8_t n_issues;
    char issues[8][128];
};
void failover_status(const struct failover *f, uint64_t now_ms, struct fo_status *out);
bool failover_leads(const struct failover *f, uint64_t now_ms);
enum fo_state failover_state(const struct failover *f);
const char *failover_state_name(enum fo_state s);
/* The quarantine mark as the store has it, for POLICY_EV_MARK; 0: none. */
uint64_t failover_quarantined_wall_ms(const struct failover *f, uint8_t identity);

#endif
