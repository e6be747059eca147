/* Each thread: make a loop → `start` → say so → run → `stop` → take the loop down.
 *
 * Failure modes: a thread or loop cannot be had, or `start` says no: all that started are stopped and joined, and the
 * first error is returned. */
#include "base/crew_uv.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct member {
    struct crew *crew;
    size_t i;
    pthread_t thread;
    bool has_thread;
    bool ready; /* under crew->lock: start() has been called */
    enum err err;
    struct loop *loop;
};

struct crew {
    struct crew_job job;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n;
    struct member members[];
};

static void say_ready(struct member *m, enum err err)
{
    pthread_mutex_lock(&m->crew->lock);
    m->ready = true;
    m->err = err;
    pthread_cond_broadcast(&m->crew->changed);
    pthread_mutex_unlock(&m->crew->lock);
}

static void *member_main(void *arg)
{
    struct member *m = arg;
    struct crew *c = m->crew;
    char name[16];
    snprintf(name, sizeof name, "%.10s%zu", c->job.name, m->i % 100000);
    pthread_setname_np(pthread_self(), name);
    enum err err = c->job.start(c->job.owner, m->i, m->loop);
    say_ready(m, err);
    if (err) return NULL;
    loop_run(m->loop);
    c->job.stop(c->job.owner, m->i, m->loop);
    return NULL;
}

static enum err start_member(struct crew *c, size_t i, const struct log *log)
{
    struct member *m = &c->members[i];
    m->crew = c;
    m->i = i;
    enum err err = loop_create(log, &m->loop);
    if (err) return err;
    if (pthread_create(&m->thread, NULL, member_main, m) != 0) return ERR_RETRY;
    m->has_thread = true;
    return ERR_OK;
}

static enum err wait_ready(struct crew *c)
{
    enum err err = ERR_OK;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n; i++) {
        struct member *m = &c->members[i];
        while (m->has_thread && !m->ready) pthread_cond_wait(&c->changed, &c->lock);
        if (!err) err = m->err;
    }
    pthread_mutex_unlock(&c->lock);
    return err;
}

enum err crew_create(size_t n, const struct log *log, const struct crew_job *job, struct crew **out)
{
    struct crew *c = xzalloc(sizeof *c + n * sizeof c->members[0]);
    c->job = *job;
    c->n = n;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    enum err err = ERR_OK;
    for (size_t i = 0; i < n && !err; i++) err = start_member(c, i, log);
    enum err started = wait_ready(c);
    if (!err) err = started;
    if (err) {
        crew_destroy(c);
        return err;
    }
    *out = c;
    return ERR_OK;
}

void crew_destroy(struct crew *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->n; i++)
        if (c->members[i].has_thread) loop_stop(c->members[i].loop);
    for (size_t i = 0; i < c->n; i++)
        if (c->members[i].has_thread) pthread_join(c->members[i].thread, NULL);
    /* Only now: while one still runs, it may post to another. */
    for (size_t i = 0; i < c->n; i++) loop_destroy(c->members[i].loop);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

size_t crew_size(const struct crew *c)
{
    return c->n;
}

struct loop *crew_loop(struct crew *c, size_t i)
{
    ASSERT(i < c->n);
    return c->members[i].loop;
}
