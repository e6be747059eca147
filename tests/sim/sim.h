/* tests/sim/sim.h: a whole cluster in one process, in simulated time, under seeded misfortune.
 *
 * The cores are the real ones (coordinator/failover, coordinator/policy, node/agent, node/gate, proto/store_model); what
 * lies between them is lossy, slow, doubled, out of order, cut, paused, killed and restarted. One seed is one life of one
 * cluster and always the same life. Everything is in true milliseconds; each actor reads its own drifting clock. */
#ifndef GEMEL_TESTS_SIM_H
#define GEMEL_TESTS_SIM_H

#include "base/rng.h"
#include "coordinator/failover.h"
#include "node/agent.h"
#include "proto/mutation.h"
#include "proto/store_model.h"

enum {
    SIM_NODES_MAX = 5,
    SIM_COORDS_MAX = 3,
    SERVERS_MAX = 3, /* the primary and its secondaries */
    ZONES = 3,
    RESOLVERS = 2,
    FIRST_COORD = SIM_NODES_MAX,
    STORE = FIRST_COORD + SIM_COORDS_MAX,
    FIRST_SERVER,
    ACTORS = FIRST_SERVER + SERVERS_MAX,
    SNAPSHOTS = 12,
    EPISODES_MAX = 24,
    SIM_PORT = 7301, /* of node 0's hand-over */
};

enum ev_kind {
    EV_TICK,   /* actor: its core wants the time */
    EV_MSG,    /* a message arrives at actor */
    EV_EMIT,   /* node: begin a transaction if the gate lets it */
    EV_DOT,    /* node: the final dot of one */
    EV_SENT,   /* node: its reply has come */
    EV_POLL,   /* coordinator: ask the blocklists */
    EV_XFER,   /* secondary: copy the zone */
    EV_SNAP,   /* store: what a replica has */
    EV_FAULT,  /* episode begins or ends */
    EV_RESUME, /* the paused actor runs on */
    EV_LOOP,   /* node: a timer of its mail is due */
    EV_POST,   /* node: somebody hands in a message */
    EV_NET,    /* bytes arrive, or do not */
    EV_DIAL,   /* a connection is made, or not */
};

enum msg_kind {
    M_STORE,
    M_STORE_REPLY,
    M_REPORT,
    M_ACK,
    M_ORDER,
    M_TOKEN,
    M_TOKEN_REPLY,
    M_UPDATE,
    M_UPDATE_REPLY,
    M_VERIFIED,
    M_SPF_REPLY,
    M_PERSISTED,
    M_ABORTED,
};

struct msg {
    struct msg *next_free;
    enum msg_kind kind;
    uint8_t from, to;
    uint32_t seq;
    bool reachable;
    union {
        struct store_req req;
        struct {
            struct store_reply reply;
            struct store_view view;
        };
        struct store_beat beat;
        struct fo_ack ack;
        struct agent_order order;
        struct fo_token token;
        struct {
            struct fo_token expect, want;
        };
        enum fo_published published;
        struct fo_verified verified;
        enum agent_spf spf;
        enum err err;
    };
};

struct ev {
    uint64_t at_ms, order;
    enum ev_kind kind;
    uint8_t actor;
    uint32_t life; /* of the actor when it was made; 0: for any */
    union {
        struct msg *msg;
        uint64_t ticket;
        size_t episode;
        struct net_op *op;
        struct {
            struct conn *conn;
            int side;
        };
    };
};

#define SIM_FAULT_NAMES                                                                              \
    {                                                                                                \
        "crash", "pause", "cut", "isolate", "store-down", "store-swap", "store-restart", "dns-down", \
            "dns-lies", "listed", "zone", "wall", "sick", "disk", "command", "lossy"                 \
    }

enum fault {
    FAULT_CRASH,
    FAULT_PAUSE,
    FAULT_CUT,
    FAULT_ISOLATE,
    FAULT_STORE_DOWN,
    FAULT_STORE_SWAP,
    FAULT_STORE_RESTART,
    FAULT_DNS_DOWN,
    FAULT_DNS_LIES,
    FAULT_LISTED,
    FAULT_ZONE,
    FAULT_WALL,
    FAULT_SICK,
    FAULT_DISK,
    FAULT_COMMAND,
    FAULT_LOSSY,
    FAULTS
};

struct episode {
    enum fault fault;
    uint64_t from_ms, to_ms;
    uint8_t a, b, way; /* actors, and which of several ways */
    bool begun;
};

struct actor {
    bool alive, paused;
    uint32_t life;
    uint64_t resume_ms;
    uint64_t boot_base_ms;
    int64_t drift_ppm, wall_offset_ms;
    uint64_t tick_ms; /* the EV_TICK that counts; others are stale */
    uint8_t side;     /* store server it is connected to: 0 old, 1 new */
};

struct node {
    struct gate gate;
    struct agent *agent;
    struct agent_file disk;
    bool disk_full, sick;
    uint64_t opened_ticket;
    uint64_t renew_sent_ms[8]; /* true time, by seq mod 8 */
    uint32_t renew_seq[8];
    uint64_t renewed_ms; /* true sending time of the last renewal answered OK */
    uint64_t emitted;
};

struct coord {
    struct failover *fo;
    struct policy *policy;
    uint64_t journal_epoch, marks[STORE_IDENTITIES_MAX];
};

struct server {
    struct fo_token token;
    uint64_t in_since_ms[SIM_NODES_MAX]; /* 0: not in the set */
};

struct sim_conf {
    bool mail; /* with real queues; otherwise one life in eight has them */
    bool calm; /* no misfortune but what a test brings: perfect clocks, 1 ms each way */
    bool exclusive;
    uint64_t seed;
    uint8_t nodes, coords; /* 0: by seed */
    uint32_t faults;       /* which may happen, as bits of enum fault; 0: all */
    bool trace;
};

struct sim {
    struct rng rng;
    struct sim_conf conf;
    uint64_t now_ms, order, chaos_ms, end_ms;
    struct ev *heap;
    size_t n_heap, cap_heap;
    struct msg *free_msgs;
    uint8_t n_nodes, n_coords, n_servers;
    bool exclusive;
    struct fo_conf fo_conf;
    struct policy_conf policy_conf;
    struct agent_conf agent_conf;
    struct actor actors[ACTORS];
    struct node nodes[SIM_NODES_MAX];
    struct coord coords[SIM_COORDS_MAX];
    struct server servers[SERVERS_MAX];
    struct store_model store, old_store;
    bool store_down, old_store_lives, dns_lies;
    uint64_t old_store_until_ms;
    struct store_model snapshots[SNAPSHOTS];
    uint64_t snapshot_ms[SNAPSHOTS];
    size_t n_snapshots, snapshot_at;
    struct {            /* for sweeps: misfortune at exactly one message */
        uint8_t from;   /* whose */
        uint64_t left;  /* until it; 0: none */
        bool lose;      /* the message; otherwise its sender dies behind it */
        uint8_t victim; /* dies after this event; 0: nobody, else actor + 1 */
    } strike;
    uint8_t cut[ACTORS][ACTORS]; /* [from][to]: number of reasons why nothing passes */
    uint32_t loss_ppm, dup_ppm, slow_ppm;
    uint8_t listed[ZONES][SIM_NODES_MAX];
    uint8_t zone_mode[ZONES];
    uint64_t truly_listed_ms[SIM_NODES_MAX]; /* when it last was */
    struct episode episodes[EPISODES_MAX];
    size_t n_episodes;
    struct log logs[ACTORS];
    struct log_owner {
        struct sim *w;
        uint8_t actor;
    } log_owners[ACTORS];
    struct buf trace, story;
    bool was_open[SIM_NODES_MAX];
    /* what the checker remembers */
    uint64_t max_epoch, runs;
    uint8_t max_epoch_identity;
    uint64_t auto_ms[16];
    size_t n_auto;
    uint64_t auto_op, last_begun;
    bool lost_data, wall_jumped, risky;
    uint64_t paused_since_ms;
    uint64_t switches, events, emitted, delivered;
    struct mail_world *mail; /* NULL: this life has none */
    struct sim_net *net;
    uint8_t last_active;
    char violation[256];
    struct fo_actions fo_out;
    struct agent_actions agent_out;
};

/* sim.c */
struct sim *sim_create(const struct sim_conf *conf);
void sim_run(struct sim *w);
void sim_run_until(struct sim *w, uint64_t ms); /* to the end or to the first violation */
void sim_destroy(struct sim *w);
/* What has happened since the last call, for tests: who leads, states of the machine, gates. Borrowed until the next. */
const char *sim_story(struct sim *w);
void sim_push(struct sim *w, uint64_t at_ms, enum ev_kind kind, uint8_t actor, uint32_t life, struct ev ev);
void sim_violation(struct sim *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sim_say(struct sim *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *sim_actor_name(const struct sim *w, uint8_t actor, char out[static 16]);
uint64_t sim_boot_ms(const struct sim *w, uint8_t actor);
uint64_t sim_wall_ms(const struct sim *w, uint8_t actor);
struct msg *sim_msg(struct sim *w, enum msg_kind kind, uint8_t from, uint8_t to, uint32_t seq);
void sim_send(struct sim *w, struct msg *m); /* over the network: may be lost, late, doubled */
void sim_local(struct sim *w, struct msg *m, uint64_t in_ms); /* within the actor */

/* actors.c */
void node_start(struct sim *w, uint8_t i);
void node_stop(struct sim *w, uint8_t i);
void node_event(struct sim *w, uint8_t i, const struct ev *ev);
void coord_start(struct sim *w, uint8_t c);
void coord_stop(struct sim *w, uint8_t c);
void coord_event(struct sim *w, uint8_t c, const struct ev *ev);
void coord_command(struct sim *w, uint8_t c, uint8_t way, uint8_t to);
void coord_order_by(struct sim *w, uint8_t c,
                    const struct fo_command *cmd); /* an operator's words to one coordinator */

/* world.c: store, DNS */
void store_event(struct sim *w, const struct ev *ev);
void server_event(struct sim *w, uint8_t s, const struct ev *ev);
void servers_report(struct sim *w, uint8_t asker, struct fo_verified *out);

/* faults.c */
void faults_plan(struct sim *w);
void faults_event(struct sim *w, const struct ev *ev);
void faults_heal(struct sim *w);
void sim_list(struct sim *w, uint8_t node, uint8_t zone, bool on);
void sim_crash(struct sim *w, uint8_t actor);
void sim_start(struct sim *w, uint8_t actor);
void sim_pause(struct sim *w, uint8_t actor, uint64_t ms);
void sim_cut(struct sim *w, uint8_t a, uint8_t b, bool on);
void sim_store_swap(struct sim *w, size_t snapshots_back);
uint8_t sim_leader(const struct sim *w); /* coordinator, or STORE_NONE */
uint8_t sim_sender(const struct sim *w); /* node with an open gate, or STORE_NONE */

/* net.c */
struct net *sim_net_of(struct sim *w, uint8_t node);
void sim_net_event(struct sim *w, const struct ev *ev);
void sim_net_dialled(struct sim *w, const struct ev *ev);
void sim_net_free(struct sim *w);

/* mail.c */
void mail_create(struct sim *w);
void mail_start(struct sim *w, uint8_t node);
void mail_crash(struct sim *w, uint8_t node);
void mail_post(struct sim *w, uint8_t node);
void mail_aim(struct sim *w, uint8_t node, uint8_t to);
void mail_abort(struct sim *w, uint8_t node);
void mail_loop(struct sim *w, uint8_t node);
uint64_t mail_waiting(struct sim *w, uint8_t node);
void mail_check(struct sim *w);
void mail_destroy(struct sim *w);

/* check.c */
void check_gates(struct sim *w, uint8_t opened);
void check_renewal(struct sim *w, uint8_t node);
void check_update(struct sim *w, const struct fo_token *before, const struct fo_token *after);
void check_store(struct sim *w, const struct store_model *m, const struct store_req *q,
                 const struct store_reply *r);
void check_end(struct sim *w);

#endif
