#include "base/redis_uv.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/tls_uv.h"
#include "tests/base/peer.h"
#include "tests/certs.h"
#include "tests/redis_server.h"
#include "tests/test.h"

/* ---- what a caller sees ---- */

struct seen {
    int ups, downs;
    char why[256];
    struct redis *r;
    int *order;
};

static void on_state(void *owner, bool up, const char *why)
{
    struct seen *s = owner;
    *(up ? &s->ups : &s->downs) += 1;
    if (!up) snprintf(s->why, sizeof s->why, "%s", why);
}

struct answer {
    struct redis_op *op;
    int count;
    enum err err;
    char word[32], text[256];
    int64_t n;
    size_t elements;
    struct redis **destroy, *reconnect;
};

static void on_done(void *owner, enum err err, const struct redisReply *reply, const char *word)
{
    struct answer *a = owner;
    a->op = NULL;
    a->count++;
    a->err = err;
    a->n = -1;
    snprintf(a->word, sizeof a->word, "%s", word);
    snprintf(a->text, sizeof a->text, "%.*s", SLICE_ARG(redis_reply_text(reply)));
    redis_reply_int(reply, &a->n);
    a->elements = redis_reply_count(reply);
    if (a->reconnect) redis_reconnect(a->reconnect, "asked");
    if (a->destroy) {
        redis_destroy(*a->destroy);
        *a->destroy = NULL;
    }
}

struct client {
    struct loop *loop;
    struct seen seen;
    struct redis *r;
};

static void client_init(struct client *c, struct redis_conf conf, const struct addr *server)
{
    *c = (struct client){ 0 };
    assert_int_equal(loop_create(NULL, &c->loop), ERR_OK);
    if (!conf.n_servers) conf.servers = server, conf.n_servers = 1;
    c->r = redis_create(loop_env(c->loop), &conf, on_state, &c->seen);
}

static void client_deinit(struct client *c)
{
    redis_destroy(c->r);
    loop_destroy(c->loop);
}

#define ASK(c, a, limit_ms, ...)                                             \
    do {                                                                     \
        (a)->op = redis_call((c)->r, (limit_ms), on_done, (a), __VA_ARGS__); \
        int before_ = (a)->count;                                            \
        RUN_UNTIL((c)->loop, (a)->count > before_);                          \
    } while (0)

TEST(commands_are_answered_in_order_and_values_come_as_they_are)
{
    struct redis_server s;
    struct client c;
    struct answer a = { 0 };
    redis_server_init(&s, "");
    client_init(&c, (struct redis_conf){ .client_name = "tester" }, &s.addr);
    /* Not up yet: waits for the connection. */
    ASK(&c, &a, 3000, SLICE("SET"), SLICE("key with space"), slice_from("a\0b\r\n", 5));
    assert_int_equal(a.err, ERR_OK);
    assert_string_equal(a.text, "OK");
    assert_true(redis_is_up(c.r));
    assert_int_equal(c.seen.ups, 1);
    assert_int_equal(redis_generation(c.r), 1);
    ASK(&c, &a, 3000, SLICE("STRLEN"), SLICE("key with space"));
    assert_int_equal(a.n, 5);
    ASK(&c, &a, 3000, SLICE("GET"), SLICE("nothing"));
    assert_int_equal(a.err, ERR_OK);
    ASK(&c, &a, 3000, SLICE("CLIENT"), SLICE("GETNAME"));
    assert_string_equal(a.text, "tester");
    struct answer many[200] = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i].op = redis_call(c.r, 3000, on_done, &many[i], SLICE("INCR"), SLICE("n"));
    RUN_UNTIL(c.loop, many[199].count);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) assert_int_equal(many[i].n, i + 1);
    ASK(&c, &a, 3000, SLICE("GET"), SLICE("n")); /* a number as a string */
    assert_int_equal(a.n, 200);
    redis_call(c.r, 3000, NULL, NULL, SLICE("HSET"), SLICE("h"), SLICE("epoch"), SLICE("7"), SLICE("who"),
               SLICE("x"));
    ASK(&c, &a, 3000, SLICE("HGETALL"), SLICE("h"));
    assert_int_equal(a.elements, 4);
    ASK(&c, &a, 3000, SLICE("LPUSH"), SLICE("h"), SLICE("x"));
    assert_int_equal(a.err, ERR_MALFORMED);
    assert_string_equal(a.word, "wrongtype");
    client_deinit(&c);
    redis_server_deinit(&s);
}

TEST(a_script_the_server_forgot_is_sent_again_once)
{
    struct redis_server s;
    struct client c;
    struct answer a = { 0 };
    struct redis_script script, broken;
    redis_script_init(&script, "add", "return redis.call('INCRBY', KEYS[1], ARGV[1])");
    redis_script_init(&broken, "broken", "return redis.call('GET')");
    assert_string_equal(script.sha1, "8cd00688c05c46bde4a2e60658ef20a2e5c0b248");
    redis_server_init(&s, "");
    client_init(&c, (struct redis_conf){ 0 }, &s.addr);
    const struct slice key = SLICE_INIT("k"), five = SLICE_INIT("5");
    for (int i = 1; i <= 3; i++) {
        a.op = redis_eval(c.r, &script, &key, 1, &five, 1, 3000, on_done, &a);
        RUN_UNTIL(c.loop, a.count == i);
        assert_int_equal(a.err, ERR_OK);
        assert_int_equal(a.n, 5 * i);
        if (i == 2) { /* as after a restart or a failover */
            struct answer flush = { 0 };
            ASK(&c, &flush, 3000, SLICE("SCRIPT"), SLICE("FLUSH"));
        }
    }
    redis_eval(c.r, &broken, &key, 1, NULL, 0, 3000, NULL, NULL);
    a.op = redis_eval(c.r, &broken, &key, 1, NULL, 0, 3000, on_done, &a);
    RUN_UNTIL(c.loop, a.count == 4);
    assert_int_equal(a.err, ERR_REFUSED);
    assert_string_equal(a.word, "err");
    client_deinit(&c);
    redis_server_deinit(&s);
}

TEST(users_passwords_and_permissions_have_their_words)
{
    struct redis_server s;
    struct answer a = { 0 };
    redis_server_init(&s, "user default off\nuser gemel on >secret ~k* +@all -flushall\n"
                          "user mute on >secret ~* +get +auth\n");
    static const struct {
        const char *user, *password;
        bool up;
        const char *why;
    } cases[] = {
        { "gemel", "secret", true, "" },
        { "gemel", "wrong", false, "AUTH: WRONGPASS" },
        { NULL, "secret", false, "AUTH: WRONGPASS" },
        { NULL, NULL, false, "PING: NOAUTH" },
        { "mute", "secret", true, "" }, /* may not PING, but may work */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct client c;
        client_init(&c, (struct redis_conf){ .user = cases[i].user, .password = cases[i].password }, &s.addr);
        RUN_UNTIL(c.loop, c.seen.ups || c.seen.downs);
        assert_int_equal(c.seen.ups, cases[i].up);
        if (!strstr(c.seen.why, cases[i].why)) fail_msg("case %zu: %s", i, c.seen.why);
        if (i == 0) {
            ASK(&c, &a, 3000, SLICE("GET"), SLICE("other"));
            assert_int_equal(a.err, ERR_REFUSED);
            assert_string_equal(a.word, "noperm");
        }
        client_deinit(&c);
    }
    redis_server_deinit(&s);
}

TEST(a_server_that_dies_and_returns_is_found_again)
{
    struct redis_server s;
    struct client c;
    struct answer a = { 0 }, b = { 0 };
    redis_server_init(&s, "");
    client_init(&c, (struct redis_conf){ .backoff_max_ms = 200 }, &s.addr);
    RUN_UNTIL(c.loop, c.seen.ups);
    a.op = redis_call(c.r, 5000, on_done, &a, SLICE("BLPOP"), SLICE("never"), SLICE("0"));
    loop_run_for(c.loop, 20);
    redis_server_kill(&s, SIGKILL);
    RUN_UNTIL(c.loop, a.count);
    assert_int_equal(a.err, ERR_UNKNOWN); /* it was sent */
    assert_string_equal(a.word, "disconnected");
    RUN_UNTIL(c.loop, c.seen.downs);
    ASK(&c, &b, 5000, SLICE("PING")); /* waits for the next attempt, which fails */
    assert_int_equal(b.err, ERR_RETRY);
    assert_string_equal(b.word, "unavailable");
    RUN_UNTIL(c.loop, strstr(c.seen.why, "connect: connection refused"));
    redis_server_start(&s);
    RUN_UNTIL(c.loop, c.seen.ups == 2);
    assert_int_equal(redis_generation(c.r), 2);
    ASK(&c, &b, 3000, SLICE("PING"));
    assert_int_equal(b.err, ERR_OK);
    client_deinit(&c);
    redis_server_deinit(&s);
}

TEST(a_server_that_hangs_is_noticed_by_limits_and_pings)
{
    struct redis_server s;
    struct client c;
    struct answer a = { 0 }, quick = { 0 };
    redis_server_init(&s, "");
    client_init(&c, (struct redis_conf){ .ping_ms = 1000, .connect_limit_ms = 1000 }, &s.addr);
    RUN_UNTIL(c.loop, c.seen.ups);
    loop_run_for(c.loop, 1500); /* pings keep it up */
    assert_int_equal(c.seen.downs, 0);
    redis_server_kill(&s, SIGSTOP);
    uint64_t start = clock_boot_ms(NULL);
    a.op = redis_call(c.r, 100, on_done, &a, SLICE("INCR"), SLICE("n"));
    RUN_UNTIL(c.loop, a.count);
    assert_int_equal(a.err, ERR_UNKNOWN);
    assert_string_equal(a.word, "deadline");
    assert_in_range(clock_boot_ms(NULL) - start, 100, 900);
    assert_true(redis_is_up(c.r)); /* one slow answer is no outage */
    RUN_UNTIL(c.loop, c.seen.downs);
    assert_string_equal(c.seen.why, "no answer in time");
    quick.op = redis_call(c.r, 50, on_done, &quick, SLICE("INCR"), SLICE("n")); /* cannot be sent in time */
    RUN_UNTIL(c.loop, quick.count);
    assert_true(quick.err == ERR_TIMEOUT || quick.err == ERR_RETRY);
    RUN_UNTIL(c.loop, strstr(c.seen.why, "no answer to AUTH or PING"));
    redis_server_kill(&s, SIGCONT);
    RUN_UNTIL(c.loop, c.seen.ups == 2);
    ASK(&c, &a, 3000, SLICE("INCR"), SLICE("n"));
    assert_int_equal(a.n, 2); /* UNKNOWN meant what it says: the first one did happen */
    client_deinit(&c);
    redis_server_deinit(&s);
}

TEST(a_late_answer_is_not_taken_for_that_of_another_command)
{
    struct redis_server s;
    struct client c;
    struct answer slow = { 0 }, next = { 0 }, cancelled = { 0 };
    redis_server_init(&s, "enable-debug-command yes");
    client_init(&c, (struct redis_conf){ 0 }, &s.addr);
    RUN_UNTIL(c.loop, c.seen.ups);
    slow.op = redis_call(c.r, 50, on_done, &slow, SLICE("DEBUG"), SLICE("SLEEP"), SLICE("0.2"));
    cancelled.op = redis_call(c.r, 3000, on_done, &cancelled, SLICE("ECHO"), SLICE("cancelled"));
    next.op = redis_call(c.r, 3000, on_done, &next, SLICE("ECHO"), SLICE("mine"));
    redis_cancel(&cancelled.op);
    assert_null(cancelled.op);
    RUN_UNTIL(c.loop, next.count);
    assert_int_equal(slow.err, ERR_UNKNOWN);
    assert_int_equal(slow.count, 1);
    assert_int_equal(cancelled.count, 0);
    assert_string_equal(next.text, "mine");
    client_deinit(&c);
    redis_server_deinit(&s);
}

TEST(a_full_queue_refuses_at_once_and_a_cancel_makes_room)
{
    struct client c;
    struct answer a[5] = { 0 };
    struct addr nobody;
    assert_int_equal(addr_parse_port(SLICE("127.0.0.1"), test_free_port(), &nobody), ERR_OK);
    client_init(&c, (struct redis_conf){ .commands_max = 3, .queue_bytes_max = 1000 }, &nobody);
    for (int i = 0; i < 4; i++) a[i].op = redis_call(c.r, 60000, on_done, &a[i], SLICE("PING"));
    assert_int_equal(a[3].count, 0); /* never inside the call */
    redis_cancel(&a[0].op);
    char big[2000] = { 0 };
    a[4].op = redis_call(c.r, 60000, on_done, &a[4], SLICE("ECHO"), slice_from(big, sizeof big));
    RUN_UNTIL(c.loop, a[1].count && a[2].count && a[3].count && a[4].count);
    assert_int_equal(a[1].err, ERR_RETRY); /* the attempt failed */
    assert_int_equal(a[3].err, ERR_LIMIT);
    assert_int_equal(a[4].err, ERR_LIMIT);
    assert_int_equal(a[0].count, 0);
    client_deinit(&c);
}

TEST(the_owner_may_reconnect_or_destroy_inside_a_completion)
{
    struct redis_server s;
    redis_server_init(&s, "");
    for (int destroy = 0; destroy < 2; destroy++) {
        struct client c;
        struct answer a = { 0 }, b = { 0 };
        client_init(&c, (struct redis_conf){ 0 }, &s.addr);
        RUN_UNTIL(c.loop, c.seen.ups);
        a.op = redis_call(c.r, 3000, on_done, &a, SLICE("PING"));
        if (destroy) {
            a.destroy = &c.r;
            redis_call(c.r, 3000, NULL, NULL, SLICE("PING"));
        } else {
            a.reconnect = c.r;
            b.op = redis_call(c.r, 3000, on_done, &b, SLICE("PING"));
        }
        RUN_UNTIL(c.loop, a.count);
        if (!destroy) {
            RUN_UNTIL(c.loop, b.count && c.seen.ups == 2);
            assert_int_equal(b.err, ERR_UNKNOWN);
        }
        client_deinit(&c);
    }
    redis_server_deinit(&s);
}

TEST(a_replica_is_left_for_the_next_address)
{
    struct redis_server master, replica;
    struct client c;
    struct answer a = { 0 };
    char extra[64];
    redis_server_init(&master, "");
    snprintf(extra, sizeof extra, "replicaof 127.0.0.1 %u", master.addr.port);
    redis_server_init(&replica, extra);
    const struct addr both[] = { replica.addr, master.addr };
    client_init(&c, (struct redis_conf){ .servers = both, .n_servers = 2 }, NULL);
    ASK(&c, &a, 5000, SLICE("SET"), SLICE("k"), SLICE("v"));
    assert_int_equal(a.err, ERR_RETRY);
    assert_string_equal(a.word, "readonly");
    RUN_UNTIL(c.loop, c.seen.ups == 2);
    ASK(&c, &a, 5000, SLICE("SET"), SLICE("k"), SLICE("v"));
    assert_int_equal(a.err, ERR_OK);
    struct addr now;
    redis_server(c.r, &now);
    assert_int_equal(now.port, master.addr.port);
    client_deinit(&c);
    redis_server_deinit(&replica);
    redis_server_deinit(&master);
}

TEST(redis_speaks_tls_and_its_name_is_checked)
{
    struct redis_server s;
    struct cert_files f;
    char *folder = test_folder(), extra[512];
    struct certs *ca = certs_create(folder, "ca");
    certs_issue(ca, "redis", "redis", "DNS:redis", 1, &f);
    snprintf(extra, sizeof extra, "tls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\n", f.cert, f.key,
             f.ca);
    redis_server_init(&s, extra);
    struct tls_context *tls = NULL;
    const struct tls_conf conf = {
        .ca_file = f.ca, .cert_file = f.cert, .key_file = f.key, .verify = TLS_VERIFY_PEER
    };
    assert_int_equal(tls_context_create(&conf, &tls, NULL), ERR_OK);
    for (int wrong = 0; wrong < 2; wrong++) {
        struct client c;
        client_init(&c, (struct redis_conf){ .tls = tls, .tls_name = wrong ? "other" : "redis" }, &s.addr);
        RUN_UNTIL(c.loop, c.seen.ups || c.seen.downs);
        assert_int_equal(c.seen.ups, !wrong);
        if (wrong)
            assert_string_equal(c.seen.why, "connect: certificate of redis, wanted other: hostname mismatch");
        client_deinit(&c);
    }
    redis_server_deinit(&s);
    tls_context_destroy(tls);
    certs_destroy(ca);
    test_folder_remove(folder);
    free(folder);
}

/* ---- a server that lies: answers the first PING, then says what the case wants ---- */

struct liar {
    struct client c;
    struct listener *listener;
    struct addr addr;
    struct peer peer;
    struct slice first, then;
    bool hang_up, flood;
    int chunks;
};

static void lie(struct peer *p)
{
    struct liar *l = p->extra;
    bool first = l->chunks++ == 0;
    stream_write(p->s, first ? l->first : l->then);
    if (first) return;
    char *junk = xzalloc(1 << 20);
    if (l->flood) stream_write(p->s, slice_from(junk, 1 << 20));
    free(junk);
    if (l->hang_up) stream_finish(&p->s, 100);
}

static void liar_accepted(void *owner, struct stream *s)
{
    struct liar *l = owner;
    if (l->peer.s) { /* its second visit: only one lie each */
        stream_close(&s);
        return;
    }
    peer_attach(&l->peer, s);
}

TEST(wrong_data_ends_the_connection_and_the_command_never_hangs)
{
    static const struct {
        struct slice first, then;
        bool hang_up, flood;
        const char *why;
    } cases[] = {
        { SLICE_INIT("+PONG\r\n"), SLICE_INIT("HTTP/1.1 400 Bad Request\r\n\r\n"), 0, 0,
          "wrong data: Protocol error" },
        { SLICE_INIT("SSH-2.0-OpenSSH\r\n"), SLICE_INIT(""), 0, 0, "wrong data: Protocol error" },
        { SLICE_INIT("+PONG\r\n"), SLICE_INIT("*2000000000\r\n"), 0, 0, "wrong data" },
        { SLICE_INIT("+PONG\r\n"), SLICE_INIT("*99999999999999999999\r\n"), 0, 0, "wrong data" },
        { SLICE_INIT("+PONG\r\n"), SLICE_INIT("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"),
          0, 0, "wrong data" },
        { SLICE_INIT("+PONG\r\n"), SLICE_INIT("$500000000\r\n"), 0, 1, "wrong data: a reply without end" },
        { SLICE_INIT("+PONG\r\n"), SLICE_INIT("$10\r\nabc"), 1, 0, "closed" },
        { SLICE_INIT("+PONG\r\n+MORE\r\n"), SLICE_INIT(""), 0, 0, "wrong data: a reply nobody asked for" },
        { SLICE_INIT("-LOADING Redis is loading the dataset in memory\r\n"), SLICE_INIT(""), 0, 0,
          "PING: LOADING" },
        { SLICE_INIT("+PONG\r\n"), SLICE_INIT(""), 0, 0, "no answer in time" },
        { SLICE_INIT(""), SLICE_INIT(""), 0, 0, "no answer to AUTH or PING" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct liar l = { .first = cases[i].first,
                          .then = cases[i].then,
                          .hang_up = cases[i].hang_up,
                          .flood = cases[i].flood };
        struct answer a = { 0 };
        struct addr here;
        assert_int_equal(addr_parse(SLICE("127.0.0.1"), &here), ERR_OK);
        assert_int_equal(loop_create(NULL, &l.c.loop), ERR_OK);
        const struct env *env = loop_env(l.c.loop);
        peer_init(&l.peer);
        l.peer.extra = &l, l.peer.on_data = lie;
        struct listen_conf listen = { .addr = here };
        assert_int_equal(net_listen(env->net, &listen, liar_accepted, &l, &l.listener, NULL), ERR_OK);
        listener_addr(l.listener, &here);
        struct redis_conf conf = { .servers = &here,
                                   .n_servers = 1,
                                   .ping_ms = 100,
                                   .connect_limit_ms = 200,
                                   .reply_bytes_max = 100000 };
        l.c.r = redis_create(env, &conf, on_state, &l.c.seen);
        a.op = redis_call(l.c.r, 100, on_done, &a, SLICE("GET"), SLICE("k"));
        RUN_UNTIL(l.c.loop, a.count && l.c.seen.downs);
        if (!strstr(l.c.seen.why, cases[i].why)) fail_msg("case %zu: %s", i, l.c.seen.why);
        assert_true(a.err != ERR_OK);
        redis_destroy(l.c.r);
        peer_deinit(&l.peer);
        listener_close(&l.listener);
        loop_destroy(l.c.loop);
    }
}

TEST(every_error_word_has_its_meaning)
{
    static const struct {
        const char *text, *word;
        enum err err;
    } cases[] = {
        { "READONLY You can't write against a read only replica.", "readonly", ERR_RETRY },
        { "LOADING Redis is loading the dataset in memory", "loading", ERR_RETRY },
        { "MASTERDOWN Link with MASTER is down", "masterdown", ERR_RETRY },
        { "NOREPLICAS Not enough good replicas to write.", "noreplicas", ERR_RETRY },
        { "OOM command not allowed when used memory > 'maxmemory'.", "oom", ERR_RETRY },
        { "BUSY Redis is busy running a script.", "busy", ERR_RETRY },
        { "NOAUTH Authentication required.", "noauth", ERR_REFUSED },
        { "WRONGPASS invalid username-password pair", "wrongpass", ERR_REFUSED },
        { "NOPERM this user has no permissions", "noperm", ERR_REFUSED },
        { "WRONGTYPE Operation against a key", "wrongtype", ERR_MALFORMED },
        { "NOSCRIPT No matching script.", "noscript", ERR_NOT_FOUND },
        { "ERR unknown command", "err", ERR_REFUSED },
        { "BUSYGROUP Consumer Group name already exists", "err", ERR_REFUSED },
        { "", "err", ERR_REFUSED },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *word = NULL;
        assert_int_equal(redis_classify(slice_of(cases[i].text), &word), cases[i].err);
        assert_string_equal(word, cases[i].word);
    }
}
