/* base/net.h: byte streams and datagrams as a port; TLS lives inside a stream.
 *
 * Real side: base/net_uv. All calls and callbacks belong to one loop's thread.
 *
 * A stream gives callbacks until stream_close, which is immediate and final: no callback runs afterwards, the owner may
 * free itself at once, bytes not yet sent are dropped. stream_finish sends what is pending, then closes. */
#ifndef GEMEL_BASE_NET_H
#define GEMEL_BASE_NET_H

#include "base/addr.h"

struct net;
struct stream;
struct listener;
struct net_op;
struct udp;
struct
    tls_context; /* certificates and policy, made by base/tls_uv; shared between threads, never freed while used */

struct stream_events {
    /* Borrowed bytes; all of them are taken. Never called while paused. May close the stream. */
    void (*data)(void *owner, struct slice bytes);
    /* The end, once: CLOSED when the peer's bytes are over (answers may still be written and finished), RETRY for a
     * reset or I/O error, MALFORMED for bad TLS, REFUSED when the peer does not take our certificate (TLS 1.3 says so
     * after the handshake), TIMEOUT when bytes could not be sent for the write limit. Also while paused. The stream is
     * still to be closed by the owner. */
    void (*end)(void *owner, enum err why, const char *detail);
    /* Everything written has left for the kernel. May be NULL. */
    void (*drained)(void *owner);
    /* Answer to stream_starttls: OK, or MALFORMED (no TLS), REFUSED (certificate), CLOSED, RETRY; no `end` follows an
     * error. May be NULL when TLS is not used. */
    void (*secured)(void *owner, enum err err, const char *detail);
};

void stream_attach(struct stream *s, const struct stream_events *ev,
                   void *owner);                         /* `ev` must outlive the stream */
void stream_write(struct stream *s, struct slice bytes); /* copies; never fails: errors come through `end` */
size_t stream_pending_bytes(const struct stream *s);     /* written but not yet with the kernel */
void stream_pause(struct stream *s); /* no `data` until stream_resume; back pressure to the peer */
void stream_resume(struct stream *s);
void stream_close(struct stream **s); /* safe on NULL */
/* Flush, TLS close_notify, FIN, wait for the peer's end; all in at most limit_ms, without the owner. *s = NULL. */
void stream_finish(struct stream **s, uint32_t limit_ms);
void stream_reset(struct stream **s); /* RST: the peer cannot take it for an end */
/* How long written bytes may make no progress before `end` says TIMEOUT. Also given to the kernel
 * (TCP_USER_TIMEOUT). Without this call: five minutes (RFC 5321 4.5.3.2). */
void stream_set_write_limit(struct stream *s, uint32_t limit_ms);
void stream_peer(const struct stream *s, struct addr *out);  /* family NONE for a unix socket */
void stream_local(const struct stream *s, struct addr *out); /* getsockname: which address really sends */

/* Server or client handshake over an open stream; any clear-text bytes received but not yet delivered are thrown away
 * (STARTTLS injection, CVE-2011-0411). `name`: for a client the peer's name (SNI, and checked when the context
 * verifies); NULL: none. Answer by `secured`. */
void stream_starttls(struct stream *s, struct tls_context *tls, bool server, const char *name);
/* What a client may demand of a server beyond what its context does. All borrowed until the call returns. */
struct tls_pin { /* RFC 6698: what a certificate must be; only usages 2 and 3, which need no CA */
    uint8_t usage, selector, matching;
    struct slice data;
};
struct tls_peer {
    const char *name; /* SNI; NULL: none */
    const struct slice
        *names; /* any of them in the certificate will do, ".example" for whatever ends so; none: `name` */
    size_t n_names;
    const struct tls_pin
        *pins; /* any of them must match, and the context's CAs are not asked; none: not pinned */
    size_t n_pins;
};
/* The same as a client, with these demands. Pins that OpenSSL cannot use do not count; when none is left, it is
 * MALFORMED. */
void stream_starttls_client(struct stream *s, struct tls_context *tls, const struct tls_peer *peer);

/* Why a handshake came to nothing, in the `secured` that says so. */
enum tls_fault {
    TLS_FAULT_NONE,
    TLS_FAULT_PROTOCOL,  /* not TLS, no common version or cipher, cut off */
    TLS_FAULT_EXPIRED,   /* the certificate is over, or not valid yet */
    TLS_FAULT_NAME,      /* it is somebody else's */
    TLS_FAULT_UNTRUSTED, /* no way to a CA of ours */
    TLS_FAULT_PINS       /* it is none of the pinned ones */
};
enum tls_fault stream_tls_fault(const struct stream *s);
bool stream_is_tls(const struct stream *s);
const char *stream_tls_version(const struct stream *s); /* "TLSv1.3", or "" */
const char *stream_tls_cipher(const struct stream *s);
/* The peer certificate's DNS name that the context verified (first SAN dNSName, else CN), or "" without one. */
const char *stream_tls_peer_name(const struct stream *s);

struct listen_conf {
    struct addr addr;
    const char *unix_path; /* instead of addr: a unix socket, mode 0660 */
    bool reuse_port;       /* several loops accept from one address (SO_REUSEPORT) */
    uint32_t backlog;
    struct tls_context *tls; /* TLS from the first byte; `accepted` comes after the handshake. NULL: clear */
    uint32_t handshake_limit_ms;
};
/* The stream is yours: attach and close it. */
typedef void net_accepted_fn(void *owner, struct stream *s);
/* REFUSED: address in use, not ours, or no permission; `detail` (may be NULL) gets strerror text. */
MUST_USE enum err net_listen(struct net *n, const struct listen_conf *conf, net_accepted_fn *accepted,
                             void *owner, struct listener **out, const char **detail);
void listener_close(struct listener **l);
void listener_addr(const struct listener *l, struct addr *out); /* the port really bound, when 0 was asked */

struct dial_conf {
    struct addr to;
    struct addr
        from; /* family NONE: the kernel chooses. Otherwise bound, and checked by getsockname after connect:
                              * a failed bind or another address is REFUSED, never a silent fallback */
    const char *unix_path;   /* instead of to and from */
    struct tls_context *tls; /* TLS from the first byte; NULL: clear */
    const char *tls_name;
    uint32_t limit_ms; /* for connect and handshake together */
};
/* Runs once, never before net_dial returns. OK: the stream is yours. `detail` is for the log, borrowed.
 * RETRY: refused, unreachable, reset. TIMEOUT: limit_ms. REFUSED: `from` cannot be used, or the certificate is not
 * good. MALFORMED: not TLS. */
typedef void net_dialled_fn(void *owner, enum err err, struct stream *s, const char *detail);
struct net_op *net_dial(struct net *n, const struct dial_conf *conf, net_dialled_fn *done, void *owner);
void net_dial_cancel(struct net_op **op); /* `done` will not run; safe on NULL */

/* One UDP socket, connected to `to` so that only its answers arrive; a random source port from the kernel. */
typedef void udp_data_fn(void *owner, enum err err, struct slice datagram); /* err RETRY: ICMP error */
MUST_USE enum err udp_open(struct net *n, const struct addr *to, udp_data_fn *data, void *owner,
                           struct udp **out);
void udp_send(struct udp *u, struct slice datagram);
void udp_close(struct udp **u);

#endif
