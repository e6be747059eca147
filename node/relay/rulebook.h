/* node/relay/rulebook.h: the classifier that holds now, for many threads, replaced as a whole while they use it.
 *
 * Who holds one keeps it alive; what it said (a rule's name) is copied before it is let go. */
#ifndef GEMEL_NODE_RELAY_RULEBOOK_H
#define GEMEL_NODE_RELAY_RULEBOOK_H

#include "proto/replies/classify.h"

struct rulebook;
struct rulebook_page;

struct rulebook *rulebook_create(struct classifier *take);
void rulebook_destroy(struct rulebook *b);                          /* nobody holds a page; safe on NULL */
void rulebook_replace(struct rulebook *b, struct classifier *take); /* any thread */

/* Any thread; each hold is let go once, soon: it is not meant to be kept over a wait. */
struct rulebook_page *rulebook_hold(struct rulebook *b);
const struct classifier *rulebook_rules(const struct rulebook_page *p);
void rulebook_release(struct rulebook *b, struct rulebook_page *p);

#endif
