/* Frames of both links: any bytes in any order, cut anywhere. */
#include "proto/edge.pb-c.h"
#include "proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice in = slice_from(data, n), payload;
    for (;;) {
        size_t before = in.n;
        if (frame_next(&in, &payload)) return 0;
        ASSERT(in.n < before && payload.n > 0 && payload.n <= FRAME_BYTES_MAX);
        Gemel__V1__LinkFrame *link = gemel__v1__link_frame__unpack(NULL, payload.n,
                                                                   (const uint8_t *)payload.p);
        if (link) gemel__v1__link_frame__free_unpacked(link, NULL);
        Gemel__V1__NodeFrame *node = gemel__v1__node_frame__unpack(NULL, payload.n,
                                                                   (const uint8_t *)payload.p);
        if (node) gemel__v1__node_frame__free_unpacked(node, NULL);
    }
}
