/* coordinator/api.h: the HTTP interface of docs/admin-api.md: who may ask what, by which way it came, and who answers.
 *
 * A request comes by TCP (monitoring, only to look), by the unix socket (people), or over a link from a coordinator that
 * does not lead. Each becomes a call that is answered once; one that goes away takes its work along. */
#ifndef GEMEL_COORDINATOR_API_H
#define GEMEL_COORDINATOR_API_H

#include "coordinator/forward.h"
#include "coordinator/parts.h"

struct api;
struct loop;

struct api_conf { /* borrowed while the api lives */
    const struct parts *parts;
    struct loop *loop;
    const struct forward_conf *forward;
};

/* Listens. REFUSED: an address or the socket cannot be had (`why`). */
MUST_USE enum err api_create(const struct api_conf *conf, struct api **out, struct buf *why);
void api_destroy(struct api *a);

void api_answer(struct api *a, uint64_t id, enum fo_answer result, uint64_t epoch,
                const char *text); /* the decider's */
void api_request(struct api *a, const char *coordinator, const struct link_request *r,
                 struct links_call *call);

#endif
