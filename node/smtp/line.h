/* node/smtp/line.h: command lines out of a byte stream. CR LF ends a line and nothing else does.
 *
 * Pure. Memory is what the current, unfinished line needs and nothing between lines. A line that is too long or holds
 * a bare CR or LF is swallowed to its CR LF and reported once, so that its tail is never read as a command. */
#ifndef GEMEL_NODE_SMTP_LINE_H
#define GEMEL_NODE_SMTP_LINE_H

#include "base/buf.h"

enum {
    SMTP_LINE_MAX =
        2048, /* a command: RFC 5321 4.5.3.1.4 asks 512 and more for each extension offered: SMTPUTF8
                                 * and SIZE 36, DSN 800 (ENVID, ORCPT), AUTH= 500 */
    SMTP_LINE_AUTH_MAX = 12288, /* RFC 4954 4: a SASL response */
};

enum smtp_line_is { SMTP_LINE_MORE, SMTP_LINE_READY, SMTP_LINE_TOO_LONG, SMTP_LINE_BARE };

/* Zeroed memory is a valid reader. */
struct smtp_line {
    struct buf held; /* the start of a line whose end has not come yet; a CR at its end may be half of it */
    bool last_cr, bare, too_long;
    bool lent; /* `held` was given out as a line: the next call starts afresh */
};

/* Takes bytes off the front of *in until a line is complete. READY and BARE: *line is without its CR LF, borrowed
 * from *in or from the reader until the next call; else it is empty. MORE: all of *in was taken. `max` counts the CR LF
 * and is at most SMTP_LINE_AUTH_MAX. */
enum smtp_line_is smtp_line_take(struct smtp_line *l, struct slice *in, size_t max, struct slice *line);
/* Forgets what was held, wiped: it may have been a password. Usable again. */
void smtp_line_deinit(struct smtp_line *l);

#endif
