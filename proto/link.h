/* proto/link.h: what node and coordinator tell each other, as plain structs; protobuf-c stops here.
 *
 * Pure. Packing borrows; unpacking copies into an arena. Names of identities, not indexes, are on the wire: two hosts may
 * have different configuration files, and a name that the reader does not know is the reader's to ignore. */
#ifndef GEMEL_PROTO_LINK_H
#define GEMEL_PROTO_LINK_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "proto/store.h"

struct channel;

enum { LINK_ISSUES_MAX = 8, LINK_REFUSALS_MAX = 64, LINK_TEXT_MAX = 512 };

struct link_identity {
    struct slice identity;
    struct store_beat beat;
    struct slice issues[LINK_ISSUES_MAX];
    size_t n_issues;
    struct slice seen_as,
        seen_by; /* which source address another edge saw, and which edge; or why nobody could tell */
};

struct link_queue {
    uint64_t outbound, inbound, oldest_ms, bytes;
    bool accepting;
};

struct link_refusal {
    struct slice identity, provider, destination, stage, scope, effect, rule, text, message_id;
    uint64_t wall_ms;
};

struct link_heartbeat {
    uint64_t seq, wall_ms;
    struct link_identity identities[STORE_IDENTITIES_MAX];
    size_t n_identities;
    struct link_queue queue;
    struct link_refusal refusals[LINK_REFUSALS_MAX];
    size_t n_refusals;
};

enum link_order_kind { LINK_FENCE = 1, LINK_GRANT, LINK_HANDOFF };
const char *link_order_name(enum link_order_kind k);

struct link_order {
    enum link_order_kind kind;
    uint64_t op, epoch, token, term;
    struct slice identity, to, why;
    bool dns_pending;
};

struct link_ack {
    enum link_order_kind kind;
    uint64_t op, epoch, token;
    struct slice identity, why;
    bool done;
};

/* Between coordinators: an operator's request on its way to the one that leads (docs/admin-api.md), and the answer. */
struct link_request {
    uint64_t id;
    struct slice method, path, query, body;
};
struct link_reply {
    uint64_t id;
    unsigned status;
    struct slice body;
};

/* Errors of channel_send. */
MUST_USE enum err link_send_heartbeat(struct channel *c, const struct link_heartbeat *h);
MUST_USE enum err link_send_order(struct channel *c, const struct link_order *o);
MUST_USE enum err link_send_ack(struct channel *c, const struct link_ack *a);
MUST_USE enum err link_send_request(struct channel *c, const struct link_request *r);
MUST_USE enum err link_send_reply(struct channel *c, const struct link_reply *r);

enum link_frame_kind {
    LINK_FRAME_HEARTBEAT,
    LINK_FRAME_ORDER,
    LINK_FRAME_ACK,
    LINK_FRAME_REQUEST,
    LINK_FRAME_REPLY,
    LINK_FRAME_OTHER
};
struct link_frame {
    enum link_frame_kind
        kind; /* OTHER: of a newer version; to be ignored, or refused and reported if it is an order */
    union {
        struct link_heartbeat heartbeat;
        struct link_order order;
        struct link_ack ack;
        struct link_request request;
        struct link_reply reply;
    };
};
/* MALFORMED: not a frame of ours. An order of unknown kind has kind 0. Lists are cut at their bounds. */
MUST_USE enum err link_unpack(struct slice payload, struct arena *a, struct link_frame *out);

#endif
