/* proto/replies/refusal.h: the words for what a receiver said, shared by those who hear it, decide on it and read it.
 *
 * Plain data and its names; and the two things everybody asks of a reply's text. */
#ifndef GEMEL_PROTO_REPLIES_REFUSAL_H
#define GEMEL_PROTO_REPLIES_REFUSAL_H

#include "base/buf.h"

/* Where in the conversation it was decided. The names are those of the refusal records: route connect banner helo tls
 * mail rcpt data. */
enum relay_stage {
    RELAY_ROUTE,   /* before any connection: DNS, loops, no such domain */
    RELAY_CONNECT, /* the bound address, the connection itself */
    RELAY_BANNER,
    RELAY_HELO,
    RELAY_TLS,
    RELAY_MAIL,
    RELAY_RCPT,
    RELAY_DATA, /* from the DATA or BDAT command to the reply to the whole message */
    RELAY_STAGES
};

/* RFC 3463 "class.subject.detail"; class 0: there was none. */
struct enhanced {
    uint8_t class;
    uint16_t subject, detail;
};

/* What a refusal says: the words of the classifier. */
#define RELAY_SCOPE_MAP(X)              \
    X(NONE, "none")                     \
    X(IP_PUBLIC, "ip-public")           \
    X(IP_PROVIDER, "ip-provider")       \
    X(IP_LOCAL, "ip-local")             \
    X(IP_RANGE, "ip-range")             \
    X(IP_COLD, "ip-cold")               \
    X(HELO, "helo")                     \
    X(PTR, "ptr")                       \
    X(SPF, "spf")                       \
    X(DKIM_DMARC, "dkim-dmarc")         \
    X(DOMAIN, "domain")                 \
    X(URL, "url")                       \
    X(CONTENT, "content")               \
    X(RCPT, "rcpt")                     \
    X(RATE, "rate")                     \
    X(GREYLIST, "greylist")             \
    X(GEO, "geo")                       \
    X(RECEIVER_FAULT, "receiver-fault") \
    X(IP_OTHER, "ip-other")

enum relay_scope {
#define RELAY_SCOPE_ENUM(name, text) SCOPE_##name,
    RELAY_SCOPE_MAP(RELAY_SCOPE_ENUM)
#undef RELAY_SCOPE_ENUM
        RELAY_SCOPES
};

/* What it means for the identity that sent. */
enum relay_effect {
    EFFECT_NONE,   /* nothing: the reply code decides */
    EFFECT_SWITCH, /* counts toward a switch; deferred, handed over with the queue */
    EFFECT_DEST,   /* this identity at this provider only; deferred */
    EFFECT_SLOW,   /* send more slowly there; deferred */
    EFFECT_RETRY,  /* plain retry by the same identity (greylisting); deferred */
    EFFECT_FIX,    /* our identity is badly set up: deferred, and an alarm */
    RELAY_EFFECTS
};

enum { REFUSAL_TEXT_READ_MAX = 8192 }; /* of a reply, all lines together */

const char *relay_stage_name(enum relay_stage s);
const char *relay_scope_name(enum relay_scope s);
const char *relay_effect_name(enum relay_effect e);
MUST_USE enum err relay_scope_parse(struct slice s, enum relay_scope *out);
MUST_USE enum err relay_effect_parse(struct slice s, enum relay_effect *out);
/* "any" and unknown words are not stages: MALFORMED. */
MUST_USE enum err relay_stage_parse(struct slice s, enum relay_stage *out);

/* The text of a reply without codes and separators, line by line: false at the end. `at` starts as the whole text. */
bool refusal_next_line(struct slice *at, struct slice *line);
/* "x.y.z" at the start of a text line, a leading '#' or '(' skipped; class 0 when there is none. */
struct enhanced refusal_enhanced(struct slice line);

#endif
