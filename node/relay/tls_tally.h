/* node/relay/tls_tally.h: what came of TLS, counted by destination, as TLS-RPT wants to know it (RFC 8460).
 *
 * One for all threads of a node, bounded: past TLS_TALLY_DESTINATIONS_MAX what is new is counted under "*". */
#ifndef GEMEL_NODE_RELAY_TLS_TALLY_H
#define GEMEL_NODE_RELAY_TLS_TALLY_H

#include "base/addr.h"
#include "node/relay/tls_policy.h"

enum { TLS_TALLY_DESTINATIONS_MAX = 10000 };

struct tls_event { /* one connection; slices are copied */
    struct slice destination;
    enum tls_level level; /* that held, after DNS was asked: never DANE where there were no records */
    enum tls_result result;
    struct slice mx, why; /* of a failure */
    struct addr to, from;
    uint64_t wall_ms;
};

struct tls_tally;
struct tls_tally *tls_tally_create(void);
void tls_tally_destroy(struct tls_tally *t); /* safe on NULL */
void tls_tally_add(struct tls_tally *t, const struct tls_event *e);
void tls_tally_totals(struct tls_tally *t, uint64_t out[static TLS_RESULTS]);

struct tls_tally_row { /* borrowed for the call */
    struct slice destination;
    enum tls_level level; /* of the last connection */
    uint64_t count[TLS_RESULTS];
    struct tls_event last_failure; /* wall_ms 0: there was none */
};
typedef void tls_tally_row_fn(void *owner, const struct tls_tally_row *row);
/* In no order; the table is locked meanwhile. */
void tls_tally_each(struct tls_tally *t, tls_tally_row_fn *fn, void *owner);

#endif
