#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void base_assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
    abort();
}

static void *or_abort(void *p)
{
    if (p) return p;
    fputs("out of memory\n", stderr);
    abort();
}

void *xzalloc(size_t n)
{
    return or_abort(calloc(1, n ? n : 1));
}

void *xrealloc(void *p, size_t n)
{
    return or_abort(realloc(p, n ? n : 1));
}

char *xstrdup(const char *s)
{
    return or_abort(strdup(s));
}
