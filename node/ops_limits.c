#include "node/ops_limits.h"

#include "node/relay/tls_policy.h"

static const char *const default_keys[] = {
    [LIMIT_CONNECTIONS] = "queue.per_destination",
    [LIMIT_MESSAGES_PER_CONNECTION] = "queue.per_connection",
    [LIMIT_RATE] = "none",
    [LIMIT_RECIPIENTS] = "none",
};

/* "relay.limits line 12 (.example.net)", or the key whose value holds where no rule says anything. */
static json_t *from(const char *list, unsigned line, const char *domain, const char *key)
{
    return domain ? json_sprintf("%s line %u (%s)", list, line, domain) : json_sprintf("default: %s", key);
}

static json_t *limit_json(enum limit k, const struct limit_value *v)
{
    const struct limit_rule *r = v->rule;
    return json_pack("{s:s, s:I, s:o}", "limit", limit_name(k), "value", (json_int_t)v->value, "from",
                     from("relay.limits", r ? r->line : 0, r ? r->domain : NULL, default_keys[k]));
}

json_t *ops_limits_json(const struct node_conf *c, struct slice domain)
{
    const struct domain_conf *ours = cluster_domain(&c->cluster, domain);
    struct slice destination = ours ? slice_of(ours->next_hop) : domain;
    struct limits limits;
    struct limit_value v[LIMITS];
    struct tls_policies policies;
    struct tls_policy tls;
    json_t *list = json_array();
    node_conf_limits(c, &limits);
    limits_find(&limits, destination, v);
    for (enum limit k = 0; k < LIMITS; k++) json_array_append_new(list, limit_json(k, &v[k]));
    node_conf_tls(c, &policies);
    bool hop = ours || slice_find(destination, ':') < destination.n || slice_starts(destination, SLICE("["));
    tls_policy_find(&policies, destination, !hop, &tls);
    const char *key = tls.level == TLS_LEVEL_DANE ? "relay.dane" : "relay.tls";
    json_t *tls_json = json_pack(
        "{s:s, s:o}", "policy", c->relay.tls ? tls_level_words[tls.level] : "none", "from",
        from("relay.tls_policy", tls.rule ? tls.rule->line : 0, tls.rule ? tls.rule->domain : NULL, key));
    return json_pack("{s:o, s:o, s:o}", "destination", json_stringn(destination.p, destination.n), "limits",
                     list, "tls", tls_json);
}
