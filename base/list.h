/* base/list.h: an intrusive doubly linked list. The head is a node that links to itself. */
#ifndef GEMEL_BASE_LIST_H
#define GEMEL_BASE_LIST_H

#include "base/base.h"

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_append(struct list *head, struct list *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

/* Leaves `l` linked to itself, so a second call is harmless. */
static inline void list_remove(struct list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

#define LIST_EACH(head, it) for (struct list *it = (head)->next; it != (head); it = it->next)
#define LIST_EACH_SAFE(head, it, next_) \
    for (struct list *it = (head)->next, *next_ = it->next; it != (head); it = next_, next_ = it->next)

#endif
