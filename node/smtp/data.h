/* node/smtp/data.h: the text between "354" and the lonely dot (RFC 5321 4.1.1.4, 4.5.2), or inside BDAT chunks
 * (RFC 3030).
 *
 * Pure, holds no bytes. Only CR LF . CR LF ends the text. A bare CR or LF, which other servers may take for a line end
 * (SMTP smuggling), spoils the message but not the framing: `fault` says so and the text is read to its real end. The
 * same rule holds in chunks, since the next hop may get this text by DATA. Everything else passes untouched. */
#ifndef GEMEL_NODE_SMTP_DATA_H
#define GEMEL_NODE_SMTP_DATA_H

#include "base/slice.h"
#include "node/smtp/reply.h"

enum {
    SMTP_DATA_LINE_MAX = 1 << 20
}; /* RFC 5321 says 1000; real mailers send more, and it costs us no memory */

enum smtp_data_at {
    SMTP_DATA_LINE_START,
    SMTP_DATA_TEXT,
    SMTP_DATA_CR,
    SMTP_DATA_DOT,
    SMTP_DATA_DOT_CR,
    SMTP_DATA_END
};

struct smtp_data {
    enum smtp_data_at at;
    enum smtp_reply fault; /* the gravest thing wrong with it */
    uint64_t bytes;        /* of text, dots removed */
    uint64_t bytes_max;
    uint64_t line_bytes;
};

void smtp_data_init(struct smtp_data *d, uint64_t bytes_max);
/* Takes bytes off the front of *in and gives a run of text out of them (borrowed from *in, perhaps empty). Call until
 * *in is empty or d->at is SMTP_DATA_END; bytes behind the end are not touched. */
struct slice smtp_data_take(struct smtp_data *d, struct slice *in);
/* The same for a chunk: dots mean nothing, there is no end in band. Takes all of it. */
struct slice smtp_data_take_chunk(struct smtp_data *d, struct slice chunk);
/* After the last chunk: what is missing to end the last line, "" or CR LF, so that it can be sent by DATA. A CR at the
 * very end is bare. */
struct slice smtp_data_end_chunks(struct smtp_data *d);

#endif
