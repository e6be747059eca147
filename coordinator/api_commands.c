/* The operator's commands: JSON into struct fo_command, the machine's answer into a status. */
#include <stdio.h>

#include "base/log.h"
#include "coordinator/api_call.h"
#include "coordinator/status.h"

enum { ANSWER_LIMIT_MS = 20000, PIN_MIN_MS = 1000 };

static const struct answer_row {
    const char *word;
    unsigned status;
} answers[] = {
    [FO_ANS_ACCEPTED] = { "accepted", 202 },     [FO_ANS_DONE] = { "done", 200 },
    [FO_ANS_REFUSED] = { "refused", 412 },       [FO_ANS_BUSY] = { "busy", 409 },
    [FO_ANS_NOT_LEADER] = { "not_leader", 503 }, [FO_ANS_FAILED] = { "failed", 503 },
};

void api_answer(struct api *a, uint64_t id, enum fo_answer result, uint64_t epoch, const char *text)
{
    ASSERT((unsigned)result < ARRAY_LEN(answers));
    log_info(a->conf.parts->env->log, "command.answer", kv_u64("id", id),
             kv_cstr("result", answers[result].word), kv_u64("epoch", epoch), kv_cstr("text", text));
    LIST_EACH(&a->calls, it)
    {
        struct call *c = CONTAINER_OF(it, struct call, list);
        if (c->command != id) continue;
        json_t *o = json_object();
        json_object_set_new(o, "result", json_string(answers[result].word));
        json_object_set_new(o, "text", status_text(text));
        json_object_set_new(o, "epoch", json_integer((json_int_t)epoch));
        call_reply(c, answers[result].status, o);
        return; /* what comes later (done, after accepted) is for the log and the history */
    }
}

static const char *text_of(const struct call *c, const char *key)
{
    return json_string_value(json_object_get(c->body, key));
}

static bool yes(const struct call *c, const char *key)
{
    return json_is_true(json_object_get(c->body, key));
}

static bool wants_target(enum fo_command_kind kind)
{
    return kind == FO_CMD_FAILOVER || kind == FO_CMD_FENCE || kind == FO_CMD_PIN;
}

/* False: answered with 400. */
static bool take_target(struct call *c, enum fo_command_kind kind, uint8_t *to)
{
    const char *key = kind == FO_CMD_SWITCHOVER || kind == FO_CMD_FAILOVER ? "to" : "identity";
    const char *name = text_of(c, key);
    *to = STORE_NONE;
    if (kind == FO_CMD_PAUSE || kind == FO_CMD_RESUME || kind == FO_CMD_UNPIN) return true;
    if (name) return call_identity(c, name, to);
    if (!wants_target(kind)) return true;
    call_error(c, 400, "\"%s\" is missing: the name of an identity", key);
    return false;
}

static bool take_time(struct call *c, uint64_t *until_wall_ms)
{
    json_t *v = json_object_get(c->body, "for_ms");
    json_int_t ms = json_is_integer(v) ? json_integer_value(v) : 0;
    if (ms >= PIN_MIN_MS && ms <= (json_int_t)DAYS(30)) {
        *until_wall_ms = timers_wall_ms(call_parts(c)->env->timers) + (uint64_t)ms;
        return true;
    }
    call_error(c, 400, "\"for_ms\" is missing: how long to pin, from one second to thirty days");
    return false;
}

void call_command(struct call *c, enum fo_command_kind kind)
{
    struct fo_command k = { .kind = kind,
                            .dry_run = yes(c, "dry_run"),
                            .accept_risk = yes(c, "accept_risk") };
    const char *by = text_of(c, "by"), *reason = text_of(c, "reason");
    if (!decider_leads(call_parts(c)->decider)) {
        const struct host_conf *leader = decider_leader(call_parts(c)->decider);
        call_error(c, 503, leader ? "%s leads, not this coordinator" : "no coordinator leads",
                   leader ? leader->name : "");
        return;
    }
    if (!take_target(c, kind, &k.to)) return;
    if (kind == FO_CMD_FAILOVER && !yes(c, "force")) {
        call_error(c, 400,
                   "failover skips the checks of quality; say so with \"force\": true, or use switchover");
        return;
    }
    if (kind == FO_CMD_PIN && !take_time(c, &k.until_wall_ms)) return;
    snprintf(k.by, sizeof k.by, "%s", by && *by ? by : "operator");
    snprintf(k.why, sizeof k.why, "%s", reason ? reason : "");
    k.id = c->command = ++c->api->next_id;
    call_limit(c, ANSWER_LIMIT_MS);
    decider_command(call_parts(c)->decider, &k); /* may answer at once, and then `c` is gone */
}
