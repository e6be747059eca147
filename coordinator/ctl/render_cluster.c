#include "coordinator/ctl/render.h"
#include "coordinator/ctl/table.h"

/* Is the row as it should be? The sign in front of it says so, and the exit code. */
enum mark { MARK_OK, MARK_UNEXPECTED, MARK_UNREACHABLE };

static const struct {
    const char *sign;
    enum style style;
} marks[] = {
    [MARK_OK] = { "*", STYLE_GOOD },
    [MARK_UNEXPECTED] = { "!", STYLE_BAD },
    [MARK_UNREACHABLE] = { "?", STYLE_WARN },
};

static const struct column columns[] = {
    { "" },
    { "IDENTITY" },
    { "ADDRESS" },
    { "HELO", .drop = 5 },
    { "NODE", .drop = 8 },
    { "ROLE" },
    { "REPORTED/ASSIGNED", .drop = 3 },
    { "SCORE", .right = true },
    { "LEASE", .right = true, .drop = 2 },
    { "SPF", .right = true },
    { "PTR" },
    { "QUEUE", .right = true, .drop = 6 },
    { "SINCE", .right = true, .drop = 4 },
};

struct row {
    const json_t *id;
    uint64_t servers; /* authoritative addresses in all */
    bool moving;      /* an operation runs: states differ for good reason */
    const char *role, *reported, *assigned;
};

static struct row row_of(struct screen *s, const json_t *cluster, const json_t *id)
{
    return (struct row){
        .id = id,
        .servers = js_u64(js_object(cluster, "spf"), "servers", 0),
        .moving = js_object(cluster, "operation") != NULL,
        .role = js_text(s, id, "role", "–"),
        .reported = js_text(s, id, "reported", "–"),
        .assigned = js_text(s, id, "assigned", "–"),
    };
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static enum mark mark_of(const struct row *r)
{
    if (is(r->role, "down") || is(r->role, "–")) return MARK_UNREACHABLE;
    if (json_array_size(js_list(r->id, "listed")) > 0) return MARK_UNEXPECTED;
    if (r->moving) return MARK_OK;
    bool settled = is(r->role, "active") || is(r->role, "standby");
    return settled && is(r->reported, r->assigned) ? MARK_OK : MARK_UNEXPECTED;
}

static enum style role_style(const char *role)
{
    if (is(role, "active")) return STYLE_GOOD;
    if (is(role, "standby")) return STYLE_PLAIN;
    return is(role, "down") ? STYLE_WARN : STYLE_BAD;
}

static void spf_cell(struct table *t, const struct row *r)
{
    uint64_t ok = js_u64(r->id, "spf_servers", 0);
    bool good = js_bool(r->id, "spf_ok", false) && ok >= r->servers && ok > 0;
    if (!js_has(r->id, "spf_servers"))
        table_cell(t, STYLE_PLAIN, "–");
    else
        table_cell(t, good ? STYLE_GOOD : STYLE_BAD, "%" PRIu64 "/%" PRIu64, ok, r->servers);
}

static void row_cells(struct screen *s, struct table *t, const struct row *r)
{
    enum mark m = mark_of(r);
    uint64_t lease = js_u64(r->id, "lease_left_ms", 0), since = js_time(r->id, "since");
    uint64_t score = js_u64(r->id, "score", 0);
    table_row(t);
    table_cell(t, marks[m].style, "%s", marks[m].sign);
    table_cell(t, STYLE_BOLD, "%s", js_text(s, r->id, "name", "–"));
    table_cell(t, STYLE_PLAIN, "%s", js_text(s, r->id, "ip", "–"));
    table_cell(t, STYLE_PLAIN, "%s", js_text(s, r->id, "helo", "–"));
    table_cell(t, STYLE_PLAIN, "%s", js_text(s, r->id, "node", "–"));
    table_cell(t, role_style(r->role), "%s", r->role);
    table_cell(t, is(r->reported, r->assigned) ? STYLE_PLAIN : STYLE_WARN, "%s/%s", r->reported, r->assigned);
    table_cell(t, score ? STYLE_WARN : STYLE_PLAIN, "%" PRIu64, score);
    table_cell(t, STYLE_PLAIN, "%s", lease ? text_ms(s, lease) : "–");
    spf_cell(t, r);
    bool ptr = js_bool(r->id, "ptr_ok", false);
    table_cell(t, ptr ? STYLE_GOOD : STYLE_BAD, "%s", !js_has(r->id, "ptr_ok") ? "–" : ptr ? "ok" : "wrong");
    table_cell(t, STYLE_PLAIN, "%" PRIu64, js_u64(r->id, "queue", 0));
    table_cell(t, STYLE_PLAIN, "%s", since ? text_ago(s, since) : "–");
}

static const char *pin_text(struct screen *s, const json_t *cluster)
{
    const json_t *pin = js_object(cluster, "pin");
    if (!pin) return "";
    uint64_t until = js_time(pin, "until");
    if (!until) return text_printf(s, " (%s)", js_text(s, pin, "identity", "–"));
    return text_printf(s, " (%s until %s)", js_text(s, pin, "identity", "–"), text_when(s, until));
}

static void footer(struct screen *s, const json_t *cluster)
{
    const json_t *spf = js_object(cluster, "spf");
    const char *mode = js_text(s, cluster, "mode", "–");
    say(s, "\ncluster %s, epoch %" PRIu64 ", mode ", js_text(s, cluster, "cluster", "–"),
        js_u64(cluster, "epoch", 0));
    say_in(s, is(mode, "auto") ? STYLE_PLAIN : STYLE_WARN, "%s%s", mode, pin_text(s, cluster));
    say(s, ", active %s, leader %s, SPF verified at %" PRIu64 "/%" PRIu64 " servers\n",
        js_text(s, cluster, "active", "nobody"), js_text(s, cluster, "leader", "nobody"),
        js_u64(spf, "verified", 0), js_u64(spf, "servers", 0));
    if (js_has(cluster, "leading") && !js_bool(cluster, "leading", true))
        say(s, "%s answers and does not lead: what it shows may be old.\n",
            js_text(s, cluster, "coordinator", "this coordinator"));
}

void render_progress(struct screen *s, const json_t *op)
{
    const char *from = js_text(s, op, "from", "nobody"), *to = js_text(s, op, "to", "nobody");
    say(s, "%s: %s → %s, epoch %" PRIu64 ", now %s", js_text(s, op, "kind", "operation"), from, to,
        js_u64(op, "epoch", 0), js_text(s, op, "step", "–"));
    if (js_has(op, "in_step_ms")) say(s, " (%s)", text_ms(s, js_u64(op, "in_step_ms", 0)));
}

static void operation(struct screen *s, const json_t *op)
{
    if (!op) return;
    const char *why = js_text(s, op, "why", "");
    say(s, "\nUnder way: ");
    render_progress(s, op);
    say(s, "\n");
    if (!why[0]) return;
    say(s, "  ");
    say_wrapped(s, 2, why);
}

static bool issue_says(struct screen *s, const json_t *cluster, const char *text)
{
    const json_t *v;
    JS_EACH(i, v, js_list(cluster, "issues"))
    if (strstr(js_sentence(s, v), text)) return true;
    return false;
}

/* Why an identity that does not send could not take over, and who lists it: below the table, where there is room. */
static void remarks(struct screen *s, const json_t *cluster)
{
    const json_t *id;
    JS_EACH(i, id, js_list(cluster, "identities"))
    {
        const char *name = js_text(s, id, "name", "–"), *why = js_text(s, id, "why_not", "");
        const char *listed = js_join(s, js_list(id, "listed"), ", ");
        if (listed[0]) {
            say(s, "  %s (%s) is listed by ", name, js_text(s, id, "ip", "–"));
            say_wrapped(s, 4,
                        text_printf(s, "%s. Cause and delisting: gemelctl dnsbl explain %s", listed,
                                    js_text(s, id, "ip", "")));
        }
        bool sends = is(js_text(s, id, "role", ""), "active");
        if (why[0] && !sends && !js_bool(id, "fit", true) && !issue_says(s, cluster, why)) {
            say(s, "  ");
            say_wrapped(s, 4, text_printf(s, "%s could not take over now: %s", name, why));
        }
    }
}

static void issues(struct screen *s, const json_t *list)
{
    size_t n = json_array_size(list);
    const json_t *v;
    if (n == 0) return;
    say(s, "\n");
    say_in(s, STYLE_BAD, "%s:", text_count(s, n, "issue", "issues"));
    say(s, "\n");
    JS_EACH(i, v, list)
    {
        const char *cure = js_text(s, v, "cure", "");
        say(s, "  ! ");
        say_wrapped(s, 4, js_sentence(s, v));
        if (!cure[0]) continue;
        say(s, "    → ");
        say_wrapped(s, 6, cure);
    }
}

int render_status(struct screen *s, const json_t *cluster)
{
    struct table t;
    bool all_ok = js_text(s, cluster, "active", NULL) || js_object(cluster, "operation");
    const json_t *id;
    table_init(&t, s, columns, ARRAY_LEN(columns));
    JS_EACH(i, id, js_list(cluster, "identities"))
    {
        struct row r = row_of(s, cluster, id);
        row_cells(s, &t, &r);
        if (mark_of(&r) != MARK_OK) all_ok = false;
    }
    table_print(&t);
    footer(s, cluster);
    remarks(s, cluster);
    operation(s, js_object(cluster, "operation"));
    const json_t *list = js_list(cluster, "issues");
    issues(s, list);
    return all_ok && json_array_size(list) == 0 ? CTL_FINE : CTL_ISSUES;
}
