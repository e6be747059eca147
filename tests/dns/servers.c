#include "tests/dns/servers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "tests/test.h"

static bool can_bind(uint16_t port, int type)
{
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_port = htons(port),
                               .sin_addr.s_addr = htonl(INADDR_ANY) };
    int fd = socket(AF_INET, type, 0);
    bool ok = bind(fd, (struct sockaddr *)&sin, sizeof sin) == 0;
    close(fd);
    return ok;
}

/* Below the range the kernel gives to outgoing sockets, so that none of those takes it before the server does. */
static uint16_t free_port(void)
{
    struct rng rng;
    rng_init_kernel(&rng);
    for (int i = 0; i < 1000; i++) {
        uint16_t port = (uint16_t)rng_between(&rng, 12000, 32000);
        if (can_bind(port, SOCK_STREAM) && can_bind(port, SOCK_DGRAM)) return port;
    }
    fail();
    return 0;
}

void server_prepare(struct server *s)
{
    memset(s, 0, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "/tmp/gemel-dns-test.XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    assert_int_equal(chmod(s->dir, 0755), 0); /* rbldnsd insists on another user */
    s->port = free_port();
}

void server_write(const struct server *s, const char *file, const char *fmt, ...)
{
    char path[SERVER_PATH_MAX * 2];
    va_list ap;
    snprintf(path, sizeof path, "%s/%s", s->dir, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    va_start(ap, fmt);
    vfprintf(f, fmt, ap);
    va_end(ap);
    fclose(f);
}

static int spawn(const struct server *s, const char *const argv[])
{
    int pid = fork();
    assert_true(pid >= 0);
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no daemon */
    if (chdir(s->dir)) _exit(126);
    int log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, 1);
    dup2(log, 2);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

static bool listens(const char *addr, uint16_t port)
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, addr, &sin.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool ok = connect(fd, (struct sockaddr *)&sin, sizeof sin) == 0;
    close(fd);
    return ok;
}

static void fail_with_log(const struct server *s, const char *what)
{
    char command[SERVER_PATH_MAX + 32];
    print_error("%s\n", what);
    snprintf(command, sizeof command, "tail -20 %s/log >&2", s->dir);
    if (system(command)) print_error("no log\n");
    fail();
}

void server_start(struct server *s, const char *addr, bool udp_only, const char *const argv[])
{
    if (access(argv[0], X_OK)) fail_with_log(s, argv[0]);
    s->pid = spawn(s, argv);
    for (int i = 0; i < 500; i++) {
        usleep(20000);
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) fail_with_log(s, "the server ended");
        if (udp_only ? i > 10 : listens(addr, s->port)) return;
    }
    fail_with_log(s, "the server does not listen");
}

int server_run(const struct server *s, const char *const argv[])
{
    int status;
    int pid = spawn(s, argv);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void server_stop(struct server *s)
{
    if (s->pid) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
    }
    nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    s->pid = 0;
}
