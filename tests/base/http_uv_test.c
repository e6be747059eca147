#include "base/http_uv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/tls_uv.h"
#include "tests/base/peer.h"
#include "tests/certs.h"
#include "tests/test.h"

struct world {
    struct pair p; /* its client is the browser */
    struct http_server *server;
    struct http_request *kept; /* to be answered later */
    int calls, gone;
    struct buf seen; /* what the handler was told */
};

static void on_gone(void *owner)
{
    struct world *w = owner;
    w->gone++;
    w->kept = NULL;
}

static void handler(void *owner, struct http_request *req)
{
    struct world *w = owner;
    struct slice q = SLICE("none");
    w->calls++;
    bool asked = http_query(req, "q", &q);
    buf_clear(&w->seen);
    buf_putf(&w->seen, "%.*s %.*s q=%.*s%s body=%zu name=%s", SLICE_ARG(http_method(req)),
             SLICE_ARG(http_path(req)), SLICE_ARG(q), asked ? "" : "?", http_body(req).n,
             http_peer_name(req));
    if (slice_eq(http_path(req), SLICE("/later"))) {
        w->kept = req;
        http_on_gone(req, on_gone, w);
        return;
    }
    if (slice_eq(http_path(req), SLICE("/moved"))) http_add_header(req, "Location", "/elsewhere");
    http_reply(req, slice_eq(http_path(req), SLICE("/active")) ? 503 : 200, "text/plain", SLICE("hello\n"));
}

static void world_init(struct world *w, struct http_conf conf)
{
    struct buf why;
    *w = (struct world){ 0 };
    pair_init(&w->p);
    buf_init(&w->seen, 4096);
    buf_init(&why, 1000);
    if (!conf.unix_path) assert_int_equal(addr_parse(SLICE("127.0.0.1"), &conf.addr), ERR_OK);
    if (http_server_create(w->p.loop, &conf, handler, w, &w->server, &why)) fail_msg("%s", buf_cstr(&why));
    http_server_addr(w->server, &w->p.addr);
    buf_deinit(&why);
}

static void world_deinit(struct world *w)
{
    http_server_destroy(w->server);
    pair_deinit(&w->p);
    buf_deinit(&w->seen);
}

static void ask(struct world *w, struct dial_conf dial, struct slice request)
{
    stream_close(&w->p.client.s);
    peer_deinit(&w->p.client);
    peer_init(&w->p.client);
    pair_dial(&w->p, dial);
    RUN_UNTIL(w->p.loop, w->p.dialled);
    if (w->p.err) fail_msg("%s", w->p.detail);
    stream_write(w->p.client.s, request);
}

static void assert_answer(struct world *w, const char *status, const char *tail)
{
    RUN_UNTIL(w->p.loop, slice_ends(buf_slice(&w->p.client.got), slice_of(tail)));
    if (!slice_starts(buf_slice(&w->p.client.got), slice_of(status)))
        fail_msg("%s", buf_cstr(&w->p.client.got));
}

#define GET(path) SLICE("GET " path " HTTP/1.1\r\nHost: x\r\n\r\n")

TEST(a_request_reaches_the_handler_decoded_and_the_answer_comes_back)
{
    struct world w;
    world_init(&w, (struct http_conf){ 0 });
    ask(&w, (struct dial_conf){ 0 }, GET("/a%20b?q=x%26y&z"));
    assert_answer(&w, "HTTP/1.1 200 ", "\r\n\r\nhello\n");
    assert_slice(buf_slice(&w.seen), "GET /a b q=x&y body=0 name=");
    stream_write(w.p.client.s, GET("/active")); /* the same connection again */
    RUN_UNTIL(w.p.loop, slice_find_slice(buf_slice(&w.p.client.got), SLICE("HTTP/1.1 503 ")) !=
                            buf_len(&w.p.client.got));
    ask(&w, (struct dial_conf){ 0 }, SLICE("HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    RUN_UNTIL(w.p.loop, w.p.client.ends);
    assert_answer(&w, "HTTP/1.1 200 ", "\r\n\r\n"); /* the length, not the body */
    assert_true(slice_ifind_slice(buf_slice(&w.p.client.got), SLICE("content-length: 6")) <
                buf_len(&w.p.client.got));
    ask(&w, (struct dial_conf){ 0 }, GET("/moved"));
    assert_answer(&w, "HTTP/1.1 200 ", "hello\n");
    assert_true(slice_find_slice(buf_slice(&w.p.client.got), SLICE("Location: /elsewhere\r\n")) <
                buf_len(&w.p.client.got));
    world_deinit(&w);
}

TEST(a_body_is_collected_and_a_longer_one_refused)
{
    struct world w;
    struct buf b;
    char *big = xzalloc(HTTP_BODY_BYTES_MAX);
    buf_init(&b, HTTP_BODY_BYTES_MAX + 1000);
    world_init(&w, (struct http_conf){ 0 });
    buf_putf(&b, "POST /switchover HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", HTTP_BODY_BYTES_MAX);
    buf_put(&b, slice_from(big, HTTP_BODY_BYTES_MAX));
    ask(&w, (struct dial_conf){ 0 }, buf_slice(&b));
    assert_answer(&w, "HTTP/1.1 200 ", "hello\n");
    assert_slice(buf_slice(&w.seen), "POST /switchover q=none? body=1048576 name=");
    ask(&w, (struct dial_conf){ 0 }, SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n"));
    assert_answer(&w, "HTTP/1.1 413 ", "too large\n");
    assert_int_equal(w.calls, 1);
    buf_clear(&b); /* in chunks, so nobody said how long it would be */
    buf_put(&b, SLICE("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"));
    buf_put(&b, slice_from(big, HTTP_BODY_BYTES_MAX));
    buf_put(&b, SLICE("\r\n1\r\nx\r\n0\r\n\r\n"));
    ask(&w, (struct dial_conf){ 0 }, buf_slice(&b));
    RUN_UNTIL(w.p.loop, w.p.client.ends);
    assert_int_equal(w.calls, 1);
    buf_deinit(&b);
    free(big);
    world_deinit(&w);
}

TEST(an_answer_may_come_later_and_the_client_may_be_gone_by_then)
{
    struct world w;
    world_init(&w, (struct http_conf){ 0 });
    ask(&w, (struct dial_conf){ 0 }, GET("/later"));
    RUN_UNTIL(w.p.loop, w.kept);
    loop_run_for(w.p.loop, 20);
    assert_int_equal(buf_len(&w.p.client.got), 0);
    http_reply(w.kept, 202, "application/json", SLICE("{}"));
    assert_answer(&w, "HTTP/1.1 202 ", "{}");
    w.kept = NULL;
    ask(&w, (struct dial_conf){ 0 }, GET("/later"));
    RUN_UNTIL(w.p.loop, w.kept);
    stream_reset(&w.p.client.s);
    loop_run_for(w.p.loop, 20);
    http_reply(w.kept, 200, NULL, SLICE("to nobody"));
    loop_run_for(w.p.loop, 20);
    assert_int_equal(w.gone, 0);
    world_deinit(&w);
}

TEST(a_server_that_goes_away_answers_what_is_open)
{
    struct world w;
    world_init(&w, (struct http_conf){ 0 });
    ask(&w, (struct dial_conf){ 0 }, GET("/later"));
    RUN_UNTIL(w.p.loop, w.kept);
    http_server_destroy(w.server);
    w.server = NULL;
    assert_int_equal(w.gone, 1);
    assert_answer(&w, "HTTP/1.1 503 ", "shutting down\n");
    world_deinit(&w);
}

TEST(garbage_is_answered_and_does_no_harm)
{
    static const char *const requests[] = { "\x16\x03\x01\x02\x00", "EHLO me\r\n\r\n", "GET\r\n\r\n",
                                            "\r\n\r\n\r\n", "GET / HTTP/9.9\r\n\r\n" };
    struct world w;
    world_init(&w, (struct http_conf){ 0 });
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        ask(&w, (struct dial_conf){ 0 }, slice_of(requests[i]));
        loop_run_for(w.p.loop, 10);
    }
    ask(&w, (struct dial_conf){ 0 }, GET("/still"));
    assert_answer(&w, "HTTP/1.1 200 ", "hello\n");
    world_deinit(&w);
}

TEST(a_unix_socket_has_its_mode_and_a_taken_address_its_reason)
{
    char *folder = test_folder(), path[100];
    struct stat st;
    struct world w;
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    world_init(&w, (struct http_conf){ .unix_path = path, .unix_mode = 0600 });
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    ask(&w, (struct dial_conf){ .unix_path = path }, GET("/x"));
    assert_answer(&w, "HTTP/1.1 200 ", "hello\n");
    struct http_server *again = NULL;
    struct buf why;
    buf_init(&why, 1000);
    assert_int_equal(
        http_server_create(w.p.loop, &(struct http_conf){ .unix_path = path }, handler, &w, &again, &why),
        ERR_REFUSED);
    assert_true(slice_iends(buf_slice(&why), SLICE("admin.sock: Address already in use")));
    world_deinit(&w);
    world_init(&w, (struct http_conf){ 0 });
    struct http_conf taken = { .addr = w.p.addr };
    assert_int_equal(http_server_create(w.p.loop, &taken, handler, &w, &again, &why), ERR_REFUSED);
    struct http_conf no_file = { .addr = w.p.addr,
                                 .cert_file = "/nowhere/x.pem",
                                 .key_file = "/nowhere/x.key" };
    assert_int_equal(http_server_create(w.p.loop, &no_file, handler, &w, &again, &why), ERR_NOT_FOUND);
    assert_slice(buf_slice(&why), "/nowhere/x.pem: No such file");
    world_deinit(&w);
    buf_deinit(&why);
    test_folder_remove(folder);
    free(folder);
}

TEST(over_tls_only_a_client_with_our_certificate_is_heard_and_known_by_name)
{
    char *folder = test_folder();
    struct cert_files server, client, foreign;
    struct certs *ca = certs_create(folder, "ca"), *other = certs_create(folder, "other");
    certs_issue(ca, "server", "edge1", "DNS:edge1", 1, &server);
    certs_issue(ca, "client", "ops", NULL, 1, &client);
    certs_issue(other, "foreign", "ops", NULL, 1, &foreign);
    const struct {
        const struct cert_files *f;
        bool heard;
    } cases[] = { { &client, true }, { &foreign, false }, { NULL, false } };
    struct world w;
    world_init(&w,
               (struct http_conf){ .cert_file = server.cert, .key_file = server.key, .ca_file = server.ca });
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tls_context *tls = NULL;
        struct tls_conf conf = { .ca_file = server.ca, .verify = TLS_VERIFY_PEER };
        if (cases[i].f) conf.cert_file = cases[i].f->cert, conf.key_file = cases[i].f->key;
        assert_int_equal(tls_context_create(&conf, &tls, NULL), ERR_OK);
        w.calls = 0;
        ask(&w, (struct dial_conf){ .tls = tls, .tls_name = "edge1" }, GET("/x"));
        if (cases[i].heard) {
            assert_answer(&w, "HTTP/1.1 200 ", "hello\n");
            assert_slice(buf_slice(&w.seen), "GET /x q=none? body=0 name=ops");
        } else {
            assert_answer(&w, "HTTP/1.1 403 ", "is required\n");
            assert_int_equal(w.calls, 0);
        }
        stream_close(&w.p.client.s);
        tls_context_destroy(tls);
    }
    world_deinit(&w);
    certs_destroy(ca);
    certs_destroy(other);
    test_folder_remove(folder);
    free(folder);
}
