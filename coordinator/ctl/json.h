/* coordinator/ctl/json.h: what an answer says, read without trust.
 *
 * A key that is missing, null or of another type gives the default: an answer of an older or newer coordinator is shown as
 * far as it goes. Texts come out clean (screen.h). `o` may be NULL or no object. */
#ifndef GEMEL_COORDINATOR_CTL_JSON_H
#define GEMEL_COORDINATOR_CTL_JSON_H

#include <jansson.h>

#include "coordinator/ctl/screen.h"

const char *js_text(struct screen *s, const json_t *o, const char *key, const char *def);
uint64_t js_u64(const json_t *o, const char *key, uint64_t def); /* negative: the default */
const char *js_age(struct screen *s, const json_t *o,
                   const char *key); /* of ms; negative or missing: "never" */
/* Unix ms of an RFC 3339 text in UTC or of a number; 0: absent or neither. */
uint64_t js_time(const json_t *o, const char *key);
bool js_bool(const json_t *o, const char *key, bool def);  /* a number is true unless 0 */
const json_t *js_object(const json_t *o, const char *key); /* NULL: none */
const json_t *js_list(const json_t *o, const char *key);   /* NULL: none; json_array_size(NULL) is 0 */
bool js_has(const json_t *o, const char *key);             /* there and not null */
/* The texts of a list with `sep` between them; objects in it are shown by js_sentence. */
const char *js_join(struct screen *s, const json_t *list, const char *sep);
/* A value as people would read it: a string as it is, an object's "text" (or "what"), else "key value, key value". */
const char *js_sentence(struct screen *s, const json_t *v);

#define JS_EACH(i, v, list) \
    for (size_t i = 0; i < json_array_size(list) && ((v) = json_array_get((list), i)); i++)

#endif
