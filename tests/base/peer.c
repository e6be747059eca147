#include "tests/base/peer.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/test.h"

static void on_data(void *owner, struct slice bytes)
{
    struct peer *p = owner;
    buf_put(&p->got, bytes);
    if (p->on_data) p->on_data(p);
    if (p->close_on_data) stream_close(&p->s);
    if (p->free_on_data) {
        stream_close(&p->s);
        buf_deinit(&p->got);
        free(p);
    }
}

static void on_end(void *owner, enum err why, const char *detail)
{
    struct peer *p = owner;
    p->ends++;
    p->why = why;
    snprintf(p->detail, sizeof p->detail, "%s", detail);
}

static void on_drained(void *owner)
{
    ((struct peer *)owner)->drains++;
}

static void on_secured(void *owner, enum err err, const char *detail)
{
    struct peer *p = owner;
    p->answers++;
    p->secured = err;
    snprintf(p->detail, sizeof p->detail, "%s", detail);
    if (p->on_secured) p->on_secured(p);
}

static const struct stream_events events = { on_data, on_end, on_drained, on_secured };

void peer_init(struct peer *p)
{
    *p = (struct peer){ 0 };
    buf_init(&p->got, 64 << 20);
}

void peer_deinit(struct peer *p)
{
    stream_close(&p->s);
    buf_deinit(&p->got);
}

void peer_attach(struct peer *p, struct stream *s)
{
    p->s = s;
    stream_attach(s, &events, p);
}

static void accepted(void *owner, struct stream *s)
{
    struct pair *p = owner;
    if (p->accepts++ == 0)
        peer_attach(&p->server, s);
    else
        stream_close(&s);
}

static void dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct pair *p = owner;
    p->op = NULL;
    p->dialled = true;
    p->err = err;
    snprintf(p->detail, sizeof p->detail, "%s", detail);
    if (s) peer_attach(&p->client, s);
}

void pair_init(struct pair *p)
{
    *p = (struct pair){ 0 };
    assert_int_equal(loop_create(NULL, &p->loop), ERR_OK);
    p->env = loop_env(p->loop);
    peer_init(&p->server);
    peer_init(&p->client);
}

void pair_deinit(struct pair *p)
{
    net_dial_cancel(&p->op);
    listener_close(&p->listener);
    peer_deinit(&p->server);
    peer_deinit(&p->client);
    loop_destroy(p->loop);
}

void pair_listen(struct pair *p, struct listen_conf conf)
{
    const char *detail = "";
    if (!conf.unix_path && conf.addr.family == ADDR_NONE)
        assert_int_equal(addr_parse(SLICE("127.0.0.1"), &conf.addr), ERR_OK);
    enum err err = net_listen(p->env->net, &conf, accepted, p, &p->listener, &detail);
    if (err) fail_msg("listen: %s", detail);
    listener_addr(p->listener, &p->addr);
}

void pair_dial(struct pair *p, struct dial_conf conf)
{
    if (conf.to.family == ADDR_NONE) conf.to = p->addr;
    if (!conf.limit_ms) conf.limit_ms = 5000;
    p->dialled = false;
    p->op = net_dial(p->env->net, &conf, dialled, p);
    assert_false(p->dialled);
}

void pair_connect(struct pair *p)
{
    pair_listen(p, (struct listen_conf){ 0 });
    pair_dial(p, (struct dial_conf){ 0 });
    RUN_UNTIL(p->loop, p->dialled && p->accepts);
    assert_int_equal(p->err, ERR_OK);
}
