/* node/queue/reporter.h: the reporter of node/queue/queue.h: writes down what became of recipients, and tells the sender.
 *
 * A notification and the change of the message it is about are one transaction: told and done, or neither. While the disk
 * takes no new mail the report waits, and the original stays as it was. */
#ifndef GEMEL_NODE_QUEUE_REPORTER_H
#define GEMEL_NODE_QUEUE_REPORTER_H

#include "node/queue/queue.h"

struct reporter;

struct reporter_conf { /* borrowed for life */
    struct spool *spool;
    struct queue_ids *ids;
    struct slice host, node;                           /* public name; node name */
    uint64_t expire_ms;                                /* of the notification */
    bool (*is_ours)(void *owner, struct slice domain); /* then it goes inside */
    void *owner;
};

struct reporter *reporter_create(const struct env *env, const struct reporter_conf *conf);
void reporter_destroy(struct reporter *r); /* no `done` runs any more; safe on NULL */
void reporter_port(struct reporter *r, struct queue_reporter *out);
uint64_t reporter_sent(const struct reporter *r); /* notifications stored since the start */

#endif
