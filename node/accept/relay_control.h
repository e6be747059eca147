/* node/accept/relay_control.h: who may send what through us to whom. Never an open relay, whatever is configured.
 *
 * Pure. Mail for our domains comes in from anywhere on the MX listener; mail for other domains goes out only for those
 * we know: authenticated users, and hosts inside (but not on the submission listener, where everybody has a name,
 * RFC 6409 4.3). What the sender claims to be never opens anything. It does not know DNS, lists or content: those are
 * policy, which may refuse more, never allow more. */
#ifndef GEMEL_NODE_ACCEPT_RELAY_CONTROL_H
#define GEMEL_NODE_ACCEPT_RELAY_CONTROL_H

#include "node/queue/envelope.h"
#include "node/smtp/address.h"
#include "node/smtp/reply.h"

enum accept_listener { ACCEPT_MX, ACCEPT_SUBMISSION, ACCEPT_SMARTHOST, ACCEPT_LISTENERS };
const char *accept_listener_name(enum accept_listener l); /* "mx", "submission", "smarthost" */

/* Borrowed. */
struct relay_control {
    const struct slice
        *domains; /* ours; compared byte for byte but for ASCII case: an IDN is listed as A-labels,
                                  * and as U-labels too where SMTPUTF8 senders shall reach it by that name */
    size_t n_domains;
    const struct prefix *inside;
    size_t n_inside;
};

struct accept_client {
    enum accept_listener listener;
    struct addr addr;
    bool authenticated;
};

/* One of ours: its mail may go out, and what it says of the inside is stripped. */
bool relay_control_trusts(const struct relay_control *r, const struct accept_client *c);
/* NONE: may start a message. The two listeners that are only for our own people ask for AUTH here. */
enum smtp_reply relay_control_mail(const struct relay_control *r, const struct accept_client *c);
/* NONE: *flow says which way it goes. `to` has a domain. */
enum smtp_reply relay_control_rcpt(const struct relay_control *r, const struct accept_client *c,
                                   const struct smtp_address *to, enum flow *flow);

#endif
