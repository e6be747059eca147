/* proto/store_model.h: the store as a C program: what the Redis scripts must do, in memory.
 *
 * Pure. The simulator runs on it; a test runs the real scripts beside it and compares. Time is the store's own clock and
 * is used for nothing but the coordinator lease and the age of evidence. Lost, late and doubled answers are the
 * simulator's business. */
#ifndef GEMEL_PROTO_STORE_MODEL_H
#define GEMEL_PROTO_STORE_MODEL_H

#include "proto/store.h"

struct store_model {
    uint64_t run;
    uint64_t coord_lease_ms;
    bool read_only; /* every request that writes is UNKNOWN, as with READONLY, LOADING, NOREPLICAS */
    uint64_t leader_token, leader_until_ms;
    uint64_t last_op; /* the operation finished last */
    uint64_t evidence_id;
    uint64_t histories; /* lines ever appended */
    struct store_history last_history;
    struct store_view v;
};

void store_model_init(struct store_model *m, uint64_t run, uint64_t coord_lease_ms);
void store_model_apply(struct store_model *m, const struct store_req *req, uint64_t now_ms,
                       struct store_reply *out);
/* Another server takes over with what `copy` had (asynchronous replication: what came later is lost). */
void store_model_fail_over(struct store_model *m, const struct store_model *copy, uint64_t run);

#endif
