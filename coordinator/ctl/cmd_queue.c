/* The queue of the node on this host. */
#include "coordinator/ctl/ctl.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/ctl/json.h"

enum { TEXT_BYTES_MAX = 4096 };

static void add_query(struct buf *path, const char *name, const char *value)
{
    if (!value) return;
    buf_putf(path, "%c%s=", slice_find(buf_slice(path), '?') < buf_len(path) ? '&' : '?', name);
    client_escape(path, slice_sub(slice_of(value), 0, TEXT_BYTES_MAX));
}

static const char *const text_filters[] = { "flow", "domain", "sender", "recipient", "why" };

/* 0, or an exit code after a sentence. */
static int check_filters(struct ctl *c, const struct args *args, uint64_t *older_ms)
{
    const char *flow = args_value(args, "--flow"), *older = args_value(args, "--older");
    if (flow && strcmp(flow, "in") != 0 && strcmp(flow, "out") != 0)
        return ctl_fail(c, CTL_USAGE, "%s: --flow is in or out", args->command->words);
    if (older && args_duration(older, older_ms))
        return ctl_fail(c, CTL_USAGE, "%s: --older %s is no duration; 90m, 4h, 2d are", args->command->words,
                        older);
    return 0;
}

static const char *option_of(struct ctl *c, const struct args *args, const char *filter)
{
    return args_value(args, text_printf(&c->screen, "--%s", filter));
}

int cmd_queue_list(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    const char *limit = args_value(args, "--limit");
    uint64_t n, older_ms = 0;
    int code = check_filters(c, args, &older_ms);
    if (code) return code;
    if (limit && (slice_u64(slice_of(limit), 100000, &n) || n == 0))
        return ctl_fail(c, CTL_USAGE, "queue list: --limit takes a number, 1 to 100000");
    struct buf path;
    buf_init(&path, KIB(64));
    buf_putf(&path, "/queue");
    for (size_t i = 0; i < ARRAY_LEN(text_filters); i++)
        add_query(&path, text_filters[i], option_of(c, args, text_filters[i]));
    if (older_ms) add_query(&path, "older_ms", text_printf(&c->screen, "%" PRIu64, older_ms));
    if (args_flag(args, "--held")) add_query(&path, "held", "1");
    add_query(&path, "limit", limit);
    code = ctl_show(c, &c->node, buf_cstr(&path), NULL, CTL_ORDER_LIMIT_MS, render_queue);
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

/* ---- orders ---- */

static json_t *filter_of(struct ctl *c, const struct args *args, uint64_t older_ms)
{
    json_t *f = json_object();
    for (size_t i = 0; i < ARRAY_LEN(text_filters); i++) {
        const char *value = option_of(c, args, text_filters[i]);
        if (value) json_object_set_new(f, text_filters[i], json_string(value));
    }
    if (older_ms) json_object_set_new(f, "older_ms", json_integer((json_int_t)older_ms));
    if (args_flag(args, "--held")) json_object_set_new(f, "held", json_true());
    return f;
}

static json_t *ids_of(const struct args *args)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < args->n_positional; i++)
        json_array_append_new(ids, json_string(args->positional[i]));
    return ids;
}

/* Which messages: by name, by filter, or all of them, and never by leaving something out. `body` is consumed. */
static int order(struct ctl *c, const struct args *args, const char *path, json_t *body,
                 ctl_render_fn *render)
{
    uint64_t older_ms = 0;
    int code = check_filters(c, args, &older_ms);
    json_t *filter = filter_of(c, args, older_ms);
    bool by_id = args->n_positional, by_filter = json_object_size(filter), all = args_flag(args, "--all");
    if (!code && by_id + by_filter + all != 1)
        code = ctl_fail(c, CTL_USAGE, "%s: which messages? One of: ID..., a filter such as --domain, --all",
                        args->command->words);
    if (all) json_object_set_new(body, "all", json_true());
    if (by_filter) json_object_set(body, "filter", filter);
    if (by_id) json_object_set_new(body, "ids", ids_of(args));
    json_decref(filter);
    if (!code) return ctl_show(c, &c->node, path, body, CTL_LOOK_LIMIT_MS, render);
    json_decref(body);
    return code;
}

int cmd_queue_retry(void *ctl, const struct args *args)
{
    return order(ctl, args, "/queue/retry", json_object(), render_retried);
}

int cmd_queue_hold(void *ctl, const struct args *args)
{
    return order(ctl, args, "/queue/hold", ctl_body(ctl, args), render_held);
}

int cmd_queue_release(void *ctl, const struct args *args)
{
    return order(ctl, args, "/queue/release", ctl_body(ctl, args), render_released);
}

int cmd_queue_remove(void *ctl, const struct args *args)
{
    json_t *body = ctl_body(ctl, args);
    json_object_set_new(body, "dsn", json_boolean(!args_flag(args, "--no-dsn")));
    return order(ctl, args, "/queue/remove", body, render_removed);
}

int cmd_queue_redirect(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    const char *to = args_value(args, "--to");
    if ((to != NULL) == args_flag(args, "--undo"))
        return ctl_fail(c, CTL_USAGE, "queue redirect: where to? --to [10.0.0.26]:25, or --undo");
    json_t *body = ctl_body(c, args);
    json_object_set_new(body, "to", json_string(to ? to : ""));
    return order(c, args, "/queue/redirect", body, render_redirected);
}

/* ---- one message as it is ---- */

static int write_chunks(struct ctl *c, const char *id, uint64_t n, FILE *out)
{
    for (uint64_t i = 0; i < n; i++) {
        struct answer a;
        const char *path = text_printf(&c->screen, "/queue/%s/chunks/%" PRIu64, id, i);
        enum err err = client_fetch(c->client, &c->node, path, c->limit_ms ? c->limit_ms : CTL_LIMIT_MS, &a);
        int code = ctl_check(c, &c->node, err, &a);
        struct slice body = buf_slice(&a.body);
        if (!code && fwrite(body.p, 1, body.n, out) != body.n)
            code = ctl_fail(c, CTL_INCOMPLETE, "cannot write: %s", strerror(errno));
        answer_deinit(&a);
        if (code) return code;
    }
    if (fflush(out) == 0) return CTL_FINE;
    return ctl_fail(c, CTL_INCOMPLETE, "cannot write: %s", strerror(errno));
}

static int export_to(struct ctl *c, const char *id, uint64_t n, const char *file)
{
    if (!file) return write_chunks(c, id, n, c->world->out);
    FILE *out = fopen(file, "wxe"); /* nothing is overwritten */
    if (!out) return ctl_fail(c, CTL_REFUSED, "%s: %s", file, strerror(errno));
    fchmod(fileno(out), 0600); /* other people's mail */
    int code = write_chunks(c, id, n, out);
    if (fclose(out) && !code) code = ctl_fail(c, CTL_INCOMPLETE, "%s: %s", file, strerror(errno));
    if (code) unlink(file);
    return code;
}

int cmd_queue_export(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    struct answer a;
    struct buf path;
    buf_init(&path, KIB(64));
    buf_putf(&path, "/queue/");
    client_escape(&path, slice_sub(slice_of(args->positional[0]), 0, TEXT_BYTES_MAX));
    int code = ctl_ask(c, &c->node, buf_cstr(&path), NULL, CTL_LIMIT_MS, &a);
    if (!code)
        code = export_to(c, js_text(&c->screen, a.json, "id", ""), js_u64(a.json, "chunks", 0),
                         args_value(args, "--output"));
    answer_deinit(&a);
    buf_deinit(&path);
    return code;
}

/* ---- destinations ---- */

int cmd_queue_top(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    const char *limit = args_value(args, "--limit");
    uint64_t n = 20;
    if (limit && (slice_u64(slice_of(limit), 100000, &n) || n == 0))
        return ctl_fail(c, CTL_USAGE, "queue top: --limit takes a number, 1 to 100000");
    const char *path = text_printf(&c->screen, "/queue/destinations?limit=%" PRIu64, n);
    return ctl_show(c, &c->node, path, NULL, CTL_LIMIT_MS, render_top);
}
