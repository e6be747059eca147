/* coordinator/doctor.h: looks at everything a healthy cluster stands on, now, and says what to do about what is not well.
 *
 * Changes nothing: the DNS update it tries sets the marker to what it is already, on the condition that it is. */
#ifndef GEMEL_COORDINATOR_DOCTOR_H
#define GEMEL_COORDINATOR_DOCTOR_H

#include <jansson.h>

#include "coordinator/parts.h"

struct doctor;
/* Once, never before the start returned; `result` is as in docs/admin-api.md and becomes the callee's. */
typedef void doctor_done_fn(void *owner, json_t *result);
struct doctor *doctor_start(const struct parts *p, doctor_done_fn *done, void *owner);
void doctor_cancel(struct doctor **d); /* safe on NULL */

#endif
