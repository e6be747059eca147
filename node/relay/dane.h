/* node/relay/dane.h: which certificate a mail server must show, by its domain's signed DNS (RFC 7672).
 *
 * Stands on the resolver's AD bit: only with a resolver of ours that validates, reached over a way nobody can tamper
 * with. MX and addresses are asked for first: where they are not signed, TLSA says nothing and is not asked for, since
 * many servers that do not sign do not answer it either (2.2.2). A question that fails is not "no record": an attacker
 * could make it fail (2.1.1). */
#ifndef GEMEL_NODE_RELAY_DANE_H
#define GEMEL_NODE_RELAY_DANE_H

#include "base/net.h"
#include "dns/resolver.h"

enum { DANE_PINS_MAX = 32 };

enum dane_result {
    DANE_ABSENT,  /* not signed, or no TLSA: DANE does not apply */
    DANE_PINNED,  /* TLS, and a certificate that one of the pins matches */
    DANE_ENCRYPT, /* there are records, none of a kind for SMTP: TLS, by any certificate (2.2) */
    DANE_FAILED   /* DNS failed: this server is not to be used now */
};

struct dane_answer {
    enum dane_result result;
    const char *why; /* of FAILED and ABSENT; static */
    size_t n;
    struct tls_pin pins[DANE_PINS_MAX]; /* data: borrowed for the duration of `done` */
};

/* The usable ones of a TLSA answer: usages 2 and 3 (3.1.3). */
void dane_pins(const struct dns_answer *tlsa, struct dane_answer *out);

/* `domain`: whose MX `host` is; empty: `host` was configured. `done` runs once, from the loop, never before the start
 * returns. Names are copied. */
typedef void dane_done_fn(void *owner, const struct dane_answer *a);
struct dane_op *dane_start(struct resolver *dns, struct slice domain, struct slice host, uint16_t port,
                           dane_done_fn *done, void *owner);
void dane_cancel(struct dane_op **op); /* safe on NULL */

#endif
