#include "proto/replies/rules.h"

#include <stdlib.h>

struct reader {
    struct rules *rules;
    struct slice line;
    unsigned number;
    struct buf *why;
};

static enum err complain(struct reader *rd, enum err err, const char *what, struct slice word)
{
    if (rd->why)
        buf_putf(rd->why, "line %u: %s: %.*s", rd->number, what, (int)MIN(word.n, (size_t)80),
                 word.n ? word.p : "");
    return err;
}

/* ---- facts ---- */

static bool parse_code(struct slice s, uint16_t *code)
{
    uint64_t v;
    if (s.n != 3 || slice_u64(s, 599, &v) || v < 200) return false;
    *code = (uint16_t)v;
    return true;
}

/* "5.7.1", or "x.7.1" for any class. */
static bool parse_enhanced(struct slice s, struct enhanced *e)
{
    struct slice part;
    uint64_t v;
    *e = (struct enhanced){ 0 };
    if (!slice_cut(&s, '.', &part) || part.n != 1) return false;
    if (part.p[0] != 'x' && (slice_u64(part, 5, &v) || v < 2)) return false;
    e->class = part.p[0] == 'x' ? 0 : (uint8_t)v;
    if (!slice_cut(&s, '.', &part) || slice_u64(part, 999, &v)) return false;
    e->subject = (uint16_t)v;
    if (slice_u64(s, 999, &v)) return false;
    e->detail = (uint16_t)v;
    return true;
}

static enum err new_fact(struct reader *rd, struct slice name, uint16_t *out)
{
    struct rules *r = rd->rules;
    if (r->n_facts == WORDS_FACTS_MAX) return complain(rd, ERR_LIMIT, "too many different facts", name);
    struct rule_fact *f = &r->facts[r->n_facts];
    *f = (struct rule_fact){ .kind = FACT_GROUP, .name = arena_dup(&r->arena, name), .line = rd->number };
    if (slice_starts(name, SLICE("provider:")))
        f->kind = FACT_PROVIDER;
    else if (parse_code(name, &f->code))
        f->kind = FACT_CODE;
    else if (parse_enhanced(name, &f->enhanced))
        f->kind = FACT_ENHANCED;
    *out = (uint16_t)r->n_facts++;
    map_put(&r->names, f->name, (void *)(uintptr_t)(*out + 1u));
    return ERR_OK;
}

static enum err fact_named(struct reader *rd, struct slice name, uint16_t *out)
{
    uintptr_t known = (uintptr_t)map_get(&rd->rules->names, name);
    if (!known) return new_fact(rd, name, out);
    *out = (uint16_t)(known - 1);
    return ERR_OK;
}

/* ---- lines ---- */

static enum err read_phrase(struct reader *rd, uint16_t fact)
{
    struct slice phrase;
    rd->line = slice_trim(rd->line);
    if (!rd->line.n || rd->line.p[0] != '"')
        return complain(rd, ERR_MALFORMED, "a phrase in quotes was expected", rd->line);
    size_t end = slice_find(slice_skip(rd->line, 1), '"') + 1;
    if (end >= rd->line.n) return complain(rd, ERR_MALFORMED, "the quote is not closed", rd->line);
    phrase = slice_sub(rd->line, 1, end - 1);
    rd->line = slice_trim(slice_skip(rd->line, end + 1));
    for (size_t i = 0; i < phrase.n; i++) /* what the text can never hold would never be found */
        if (phrase.p[i] != ascii_lower(phrase.p[i]) || phrase.p[i] == '-' || phrase.p[i] == '_' ||
            (uint8_t)phrase.p[i] >= 0x80)
            return complain(rd, ERR_MALFORMED, "a phrase is lower case ASCII, with blanks for '-' and '_'",
                            phrase);
    enum err err = words_add(&rd->rules->words, phrase, fact);
    if (err == ERR_CONFLICT)
        return complain(rd, ERR_MALFORMED, "the phrase is in another group already", phrase);
    return err ? complain(rd, err, "this phrase cannot be used", phrase) : ERR_OK;
}

static enum err read_group(struct reader *rd)
{
    uint16_t fact;
    struct slice name = slice_word(&rd->line);
    if (!name.n) return complain(rd, ERR_MALFORMED, "a group needs a name", name);
    enum err err = fact_named(rd, name, &fact);
    if (err) return err;
    if (rd->rules->facts[fact].kind != FACT_GROUP)
        return complain(rd, ERR_MALFORMED, "the name is taken", name);
    rd->rules->facts[fact].defined = true;
    do err = read_phrase(rd, fact);
    while (!err && rd->line.n);
    return err;
}

static enum err read_provider(struct reader *rd)
{
    char text[120];
    struct rules *r = rd->rules;
    struct slice name = slice_word(&rd->line), word;
    uint16_t fact;
    struct buf full;
    if (!name.n || name.n > 100) return complain(rd, ERR_MALFORMED, "a provider needs a name", name);
    buf_init(&full, sizeof text);
    buf_putf(&full, "provider:%.*s", SLICE_ARG(name));
    enum err err = fact_named(rd, buf_slice(&full), &fact);
    buf_deinit(&full);
    if (err) return err;
    r->facts[fact].defined = true;
    while ((word = slice_word(&rd->line)).n) {
        if (r->n_providers == PROVIDER_WORDS_MAX)
            return complain(rd, ERR_LIMIT, "too many provider words", word);
        r->providers[r->n_providers++] = (struct provider_word){ arena_dup(&r->arena, word), fact };
    }
    return ERR_OK;
}

static enum err read_clause(struct reader *rd, struct slice text, struct rule_clause *c)
{
    struct slice word;
    while (slice_cut(&text, '|', &word)) {
        if (c->n == RULE_ALTERNATIVES_MAX) return complain(rd, ERR_LIMIT, "too many alternatives", word);
        bool negated = word.n && word.p[0] == '!';
        if (negated) word = slice_skip(word, 1);
        if (!word.n) return complain(rd, ERR_MALFORMED, "an empty fact", text);
        uint16_t fact;
        enum err err = fact_named(rd, word, &fact);
        if (err) return err;
        rd->rules->facts[fact].used = true;
        c->any[c->n].fact = fact;
        c->any[c->n++].negated = negated;
    }
    return ERR_OK;
}

static enum err read_rule(struct reader *rd)
{
    struct rules *r = rd->rules;
    if (r->n_rules == RULES_MAX) return complain(rd, ERR_LIMIT, "too many rules", rd->line);
    struct rule *rule = &r->rules[r->n_rules];
    struct slice word = slice_word(&rd->line);
    *rule = (struct rule){ .name = arena_dup(&r->arena, word), .line = rd->number };
    for (size_t i = 0; i < r->n_rules; i++)
        if (slice_eq(r->rules[i].name, word))
            return complain(rd, ERR_MALFORMED, "a rule of this name exists", word);
    if (relay_scope_parse(word = slice_word(&rd->line), &rule->scope))
        return complain(rd, ERR_MALFORMED, "no such scope", word);
    if (relay_effect_parse(word = slice_word(&rd->line), &rule->effect))
        return complain(rd, ERR_MALFORMED, "no such effect", word);
    struct rule_clause clauses[RULE_CLAUSES_MAX] = { 0 };
    while ((word = slice_word(&rd->line)).n) {
        if (rule->n == RULE_CLAUSES_MAX) return complain(rd, ERR_LIMIT, "too many facts for one rule", word);
        enum err err = read_clause(rd, word, &clauses[rule->n++]);
        if (err) return err;
    }
    if (!rule->n)
        return complain(rd, ERR_MALFORMED, "a rule without facts would match everything", rule->name);
    rule->clauses = arena_alloc(&r->arena, rule->n * sizeof *clauses);
    memcpy(rule->clauses, clauses, rule->n * sizeof *clauses);
    r->n_rules++;
    return ERR_OK;
}

static enum err read_line(struct reader *rd)
{
    rd->line = slice_trim(rd->line);
    if (!rd->line.n || rd->line.p[0] == '#') return ERR_OK;
    struct slice word = slice_word(&rd->line);
    if (slice_eq(word, SLICE("group"))) return read_group(rd);
    if (slice_eq(word, SLICE("provider"))) return read_provider(rd);
    if (slice_eq(word, SLICE("rule"))) return read_rule(rd);
    return complain(rd, ERR_MALFORMED, "group, provider or rule was expected", word);
}

static enum err check_defined(struct reader *rd)
{
    for (size_t i = 0; i < rd->rules->n_facts; i++) {
        const struct rule_fact *f = &rd->rules->facts[i];
        rd->number = f->line;
        if (f->used && !f->defined && (f->kind == FACT_GROUP || f->kind == FACT_PROVIDER))
            return complain(rd, ERR_MALFORMED, "nothing defines this fact", f->name);
    }
    return ERR_OK;
}

enum err rules_parse(struct slice text, const char *const *builtin, size_t n_builtin, struct rules *out,
                     struct buf *why)
{
    struct reader rd = { .rules = out, .why = why };
    enum err err = ERR_OK;
    *out = (struct rules){ 0 };
    words_init(&out->words);
    out->rules = xzalloc(RULES_MAX * sizeof *out->rules);
    out->providers = xzalloc(PROVIDER_WORDS_MAX * sizeof *out->providers);
    for (size_t i = 0; i < n_builtin && !err; i++) {
        uint16_t fact;
        err = new_fact(&rd, slice_of(builtin[i]), &fact);
        if (!err) out->facts[fact].kind = FACT_BUILTIN;
    }
    while (!err && slice_cut(&text, '\n', &rd.line)) {
        rd.number++;
        err = read_line(&rd);
    }
    if (!err) err = check_defined(&rd);
    if (err) rules_deinit(out);
    return err;
}

void rules_deinit(struct rules *r)
{
    words_deinit(&r->words);
    map_deinit(&r->names);
    free(r->rules);
    free(r->providers);
    arena_deinit(&r->arena);
    *r = (struct rules){ 0 };
}

static bool holds(const struct rule_clause *c, const struct facts *facts)
{
    for (size_t i = 0; i < c->n; i++)
        if (facts_has(facts, c->any[i].fact) != c->any[i].negated) return true;
    return false;
}

const struct rule *rules_match(const struct rules *r, const struct facts *facts)
{
    for (size_t i = 0; i < r->n_rules; i++) {
        const struct rule *rule = &r->rules[i];
        size_t n = 0;
        while (n < rule->n && holds(&rule->clauses[n], facts)) n++;
        if (n == rule->n) return rule;
    }
    return NULL;
}
