/* base/tls_context_uv.h: what a connection needs of a context; private to base/tls_uv and base/tls_conn_uv. */
#ifndef GEMEL_BASE_TLS_CONTEXT_UV_H
#define GEMEL_BASE_TLS_CONTEXT_UV_H

#include <openssl/ssl.h>

#include "base/tls_uv.h"

/* A new SSL with the files of this moment and the verification policy for that side; NULL: OpenSSL could not. */
SSL *tls_context_ssl(struct tls_context *t, bool server);
bool tls_context_verifies(const struct tls_context *t);

#endif
