/* coordinator/fence_uv.h: the operator's command that cuts a node off from outside (firewall, switch, hypervisor).
 *
 * Run without a shell: COMMAND NAME EPOCH, NAME is the identity; GEMEL_IDENTITY, GEMEL_NODE, GEMEL_IP and PATH are its whole
 * environment. Exit status 0 confirms that nothing can leave from that address any more; everything else, and silence until
 * the limit (the command is killed then), confirms nothing. Its output goes to our standard error. */
#ifndef GEMEL_COORDINATOR_FENCE_UV_H
#define GEMEL_COORDINATOR_FENCE_UV_H

#include "base/env.h"
#include "base/addr.h"

struct fence_op;
struct uv_loop_s;

struct fence_args {
    const char *command, *identity, *node;
    struct addr ip;
    uint64_t epoch;
};

/* Once, never before the start returned. `words`: how it ended, for the log. */
typedef void fence_done_fn(void *owner, bool confirmed, const char *words);
struct fence_op *fence_start(const struct env *env, struct uv_loop_s *loop, const struct fence_args *args,
                             uint32_t limit_ms, fence_done_fn *done, void *owner);
void fence_cancel(struct fence_op **op); /* kills it; `done` will not run; safe on NULL */

#endif
