#include "dns/egress_record.h"

#include "tests/test.h"

TEST(a_marker_is_read_as_it_was_written)
{
    struct egress_record r, again;
    struct buf b;
    buf_init(&b, EGRESS_RECORD_BYTES_MAX);
    assert_int_equal(egress_record_make(SLICE("lab"), 17, 0, SLICE("edge2"), SLICE("4f1c"), &r), ERR_OK);
    egress_record_format(&r, &b);
    assert_slice(buf_slice(&b), "v=gemel1 cluster=lab epoch=17 active=edge2 digest=4f1c");
    assert_int_equal(egress_record_parse(buf_slice(&b), &again), ERR_OK);
    assert_true(egress_record_eq(&r, &again));
    again.epoch++;
    assert_false(egress_record_eq(&r, &again));
    buf_deinit(&b);
}

TEST(the_longest_marker_is_within_its_bound)
{
    struct egress_record r;
    struct buf b;
    char word[EGRESS_WORD_MAX + 2];
    memset(word, 'a', sizeof word);
    buf_init(&b, 1000);
    assert_int_equal(egress_record_make(slice_from(word, 64), 1, 0, SLICE("a"), SLICE("a"), &r), ERR_LIMIT);
    assert_int_equal(egress_record_make(slice_from(word, 63), UINT64_MAX, UINT32_MAX, slice_from(word, 63),
                                        slice_from(word, 63), &r),
                     ERR_OK);
    egress_record_format(&r, &b);
    assert_true(buf_len(&b) <= EGRESS_RECORD_BYTES_MAX);
    buf_deinit(&b);
}

TEST(fields_of_a_later_version_are_passed_over)
{
    struct egress_record r;
    assert_int_equal(egress_record_parse(SLICE("v=gemel1 cluster=a epoch=0 active=- digest=- note=x"), &r),
                     ERR_OK);
    assert_string_equal(r.active, "-");
}

TEST(the_serial_is_written_when_there_is_one)
{
    struct egress_record r, again;
    struct buf b;
    buf_init(&b, EGRESS_RECORD_BYTES_MAX);
    assert_int_equal(egress_record_make(SLICE("lab"), 17, 3, SLICE("edge2"), SLICE("4f1c"), &r), ERR_OK);
    egress_record_format(&r, &b);
    assert_slice(buf_slice(&b), "v=gemel1 cluster=lab epoch=17 active=edge2 digest=4f1c serial=3");
    assert_int_equal(egress_record_parse(buf_slice(&b), &again), ERR_OK);
    assert_true(egress_record_eq(&r, &again));
    again.serial = 0;
    assert_false(egress_record_eq(&r, &again));
    buf_deinit(&b);
}

TEST(what_is_no_marker_is_malformed)
{
    static const char *const cases[] = {
        "",
        "v=spf1 -all",
        "v=gemel1",
        "v=gemel2 cluster=a epoch=1 active=b digest=c",
        "v=gemel1 cluster= epoch=1 active=b digest=c",
        "v=gemel1 cluster=a epoch=-1 active=b digest=c",
        "v=gemel1 cluster=a epoch=1 active=b digest=c serial=x",
        "v=gemel1 cluster=a epoch=18446744073709551616 active=b digest=c",
        "v=gemel1 epoch=1 cluster=a active=b digest=c",
        "v=gemel1  cluster=a epoch=1 active=b digest=c",
        "v=gemel1 cluster=a\"b epoch=1 active=b digest=c",
        "v=gemel1x cluster=a epoch=1 active=b digest=c",
    };
    struct egress_record r;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(egress_record_parse(slice_of(cases[i]), &r), ERR_MALFORMED);
}
