/* base/loop_uv.h: one event loop on libuv, and the `struct env` that real programs run in.
 *
 * A loop belongs to the thread that runs it. Everything but loop_post, loop_stop and the readings marked "any thread"
 * is called from there (or before it runs, or after it returned). SIGPIPE is ignored for the whole process.
 *
 * The way down: loop_stop makes loop_run return; the owner cancels what it started (streams, listeners, dials, timers,
 * UDP sockets, child processes); loop_destroy waits a moment for children that were killed, closes what is left of the loop
 * itself and asserts that nothing else was. */
#ifndef GEMEL_BASE_LOOP_UV_H
#define GEMEL_BASE_LOOP_UV_H

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"

struct loop;
struct mailbox;
typedef struct uv_loop_s uv_loop_t;

/* `log` is copied (its target is shared; `who` must outlive the loop); NULL: silent. RETRY: no descriptors left. */
MUST_USE enum err loop_create(const struct log *log, struct loop **out);
void loop_destroy(struct loop *l); /* safe on NULL */

const struct env *loop_env(struct loop *l); /* timers (boot time), rng (kernel), net, disk (files), log */
uv_loop_t *loop_uv(struct loop *l);         /* for other _uv modules */

void loop_run(struct loop *l);                  /* until loop_stop; may be run again after that */
void loop_run_for(struct loop *l, uint64_t ms); /* the same, at most `ms` */
void loop_stop(struct loop *l); /* any thread, any callback; remembered when the loop is not running yet */

/* Any thread: `fn(owner)` runs once in the loop's thread, soon, in the order of the posts. LIMIT: LOOP_POSTS_MAX are
 * waiting already and nothing was posted. Posts still waiting when the loop is destroyed are dropped: what `owner`
 * holds must not be owned by the post alone. */
enum { LOOP_POSTS_MAX = 65536 };
typedef void loop_post_fn(void *owner);
MUST_USE enum err loop_post(struct loop *l, loop_post_fn *fn, void *owner);

/* SIGTERM, SIGINT and SIGHUP come to `fn` from now on; for one loop of the process. NULL: back to the default. */
typedef void loop_signal_fn(void *owner, int signo);
void loop_on_signal(struct loop *l, loop_signal_fn *fn, void *owner);

/* The loop ticks every LOOP_TICK_MS on boot time. A long callback, SIGSTOP, a suspended machine all show as a gap
 * between two ticks: whoever holds a promise with a deadline asks here. `fn` runs at the first tick after a gap longer
 * than `limit_ms`; I/O callbacks may come before it, so what must not be late compares loop_last_tick_ms with the clock
 * itself. One listener; NULL: none. */
enum { LOOP_TICK_MS = 250 };
typedef void loop_stalled_fn(void *owner, uint64_t gap_ms);
void loop_on_stall(struct loop *l, uint32_t limit_ms, loop_stalled_fn *fn, void *owner);
uint64_t loop_gap_max_ms(const struct loop *l);   /* any thread: the longest gap since loop_gap_reset */
uint64_t loop_last_tick_ms(const struct loop *l); /* any thread: boot time of the last tick; 0: has not run */
void loop_gap_reset(struct loop *l);              /* any thread */

#endif
