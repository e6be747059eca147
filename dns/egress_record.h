/* dns/egress_record.h: the TXT at `_egress.<zone>`: marker (these names are ours) and fencing token (the epoch).
 *
 *   v=gemel1 cluster=example epoch=17 active=edge2 digest=4f1c… serial=3
 *
 * The serial counts publications, whatever changed (the epoch, or only the set of senders): it makes each marker differ from
 * the one before, so that comparing the marker compares everything. Markers are ordered by epoch, then serial.
 *
 * Pure. Fields in this order, separated by one space; unknown fields behind them are ignored, so that a later version may
 * add some. */
#ifndef GEMEL_DNS_EGRESS_RECORD_H
#define GEMEL_DNS_EGRESS_RECORD_H

#include "base/buf.h"

enum { EGRESS_WORD_MAX = 63, EGRESS_RECORD_BYTES_MAX = 270 };

struct egress_record {
    char cluster[EGRESS_WORD_MAX + 1];
    char active[EGRESS_WORD_MAX + 1]; /* identity; "-": none */
    char digest[EGRESS_WORD_MAX + 1]; /* of the configuration; "-": none */
    uint64_t epoch;
    uint32_t serial; /* 0: none; not written then */
};

/* Words are letters, digits, '-', '_' and '.'; MALFORMED otherwise or when empty; LIMIT when too long. */
MUST_USE enum err egress_record_make(struct slice cluster, uint64_t epoch, uint32_t serial,
                                     struct slice active, struct slice digest, struct egress_record *out);
void egress_record_format(const struct egress_record *r, struct buf *out);
/* MALFORMED: not such a record. */
MUST_USE enum err egress_record_parse(struct slice text, struct egress_record *out);
bool egress_record_eq(const struct egress_record *a, const struct egress_record *b);

#endif
