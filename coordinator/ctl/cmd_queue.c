/* The queue of the node on this host. */
#include "coordinator/ctl/ctl.h"

enum { TEXT_BYTES_MAX = 4096 };

static void add_query(struct buf *path, const char *name, const char *value)
{
    if (!value) return;
    buf_putf(path, "%c%s=", slice_find(buf_slice(path), '?') < buf_len(path) ? '&' : '?', name);
    client_escape(path, slice_sub(slice_of(value), 0, TEXT_BYTES_MAX));
}

int cmd_queue_list(void *ctl, const struct args *args)
{
    static const char *const filters[] = { "flow", "domain", "sender", "limit" };
    struct ctl *c = ctl;
    const char *flow = args_value(args, "--flow"), *limit = args_value(args, "--limit");
    uint64_t n;
    if (flow && strcmp(flow, "in") != 0 && strcmp(flow, "out") != 0)
        return ctl_fail(c, CTL_USAGE, "queue list: --flow is in or out");
    if (limit && (slice_u64(slice_of(limit), 100000, &n) || n == 0))
        return ctl_fail(c, CTL_USAGE, "queue list: --limit takes a number, 1 to 100000");
    struct buf path;
    buf_init(&path, KIB(64));
    buf_putf(&path, "/queue");
    for (size_t i = 0; i < ARRAY_LEN(filters); i++)
        add_query(&path, filters[i], args_value(args, text_printf(&c->screen, "--%s", filters[i])));
    int code = ctl_show(c, &c->node, buf_cstr(&path), NULL, CTL_LIMIT_MS, render_queue);
    buf_deinit(&path);
    return code;
}

int cmd_queue_show(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    struct buf path;
    buf_init(&path, KIB(64));
    buf_putf(&path, "/queue/");
    client_escape(&path, slice_sub(slice_of(args->positional[0]), 0, TEXT_BYTES_MAX));
    int code = ctl_show(c, &c->node, buf_cstr(&path), NULL, CTL_LIMIT_MS, render_message);
    buf_deinit(&path);
    return code;
}

int cmd_queue_flush(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    const char *domain = args_value(args, "--domain");
    if (domain && args->n_positional)
        return ctl_fail(c, CTL_USAGE,
                        "queue flush: one message (ID) or one destination (--domain), not both");
    json_t *body = json_object();
    if (domain) json_object_set_new(body, "domain", json_string(domain));
    if (args->n_positional) json_object_set_new(body, "id", json_string(args->positional[0]));
    return ctl_show(c, &c->node, "/queue/flush", body, CTL_LIMIT_MS, render_flushed);
}
