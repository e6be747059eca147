/* tests/dns/zone.h: answer tables out of zone text.
 *
 *   zone_put(&t, zone, "example.com", DNS_TXT)    what `zone` says about it; NXDOMAIN when it does not know the name
 *
 * Lines are records; "name FAIL" makes every question for the name fail. */
#ifndef GEMEL_TESTS_DNS_ZONE_H
#define GEMEL_TESTS_DNS_ZONE_H

#include "dns/spf_record.h"

void zone_put(struct dns_table *t, const char *zone, struct slice name, uint16_t type);
/* All that is missing. */
void zone_settle(struct dns_table *t, const char *zone, const struct spf_missing *missing, size_t n);

#endif
