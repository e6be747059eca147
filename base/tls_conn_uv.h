/* base/tls_conn_uv.h: one TLS connection as a function from bytes to bytes; private to base/stream_uv.
 *
 * Knows no socket. Input is borrowed for the call and taken as far as OpenSSL wants it; output is appended to the
 * buffer given at creation. */
#ifndef GEMEL_BASE_TLS_CONN_UV_H
#define GEMEL_BASE_TLS_CONN_UV_H

#include <openssl/bio.h>

#include "base/net.h"
#include "base/tls_uv.h"

struct tls_conn;

/* How OpenSSL reaches our bytes; one for each net, freed after all connections. */
BIO_METHOD *tls_conn_bio_method(void);

/* `out` must outlive the connection. `peer`: of a client; may be NULL. NULL: OpenSSL could not, see `detail`. */
struct tls_conn *tls_conn_create(BIO_METHOD *bio, struct tls_context *t, bool server,
                                 const struct tls_peer *peer, struct buf *out, const char **detail);
void tls_conn_destroy(struct tls_conn *c); /* safe on NULL */

/* One step with more input. OK with *done false: needs more bytes. MALFORMED, REFUSED: over, see tls_conn_detail; `out`
 * holds the alert for the peer. */
MUST_USE enum err tls_conn_handshake(struct tls_conn *c, struct slice *in, bool *done);
/* Takes from *in until something is decrypted. OK with *n 0: needs more bytes. CLOSED: the peer's close_notify. */
MUST_USE enum err tls_conn_read(struct tls_conn *c, struct slice *in, char *room, size_t cap, size_t *n);
MUST_USE enum err tls_conn_write(struct tls_conn *c, struct slice plain); /* all of it */
void tls_conn_shutdown(struct tls_conn *c);                               /* close_notify into `out` */

const char *tls_conn_detail(const struct tls_conn *c); /* why it failed */
enum tls_fault tls_conn_fault(const struct tls_conn *c);
const char *tls_conn_version(const struct tls_conn *c);
const char *tls_conn_cipher(const struct tls_conn *c);
const char *tls_conn_peer_name(const struct tls_conn *c); /* see stream_tls_peer_name */

#endif
