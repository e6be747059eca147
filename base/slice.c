#include "base/slice.h"

#include <stdlib.h>

char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool ascii_is_alpha(char c)
{
    char l = ascii_lower(c);
    return l >= 'a' && l <= 'z';
}

bool ascii_is_alnum(char c)
{
    return ascii_is_digit(c) || ascii_is_alpha(c);
}

bool ascii_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_of(const char *cstr)
{
    return cstr ? (struct slice){ cstr, strlen(cstr) } : (struct slice){ "", 0 };
}

struct slice slice_from(const void *p, size_t n)
{
    return (struct slice){ p, n };
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_ieq(struct slice a, struct slice b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i])) return false;
    return true;
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t n = MIN(a.n, b.n);
    int d = n ? memcmp(a.p, b.p, n) : 0;
    if (d) return d;
    return a.n < b.n ? -1 : a.n > b.n;
}

struct slice slice_sub(struct slice s, size_t from, size_t n)
{
    from = MIN(from, s.n);
    return (struct slice){ s.n ? s.p + from : s.p, MIN(n, s.n - from) };
}

struct slice slice_skip(struct slice s, size_t n)
{
    return slice_sub(s, n, SIZE_MAX);
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return slice_eq(slice_sub(s, 0, prefix.n), prefix);
}

bool slice_istarts(struct slice s, struct slice prefix)
{
    return slice_ieq(slice_sub(s, 0, prefix.n), prefix);
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n && slice_eq(slice_skip(s, s.n - suffix.n), suffix);
}

bool slice_iends(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n && slice_ieq(slice_skip(s, s.n - suffix.n), suffix);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
    while (s.n && is_space(s.p[0])) s = slice_skip(s, 1);
    while (s.n && is_space(s.p[s.n - 1])) s.n--;
    return s;
}

size_t slice_find(struct slice s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

size_t slice_rfind(struct slice s, char c)
{
    const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

size_t slice_find_slice(struct slice s, struct slice needle)
{
    if (needle.n == 0) return 0;
    const char *at = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

size_t slice_ifind_slice(struct slice s, struct slice needle)
{
    for (size_t i = 0; i + needle.n <= s.n; i++)
        if (slice_ieq(slice_sub(s, i, needle.n), needle)) return i;
    return s.n;
}

bool slice_cut(struct slice *s, char sep, struct slice *head)
{
    if (s->n == 0) return false;
    size_t at = slice_find(*s, sep);
    *head = slice_sub(*s, 0, at);
    *s = slice_skip(*s, at + 1);
    return true;
}

struct slice slice_word(struct slice *s)
{
    size_t from = 0, to;
    while (from < s->n && ascii_is_blank(s->p[from])) from++;
    for (to = from; to < s->n && !ascii_is_blank(s->p[to]); to++) {
    }
    struct slice word = slice_sub(*s, from, to - from);
    *s = slice_skip(*s, to);
    return word;
}

enum err slice_u64(struct slice s, uint64_t max, uint64_t *out)
{
    if (s.n == 0) return ERR_MALFORMED;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_is_digit(s.p[i])) return ERR_MALFORMED;
        unsigned digit = (unsigned)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10) return ERR_LIMIT;
        v = v * 10 + digit;
    }
    if (v > max) return ERR_LIMIT;
    *out = v;
    return ERR_OK;
}

enum err slice_cstr(struct slice s, char *out, size_t cap)
{
    ASSERT(cap > 0);
    out[0] = '\0';
    if (s.n >= cap || slice_find(s, '\0') != s.n) return ERR_LIMIT;
    if (s.n) memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return ERR_OK;
}

char *slice_dup(struct slice s)
{
    char *p = xzalloc(s.n + 1);
    if (s.n) memcpy(p, s.p, s.n);
    return p;
}

static const uint64_t fnv_basis = UINT64_C(0xcbf29ce484222325), fnv_prime = UINT64_C(0x100000001b3);

uint64_t slice_hash(struct slice s)
{
    uint64_t h = fnv_basis;
    for (size_t i = 0; i < s.n; i++) h = (h ^ (uint8_t)s.p[i]) * fnv_prime;
    return h;
}

uint64_t slice_ihash(struct slice s)
{
    uint64_t h = fnv_basis;
    for (size_t i = 0; i < s.n; i++) h = (h ^ (uint8_t)ascii_lower(s.p[i])) * fnv_prime;
    return h;
}
