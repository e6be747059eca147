#include "dns/gather.h"

void gather_init(struct gather *g, struct resolver *r, const struct gather_conf *conf, uint32_t limit_ms,
                 gather_fn *done, void *owner)
{
    *g = (struct gather){ .r = r, .done = done, .owner = owner };
    if (conf) g->conf = *conf;
    g->deadline_ms = timers_now_ms(resolver_env(r)->timers) + limit_ms;
}

static void cancel_all(struct gather *g)
{
    for (size_t i = 0; i < SPF_MISSING_MAX; i++) resolver_cancel(&g->slot[i].op);
    g->waiting = 0;
    timer_clear(resolver_env(g->r)->timers, &g->limit);
}

void gather_deinit(struct gather *g)
{
    if (!g->r) return;
    cancel_all(g);
    dns_table_deinit(&g->table);
}

static void put_failure(struct gather *g, const struct spf_missing *what)
{
    struct dns_answer a = {
        .result = DNS_FAIL, .why = DNS_WHY_TIMEOUT, .canonical = SLICE(""), .why_detail = SLICE("")
    };
    dns_table_put(&g->table, dns_name_slice(&what->name), what->type, &a);
}

static void finish(struct gather *g, enum err err)
{
    timer_clear(resolver_env(g->r)->timers, &g->limit);
    g->done(g->owner, err);
}

static void on_answer(void *owner, const struct dns_answer *a)
{
    struct gather_slot *s = owner;
    struct gather *g = s->g;
    s->op = NULL;
    dns_table_put(&g->table, dns_name_slice(&s->what.name), s->what.type, a);
    if (--g->waiting == 0) finish(g, ERR_OK);
}

static void on_limit(struct timer *t)
{
    struct gather *g = t->owner;
    enum err err = g->questions > GATHER_QUESTIONS_MAX ? ERR_LIMIT : ERR_TIMEOUT;
    for (size_t i = 0; i < SPF_MISSING_MAX; i++)
        if (g->slot[i].op) put_failure(g, &g->slot[i].what);
    cancel_all(g);
    finish(g, err);
}

static struct dns_ask how_to_ask(const struct gather *g, const struct dns_name *name, uint64_t left_ms)
{
    struct dns_ask how = { .flags = g->conf.ask_flags, .limit_ms = (uint32_t)left_ms };
    if (g->conf.zone.n && dns_name_below(dns_name_slice(name), dns_name_slice(&g->conf.zone))) {
        how.flags = DNS_NO_CACHE | DNS_NO_RECURSION;
        how.server = g->conf.server;
    }
    return how;
}

void gather_ask(struct gather *g, const struct spf_missing *missing, size_t n)
{
    struct timers *timers = resolver_env(g->r)->timers;
    uint64_t now = timers_now_ms(timers), left_ms = g->deadline_ms > now ? g->deadline_ms - now : 0;
    ASSERT(n > 0 && n <= SPF_MISSING_MAX && g->waiting == 0);
    g->questions += (unsigned)n;
    if (left_ms == 0 || g->questions > GATHER_QUESTIONS_MAX) {
        timer_set_in(timers, &g->limit, 0, on_limit, g);
        return;
    }
    timer_set_in(timers, &g->limit, left_ms, on_limit, g);
    g->waiting = n;
    for (size_t i = 0; i < n; i++) {
        struct dns_ask how = how_to_ask(g, &missing[i].name, left_ms);
        struct gather_slot *s = &g->slot[i];
        s->g = g;
        s->what = missing[i];
        s->op = resolver_ask(g->r, dns_name_slice(&missing[i].name), missing[i].type, &how, on_answer, s);
    }
}
