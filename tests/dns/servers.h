/* tests/dns/servers.h: real name servers on loopback, started by the test and ended with it. */
#ifndef GEMEL_TESTS_DNS_SERVERS_H
#define GEMEL_TESTS_DNS_SERVERS_H

#include "base/base.h"

enum { SERVER_PATH_MAX = 256 };

struct server {
    int pid;
    uint16_t port;
    char dir[SERVER_PATH_MAX]; /* its own, removed in the end */
};

/* A folder and a port nobody uses on loopback just now. */
void server_prepare(struct server *s);
void server_write(const struct server *s, const char *file, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Runs argv in the folder and waits until TCP (or, when `udp_only`, some time) answers on `addr`. Fails the test when the
 * program ends or does not listen within 10 s; its output is in DIR/log. */
void server_start(struct server *s, const char *addr, bool udp_only, const char *const argv[]);
void server_stop(struct server *s);
/* Waits for a short program; its exit status. */
int server_run(const struct server *s, const char *const argv[]);

#endif
