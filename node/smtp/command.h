/* node/smtp/command.h: what a command line says (RFC 5321 4.1.1) with the parameters of SIZE (1870), 8BITMIME (6152),
 * SMTPUTF8 (6531), DSN (3461), AUTH (4954) and CHUNKING (3030).
 *
 * Pure; out structs borrow from the line and are untouched on failure. Parsers answer with the reply that refuses the
 * line, or SMTP_REPLY_NONE. A parameter we did not offer is refused, so is a repeated one: two readings of one line are
 * how filters are fooled. */
#ifndef GEMEL_NODE_SMTP_COMMAND_H
#define GEMEL_NODE_SMTP_COMMAND_H

#include "node/smtp/address.h"
#include "node/smtp/reply.h"

enum { /* NOTIFY (RFC 3461 4.1), as the spool keeps them; 0: not given */
       SMTP_NOTIFY_NEVER = 1,
       SMTP_NOTIFY_SUCCESS = 2,
       SMTP_NOTIFY_FAILURE = 4,
       SMTP_NOTIFY_DELAY = 8
};

enum smtp_ret { SMTP_RET_NOT_GIVEN, SMTP_RET_FULL, SMTP_RET_HDRS };

enum {
    SMTP_ENVID_MAX = 100, /* RFC 3461 4.4 */
    SMTP_ORCPT_MAX = 500, /* 4.2 */
};

struct smtp_mail {
    struct smtp_address sender;
    struct slice envid; /* xtext as received; empty: not given */
    uint64_t size;      /* declared; 0: not */
    enum smtp_ret ret;
    bool body_8bit;
    bool smtputf8;
};

struct smtp_rcpt {
    struct smtp_address to;
    struct slice orcpt; /* "rfc822;user+2Bx@example.com" as received; empty: not given */
    uint8_t notify;     /* SMTP_NOTIFY_ bits */
};

struct smtp_bdat {
    uint64_t size;
    bool last;
};

/* `args` is what follows the verb. */
enum smtp_reply smtp_mail_parse(struct slice args, struct smtp_mail *out);
enum smtp_reply smtp_rcpt_parse(struct slice args, bool smtputf8, struct smtp_rcpt *out);
enum smtp_reply smtp_bdat_parse(struct slice args, struct smtp_bdat *out);

#endif
