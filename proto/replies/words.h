/* proto/replies/words.h: many phrases, one walk over the text.
 *
 * A phrase belongs to a number, its fact; the walk sets the bit of every fact of which a phrase occurs. At each place
 * of the text the walk follows a trie no deeper than WORDS_PHRASE_MAX, so time is linear in the text whatever a peer
 * writes there. Phrases and texts have the form that words_normalise gives. */
#ifndef GEMEL_PROTO_REPLIES_WORDS_H
#define GEMEL_PROTO_REPLIES_WORDS_H

#include "base/buf.h"

enum { WORDS_FACTS_MAX = 512, WORDS_PHRASE_MAX = 80, WORDS_NODES_MAX = 65536 };

struct facts {
    uint64_t bits[WORDS_FACTS_MAX / 64];
};
static inline void facts_set(struct facts *f, unsigned fact)
{
    f->bits[fact / 64] |= UINT64_C(1) << fact % 64;
}
static inline bool facts_has(const struct facts *f, unsigned fact)
{
    return f->bits[fact / 64] >> fact % 64 & 1;
}

struct words_node;
struct words {
    struct words_node *nodes; /* nodes[0]: phrases that begin a word, nodes[1]: those that begin anywhere */
    size_t n, cap;
};

void words_init(struct words *w);
void words_deinit(struct words *w);
/* Lower case; '#' is any digit, "\#" is '#'; a '*' in front lets it begin, one behind lets it end within a word.
 * MALFORMED: empty or longer than WORDS_PHRASE_MAX; LIMIT. */
MUST_USE enum err words_add(struct words *w, struct slice phrase, unsigned fact);
void words_find(const struct words *w, struct slice normal, struct facts *out);

/* Lower case ASCII; any run of blanks, controls, '-', '_', quotes and asterisks is one blank; U+2019 is an apostrophe;
 * other bytes above ASCII are '?'. Appends at most text.n bytes. */
void words_normalise(struct slice text, struct buf *out);

#endif
