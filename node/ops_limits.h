/* node/ops_limits.h: what holds for mail to a destination, and which rule says so, for GET /limits. */
#ifndef GEMEL_NODE_OPS_LIMITS_H
#define GEMEL_NODE_OPS_LIMITS_H

#include <jansson.h>

#include "node/conf.h"

/* `domain`: a recipients' domain, or a next hop. */
json_t *ops_limits_json(const struct node_conf *c, struct slice domain);

#endif
