/* node/queue/pressure.h: how short of disk, memory and time this node is, and what it therefore refuses (BP-01 to BP-11).
 *
 * Pure: it is given numbers and gives a level; hysteresis keeps it from going to and fro. The control loop samples, any thread
 * reads the verdict. A spool that cannot take mail at all is spool_stats.accepting's business: this is what comes before.
 *   MEDIUM  mail of others is refused at MAIL (`452 4.3.1`); our own people's is taken (BP-05). A backlog alone makes others
 *           wait longer and longer first, and refuses only when that does not help (BP-03, BP-04)
 *   HIGH    nobody's mail is taken (BP-06) */
#ifndef GEMEL_NODE_QUEUE_PRESSURE_H
#define GEMEL_NODE_QUEUE_PRESSURE_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/log.h"

enum pressure_level { PRESSURE_LOW, PRESSURE_MEDIUM, PRESSURE_HIGH, PRESSURE_LEVELS };
enum pressure_resource {
    PRESSURE_DISK,    /* percent of the spool's room in use, by mail or by whatever else is on its disk */
    PRESSURE_MEMORY,  /* percent of the host's memory not available */
    PRESSURE_BACKLOG, /* messages that could be sent this moment and have not had their turn */
    PRESSURE_RESOURCES
};

struct pressure_limits { /* BP-02: reached is enough, in both directions */
    uint64_t medium;     /* low to medium */
    uint64_t high;       /* medium to high */
    uint64_t high_end;   /* high to medium */
    uint64_t medium_end; /* medium to low */
};
struct pressure_conf {
    struct pressure_limits limits[PRESSURE_RESOURCES];
};
/* NULL: they make sense; else the name of the first that stands in the wrong order. */
const char *pressure_limits_wrong(const struct pressure_limits *l);

enum {
    PRESSURE_SAMPLE_MS = 2000, /* BP-01 */
    PRESSURE_HISTORY = 300, /* samples of a backlog that may pass before waiting becomes refusing (BP-03) */
    PRESSURE_TARPIT_MS = 10 * 1000, /* BP-04 */
    PRESSURE_TARPIT_STEP_MS = 5 * 1000,
    PRESSURE_TARPIT_MAX_MS = 55 * 1000,
};

struct pressure {
    struct pressure_conf conf;
    enum pressure_level level[PRESSURE_RESOURCES];
    uint64_t value[PRESSURE_RESOURCES];
    uint32_t backlogged; /* samples since the backlog left low */
    /* read by every thread */
    _Atomic uint32_t refuse;   /* enum pressure_level: what MAIL is judged by */
    _Atomic uint32_t pause_ms; /* before others' MAIL is answered */
};

void pressure_init(struct pressure *p, const struct pressure_conf *conf);
/* One sample of each resource. Changes are logged (BP-09). */
void pressure_sample(struct pressure *p, const uint64_t values[static PRESSURE_RESOURCES],
                     const struct log *log);

/* Control loop. */
enum pressure_level pressure_worst(const struct pressure *p);
/* "disk 97 %", the first that is not low; "" when all is well. `out` holds 64. */
const char *pressure_why(const struct pressure *p, char out[static 64]);

/* Any thread. May this MAIL be taken? `ours`: from our own people. True: after *pause_ms. */
bool pressure_takes(const struct pressure *p, bool ours, uint32_t *pause_ms);

const char *pressure_level_name(enum pressure_level l);       /* "low", … */
const char *pressure_resource_name(enum pressure_resource r); /* "disk", "memory", "backlog" */

/* Percent not available, of the text of /proc/meminfo. MALFORMED: without MemTotal and MemAvailable. */
MUST_USE enum err pressure_memory(struct slice meminfo, uint64_t *percent);
/* Percent in use. Free pages inside the spool's file count as free: LMDB never gives them back to the disk. */
uint64_t pressure_disk(uint64_t room_bytes, uint64_t usable_bytes);

#endif
