#include "proto/replies/words.h"

#include <stdlib.h>

enum { ROOT_WORD, ROOT_ANY, ROOTS };
enum { NO_FACT = UINT16_MAX };

struct words_node { /* children are a list of siblings: few, and short texts */
    char c;
    uint16_t fact;     /* of a phrase that ends here, at the end of a word */
    uint16_t fact_any; /* of one that may end within a word */
    uint32_t child, sibling;
};

void words_init(struct words *w)
{
    *w = (struct words){ .cap = 1024, .n = ROOTS };
    w->nodes = xzalloc(w->cap * sizeof *w->nodes);
    for (size_t i = 0; i < ROOTS; i++)
        w->nodes[i] = (struct words_node){ .fact = NO_FACT, .fact_any = NO_FACT };
}

void words_deinit(struct words *w)
{
    free(w->nodes);
    *w = (struct words){ 0 };
}

static uint32_t child_for(struct words *w, uint32_t at, char c)
{
    for (uint32_t i = w->nodes[at].child; i; i = w->nodes[i].sibling)
        if (w->nodes[i].c == c) return i;
    if (w->n == w->cap) {
        w->cap *= 2;
        w->nodes = xrealloc(w->nodes, w->cap * sizeof *w->nodes);
    }
    uint32_t made = (uint32_t)w->n++;
    w->nodes[made] =
        (struct words_node){ .c = c, .fact = NO_FACT, .fact_any = NO_FACT, .sibling = w->nodes[at].child };
    w->nodes[at].child = made;
    return made;
}

/* In the trie any digit is '\1', so that '#' itself can be looked for. */
static const char any_digit = '\1';

enum err words_add(struct words *w, struct slice phrase, unsigned fact)
{
    ASSERT(fact < WORDS_FACTS_MAX);
    bool begins_any = phrase.n && phrase.p[0] == '*',
         ends_any = phrase.n > 1 && phrase.p[phrase.n - 1] == '*';
    if (begins_any) phrase = slice_skip(phrase, 1);
    if (ends_any) phrase.n--;
    if (!phrase.n || phrase.n > WORDS_PHRASE_MAX) return ERR_MALFORMED;
    if (w->n + phrase.n > WORDS_NODES_MAX) return ERR_LIMIT;
    uint32_t at = begins_any ? ROOT_ANY : ROOT_WORD;
    for (size_t i = 0; i < phrase.n; i++) {
        char c = phrase.p[i];
        if (c == '\\' && i + 1 < phrase.n)
            c = phrase.p[++i];
        else if (c == '#')
            c = any_digit;
        at = child_for(w, at, c);
    }
    uint16_t *slot = ends_any ? &w->nodes[at].fact_any : &w->nodes[at].fact;
    if (*slot != NO_FACT && *slot != fact) return ERR_CONFLICT;
    *slot = (uint16_t)fact;
    return ERR_OK;
}

/* A word goes on across this place. */
static bool within_word(struct slice s, size_t at)
{
    return at > 0 && at < s.n && ascii_is_alnum(s.p[at - 1]) && ascii_is_alnum(s.p[at]);
}

static void walk(const struct words *w, uint32_t node, struct slice s, size_t at, struct facts *out)
{
    const struct words_node *n = &w->nodes[node];
    if (n->fact_any != NO_FACT) facts_set(out, n->fact_any);
    if (n->fact != NO_FACT && !within_word(s, at)) facts_set(out, n->fact);
    if (at == s.n) return;
    for (uint32_t i = n->child; i; i = w->nodes[i].sibling)
        if (w->nodes[i].c == s.p[at] || (w->nodes[i].c == any_digit && ascii_is_digit(s.p[at])))
            walk(w, i, s, at + 1, out);
}

void words_find(const struct words *w, struct slice normal, struct facts *out)
{
    for (size_t at = 0; at < normal.n; at++) {
        walk(w, ROOT_ANY, normal, at, out);
        if (!within_word(normal, at)) walk(w, ROOT_WORD, normal, at, out);
    }
}

static bool is_gap(char c)
{
    return (uint8_t)c <= ' ' || c == 0x7f || c == '-' || c == '_' || c == '"' || c == '*' || c == '`';
}

void words_normalise(struct slice text, struct buf *out)
{
    bool gap = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = ascii_lower(text.p[i]);
        if (is_gap(c)) {
            if (!gap) buf_put(out, SLICE(" "));
            gap = true;
            continue;
        }
        gap = false;
        if (slice_starts(slice_skip(text, i), SLICE("\xe2\x80\x99"))) {
            c = '\'';
            i += 2;
        }
        buf_put(out, (struct slice){ (uint8_t)c < 0x80 ? &c : "?", 1 });
    }
}
