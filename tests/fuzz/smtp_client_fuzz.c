/* The client session against a server that says whatever the input says. First byte: options; the rest is cut into
 * pieces by its own bytes. Whatever happens, every recipient has a verdict once the session is over. */
#include "base/buf.h"
#include "node/relay/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct fuzz {
    struct session s;
    struct arena arena;
    struct relay_rcpt rcpts[5];
    struct relay_mail mail;
    unsigned mails, pieces;
    int dots;
    bool gate;
};

static bool may_send(void *owner)
{
    return ((struct fuzz *)owner)->gate;
}

static bool dot_begin(void *owner)
{
    struct fuzz *f = owner;
    f->dots += f->gate;
    return f->gate;
}

static void dot_end(void *owner)
{
    ((struct fuzz *)owner)->dots--;
}

static void next_mail(struct fuzz *f)
{
    if (f->mails++ < 4) {
        f->pieces = 0;
        session_begin(&f->s, &f->mail, 1);
    } else {
        session_quit(&f->s, 1);
    }
}

static void obey(struct fuzz *f, uint8_t options)
{
    for (;;) {
        const struct relay_mail *done = session_done(&f->s);
        for (size_t i = 0; done && i < done->n_rcpts; i++)
            ASSERT(done->rcpts[i].out.verdict != RELAY_PENDING);
        buf_clear(&f->s.out);
        switch (f->s.want) {
        case SESSION_WANTS_TLS: session_secured(&f->s, options & 1 ? ERR_OK : ERR_MALFORMED, NULL, 1); break;
        case SESSION_WANTS_MAIL: next_mail(f); break;
        case SESSION_WANTS_BODY: session_body(&f->s, SLICE(".\r\nx\r\n.\r\n\r\n"), ++f->pieces > 2, 1); break;
        case SESSION_WANTS_FLUSH: session_flushed(&f->s, 1); break;
        default: return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n) return 0;
    struct fuzz f = { .gate = !(data[0] & 2) };
    struct session_conf conf = { .helo = "edge1.example.com",
                                 .tls = data[0] & 4 ? SESSION_TLS_MAY : SESSION_TLS_OFF,
                                 .no_chunking = data[0] & 8,
                                 .mails_max = 3,
                                 .limits = session_limits_rfc5321 };
    struct session_gate gate = { may_send, dot_begin, dot_end, &f };
    struct addr mta = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(f.rcpts); i++)
        f.rcpts[i] = (struct relay_rcpt){ .address = SLICE_INIT("b@example.net"),
                                          .notify = RELAY_NOTIFY_SUCCESS };
    f.mail = (struct relay_mail){
        .rcpts = f.rcpts, .n_rcpts = ARRAY_LEN(f.rcpts), .arena = &f.arena, .size_bytes = 100
    };
    session_init(&f.s, &conf, &gate, SLICE("mx"), &mta, 1);
    for (size_t at = 1; at < n; at += 1 + data[at] % 40) {
        session_bytes(&f.s, slice_sub(slice_from(data, n), at, 1 + data[at] % 40), 1);
        obey(&f, data[0]);
    }
    if (data[0] & 16) session_abort(&f.s, true, "fenced");
    session_lost(&f.s, ERR_CLOSED, NULL);
    obey(&f, data[0]);
    ASSERT(f.s.want == SESSION_WANTS_CLOSE || f.s.want == SESSION_WANTS_RESET);
    session_deinit(&f.s);
    ASSERT(f.dots == 0);
    arena_deinit(&f.arena);
    return 0;
}
