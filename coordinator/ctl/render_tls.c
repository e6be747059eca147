/* What came of TLS with other mail servers: one row a destination, the last failure beneath it. */
#include "coordinator/ctl/render.h"
#include "coordinator/ctl/table.h"

static const char *failure_text(struct screen *s, const json_t *f)
{
    if (!f) return "";
    const char *mx = js_text(s, f, "mx", "");
    return text_printf(s, "%s, %s ago, %s: %s", js_text(s, f, "result", "–"),
                       text_ago(s, js_time(f, "wall_ms")), mx[0] ? mx : js_text(s, f, "to", "–"),
                       js_text(s, f, "why", ""));
}

int render_tls(struct screen *s, const json_t *tls)
{
    static const struct column columns[] = { { "DESTINATION" },
                                             { "POLICY" },
                                             { "TLS", .right = true },
                                             { "CLEAR", .right = true },
                                             { "FAILED", .right = true } };
    const json_t *list = js_list(tls, "destinations"), *d;
    uint64_t failed = 0;
    struct table t;
    table_init(&t, s, columns, ARRAY_LEN(columns));
    JS_EACH(i, d, list)
    {
        uint64_t n = js_u64(d, "failed", 0);
        failed += n;
        table_row(&t);
        table_cell(&t, STYLE_BOLD, "%s", js_text(s, d, "destination", "–"));
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, d, "policy", "–"));
        table_cell(&t, STYLE_PLAIN, "%" PRIu64, js_u64(d, "successful", 0));
        table_cell(&t, STYLE_PLAIN, "%" PRIu64, js_u64(d, "clear_text", 0));
        table_cell(&t, n ? STYLE_WARN : STYLE_PLAIN, "%" PRIu64, n);
        table_note(&t, failure_text(s, js_object(d, "last_failure")));
    }
    table_print(&t);
    if (json_array_size(list) == 0) say(s, "No connection to another mail server since the node started.\n");
    return failed ? CTL_ISSUES : CTL_FINE;
}
