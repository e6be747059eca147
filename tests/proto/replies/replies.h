/* tests/proto/replies/replies.h: the labelled refusals of tests/data/replies.psv, and how well the classifier does on them. */
#ifndef GEMEL_TESTS_PROTO_REPLIES_REPLIES_H
#define GEMEL_TESTS_PROTO_REPLIES_REPLIES_H

#include "base/arena.h"
#include "proto/replies/classify.h"

enum { REPLIES_MAX = 2000 };

struct replies_line {
    struct slice id, stage, scope, effect, provider, reply; /* reply: "\n" resolved */
};

struct replies {
    struct buf file;
    struct arena arena;
    struct replies_line line[REPLIES_MAX];
    size_t n;
};

MUST_USE enum err replies_load(const char *path, struct replies *out);
void replies_deinit(struct replies *r);
void replies_classify(const struct classifier *c, const struct replies_line *l, struct classify_output *out);

struct replies_score {
    size_t n, scope, effect, switch_right; /* exact; switch_right: SWITCH or not, as labelled */
    size_t switches, switches_found, switches_wrong;
};
/* `wrong` (may be NULL) gets a line for each that is not exact. */
void replies_measure(const struct classifier *c, const struct replies *r, struct replies_score *out,
                     struct buf *wrong);

#endif
