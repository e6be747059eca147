/* Any bytes as policies, one a line: the first for the domain, the others for whatever it asks. libspf2 does the reading. */
#include "dns/spf_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void answer(struct dns_table *t, const struct spf_missing *m, struct slice text)
{
    struct dns_record r = {
        .type = m->type, .owner = SLICE(""), .name = SLICE("h.example.com"), .text = text
    };
    struct dns_answer a = {
        .result = DNS_ANSWER, .records = &r, .n = 1, .canonical = SLICE(""), .why_detail = SLICE("")
    };
    r.addr = (struct addr){ .family = m->type == DNS_AAAA ? ADDR_V6 : ADDR_V4, .ip = { 192, 0, 2, 1 } };
    dns_table_put(t, dns_name_slice(&m->name), m->type, &a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct dns_table t = { 0 };
    struct spf_question q = { .ip = { .family = ADDR_V4, .ip = { 192, 0, 2, 1 } },
                              .helo = SLICE("h.example.com"),
                              .mail_from = SLICE("strong-bad@email.example.com") };
    struct spf_missing missing[SPF_MISSING_MAX];
    struct spf_verdict v;
    struct slice rest = slice_from(data, n), text = { "", 0 };
    size_t n_missing;
    for (int round = 0; round < 40 && spf_eval(&t, &q, &v, missing, &n_missing) == ERR_RETRY; round++) {
        ASSERT(n_missing > 0);
        for (size_t i = 0; i < n_missing; i++) {
            if (missing[i].type == DNS_TXT) slice_cut(&rest, '\n', &text);
            answer(&t, &missing[i], text);
        }
    }
    dns_table_deinit(&t);
    return 0;
}
