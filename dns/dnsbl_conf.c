#include "dns/dnsbl_conf.h"

static void add_codes(struct opt_source *src, unsigned line, const char *key, const struct opt_list *terms,
                      struct dnsbl_codes *out)
{
    const char *const *term = terms->items;
    for (size_t i = 0; i < terms->n; i++) {
        enum err err = dnsbl_codes_add(out, slice_of(term[i]));
        if (err == ERR_LIMIT)
            opt_error(src, line, key, "more than %d terms", DNSBL_CODES_MAX);
        else if (err)
            opt_error(src, line, key,
                      "\"%s\" is no code of a listing; expected 2, 2-11, 127.0.1.0/24 or &4 (a bit), never "
                      "127.255.255.x",
                      term[i]);
    }
}

enum err dnsbl_conf_load(struct opt_source *src, const struct dnsbl_conf *conf, struct dnsbl_zone *out)
{
    const struct dnsbl_known *known = dnsbl_known_find(slice_of(conf->zone));
    struct dnsbl_zone z = { .weight = (int)conf->weight, .class_ = known ? known->class_ : DNSBL_SPAM };
    unsigned before = src->n_errors;
    if (known && known->retired.n)
        opt_error(src, conf->line, "blocklists.zone", "%s cannot be used: %.*s", conf->zone,
                  SLICE_ARG(known->retired));
    if (dns_name_parse(slice_of(conf->zone), &z.name))
        opt_error(src, conf->line, "blocklists.zone", "\"%s\" is not a domain name", conf->zone);
    add_codes(src, conf->line, "blocklists.codes", conf->codes, &z.listed);
    add_codes(src, conf->line, "blocklists.policy", conf->policy, &z.policy);
    if (src->n_errors > before) return ERR_MALFORMED;
    *out = z;
    return ERR_OK;
}
