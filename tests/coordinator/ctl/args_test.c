#include "coordinator/ctl/args.h"

#include <stdio.h>

#include "tests/test.h"

static const struct option globals[] = {
    { "--admin", NULL, "SOCKET", "" },
    { "--json", NULL, NULL, "" },
    { "--help", "-h", NULL, "" },
    { NULL },
};
static const struct option switch_options[] = {
    { "--to", NULL, "NAME", "" },
    { "--wait", NULL, NULL, "" },
    { "--number", "-n", "N", "" },
    { NULL },
};
static const struct command commands[] = {
    { "status", .max = 0 },
    { "switchover", .options = switch_options },
    { "explain", "[EPOCH]", .max = 1 },
    { "spf show" },
    { "spf verify" },
    { "queue show", "ID", .min = 1, .max = 1 },
    { NULL },
};

enum { WORDS_MAX = 16 };

/* Splits `line` at blanks and parses it. */
static enum err parse(const char *line, struct args *out, struct buf *why)
{
    static char text[512], *argv[WORDS_MAX + 1];
    int n = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *w = strtok(text, " "); w && n < WORDS_MAX; w = strtok(NULL, " ")) argv[n++] = w;
    argv[n] = NULL;
    buf_init(why, 10000);
    return args_parse(n, argv, commands, globals, out, why);
}

TEST(options_stand_before_and_behind_the_words)
{
    static const char *const lines[] = {
        "--admin /s switchover --to edge2 --wait --number 5",
        "switchover --to edge2 --wait -n 5 --admin /s",
        "--admin=/s switchover --to=edge2 -n5 --wait",
        "switchover --wait --to edge1 --to edge2 -n 4 -n5 --admin /s",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct args a;
        struct buf why;
        assert_int_equal(parse(lines[i], &a, &why), ERR_OK);
        assert_string_equal(a.command->words, "switchover");
        assert_string_equal(args_value(&a, "--admin"), "/s");
        assert_string_equal(args_value(&a, "--to"), "edge2");
        assert_string_equal(args_value(&a, "--number"), "5");
        assert_true(args_flag(&a, "--wait"));
        assert_false(args_flag(&a, "--json"));
        buf_deinit(&why);
    }
}

TEST(two_words_make_one_command)
{
    struct args a;
    struct buf why;
    assert_int_equal(parse("spf --json verify", &a, &why), ERR_OK);
    assert_string_equal(a.command->words, "spf verify");
    buf_deinit(&why);
    assert_int_equal(parse("spf", &a, &why), ERR_OK);
    assert_null(a.command);
    assert_string_equal(a.group, "spf");
    buf_deinit(&why);
    assert_int_equal(parse("explain 7", &a, &why), ERR_OK);
    assert_string_equal(a.positional[0], "7");
    buf_deinit(&why);
    assert_int_equal(parse("explain -- -7", &a, &why), ERR_OK);
    assert_string_equal(a.positional[0], "-7");
    buf_deinit(&why);
    assert_int_equal(parse("queue show --help", &a, &why), ERR_OK);
    assert_true(a.help);
    buf_deinit(&why);
}

TEST(what_is_wrong_is_said_with_what_was_perhaps_meant)
{
    static const struct {
        const char *line, *why;
    } cases[] = {
        { "swichover", "there is no command swichover; did you mean switchover?" },
        { "spf verfy", "spf has no command verfy; did you mean verify?" },
        { "frobnicate", "there is no command frobnicate" },
        { "qeue show 5", "there is no command qeue; did you mean queue show?" },
        { "switchover --ot edge2", "switchover: unknown option --ot; did you mean --to?" },
        { "switchover --too=edge2", "switchover: unknown option --too; did you mean --to?" },
        { "--to edge2 switchover", "unknown option --to in front of a command" },
        { "--jsno status", "unknown option --jsno in front of a command; did you mean --json?" },
        { "switchover --to", "--to needs a value: --to NAME" },
        { "switchover --wait=5", "--wait takes no value" },
        { "switchover edge2", "what is \"edge2\" for?" },
        { "queue show", "queue show: ID is missing" },
        { "explain 7 8", "what is \"8\" for?" },
        { "status -n5", "status: unknown option -n5" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct args a;
        struct buf why;
        assert_int_equal(parse(cases[i].line, &a, &why), ERR_MALFORMED);
        assert_slice(buf_slice(&why), cases[i].why);
        buf_deinit(&why);
    }
}

TEST(nothing_is_abbreviated)
{
    static const char *const lines[] = { "switch", "switchover --w", "sp show", "status --js" };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct args a;
        struct buf why;
        assert_int_equal(parse(lines[i], &a, &why), ERR_MALFORMED);
        buf_deinit(&why);
    }
}

TEST(too_many_options_are_an_error_not_an_overflow)
{
    char *argv[100] = { NULL, (char *)"status" };
    struct args a;
    struct buf why;
    for (size_t i = 2; i < 99; i++) argv[i] = (char *)"--json";
    buf_init(&why, 10000);
    assert_int_equal(args_parse(99, argv, commands, globals, &a, &why), ERR_MALFORMED);
    assert_slice(buf_slice(&why), "too many options: --json");
    buf_deinit(&why);
}

TEST(durations_have_units)
{
    static const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } cases[] = {
        { "4h", HOURS(4) },
        { "90m", MINUTES(90) },
        { "1h30m", MINUTES(90) },
        { "2d", DAYS(2) },
        { "1d1h1m1s", DAYS(1) + HOURS(1) + MINUTES(1) + SECONDS(1) },
        { "15s", SECONDS(15) },
        { "366d", DAYS(366) },
        { "367d", 0 },
        { "366d1s", 0 },
        { "4", 0 },
        { "", 0 },
        { "h", 0 },
        { "0s", 0 },
        { "-4h", 0 },
        { "1m1h", 0 },
        { "1h1h", 0 },
        { "4 h", 0 },
        { "99999999999999999999h", 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t ms = 0;
        enum err err = args_duration(cases[i].text, &ms);
        if ((err == ERR_OK) != (cases[i].ms > 0) || ms != cases[i].ms) print_error("%s\n", cases[i].text);
        assert_int_equal(err == ERR_OK, cases[i].ms > 0);
        assert_int_equal(ms, cases[i].ms);
    }
}
