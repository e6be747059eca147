#include "coordinator/ctl/render.h"
#include "coordinator/ctl/table.h"

static enum style state_style(const char *state)
{
    if (strcmp(state, "clean") == 0) return STYLE_GOOD;
    return strcmp(state, "listed") == 0 ? STYLE_BAD : STYLE_WARN;
}

static const char *state_sign(const char *state)
{
    if (strcmp(state, "clean") == 0) return "*";
    return strcmp(state, "listed") == 0 ? "!" : "?";
}

static const char *joined(struct screen *s, const char *a, const char *sep, const char *b)
{
    return text_printf(s, "%s%s%s", a, a[0] && b[0] ? sep : "", b);
}

/* What the zone says, in its words, and where to ask it to stop. */
static const char *result_note(struct screen *s, const json_t *r, const char *state)
{
    const char *note = joined(s, js_text(s, r, "words", ""), ": ", js_text(s, r, "text", ""));
    if (strcmp(state, "listed") != 0) return note;
    const char *page = js_text(s, r, "delist", "");
    return page[0] ? joined(s, note, " → ", text_printf(s, "ask for delisting: %s", page)) : note;
}

static void zone_alarms(struct screen *s, const json_t *zones)
{
    const json_t *z;
    JS_EACH(i, z, zones)
    {
        const char *health = js_text(s, z, "health", "–");
        if (strcmp(health, "ok") == 0) continue;
        say_in(s, STYLE_WARN, "%s is %s", js_text(s, z, "zone", "–"), health);
        say(s, " and counts nothing: ");
        say_wrapped(s, 2, js_text(s, z, "why", "its test points did not answer as RFC 5782 says"));
    }
}

int render_dnsbl_check(struct screen *s, const json_t *check)
{
    static const struct column columns[] = { { "" },
                                             { "ADDRESS" },
                                             { "IDENTITY" },
                                             { "ZONE" },
                                             { "STATE" },
                                             { "CODE" },
                                             { "WEIGHT", .right = true },
                                             { "RESOLVER", .drop = 1 } };
    const json_t *list = js_list(check, "results"), *r;
    size_t count[3] = { 0 }; /* clean, listed, unknown */
    struct table t;
    table_init(&t, s, columns, ARRAY_LEN(columns));
    JS_EACH(i, r, list)
    {
        const char *state = js_text(s, r, "state", "unknown");
        enum style style = state_style(state);
        count[style == STYLE_GOOD ? 0 : style == STYLE_BAD ? 1 : 2]++;
        table_row(&t);
        table_cell(&t, style, "%s", state_sign(state));
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, r, "ip", "–"));
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, r, "identity", "–"));
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, r, "zone", "–"));
        table_cell(&t, style, "%s", state);
        table_cell(&t, STYLE_PLAIN, "%s",
                   js_has(r, "code") ? js_sentence(s, json_object_get(r, "code")) : "–");
        table_cell(&t, STYLE_PLAIN, "%" PRIu64, js_u64(r, "weight", 0));
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, r, "resolver", "–"));
        if (style != STYLE_GOOD) table_note(&t, result_note(s, r, state));
    }
    table_print(&t);
    if (json_array_size(list) == 0)
        say(s, "No list was asked: `blocklists:` of the cluster's file is empty.\n");
    else
        say(s, "\n%zu clean, %zu listed, %zu unknown%s.\n", count[0], count[1], count[2],
            count[2] ? " (neither clean nor listed: counts nothing)" : "");
    zone_alarms(s, js_list(check, "zones"));
    return count[1] || count[2] ? CTL_ISSUES : CTL_FINE;
}

static bool explain_identity(struct screen *s, const json_t *id)
{
    uint64_t score = js_u64(id, "score", 0), threshold = js_u64(id, "threshold", 0);
    bool quarantined = js_bool(id, "quarantined", false), bad = score > 0 || quarantined;
    const char *why = js_text(s, id, "why", "");
    const json_t *v;
    say_in(s, STYLE_BOLD, "%s %s", js_text(s, id, "ip", "–"), js_text(s, id, "identity", ""));
    say(s, "  ");
    say_in(s, bad ? STYLE_BAD : STYLE_GOOD, "score %" PRIu64 " of %" PRIu64, score, threshold);
    if (js_bool(id, "confirmed", false)) say(s, ", confirmed");
    if (quarantined)
        say(s, ", quarantined (%s)",
            text_count(s, js_u64(id, "clean_rounds", 0), "clean round so far", "clean rounds so far"));
    say(s, "\n");
    if (why[0]) {
        say(s, "  ");
        say_wrapped(s, 2, why);
    }
    JS_EACH(i, v, js_list(id, "lines"))
    {
        say(s, "  · ");
        say_wrapped(s, 4, js_sentence(s, v));
    }
    return bad;
}

int render_dnsbl_explain(struct screen *s, const json_t *explain)
{
    const json_t *list = js_list(explain, "identities"), *id;
    bool bad = false;
    JS_EACH(i, id, list)
    {
        if (i > 0) say(s, "\n");
        bad |= explain_identity(s, id);
    }
    if (json_array_size(list) == 0) say(s, "No address of ours was asked about yet.\n");
    return bad ? CTL_ISSUES : CTL_FINE;
}

static void answers_note(struct screen *s, struct table *t, const json_t *zone)
{
    bool ok = strcmp(js_text(s, zone, "health", ""), "ok") == 0;
    const char *all = ok ? "" : js_text(s, zone, "why", "");
    const json_t *a;
    JS_EACH(i, a, js_list(zone, "answers"))
    {
        const char *state = js_text(s, a, "state", "unknown");
        if (strcmp(state, "clean") == 0) continue;
        all = joined(
            s, all, "; ",
            text_printf(s, "%s %s (%s)", js_text(s, a, "identity", "–"), state, js_text(s, a, "why", "–")));
    }
    table_note(t, all);
}

int render_dnsbl_zones(struct screen *s, const json_t *dnsbl)
{
    static const struct column columns[] = { { "" },
                                             { "ZONE" },
                                             { "WEIGHT", .right = true },
                                             { "HEALTH" },
                                             { "TESTED", .right = true },
                                             { "DELISTING", .drop = 1 } };
    const json_t *list = js_list(dnsbl, "zones"), *z;
    bool bad = false;
    struct table t;
    table_init(&t, s, columns, ARRAY_LEN(columns));
    JS_EACH(i, z, list)
    {
        const char *health = js_text(s, z, "health", "–");
        bool ok = strcmp(health, "ok") == 0;
        bad |= !ok;
        table_row(&t);
        table_cell(&t, ok ? STYLE_GOOD : STYLE_WARN, "%s", ok ? "*" : "?");
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, z, "zone", "–"));
        table_cell(&t, STYLE_PLAIN, "%" PRIu64, js_u64(z, "weight", 0));
        table_cell(&t, ok ? STYLE_GOOD : STYLE_WARN, "%s", health);
        table_cell(&t, STYLE_PLAIN, "%s", js_age(s, z, "probe_age_ms"));
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, z, "delist", "–"));
        answers_note(s, &t, z);
    }
    table_print(&t);
    if (json_array_size(list) == 0)
        say(s, "No blocklist is configured.\n");
    else if (js_has(dnsbl, "next_round_ms"))
        say(s, "\nNext round in %s; an address is acted on from score %" PRIu64 ".\n",
            text_ms(s, js_u64(dnsbl, "next_round_ms", 0)), js_u64(dnsbl, "threshold", 0));
    return bad ? CTL_ISSUES : CTL_FINE;
}
