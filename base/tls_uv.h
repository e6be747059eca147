/* base/tls_uv.h: certificates and TLS policy, to be used by streams (base/net.h).
 *
 * TLS 1.2 and 1.3, no compression, no renegotiation. Between our own parts (TLS_VERIFY_PEER) only forward secrecy and
 * AEAD ciphers; strangers (TLS_VERIFY_NONE) may use whatever OpenSSL still holds for good, since many of them would
 * fall back to clear text. A context is used by any number of loops at once and serves both sides; it must outlive
 * listeners, dials and handshakes that name it, but not the streams they gave. */
#ifndef GEMEL_BASE_TLS_UV_H
#define GEMEL_BASE_TLS_UV_H

#include "base/buf.h"

struct tls_context;

enum tls_verify {
    TLS_VERIFY_NONE, /* any peer, named or not: no certificate is asked of clients, none is checked of servers */
    TLS_VERIFY_SERVER, /* for clients of strangers: the server shows a certificate of a CA, for the name given */
    TLS_VERIFY_PEER, /* the peer shows a certificate of our CA: servers demand one of clients; clients also check
                      * the name given to the dial */
};

struct tls_conf {
    const char *ca_file; /* PEM; NULL: the system's CAs (only sensible for clients) */
    const char *cert_file,
        *key_file; /* PEM, the certificate first, then its chain; NULL, NULL: none (clients) */
    enum tls_verify verify;
};

/* Strings are copied, files read now. On failure `why` (may be NULL) gets a sentence that names the file:
 * NOT_FOUND no such file, REFUSED unreadable, MALFORMED not PEM, encrypted, or the key of another certificate. An
 * expired certificate is taken: a warning (tls_context_expires_s) serves better than a gateway that does not start. */
MUST_USE enum err tls_context_create(const struct tls_conf *conf, struct tls_context **out, struct buf *why);
void tls_context_destroy(struct tls_context *t); /* safe on NULL */

/* For "encrypt if you can": no verification, and everything from TLS 1.0 on, since the alternative is clear text
 * (RFC 7435). Clients only. */
struct tls_context *tls_context_opportunistic_client(void);

/* Reads the files again; handshakes from now on use them, open streams stay as they are. On failure the old ones stay
 * in use. Any thread. */
MUST_USE enum err tls_context_reload(struct tls_context *t, struct buf *why);

/* Unix time at which our own certificate ends; 0: we have none. For warnings and metrics. Any thread. */
int64_t tls_context_expires_s(struct tls_context *t);

#endif
