/* base/stream_uv.h: the insides of streams and of the net that holds them; private to base/{net,stream,dial,udp}_uv.
 *
 * Life of a stream: OPEN (an owner may be attached) → FINISHING (no owner: flush, FIN, wait for the peer's end) →
 * CLOSED (uv_close was called; the memory goes in its callback). Every path that calls out looks at the state again
 * afterwards. */
#ifndef GEMEL_BASE_STREAM_UV_H
#define GEMEL_BASE_STREAM_UV_H

#include <uv.h>

#include "base/list.h"
#include "base/net_uv.h"
#include "base/timers.h"
#include "base/tls_conn_uv.h"

enum {
    NET_SCRATCH_BYTES = 64 * 1024, /* one read; shared by all sockets of the loop */
    NET_PLAIN_BYTES = 16 * 1024,   /* one TLS record, decrypted */
};

struct net {
    uv_loop_t *uv;
    struct timers *timers;
    BIO_METHOD *bio;
    uv_prepare_t before_poll; /* sends what the callbacks of one turn have written, at once */
    uv_idle_t busy;           /* runs while that has made new work: the loop must not sleep then */
    struct list dirty;        /* streams with `dirty` linked */
    struct list streams, listeners, dials, udps;
    struct list finishing;
    size_t handles; /* that libuv still knows */
    bool dying;
    char scratch[NET_SCRATCH_BYTES];
    char plain[NET_PLAIN_BYTES];
};

enum stream_state { STREAM_OPEN, STREAM_FINISHING, STREAM_CLOSED };

struct stream {
    union {
        uv_handle_t handle;
        uv_stream_t uv;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    struct net *net;
    struct list link;  /* in net->streams or net->finishing */
    struct list dirty; /* in net->dirty: to be looked at before the loop sleeps */
    enum stream_state state;
    const struct stream_events *ev;
    void *owner;

    struct buf plain;  /* written, not yet sealed (TLS) or not yet moved (clear) */
    struct buf wire;   /* ready for the kernel */
    struct buf flying; /* libuv has it; not touched until its callback */
    uv_write_t write;
    uv_shutdown_t shut;
    uv_connect_t connect;
    struct net_op *dial; /* while connecting or in the handshake of a dial */

    struct buf held; /* received, and paused before it was decrypted */
    struct tls_conn *tls;
    bool starting_tls; /* stream_starttls was called */
    bool secured;      /* and its handshake is over */
    bool connecting;   /* not yet a connection */
    bool writing;      /* `flying` is under way */
    bool sent;         /* something left since `drained` was called */
    bool shutting;     /* FIN was asked for */
    bool is_unix;
    bool reading;    /* uv_read_start is in force */
    bool paused;     /* by the owner */
    bool resumed;    /* look at `held` before the loop sleeps */
    bool peer_ended; /* nothing more will be read: EOF, close_notify, or an error */
    bool dead;       /* nothing can be sent any more */
    bool must_tell;  /* dead, and the owner is to hear of it before the loop sleeps */
    bool told_end;   /* `end`, or an error by `secured`, was called */
    enum err dead_err;
    const char *dead_detail;

    uint32_t write_limit_ms;
    size_t queued_before; /* libuv's queue when progress was last seen */
    uint64_t progress_ms;
    struct timer limit; /* OPEN: watches progress; FINISHING: the end */
};

struct stream *stream_new_tcp(struct net *n, int family, int *status); /* family AF_UNSPEC: no socket yet */
struct stream *stream_new_unix(struct net *n, int *status);
void stream_set_up(struct stream *s);       /* after accept or connect: TCP_NODELAY, TCP_USER_TIMEOUT */
void stream_sync_reading(struct stream *s); /* reads if, and only if, somebody wants it */
void stream_before_poll(struct stream *s);
void stream_cut(struct stream *s);   /* stream_close without the pointer */
enum err stream_err(int status);     /* libuv's code as ours */
const char *stream_text(int status); /* "" for 0, for which uv_strerror would allocate */

void net_handle_opened(struct net *n);
void net_handle_closed(struct net *n); /* frees the net after the last one when it is dying */

#endif
