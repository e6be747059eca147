/* base/sha256.h: SHA-256 (FIPS 180-4) of bytes, by OpenSSL's libcrypto. */
#ifndef GEMEL_BASE_SHA256_H
#define GEMEL_BASE_SHA256_H

#include "base/slice.h"

void sha256(struct slice s, uint8_t out[static 32]);
void sha256_hex(struct slice s, char out[static 65]); /* lower case, NUL-terminated */

#endif
