/* What only looks: history, explain, spf, dnsbl, doctor. */
#include <stdlib.h>

#include "coordinator/ctl/ctl.h"

enum { HISTORY_MAX = 500 };

int cmd_history(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    const char *number = args_value(args, "--number");
    uint64_t n = 10;
    if (number && (slice_u64(slice_of(number), HISTORY_MAX, &n) || n == 0))
        return ctl_fail(c, CTL_USAGE, "history: -n takes a number, 1 to %d", HISTORY_MAX);
    return ctl_show(
        c, &c->coordinator,
        text_printf(&c->screen, "/history?n=%" PRIu64 "%s", n, args_flag(args, "--all") ? "&all=1" : ""),
        NULL, CTL_LIMIT_MS, render_history);
}

static int no_such_change(struct ctl *c, const json_t *history, uint64_t epoch)
{
    const json_t *last = history_find(history, 0);
    if (!last) return ctl_fail(c, CTL_REFUSED, "nothing has changed hands yet");
    return ctl_fail(c, CTL_REFUSED,
                    "the history has no change with epoch %" PRIu64 "; the last one is %" PRIu64, epoch,
                    js_u64(last, "epoch", 0));
}

static void print_entry(struct ctl *c, const json_t *entry)
{
    json_dumpf(entry, c->world->out, JSON_INDENT(2));
    fputc('\n', c->world->out);
}

int cmd_explain(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    uint64_t epoch = 0;
    if (args->n_positional && (slice_u64(slice_of(args->positional[0]), UINT64_MAX, &epoch) || !epoch))
        return ctl_fail(c, CTL_USAGE, "explain: an epoch is a number: see gemelctl history");
    struct answer a;
    int code = ctl_ask(c, &c->coordinator, text_printf(&c->screen, "/history?n=%d", epoch ? HISTORY_MAX : 1),
                       NULL, CTL_LIMIT_MS, &a);
    const json_t *entry = code ? NULL : history_find(a.json, epoch);
    if (!code && !entry) code = no_such_change(c, a.json, epoch);
    if (entry) {
        if (c->json) print_entry(c, entry);
        code = ctl_render(c, render_explain, entry);
    }
    answer_deinit(&a);
    return code;
}

static int look(struct ctl *c, const char *path, ctl_render_fn *render)
{
    return ctl_show(c, &c->coordinator, path, NULL, CTL_LOOK_LIMIT_MS, render);
}

int cmd_spf_show(void *ctl, const struct args *args)
{
    return look(ctl, "/spf", render_spf);
}

int cmd_spf_diff(void *ctl, const struct args *args)
{
    return look(ctl, "/spf", render_spf_diff);
}

int cmd_spf_verify(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    return ctl_show(c, &c->coordinator, "/spf/verify", json_object(), CTL_LOOK_LIMIT_MS, render_spf_verify);
}

int cmd_dnsbl_check(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    json_t *body = json_object();
    if (args->n_positional) json_object_set_new(body, "ip", json_string(args->positional[0]));
    return ctl_show(c, &c->coordinator, "/dnsbl/check", body, CTL_LOOK_LIMIT_MS, render_dnsbl_check);
}

int cmd_dnsbl_explain(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    struct buf path;
    buf_init(&path, KIB(64));
    buf_putf(&path, "/dnsbl/explain");
    if (args->n_positional) {
        buf_putf(&path, "?%s=", strpbrk(args->positional[0], ".:") ? "ip" : "identity");
        client_escape(&path, slice_sub(slice_of(args->positional[0]), 0, KIB(16)));
    }
    int code = look(c, buf_cstr(&path), render_dnsbl_explain);
    buf_deinit(&path);
    return code;
}

int cmd_dnsbl_zones(void *ctl, const struct args *args)
{
    return look(ctl, "/dnsbl", render_dnsbl_zones);
}

int cmd_doctor(void *ctl, const struct args *args)
{
    return look(ctl, "/doctor", render_doctor);
}
