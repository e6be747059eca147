/* proto/replies/load.h: a classifier out of a rules file, with every mistake named by file and line.
 *
 * What cannot be right is refused, not warned of: a rule that can never match, or a group that no rule uses, is a typo
 * whose harm would show when a refusal is misread. */
#ifndef GEMEL_PROTO_REPLIES_LOAD_H
#define GEMEL_PROTO_REPLIES_LOAD_H

#include "base/disk.h"
#include "proto/replies/classify.h"

enum { RULES_FILE_BYTES_MAX = 4 << 20 };

/* `path` NULL or "": the compiled-in rules. `zones` as in classify_conf, copied. Errors: lines "FILE:12: what is wrong"
 * in `why` (4 KiB at least), the file's alone when it cannot be read. */
MUST_USE enum err classifier_load(const struct disk *disk, const char *path, const struct slice *zones,
                                  size_t n_zones, struct classifier **out, struct buf *why);

#endif
