#include "dns/resolv_conf.h"

size_t resolv_conf_parse(struct slice text, struct addr *out, size_t max)
{
    struct slice line;
    size_t n = 0;
    while (n < max && slice_cut(&text, '\n', &line)) {
        line = slice_trim(line);
        if (!slice_eq(slice_word(&line), SLICE("nameserver"))) continue;
        if (!addr_parse(slice_word(&line), &out[n])) n++;
    }
    return n;
}
