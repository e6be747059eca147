#include "coordinator/ctl/table.h"

#include <stdlib.h>

enum { GAP = 2, NOTE_INDENT = 4 };

struct table_row {
    const char *cell[TABLE_COLUMNS_MAX];
    uint8_t style[TABLE_COLUMNS_MAX];
    const char *note;
};

void table_init(struct table *t, struct screen *s, const struct column *columns, size_t n)
{
    ASSERT(n <= TABLE_COLUMNS_MAX);
    *t = (struct table){ .screen = s, .columns = columns, .n_columns = n };
}

void table_row(struct table *t)
{
    if (t->n_rows == t->cap_rows) {
        t->cap_rows = MAX(t->cap_rows * 2, (size_t)16);
        t->rows = xrealloc(t->rows, t->cap_rows * sizeof *t->rows);
    }
    t->rows[t->n_rows++] = (struct table_row){ 0 };
    t->at = 0;
}

void table_cell(struct table *t, enum style style, const char *fmt, ...)
{
    ASSERT(t->n_rows > 0 && t->at < t->n_columns);
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct slice whole = slice_of(text), fits = text_fit(whole, TABLE_CELL_MAX);
    if (fits.n < whole.n) fits = text_fit(whole, TABLE_CELL_MAX - 1);
    struct table_row *r = &t->rows[t->n_rows - 1];
    r->cell[t->at] = text_printf(t->screen, "%.*s%s", SLICE_ARG(fits), fits.n < whole.n ? "…" : "");
    r->style[t->at++] = (uint8_t)style;
}

void table_note(struct table *t, const char *text)
{
    ASSERT(t->n_rows > 0);
    t->rows[t->n_rows - 1].note = text;
}

static unsigned cell_width(const char *cell)
{
    return cell ? text_width(slice_of(cell)) : 0;
}

static unsigned line_width(const unsigned *width, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) sum += width[i] ? width[i] + GAP : 0;
    return sum ? sum - GAP : 0;
}

/* Zero: the column is left out. */
static void measure(const struct table *t, unsigned width[])
{
    for (size_t i = 0; i < t->n_columns; i++) {
        width[i] = cell_width(t->columns[i].title);
        for (size_t r = 0; r < t->n_rows; r++) width[i] = MAX(width[i], cell_width(t->rows[r].cell[i]));
    }
    while (t->screen->width && line_width(width, t->n_columns) > t->screen->width) {
        size_t out = t->n_columns;
        for (size_t i = 0; i < t->n_columns; i++)
            if (width[i] && t->columns[i].drop &&
                (out == t->n_columns || t->columns[i].drop > t->columns[out].drop))
                out = i;
        if (out == t->n_columns) return;
        width[out] = 0;
    }
}

static bool nothing_behind(const struct table_row *r, const unsigned width[], size_t from, size_t n)
{
    for (size_t i = from; i < n; i++)
        if (width[i] && cell_width(r->cell[i])) return false;
    return true;
}

static void print_row(const struct table *t, const struct table_row *r, const unsigned width[])
{
    unsigned pending = 0; /* blanks owed: written only when something follows */
    for (size_t i = 0; i < t->n_columns; i++) {
        if (!width[i]) continue;
        if (nothing_behind(r, width, i, t->n_columns)) break;
        const char *cell = r->cell[i] ? r->cell[i] : "";
        unsigned pad = width[i] - MIN(width[i], cell_width(cell));
        say(t->screen, "%*s", (int)(pending + (t->columns[i].right ? pad : 0)), "");
        say_in(t->screen, r->style[i], "%s", cell);
        pending = GAP + (t->columns[i].right ? 0 : pad);
    }
    say(t->screen, "\n");
}

static void print_note(struct screen *s, const char *note)
{
    say(s, "%*s", NOTE_INDENT, "");
    say_wrapped(s, NOTE_INDENT, note);
}

void table_print(struct table *t)
{
    unsigned width[TABLE_COLUMNS_MAX];
    struct table_row head = { 0 };
    for (size_t i = 0; i < t->n_columns; i++) {
        head.cell[i] = t->columns[i].title;
        head.style[i] = STYLE_BOLD;
    }
    measure(t, width);
    if (t->n_rows > 0) print_row(t, &head, width);
    for (size_t r = 0; r < t->n_rows; r++) {
        print_row(t, &t->rows[r], width);
        if (t->rows[r].note && t->rows[r].note[0]) print_note(t->screen, t->rows[r].note);
    }
    free(t->rows);
    *t = (struct table){ 0 };
}
