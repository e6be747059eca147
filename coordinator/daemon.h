/* coordinator/daemon.h: one coordinator, wired: from configuration to a running loop, and down again. */
#ifndef GEMEL_COORDINATOR_DAEMON_H
#define GEMEL_COORDINATOR_DAEMON_H

#include "base/log.h"
#include "coordinator/conf.h"

struct daemon;

/* `conf` and `log` outlive the daemon. NOT_FOUND, REFUSED, MALFORMED with `why`: a file, an address, the journal. */
MUST_USE enum err daemon_create(const struct coordinator_conf *conf, const struct log *log,
                                struct daemon **out, struct buf *why);
void daemon_run(struct daemon *d); /* until SIGTERM or SIGINT; SIGHUP reads the certificates again */
void daemon_destroy(struct daemon *d);

#endif
