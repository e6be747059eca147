/* node/queue/deliverer.h: the port between the queue, which decides when, and the relay, which knows how.
 *
 * A job is made and freed by the queue manager on the control loop. Between start and done it is const for everybody,
 * so a worker may read it from its own thread; the worker reads the body chunk by chunk from its own loop's spool
 * handle (spool_chunk, job->envelope->chunks of them). */
#ifndef GEMEL_NODE_QUEUE_DELIVERER_H
#define GEMEL_NODE_QUEUE_DELIVERER_H

#include "node/queue/envelope.h"

enum delivery_outcome {
    DELIVERY_SENT,     /* 2yz after the dot, DSN options passed on */
    DELIVERY_RELAYED,  /* 2yz after the dot, the next hop knows no DSN */
    DELIVERY_DEFERRED, /* try again later: 4yz, no connection, DNS trouble */
    DELIVERY_FAILED,   /* 5yz for this recipient or message: never */
    DELIVERY_LISTED, /* refused because of who we are: wait, and let the other identity send. Never a bounce */
    DELIVERY_NOT_NOW, /* nothing was sent: the gate closed, a worker stopped. Not an attempt */
    DELIVERY_OUTCOMES
};

/* Why a deferral happened, which is what the retry stages ask (QR-05 to QR-08). */
enum delivery_cause {
    DELIVERY_CAUSE_MESSAGE, /* the answer was about this message or recipient */
    DELIVERY_CAUSE_CONNECTION, /* the destination could not be reached, or refused the session: all its mail waits */
    DELIVERY_CAUSE_GREYLIST, /* come back later, soon */
};

struct
    delivery_result { /* one a recipient of the job, in the job's order. Slices are borrowed until done returns */
    enum delivery_outcome outcome;
    enum delivery_cause cause;
    struct slice reply;  /* whole reply, lines joined by " / ", or our own reason */
    struct slice mta;    /* host that answered; empty: none did */
    struct slice status; /* enhanced status "4.7.1"; empty: derive it from the reply code */
    struct slice stage;  /* connect banner helo mail rcpt data dot */
};

struct delivery_job {
    struct queue_id id;
    enum flow flow;
    struct slice destination; /* lower case: recipient domain (look up MX), or a next hop "[10.0.0.25]:25" */
    const struct envelope *envelope; /* sender, DSN parameters, SMTPUTF8, size, chunks */
    const uint32_t *rcpts;           /* indexes into envelope->rcpts, all of them waiting */
    size_t n_rcpts;
    void *deliverer_data; /* the deliverer's own; NULL at start */
};

/* On the control loop, once, never before start returns. `results` has job->n_rcpts entries. The job is freed inside. */
typedef void delivery_done_fn(void *queue, struct delivery_job *job, const struct delivery_result *results);

struct deliverer {
    void (*start)(void *owner, struct delivery_job *job, delivery_done_fn *done, void *queue);
    /* Ends a job early: `done` still comes, later, with NOT_NOW unless the dot was already sent. */
    void (*stop)(void *owner, struct delivery_job *job);
    void *owner;
};

#endif
