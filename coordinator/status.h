/* coordinator/status.h: what is shown: the JSON of docs/admin-api.md and the text of /metrics, made of looks at the parts.
 *
 * Pure in the sense that it only looks. Every json_t returned is the caller's. */
#ifndef GEMEL_COORDINATOR_STATUS_H
#define GEMEL_COORDINATOR_STATUS_H

#include <jansson.h>

#include "coordinator/parts.h"

json_t *status_role(const struct parts *p); /* the short body of the health endpoints */
json_t *status_cluster(const struct parts *p);
json_t *status_spf(const struct parts *p);
json_t *status_dnsbl(const struct parts *p);
/* One identity, or all: STORE_NONE. */
json_t *status_explain(const struct parts *p, uint8_t identity);
/* Lines of store_redis_history, oldest first; the last `max` of them. Changes of the records alone only when `all`. */
json_t *status_history(const struct slice *lines, size_t n, size_t max, bool all);
void status_metrics(const struct parts *p, struct buf *out);

/* Each issue of the cluster in a sentence. */
typedef void status_issue_fn(void *owner, const char *text);
void status_issues(const struct parts *p, status_issue_fn *each, void *owner);

/* "2026-03-01T02:14:07.123Z"; "" for 0. */
enum { STATUS_TIME_MAX = 40 };
const char *status_time(uint64_t wall_ms, char out[static STATUS_TIME_MAX]);
json_t *status_text(const char *s); /* a JSON string of bytes that may not be UTF-8 */

#endif
