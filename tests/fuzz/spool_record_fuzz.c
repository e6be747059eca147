/* Records of the spool: any bytes. What unpacks packs again to an equal envelope, and a notification can be written
 * about it. */
#include "node/queue/dsn.h"
#include "node/queue/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void write_notification(const struct envelope *e)
{
    struct buf out;
    struct dsn_rcpt rcpts[8];
    struct dsn d = {
        .about = e, .rcpts = rcpts, .host = SLICE("edge1.example.com"), .id = e->id, .boundary = "b"
    };
    for (size_t i = 0; i < e->n_rcpts && d.n_rcpts < ARRAY_LEN(rcpts); i++) {
        enum dsn_action action = dsn_due(e, &e->rcpts[i], true);
        if (action) rcpts[d.n_rcpts++] = (struct dsn_rcpt){ &e->rcpts[i], action };
    }
    if (d.n_rcpts == 0) return;
    buf_init(&out, 4 << 20);
    dsn_head(&d, &out);
    dsn_tail(&d, &out);
    buf_deinit(&out);
}

static void again(const struct envelope *e)
{
    struct arena a = { 0 };
    struct buf b;
    struct envelope back;
    buf_init(&b, RECORD_BYTES_MAX);
    ASSERT(record_pack(e, e->size_bytes, e->chunks, &b) == ERR_OK);
    ASSERT(record_unpack(buf_slice(&b), &a, &back) == ERR_OK);
    ASSERT(queue_id_eq(&back.id, &e->id) && slice_eq(back.sender, e->sender) && back.n_rcpts == e->n_rcpts);
    for (size_t i = 0; i < e->n_rcpts; i++)
        ASSERT(slice_eq(back.rcpts[i].address, e->rcpts[i].address) &&
               back.rcpts[i].state == e->rcpts[i].state);
    buf_deinit(&b);
    arena_deinit(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice s = slice_from(data, n);
    struct arena a = { 0 };
    struct envelope e;
    struct record_head head;
    if (record_unpack(s, &a, &e) == ERR_OK) again(&e);
    if (record_peek(s, &head) == ERR_OK) {
        ASSERT(record_index(s).n <= s.n);
        /* The sum keeps mutations out: the envelope behind the head is tried without it too. */
        if (envelope_unpack(slice_skip(s, record_index(s).n), &a, &e) == ERR_OK) {
            again(&e);
            write_notification(&e);
        }
    }
    arena_deinit(&a);
    return 0;
}
