/* tests/bench/classify [FILE.psv [RULES]]: how well the classifier does on labelled refusals, and how fast. */
#include <stdio.h>
#include <stdlib.h>

#include "base/disk.h"
#include "base/timers.h"
#include "tests/proto/replies/replies.h"

static double percent(size_t part, size_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 100.0;
}

static void print_speed(const struct classifier *c, const struct replies *r)
{
    enum { ROUNDS = 200 };
    struct classify_output out;
    uint64_t from = clock_boot_ms(NULL);
    for (int k = 0; k < ROUNDS; k++)
        for (size_t i = 0; i < r->n; i++) replies_classify(c, &r->line[i], &out);
    uint64_t ms = MAX(clock_boot_ms(NULL) - from, UINT64_C(1));
    printf("speed      %.1f us a reply\n", 1000.0 * (double)ms / (ROUNDS * (double)r->n));
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "tests/data/replies.psv";
    struct replies *r = xzalloc(sizeof *r);
    struct disk disk;
    struct classifier *c = NULL;
    struct replies_score s;
    struct buf why, wrong, rules;
    disk_os(&disk);
    buf_init(&why, 1000);
    buf_init(&wrong, 4 << 20);
    buf_init(&rules, 4 << 20);
    enum err err = replies_load(path, r);
    if (!err && argc > 2) err = disk_read(&disk, argv[2], &rules);
    if (!err) err = classifier_create(&(struct classify_conf){ .rules = buf_slice(&rules) }, &c, &why);
    if (err) {
        fprintf(stderr, "%s: %s %s\n", path, err_text(err), buf_cstr(&why));
        return 1;
    }
    classifier_lint(c, &wrong);
    replies_measure(c, r, &s, &wrong);
    fputs(buf_cstr(&wrong), stdout);
    printf("replies    %zu\nscope      %.1f%% exact\neffect     %.1f%% exact\n", s.n, percent(s.scope, s.n),
           percent(s.effect, s.n));
    printf("switch     %.1f%% decided right; recall %.1f%%, precision %.1f%%\n", percent(s.switch_right, s.n),
           percent(s.switches_found, s.switches),
           percent(s.switches_found, s.switches_found + s.switches_wrong));
    print_speed(c, r);
    classifier_destroy(c);
    replies_deinit(r);
    free(r);
    buf_deinit(&why);
    buf_deinit(&wrong);
    buf_deinit(&rules);
    return 0;
}
