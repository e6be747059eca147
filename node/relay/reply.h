/* node/relay/reply.h: the replies of an SMTP server (RFC 5321 4.2), as they arrive, byte by byte if need be.
 *
 * Pure and bounded: of each line the first REPLY_LINE_BYTES_MAX bytes are kept, of a reply REPLY_TEXT_BYTES_MAX; what
 * is longer is read and thrown away, so an endless line costs no memory and spoils nothing. A reply whose lines carry
 * different codes, or that goes on past REPLY_BYTES_MAX, is MALFORMED and the conversation is over.
 * A bare LF ends a line too: a client that is lenient here can be tricked into nothing, as the message has left. */
#ifndef GEMEL_NODE_RELAY_REPLY_H
#define GEMEL_NODE_RELAY_REPLY_H

#include "base/buf.h"
#include "node/relay/relay.h"

enum {
    REPLY_LINE_BYTES_MAX = 1000,                  /* kept; twice what RFC 5321 4.5.3.1.5 allows */
    REPLY_TEXT_BYTES_MAX = REFUSAL_TEXT_READ_MAX, /* kept of all lines together */
    REPLY_BYTES_MAX = 4 << 20                     /* read */
};

struct reply {
    uint16_t code;            /* 0 until complete */
    struct enhanced enhanced; /* of the first line that has one and whose class fits the code */
    struct buf text;          /* lines as received, codes included, joined by '\n' */
    bool cut;                 /* something was thrown away */
    uint32_t lines;
    /* private: */
    uint8_t at;       /* position in the line's first four bytes */
    bool last;        /* this line ends the reply */
    bool cr;          /* a CR was seen and waits for its LF */
    uint16_t now;     /* this line's code */
    uint32_t in_line; /* bytes of this line kept */
    size_t bytes;     /* read since the reply began */
    size_t line_from; /* offset in text where this line begins */
};

void reply_init(struct reply *r);
void reply_deinit(struct reply *r);
void reply_reset(struct reply *r); /* ready for the next one */

/* Takes bytes from `in` up to the end of one reply; *in moves behind what was used.
 * OK: complete. RETRY: all was used, more is needed. MALFORMED: not SMTP. */
MUST_USE enum err reply_feed(struct reply *r, struct slice *in);

#endif
