#include "coordinator/ctl/table.h"

#include "tests/test.h"

static void printed(unsigned width, bool colour, void (*fill)(struct table *t), const char *text)
{
    static const struct column columns[] = {
        { "A" }, { "B", .right = true, .drop = 1 }, { "C", .drop = 2 }, { "D" }
    };
    struct screen s;
    struct table t;
    screen_init(&s, colour, true, width, 0);
    table_init(&t, &s, columns, ARRAY_LEN(columns));
    fill(&t);
    table_print(&t);
    assert_slice(buf_slice(&s.out), text);
    screen_deinit(&s);
}

static void two_rows(struct table *t)
{
    table_row(t);
    table_cell(t, STYLE_PLAIN, "例");
    table_cell(t, STYLE_PLAIN, "%d", 7);
    table_cell(t, STYLE_PLAIN, "c");
    table_row(t);
    table_cell(t, STYLE_GOOD, "abc");
    table_cell(t, STYLE_PLAIN, "%d", 1234);
    table_cell(t, STYLE_PLAIN, "ccccc");
    table_cell(t, STYLE_PLAIN, "d");
    table_note(t, "why");
}

static void no_rows(struct table *t)
{
}

TEST(columns_line_up_and_lines_end_with_a_letter)
{
    printed(0, false, two_rows,
            "A       B  C      D\n"
            "例      7  c\n"
            "abc  1234  ccccc  d\n"
            "    why\n");
    printed(0, false, no_rows, "");
}

TEST(a_narrow_terminal_gets_fewer_columns)
{
    printed(19, false, two_rows, "A       B  C      D\n例      7  c\nabc  1234  ccccc  d\n    why\n");
    printed(18, false, two_rows, "A       B  D\n例      7\nabc  1234  d\n    why\n");
    printed(5, false, two_rows, "A    D\n例\nabc  d\n    why\n");
}

static void long_cell(struct table *t)
{
    table_row(t);
    table_cell(t, STYLE_PLAIN, "%080d", 7);
}

TEST(a_cell_too_long_is_cut_and_says_so)
{
    printed(0, false, long_cell,
            "A                                                                 B  C  D\n"
            "000000000000000000000000000000000000000000000000000000000000000…\n");
}
