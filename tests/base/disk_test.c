#include "base/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/certs.h"
#include "tests/test.h"

TEST(files_are_written_whole_appended_to_and_read_back)
{
    struct disk d;
    struct buf b;
    struct stat st;
    char *folder = test_folder(), path[128], other[160];
    snprintf(path, sizeof path, "%s/epoch", folder);
    disk_os(&d);
    buf_init(&b, 100000);
    assert_int_equal(disk_read(&d, path, &b), ERR_NOT_FOUND);
    assert_int_equal(disk_write(&d, path, SLICE("first, and longer")), ERR_OK);
    assert_int_equal(disk_write(&d, path, slice_from("a\0b", 3)), ERR_OK);
    assert_int_equal(disk_append(&d, path, SLICE("c")), ERR_OK);
    assert_int_equal(disk_read(&d, path, &b), ERR_OK);
    assert_slices(buf_slice(&b), slice_from("a\0bc", 4));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777 & ~0640, 0); /* secrets may be inside */
    snprintf(other, sizeof other, "%s.new", path);
    assert_int_equal(stat(other, &st), -1); /* nothing is left lying about */
    buf_deinit(&b);
    test_folder_remove(folder);
    free(folder);
}

TEST(a_file_longer_than_the_bound_leaves_the_buffer_as_it_was)
{
    struct disk d;
    struct buf b;
    char *folder = test_folder(), path[128];
    char *big = xzalloc(50000);
    snprintf(path, sizeof path, "%s/big", folder);
    disk_os(&d);
    buf_init(&b, 40000);
    buf_put(&b, SLICE("kept"));
    assert_int_equal(disk_write(&d, path, slice_from(big, 50000)), ERR_OK);
    assert_int_equal(disk_read(&d, path, &b), ERR_LIMIT);
    assert_slice(buf_slice(&b), "kept");
    buf_deinit(&b);
    free(big);
    test_folder_remove(folder);
    free(folder);
}

TEST(a_write_that_fails_says_retry_and_the_old_contents_stand)
{
    struct disk d;
    struct buf b;
    char *folder = test_folder(), path[128], tmp[160];
    snprintf(path, sizeof path, "%s/epoch", folder);
    snprintf(tmp, sizeof tmp, "%s.new", path);
    disk_os(&d);
    buf_init(&b, 100);
    assert_int_equal(disk_write(&d, path, SLICE("old")), ERR_OK);
    assert_int_equal(mkdir(tmp, 0700), 0); /* in the way of the temporary file */
    assert_int_equal(disk_write(&d, path, SLICE("new")), ERR_RETRY);
    assert_int_equal(disk_read(&d, path, &b), ERR_OK);
    assert_slice(buf_slice(&b), "old");
    assert_int_equal(disk_write(&d, "/nowhere/at/all", SLICE("x")), ERR_RETRY);
    assert_int_equal(disk_append(&d, "/nowhere/at/all", SLICE("x")), ERR_RETRY);
    if (access("/dev/full", W_OK) == 0) assert_int_equal(disk_append(&d, "/dev/full", SLICE("x")), ERR_RETRY);
    assert_int_equal(disk_read(&d, folder, &b), ERR_RETRY); /* a folder is no file */
    buf_deinit(&b);
    test_folder_remove(folder);
    free(folder);
}
