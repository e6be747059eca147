/* node/queue/envelope_pb.h: the envelope as a protobuf-c message, for the record on disk and the hand-off frames. */
#ifndef GEMEL_NODE_QUEUE_ENVELOPE_PB_H
#define GEMEL_NODE_QUEUE_ENVELOPE_PB_H

#include "node/queue/envelope.h"
#include "proto/edge.pb-c.h"

/* Everything made lives in `a`. LIMIT as envelope_pack. */
MUST_USE enum err envelope_to_pb(const struct envelope *e, struct arena *a, Gemel__V1__Envelope **out);
/* Copies into `a`. Errors as envelope_unpack. */
MUST_USE enum err envelope_from_pb(const Gemel__V1__Envelope *pb, struct arena *a, struct envelope *out);

/* An allocator over an arena: what is unpacked with it dies with the arena. Valid while *a is. */
ProtobufCAllocator envelope_pb_allocator(struct arena *a);

#endif
