#include "node/queue/in_hand.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, SLOT_BYTES = 32, SLOTS = PAGE_BYTES / SLOT_BYTES, COUNTS_BYTES_MAX = 16384 };

struct slot {
    char id[QUEUE_ID_CHARS];
    char busy;    /* id is whole, and in hand */
    char crashed; /* and then this thread crashed */
    char spare[SLOT_BYTES - QUEUE_ID_CHARS - 2];
};
_Static_assert(sizeof(struct slot) == SLOT_BYTES, "one page of slots");

static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

/* The process's own, see the header. A thread keeps the slot it took first; the 129th has none. */
static struct {
    struct slot *_Atomic page;
    _Atomic unsigned taken;
    struct sigaction before[ARRAY_LEN(signals)];
} process;
static _Thread_local struct slot *mine;
static _Thread_local unsigned mine_at; /* 1…; 0: none taken */

void in_hand(const struct queue_id *id)
{
    struct slot *page = atomic_load_explicit(&process.page, memory_order_acquire);
    if (!page) return;
    if (!mine_at) mine_at = atomic_fetch_add(&process.taken, 1) + 1;
    if (mine_at > SLOTS) return;
    mine = &page[mine_at - 1];
    mine->busy = 0;
    if (!id) return;
    atomic_signal_fence(memory_order_seq_cst); /* a handler on this thread sees all or nothing */
    memcpy(mine->id, id->s, QUEUE_ID_CHARS);
    atomic_signal_fence(memory_order_seq_cst);
    mine->busy = 1;
}

/* Only stores and sigaction: safe in a handler. The fault happens again, and whoever had the signal before us has it then. */
static void on_crash(int signo)
{
    if (mine && atomic_load(&process.page) && mine->busy) mine->crashed = 1;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        if (signals[i] == signo) sigaction(signo, &process.before[i], NULL);
    if (signo == SIGABRT) return; /* abort() raises it once more by itself */
}

static void path_of(const char *dir, const char *name, char out[static 4096])
{
    snprintf(out, 4096, "%s/%s", dir, name);
}

/* ---- the counts: lines "ID crashes" ---- */

static void read_counts(const char *dir, const struct disk *disk, struct in_hand_suspects *s)
{
    char path[4096];
    struct buf text;
    struct slice rest, line;
    buf_init(&text, COUNTS_BYTES_MAX);
    path_of(dir, "suspects", path);
    if (disk_read(disk, path, &text)) buf_clear(&text);
    for (rest = buf_slice(&text); slice_cut(&rest, '\n', &line) && s->n < IN_HAND_SUSPECTS_MAX;) {
        struct in_hand_suspect x;
        uint64_t crashes;
        size_t space = slice_find(line, ' ');
        if (queue_id_parse(slice_sub(line, 0, space), &x.id)) continue;
        if (slice_u64(slice_skip(line, space + 1), 1000000, &crashes)) continue;
        x.crashes = (uint32_t)crashes;
        s->of[s->n++] = x;
    }
    buf_deinit(&text);
}

static enum err write_counts(const char *dir, const struct disk *disk, const struct in_hand_suspects *s)
{
    char path[4096];
    struct buf text;
    buf_init(&text, COUNTS_BYTES_MAX);
    path_of(dir, "suspects", path);
    for (size_t i = 0; i < s->n; i++) buf_putf(&text, "%s %" PRIu32 "\n", s->of[i].id.s, s->of[i].crashes);
    enum err err = disk_write(disk, path, buf_slice(&text));
    buf_deinit(&text);
    return err;
}

static void drop(struct in_hand_suspects *s, size_t i)
{
    memmove(&s->of[i], &s->of[i + 1], (--s->n - i) * sizeof s->of[0]);
}

static void count(struct in_hand_suspects *s, const struct queue_id *id)
{
    for (size_t i = 0; i < s->n; i++)
        if (queue_id_eq(&s->of[i].id, id)) {
            s->of[i].crashes++;
            return;
        }
    if (s->n == IN_HAND_SUSPECTS_MAX) drop(s, 0);
    s->of[s->n++] = (struct in_hand_suspect){ *id, 1 };
}

void in_hand_forgive(const char *dir, const struct disk *disk, struct in_hand_suspects *s,
                     const struct queue_id *id)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!queue_id_eq(&s->of[i].id, id)) continue;
        drop(s, i);
        /* Not written: it is counted once more than it should be, and held again at the worst. */
        enum err err = write_counts(dir, disk, s);
        (void)err;
        return;
    }
}

/* ---- life ---- */

static enum err map_page(const char *dir, struct slot **out)
{
    char path[4096];
    path_of(dir, "in_hand", path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return ERR_RETRY;
    void *p = ftruncate(fd, PAGE_BYTES) ? MAP_FAILED
                                        : mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED) return ERR_RETRY;
    *out = p;
    return ERR_OK;
}

static bool count_crashed(const struct slot *page, struct in_hand_suspects *s)
{
    bool any = false;
    for (size_t i = 0; i < SLOTS; i++) {
        struct queue_id id;
        if (page[i].crashed != 1 || queue_id_parse(slice_from(page[i].id, QUEUE_ID_CHARS), &id)) continue;
        count(s, &id);
        any = true;
    }
    return any;
}

enum err in_hand_open(const char *dir, const struct disk *disk, struct in_hand_suspects *out)
{
    struct slot *page;
    out->n = 0;
    if (atomic_load(&process.page)) return ERR_CONFLICT;
    read_counts(dir, disk, out);
    enum err err = map_page(dir, &page);
    if (err) return err;
    if (count_crashed(page, out)) err = write_counts(dir, disk, out);
    if (err) { /* the page stays as it is, to be counted when the disk works */
        munmap(page, PAGE_BYTES);
        return err;
    }
    memset(page, 0, PAGE_BYTES);
    atomic_store(&process.page, page);
    struct sigaction sa = { .sa_handler = on_crash };
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) sigaction(signals[i], &sa, &process.before[i]);
    return ERR_OK;
}

void in_hand_close(void)
{
    struct slot *page = atomic_exchange(&process.page, NULL);
    if (!page) return;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) sigaction(signals[i], &process.before[i], NULL);
    munmap(page, PAGE_BYTES);
    mine = NULL;
}
