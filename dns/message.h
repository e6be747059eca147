/* dns/message.h: DNS messages between bytes and a flat, bounded struct; ldns does the packing.
 *
 * Pure. Anything a hostile server can send gives ERR_MALFORMED or a message within the bounds below. Records whose names
 * we cannot represent as text (dns/name.h) are left out and counted. */
#ifndef GEMEL_DNS_MESSAGE_H
#define GEMEL_DNS_MESSAGE_H

#include "base/arena.h"
#include "dns/answer.h"

enum {
    DNS_MESSAGE_BYTES_MAX = 65535,
    DNS_SECTION_RECORDS_MAX = 512, /* of the kinds we keep, in one section; more is MALFORMED */
    DNS_EDNS_BYTES = 1232,         /* fits one unfragmented packet nearly everywhere (DNS Flag Day 2020) */
    DNS_QUERY_BYTES_MAX = 512,
};

struct dns_query {
    uint16_t id;
    struct slice name;
    uint16_t type;
    bool recursion; /* RD */
    bool edns;
    bool want_ad; /* AD in the question (RFC 6840 5.7) */
};

/* Appends one message. MALFORMED: the name cannot be asked for. */
MUST_USE enum err dns_query_format(const struct dns_query *q, struct buf *out);

struct dns_message {
    uint16_t id, rcode; /* rcode includes the extended bits of EDNS */
    uint8_t opcode;
    bool response, aa, tc, rd, ra, ad;
    bool has_question;
    struct dns_name qname;
    uint16_t qtype, qclass;
    struct dns_record *answers, *authority, *additional;
    size_t n_answers, n_authority, n_additional;
    size_t left_out; /* records of known types that could not be represented */
    struct arena arena;
};

/* On OK the caller deinits `out`; on failure it is untouched. */
MUST_USE enum err dns_message_parse(struct slice wire, struct dns_message *out);
void dns_message_deinit(struct dns_message *m);

enum { DNS_ALIASES_MAX = 10 };

/* The answer to (name, type) that `m` holds, following aliases inside the message. `out` borrows from `m`.
 * When the aliases leave the message without a verdict, result is DNS_NODATA, ttl_s that of the aliases, and *ask_next is true: the same
 * type is then to be asked for `out->canonical`. */
void dns_message_answer(const struct dns_message *m, struct slice name, uint16_t type, struct dns_answer *out,
                        bool *ask_next);

#endif
