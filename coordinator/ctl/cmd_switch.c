/* switchover and failover: ask, and with --wait stay until it is done.
 *
 * The coordinator goes on whatever becomes of us: waiting is looking. The end is seen by a new entry in the history, which
 * a coordinator that took over in the middle writes too. */
#include <stdlib.h>

#include "coordinator/ctl/ctl.h"

enum { LOOK_MS = 200, LOOK_LIMIT_MS = 5000, SILENCE_MS = 60000 };
static const char default_limit[] = "15m";

struct wait {
    struct ctl *c;
    const char *to;            /* NULL: the coordinator chooses */
    char before[64];           /* the newest entry before ours; "": none */
    uint64_t end_ms, heard_ms; /* boot clock */
    char step[48];             /* last shown */
    struct answer last;        /* what was heard last; --json prints it */
};

/* Tells two entries apart, also those of a server that gives no id. */
static void entry_key(const json_t *e, char out[static 64])
{
    const char *id = json_string_value(json_object_get(e, "id"));
    if (!e)
        out[0] = '\0';
    else if (id)
        snprintf(out, 64, "%s", id);
    else
        snprintf(out, 64, "%" PRIu64 "/%" PRIu64, js_u64(e, "epoch", 0), js_time(e, "started"));
}

static enum err look(struct wait *w, const char *path)
{
    answer_deinit(&w->last);
    enum err err = client_call(w->c->client, &w->c->coordinator, path, NULL, LOOK_LIMIT_MS, &w->last);
    if (err) return err;
    if (w->last.status != 200) return ERR_RETRY;
    w->heard_ms = ctl_now_ms();
    return ERR_OK;
}

static void show_progress(struct wait *w, const json_t *op)
{
    struct ctl *c = w->c;
    const char *step = json_string_value(json_object_get(op, "step"));
    if (!c->world->terminal || c->json || !step) return;
    bool same = strncmp(step, w->step, sizeof w->step - 1) == 0;
    say(&c->screen, "%s  ", same || !w->step[0] ? "\r\033[K" : "\n");
    render_progress(&c->screen, op);
    screen_flush(&c->screen, c->world->out);
    snprintf(w->step, sizeof w->step, "%s", step);
}

static void end_progress(struct wait *w)
{
    if (w->step[0]) fputc('\n', w->c->world->out);
    w->step[0] = '\0';
}

static int finished(struct wait *w, const json_t *entry)
{
    struct ctl *c = w->c;
    const char *to = json_string_value(json_object_get(entry, "to"));
    end_progress(w);
    if (c->json) ctl_print_json(c, &w->last);
    if (history_went_well(entry) && (!w->to || (to && strcmp(to, w->to) == 0))) {
        if (!c->json) render_outcome(&c->screen, entry);
        return CTL_FINE;
    }
    if (!c->json) render_explain(&c->screen, entry);
    return ctl_fail(c, CTL_INCOMPLETE, "the switch did not end as asked. Who sends now: gemelctl status");
}

static int gave_up(struct wait *w)
{
    struct ctl *c = w->c;
    bool heard = w->last.json != NULL;
    end_progress(w);
    if (c->json && heard) ctl_print_json(c, &w->last);
    if (!heard)
        return ctl_fail(c, CTL_UNREACHABLE,
                        "%s The switch was accepted and goes on without us: look with gemelctl status",
                        w->last.why[0] ? text_printf(&c->screen, "%s.", w->last.why) : "No answer any more.");
    return ctl_fail(c, CTL_RUNNING, "still running; it goes on without us. Look with gemelctl status -w 1");
}

static int wait_for_it(struct wait *w)
{
    for (w->heard_ms = ctl_now_ms(); ctl_now_ms() < w->end_ms; ctl_sleep_ms(LOOK_MS)) {
        if (look(w, "/cluster")) {
            if (ctl_now_ms() - w->heard_ms > SILENCE_MS) break;
            continue;
        }
        const json_t *op = js_object(w->last.json, "operation");
        show_progress(w, op);
        if (op || look(w, "/history?n=1")) continue;
        const json_t *entry = history_find(w->last.json, 0);
        char key[64];
        entry_key(entry, key);
        if (entry && strcmp(key, w->before) != 0) return finished(w, entry);
    }
    return gave_up(w);
}

/* What happened before ours, so that we know ours when we see it. */
static int remember(struct wait *w)
{
    struct answer a;
    int code = ctl_ask(w->c, &w->c->coordinator, "/history?n=1", NULL, CTL_LIMIT_MS, &a);
    if (!code) entry_key(history_find(a.json, 0), w->before);
    answer_deinit(&a);
    return code;
}

static int ask_and_wait(struct ctl *c, const char *path, json_t *body, const char *to, uint64_t limit_ms)
{
    struct wait w = { .c = c, .to = to, .end_ms = ctl_now_ms() + limit_ms };
    struct answer a;
    int code = remember(&w);
    if (code) {
        json_decref(body);
        return code;
    }
    code = ctl_ask(c, &c->coordinator, path, body, CTL_ORDER_LIMIT_MS, &a);
    if (!code) code = wait_for_it(&w);
    answer_deinit(&a);
    answer_deinit(&w.last);
    return code;
}

static int start(struct ctl *c, const char *path, json_t *body, const struct args *args)
{
    const char *limit = args_value(args, "--limit");
    uint64_t limit_ms = 0;
    bool dry = args_flag(args, "--dry-run");
    if (args_duration(limit ? limit : default_limit, &limit_ms)) {
        json_decref(body);
        return ctl_fail(c, CTL_USAGE, "--limit %s is no duration: 90s, 15m", limit);
    }
    if (args_flag(args, "--wait") && !dry)
        return ask_and_wait(c, path, body, args_value(args, "--to"), limit_ms);
    int code = ctl_show(c, &c->coordinator, path, body, CTL_ORDER_LIMIT_MS, dry ? render_plan : render_done);
    if (!code && !dry && !c->json) say(&c->screen, "Watch it: gemelctl status -w 1\n");
    return code;
}

static void common(json_t *body, const struct args *args)
{
    const char *to = args_value(args, "--to");
    if (to) json_object_set_new(body, "to", json_string(to));
    if (args_flag(args, "--accept-risk")) json_object_set_new(body, "accept_risk", json_true());
}

int cmd_switchover(void *ctl, const struct args *args)
{
    json_t *body = ctl_body(ctl, args);
    common(body, args);
    if (args_flag(args, "--dry-run")) json_object_set_new(body, "dry_run", json_true());
    return start(ctl, "/switchover", body, args);
}

int cmd_failover(void *ctl, const struct args *args)
{
    if (!args_value(args, "--to")) return ctl_fail(ctl, CTL_USAGE, "failover: to whom? --to IDENTITY");
    if (!args_flag(args, "--force"))
        return ctl_fail(
            ctl, CTL_USAGE,
            "failover does not ask whether the other is clean and ready. If that is meant, say --force; "
            "else use gemelctl switchover");
    json_t *body = ctl_body(ctl, args);
    common(body, args);
    json_object_set_new(body, "force", json_true());
    return start(ctl, "/failover", body, args);
}
