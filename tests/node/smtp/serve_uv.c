/* gemel-smtp-serve: the SMTP server shell with a spool in memory, for real clients (swaks, smtp-source) and for
 * measuring. Prints "ready PORT" for each listener, in the order mx, submission, smarthost; SIGTERM shuts it down;
 * SIGHUP prints what the spool holds.
 *
 *   gemel-smtp-serve [--host NAME] [--domain NAME] [--inside PREFIX] [--cert FILE --key FILE] [--users FILE]
 *                    [--sync-ms N] [--size-max N] [--quiet] */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/loop_uv.h"
#include "base/timers.h"
#include "base/tls_uv.h"
#include "node/accept/users_uv.h"
#include "node/queue/spool_mem.h"
#include "node/smtp/server.h"

struct serve {
    struct loop *loop;
    struct smtp_server *server;
    struct spool_mem *mem;
    struct users_file *users;
    struct tls_context *tls;
    struct queue_ids ids;
};

static bool print_item(void *owner, const struct spool_item *it)
{
    struct serve *v = owner;
    struct arena a = { 0 };
    struct envelope e;
    struct buf body;
    buf_init(&body, MIB(100));
    if (spool_envelope(spool_mem_spool(v->mem), &it->id, &a, &e)) return true;
    printf("message %s flow=%s from=<%.*s>", it->id.s, flow_name(e.flow), SLICE_ARG(e.sender));
    for (size_t i = 0; i < e.n_rcpts; i++) printf(" to=<%.*s>", SLICE_ARG(e.rcpts[i].address));
    printf(" user=%.*s size=%" PRIu64 "\n", SLICE_ARG(e.auth_user), e.size_bytes);
    for (uint32_t i = 0; i < e.chunks; i++)
        if (spool_chunk(spool_mem_spool(v->mem), &it->id, i, &body)) break;
    fwrite(buf_slice(&body).p, 1, buf_len(&body), stdout);
    printf("\nend %s\n", it->id.s);
    buf_deinit(&body);
    arena_deinit(&a);
    return true;
}

static void on_gone(void *owner)
{
    struct serve *v = owner;
    loop_stop(v->loop);
}

static void on_signal(void *owner, int signo)
{
    struct serve *v = owner;
    if (signo != SIGHUP) {
        smtp_server_shutdown(v->server, on_gone, v);
        return;
    }
    if (spool_each(spool_mem_spool(v->mem), 0, print_item, v)) printf("spool cannot be read\n");
    printf("listed\n");
    fflush(stdout);
}

static int fail(const char *what, const struct buf *why)
{
    fprintf(stderr, "gemel-smtp-serve: %s: %.*s\n", what, SLICE_ARG(buf_slice(why)));
    return 1;
}

static int serve(struct serve *v, struct smtp_server_conf *conf)
{
    struct buf why;
    buf_init(&why, 1000);
    if (smtp_server_create(loop_env(v->loop), conf, &v->server, &why)) return fail("listen", &why);
    for (size_t i = 0; i < conf->n_listeners; i++) {
        struct addr a;
        smtp_server_addr(v->server, i, &a);
        printf("ready %u\n", a.port);
    }
    fflush(stdout);
    loop_on_signal(v->loop, on_signal, v);
    loop_run(v->loop);
    struct smtp_server_stats st;
    smtp_server_stats(v->server, &st);
    printf("accepted %" PRIu64 " refused %" PRIu64 " sessions %" PRIu64 "\n", st.messages_accepted,
           st.messages_refused, st.sessions_total);
    smtp_server_destroy(v->server);
    buf_deinit(&why);
    return 0;
}

struct args {
    const char *host, *domain, *inside, *cert, *key, *users;
    uint64_t sync_ms, size_max;
    bool quiet;
};

static int parse_args(int argc, char **argv, struct args *a)
{
    static const struct option options[] = { { "host", 1, NULL, 'h' },    { "domain", 1, NULL, 'd' },
                                             { "inside", 1, NULL, 'i' },  { "cert", 1, NULL, 'c' },
                                             { "key", 1, NULL, 'k' },     { "users", 1, NULL, 'u' },
                                             { "sync-ms", 1, NULL, 's' }, { "size-max", 1, NULL, 'z' },
                                             { "quiet", 0, NULL, 'q' },   { 0 } };
    *a = (struct args){ .host = "mx.example.com", .domain = "example.com", .sync_ms = 1 };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'h': a->host = optarg; break;
        case 'd': a->domain = optarg; break;
        case 'i': a->inside = optarg; break;
        case 'c': a->cert = optarg; break;
        case 'k': a->key = optarg; break;
        case 'u': a->users = optarg; break;
        case 's': a->sync_ms = strtoull(optarg, NULL, 10); break;
        case 'z': a->size_max = strtoull(optarg, NULL, 10); break;
        case 'q': a->quiet = true; break;
        default: return 2;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct serve v = { 0 };
    struct args a;
    struct log log;
    struct buf why;
    struct prefix inside;
    if (parse_args(argc, argv, &a)) return 2;
    buf_init(&why, 1000);
    log_to_fd(&log, STDERR_FILENO, a.quiet ? LOG_ERROR : LOG_INFO);
    if (loop_create(&log, &v.loop)) return 1;
    const struct env *env = loop_env(v.loop);
    queue_ids_init(&v.ids, SLICE("test"), env->rng);
    v.mem = spool_mem_create(env, (uint32_t)a.sync_ms);
    struct tls_conf tls = { .cert_file = a.cert, .key_file = a.key };
    if (a.cert && tls_context_create(&tls, &v.tls, &why)) return fail("tls", &why);
    if (a.users && users_file_create(env, loop_uv(v.loop), a.users, &v.users, &why))
        return fail("users", &why);
    if (a.inside && prefix_parse(slice_of(a.inside), &inside)) return fail(a.inside, &why);
    struct slice domain = slice_of(a.domain);
    struct smtp_listener_conf doors[] = { { .kind = ACCEPT_MX },
                                          { .kind = ACCEPT_SUBMISSION },
                                          { .kind = ACCEPT_SMARTHOST } };
    for (size_t i = 0; i < ARRAY_LEN(doors); i++)
        if (addr_parse_port(SLICE("127.0.0.1:0"), 0, &doors[i].addr)) return 1;
    struct smtp_server_conf conf = { .listeners = doors,
                                     .n_listeners = ARRAY_LEN(doors),
                                     .session = { .hostname = slice_of(a.host), .domain = domain },
                                     .relay = { &domain, 1, &inside, a.inside != NULL },
                                     .intake = { .spool = spool_mem_spool(v.mem),
                                                 .ids = &v.ids,
                                                 .host = slice_of(a.host),
                                                 .node = SLICE("test") },
                                     .tls = v.tls,
                                     .auth = v.users ? users_file_auth(v.users) : NULL };
    smtp_server_conf_defaults(&conf);
    if (a.size_max) conf.session.size_max = a.size_max;
    int rc = serve(&v, &conf);
    users_file_destroy(v.users);
    spool_mem_destroy(v.mem);
    loop_destroy(v.loop);
    tls_context_destroy(v.tls);
    buf_deinit(&why);
    return rc;
}
