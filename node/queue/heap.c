#include "node/queue/heap.h"

#include <stdlib.h>

void heap_deinit(struct heap *h)
{
    free(h->p);
    *h = (struct heap){ 0 };
}

static void place(struct heap *h, size_t i, struct heap_node *n)
{
    h->p[i] = n;
    n->at = i + 1;
}

static void sift_up(struct heap *h, size_t i, struct heap_node *n)
{
    for (size_t up; i && h->p[up = (i - 1) / 2]->key > n->key; i = up) place(h, i, h->p[up]);
    place(h, i, n);
}

static void sift_down(struct heap *h, size_t i, struct heap_node *n)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n) break;
        if (child + 1 < h->n && h->p[child + 1]->key < h->p[child]->key) child++;
        if (h->p[child]->key >= n->key) break;
        place(h, i, h->p[child]);
        i = child;
    }
    place(h, i, n);
}

void heap_set(struct heap *h, struct heap_node *n, uint64_t key)
{
    heap_remove(h, n);
    if (h->n == h->cap) {
        h->cap = MAX(h->cap * 2, (size_t)4);
        h->p = xrealloc(h->p, h->cap * sizeof *h->p);
    }
    n->key = key;
    h->n++;
    sift_up(h, h->n - 1, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    if (n->at == 0) return;
    size_t i = n->at - 1;
    struct heap_node *last = h->p[--h->n];
    n->at = 0;
    if (last == n) return;
    if (last->key < n->key)
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

struct heap_node *heap_first(const struct heap *h)
{
    return h->n ? h->p[0] : NULL;
}
