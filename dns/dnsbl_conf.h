/* dns/dnsbl_conf.h: a blocklist as it stands in a configuration file, checked.
 *
 * Refuses lists that have ended (with what became of them), names that are none, and codes that can never mean a listing;
 * each error names file, line and key. */
#ifndef GEMEL_DNS_DNSBL_CONF_H
#define GEMEL_DNS_DNSBL_CONF_H

#include "base/opt.h"
#include "dns/dnsbl.h"

struct dnsbl_conf { /* borrowed */
    unsigned line;
    const char *zone;
    const struct opt_list *codes, *policy; /* const char *: terms of dnsbl_codes_add */
    uint64_t weight;
};

/* MALFORMED: see src->errors. The row of the shipped table, if there is one, decides the class. */
MUST_USE enum err dnsbl_conf_load(struct opt_source *src, const struct dnsbl_conf *conf,
                                  struct dnsbl_zone *out);

#endif
