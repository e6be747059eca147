/* coordinator/ctl/ctl.h: gemelctl, from the command line to the exit code.
 *
 * gemelctl decides nothing: it asks a coordinator (or a node, about its queue) by its admin socket and shows the answer. A
 * coordinator that does not lead passes commands on by itself, so any coordinator's socket will do. docs/gemelctl.md. */
#ifndef GEMEL_COORDINATOR_CTL_CTL_H
#define GEMEL_COORDINATOR_CTL_CTL_H

#include "coordinator/ctl/args.h"
#include "coordinator/ctl/client.h"
#include "coordinator/ctl/render.h"

struct ctl_world {        /* main() fills it from the process, tests from memory */
    FILE *in, *out, *err; /* `in` may be NULL: nothing to read */
    bool terminal;        /* `out` is one: progress, screens that refresh, colours */
    bool colour, utf8;
    unsigned width;
    const char *admin, *node_admin; /* from the environment; NULL: not set */
    const char *operator_name;      /* "anna@host": goes into the history */
    unsigned rounds;                /* status -w: stop after so many; 0: never */
};

/* Returns an exit code of render.h. */
int ctl_run(int argc, char **argv, const struct ctl_world *world);

/* For the commands. */
struct ctl {
    const struct ctl_world *world;
    struct client *client;
    struct screen screen;
    struct client_target coordinator, node;
    bool json;
    uint64_t limit_ms; /* --timeout; 0: each request's own */
};

enum {
    CTL_LIMIT_MS = 10000,
    CTL_ORDER_LIMIT_MS = 35000, /* commands: longer than a coordinator waits for the one that leads */
    CTL_LOOK_LIMIT_MS = 90000,  /* what asks DNS or every node first */
};

typedef int ctl_render_fn(struct screen *s, const json_t *answer);

/* Asks; `body` NULL is a GET, else it is consumed. 0: a 2xx answer is in `a`. Otherwise the exit code; why is on stderr, and with
 * --json the server's own words are on stdout. `a` is yours to answer_deinit either way. */
MUST_USE int ctl_ask(struct ctl *c, const struct client_target *to, const char *path, json_t *body,
                     uint64_t limit_ms, struct answer *a);
/* The second half of it, for those who call by themselves. */
MUST_USE int ctl_check(struct ctl *c, const struct client_target *to, enum err err, const struct answer *a);
/* Asks and shows: the body as it came with --json, else what `render` makes of it. */
int ctl_show(struct ctl *c, const struct client_target *to, const char *path, json_t *body, uint64_t limit_ms,
             ctl_render_fn *render);
int ctl_shown(struct ctl *c, const struct answer *a, ctl_render_fn *render); /* the second half of that */
void ctl_print_json(struct ctl *c, const struct answer *a);
int ctl_render(struct ctl *c, ctl_render_fn *render, const json_t *answer); /* and flushes */
int ctl_fail(struct ctl *c, int code, const char *fmt, ...)
    PRINTF_LIKE(3, 4); /* a sentence on stderr; returns `code` */
/* The body of a command: who asks, and --reason when given. */
json_t *ctl_body(const struct ctl *c, const struct args *args);
uint64_t ctl_now_ms(void); /* boot clock */
uint64_t ctl_wall_ms(void);
void ctl_sleep_ms(uint64_t ms);

int cmd_status(void *ctl, const struct args *args);
int cmd_switchover(void *ctl, const struct args *args);
int cmd_failover(void *ctl, const struct args *args);
int cmd_pause(void *ctl, const struct args *args);
int cmd_resume(void *ctl, const struct args *args);
int cmd_pin(void *ctl, const struct args *args);
int cmd_unpin(void *ctl, const struct args *args);
int cmd_fence(void *ctl, const struct args *args);
int cmd_history(void *ctl, const struct args *args);
int cmd_explain(void *ctl, const struct args *args);
int cmd_spf_show(void *ctl, const struct args *args);
int cmd_spf_diff(void *ctl, const struct args *args);
int cmd_spf_verify(void *ctl, const struct args *args);
int cmd_dnsbl_check(void *ctl, const struct args *args);
int cmd_dnsbl_explain(void *ctl, const struct args *args);
int cmd_dnsbl_zones(void *ctl, const struct args *args);
int cmd_queue_list(void *ctl, const struct args *args);
int cmd_queue_show(void *ctl, const struct args *args);
int cmd_queue_flush(void *ctl, const struct args *args);
int cmd_classify(void *ctl, const struct args *args);
int cmd_queue_retry(void *ctl, const struct args *args);
int cmd_queue_hold(void *ctl, const struct args *args);
int cmd_queue_release(void *ctl, const struct args *args);
int cmd_queue_remove(void *ctl, const struct args *args);
int cmd_queue_redirect(void *ctl, const struct args *args);
int cmd_queue_export(void *ctl, const struct args *args);
int cmd_queue_top(void *ctl, const struct args *args);
int cmd_tls(void *ctl, const struct args *args);
int cmd_limits_explain(void *ctl, const struct args *args);
int cmd_doctor(void *ctl, const struct args *args);

/* The table, and the help made of it. */
extern const struct command ctl_commands[];
extern const struct option ctl_globals[];
void ctl_help(struct screen *s,
              const struct args *args); /* of the command, of the group, or of the program */

#endif
