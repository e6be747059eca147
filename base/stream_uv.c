/* A stream that works: read → (decrypt) → `data`; stream_write → (seal) → one write a loop turn → `drained`.
 *
 * - Writes are collected and leave before the loop sleeps, so a burst of small replies is one packet.
 * - libuv gets a buffer of its own for each write; more may be written meanwhile.
 * - stream_close frees nothing at once: libuv's close callback does, after every callback of this turn has returned.
 *
 * Failure modes: a peer that resets or breaks TLS → `end` once, then silence. A peer that stops reading → TIMEOUT after
 * the write limit. A write that fails while we read → the read side reports it, behind what the peer still said
 * (a refusal often comes just before the connection goes). */
#include "base/stream_uv.h"

#include <netinet/tcp.h>
#include <stdlib.h>

enum { WRITE_LIMIT_MS = 5 * 60 * 1000, READ_SIDE_MS = 1000, OUTPUT_BYTES_MAX = 1 << 30 };

/* ---- memory and libuv's handle ---- */

static void on_closed(uv_handle_t *h)
{
    struct stream *s = h->data;
    struct net *n = s->net;
    tls_conn_destroy(s->tls);
    buf_deinit(&s->plain);
    buf_deinit(&s->wire);
    buf_deinit(&s->flying);
    buf_deinit(&s->held);
    free(s);
    net_handle_closed(n);
}

static struct stream *stream_new(struct net *n)
{
    struct stream *s = xzalloc(sizeof *s);
    s->net = n;
    s->write_limit_ms = WRITE_LIMIT_MS;
    s->write.data = s->shut.data = s->connect.data = s;
    buf_init(&s->plain, OUTPUT_BYTES_MAX);
    buf_init(&s->wire, OUTPUT_BYTES_MAX);
    buf_init(&s->flying, OUTPUT_BYTES_MAX);
    buf_init(&s->held, OUTPUT_BYTES_MAX);
    list_init(&s->dirty);
    list_append(&n->streams, &s->link);
    return s;
}

static struct stream *with_handle(struct stream *s, int status)
{
    s->handle.data = s;
    if (status == 0) {
        net_handle_opened(s->net);
        return s;
    }
    list_remove(&s->link);
    free(s);
    return NULL;
}

struct stream *stream_new_tcp(struct net *n, int family, int *status)
{
    struct stream *s = stream_new(n);
    *status = uv_tcp_init_ex(n->uv, &s->tcp, (unsigned)family);
    return with_handle(s, *status);
}

struct stream *stream_new_unix(struct net *n, int *status)
{
    struct stream *s = stream_new(n);
    s->is_unix = true;
    *status = uv_pipe_init(n->uv, &s->pipe, 0);
    return with_handle(s, *status);
}

static void set_user_timeout(struct stream *s)
{
    int fd;
    unsigned ms = s->write_limit_ms;
    if (s->is_unix || uv_fileno(&s->handle, &fd) != 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms); /* our own timer is the promise */
}

void stream_set_up(struct stream *s)
{
    if (!s->is_unix) uv_tcp_nodelay(&s->tcp, 1);
    set_user_timeout(s);
}

void stream_cut(struct stream *s)
{
    if (s->state == STREAM_CLOSED) return;
    s->state = STREAM_CLOSED;
    s->ev = NULL;
    s->owner = NULL;
    list_remove(&s->link);
    list_remove(&s->dirty);
    timer_clear(s->net->timers, &s->limit);
    uv_close(&s->handle, on_closed);
}

enum err stream_err(int status)
{
    return status == UV_ETIMEDOUT ? ERR_TIMEOUT : status == UV_EOF ? ERR_CLOSED : ERR_RETRY;
}

const char *stream_text(int status)
{
    return status ? uv_strerror(status) : "";
}

static void mark_dirty(struct stream *s)
{
    if (list_empty(&s->dirty)) list_append(&s->net->dirty, &s->dirty);
}

/* Nothing more can be sent. The owner hears of it before the loop sleeps: never inside a call of its own. */
static void die(struct stream *s, enum err err, const char *detail)
{
    s->dead = s->must_tell = true;
    s->dead_err = err;
    s->dead_detail = detail;
    buf_clear(&s->plain);
    buf_clear(&s->wire);
    mark_dirty(s);
}

/* ---- telling the owner; each may free the owner and close the stream ---- */

static void tell_end(struct stream *s, enum err why, const char *detail)
{
    if (s->told_end || !s->ev) return;
    s->told_end = true;
    s->peer_ended = true;
    stream_sync_reading(s);
    s->ev->end(s->owner, why, detail);
}

static void tell_secured(struct stream *s, enum err err, const char *detail)
{
    if (s->told_end || !s->ev) return;
    if (!s->ev->secured) {
        if (err) tell_end(s, err, detail);
        return;
    }
    if (err) {
        s->told_end = s->peer_ended = s->dead = true;
        stream_sync_reading(s);
    }
    s->ev->secured(s->owner, err, detail);
}

/* ---- output ---- */

static void read_side_is_silent(struct timer *t)
{
    struct stream *s = t->owner;
    die(s, s->dead_err, s->dead_detail);
}

/* While we read, the read side comes to the same error behind what the peer still said. */
static void write_failed(struct stream *s, int status)
{
    if (s->state == STREAM_FINISHING) {
        stream_cut(s);
        return;
    }
    die(s, stream_err(status), stream_text(status));
    s->must_tell = !s->reading;
    if (s->reading) timer_set_in(s->net->timers, &s->limit, READ_SIDE_MS, read_side_is_silent, s);
}

static void watch_progress(struct timer *t)
{
    struct stream *s = t->owner;
    struct timers *ts = s->net->timers;
    size_t queued = uv_stream_get_write_queue_size(&s->uv);
    uint64_t now = timers_now_ms(ts);
    if (queued < s->queued_before) s->progress_ms = now;
    s->queued_before = queued;
    if (now - s->progress_ms < s->write_limit_ms) {
        timer_set_in(ts, t, MAX(s->write_limit_ms / 8, 1u), watch_progress, s);
        return;
    }
    die(s, ERR_TIMEOUT, "the peer takes no bytes");
}

static void start_watching(struct stream *s)
{
    if (s->state != STREAM_OPEN) return; /* FINISHING has its own limit */
    s->queued_before = uv_stream_get_write_queue_size(&s->uv);
    s->progress_ms = timers_now_ms(s->net->timers);
    timer_set_in(s->net->timers, &s->limit, MAX(s->write_limit_ms / 8, 1u), watch_progress, s);
}

static void flush(struct stream *s);

static void on_written(uv_write_t *w, int status)
{
    struct stream *s = w->data;
    s->writing = false;
    buf_clear(&s->flying);
    if (s->state == STREAM_CLOSED) return;
    if (s->state == STREAM_OPEN) timer_clear(s->net->timers, &s->limit);
    if (status < 0) {
        write_failed(s, status);
        return;
    }
    s->sent = true;
    flush(s);
}

/* Plain bytes become wire bytes: sealed, or simply moved. During a handshake they wait. */
static void seal(struct stream *s)
{
    if ((s->tls && !s->secured) || buf_len(&s->plain) == 0) return;
    if (s->tls) {
        enum err err = tls_conn_write(s->tls, buf_slice(&s->plain));
        buf_clear(&s->plain);
        if (err) die(s, err, tls_conn_detail(s->tls));
    } else if (buf_len(&s->wire) == 0) {
        struct buf empty = s->wire;
        s->wire = s->plain;
        s->plain = empty;
    } else {
        buf_put(&s->wire, buf_slice(&s->plain));
        buf_clear(&s->plain);
    }
}

/* Hands `flying` over: first what the kernel takes at once, the rest when it is ready. 0, or libuv's code. */
static int launch(struct stream *s)
{
    struct slice rest = buf_slice(&s->flying);
    uv_buf_t b = uv_buf_init((char *)rest.p, (unsigned)rest.n);
    int n = uv_try_write(&s->uv, &b, 1);
    if (n < 0 && n != UV_EAGAIN) return n;
    if (n > 0) rest = slice_skip(rest, (size_t)n);
    if (rest.n == 0) {
        buf_clear(&s->flying);
        return 0;
    }
    b = uv_buf_init((char *)rest.p, (unsigned)rest.n);
    int status = uv_write(&s->write, &s->uv, &b, 1, on_written);
    if (status == 0) {
        s->writing = true;
        start_watching(s);
    }
    return status;
}

static void all_sent(struct stream *s);

static void flush(struct stream *s)
{
    if (s->state == STREAM_CLOSED || s->connecting || s->writing || s->dead) return;
    seal(s);
    if (s->dead) return;
    if (buf_len(&s->wire)) {
        struct buf empty = s->flying;
        s->flying = s->wire;
        s->wire = empty;
        int status = launch(s);
        if (status < 0) {
            buf_clear(&s->flying);
            write_failed(s, status);
            return;
        }
        s->sent = !s->writing;
    }
    if (!s->writing) all_sent(s);
}

static void on_shut(uv_shutdown_t *r, int status)
{
    struct stream *s = r->data;
    if (s->state == STREAM_CLOSED) return;
    if (status < 0 || s->peer_ended) stream_cut(s); /* else the peer's end, or the limit, is the end */
}

/* An idle session keeps no output buffers. */
static void release_output(struct stream *s)
{
    size_t max = OUTPUT_BYTES_MAX;
    buf_deinit(&s->wire);
    buf_deinit(&s->flying);
    buf_init(&s->wire, max);
    buf_init(&s->flying, max);
    if (buf_len(&s->plain)) return; /* waits for the handshake */
    buf_deinit(&s->plain);
    buf_init(&s->plain, max);
}

/* The kernel has everything that may be sent now. */
static void all_sent(struct stream *s)
{
    release_output(s);
    if (s->state == STREAM_FINISHING) {
        if (s->shutting || (s->tls && !s->secured)) return;
        s->shutting = true;
        if (uv_shutdown(&s->shut, &s->uv, on_shut) != 0) stream_cut(s);
        return;
    }
    bool tell = s->sent && s->ev && s->ev->drained && !s->told_end && (!s->tls || s->secured);
    if (s->secured || !s->tls) s->sent = false;
    if (tell) s->ev->drained(s->owner);
}

void stream_write(struct stream *s, struct slice bytes)
{
    ASSERT(s->state == STREAM_OPEN);
    if (s->dead || bytes.n == 0) return;
    if (buf_append(&s->plain,
                   bytes)) /* a gigabyte that nobody reads: the owner ignores stream_pending_bytes */
        die(s, ERR_LIMIT, "too much waits to be sent");
    mark_dirty(s);
}

size_t stream_pending_bytes(const struct stream *s)
{
    size_t queued = s->writing ? uv_stream_get_write_queue_size(&s->uv) : 0;
    return buf_len(&s->plain) + buf_len(&s->wire) + queued;
}

/* ---- input ---- */

static void hold(struct stream *s, struct slice in)
{
    struct buf rest;
    if (in.n == 0) return;
    buf_init(&rest, OUTPUT_BYTES_MAX);
    buf_put(&rest, in); /* `in` may be part of `held`: copy before letting go */
    buf_deinit(&s->held);
    s->held = rest;
}

static bool wants_data(const struct stream *s)
{
    return s->state == STREAM_OPEN && s->ev && !s->paused && !s->told_end;
}

static void tls_broke(struct stream *s, enum err err)
{
    if (err == ERR_CLOSED) {
        tell_end(s, ERR_CLOSED, "");
        return;
    }
    flush(s); /* the alert */
    if (s->state == STREAM_CLOSED) return;
    s->dead = true;
    if (s->secured)
        tell_end(s, err, tls_conn_detail(s->tls));
    else
        tell_secured(s, err, tls_conn_detail(s->tls));
}

/* True: secured, and still the owner's. */
static bool step_handshake(struct stream *s, struct slice *in)
{
    bool done = false;
    enum err err = tls_conn_handshake(s->tls, in, &done);
    if (err) {
        tls_broke(s, err);
        return false;
    }
    if (!done) {
        flush(s);
        return false;
    }
    s->secured = true;
    mark_dirty(s);
    tell_secured(s, ERR_OK, "");
    return s->state == STREAM_OPEN;
}

/* Everything that can be decrypted is given out; where the owner pauses, the rest is held. */
static void tls_input(struct stream *s, struct slice in)
{
    if (!s->secured && !step_handshake(s, &in)) return;
    while (wants_data(s)) {
        size_t n = 0;
        enum err err = tls_conn_read(s->tls, &in, s->net->plain, sizeof s->net->plain, &n);
        if (err) {
            tls_broke(s, err);
            return;
        }
        if (buf_len(&s->wire)) mark_dirty(s); /* a key update is answered */
        if (n == 0) return;
        s->ev->data(s->owner, slice_from(s->net->plain, n));
    }
    if (s->state != STREAM_OPEN || s->told_end) return;
    hold(s, in);
    stream_sync_reading(s);
}

/* The last words are sealed behind the handshake that was under way when they were written. */
static void seal_the_end(struct stream *s)
{
    seal(s);
    if (!s->dead && s->tls) tls_conn_shutdown(s->tls);
    mark_dirty(s);
}

/* FINISHING: what still comes is read, or our close would be a reset that destroys our last words. */
static void discard(struct stream *s, struct slice in)
{
    bool done = false;
    if (!s->tls || s->secured) return;
    if (tls_conn_handshake(s->tls, &in, &done)) {
        stream_cut(s);
    } else if (done) {
        s->secured = true;
        seal_the_end(s);
    } else {
        flush(s);
    }
}

static void on_end(struct stream *s, int status)
{
    s->peer_ended = true;
    if (s->state == STREAM_FINISHING) {
        bool handshake = s->tls && !s->secured;
        if (s->shutting || handshake || status != UV_EOF)
            stream_cut(s); /* else the flush goes on, to on_shut */
        return;
    }
    enum err err = s->dead ? s->dead_err : stream_err(status);
    const char *detail = s->dead                 ? s->dead_detail
                         : status != UV_EOF      ? stream_text(status)
                         : s->tls && !s->secured ? "ended in the TLS handshake"
                         : s->tls                ? "ended without TLS close_notify"
                                                 : "";
    if (status != UV_EOF) s->dead = true;
    s->must_tell = false;
    if (s->tls && !s->secured)
        tell_secured(s, err, detail);
    else
        tell_end(s, err, detail);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
    struct stream *s = h->data;
    if (n == 0 || s->state == STREAM_CLOSED) return;
    if (n < 0) {
        uv_read_stop(h);
        s->reading = false;
        on_end(s, (int)n);
    } else if (s->state == STREAM_FINISHING) {
        discard(s, slice_from(b->base, (size_t)n));
    } else if (s->told_end) {
        return;
    } else if (s->tls) {
        tls_input(s, slice_from(b->base, (size_t)n));
    } else {
        s->ev->data(s->owner, slice_from(b->base, (size_t)n));
    }
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    struct stream *s = h->data;
    *out = uv_buf_init(s->net->scratch, sizeof s->net->scratch);
}

void stream_sync_reading(struct stream *s)
{
    if (s->state == STREAM_CLOSED) return;
    bool handshake = s->tls && !s->secured;
    bool want = s->state == STREAM_FINISHING ? !s->peer_ended
                                             : s->ev && !s->peer_ended && !s->connecting &&
                                                   (!s->paused || handshake) && buf_len(&s->held) == 0;
    if (want == s->reading) return;
    s->reading = want;
    if (!want) {
        uv_read_stop(&s->uv);
    } else if (uv_read_start(&s->uv, on_alloc, on_read) != 0) {
        s->reading = false;
        die(s, ERR_RETRY, "cannot read");
    }
}

/* ---- before the loop sleeps ---- */

static void catch_up(struct stream *s)
{
    s->resumed = false;
    if (s->tls && s->secured && wants_data(s)) {
        struct buf held = s->held;
        buf_init(&s->held, OUTPUT_BYTES_MAX);
        tls_input(s, buf_slice(&held));
        buf_deinit(&held);
    }
    stream_sync_reading(s);
}

/* What could not be told inside the owner's calls is told now, what was written is sent. */
void stream_before_poll(struct stream *s)
{
    if (s->resumed) catch_up(s);
    flush(s);
    if (s->state == STREAM_FINISHING && s->dead) stream_cut(s);
    if (s->state != STREAM_OPEN || !s->must_tell) return;
    s->must_tell = false;
    if (s->secured || !s->starting_tls)
        tell_end(s, s->dead_err, s->dead_detail);
    else
        tell_secured(s, s->dead_err, s->dead_detail);
}

/* ---- the owner's calls ---- */

void stream_attach(struct stream *s, const struct stream_events *ev, void *owner)
{
    ASSERT(s->state == STREAM_OPEN && ev->data && ev->end);
    s->ev = ev;
    s->owner = owner;
    s->resumed = true;
    mark_dirty(s);
    stream_sync_reading(s);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    stream_sync_reading(s);
}

void stream_resume(struct stream *s)
{
    if (!s->paused) return;
    s->paused = false;
    s->resumed = true;
    mark_dirty(s);
    stream_sync_reading(s);
}

void stream_close(struct stream **at)
{
    struct stream *s = *at;
    *at = NULL;
    if (s) stream_cut(s);
}

static void finish_timed_out(struct timer *t)
{
    stream_cut(t->owner);
}

void stream_finish(struct stream **at, uint32_t limit_ms)
{
    struct stream *s = *at;
    *at = NULL;
    if (!s) return;
    ASSERT(s->state == STREAM_OPEN);
    if (s->dead) {
        stream_cut(s);
        return;
    }
    s->state = STREAM_FINISHING;
    s->ev = NULL;
    s->owner = NULL;
    list_remove(&s->link);
    list_append(&s->net->finishing, &s->link);
    if (!s->tls || s->secured) seal_the_end(s);
    stream_sync_reading(s);
    timer_set_in(s->net->timers, &s->limit, limit_ms, finish_timed_out, s);
    mark_dirty(s);
}

void stream_reset(struct stream **at)
{
    struct stream *s = *at;
    *at = NULL;
    if (!s) return;
    int fd;
    struct linger now = { .l_onoff = 1 };
    if (!s->is_unix && uv_fileno(&s->handle, &fd) == 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    stream_cut(s);
}

void stream_set_write_limit(struct stream *s, uint32_t limit_ms)
{
    s->write_limit_ms = MAX(limit_ms, 1u);
    set_user_timeout(s);
    if (s->writing && s->state == STREAM_OPEN) start_watching(s);
}

void stream_peer(const struct stream *s, struct addr *out)
{
    struct sockaddr_storage ss;
    int n = sizeof ss;
    *out = (struct addr){ 0 };
    if (!s->is_unix && uv_tcp_getpeername(&s->tcp, (void *)&ss, &n) == 0)
        addr_from_sockaddr((void *)&ss, out);
}

void stream_local(const struct stream *s, struct addr *out)
{
    struct sockaddr_storage ss;
    int n = sizeof ss;
    *out = (struct addr){ 0 };
    if (!s->is_unix && uv_tcp_getsockname(&s->tcp, (void *)&ss, &n) == 0)
        addr_from_sockaddr((void *)&ss, out);
}

/* ---- TLS ---- */

static void begin_tls(struct stream *s, struct tls_context *tls, bool server, const struct tls_peer *peer)
{
    ASSERT(s->state == STREAM_OPEN && !s->starting_tls);
    seal(s); /* clear bytes written before ("220 ready") leave as they are */
    buf_clear(&s->held);
    s->starting_tls = true;
    const char *detail = "";
    s->tls = tls_conn_create(s->net->bio, tls, server, peer, &s->wire, &detail);
    if (!s->tls) {
        die(s, ERR_MALFORMED, detail);
        return;
    }
    struct slice none = SLICE("");
    bool done = false;
    enum err err = server ? ERR_OK : tls_conn_handshake(s->tls, &none, &done); /* the client's hello */
    if (err) die(s, err, tls_conn_detail(s->tls));
    mark_dirty(s);
    stream_sync_reading(s);
}

void stream_starttls(struct stream *s, struct tls_context *tls, bool server, const char *name)
{
    begin_tls(s, tls, server, &(struct tls_peer){ .name = name });
}

void stream_starttls_client(struct stream *s, struct tls_context *tls, const struct tls_peer *peer)
{
    begin_tls(s, tls, false, peer);
}

enum tls_fault stream_tls_fault(const struct stream *s)
{
    enum tls_fault f = s->tls ? tls_conn_fault(s->tls) : TLS_FAULT_NONE;
    return !f && s->starting_tls && !s->secured ? TLS_FAULT_PROTOCOL : f;
}

bool stream_is_tls(const struct stream *s)
{
    return s->secured;
}

const char *stream_tls_version(const struct stream *s)
{
    return s->secured ? tls_conn_version(s->tls) : "";
}

const char *stream_tls_cipher(const struct stream *s)
{
    return s->secured ? tls_conn_cipher(s->tls) : "";
}

const char *stream_tls_peer_name(const struct stream *s)
{
    return s->secured ? tls_conn_peer_name(s->tls) : "";
}
