#include "node/agent.h"
#include "tests/test.h"

TEST(the_epoch_file_is_read_back_as_it_was_written)
{
    struct agent_file in = { .epoch = 101, .mine = true, .fenced = 100 }, out = { 0 };
    struct buf text;
    buf_init(&text, 256);
    agent_file_format(&in, &text);
    assert_int_equal(agent_file_parse(buf_slice(&text), &out), ERR_OK);
    assert_int_equal(out.epoch, 101);
    assert_true(out.mine);
    assert_int_equal(out.fenced, 100);
    buf_deinit(&text);
}

TEST(a_damaged_epoch_file_is_not_guessed_at)
{
    static const char *const damaged[] = { "", "epoch=", "epoch=5", "epoch=5 mine=2 fenced=0\n", "epoch=5 mine=0 fenced=x\n",
                                           "epoch=5 mine=0 fenced=4 more\n", "epoch=5 mine=0 fenced=4\nepoch=6\n" };
    struct agent_file out = { .epoch = 7 };
    for (size_t i = 0; i < ARRAY_LEN(damaged); i++)
        assert_int_equal(agent_file_parse(slice_of(damaged[i]), &out), ERR_MALFORMED);
    assert_int_equal(out.epoch, 7);
}
