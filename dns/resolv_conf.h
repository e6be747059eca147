/* dns/resolv_conf.h: the "nameserver" lines of resolv.conf(5), for hosts whose configuration names no resolvers. Pure. */
#ifndef GEMEL_DNS_RESOLV_CONF_H
#define GEMEL_DNS_RESOLV_CONF_H

#include "base/addr.h"

/* Appends up to `max` addresses (port 0) and returns how many. Lines that do not parse are left out, as the C library
 * does; scoped addresses ("fe80::1%eth0") too. */
size_t resolv_conf_parse(struct slice text, struct addr *out, size_t max);

#endif
