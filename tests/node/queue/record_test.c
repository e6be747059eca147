#include "node/queue/record.h"

#include "tests/test.h"

static struct envelope_rcpt rcpts[2] = { { .address = SLICE_INIT("a@example.net") },
                                         { .address = SLICE_INIT("b@example.org") } };

static void pack(struct envelope *e, struct buf *b)
{
    buf_init(b, RECORD_BYTES_MAX);
    assert_int_equal(queue_id_parse(SLICE("0123456789ABCDEFGH"), &e->id), ERR_OK);
    assert_int_equal(record_pack(e, 12345, 1, b), ERR_OK);
}

TEST(the_checksum_is_crc_32c)
{
    assert_int_equal(crc32c(SLICE("123456789")), 0xe3069283);
    assert_int_equal(crc32c(SLICE("")), 0);
}

TEST(a_record_gives_back_its_envelope_with_the_size_of_the_body)
{
    struct arena a = { 0 };
    struct buf b;
    struct envelope e = { .flow = FLOW_OUT, .rcpts = rcpts, .n_rcpts = 2, .next_try_wall_ms = 7 }, got;
    struct record_head head;
    pack(&e, &b);
    assert_int_equal(record_unpack(buf_slice(&b), &a, &got), ERR_OK);
    assert_int_equal(got.size_bytes, 12345);
    record_set_body(&b, 5, 1);
    assert_int_equal(record_unpack(buf_slice(&b), &a, &got), ERR_OK);
    assert_int_equal(got.size_bytes, 5);
    assert_int_equal(record_peek(record_index(buf_slice(&b)), &head), ERR_OK);
    assert_int_equal(head.item.due_wall_ms, 7);
    assert_slice(head.item.domain, ""); /* two domains wait */
    buf_deinit(&b);
    arena_deinit(&a);
}

TEST(only_waiting_recipients_count_for_the_shared_domain)
{
    struct buf b;
    struct envelope_rcpt one_done[2] = { rcpts[0], rcpts[1] };
    struct envelope e = { .rcpts = one_done, .n_rcpts = 2 };
    struct record_head head;
    one_done[0].state = RCPT_SENT;
    pack(&e, &b);
    assert_int_equal(record_peek(buf_slice(&b), &head), ERR_OK);
    assert_slice(head.item.domain, "example.org");
    buf_deinit(&b);
}

TEST(every_flipped_bit_of_a_record_is_noticed)
{
    struct buf b;
    struct envelope e = { .flow = FLOW_IN, .rcpts = rcpts, .n_rcpts = 2, .sender = SLICE("s@example.com") };
    pack(&e, &b);
    char *p = b.p + b.head;
    for (size_t i = 4; i < buf_len(&b); i++)
        for (int bit = 0; bit < 8; bit++) {
            struct arena a = { 0 };
            struct envelope got;
            p[i] ^= (char)(1 << bit);
            assert_int_equal(record_unpack(buf_slice(&b), &a, &got), ERR_MALFORMED);
            p[i] ^= (char)(1 << bit);
            arena_deinit(&a);
        }
    for (size_t n = 0; n < buf_len(&b); n++) {
        struct arena a = { 0 };
        struct envelope got;
        assert_int_equal(record_unpack(slice_sub(buf_slice(&b), 0, n), &a, &got), ERR_MALFORMED);
        arena_deinit(&a);
    }
    p[1] = RECORD_VERSION + 1;
    struct arena a = { 0 };
    struct envelope got;
    assert_int_equal(record_unpack(buf_slice(&b), &a, &got), ERR_REFUSED);
    arena_deinit(&a);
    buf_deinit(&b);
}
