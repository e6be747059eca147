/* A context: read CA, certificate and key → an SSL_CTX → shared by reference with every connection made from it.
 *
 * Failure modes: a file is missing, unreadable, not PEM, or key and certificate do not belong together. A reload that
 * fails leaves the SSL_CTX of before in place; one that succeeds swaps the pointer under the lock, and OpenSSL's own
 * reference count keeps the old one for open connections. */
#include "base/tls_uv.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/tls_context_uv.h"

struct tls_context {
    char *ca_file, *cert_file, *key_file;
    enum tls_verify verify;
    bool opportunistic;
    pthread_mutex_t lock; /* guards the two below */
    SSL_CTX *ctx;
    int64_t expires_s;
};

static const char modern_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20"; /* TLS 1.2; 1.3 has no others */

static void PRINTF_LIKE(2, 3) say(struct buf *why, const char *fmt, ...)
{
    if (!why) return;
    va_list ap;
    va_start(ap, fmt);
    buf_clear(why);
    if (buf_vprintf(why, fmt, ap)) buf_clear(why); /* a sentence that does not fit is left out */
    va_end(ap);
}

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "unknown OpenSSL error";
}

static enum err readable(const char *path, struct buf *why)
{
    if (access(path, R_OK) == 0) return ERR_OK;
    enum err err = errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_REFUSED;
    say(why, "%s: %s", path, strerror(errno));
    return err;
}

/* Never ask on the terminal: a daemon has none. */
static int no_passphrase(char *out, int cap, int writing, void *owner)
{
    return 0;
}

static enum err load_own(struct tls_context *t, SSL_CTX *ctx, int64_t *expires_s, struct buf *why)
{
    enum err err = readable(t->cert_file, why);
    if (!err) err = readable(t->key_file, why);
    if (err) return err;
    if (SSL_CTX_use_certificate_chain_file(ctx, t->cert_file) != 1) {
        say(why, "%s: not a PEM certificate (%s)", t->cert_file, openssl_reason());
        return ERR_MALFORMED;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, t->key_file, SSL_FILETYPE_PEM) != 1) {
        unsigned long code = ERR_peek_last_error();
        if (ERR_GET_LIB(code) == ERR_LIB_X509)
            say(why, "%s: not the key of the certificate in %s", t->key_file, t->cert_file);
        else
            say(why, "%s: not an unencrypted PEM private key (%s)", t->key_file, openssl_reason());
        return ERR_MALFORMED;
    }
    struct tm end;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(ctx)), &end)) *expires_s = timegm(&end);
    return ERR_OK;
}

static enum err load_ca(struct tls_context *t, SSL_CTX *ctx, struct buf *why)
{
    if (t->verify == TLS_VERIFY_NONE) return ERR_OK;
    if (!t->ca_file) {
        if (SSL_CTX_set_default_verify_paths(ctx) == 1) return ERR_OK;
        say(why, "the system's CA certificates: %s", openssl_reason());
        return ERR_REFUSED;
    }
    enum err err = readable(t->ca_file, why);
    if (err) return err;
    if (SSL_CTX_load_verify_locations(ctx, t->ca_file, NULL) == 1) return ERR_OK;
    say(why, "%s: no PEM certificates (%s)", t->ca_file, openssl_reason());
    return ERR_MALFORMED;
}

static void set_policy(const struct tls_context *t, SSL_CTX *ctx)
{
    static const unsigned char session_id[] = "gemel"; /* resumption of verified sessions demands one */
    SSL_CTX_set_min_proto_version(ctx, t->opportunistic ? TLS1_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx,
                        SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* An idle connection keeps no 34 KiB of record buffers. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    /* Tickets carry the session; a cache on our side would be a lock between the loops. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, session_id, sizeof session_id - 1);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    int ok = 1;
    if (t->opportunistic) ok = SSL_CTX_set_cipher_list(ctx, "DEFAULT:@SECLEVEL=0");
    if (t->verify == TLS_VERIFY_PEER) ok = SSL_CTX_set_cipher_list(ctx, modern_ciphers);
    ASSERT(ok == 1);
    ASSERT(SSL_CTX_dane_enable(ctx) == 1); /* only connections with pins use it */
}

static enum err load(struct tls_context *t, SSL_CTX **out, int64_t *expires_s, struct buf *why)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (!ctx) {
        say(why, "OpenSSL: %s", openssl_reason());
        return ERR_RETRY;
    }
    set_policy(t, ctx);
    int64_t expires = 0;
    enum err err = load_ca(t, ctx, why);
    if (!err && t->cert_file) err = load_own(t, ctx, &expires, why);
    ERR_clear_error();
    if (err) {
        SSL_CTX_free(ctx);
        return err;
    }
    *out = ctx;
    *expires_s = expires;
    return ERR_OK;
}

enum err tls_context_create(const struct tls_conf *conf, struct tls_context **out, struct buf *why)
{
    if (!conf->cert_file != !conf->key_file) {
        say(why, "%s: a certificate and its key are given together",
            conf->cert_file ? conf->cert_file : conf->key_file);
        return ERR_MALFORMED;
    }
    struct tls_context *t = xzalloc(sizeof *t);
    if (conf->ca_file) t->ca_file = xstrdup(conf->ca_file);
    if (conf->cert_file) t->cert_file = xstrdup(conf->cert_file);
    if (conf->key_file) t->key_file = xstrdup(conf->key_file);
    t->verify = conf->verify;
    pthread_mutex_init(&t->lock, NULL);
    enum err err = load(t, &t->ctx, &t->expires_s, why);
    if (err) {
        tls_context_destroy(t);
        return err;
    }
    *out = t;
    return ERR_OK;
}

struct tls_context *tls_context_opportunistic_client(void)
{
    struct tls_context *t = xzalloc(sizeof *t);
    t->opportunistic = true;
    pthread_mutex_init(&t->lock, NULL);
    enum err err = load(t, &t->ctx, &t->expires_s, NULL);
    ASSERT(!err); /* no files: only memory can be missing */
    return t;
}

void tls_context_destroy(struct tls_context *t)
{
    if (!t) return;
    SSL_CTX_free(t->ctx);
    pthread_mutex_destroy(&t->lock);
    free(t->ca_file);
    free(t->cert_file);
    free(t->key_file);
    free(t);
}

enum err tls_context_reload(struct tls_context *t, struct buf *why)
{
    SSL_CTX *fresh = NULL;
    int64_t expires_s = 0;
    enum err err = load(t, &fresh, &expires_s, why);
    if (err) return err;
    pthread_mutex_lock(&t->lock);
    SSL_CTX *old = t->ctx;
    t->ctx = fresh;
    t->expires_s = expires_s;
    pthread_mutex_unlock(&t->lock);
    SSL_CTX_free(old);
    return ERR_OK;
}

int64_t tls_context_expires_s(struct tls_context *t)
{
    pthread_mutex_lock(&t->lock);
    int64_t s = t->expires_s;
    pthread_mutex_unlock(&t->lock);
    return s;
}

bool tls_context_verifies(const struct tls_context *t)
{
    return t->verify != TLS_VERIFY_NONE;
}

SSL *tls_context_ssl(struct tls_context *t, bool server)
{
    pthread_mutex_lock(&t->lock);
    SSL *ssl = SSL_new(t->ctx);
    pthread_mutex_unlock(&t->lock);
    if (!ssl) return NULL;
    int mode = SSL_VERIFY_NONE;
    if (t->verify != TLS_VERIFY_NONE) mode = SSL_VERIFY_PEER | (server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    SSL_set_verify(ssl, mode, NULL);
    return ssl;
}
