#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

#include "tests/test.h"

struct sink {
    struct buf text;
    int lines;
    enum log_level level;
};

static void sink_write(void *owner, enum log_level level, struct slice line)
{
    struct sink *s = owner;
    s->lines++;
    s->level = level;
    buf_clear(&s->text);
    buf_put(&s->text, line);
}

static uint64_t fixed_time(void *owner)
{
    return UINT64_C(1772331247123);
}

TEST(a_line_is_a_time_a_level_an_event_and_pairs)
{
    struct sink s = { 0 };
    buf_init(&s.text, 10000);
    struct log l = { .write = sink_write, .owner = &s, .wall_ms = fixed_time, .who = "edge1" };
    struct addr a;
    assert_int_equal(addr_parse_port(SLICE("192.0.2.1:25"), 0, &a), ERR_OK);
    log_info(&l, "gate.closed", kv_u64("epoch", 4), kv_i64("delta", -1), kv_ms("left", 250),
             kv_addr("addr", &a), kv_addr("none", NULL), kv_err("err", ERR_TIMEOUT), kv_bool("open", false),
             kv_cstr("why", "ordered"));
    assert_slice(buf_slice(&s.text),
                 "2026-03-01T02:14:07.123Z info  gate.closed who=edge1 epoch=4 delta=-1 left=250ms "
                 "addr=192.0.2.1:25 none=- err=timeout open=no why=ordered");
    l.wall_ms = NULL, l.who = NULL;
    log_warn(&l, "plain");
    assert_slice(buf_slice(&s.text), "warn  plain");
    assert_int_equal(s.level, LOG_WARN);
    buf_deinit(&s.text);
}

TEST(below_the_level_and_without_a_log_nothing_is_written)
{
    struct sink s = { 0 };
    struct log l = { .write = sink_write, .owner = &s, .min = LOG_WARN };
    log_info(&l, "x", kv_u64("n", 1));
    log_debug(&l, "x");
    log_error(NULL, "x");
    assert_int_equal(s.lines, 0);
}

TEST(values_from_outside_cannot_forge_a_line_or_a_key)
{
    static const struct {
        struct slice in;
        const char *out;
    } cases[] = {
        { SLICE_INIT("plain@example.com"), "plain@example.com" },
        { SLICE_INIT(""), "\"\"" },
        { SLICE_INIT("two words"), "\"two words\"" },
        { SLICE_INIT("a\r\n2026-01-01 error forged"), "\"a\\r\\n2026-01-01 error forged\"" },
        { SLICE_INIT("tab\there"), "\"tab\\there\"" },
        { SLICE_INIT("quote\"back\\slash"), "\"quote\\\"back\\\\slash\"" },
        { SLICE_INIT("nul\0bell\a\x7f"), "\"nul\\x00bell\\x07\\x7f\"" },
        { SLICE_INIT("gr\xc3\xbc\xc3\x9f\x65"), "\"gr\xc3\xbc\xc3\x9f\x65\"" },
        { SLICE_INIT("bad\xc3(\xff\xc0\x80"), "\"bad\\xc3(\\xff\\xc0\\x80\"" },
        { SLICE_INIT("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\"" }, /* a surrogate is no character */
        { SLICE_INIT("\xf0\x9f\x93\xa7"), "\"\xf0\x9f\x93\xa7\"" },
        { SLICE_INIT("cut\xe2\x82"), "\"cut\\xe2\\x82\"" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        buf_init(&b, 10000);
        log_format_kvs(LOG_KVS(kv_slice("v", cases[i].in)), &b);
        assert_slice(slice_skip(buf_slice(&b), 3), cases[i].out);
        buf_deinit(&b);
    }
}

TEST(a_long_value_is_cut_and_a_line_is_bounded)
{
    struct sink s = { 0 };
    char *big = xzalloc(100000);
    memset(big, '\n', 100000);
    buf_init(&s.text, 100000);
    struct log l = { .write = sink_write, .owner = &s };
    struct slice v = slice_from(big, 100000);
    log_info(&l, "x", kv_slice("v", v));
    assert_true(buf_len(&s.text) < 1100);
    assert_true(slice_ends(buf_slice(&s.text), SLICE("…\"")));
    log_info(&l, "x", kv_slice("a", v), kv_slice("b", v), kv_slice("c", v), kv_slice("d", v),
             kv_slice("e", v), kv_slice("f", v), kv_slice("g", v), kv_slice("h", v), kv_slice("i", v));
    assert_true(buf_len(&s.text) <= 8192);
    free(big);
    buf_deinit(&s.text);
}

TEST(a_line_reaches_its_descriptor_whole)
{
    int fds[2];
    char got[200] = "";
    struct log l;
    assert_int_equal(pipe(fds), 0);
    log_to_fd(&l, fds[1], LOG_INFO);
    log_debug(&l, "hidden");
    log_info(&l, "shown", kv_u64("n", 7));
    assert_true(read(fds[0], got, sizeof got - 1) > 0);
    assert_string_equal(got + 25, "info  shown n=7\n"); /* behind the time */
    close(fds[0]);
    close(fds[1]);
}
