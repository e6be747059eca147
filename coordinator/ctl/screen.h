/* coordinator/ctl/screen.h: text for people, collected in memory.
 *
 * Knows whether colours and UTF-8 are wanted and how wide the terminal is; knows nothing of what it says. What comes from
 * outside (names, replies of remote servers, reasons) passes through text_clean, so that nobody's words can move the
 * operator's cursor. Texts returned live as long as the screen. */
#ifndef GEMEL_COORDINATOR_CTL_SCREEN_H
#define GEMEL_COORDINATOR_CTL_SCREEN_H

#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_GOOD, STYLE_WARN, STYLE_BAD, STYLES };

struct screen {
    bool colour, utf8;
    unsigned width;  /* columns; 0: not a terminal, lines are as long as they are */
    uint64_t now_ms; /* Unix time: ages are counted from here */
    struct buf out;
    struct arena arena;
};

void screen_init(struct screen *s, bool colour, bool utf8, unsigned width, uint64_t now_ms);
void screen_deinit(struct screen *s);
/* Writes what was said and forgets it. Without UTF-8 our own signs become ASCII of about the same width. */
void screen_flush(struct screen *s, FILE *to);

void say(struct screen *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void say_in(struct screen *s, enum style style, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* A paragraph: broken at blanks to the terminal's width, further lines indented by `indent`. Ends the line. */
void say_wrapped(struct screen *s, unsigned indent, const char *text);

/* Control characters, C1, line and direction marks become '?'; LF and HT become a blank. */
const char *text_clean(struct screen *s, struct slice raw);
const char *text_printf(struct screen *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *text_ms(struct screen *s,
                    uint64_t ms); /* "412 ms", "3.2 s", "4 min 10 s", "2 h 5 min", "3 d 4 h" */
const char *text_when(struct screen *s, uint64_t wall_ms); /* "2025-11-21 19:11:02", local time */
const char *text_ago(struct screen *s, uint64_t wall_ms);  /* "2 h 5 min"; "0 s" for the future */
const char *text_bytes(struct screen *s, uint64_t bytes);  /* "512 B", "10 KiB", "1.5 MiB" */

unsigned text_width(struct slice s); /* columns on a terminal; invalid bytes count one each */
/* The first bytes of `s` that fit in `columns`, never half a character. */
struct slice text_fit(struct slice s, unsigned columns);

#endif
