/* dns/publish_uv.h: the publishers that run a command of the operator's. */
#ifndef GEMEL_DNS_PUBLISH_UV_H
#define GEMEL_DNS_PUBLISH_UV_H

#include "dns/publish.h"

struct uv_loop_s;

/* The command is run by /bin/sh -c with the JSON on its standard input and nothing else of our environment than PATH,
 * HOME and LANG:
 *
 *   {"version": 1, "zone": "gw.example.com", "cluster": "lab", "epoch": 7, "expected_epoch": 6, "serial": 12,
 *    "expected_serial": 11, "active": "edge2",
 *    "records": [{"name": "_spf.gw.example.com", "type": "TXT", "ttl": 300, "text": "v=spf1 …", "strings": ["v=spf1 …"]},
 *                {"name": "_egress.gw.example.com", …}],
 *    "current": ["v=gemel1 …"]}            what `_egress` holds now
 *
 * Exit status 0: done. 75 (EX_TEMPFAIL): failed, may be retried. 65: the marker was not `current` (a compare-and-set of
 * its own): stale. Anything else: refused. Killed at the limit: unknown. Its standard error goes to the log, line by
 * line. Once it has ended well, `_egress` is asked of zone->server until it shows the new text or the limit has passed. */
struct publisher *publisher_exec(const struct env *env, struct uv_loop_s *loop, struct resolver *r,
                                 const struct publish_zone *zone, const char *command);
/* Writes `path` (whole, synced, renamed) with the two names as a zone fragment, then runs `reload` as above, without
 * input. `reload` may be "": the name server watches the file itself. The zone's serial is the affair of `reload`. */
struct publisher *publisher_file(const struct env *env, struct uv_loop_s *loop, struct resolver *r,
                                 const struct publish_zone *zone, const char *path, const char *reload);

#endif
