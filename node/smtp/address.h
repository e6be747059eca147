/* node/smtp/address.h: paths and mailboxes (RFC 5321 4.1.2, 4.1.3; RFC 6531 3.3).
 *
 * Pure. Strict about what can mean two things to two programs: no control bytes, no unbalanced quotes, no trailing dot,
 * no empty label, valid UTF-8. Lenient where the world is and nobody is confused: "_" in a host name. A source route is
 * checked and dropped (RFC 5321 appendix C), and `routed` tells. */
#ifndef GEMEL_NODE_SMTP_ADDRESS_H
#define GEMEL_NODE_SMTP_ADDRESS_H

#include "base/addr.h"
#include "base/slice.h"

enum {
    SMTP_LOCAL_MAX = 64,   /* RFC 5321 4.5.3.1.1 */
    SMTP_DOMAIN_MAX = 255, /* 4.5.3.1.2 */
};

struct smtp_address {
    struct slice whole; /* local@domain without <>; empty: the null path; "postmaster": that word alone */
    struct slice local; /* as written, quotes included */
    struct slice
        domain; /* as written; "[192.0.2.1]" for a literal; empty for null path and bare postmaster */
    bool literal;
    bool quoted;
    bool utf8;   /* needs SMTPUTF8 */
    bool routed; /* a source route was dropped */
};

/* Takes a path off the front of *s: "<…>". Slices of *out are borrowed from it. */
MUST_USE enum err smtp_path_take(struct slice *s, struct smtp_address *out);
/* local@domain and nothing else. */
MUST_USE enum err smtp_mailbox_parse(struct slice s, struct smtp_address *out);

bool smtp_domain_valid(struct slice s); /* labels of letters, digits, "-", "_" or UTF-8; no dot at the end */
bool smtp_literal_valid(
    struct slice s); /* "[192.0.2.1]", "[IPv6:2001:db8::1]"; other tags are not known to us */
/* Argument of HELO and EHLO: a domain or a literal, or what real clients send instead, as long as it can be put into
 * a Received field without changing its meaning. */
bool smtp_helo_valid(struct slice s);

#endif
