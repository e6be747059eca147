#include "tests/node/relay/receiver.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/test.h"

static const char *const friendly[RECEIVER_POINTS] = {
    [AT_BANNER] = "220 mx.example.net ESMTP",
    [AT_EHLO] = "250-mx.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 DSN",
    [AT_STARTTLS] = "220 2.0.0 go ahead",
    [AT_MAIL] = "250 2.1.0 ok",
    [AT_RCPT] = "250 2.1.5 ok",
    [AT_DATA] = "354 go ahead",
    [AT_DOT] = "250 2.0.0 queued",
    [AT_RSET] = "250 2.0.0 ok",
    [AT_QUIT] = "221 2.0.0 bye",
};

void receiver_say(struct receiver *r, size_t conn, const char *line)
{
    char text[2000];
    snprintf(text, sizeof text, "%s\r\n", line);
    assert_non_null(r->conns[conn].s);
    stream_write(r->conns[conn].s, slice_of(text));
}

/* False: the connection is gone, or says nothing any more. */
static bool answer(struct receiver_conn *c, enum receiver_at at)
{
    struct receiver *r = c->r;
    const char *reply = r->reply[at] ? r->reply[at] : friendly[at];
    if (r->once) r->reply[at] = NULL;
    if (strcmp(reply, RECEIVER_STALL) == 0) {
        c->stalled = true;
        return false;
    }
    if (strcmp(reply, RECEIVER_CLOSE) == 0) {
        stream_finish(&c->s, 100);
        return false;
    }
    if (strcmp(reply, RECEIVER_RESET) == 0) {
        stream_reset(&c->s);
        return false;
    }
    receiver_say(r, (size_t)(c - r->conns), reply);
    return true;
}

static bool rcpt(struct receiver_conn *c)
{
    struct receiver *r = c->r;
    char text[ADDR_TEXT_MAX], line[300];
    if (r->listed && strcmp(addr_format(&c->peer, text), r->listed) == 0) {
        snprintf(line, sizeof line,
                 "554 5.7.1 Service unavailable; Client host [%s] blocked using bl.dnsbl.example", text);
        receiver_say(r, (size_t)(c - r->conns), line);
        return true;
    }
    if (r->rcpts_max && c->rcpts >= r->rcpts_max) {
        receiver_say(r, (size_t)(c - r->conns), "452 4.5.3 too many recipients");
        return true;
    }
    c->rcpts++;
    return answer(c, AT_RCPT);
}

static bool command(struct receiver_conn *c, struct slice line)
{
    static const struct {
        struct slice verb;
        enum receiver_at at;
    } verbs[] = { { SLICE_INIT("EHLO"), AT_EHLO },         { SLICE_INIT("HELO"), AT_EHLO },
                  { SLICE_INIT("STARTTLS"), AT_STARTTLS }, { SLICE_INIT("MAIL"), AT_MAIL },
                  { SLICE_INIT("DATA"), AT_DATA },         { SLICE_INIT("RSET"), AT_RSET },
                  { SLICE_INIT("QUIT"), AT_QUIT } };
    struct receiver *r = c->r;
    buf_putf(&r->commands, "%.*s\n", SLICE_ARG(line));
    struct slice rest = line, verb = slice_word(&rest);
    if (slice_ieq(verb, SLICE("RCPT"))) return rcpt(c);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (!slice_ieq(verb, verbs[i].verb)) continue;
        if (verbs[i].at == AT_EHLO) snprintf(r->helo, sizeof r->helo, "%.*s", SLICE_ARG(slice_trim(rest)));
        if (verbs[i].at == AT_MAIL || verbs[i].at == AT_RSET) c->rcpts = 0;
        if (!answer(c, verbs[i].at)) return false;
        if (verbs[i].at == AT_DATA && !r->reply[AT_DATA]) c->in_data = true;
        if (verbs[i].at == AT_STARTTLS && !r->reply[AT_STARTTLS]) {
            buf_clear(&c->in);
            stream_starttls(c->s, r->tls, true, NULL);
            return false;
        }
        return true;
    }
    receiver_say(r, (size_t)(c - r->conns), "500 5.5.1 what?");
    return true;
}

static bool content(struct receiver_conn *c, struct slice line)
{
    struct receiver *r = c->r;
    if (!slice_eq(line, SLICE("."))) {
        if (line.n && line.p[0] == '.') line = slice_skip(line, 1);
        buf_putf(&r->mails, "%.*s\r\n", SLICE_ARG(line));
        return true;
    }
    c->in_data = false;
    r->n_dots++;
    if (!r->reply[AT_DOT] || r->reply[AT_DOT][0] == '2') {
        r->n_mails++;
        r->n_rcpts_taken += c->rcpts;
    }
    c->rcpts = 0;
    return answer(c, AT_DOT);
}

static void data_on(void *owner, struct slice bytes)
{
    struct receiver_conn *c = owner;
    buf_put(&c->in, bytes);
    while (!c->stalled) {
        struct slice in = buf_slice(&c->in);
        size_t end = slice_find_slice(in, SLICE("\r\n"));
        if (end == in.n) return;
        char *line = slice_dup(slice_sub(in, 0, end));
        buf_consume(&c->in, end + 2);
        bool on = c->in_data ? content(c, slice_from(line, end)) : command(c, slice_from(line, end));
        free(line);
        if (!on) return;
    }
}

static void end_on(void *owner, enum err why, const char *detail)
{
    struct receiver_conn *c = owner;
    c->r->ended[c - c->r->conns] = true;
    stream_close(&c->s);
}

static void secured_on(void *owner, enum err err, const char *detail)
{
    struct receiver_conn *c = owner;
    if (err) stream_close(&c->s);
}

static const struct stream_events events = { data_on, end_on, NULL, secured_on };

static void accepted_on(void *owner, struct stream *s)
{
    struct receiver *r = owner;
    assert_true(r->n_conns < RECEIVER_CONNS_MAX);
    struct receiver_conn *c = &r->conns[r->n_conns++];
    *c = (struct receiver_conn){ .r = r, .s = s };
    buf_init(&c->in, 16 << 20);
    stream_peer(s, &c->peer);
    stream_attach(s, &events, c);
    answer(c, AT_BANNER);
}

void receiver_init(struct receiver *r, const struct env *env, const char *ip)
{
    *r = (struct receiver){ .env = env };
    struct listen_conf conf = { .backlog = 20 };
    assert_int_equal(addr_parse(slice_of(ip), &conf.addr), ERR_OK);
    buf_init(&r->mails, 64 << 20);
    buf_init(&r->commands, 1 << 20);
    assert_int_equal(net_listen(env->net, &conf, accepted_on, r, &r->listener, NULL), ERR_OK);
    listener_addr(r->listener, &r->addr);
}

void receiver_deinit(struct receiver *r)
{
    listener_close(&r->listener);
    for (size_t i = 0; i < r->n_conns; i++) {
        stream_close(&r->conns[i].s);
        buf_deinit(&r->conns[i].in);
    }
    buf_deinit(&r->mails);
    buf_deinit(&r->commands);
}

bool receiver_open(const struct receiver *r)
{
    for (size_t i = 0; i < r->n_conns; i++)
        if (r->conns[i].s) return true;
    return false;
}
