#include "node/relay/tls_tally.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"

enum { WHY_BYTES_MAX = 300 };

struct row {
    struct list all;
    struct tls_tally_row row;
    char *mx, *why, *destination;
};

struct tls_tally {
    pthread_mutex_t lock;
    struct map rows;
    struct list all;
    size_t n;
    uint64_t totals[TLS_RESULTS];
};

struct tls_tally *tls_tally_create(void)
{
    struct tls_tally *t = xzalloc(sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    list_init(&t->all);
    return t;
}

void tls_tally_destroy(struct tls_tally *t)
{
    if (!t) return;
    LIST_EACH_SAFE(&t->all, it, next)
    {
        struct row *r = CONTAINER_OF(it, struct row, all);
        free(r->mx);
        free(r->why);
        free(r->destination);
        free(r);
    }
    map_deinit(&t->rows);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static struct row *row_of(struct tls_tally *t, struct slice destination)
{
    struct row *r = map_get(&t->rows, destination);
    if (!r && t->n >= TLS_TALLY_DESTINATIONS_MAX) r = map_get(&t->rows, destination = SLICE("*"));
    if (r) return r;
    r = xzalloc(sizeof *r);
    r->destination = slice_dup(destination);
    r->row.destination = slice_from(r->destination, destination.n);
    map_put(&t->rows, r->row.destination, r);
    list_append(&t->all, &r->all);
    t->n++;
    return r;
}

static void keep(char **to, struct slice s, struct slice *out)
{
    s = slice_sub(s, 0, WHY_BYTES_MAX);
    free(*to);
    *to = slice_dup(s);
    *out = slice_from(*to, s.n);
}

void tls_tally_add(struct tls_tally *t, const struct tls_event *e)
{
    pthread_mutex_lock(&t->lock);
    struct row *r = row_of(t, e->destination);
    t->totals[e->result]++;
    r->row.count[e->result]++;
    r->row.level = e->level;
    if (tls_result_failed(e->result)) {
        r->row.last_failure = *e;
        r->row.last_failure.destination = r->row.destination;
        keep(&r->mx, e->mx, &r->row.last_failure.mx);
        keep(&r->why, e->why, &r->row.last_failure.why);
    }
    pthread_mutex_unlock(&t->lock);
}

void tls_tally_totals(struct tls_tally *t, uint64_t out[static TLS_RESULTS])
{
    pthread_mutex_lock(&t->lock);
    memcpy(out, t->totals, sizeof t->totals);
    pthread_mutex_unlock(&t->lock);
}

void tls_tally_each(struct tls_tally *t, tls_tally_row_fn *fn, void *owner)
{
    pthread_mutex_lock(&t->lock);
    LIST_EACH(&t->all, it) fn(owner, &CONTAINER_OF(it, struct row, all)->row);
    pthread_mutex_unlock(&t->lock);
}
