/* proto/replies/classify.h: what a refusal means: about whom it is (scope), and what follows for the identity (effect).
 *
 * Pure. Rules are read from text: those of proto/replies/replies.rules, compiled in, or an operator's file in their place.
 * A rule asks for facts: stage, code, enhanced code, provider, groups of words found in the text, and whether the text
 * names our address, our netblock or somebody else's address. The first rule whose facts all hold decides. The text is
 * read once for all words of all rules together, so time grows with the text alone; a reply is bounded before.
 *
 * Syntax (docs/replies.md explains it with examples):
 *   provider NAME WORD…          names of a provider: words of people, or suffixes of MX host names (".example.com")
 *   group NAME "PHRASE"…         one line or many; a phrase is lower case, '#' is any digit, a '*' at an end lets the
 *                                word go on there; a blank matches any run of blanks, '-', '_' and line ends
 *   rule NAME SCOPE EFFECT FACT…  every FACT must hold: a|b one of them, !a not a; see fact_names in classify.c */
#ifndef GEMEL_PROTO_REPLIES_CLASSIFY_H
#define GEMEL_PROTO_REPLIES_CLASSIFY_H

#include "base/addr.h"
#include "base/buf.h"
#include "proto/replies/refusal.h"

struct classifier;

struct classify_conf {
    struct slice rules; /* text of a rules file; empty: the compiled-in ones */
    const struct slice
        *zones; /* blocklists the cluster itself watches: a refusal that names one counts to a switch */
    size_t n_zones;
};

/* Everything is copied. MALFORMED: `why` (may be NULL) gets "line 12: …"; LIMIT: too many words, groups or rules. */
MUST_USE enum err classifier_create(const struct classify_conf *conf, struct classifier **out,
                                    struct buf *why);
void classifier_destroy(struct classifier *c);
/* Rules that can never match because an earlier one always does, groups nobody uses: one line each into `out`. */
void classifier_lint(const struct classifier *c, struct buf *out);

struct classify_input {
    bool stage_known;
    enum relay_stage stage;
    struct addr own;       /* the address we sent from; family NONE: not known */
    struct slice provider; /* MX host name, or a provider's name; may be empty */
    struct slice text;     /* the whole reply, as struct reply keeps it */
};

struct classify_output {
    enum relay_scope scope;
    enum relay_effect effect;
    struct slice rule;     /* lives as long as the classifier */
    struct slice provider; /* by MX or by name; the input's own, lower case part when no rule names it */
};

/* A reply no rule knows: NONE, NONE, rule "none". Thread-safe: the classifier is const. */
void classify(const struct classifier *c, const struct classify_input *in, struct classify_output *out);

/* The provider an MX host belongs to, by the rules; a host nobody names belongs to its own registered-looking domain, the
 * last two labels, so that one organisation is not counted once per host. Borrowed from `c` or from `mx`. */
struct slice classify_provider(const struct classifier *c, struct slice mx);

/* Why `classify` says what it says, in a line for people: what it is about, which facts decided, what else was found; the
 * latter as far as there is room. `out` takes 2 KiB at least. */
void classify_reason(const struct classifier *c, const struct classify_input *in, struct buf *out);

/* The facts found, for `explain`: "5xx own-ip list spamhaus". */
void classify_explain(const struct classifier *c, const struct classify_input *in, struct buf *out);

extern const char classify_builtin_rules[]; /* made from replies.rules at build time */

#endif
