/* node/queue/dsn.h: delivery status notifications: what became of a message, for its sender and his program.
 *
 * RFC 3464 multipart/report with the envelope's wishes of RFC 3461 (NOTIFY, RET, ENVID, ORCPT), RFC 6533 for addresses in
 * UTF-8. Pure: equal input gives equal bytes. One notification may tell of failed, delayed and relayed recipients together.
 * Who gets none: the null sender, other notifications, recipients whose NOTIFY says so. */
#ifndef GEMEL_NODE_QUEUE_DSN_H
#define GEMEL_NODE_QUEUE_DSN_H

#include "node/queue/envelope.h"

enum { DSN_FULL_BYTES_MAX = 10 << 20, DSN_BOUNDARY_CHARS = 24 };

enum dsn_action { DSN_NOTHING, DSN_FAILED, DSN_DELAYED, DSN_RELAYED };

/* What recipient `r` of `e` is to be told about now (`delayed`: he waits long); NOTHING covers all the exceptions. */
enum dsn_action dsn_due(const struct envelope *e, const struct envelope_rcpt *r, bool delayed);

struct dsn_rcpt {
    const struct envelope_rcpt *rcpt;
    enum dsn_action action; /* not NOTHING */
};

struct dsn {
    const struct envelope *about;
    const struct dsn_rcpt *rcpts;
    size_t n_rcpts;
    struct slice host;  /* who reports: a public name */
    struct queue_id id; /* of the notification */
    uint64_t now_wall_ms;
    char boundary[DSN_BOUNDARY_CHARS + 1]; /* random: must not stand in the original */
};

/* The whole original goes along, or its header only (RET, kind, size). */
bool dsn_returns_all(const struct dsn *d);
/* Everything before the original's bytes; everything behind them. The original is put between: its bytes as they are, or its
 * header up to and with the empty line. */
void dsn_head(const struct dsn *d, struct buf *out);
void dsn_tail(const struct dsn *d, struct buf *out);

#endif
