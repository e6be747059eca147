#include "coordinator/ctl/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/coordinator/ctl/server.h"
#include "tests/test.h"

static void check_why(const struct answer *a, const char *part)
{
    if (strstr(a->why, part)) return;
    print_error("\"%s\" is not in \"%s\"\n", part, a->why);
    fail();
}

/* One call to a server with this script. */
static enum err call(const struct reply *script, uint64_t limit_ms, struct answer *a)
{
    struct server *s = server_create(script);
    struct client *c = client_create();
    struct client_target to = { server_path(s), "gemel-coordinator", "--admin" };
    enum err err = client_call(c, &to, "/cluster", NULL, limit_ms, a);
    client_destroy(c);
    server_destroy(s);
    return err;
}

static void fails(struct reply reply, uint64_t limit_ms, enum err want, const char *why)
{
    struct answer a;
    reply.request = "GET";
    enum err err = call((struct reply[]){ reply, { NULL } }, limit_ms, &a);
    if (err != want) print_error("%s instead of %s: %s\n", err_name(err), err_name(want), a.why);
    assert_int_equal(err, want);
    assert_null(a.json);
    check_why(&a, why);
    answer_deinit(&a);
}

#define JSON_REPLY(code, text) ((struct reply){ .status = (code), .json = (text) })
#define RAW_REPLY(text)        ((struct reply){ .raw = (text) })

TEST(an_answer_is_parsed_and_kept_as_it_came)
{
    struct answer a;
    const struct reply script[] = { { "GET /cluster HTTP/1.1", 200, "{ \"epoch\":  7 }" }, { NULL } };
    assert_int_equal(call(script, 5000, &a), ERR_OK);
    assert_int_equal(a.status, 200);
    assert_slice(buf_slice(&a.body), "{ \"epoch\":  7 }");
    assert_int_equal(json_integer_value(json_object_get(a.json, "epoch")), 7);
    answer_deinit(&a);
    answer_deinit(&a);
}

TEST(an_error_status_is_an_answer_too)
{
    struct answer a;
    const struct reply script[] = { { "GET", 503, "{\"error\": \"nobody leads\"}" }, { NULL } };
    assert_int_equal(call(script, 5000, &a), ERR_OK);
    assert_int_equal(a.status, 503);
    assert_non_null(a.json);
    answer_deinit(&a);
}

TEST(an_answer_without_a_body_has_no_json)
{
    struct answer a;
    const struct reply script[] = { { "GET", .raw = "HTTP/1.1 204 No Content\r\n\r\n" }, { NULL } };
    assert_int_equal(call(script, 5000, &a), ERR_OK);
    assert_int_equal(a.status, 204);
    assert_null(a.json);
    answer_deinit(&a);
}

TEST(a_body_makes_it_a_post)
{
    const struct reply script[] = { { "POST /pin?x=1 HTTP/1.1", 200, "{}" }, { NULL } };
    struct server *s = server_create(script);
    struct client *c = client_create();
    struct client_target to = { server_path(s), "gemel-coordinator", "--admin" };
    json_t *body = json_pack("{s:s, s:I}", "identity", "edge1", "for_ms", (json_int_t)14400000);
    struct answer a;
    assert_int_equal(client_call(c, &to, "/pin?x=1", body, 5000, &a), ERR_OK);
    assert_int_equal(a.status, 200);
    assert_string_equal(server_asked(s), "POST /pin?x=1 {\"identity\":\"edge1\",\"for_ms\":14400000}\n");
    answer_deinit(&a);
    json_decref(body);
    client_destroy(c);
    server_destroy(s);
}

TEST(garbage_is_named_and_cannot_move_the_cursor)
{
    fails(RAW_REPLY("220 edge1 ESMTP\r\n"), 5000, ERR_MALFORMED, "does not speak HTTP");
    fails(RAW_REPLY("\x16\x03\x01\x02\x01\x01\x01\x01\xfc\x03\x03"), 5000, ERR_MALFORMED,
          "does not speak HTTP");
    fails(JSON_REPLY(200, "<html>\033[2J hello"), 5000, ERR_MALFORMED, "\"<html>?[2J hello\"");
    fails(JSON_REPLY(200, "{\"epoch\": 7"), 5000, ERR_MALFORMED, "is not JSON");
    fails(JSON_REPLY(200, "{\"epoch\": 7} {}"), 5000, ERR_MALFORMED, "is not JSON");
    fails(JSON_REPLY(200, "{\"a\": \"\xff\xfe\"}"), 5000, ERR_MALFORMED, "is not JSON");
    fails(JSON_REPLY(404, "no such path"), 5000, ERR_MALFORMED, "another version");
}

TEST(json_that_nests_for_ever_is_malformed)
{
    char deep[20001];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    fails(JSON_REPLY(200, deep), 5000, ERR_MALFORMED, "is not JSON");
}

TEST(a_huge_answer_is_cut_off)
{
    struct reply huge = { .raw = "HTTP/1.1 200 OK\r\n\r\n{\"a\": 1",
                          .filler_bytes = CLIENT_ANSWER_BYTES_MAX + 1 };
    fails(huge, 20000, ERR_LIMIT, "longer than 16 MiB");
}

TEST(silence_and_trickling_end_at_the_limit)
{
    struct reply silent = { .status = 200, .json = "{}", .delay_ms = 5000 };
    struct reply trickling = { .status = 200, .json = "{\"a\": 1}", .trickle_ms = 50 };
    fails(silent, 300, ERR_TIMEOUT, "did not answer within");
    fails(trickling, 400, ERR_TIMEOUT, "did not answer within");
}

TEST(a_connection_that_closes_is_an_error_wherever_it_does)
{
    fails(RAW_REPLY(""), 5000, ERR_CLOSED, "closed the connection");
    fails(RAW_REPLY("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"a\":"), 5000, ERR_CLOSED,
          "closed the connection");
    fails(RAW_REPLY("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":"), 5000, ERR_CLOSED,
          "closed the connection");
}

static enum err call_path(const char *path, struct answer *a)
{
    struct client *c = client_create();
    struct client_target to = { path, "gemel-coordinator", "--admin" };
    enum err err = client_call(c, &to, "/cluster", NULL, 2000, a);
    client_destroy(c);
    return err;
}

TEST(a_missing_socket_names_the_daemon_and_the_option)
{
    struct answer a;
    assert_int_equal(call_path("/tmp/gemel-ctl-there-is-none/admin.sock", &a), ERR_NOT_FOUND);
    check_why(&a, "there is no socket /tmp/gemel-ctl-there-is-none/admin.sock");
    check_why(&a, "--admin");
    answer_deinit(&a);
}

TEST(a_socket_nobody_listens_on_says_that_the_daemon_ended)
{
    char dir[] = "/tmp/gemel-ctl.XXXXXX";
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    struct answer a;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_non_null(mkdtemp(dir));
    snprintf(un.sun_path, sizeof un.sun_path, "%s/s", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd);
    assert_int_equal(call_path(un.sun_path, &a), ERR_REFUSED);
    check_why(&a, "nobody listens");
    check_why(&a, "systemctl status gemel-coordinator");
    answer_deinit(&a);
    unlink(un.sun_path);
    rmdir(dir);
}

TEST(a_path_too_long_for_a_socket_is_not_cut)
{
    char path[300];
    struct answer a;
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_int_equal(call_path(path, &a), ERR_NOT_FOUND);
    check_why(&a, "too long");
    answer_deinit(&a);
}

TEST(a_proxy_in_the_environment_is_not_asked)
{
    struct answer a;
    const struct reply script[] = { { "GET /cluster", 200, "{}" }, { NULL } };
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    assert_int_equal(call(script, 5000, &a), ERR_OK);
    unsetenv("http_proxy");
    answer_deinit(&a);
}

TEST(what_goes_into_a_path_is_escaped)
{
    struct buf b;
    buf_init(&b, 1000);
    client_escape(&b, SLICE("a b/../c?d=é&\r\n~"));
    assert_slice(buf_slice(&b), "a%20b%2F..%2Fc%3Fd%3D%C3%A9%26%0D%0A~");
    buf_deinit(&b);
}
