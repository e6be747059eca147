#include "coordinator/ctl/render.h"
#include "coordinator/ctl/table.h"

static const char *sender_of(struct screen *s, const json_t *m)
{
    return js_text(s, m, "sender", "<>");
}

static const char *next_text(struct screen *s, const json_t *o)
{
    uint64_t next = js_time(o, "next_try");
    if (!next) return "–";
    return next <= s->now_ms ? "now" : text_printf(s, "in %s", text_ms(s, (next - s->now_ms) / 1000 * 1000));
}

static const char *recipients_text(struct screen *s, const json_t *m)
{
    const json_t *list = js_list(m, "recipients");
    size_t n = json_array_size(list);
    if (n == 0) return "–";
    const char *first = js_text(s, json_array_get(list, 0), "address", "–");
    return n == 1 ? first : text_printf(s, "%s and %zu more", first, n - 1);
}

int render_queue(struct screen *s, const json_t *queue)
{
    static const struct column columns[] = { { "ID" },
                                             { "FLOW" },
                                             { "SIZE", .right = true },
                                             { "AGE", .right = true },
                                             { "TRIES", .right = true, .drop = 1 },
                                             { "NEXT", .right = true },
                                             { "SENDER" },
                                             { "RECIPIENTS" } };
    const json_t *list = js_list(queue, "messages"), *m;
    size_t shown = json_array_size(list);
    uint64_t total = js_u64(queue, "total", shown);
    struct table t;
    table_init(&t, s, columns, ARRAY_LEN(columns));
    JS_EACH(i, m, list)
    {
        table_row(&t);
        table_cell(&t, STYLE_BOLD, "%s", js_text(s, m, "id", "–"));
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, m, "flow", "–"));
        table_cell(&t, STYLE_PLAIN, "%s", text_bytes(s, js_u64(m, "size", 0)));
        table_cell(&t, STYLE_PLAIN, "%s", js_time(m, "arrival") ? text_ago(s, js_time(m, "arrival")) : "–");
        table_cell(&t, STYLE_PLAIN, "%" PRIu64, js_u64(m, "attempts", 0));
        table_cell(&t, STYLE_PLAIN, "%s", next_text(s, m));
        table_cell(&t, STYLE_PLAIN, "%s", sender_of(s, m));
        table_cell(&t, STYLE_PLAIN, "%s", recipients_text(s, m));
        table_note(&t, js_text(s, m, "why", ""));
    }
    table_print(&t);
    if (total == 0)
        say(s, "The queue is empty.\n");
    else if (shown < total)
        say(s, "%s%zu of %s; more with --limit N.\n", shown ? "\n" : "", shown,
            text_count(s, total, "message", "messages"));
    else
        say(s, "\n%s.\n", text_count(s, total, "message", "messages"));
    return CTL_FINE;
}

static void field(struct screen *s, const char *name, const char *value)
{
    if (value[0]) say(s, "%-10s %s\n", name, value);
}

static void recipients(struct screen *s, const json_t *list)
{
    static const struct column columns[] = {
        { "RECIPIENT" }, { "STATE" }, { "TRIES", .right = true }, { "NEXT", .right = true }
    };
    const json_t *r;
    struct table t;
    table_init(&t, s, columns, ARRAY_LEN(columns));
    JS_EACH(i, r, list)
    {
        table_row(&t);
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, r, "address", "–"));
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, r, "state", "–"));
        table_cell(&t, STYLE_PLAIN, "%" PRIu64, js_u64(r, "attempts", 0));
        table_cell(&t, STYLE_PLAIN, "%s", next_text(s, r));
        table_note(&t, js_text(s, r, "last_reply", ""));
    }
    if (json_array_size(list) > 0) say(s, "\n");
    table_print(&t);
}

/* Header fields as they stand, line by line; only what could move the cursor is replaced. */
static void headers(struct screen *s, const json_t *m)
{
    const json_t *v = json_object_get(m, "headers");
    if (!json_is_string(v)) return;
    struct slice rest = slice_from(json_string_value(v), json_string_length(v)), line;
    say(s, "\n");
    while (slice_cut(&rest, '\n', &line)) {
        if (slice_ends(line, SLICE("\r"))) line.n--;
        say(s, "  %s\n", text_clean(s, line));
    }
}

int render_message(struct screen *s, const json_t *m)
{
    uint64_t arrival = js_time(m, "arrival");
    field(s, "id", js_text(s, m, "id", "–"));
    field(s, "flow", js_text(s, m, "flow", ""));
    field(s, "sender", sender_of(s, m));
    field(s, "size", text_bytes(s, js_u64(m, "size", 0)));
    if (arrival)
        field(s, "arrived", text_printf(s, "%s (%s ago)", text_when(s, arrival), text_ago(s, arrival)));
    field(s, "tries", text_printf(s, "%" PRIu64, js_u64(m, "attempts", 0)));
    field(s, "next try", next_text(s, m));
    field(s, "waiting", js_text(s, m, "why", ""));
    recipients(s, js_list(m, "recipients"));
    headers(s, m);
    return CTL_FINE;
}

int render_flushed(struct screen *s, const json_t *answer)
{
    uint64_t n = js_u64(answer, "flushed", 0);
    if (n == 0)
        say(s, "Nothing was waiting.\n");
    else
        say(s, "%s will be tried now.\n", text_count(s, n, "message", "messages"));
    return CTL_FINE;
}
