/* node/smtp/reply.h: everything the server ever says, in one table.
 *
 * Enhanced codes are RFC 3463 and the IANA registry. Texts are ASCII and short; what is said about a particular
 * address or id goes behind the text as `detail`. */
#ifndef GEMEL_NODE_SMTP_REPLY_H
#define GEMEL_NODE_SMTP_REPLY_H

#include "base/buf.h"

#define SMTP_REPLY_MAP(X)                                                                 \
    X(HELP, 214, "2.0.0", "See RFC 5321")                                                 \
    X(GREETING, 220, "", "")                                                              \
    X(TLS_READY, 220, "2.0.0", "Ready to start TLS")                                      \
    X(BYE, 221, "2.0.0", "Bye")                                                           \
    X(AUTHENTICATED, 235, "2.7.0", "Authentication successful")                           \
    X(HELLO, 250, "", "")                                                                 \
    X(OK, 250, "2.0.0", "Ok")                                                             \
    X(SENDER_OK, 250, "2.1.0", "Sender ok")                                               \
    X(RECIPIENT_OK, 250, "2.1.5", "Recipient ok")                                         \
    X(CHUNK_OK, 250, "2.0.0", "Octets received: ")                                        \
    X(QUEUED, 250, "2.0.0", "queued as ")                                                 \
    X(NOT_VERIFIED, 252, "2.0.0", "Not verified, but send some mail and we will try")     \
    X(CHALLENGE, 334, "", "")                                                             \
    X(SEND_DATA, 354, "", "End data with <CR><LF>.<CR><LF>")                              \
    X(SHUTDOWN, 421, "4.3.2", "Shutting down, try again shortly")                         \
    X(IDLE, 421, "4.4.2", "Idle for too long")                                            \
    X(TOO_MANY_ERRORS, 421, "4.7.0", "Too many errors")                                   \
    X(NO_PROGRESS, 421, "4.7.0", "Too many commands and no mail")                         \
    X(NOT_SMTP, 421, "4.7.0", "This is not how SMTP is spoken")                           \
    X(TOO_MANY_CONNECTIONS, 421, "4.7.0", "Too many connections from your address")       \
    X(BUSY, 421, "4.3.2", "Too many connections, try again shortly")                      \
    X(LOCAL_ERROR, 451, "4.3.0", "Temporary failure here, try again later")               \
    X(FULL, 452, "4.3.1", "Insufficient system storage")                                  \
    X(PRESSURE, 452, "4.3.1", "Insufficient system resources")                            \
    X(TOO_MANY_RECIPIENTS, 452, "4.5.3", "Too many recipients")                           \
    X(AUTH_LATER, 454, "4.7.0", "Temporary authentication failure")                       \
    X(TLS_LATER, 454, "4.7.0", "TLS not available due to temporary reason")               \
    X(LINE_TOO_LONG, 500, "5.5.2", "Line too long")                                       \
    X(BARE_NEWLINE, 500, "5.5.2", "Bare CR or LF in a command: lines end with CR LF")     \
    X(UNKNOWN_COMMAND, 500, "5.5.1", "Unknown command")                                   \
    X(BAD_SYNTAX, 501, "5.5.4", "Syntax error in parameters or arguments")                \
    X(BAD_HELO, 501, "5.5.4", "Need the name of a host or an address literal")            \
    X(BAD_RECIPIENT, 501, "5.1.3", "Bad recipient address syntax")                        \
    X(BAD_SENDER, 501, "5.1.7", "Bad sender address syntax")                              \
    X(AUTH_CANCELLED, 501, "5.7.0", "Authentication cancelled")                           \
    X(AUTH_BAD_RESPONSE, 501, "5.5.2", "Cannot decode the response")                      \
    X(NOT_IMPLEMENTED, 502, "5.5.1", "Command not implemented")                           \
    X(BAD_SEQUENCE, 503, "5.5.1", "Bad sequence of commands")                             \
    X(AUTH_UNKNOWN, 504, "5.5.4", "Unrecognized authentication type")                     \
    X(AUTH_REQUIRED, 530, "5.7.0", "Authentication required")                             \
    X(TLS_REQUIRED, 530, "5.7.0", "Must issue a STARTTLS command first")                  \
    X(AUTH_FAILED, 535, "5.7.8", "Authentication credentials invalid")                    \
    X(AUTH_NEEDS_TLS, 538, "5.7.11", "Encryption required for authentication")            \
    X(RELAY_DENIED, 550, "5.7.1", "Unable to relay")                                      \
    X(ROUTED_ADDRESS, 550, "5.7.1", "Unable to relay: the local part names another host") \
    X(LITERAL_ADDRESS, 550, "5.1.2", "Mail to address literals is not accepted")          \
    X(BARE_NEWLINE_IN_DATA, 550, "5.6.11", "Bare CR or LF in the message")                \
    X(DATA_LINE_TOO_LONG, 550, "5.6.0", "A line of the message is too long")              \
    X(TOO_BIG, 552, "5.3.4", "Message size exceeds the fixed limit of ")                  \
    X(HEADER_TOO_BIG, 552, "5.3.4", "Message header is too big")                          \
    X(NEEDS_SMTPUTF8, 553, "5.6.7", "Address needs SMTPUTF8")                             \
    X(LOOP, 554, "5.4.6", "Too many hops: this message goes in circles")                  \
    X(REFUSED, 554, "5.7.1", "Refused")                                                   \
    X(BAD_PARAMETER, 555, "5.5.4", "Parameter not recognized or not implemented")

/* SMTP_REPLY_NONE is zero: "nothing to object to". */
enum smtp_reply {
    SMTP_REPLY_NONE,
#define SMTP_REPLY_ENUM(name, code, status, text) SMTP_REPLY_##name,
    SMTP_REPLY_MAP(SMTP_REPLY_ENUM)
#undef SMTP_REPLY_ENUM
        SMTP_REPLY_COUNT
};

enum { SMTP_REPLY_LINE_MAX = 512 }; /* RFC 5321 4.5.3.1.5, CR LF included */

int smtp_reply_code(enum smtp_reply r);
const char *smtp_reply_text(enum smtp_reply r); /* without codes, for the log */
/* Appends "250 2.0.0 queued as DETAIL" CR LF. `detail` is cut to the line's limit; its control bytes become '?'. */
void smtp_reply_put(struct buf *out, enum smtp_reply r, struct slice detail);
/* The same for texts that come from configuration: `text` starts with the enhanced code, if any. */
void smtp_reply_put_text(struct buf *out, int code, struct slice text);

#endif
