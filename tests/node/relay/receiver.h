/* tests/node/relay/receiver.h: an SMTP server that behaves as badly as the test asks, on loopback. */
#ifndef GEMEL_TESTS_NODE_RELAY_RECEIVER_H
#define GEMEL_TESTS_NODE_RELAY_RECEIVER_H

#include "base/env.h"
#include "base/net.h"

enum receiver_at {
    AT_BANNER,
    AT_EHLO,
    AT_STARTTLS,
    AT_MAIL,
    AT_RCPT,
    AT_DATA,
    AT_DOT,
    AT_RSET,
    AT_QUIT,
    RECEIVER_POINTS
};

/* Instead of a reply. */
#define RECEIVER_CLOSE "!close"
#define RECEIVER_RESET "!reset"
#define RECEIVER_STALL "!stall"

enum { RECEIVER_CONNS_MAX = 64, RECEIVER_RCPTS_MAX = 100 };

struct receiver;
struct receiver_conn {
    struct receiver *r;
    struct stream *s;
    struct buf in;
    bool in_data, stalled;
    uint32_t rcpts; /* of this transaction */
    struct addr peer;
};

struct receiver {
    const struct env *env;
    struct listener *listener;
    struct addr addr;
    const char *reply[RECEIVER_POINTS]; /* CRLF is added; NULL: the friendly one */
    bool once;                          /* the first of them that is used is forgotten again */
    uint32_t rcpts_max;                 /* 452 4.5.3 from here on; 0: no limit */
    struct tls_context *tls;            /* for STARTTLS */
    const char *listed; /* 554 at RCPT to this client address, naming bl.dnsbl.example; NULL: nobody */
    struct receiver_conn conns[RECEIVER_CONNS_MAX];
    size_t n_conns; /* ever */
    size_t n_mails, n_rcpts_taken, n_dots;
    struct buf mails;    /* contents taken, dots undone */
    struct buf commands; /* lines heard, one blank between */
    char helo[100];
    bool ended[RECEIVER_CONNS_MAX];
};

void receiver_init(struct receiver *r, const struct env *env, const char *ip);
void receiver_deinit(struct receiver *r);
void receiver_say(struct receiver *r, size_t conn, const char *line); /* out of turn */
bool receiver_open(const struct receiver *r);                         /* any connection is */

#endif
