#include "node/relay/tls_policy.h"

#include "node/limits.h"

#define O(member) offsetof(struct tls_rule, member)

const char *const tls_level_words[] = { "none", "may", "encrypt", "verify", "dane", "dane-only", NULL };
const char *const tls_on_failure_words[] = { "inherit", "clear", "defer", NULL };

static const struct opt rows[] = {
    { "domain", OPT_STRING, O(domain), NULL, 1, 255,
      "whose mail: a domain, .example.net for everything below it, * for all others; or the host of a next "
      "hop" },
    { "policy", OPT_WORD, O(level), NULL, 0, 0, "how it must be protected", .words = tls_level_words },
    { "match", OPT_LIST, O(match), "", 0, 32,
      "verify: names of which the certificate must have one, .example.net for whatever ends so; empty: the "
      "mail "
      "server's, or the domain's",
      .item = OPT_STRING },
    { "on_failure", OPT_WORD, O(on_failure), "inherit", 0, 0,
      "may: what follows a failed handshake; inherit: relay.tls_on_failure", .words = tls_on_failure_words },
    { 0 },
};
const struct opt_table tls_rule_table = { rows, sizeof(struct tls_rule), O(line) };

void tls_policy_find(const struct tls_policies *p, struct slice destination, bool routed,
                     struct tls_policy *out)
{
    static const struct opt_list none = { NULL, 0 };
    size_t best = 0;
    *out = (struct tls_policy){ .level = p->dane && routed ? TLS_LEVEL_DANE : TLS_LEVEL_MAY,
                                .clear = !p->defer,
                                .match = &none };
    for (size_t i = 0; i < p->n; i++) {
        const struct tls_rule *r = &p->rules[i];
        size_t f = destination_fit(r->domain, destination);
        if (f <= best) continue;
        best = f;
        out->rule = r;
        out->level = (enum tls_level)r->level;
        out->match = &r->match;
        if (r->on_failure != TLS_ON_FAILURE_INHERIT) out->clear = r->on_failure == TLS_ON_FAILURE_CLEAR;
    }
}

const char *tls_result_name(enum tls_result r)
{
    static const char *const names[] = {
#define TLS_RESULT_NAME(name, text) [TLS_RESULT_##name] = (text),
        TLS_RESULT_MAP(TLS_RESULT_NAME)
#undef TLS_RESULT_NAME
    };
    return r < TLS_RESULTS ? names[r] : "?";
}

bool tls_result_failed(enum tls_result r)
{
    return r != TLS_RESULT_SUCCESS && r != TLS_RESULT_CLEAR;
}

enum tls_result tls_result_of(enum tls_fault fault)
{
    switch (fault) {
    case TLS_FAULT_NAME: return TLS_RESULT_NAME;
    case TLS_FAULT_EXPIRED: return TLS_RESULT_EXPIRED;
    case TLS_FAULT_UNTRUSTED: return TLS_RESULT_UNTRUSTED;
    case TLS_FAULT_NONE:
    case TLS_FAULT_PROTOCOL:
    case TLS_FAULT_PINS: break;
    }
    return TLS_RESULT_FAILED;
}
