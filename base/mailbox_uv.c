/* post: lock, append, unlock, wake → the loop runs what waits, one call at a time, in order.
 *
 * Failure modes: full → LIMIT, at once, in the poster's thread. A call may destroy the mailbox it came from. */
#include "base/mailbox_uv.h"

#include <pthread.h>
#include <stdlib.h>
#include <uv.h>

#include "base/loop_uv.h"

struct post {
    mailbox_fn *fn;
    void *owner, *arg;
};

struct mailbox {
    uv_async_t wake;
    pthread_mutex_t lock; /* guards the ring */
    size_t head, n, cap;
    bool closed; /* loop's thread only */
    struct post *ring;
};

static bool take(struct mailbox *m, struct post *out)
{
    pthread_mutex_lock(&m->lock);
    bool any = m->n > 0;
    if (any) {
        *out = m->ring[m->head];
        m->head = (m->head + 1) % m->cap;
        m->n--;
    }
    pthread_mutex_unlock(&m->lock);
    return any;
}

/* Posts that come while these run wait for the next turn: a busy poster cannot hold the loop. */
static void on_wake(uv_async_t *a)
{
    struct mailbox *m = a->data;
    struct post p;
    for (size_t left = mailbox_waiting(m); left > 0 && !m->closed && take(m, &p); left--)
        p.fn(p.owner, p.arg);
    if (!m->closed && mailbox_waiting(m)) uv_async_send(&m->wake);
}

struct mailbox *mailbox_create(struct loop *l, size_t posts_max)
{
    struct mailbox *m = xzalloc(sizeof *m);
    m->ring = xzalloc(posts_max * sizeof *m->ring); /* pages are only used when the queue gets that long */
    m->cap = posts_max;
    pthread_mutex_init(&m->lock, NULL);
    int status = uv_async_init(loop_uv(l), &m->wake, on_wake);
    ASSERT(status == 0); /* the loop has its descriptor for this already */
    uv_unref((uv_handle_t *)&m->wake);
    m->wake.data = m;
    return m;
}

static void on_closed(uv_handle_t *h)
{
    struct mailbox *m = h->data;
    pthread_mutex_destroy(&m->lock);
    free(m->ring);
    free(m);
}

void mailbox_destroy(struct mailbox *m, void (*drop)(mailbox_fn *fn, void *owner, void *arg))
{
    struct post p;
    if (!m) return;
    m->closed = true;
    while (take(m, &p))
        if (drop) drop(p.fn, p.owner, p.arg);
    uv_close((uv_handle_t *)&m->wake, on_closed);
}

enum err mailbox_post(struct mailbox *m, mailbox_fn *fn, void *owner, void *arg)
{
    pthread_mutex_lock(&m->lock);
    bool full = m->n == m->cap;
    if (!full) m->ring[(m->head + m->n++) % m->cap] = (struct post){ fn, owner, arg };
    pthread_mutex_unlock(&m->lock);
    if (full) return ERR_LIMIT;
    uv_async_send(&m->wake); /* cheap when it is awake already */
    return ERR_OK;
}

size_t mailbox_waiting(const struct mailbox *m)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&m->lock;
    pthread_mutex_lock(lock);
    size_t n = m->n;
    pthread_mutex_unlock(lock);
    return n;
}
