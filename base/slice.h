/* base/slice.h: borrowed bytes. Never NUL-terminated by promise; never owned.
 *
 * Parsers take a slice by value. Functions that cut return sub-slices of their argument. */
#ifndef GEMEL_BASE_SLICE_H
#define GEMEL_BASE_SLICE_H

#include <string.h>

#include "base/base.h"
#include "base/err.h"

struct slice {
    const char *p;
    size_t n;
};

#define SLICE(lit) ((struct slice){ ("" lit), sizeof(lit) - 1 }) /* expressions */
#define SLICE_INIT(lit)           \
    {                             \
        ("" lit), sizeof(lit) - 1 \
    }                                                   /* static tables */
#define SLICE_ARG(s) ((int)(s).n), ((s).n ? (s).p : "") /* for "%.*s" */

struct slice slice_of(const char *cstr); /* NULL gives the empty slice */
struct slice slice_from(const void *p, size_t n);
bool slice_eq(struct slice a, struct slice b);
bool slice_ieq(struct slice a, struct slice b); /* ASCII case folded */
int slice_cmp(struct slice a, struct slice b);  /* bytewise, shorter first */
bool slice_starts(struct slice s, struct slice prefix);
bool slice_istarts(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
bool slice_iends(struct slice s, struct slice suffix);
struct slice slice_trim(struct slice s);                       /* SP, HT, CR, LF off both ends */
struct slice slice_sub(struct slice s, size_t from, size_t n); /* clamped */
struct slice slice_skip(struct slice s, size_t n);             /* clamped */
size_t slice_find(struct slice s, char c);                     /* index, or s.n when absent */
size_t slice_rfind(struct slice s, char c);                    /* index, or s.n when absent */
size_t slice_find_slice(struct slice s, struct slice needle);  /* index, or s.n when absent */
size_t slice_ifind_slice(struct slice s, struct slice needle); /* the same, ASCII case folded */
/* Cuts at the first `sep`: *head before it, *s after it. Without one, *head is all and *s is empty.
 * False when *s was empty already. */
bool slice_cut(struct slice *s, char sep, struct slice *head);
struct slice slice_word(struct slice *s); /* next run of non-blanks; *s moves behind it; empty at the end */
/* Whole slice is a decimal number in [0, max]; MALFORMED or LIMIT otherwise. */
MUST_USE enum err slice_u64(struct slice s, uint64_t max, uint64_t *out);
/* Copies into a NUL-terminated array; LIMIT when it does not fit or holds a NUL (out is then ""). */
MUST_USE enum err slice_cstr(struct slice s, char *out, size_t cap);
char *slice_dup(struct slice s);      /* yours, NUL-terminated; free() */
uint64_t slice_hash(struct slice s);  /* FNV-1a, stable across runs */
uint64_t slice_ihash(struct slice s); /* ASCII case folded */

char ascii_lower(char c);
bool ascii_is_digit(char c);
bool ascii_is_alpha(char c);
bool ascii_is_alnum(char c);
bool ascii_is_blank(char c); /* SP or HT */

#endif
