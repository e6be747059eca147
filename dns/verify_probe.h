/* dns/verify_probe.h: one address of one authoritative server, asked and judged. A part of dns/verify. */
#ifndef GEMEL_DNS_VERIFY_PROBE_H
#define GEMEL_DNS_VERIFY_PROBE_H

#include "dns/verify.h"

/* What one address said. */
struct verify_seen {
    const struct dns_answer *egress, *spf, *soa;
    struct spf_verdict policy[VERIFY_IDENTITIES_MAX]; /* one for each identity */
};

/* Pure: fills all of `out` but name, addr, at_parent and at_child. */
void verify_judge(const struct verify_wanted *w, const struct verify_seen *seen, struct verify_server *out);
/* Pure: counts, the greatest TTL, `ok` and the sentence, from the servers that are there. */
void verify_sum_up(const struct verify_wanted *w, struct verify_report *report);

/* `unreachable`: the network refused to carry the questions (no route), the server was not even asked. */
typedef void verify_probe_fn(void *owner, const struct verify_seen *seen, bool unreachable);
struct verify_probe;
/* `w` outlives the probe; `server` with its port. The usual rules of completion and cancel. */
struct verify_probe *verify_probe_start(struct resolver *r, const struct verify_wanted *w,
                                        const struct addr *server, uint32_t limit_ms, verify_probe_fn *done,
                                        void *owner);
void verify_probe_cancel(struct verify_probe **p);

#endif
