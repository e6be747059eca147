/* coordinator/sampler.h: what status and metrics show and nobody else remembers: roles and since when, the coherence of our
 * public faces, how the last switches went. Looks at its own pace; decides nothing. */
#ifndef GEMEL_COORDINATOR_SAMPLER_H
#define GEMEL_COORDINATOR_SAMPLER_H

#include "coordinator/parts.h"
#include "dns/preflight.h"

struct sampler;

enum role { ROLE_DOWN, ROLE_UNFIT, ROLE_FENCED, ROLE_QUARANTINED, ROLE_STANDBY, ROLE_ACTIVE };
const char *role_name(enum role r);
/* Pure. `link`: its node is connected to us; `quarantined`: listed lately, not clean for long enough. */
enum role role_of(const struct fo_status *st, uint8_t identity, bool link, bool quarantined);

struct sampler *sampler_create(const struct parts *parts); /* borrowed */
void sampler_destroy(struct sampler *s);

enum role sampler_role(const struct sampler *s, uint8_t identity, uint64_t *since_wall_ms);
const struct preflight_report *sampler_faces(const struct sampler *s,
                                             uint8_t identity); /* NULL: not looked yet */

struct sampler_switch { /* the last operation that ended while we looked, and sums */
    bool known;
    uint32_t took_ms[STORE_STEPS], gap_ms;
    uint64_t fences_acked, fences_expired; /* since the start */
};
void sampler_switch(const struct sampler *s, struct sampler_switch *out);

#endif
