/* node/queue/age.h: a message's Unix times as waits on the boot clock, when the wall clock may be wrong.
 *
 * Pure. Envelopes hold Unix time, because that means the same after a reboot and on another node; the scheduler counts boot
 * time, because that never jumps. The step between the two is the one place where a wrong wall clock can do harm: one that
 * is ahead would return the whole queue at the next start, one that is behind would keep mail waiting for years. So no wait
 * is longer than the configuration could have made it, and a message nobody has touched for longer than any wait (a long
 * outage, or a clock that is ahead: nobody can tell) is tried again before its age counts. */
#ifndef GEMEL_NODE_QUEUE_AGE_H
#define GEMEL_NODE_QUEUE_AGE_H

#include "node/queue/retry.h"

enum { AGE_JUMP_MS = 60 * 1000 }; /* a wall clock that is off by more has been set, not slewed */

/* From `now_wall_ms` until `at_wall_ms`: 0 when that is past, never more than `most_ms`. */
uint64_t age_wait_ms(uint64_t at_wall_ms, uint64_t now_wall_ms, uint64_t most_ms);

/* The longest wait of all stages: what a recipient's next try may be away. */
uint64_t age_longest_wait_ms(const struct retry_conf *c);

/* Nothing was done or planned for the message in all the time of a longest wait: its age is doubtful. */
bool age_is_doubtful(const struct retry_conf *c, const struct envelope *e, uint64_t now_wall_ms);

/* The same of one that was last touched, or is next due, at `touched_wall_ms`. */
bool age_untouched(const struct retry_conf *c, uint64_t touched_wall_ms, uint64_t now_wall_ms);

/* How long a doubtful message lives at least, so that it is tried twice: two longest waits, at most a whole life. */
uint64_t age_grace_ms(const struct retry_conf *c);

#endif
