/* base/disk.h: whole small files, durably. For bulk data there is the spool.
 *
 * A port: `disk_os` is the file system, the simulator has its own that forgets what was not synced. */
#ifndef GEMEL_BASE_DISK_H
#define GEMEL_BASE_DISK_H

#include "base/buf.h"

struct disk {
    /* Replaces `path` by `data`: temporary file, fsync, rename, fsync of the folder. On OK it survives a power cut.
     * RETRY: full or failing disk; the old contents stand. */
    enum err (*write)(void *owner, const char *path, struct slice data);
    /* Appends and syncs. */
    enum err (*append)(void *owner, const char *path, struct slice data);
    /* NOT_FOUND; LIMIT when longer than out->max; RETRY for I/O errors. */
    enum err (*read)(void *owner, const char *path, struct buf *out);
    void *owner;
};

void disk_os(struct disk *d);

static inline MUST_USE enum err disk_write(const struct disk *d, const char *path, struct slice data)
{
    return d->write(d->owner, path, data);
}

static inline MUST_USE enum err disk_append(const struct disk *d, const char *path, struct slice data)
{
    return d->append(d->owner, path, data);
}

static inline MUST_USE enum err disk_read(const struct disk *d, const char *path, struct buf *out)
{
    return d->read(d->owner, path, out);
}

#endif
