/* tests/dns/fake.h: a resolver whose network is a table of answers, on simulated time.
 *
 *   struct fake f;
 *   fake_init(&f, "192.0.2.53 192.0.2.54");
 *   fake_say(&f, "192.0.2.53 example.com A", "delay=30", "example.com. 60 A 192.0.2.1\n");
 *
 * A question is "[server] name type"; the most recent row that fits is used, and names nobody spoke about do not exist
 * (NXDOMAIN with an SOA). Flags: those of tests/dns/wire.h, and
 *   drop        no answer              icmp       the port is closed           once       the row serves one question
 *   delay=N     ms                     badid      a wrong id first             badname    a wrong question first
 *   udp-tc      truncated over UDP     garbage    bytes that are no message    noedns     FORMERR to questions with EDNS
 *   notcp       connections are refused
 * Every question sent is a line of `trace`: "udp 192.0.2.53 example.com A". */
#ifndef GEMEL_TESTS_DNS_FAKE_H
#define GEMEL_TESTS_DNS_FAKE_H

#include "base/list.h"
#include "base/log.h"
#include "base/net.h"
#include "base/rng.h"
#include "base/timers.h"
#include "dns/resolver.h"
#include "tests/dns/wire.h"

enum { FAKE_ROWS_MAX = 256 };

struct fake {
    struct env env;
    struct timers timers;
    struct rng rng;
    struct log log;
    struct resolver *r;
    uint64_t now_ms, wall_ms;
    struct fake_row {
        const char *question, *flags, *records;
        bool used;
    } row[FAKE_ROWS_MAX];
    size_t n;
    struct list open; /* sockets, streams, dials: must be empty in the end */
    struct buf trace;
    uint16_t ids[64];
    size_t n_ids;
};

void fake_init(struct fake *f, const char *servers);
void fake_init_conf(struct fake *f, const char *servers, struct resolver_conf conf);
void fake_deinit(struct fake *f); /* asserts that nothing is open */
void fake_say(struct fake *f, const char *question, const char *flags, const char *records);
void fake_run(struct fake *f); /* until nothing is due any more */
void fake_run_ms(struct fake *f, uint64_t ms);
struct slice fake_trace(struct fake *f); /* since the last call */

#endif
