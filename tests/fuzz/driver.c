/* Runs a fuzz target without libFuzzer: every file of the corpus, and seeded mutations of each. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/disk.h"
#include "base/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MUTATIONS_PER_FILE = 400, INPUT_BYTES_MAX = 1 << 20 };
static size_t runs;

static void run_one(struct slice s)
{
    uint8_t *exact = xzalloc(s.n); /* exact size, so that a read past the end is seen */
    if (s.n) memcpy(exact, s.p, s.n);
    LLVMFuzzerTestOneInput(exact, s.n);
    free(exact);
    runs++;
}

static void mutate(struct rng *rng, struct buf *b)
{
    for (uint64_t k = rng_between(rng, 1, 8); k && buf_len(b); k--) {
        size_t at = rng_below(rng, buf_len(b));
        char *p = b->p + b->head;
        switch (rng_below(rng, 5)) {
        case 0: p[at] = (char)rng_u64(rng); break;
        case 1: p[at] ^= (char)(1 << rng_below(rng, 8)); break;
        case 2: buf_truncate(b, at); break;
        case 3: memmove(p + at, p + at + 1, buf_len(b) - at - 1), buf_truncate(b, buf_len(b) - 1); break;
        case 4: {
            char *copy = slice_dup(slice_skip(buf_slice(b), at));
            size_t n = MIN(buf_len(b) - at, (size_t)64);
            if (buf_append(b, slice_from(copy, n))) {
            }
            free(copy);
            break;
        }
        }
    }
}

static void run_file(const char *path)
{
    struct disk disk;
    struct rng rng;
    struct buf seed, b;
    disk_os(&disk);
    buf_init(&seed, INPUT_BYTES_MAX);
    buf_init(&b, INPUT_BYTES_MAX * 2);
    if (disk_read(&disk, path, &seed) == ERR_OK) {
        run_one(buf_slice(&seed));
        rng_init_seed(&rng, slice_hash(buf_slice(&seed)));
        for (int i = 0; i < MUTATIONS_PER_FILE && buf_len(&seed) < 65536; i++) {
            buf_clear(&b);
            buf_put(&b, buf_slice(&seed));
            mutate(&rng, &b);
            run_one(buf_slice(&b));
        }
    }
    buf_deinit(&seed);
    buf_deinit(&b);
}

int main(int argc, char **argv)
{
    run_one(SLICE(""));
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        struct dirent *e;
        while (d && (e = readdir(d))) {
            char path[4096];
            if (e->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            run_file(path);
        }
        if (d)
            closedir(d);
        else
            run_file(argv[i]);
    }
    printf("%zu inputs\n", runs);
    return runs > 1 ? 0 : 1; /* an empty corpus tests nothing */
}
