/* proto/mutation.h: deliberate mistakes, so that the simulator can show that it would find them.
 *
 * Only gemel-sim is compiled with GEMEL_MUTATIONS; everywhere else MUTANT() is the constant false. Each name is one line of
 * the protocol left out; tests/sim lists them and runs each until it is caught. */
#ifndef GEMEL_PROTO_MUTATION_H
#define GEMEL_PROTO_MUTATION_H

#define MUTATION_MAP(X)                                                                         \
    X(SKIP_WAIT, "skip-wait", "a silent node counts as fenced at once")                         \
    X(NO_EPOCH_CHECK, "no-epoch-check", "a node obeys a grant whatever epoch it has seen")      \
    X(NO_TERM_CHECK, "no-term-check", "the store obeys a coordinator that no longer leads")     \
    X(NO_PREREQUISITE, "no-prerequisite", "a DNS update overwrites whatever is there")          \
    X(DEADLINE_FROM_REPLY, "deadline-from-reply", "a lease counts from the answer's arrival")   \
    X(NO_ROLE_WAIT, "no-role-wait", "another server of the store is trusted at once")           \
    X(NO_VERIFY, "no-verify", "a grant does not wait for the name servers")                     \
    X(NO_TTL_WAIT, "no-ttl-wait", "exclusive mode does not wait for old answers to expire")     \
    X(RENEW_WHEN_FENCED, "renew-when-fenced", "the store renews whatever state the egress has") \
    X(RESUME_ANYWHERE, "resume-anywhere", "a lapsed node resumes on another server's word")     \
    X(IGNORE_PAUSE, "ignore-pause", "automatic switches happen while paused")                   \
    X(NO_DWELL, "no-dwell", "listings switch as often as they like")

enum mutation {
    MUTATION_NONE,
#define MUTATION_ENUM(name, word, text) MUTATION_##name,
    MUTATION_MAP(MUTATION_ENUM)
#undef MUTATION_ENUM
        MUTATION_COUNT
};

#ifdef GEMEL_MUTATIONS
extern enum mutation mutation_now;
#define MUTANT(name) (mutation_now == MUTATION_##name)
#else
#define MUTANT(name) 0
#endif

#endif
