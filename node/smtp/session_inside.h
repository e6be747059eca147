/* node/smtp/session_inside.h: what the parts of the session share: session.c (the engine, greeting, small verbs),
 * session_auth.c (STARTTLS, AUTH), session_mail.c (MAIL to the end of the message). */
#ifndef GEMEL_NODE_SMTP_SESSION_INSIDE_H
#define GEMEL_NODE_SMTP_SESSION_INSIDE_H

#include "node/smtp/session.h"

/* Only this writes s->state. */
void session_move(struct smtp_session *s, enum smtp_state to);
void session_reply(struct smtp_session *s, struct smtp_out *out, enum smtp_reply r, struct slice detail);
/* A reply that counts against the client: logged, and slower and slower. May close. */
void session_refuse(struct smtp_session *s, struct smtp_out *out, enum smtp_reply r, struct slice detail);
void session_refuse_verdict(struct smtp_session *s, struct smtp_out *out, const struct smtp_verdict *v,
                            enum smtp_reply usual);
void session_judge(struct smtp_session *s, struct smtp_out *out, enum smtp_stage stage);
void session_owe(struct smtp_session *s, struct smtp_out *out, enum smtp_want want);
/* Says `last` (NONE: nothing) and closes. */
void session_close(struct smtp_session *s, struct smtp_out *out, enum smtp_reply last);
/* Back to before MAIL; tells the shell when it holds part of a message. The state moves to READY. */
void session_drop(struct smtp_session *s, struct smtp_out *out);

typedef void session_verb_fn(struct smtp_session *s, struct slice args, struct smtp_out *out);
session_verb_fn session_starttls, session_auth, session_mail, session_rcpt, session_data, session_bdat;

typedef void session_accepted_fn(struct smtp_session *s, const struct smtp_verdict *v, struct smtp_out *out);
session_accepted_fn session_auth_accepted, session_auth_refused;
session_accepted_fn session_mail_accepted, session_mail_refused;
session_accepted_fn session_rcpt_accepted, session_rcpt_refused;
session_accepted_fn session_data_accepted, session_data_refused;
session_accepted_fn session_end_accepted, session_end_refused;

void session_sasl_line(struct smtp_session *s, struct slice line, struct smtp_out *out);
void session_tls_started(struct smtp_session *s, bool ok, struct smtp_out *out);
void session_take_text(struct smtp_session *s, struct slice *in, struct smtp_out *out);
void session_take_chunk(struct smtp_session *s, struct slice *in, struct smtp_out *out);

#endif
