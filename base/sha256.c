#include "base/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>

void sha256(struct slice s, uint8_t out[static 32])
{
    int ok = EVP_Digest(s.p, s.n, out, NULL, EVP_sha256(), NULL);
    ASSERT(ok == 1);
}

void sha256_hex(struct slice s, char out[static 65])
{
    uint8_t digest[32];
    sha256(s, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}
