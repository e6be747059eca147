#include "node/queue/envelope.h"

#include "tests/test.h"

static const char ID[] = "0123456789ABCDEFGH";

static struct envelope sample(struct arena *a, size_t n_rcpts)
{
    struct envelope e = { .flow = FLOW_OUT,
                          .sender = SLICE("alice@example.com"),
                          .envid = SLICE("QQ314159"),
                          .ret = RET_HDRS,
                          .smtputf8 = true,
                          .arrival_wall_ms = 1000,
                          .expiry_wall_ms = 2000,
                          .size_bytes = 70000,
                          .chunks = 2,
                          .auth_user = SLICE("alice"),
                          .hops = 3,
                          .given_to = SLICE("edge2"),
                          .n_rcpts = n_rcpts };
    assert_int_equal(queue_id_parse(slice_of(ID), &e.id), ERR_OK);
    e.rcpts = arena_alloc(a, (n_rcpts + 1) * sizeof *e.rcpts);
    for (size_t i = 0; i < n_rcpts; i++)
        e.rcpts[i] = (struct envelope_rcpt){ .address = slice_of(arena_printf(a, "r%zu@example.net", i)),
                                             .orcpt = SLICE("rfc822;r+40example.net"),
                                             .notify = NOTIFY_FAILURE | NOTIFY_SUCCESS,
                                             .attempts = 1,
                                             .next_try_wall_ms = 5000 + i,
                                             .last_reply = SLICE("451 4.7.1 later"),
                                             .last_mta = SLICE("mx.example.net"),
                                             .status = SLICE("4.7.1") };
    return e;
}

TEST(an_envelope_is_the_same_after_packing_and_unpacking)
{
    struct arena a = { 0 };
    struct buf b;
    struct envelope e = sample(&a, 3), got;
    e.rcpts[1].state = RCPT_FAILED;
    buf_init(&b, ENVELOPE_BYTES_MAX);
    assert_int_equal(envelope_pack(&e, &b), ERR_OK);
    assert_int_equal(envelope_unpack(buf_slice(&b), &a, &got), ERR_OK);
    assert_true(queue_id_eq(&e.id, &got.id));
    assert_slice(got.sender, "alice@example.com");
    assert_slice(got.envid, "QQ314159");
    assert_slice(got.given_to, "edge2");
    assert_int_equal(got.ret, RET_HDRS);
    assert_true(got.smtputf8 && !got.body_8bit);
    assert_int_equal(got.hops, 3);
    assert_int_equal(got.chunks, 2);
    assert_int_equal(got.n_rcpts, 3);
    assert_slice(got.rcpts[2].address, "r2@example.net");
    assert_slice(got.rcpts[2].orcpt, "rfc822;r+40example.net");
    assert_slice(got.rcpts[2].status, "4.7.1");
    assert_int_equal(got.rcpts[1].state, RCPT_FAILED);
    assert_int_equal(envelope_waiting(&got), 2);
    assert_int_equal(envelope_next_try(&got), 5000);

    struct buf again;
    buf_init(&again, ENVELOPE_BYTES_MAX);
    assert_int_equal(envelope_pack(&got, &again), ERR_OK);
    assert_slices(buf_slice(&b), buf_slice(&again));
    buf_deinit(&again);
    buf_deinit(&b);
    arena_deinit(&a);
}

TEST(a_copy_lives_on_when_its_source_is_gone)
{
    struct arena a = { 0 }, c = { 0 };
    struct envelope e = sample(&a, 2), copy;
    envelope_copy(&e, &c, &copy);
    arena_deinit(&a);
    assert_slice(copy.rcpts[1].address, "r1@example.net");
    assert_slice(copy.auth_user, "alice");
    arena_deinit(&c);
}

static char *filler(struct arena *a, size_t n)
{
    char *s = arena_alloc(a, n + 1);
    memset(s, 'x', n);
    return s;
}

TEST(an_envelope_within_its_bounds_always_fits_a_frame)
{
    struct arena a = { 0 };
    struct buf b;
    struct envelope e = sample(&a, ENVELOPE_RCPTS_MAX), got;
    for (size_t i = 0; i < e.n_rcpts; i++) {
        e.rcpts[i].address = slice_of(filler(&a, ENVELOPE_ADDRESS_MAX));
        e.rcpts[i].orcpt = slice_of(filler(&a, ENVELOPE_ORCPT_MAX));
        e.rcpts[i].last_reply = slice_of(filler(&a, 5000));
        e.rcpts[i].attempts = UINT32_MAX;
        e.rcpts[i].last_try_wall_ms = e.rcpts[i].next_try_wall_ms = UINT64_MAX;
    }
    buf_init(&b, ENVELOPE_BYTES_MAX);
    assert_int_equal(envelope_pack(&e, &b), ERR_OK);
    assert_int_equal(envelope_unpack(buf_slice(&b), &a, &got), ERR_OK);
    assert_slice(got.rcpts[0].last_reply, "");

    buf_clear(&b);
    e.rcpts[5].address = slice_of(filler(&a, ENVELOPE_ADDRESS_MAX + 1));
    assert_int_equal(envelope_pack(&e, &b), ERR_LIMIT);
    buf_deinit(&b);
    arena_deinit(&a);
}

TEST(a_long_reply_is_cut_between_characters)
{
    struct arena a = { 0 };
    struct buf b, reply;
    struct envelope e = sample(&a, 1), got;
    buf_init(&b, ENVELOPE_BYTES_MAX);
    buf_init(&reply, 10000);
    buf_put(&reply, SLICE("x"));
    while (buf_len(&reply) < 1000) buf_put(&reply, SLICE("é"));
    e.rcpts[0].last_reply = buf_slice(&reply);
    assert_int_equal(envelope_pack(&e, &b), ERR_OK);
    assert_int_equal(envelope_unpack(buf_slice(&b), &a, &got), ERR_OK);
    assert_int_equal(got.rcpts[0].last_reply.n, ENVELOPE_REPLY_MAX - 1);
    buf_deinit(&reply);
    buf_deinit(&b);
    arena_deinit(&a);
}

TEST(a_record_of_a_newer_program_is_told_apart_from_a_damaged_one)
{
    struct arena a = { 0 };
    struct envelope got;
    /* field 1 (version), varint */
    assert_int_equal(envelope_unpack(slice_from("\x08\x02", 2), &a, &got), ERR_REFUSED);
    assert_int_equal(envelope_unpack(slice_from("\x08\x01", 2), &a, &got), ERR_MALFORMED); /* no id */
    assert_int_equal(envelope_unpack(SLICE(""), &a, &got), ERR_MALFORMED);
    assert_int_equal(envelope_unpack(SLICE("\xff\xff\xff"), &a, &got), ERR_MALFORMED);
    arena_deinit(&a);
}

TEST(the_domain_is_behind_the_last_at)
{
    assert_slice(envelope_domain(SLICE("\"a@b\"@example.org")), "example.org");
    assert_slice(envelope_domain(SLICE("root@[192.0.2.1]")), "[192.0.2.1]");
    assert_slice(envelope_domain(SLICE("postmaster")), "");
}

TEST(a_transfer_is_named_after_the_message_and_its_hop)
{
    struct arena a = { 0 };
    struct envelope e = sample(&a, 1);
    char id[TRANSFER_ID_MAX];
    envelope_transfer_id(&e, id);
    assert_string_equal(id, "0123456789ABCDEFGH/3");
    arena_deinit(&a);
}
