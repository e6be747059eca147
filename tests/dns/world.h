/* tests/dns/world.h: a real loop, and BIND as the primary of example.com and gw.example.com on loopback. */
#ifndef GEMEL_TESTS_DNS_WORLD_H
#define GEMEL_TESTS_DNS_WORLD_H

#include "base/env.h"
#include "base/loop_uv.h"
#include "base/timers.h"
#include "dns/resolver.h"
#include "dns/tsig.h"
#include "tests/dns/servers.h"

extern const char world_secret[];

struct world {
    struct loop *loop;
    struct env env; /* the loop's, with a wall clock that can be shifted */
    struct server bind;
    struct resolver *r; /* asks BIND, which answers for the root */
    struct addr server; /* BIND at 127.0.0.1 */
    struct tsig_key key;
};

/* `spf` is what _spf.gw.example.com says in the beginning. The addresses of the name servers: ns1 is 127.0.0.1. */
void world_init(struct world *w, const char *extra_zone_lines);
void world_deinit(struct world *w);
/* Runs the loop until *flag, at most 20 s. */
void world_wait(struct world *w, const bool *flag);

#endif
