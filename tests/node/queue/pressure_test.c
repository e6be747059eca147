#include "node/queue/pressure.h"

#include "tests/test.h"

static const struct pressure_conf conf = { { [PRESSURE_DISK] = { 96, 99, 97, 94 },
                                             [PRESSURE_MEMORY] = { 88, 94, 89, 84 },
                                             [PRESSURE_BACKLOG] = { 9999, 15000, 10000, 2000 } } };

static void sample(struct pressure *p, uint64_t disk, uint64_t memory, uint64_t backlog)
{
    pressure_sample(p, (uint64_t[]){ disk, memory, backlog }, NULL);
}

static bool takes(const struct pressure *p, bool ours)
{
    uint32_t pause;
    return pressure_takes(p, ours, &pause);
}

TEST(levels_rise_and_fall_with_hysteresis) /* BP-01, BP-02 */
{
    static const struct {
        uint64_t disk;
        enum pressure_level level;
    } steps[] = { { 95, PRESSURE_LOW },  { 96, PRESSURE_MEDIUM }, { 95, PRESSURE_MEDIUM },
                  { 94, PRESSURE_LOW },  { 95, PRESSURE_LOW },    { 99, PRESSURE_HIGH },
                  { 98, PRESSURE_HIGH }, { 97, PRESSURE_MEDIUM }, { 98, PRESSURE_MEDIUM },
                  { 99, PRESSURE_HIGH }, { 95, PRESSURE_MEDIUM }, { 100, PRESSURE_HIGH },
                  { 10, PRESSURE_LOW } };
    struct pressure p;
    pressure_init(&p, &conf);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        sample(&p, steps[i].disk, 0, 0);
        assert_int_equal(p.level[PRESSURE_DISK], steps[i].level);
        assert_int_equal(pressure_worst(&p), steps[i].level);
    }
}

TEST(medium_takes_only_our_own_mail_and_high_nobodys) /* BP-05, BP-06 */
{
    struct pressure p;
    char why[64];
    pressure_init(&p, &conf);
    assert_true(takes(&p, false) && takes(&p, true));
    assert_string_equal(pressure_why(&p, why), "");
    sample(&p, 50, 90, 0);
    assert_true(!takes(&p, false) && takes(&p, true));
    assert_string_equal(pressure_why(&p, why), "medium pressure: memory 90 %");
    sample(&p, 99, 90, 0);
    assert_true(!takes(&p, false) && !takes(&p, true));
    assert_string_equal(pressure_why(&p, why), "high pressure: disk 99 %");
    sample(&p, 50, 80, 0);
    assert_true(takes(&p, false) && takes(&p, true));
}

TEST(a_backlog_makes_others_wait_longer_and_longer_before_it_refuses_them) /* BP-03, BP-04 */
{
    struct pressure p;
    uint32_t pause;
    pressure_init(&p, &conf);
    for (uint32_t i = 0; i < PRESSURE_HISTORY; i++) {
        sample(&p, 0, 0, 12000);
        assert_true(pressure_takes(&p, false, &pause));
        assert_int_equal(pause, MIN(10000u + 5000 * i, 55000u));
        assert_true(pressure_takes(&p, true, &pause));
        assert_int_equal(pause, 0);
    }
    sample(&p, 0, 0, 12000);
    assert_true(!takes(&p, false) && takes(&p, true));
    sample(&p, 0, 0, 2000);
    assert_true(pressure_takes(&p, false, &pause));
    assert_int_equal(pause, 0);
    sample(&p, 0, 0, 15000);
    assert_true(!takes(&p, true));
}

TEST(limits_in_the_wrong_order_are_found)
{
    assert_null(pressure_limits_wrong(&conf.limits[PRESSURE_DISK]));
    assert_string_equal(pressure_limits_wrong(&(struct pressure_limits){ 96, 99, 97, 96 }), "medium_end");
    assert_string_equal(pressure_limits_wrong(&(struct pressure_limits){ 96, 95, 97, 94 }), "high");
    assert_string_equal(pressure_limits_wrong(&(struct pressure_limits){ 96, 99, 93, 94 }), "high_end");
    assert_null(pressure_limits_wrong(&(struct pressure_limits){ 101, 101, 101, 100 }));
}

TEST(memory_and_disk_are_percent_of_what_there_is)
{
    uint64_t percent = 0;
    assert_int_equal(
        pressure_memory(SLICE("MemTotal:       1000 kB\nMemFree: 10 kB\nMemAvailable:    250 kB\n"),
                        &percent),
        ERR_OK);
    assert_int_equal(percent, 75);
    assert_int_equal(pressure_memory(SLICE("MemTotal:       1000 kB\n"), &percent), ERR_MALFORMED);
    assert_int_equal(pressure_memory(SLICE("MemTotal: x kB\nMemAvailable: 1 kB\n"), &percent), ERR_MALFORMED);
    assert_int_equal(pressure_memory(SLICE(""), &percent), ERR_MALFORMED);
    assert_int_equal(pressure_disk(GIB(64), GIB(32)), 50);
    assert_int_equal(pressure_disk(GIB(4096), GIB(4096)), 0);
    assert_int_equal(pressure_disk(GIB(4096), 0), 100);
    assert_int_equal(pressure_disk(100, 5), 95);
    assert_int_equal(pressure_disk(100, 1000), 0);
    assert_int_equal(pressure_disk(0, 0), 0); /* unknown */
}
