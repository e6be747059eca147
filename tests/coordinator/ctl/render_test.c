/* Each case reads shows/NAME.json and must give exactly shows/NAME.txt. After a wanted change: GEMEL_WRITE=1 writes the
 * texts anew; `git diff` then shows what operators will see. */
#include "coordinator/ctl/render.h"

#include <stdlib.h>
#include <time.h>

#include "coordinator/ctl/table.h"
#include "tests/test.h"

enum { NOW_S = 1772366400 }; /* 2026-03-01T12:00:00Z: the present of every case */

typedef int render_fn(struct screen *s, const json_t *answer);

static int outcome(struct screen *s, const json_t *entry)
{
    render_outcome(s, entry);
    return CTL_FINE;
}

static const struct {
    const char *name;
    render_fn *render;
    int code;
    unsigned width;
    bool colour, ascii;
} cases[] = {
    { "status_healthy", render_status, CTL_FINE },
    { "status_narrow", render_status, CTL_FINE, .width = 80 },
    { "status_colour", render_status, CTL_FINE, .width = 132, .colour = true },
    { "status_ascii", render_status, CTL_FINE, .ascii = true },
    { "status_listed", render_status, CTL_ISSUES },
    { "status_listed_narrow", render_status, CTL_ISSUES, .width = 60 },
    { "status_moving", render_status, CTL_FINE },
    { "status_nobody", render_status, CTL_ISSUES },
    { "status_odd", render_status, CTL_ISSUES },
    { "status_empty", render_status, CTL_ISSUES },
    { "history", render_history, CTL_FINE },
    { "history_narrow", render_history, CTL_FINE, .width = 72 },
    { "history_empty", render_history, CTL_FINE },
    { "explain_listed", render_explain, CTL_FINE },
    { "explain_narrow", render_explain, CTL_FINE, .width = 50, .ascii = true },
    { "explain_failed", render_explain, CTL_FINE },
    { "explain_empty", render_explain, CTL_FINE },
    { "outcome", outcome, CTL_FINE },
    { "done", render_done, CTL_FINE },
    { "plan", render_plan, CTL_FINE },
    { "spf", render_spf, CTL_FINE },
    { "spf_differs", render_spf, CTL_FINE },
    { "spf_unreachable", render_spf, CTL_FINE },
    { "spf_diff_none", render_spf_diff, CTL_FINE },
    { "spf_diff", render_spf_diff, CTL_ISSUES },
    { "spf_diff_unreachable", render_spf_diff, CTL_ISSUES },
    { "spf_verify", render_spf_verify, CTL_FINE },
    { "spf_verify_bad", render_spf_verify, CTL_ISSUES },
    { "spf_verify_none", render_spf_verify, CTL_ISSUES },
    { "spf_verify_unwanted", render_spf_verify, CTL_ISSUES },
    { "dnsbl_check", render_dnsbl_check, CTL_ISSUES },
    { "dnsbl_check_clean", render_dnsbl_check, CTL_FINE },
    { "dnsbl_check_none", render_dnsbl_check, CTL_FINE },
    { "dnsbl_explain", render_dnsbl_explain, CTL_ISSUES },
    { "dnsbl_zones", render_dnsbl_zones, CTL_ISSUES },
    { "doctor_bad", render_doctor, CTL_ISSUES },
    { "doctor_narrow", render_doctor, CTL_ISSUES, .width = 60 },
    { "doctor_ok", render_doctor, CTL_FINE },
    { "queue", render_queue, CTL_FINE },
    { "queue_more", render_queue, CTL_FINE },
    { "queue_empty", render_queue, CTL_FINE },
    { "message", render_message, CTL_FINE },
    { "flushed", render_flushed, CTL_FINE },
    { "flushed_none", render_flushed, CTL_FINE },
    { "message_held", render_message, CTL_FINE },
    { "ordered", render_held, CTL_FINE },
    { "ordered_none", render_removed, CTL_FINE },
    { "ordered_one", render_redirected, CTL_FINE },
    { "top", render_top, CTL_FINE },
    { "top_none", render_top, CTL_FINE },
};

static char *path_of(const char *name, const char *ending)
{
    static char path[256];
    snprintf(path, sizeof path, "tests/coordinator/ctl/shows/%s.%s", name, ending);
    return path;
}

static void read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "r");
    char chunk[4096];
    size_t n;
    buf_init(out, MIB(1));
    if (!f) return;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) buf_put(out, slice_from(chunk, n));
    fclose(f);
}

static void write_file(const char *path, struct slice text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fwrite(text.p, 1, text.n, f);
    fclose(f);
}

static bool shows_as_written(size_t i)
{
    struct screen s;
    struct buf want;
    char *out;
    size_t n;
    json_t *answer = json_load_file(path_of(cases[i].name, "json"), JSON_ALLOW_NUL, NULL);
    assert_non_null(answer);
    screen_init(&s, cases[i].colour, !cases[i].ascii, cases[i].width, (uint64_t)NOW_S * 1000);
    int code = cases[i].render(&s, answer);
    FILE *memory = open_memstream(&out, &n);
    screen_flush(&s, memory);
    fclose(memory);
    if (getenv("GEMEL_WRITE")) write_file(path_of(cases[i].name, "txt"), slice_from(out, n));
    read_file(path_of(cases[i].name, "txt"), &want);
    bool same = slice_eq(slice_from(out, n), buf_slice(&want)) && code == cases[i].code;
    if (!same)
        print_error("%s: exit %d\n%.*s---- wanted: exit %d\n%.*s----\n", cases[i].name, code, (int)n, out,
                    cases[i].code, SLICE_ARG(buf_slice(&want)));
    buf_deinit(&want);
    free(out);
    screen_deinit(&s);
    json_decref(answer);
    return same;
}

TEST(every_answer_is_shown_exactly_so)
{
    size_t wrong = 0;
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) wrong += !shows_as_written(i);
    assert_int_equal(wrong, 0);
}
