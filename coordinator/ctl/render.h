/* coordinator/ctl/render.h: an answer in, text for people out.
 *
 * Pure: no clock but the screen's, no network, no terminal. Each returns the exit code that what it shows deserves:
 * CTL_FINE or CTL_ISSUES. docs/admin-api.md gives the shapes; what is missing is shown as "–". */
#ifndef GEMEL_COORDINATOR_CTL_RENDER_H
#define GEMEL_COORDINATOR_CTL_RENDER_H

#include "coordinator/ctl/json.h"

/* Exit codes. Operators' scripts know them: never renumbered. */
enum {
    CTL_FINE = 0,
    CTL_USAGE = 1,
    CTL_REFUSED = 2,
    CTL_UNREACHABLE = 3,
    CTL_INCOMPLETE = 4,
    CTL_RUNNING = 5,
    CTL_ISSUES = 25,
};

int render_status(struct screen *s, const json_t *cluster);
void render_progress(struct screen *s, const json_t *operation); /* one line, no line break */

int render_history(struct screen *s, const json_t *history);
/* The change of `epoch`, 0: the last one; NULL: there is none such. */
const json_t *history_find(const json_t *history, uint64_t epoch);
bool history_went_well(const json_t *entry);
int render_explain(struct screen *s, const json_t *entry);
void render_outcome(struct screen *s,
                    const json_t *entry); /* "edge1 → edge2, epoch 7, gap 412 ms" and the steps */

int render_plan(struct screen *s, const json_t *answer); /* of --dry-run */
int render_done(struct screen *s, const json_t *answer); /* of a command: its text */

int render_spf(struct screen *s, const json_t *spf);
int render_spf_diff(struct screen *s, const json_t *spf);
int render_spf_verify(struct screen *s, const json_t *spf);

int render_dnsbl_check(struct screen *s, const json_t *check);
int render_dnsbl_explain(struct screen *s, const json_t *explain);
int render_dnsbl_zones(struct screen *s, const json_t *dnsbl);

int render_doctor(struct screen *s, const json_t *doctor);

int render_tls(struct screen *s, const json_t *tls);
int render_limits(struct screen *s, const json_t *limits);

int render_queue(struct screen *s, const json_t *queue);
int render_message(struct screen *s, const json_t *message);
int render_retried(struct screen *s, const json_t *answer);
int render_held(struct screen *s, const json_t *answer);
int render_released(struct screen *s, const json_t *answer);
int render_removed(struct screen *s, const json_t *answer);
int render_redirected(struct screen *s, const json_t *answer);
int render_top(struct screen *s, const json_t *answer);
int render_flushed(struct screen *s, const json_t *answer);

/* Shared: "3 messages", "1 message". */
const char *text_count(struct screen *s, uint64_t n, const char *one, const char *many);

#endif
