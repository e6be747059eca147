/* node/queue/in_hand.h: which message a thread was working on when the program crashed (QR-13).
 *
 * Each thread notes the message it works on in a slot of a small file mapped into memory: a few stores, no system call, nothing
 * synced. The kernel keeps the page when the process dies. A signal handler marks the slot of the thread that crashed
 * (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT): a kill, a full machine or a power cut says nothing about any message. The next
 * start counts, in a second file that is synced. docs/decisions/0051-poison.md.
 *
 * One a process, as signal handlers are: the one place with state of its own besides what its callers hold. */
#ifndef GEMEL_NODE_QUEUE_IN_HAND_H
#define GEMEL_NODE_QUEUE_IN_HAND_H

#include "base/disk.h"
#include "node/queue/queue_id.h"

enum { IN_HAND_SUSPECTS_MAX = 128 }; /* the oldest are forgotten */

struct in_hand_suspect {
    struct queue_id id;
    uint32_t crashes;
};
struct in_hand_suspects {
    struct in_hand_suspect of[IN_HAND_SUSPECTS_MAX];
    size_t n;
};

/* This thread works on this message from here on; NULL: on none. Any thread, any time; without in_hand_open nothing. */
void in_hand(const struct queue_id *id);

/* Counts what the run before left in `dir`, and begins. RETRY: the disk; `out` then holds what could be read.
 * CONFLICT: this process does it already. */
MUST_USE enum err in_hand_open(const char *dir, const struct disk *disk, struct in_hand_suspects *out);
void in_hand_close(void); /* no thread works on messages any more; safe without an open */
/* No suspect any more: released, or gone. Writes the second file when it was one. */
void in_hand_forgive(const char *dir, const struct disk *disk, struct in_hand_suspects *s,
                     const struct queue_id *id);

#endif
