#include "node/relay/delivery.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/loop_uv.h"
#include "base/tls_uv.h"
#include "node/relay/dane.h"
#include "tests/base/peer.h" /* RUN_UNTIL */
#include "tests/certs.h"
#include "tests/node/relay/receiver.h"
#include "tests/test.h"

/* Real sockets on loopback; only the route is the test's: a list of addresses. */

enum { JOBS_MAX = 64, CHUNK = 64 * 1024 };

struct world;
struct job {
    struct world *w;
    struct delivery_job job;
    struct envelope envelope;
    struct envelope_rcpt rcpts[12];
    uint32_t index[12];
    int done;
    struct delivery_result results[12];
    char reply[12][300];
};

struct world {
    struct loop *loop;
    const struct env *env;
    struct spool spool;
    struct slice body;
    bool disk_fails;
    struct gate gate;
    struct rulebook *rules;
    struct delivery_conf conf;
    struct delivery *delivery;
    struct deliverer port;
    struct route_answer route;
    struct dane_answer dane;
    struct job jobs[JOBS_MAX];
    size_t n_jobs, refusals;
    char refusal[600];
};
static struct world *the_world;

/* ---- the route ---- */

struct route_op {
    struct timer timer;
    route_done_fn *done;
    void *owner;
};

static void route_now(struct timer *t)
{
    struct route_op op = *(struct route_op *)t->owner;
    free(t->owner);
    op.done(op.owner, &the_world->route);
}

struct route_op *route_start(const struct route_conf *conf, struct resolver *dns, struct slice destination,
                             unsigned families, route_done_fn *done, void *owner)
{
    struct route_op *op = xzalloc(sizeof *op);
    op->done = done;
    op->owner = owner;
    timer_set_in(the_world->env->timers, &op->timer, 0, route_now, op);
    return op;
}

void route_cancel(struct route_op **op)
{
    if (*op) timer_clear(the_world->env->timers, &(*op)->timer);
    free(*op);
    *op = NULL;
}

void route_parse(const struct route_conf *conf, struct slice destination, struct route_plan *out)
{
    *out = (struct route_plan){ .kind = ROUTE_BY_MX };
}

/* ---- DANE: an answer of the test's ---- */

struct dane_op {
    struct timer timer;
    dane_done_fn *done;
    void *owner;
};

static void dane_now(struct timer *t)
{
    struct dane_op op = *(struct dane_op *)t->owner;
    free(t->owner);
    op.done(op.owner, &the_world->dane);
}

struct dane_op *dane_start(struct resolver *dns, struct slice domain, struct slice host, uint16_t port,
                           dane_done_fn *done, void *owner)
{
    struct dane_op *op = xzalloc(sizeof *op);
    op->done = done;
    op->owner = owner;
    assert_slice(domain, "example.net");
    assert_slice(host, "mx.example.net");
    timer_set_in(the_world->env->timers, &op->timer, 0, dane_now, op);
    return op;
}

void dane_cancel(struct dane_op **op)
{
    if (*op) timer_clear(the_world->env->timers, &(*op)->timer);
    free(*op);
    *op = NULL;
}

static void route_to(struct world *w, const struct addr *a, const char *host)
{
    struct route_target *t = &w->route.target[w->route.n++];
    t->addr = *a;
    assert_int_equal(dns_name_parse(slice_of(host), &t->host), ERR_OK);
}

/* ---- the spool: one body for all ---- */

static enum err chunk(struct spool *s, const struct queue_id *id, uint32_t index, struct buf *out)
{
    const struct world *w = CONTAINER_OF(s, struct world, spool);
    if (w->disk_fails) return ERR_RETRY;
    return buf_append(out, slice_sub(w->body, (size_t)index * CHUNK, CHUNK));
}
static const struct spool_ops spool_ops = { .chunk = chunk };

/* ---- the world ---- */

static void on_refused(void *owner, const struct refusal *r)
{
    struct world *w = owner;
    w->refusals++;
    snprintf(w->refusal, sizeof w->refusal, "%.*s %.*s %.*s %s %s %s", SLICE_ARG(r->identity),
             SLICE_ARG(r->provider), SLICE_ARG(r->destination), relay_stage_name(r->stage),
             relay_scope_name(r->scope), relay_effect_name(r->effect));
}

static void setup(struct world *w)
{
    *w = (struct world){ .spool = { &spool_ops }, .body = SLICE_INIT("Subject: x\r\n\r\n.hi\r\n") };
    the_world = w;
    assert_int_equal(loop_create(NULL, &w->loop), ERR_OK);
    w->env = loop_env(w->loop);
    gate_init(&w->gate, 0);
    gate_open_solo(&w->gate);
    static const struct slice zones[] = { SLICE_INIT("bl.dnsbl.example") };
    struct classifier *rules = NULL;
    assert_int_equal(classifier_create(&(struct classify_conf){ .zones = zones, .n_zones = 1 }, &rules, NULL),
                     ERR_OK);
    w->rules = rulebook_create(rules);
    delivery_conf_default(&w->conf);
    w->conf.identity = "edge1";
    assert_int_equal(addr_parse(SLICE("127.0.0.2"), &w->conf.from), ERR_OK);
    w->conf.helo = "edge1.example.com";
    w->conf.node_helo = "node1.example.com";
    w->conf.gate = &w->gate;
    w->conf.rules = w->rules;
    w->conf.connect_ms = 3000;
}

static void go(struct world *w)
{
    w->delivery = delivery_create(w->env, &w->conf, NULL, &w->spool, on_refused, w);
    delivery_deliverer(w->delivery, &w->port);
}

static void teardown(struct world *w)
{
    delivery_destroy(w->delivery);
    assert_int_equal(gate_in_dot(&w->gate), 0);
    rulebook_destroy(w->rules);
    loop_destroy(w->loop);
}

static void on_done(void *queue, struct delivery_job *job, const struct delivery_result *results)
{
    struct job *j = CONTAINER_OF(job, struct job, job);
    assert_ptr_equal(queue, j->w);
    j->done++;
    for (size_t i = 0; i < job->n_rcpts; i++) {
        j->results[i] = results[i];
        snprintf(j->reply[i], sizeof j->reply[i], "%.*s", SLICE_ARG(results[i].reply));
    }
}

static struct job *start(struct world *w, enum flow flow, size_t n_rcpts)
{
    struct job *j = &w->jobs[w->n_jobs++];
    char id[QUEUE_ID_CHARS + 1];
    *j = (struct job){ .w = w };
    snprintf(id, sizeof id, "%018zu", w->n_jobs);
    assert_int_equal(queue_id_parse(slice_of(id), &j->job.id), ERR_OK);
    j->envelope = (struct envelope){ .id = j->job.id,
                                     .flow = flow,
                                     .sender = SLICE_INIT("a@example.com"),
                                     .size_bytes = w->body.n,
                                     .chunks = (uint32_t)((w->body.n + CHUNK - 1) / CHUNK),
                                     .rcpts = j->rcpts,
                                     .n_rcpts = 12 };
    for (uint32_t i = 0; i < 12; i++) {
        j->rcpts[i].address = SLICE("b@example.net");
        j->index[i] = 11 - i;
    }
    j->job.flow = flow;
    j->job.destination = SLICE("example.net");
    j->job.envelope = &j->envelope;
    j->job.rcpts = j->index;
    j->job.n_rcpts = n_rcpts;
    w->port.start(w->port.owner, &j->job, on_done, w);
    assert_int_equal(j->done, 0);
    return j;
}

#define WAIT(w, cond) RUN_UNTIL((w)->loop, cond)

#define RECEIVER(w, r, ip)           \
    struct receiver r;               \
    receiver_init(&r, (w)->env, ip); \
    route_to((w), &r.addr, "mx.example.net");

TEST(mail_leaves_from_the_identitys_address_with_its_name)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 2);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    assert_int_equal(j->results[1].outcome, DELIVERY_SENT);
    assert_string_equal(j->reply[1], "250 2.0.0 queued");
    assert_string_equal(r.helo, "edge1.example.com");
    char text[ADDR_TEXT_MAX];
    assert_string_equal(addr_format(&r.conns[0].peer, text), "127.0.0.2");
    assert_slices(buf_slice(&r.mails), w.body);
    assert_int_equal(r.n_rcpts_taken, 2);
    assert_int_equal(atomic_load(&delivery_counters(w.delivery)->sent[FLOW_OUT]), 2);
    assert_int_equal(atomic_load(&delivery_counters(w.delivery)->mails_sent[FLOW_OUT]), 1);
    receiver_deinit(&r);
    teardown(&w);
}

TEST(mail_to_the_inside_has_the_nodes_name_and_asks_no_gate)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    gate_close(&w.gate);
    go(&w);
    struct job *j = start(&w, FLOW_IN, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    assert_string_equal(r.helo, "node1.example.com");
    receiver_deinit(&r);
    teardown(&w);
}

TEST(a_long_message_streams_through_and_arrives_whole)
{
    struct world w;
    size_t n = 5 * 1000 * 1000;
    char *body = xzalloc(n + 1);
    for (size_t i = 0; i < n; i += 50) snprintf(body + i, 51, ".%047zu\r\n", i);
    setup(&w);
    w.body = slice_from(body, n);
    RECEIVER(&w, r, "127.0.0.1");
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    assert_int_equal(buf_len(&r.mails), n);
    assert_true(slice_eq(buf_slice(&r.mails), w.body));
    receiver_deinit(&r);
    teardown(&w);
    free(body);
}

TEST(a_connection_is_used_again_until_it_has_had_its_share)
{
    struct world w;
    setup(&w);
    w.conf.limits_by_dest.def[LIMIT_MESSAGES_PER_CONNECTION] = 3;
    RECEIVER(&w, r, "127.0.0.1");
    go(&w);
    for (int i = 0; i < 4; i++) {
        struct job *j = start(&w, FLOW_OUT, 1);
        WAIT(&w, j->done);
        assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    }
    assert_int_equal(r.n_conns, 2);
    assert_int_equal(r.n_mails, 4);
    delivery_close_idle(w.delivery);
    WAIT(&w, !receiver_open(&r));
    receiver_deinit(&r);
    teardown(&w);
}

TEST(a_waiting_connection_that_died_costs_nothing)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    r.reply[AT_MAIL] = RECEIVER_RESET; /* dies at the next word */
    r.once = true;
    j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    assert_int_equal(r.n_conns, 2);
    receiver_say(&r, 1, "421 4.4.2 idle too long");
    WAIT(&w, r.ended[1]);
    j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    receiver_deinit(&r);
    teardown(&w);
}

TEST(the_next_address_is_tried_when_one_does_not_answer_or_says_later)
{
    struct world w;
    setup(&w);
    struct receiver gone;
    receiver_init(&gone, w.env, "127.0.0.1");
    route_to(&w, &gone.addr, "mx0.example.net");
    receiver_deinit(&gone);
    RECEIVER(&w, busy, "127.0.0.1");
    busy.reply[AT_BANNER] = "421 4.3.2 busy";
    RECEIVER(&w, rude, "127.0.0.1");
    rude.reply[AT_RCPT] = RECEIVER_CLOSE;
    RECEIVER(&w, good, "127.0.0.1");
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    assert_int_equal(busy.n_conns + rude.n_conns + good.n_conns, 3);
    receiver_deinit(&busy);
    receiver_deinit(&rude);
    receiver_deinit(&good);
    teardown(&w);
}

TEST(when_no_address_takes_it_the_one_with_an_answer_is_reported)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, busy, "127.0.0.1");
    busy.reply[AT_BANNER] = "421-4.3.2 busy\r\n421 4.3.2 really";
    struct receiver gone;
    receiver_init(&gone, w.env, "127.0.0.1");
    route_to(&w, &gone.addr, "mx0.example.net");
    receiver_deinit(&gone);
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_DEFERRED);
    assert_int_equal(j->results[0].cause, DELIVERY_CAUSE_CONNECTION);
    assert_string_equal(j->reply[0], "421-4.3.2 busy / 421 4.3.2 really");
    receiver_deinit(&busy);
    teardown(&w);
}

TEST(never_from_another_address)
{
    struct world w;
    setup(&w);
    assert_int_equal(addr_parse(SLICE("192.0.2.99"), &w.conf.from), ERR_OK);
    RECEIVER(&w, r, "127.0.0.1");
    RECEIVER(&w, r2, "127.0.0.1");
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_DEFERRED);
    assert_true(slice_starts(slice_of(j->reply[0]), SLICE("our own address cannot be used")));
    assert_int_equal(r.n_conns + r2.n_conns, 0);
    receiver_deinit(&r);
    receiver_deinit(&r2);
    teardown(&w);
}

TEST(a_listed_address_is_evidence_and_its_mail_waits_for_the_other_identity)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    r.listed = "127.0.0.2";
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 3);
    WAIT(&w, j->done);
    for (int i = 0; i < 3; i++) assert_int_equal(j->results[i].outcome, DELIVERY_LISTED);
    assert_int_equal(w.refusals, 1);
    assert_string_equal(w.refusal, "edge1 example.net example.net rcpt ip-public SWITCH");
    assert_int_equal(atomic_load(&delivery_counters(w.delivery)->refused[EFFECT_SWITCH]), 3);
    receiver_deinit(&r);
    teardown(&w);
}

TEST(an_unknown_user_is_a_failure_and_no_evidence)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    r.reply[AT_RCPT] = "550 5.1.1 no such user";
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_FAILED);
    assert_int_equal(w.refusals, 0);
    receiver_deinit(&r);
    teardown(&w);
}

TEST(with_a_closed_gate_nothing_is_even_dialled)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    go(&w);
    gate_close(&w.gate);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_NOT_NOW);
    assert_int_equal(r.n_conns, 0);
    receiver_deinit(&r);
    teardown(&w);
}

static const enum receiver_at before_the_dot[] = { AT_BANNER, AT_EHLO, AT_MAIL, AT_RCPT, AT_DATA };

TEST(a_closing_gate_ends_every_conversation_before_its_dot_at_once)
{
    for (size_t i = 0; i < ARRAY_LEN(before_the_dot); i++) {
        struct world w;
        setup(&w);
        RECEIVER(&w, r, "127.0.0.1");
        r.reply[before_the_dot[i]] = RECEIVER_STALL;
        go(&w);
        struct job *j = start(&w, FLOW_OUT, 1), *in = start(&w, FLOW_IN, 1);
        WAIT(&w, r.n_conns == 2 && r.conns[0].stalled && r.conns[1].stalled);
        gate_close(&w.gate);
        assert_int_equal(delivery_abort_all(w.delivery), 0);
        assert_int_equal(j->done, 1);
        assert_int_equal(j->results[0].outcome, DELIVERY_NOT_NOW);
        WAIT(&w, r.ended[0] || r.ended[1]);
        assert_int_equal(r.n_dots, 0);
        assert_int_equal(in->done, 0);
        receiver_deinit(&r);
        teardown(&w);
    }
}

TEST(past_the_dot_the_reply_is_waited_for_whatever_the_gate_says)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    r.reply[AT_DOT] = RECEIVER_STALL;
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, r.n_dots == 1);
    gate_close(&w.gate);
    assert_int_equal(delivery_abort_all(w.delivery), 1);
    assert_int_equal(gate_in_dot(&w.gate), 1);
    assert_int_equal(j->done, 0);
    receiver_say(&r, 0, "250 2.0.0 took it");
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    assert_int_equal(gate_in_dot(&w.gate), 0);
    receiver_deinit(&r);
    teardown(&w);
}

TEST(a_connection_of_an_earlier_opening_is_not_used_again)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    gate_close(&w.gate);
    gate_open_solo(&w.gate);
    j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    assert_int_equal(r.n_conns, 2);
    receiver_deinit(&r);
    teardown(&w);
}

TEST(a_connection_lost_after_the_dot_is_deferred_and_counted)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    RECEIVER(&w, other, "127.0.0.1");
    r.reply[AT_DOT] = RECEIVER_CLOSE;
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_DEFERRED);
    assert_int_equal(atomic_load(&delivery_counters(w.delivery)->maybe_sent), 1);
    assert_int_equal(other.n_conns, 0);
    receiver_deinit(&r);
    receiver_deinit(&other);
    teardown(&w);
}

TEST(too_many_recipients_go_in_several_transactions)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    r.rcpts_max = 5;
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 12);
    WAIT(&w, j->done);
    for (int i = 0; i < 12; i++) assert_int_equal(j->results[i].outcome, DELIVERY_SENT);
    assert_int_equal(r.n_mails, 3);
    assert_int_equal(r.n_rcpts_taken, 12);
    assert_int_equal(r.n_conns, 1);
    receiver_deinit(&r);
    teardown(&w);
}

TEST(the_queue_can_take_a_job_back)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    r.reply[AT_RCPT] = RECEIVER_STALL;
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, r.n_conns && r.conns[0].stalled);
    w.port.stop(w.port.owner, &j->job);
    assert_int_equal(j->done, 0);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_NOT_NOW);
    j = start(&w, FLOW_OUT, 1);
    w.port.stop(w.port.owner, &j->job);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_NOT_NOW);
    receiver_deinit(&r);
    teardown(&w);
}

TEST(a_body_that_cannot_be_read_is_never_half_delivered)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    w.disk_fails = true;
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_DEFERRED);
    WAIT(&w, r.ended[0]);
    assert_int_equal(r.n_dots, 0);
    receiver_deinit(&r);
    teardown(&w);
}

TEST(a_peer_that_stalls_is_left_in_time)
{
    struct world w;
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    r.reply[AT_MAIL] = RECEIVER_STALL;
    w.conf.limits.mail_ms = 50;
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_DEFERRED);
    receiver_deinit(&r);
    teardown(&w);
}

TEST(tls_is_used_when_offered_and_clear_text_when_it_fails)
{
    struct world w;
    char *folder = test_folder();
    struct certs *ca = certs_create(folder, "ca");
    struct cert_files files;
    certs_issue(ca, "mx", "mx.example.net", "DNS:mx.example.net", 1, &files);
    setup(&w);
    RECEIVER(&w, r, "127.0.0.1");
    struct tls_conf tls = { .cert_file = files.cert, .key_file = files.key };
    assert_int_equal(tls_context_create(&tls, &r.tls, NULL), ERR_OK);
    r.reply[AT_EHLO] = "250-mx.example.net\r\n250 STARTTLS";
    w.conf.tls = tls_context_opportunistic_client();
    w.conf.idle_ms = 0;
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    assert_int_equal(atomic_load(&delivery_counters(w.delivery)->tls), 1);

    r.reply[AT_STARTTLS] = "220 go ahead\r\n220 this is no TLS"; /* and stays in clear */
    j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_SENT);
    assert_int_equal(atomic_load(&delivery_counters(w.delivery)->tls_failed), 1);
    delivery_destroy(w.delivery);

    w.conf.tls_strict = w.conf.tls;
    w.conf.policies = (struct tls_policies){
        .rules = &(struct tls_rule){ .domain = "*", .level = TLS_LEVEL_ENCRYPT }, .n = 1
    };
    go(&w);
    j = start(&w, FLOW_OUT, 1);
    WAIT(&w, j->done);
    assert_int_equal(j->results[0].outcome, DELIVERY_DEFERRED);
    receiver_deinit(&r);
    teardown(&w);
    tls_context_destroy(r.tls);
    tls_context_destroy(w.conf.tls);
    certs_destroy(ca);
    test_folder_remove(folder);
    free(folder);
}

/* A free port, for a program that wants to be told one. */
static struct addr free_port(struct world *w)
{
    struct receiver r;
    receiver_init(&r, w->env, "127.0.0.1");
    struct addr a = r.addr;
    receiver_deinit(&r);
    return a;
}

static pid_t start_smtp_sink(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    addr_format_port(a, text);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        execlp("smtp-sink", "smtp-sink", "-u", "nobody", text, "100", (char *)NULL);
        _exit(127);
    }
    return pid;
}

TEST(postfixs_own_sink_takes_what_we_send)
{
    if (access("/usr/sbin/smtp-sink", X_OK) || getuid() != 0) skip();
    struct world w;
    setup(&w);
    struct addr a = free_port(&w);
    pid_t sink = start_smtp_sink(&a);
    route_to(&w, &a, "localhost");
    w.conf.limits_by_dest.def[LIMIT_MESSAGES_PER_CONNECTION] = 20;
    go(&w);
    struct job *j;
    int tries = 0;
    do { /* until it listens */
        w.n_jobs = 0;
        j = start(&w, FLOW_OUT, 3);
        WAIT(&w, j->done);
        loop_run_for(w.loop, 20);
    } while (j->results[0].outcome != DELIVERY_SENT && tries++ < 200);
    w.n_jobs = 0;
    for (int i = 0; i < JOBS_MAX; i++) start(&w, FLOW_OUT, 3);
    WAIT(&w, delivery_open(w.delivery) == 0);
    for (int i = 0; i < JOBS_MAX; i++)
        for (int k = 0; k < 3; k++) assert_int_equal(w.jobs[i].results[k].outcome, DELIVERY_SENT);
    kill(sink, SIGTERM);
    waitpid(sink, NULL, 0);
    teardown(&w);
}

/* ---- how it must be protected ---- */

struct tls_world {
    struct world w;
    char *folder;
    struct certs *ca, *other;
    struct cert_files right, foreign, wrong_name;
    struct receiver r;
    struct tls_rule rule;
    uint64_t seen[TLS_RESULTS];
};

static void tls_setup(struct tls_world *t)
{
    *t = (struct tls_world){ .folder = test_folder() };
    t->ca = certs_create(t->folder, "ca");
    t->other = certs_create(t->folder, "other");
    certs_issue(t->ca, "right", "mx", "DNS:mx.example.net", 1, &t->right);
    certs_issue(t->ca, "wrong", "mx", "DNS:mx.example.org", 1, &t->wrong_name);
    certs_issue(t->other, "foreign", "mx", "DNS:mx.example.net", 1, &t->foreign);
    setup(&t->w);
    receiver_init(&t->r, t->w.env, "127.0.0.1");
    route_to(&t->w, &t->r.addr, "mx.example.net");
    t->r.reply[AT_EHLO] = "250-mx.example.net\r\n250 STARTTLS";
    struct tls_conf strict = { .verify = TLS_VERIFY_NONE },
                    verify = { .ca_file = t->right.ca, .verify = TLS_VERIFY_SERVER };
    struct delivery_conf *c = &t->w.conf;
    c->tls = tls_context_opportunistic_client();
    assert_int_equal(tls_context_create(&strict, &c->tls_strict, NULL), ERR_OK);
    assert_int_equal(tls_context_create(&verify, &c->tls_verify, NULL), ERR_OK);
    c->tally = tls_tally_create();
    c->idle_ms = 0;
    t->rule = (struct tls_rule){ .domain = "example.net" };
    c->policies = (struct tls_policies){ .rules = &t->rule, .n = 1 };
    go(&t->w);
}

static void tls_teardown(struct tls_world *t)
{
    struct delivery_conf c = t->w.conf;
    receiver_deinit(&t->r);
    tls_context_destroy(t->r.tls);
    teardown(&t->w);
    tls_context_destroy(c.tls);
    tls_context_destroy(c.tls_strict);
    tls_context_destroy(c.tls_verify);
    tls_tally_destroy(c.tally);
    certs_destroy(t->ca);
    certs_destroy(t->other);
    test_folder_remove(t->folder);
    free(t->folder);
}

/* What comes of a mail to a receiver with this certificate (NULL: it offers no TLS), by this policy. */
static void try_level(struct tls_world *t, const struct cert_files *cert, enum tls_level level,
                      enum delivery_outcome outcome, enum tls_result result)
{
    struct tls_conf own = { 0 };
    uint64_t now[TLS_RESULTS];
    tls_context_destroy(t->r.tls);
    t->r.tls = NULL;
    if (cert) own.cert_file = cert->cert, own.key_file = cert->key;
    if (cert) assert_int_equal(tls_context_create(&own, &t->r.tls, NULL), ERR_OK);
    t->r.reply[AT_EHLO] = cert ? "250-mx.example.net\r\n250 STARTTLS" : "250 mx.example.net";
    t->rule.level = (int)level;
    struct job *j = start(&t->w, FLOW_OUT, 1);
    WAIT(&t->w, j->done);
    if (j->results[0].outcome != outcome) print_error("level %s: %s\n", tls_level_words[level], j->reply[0]);
    assert_int_equal(j->results[0].outcome, outcome);
    tls_tally_totals(t->w.conf.tally, now);
    assert_int_equal(now[result], t->seen[result] + 1);
    memcpy(t->seen, now, sizeof now);
}

TEST(each_policy_takes_what_it_promises_and_nothing_less)
{
    struct tls_world t;
    tls_setup(&t);
    try_level(&t, NULL, TLS_LEVEL_MAY, DELIVERY_SENT, TLS_RESULT_CLEAR);
    try_level(&t, &t.foreign, TLS_LEVEL_MAY, DELIVERY_SENT, TLS_RESULT_SUCCESS);
    try_level(&t, &t.right, TLS_LEVEL_NONE, DELIVERY_SENT, TLS_RESULT_CLEAR);
    try_level(&t, NULL, TLS_LEVEL_ENCRYPT, DELIVERY_DEFERRED, TLS_RESULT_NOT_OFFERED);
    try_level(&t, &t.foreign, TLS_LEVEL_ENCRYPT, DELIVERY_SENT, TLS_RESULT_SUCCESS);
    try_level(&t, &t.right, TLS_LEVEL_VERIFY, DELIVERY_SENT, TLS_RESULT_SUCCESS);
    try_level(&t, &t.foreign, TLS_LEVEL_VERIFY, DELIVERY_DEFERRED, TLS_RESULT_UNTRUSTED);
    try_level(&t, &t.wrong_name, TLS_LEVEL_VERIFY, DELIVERY_DEFERRED, TLS_RESULT_NAME);
    const char *names[] = { ".example.org" };
    t.rule.match = (struct opt_list){ names, 1 };
    try_level(&t, &t.wrong_name, TLS_LEVEL_VERIFY, DELIVERY_SENT, TLS_RESULT_SUCCESS);
    try_level(&t, &t.right, TLS_LEVEL_VERIFY, DELIVERY_DEFERRED, TLS_RESULT_NAME);
    tls_teardown(&t);
}

TEST(a_failed_handshake_is_followed_by_clear_text_only_where_the_policy_says_so)
{
    struct tls_world t;
    tls_setup(&t);
    t.r.reply[AT_STARTTLS] = "220 go ahead\r\n220 this is no TLS";
    t.rule.on_failure = TLS_ON_FAILURE_DEFER;
    try_level(&t, &t.right, TLS_LEVEL_MAY, DELIVERY_DEFERRED, TLS_RESULT_FAILED);
    t.rule.on_failure = TLS_ON_FAILURE_CLEAR;
    try_level(&t, &t.right, TLS_LEVEL_MAY, DELIVERY_SENT, TLS_RESULT_CLEAR);
    try_level(&t, &t.right, TLS_LEVEL_VERIFY, DELIVERY_DEFERRED, TLS_RESULT_FAILED);
    t.r.reply[AT_STARTTLS] = "454 4.7.0 not now";
    try_level(&t, &t.right, TLS_LEVEL_ENCRYPT, DELIVERY_DEFERRED, TLS_RESULT_NOT_OFFERED);
    t.r.reply[AT_STARTTLS] = "554 5.7.0 never";
    try_level(&t, &t.right, TLS_LEVEL_ENCRYPT, DELIVERY_DEFERRED, TLS_RESULT_NOT_OFFERED);
    tls_teardown(&t);
}

static struct slice spki_sha256(const char *cert, unsigned char out[static 32])
{
    unsigned n = 32;
    unsigned char *der = NULL;
    FILE *f = fopen(cert, "r");
    X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    assert_int_equal(EVP_Digest(der, (size_t)len, out, &n, EVP_sha256(), NULL), 1);
    OPENSSL_free(der);
    X509_free(x);
    fclose(f);
    return slice_from(out, n);
}

TEST(dane_decides_by_the_receivers_own_records)
{
    struct tls_world t;
    unsigned char pin[32];
    tls_setup(&t);
    struct dane_answer *a = &t.w.dane;
    *a = (struct dane_answer){ .result = DANE_ABSENT, .why = "its address is not signed" };
    try_level(&t, NULL, TLS_LEVEL_DANE, DELIVERY_SENT, TLS_RESULT_CLEAR);
    try_level(&t, &t.right, TLS_LEVEL_DANE_ONLY, DELIVERY_DEFERRED, TLS_RESULT_DANE_REQUIRED);
    a->result = DANE_FAILED;
    try_level(&t, &t.right, TLS_LEVEL_DANE, DELIVERY_DEFERRED, TLS_RESULT_DNSSEC_INVALID);
    a->result = DANE_ENCRYPT;
    try_level(&t, NULL, TLS_LEVEL_DANE, DELIVERY_DEFERRED, TLS_RESULT_NOT_OFFERED);
    try_level(&t, &t.wrong_name, TLS_LEVEL_DANE, DELIVERY_SENT, TLS_RESULT_SUCCESS);
    a->result = DANE_PINNED;
    a->n = 1;
    a->pins[0] = (struct tls_pin){ 3, 1, 1, spki_sha256(t.wrong_name.cert, pin) };
    try_level(&t, &t.wrong_name, TLS_LEVEL_DANE, DELIVERY_SENT,
              TLS_RESULT_SUCCESS); /* the name does not count */
    try_level(&t, &t.right, TLS_LEVEL_DANE, DELIVERY_DEFERRED, TLS_RESULT_FAILED);
    try_level(&t, &t.wrong_name, TLS_LEVEL_DANE_ONLY, DELIVERY_SENT, TLS_RESULT_SUCCESS);
    tls_teardown(&t);
}

TEST(recipients_go_in_as_many_transactions_as_a_limit_asks_for)
{
    struct world w;
    struct limit_rule rule = { .domain = "example.net",
                               .value = { [LIMIT_RECIPIENTS] = 5, [LIMIT_MESSAGES_PER_CONNECTION] = 2 } };
    setup(&w);
    w.conf.limits_by_dest.rules = &rule;
    w.conf.limits_by_dest.n = 1;
    RECEIVER(&w, r, "127.0.0.1");
    go(&w);
    struct job *j = start(&w, FLOW_OUT, 12);
    WAIT(&w, j->done);
    for (size_t i = 0; i < 12; i++) assert_int_equal(j->results[i].outcome, DELIVERY_SENT);
    assert_int_equal(r.n_mails, 3);
    assert_int_equal(r.n_rcpts_taken, 12);
    assert_int_equal(r.n_conns, 2);
    r.reply[AT_MAIL] = RECEIVER_RESET;
    j = start(&w, FLOW_OUT, 12);
    WAIT(&w, j->done);
    for (size_t i = 0; i < 12; i++) assert_int_equal(j->results[i].outcome, DELIVERY_DEFERRED);
    assert_true(r.n_conns <= 4); /* not once more for each */
    receiver_deinit(&r);
    teardown(&w);
}
