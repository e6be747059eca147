#include "node/queue/salvage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/queue/record.h"
#include "node/queue/spool_db.h"
#include "tests/test.h"

enum { MESSAGES = 400, CHUNKS = 2 };

struct world {
    char dir[64], from[80], to[80];
    size_t told;
};

static struct queue_id id_of(unsigned n)
{
    struct queue_id id;
    char text[QUEUE_ID_CHARS + 1];
    snprintf(text, sizeof text, "%018u", n);
    assert_int_equal(queue_id_parse(slice_of(text), &id), ERR_OK);
    return id;
}

static void open_db(const char *dir, struct spool_db **db)
{
    char why[SPOOL_WHY_MAX];
    struct spool_db_conf conf = { .dir = dir };
    if (spool_db_open(&conf, db, why)) fail_msg("%s", why);
}

/* Full chunks and a short one, all of the message's own letter. */
static void put(struct spool_db *db, unsigned n)
{
    static char body[SPOOL_CHUNK_BYTES];
    struct envelope_rcpt r = { .address = SLICE("bob@example.net") };
    struct envelope e = {
        .id = id_of(n), .flow = FLOW_OUT, .rcpts = &r, .n_rcpts = 1, .arrival_wall_ms = 1000 + n
    };
    struct buf b;
    char transfer[32];
    memset(body, 'a' + (int)(n % 26), sizeof body);
    buf_init(&b, RECORD_BYTES_MAX);
    uint32_t chunks = n % 10 ? 1 : CHUNKS;
    assert_int_equal(record_pack(&e, (chunks - 1) * SPOOL_CHUNK_BYTES + 900, chunks, &b), ERR_OK);
    if (chunks > 1)
        assert_int_equal(spool_db_put_chunk(db, &e.id, 0, slice_from(body, sizeof body), true), ERR_OK);
    snprintf(transfer, sizeof transfer, "%s/0", e.id.s);
    struct spool_db_put p = { .id = e.id,
                              .record = buf_slice(&b),
                              .index = chunks - 1,
                              .last = slice_from(body, 900),
                              .transfer = slice_of(transfer),
                              .until_wall_ms = 5000 };
    assert_int_equal(spool_db_put_message(db, &p), ERR_OK);
    buf_deinit(&b);
}

static void world_init(struct world *w)
{
    struct spool_db *db;
    *w = (struct world){ 0 };
    snprintf(w->dir, sizeof w->dir, "/tmp/gemel-salvage-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->from, sizeof w->from, "%s/old", w->dir);
    snprintf(w->to, sizeof w->to, "%s/new", w->dir);
    assert_int_equal(mkdir(w->from, 0700), 0);
    open_db(w->from, &db);
    assert_int_equal(spool_db_begin(db), ERR_OK);
    for (unsigned i = 1; i <= MESSAGES; i++) put(db, i);
    assert_int_equal(spool_db_commit(db), ERR_OK);
    spool_db_close(db);
}

static void world_deinit(struct world *w)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", w->dir);
    assert_int_equal(system(command), 0);
}

static void damaged(void *owner, const struct queue_id *id)
{
    ((struct world *)owner)->told++;
}

static struct salvage_report salvage(struct world *w)
{
    struct salvage_report r;
    char why[SPOOL_WHY_MAX];
    w->told = 0;
    if (salvage_spool(w->from, w->to, damaged, w, &r, why)) fail_msg("%s", why);
    assert_int_equal(r.saved + r.damaged, r.found);
    assert_int_equal(w->told, r.damaged);
    return r;
}

/* Every message of the new spool is whole and its own. */
static void check_new(struct world *w, size_t want)
{
    struct spool_db *db;
    open_db(w->to, &db);
    struct spool_reader *r = spool_reader_create(db);
    size_t n = 0;
    for (unsigned i = 1; i <= MESSAGES; i++) {
        struct arena a = { 0 };
        struct envelope e;
        struct queue_id id = id_of(i);
        struct buf b;
        buf_init(&b, CHUNKS * SPOOL_CHUNK_BYTES);
        if (spool_reader_envelope(r, &id, &a, &e) == ERR_OK) {
            for (uint32_t k = 0; k < e.chunks; k++)
                assert_int_equal(spool_reader_chunk(r, &id, k, &b), ERR_OK);
            assert_int_equal(buf_len(&b), e.size_bytes);
            n++;
        }
        buf_deinit(&b);
        arena_deinit(&a);
    }
    assert_int_equal(n, want);
    spool_reader_destroy(r);
    spool_db_close(db);
}

/* Overwrites whole pages: `every`-th of the file from page `first` on. */
static void wreck(struct world *w, int first, int every)
{
    char path[128], junk[4096];
    struct stat st;
    memset(junk, 0xa5, sizeof junk);
    snprintf(path, sizeof path, "%s/data.mdb", w->from);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    for (off_t at = (off_t)first * 4096; at < st.st_size; at += (off_t)every * 4096)
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
    close(fd);
}

TEST(a_whole_spool_is_saved_whole)
{
    struct world w;
    world_init(&w);
    struct salvage_report r = salvage(&w);
    assert_int_equal(r.saved, MESSAGES);
    assert_int_equal(r.damaged, 0);
    assert_int_equal(r.transfers, MESSAGES);
    assert_int_equal(r.ended, 0);
    check_new(&w, MESSAGES);
    world_deinit(&w);
}

TEST(of_a_damaged_spool_what_is_intact_is_saved_and_the_rest_is_named)
{
    size_t some = 0;
    for (int first = 20; first < 32; first += 3) {
        struct world w;
        world_init(&w);
        wreck(&w, first, 97);
        struct salvage_report r;
        char why[SPOOL_WHY_MAX];
        enum err err = salvage_spool(w.from, w.to, damaged, &w, &r, why);
        if (!err) { /* else a page everything hangs on was hit */
            assert_int_equal(r.saved + r.damaged, r.found);
            check_new(&w, r.saved);
            some += r.saved;
        }
        world_deinit(&w);
    }
    assert_true(some > 0);
}

TEST(a_spool_cut_short_gives_what_is_left_of_it)
{
    struct world w;
    world_init(&w);
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/data.mdb", w.from);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 64 * 4096), 0);
    struct salvage_report r;
    char why[SPOOL_WHY_MAX];
    if (!salvage_spool(w.from, w.to, damaged, &w, &r, why)) check_new(&w, r.saved);
    world_deinit(&w);
}

TEST(a_spool_in_use_and_a_folder_that_exists_are_left_alone)
{
    struct world w;
    struct salvage_report r;
    struct spool_db *db;
    char why[SPOOL_WHY_MAX];
    world_init(&w);
    open_db(w.from, &db);
    assert_int_equal(salvage_spool(w.from, w.to, damaged, &w, &r, why), ERR_CONFLICT);
    assert_non_null(strstr(why, "another process uses it"));
    spool_db_close(db);
    assert_int_equal(salvage_spool(w.from, w.dir, damaged, &w, &r, why), ERR_CONFLICT);
    assert_int_equal(salvage_spool("/nonexistent", w.to, damaged, &w, &r, why), ERR_NOT_FOUND);
    world_deinit(&w);
}
