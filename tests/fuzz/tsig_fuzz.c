/* Any bytes as the answer to a signed update. Nobody can sign it, so it must never be taken for applied. */
#include "dns/update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct tsig_key key = {
        .name = { 5, "gemel" }, .algorithm = TSIG_SHA256, .secret = "secret", .secret_n = 6
    };
    static const struct tsig_mac mac = { .n = 32, .p = "the MAC of the question, 32 byte" };
    char detail[UPDATE_DETAIL_MAX];
    ASSERT(update_read(slice_from(data, n), 0x1234, &key, &mac, 1772000000, detail) != UPDATE_APPLIED);
    return 0;
}
