/* A disk that fails or is slow, for one program under test: LD_PRELOAD=libdisk_fault.so, DISK_FAULT=FILE.
 *
 * FILE holds one letter and a number; it may be rewritten at any time. Only files named data.mdb (the spool) are concerned.
 *   o 0     all is well
 *   e P     writes and syncs fail with EIO, P of 100
 *   s MS    every sync takes so much longer
 *   n 0     no space: writes fail with ENOSPC
 *   h 0     writes are cut in half: the disk fills in mid-write
 * LMDB knows write, pwrite, writev, fsync and fdatasync; the map is only read. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct fault {
    char kind;
    unsigned long amount;
};

static struct fault fault_now(int fd)
{
    char path[64], name[512], text[32];
    struct fault f = { 'o', 0 };
    const char *file = getenv("DISK_FAULT");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, name, sizeof name - 1);
    if (!file || n < 8 || memcmp(name + n - 8, "data.mdb", 8) != 0) return f;
    int in = open(file, O_RDONLY | O_CLOEXEC);
    n = in < 0 ? 0 : read(in, text, sizeof text - 1);
    if (in >= 0) close(in);
    if (n < 3) return f;
    text[n] = '\0';
    f.kind = text[0];
    f.amount = strtoul(text + 2, NULL, 10);
    return f;
}

static int dice(unsigned long percent)
{
    static _Thread_local unsigned seed = 7;
    return (unsigned long)(rand_r(&seed) % 100) < percent;
}

/* Asked before a write: -1 with errno set, or how much of it may happen. */
static ssize_t allowed(int fd, size_t n)
{
    struct fault f = fault_now(fd);
    if (f.kind == 'e' && dice(f.amount)) return errno = EIO, -1;
    if (f.kind == 'n') return errno = ENOSPC, -1;
    return (ssize_t)(f.kind == 'h' && n > 1 ? n / 2 : n);
}

static int sync_fault(int fd)
{
    struct fault f = fault_now(fd);
    if (f.kind == 's') {
        struct timespec t = { (time_t)(f.amount / 1000), (long)(f.amount % 1000) * 1000000 };
        nanosleep(&t, NULL);
    }
    if (f.kind == 'e' && dice(f.amount)) return errno = EIO, -1;
    return 0;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd)
{
    return sync_fault(fd) ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
    return sync_fault(fd) ? -1 : NEXT(fdatasync)(fd);
}

ssize_t write(int fd, const void *p, size_t n)
{
    ssize_t may = allowed(fd, n);
    return may < 0 ? may : NEXT(write)(fd, p, (size_t)may);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    ssize_t may = allowed(fd, n);
    return may < 0 ? may : NEXT(pwrite)(fd, p, (size_t)may, at);
}

/* A vector is cut by being written as its first buffer alone. */
ssize_t writev(int fd, const struct iovec *v, int n)
{
    ssize_t may = allowed(fd, 4);
    return may < 0 ? may : NEXT(writev)(fd, v, may < 4 && n > 1 ? 1 : n);
}
