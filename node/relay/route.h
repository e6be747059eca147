/* node/relay/route.h: where a destination's mail goes: addresses in the order in which they are tried (RFC 5321 5.1).
 *
 * A configured next hop ("[10.0.0.25]:25", "mail.inside.example:25") is looked up by address only and may lie anywhere.
 * Everything else goes by MX: null MX (RFC 7505), the domain's own address when it has none, equal preferences in random
 * order, and the cut at ourselves: a host with one of our names or addresses ends the list, since mail sent there, or to
 * a worse host, would come back. Loopback and private addresses are never a way out to the Internet. */
#ifndef GEMEL_NODE_RELAY_ROUTE_H
#define GEMEL_NODE_RELAY_ROUTE_H

#include "dns/lookup.h"
#include "node/relay/relay.h"

enum {
    ROUTE_HOSTS_MAX = 8,   /* of the MX list, best first */
    ROUTE_TARGETS_MAX = 16 /* addresses tried in one attempt; RFC 5321 5.1 wants two at least */
};

struct route_conf {
    uint16_t port;                 /* of other domains' hosts: 25 */
    const struct slice *own_names; /* HELO names of all identities: mail sent there comes back */
    size_t n_own_names;
    const struct addr *own_addrs;
    size_t n_own_addrs;
    bool allow_private;       /* MX hosts on loopback and private addresses: tests */
    bool allow_documentation; /* RFC 5737, 3849: the lab */
};

struct route_target {
    struct dns_name host; /* empty for an address literal */
    struct addr addr;     /* with its port */
};

struct route_answer {
    enum relay_verdict
        verdict; /* PENDING: there are targets; otherwise it ends here, and why is in the next two */
    struct enhanced enhanced;
    const char *text;
    size_t n;
    struct route_target target[ROUTE_TARGETS_MAX];
};

/* ---- the pure part ---- */

enum route_kind { ROUTE_BY_MX, ROUTE_BY_HOST, ROUTE_BY_ADDRESS, ROUTE_NOWHERE };

struct route_plan { /* what a destination asks for */
    enum route_kind kind;
    bool configured;      /* has a port, so it is a next hop of ours */
    struct dns_name name; /* A-labels */
    struct addr addr;     /* BY_ADDRESS */
    uint16_t port;
};

/* NOWHERE: neither a domain, nor a host, nor an address. */
void route_parse(const struct route_conf *conf, struct slice destination, struct route_plan *out);

/* `addrs[i]` belongs to mx->hosts[i]; `families`: ADDRS_ bits of what we can send from. */
void route_choose(const struct route_conf *conf, const struct mx_answer *mx, const struct addrs_answer *addrs,
                  unsigned families, struct route_answer *out);

/* ---- with DNS behind it ---- */

/* `done` runs once, from the loop, never before the start returns; its answer is borrowed. `conf` outlives the op. */
typedef void route_done_fn(void *owner, const struct route_answer *a);
struct route_op *route_start(const struct route_conf *conf, struct resolver *dns, struct slice destination,
                             unsigned families, route_done_fn *done, void *owner);
void route_cancel(struct route_op **op); /* safe on NULL */

#endif
