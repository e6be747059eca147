/* node/queue/salvage.h: every intact message of a damaged spool into a new one (QR-19).
 *
 * The damaged spool is only read, without LMDB's locks, and stays as it is. LMDB trusts its pages, and a bad one may end the
 * process: so all reading happens in child processes, and what ended one is counted as damaged. A message is intact when its
 * record's checksum is right and all its pieces are there with the right lengths; free pages are never looked at, because what
 * they hold was delivered. Ids of hand-offs received are taken along, so that nothing is taken twice. */
#ifndef GEMEL_NODE_QUEUE_SALVAGE_H
#define GEMEL_NODE_QUEUE_SALVAGE_H

#include "node/queue/spool.h"

struct salvage_report {
    size_t found, saved, damaged, transfers;
    size_t ended; /* child processes that damage ended */
};

/* `damaged` runs once for each message that is lost. The caller has one thread; `to` is made and must be new.
 * CONFLICT: somebody uses `from`, or `to` exists. NOT_FOUND: no spool there. MALFORMED: not even its first page can be read. RETRY:
 * the disk of `to`. `why` gets a sentence. */
typedef void salvage_damaged_fn(void *owner, const struct queue_id *id);
MUST_USE enum err salvage_spool(const char *from, const char *to, salvage_damaged_fn *damaged, void *owner,
                                struct salvage_report *out, char why[static SPOOL_WHY_MAX]);

#endif
