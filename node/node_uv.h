/* node/node_uv.h: a whole edge node: everything made, wired, run and taken down in order. main() only reads options. */
#ifndef GEMEL_NODE_NODE_UV_H
#define GEMEL_NODE_NODE_UV_H

#include "base/log.h"
#include "node/conf.h"

struct node;

/* `conf` and `log` are borrowed for life. What cannot be had (addresses, files, a damaged spool) is REFUSED or the part's
 * own error, with a sentence in `why`. Redis, coordinators and DNS may be away: the node starts, takes mail, and waits. */
MUST_USE enum err node_create(const struct node_conf *conf, bool solo, const struct log *log,
                              struct node **out, struct buf *why);
void node_run(struct node *n); /* until SIGTERM or SIGINT; SIGHUP reads certificates again */
void node_destroy(struct node *n);

#endif
