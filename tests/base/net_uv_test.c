#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/base/peer.h"
#include "tests/certs.h"
#include "tests/test.h"

static struct addr ip(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_of(text), &a), ERR_OK);
    return a;
}

static void write_pattern(struct stream *s, size_t n)
{
    char *p = xzalloc(n);
    for (size_t i = 0; i < n; i++) p[i] = (char)(i * 31 + (i >> 13));
    stream_write(s, slice_from(p, n));
    free(p);
}

static void assert_pattern(struct slice s, size_t n)
{
    assert_int_equal(s.n, n);
    for (size_t i = 0; i < n; i++)
        if (s.p[i] != (char)(i * 31 + (i >> 13))) fail_msg("byte %zu differs", i);
}

TEST(bytes_go_both_ways_over_ipv4_ipv6_and_unix_sockets)
{
    char *folder = test_folder(), path[128];
    snprintf(path, sizeof path, "%s/s", folder);
    for (int kind = 0; kind < 3; kind++) {
        struct pair p;
        pair_init(&p);
        const char *unix_path = kind == 2 ? path : NULL;
        pair_listen(
            &p, (struct listen_conf){ .addr = ip(kind == 1 ? "::1" : "127.0.0.1"), .unix_path = unix_path });
        pair_dial(&p, (struct dial_conf){ .unix_path = unix_path });
        RUN_UNTIL(p.loop, p.dialled && p.accepts);
        assert_int_equal(p.err, ERR_OK);
        stream_write(p.client.s, SLICE("hel"));
        stream_write(p.client.s, SLICE("lo"));
        assert_int_equal(stream_pending_bytes(p.client.s), 5);
        stream_write(p.server.s, SLICE("220"));
        RUN_UNTIL(p.loop, buf_len(&p.server.got) == 5 && buf_len(&p.client.got) == 3);
        assert_slice(buf_slice(&p.server.got), "hello");
        assert_slice(buf_slice(&p.client.got), "220");
        assert_int_equal(p.client.drains, 1);
        assert_int_equal(stream_pending_bytes(p.client.s), 0);
        struct addr a, b;
        stream_local(p.client.s, &a);
        stream_peer(p.server.s, &b);
        assert_true(addr_eq_ip(&a, &b) && a.port == b.port);
        assert_int_equal(a.family, kind == 2 ? ADDR_NONE : kind == 1 ? ADDR_V6 : ADDR_V4);
        stream_close(&p.client.s);
        RUN_UNTIL(p.loop, p.server.ends);
        assert_int_equal(p.server.why, ERR_CLOSED);
        pair_deinit(&p);
    }
    test_folder_remove(folder);
    free(folder);
}

TEST(a_refused_dial_comes_back_through_the_callback)
{
    struct pair p;
    pair_init(&p);
    pair_listen(&p, (struct listen_conf){ 0 });
    listener_close(&p.listener); /* now the port is free and nobody listens */
    pair_dial(&p, (struct dial_conf){ 0 });
    RUN_UNTIL(p.loop, p.dialled);
    assert_int_equal(p.err, ERR_RETRY);
    assert_string_equal(p.detail, "connection refused");
    pair_dial(&p, (struct dial_conf){ .unix_path = "/nowhere/at/all" });
    RUN_UNTIL(p.loop, p.dialled);
    assert_int_equal(p.err, ERR_RETRY);
    pair_deinit(&p);
}

TEST(the_source_address_is_the_one_asked_for_or_the_dial_fails)
{
    static const struct {
        const char *from;
        enum err err;
    } cases[] = { { "127.0.0.2", ERR_OK }, { "192.0.2.9", ERR_REFUSED }, { "::1", ERR_REFUSED } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pair p;
        pair_init(&p);
        pair_listen(&p, (struct listen_conf){ 0 });
        pair_dial(&p, (struct dial_conf){ .from = ip(cases[i].from) });
        RUN_UNTIL(p.loop, p.dialled);
        assert_int_equal(p.err, cases[i].err);
        if (!p.err) {
            struct addr peer, want = ip(cases[i].from);
            RUN_UNTIL(p.loop, p.accepts);
            stream_peer(p.server.s, &peer);
            assert_true(addr_eq_ip(&peer, &want));
        }
        pair_deinit(&p);
    }
}

TEST(a_cancelled_dial_never_calls_back)
{
    struct pair p;
    pair_init(&p);
    pair_listen(&p, (struct listen_conf){ 0 });
    pair_dial(&p, (struct dial_conf){ 0 });
    net_dial_cancel(&p.op);
    assert_null(p.op);
    pair_dial(&p, (struct dial_conf){ .from = ip("192.0.2.9") });
    net_dial_cancel(&p.op);
    loop_run_for(p.loop, 30);
    assert_false(p.dialled);
    pair_deinit(&p);
}

TEST(a_connect_nobody_answers_ends_at_its_limit)
{
    struct pair p;
    pair_init(&p);
    /* A backlog of zero takes one connection; the next hello gets no answer. */
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0), fill[2];
    assert_int_equal(bind(fd, (void *)&in, sizeof in) | listen(fd, 0), 0);
    getsockname(fd, (void *)&in, &n);
    for (int i = 0; i < 2; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fill[i], (void *)&in, sizeof in);
    }
    addr_from_sockaddr((void *)&in, &p.addr);
    pair_dial(&p, (struct dial_conf){ .limit_ms = 100 });
    RUN_UNTIL(p.loop, p.dialled);
    assert_int_equal(p.err, ERR_TIMEOUT);
    close(fill[0]), close(fill[1]), close(fd);
    pair_deinit(&p);
}

TEST(an_owner_may_close_and_free_itself_inside_a_callback)
{
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    struct peer *heap = xzalloc(sizeof *heap);
    peer_init(heap);
    heap->free_on_data = true;
    struct stream *s = p.server.s;
    p.server.s = NULL;
    peer_attach(heap, s);
    stream_write(p.client.s, SLICE("x"));
    RUN_UNTIL(p.loop, p.client.ends);
    pair_deinit(&p);
}

TEST(a_reset_is_not_a_clean_end)
{
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    stream_write(p.server.s, SLICE("partial"));
    RUN_UNTIL(p.loop, buf_len(&p.client.got) == 7);
    stream_reset(&p.server.s);
    RUN_UNTIL(p.loop, p.client.ends);
    assert_int_equal(p.client.why, ERR_RETRY);
    stream_write(p.client.s, SLICE("into the void")); /* harmless */
    loop_run_for(p.loop, 10);
    assert_int_equal(p.client.ends, 1);
    pair_deinit(&p);
}

TEST(last_words_of_a_peer_that_goes_away_are_still_heard)
{
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    stream_write(p.server.s, SLICE("554 go away\r\n"));
    stream_finish(&p.server.s, 1000);
    loop_run_for(p.loop, 20);
    for (int i = 0; i < 5 && !p.client.ends; i++) { /* writing meets a closed door sooner or later */
        stream_write(p.client.s, SLICE("MAIL FROM:<>\r\n"));
        loop_run_for(p.loop, 5);
    }
    assert_slice(buf_slice(&p.client.got), "554 go away\r\n");
    pair_deinit(&p);
}

TEST(a_paused_stream_gets_nothing_and_loses_nothing)
{
    enum { N = 8 << 20 };
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    stream_pause(p.server.s);
    write_pattern(p.client.s, N);
    loop_run_for(p.loop, 50);
    assert_int_equal(buf_len(&p.server.got), 0);
    assert_true(stream_pending_bytes(p.client.s) > 0); /* back pressure reached the writer */
    while (buf_len(&p.server.got) < N / 2) {
        stream_resume(p.server.s);
        loop_run_for(p.loop, 1);
        stream_pause(p.server.s);
        size_t before = buf_len(&p.server.got);
        loop_run_for(p.loop, 1);
        assert_int_equal(buf_len(&p.server.got), before);
    }
    stream_resume(p.server.s);
    RUN_UNTIL(p.loop, buf_len(&p.server.got) == N);
    assert_pattern(buf_slice(&p.server.got), N);
    assert_int_equal(p.client.drains, 1);
    pair_deinit(&p);
}

TEST(a_peer_that_takes_no_bytes_is_given_up_after_the_write_limit)
{
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    stream_pause(p.server.s);
    stream_set_write_limit(p.client.s, 200);
    write_pattern(p.client.s, 16 << 20);
    RUN_UNTIL(p.loop, p.client.ends);
    assert_int_equal(p.client.why, ERR_TIMEOUT);
    pair_deinit(&p);
}

TEST(finish_delivers_everything_even_to_a_slow_reader_with_unread_input_on_our_side)
{
    enum { N = 4 << 20 };
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    stream_pause(p.client.s);
    stream_pause(p.server.s);
    write_pattern(p.client.s, 100000); /* never read by the server: a plain close would be a reset */
    write_pattern(p.server.s, N);
    loop_run_for(p.loop, 20);
    stream_finish(&p.server.s, 5000);
    assert_null(p.server.s);
    loop_run_for(p.loop, 20);
    stream_resume(p.client.s);
    RUN_UNTIL(p.loop, p.client.ends);
    assert_int_equal(p.client.why, ERR_CLOSED);
    assert_pattern(buf_slice(&p.client.got), N);
    pair_deinit(&p);
}

TEST(finish_ends_at_its_limit_when_the_peer_does_not)
{
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    stream_pause(p.client.s);
    write_pattern(p.server.s, 16 << 20);
    stream_finish(&p.server.s, 50);
    loop_run_for(p.loop, 120);
    stream_resume(p.client.s);
    RUN_UNTIL(p.loop, p.client.ends);
    assert_true(buf_len(&p.client.got) < 16 << 20);
    pair_deinit(&p);
}

TEST(last_words_leave_even_when_the_loop_ends_at_once)
{
    struct pair p;
    pair_init(&p);
    pair_listen(&p, (struct listen_conf){ 0 });
    struct sockaddr_storage ss;
    socklen_t n = addr_to_sockaddr(&p.addr, &ss);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (void *)&ss, n), 0);
    RUN_UNTIL(p.loop, p.accepts);
    stream_write(p.server.s, SLICE("421 4.3.2 shutting down\r\n"));
    stream_finish(&p.server.s, 1000);
    pair_deinit(&p);
    char got[64] = "";
    assert_int_equal(read(fd, got, sizeof got), 25);
    assert_int_equal(read(fd, got, sizeof got), 0);
    close(fd);
}

TEST(after_the_peers_half_close_we_can_still_answer)
{
    struct pair p;
    pair_init(&p);
    pair_listen(&p, (struct listen_conf){ 0 });
    struct sockaddr_storage ss;
    socklen_t n = addr_to_sockaddr(&p.addr, &ss);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (void *)&ss, n), 0);
    assert_int_equal(write(fd, "QUIT\r\n", 6), 6);
    shutdown(fd, SHUT_WR);
    RUN_UNTIL(p.loop, p.server.ends);
    assert_int_equal(p.server.why, ERR_CLOSED);
    stream_write(p.server.s, SLICE("221 bye\r\n"));
    stream_finish(&p.server.s, 1000);
    loop_run_for(p.loop, 20);
    char got[32] = "";
    assert_int_equal(read(fd, got, sizeof got), 9);
    assert_int_equal(read(fd, got, sizeof got), 0);
    close(fd);
    pair_deinit(&p);
}

TEST(an_address_in_use_is_refused_with_a_reason_unless_the_port_is_shared)
{
    struct pair p;
    const char *detail = NULL;
    struct listener *again = NULL;
    pair_init(&p);
    pair_listen(&p, (struct listen_conf){ .reuse_port = true });
    struct listen_conf conf = { .addr = p.addr };
    assert_int_equal(net_listen(p.env->net, &conf, NULL, NULL, &again, &detail), ERR_REFUSED);
    assert_string_equal(detail, "address already in use");
    conf.reuse_port = true;
    assert_int_equal(net_listen(p.env->net, &conf, NULL, NULL, &again, &detail), ERR_OK);
    listener_close(&again);
    conf.addr = ip("192.0.2.1");
    assert_int_equal(net_listen(p.env->net, &conf, NULL, NULL, &again, NULL), ERR_REFUSED);
    pair_deinit(&p);
}

TEST(a_dead_unix_socket_is_replaced_and_a_live_one_is_not)
{
    char *folder = test_folder();
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s/s", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (void *)&sun, sizeof sun), 0);
    close(fd);
    struct pair p;
    struct stat st;
    struct listener *again = NULL;
    pair_init(&p);
    struct listen_conf conf = { .unix_path = sun.sun_path };
    pair_listen(&p, conf);
    assert_int_equal(stat(sun.sun_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(net_listen(p.env->net, &conf, NULL, NULL, &again, NULL), ERR_REFUSED);
    pair_deinit(&p);
    assert_int_equal(stat(sun.sun_path, &st), -1); /* gone with its listener */
    test_folder_remove(folder);
    free(folder);
}

struct answer {
    enum err err;
    char text[32];
    int count;
};

static void on_datagram(void *owner, enum err err, struct slice s)
{
    struct answer *a = owner;
    a->err = err;
    a->count++;
    assert_int_equal(slice_cstr(s, a->text, sizeof a->text), ERR_OK);
}

TEST(datagrams_come_from_the_peer_only_and_a_closed_port_is_noticed)
{
    struct pair p;
    pair_init(&p);
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, from;
    socklen_t n = sizeof in;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), stranger = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (void *)&in, sizeof in), 0);
    getsockname(fd, (void *)&in, &n);
    struct addr to;
    struct udp *u = NULL;
    struct answer a = { 0 };
    addr_from_sockaddr((void *)&in, &to);
    assert_int_equal(udp_open(p.env->net, &to, on_datagram, &a, &u), ERR_OK);
    udp_send(u, SLICE("ask"));
    char got[16] = "";
    n = sizeof from;
    assert_int_equal(recvfrom(fd, got, sizeof got, 0, (void *)&from, &n), 3);
    sendto(stranger, "lie", 3, 0, (void *)&from, n);
    sendto(fd, "truth", 5, 0, (void *)&from, n);
    RUN_UNTIL(p.loop, a.count);
    assert_string_equal(a.text, "truth");
    assert_int_equal(a.count, 1);
    close(fd);
    udp_send(u, SLICE("ask"));
    RUN_UNTIL(p.loop, a.count == 2);
    assert_int_equal(a.err, ERR_RETRY);
    udp_close(&u);
    close(stranger);
    pair_deinit(&p);
}
