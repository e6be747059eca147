#include "coordinator/ctl/render.h"

static const char *or_nobody(struct screen *s, const json_t *entry, const char *key)
{
    return js_text(s, entry, key, "nobody");
}

bool history_went_well(const json_t *entry)
{
    const char *result = json_string_value(json_object_get(entry, "result"));
    return !result || strcmp(result, "done") == 0 || strcmp(result, "ok") == 0;
}

const json_t *history_find(const json_t *history, uint64_t epoch)
{
    const json_t *list = js_list(history, "history"), *v, *found = NULL;
    JS_EACH(i, v, list)
    {
        if (epoch && js_u64(v, "epoch", 0) != epoch) continue;
        if (!found || js_time(v, "started") >= js_time(found, "started")) found = v;
    }
    return found;
}

static const char *gap_text(struct screen *s, const json_t *entry)
{
    return js_has(entry, "gap_ms") ? text_printf(s, ", gap %s", text_ms(s, js_u64(entry, "gap_ms", 0))) : "";
}

static const char *steps_text(struct screen *s, const json_t *steps)
{
    const char *all = "";
    const json_t *v;
    JS_EACH(i, v, steps)
    all = text_printf(s, "%s%s%s %s", all, all[0] ? ", " : "", js_text(s, v, "step", "–"),
                      text_ms(s, js_u64(v, "ms", 0)));
    return all;
}

static void headline(struct screen *s, const json_t *e)
{
    uint64_t started = js_time(e, "started");
    bool well = history_went_well(e);
    say_in(s, STYLE_BOLD, "epoch %" PRIu64, js_u64(e, "epoch", 0));
    say(s, "  %s  ", started ? text_when(s, started) : "–");
    say_in(s, STYLE_BOLD, "%s → %s", or_nobody(s, e, "from"), or_nobody(s, e, "to"));
    say(s, "  %s, ", js_text(s, e, "kind", "change"));
    say_in(s, well ? STYLE_GOOD : STYLE_BAD, "%s", js_text(s, e, "result", "–"));
    say(s, "%s, by %s\n", gap_text(s, e), js_text(s, e, "by", "–"));
}

static void line(struct screen *s, const char *label, const char *text)
{
    if (!text[0]) return;
    say(s, "  %s", label);
    say_wrapped(s, 4, text);
}

/* What the sentence has not said already. */
static const char *new_evidence(struct screen *s, const json_t *e, const char *text)
{
    const char *all = "";
    const json_t *v;
    JS_EACH(i, v, js_list(e, "evidence"))
    {
        const char *one = js_sentence(s, v);
        if (!strstr(text, one)) all = text_printf(s, "%s%s%s", all, all[0] ? "; " : "", one);
    }
    return all;
}

static void render_entry(struct screen *s, const json_t *e)
{
    headline(s, e);
    const char *text = js_text(s, e, "text", js_text(s, e, "why", ""));
    line(s, "", text);
    line(s, "evidence: ", new_evidence(s, e, text));
    line(s, "steps: ", steps_text(s, js_list(e, "steps")));
}

/* Oldest first, as it comes: the newest stands next to the prompt. */
int render_history(struct screen *s, const json_t *history)
{
    const json_t *list = js_list(history, "history"), *v;
    if (json_array_size(list) == 0) say(s, "Nothing has changed hands yet.\n");
    JS_EACH(i, v, list)
    {
        if (i > 0) say(s, "\n");
        render_entry(s, v);
    }
    return CTL_FINE;
}

static void explain_evidence(struct screen *s, const json_t *list)
{
    const json_t *v;
    if (json_array_size(list) == 0) return;
    say_in(s, STYLE_BOLD, "\nEvidence");
    say(s, "\n");
    JS_EACH(i, v, list)
    {
        say(s, "  · ");
        say_wrapped(s, 4, js_sentence(s, v));
    }
}

static void explain_steps(struct screen *s, const json_t *e)
{
    const json_t *list = js_list(e, "steps"), *v;
    if (json_array_size(list) == 0) return;
    uint64_t sum = 0, started = js_time(e, "started"), ended = js_time(e, "ended");
    say_in(s, STYLE_BOLD, "\nSteps");
    say(s, "\n");
    JS_EACH(i, v, list)
    {
        uint64_t ms = js_u64(v, "ms", 0);
        say(s, "  %-12s %s\n", js_text(s, v, "step", "–"), text_ms(s, ms));
        sum += ms;
    }
    say(s, "  %-12s %s\n", "in all", text_ms(s, ended > started && started ? ended - started : sum));
}

static void explain_gap(struct screen *s, const json_t *e)
{
    if (!js_has(e, "gap_ms")) return;
    uint64_t gap = js_u64(e, "gap_ms", 0);
    if (gap == 0)
        say(s, "\nThere was no time without a sender.\n");
    else
        say(s, "\nFor %s nobody sent; mail that arrived then waited in the queue.\n", text_ms(s, gap));
}

/* The server's sentence often begins with the reason: it is not said twice. */
static void explain_why(struct screen *s, const json_t *e)
{
    const char *why = js_text(s, e, "why", ""), *text = js_text(s, e, "text", "");
    if (text[0]) say_wrapped(s, 0, text);
    if (why[0] && !strstr(text, why)) say_wrapped(s, 0, text_printf(s, "The reason: %s", why));
    if (!text[0] && !why[0]) say(s, "No reason is recorded.\n");
}

int render_explain(struct screen *s, const json_t *e)
{
    headline(s, e);
    say(s, "\n");
    explain_why(s, e);
    explain_evidence(s, js_list(e, "evidence"));
    explain_steps(s, e);
    explain_gap(s, e);
    if (history_went_well(e)) return CTL_FINE;
    say(s, "\n");
    say_in(s, STYLE_BAD, "It did not end as intended.");
    say(s, " Who sends now: gemelctl status. What is in the way: gemelctl doctor.\n");
    return CTL_FINE;
}

void render_outcome(struct screen *s, const json_t *e)
{
    const char *steps = steps_text(s, js_list(e, "steps"));
    if (steps[0]) {
        say(s, "  ");
        say_wrapped(s, 2, steps);
    }
    say(s, "%s → %s, epoch %" PRIu64 "%s\n", or_nobody(s, e, "from"), or_nobody(s, e, "to"),
        js_u64(e, "epoch", 0), gap_text(s, e));
}
