#include "node/accept/users.h"

#include <crypt.h>
#include <stdlib.h>

#include "base/map.h"

_Static_assert(USERS_HASH_MAX == CRYPT_OUTPUT_SIZE, "room for any hash");

struct users {
    struct map by_login; /* lower case → char *hash */
    char decoy[USERS_HASH_MAX];
};

/* A setting without an answer: hashing with it costs what the default method costs, and nothing equals it. */
static const char decoy_setting[] = "$y$j9T$AAAAAAAAAAAAAAAAAAAAA.$";

void users_destroy(struct users *u)
{
    struct slice key;
    void *hash;
    if (!u) return;
    for (size_t at = 0; map_next(&u->by_login, &at, &key, &hash);) free(hash);
    map_deinit(&u->by_login);
    free(u);
}

static void lower(struct slice s, char out[static 256])
{
    for (size_t i = 0; i < s.n; i++) out[i] = ascii_lower(s.p[i]);
    out[s.n] = '\0';
}

static bool add_line(struct users *u, struct slice line, const char **what)
{
    struct slice login, hash;
    char key[256];
    bool has_colon = slice_find(line, ':') != line.n;
    slice_cut(&line, ':', &login);
    if (!slice_cut(&line, ':', &hash)) hash = SLICE("");
    login = slice_trim(login);
    hash = slice_trim(hash);
    *what = !has_colon || !login.n || login.n >= sizeof key ? "expected login:hash" : "hash is too long";
    if (!has_colon || !login.n || login.n >= sizeof key || hash.n >= USERS_HASH_MAX) return false;
    lower(login, key);
    *what = "login appears twice";
    if (map_get(&u->by_login, slice_of(key))) return false;
    map_put(&u->by_login, slice_of(key), slice_dup(hash));
    /* Unknown logins should cost what known ones do: same method, same cost parameters. */
    if (hash.n > 4 && hash.p[0] == '$' && !u->decoy[0]) memcpy(u->decoy, hash.p, hash.n);
    return true;
}

enum err users_parse(struct slice text, struct users **out, struct buf *why)
{
    struct users *u = xzalloc(sizeof *u);
    struct slice line;
    const char *what = "";
    for (unsigned n = 1; slice_cut(&text, '\n', &line); n++) {
        line = slice_trim(line);
        if (!line.n || line.p[0] == '#' || add_line(u, line, &what)) continue;
        if (why) buf_putf(why, "line %u: %s", n, what);
        users_destroy(u);
        return ERR_MALFORMED;
    }
    if (!u->decoy[0]) memcpy(u->decoy, decoy_setting, sizeof decoy_setting);
    /* Spoil the decoy's answer (its last character) so that even the password it came from does not fit. */
    char *last = &u->decoy[strlen(u->decoy) - 1];
    *last = *last == '.' ? '/' : '.';
    *out = u;
    return ERR_OK;
}

size_t users_count(const struct users *u)
{
    return u->by_login.n;
}

void users_hash(const struct users *u, struct slice login, char out[static USERS_HASH_MAX])
{
    char key[256] = "";
    if (login.n < sizeof key) lower(login, key);
    const char *hash = key[0] ? map_get(&u->by_login, slice_of(key)) : NULL;
    if (!hash) hash = u->decoy;
    memcpy(out, hash, strlen(hash) + 1);
}

static bool equal_in_constant_time(const char *a, const char *b)
{
    size_t n = strlen(a);
    if (n != strlen(b)) return false;
    unsigned char different = 0;
    for (size_t i = 0; i < n; i++) different |= (unsigned char)(a[i] ^ b[i]);
    return different == 0;
}

bool users_check(const char *hash, const char *password)
{
    struct crypt_data *data = xzalloc(sizeof *data); /* 32 KiB: not for the stack of a pool thread */
    const char *setting = hash[0] == '$' ? hash : decoy_setting; /* locked, empty, or DES: fits nothing */
    const char *got = crypt_rn(password, setting, data, sizeof *data);
    bool same = got && got[0] != '*' && setting == hash && equal_in_constant_time(got, hash);
    explicit_bzero(data, sizeof *data);
    free(data);
    return same;
}
