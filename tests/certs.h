/* tests/certs.h: certificates for one test, made on the spot (EC P-256, valid for a day). */
#ifndef GEMEL_TESTS_CERTS_H
#define GEMEL_TESTS_CERTS_H

#include <limits.h>

enum { CERT_PATH_MAX = 128 };

struct cert_files {
    char ca[CERT_PATH_MAX], cert[CERT_PATH_MAX], key[CERT_PATH_MAX];
};

struct certs; /* a CA */
struct certs *certs_create(const char *folder,
                           const char *ca_name); /* writes folder/CA_NAME.pem; the folder exists */
void certs_destroy(struct certs *c);             /* the files stay */
/* `san` in the notation of openssl.cnf ("DNS:edge1,IP:127.0.0.1"); NULL: only the common name `cn`. Writes
 * folder/FILE.pem and folder/FILE.key. `days` < 0: expired that long ago. */
void certs_issue(struct certs *c, const char *file, const char *cn, const char *san, int days,
                 struct cert_files *out);

/* A new empty folder under /tmp; free() after test_folder_remove. What is left of it goes when the program ends. */
char *test_folder(void);
void test_folder_remove(const char *folder);

#endif
