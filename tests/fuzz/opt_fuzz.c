/* Configuration: any bytes as a cluster file. Errors name the file; nothing crashes or leaks. */
#include "proto/cluster_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct opt_source src;
    struct cluster_conf c;
    opt_source_init(&src, "f.yaml");
    enum err err = cluster_conf_load_text(&src, slice_from(data, n), &c);
    ASSERT((err == ERR_OK) == (src.n_errors == 0));
    ASSERT(!src.n_errors || slice_starts(buf_slice(&src.errors), SLICE("f.yaml:")));
    opt_source_deinit(&src);
    return 0;
}
