/* tests/redis_server.h: a real redis-server for one test, on a free port of loopback, in a folder of its own. */
#ifndef GEMEL_TESTS_REDIS_SERVER_H
#define GEMEL_TESTS_REDIS_SERVER_H

#include <sys/types.h>

#include "base/addr.h"

struct redis_server {
    char *folder;
    char conf[128];
    struct addr addr;
    pid_t pid; /* 0: does not run */
};

/* `extra`: lines for redis.conf; with "tls-cert-file" in it the port speaks TLS. */
void redis_server_init(struct redis_server *s, const char *extra);
void redis_server_start(
    struct redis_server *s); /* again, after a kill; on the same port, with the same folder */
void redis_server_kill(struct redis_server *s, int signo);
void redis_server_deinit(struct redis_server *s);

uint16_t test_free_port(void);

#endif
