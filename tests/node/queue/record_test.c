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

/* As version 1 wrote it: no expiry, no flags. */
static void make_v1(struct buf *b)
{
    char *p = b->p + b->head;
    size_t n = buf_len(b);
    memmove(p + 36, p + 45, n - 45);
    buf_truncate(b, n - 9);
    p[1] = 1;
    record_set_body(b, 12345, 1);
}

TEST(a_line_of_the_index_is_complete_when_one_domain_waits_as_usual)
{
    struct buf b;
    struct envelope e = {
        .flow = FLOW_OUT, .rcpts = rcpts, .n_rcpts = 1, .expiry_wall_ms = 99, .delay_dsn_sent = true
    };
    struct record_head head;
    pack(&e, &b);
    assert_int_equal(record_peek(record_index(buf_slice(&b)), &head), ERR_OK);
    assert_true(head.item.complete && head.item.delay_told);
    assert_int_equal(head.item.expiry_wall_ms, 99);
    buf_deinit(&b);
    e.given_to = SLICE("edge2");
    pack(&e, &b);
    assert_int_equal(record_peek(buf_slice(&b), &head), ERR_OK);
    assert_false(head.item.complete);
    buf_deinit(&b);
    e.given_to = SLICE("");
    e.hold = HOLD_OPERATOR;
    pack(&e, &b);
    assert_int_equal(record_peek(buf_slice(&b), &head), ERR_OK);
    assert_false(head.item.complete);
    buf_deinit(&b);
    struct envelope_rcpt redirected = rcpts[0];
    redirected.next_hop = SLICE("[10.0.0.26]:25");
    e.hold = HOLD_NONE;
    e.rcpts = &redirected;
    pack(&e, &b);
    assert_int_equal(record_peek(buf_slice(&b), &head), ERR_OK);
    assert_false(head.item.complete);
    buf_deinit(&b);
}

TEST(a_record_of_the_first_version_is_read_and_its_line_is_not_complete)
{
    struct arena a = { 0 };
    struct buf b;
    struct envelope e = { .flow = FLOW_OUT, .rcpts = rcpts, .n_rcpts = 1, .next_try_wall_ms = 7 }, got;
    struct record_head head;
    pack(&e, &b);
    make_v1(&b);
    assert_int_equal(record_unpack(buf_slice(&b), &a, &got), ERR_OK);
    assert_slice(got.rcpts[0].address, "a@example.net");
    assert_int_equal(record_peek(record_index(buf_slice(&b)), &head), ERR_OK);
    assert_false(head.item.complete);
    assert_int_equal(head.item.due_wall_ms, 7);
    assert_slice(head.item.domain, "example.net");
    buf_deinit(&b);
    arena_deinit(&a);
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
