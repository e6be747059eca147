/* node/ops_tls.h: what came of TLS to other mail servers, for GET /tls and for /metrics. docs/admin-api.md has the shape. */
#ifndef GEMEL_NODE_OPS_TLS_H
#define GEMEL_NODE_OPS_TLS_H

#include <jansson.h>

#include "base/buf.h"
#include "node/relay/tls_tally.h"

json_t *ops_tls_json(struct tls_tally *t);
void ops_tls_metrics(struct tls_tally *t, struct buf *out); /* appends Prometheus text, some 1 KiB */

#endif
