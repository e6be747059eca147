/* coordinator/journal.h: what this coordinator decided, one synced line each; the highest epoch in it survives everything.
 *
 *   epoch=18 at=2026-03-01T02:14:07.123Z op=00c0ffee00c0ffee kind=listed from=edge1 to=edge2 epoch=18 why=…
 *
 * The first field is what counts at the next start. A line without its end was never relied on: it is ignored. */
#ifndef GEMEL_COORDINATOR_JOURNAL_H
#define GEMEL_COORDINATOR_JOURNAL_H

#include "base/env.h"
#include "base/buf.h"

enum { JOURNAL_BYTES_MAX = 64 << 20, JOURNAL_LONG_BYTES = 1 << 20, JOURNAL_KEEP_BYTES = 256 << 10 };

/* The highest epoch; 0 when there is no file yet. Ends a torn line, and shortens a file that has grown long. REFUSED with
 * `why`: it cannot be read, and nothing may be guessed about epochs. */
MUST_USE enum err journal_open(const struct env *env, const char *path, uint64_t *epoch, struct buf *why);
/* On OK it survives a power cut. */
MUST_USE enum err journal_append(const struct env *env, const char *path, uint64_t epoch, const char *line);

/* Pure: the highest epoch of all whole lines. */
uint64_t journal_highest(struct slice text);

#endif
