/* dns/spf_record.h: the SPF text that lets exactly our sending addresses pass (RFC 7208), and the check of any SPF text.
 *
 * Pure. Equal input gives equal bytes, so a standby would publish what the active one published. The generator uses only
 * mechanisms that cost the receiver no DNS look-up (4.6.4). */
#ifndef GEMEL_DNS_SPF_RECORD_H
#define GEMEL_DNS_SPF_RECORD_H

#include "dns/answer.h"

enum {
    SPF_RECORD_BYTES_MAX = 450, /* the answer still fits one UDP packet (3.4) */
    SPF_STRING_BYTES_MAX = 255, /* one character-string (RFC 1035 3.3.14) */
    SPF_LOOKUPS_MAX = 10,       /* 4.6.4 */
    SPF_VOIDS_MAX = 2,
    SPF_TERMS_MAX = 128,
    SPF_TREE_DEPTH_MAX = 12,
    SPF_SENDERS_MAX = 64,
};

enum {
    SPF_ALLOW_DOCUMENTATION = 1 << 0, /* the lab's addresses */
    SPF_ALLOW_PRIVATE = 1 << 1,
    SPF_ALLOW_WIDE = 1 << 2, /* prefixes shorter than /24 or /48 */
};

struct spf_wanted {
    const struct addr *senders; /* borrowed; order and doubles do not matter */
    size_t n;
    char all;       /* '-', '~' or '?' */
    unsigned allow; /* SPF_ALLOW_… */
};

/* Appends "v=spf1 ip4:… ip6:… -all": IPv4 before IPv6, ascending, no doubles, neighbours not merged (an address is an
 * identity, not a range). REFUSED: empty set, or an address that may not be published (*why says which);
 * LIMIT past SPF_RECORD_BYTES_MAX; `out` is then as before. */
MUST_USE enum err spf_record_format(const struct spf_wanted *w, struct buf *out, const char **why);

/* --- Reading: one term at a time --- */

enum spf_kind {
    SPF_ALL,
    SPF_INCLUDE,
    SPF_A,
    SPF_MX,
    SPF_PTR,
    SPF_IP4,
    SPF_IP6,
    SPF_EXISTS, /* mechanisms */
    SPF_REDIRECT,
    SPF_EXP,
    SPF_OTHER_MODIFIER,
};

struct spf_term {
    enum spf_kind kind;
    char qualifier;       /* '+', '-', '~', '?'; modifiers: '=' */
    struct slice text;    /* the term as written */
    struct slice domain;  /* domain-spec, "" when there is none; for SPF_OTHER_MODIFIER its value */
    bool macro;           /* the domain-spec holds a macro that needs a message to expand */
    struct prefix net;    /* ip4, ip6 */
    uint8_t cidr4, cidr6; /* a, mx: 32 and 128 unless written */
};

struct spf_terms {
    size_t n;
    struct spf_term term[SPF_TERMS_MAX];
};

bool spf_record_is(struct slice text); /* begins with "v=spf1" and a space or the end (4.5) */
/* Syntax of section 12, strictly. MALFORMED with *at the offending term and *why a static sentence; LIMIT. */
MUST_USE enum err spf_record_parse(struct slice text, struct spf_terms *out, struct slice *at,
                                   const char **why);

/* --- Lint: would every receiver accept the tree below a name? --- */

enum spf_lint_level { SPF_LINT_NOTE, SPF_LINT_WARNING, SPF_LINT_ERROR };

enum { SPF_LINT_FINDINGS_MAX = 32, SPF_LINT_TEXT_MAX = 240 };

struct spf_finding {
    enum spf_lint_level level;
    struct dns_name name; /* whose record */
    char text[SPF_LINT_TEXT_MAX];
};

struct spf_missing {
    struct dns_name name;
    uint16_t type;
};

enum { SPF_MISSING_MAX = 32 };

struct spf_lint {
    unsigned lookups, voids; /* worst case over the whole tree, not along the path of one message */
    unsigned errors, warnings;
    size_t n; /* findings kept; more are only counted */
    struct spf_finding finding[SPF_LINT_FINDINGS_MAX];
    size_t n_missing; /* ask these, put them into the table, and lint again; the verdict stands only at 0 */
    struct spf_missing missing[SPF_MISSING_MAX];
};

/* The tree below `name`, as far as `t` has answers. `allow` as above. */
void spf_lint(const struct dns_table *t, struct slice name, unsigned allow, struct spf_lint *out);
/* One text as it would stand at `name`, before it is published: replaces whatever `t` has there. */
void spf_lint_text(const struct dns_table *t, struct slice name, struct slice text, unsigned allow,
                   struct spf_lint *out);

#endif
