/* What is so, and what shall be: status, pause, resume, pin, unpin, fence. */
#include "coordinator/ctl/ctl.h"

static const char home_and_clear[] = "\033[H\033[J";

/* A coordinator that does not lead asks the one that does. When that one hangs, what ours knows by itself is shown: a
 * status is needed most when something hangs. */
static int show_status(struct ctl *c)
{
    struct answer a;
    enum err err = client_call(c->client, &c->coordinator, "/cluster", NULL,
                               c->limit_ms ? c->limit_ms : CTL_LIMIT_MS, &a);
    bool hangs = err == ERR_TIMEOUT || (!err && a.status == 504);
    int code = 0;
    if (!hangs) code = ctl_check(c, &c->coordinator, err, &a);
    if (!hangs && !code) code = ctl_shown(c, &a, render_status);
    answer_deinit(&a);
    return hangs ? ctl_show(c, &c->coordinator, "/cluster?local=1", NULL, CTL_LIMIT_MS, render_status) : code;
}

/* A screen that refreshes goes on when nobody answers: that is when it is watched. */
static int watch(struct ctl *c, uint64_t every_ms)
{
    int code = 0;
    for (unsigned round = 0; !c->world->rounds || round < c->world->rounds; round++) {
        if (round > 0) ctl_sleep_ms(every_ms);
        if (c->world->terminal && !c->json) {
            fputs(home_and_clear, c->world->out);
            say(&c->screen, "every %s, %s\n\n", text_ms(&c->screen, every_ms),
                text_when(&c->screen, ctl_wall_ms()));
            screen_flush(&c->screen, c->world->out);
        }
        code = show_status(c);
        arena_reset(&c->screen.arena);
    }
    return code;
}

int cmd_status(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    const char *every = args_value(args, "--watch");
    uint64_t s = 0;
    if (!every) return show_status(c);
    if (slice_u64(slice_of(every), 86400, &s) || s == 0)
        return ctl_fail(c, CTL_USAGE, "--watch takes seconds, 1 to 86400");
    return watch(c, SECONDS(s));
}

/* `next` is said after it, to people. */
static int order(struct ctl *c, const char *path, json_t *body, const char *next)
{
    int code = ctl_show(c, &c->coordinator, path, body, CTL_ORDER_LIMIT_MS, render_done);
    if (!code && !c->json && next) say(&c->screen, "%s\n", next);
    return code;
}

int cmd_pause(void *ctl, const struct args *args)
{
    return order(ctl, "/pause", ctl_body(ctl, args), "Commands still work. Back to normal: gemelctl resume");
}

int cmd_resume(void *ctl, const struct args *args)
{
    return order(ctl, "/resume", ctl_body(ctl, args), NULL);
}

int cmd_pin(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    const char *time = args_value(args, "--for");
    uint64_t ms = 0;
    if (!time) return ctl_fail(c, CTL_USAGE, "pin: for how long? --for 4h");
    if (args_duration(time, &ms))
        return ctl_fail(c, CTL_USAGE, "pin: --for %s is no duration: 90m, 4h, 1h30m, 2d", time);
    json_t *body = ctl_body(c, args);
    json_object_set_new(body, "identity", json_string(args->positional[0]));
    json_object_set_new(body, "for_ms", json_integer((json_int_t)ms));
    return order(c, "/pin", body, "Commands still work. Sooner: gemelctl unpin");
}

int cmd_unpin(void *ctl, const struct args *args)
{
    return order(ctl, "/unpin", ctl_body(ctl, args), NULL);
}

int cmd_fence(void *ctl, const struct args *args)
{
    json_t *body = ctl_body(ctl, args);
    json_object_set_new(body, "identity", json_string(args->positional[0]));
    return order(ctl, "/fence", body,
                 "Mail waits in the queue. To send again: gemelctl switchover --to IDENTITY");
}
