/* proto/frame.h: messages on a byte stream: a 4-byte length in network order, then that many bytes of protobuf.
 *
 * Pure. A frame longer than FRAME_BYTES_MAX, or of length 0, ends the link: the peer is not one of ours. */
#ifndef GEMEL_PROTO_FRAME_H
#define GEMEL_PROTO_FRAME_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"

enum { FRAME_HEAD_BYTES = 4, FRAME_BYTES_MAX = 1 << 20 };

/* Cuts the next frame off the front of *in. RETRY: more bytes are needed, *in stays. LIMIT: too long. MALFORMED: empty. */
MUST_USE enum err frame_next(struct slice *in, struct slice *payload);

/* Appends one frame. LIMIT past FRAME_BYTES_MAX or the buffer's bound; `out` is then as before. */
MUST_USE enum err frame_put(struct slice payload, struct buf *out);
MUST_USE enum err frame_put_message(const ProtobufCMessage *message, struct buf *out);

#endif
