/* gemelctl as a whole: a command line in; requests, texts and the exit code out. The daemon is a script. */
#include "coordinator/ctl/ctl.h"

#include <stdlib.h>
#include <time.h>

#include "tests/coordinator/ctl/server.h"
#include "tests/test.h"

enum { WORDS_MAX = 24 };

struct run {
    int code;
    char *out, *err;
    struct server *server;
    struct ctl_world world;
};

/* `line` is split at blanks; "'a b'" is one word. */
static int split(char *line, char **argv)
{
    int n = 1;
    argv[0] = (char *)"gemelctl";
    while (*line && n < WORDS_MAX) {
        while (*line == ' ') line++;
        if (!*line) break;
        char end = *line == '\'' ? *line++ : ' ';
        argv[n++] = line;
        line += strcspn(line, (char[]){ end, '\0' });
        if (*line) *line++ = '\0';
    }
    argv[n] = NULL;
    return n;
}

static void run(struct run *r, const struct reply *script, const char *line)
{
    char text[512], *argv[WORDS_MAX + 1];
    size_t n_out, n_err;
    setenv("TZ", "UTC", 1);
    tzset();
    r->server = server_create(script);
    r->world.utf8 = true;
    r->world.out = open_memstream(&r->out, &n_out);
    r->world.err = open_memstream(&r->err, &n_err);
    r->world.admin = server_path(r->server);
    if (!r->world.operator_name) r->world.operator_name = "anna@edge1";
    snprintf(text, sizeof text, "%s", line);
    r->code = ctl_run(split(text, argv), argv, &r->world);
    fclose(r->world.out);
    fclose(r->world.err);
}

static void run_end(struct run *r)
{
    server_destroy(r->server);
    free(r->out);
    free(r->err);
}

static bool contains(const char *what, const char *text, const char *part)
{
    if (strstr(text, part)) return true;
    print_error("%s lacks \"%s\":\n%s\n", what, part, text);
    return false;
}

/* All parts but the script may be NULL: not looked at. `asked` exactly, `out` and `err` in part. */
static void check(const char *line, const struct reply *script, int code, const char *asked, const char *out,
                  const char *err)
{
    struct run r = { 0 };
    run(&r, script, line);
    bool good = r.code == code;
    if (!good) print_error("%s: exit %d, wanted %d\n%s%s", line, r.code, code, r.out, r.err);
    if (asked && strcmp(server_asked(r.server), asked) != 0) {
        print_error("%s asked:\n%swanted:\n%s", line, server_asked(r.server), asked);
        good = false;
    }
    if (out) good &= contains("stdout", r.out, out);
    if (err) good &= contains("stderr", r.err, err);
    run_end(&r);
    assert_true(good);
}

#define NOTHING                    ((struct reply[]){ { NULL } })
#define ONE(request, status, json) ((struct reply[]){ { request, status, json }, { NULL } })

#define QUIET "{\"epoch\": 7, \"active\": \"edge1\", \"identities\": [], \"issues\": [], \"operation\": null}"
#define ISSUE \
    "{\"epoch\": 7, \"active\": \"edge1\", \"identities\": [], \"issues\": [\"a\"], \"operation\": null}"

TEST(status_says_by_its_exit_code_whether_something_wants_attention)
{
    check("status", ONE("GET /cluster ", 200, QUIET), CTL_FINE, "GET /cluster\n", "epoch 7", NULL);
    check("status", ONE("GET /cluster ", 200, ISSUE), CTL_ISSUES, NULL, "1 issue:\n  ! a\n", NULL);
}

TEST(json_is_the_answer_as_it_came_and_the_exit_code_stays)
{
    struct run r = { 0 };
    run(&r, ONE("GET", 200, "{\"issues\":  [\"b\"], \"active\": \"edge1\"}"), "status --json");
    assert_int_equal(r.code, CTL_ISSUES);
    assert_string_equal(r.out, "{\"issues\":  [\"b\"], \"active\": \"edge1\"}\n");
    assert_string_equal(r.err, "");
    run_end(&r);
    check("--json pause", ONE("POST /pause", 409, "{\"error\": \"busy\"}"), CTL_REFUSED, NULL,
          "{\"error\": \"busy\"}\n", "gemelctl: busy");
}

TEST(watching_goes_on_when_nobody_answers)
{
    struct run r = { .world = { .rounds = 3 } };
    const struct reply script[] = {
        { "GET", 200, QUIET }, { "GET", .raw = "" }, { "GET", 200, ISSUE }, { NULL }
    };
    run(&r, script, "status -w 1");
    assert_int_equal(r.code, CTL_ISSUES);
    assert_string_equal(server_asked(r.server), "GET /cluster\nGET /cluster\nGET /cluster\n");
    assert_true(contains("stderr", r.err, "closed the connection"));
    assert_null(strchr(r.out, '\033'));
    run_end(&r);
}

TEST(when_the_leader_hangs_status_shows_what_ours_knows)
{
    const struct reply script[] = { { "GET /cluster HTTP", 200, QUIET, .delay_ms = 1500 },
                                    { "GET /cluster?local=1", 200,
                                      "{\"coordinator\": \"coord2\", \"leading\": false}" },
                                    { NULL } };
    check("status --timeout 1", script, CTL_ISSUES, NULL, "coord2 answers and does not lead", NULL);
    const struct reply late[] = { { "GET /cluster HTTP", 504, "{\"error\": \"x\"}" },
                                  { "GET /cluster?local=1", 503, "{\"error\": \"nobody leads\"}" },
                                  { NULL } };
    check("status", late, CTL_UNREACHABLE, "GET /cluster\nGET /cluster?local=1\n", NULL, "nobody leads");
}

TEST(each_command_asks_what_the_api_says)
{
    static const struct {
        const char *line, *asked, *answer;
    } cases[] = {
        { "switchover", "POST /switchover {\"by\":\"anna@edge1\"}\n", "{}" },
        { "switchover --to edge2 --reason 'new kernel' --dry-run --accept-risk",
          "POST /switchover "
          "{\"reason\":\"new "
          "kernel\",\"by\":\"anna@edge1\",\"to\":\"edge2\",\"accept_risk\":true,\"dry_run\":true}\n",
          "{\"text\": \"x\"}" },
        { "failover --to edge2 --force",
          "POST /failover {\"by\":\"anna@edge1\",\"to\":\"edge2\",\"force\":true}\n", "{}" },
        { "pause --reason x", "POST /pause {\"reason\":\"x\",\"by\":\"anna@edge1\"}\n", "{}" },
        { "resume", "POST /resume {\"by\":\"anna@edge1\"}\n", "{}" },
        { "pin edge1 --for 4h",
          "POST /pin {\"by\":\"anna@edge1\",\"identity\":\"edge1\",\"for_ms\":14400000}\n", "{}" },
        { "unpin", "POST /unpin {\"by\":\"anna@edge1\"}\n", "{}" },
        { "fence edge1", "POST /fence {\"by\":\"anna@edge1\",\"identity\":\"edge1\"}\n", "{}" },
        { "history", "GET /history?n=10\n", "{}" },
        { "history -n 3 --all", "GET /history?n=3&all=1\n", "{}" },
        { "spf show", "GET /spf\n", "{}" },
        { "dnsbl check", "POST /dnsbl/check {}\n", "{}" },
        { "dnsbl check 192.0.2.9", "POST /dnsbl/check {\"ip\":\"192.0.2.9\"}\n", "{}" },
        { "dnsbl explain", "GET /dnsbl/explain\n", "{}" },
        { "dnsbl explain 192.0.2.9", "GET /dnsbl/explain?ip=192.0.2.9\n", "{}" },
        { "dnsbl explain 2001:db8::1", "GET /dnsbl/explain?ip=2001%3Adb8%3A%3A1\n", "{}" },
        { "dnsbl explain edge1", "GET /dnsbl/explain?identity=edge1\n", "{}" },
        { "dnsbl zones", "GET /dnsbl\n", "{}" },
        { "doctor", "GET /doctor\n", "{}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct reply script[] = { { "", 200, cases[i].answer }, { NULL } };
        check(cases[i].line, script, CTL_FINE, cases[i].asked, NULL, NULL);
    }
    check("spf verify", ONE("POST /spf/verify", 200, "{}"), CTL_ISSUES, "POST /spf/verify {}\n", NULL, NULL);
    check("spf diff", ONE("GET /spf", 200, "{}"), CTL_ISSUES, "GET /spf\n", NULL, NULL);
}

TEST(the_queue_is_asked_of_the_node)
{
    struct run r = { 0 };
    struct server *node = server_create(ONE("GET /queue?", 200, "{\"messages\": [], \"total\": 0}"));
    char line[256];
    snprintf(line, sizeof line,
             "queue list --flow out --domain b\xc3\xbc"
             "cher.example --sender a+b@x --limit 5 --node-admin %s",
             server_path(node));
    run(&r, NOTHING, line);
    assert_int_equal(r.code, CTL_FINE);
    assert_string_equal(r.out, "The queue is empty.\n");
    assert_string_equal(server_asked(r.server), "");
    assert_string_equal(server_asked(node),
                        "GET /queue?flow=out&domain=b%C3%BCcher.example&sender=a%2Bb%40x&limit=5\n");
    run_end(&r);
    server_destroy(node);
}

TEST(the_socket_at_hand_serves_for_the_queue_too)
{
    struct server *node = server_create(
        (struct reply[]){ { "GET /queue/..%2Fx", 404, "{\"error\": \"no such id\"}" },
                          { "POST /queue/flush", 200, "{\"flushed\": 2}" },
                          { NULL } });
    char line[256];
    snprintf(line, sizeof line, "queue show ../x --admin %s", server_path(node));
    check(line, NOTHING, CTL_REFUSED, "", NULL, "gemelctl: no such id");
    snprintf(line, sizeof line, "--admin %s queue flush --domain example.net", server_path(node));
    check(line, NOTHING, CTL_FINE, "", "2 messages will be tried now.\n", NULL);
    assert_string_equal(server_asked(node),
                        "GET /queue/..%2Fx\nPOST /queue/flush {\"domain\":\"example.net\"}\n");
    server_destroy(node);
}

TEST(orders_name_their_messages_by_id_by_filter_or_all)
{
    static const struct {
        const char *line, *asked;
    } cases[] = {
        { "queue hold A B --reason odd",
          "POST /queue/hold {\"reason\":\"odd\",\"by\":\"anna@edge1\",\"ids\":[\"A\",\"B\"]}\n" },
        { "queue release --held",
          "POST /queue/release {\"by\":\"anna@edge1\",\"filter\":{\"held\":true}}\n" },
        { "queue retry --all", "POST /queue/retry {\"all\":true}\n" },
        { "queue remove --older 2h --no-dsn",
          "POST /queue/remove {\"by\":\"anna@edge1\",\"dsn\":false,\"filter\":{\"older_ms\":7200000}}\n" },
        { "queue remove A", "POST /queue/remove {\"by\":\"anna@edge1\",\"dsn\":true,\"ids\":[\"A\"]}\n" },
        { "queue redirect --domain x.example --to [10.0.0.26]:25",
          "POST /queue/redirect "
          "{\"by\":\"anna@edge1\",\"to\":\"[10.0.0.26]:25\",\"filter\":{\"domain\":\"x.example\"}}\n" },
        { "queue redirect A --undo",
          "POST /queue/redirect {\"by\":\"anna@edge1\",\"to\":\"\",\"ids\":[\"A\"]}\n" },
        { "queue top --limit 3", "GET /queue/destinations?limit=3\n" },
        { "queue list --why greylisted --held", "GET /queue?why=greylisted&held=1\n" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct server *node = server_create((struct reply[]){ { "", 200, "{}" }, { NULL } });
        char line[256];
        snprintf(line, sizeof line, "%s --admin %s", cases[i].line, server_path(node));
        check(line, NOTHING, CTL_FINE, "", NULL, NULL);
        assert_string_equal(server_asked(node), cases[i].asked);
        server_destroy(node);
    }
}

TEST(export_writes_the_pieces_one_after_the_other)
{
    struct server *node = server_create(
        (struct reply[]){ { "GET /queue/a", 200, "{\"id\": \"A\", \"chunks\": 2}" },
                          { "GET /queue/A/chunks/0", 200, "Subject: x\r\n\r\n" },
                          { "GET /queue/A/chunks/1", 200, "text\r\n" },
                          { "GET /queue/a", 200, "{\"id\": \"A\", \"chunks\": 1}" },
                          { "GET /queue/A/chunks/0", 404, "{\"error\": \"it has left\"}" },
                          { NULL } });
    char line[256];
    snprintf(line, sizeof line, "queue export a --admin %s", server_path(node));
    check(line, NOTHING, CTL_FINE, "", "Subject: x\r\n\r\ntext\r\n", NULL);
    check(line, NOTHING, CTL_REFUSED, "", NULL, "it has left");
    server_destroy(node);
}

TEST(what_is_wrong_with_a_command_line_is_said_before_anything_is_asked)
{
    static const struct {
        const char *line, *err;
    } cases[] = {
        { "", "usage: gemelctl" },
        { "spf", "what about spf? See gemelctl spf --help" },
        { "statsu", "there is no command statsu; did you mean status? See gemelctl --help" },
        { "status -w 0", "--watch takes seconds" },
        { "status --timeout 0", "--timeout takes seconds" },
        { "pin edge1", "--for 4h" },
        { "pin edge1 --for 4", "--for 4 is no duration" },
        { "pin --for 4h", "IDENTITY is missing" },
        { "failover --to edge2", "--force" },
        { "failover --force", "to whom?" },
        { "switchover --limit soon --wait", "--limit soon is no duration" },
        { "history -n 0", "1 to 500" },
        { "history -n 501", "1 to 500" },
        { "explain last", "an epoch is a number" },
        { "queue list --flow up", "in or out" },
        { "queue list --limit 0", "takes a number" },
        { "queue flush 5 --domain x", "not both" },
        { "queue list --older soon", "no duration" },
        { "queue hold", "which messages?" },
        { "queue hold 5 --domain x", "which messages?" },
        { "queue remove --domain x --all", "which messages?" },
        { "queue redirect 5", "where to?" },
        { "queue redirect 5 --to x:25 --undo", "where to?" },
        { "queue top --limit 0", "takes a number" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check(cases[i].line, NOTHING, CTL_USAGE, "", NULL, cases[i].err);
}

TEST(refusals_have_exit_codes_and_say_what_to_do)
{
    static const struct {
        int status;
        const char *json;
        int code;
        const char *err;
    } cases[] = {
        { 400, "{\"error\": \"to: no such identity\"}", CTL_USAGE, "to: no such identity" },
        { 403, "{\"error\": \"not here\"}", CTL_REFUSED, "not here" },
        { 409, "{\"result\": \"busy\", \"text\": \"another operation is running\"}", CTL_REFUSED,
          "another operation is running. See gemelctl status, and try again when it has ended" },
        { 412, "{\"result\": \"refused\", \"text\": \"edge2 is listed by bl.example\"}", CTL_REFUSED,
          "edge2 is listed by bl.example" },
        { 412, "{\"error\": \"edge2 is not ready\", \"cure\": \"Start gemel-node there\"}", CTL_REFUSED,
          "edge2 is not ready. Start gemel-node there" },
        { 503, "{\"result\": \"failed\", \"text\": \"the grant was refused\"}", CTL_INCOMPLETE,
          "the grant was refused" },
        { 500, "{\"error\": \"x\"}", CTL_INCOMPLETE, "x" },
        { 503, "{\"error\": \"cannot reach the leader\", \"leader\": \"coord2\"}", CTL_UNREACHABLE,
          "cannot reach the leader. coord2 leads: ask there" },
        { 503, "{\"error\": \"nobody leads\", \"leader\": null}", CTL_UNREACHABLE, "nobody leads" },
        { 418, "[]", CTL_UNREACHABLE, "status 418 and no reason" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check("switchover --to edge2", ONE("POST /switchover", cases[i].status, cases[i].json), cases[i].code,
              NULL, NULL, cases[i].err);
}

TEST(nobody_at_the_socket_is_exit_3)
{
    check("status --admin /tmp/gemel-ctl-there-is-none", NOTHING, CTL_UNREACHABLE, "", NULL,
          "there is no socket");
    check("history --timeout 1", (struct reply[]){ { "GET", 200, "{}", .delay_ms = 4000 }, { NULL } },
          CTL_UNREACHABLE, NULL, NULL, "did not answer within 1 s");
    check("doctor", (struct reply[]){ { "GET", .raw = "SSH-2.0\r\n" }, { NULL } }, CTL_UNREACHABLE, NULL,
          NULL, "does not speak HTTP");
}

#define ENTRY(id, epoch, from, to, result)                                                                   \
    "{\"id\": \"" id "\", \"epoch\": " epoch ", \"from\": \"" from "\", \"to\": \"" to "\", \"kind\": "      \
    "\"switchover\", \"text\": \"as asked\", \"started\": \"2026-03-01T11:00:00Z\", \"steps\": [{\"step\": " \
    "\"fenced\", \"ms\": 12}], \"result\": \"" result "\", \"gap_ms\": 412}"
#define HISTORY(entry) "{\"history\": [" entry "]}"
#define MOVING                                                                                        \
    "{\"epoch\": 6, \"operation\": {\"id\": \"b\", \"kind\": \"switchover\", \"step\": \"fencing\", " \
    "\"from\": "                                                                                      \
    "\"edge1\", \"to\": \"edge2\", \"epoch\": 7, \"in_step_ms\": 3}}"

TEST(switchover_waits_for_its_own_entry_in_the_history)
{
    const struct reply script[] = {
        { "GET /history?n=1", 200, HISTORY(ENTRY("a", "6", "edge2", "edge1", "done")) },
        { "POST /switchover", 202, "{\"result\": \"accepted\"}" },
        { "GET /cluster", 200, QUIET }, /* not begun yet */
        { "GET /history?n=1", 200, HISTORY(ENTRY("a", "6", "edge2", "edge1", "done")) },
        { "GET /cluster", 200, MOVING },
        { "GET /cluster", .raw = "" }, /* the coordinator restarts */
        { "GET /cluster", 200, QUIET },
        { "GET /history?n=1", 200, HISTORY(ENTRY("b", "7", "edge1", "edge2", "done")) },
        { NULL },
    };
    struct run r = { 0 };
    run(&r, script, "switchover --to edge2 --wait");
    assert_int_equal(r.code, CTL_FINE);
    assert_string_equal(r.out, "  fenced 12 ms\nedge1 → edge2, epoch 7, gap 412 ms\n");
    assert_string_equal(r.err, "");
    run_end(&r);
    check("switchover --to edge2 --wait --json", script, CTL_FINE, NULL,
          HISTORY(ENTRY("b", "7", "edge1", "edge2", "done")) "\n", NULL);
}

TEST(on_a_terminal_the_steps_pass_by)
{
    const struct reply script[] = {
        { "GET /history?n=1", 200, "{\"history\": []}" },
        { "POST /switchover", 202, "{}" },
        { "GET /cluster", 200, MOVING },
        { "GET /cluster", 200, QUIET },
        { "GET /history?n=1", 200, HISTORY(ENTRY("b", "7", "edge1", "edge2", "done")) },
        { NULL },
    };
    struct run r = { .world = { .terminal = true, .width = 100 } };
    run(&r, script, "switchover --wait");
    assert_int_equal(r.code, CTL_FINE);
    assert_true(
        contains("stdout", r.out, "\r\033[K  switchover: edge1 → edge2, epoch 7, now fencing (3 ms)\n"));
    run_end(&r);
}

TEST(a_switch_that_ends_otherwise_is_incomplete)
{
    static const char *const entries[] = {
        HISTORY(ENTRY("b", "7", "edge1", "edge2", "failed")),
        HISTORY(ENTRY("b", "8", "edge1", "edge1", "done")),
    };
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        const struct reply script[] = {
            { "GET /history?n=1", 200, "{\"history\": []}" },
            { "POST /failover", 202, "{}" },
            { "GET /cluster", 200, QUIET },
            { "GET /history?n=1", 200, entries[i] },
            { NULL },
        };
        check("failover --to edge2 --force --wait", script, CTL_INCOMPLETE, NULL, "as asked",
              "did not end as asked. Who sends now: gemelctl status");
    }
}

TEST(waiting_ends_at_its_limit_and_the_switch_goes_on)
{
    const struct reply script[] = {
        { "GET /history?n=1", 200, "{\"history\": []}" },
        { "POST /switchover", 202, "{}" },
        { "GET /cluster", 200, MOVING, .for_ever = true },
        { NULL },
    };
    check("switchover --wait --limit 1s", script, CTL_RUNNING, NULL, NULL,
          "still running; it goes on without us");
    const struct reply silent[] = {
        { "GET /history?n=1", 200, "{\"history\": []}" },
        { "POST /switchover", 202, "{}" },
        { "GET /cluster", .raw = "", .for_ever = true },
        { NULL },
    };
    check("switchover --wait --limit 1s", silent, CTL_UNREACHABLE, NULL, NULL, "goes on without us");
}

TEST(a_refused_switch_is_not_waited_for)
{
    const struct reply script[] = { { "GET /history?n=1", 200, "{\"history\": []}" },
                                    { "POST /switchover", 412, "{\"text\": \"edge2 is listed\"}" },
                                    { NULL } };
    check("switchover --to edge2 --wait", script, CTL_REFUSED,
          "GET /history?n=1\nPOST /switchover {\"by\":\"anna@edge1\",\"to\":\"edge2\"}\n", NULL,
          "edge2 is listed");
}

TEST(a_dry_run_changes_nothing_and_waits_for_nothing)
{
    check("switchover --to edge2 --dry-run --wait", ONE("POST /switchover", 200, "{\"text\": \"the plan\"}"),
          CTL_FINE, "POST /switchover {\"by\":\"anna@edge1\",\"to\":\"edge2\",\"dry_run\":true}\n",
          "Nothing was changed; this would happen:\n  the plan\n", NULL);
}

TEST(explain_finds_a_change_by_its_epoch)
{
    const char *two = HISTORY(
        ENTRY("a", "6", "edge2", "edge1", "done") "," ENTRY("b", "7", "edge1", "edge2", "done"));
    check("explain 6", ONE("GET /history?n=500", 200, two), CTL_FINE, NULL, "edge2 → edge1", NULL);
    check("explain 9", ONE("GET /history?n=500", 200, two), CTL_REFUSED, NULL, NULL,
          "no change with epoch 9; the last one is 7");
    check("explain", ONE("GET /history?n=1", 200, two), CTL_FINE, NULL, "edge1 → edge2", NULL);
    check("explain", ONE("GET /history?n=1", 200, "{\"history\": []}"), CTL_REFUSED, NULL, NULL,
          "nothing has changed hands yet");
    struct run r = { 0 };
    run(&r, ONE("GET /history?n=500", 200, two), "--json explain 6");
    json_t *entry = json_loads(r.out, 0, NULL);
    assert_int_equal(js_u64(entry, "epoch", 0), 6);
    json_decref(entry);
    run_end(&r);
}

static uint32_t exits_in(const char *help)
{
    uint32_t mask = 0;
    const char *list = strstr(help, "\nExit codes\n");
    assert_non_null(list);
    for (int code = 0; code < 32; code++) {
        char line[16];
        snprintf(line, sizeof line, "\n  %-3d ", code);
        if (strstr(list, line)) mask |= BIT(code);
    }
    return mask;
}

TEST(the_help_of_each_command_lists_its_exit_codes)
{
    for (const struct command *c = ctl_commands; c->words; c++) {
        struct run r = { 0 };
        char line[64];
        snprintf(line, sizeof line, "%s --help", c->words);
        run(&r, NOTHING, line);
        assert_int_equal(r.code, CTL_FINE);
        assert_true(contains("help", r.out, c->summary));
        assert_int_equal(exits_in(r.out), c->exits);
        assert_true(c->run == cmd_classify || c->exits & BIT(CTL_UNREACHABLE)); /* it alone asks nobody */
        for (const struct option *o = c->options; o && o->name; o++)
            assert_true(contains("help", r.out, o->name));
        run_end(&r);
    }
    check("--help", NOTHING, CTL_FINE, "", "  25  answered", NULL);
    check("queue --help", NOTHING, CTL_FINE, "", "queue flush", NULL);
    check("--version", NOTHING, CTL_FINE, "", "gemelctl " GEMEL_VERSION, NULL);
}

TEST(the_help_fits_into_110_columns)
{
    for (const struct command *c = ctl_commands; c->words; c++) {
        struct screen s;
        struct slice line, rest;
        screen_init(&s, false, true, 0, 0);
        ctl_help(&s, &(struct args){ .command = c });
        for (rest = buf_slice(&s.out); slice_cut(&rest, '\n', &line);)
            if (text_width(line) > 110) fail_msg("%s: %.*s", c->words, SLICE_ARG(line));
        screen_deinit(&s);
    }
}

TEST(the_manual_knows_every_command_and_option)
{
    char manual[64 * 1024];
    FILE *f = fopen("docs/gemelctl.md", "r");
    assert_non_null(f);
    size_t n = fread(manual, 1, sizeof manual - 1, f);
    manual[n] = '\0';
    fclose(f);
    for (const struct command *c = ctl_commands; c->words; c++) {
        char words[64];
        snprintf(words, sizeof words, "gemelctl %s", c->words);
        assert_true(contains("docs/gemelctl.md", manual, words));
        for (const struct option *o = c->options; o && o->name; o++)
            assert_true(contains("docs/gemelctl.md", manual, o->letter ? o->letter : o->name));
    }
    for (const struct option *o = ctl_globals; o->name; o++)
        assert_true(contains("docs/gemelctl.md", manual, o->name));
}

/* ---- classify ---- */

static void classified(const char *line, const char *input, int code, const char *out, const char *err)
{
    struct run r = { .world = { .in = fmemopen((void *)input, strlen(input), "r") } };
    run(&r, NOTHING, line);
    bool good = r.code == code && (!out || contains("stdout", r.out, out)) &&
                (!err || contains("stderr", r.err, err)) && server_asked(r.server)[0] == '\0';
    if (!good) print_error("%s: exit %d\n%s%s", line, r.code, r.out, r.err);
    fclose(r.world.in);
    run_end(&r);
    assert_true(good);
}

TEST(a_refusal_is_classified_without_asking_anybody)
{
    const char *listed = "554 5.7.1 Client host [192.0.2.10] blocked using zen.spamhaus.org\r\n";
    classified("classify --stage rcpt --ip 192.0.2.10", listed, CTL_FINE,
               "scope   ip-public\neffect  SWITCH\nrule    ", NULL);
    classified("classify --ip 192.0.2.10", listed, CTL_FINE, "our address is on a public blocklist", NULL);
    classified("classify --ip 192.0.2.11", listed, CTL_FINE, "scope   ip-other\neffect  NONE\n", NULL);
    classified("classify", "550-5.7.25 a\\n550 5.7.25 no reverse DNS", CTL_FINE, "scope   ptr\neffect  FIX\n",
               NULL);
    classified("classify --zones a.example,mine.example --ip 192.0.2.10",
               "554 [192.0.2.10] blocked using mine.example", CTL_FINE, "effect  SWITCH\n", NULL);
    classified("classify", "", CTL_USAGE, "", "a reply was expected");
    classified("classify --stage dinner", "550 no", CTL_USAGE, "", "the stage is one of");
    classified("classify --ip here", "550 no", CTL_USAGE, "", "not an address");
    classified("classify --rules /nowhere", "550 no", CTL_USAGE, "", "/nowhere: there is no such file");
}

TEST(refusals_as_json_lines_are_answered_line_by_line)
{
    classified("classify --json",
               "{\"stage\": \"rcpt\", \"ip\": \"192.0.2.10\", \"provider\": \"x\", \"reply\": \"550 5.1.1 "
               "user unknown\"}\n"
               "\n"
               "{\"stage\": \"any\", \"ip\": \"\", \"reply\": \"451 4.7.1 Greylisted, try again\"}\n",
               CTL_FINE, "{\"scope\":\"rcpt\",\"effect\":\"NONE\",\"rule\":", NULL);
    classified("classify --json", "{\"reply\": \"451 4.7.1 Greylisted, try again\"}", CTL_FINE,
               "{\"scope\":\"greylist\",\"effect\":\"RETRY\"", NULL);
    classified("classify --json", "{\"reply\": 5}\n{\"reply\": \"550 5.1.1 user unknown\"}\n", CTL_USAGE,
               "was expected\"}\n{\"scope\":\"rcpt\"", NULL);
    classified("classify --json", "scope\n", CTL_USAGE, "{\"error\":", NULL);
}

TEST(what_holds_for_a_destination_is_explained_with_its_rules)
{
    struct server *node = server_create(
        ONE("GET /limits?domain=mail.example.net ", 200,
            "{\"destination\": \"mail.example.net\", \"limits\": [{\"limit\": \"connections\", \"value\": 2, "
            "\"from\": \"relay.limits line 24 (mail.example.net)\"}, {\"limit\": \"rate\", \"value\": 0, "
            "\"from\": "
            "\"default: none\"}], \"tls\": {\"policy\": \"verify\", \"from\": \"relay.tls_policy line 31 "
            "(.example.net)\"}}"));
    char line[256];
    snprintf(line, sizeof line, "limits explain mail.example.net --node-admin %s", server_path(node));
    check(line, NOTHING, CTL_FINE, "",
          "Mail to mail.example.net\n"
          "  connections              2          relay.limits line 24 (mail.example.net)\n"
          "  rate                     unlimited  default: none\n"
          "  tls                      verify     relay.tls_policy line 31 (.example.net)\n",
          NULL);
    server_destroy(node);
    check("limits explain", NOTHING, CTL_USAGE, "", NULL, NULL);
}

TEST(tls_shows_each_destination_and_its_last_failure)
{
    struct server *node = server_create((struct reply[]){
        { "GET /tls ", 200,
          "{\"destinations\": [{\"destination\": \"a.example\", \"policy\": \"verify\", \"successful\": 40, "
          "\"clear_text\": 1, \"failed\": 2, \"last_failure\": {\"result\": \"certificate-expired\", \"mx\": "
          "\"mx.a.example\", \"why\": \"old\", \"wall_ms\": 1000}}]}" },
        { "GET /tls ", 200, "{\"destinations\": []}" },
        { NULL } });
    char line[256];
    snprintf(line, sizeof line, "tls --node-admin %s", server_path(node));
    check(line, NOTHING, CTL_ISSUES, "", "mx.a.example: old", NULL);
    check(line, NOTHING, CTL_FINE, "", "No connection to another mail server", NULL);
    server_destroy(node);
}
