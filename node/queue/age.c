#include "node/queue/age.h"

uint64_t age_wait_ms(uint64_t at_wall_ms, uint64_t now_wall_ms, uint64_t most_ms)
{
    return at_wall_ms > now_wall_ms ? MIN(at_wall_ms - now_wall_ms, most_ms) : 0;
}

uint64_t age_longest_wait_ms(const struct retry_conf *c)
{
    return MAX(c->steady_ms, MAX(c->transient_ms, c->glitch_ms));
}

bool age_untouched(const struct retry_conf *c, uint64_t touched_wall_ms, uint64_t now_wall_ms)
{
    return now_wall_ms > touched_wall_ms && now_wall_ms - touched_wall_ms > age_longest_wait_ms(c);
}

bool age_is_doubtful(const struct retry_conf *c, const struct envelope *e, uint64_t now_wall_ms)
{
    uint64_t touched = e->arrival_wall_ms;
    for (size_t i = 0; i < e->n_rcpts; i++)
        touched = MAX(touched, MAX(e->rcpts[i].last_try_wall_ms, e->rcpts[i].next_try_wall_ms));
    return age_untouched(c, touched, now_wall_ms);
}

uint64_t age_grace_ms(const struct retry_conf *c)
{
    return MIN(2 * age_longest_wait_ms(c), c->expire_ms);
}
