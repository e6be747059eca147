/* node/limits.h: how much at once, and how fast, to which destination; and which rule says so.
 *
 * Pure. Each value comes from the nearest rule that gives it: an exact name before a suffix (".example.net": whatever ends
 * so, the longest first), that before "*", that before the node's own default. Destinations are domains, or next hops,
 * whose rules name the host without port. */
#ifndef GEMEL_NODE_LIMITS_H
#define GEMEL_NODE_LIMITS_H

#include "base/opt.h"

enum limit {
    LIMIT_CONNECTIONS,             /* deliveries at once */
    LIMIT_MESSAGES_PER_CONNECTION, /* then a new one (SC-01) */
    LIMIT_RATE,                    /* messages a minute, evenly; 0: as fast as it goes */
    LIMIT_RECIPIENTS,              /* of one transaction; 0: all at once */
    LIMITS
};
const char *limit_name(enum limit l); /* the key of a rule: "connections"… */

struct limit_rule { /* a row of relay.limits */
    unsigned line;
    const char *domain;
    uint64_t value[LIMITS]; /* 0: this rule says nothing about it */
};
extern const struct opt_table limit_rule_table;

struct limits {
    const struct limit_rule *rules; /* borrowed */
    size_t n;
    uint64_t def[LIMITS];
};

struct limit_value {
    uint64_t value;
    const struct limit_rule *rule; /* NULL: the default */
};
void limits_find(const struct limits *l, struct slice destination, struct limit_value out[static LIMITS]);

/* How well a rule's domain fits a destination; 0: not at all, SIZE_MAX: exactly. */
size_t destination_fit(const char *rule, struct slice destination);

#endif
