#include "node/ops_tls.h"

static json_t *text(struct slice s)
{
    json_t *j = json_stringn(s.p, s.n);
    return j ? j : json_string("?"); /* a peer's words need not be UTF-8 */
}

static json_t *failure_json(const struct tls_event *e)
{
    char to[ADDR_TEXT_MAX], from[ADDR_TEXT_MAX];
    if (!e->wall_ms) return json_null();
    return json_pack("{s:s, s:o, s:s, s:s, s:o, s:I}", "result", tls_result_name(e->result), "mx",
                     text(e->mx), "to", addr_format(&e->to, to), "from",
                     e->from.family ? addr_format(&e->from, from) : "", "why", text(e->why), "wall_ms",
                     (json_int_t)e->wall_ms);
}

static void put_row(void *owner, const struct tls_tally_row *row)
{
    json_t *failures = json_object();
    uint64_t failed = 0;
    for (enum tls_result r = 0; r < TLS_RESULTS; r++) {
        if (!tls_result_failed(r) || !row->count[r]) continue;
        failed += row->count[r];
        json_object_set_new(failures, tls_result_name(r), json_integer((json_int_t)row->count[r]));
    }
    json_array_append_new(owner,
                          json_pack("{s:o, s:s, s:I, s:I, s:I, s:o, s:o}", "destination",
                                    text(row->destination), "policy", tls_level_words[row->level],
                                    "successful", (json_int_t)row->count[TLS_RESULT_SUCCESS], "clear_text",
                                    (json_int_t)row->count[TLS_RESULT_CLEAR], "failed", (json_int_t)failed,
                                    "failures", failures, "last_failure", failure_json(&row->last_failure)));
}

json_t *ops_tls_json(struct tls_tally *t)
{
    json_t *rows = json_array();
    tls_tally_each(t, put_row, rows);
    return json_pack("{s:o}", "destinations", rows);
}

void ops_tls_metrics(struct tls_tally *t, struct buf *out)
{
    uint64_t n[TLS_RESULTS];
    tls_tally_totals(t, n);
    buf_put(
        out,
        SLICE(
            "# HELP gemel_relay_tls_total connections to other mail servers, by what came of TLS (RFC 8460)\n"
            "# TYPE gemel_relay_tls_total counter\n"));
    for (enum tls_result r = 0; r < TLS_RESULTS; r++)
        buf_putf(out, "gemel_relay_tls_total{result=\"%s\"} %" PRIu64 "\n", tls_result_name(r), n[r]);
}
