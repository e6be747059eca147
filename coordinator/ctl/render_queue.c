#include "coordinator/ctl/render.h"
#include "coordinator/ctl/table.h"

static const char *sender_of(struct screen *s, const json_t *m)
{
    return js_text(s, m, "sender", "<>");
}

static const char *next_text(struct screen *s, const json_t *o)
{
    uint64_t next = js_time(o, "next_try");
    if (js_time(o, "held_since")) return "–";
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
                                             { "STATUS", .drop = 2 },
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
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, m, "status", "–"));
        table_cell(&t, STYLE_PLAIN, "%s", text_bytes(s, js_u64(m, "size", 0)));
        table_cell(&t, STYLE_PLAIN, "%s", js_time(m, "arrival") ? text_ago(s, js_time(m, "arrival")) : "–");
        table_cell(&t, STYLE_PLAIN, "%" PRIu64, js_u64(m, "attempts", 0));
        table_cell(&t, STYLE_PLAIN, "%s", next_text(s, m));
        table_cell(&t, STYLE_PLAIN, "%s", sender_of(s, m));
        table_cell(&t, STYLE_PLAIN, "%s", recipients_text(s, m));
        table_note(&t, js_text(s, m, js_text(s, m, "held_why", "")[0] ? "held_why" : "why", ""));
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

/* Where it goes if not where its domain goes; the last reply, and who said it. */
static const char *reply_text(struct screen *s, const json_t *r)
{
    const char *hop = js_text(s, r, "next_hop", ""), *mta = js_text(s, r, "last_mta", ""),
               *reply = js_text(s, r, "last_reply", "");
    if (mta[0] && reply[0]) reply = text_printf(s, "%s: %s", mta, reply);
    if (!hop[0]) return reply;
    return text_printf(s, "redirected to %s%s%s", hop, reply[0] ? "; " : "", reply);
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
        table_note(&t, reply_text(s, r));
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
    if (js_time(m, "expiry")) field(s, "expires", text_when(s, js_time(m, "expiry")));
    field(s, "from", js_text(s, m, "client", ""));
    field(s, "user", js_text(s, m, "user", ""));
    field(s, "node", js_text(s, m, "origin", ""));
    field(s, "status", js_text(s, m, "status", ""));
    if (js_time(m, "held_since"))
        field(s, "held",
              text_printf(s, "for %s, %s", text_ago(s, js_time(m, "held_since")),
                          js_text(s, m, "held_why", "")));
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

/* ---- orders ---- */

static int ordered(struct screen *s, const json_t *a, const char *nothing, const char *what)
{
    uint64_t done = js_u64(a, "done", 0), later = js_u64(a, "in_delivery", 0),
             skipped = js_u64(a, "skipped", 0);
    const json_t *list = js_list(a, "why"), *one;
    if (!js_u64(a, "matched", 0)) say(s, "%s\n", nothing);
    if (done) say(s, "%s %s.\n", text_count(s, done, "message", "messages"), what);
    if (later)
        say(s,
            "%s in delivery this moment: as soon as the next hop has answered, as far as anything is left.\n",
            text_count(s, later, "message is", "messages are"));
    if (skipped) say(s, "%s left as it was:\n", text_count(s, skipped, "message", "messages"));
    JS_EACH(i, one, list)
    say(s, "  %s: %s\n", js_text(s, one, "id", ""), js_text(s, one, "why", ""));
    return CTL_FINE;
}

static const char nothing_fits[] = "Nothing in the queue fits.";

int render_retried(struct screen *s, const json_t *answer)
{
    return ordered(s, answer, nothing_fits, "will be tried now");
}

int render_held(struct screen *s, const json_t *answer)
{
    return ordered(s, answer, nothing_fits, "held until released");
}

int render_released(struct screen *s, const json_t *answer)
{
    return ordered(s, answer, nothing_fits, "released, and will be tried now");
}

int render_removed(struct screen *s, const json_t *answer)
{
    return ordered(s, answer, nothing_fits, "removed");
}

int render_redirected(struct screen *s, const json_t *answer)
{
    return ordered(s, answer, nothing_fits, "redirected");
}

int render_top(struct screen *s, const json_t *answer)
{
    static const struct column columns[] = { { "DESTINATION" },
                                             { "FLOW" },
                                             { "WAITING", .right = true },
                                             { "ACTIVE", .right = true },
                                             { "FAILURES", .right = true },
                                             { "NEXT", .right = true } };
    const json_t *list = js_list(answer, "destinations"), *d;
    uint64_t total = js_u64(answer, "total", json_array_size(list));
    struct table t;
    table_init(&t, s, columns, ARRAY_LEN(columns));
    JS_EACH(i, d, list)
    {
        uint64_t next = js_u64(d, "next_in_ms", 0);
        table_row(&t);
        table_cell(&t, STYLE_BOLD, "%s", js_text(s, d, "destination", "–"));
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, d, "flow", "–"));
        table_cell(&t, STYLE_PLAIN, "%" PRIu64, js_u64(d, "waiting", 0));
        table_cell(&t, STYLE_PLAIN, "%" PRIu64, js_u64(d, "active", 0));
        table_cell(&t, STYLE_PLAIN, "%" PRIu64, js_u64(d, "failures", 0));
        table_cell(&t, STYLE_PLAIN, "%s",
                   next ? text_printf(s, "in %s", text_ms(s, next / 1000 * 1000)) : "now");
    }
    table_print(&t);
    if (total == 0)
        say(s, "Nothing waits.\n");
    else
        say(s, "\n%zu of %s.\n", json_array_size(list), text_count(s, total, "destination", "destinations"));
    return CTL_FINE;
}
