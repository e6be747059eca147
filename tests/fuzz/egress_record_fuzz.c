/* Any bytes as a marker; what is read is written the same, but for fields of a later version. */
#include "dns/egress_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct egress_record r, again;
    struct buf b;
    if (egress_record_parse(slice_from(data, n), &r)) return 0;
    buf_init(&b, EGRESS_RECORD_BYTES_MAX);
    egress_record_format(&r, &b);
    ASSERT(egress_record_parse(buf_slice(&b), &again) == ERR_OK);
    ASSERT(egress_record_eq(&r, &again));
    buf_deinit(&b);
    return 0;
}
