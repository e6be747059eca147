/* base/env.h: the world, passed in. main() fills one per loop; tests fill one with what they simulate.
 *
 * Fields a module does not use may be NULL. */
#ifndef GEMEL_BASE_ENV_H
#define GEMEL_BASE_ENV_H

struct timers;
struct rng;
struct net;
struct disk;
struct log;

struct env {
    struct timers *timers;
    struct rng *rng;
    struct net *net;
    struct disk *disk;
    const struct log *log;
};

#endif
