/* node/smtp/server_inside.h: what server.c (listeners, limits) and conn.c (one connection) share. */
#ifndef GEMEL_NODE_SMTP_SERVER_INSIDE_H
#define GEMEL_NODE_SMTP_SERVER_INSIDE_H

#include "base/list.h"
#include "base/map.h"
#include "base/timers.h"
#include "node/smtp/server.h"

struct smtp_door { /* a listener */
    struct smtp_server *server;
    const struct smtp_listener_conf *conf;
    struct smtp_session_conf session;
    struct listener *listener;
};

struct smtp_server {
    struct env env;
    struct smtp_server_conf conf;
    struct smtp_door *doors;
    struct list conns;
    struct map per_client; /* address bytes → number of sessions, as a pointer */
    struct smtp_server_stats stats;
    struct timer done_timer;
    smtp_server_done_fn *done;
    void *done_owner;
    uint64_t spool_asked_ms; /* when spool_accepts was true or false */
    bool spool_accepts;
    bool leaving;
};

struct conn;
/* Owns the stream from here on. `turned_away`: what the greeting says instead; NONE: welcome. */
void smtp_conn_open(struct smtp_door *door, struct stream *stream, enum smtp_reply turned_away);
void smtp_conn_shutdown(struct list *link); /* a member of server->conns; may end it */
void smtp_conn_destroy(struct list *link);
void server_left(struct smtp_server *s, const struct addr *peer); /* a session has ended */

#endif
