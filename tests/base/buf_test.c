#include "base/buf.h"

#include "tests/test.h"

TEST(appended_bytes_come_out_in_order_and_are_consumed_from_the_front)
{
    struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(buf_append(&b, SLICE("MAIL FROM")), ERR_OK);
    assert_int_equal(buf_append_c(&b, ':'), ERR_OK);
    assert_int_equal(buf_printf(&b, "<%s>", "a@b"), ERR_OK);
    assert_slice(buf_slice(&b), "MAIL FROM:<a@b>");
    buf_consume(&b, 5);
    assert_slice(buf_slice(&b), "FROM:<a@b>");
    assert_string_equal(buf_cstr(&b), "FROM:<a@b>");
    buf_truncate(&b, 4);
    assert_slice(buf_slice(&b), "FROM");
    buf_consume(&b, 4);
    assert_int_equal(buf_len(&b), 0);
    buf_deinit(&b);
    buf_deinit(&b);
}

TEST(past_the_bound_nothing_changes)
{
    struct buf b;
    char *room;
    buf_init(&b, 10);
    buf_put(&b, SLICE("12345678"));
    assert_int_equal(buf_append(&b, SLICE("abc")), ERR_LIMIT);
    assert_int_equal(buf_printf(&b, "%d", 123), ERR_LIMIT);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &room), ERR_LIMIT);
    assert_slice(buf_slice(&b), "12345678");
    assert_int_equal(buf_append(&b, SLICE("ab")), ERR_OK);
    assert_int_equal(buf_append(&b, SLICE("")), ERR_OK);
    buf_consume(&b, 3); /* what was consumed counts no more */
    assert_int_equal(buf_append(&b, SLICE("xyz")), ERR_OK);
    assert_slice(buf_slice(&b), "45678abxyz");
    buf_deinit(&b);
}

TEST(zeroed_memory_is_an_empty_buffer_that_takes_nothing)
{
    struct buf b = { 0 };
    assert_int_equal(buf_len(&b), 0);
    assert_slice(buf_slice(&b), "");
    assert_int_equal(buf_append(&b, SLICE("x")), ERR_LIMIT);
    assert_string_equal(buf_cstr(&b), "");
    buf_clear(&b);
    buf_deinit(&b);
}

TEST(long_texts_are_printed_whole_and_room_can_be_written_directly)
{
    struct buf b;
    char *room;
    buf_init(&b, 100000);
    assert_int_equal(buf_printf(&b, "%5000d|", 7), ERR_OK);
    assert_int_equal(buf_len(&b), 5001);
    assert_int_equal(buf_slice(&b).p[4999], '7');
    assert_int_equal(buf_reserve(&b, 4, &room), ERR_OK);
    memcpy(room, "abcd", 4);
    buf_commit(&b, 2);
    assert_slice(slice_skip(buf_slice(&b), 5000), "|ab");
    buf_clear(&b);
    assert_int_equal(buf_len(&b), 0);
    buf_deinit(&b);
}

TEST(a_queue_of_bytes_works_for_a_long_time_in_bounded_memory)
{
    struct buf b;
    buf_init(&b, 64);
    unsigned char in = 0, out = 0;
    for (int i = 0; i < 20000; i++) {
        for (int k = 0; k < 7; k++) assert_int_equal(buf_append_c(&b, (char)in++), ERR_OK);
        while (buf_len(&b) > 30) {
            assert_int_equal((unsigned char)buf_slice(&b).p[0], out++);
            buf_consume(&b, 1);
        }
    }
    assert_true(b.cap <= 1024);
    buf_deinit(&b);
}
