#include "proto/store.h"

#define NAME_OF(table, i) ((size_t)(i) < ARRAY_LEN(table) && (table)[i] ? (table)[i] : "?")

const char *store_req_name(enum store_req_kind k)
{
    static const char *const names[] = {
        [STORE_COORD] = "coord",       [STORE_READ] = "read",         [STORE_BEGIN] = "begin",
        [STORE_ADVANCE] = "advance",   [STORE_FINISH] = "finish",     [STORE_FENCE] = "fence",
        [STORE_GRANT] = "grant",       [STORE_CONTROLS] = "controls", [STORE_MARK] = "mark",
        [STORE_HISTORY] = "history",   [STORE_RENEW] = "renew",       [STORE_BEAT] = "beat",
        [STORE_EVIDENCE] = "evidence",
    };
    return NAME_OF(names, k);
}

const char *store_status_name(enum store_status s)
{
    static const char *const names[] = {
        [STORE_OK] = "ok", [STORE_STALE] = "stale", [STORE_CONFLICT] = "conflict", [STORE_UNKNOWN] = "unknown"
    };
    return NAME_OF(names, s);
}

const char *store_conflict_name(enum store_conflict c)
{
    static const char *const names[] = {
        [STORE_C_NONE] = "none", [STORE_C_RUN] = "run",     [STORE_C_HELD] = "held",
        [STORE_C_OP] = "op",     [STORE_C_EPOCH] = "epoch", [STORE_C_STATE] = "state"
    };
    return NAME_OF(names, c);
}

const char *store_op_kind_name(enum store_op_kind k)
{
    static const char *const names[] = {
        [STORE_OP_NONE] = "none",         [STORE_OP_LISTED] = "listed",
        [STORE_OP_FAILED] = "failed",     [STORE_OP_SWITCHOVER] = "switchover",
        [STORE_OP_FAILOVER] = "failover", [STORE_OP_RESTORE] = "restore",
        [STORE_OP_REGRANT] = "regrant",   [STORE_OP_PUBLISH] = "publish",
        [STORE_OP_FENCE] = "fence",
    };
    return NAME_OF(names, k);
}

const char *store_step_name(enum store_step s)
{
    static const char *const names[] = {
        [STORE_STEP_RECORDED] = "recorded",     [STORE_STEP_FENCING] = "fencing",
        [STORE_STEP_PUBLISHING] = "publishing", [STORE_STEP_VERIFYING] = "verifying",
        [STORE_STEP_WAITING] = "waiting",       [STORE_STEP_GRANTING] = "granting",
        [STORE_STEP_SETTLING] = "settling",     [STORE_STEP_ROLLING_BACK] = "rolling_back",
    };
    return NAME_OF(names, s);
}

const char *store_egress_name(enum store_egress_state s)
{
    static const char *const names[] = {
        [STORE_EGRESS_NONE] = "none",       [STORE_EGRESS_ACTIVE] = "active",
        [STORE_EGRESS_FENCING] = "fencing", [STORE_EGRESS_FENCED] = "fenced",
        [STORE_EGRESS_HELD] = "held",
    };
    return NAME_OF(names, s);
}

const char *store_reported_name(enum store_reported r)
{
    static const char *const names[] = { [STORE_R_UNKNOWN] = "unknown",
                                         [STORE_R_STANDBY] = "standby",
                                         [STORE_R_ACTIVE] = "active",
                                         [STORE_R_FENCED] = "fenced",
                                         [STORE_R_GRANTING] = "granting" };
    return NAME_OF(names, r);
}
