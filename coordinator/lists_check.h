/* coordinator/lists_check.h: asks every blocklist now, about one address or all of ours, and its test points with it.
 *
 * For people: nothing of it reaches the policy. Each configured resolver is asked by itself, past its cache here. */
#ifndef GEMEL_COORDINATOR_LISTS_CHECK_H
#define GEMEL_COORDINATOR_LISTS_CHECK_H

#include <jansson.h>

#include "coordinator/parts.h"

struct lists_check;
/* Once, never before the start returned; `result` is as in docs/admin-api.md and becomes the callee's. */
typedef void lists_check_fn(void *owner, json_t *result);
/* `ip` NULL: all identities. Copied. */
struct lists_check *lists_check_start(const struct parts *p, const struct addr *ip, lists_check_fn *done,
                                      void *owner);
void lists_check_cancel(struct lists_check **c); /* safe on NULL */

#endif
