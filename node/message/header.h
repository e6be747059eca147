/* node/message/header.h: the header of a message while it streams by; the body is none of its business.
 *
 * Pure. Puts our Received field on top (RFC 5321 4.4), takes out what must not pass, counts hops, and hands everything
 * else on byte for byte, in order. Memory: one field, and nothing once the header has ended.
 *
 *   inbound (a stranger gave it to us)  stamps that only our side may set are taken out; the client is named
 *   outbound (one of ours did)          what tells of the inside is taken out: the hops, the programs, the blind copies;
 *                                       the client is not named; Date and Message-ID are added when asked for
 *
 * Taking out Received fields would blind every loop counter. So when one of them is a trace of ours, the message has come by
 * again: from then on their number travels along in X-Gemel-Hops and is added to the count. A header that is none (no field in front, no blank line before the text)
 * gets the blank line that separates our field from the text. */
#ifndef GEMEL_NODE_MESSAGE_HEADER_H
#define GEMEL_NODE_MESSAGE_HEADER_H

#include "base/addr.h"
#include "base/buf.h"

enum {
    HEADER_BYTES_MAX = 128 * 1024,
    HEADER_HOPS_MAX = 25, /* RFC 5321 6.3 asks for a large number; loops are noticed, long ways still work */
    HEADER_DATE_MAX = 40,
};

/* Field names, without colon; any case; "X-Spam-*" stands for all that begin so. NULL, 0: the defaults. */
struct header_names {
    const struct slice *names;
    size_t n;
};
extern const struct header_names header_internal; /* taken out of outbound mail */
extern const struct header_names header_forged;   /* taken out of inbound mail */

/* About one message. Everything is borrowed until header_init returns, but `host`, `strip` and `also`, which stay
 * borrowed. */
struct header_conf {
    struct slice host; /* our name: "by", and whose Authentication-Results nobody else may claim */
    bool outbound;
    bool add_missing;          /* Date, Message-ID (RFC 6409 8) */
    struct header_names strip; /* empty: header_internal or header_forged */
    uint32_t hops_max;         /* 0: HEADER_HOPS_MAX */
    struct slice helo, rdns;   /* inbound only; rdns empty: none is known */
    struct addr client;
    const char *protocol; /* "ESMTPS" */
    const char *tls;      /* "TLSv1.3 TLS_AES_256_GCM_SHA384"; "" or NULL: clear */
    struct slice id;
    struct slice rcpt; /* the only recipient; empty: there are several, and none shall learn of the others */
    uint64_t wall_ms;
};

enum header_at { HEADER_FIRST, HEADER_FIELDS, HEADER_BODY };

struct header {
    enum header_at at;
    enum err err; /* what ended it */
    struct header_names strip;
    struct slice host;
    struct buf field; /* the current field, all its lines */
    struct buf line;  /* the start of a line whose end has not come */
    struct buf tail;  /* Date and Message-ID, in case they are missing */
    size_t bytes, date_bytes;
    uint32_t hops, hops_max, stripped_hops, carried_hops;
    bool outbound, add_missing, has_date, has_id, circled;
};

/* Gets `bytes`, borrowed; never empty. */
typedef void header_sink_fn(void *owner, struct slice bytes);

void header_init(struct header *h, const struct header_conf *conf, header_sink_fn *sink, void *owner);
void header_deinit(struct header *h);
/* LIMIT: the header is too big; REFUSED: too many hops. Either is final: nothing more comes out. */
MUST_USE enum err header_feed(struct header *h, struct slice in, header_sink_fn *sink, void *owner);
/* The message is complete: a header without a body ends here. */
MUST_USE enum err header_finish(struct header *h, header_sink_fn *sink, void *owner);

/* "Mon, 02 Jan 2006 15:04:05 +0000" (RFC 5322 3.3), NUL-terminated; returns `out`. */
const char *header_date(uint64_t wall_ms, char out[static HEADER_DATE_MAX]);

#endif
