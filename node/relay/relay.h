/* node/relay/relay.h: what goes into the relay and what comes out, in words the queue, the log and the coordinators
 * share.
 *
 * Plain data. A mail's slices are borrowed from whoever queued it until its delivery is done; an outcome's text lives
 * in the mail's arena. */
#ifndef GEMEL_NODE_RELAY_RELAY_H
#define GEMEL_NODE_RELAY_RELAY_H

#include "base/addr.h"
#include "base/arena.h"
#include "proto/replies/refusal.h"

enum relay_verdict {
    RELAY_PENDING,  /* nothing was decided yet */
    RELAY_SENT,     /* the next hop took responsibility */
    RELAY_DEFERRED, /* try again later */
    RELAY_FAILED    /* never: a delivery status notification is due */
};

struct relay_outcome {
    enum relay_verdict verdict;
    enum relay_stage stage;
    uint16_t code;            /* 0: no reply; `text` is then our own words */
    struct enhanced enhanced; /* theirs, or ours when they gave none */
    struct slice text;        /* the whole reply, its codes included, lines joined by '\n' */
    struct slice mta_name;    /* the host that said it; empty before a connection was tried */
    struct addr mta;
    bool tls;         /* the conversation was encrypted when it was decided */
    bool gate_closed; /* deferred because this node may not send now */
    bool maybe_sent;  /* the connection was lost after the end of the message: it may be delivered twice */
    bool
        dsn_relayed; /* SENT, SUCCESS was asked for, and the next hop knows no DSN: "relayed" is ours to report */
    bool too_many; /* deferred by RFC 5321 4.5.3.1.10 only: may follow in a further transaction at once */
    enum relay_scope scope;
    enum relay_effect effect;
    struct slice rule; /* name of the classifier's rule */
};

enum { /* the bits of NOTIFY (RFC 3461 4.1), as the spool keeps them; 0: not given */
       RELAY_NOTIFY_NEVER = 1,
       RELAY_NOTIFY_SUCCESS = 2,
       RELAY_NOTIFY_FAILURE = 4,
       RELAY_NOTIFY_DELAY = 8
};

enum { RELAY_RET_NONE, RELAY_RET_FULL, RELAY_RET_HDRS };

struct relay_rcpt {
    struct slice address; /* local@domain as it goes on the wire, without <> */
    struct slice orcpt;   /* RFC 3461 4.2, xtext as received; empty: not given */
    uint32_t notify;      /* RELAY_NOTIFY_ bits */
    void *cookie;         /* the caller's */
    struct relay_outcome out;
};

/* One message for one destination. */
struct relay_mail {
    struct slice queue_id;
    struct slice sender; /* empty: the null sender */
    struct slice envid;  /* xtext; empty: not given */
    uint8_t ret;         /* RELAY_RET_ */
    bool smtputf8;       /* needs a next hop with SMTPUTF8 */
    bool body_8bit;      /* needs a next hop with 8BITMIME */
    uint64_t size_bytes;
    struct relay_rcpt *rcpts;
    size_t n_rcpts;
    struct arena *arena; /* outcome texts go here; lives until the mail's owner has read them */
};

const char *relay_verdict_name(enum relay_verdict v); /* "pending", "sent", "deferred", "failed" */

#endif
