#include "proto/replies/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/test.h"

static void check(const char *text, enum err wanted, const char *complaint)
{
    char path[] = "/tmp/gemel-rules-XXXXXX";
    struct disk disk;
    struct classifier *c = NULL;
    struct buf why, full;
    disk_os(&disk);
    buf_init(&why, 4096);
    buf_init(&full, 4096);
    close(mkstemp(path));
    assert_int_equal(disk_write(&disk, path, slice_of(text)), ERR_OK);
    assert_int_equal(classifier_load(&disk, path, NULL, 0, &c, &why), wanted);
    buf_putf(&full, "%s%s%s", *complaint ? path : "", complaint, *complaint ? "\n" : "");
    assert_string_equal(buf_cstr(&why), buf_cstr(&full));
    classifier_destroy(c);
    buf_deinit(&why);
    buf_deinit(&full);
    unlink(path);
}

TEST(mistakes_are_named_by_file_and_line)
{
    check("rule a geo DEST 5xx\n", ERR_OK, "");
    check("\nrule a geo DEST\n", ERR_MALFORMED, ":2: a rule without facts would match everything: a");
    check("rule a geo DEST 5xx\nrule b geo DEST 5xx mail\n", ERR_MALFORMED,
          ":2: rule b can never match, a comes first");
    check("group g \"x\"\nrule a geo DEST 5xx\n", ERR_MALFORMED, ":1: no rule uses the group g");
    check(" \n", ERR_MALFORMED, ": the file is empty");
}

TEST(without_a_file_the_compiled_in_rules_hold)
{
    struct classifier *c = NULL;
    struct disk disk;
    struct buf why;
    disk_os(&disk);
    buf_init(&why, 4096);
    assert_int_equal(classifier_load(&disk, "", NULL, 0, &c, &why), ERR_OK);
    classifier_destroy(c);
    assert_int_equal(classifier_load(&disk, "/nowhere/at all", NULL, 0, &c, &why), ERR_NOT_FOUND);
    assert_string_equal(buf_cstr(&why), "/nowhere/at all: there is no such file\n");
    buf_deinit(&why);
}
