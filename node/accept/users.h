/* node/accept/users.h: the users file: "login:hash" lines, hashes as crypt(5) knows them ($y$, $2b$, $6$…).
 *
 * Comments start with "#", blank lines are fine, further fields behind a second ":" are ignored (so a passwd-like file
 * works). Logins are compared without case. A locked hash ("!…", "*…"), an empty one and the
 * old DES kind fit no password. */
#ifndef GEMEL_NODE_ACCEPT_USERS_H
#define GEMEL_NODE_ACCEPT_USERS_H

#include "base/buf.h"

enum { USERS_FILE_MAX = 4 * 1024 * 1024, USERS_HASH_MAX = 384 /* CRYPT_OUTPUT_SIZE */ };

struct users;

/* MALFORMED: `why` (may be NULL) names the line. */
MUST_USE enum err users_parse(struct slice text, struct users **out, struct buf *why);
void users_destroy(struct users *u);
size_t users_count(const struct users *u);

/* Copies the hash to check a password against. An unknown login gets a hash of the same cost that nothing fits, so that
 * the time taken does not tell who exists. */
void users_hash(const struct users *u, struct slice login, char out[static USERS_HASH_MAX]);

/* Slow by design (tens of ms), holds no lock, any thread. `password` has no NUL. */
bool users_check(const char *hash, const char *password);

#endif
