/* What holds for a destination: one row a value, with the rule it comes from. */
#include "coordinator/ctl/render.h"
#include "coordinator/ctl/table.h"

/* 0 is "no limit" wherever it can stand. */
static const char *value_text(struct screen *s, const json_t *o)
{
    uint64_t v = js_u64(o, "value", 0);
    return v ? text_printf(s, "%" PRIu64, v) : "unlimited";
}

int render_limits(struct screen *s, const json_t *limits)
{
    const json_t *list = js_list(limits, "limits"), *v, *tls = js_object(limits, "tls");
    say(s, "Mail to %s\n", js_text(s, limits, "destination", "–"));
    JS_EACH(i, v, list)
    {
        say(s, "  %-24s %-10s ", js_text(s, v, "limit", "–"), value_text(s, v));
        say_wrapped(s, 38, js_text(s, v, "from", "–"));
    }
    say(s, "  %-24s %-10s ", "tls", js_text(s, tls, "policy", "–"));
    say_wrapped(s, 38, js_text(s, tls, "from", "–"));
    return CTL_FINE;
}
