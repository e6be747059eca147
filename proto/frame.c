#include "proto/frame.h"

#include <arpa/inet.h>

enum err frame_next(struct slice *in, struct slice *payload)
{
    uint32_t n;
    if (in->n < FRAME_HEAD_BYTES) return ERR_RETRY;
    memcpy(&n, in->p, sizeof n);
    n = ntohl(n);
    if (n == 0) return ERR_MALFORMED;
    if (n > FRAME_BYTES_MAX) return ERR_LIMIT;
    if (in->n - FRAME_HEAD_BYTES < n) return ERR_RETRY;
    *payload = slice_sub(*in, FRAME_HEAD_BYTES, n);
    *in = slice_skip(*in, FRAME_HEAD_BYTES + n);
    return ERR_OK;
}

static enum err reserve(size_t n, struct buf *out, char **room)
{
    if (n == 0 || n > FRAME_BYTES_MAX) return ERR_LIMIT;
    enum err err = buf_reserve(out, FRAME_HEAD_BYTES + n, room);
    if (err) return err;
    uint32_t head = htonl((uint32_t)n);
    memcpy(*room, &head, sizeof head);
    buf_commit(out, FRAME_HEAD_BYTES + n);
    return ERR_OK;
}

enum err frame_put(struct slice payload, struct buf *out)
{
    char *room;
    enum err err = reserve(payload.n, out, &room);
    if (!err) memcpy(room + FRAME_HEAD_BYTES, payload.p, payload.n);
    return err;
}

enum err frame_put_message(const ProtobufCMessage *message, struct buf *out)
{
    char *room;
    enum err err = reserve(protobuf_c_message_get_packed_size(message), out, &room);
    if (!err) protobuf_c_message_pack(message, (uint8_t *)room + FRAME_HEAD_BYTES);
    return err;
}
