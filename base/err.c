#include "base/err.h"

static const char *const names[] = {
    [ERR_OK] = "ok",           [ERR_RETRY] = "retry",         [ERR_TIMEOUT] = "timeout",
    [ERR_REFUSED] = "refused", [ERR_MALFORMED] = "malformed", [ERR_LIMIT] = "limit",
    [ERR_CLOSED] = "closed",   [ERR_NOT_FOUND] = "not-found", [ERR_CONFLICT] = "conflict",
    [ERR_UNKNOWN] = "unknown",
};
_Static_assert(ARRAY_LEN(names) == ERR_COUNT, "one name per error");

static const char *const texts[] = {
#define ERR_TEXT(name, text) [ERR_##name] = (text),
    ERR_MAP(ERR_TEXT)
#undef ERR_TEXT
};

const char *err_name(enum err e)
{
    ASSERT((unsigned)e < ERR_COUNT);
    return names[e];
}

const char *err_text(enum err e)
{
    ASSERT((unsigned)e < ERR_COUNT);
    return texts[e];
}
