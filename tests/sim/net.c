/* base/net.h for the simulated nodes: byte streams that are late, cut, and broken, but never lie about bytes.
 *
 * A connection has two ends and two wires. What is written waits on the wire until it has travelled; a cut holds it, and
 * breaks the connection when it lasts; the end of a process closes its ends. TLS is not played: handover runs `clear`. */
#include "base/net.h"

#include <stdlib.h>

#include "tests/sim/sim.h"

enum { BREAK_AFTER_MS = 20000, REFUSED_AFTER_MS = 1000, WIRE_BYTES_MAX = 64 << 20 };

struct stream {
    struct conn *conn;
    int side;
    const struct stream_events *ev;
    void *owner;
    bool paused, ended;
};

struct conn {
    struct conn *next;
    struct sim *w;
    uint8_t node[2];
    struct stream *end[2];
    struct buf wire[2]; /* [side that wrote] */
    bool under_way[2];
    uint64_t stuck_ms[2];
};

struct listener {
    struct net *net;
    net_accepted_fn *accepted;
    void *owner;
};

struct net_op {
    struct net_op *next;
    struct net *net;
    struct addr to;
    net_dialled_fn *done;
    void *owner;
    bool cancelled, over;
};

struct net {
    struct sim *w;
    uint8_t node;
    struct listener *listener;
};

struct sim_net { /* of the whole world */
    struct net nets[SIM_NODES_MAX];
    struct conn *conns;
    struct net_op *ops;
};

struct net *sim_net_of(struct sim *w, uint8_t node)
{
    if (!w->net) w->net = xzalloc(sizeof *w->net);
    struct net *n = &w->net->nets[node];
    n->w = w;
    n->node = node;
    return n;
}

static void pump_in(struct conn *c, int side, uint64_t in_ms)
{
    if (c->under_way[side]) return;
    c->under_way[side] = true;
    sim_push(c->w, c->w->now_ms + in_ms, EV_NET, STORE, 0, (struct ev){ .conn = c, .side = side });
}

static void end_stream(struct stream *s, enum err why)
{
    if (!s || s->ended) return;
    s->ended = true;
    if (s->ev) s->ev->end(s->owner, why, "simulated");
}

/* The other end is gone, or the wire was cut for too long. */
static void break_conn(struct conn *c)
{
    buf_clear(&c->wire[0]);
    buf_clear(&c->wire[1]);
    for (int k = 0; k < 2; k++) /* each end is asked for again: the first callback may close the second */
        if (c->end[k] && c->w->actors[c->node[k]].alive) end_stream(c->end[k], ERR_RETRY);
}

static bool held(const struct conn *c, int side)
{
    const struct sim *w = c->w;
    return w->cut[c->node[side]][c->node[!side]] || w->actors[c->node[!side]].paused;
}

static void deliver(struct conn *c, int side)
{
    struct stream *to = c->end[!side];
    struct buf bytes;
    buf_init(&bytes, WIRE_BYTES_MAX);
    buf_put(&bytes, buf_slice(&c->wire[side]));
    buf_clear(&c->wire[side]);
    to->ev->data(to->owner, buf_slice(&bytes));
    buf_deinit(&bytes);
    struct stream *from = c->end[side];
    if (from && !from->ended && from->ev && from->ev->drained) from->ev->drained(from->owner);
}

void sim_net_event(struct sim *w, const struct ev *ev)
{
    struct conn *c = ev->conn;
    int side = ev->side;
    c->under_way[side] = false;
    if (held(c, side)) {
        if (!c->stuck_ms[side]) c->stuck_ms[side] = w->now_ms;
        if (w->now_ms >= c->stuck_ms[side] + BREAK_AFTER_MS)
            break_conn(c);
        else
            pump_in(c, side, 250);
        return;
    }
    c->stuck_ms[side] = 0;
    struct stream *to = c->end[!side];
    if (!c->end[side] && buf_len(&c->wire[side]) == 0) {
        end_stream(to, ERR_CLOSED);
        return;
    }
    if (!to || to->ended) {
        break_conn(c);
        return;
    }
    if (!to->ev || to->paused)
        pump_in(c, side, 20);
    else if (buf_len(&c->wire[side]))
        deliver(c, side);
    if (!c->end[side]) pump_in(c, side, 1);
}

/* ---- streams ---- */

void stream_attach(struct stream *s, const struct stream_events *ev, void *owner)
{
    s->ev = ev;
    s->owner = owner;
}

void stream_write(struct stream *s, struct slice bytes)
{
    struct conn *c = s->conn;
    if (s->ended) return;
    buf_put(&c->wire[s->side], bytes);
    pump_in(c, s->side, rng_between(&c->w->rng, 1, 5));
}

size_t stream_pending_bytes(const struct stream *s)
{
    return buf_len(&s->conn->wire[s->side]);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
}

void stream_resume(struct stream *s)
{
    s->paused = false;
}

void stream_close(struct stream **s)
{
    if (!*s) return;
    struct conn *c = (*s)->conn;
    int side = (*s)->side;
    buf_clear(&c->wire[side]);
    c->end[side] = NULL;
    free(*s);
    *s = NULL;
    pump_in(c, side, rng_between(&c->w->rng, 1, 5)); /* the end travels too */
}

const char *stream_tls_peer_name(const struct stream *s)
{
    return "";
}

/* ---- listening and dialling ---- */

enum err net_listen(struct net *n, const struct listen_conf *conf, net_accepted_fn *accepted, void *owner,
                    struct listener **out, const char **detail)
{
    struct listener *l = xzalloc(sizeof *l);
    *l = (struct listener){ .net = n, .accepted = accepted, .owner = owner };
    n->listener = l;
    *out = l;
    return ERR_OK;
}

void listener_close(struct listener **l)
{
    if (!*l) return;
    (*l)->net->listener = NULL;
    free(*l);
    *l = NULL;
}

struct net_op *net_dial(struct net *n, const struct dial_conf *conf, net_dialled_fn *done, void *owner)
{
    struct net_op *op = xzalloc(sizeof *op);
    *op = (struct net_op){ .next = n->w->net->ops, .net = n, .to = conf->to, .done = done, .owner = owner };
    n->w->net->ops = op;
    uint8_t to = (uint8_t)(conf->to.port - SIM_PORT);
    bool far = !n->w->actors[to].alive || n->w->cut[n->node][to] || n->w->cut[to][n->node];
    uint64_t in = far ? REFUSED_AFTER_MS : rng_between(&n->w->rng, 1, 6);
    sim_push(n->w, n->w->now_ms + in, EV_DIAL, n->node, 0, (struct ev){ .op = op });
    return op;
}

void net_dial_cancel(struct net_op **op)
{
    if (*op) (*op)->cancelled = true;
    *op = NULL;
}

static struct stream *make_end(struct conn *c, int side)
{
    struct stream *s = xzalloc(sizeof *s);
    s->conn = c;
    s->side = side;
    c->end[side] = s;
    return s;
}

void sim_net_dialled(struct sim *w, const struct ev *ev)
{
    struct net_op *op = ev->op;
    op->over = true;
    if (op->cancelled) return;
    uint8_t from = op->net->node, to = (uint8_t)(op->to.port - SIM_PORT);
    struct listener *l = w->net->nets[to].listener;
    bool reached = l && w->actors[to].alive && !w->actors[to].paused && !w->cut[from][to] &&
                   !w->cut[to][from];
    if (!reached) {
        op->done(op->owner, ERR_RETRY, NULL, "simulated");
        return;
    }
    struct conn *c = xzalloc(sizeof *c);
    *c = (struct conn){ .next = w->net->conns, .w = w, .node = { from, to } };
    w->net->conns = c;
    for (int k = 0; k < 2; k++) buf_init(&c->wire[k], WIRE_BYTES_MAX);
    struct stream *near = make_end(c, 0), *far = make_end(c, 1);
    op->done(op->owner, ERR_OK, near, "");
    l->accepted(l->owner, far);
}

void sim_net_free(struct sim *w)
{
    if (!w->net) return;
    for (struct conn *c = w->net->conns, *next; c; c = next) {
        next = c->next;
        for (int k = 0; k < 2; k++) {
            free(c->end[k]);
            buf_deinit(&c->wire[k]);
        }
        free(c);
    }
    for (struct net_op *op = w->net->ops, *next; op; op = next) {
        next = op->next;
        free(op);
    }
    free(w->net);
    w->net = NULL;
}
