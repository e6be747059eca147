/* node/relay/tls_policy.h: how well a conversation must be protected, by destination; and what came of it.
 *
 * Pure. The rules are the operator's (relay.tls_policy); an exact name is asked before a suffix (".example.net": whatever
 * ends so, the longest first) and that before "*". Destinations are domains as A-labels, or next hops of ours, whose
 * rules name the host without port. */
#ifndef GEMEL_NODE_RELAY_TLS_POLICY_H
#define GEMEL_NODE_RELAY_TLS_POLICY_H

#include "base/net.h"
#include "base/opt.h"

enum tls_level {
    TLS_LEVEL_NONE,     /* clear text even where TLS is offered */
    TLS_LEVEL_MAY,      /* TLS where it is offered (RFC 7435) */
    TLS_LEVEL_ENCRYPT,  /* TLS 1.2 or no mail; by anybody's certificate */
    TLS_LEVEL_VERIFY,   /* and with a certificate of a CA, for the right name */
    TLS_LEVEL_DANE,     /* as the receiver's signed TLSA records say (RFC 7672); MAY where there are none */
    TLS_LEVEL_DANE_ONLY /* and no mail where there are none */
};
extern const char *const tls_level_words[]; /* "none", "may"…; ends with NULL */

enum { TLS_ON_FAILURE_INHERIT, TLS_ON_FAILURE_CLEAR, TLS_ON_FAILURE_DEFER };
extern const char *const tls_on_failure_words[];

struct tls_rule { /* a row of relay.tls_policy */
    unsigned line;
    const char *domain;
    int level;
    struct opt_list match; /* const char *: names of which the certificate must have one */
    int on_failure;        /* of a handshake, at level MAY */
};
extern const struct opt_table tls_rule_table;

struct tls_policies { /* borrowed */
    const struct tls_rule *rules;
    size_t n;
    bool dane;  /* the resolver validates: DANE is what holds where no rule says anything */
    bool defer; /* TLS_ON_FAILURE_INHERIT means DEFER */
};

struct tls_policy {
    enum tls_level level;
    bool clear; /* MAY: send in clear text after a failed handshake */
    const struct opt_list *match;
    const struct tls_rule *rule; /* NULL: the default */
};

/* `routed`: found by MX, so that the receiver's own DNS records apply. */
void tls_policy_find(const struct tls_policies *p, struct slice destination, bool routed,
                     struct tls_policy *out);

/* ---- what came of it: the result types of RFC 8460 4.3 ---- */

#define TLS_RESULT_MAP(X)                    \
    X(SUCCESS, "success")                    \
    X(CLEAR, "clear-text")                   \
    X(NOT_OFFERED, "starttls-not-supported") \
    X(NAME, "certificate-host-mismatch")     \
    X(EXPIRED, "certificate-expired")        \
    X(UNTRUSTED, "certificate-not-trusted")  \
    X(FAILED, "validation-failure")          \
    X(TLSA_INVALID, "tlsa-invalid")          \
    X(DNSSEC_INVALID, "dnssec-invalid")      \
    X(DANE_REQUIRED, "dane-required")

enum tls_result {
#define TLS_RESULT_ENUM(name, text) TLS_RESULT_##name,
    TLS_RESULT_MAP(TLS_RESULT_ENUM)
#undef TLS_RESULT_ENUM
        TLS_RESULTS
};
const char *tls_result_name(enum tls_result r);
bool tls_result_failed(enum tls_result r); /* neither success nor clear text that nobody minds */
enum tls_result tls_result_of(enum tls_fault fault);

#endif
