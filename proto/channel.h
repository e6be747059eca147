/* proto/channel.h: an authenticated stream of frames between two programs of one cluster.
 *
 * Stands on a TLS stream whose certificates both sides have verified (base/net.h). Each side sends a Hello first; the
 * channel is up once the peer's has come, its version and cluster are ours and its name is the name in its certificate.
 * Frames before that, a frame too long, a wrong name: the channel ends with a reason in words. A quiet peer is not the
 * channel's business: heartbeats are. */
#ifndef GEMEL_PROTO_CHANNEL_H
#define GEMEL_PROTO_CHANNEL_H

#include <protobuf-c/protobuf-c.h>

#include "base/env.h"
#include "base/net.h"

enum { CHANNEL_VERSION = 1, CHANNEL_HELLO_LIMIT_MS = 5000, CHANNEL_PENDING_BYTES_MAX = 8 << 20 };

struct channel;

struct channel_conf { /* borrowed while the channel lives */
    const char *cluster, *name, *digest;
    bool (*knows)(void *owner, const char *peer); /* may this name connect? NULL: any name of our CA */
    bool clear; /* tests only: the stream has no TLS, the name in the Hello is believed */
};

struct channel_events {
    void (*up)(void *owner, const char *peer, const char *peer_digest);
    /* One frame behind the Hello, borrowed. May destroy the channel. */
    void (*frame)(void *owner, struct slice payload);
    /* Once; the owner destroys the channel then or later. CLOSED, RETRY, TIMEOUT: the network. REFUSED: not one of
     * ours, `detail` says why. MALFORMED, LIMIT: bytes that are not our protocol. */
    void (*down)(void *owner, enum err why, const char *detail);
    void (*drained)(void *owner); /* nothing is pending any more; may be NULL */
};

/* Takes the stream. `ev` and `conf` outlive the channel. */
struct channel *channel_create(const struct env *env, struct stream *s, const struct channel_conf *conf,
                               const struct channel_events *ev, void *owner);
void channel_destroy(struct channel **c); /* no callback runs afterwards; safe on NULL */
bool channel_is_up(const struct channel *c);
const char *channel_peer(const struct channel *c); /* "" before it is up */

/* LIMIT: CHANNEL_PENDING_BYTES_MAX are waiting already (the peer does not read), or the message is too long; nothing
 * was sent. RETRY: not up. */
MUST_USE enum err channel_send(struct channel *c, const ProtobufCMessage *message);
size_t channel_pending_bytes(const struct channel *c);

#endif
