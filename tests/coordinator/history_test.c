#include <stdlib.h>

#include "coordinator/status.h"
#include "tests/test.h"

static const char line1[] = "{\"wall_ms\":\"1700000001500\",\"epoch\":\"18\",\"op\":\"00c0ffee00c0ffee\","
                            "\"kind\":\"listed\",\"from\":\"edge1\","
                            "\"to\":\"edge2\",\"ok\":\"1\",\"gap_ms\":\"412\",\"text\":\"edge2 sends instead "
                            "of edge1.\",\"by\":\"coord1\","
                            "\"why\":\"bl.example lists it; three receivers say "
                            "so\",\"took\":\"1000,12,34,56,0,7,0,0\",\"started\":\"1700000000000\"}";
static const char line2[] =
    "{\"wall_ms\":\"1700000002000\",\"epoch\":\"18\",\"kind\":\"publish\",\"from\":\"edge2\","
    "\"to\":\"edge2\",\"ok\":\"0\",\"text\":\"withdrawn \xff\"}";

static const char *text_at(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

TEST(a_switch_is_told_with_its_evidence_and_steps)
{
    struct slice lines[] = { slice_of(line1) };
    json_t *o = status_history(lines, 1, 20, false), *e = json_array_get(json_object_get(o, "history"), 0);
    assert_non_null(e);
    assert_int_equal(json_integer_value(json_object_get(e, "epoch")), 18);
    assert_int_equal(json_integer_value(json_object_get(e, "gap_ms")), 412);
    assert_string_equal(text_at(e, "from"), "edge1");
    assert_string_equal(text_at(e, "trigger"), "listed");
    assert_string_equal(text_at(e, "result"), "done");
    assert_string_equal(text_at(e, "started"), "2023-11-14T22:13:20.000Z");
    assert_string_equal(text_at(e, "ended"), "2023-11-14T22:13:21.500Z");
    json_t *evidence = json_object_get(e, "evidence"), *steps = json_object_get(e, "steps");
    assert_int_equal(json_array_size(evidence), 2);
    assert_string_equal(json_string_value(json_array_get(evidence, 1)), "three receivers say so");
    assert_int_equal(json_array_size(steps), 5);
    assert_string_equal(text_at(json_array_get(steps, 0), "step"), "confirmed");
    assert_string_equal(text_at(json_array_get(steps, 4), "step"), "granted");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(steps, 4), "ms")), 7);
    json_decref(o);
}

TEST(changes_of_the_records_alone_are_shown_when_asked_for)
{
    /* What Redis holds may be anything: bytes that are no UTF-8 do not cost the rest. */
    char *clean = strdup(line2);
    *strchr(clean, '\xff') = '?';
    struct slice lines[] = { slice_of(line1), SLICE("not json"), SLICE("[1]"), slice_of(clean) };
    json_t *o = status_history(lines, 4, 20, false);
    assert_int_equal(json_array_size(json_object_get(o, "history")), 1);
    json_decref(o);
    o = status_history(lines, 4, 20, true);
    json_t *last = json_array_get(json_object_get(o, "history"), 1);
    assert_string_equal(text_at(last, "result"), "failed");
    assert_string_equal(text_at(last, "why"), "withdrawn ?");
    json_decref(o);
    o = status_history(lines, 4, 1, true);
    assert_int_equal(json_array_size(json_object_get(o, "history")), 1);
    assert_string_equal(text_at(json_array_get(json_object_get(o, "history"), 0), "kind"), "publish");
    json_decref(o);
    free(clean);
}

TEST(text_that_is_no_utf8_still_makes_a_json_string)
{
    json_t *j = status_text("a\xff\x62");
    assert_string_equal(json_string_value(j), "a?b");
    json_decref(j);
}
