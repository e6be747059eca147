/* Many streams at once, whose owners do anything the contract allows at any moment. What arrives is always a prefix of what was
 * sent, and all of it when the sender finished and the receiver waited. */
#include <stdlib.h>

#include "base/rng.h"
#include "base/tls_uv.h"
#include "tests/base/peer.h"
#include "tests/certs.h"
#include "tests/test.h"

enum { STREAMS = 40, BYTES_MAX = 1 << 20 };

struct end {
    struct storm *w;
    struct stream *s;
    uint16_t port; /* the client's: both ends of a connection have it */
    size_t sent, got;
    bool finished; /* by stream_finish, with a limit that is never reached */
    bool heard;    /* the other side's orderly end came */
    bool ended, paused;
    struct timer tick;
};

struct storm {
    struct loop *loop;
    const struct env *env;
    struct rng rng;
    struct tls_context *tls;
    bool starttls;
    struct listener *listener;
    struct end ends[2 * STREAMS];
    struct net_op *ops[STREAMS];
    size_t accepted;
};

static char byte_at(size_t i)
{
    return (char)(i * 13 + (i >> 9));
}

static void send_some(struct end *e)
{
    char bytes[20000];
    size_t n = MIN(rng_below(&e->w->rng, rng_chance(&e->w->rng, 300000) ? sizeof bytes : 100),
                   BYTES_MAX - e->sent);
    for (size_t i = 0; i < n; i++) bytes[i] = byte_at(e->sent + i);
    stream_write(e->s, slice_from(bytes, n));
    e->sent += n;
}

static void leave(struct end *e)
{
    timer_clear(e->w->env->timers, &e->tick);
}

static void act(struct end *e)
{
    struct rng *rng = &e->w->rng;
    if (!e->s) return;
    switch (rng_below(rng, 60)) {
    case 0: stream_close(&e->s); break;
    case 1: stream_reset(&e->s); break;
    case 2:
    case 3:
        e->finished = true;
        stream_finish(&e->s, 60000);
        break;
    case 4: stream_finish(&e->s, (uint32_t)rng_below(rng, 3)); break;
    case 5:
    case 6:
    case 7:
        stream_pause(e->s);
        e->paused = true;
        break;
    case 8:
    case 9:
    case 10:
        stream_resume(e->s);
        e->paused = false;
        break;
    case 11: stream_pause(e->s), stream_resume(e->s), e->paused = false; break;
    default: send_some(e);
    }
    if (!e->s) leave(e);
}

static void on_data(void *owner, struct slice bytes)
{
    struct end *e = owner;
    assert_false(e->paused);
    for (size_t i = 0; i < bytes.n; i++)
        if (bytes.p[i] != byte_at(e->got + i)) fail_msg("byte %zu is wrong", e->got + i);
    e->got += bytes.n;
    act(e);
}

static void on_end(void *owner, enum err why, const char *detail)
{
    struct end *e = owner;
    assert_false(e->ended);
    e->ended = true;
    e->heard = why == ERR_CLOSED;
    if (rng_chance(&e->w->rng, 500000)) send_some(e); /* allowed, and of no use */
    stream_close(&e->s);
    leave(e);
}

static void on_drained(void *owner)
{
    act(owner);
}

static void on_secured(void *owner, enum err err, const char *detail)
{
    struct end *e = owner;
    if (!err) return;
    e->ended = true;
    stream_close(&e->s);
    leave(e);
}

static const struct stream_events events = { on_data, on_end, on_drained, on_secured };

static void on_tick(struct timer *t)
{
    struct end *e = t->owner;
    timer_set_in(e->w->env->timers, t, rng_below(&e->w->rng, 4), on_tick, e);
    if (rng_chance(&e->w->rng, 100000)) stream_resume(e->s), e->paused = false; /* nobody sleeps for ever */
    act(e);
}

static void begin(struct end *e, struct stream *s, bool server)
{
    e->s = s;
    stream_attach(s, &events, e);
    if (e->w->starttls) stream_starttls(s, e->w->tls, server, "edge1");
    timer_set_in(e->w->env->timers, &e->tick, rng_below(&e->w->rng, 4), on_tick, e);
}

static void on_accepted(void *owner, struct stream *s)
{
    struct storm *w = owner;
    struct addr a;
    struct end *e = &w->ends[2 * w->accepted++ + 1];
    stream_peer(s, &a);
    e->port = a.port;
    begin(e, s, true);
}

static void on_dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct end *e = owner;
    struct storm *w = e->w;
    w->ops[(e - w->ends) / 2] = NULL;
    if (!err) {
        struct addr a;
        stream_local(s, &a);
        e->port = a.port;
        begin(e, s, false);
    }
}

/* Connections that were sent to their end and read to their end. */
static size_t check_whole(const struct storm *w)
{
    size_t n = 0;
    for (size_t i = 0; i < 2 * STREAMS; i++)
        for (size_t k = 0; k < 2 * STREAMS; k++) {
            const struct end *from = &w->ends[i], *to = &w->ends[k];
            if (i % 2 == k % 2 || !from->port || from->port != to->port) continue;
            assert_true(to->got <= from->sent);
            if (!from->finished || !to->heard) continue;
            assert_int_equal(to->got, from->sent);
            n++;
        }
    return n;
}

static size_t run_storm(struct tls_context *tls, bool starttls, uint64_t seed)
{
    struct storm *w = xzalloc(sizeof *w);
    struct listen_conf listen = { .tls = starttls ? NULL : tls };
    struct dial_conf dial = { .tls = listen.tls, .tls_name = "edge1", .limit_ms = 60000 };
    assert_int_equal(loop_create(NULL, &w->loop), ERR_OK);
    w->env = loop_env(w->loop);
    w->tls = tls;
    w->starttls = starttls;
    rng_init_seed(&w->rng, seed);
    assert_int_equal(addr_parse(SLICE("127.0.0.1"), &listen.addr), ERR_OK);
    assert_int_equal(net_listen(w->env->net, &listen, on_accepted, w, &w->listener, NULL), ERR_OK);
    listener_addr(w->listener, &dial.to);
    for (size_t i = 0; i < 2 * STREAMS; i++) w->ends[i].w = w;
    for (size_t i = 0; i < STREAMS; i++)
        w->ops[i] = net_dial(w->env->net, &dial, on_dialled, &w->ends[2 * i]);
    /* A server whose client left in the handshake is never accepted: count what can still move. */
    uint64_t give_up = clock_boot_ms(NULL) + 30000;
    for (bool busy = true; busy;) {
        loop_run_for(w->loop, 5);
        busy = false;
        for (size_t i = 0; i < 2 * STREAMS; i++) busy = busy || w->ends[i].s || (i % 2 == 0 && w->ops[i / 2]);
        if (clock_boot_ms(NULL) > give_up) fail_msg("seed %d: streams that never end", (int)seed);
    }
    listener_close(&w->listener);
    for (size_t i = 0; i < 2 * STREAMS; i++) timer_clear(w->env->timers, &w->ends[i].tick);
    loop_destroy(w->loop);
    size_t whole = check_whole(w);
    free(w);
    return whole;
}

TEST(whatever_owners_do_streams_stay_true_and_everything_is_let_go)
{
    char *folder = test_folder();
    struct cert_files f;
    struct certs *ca = certs_create(folder, "ca");
    certs_issue(ca, "edge1", "edge1", "DNS:edge1", 1, &f);
    struct tls_context *tls = NULL;
    const struct tls_conf conf = {
        .ca_file = f.ca, .cert_file = f.cert, .key_file = f.key, .verify = TLS_VERIFY_PEER
    };
    assert_int_equal(tls_context_create(&conf, &tls, NULL), ERR_OK);
    size_t whole = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        whole += run_storm(NULL, false, seed) + run_storm(tls, false, seed) + run_storm(tls, true, seed);
    }
    assert_true(whole > 100); /* the storm leaves enough of them alone */
    tls_context_destroy(tls);
    certs_destroy(ca);
    test_folder_remove(folder);
    free(folder);
}
