#include "tests/dns/fake.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/test.h"

/* What is open: a UDP socket, a connection being made, or a stream. */
struct endpoint {
    struct list link;
    struct fake *f;
    struct addr to;
    struct timer timer;
    struct list replies;
};

struct reply {
    struct list link;
    struct timer timer;
    void *to; /* struct udp or struct stream */
    enum err err;
    struct buf bytes;
};

struct udp {
    struct endpoint e;
    udp_data_fn *data;
    void *owner;
};

struct net_op {
    struct endpoint e;
    net_dialled_fn *done;
    void *owner;
    bool refused;
};

struct stream {
    struct endpoint e;
    const struct stream_events *ev;
    void *owner;
    struct buf rx;
};

struct net {
    struct fake *f;
};
static struct fake *the_fake(struct net *n)
{
    return n->f;
}

static void open_endpoint(struct endpoint *e, struct fake *f, const struct addr *to)
{
    e->f = f;
    e->to = *to;
    list_init(&e->replies);
    list_append(&f->open, &e->link);
}

static void close_endpoint(struct endpoint *e)
{
    timer_clear(&e->f->timers, &e->timer);
    LIST_EACH_SAFE(&e->replies, it, next)
    {
        struct reply *r = CONTAINER_OF(it, struct reply, link);
        timer_clear(&e->f->timers, &r->timer);
        buf_deinit(&r->bytes);
        free(r);
    }
    list_remove(&e->link);
}

/* --- The table --- */

static bool row_fits(const struct fake_row *row, const struct addr *server, const struct wire_question *q)
{
    char addr[ADDR_TEXT_MAX], with[640], without[512];
    snprintf(without, sizeof without, "%s %s", q->name.text, dns_type_name(q->type));
    snprintf(with, sizeof with, "%s %s", addr_format(server, addr), without);
    return !row->used && (strcmp(row->question, with) == 0 || strcmp(row->question, without) == 0);
}

static struct fake_row *find_row(struct fake *f, const struct addr *server, const struct wire_question *q)
{
    static struct fake_row nobody = { "", "nxdomain", "; authority\n. 60 SOA ns. h. 1 2 3 4 60\n", false };
    for (size_t i = f->n; i-- > 0;)
        if (row_fits(&f->row[i], server, q)) return &f->row[i];
    return &nobody;
}

static bool has(const struct fake_row *row, const char *flag)
{
    struct slice rest = slice_of(row->flags);
    for (struct slice w = slice_word(&rest); w.n; w = slice_word(&rest))
        if (slice_starts(w, slice_of(flag))) return true;
    return false;
}

static uint64_t delay_ms(const struct fake_row *row)
{
    const char *at = strstr(row->flags, "delay=");
    return at ? strtoull(at + 6, NULL, 10) : 1;
}

static void note(struct fake *f, const char *how, const struct addr *to, const struct wire_question *q)
{
    char addr[ADDR_TEXT_MAX];
    buf_putf(&f->trace, "%s %s %s %s\n", how, addr_format(to, addr), q->name.text, dns_type_name(q->type));
    if (f->n_ids < ARRAY_LEN(f->ids)) f->ids[f->n_ids++] = q->id;
}

/* --- UDP --- */

static void udp_deliver(struct timer *t)
{
    struct reply *r = t->owner;
    struct udp *u = r->to;
    list_remove(&r->link);
    u->data(u->owner, r->err, buf_slice(&r->bytes)); /* may close u */
    buf_deinit(&r->bytes);
    free(r);
}

static struct reply *udp_reply(struct udp *u, uint64_t in_ms)
{
    struct reply *r = xzalloc(sizeof *r);
    r->to = u;
    buf_init(&r->bytes, DNS_MESSAGE_BYTES_MAX);
    list_append(&u->e.replies, &r->link);
    timer_set_in(&u->e.f->timers, &r->timer, in_ms, udp_deliver, r);
    return r;
}

enum err udp_open(struct net *n, const struct addr *to, udp_data_fn *data, void *owner, struct udp **out)
{
    struct udp *u = xzalloc(sizeof *u);
    open_endpoint(&u->e, the_fake(n), to);
    u->data = data;
    u->owner = owner;
    *out = u;
    return ERR_OK;
}

void udp_send(struct udp *u, struct slice datagram)
{
    struct wire_question q, wrong;
    assert_true(wire_question(datagram, &q));
    struct fake_row *row = find_row(u->e.f, &u->e.to, &q);
    note(u->e.f, "udp", &u->e.to, &q);
    row->used = has(row, "once");
    if (has(row, "drop")) return;
    wrong = q;
    if (has(row, "badid")) {
        wrong.id ^= 1;
        wire_answer(&wrong, "", "x.example. 5 A 10.6.6.6\n", &udp_reply(u, 1)->bytes);
    }
    if (has(row, "badname")) {
        assert_int_equal(dns_name_parse(SLICE("evil.example"), &wrong.name), ERR_OK);
        wire_answer(&wrong, "", "evil.example. 5 A 10.6.6.6\n", &udp_reply(u, 1)->bytes);
    }
    struct reply *r = udp_reply(u, delay_ms(row));
    if (has(row, "icmp"))
        r->err = ERR_RETRY;
    else if (has(row, "garbage"))
        buf_put(&r->bytes, SLICE("this is not a message"));
    else if (has(row, "udp-tc"))
        wire_answer(&q, "tc", "", &r->bytes);
    else if (has(row, "noedns") && q.edns)
        wire_answer(&q, "formerr", "", &r->bytes);
    else
        wire_answer(&q, row->flags, row->records, &r->bytes);
}

void udp_close(struct udp **u)
{
    if (!*u) return;
    close_endpoint(&(*u)->e);
    free(*u);
    *u = NULL;
}

/* --- TCP --- */

static void dialled(struct timer *t)
{
    struct net_op *op = t->owner;
    struct stream *s = NULL;
    struct fake *f = op->e.f;
    net_dialled_fn *done = op->done;
    void *owner = op->owner;
    bool refused = op->refused;
    if (!refused) {
        s = xzalloc(sizeof *s);
        open_endpoint(&s->e, f, &op->e.to);
        buf_init(&s->rx, DNS_MESSAGE_BYTES_MAX + 2);
    }
    close_endpoint(&op->e);
    free(op);
    done(owner, refused ? ERR_RETRY : ERR_OK, s, refused ? "connection refused" : "");
}

struct net_op *net_dial(struct net *n, const struct dial_conf *conf, net_dialled_fn *done, void *owner)
{
    struct net_op *op = xzalloc(sizeof *op);
    struct fake *f = the_fake(n);
    open_endpoint(&op->e, f, &conf->to);
    op->done = done;
    op->owner = owner;
    for (size_t i = 0; i < f->n; i++) op->refused = op->refused || has(&f->row[i], "notcp");
    timer_set_in(&f->timers, &op->e.timer, 1, dialled, op);
    return op;
}

void net_dial_cancel(struct net_op **op)
{
    if (!*op) return;
    close_endpoint(&(*op)->e);
    free(*op);
    *op = NULL;
}

void stream_attach(struct stream *s, const struct stream_events *ev, void *owner)
{
    s->ev = ev;
    s->owner = owner;
}

static void stream_deliver(struct timer *t)
{
    struct reply *r = t->owner;
    struct stream *s = r->to;
    list_remove(&r->link);
    if (r->err)
        s->ev->end(s->owner, r->err, "");
    else
        s->ev->data(s->owner, buf_slice(&r->bytes)); /* may close s */
    buf_deinit(&r->bytes);
    free(r);
}

/* In two pieces, so that nobody may count on one. */
static void stream_reply(struct stream *s, struct slice bytes, uint64_t in_ms)
{
    size_t half = bytes.n > 5 ? 5 : bytes.n;
    for (int i = 0; i < 2; i++) {
        struct reply *r = xzalloc(sizeof *r);
        r->to = s;
        buf_init(&r->bytes, DNS_MESSAGE_BYTES_MAX + 2);
        buf_put(&r->bytes, i ? slice_skip(bytes, half) : slice_sub(bytes, 0, half));
        list_append(&s->e.replies, &r->link);
        timer_set_in(&s->e.f->timers, &r->timer, in_ms, stream_deliver, r);
    }
}

static void tcp_question(struct stream *s, struct slice query)
{
    struct wire_question q;
    struct buf answer, framed;
    assert_true(wire_question(query, &q));
    struct fake_row *row = find_row(s->e.f, &s->e.to, &q);
    note(s->e.f, "tcp", &s->e.to, &q);
    row->used = has(row, "once");
    buf_init(&answer, DNS_MESSAGE_BYTES_MAX);
    buf_init(&framed, DNS_MESSAGE_BYTES_MAX + 2);
    wire_answer(&q, row->flags, row->records, &answer);
    buf_putf(&framed, "%c%c", (int)(buf_len(&answer) >> 8), (int)(buf_len(&answer) & 255));
    buf_put(&framed, buf_slice(&answer));
    stream_reply(s, buf_slice(&framed), delay_ms(row));
    buf_deinit(&answer);
    buf_deinit(&framed);
}

void stream_write(struct stream *s, struct slice bytes)
{
    buf_put(&s->rx, bytes);
    struct slice got = buf_slice(&s->rx);
    if (got.n < 2) return;
    size_t n = (size_t)(uint8_t)got.p[0] << 8 | (uint8_t)got.p[1];
    if (got.n < n + 2) return;
    tcp_question(s, slice_sub(got, 2, n));
    buf_consume(&s->rx, n + 2);
}

void stream_close(struct stream **s)
{
    if (!*s) return;
    close_endpoint(&(*s)->e);
    buf_deinit(&(*s)->rx);
    free(*s);
    *s = NULL;
}

/* --- The world --- */

static uint64_t fake_now(void *clock)
{
    return ((struct fake *)clock)->now_ms;
}

static uint64_t fake_wall(void *clock)
{
    return ((struct fake *)clock)->wall_ms;
}

void fake_init_conf(struct fake *f, const char *servers, struct resolver_conf conf)
{
    struct slice rest = slice_of(servers);
    memset(f, 0, sizeof *f);
    timers_init(&f->timers);
    f->timers.now_ms = fake_now;
    f->timers.wall_ms = fake_wall;
    f->timers.clock = f;
    f->now_ms = 1000;
    f->wall_ms = UINT64_C(1772000000000);
    rng_init_seed(&f->rng, 42);
    list_init(&f->open);
    buf_init(&f->trace, MIB(1));
    struct net *n = xzalloc(sizeof *n);
    n->f = f;
    f->env = (struct env){ .timers = &f->timers, .rng = &f->rng, .net = n };
    for (struct slice w = slice_word(&rest); w.n; w = slice_word(&rest))
        assert_int_equal(addr_parse(w, &conf.servers[conf.n_servers++]), ERR_OK);
    f->r = resolver_create(&f->env, &conf);
}

void fake_init(struct fake *f, const char *servers)
{
    fake_init_conf(f, servers, (struct resolver_conf){ 0 });
}

void fake_deinit(struct fake *f)
{
    resolver_destroy(f->r);
    assert_true(list_empty(&f->open));
    assert_true(timers_due_ms(&f->timers) == UINT64_MAX);
    timers_deinit(&f->timers);
    buf_deinit(&f->trace);
    free(f->env.net);
}

void fake_say(struct fake *f, const char *question, const char *flags, const char *records)
{
    assert_true(f->n < FAKE_ROWS_MAX);
    f->row[f->n++] = (struct fake_row){ question, flags, records, false };
}

void fake_run_ms(struct fake *f, uint64_t ms)
{
    uint64_t until = f->now_ms + ms;
    while (timers_due_ms(&f->timers) <= until) {
        f->now_ms = MAX(f->now_ms, timers_due_ms(&f->timers));
        timers_run(&f->timers);
    }
    f->now_ms = until;
}

void fake_run(struct fake *f)
{
    while (timers_due_ms(&f->timers) != UINT64_MAX) {
        f->now_ms = MAX(f->now_ms, timers_due_ms(&f->timers));
        timers_run(&f->timers);
    }
}

struct slice fake_trace(struct fake *f)
{
    static char text[65536]; /* a test prints one trace at a time */
    struct slice s = buf_slice(&f->trace);
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(s));
    buf_clear(&f->trace);
    return slice_of(text);
}
