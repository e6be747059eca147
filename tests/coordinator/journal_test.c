#include "coordinator/journal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/disk.h"
#include "base/timers.h"
#include "tests/certs.h"
#include "tests/test.h"

struct place {
    char *folder, path[256];
    struct env env;
    struct timers timers;
    struct disk disk;
};

static void place_init(struct place *p)
{
    *p = (struct place){ .folder = test_folder() };
    snprintf(p->path, sizeof p->path, "%s/journal", p->folder);
    timers_init(&p->timers);
    disk_os(&p->disk);
    p->env = (struct env){ .timers = &p->timers, .disk = &p->disk };
}

static void place_deinit(struct place *p)
{
    timers_deinit(&p->timers);
    test_folder_remove(p->folder);
    free(p->folder);
}

static uint64_t opened(struct place *p)
{
    uint64_t epoch = 99;
    struct buf why;
    buf_init(&why, 1024);
    assert_int_equal(journal_open(&p->env, p->path, &epoch, &why), ERR_OK);
    buf_deinit(&why);
    return epoch;
}

TEST(the_highest_epoch_of_whole_lines_counts)
{
    assert_int_equal(journal_highest(SLICE("")), 0);
    assert_int_equal(journal_highest(SLICE("epoch=5 x\nepoch=3 y\n")), 5);
    assert_int_equal(journal_highest(SLICE("epoch=5 x\nepoch=7 to")), 5);
    assert_int_equal(
        journal_highest(SLICE("epoch=5 epoch=9\nxepoch=8\n epoch=4\nepoch=18446744073709551615x\n")), 5);
}

TEST(what_was_decided_is_known_at_the_next_start)
{
    struct place p;
    place_init(&p);
    assert_int_equal(opened(&p), 0);
    assert_int_equal(journal_append(&p.env, p.path, 17, "op=1 why=listed"), ERR_OK);
    assert_int_equal(journal_append(&p.env, p.path, 18, "op=2 why=\"failed\""), ERR_OK);
    assert_int_equal(opened(&p), 18);
    place_deinit(&p);
}

TEST(a_line_torn_by_a_crash_is_ended_so_that_the_next_one_stands_alone)
{
    struct place p;
    place_init(&p);
    assert_int_equal(disk_write(&p.disk, p.path, SLICE("epoch=4 a\nepoch=9")), ERR_OK);
    assert_int_equal(opened(&p), 4);
    assert_int_equal(journal_append(&p.env, p.path, 5, "b"), ERR_OK);
    assert_int_equal(opened(&p), 9); /* the torn line is whole now; higher is the safe side */
    place_deinit(&p);
}

TEST(a_long_journal_is_shortened_and_keeps_its_highest_epoch)
{
    struct place p;
    struct buf text;
    place_init(&p);
    buf_init(&text, 4 << 20);
    buf_put(&text, SLICE("epoch=1000000 first\n"));
    while (buf_len(&text) <= JOURNAL_LONG_BYTES)
        buf_put(&text, SLICE("epoch=7 and some more words to fill the line\n"));
    assert_int_equal(disk_write(&p.disk, p.path, buf_slice(&text)), ERR_OK);
    assert_int_equal(opened(&p), 1000000);
    buf_clear(&text);
    assert_int_equal(disk_read(&p.disk, p.path, &text), ERR_OK);
    assert_true(buf_len(&text) <= JOURNAL_KEEP_BYTES + 64);
    assert_true(slice_starts(buf_slice(&text), SLICE("epoch=1000000 kept\nepoch=7 and")));
    assert_int_equal(opened(&p), 1000000);
    buf_deinit(&text);
    place_deinit(&p);
}

TEST(a_journal_that_cannot_be_read_ends_the_start)
{
    struct place p;
    struct buf why;
    uint64_t epoch = 99;
    place_init(&p);
    buf_init(&why, 1024);
    assert_int_equal(journal_open(&p.env, p.folder, &epoch, &why), ERR_REFUSED);
    assert_int_equal(epoch, 99);
    assert_true(slice_starts(buf_slice(&why), slice_of(p.folder)));
    buf_deinit(&why);
    place_deinit(&p);
}
