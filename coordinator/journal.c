#include "coordinator/journal.h"

#include <stdio.h>
#include <time.h>

#include "base/disk.h"
#include "base/log.h"
#include "base/timers.h"

uint64_t journal_highest(struct slice text)
{
    uint64_t highest = 0, epoch;
    while (text.n) {
        size_t end = slice_find(text, '\n');
        if (end == text.n) break;
        struct slice line = slice_sub(text, 0, end), word;
        text = slice_skip(text, end + 1);
        word = slice_word(&line);
        if (slice_starts(word, SLICE("epoch=")) && !slice_u64(slice_skip(word, 6), UINT64_MAX, &epoch))
            highest = MAX(highest, epoch);
    }
    return highest;
}

static enum err append(const struct env *env, const char *path, struct slice s)
{
    enum err err = disk_append(env->disk, path, s);
    if (err) log_error(env->log, "journal.not_written", kv_cstr("file", path), kv_err("err", err));
    return err;
}

/* Keeps the newest lines, and the highest epoch in front of them. */
static enum err shorten(const struct env *env, const char *path, struct slice text, uint64_t highest)
{
    struct buf out;
    struct slice tail = slice_skip(text, text.n - JOURNAL_KEEP_BYTES);
    tail = slice_skip(tail, slice_find(tail, '\n') + 1);
    buf_init(&out, JOURNAL_KEEP_BYTES + 64);
    buf_putf(&out, "epoch=%" PRIu64 " kept\n%.*s", highest, SLICE_ARG(tail));
    enum err err = disk_write(env->disk, path, buf_slice(&out));
    buf_deinit(&out);
    return err;
}

enum err journal_open(const struct env *env, const char *path, uint64_t *epoch, struct buf *why)
{
    struct buf text;
    buf_init(&text, JOURNAL_BYTES_MAX);
    enum err err = disk_read(env->disk, path, &text);
    struct slice all = buf_slice(&text);
    if (err == ERR_NOT_FOUND) err = ERR_OK;
    if (err)
        buf_putf(why, "%s cannot be read (%s): it holds the highest epoch ever decided here", path,
                 err_text(err));
    if (!err && all.n && all.p[all.n - 1] != '\n') err = append(env, path, SLICE("\n"));
    if (!err) *epoch = journal_highest(all);
    if (!err && all.n > JOURNAL_LONG_BYTES) err = shorten(env, path, all, *epoch);
    if (err && !buf_len(why)) buf_putf(why, "%s cannot be written (%s)", path, err_text(err));
    buf_deinit(&text);
    return err ? ERR_REFUSED : ERR_OK;
}

enum err journal_append(const struct env *env, const char *path, uint64_t epoch, const char *line)
{
    struct buf text;
    struct tm tm;
    char at[32];
    uint64_t wall = timers_wall_ms(env->timers);
    time_t s = (time_t)(wall / 1000);
    gmtime_r(&s, &tm);
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", &tm);
    buf_init(&text, 4096);
    buf_putf(&text, "epoch=%" PRIu64 " at=%s.%03uZ %.2000s\n", epoch, at, (unsigned)(wall % 1000), line);
    enum err err = append(env, path, buf_slice(&text));
    buf_deinit(&text);
    return err;
}
