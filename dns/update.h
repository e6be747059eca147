/* dns/update.h: one change of our two names in one RFC 2136 message: prerequisite, deletions, additions, TSIG.
 *
 * The prerequisite compares a whole RRset (2.4.2) or asks that there be none (2.4.3): compare-and-set. TXT only. One TCP
 * connection, no retry: who cannot tell what became of it (UPDATE_UNKNOWN) reads back first. */
#ifndef GEMEL_DNS_UPDATE_H
#define GEMEL_DNS_UPDATE_H

#include "base/env.h"
#include "dns/answer.h"
#include "dns/tsig.h"

enum { UPDATE_SETS_MAX = 4, UPDATE_TEXTS_MAX = 8, UPDATE_BYTES_MAX = 16384, UPDATE_DETAIL_MAX = 200 };

struct update_set {
    struct slice name; /* fully qualified, in the zone */
    uint32_t ttl_s;
    struct slice text[UPDATE_TEXTS_MAX]; /* one TXT record each, split into strings of 255 bytes */
    size_t n;
};

struct update {
    struct slice zone;
    const struct update_set *require; /* these RRsets must be exactly so; n == 0: must not exist */
    size_t n_require;
    const struct update_set *replace; /* these RRsets become exactly so; n == 0: are removed */
    size_t n_replace;
};

/* Appends the unsigned message. MALFORMED: a name that is none, or outside the zone; LIMIT. */
MUST_USE enum err update_format(const struct update *u, uint16_t id, struct buf *out);

#define UPDATE_MAP(X)                                                                                        \
    X(APPLIED, "applied", "the server has made the change")                                                  \
    X(STALE, "stale", "the records are not what we compared with")                                           \
    X(REFUSED, "refused", "the server's policy does not let this key change these records")                  \
    X(NOTAUTH, "notauth", "the server is not the primary of this zone, or does not accept this key")         \
    X(BADKEY, "badkey", "the server does not know this key, or does not let it change these records")        \
    X(BADSIG, "badsig", "the secret is not the one the server has")                                          \
    X(BADTIME, "badtime", "our clock and the server's differ by more than five minutes")                     \
    X(NOTZONE, "notzone", "a name lies outside the zone")                                                    \
    X(SERVFAIL, "servfail", "the server failed; the change may or may not be made")                          \
    X(UNSIGNED, "unsigned", "the answer is not signed with our key: forged, or a server that does not sign") \
    X(UNKNOWN, "unknown", "no answer; the change may or may not be made")

enum update_result {
#define UPDATE_ENUM(name, word, text) UPDATE_##name,
    UPDATE_MAP(UPDATE_ENUM)
#undef UPDATE_ENUM
};
const char *update_result_name(enum update_result r);
const char *update_result_text(enum update_result r);

/* What an answer means. `key` NULL: the update was not signed. `detail` gets what a person wants to know besides
 * update_result_text (the server's clock, the rcode), or "". */
enum update_result update_read(struct slice answer, uint16_t id, const struct tsig_key *key,
                               const struct tsig_mac *asked, uint64_t now_s,
                               char detail[static UPDATE_DETAIL_MAX]);

/* --- Sending --- */

struct update_conf {
    struct addr server;         /* port 0: 53 */
    const struct tsig_key *key; /* copied; NULL: unsigned */
    uint32_t limit_ms;          /* 0: 10 s */
};

typedef void update_done_fn(void *owner, enum update_result r, const char *detail);
/* `u` and `conf` are copied. The signing time is the wall clock of env->timers. */
struct update_op *update_send(const struct env *env, const struct update_conf *conf, const struct update *u,
                              update_done_fn *done, void *owner);
void update_cancel(struct update_op **op); /* the change may have been made all the same */

#endif
