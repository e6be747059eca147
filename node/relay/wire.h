/* node/relay/wire.h: what an SMTP client writes, byte for byte: MAIL and RCPT with their parameters, and the message
 * with its dots doubled; and what EHLO told us of the peer.
 *
 * Pure. Nothing that reaches a command line may hold a control character, so no address can become a command. */
#ifndef GEMEL_NODE_RELAY_WIRE_H
#define GEMEL_NODE_RELAY_WIRE_H

#include "node/relay/relay.h"

struct wire_caps { /* what the peer's EHLO offered; all false after HELO */
    bool pipelining, chunking, starttls, eightbitmime, smtputf8, dsn, size;
    uint64_t size_max; /* 0: not said */
};

enum { WIRE_COMMAND_BYTES_MAX = 4096, WIRE_ADDRESS_BYTES_MAX = 1000, WIRE_XTEXT_BYTES_MAX = 500 };

/* `text` as struct reply keeps it. */
void wire_caps_parse(struct slice text, struct wire_caps *out);

/* Fit for a command line: not empty, not too long, no control characters. */
bool wire_address_ok(struct slice address);

/* Appends one command with CRLF, at most WIRE_COMMAND_BYTES_MAX. The addresses were found wire_address_ok (the null
 * sender too). Parameters the peer did not offer, and ENVID or ORCPT that are not xtext, are left out. */
void wire_mail(const struct relay_mail *m, const struct wire_caps *caps, struct buf *out);
void wire_rcpt(const struct relay_rcpt *r, const struct wire_caps *caps, struct buf *out);

/* DATA: dots are doubled at the start of a line (RFC 5321 4.5.2). A bare CR or LF, which our own listeners never let
 * in, becomes CRLF, so that no receiver can see an end of the message that we did not write. Zeroed is the start. */
struct wire_stuffing {
    bool within; /* a line has begun */
    bool cr;     /* the last byte was a CR */
};

/* At most twice and two bytes more than `in` are appended. */
void wire_stuff(struct wire_stuffing *st, struct slice in, struct buf *out);
/* Ends the last line, without the final dot. */
void wire_stuff_end(struct wire_stuffing *st, struct buf *out);

#endif
