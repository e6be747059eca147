#include "tests/certs.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/base.h"

struct certs {
    char folder[64], ca_path[CERT_PATH_MAX];
    EVP_PKEY *key;
    X509 *cert;
    long serial;
};

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ASSERT(ext && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static X509 *new_cert(struct certs *c, EVP_PKEY *key, const char *cn, int days)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++c->serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -86400L * 30);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400L * days);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1,
                               -1, 0);
    return x;
}

static void save_cert(const char *path, X509 *x)
{
    FILE *f = fopen(path, "w");
    ASSERT(f && PEM_write_X509(f, x) == 1);
    fclose(f);
}

struct certs *certs_create(const char *folder, const char *ca_name)
{
    struct certs *c = xzalloc(sizeof *c);
    snprintf(c->folder, sizeof c->folder, "%s", folder);
    snprintf(c->ca_path, sizeof c->ca_path, "%s/%s.pem", folder, ca_name);
    c->key = EVP_EC_gen("P-256");
    c->cert = new_cert(c, c->key, ca_name, 1);
    X509_set_issuer_name(c->cert, X509_get_subject_name(c->cert));
    add_extension(c->cert, c->cert, NID_basic_constraints, "critical,CA:TRUE");
    ASSERT(X509_sign(c->cert, c->key, EVP_sha256()) > 0);
    save_cert(c->ca_path, c->cert);
    return c;
}

void certs_destroy(struct certs *c)
{
    if (!c) return;
    EVP_PKEY_free(c->key);
    X509_free(c->cert);
    free(c);
}

void certs_issue(struct certs *c, const char *file, const char *cn, const char *san, int days,
                 struct cert_files *out)
{
    snprintf(out->ca, sizeof out->ca, "%s", c->ca_path);
    snprintf(out->cert, sizeof out->cert, "%s/%s.pem", c->folder, file);
    snprintf(out->key, sizeof out->key, "%s/%s.key", c->folder, file);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = new_cert(c, key, cn, days);
    X509_set_issuer_name(x, X509_get_subject_name(c->cert));
    if (san) add_extension(x, c->cert, NID_subject_alt_name, san);
    ASSERT(X509_sign(x, c->key, EVP_sha256()) > 0);
    save_cert(out->cert, x);
    FILE *f = fopen(out->key, "w");
    ASSERT(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static const char folder_name[] = "/tmp/gemel-test-XXXXXX";
static char folders[64][sizeof folder_name];
static size_t n_folders;

/* A test that fails jumps out before it tidies up. */
static void remove_what_is_left(void)
{
    while (n_folders) test_folder_remove(folders[--n_folders]);
}

char *test_folder(void)
{
    char *path = xstrdup(folder_name);
    ASSERT(mkdtemp(path));
    if (!n_folders) ASSERT(atexit(remove_what_is_left) == 0);
    if (n_folders < ARRAY_LEN(folders)) strcpy(folders[n_folders++], path);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

void test_folder_remove(const char *folder)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
