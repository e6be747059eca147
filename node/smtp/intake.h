/* node/smtp/intake.h: one message on its way from a session to the spool.
 *
 * Streams: the header is treated while it passes (node/message/header.h), the body goes to the spool chunk by chunk.
 * A message with recipients on both sides becomes two spooled messages, since only one of them may wait for the gate;
 * the client hears 250 when both are on disk, and neither stays when one fails.
 *
 * What goes wrong while the body streams is kept for intake_commit: SMTP has no earlier place to say it. */
#ifndef GEMEL_NODE_SMTP_INTAKE_H
#define GEMEL_NODE_SMTP_INTAKE_H

#include "base/env.h"
#include "node/accept/relay_control.h"
#include "node/message/header.h"
#include "node/queue/spool.h"
#include "node/smtp/session.h"

struct intake;

struct intake_conf { /* borrowed until the intake ends */
    struct spool *spool;
    struct queue_ids *ids;
    struct slice host;                                 /* public name, in Received */
    struct slice node;                                 /* who first took it */
    uint64_t expire_ms;                                /* from now: then it is given up */
    struct header_names strip_outbound, strip_inbound; /* empty: the defaults */
    uint32_t hops_max;                                 /* 0: the default */
};

/* Who brings it; borrowed for intake_begin. */
struct intake_client {
    struct addr addr;
    bool trusted;    /* relay_control_trusts: treated as outbound */
    const char *tls; /* "TLSv1.3 …"; "": clear */
};

typedef void intake_room_fn(void *owner); /* a blocked intake has room again */
/* Once, from the loop, never before intake_commit returns. NONE: on disk. `why` is for the log, borrowed. The intake
 * has ended. */
typedef void intake_done_fn(void *owner, enum smtp_reply refused, const char *why);

/* The envelope is taken from the session's transaction, where each recipient's tag is its enum flow. */
struct intake *intake_begin(const struct env *env, const struct intake_conf *conf,
                            const struct smtp_session *s, const struct intake_client *client,
                            intake_room_fn *room, void *owner);
void intake_body(struct intake *in, struct slice bytes);
bool intake_blocked(const struct intake *in); /* hold the peer back until `room` */
/* NONE: `done` will tell. Otherwise the refusal, `done` will not run; abort the intake. The transaction must still
 * stand. */
MUST_USE enum smtp_reply intake_commit(struct intake *in, const struct smtp_session *s, intake_done_fn *done);
void intake_abort(
    struct intake **in); /* any time; safe on NULL. After intake_commit it may be stored none the less */
/* The id the client is told; of the inbound half when there are two. Valid until the intake ends. */
const char *intake_id(const struct intake *in);

#endif
