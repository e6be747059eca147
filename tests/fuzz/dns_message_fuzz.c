/* Any bytes as an answer; then the verdict for the question that they carry. */
#include "dns/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint16_t types[] = { DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_PTR, DNS_CNAME, DNS_NS, DNS_SOA };
    struct dns_message m;
    if (dns_message_parse(slice_from(data, n), &m)) return 0;
    ASSERT(m.n_answers <= DNS_SECTION_RECORDS_MAX && m.n_authority <= DNS_SECTION_RECORDS_MAX);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct dns_answer a;
        bool next;
        dns_message_answer(&m, dns_name_slice(&m.qname), types[i], &a, &next);
        ASSERT(a.result != DNS_ANSWER || a.n > 0);
        ASSERT(a.n <= m.n_answers);
        for (size_t k = 0; k < a.n; k++) ASSERT(a.records[k].type == types[i]);
    }
    dns_message_deinit(&m);
    return 0;
}
