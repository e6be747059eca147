#include "node/gate.h"

/* Ordering. Closing stores deadline_ms = 0 and then reads in_dot; a sender adds to in_dot and then reads deadline_ms. Both
 * are sequentially consistent, so at least one of the two sees the other: either the sender stops before its dot, or the
 * fence waits for it. */

void gate_init(struct gate *g, uint64_t stall_ms)
{
    *g = (struct gate){ .stall_ms = stall_ms };
}

void gate_open_solo(struct gate *g)
{
    g->stall_ms = 0;
    atomic_store(&g->epoch, 0);
    atomic_fetch_add(&g->ticket, 1);
    atomic_store(&g->deadline_ms, UINT64_MAX);
}

static bool open_now(const struct gate *g, uint64_t now)
{
    uint64_t deadline = atomic_load(&g->deadline_ms);
    if (deadline == UINT64_MAX) return true;
    return now < deadline && now <= atomic_load(&g->tick_ms) + g->stall_ms;
}

bool gate_may_send(const struct gate *g, uint64_t now)
{
    return open_now(g, now);
}

uint64_t gate_ticket(const struct gate *g, uint64_t now)
{
    uint64_t ticket = atomic_load(&g->ticket);
    return gate_valid(g, ticket, now) ? ticket : 0;
}

bool gate_valid(const struct gate *g, uint64_t ticket, uint64_t now)
{
    /* The deadline belongs to this ticket only if the ticket is still the same after it was read. */
    return ticket && atomic_load(&g->ticket) == ticket && open_now(g, now) &&
           atomic_load(&g->ticket) == ticket;
}

bool gate_dot_begin(struct gate *g, uint64_t ticket, uint64_t now)
{
    atomic_fetch_add(&g->in_dot, 1);
    if (gate_valid(g, ticket, now)) return true;
    atomic_fetch_sub(&g->in_dot, 1);
    return false;
}

void gate_dot_end(struct gate *g)
{
    uint64_t before = atomic_fetch_sub(&g->in_dot, 1);
    ASSERT(before > 0);
}

uint64_t gate_in_dot(const struct gate *g)
{
    return atomic_load(&g->in_dot);
}

uint64_t gate_epoch(const struct gate *g)
{
    return atomic_load(&g->epoch);
}

uint64_t gate_left_ms(const struct gate *g, uint64_t now)
{
    if (!open_now(g, now)) return 0;
    uint64_t deadline = atomic_load(&g->deadline_ms);
    return deadline > now ? deadline - now : 0;
}

static bool sent_before_stall(const struct gate *g, uint64_t sent_ms)
{
    return g->stalled_at_ms && sent_ms < g->stalled_at_ms;
}

void gate_open(struct gate *g, uint64_t epoch, uint64_t sent_ms, uint64_t deadline_ms, uint64_t now,
               uint64_t deadline_wall_ms)
{
    gate_close(g);
    if (sent_before_stall(g, sent_ms) || deadline_ms <= now) return;
    g->stalled_at_ms = 0;
    g->deadline_wall_ms = deadline_wall_ms;
    atomic_store(&g->tick_ms, now);
    atomic_store(&g->epoch, epoch);
    atomic_fetch_add(&g->ticket, 1);
    atomic_store(&g->deadline_ms, deadline_ms);
}

bool gate_renew(struct gate *g, uint64_t sent_ms, uint64_t deadline_ms, uint64_t now,
                uint64_t deadline_wall_ms)
{
    if (!open_now(g, now) || sent_before_stall(g, sent_ms)) return false;
    uint64_t old = atomic_load(&g->deadline_ms);
    if (old != UINT64_MAX && deadline_ms > old) {
        g->deadline_wall_ms = deadline_wall_ms;
        atomic_store(&g->deadline_ms, deadline_ms);
    }
    return true;
}

void gate_close(struct gate *g)
{
    atomic_store(&g->deadline_ms, 0);
}

bool gate_tick(struct gate *g, uint64_t now, uint64_t wall)
{
    uint64_t last = atomic_load(&g->tick_ms), deadline = atomic_load(&g->deadline_ms);
    if (deadline == UINT64_MAX) return false;
    bool stalled = last && now > last + g->stall_ms, was_open = deadline != 0;
    if (stalled) g->stalled_at_ms = now;
    /* Deadline first: with the tick stored first, a worker could find the old deadline and a fresh tick. */
    bool over = was_open && (stalled || now >= deadline || wall >= g->deadline_wall_ms);
    if (over) gate_close(g);
    atomic_store(&g->tick_ms, now);
    return over;
}
