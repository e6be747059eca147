/* Two real coordinators, a real Redis, no node and no DNS: who leads, who answers what, and that they end cleanly. */
#include "coordinator/daemon.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/timers.h"
#include "tests/certs.h"
#include "tests/redis_server.h"
#include "tests/test.h"

enum { WAIT_MS = 20000, LEASE_MS = 1500 };

struct one {
    const char *name;
    char yaml[256], socket[256];
    struct addr http;
    pid_t pid;
};

struct world {
    char *folder;
    struct redis_server redis;
    struct one c[2];
};

static void put(const struct world *w, const char *name, const char *text)
{
    struct disk d;
    char path[300];
    disk_os(&d);
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    assert_int_equal(disk_write(&d, path, slice_of(text)), ERR_OK);
}

static void put_cluster(const struct world *w)
{
    char redis[ADDR_TEXT_MAX], text[2048];
    snprintf(text, sizeof text,
             "cluster: lab\nallow_documentation_addresses: yes\n"
             "identities:\n  - { name: edge1, node: edge1, ip: 198.51.100.10, helo: edge1.example.com }\n"
             "  - { name: edge2, node: edge2, ip: 203.0.113.10, helo: edge2.example.com }\n"
             "nodes: [ { name: edge1, handoff: 127.0.0.1 }, { name: edge2, handoff: 127.0.0.2 } ]\n"
             "coordinators:\n  - { name: c1, link: \"127.0.0.1:%u\", http: \"127.0.0.1:%u\" }\n"
             "  - { name: c2, link: \"127.0.0.1:%u\", http: \"127.0.0.1:%u\" }\n"
             "redis: { server: \"%s\" }\nresolvers: [ 127.0.0.9 ]\n"
             "dns: { server: \"127.0.0.9:9\", zone: gw.example.com, mail_domain: example.com, "
             "update_timeout: 300ms,\n"
             "       tsig: { name: k, secret_file: tsig.secret } }\n"
             "blocklists: [ { zone: bl.example, codes: [ 2 ], weight: 5 } ]\n"
             "failover: { lease: 1500ms, renew: 200ms, redis_timeout: 400ms, margin: 300ms, stall: 500ms, "
             "heartbeat: 300ms,\n"
             "            redis_role_wait: 0s, poll: 1s }\n",
             test_free_port(), w->c[0].http.port, test_free_port(), w->c[1].http.port,
             addr_format_port(&w->redis.addr, redis));
    put(w, "cluster.yaml", text);
    put(w, "tsig.secret", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=\n");
}

NORETURN static void child(struct one *c)
{
    struct opt_source src, cluster_src;
    static struct coordinator_conf conf;
    struct log log;
    struct daemon *d;
    struct buf why;
    log_to_fd(&log, STDERR_FILENO, getenv("GEMEL_TEST_LOG") ? LOG_INFO : LOG_ERROR + 1);
    opt_source_init(&src, c->yaml);
    buf_init(&why, 4096);
    if (coordinator_conf_load(&src, &cluster_src, &conf)) {
        fprintf(stderr, "%s%s", buf_cstr(&src.errors), buf_cstr(&cluster_src.errors));
        exit(90);
    }
    if (daemon_create(&conf, &log, &d, &why)) {
        fprintf(stderr, "%s\n", buf_cstr(&why));
        exit(91);
    }
    daemon_run(d);
    daemon_destroy(d);
    coordinator_conf_wipe(&conf);
    opt_source_deinit(&src);
    opt_source_deinit(&cluster_src);
    buf_deinit(&why);
    exit(7); /* told apart from cmocka's own; leaks would make it another */
}

static void start(struct one *c)
{
    fflush(NULL);
    c->pid = fork();
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        child(c);
    }
    assert_true(c->pid > 0);
}

static int stop(struct one *c, int signo)
{
    int status = 0;
    kill(c->pid, signo);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    c->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void world_init(struct world *w)
{
    struct cert_files files;
    *w = (struct world){ .folder = test_folder() };
    struct certs *ca = certs_create(w->folder, "ca");
    redis_server_init(&w->redis, "");
    for (int i = 0; i < 2; i++) {
        struct one *c = &w->c[i];
        char file[32], text[1024];
        c->name = i ? "c2" : "c1";
        snprintf(c->yaml, sizeof c->yaml, "%s/%s.yaml", w->folder, c->name);
        snprintf(c->socket, sizeof c->socket, "%s/%s.sock", w->folder, c->name);
        c->http = (struct addr){ .family = ADDR_V4, .ip = { 127, 0, 0, 1 }, .port = test_free_port() };
        snprintf(file, sizeof file, "DNS:%s", c->name);
        certs_issue(ca, c->name, c->name, file, 1, &files);
        snprintf(text, sizeof text,
                 "cluster: cluster.yaml\nname: %s\nstate: %s.state\nadmin: %s.sock\ntls: { ca: ca.pem, cert: "
                 "%s.pem, key: %s.key }\n",
                 c->name, c->name, c->name, c->name, c->name);
        snprintf(file, sizeof file, "%s.yaml", c->name);
        put(w, file, text);
    }
    certs_destroy(ca);
    put_cluster(w);
}

static void world_deinit(struct world *w)
{
    for (int i = 0; i < 2; i++)
        if (w->c[i].pid) stop(&w->c[i], SIGKILL);
    redis_server_deinit(&w->redis);
    test_folder_remove(w->folder);
    free(w->folder);
}

/* ---- asking ---- */

static int dial(const struct one *c, bool tcp)
{
    struct sockaddr_storage ss;
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(un.sun_path, sizeof un.sun_path, "%.100s", c->socket);
    socklen_t n = addr_to_sockaddr(&c->http, &ss);
    int rc = tcp ? connect(fd, (struct sockaddr *)&ss, n) : connect(fd, (struct sockaddr *)&un, sizeof un);
    if (!rc) return fd;
    close(fd);
    return -1;
}

/* The status; 0: nobody answers. *body (may be NULL) gets the JSON, yours. */
static int ask(const struct one *c, bool tcp, const char *method, const char *target, const char *json,
               json_t **body)
{
    char request[1024], answer[65536];
    size_t got = 0;
    int fd = dial(c, tcp), status = 0;
    if (body) *body = NULL;
    if (fd < 0) return 0;
    int n = snprintf(request, sizeof request,
                     "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                     method, target, strlen(json), json);
    assert_int_equal(write(fd, request, (size_t)n), n);
    for (ssize_t r; got < sizeof answer - 1 && (r = read(fd, answer + got, sizeof answer - 1 - got)) > 0;)
        got += (size_t)r;
    close(fd);
    answer[got] = '\0';
    if (sscanf(answer, "HTTP/1.1 %d", &status) != 1) return 0;
    char *at = strstr(answer, "\r\n\r\n");
    if (body && at) *body = json_loads(at + 4, 0, NULL);
    return status;
}

static int get(const struct one *c, const char *path)
{
    return ask(c, true, "GET", path, "", NULL);
}

static int post(const struct one *c, const char *path, const char *json)
{
    return ask(c, false, "POST", path, json, NULL);
}

/* Asks until the condition holds. */
#define UNTIL(cond)                                                                \
    do {                                                                           \
        uint64_t give_up_ = clock_boot_ms(NULL) + WAIT_MS;                         \
        bool true_ = false;                                                        \
        while (!(true_ = (cond)) && clock_boot_ms(NULL) < give_up_) usleep(20000); \
        if (!true_) fail_msg("never came true: %s", #cond);                        \
    } while (0)

static struct one *leader(struct world *w)
{
    UNTIL(get(&w->c[0], "/leader") == 200 || get(&w->c[1], "/leader") == 200);
    return get(&w->c[0], "/leader") == 200 ? &w->c[0] : &w->c[1];
}

static const char *text_at(json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

TEST(one_leads_the_other_follows_and_passes_commands_on)
{
    struct world w;
    json_t *o;
    world_init(&w);
    start(&w.c[0]);
    start(&w.c[1]);
    struct one *a = leader(&w), *b = a == &w.c[0] ? &w.c[1] : &w.c[0];
    UNTIL(get(b, "/readiness") == 200);
    assert_int_equal(get(b, "/leader"), 503);
    assert_int_equal(get(b, "/health"), 200);
    assert_int_equal(get(b, "/liveness"), 200);
    /* The one that follows knows who leads, and hands the command to it. */
    UNTIL(ask(b, true, "GET", "/leader", "", &o) == 503 &&
          (strcmp(text_at(o, "leader"), a->name) == 0 || (json_decref(o), 0)));
    json_decref(o);
    assert_int_equal(ask(b, false, "POST", "/pause", "{\"by\":\"me\"}", &o), 200);
    assert_string_equal(text_at(o, "result"), "done");
    json_decref(o);
    UNTIL(ask(a, false, "GET", "/cluster", "", &o) == 200 &&
          (strcmp(text_at(o, "mode"), "paused") == 0 || (json_decref(o), 0)));
    json_decref(o);
    assert_int_equal(ask(b, false, "GET", "/cluster", "", &o), 200);
    assert_string_equal(text_at(o, "coordinator"), a->name);
    json_decref(o);
    assert_int_equal(ask(b, false, "GET", "/cluster?local=1", "", &o), 200);
    assert_string_equal(text_at(o, "coordinator"), b->name);
    json_decref(o);
    assert_int_equal(post(a, "/resume", ""), 200);
    assert_int_equal(stop(b, SIGTERM), 7);
    assert_int_equal(stop(a, SIGTERM), 7);
    world_deinit(&w);
}

TEST(every_request_has_its_status)
{
    struct world w;
    json_t *o;
    world_init(&w);
    start(&w.c[0]);
    struct one *a = leader(&w);
    assert_int_equal(ask(a, true, "HEAD", "/cluster", "", NULL), 200);
    assert_int_equal(ask(a, true, "POST", "/pause", "{}", &o), 403);
    assert_string_equal(text_at(o, "leader"), "c1");
    json_decref(o);
    assert_int_equal(get(a, "/nothing"), 404);
    assert_int_equal(ask(a, false, "GET", "/pause", "", NULL), 405);
    assert_int_equal(post(a, "/cluster", "{}"), 405);
    assert_int_equal(post(a, "/pause", "{"), 400);
    assert_int_equal(post(a, "/pause", "[]"), 400);
    assert_int_equal(post(a, "/switchover", "{\"to\":\"edge9\"}"), 400);
    assert_int_equal(post(a, "/failover", "{\"to\":\"edge2\"}"), 400);
    assert_int_equal(post(a, "/failover", "{\"force\":true}"), 400);
    assert_int_equal(post(a, "/pin", "{\"identity\":\"edge2\"}"), 400);
    assert_int_equal(post(a, "/dnsbl/check", "{\"ip\":\"x\"}"), 400);
    assert_int_equal(get(a, "/history?n=0"), 400);
    assert_int_equal(get(a, "/history?n=501"), 400);
    assert_int_equal(get(a, "/dnsbl/explain?ip=192.0.2.9"), 404);
    assert_int_equal(ask(a, true, "GET", "/history?n=3", "", &o), 200);
    assert_true(json_is_array(json_object_get(o, "history")));
    json_decref(o);
    assert_int_equal(get(a, "/dnsbl"), 200);
    assert_int_equal(get(a, "/spf"), 200);
    assert_int_equal(get(a, "/metrics"), 200);
    /* No node was ever heard of: nobody can take over, and that is told. */
    assert_int_equal(ask(a, false, "POST", "/switchover", "{\"to\":\"edge2\"}", &o), 412);
    assert_string_equal(text_at(o, "result"), "refused");
    assert_true(strlen(text_at(o, "text")) > 10);
    json_decref(o);
    assert_int_equal(post(a, "/pin", "{\"identity\":\"edge2\",\"for_ms\":60000}"), 200);
    UNTIL(ask(a, true, "GET", "/cluster", "", &o) == 200 &&
          (strcmp(text_at(o, "mode"), "pinned") == 0 || (json_decref(o), 0)));
    json_decref(o);
    assert_int_equal(post(a, "/unpin", "{}"), 200);
    assert_int_equal(stop(a, SIGINT), 7);
    world_deinit(&w);
}

TEST(the_other_leads_when_the_leader_dies_and_nobody_without_redis)
{
    struct world w;
    world_init(&w);
    start(&w.c[0]);
    start(&w.c[1]);
    struct one *a = leader(&w), *b = a == &w.c[0] ? &w.c[1] : &w.c[0];
    assert_int_equal(stop(a, SIGKILL), -SIGKILL);
    UNTIL(get(b, "/leader") == 200);
    redis_server_kill(&w.redis, SIGKILL);
    UNTIL(get(b, "/leader") == 503);
    UNTIL(get(b, "/readiness") == 503);
    assert_int_equal(get(b, "/health"), 200);
    assert_int_equal(post(b, "/pause", "{}"), 503);
    redis_server_start(&w.redis);
    UNTIL(get(b, "/leader") == 200);
    assert_int_equal(stop(b, SIGTERM), 7);
    world_deinit(&w);
}

TEST(an_address_in_use_ends_the_start_with_a_sentence)
{
    struct world w;
    int status;
    world_init(&w);
    start(&w.c[0]);
    UNTIL(get(&w.c[0], "/health") == 200);
    pid_t first = w.c[0].pid;
    start(&w.c[0]);
    assert_int_equal(waitpid(w.c[0].pid, &status, 0), w.c[0].pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 91);
    w.c[0].pid = first;
    assert_int_equal(stop(&w.c[0], SIGTERM), 7);
    world_deinit(&w);
}
