/* dns/command_uv.h: runs a command of the operator's with bytes on its standard input, a deadline, and its errors in our
 * log. Used by the publishers that are commands. */
#ifndef GEMEL_DNS_COMMAND_UV_H
#define GEMEL_DNS_COMMAND_UV_H

#include "base/env.h"
#include "base/slice.h"

struct uv_loop_s;
struct command;

struct command_conf {
    const char *text;   /* for /bin/sh -c; its environment is our PATH, HOME and LANG, nothing else */
    struct slice input; /* copied */
    uint32_t limit_ms;
    const char *event; /* the log event of each line it writes to standard error */
};

/* OK: it ended by itself with `status`. CLOSED: a signal ended it, `status` says which. TIMEOUT: it was killed at the
 * limit, with all it had started. REFUSED: it could not be started. */
typedef void command_done_fn(void *owner, enum err err, int status);
/* The usual rules: `done` runs once, never before the start returns; a cancel kills the command and is final. */
struct command *command_start(const struct env *env, struct uv_loop_s *loop, const struct command_conf *conf,
                              command_done_fn *done, void *owner);
void command_cancel(struct command **c);

#endif
