/* coordinator/ctl/args.h: the command line by table.
 *
 * Pure. Options may stand before or after the command's words, "--to edge2" and "--to=edge2" are the same, "-n5" and "-n 5"
 * too. Nothing is abbreviated: a typo in a command that moves mail must not mean something else. */
#ifndef GEMEL_COORDINATOR_CTL_ARGS_H
#define GEMEL_COORDINATOR_CTL_ARGS_H

#include "base/buf.h"

struct option {
    const char *name;   /* "--to"; NULL ends the table */
    const char *letter; /* "-n"; NULL: none */
    const char *value;  /* "NAME" for the help; NULL: a flag */
    const char *help;
};

struct args;
struct command {
    const char *words;            /* "status", "spf show"; NULL ends the table */
    const char *positional;       /* "[EPOCH]"; NULL: none */
    uint8_t min, max;             /* how many */
    const struct option *options; /* NULL: only the global ones */
    uint32_t exits;               /* bits of enum exit_class */
    const char *summary;          /* one line */
    const char *about;            /* paragraphs for --help; NULL: the summary says it */
    int (*run)(void *ctl, const struct args *args);
};

enum { ARGS_OPTIONS_MAX = 24, ARGS_POSITIONAL_MAX = 64 };

struct args {
    const struct command *command; /* NULL: none was given */
    char group[24];                /* "spf" when only the first of two words was given */
    bool help, version;
    size_t n_set, n_positional;
    struct {
        const struct option *option;
        const char *value; /* "" for a flag */
    } set[ARGS_OPTIONS_MAX];
    const char *positional[ARGS_POSITIONAL_MAX];
};

/* argv[1…]. MALFORMED: `why` says what is wrong and what was perhaps meant. `out` is filled as far as it was understood. */
MUST_USE enum err args_parse(int argc, char **argv, const struct command *commands,
                             const struct option *globals, struct args *out, struct buf *why);
const char *args_value(const struct args *a, const char *name); /* the last one given; NULL: not given */
bool args_flag(const struct args *a, const char *name);
bool args_has_group(const struct command *commands, const char *word); /* a command's first word of two */

/* "4h", "90m", "1h30m", "15s", "2d" → ms; at least 1 s, at most a year. */
MUST_USE enum err args_duration(const char *text, uint64_t *ms);

#endif
