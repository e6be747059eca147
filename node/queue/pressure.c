#include "node/queue/pressure.h"

#include <stdio.h>

const char *pressure_limits_wrong(const struct pressure_limits *l)
{
    if (l->medium_end >= l->medium) return "medium_end";
    if (l->high < l->medium) return "high";
    if (l->high_end > l->high || l->high_end < l->medium_end) return "high_end";
    return NULL;
}

void pressure_init(struct pressure *p, const struct pressure_conf *conf)
{
    *p = (struct pressure){ .conf = *conf };
}

static enum pressure_level next_level(const struct pressure_limits *l, enum pressure_level now, uint64_t v)
{
    if (v >= l->high) return PRESSURE_HIGH;
    if (now == PRESSURE_HIGH && v > l->high_end) return PRESSURE_HIGH;
    if (v >= l->medium) return PRESSURE_MEDIUM;
    return now != PRESSURE_LOW && v > l->medium_end ? PRESSURE_MEDIUM : PRESSURE_LOW;
}

static void move_to(struct pressure *p, enum pressure_resource r, enum pressure_level to,
                    const struct log *log)
{
    enum pressure_level from = p->level[r];
    p->level[r] = to;
    if (from == to) return;
    if (to > from)
        log_warn(log, "pressure.up", kv_cstr("resource", pressure_resource_name(r)),
                 kv_cstr("from", pressure_level_name(from)), kv_cstr("to", pressure_level_name(to)),
                 kv_u64("value", p->value[r]));
    else
        log_info(log, "pressure.down", kv_cstr("resource", pressure_resource_name(r)),
                 kv_cstr("from", pressure_level_name(from)), kv_cstr("to", pressure_level_name(to)),
                 kv_u64("value", p->value[r]));
}

static uint32_t tarpit_ms(const struct pressure *p)
{
    if (p->level[PRESSURE_BACKLOG] != PRESSURE_MEDIUM || p->backlogged > PRESSURE_HISTORY) return 0;
    return MIN((uint32_t)PRESSURE_TARPIT_MS + (p->backlogged - 1) * PRESSURE_TARPIT_STEP_MS,
               (uint32_t)PRESSURE_TARPIT_MAX_MS);
}

void pressure_sample(struct pressure *p, const uint64_t values[static PRESSURE_RESOURCES],
                     const struct log *log)
{
    enum pressure_level refuse = PRESSURE_LOW;
    for (size_t r = 0; r < PRESSURE_RESOURCES; r++) {
        p->value[r] = values[r];
        move_to(p, (enum pressure_resource)r, next_level(&p->conf.limits[r], p->level[r], values[r]), log);
        if (r != PRESSURE_BACKLOG) refuse = MAX(refuse, p->level[r]);
    }
    if (p->level[PRESSURE_BACKLOG] == PRESSURE_LOW)
        p->backlogged = 0;
    else if (p->backlogged <= PRESSURE_HISTORY)
        p->backlogged++;
    if (p->level[PRESSURE_BACKLOG] == PRESSURE_HIGH || p->backlogged > PRESSURE_HISTORY)
        refuse = MAX(refuse, p->level[PRESSURE_BACKLOG]);
    atomic_store(&p->refuse, refuse);
    atomic_store(&p->pause_ms, tarpit_ms(p));
}

enum pressure_level pressure_worst(const struct pressure *p)
{
    enum pressure_level worst = PRESSURE_LOW;
    for (size_t r = 0; r < PRESSURE_RESOURCES; r++) worst = MAX(worst, p->level[r]);
    return worst;
}

const char *pressure_why(const struct pressure *p, char out[static 64])
{
    enum pressure_level worst = pressure_worst(p);
    out[0] = '\0';
    for (size_t r = 0; worst && r < PRESSURE_RESOURCES; r++) {
        if (p->level[r] != worst) continue;
        snprintf(out, 64, "%s pressure: %s %" PRIu64 "%s", pressure_level_name(worst),
                 pressure_resource_name((enum pressure_resource)r), p->value[r],
                 r == PRESSURE_BACKLOG ? " messages" : " %");
        break;
    }
    return out;
}

bool pressure_takes(const struct pressure *p, bool ours, uint32_t *pause_ms)
{
    uint32_t refuse = atomic_load_explicit(&p->refuse, memory_order_relaxed);
    *pause_ms = ours ? 0 : atomic_load_explicit(&p->pause_ms, memory_order_relaxed);
    return refuse == PRESSURE_LOW || (ours && refuse == PRESSURE_MEDIUM);
}

const char *pressure_level_name(enum pressure_level l)
{
    static const char *const names[] = { "low", "medium", "high" };
    ASSERT(l < PRESSURE_LEVELS);
    return names[l];
}

const char *pressure_resource_name(enum pressure_resource r)
{
    static const char *const names[] = { "disk", "memory", "backlog" };
    ASSERT(r < PRESSURE_RESOURCES);
    return names[r];
}

/* "MemTotal:       24683520 kB" */
static bool meminfo_line(struct slice text, struct slice name, uint64_t *kb)
{
    struct slice line;
    while (slice_cut(&text, '\n', &line)) {
        if (!slice_starts(line, name)) continue;
        line = slice_trim(slice_skip(line, name.n));
        size_t digits = slice_find(line, ' ');
        return slice_u64(slice_sub(line, 0, digits), UINT64_MAX / 1024, kb) == ERR_OK;
    }
    return false;
}

enum err pressure_memory(struct slice meminfo, uint64_t *percent)
{
    uint64_t total, available;
    if (!meminfo_line(meminfo, SLICE("MemTotal:"), &total) || !total ||
        !meminfo_line(meminfo, SLICE("MemAvailable:"), &available))
        return ERR_MALFORMED;
    *percent = (total - MIN(available, total)) * 100 / total;
    return ERR_OK;
}

uint64_t pressure_disk(uint64_t room_bytes, uint64_t usable_bytes)
{
    uint64_t unit = MAX(room_bytes / 10000, (uint64_t)1); /* so that nothing overflows */
    uint64_t used = (room_bytes - MIN(usable_bytes, room_bytes)) / unit;
    return room_bytes ? MIN(used * 100 / (room_bytes / unit), (uint64_t)100) : 0;
}
