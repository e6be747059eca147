/* node/queue/envelope.h: what we promised to do with a message, without its bytes.
 *
 * Plain C. Slices and the recipient array belong to the arena they were made in (or are borrowed from the caller); the
 * struct itself may be copied. The record on disk and in a hand-off is proto/edge.proto's Envelope; protobuf-c does not
 * show through this header. Times are Unix time: they must mean the same on another node and after a reboot. */
#ifndef GEMEL_NODE_QUEUE_ENVELOPE_H
#define GEMEL_NODE_QUEUE_ENVELOPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "node/queue/queue_id.h"

enum {
    ENVELOPE_RCPTS_MAX = 1000,
    ENVELOPE_ADDRESS_MAX = 320,      /* 64 + @ + 255 octets (RFC 5321 4.5.3.1) */
    ENVELOPE_ORCPT_MAX = 500,        /* RFC 3461 4.2 */
    ENVELOPE_ENVID_MAX = 100,        /* RFC 3461 4.4 */
    ENVELOPE_REPLY_MAX = 400,        /* of a remote reply; the rest is cut */
    ENVELOPE_TEXT_MAX = 255,         /* every other text; longer ones are cut */
    ENVELOPE_BYTES_MAX = 896 * 1024, /* packed: fits one frame of 1 MiB */
    ENVELOPE_VERSION = 1,
};

/* Where it goes decides who may send it: inside by any node, always; to the Internet only through the gate. */
enum flow { FLOW_IN, FLOW_OUT, FLOW_COUNT };

enum rcpt_state {
    RCPT_WAITING, /* not delivered; next_try_wall_ms says when */
    RCPT_SENT,    /* the next hop took it and carries the DSN options on */
    RCPT_RELAYED, /* the next hop took it but knows no DSN: a relayed DSN is owed to who asked for SUCCESS */
    RCPT_FAILED,  /* never: refused for good. Any DSN owed was written in the same transaction */
    RCPT_EXPIRED, /* waited too long */
    RCPT_REMOVED, /* an operator took it out of the queue; nobody is told */
    RCPT_STATES
};

/* A held message stays on this node until it is released: not sent, not handed over, and its age does not count. */
enum envelope_hold {
    HOLD_NONE,
    HOLD_OPERATOR, /* gemelctl queue hold */
    HOLD_POISON,   /* set aside: it was in hand at crashes (QR-13) */
    HOLD_KINDS
};

enum {
    NOTIFY_NEVER = 1,
    NOTIFY_SUCCESS = 2,
    NOTIFY_FAILURE = 4,
    NOTIFY_DELAY = 8
}; /* RFC 3461 4.1; 0: not given */
enum { RET_NOT_GIVEN, RET_FULL, RET_HDRS };

struct envelope_rcpt {
    struct slice address; /* local@domain, without <> */
    struct slice orcpt;   /* "rfc822;user+40example.com": type and xtext as received; empty: not given */
    uint8_t notify;
    uint8_t state; /* enum rcpt_state */
    uint32_t attempts;
    uint64_t last_try_wall_ms;
    uint64_t next_try_wall_ms;
    struct slice last_reply; /* "550 5.1.1 no such user", or our own reason */
    struct slice last_mta;   /* host that said it; empty: we did */
    struct slice status;     /* "5.1.1" (RFC 3463) of last_reply; empty: unknown */
    struct slice next_hop;   /* redirected: goes here ("[10.0.0.26]:25"); empty: where its domain goes */
};

struct envelope {
    struct queue_id id;
    enum flow flow;
    struct slice sender; /* empty: null sender */
    struct slice envid;
    uint8_t ret;
    bool smtputf8;
    bool body_8bit;
    bool is_dsn;         /* written by us; never answered by another one */
    bool delay_dsn_sent; /* at most one delay notice a message */
    uint64_t arrival_wall_ms;
    uint64_t expiry_wall_ms;
    uint64_t next_try_wall_ms; /* earliest of its waiting recipients; the key of the due index. 0: at once */
    uint32_t attempts;         /* deliveries started */
    uint64_t size_bytes;       /* filled by the spool at commit */
    uint32_t chunks;           /* filled by the spool at commit */
    struct envelope_rcpt *rcpts;
    size_t n_rcpts;
    struct slice client_addr, client_helo, auth_user; /* who gave it to us */
    struct slice origin_node;                         /* node that first accepted it */
    struct slice why_waiting;                         /* last reason, for people */
    uint32_t
        hops; /* hand-offs behind it: part of the next transfer id, so going back and forth is no duplicate */
    struct slice
        given_to; /* node that may hold it already (commit sent, no answer): nobody sends it before that is
                            * known */
    uint8_t hold; /* enum envelope_hold */
    uint64_t held_wall_ms; /* since when */
    struct slice held_why; /* by whom and why */
};

/* Replies are cut to their bound; when the whole is still too long, replies of waiting recipients are left out: within
 * the bounds above packing cannot fail. LIMIT past RCPTS_MAX, ADDRESS_MAX or ORCPT_MAX. */
MUST_USE enum err envelope_pack(const struct envelope *e, struct buf *out);
/* Everything in *out lives in `a`. Reads this version and the one before; REFUSED: written by a newer program;
 * MALFORMED: not an envelope, or out of bounds. *out is untouched on failure. */
MUST_USE enum err envelope_unpack(struct slice record, struct arena *a, struct envelope *out);
void envelope_copy(const struct envelope *e, struct arena *a, struct envelope *out);

size_t envelope_waiting(const struct envelope *e);    /* recipients still RCPT_WAITING */
uint64_t envelope_next_try(const struct envelope *e); /* earliest next try of those; UINT64_MAX: none waits */
struct slice
envelope_domain(struct slice address); /* behind the last @; "[192.0.2.1]" stays as it is; may be empty */
/* "id/hops": names one hand-off of one message. */
enum { TRANSFER_ID_MAX = QUEUE_ID_CHARS + 12 };
void envelope_transfer_id(const struct envelope *e, char out[static TRANSFER_ID_MAX]);

const char *flow_name(enum flow f);             /* "in", "out" */
const char *rcpt_state_name(enum rcpt_state s); /* "waiting", … */
const char *hold_name(enum envelope_hold h);    /* "", "held", "set aside" */

#endif
