/* tests/dns/wire.h: DNS answers out of a text, for tests that play the server.
 *
 *   wire_answer(&q, "aa", "example.com 300 MX 10 mx.example.com\n" "; authority\n" "example.com 60 SOA …\n", &out)
 *
 * Sections follow each other after lines "; authority" and "; additional". Flags are words: aa tc ad nora, or an rcode:
 * nxdomain servfail refused formerr. */
#ifndef GEMEL_TESTS_DNS_WIRE_H
#define GEMEL_TESTS_DNS_WIRE_H

#include "base/buf.h"
#include "dns/message.h"

struct wire_question {
    uint16_t id, type;
    bool recursion, edns;
    struct dns_name name;
};

bool wire_question(struct slice query, struct wire_question *out);
void wire_answer(const struct wire_question *q, const char *flags, const char *records, struct buf *out);

#endif
