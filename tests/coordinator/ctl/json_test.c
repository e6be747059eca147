#include "coordinator/ctl/json.h"

#include "tests/test.h"

static json_t *parse(const char *text)
{
    json_t *j = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(j);
    return j;
}

TEST(a_value_of_another_type_is_the_default)
{
    struct screen s;
    json_t *o = parse(
        "{\"text\": 5, \"n\": \"7\", \"neg\": -1, \"real\": 2.9, \"huge\": 1e300, \"list\": {}, \"object\": "
        "[], "
        "\"null\": null, \"empty\": \"\", \"flag\": \"yes\", \"one\": 1, \"zero\": 0, \"true\": true}");
    screen_init(&s, false, true, 0, 0);
    assert_string_equal(js_text(&s, o, "text", "def"), "def");
    assert_string_equal(js_text(&s, o, "empty", "def"), "def");
    assert_string_equal(js_text(&s, o, "missing", "def"), "def");
    assert_string_equal(js_text(&s, NULL, "text", "def"), "def");
    assert_int_equal(js_u64(o, "n", 3), 3);
    assert_int_equal(js_u64(o, "neg", 3), 3);
    assert_int_equal(js_u64(o, "real", 3), 2);
    assert_int_equal(js_u64(o, "huge", 3), 3);
    assert_null(js_list(o, "list"));
    assert_null(js_object(o, "object"));
    assert_false(js_has(o, "null"));
    assert_true(js_has(o, "empty"));
    assert_true(js_bool(o, "flag", true));
    assert_true(js_bool(o, "one", false));
    assert_false(js_bool(o, "zero", true));
    assert_true(js_bool(o, "true", false));
    assert_string_equal(js_age(&s, o, "neg"), "never");
    assert_string_equal(js_age(&s, o, "missing"), "never");
    assert_string_equal(js_age(&s, o, "one"), "1 ms ago");
    screen_deinit(&s);
    json_decref(o);
}

TEST(times_are_rfc3339_in_utc_or_milliseconds)
{
    static const struct {
        const char *json;
        uint64_t ms; /* 0: no time */
    } cases[] = {
        { "\"2026-03-01T12:00:00Z\"", UINT64_C(1772366400000) },
        { "\"2026-03-01T12:00:00.123Z\"", UINT64_C(1772366400123) },
        { "\"2026-03-01T12:00:00.5Z\"", UINT64_C(1772366400500) },
        { "\"2026-03-01T12:00:00.123456789z\"", UINT64_C(1772366400123) },
        { "1772366400123", UINT64_C(1772366400123) },
        { "\"2026-03-01T12:00:00\"", 0 },
        { "\"2026-03-01T12:00:00+01:00\"", 0 },
        { "\"2026-13-01T12:00:00Z\"", 0 },
        { "\"1969-03-01T12:00:00Z\"", 0 },
        { "\"yesterday\"", 0 },
        { "\"\"", 0 },
        { "null", 0 },
        { "-5", 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[80];
        snprintf(text, sizeof text, "{\"t\": %s}", cases[i].json);
        json_t *o = parse(text);
        if (js_time(o, "t") != cases[i].ms) print_error("%s\n", cases[i].json);
        assert_int_equal(js_time(o, "t"), cases[i].ms);
        json_decref(o);
    }
}

TEST(any_value_reads_as_a_sentence)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        { "\"as it is\"", "as it is" },
        { "7", "7" },
        { "2.5", "2.5" },
        { "true", "yes" },
        { "{\"what\": \"w\", \"text\": \"t\"}", "t" },
        { "{\"what\": \"w\", \"cure\": \"c\"}", "w" },
        { "{\"zone\": \"bl.example\", \"code\": 2, \"deep\": {\"a\": 1}, \"none\": null}",
          "zone bl.example, code 2" },
        { "[\"a\", 2, [\"not this\"], {\"k\": \"v\"}]", "a, 2, k v" },
        { "\"\\u0000\\u001b[2J\"", "??[2J" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct screen s;
        json_t *v = json_loads(cases[i].json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        screen_init(&s, false, true, 0, 0);
        assert_string_equal(js_sentence(&s, v), cases[i].text);
        screen_deinit(&s);
        json_decref(v);
    }
}
