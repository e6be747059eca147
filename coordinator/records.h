/* coordinator/records.h: our two DNS names, as the failover machine sees them: read, changed, verified everywhere.
 *
 * Translates between struct fo_token and the texts in DNS. What the record authorises (spf_set) is read from the SPF text
 * itself, since that is what receivers go by: a text that is not exactly one of ours counts as authorising nobody, and the
 * machine repairs it. Keeps the last look for people. */
#ifndef GEMEL_COORDINATOR_RECORDS_H
#define GEMEL_COORDINATOR_RECORDS_H

#include "base/env.h"
#include "coordinator/conf.h"
#include "dns/publish.h"
#include "dns/verify.h"

struct records;
struct records_op;

struct records_conf { /* borrowed while the records live */
    const struct coordinator_conf *conf;
    struct resolver *resolver;
    struct publisher *publisher;
};

struct records *records_create(const struct env *env, const struct records_conf *conf);
void records_destroy(struct records *r); /* its operations were cancelled before */

/* All: `done` runs once, never before the start returned. */
typedef void records_token_fn(void *owner, bool reachable, const struct fo_token *token);
struct records_op *records_read(struct records *r, records_token_fn *done, void *owner);
typedef void records_published_fn(void *owner, enum fo_published result);
struct records_op *records_publish(struct records *r, const struct fo_token *expect,
                                   const struct fo_token *want, records_published_fn *done, void *owner);
typedef void records_verified_fn(void *owner, const struct fo_verified *v);
struct records_op *records_verify(struct records *r, records_verified_fn *done, void *owner);
void records_cancel(struct records_op **op); /* what was sent was sent; safe on NULL */

/* --- The last look --- */

struct records_texts {
    char spf[SPF_RECORD_BYTES_MAX + 1], egress[EGRESS_RECORD_BYTES_MAX + 1]; /* "": none */
};

struct records_look {
    bool read, reachable;       /* the primary was asked; it answered */
    struct fo_token token;      /* of the last answer */
    struct records_texts texts; /* as they stood there */
    uint64_t read_ms, verified_ms;
    const struct verify_report *report;        /* NULL: none yet */
    const char *publish_word, *publish_detail; /* how the last publication went; "" before the first */
    bool publish_failed;
};
void records_look(const struct records *r, struct records_look *out);
/* The texts that say `t`; false when such a record cannot be published (nobody authorised). */
bool records_texts_of(const struct records *r, const struct fo_token *t, struct records_texts *out);

/* What one server is worth, given what should be published. */
enum verify_verdict records_judge(const struct verify_server *s, const struct fo_token *should);

#endif
