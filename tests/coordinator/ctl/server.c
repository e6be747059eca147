#include "tests/coordinator/ctl/server.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SCRIPT_MAX = 64, REQUEST_BYTES_MAX = 1 << 20 };

struct server {
    const struct reply *script;
    bool used[SCRIPT_MAX];
    char dir[64], path[96];
    int listener, stop[2];
    pthread_t thread;
    pthread_mutex_t lock;
    struct buf asked, shown;
};

/* True while the server is not being stopped. */
static bool pause_ms(struct server *s, unsigned ms)
{
    struct pollfd p = { .fd = s->stop[0], .events = POLLIN };
    return ms == 0 || poll(&p, 1, (int)ms) == 0;
}

static bool send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w <= 0) return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

static bool send_slowly(struct server *s, int fd, const char *p, size_t n, unsigned trickle_ms)
{
    if (!trickle_ms) return send_all(fd, p, n);
    for (size_t i = 0; i < n; i++)
        if (!send_all(fd, p + i, 1) || !pause_ms(s, trickle_ms)) return false;
    return true;
}

static void fill(int fd, size_t n)
{
    char blanks[4096];
    memset(blanks, ' ', sizeof blanks);
    while (n > 0 && send_all(fd, blanks, MIN(n, sizeof blanks))) n -= MIN(n, sizeof blanks);
}

/* Header and body of one request; false when it ended early. */
static bool read_request(int fd, struct buf *in)
{
    size_t want = SIZE_MAX;
    while (buf_len(in) < want) {
        char *room;
        if (buf_reserve(in, 4096, &room)) return false;
        ssize_t n = recv(fd, room, 4096, 0);
        if (n <= 0) return false;
        buf_commit(in, (size_t)n);
        struct slice all = buf_slice(in);
        size_t end = slice_find_slice(all, SLICE("\r\n\r\n"));
        if (end == all.n) continue;
        size_t at = slice_ifind_slice(slice_sub(all, 0, end), SLICE("content-length:"));
        want = end + 4 + (at < end ? strtoul(all.p + at + 15, NULL, 10) : 0);
    }
    return true;
}

static void note(struct server *s, struct slice request)
{
    struct slice rest = request, verb = slice_word(&rest), path = slice_word(&rest);
    struct slice body = slice_skip(request, slice_find_slice(request, SLICE("\r\n\r\n")) + 4);
    pthread_mutex_lock(&s->lock);
    buf_putf(&s->asked, "%.*s %.*s%s%.*s\n", SLICE_ARG(verb), SLICE_ARG(path), body.n ? " " : "",
             SLICE_ARG(body));
    pthread_mutex_unlock(&s->lock);
}

static void answer(struct server *s, int fd, struct slice request)
{
    static const struct reply unexpected = { .status = 500,
                                             .json = "{\"error\": \"the test did not expect this\"}" };
    const struct reply *r = &unexpected;
    for (size_t i = 0; s->script[i].request && r == &unexpected; i++) {
        if (s->used[i] || !slice_starts(request, slice_of(s->script[i].request))) continue;
        r = &s->script[i];
        s->used[i] = !r->for_ever;
    }
    if (!pause_ms(s, r->delay_ms)) return;
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    if (r->raw)
        buf_put(&out, slice_of(r->raw));
    else
        buf_putf(&out, "HTTP/1.1 %d Words\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 r->status, strlen(r->json), r->json);
    if (send_slowly(s, fd, buf_slice(&out).p, buf_len(&out), r->trickle_ms)) fill(fd, r->filler_bytes);
    buf_deinit(&out);
}

static void *serve(void *owner)
{
    struct server *s = owner;
    for (;;) {
        struct pollfd p[2] = { { .fd = s->stop[0], .events = POLLIN },
                               { .fd = s->listener, .events = POLLIN } };
        poll(p, 2, -1);
        if (p[0].revents) return NULL;
        int fd = accept(s->listener, NULL, NULL);
        struct buf in;
        buf_init(&in, REQUEST_BYTES_MAX);
        if (read_request(fd, &in)) {
            note(s, buf_slice(&in));
            answer(s, fd, buf_slice(&in));
        }
        buf_deinit(&in);
        close(fd);
    }
}

struct server *server_create(const struct reply *script)
{
    struct server *s = xzalloc(sizeof *s);
    s->script = script;
    buf_init(&s->asked, SIZE_MAX / 2);
    buf_init(&s->shown, SIZE_MAX / 2);
    pthread_mutex_init(&s->lock, NULL);
    snprintf(s->dir, sizeof s->dir, "/tmp/gemel-ctl.XXXXXX");
    ASSERT(mkdtemp(s->dir) && pipe(s->stop) == 0);
    snprintf(s->path, sizeof s->path, "%s/admin.sock", s->dir);
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    snprintf(un.sun_path, sizeof un.sun_path, "%s", s->path);
    s->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT(bind(s->listener, (struct sockaddr *)&un, sizeof un) == 0 && listen(s->listener, 16) == 0);
    ASSERT(pthread_create(&s->thread, NULL, serve, s) == 0);
    return s;
}

void server_destroy(struct server *s)
{
    if (!s) return;
    ASSERT(write(s->stop[1], "x", 1) == 1);
    pthread_join(s->thread, NULL);
    close(s->listener);
    close(s->stop[0]);
    close(s->stop[1]);
    unlink(s->path);
    rmdir(s->dir);
    buf_deinit(&s->asked);
    buf_deinit(&s->shown);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *server_path(const struct server *s)
{
    return s->path;
}

const char *server_asked(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    buf_clear(&s->shown);
    buf_put(&s->shown, buf_slice(&s->asked));
    pthread_mutex_unlock(&s->lock);
    return buf_cstr(&s->shown);
}
