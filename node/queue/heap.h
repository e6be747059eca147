/* node/queue/heap.h: a binary heap of nodes embedded in their owners, smallest key first. Zeroed memory is empty. */
#ifndef GEMEL_NODE_QUEUE_HEAP_H
#define GEMEL_NODE_QUEUE_HEAP_H

#include "base/base.h"

struct heap_node {
    uint64_t key;
    size_t at; /* position + 1; 0: in no heap */
};

struct heap {
    struct heap_node **p;
    size_t n, cap;
};

void heap_deinit(struct heap *h);                                 /* the nodes are not touched */
void heap_set(struct heap *h, struct heap_node *n, uint64_t key); /* puts it in, or moves it */
void heap_remove(struct heap *h, struct heap_node *n);            /* fine when it is not in */
struct heap_node *heap_first(const struct heap *h);               /* NULL: empty */

#endif
