#include "node/relay/rulebook.h"

#include <pthread.h>
#include <stdlib.h>

struct rulebook_page {
    struct classifier *rules;
    size_t holders; /* the book itself is one while this page is the current one */
};

struct rulebook {
    pthread_mutex_t lock; /* guards the page and all counts; a refusal is rare enough for one lock */
    struct rulebook_page *now;
};

static struct rulebook_page *page(struct classifier *rules)
{
    struct rulebook_page *p = xzalloc(sizeof *p);
    *p = (struct rulebook_page){ rules, 1 };
    return p;
}

struct rulebook *rulebook_create(struct classifier *take)
{
    struct rulebook *b = xzalloc(sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    b->now = page(take);
    return b;
}

void rulebook_release(struct rulebook *b, struct rulebook_page *p)
{
    pthread_mutex_lock(&b->lock);
    bool last = --p->holders == 0;
    pthread_mutex_unlock(&b->lock);
    if (!last) return;
    classifier_destroy(p->rules);
    free(p);
}

void rulebook_destroy(struct rulebook *b)
{
    if (!b) return;
    ASSERT(b->now->holders == 1);
    rulebook_release(b, b->now);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void rulebook_replace(struct rulebook *b, struct classifier *take)
{
    struct rulebook_page *fresh = page(take);
    pthread_mutex_lock(&b->lock);
    struct rulebook_page *old = b->now;
    b->now = fresh;
    pthread_mutex_unlock(&b->lock);
    rulebook_release(b, old);
}

struct rulebook_page *rulebook_hold(struct rulebook *b)
{
    pthread_mutex_lock(&b->lock);
    struct rulebook_page *p = b->now;
    p->holders++;
    pthread_mutex_unlock(&b->lock);
    return p;
}

const struct classifier *rulebook_rules(const struct rulebook_page *p)
{
    return p->rules;
}
