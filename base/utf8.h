/* base/utf8.h: is it UTF-8? (RFC 3629: no surrogates, no overlong forms, nothing past U+10FFFF) */
#ifndef GEMEL_BASE_UTF8_H
#define GEMEL_BASE_UTF8_H

#include "base/slice.h"

/* Bytes of the multi-byte sequence at the start of `s` (2 to 4); 0: ASCII, empty or invalid. */
size_t utf8_wide(struct slice s);
bool utf8_valid(struct slice s);
bool utf8_is_ascii(struct slice s);

#endif
