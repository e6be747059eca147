/* dns/publish.h: makes the DNS say what the cluster decided, and never more than was decided.
 *
 * Wanted: the set of addresses that may send, and the marker with the new epoch. A publisher applies both in one change,
 * only when the marker there is ours and not newer than what the caller knew, and says honestly when it does not know
 * what happened. Three kinds:
 *   rfc2136  one signed UPDATE, compare-and-set on `_egress`, read back when the outcome is in doubt
 *   exec     a command of the operator's gets the wanted records as JSON (dns/publish_uv.h)
 *   file     a zone fragment is written, then a command reloads it (dns/publish_uv.h)
 * For the last two the compare is a read before the write: the marker is asked of the zone's server first. */
#ifndef GEMEL_DNS_PUBLISH_H
#define GEMEL_DNS_PUBLISH_H

#include "base/arena.h"
#include "dns/egress_record.h"
#include "dns/resolver.h"
#include "dns/spf_record.h"
#include "dns/update.h"

struct publish_wanted {
    struct slice cluster, active, digest; /* words of the marker; active "-": nobody sends */
    uint64_t epoch;                       /* to be published */
    uint64_t expected_epoch;              /* the newest one the caller knows to be published; 0: none */
    uint32_t serial, expected_serial; /* of the publication, likewise: newer is (epoch, serial) as a pair */
    const struct addr *senders;
    size_t n_senders;
    char all;                         /* '-', '~', '?' */
    unsigned allow;                   /* SPF_ALLOW_… */
    uint32_t spf_ttl_s, egress_ttl_s; /* 0: 300 and 30 */
    bool takeover;                    /* replace the marker of another cluster, or one that cannot be read */
};

/* The two texts, from `w`: what the publishers write and dns/verify expects. REFUSED, LIMIT or MALFORMED with *why. */
MUST_USE enum err publish_texts(const struct publish_wanted *w, struct buf *spf, struct buf *egress,
                                const char **why);

#define PUBLISH_MAP(X)                                                                               \
    X(DONE, "done", "published")                                                                     \
    X(STALE, "stale", "somebody has published a newer epoch: we are not the one to decide any more") \
    X(CONFLICT, "conflict", "the names belong to another cluster, or hold something else")           \
    X(REFUSED, "refused", "the DNS server or the command refuses; retrying does not help")           \
    X(CLOCK, "clock", "our clock and the DNS server's differ too much")                              \
    X(LINT, "lint", "the records would be wrong; nothing was published")                             \
    X(UNKNOWN, "unknown", "nobody can say whether it was published")                                 \
    X(FAILED, "failed", "not published; the same call may work later")

enum publish_result {
#define PUBLISH_ENUM(name, word, text) PUBLISH_##name,
    PUBLISH_MAP(PUBLISH_ENUM)
#undef PUBLISH_ENUM
};
const char *publish_result_name(enum publish_result r);
const char *publish_result_text(enum publish_result r);

/* Pure: may `w` replace what the marker's name holds now? `now` is the answer to its TXT question. DONE: yes (*create:
 * there was nothing, *same: it says exactly what we want already). STALE, CONFLICT, FAILED otherwise, `detail` says why. */
enum { PUBLISH_DETAIL_MAX = 320 };
enum publish_result publish_judge(const struct publish_wanted *w, const struct dns_answer *now, bool *create,
                                  bool *same, char detail[static PUBLISH_DETAIL_MAX]);

typedef void publish_done_fn(void *owner, enum publish_result r, const char *detail);

struct publisher;
struct publish_op;
struct publisher_ops {
    const char *kind; /* "rfc2136" */
    struct publish_op *(*publish)(struct publisher *p, const struct publish_wanted *w, uint32_t limit_ms,
                                  publish_done_fn *done, void *owner);
    void (*cancel)(struct publish_op *op);
    void (*destroy)(struct publisher *p);
};
struct publisher { /* the first member of each kind's own struct */
    const struct publisher_ops *ops;
};
struct publish_op { /* likewise */
    struct publisher *publisher;
};

/* `w` is copied. `done` runs once, from the loop, never before the start returns. limit_ms 0: 60 s. */
struct publish_op *publish_start(struct publisher *p, const struct publish_wanted *w, uint32_t limit_ms,
                                 publish_done_fn *done, void *owner);
void publish_cancel(struct publish_op **op); /* the records may change all the same */
void publisher_destroy(struct publisher *p); /* after its ops; safe on NULL */

struct publish_zone {     /* what all kinds need */
    struct dns_name zone; /* "gw.example.com": `_spf` and `_egress` are below it */
    struct addr server;   /* the primary, for updates and for reading back; port 0: 53 */
};

/* `r` and `env` outlive the publisher. `key` NULL: unsigned updates (a lab, or a server that goes by address). */
struct publisher *publisher_rfc2136(const struct env *env, struct resolver *r,
                                    const struct publish_zone *zone, const struct tsig_key *key);

/* --- For those who make a publisher --- */

/* What is to be done, with everything it borrows. */
struct publish_plan {
    struct publish_wanted w;
    struct dns_name spf_name, egress_name;
    struct buf spf, egress; /* the texts */
    struct arena arena;
};

/* Makes the texts, lints them, and has libspf2 say that each sender passes: nothing wrong leaves the house. DONE, or
 * LINT with `detail`. The plan is to be deinited in either case. */
enum publish_result publish_plan_make(const struct publish_zone *zone, const struct publish_wanted *w,
                                      struct publish_plan *out, char detail[static PUBLISH_DETAIL_MAX]);
void publish_plan_deinit(struct publish_plan *p);

/* What the two names hold at zone->server (family NONE: as the resolver sees them) just now. */
struct publish_seen {
    enum publish_result judged; /* publish_judge */
    bool create, same;          /* same: both names hold exactly what the plan says */
    char detail[PUBLISH_DETAIL_MAX];
    const struct dns_answer *egress, *spf;
};
typedef void publish_seen_fn(void *owner, const struct publish_seen *seen);
struct publish_look;
/* `plan` outlives the look. The usual rules of completion and cancel. */
struct publish_look *publish_look_start(struct resolver *r, const struct publish_zone *zone,
                                        const struct publish_plan *plan, uint32_t limit_ms,
                                        publish_seen_fn *done, void *owner);
void publish_look_cancel(struct publish_look **look);

#endif
