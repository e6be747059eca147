/* node/relay/report.h: what came of a recipient, told three times: to the queue, to the log, to the coordinators.
 *
 * Pure but for the log. */
#ifndef GEMEL_NODE_RELAY_REPORT_H
#define GEMEL_NODE_RELAY_REPORT_H

#include "base/log.h"
#include "node/queue/deliverer.h"
#include "node/relay/delivery.h"

/* Puts the classification into an outcome with a reply, and makes a deferral of what must never be a bounce: every
 * effect but NONE. `own`: the address we sent from. */
void report_classify(const struct classifier *c, const struct addr *own, struct relay_outcome *o);

/* Texts go to `a`. */
void report_result(const struct relay_outcome *o, struct arena *a, struct delivery_result *out);

struct report_attempt { /* what all recipients of an attempt share */
    struct slice queue_id, destination;
    enum flow flow;
    struct addr from; /* the socket's own address; family NONE: no connection */
    const char *helo;
    uint64_t took_ms;
};
/* One line: relay.sent, relay.deferred or relay.refused. */
void report_log(const struct log *log, const struct report_attempt *t, struct slice rcpt,
                const struct relay_outcome *o);

/* False: this outcome is no evidence of anything. Slices of `out` are borrowed from the arguments. */
bool report_refusal(const struct report_attempt *t, const char *identity, const struct classifier *rules,
                    const struct relay_outcome *o, uint64_t wall_ms, struct refusal *out);

#endif
