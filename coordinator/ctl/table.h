/* coordinator/ctl/table.h: aligned columns.
 *
 * Rows are collected, then printed at once, so that each column is as wide as its widest cell. On a terminal too narrow
 * for all, columns are left out, highest `drop` first; into a pipe everything is written. No trailing blanks. */
#ifndef GEMEL_COORDINATOR_CTL_TABLE_H
#define GEMEL_COORDINATOR_CTL_TABLE_H

#include "coordinator/ctl/screen.h"

enum { TABLE_COLUMNS_MAX = 16, TABLE_CELL_MAX = 64 }; /* a longer cell is cut and ends in "…" */

struct column {
    const char *title;
    bool right;
    uint8_t drop; /* 0: never left out */
};

struct table {
    struct screen *screen;
    const struct column *columns;
    size_t n_columns, n_rows, cap_rows, at; /* at: cells in the last row */
    struct table_row *rows;
};

/* `columns` is borrowed. */
void table_init(struct table *t, struct screen *s, const struct column *columns, size_t n);
void table_row(struct table *t); /* begins a row; what is left out of the one before stays empty */
void table_cell(struct table *t, enum style style, const char *fmt, ...) PRINTF_LIKE(3, 4);
void table_note(struct table *t, const char *text); /* a line of its own under the row, indented; may wrap */
/* Into the screen, and done with: the table is empty afterwards. A table without rows prints nothing. */
void table_print(struct table *t);

#endif
