/* The short ones: what a command answered, what a switch would do, what the doctor found. */
#include "coordinator/ctl/render.h"
#include "coordinator/ctl/table.h"

const char *text_count(struct screen *s, uint64_t n, const char *one, const char *many)
{
    return text_printf(s, "%" PRIu64 " %s", n, n == 1 ? one : many);
}

int render_done(struct screen *s, const json_t *answer)
{
    say_wrapped(s, 0, js_text(s, answer, "text", "Done."));
    return CTL_FINE;
}

int render_plan(struct screen *s, const json_t *answer)
{
    const json_t *plan = js_list(answer, "plan"), *v;
    say_in(s, STYLE_BOLD, "Nothing was changed; this would happen:");
    say(s, "\n");
    say(s, "  ");
    say_wrapped(s, 2, js_text(s, answer, "text", "the coordinator does not say"));
    JS_EACH(i, v, plan)
    {
        say(s, "  %zu. ", i + 1);
        say_wrapped(s, 5, js_sentence(s, v));
    }
    return CTL_FINE;
}

static const struct {
    const char *name, *sign;
    enum style style;
} findings[] = {
    { "ok", "*", STYLE_GOOD },
    { "warn", "!", STYLE_WARN },
    { "bad", "!", STYLE_BAD },
    { "unknown", "?", STYLE_WARN },
};

static size_t finding_of(const char *mark)
{
    for (size_t i = 0; i < ARRAY_LEN(findings); i++)
        if (strcmp(findings[i].name, mark) == 0) return i;
    return ARRAY_LEN(findings) - 1;
}

int render_doctor(struct screen *s, const json_t *doctor)
{
    static const struct column columns[] = { { "" }, { "CHECK" }, { "SUBJECT" }, { "RESULT" } };
    const json_t *list = js_list(doctor, "checks"), *c;
    struct table t;
    size_t wrong = 0;
    table_init(&t, s, columns, ARRAY_LEN(columns));
    JS_EACH(i, c, list)
    {
        const char *mark = js_text(s, c, "mark", "unknown"), *cure = js_text(s, c, "cure", "");
        const char *what = js_text(s, c, "what", "");
        size_t f = finding_of(mark);
        table_row(&t);
        table_cell(&t, findings[f].style, "%s", findings[f].sign);
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, c, "check", "–"));
        table_cell(&t, STYLE_PLAIN, "%s", js_text(s, c, "subject", "–"));
        table_cell(&t, findings[f].style, "%s", mark);
        wrong += f != 0;
        if (f == 0) continue;
        table_note(&t, text_printf(s, "%s%s%s", what, cure[0] ? " → " : "", cure));
    }
    table_print(&t);
    say(s, "\n");
    if (json_array_size(list) == 0)
        say(s, "No checks were made.\n");
    else if (wrong == 0)
        say(s, "%s, all well.\n", text_count(s, json_array_size(list), "check", "checks"));
    else
        say(s, "%zu of %s want attention.\n", wrong, text_count(s, json_array_size(list), "check", "checks"));
    return wrong ? CTL_ISSUES : CTL_FINE;
}
