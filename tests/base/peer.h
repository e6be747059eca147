/* tests/base/peer.h: one end of a stream that writes down what happens to it, for the tests of the libuv side. */
#ifndef GEMEL_TESTS_BASE_PEER_H
#define GEMEL_TESTS_BASE_PEER_H

#include "base/loop_uv.h"
#include "base/net.h"
#include "base/timers.h"

enum { WAIT_MS = 10000 }; /* far more than anything needs; a test that waits that long has failed */

struct peer {
    struct stream *s;
    struct buf got;
    int ends, drains, answers; /* how often `end`, `drained`, `secured` came */
    enum err why, secured;
    char detail[256];
    void (*on_data)(struct peer *p); /* after the bytes were added to `got`; may be NULL */
    void (*on_secured)(struct peer *p);
    bool close_on_data, free_on_data;
    void *extra;
};

void peer_init(struct peer *p);
void peer_deinit(struct peer *p); /* closes */
void peer_attach(struct peer *p, struct stream *s);

struct pair { /* a listener on loopback, a dial to it, and what came of both */
    struct loop *loop;
    const struct env *env;
    struct listener *listener;
    struct addr addr;
    struct peer server, client;
    struct net_op *op;
    bool dialled;
    enum err err;
    char detail[256];
    int accepts;
};

void pair_init(struct pair *p);
void pair_deinit(struct pair *p);
void pair_listen(struct pair *p, struct listen_conf conf); /* an address left empty: 127.0.0.1 */
void pair_dial(struct pair *p, struct dial_conf conf);     /* `to` left empty: the listener's address */
void pair_connect(struct pair *p);                         /* both, clear, and waits for both ends */

/* Turns the loop until the condition holds; the test fails after WAIT_MS. */
#define RUN_UNTIL(l, cond)                                                                \
    do {                                                                                  \
        uint64_t give_up_ = clock_boot_ms(NULL) + WAIT_MS;                                \
        bool true_ = false;                                                               \
        while (!(true_ = (cond)) && clock_boot_ms(NULL) < give_up_) loop_run_for((l), 2); \
        if (!true_) fail_msg("never came true: %s", #cond);                               \
    } while (0)

#endif
