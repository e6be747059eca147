#include "base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool write_all(int fd, struct slice data)
{
    while (data.n) {
        ssize_t n = write(fd, data.p, data.n);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        data = slice_skip(data, (size_t)n);
    }
    return true;
}

static bool sync_folder_of(const char *path)
{
    char *copy = xstrdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0) return false;
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

static enum err os_write(void *owner, const char *path, struct slice data)
{
    char tmp[PATH_MAX];
    if (snprintf(tmp, sizeof tmp, "%s.new", path) >= (int)sizeof tmp) return ERR_LIMIT;
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0) return ERR_RETRY;
    bool ok = write_all(fd, data) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    ok = ok && rename(tmp, path) == 0 && sync_folder_of(path);
    if (!ok) unlink(tmp);
    return ok ? ERR_OK : ERR_RETRY;
}

static enum err os_append(void *owner, const char *path, struct slice data)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) return ERR_RETRY;
    bool ok = write_all(fd, data) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    return ok && sync_folder_of(path) ? ERR_OK : ERR_RETRY;
}

static enum err os_read(void *owner, const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? ERR_NOT_FOUND : ERR_RETRY;
    size_t before = buf_len(out);
    enum err err = ERR_OK;
    char part[16384];
    for (;;) {
        ssize_t n = read(fd, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) err = ERR_RETRY;
        if (n <= 0) break;
        err = buf_append(out, slice_from(part, (size_t)n));
        if (err) break;
    }
    close(fd);
    if (err) buf_truncate(out, before);
    return err;
}

void disk_os(struct disk *d)
{
    *d = (struct disk){ .write = os_write, .append = os_append, .read = os_read };
}
