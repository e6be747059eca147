#include "proto/frame.h"

#include <stdlib.h>

#include "proto/edge.pb-c.h"
#include "tests/test.h"

TEST(a_message_survives_any_cut_of_the_stream)
{
    struct buf out;
    buf_init(&out, 4096);
    Gemel__V1__Hello hello = GEMEL__V1__HELLO__INIT;
    hello.version = 1;
    hello.name = (char *)"edge1";
    assert_int_equal(frame_put_message(&hello.base, &out), ERR_OK);
    size_t whole = buf_len(&out);
    for (size_t n = 0; n < whole; n++) {
        struct slice in = slice_sub(buf_slice(&out), 0, n), payload;
        assert_int_equal(frame_next(&in, &payload), ERR_RETRY);
        assert_int_equal(in.n, n);
    }
    struct slice in = buf_slice(&out), payload;
    assert_int_equal(frame_next(&in, &payload), ERR_OK);
    assert_int_equal(in.n, 0);
    Gemel__V1__Hello *got = gemel__v1__hello__unpack(NULL, payload.n, (const uint8_t *)payload.p);
    assert_string_equal(got->name, "edge1");
    gemel__v1__hello__free_unpacked(got, NULL);
    buf_deinit(&out);
}

TEST(a_length_past_the_bound_or_of_zero_ends_the_link)
{
    struct slice payload, in = SLICE("\x00\x10\x00\x01");
    assert_int_equal(frame_next(&in, &payload), ERR_LIMIT);
    in = SLICE("\xff\xff\xff\xffxxxx");
    assert_int_equal(frame_next(&in, &payload), ERR_LIMIT);
    in = SLICE("\x00\x00\x00\x00x");
    assert_int_equal(frame_next(&in, &payload), ERR_MALFORMED);
}

TEST(the_longest_frame_passes_and_one_byte_more_does_not)
{
    struct buf out;
    buf_init(&out, 2 * FRAME_BYTES_MAX);
    char *big = xzalloc(FRAME_BYTES_MAX + 1);
    assert_int_equal(frame_put(slice_from(big, FRAME_BYTES_MAX + 1), &out), ERR_LIMIT);
    assert_int_equal(buf_len(&out), 0);
    assert_int_equal(frame_put(slice_from(big, FRAME_BYTES_MAX), &out), ERR_OK);
    struct slice in = buf_slice(&out), payload;
    assert_int_equal(frame_next(&in, &payload), ERR_OK);
    assert_int_equal(payload.n, FRAME_BYTES_MAX);
    free(big);
    buf_deinit(&out);
}
