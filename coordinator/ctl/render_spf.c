#include "coordinator/ctl/render.h"
#include "coordinator/ctl/table.h"

/* The two names we own, in the order they are shown. */
static const char *const owned[] = { "_spf", "_egress" };

static const char *record_name(struct screen *s, const json_t *spf, const char *label)
{
    return text_printf(s, "%s.%s", label, js_text(s, spf, "zone", "–"));
}

static const char *published_text(struct screen *s, const json_t *spf, const char *label)
{
    const json_t *p = js_object(spf, "published");
    if (!js_bool(p, "reachable", true)) return "(the primary does not answer)";
    return js_text(s, p, label, "(no such record)");
}

static const char *wanted_text(struct screen *s, const json_t *spf, const char *label)
{
    return js_text(s, js_object(spf, "wanted"), label, "(not decided: see gemelctl status)");
}

static bool passes(const json_t *server)
{
    const char *verdict = json_string_value(json_object_get(server, "verdict"));
    return verdict && strcmp(verdict, "pass") == 0;
}

/* By the verdicts; the server's own words only where something is wrong. */
static void summary(struct screen *s, const json_t *spf)
{
    const json_t *list = js_list(spf, "servers"), *v;
    size_t good = 0, n = json_array_size(list);
    JS_EACH(i, v, list) good += passes(v);
    const char *words = good == n && n > 0 ? "" : js_text(s, spf, "words", "");
    say_wrapped(s, 0,
                text_printf(s, "Right at %zu of %s. %s", good,
                            text_count(s, n, "server address", "server addresses"), words));
}

int render_spf(struct screen *s, const json_t *spf)
{
    for (size_t i = 0; i < ARRAY_LEN(owned); i++) {
        const char *want = wanted_text(s, spf, owned[i]), *have = published_text(s, spf, owned[i]);
        say_in(s, STYLE_BOLD, "%s TXT", record_name(s, spf, owned[i]));
        say(s, "\n  %s\n", have);
        if (strcmp(want, have) != 0) {
            say_in(s, STYLE_WARN, "  wanted: %s", want);
            say(s, "\n");
        }
    }
    say(s, "\nmode %s. ", js_text(s, spf, "mode", "–"));
    summary(s, spf);
    say(s, "Last looked: %s. Look now: gemelctl spf verify\n", js_age(s, spf, "age_ms"));
    return CTL_FINE;
}

static bool has_term(struct slice text, struct slice term)
{
    struct slice word;
    while ((word = slice_word(&text)).n > 0)
        if (slice_eq(word, term)) return true;
    return false;
}

/* The terms of `from` that `against` lacks. False: none. */
static bool terms(struct screen *s, const char *from, const char *against, enum style style, char sign)
{
    struct slice rest = slice_of(from), word;
    bool any = false;
    while ((word = slice_word(&rest)).n > 0) {
        if (has_term(slice_of(against), word)) continue;
        say_in(s, style, "%c   %.*s", sign, SLICE_ARG(word));
        say(s, "\n");
        any = true;
    }
    return any;
}

/* Term by term: nobody wants to compare two SPF records by eye. False: nothing differs. */
static bool diff_record(struct screen *s, const json_t *spf, const char *label)
{
    const char *want = js_text(s, js_object(spf, "wanted"), label, NULL);
    const char *have = js_text(s, js_object(spf, "published"), label, NULL);
    if (want && have && strcmp(want, have) == 0) {
        say(s, "%s: as it should be\n", record_name(s, spf, label));
        return false;
    }
    say_in(s, STYLE_BOLD, "%s", record_name(s, spf, label));
    say(s, "\n");
    if (!want) say(s, "    wanted: %s\n", wanted_text(s, spf, label));
    if (!have) say(s, "    published: %s\n", published_text(s, spf, label));
    bool any = want && have && terms(s, have, want, STYLE_BAD, '-');
    if (want) any |= terms(s, want, have ? have : "", STYLE_GOOD, '+');
    if (want && have && !any) say(s, "    the same terms in another order\n");
    return true;
}

int render_spf_diff(struct screen *s, const json_t *spf)
{
    bool differs = false;
    for (size_t i = 0; i < ARRAY_LEN(owned); i++) differs |= diff_record(s, spf, owned[i]);
    if (!differs) return CTL_FINE;
    say(s, "\n");
    say_wrapped(
        s, 0,
        "- is published and not wanted, + is wanted and not published. The coordinator that leads repairs "
        "this by itself as soon as it may; what keeps it from doing so: gemelctl status, gemelctl doctor.");
    return CTL_ISSUES;
}

static void server_row(struct screen *s, struct table *t, const json_t *v, bool good)
{
    const char *verdict = js_text(s, v, "verdict", "–"), *pass = js_join(s, js_list(v, "pass"), " ");
    bool silent = strcmp(verdict, "silent") == 0;
    enum style style = good ? STYLE_GOOD : silent ? STYLE_WARN : STYLE_BAD;
    table_row(t);
    table_cell(t, style, "%s", good ? "*" : silent ? "?" : "!");
    table_cell(t, STYLE_PLAIN, "%s", js_text(s, v, "name", "–"));
    table_cell(t, STYLE_PLAIN, "%s", js_text(s, v, "addr", "–"));
    table_cell(t, style, "%s", verdict);
    if (silent) return;
    table_cell(t, STYLE_PLAIN, "%" PRIu64, js_u64(v, "epoch", 0));
    table_cell(t, STYLE_PLAIN, "%" PRIu64, js_u64(v, "serial", 0));
    table_cell(t, STYLE_PLAIN, "%" PRIu64 " s", js_u64(v, "ttl_s", 0));
    table_cell(t, pass[0] ? STYLE_PLAIN : STYLE_BAD, "%s", pass[0] ? pass : "nobody");
}

int render_spf_verify(struct screen *s, const json_t *spf)
{
    static const struct column columns[] = {
        { "" },
        { "SERVER" },
        { "ADDRESS" },
        { "VERDICT" },
        { "EPOCH", .right = true },
        { "SERIAL", .right = true, .drop = 2 },
        { "TTL", .right = true, .drop = 1 },
        { "PASSES" },
    };
    const json_t *list = js_list(spf, "servers"), *v;
    struct table t;
    size_t wrong = 0;
    table_init(&t, s, columns, ARRAY_LEN(columns));
    JS_EACH(i, v, list)
    {
        bool good = passes(v);
        server_row(s, &t, v, good);
        if (!good) table_note(&t, js_text(s, v, "words", ""));
        wrong += !good;
    }
    table_print(&t);
    bool ok = js_bool(spf, "ok", wrong == 0) && wrong == 0 && json_array_size(list) > 0;
    say(s, "\n");
    summary(s, spf);
    if (!ok && wrong == 0 && json_array_size(list) > 0)
        say(s, "They agree, but not with what should be there: gemelctl spf diff\n");
    if (wrong > 0)
        say_wrapped(s, 0,
                    "Check the zone transfer to the servers above (NOTIFY, serial), then look again: "
                    "gemelctl spf verify");
    return ok ? CTL_FINE : CTL_ISSUES;
}
