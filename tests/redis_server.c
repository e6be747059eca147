#include "tests/redis_server.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/certs.h"
#include "tests/test.h"

uint16_t test_free_port(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (void *)&in, sizeof in), 0);
    getsockname(fd, (void *)&in, &n);
    close(fd);
    return ntohs(in.sin_port);
}

void redis_server_start(struct redis_server *s)
{
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stdout)) _exit(126);
        execlp("redis-server", "redis-server", s->conf, (char *)NULL);
        _exit(127);
    }
    struct sockaddr_storage ss;
    socklen_t n = addr_to_sockaddr(&s->addr, &ss);
    for (int i = 0; i < 1000; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int rc = connect(fd, (void *)&ss, n);
        close(fd);
        if (rc == 0) return;
        usleep(10000);
    }
    fail_msg("redis-server does not start");
}

void redis_server_kill(struct redis_server *s, int signo)
{
    if (s->pid <= 0) return;
    kill(s->pid, signo);
    if (signo == SIGKILL || signo == SIGTERM) {
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
}

void redis_server_init(struct redis_server *s, const char *extra)
{
    *s = (struct redis_server){ .folder = test_folder() };
    assert_int_equal(addr_parse(SLICE("127.0.0.1"), &s->addr), ERR_OK);
    s->addr.port = test_free_port();
    snprintf(s->conf, sizeof s->conf, "%s/redis.conf", s->folder);
    bool tls = strstr(extra, "tls-cert-file") != NULL;
    FILE *f = fopen(s->conf, "w");
    fprintf(f, "bind 127.0.0.1\nport %u\n%s %u\ndir %s\nsave \"\"\n%s\n", tls ? 0 : s->addr.port,
            tls ? "tls-port" : "# tls-port", s->addr.port, s->folder, extra);
    fclose(f);
    redis_server_start(s);
}

void redis_server_deinit(struct redis_server *s)
{
    redis_server_kill(s, SIGKILL);
    test_folder_remove(s->folder);
    free(s->folder);
}
