/* tests/node/smtp/talk.h: a shell around the session core that lives in memory. It judges by simple rules, keeps what
 * the session said and stored, and asserts the session's promises at every step. */
#ifndef GEMEL_TESTS_NODE_SMTP_TALK_H
#define GEMEL_TESTS_NODE_SMTP_TALK_H

#include "node/smtp/session.h"

struct talk {
    struct smtp_session_conf conf;
    struct smtp_session s;
    struct buf said;   /* every reply */
    struct buf stored; /* "from=<…> to=<…>\n" and the body of each accepted message, then "\n--\n" */
    struct buf body;   /* of the message under way */
    bool open;         /* a message was begun and not ended */
    bool closed;
    bool slow;          /* answers at JUDGE come only when asked by talk_answer */
    uint32_t paused_ms; /* sum */
    unsigned judged[SMTP_STAGES];
    enum smtp_reply refuse_at[SMTP_STAGES]; /* NONE: accept */
    struct slice foreign;                   /* recipients that end like this are refused */
    struct buf pending;                     /* input the session has not seen yet */
    enum smtp_want want;
    enum smtp_stage stage;
};

void talk_init(struct talk *t); /* everything offered, greeted */
void talk_init_with(struct talk *t, const struct smtp_session_conf *conf);
void talk_deinit(struct talk *t);
void talk_send(struct talk *t, struct slice bytes); /* what comes after the close is thrown away */
void talk_answer(struct talk *t);                   /* the verdict a slow talk owes */
void talk_event(struct talk *t, enum smtp_event_kind kind);
void talk_verdict(struct talk *t, const struct smtp_verdict *v);

#endif
