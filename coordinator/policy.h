/* coordinator/policy.h: evidence → score → verdict, for each identity.
 *
 * Pure. Evidence is what DNS blocklists answer and what receivers say when they refuse us. Answers have three values:
 * an UNKNOWN (error, timeout, code that is not in the zone's own list, answer outside 127/8) never raises a score, never
 * lowers one, never counts as a poll (I8). A zone has a health, by the test points of RFC 5782 and by common sense; one that is
 * not OK weighs nothing, so a zone that lists the world moves nobody (I9).
 *
 * A score that reaches `threshold` is a suspicion. It is confirmed when enough polls, far enough apart (and further than
 * the answer's TTL), by enough resolvers, agree, or when receivers' refusals corroborate one poll. */
#ifndef GEMEL_COORDINATOR_POLICY_H
#define GEMEL_COORDINATOR_POLICY_H

#include "base/log.h"
#include "proto/store.h"

enum {
    POLICY_ZONES_MAX = 32,
    POLICY_RESOLVERS_MAX = 4,
    POLICY_REFUSALS_MAX = 128,
    POLICY_WHY_MAX = STORE_WHY_MAX
};

struct policy_zone_conf {
    char name[96];   /* as shown to people: keys already redacted */
    uint32_t weight; /* 0: information only */
};

struct policy_conf {
    uint8_t n_identities, n_zones, n_resolvers;
    char names[STORE_IDENTITIES_MAX][STORE_NAME_MAX];
    struct policy_zone_conf zones[POLICY_ZONES_MAX];
    uint32_t threshold, warn;                             /* 5 acts, 3 warns and makes a standby unfit */
    uint32_t confirm_polls;                               /* 2 */
    uint32_t confirm_resolvers;                           /* 2; never more than n_resolvers */
    uint32_t probe_polls;                                 /* 3: good probes a suspect zone needs… */
    uint64_t probe_span_ms;                               /* …over this time (30 min) */
    uint64_t poll_ms, confirm_ms, watch_ms, watch_for_ms; /* 10 min; 2 min; 5 min for 2 h after a switch */
    uint64_t probe_fresh_ms; /* a zone probed longer ago than this is not trusted (2 × poll_ms) */
    uint64_t retire_ms;      /* suspect for longer than this: not asked any more (7 days) */
    uint64_t keep_ms; /* a LISTED older than this without a newer good answer weighs nothing (6 × poll_ms) */
    uint64_t clean_for_ms;          /* 24 h … */
    uint32_t clean_polls;           /* … and 12 clean rounds until an identity is fit again */
    uint64_t refusal_window_ms;     /* 30 min */
    uint32_t refusal_organisations; /* 3 distinct ones that name our address … */
    uint32_t refusal_weight;        /* … count 4 */
    uint32_t provider_weight;       /* a large provider's own code for a listed address (S3140): 3 */
};
void policy_conf_default(struct policy_conf *c); /* without identities, zones, resolvers */

enum policy_answer { POLICY_CLEAN, POLICY_LISTED, POLICY_UNKNOWN };
enum policy_health { POLICY_OK, POLICY_SUSPECT, POLICY_BLIND, POLICY_RETIRED, POLICY_UNPROBED };
enum policy_scope {                        /* of a refusal; the classifier's words in edge.proto */
                    POLICY_SCOPE_OTHER,    /* counts nothing */
                    POLICY_SCOPE_ADDRESS,  /* names our address as the reason */
                    POLICY_SCOPE_PROVIDER, /* a large provider's code that says our address is listed there */
};

enum policy_event_kind {
    POLICY_EV_ROUND,  /* a poll of everything begins */
    POLICY_EV_ANSWER, /* one zone about one identity, through one resolver */
    POLICY_EV_PROBE,  /* one zone's test points */
    POLICY_EV_ROUND_END,
    POLICY_EV_REFUSAL,
    POLICY_EV_MARK, /* quarantine as the store has it */
    POLICY_EV_TICK,
};

struct policy_event {
    enum policy_event_kind kind;
    uint64_t now_ms, wall_ms;
    uint8_t identity, zone, resolver;
    union {
        struct {
            enum policy_answer answer;
            uint8_t code; /* last octet of 127.0.0.x, for the sentence */
            bool outside; /* UNKNOWN because the answer was not in 127/8 */
            uint64_t ttl_ms;
        };
        struct {
            bool answered;   /* both test points gave a usable answer */
            bool lists_2;    /* 127.0.0.2 is listed, as it must be */
            bool lists_1;    /* 127.0.0.1 is listed, as it must not be */
            uint8_t flipped; /* control addresses that differ from their baseline */
        };
        struct {
            enum policy_scope scope;
            uint64_t organisation, message; /* hashes */
            const char *text;
        };
        uint64_t quarantined_wall_ms; /* 0: not */
    };
};

struct policy_verdict {
    uint32_t score;
    bool suspect;     /* score ≥ threshold */
    bool confirmed;   /* score ≥ threshold, and by the rules */
    bool quarantined; /* was listed; not clean for long enough yet */
    bool cleared;     /* quarantined in the store, clean now: the mark may go */
    bool fit;         /* may take over: score < warn, not quarantined, and asked at least once */
    uint32_t clean_rounds;
    uint64_t clean_since_ms;
    char why[POLICY_WHY_MAX]; /* "bl.example lists it (127.0.0.2, weight 5, 2 polls, 2 resolvers)" */
};

struct policy;
struct policy *policy_create(const struct policy_conf *conf, const struct log *log);
void policy_destroy(struct policy *p);
void policy_step(struct policy *p, const struct policy_event *ev);
void policy_switched(struct policy *p, uint64_t now_ms); /* poll at watch_ms for a while */
/* After ROUND_END, REFUSAL, MARK or TICK. */
void policy_verdict(const struct policy *p, uint8_t identity, uint64_t now_ms, struct policy_verdict *out);
uint64_t policy_next_round_ms(const struct policy *p); /* when the shell shall poll next; add jitter */
enum policy_health policy_zone_health(const struct policy *p, uint8_t zone);
const char *policy_health_name(enum policy_health h);
/* One line per zone about one identity, for `gemelctl dnsbl explain`. */
void policy_explain(const struct policy *p, uint8_t identity, uint64_t now_ms, struct buf *out);

#endif
