#include "node/relay/report.h"

#include "node/relay/reply.h"

/* Lines are joined by " / ", as the queue keeps and shows them. */
static struct slice joined(struct slice text, struct arena *a)
{
    size_t lines = 0, n = 0;
    for (size_t i = 0; i < text.n; i++) lines += text.p[i] == '\n';
    if (!lines) return text;
    char *p = arena_alloc(a, text.n + 2 * lines + 1);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '\n') {
            p[n++] = text.p[i];
            continue;
        }
        memcpy(p + n, " / ", 3);
        n += 3;
    }
    return slice_from(p, n);
}

void report_classify(const struct classifier *c, const struct addr *own, struct relay_outcome *o)
{
    struct classify_output out;
    struct classify_input in = {
        .stage_known = true, .stage = o->stage, .own = *own, .provider = o->mta_name, .text = o->text
    };
    if (o->code < 400 || o->verdict == RELAY_SENT) return;
    classify(c, &in, &out);
    o->scope = out.scope;
    o->effect = out.effect;
    o->rule = out.rule;
    if (out.effect != EFFECT_NONE) o->verdict = RELAY_DEFERRED;
}

static enum delivery_outcome outcome_of(const struct relay_outcome *o)
{
    switch (o->verdict) {
    case RELAY_SENT: return o->dsn_relayed ? DELIVERY_RELAYED : DELIVERY_SENT;
    case RELAY_FAILED: return DELIVERY_FAILED;
    case RELAY_PENDING:
    case RELAY_DEFERRED: break;
    }
    if (o->gate_closed) return DELIVERY_NOT_NOW;
    return o->effect == EFFECT_SWITCH ? DELIVERY_LISTED : DELIVERY_DEFERRED;
}

static enum delivery_cause cause_of(const struct relay_outcome *o)
{
    if (o->effect == EFFECT_RETRY) return DELIVERY_CAUSE_GREYLIST;
    if (o->stage < RELAY_MAIL) return DELIVERY_CAUSE_CONNECTION;
    /* What is said of our address or our pace holds for the next message too. */
    if (o->effect == EFFECT_DEST || o->effect == EFFECT_SLOW || o->scope == SCOPE_PTR ||
        o->scope == SCOPE_HELO)
        return DELIVERY_CAUSE_CONNECTION;
    return o->code ? DELIVERY_CAUSE_MESSAGE : DELIVERY_CAUSE_CONNECTION;
}

void report_result(const struct relay_outcome *o, struct arena *a, struct delivery_result *out)
{
    *out = (struct delivery_result){ .outcome = outcome_of(o),
                                     .cause = cause_of(o),
                                     .reply = joined(o->text, a),
                                     .mta = o->mta_name,
                                     .stage = slice_of(relay_stage_name(o->stage)) };
    if (!out->mta.n && o->mta.family != ADDR_NONE) {
        char text[ADDR_TEXT_MAX];
        out->mta = slice_of(arena_printf(a, "[%s]", addr_format(&o->mta, text)));
    }
    if (o->enhanced.class)
        out->status = slice_of(
            arena_printf(a, "%u.%u.%u", o->enhanced.class, o->enhanced.subject, o->enhanced.detail));
}

void report_log(const struct log *log, const struct report_attempt *t, struct slice rcpt,
                const struct relay_outcome *o)
{
    static const char *const events[] = { [RELAY_PENDING] = "relay.deferred",
                                          [RELAY_SENT] = "relay.sent",
                                          [RELAY_DEFERRED] = "relay.deferred",
                                          [RELAY_FAILED] = "relay.refused" };
    bool classed = o->rule.n > 0;
    enum log_level level = o->gate_closed                                          ? LOG_DEBUG
                           : o->effect == EFFECT_SWITCH || o->effect == EFFECT_FIX ? LOG_WARN
                                                                                   : LOG_INFO;
    log_event(
        log, level, events[o->verdict],
        LOG_KVS(kv_slice("id", t->queue_id), kv_slice("rcpt", rcpt), kv_cstr("flow", flow_name(t->flow)),
                kv_slice("mx", o->mta_name), kv_addr("to", o->mta.family ? &o->mta : NULL),
                kv_addr("from", t->from.family ? &t->from : NULL), kv_cstr("helo", t->helo),
                kv_bool("tls", o->tls), kv_cstr("stage", relay_stage_name(o->stage)),
                kv_slice("reply", o->text), kv_cstr("class", classed ? relay_scope_name(o->scope) : "-"),
                kv_cstr("effect", classed ? relay_effect_name(o->effect) : "-"),
                kv_slice("rule", classed ? o->rule : SLICE("-")), kv_bool("maybe_sent", o->maybe_sent),
                kv_ms("took", t->took_ms)));
}

bool report_refusal(const struct report_attempt *t, const char *identity, const struct classifier *rules,
                    const struct relay_outcome *o, uint64_t wall_ms, struct refusal *out)
{
    if (t->flow != FLOW_OUT || !identity || o->effect == EFFECT_NONE || !o->code) return false;
    *out = (struct refusal){ .identity = slice_of(identity),
                             .provider = classify_provider(rules, o->mta_name),
                             .destination = t->destination,
                             .stage = o->stage,
                             .scope = o->scope,
                             .effect = o->effect,
                             .rule = o->rule,
                             .text = slice_sub(o->text, 0, REFUSAL_TEXT_BYTES_MAX),
                             .wall_ms = wall_ms,
                             .message_id = t->queue_id };
    return true;
}
