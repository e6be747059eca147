/* gemelctl's screens: any JSON, as the answer to any question, on terminals of any width. Nothing crashes, and no control
 * character gets through. */
#include "coordinator/ctl/render.h"

typedef int render_fn(struct screen *s, const json_t *answer);

static int progress_and_outcome(struct screen *s, const json_t *j)
{
    render_progress(s, j);
    render_outcome(s, j);
    return 0;
}

static int found(struct screen *s, const json_t *j)
{
    return render_explain(s, history_find(j, 0));
}

static render_fn *const screens[] = {
    render_status,
    render_history,
    render_explain,
    render_plan,
    render_done,
    render_spf,
    render_spf_diff,
    render_spf_verify,
    render_doctor,
    render_dnsbl_check,
    render_queue,
    render_limits,
    render_tls,
    render_dnsbl_explain,
    render_dnsbl_zones,
    render_message,
    render_flushed,
    progress_and_outcome,
    found,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *j = json_loadb((const char *)data, n, JSON_ALLOW_NUL, NULL);
    for (size_t i = 0; j && i < ARRAY_LEN(screens); i++) {
        struct screen s;
        screen_init(&s, false, true, n % 2 ? 0 : (unsigned)(n % 100), UINT64_C(1772366400000));
        (void)screens[i](&s, j);
        struct slice shown = buf_slice(&s.out);
        for (size_t k = 0; k < shown.n; k++) ASSERT((uint8_t)shown.p[k] >= 0x20 || shown.p[k] == '\n');
        screen_deinit(&s);
    }
    json_decref(j);
    return 0;
}
