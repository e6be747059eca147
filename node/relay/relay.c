#include "node/relay/relay.h"

const char *relay_verdict_name(enum relay_verdict v)
{
    static const char *const names[] = { "pending", "sent", "deferred", "failed" };
    return v < ARRAY_LEN(names) ? names[v] : "?";
}
