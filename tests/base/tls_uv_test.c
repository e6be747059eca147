#include "base/tls_uv.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "tests/base/peer.h"
#include "tests/certs.h"
#include "tests/test.h"

struct world {
    char *folder;
    struct certs *ca, *other_ca;
    struct cert_files edge1, edge2, address, foreign, old;
    struct pair p;
};

static void world_init(struct world *w)
{
    w->folder = test_folder();
    w->ca = certs_create(w->folder, "ca");
    w->other_ca = certs_create(w->folder, "other-ca");
    certs_issue(w->ca, "edge1", "edge1", "DNS:edge1,DNS:edge1.example.com", 1, &w->edge1);
    certs_issue(w->ca, "edge2", "edge2", NULL, 1, &w->edge2); /* no SAN: the common name counts */
    certs_issue(w->ca, "address", "somebody", "IP:127.0.0.1", 1, &w->address);
    certs_issue(w->ca, "old", "edge1", "DNS:edge1", -1, &w->old);
    certs_issue(w->other_ca, "foreign", "edge1", "DNS:edge1", 1, &w->foreign);
    pair_init(&w->p);
}

static void world_deinit(struct world *w)
{
    pair_deinit(&w->p);
    certs_destroy(w->ca);
    certs_destroy(w->other_ca);
    test_folder_remove(w->folder);
    free(w->folder);
}

static struct tls_context *context(const struct cert_files *f, const char *ca, enum tls_verify verify)
{
    struct tls_context *t = NULL;
    struct buf why;
    buf_init(&why, 1000);
    struct tls_conf conf = { .ca_file = ca, .verify = verify };
    if (f) conf.cert_file = f->cert, conf.key_file = f->key;
    if (tls_context_create(&conf, &t, &why)) fail_msg("%s", buf_cstr(&why));
    buf_deinit(&why);
    return t;
}

static struct tls_context *mutual(const struct cert_files *f)
{
    return context(f, f->ca, TLS_VERIFY_PEER);
}

TEST(two_of_ours_know_each_other_by_name_and_data_flows)
{
    enum { N = 3 << 20 };
    struct world w;
    world_init(&w);
    struct pair *p = &w.p;
    struct tls_context *server = mutual(&w.edge1), *client = mutual(&w.edge2);
    pair_listen(p, (struct listen_conf){ .tls = server });
    pair_dial(p, (struct dial_conf){ .tls = client, .tls_name = "edge1" });
    RUN_UNTIL(p->loop, p->dialled && p->accepts);
    assert_int_equal(p->err, ERR_OK);
    assert_true(stream_is_tls(p->client.s));
    assert_string_equal(stream_tls_version(p->client.s), "TLSv1.3");
    assert_string_equal(stream_tls_peer_name(p->client.s), "edge1");
    assert_string_equal(stream_tls_peer_name(p->server.s), "edge2");
    char *big = xzalloc(N);
    for (size_t i = 0; i < N; i++) big[i] = (char)(i * 7 + (i >> 11));
    stream_write(p->client.s, slice_from(big, N));
    stream_pause(p->server.s);
    loop_run_for(p->loop, 20);
    assert_int_equal(buf_len(&p->server.got), 0);
    for (int i = 0; i < 40; i++) { /* stop in the middle of records */
        stream_resume(p->server.s);
        loop_run_for(p->loop, 1);
        stream_pause(p->server.s);
        size_t before = buf_len(&p->server.got);
        loop_run_for(p->loop, 1);
        assert_int_equal(buf_len(&p->server.got), before);
    }
    stream_resume(p->server.s);
    stream_finish(&p->client.s, 5000);
    RUN_UNTIL(p->loop, p->server.ends);
    assert_int_equal(p->server.why, ERR_CLOSED);
    assert_string_equal(p->server.detail, ""); /* close_notify was seen */
    assert_int_equal(buf_len(&p->server.got), N);
    assert_memory_equal(buf_slice(&p->server.got).p, big, N);
    free(big);
    tls_context_destroy(server);
    tls_context_destroy(client);
    world_deinit(&w);
}

static void pause_at_once(struct peer *p)
{
    if (buf_len(&p->got) < 10) stream_pause(p->s);
}

TEST(a_pause_inside_a_record_burst_holds_the_rest_back)
{
    struct world w;
    world_init(&w);
    struct pair *p = &w.p;
    struct tls_context *server = mutual(&w.edge1);
    pair_listen(p, (struct listen_conf){ .tls = server });
    pair_dial(p, (struct dial_conf){ .tls = server, .tls_name = "edge1" });
    RUN_UNTIL(p->loop, p->dialled && p->accepts);
    p->server.on_data = pause_at_once;
    for (int i = 0; i < 10; i++) { /* ten records of one byte, and the end behind them */
        stream_write(p->client.s, SLICE("x"));
        loop_run_for(p->loop, i ? 0 : 1);
    }
    stream_finish(&p->client.s, 1000);
    for (int i = 0; i < 10; i++) {
        loop_run_for(p->loop, 5);
        assert_true(buf_len(&p->server.got) <= (size_t)i + 10);
        stream_resume(p->server.s);
    }
    RUN_UNTIL(p->loop, p->server.ends);
    assert_slice(buf_slice(&p->server.got), "xxxxxxxxxx");
    tls_context_destroy(server);
    world_deinit(&w);
}

TEST(who_is_let_in_is_a_table)
{
    struct world w;
    world_init(&w);
    const struct {
        const char *what;
        const struct cert_files *server, *client;
        enum tls_verify server_verifies, client_verifies;
        const char *name;
        enum err err;
        const char *detail;
    } cases[] = {
        { "first SAN", &w.edge1, &w.edge2, 1, 1, "edge1", ERR_OK, "" },
        { "second SAN, any case", &w.edge1, &w.edge2, 1, 1, "EDGE1.example.com", ERR_OK, "" },
        { "common name", &w.edge2, &w.edge1, 1, 1, "edge2", ERR_OK, "" },
        { "an address in the certificate", &w.address, &w.edge1, 1, 1, "127.0.0.1", ERR_OK, "" },
        { "no name asked for", &w.edge2, &w.edge1, 1, 1, NULL, ERR_OK, "" },
        { "another node's certificate", &w.edge2, &w.edge1, 1, 1, "edge1", ERR_REFUSED,
          "edge2, wanted edge1" },
        { "another CA", &w.foreign, &w.edge1, 1, 1, "edge1", ERR_REFUSED, "unable to get local issuer" },
        { "expired", &w.old, &w.edge1, 1, 1, "edge1", ERR_REFUSED, "expired" },
        { "stranger's server, client does not look", &w.foreign, NULL, 0, 0, "mx.example", ERR_OK, "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pair p;
        pair_init(&p);
        struct tls_context *server = context(cases[i].server, w.edge1.ca, cases[i].server_verifies);
        struct tls_context *client = context(cases[i].client, w.edge1.ca, cases[i].client_verifies);
        pair_listen(&p, (struct listen_conf){ .tls = server });
        pair_dial(&p, (struct dial_conf){ .tls = client, .tls_name = cases[i].name });
        RUN_UNTIL(p.loop, p.dialled);
        if (p.err != cases[i].err || !strstr(p.detail, cases[i].detail))
            fail_msg("%s: %s, %s", cases[i].what, err_name(p.err), p.detail);
        loop_run_for(p.loop, 10);
        assert_int_equal(p.accepts, !cases[i].err);
        pair_deinit(&p);
        tls_context_destroy(server);
        tls_context_destroy(client);
    }
    world_deinit(&w);
}

TEST(a_client_without_our_certificate_never_reaches_the_owner)
{
    struct world w;
    world_init(&w);
    const struct cert_files *shown[] = { NULL, &w.foreign, &w.old };
    for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
        struct pair p;
        pair_init(&p);
        struct tls_context *server = mutual(&w.edge1),
                           *client = context(shown[i], w.edge1.ca, TLS_VERIFY_PEER);
        pair_listen(&p, (struct listen_conf){ .tls = server });
        pair_dial(&p, (struct dial_conf){ .tls = client, .tls_name = "edge1" });
        /* TLS 1.3: the client is done before the server has looked at it; the refusal follows. */
        RUN_UNTIL(p.loop, p.dialled && (p.err || p.client.ends));
        assert_int_equal(p.err ? p.err : p.client.why, ERR_REFUSED);
        assert_int_equal(p.accepts, 0);
        pair_deinit(&p);
        tls_context_destroy(server);
        tls_context_destroy(client);
    }
    world_deinit(&w);
}

static int raw_connect(const struct addr *a)
{
    struct sockaddr_storage ss;
    socklen_t n = addr_to_sockaddr(a, &ss);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (void *)&ss, n), 0);
    return fd;
}

TEST(garbage_silence_and_a_cut_in_the_handshake_are_dropped_by_the_listener)
{
    struct world w;
    world_init(&w);
    struct tls_context *server = mutual(&w.edge1);
    pair_listen(&w.p, (struct listen_conf){ .tls = server, .handshake_limit_ms = 100 });
    static const char *const sent[] = { "GET / HTTP/1.0\r\n\r\n", "", "\x16\x03\x01\x02\x00\x01" };
    for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
        char got[64];
        int fd = raw_connect(&w.p.addr);
        assert_int_equal(write(fd, sent[i], strlen(sent[i])), strlen(sent[i]));
        fcntl(fd, F_SETFL, O_NONBLOCK);
        ssize_t n = -1;
        RUN_UNTIL(w.p.loop, (n = read(fd, got, sizeof got)) == 0);
        close(fd);
    }
    int fd = raw_connect(&w.p.addr);
    loop_run_for(w.p.loop, 5);
    struct linger now = { 1, 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
    fd = raw_connect(&w.p.addr); /* still in its handshake when the listener goes */
    loop_run_for(w.p.loop, 5);
    listener_close(&w.p.listener);
    close(fd);
    assert_int_equal(w.p.accepts, 0);
    tls_context_destroy(server);
    world_deinit(&w);
}

TEST(a_server_that_speaks_no_tls_is_malformed_and_one_that_says_nothing_times_out)
{
    struct world w;
    world_init(&w);
    struct pair *p = &w.p;
    struct tls_context *any = tls_context_opportunistic_client();
    pair_listen(p, (struct listen_conf){ 0 });
    pair_dial(p, (struct dial_conf){ .tls = any, .tls_name = "mx.example", .limit_ms = 100 });
    RUN_UNTIL(p->loop, p->dialled);
    assert_int_equal(p->err, ERR_TIMEOUT);
    assert_string_equal(p->detail, "no end of the TLS handshake");
    p->accepts = 0;
    stream_close(&p->server.s);
    pair_dial(p, (struct dial_conf){ .tls = any, .tls_name = "mx.example" });
    RUN_UNTIL(p->loop, p->accepts);
    stream_write(p->server.s, SLICE("220 mx.example ESMTP\r\n"));
    RUN_UNTIL(p->loop, p->dialled);
    assert_int_equal(p->err, ERR_MALFORMED);
    assert_string_equal(p->detail, "wrong version number");
    tls_context_destroy(any);
    world_deinit(&w);
}

static void on_server_data(struct peer *p)
{
    if (!slice_starts(buf_slice(&p->got), SLICE("STARTTLS\r\n")) || stream_is_tls(p->s)) return;
    buf_clear(&p->got);
    stream_write(p->s, SLICE("220 go\r\n"));
    stream_starttls(p->s, p->extra, true, NULL);
}

static void on_client_data(struct peer *p)
{
    if (!slice_eq(buf_slice(&p->got), SLICE("220 go\r\n"))) return;
    buf_clear(&p->got);
    stream_starttls(p->s, p->extra, false, "mx.example");
    stream_write(p->s, SLICE("EHLO inside\r\n")); /* waits for the handshake */
}

TEST(starttls_turns_an_open_stream_into_tls)
{
    struct world w;
    world_init(&w);
    struct pair *p = &w.p;
    struct tls_context *server = context(&w.foreign, NULL, TLS_VERIFY_NONE);
    struct tls_context *client = tls_context_opportunistic_client();
    pair_connect(p);
    p->server.extra = server, p->server.on_data = on_server_data;
    p->client.extra = client, p->client.on_data = on_client_data;
    stream_write(p->client.s, SLICE("STARTTLS\r\n"));
    RUN_UNTIL(p->loop, buf_len(&p->server.got));
    assert_slice(buf_slice(&p->server.got), "EHLO inside\r\n");
    assert_int_equal(p->server.secured | p->client.secured, ERR_OK);
    assert_int_equal(p->server.answers, 1);
    assert_int_equal(p->client.answers, 1);
    assert_string_equal(stream_tls_peer_name(p->client.s), ""); /* nobody verified it */
    tls_context_destroy(server);
    tls_context_destroy(client);
    world_deinit(&w);
}

TEST(clear_bytes_behind_starttls_never_appear_inside_tls)
{
    struct world w;
    world_init(&w);
    struct pair *p = &w.p;
    struct tls_context *server = context(&w.foreign, NULL, TLS_VERIFY_NONE);
    struct tls_context *client = tls_context_opportunistic_client();
    pair_connect(p);
    p->server.extra = server, p->server.on_data = on_server_data;
    p->client.extra = client, p->client.on_data = on_client_data;
    stream_write(p->client.s,
                 SLICE("STARTTLS\r\nRSET\r\n")); /* one segment: read, and thrown away by the owner */
    RUN_UNTIL(p->loop, buf_len(&p->server.got));
    assert_slice(buf_slice(&p->server.got), "EHLO inside\r\n");
    world_deinit(&w);

    world_init(&w); /* and somebody who goes on in clear text where TLS is expected */
    pair_listen(p, (struct listen_conf){ 0 });
    p->server.extra = server, p->server.on_data = on_server_data;
    int fd = raw_connect(&p->addr);
    assert_int_equal(write(fd, "STARTTLS\r\n", 10), 10);
    char got[16];
    RUN_UNTIL(p->loop, recv(fd, got, sizeof got, MSG_DONTWAIT) == 8);
    assert_memory_equal(got, "220 go\r\n", 8);
    assert_int_equal(write(fd, "MAIL FROM:<evil@example>\r\n", 26), 26);
    RUN_UNTIL(p->loop, p->server.answers);
    assert_int_equal(p->server.secured, ERR_MALFORMED);
    assert_int_equal(buf_len(&p->server.got), 0);
    assert_int_equal(p->server.ends, 0); /* told once, by `secured` */
    close(fd);
    tls_context_destroy(server);
    tls_context_destroy(client);
    world_deinit(&w);
}

TEST(a_cut_connection_is_told_from_a_closed_one)
{
    struct world w;
    world_init(&w);
    struct tls_context *both = mutual(&w.edge1);
    for (int reset = 0; reset < 2; reset++) {
        struct pair p;
        pair_init(&p);
        pair_listen(&p, (struct listen_conf){ .tls = both });
        pair_dial(&p, (struct dial_conf){ .tls = both, .tls_name = "edge1" });
        RUN_UNTIL(p.loop, p.dialled && p.accepts);
        loop_run_for(p.loop, 10); /* the ticket has been read: no reset because of unread bytes */
        if (reset)
            stream_reset(&p.server.s);
        else
            stream_close(&p.server.s);
        RUN_UNTIL(p.loop, p.client.ends);
        assert_int_equal(p.client.why, reset ? ERR_RETRY : ERR_CLOSED);
        if (!reset) assert_string_equal(p.client.detail, "ended without TLS close_notify");
        pair_deinit(&p);
    }
    tls_context_destroy(both);
    world_deinit(&w);
}

TEST(wrong_files_are_named_and_the_reason_is_said)
{
    struct world w;
    world_init(&w);
    char text[CERT_PATH_MAX];
    snprintf(text, sizeof text, "%s/text", w.folder);
    FILE *f = fopen(text, "w");
    fputs("not a certificate\n", f);
    fclose(f);
    const struct {
        struct tls_conf conf;
        enum err err;
        const char *says;
    } cases[] = {
        { { .ca_file = "/nowhere/ca.pem", .verify = 1 }, ERR_NOT_FOUND, "/nowhere/ca.pem: No such file" },
        { { .ca_file = text, .verify = 1 }, ERR_MALFORMED, "text: no PEM certificates" },
        { { .cert_file = text, .key_file = w.edge1.key }, ERR_MALFORMED, "text: not a PEM certificate" },
        { { .cert_file = w.edge1.cert, .key_file = text },
          ERR_MALFORMED,
          "text: not an unencrypted PEM private key" },
        { { .cert_file = w.edge1.cert, .key_file = w.edge2.key },
          ERR_MALFORMED,
          "edge2.key: not the key of" },
        { { .cert_file = w.edge1.cert }, ERR_MALFORMED, "given together" },
        { { .cert_file = w.edge1.cert, .key_file = "/nowhere/key" },
          ERR_NOT_FOUND,
          "/nowhere/key: No such file" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tls_context *t = NULL;
        struct buf why;
        buf_init(&why, 1000);
        enum err err = tls_context_create(&cases[i].conf, &t, &why);
        if (err != cases[i].err || !strstr(buf_cstr(&why), cases[i].says))
            fail_msg("case %zu: %s, %s", i, err_name(err), buf_cstr(&why));
        assert_null(t);
        buf_deinit(&why);
    }
    world_deinit(&w);
}

TEST(new_certificates_are_taken_without_a_restart_and_bad_ones_are_not)
{
    struct world w;
    world_init(&w);
    struct pair *p = &w.p;
    struct cert_files now;
    struct tls_context *client = mutual(&w.edge2);
    certs_issue(w.ca, "now", "first", "DNS:first", 1, &now);
    struct tls_context *server = mutual(&now);
    assert_in_range(tls_context_expires_s(server), time(NULL) + 86000, time(NULL) + 86500);
    pair_listen(p, (struct listen_conf){ .tls = server });
    pair_dial(p, (struct dial_conf){ .tls = client, .tls_name = "first" });
    RUN_UNTIL(p->loop, p->dialled && p->accepts);
    assert_int_equal(p->err, ERR_OK);

    certs_issue(w.ca, "now", "second", "DNS:second", 2, &now);
    assert_int_equal(truncate(now.key, 10), 0);
    assert_int_equal(tls_context_reload(server, NULL), ERR_MALFORMED);
    stream_close(&p->client.s);
    pair_dial(p, (struct dial_conf){ .tls = client, .tls_name = "first" });
    RUN_UNTIL(p->loop, p->dialled);
    assert_int_equal(p->err, ERR_OK);

    certs_issue(w.ca, "now", "second", "DNS:second", 2, &now);
    assert_int_equal(tls_context_reload(server, NULL), ERR_OK);
    assert_true(tls_context_expires_s(server) > time(NULL) + 2 * 86000);
    stream_close(&p->client.s);
    pair_dial(p, (struct dial_conf){ .tls = client, .tls_name = "second" });
    RUN_UNTIL(p->loop, p->dialled);
    assert_int_equal(p->err, ERR_OK);
    tls_context_destroy(server);
    tls_context_destroy(client);
    world_deinit(&w);
}

struct shared {
    struct tls_context *tls;
    struct visits {
        struct pair p;
        int done, failed;
    } visits[3];
};

static void visit(void *owner, enum err err, struct stream *s, const char *detail);

static void dial_again(struct shared *w, size_t i)
{
    struct visits *v = &w->visits[i];
    struct dial_conf conf = { .to = v->p.addr, .tls = w->tls, .tls_name = "edge1", .limit_ms = 10000 };
    v->p.op = net_dial(v->p.env->net, &conf, visit, v);
    v->p.client.extra = w;
}

static void visit(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct visits *v = owner;
    struct shared *w = v->p.client.extra;
    v->p.op = NULL;
    v->failed += err != ERR_OK;
    stream_close(&s);
    if (++v->done == 40)
        loop_stop(v->p.loop);
    else
        dial_again(w, (size_t)(v - w->visits));
}

static void drop_stream(void *owner, struct stream *s)
{
    stream_close(&s);
}

static void *visitor(void *arg)
{
    struct visits *v = arg;
    loop_run(v->p.loop);
    return NULL;
}

TEST(one_context_serves_several_loops_while_it_is_reloaded)
{
    struct world w;
    struct shared sh = { 0 };
    pthread_t threads[ARRAY_LEN(sh.visits)];
    world_init(&w);
    sh.tls = mutual(&w.edge1);
    for (size_t i = 0; i < ARRAY_LEN(sh.visits); i++) {
        struct pair *p = &sh.visits[i].p;
        struct listen_conf conf = { .tls = sh.tls };
        pair_init(p);
        assert_int_equal(addr_parse(SLICE("127.0.0.1"), &conf.addr), ERR_OK);
        assert_int_equal(net_listen(p->env->net, &conf, drop_stream, NULL, &p->listener, NULL), ERR_OK);
        listener_addr(p->listener, &p->addr);
        dial_again(&sh, i);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) pthread_create(&threads[i], NULL, visitor, &sh.visits[i]);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(tls_context_reload(sh.tls, NULL), ERR_OK);
        usleep(1000);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(sh.visits[i].failed, 0);
        pair_deinit(&sh.visits[i].p);
    }
    tls_context_destroy(sh.tls);
    world_deinit(&w);
}

/* ---- what a client demands of a server ---- */

static struct tls_peer demand;

static void on_client_demand(struct peer *p)
{
    if (!slice_eq(buf_slice(&p->got), SLICE("220 go\r\n"))) return;
    buf_clear(&p->got);
    stream_starttls_client(p->s, p->extra, &demand);
}

/* The fault, when `server` shows its certificate to a client with this context and the demand above. */
static enum tls_fault try_demand(const struct cert_files *server, struct tls_context *client)
{
    struct pair pair;
    pair_init(&pair);
    struct pair *p = &pair;
    struct tls_context *own = context(server, NULL, TLS_VERIFY_NONE);
    pair_connect(p);
    p->server.extra = own, p->server.on_data = on_server_data;
    p->client.extra = client, p->client.on_data = on_client_demand;
    stream_write(p->client.s, SLICE("STARTTLS\r\n"));
    RUN_UNTIL(p->loop, p->client.answers);
    enum tls_fault f = stream_tls_fault(p->client.s);
    assert_int_equal(f != TLS_FAULT_NONE, p->client.secured != ERR_OK);
    pair_deinit(&pair);
    tls_context_destroy(own);
    return f;
}

static enum tls_fault try_names(const struct cert_files *server, struct tls_context *client, const char *name,
                                const char *names)
{
    struct slice one = slice_of(names);
    demand = (struct tls_peer){ .name = name, .names = &one, .n_names = names ? 1 : 0 };
    return try_demand(server, client);
}

TEST(a_stranger_is_verified_by_chain_name_and_date)
{
    struct world w;
    world_init(&w);
    struct tls_context *c = context(NULL, w.edge1.ca, TLS_VERIFY_SERVER),
                       *any = context(NULL, NULL, TLS_VERIFY_NONE);
    assert_int_equal(try_names(&w.edge1, c, "edge1.example.com", NULL), TLS_FAULT_NONE);
    assert_int_equal(try_names(&w.edge1, c, "edge3.example.com", NULL), TLS_FAULT_NAME);
    assert_int_equal(try_names(&w.edge1, c, "edge3.example.com", "edge1.example.com"), TLS_FAULT_NONE);
    assert_int_equal(try_names(&w.edge1, c, "edge3.example.com", ".example.com"), TLS_FAULT_NONE);
    assert_int_equal(try_names(&w.edge1, c, "edge1.example.com", "mail.example.com"), TLS_FAULT_NAME);
    assert_int_equal(try_names(&w.foreign, c, "edge1", NULL), TLS_FAULT_UNTRUSTED);
    assert_int_equal(try_names(&w.old, c, "edge1", NULL), TLS_FAULT_EXPIRED);
    assert_int_equal(try_names(&w.old, any, "mx.example", NULL), TLS_FAULT_NONE);
    tls_context_destroy(c);
    tls_context_destroy(any);
    world_deinit(&w);
}

static struct slice spki_sha256(const char *cert, unsigned char out[static 32])
{
    unsigned n = 32;
    FILE *f = fopen(cert, "r");
    X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    assert_int_equal(EVP_Digest(der, (size_t)len, out, &n, EVP_sha256(), NULL), 1);
    OPENSSL_free(der);
    X509_free(x);
    fclose(f);
    return slice_from(out, n);
}

static enum tls_fault try_pins(const struct cert_files *server, struct tls_context *client, const char *name,
                               const struct tls_pin *pins, size_t n)
{
    demand = (struct tls_peer){ .name = name, .pins = pins, .n_pins = n };
    return try_demand(server, client);
}

TEST(a_pinned_certificate_needs_no_authority_and_another_is_refused)
{
    struct world w;
    unsigned char key[32], other[32];
    world_init(&w);
    struct tls_context *any = context(NULL, NULL, TLS_VERIFY_NONE);
    struct tls_pin pins[] = { { 3, 1, 1, spki_sha256(w.foreign.cert, other) },
                              { 3, 1, 1, spki_sha256(w.edge1.cert, key) },
                              { 3, 1, 9, SLICE_INIT("an unknown digest") } };
    assert_int_equal(try_pins(&w.edge1, any, "mx.example", pins, 3), TLS_FAULT_NONE);
    assert_int_equal(try_pins(&w.edge1, any, "mx.example", pins, 1), TLS_FAULT_PINS);
    assert_int_equal(try_pins(&w.edge1, any, "mx.example", pins + 2, 1), TLS_FAULT_PROTOCOL);
    pins[0].data = spki_sha256(w.old.cert, other);
    assert_int_equal(try_pins(&w.old, any, "mx.example", pins, 1), TLS_FAULT_NONE); /* dates do not count */
    tls_context_destroy(any);
    world_deinit(&w);
}
