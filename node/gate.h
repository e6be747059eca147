/* node/gate.h: may this identity send now? The one place that answers it.
 *
 * The control loop opens, renews and closes; any thread asks. Everything is on the boot clock (CLOCK_BOOTTIME), read
 * fresh by the asker: never a loop's cached time. The gate closes by itself when
 *   - the deadline of the last renewal passes,
 *   - the control loop has not ticked for `stall_ms` (stopped process, frozen loop): then until the next renewal that was
 *     *sent* after the stall,
 *   - the wall clock says the lease is over (a jump forward may only shorten, a jump back changes nothing).
 *
 * A ticket names one opening. A connection made under one opening is never used under another: keep the ticket with the
 * connection, ask gate_valid() before MAIL, and bracket the final dot with gate_dot_begin/gate_dot_end:
 *
 *     uint64_t ticket = gate_ticket(g, now());           // at dial; 0: closed, do not dial
 *     if (!gate_valid(g, ticket, now())) abort_session();  // before MAIL FROM
 *     if (!gate_dot_begin(g, ticket, now())) abort_session();  // then write "\r\n.\r\n" at once
 *     … wait for the reply, whatever the gate does meanwhile …
 *     gate_dot_end(g);
 */
#ifndef GEMEL_NODE_GATE_H
#define GEMEL_NODE_GATE_H

#include <stdatomic.h>

#include "base/base.h"

struct gate {
    /* read by every thread */
    _Atomic uint64_t ticket;      /* the current or last opening; 0: never open */
    _Atomic uint64_t epoch;       /* of that opening */
    _Atomic uint64_t deadline_ms; /* 0: closed; UINT64_MAX: solo */
    _Atomic uint64_t tick_ms;     /* last sign of life of the control loop */
    _Atomic uint64_t in_dot;      /* final dots begun whose reply is not in */
    uint64_t stall_ms;
    /* the control loop's own */
    uint64_t deadline_wall_ms;
    uint64_t stalled_at_ms; /* only renewals sent after this count; 0: no stall */
};

/* Closed. `stall_ms`: longest time between two ticks. */
void gate_init(struct gate *g, uint64_t stall_ms);
void gate_open_solo(struct gate *g); /* no coordinator: open for good, no stall brake */

/* Any thread. */
bool gate_may_send(const struct gate *g, uint64_t now_boot_ms);
uint64_t gate_ticket(const struct gate *g, uint64_t now_boot_ms); /* 0: closed now */
bool gate_valid(const struct gate *g, uint64_t ticket, uint64_t now_boot_ms);
/* False: do not write the dot, reset the session, the message stays queued. True: gate_dot_end is owed. */
MUST_USE bool gate_dot_begin(struct gate *g, uint64_t ticket, uint64_t now_boot_ms);
void gate_dot_end(struct gate *g);
uint64_t gate_in_dot(const struct gate *g);
uint64_t gate_epoch(const struct gate *g);
uint64_t gate_left_ms(const struct gate *g, uint64_t now_boot_ms); /* 0: closed */

/* Control loop only (node/agent). */
/* A new opening: new ticket. Stays closed when `sent_ms` is before a stall or the deadline has passed. */
void gate_open(struct gate *g, uint64_t epoch, uint64_t sent_ms, uint64_t deadline_ms, uint64_t now_boot_ms,
               uint64_t deadline_wall_ms);
/* Extends the current opening. Never shortens, never reopens: false when it was closed meanwhile. */
bool gate_renew(struct gate *g, uint64_t sent_ms, uint64_t deadline_ms, uint64_t now_boot_ms,
                uint64_t deadline_wall_ms);
void gate_close(struct gate *g);
/* At least every stall_ms / 4. True when this tick found a stall or a wall clock past the deadline and closed it. */
bool gate_tick(struct gate *g, uint64_t now_boot_ms, uint64_t now_wall_ms);

#endif
