/* proto/replies/rules.h: the rules file of the classifier, read and made fit for use. Syntax: proto/replies/classify.h.
 *
 * Every fact a rule may ask for has a number: a bit in struct facts. Groups of words get theirs from the text; the
 * others are found by classify.c by name. */
#ifndef GEMEL_PROTO_REPLIES_RULES_H
#define GEMEL_PROTO_REPLIES_RULES_H

#include "base/arena.h"
#include "base/map.h"
#include "proto/replies/refusal.h"
#include "proto/replies/words.h"

enum { RULES_MAX = 1000, RULE_CLAUSES_MAX = 12, RULE_ALTERNATIVES_MAX = 24, PROVIDER_WORDS_MAX = 1000 };

enum fact_kind { FACT_BUILTIN, FACT_CODE, FACT_ENHANCED, FACT_PROVIDER, FACT_GROUP };

struct rule_fact {
    enum fact_kind kind;
    struct slice name;
    uint16_t code;            /* CODE */
    struct enhanced enhanced; /* ENHANCED; class 0: any */
    bool used;                /* by a rule */
    bool defined;             /* GROUP, PROVIDER: has a line of its own */
    unsigned line;            /* of its first mention */
};

struct rule_clause { /* one of these must hold */
    size_t n;
    struct {
        uint16_t fact;
        bool negated;
    } any[RULE_ALTERNATIVES_MAX];
};

struct rule {
    struct slice name;
    unsigned line;
    enum relay_scope scope;
    enum relay_effect effect;
    size_t n;
    struct rule_clause *clauses;
};

struct provider_word {
    struct slice word; /* "outlook.com" as people say it, or ".outlook.com": the end of an MX host name */
    uint16_t fact;
};

struct rules {
    struct arena arena;
    struct words words;
    struct map names; /* fact name → its number + 1 */
    struct rule_fact facts[WORDS_FACTS_MAX];
    size_t n_facts;
    struct rule *rules;
    size_t n_rules;
    struct provider_word *providers;
    size_t n_providers;
};

/* `builtin`: names of facts the caller finds by itself; they get the numbers 0… in this order. */
MUST_USE enum err rules_parse(struct slice text, const char *const *builtin, size_t n_builtin,
                              struct rules *out, struct buf *why);
void rules_deinit(struct rules *r);
/* The first rule whose clauses all hold; NULL: none. */
const struct rule *rules_match(const struct rules *r, const struct facts *facts);

#endif
