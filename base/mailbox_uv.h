/* base/mailbox_uv.h: a bounded queue of calls into one loop, from any thread.
 *
 * Posting never blocks and never allocates. The calls run in the loop's thread, in order of posting. A mailbox does not keep its
 * loop running. Threads here share nothing else: the argument is handed over. */
#ifndef GEMEL_BASE_MAILBOX_UV_H
#define GEMEL_BASE_MAILBOX_UV_H

#include "base/err.h"

struct mailbox;
struct loop;
typedef void mailbox_fn(void *owner, void *arg);

struct mailbox *mailbox_create(struct loop *l, size_t posts_max); /* loop's thread */
/* Loop's thread; no other thread may post any more. Posts that have not run go to `drop` (may be NULL) instead. */
void mailbox_destroy(struct mailbox *m, void (*drop)(mailbox_fn *fn, void *owner, void *arg));
/* Any thread. LIMIT: full, nothing was posted and `arg` is still the caller's. */
MUST_USE enum err mailbox_post(struct mailbox *m, mailbox_fn *fn, void *owner, void *arg);
size_t mailbox_waiting(const struct mailbox *m); /* any thread; for metrics */

#endif
