/* node/queue/record.h: the spool's record of one message: a fixed head, then the packed envelope, under one checksum.
 *
 * Pure; the same bytes in every back end. The head is what the due index and the statistics need, so that neither a
 * start with a full queue nor a remove has to unpack envelopes. All numbers are big-endian.
 *
 *   0 'g'  1 version  2 flow  3 zero  4 CRC-32C of all that follows
 *   8 due_wall_ms  16 arrival_wall_ms  24 size_bytes  32 chunks  36 expiry_wall_ms  44 flags  45 n, n bytes of domain
 *   then the envelope
 *
 * flags: 1 the sender has heard of the delay, 2 the envelope says more (held, redirected, in doubt). Version 1 had neither expiry nor flags, its n
 * lay at 36; it is read. */
#ifndef GEMEL_NODE_QUEUE_RECORD_H
#define GEMEL_NODE_QUEUE_RECORD_H

#include "node/queue/envelope.h"
#include "node/queue/spool.h"

enum {
    RECORD_VERSION = 2,
    RECORD_HEAD_BYTES = 46,
    RECORD_BYTES_MAX = RECORD_HEAD_BYTES + 255 + ENVELOPE_BYTES_MAX,
    RECORD_INDEX_BYTES_MAX = RECORD_HEAD_BYTES + 255,
};

/* Appends. `size` and `chunks` win over the envelope's. Errors as envelope_pack. */
MUST_USE enum err record_pack(const struct envelope *e, uint64_t size, uint32_t chunks, struct buf *out);
/* Puts another size and number of chunks into a packed record. */
void record_set_body(struct buf *record, uint64_t size, uint32_t chunks);
/* Checks the sum. MALFORMED, or REFUSED for a newer program's. */
MUST_USE enum err record_unpack(struct slice record, struct arena *a, struct envelope *out);

struct record_head {
    struct spool_item item; /* id is not set; domain is borrowed from the record */
    uint32_t chunks;
};
/* Only the head; the sum is not checked. Works on a record and on what record_index gave. */
MUST_USE enum err record_peek(struct slice record, struct record_head *out);
/* The value of the due index: the head alone. A part of `record`. */
struct slice record_index(struct slice record);

uint32_t crc32c(struct slice s);

#endif
