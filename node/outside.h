/* node/outside.h: which address does the world see when we send? Asked of another edge: it names it in its EHLO reply.
 *
 * A NAT in front of an edge may send its mail from another address than the identity's, and then PTR, HELO and SPF are all
 * wrong at the receiver while everything looks right at home. So the socket is bound as for mail, the other edge's SMTP port
 * is dialled at its public address, and what stands in brackets behind its name in the EHLO reply is compared. */
#ifndef GEMEL_NODE_OUTSIDE_H
#define GEMEL_NODE_OUTSIDE_H

#include "base/env.h"
#include "base/net.h"

struct outside_conf {
    struct addr from, to; /* our identity's address; the other edge's, with its port */
    const char *helo;
    uint32_t limit_ms;
};

struct outside_op;
/* Once, from the loop, never before the start returns. OK: `seen` is the address. Otherwise `detail` says why nobody knows:
 * RETRY, TIMEOUT, CLOSED: not reached; REFUSED: it does not talk to us, or our address cannot be bound; NOT_FOUND: its reply
 * names no address (another program, or an older one). */
typedef void outside_done_fn(void *owner, enum err err, const struct addr *seen, const char *detail);
struct outside_op *outside_start(const struct env *env, const struct outside_conf *conf,
                                 outside_done_fn *done, void *owner);
void outside_cancel(struct outside_op **op);

/* Pure: the address in "250-edge2.example.com Hello [198.51.100.10]". NOT_FOUND. */
MUST_USE enum err outside_parse(struct slice line, struct addr *out);

#endif
