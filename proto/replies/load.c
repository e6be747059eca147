#include "proto/replies/load.h"

/* "line 12: text" → "FILE:12: text", line by line, as many as there is room for. */
static void put_findings(const char *path, struct slice findings, struct buf *why)
{
    struct slice line, number;
    while (slice_cut(&findings, '\n', &line)) {
        if (!line.n) continue;
        struct slice text = line;
        bool numbered = slice_starts(line, SLICE("line "));
        if (numbered) text = slice_skip(line, 5);
        if (numbered && slice_cut(&text, ':', &number)) {
            if (buf_printf(why, "%s:%.*s: %.*s\n", path, SLICE_ARG(number), SLICE_ARG(slice_trim(text))))
                return;
        } else if (buf_printf(why, "%s: %.*s\n", path, SLICE_ARG(line))) {
            return;
        }
    }
}

static enum err create(const char *path, const struct classify_conf *conf, struct classifier **out,
                       struct buf *why)
{
    struct classifier *c = NULL;
    struct buf said;
    buf_init(&said, 2048);
    enum err err = classifier_create(conf, &c, &said);
    if (err && !buf_len(&said)) buf_put(&said, slice_of(err_text(err)));
    if (!err) classifier_lint(c, &said);
    if (!err && buf_len(&said)) err = ERR_MALFORMED;
    put_findings(path, buf_slice(&said), why);
    buf_deinit(&said);
    if (err)
        classifier_destroy(c);
    else
        *out = c;
    return err;
}

enum err classifier_load(const struct disk *disk, const char *path, const struct slice *zones, size_t n_zones,
                         struct classifier **out, struct buf *why)
{
    struct classify_conf conf = { .zones = zones, .n_zones = n_zones };
    if (!path || !*path) return create("the compiled-in rules", &conf, out, why);
    struct buf text;
    buf_init(&text, RULES_FILE_BYTES_MAX);
    enum err err = disk_read(disk, path, &text);
    if (!err && !slice_trim(buf_slice(&text)).n) err = ERR_MALFORMED;
    if (err) {
        const char *what = err == ERR_NOT_FOUND   ? "there is no such file"
                           : err == ERR_LIMIT     ? "more than 4 MiB are no rules file"
                           : err == ERR_MALFORMED ? "the file is empty"
                                                  : "the file cannot be read";
        if (buf_printf(why, "%s: %s\n", path, what)) buf_clear(why);
    } else {
        conf.rules = buf_slice(&text);
        err = create(path, &conf, out, why);
    }
    buf_deinit(&text);
    return err;
}
