/* dns/tsig.h: transaction signatures (RFC 8945) with HMAC-SHA256 and HMAC-SHA512.
 *
 * Pure: the time is an argument. ldns could sign, but it reads the clock by itself and never checks the time window of an
 * answer, so signing and checking are here, over the bytes ldns packed.
 * hmac-sha384 is refused: ldns up to 1.8.3 puts a misspelt algorithm name on the wire, so a key of that kind fails in
 * half of the tools an operator would check it with. */
#ifndef GEMEL_DNS_TSIG_H
#define GEMEL_DNS_TSIG_H

#include "base/buf.h"
#include "dns/name.h"

enum { TSIG_SECRET_MAX = 128, TSIG_MAC_MAX = 64, TSIG_FUDGE_S = 300 };
enum tsig_algorithm { TSIG_SHA256, TSIG_SHA512 };

struct tsig_key {
    struct dns_name name;
    enum tsig_algorithm algorithm;
    uint8_t secret[TSIG_SECRET_MAX];
    size_t secret_n;
};

/* `secret` is base64, blanks around it ignored. MALFORMED or REFUSED (algorithm) with *why a static sentence. */
MUST_USE enum err tsig_key_make(struct slice name, struct slice algorithm, struct slice secret,
                                struct tsig_key *out, const char **why);
void tsig_key_wipe(struct tsig_key *k);
const char *tsig_algorithm_name(enum tsig_algorithm a); /* "hmac-sha256" */

struct tsig_mac {
    uint8_t n, p[TSIG_MAC_MAX];
};

/* Appends the TSIG record to the message in `message` and counts it in the header. The id in the header is the original
 * one. *mac is needed to check the answer. LIMIT: the buffer's. */
MUST_USE enum err tsig_sign(struct buf *message, const struct tsig_key *k, uint64_t now_s,
                            struct tsig_mac *mac);

enum tsig_check { TSIG_OK, TSIG_ABSENT, TSIG_MALFORMED, TSIG_WRONG_KEY, TSIG_WRONG_MAC, TSIG_WRONG_TIME };

/* Checks the answer to a message signed with `k` whose MAC was `asked`. *error is the TSIG error field (16 BADSIG,
 * 17 BADKEY, 18 BADTIME), also when the answer is not signed because of it (then TSIG_ABSENT); 0 without a TSIG. *server_s is the server's
 * clock for BADTIME, else the time signed. */
enum tsig_check tsig_check(struct slice answer, const struct tsig_key *k, const struct tsig_mac *asked,
                           uint64_t now_s, uint16_t *error, uint64_t *server_s);

#endif
