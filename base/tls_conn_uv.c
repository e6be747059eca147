/* Handshake, then records: wire bytes → our BIO → OpenSSL → plain bytes, and back into the output buffer.
 *
 * Failure modes: bytes that are no TLS; a certificate we or the peer do not accept; a name that does not match; an end
 * in mid-record. Each leaves one sentence in `detail`. */
#include "base/tls_conn_uv.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/addr.h"
#include "base/tls_context_uv.h"

struct tls_conn {
    SSL *ssl;
    struct slice in; /* of the call under way */
    struct buf *out;
    bool verifies;
    enum tls_fault fault;
    char wanted[256];
    char peer_name[256];
    char refused_name[256];
    char detail[320];
};

static int bio_read(BIO *b, char *out, int cap)
{
    struct tls_conn *c = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (cap <= 0) return 0;
    if (c->in.n == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    size_t n = MIN(c->in.n, (size_t)cap);
    memcpy(out, c->in.p, n);
    c->in = slice_skip(c->in, n);
    return (int)n;
}

static int bio_write(BIO *b, const char *p, int n)
{
    struct tls_conn *c = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (n <= 0) return 0;
    buf_put(c->out, slice_from(p, (size_t)n));
    return n;
}

static long bio_ctrl(BIO *b, int cmd, long larg, void *parg)
{
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP; /* everything else: not supported */
}

BIO_METHOD *tls_conn_bio_method(void)
{
    /* Not BIO_get_new_index: a process has about a hundred of those, and nobody searches a chain for this type. */
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_START | BIO_TYPE_SOURCE_SINK, "gemel stream");
    ASSERT(m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
           BIO_meth_set_ctrl(m, bio_ctrl));
    return m;
}

/* The first dNSName, else the common name; a name with a NUL inside is no name. */
static void name_of(X509 *cert, char *out, size_t cap)
{
    GENERAL_NAMES *sans = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    out[0] = '\0';
    bool has_dns = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(sans) && !has_dns; i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(sans, i);
        if (g->type != GEN_DNS) continue;
        has_dns = true;
        struct slice s = slice_from(ASN1_STRING_get0_data(g->d.dNSName),
                                    (size_t)ASN1_STRING_length(g->d.dNSName));
        if (slice_cstr(s, out, cap)) out[0] = '\0';
    }
    GENERAL_NAMES_free(sans);
    if (has_dns) return;
    X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) return;
    const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    struct slice s = slice_from(ASN1_STRING_get0_data(cn), (size_t)ASN1_STRING_length(cn));
    if (slice_cstr(s, out, cap)) out[0] = '\0';
}

/* Alerts by which the peer says that it does not like our certificate (RFC 8446 6.2). */
static bool is_certificate_alert(int reason)
{
    switch (reason) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return true;
    default: return false;
    }
}

/* The session never gets a certificate that was refused: its name is taken while it is looked at. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_conn *c = SSL_get_app_data(ssl);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    if (!ok && leaf) name_of(leaf, c->refused_name, sizeof c->refused_name);
    return ok;
}

static void explain_verify(struct tls_conn *c, long verdict)
{
    snprintf(c->detail, sizeof c->detail, "certificate of %.80s%s%.80s: %s",
             c->refused_name[0] ? c->refused_name : "the peer", c->wanted[0] ? ", wanted " : "", c->wanted,
             X509_verify_cert_error_string(verdict));
}

static enum tls_fault fault_of(long verdict)
{
    switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: return TLS_FAULT_EXPIRED;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return TLS_FAULT_NAME;
    case X509_V_ERR_DANE_NO_MATCH: return TLS_FAULT_PINS;
    default: return TLS_FAULT_UNTRUSTED;
    }
}

static enum err failed(struct tls_conn *c, int ret)
{
    int kind = SSL_get_error(c->ssl, ret);
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    long verdict = SSL_get_verify_result(c->ssl);
    const char *text = ERR_reason_error_string(code);
    bool ours = ERR_GET_LIB(code) == ERR_LIB_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED;
    bool none = ERR_GET_LIB(code) == ERR_LIB_SSL && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    bool theirs = ERR_GET_LIB(code) == ERR_LIB_SSL && is_certificate_alert(reason);
    ERR_clear_error();
    if (kind == SSL_ERROR_ZERO_RETURN) return ERR_CLOSED;
    if (ours && verdict != X509_V_OK) {
        explain_verify(c, verdict);
        c->fault = fault_of(verdict);
        return ERR_REFUSED;
    }
    snprintf(c->detail, sizeof c->detail, "%s", text ? text : "TLS failed");
    c->fault = TLS_FAULT_PROTOCOL;
    return none || theirs ? ERR_REFUSED : ERR_MALFORMED;
}

/* SNI holds names only (RFC 6066 3); an address is checked against the certificate's addresses. */
static bool set_name(struct tls_conn *c, const char *name, const struct tls_peer *peer)
{
    struct addr ip;
    bool is_ip = addr_parse(slice_of(name), &ip) == ERR_OK;
    if (!is_ip && SSL_set_tlsext_host_name(c->ssl, name) != 1) return false;
    if (!c->verifies) return true;
    X509_VERIFY_PARAM *param = SSL_get0_param(c->ssl);
    if (peer->n_names) return true; /* those count instead */
    if (is_ip) return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

static bool set_names(struct tls_conn *c, const struct tls_peer *peer)
{
    char name[256];
    X509_VERIFY_PARAM *param = SSL_get0_param(c->ssl);
    if (!c->verifies) return true;
    for (size_t i = 0; i < peer->n_names; i++) {
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (slice_cstr(peer->names[i], name, sizeof name)) return false;
        if (X509_VERIFY_PARAM_add1_host(param, name, 0) != 1) return false;
        if (!c->wanted[0]) snprintf(c->wanted, sizeof c->wanted, "%s", name);
    }
    return true;
}

/* RFC 7672 3.1: a pinned end entity is right whatever its name and dates; below a pinned anchor names count. */
static bool set_pins(struct tls_conn *c, const struct tls_peer *peer)
{
    size_t usable = 0;
    if (!peer->n_pins) return true;
    if (SSL_dane_enable(c->ssl, NULL) <= 0) return false;
    SSL_dane_set_flags(c->ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    for (size_t i = 0; i < peer->n_pins; i++) {
        const struct tls_pin *p = &peer->pins[i];
        usable += SSL_dane_tlsa_add(c->ssl, p->usage, p->selector, p->matching,
                                    (const unsigned char *)p->data.p, p->data.n) > 0;
    }
    ERR_clear_error();
    SSL_set_verify(c->ssl, SSL_VERIFY_PEER, on_verify);
    c->verifies = true;
    return usable > 0;
}

static bool set_peer(struct tls_conn *c, const struct tls_peer *peer)
{
    if (peer->name && slice_cstr(slice_of(peer->name), c->wanted, sizeof c->wanted)) return false;
    if (!set_pins(c, peer)) return false;
    if (c->wanted[0] && !set_name(c, c->wanted, peer)) return false;
    return set_names(c, peer);
}

struct tls_conn *tls_conn_create(BIO_METHOD *method, struct tls_context *t, bool server,
                                 const struct tls_peer *peer, struct buf *out, const char **detail)
{
    ERR_clear_error();
    struct tls_conn *c = xzalloc(sizeof *c);
    c->out = out;
    c->verifies = tls_context_verifies(t);
    c->ssl = tls_context_ssl(t, server);
    BIO *bio = BIO_new(method);
    bool ok = c->ssl && bio;
    if (ok) {
        BIO_set_data(bio, c);
        BIO_set_init(bio, 1);
        SSL_set_bio(c->ssl, bio, bio);
        SSL_set_app_data(c->ssl, c);
        SSL_set_verify(c->ssl, SSL_get_verify_mode(c->ssl), on_verify);
        bio = NULL; /* now the SSL's */
        if (server)
            SSL_set_accept_state(c->ssl);
        else
            SSL_set_connect_state(c->ssl);
        if (!server && peer) ok = set_peer(c, peer);
    }
    if (ok) return c;
    BIO_free(bio);
    tls_conn_destroy(c);
    *detail = "OpenSSL cannot start a handshake with this name";
    ERR_clear_error();
    return NULL;
}

void tls_conn_destroy(struct tls_conn *c)
{
    if (!c) return;
    SSL_free(c->ssl);
    free(c);
}

static bool wants_more(struct tls_conn *c, int ret)
{
    return SSL_get_error(c->ssl, ret) == SSL_ERROR_WANT_READ;
}

static void learn_peer(struct tls_conn *c)
{
    if (!c->verifies || SSL_get_verify_result(c->ssl) != X509_V_OK) return;
    X509 *cert = SSL_get1_peer_certificate(c->ssl);
    if (cert) name_of(cert, c->peer_name, sizeof c->peer_name);
    X509_free(cert);
}

enum err tls_conn_handshake(struct tls_conn *c, struct slice *in, bool *done)
{
    ERR_clear_error();
    c->in = *in;
    int ret = SSL_do_handshake(c->ssl);
    *in = c->in;
    c->in = SLICE("");
    *done = ret == 1;
    if (ret == 1) learn_peer(c);
    if (ret == 1 || wants_more(c, ret)) return ERR_OK;
    enum err err = failed(c, ret);
    return err == ERR_CLOSED ? ERR_MALFORMED : err;
}

enum err tls_conn_read(struct tls_conn *c, struct slice *in, char *room, size_t cap, size_t *n)
{
    ERR_clear_error();
    c->in = *in;
    *n = 0;
    int ret = SSL_read_ex(c->ssl, room, cap, n);
    *in = c->in;
    c->in = SLICE("");
    return ret == 1 || wants_more(c, ret) ? ERR_OK : failed(c, ret);
}

enum err tls_conn_write(struct tls_conn *c, struct slice plain)
{
    ERR_clear_error();
    size_t n = 0;
    int ret = plain.n ? SSL_write_ex(c->ssl, plain.p, plain.n, &n) : 1;
    if (ret != 1) return failed(c, ret);
    ASSERT(n == plain.n); /* the BIO takes everything */
    return ERR_OK;
}

void tls_conn_shutdown(struct tls_conn *c)
{
    ERR_clear_error();
    SSL_shutdown(c->ssl); /* one-way: the answer is read and thrown away, or never comes */
    ERR_clear_error();
}

const char *tls_conn_detail(const struct tls_conn *c)
{
    return c->detail;
}

enum tls_fault tls_conn_fault(const struct tls_conn *c)
{
    return c->fault;
}

const char *tls_conn_version(const struct tls_conn *c)
{
    return SSL_get_version(c->ssl);
}

const char *tls_conn_cipher(const struct tls_conn *c)
{
    const char *name = SSL_get_cipher_name(c->ssl);
    return name ? name : "";
}

const char *tls_conn_peer_name(const struct tls_conn *c)
{
    return c->peer_name;
}
