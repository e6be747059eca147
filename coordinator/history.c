/* The history for people: the script's lines (all values are text there) into the JSON of docs/admin-api.md. */
#include <stdlib.h>

#include "coordinator/status.h"

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static uint64_t u64_of(const json_t *o, const char *key)
{
    uint64_t v = 0;
    return slice_u64(slice_of(text_of(o, key)), UINT64_MAX, &v) ? 0 : v;
}

static void put(json_t *o, const char *key, json_t *value)
{
    json_object_set_new(o, key, value);
}

/* "12,340,…": milliseconds in each step; those that took none are left out. */
static json_t *steps_json(struct slice took, bool listed)
{
    static const char *const names[STORE_STEPS] = {
        [STORE_STEP_RECORDED] = "confirmed",   [STORE_STEP_FENCING] = "fenced",
        [STORE_STEP_PUBLISHING] = "published", [STORE_STEP_VERIFYING] = "verified",
        [STORE_STEP_WAITING] = "waited",       [STORE_STEP_GRANTING] = "granted",
        [STORE_STEP_SETTLING] = "settled",     [STORE_STEP_ROLLING_BACK] = "rolled back",
    };
    json_t *a = json_array();
    struct slice one;
    for (size_t i = 0; i < STORE_STEPS && slice_cut(&took, ',', &one); i++) {
        uint64_t ms = 0;
        bool optional = i == STORE_STEP_WAITING || i == STORE_STEP_ROLLING_BACK || i == STORE_STEP_SETTLING ||
                        (i == STORE_STEP_RECORDED && !listed); /* only a listing is confirmed */
        if (slice_u64(one, UINT32_MAX, &ms) || (optional && !ms)) continue;
        json_t *o = json_object();
        put(o, "step", json_string(names[i]));
        put(o, "ms", json_integer((json_int_t)ms));
        json_array_append_new(a, o);
    }
    return a;
}

/* The evidence is a sentence; what is joined by semicolons stands for itself. */
static json_t *evidence_json(struct slice why)
{
    json_t *a = json_array();
    struct slice one;
    while (slice_cut(&why, ';', &one)) {
        char *s = slice_dup(slice_trim(one));
        if (*s) json_array_append_new(a, status_text(s));
        free(s);
    }
    return a;
}

static json_t *entry_json(const json_t *in)
{
    char text[STATUS_TIME_MAX];
    const char *why = *text_of(in, "why") ? text_of(in, "why") : text_of(in, "text");
    bool good = strcmp(text_of(in, "ok"), "1") == 0;
    json_t *o = json_object();
    put(o, "epoch", json_integer((json_int_t)u64_of(in, "epoch")));
    put(o, "from", json_string(text_of(in, "from")));
    put(o, "to", json_string(text_of(in, "to")));
    put(o, "kind", json_string(text_of(in, "kind")));
    put(o, "trigger", json_string(text_of(in, "kind")));
    put(o, "why", status_text(why));
    put(o, "text", status_text(text_of(in, "text")));
    put(o, "evidence", evidence_json(slice_of(why)));
    put(o, "by", status_text(text_of(in, "by")));
    put(o, "started", json_string(status_time(u64_of(in, "started"), text)));
    put(o, "ended", json_string(status_time(u64_of(in, "wall_ms"), text)));
    put(o, "steps",
        steps_json(slice_of(text_of(in, "took")),
                   strcmp(text_of(in, "kind"), store_op_kind_name(STORE_OP_LISTED)) == 0));
    put(o, "result", json_string(good ? "done" : "failed"));
    put(o, "gap_ms", json_integer((json_int_t)u64_of(in, "gap_ms")));
    put(o, "id", json_string(text_of(in, "op")));
    return o;
}

json_t *status_history(const struct slice *lines, size_t n, size_t max, bool all)
{
    json_t *o = json_object(), *a = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *in = json_loadb(lines[i].p, lines[i].n, 0, NULL);
        if (!json_is_object(in)) {
            json_decref(in);
            continue; /* wrong data under our key: the other lines are still worth showing */
        }
        bool shown = all || strcmp(text_of(in, "kind"), store_op_kind_name(STORE_OP_PUBLISH)) != 0;
        if (shown) json_array_append_new(a, entry_json(in));
        json_decref(in);
    }
    while (json_array_size(a) > max) json_array_remove(a, 0);
    put(o, "history", a);
    return o;
}
