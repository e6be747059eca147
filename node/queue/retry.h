/* node/queue/retry.h: what a result of a delivery means for the envelope: done, again and when, or never.
 *
 * Pure. The stages of edge.md's rows QR-05 to QR-08 and QR-11: short waits for a glitch, longer ones for a transient
 * fault, then a steady rhythm until expiry. A refusal of our address is a wait, never a bounce. */
#ifndef GEMEL_NODE_QUEUE_RETRY_H
#define GEMEL_NODE_QUEUE_RETRY_H

#include "node/queue/deliverer.h"

struct retry_conf {
    uint64_t glitch_ms, transient_ms, steady_ms; /* waits of the three stages */
    uint32_t glitch_tries, transient_tries;      /* how many waits of the first two */
    uint64_t delay_dsn_ms; /* age at which the sender hears that it takes longer (QR-10); 0: never */
    uint64_t expire_ms;    /* age at which we give up (QR-11) */
};
void retry_conf_default(struct retry_conf *c); /* 1 min × 4, 10 min × 6, 30 min; 4 h; 2 days */

/* The wait after the `failures`-th failure in a row (1…). */
uint64_t retry_wait_ms(const struct retry_conf *c, uint32_t failures);

struct retry_effect {
    bool again;            /* a recipient of the job still waits */
    uint64_t wait_ms;      /* until the earliest of them; 0: at once */
    bool destination_down; /* no message for it will fare better now: unreachable, or refuses our address */
    bool greylisted;
    bool listed;
    bool tried;      /* something was attempted; false: NOT_NOW throughout */
    uint32_t failed; /* recipients that failed for good in this job */
};

/* Writes the results of `job` into `e` (the envelope as it is now; replies are copied into `a`) and sets its
 * next_try_wall_ms, attempts and why_waiting. */
void retry_apply(const struct retry_conf *c, const struct delivery_job *job,
                 const struct delivery_result *results, uint64_t now_wall_ms, struct envelope *e,
                 struct arena *a, struct retry_effect *out);

/* Every waiting recipient becomes RCPT_EXPIRED (4.4.7). Returns how many. */
size_t retry_expire(struct envelope *e);

/* Enhanced status of a reply when none was given: "5.0.0" from "550 …" (RFC 3463 2), "" when there is no code. */
struct slice retry_status(struct slice status, struct slice reply);

#endif
