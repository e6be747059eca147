#include "coordinator/ctl/args.h"

#include <stdio.h>

enum { WORD_MAX = 24, DURATION_MAX_DAYS = 366 };

struct parser {
    const struct command *commands;
    const struct option *globals;
    struct args *out;
    struct buf *why;
    bool only_words; /* after "--" */
};

/* Levenshtein's distance for short words; 99 when one of them is long. */
static unsigned distance(struct slice a, struct slice b)
{
    unsigned row[WORD_MAX + 1];
    if (a.n > WORD_MAX || b.n > WORD_MAX) return 99;
    for (unsigned j = 0; j <= b.n; j++) row[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            unsigned change = diagonal + (a.p[i - 1] != b.p[j - 1]);
            diagonal = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b.n];
}

struct guess {
    const char *word;
    unsigned distance;
};

static void consider(struct guess *g, const char *given, const char *known)
{
    if (!known) return;
    unsigned d = distance(slice_of(given), slice_of(known));
    if (d >= g->distance) return;
    *g = (struct guess){ known, d };
}

static enum err PRINTF_LIKE(3, 4) wrong(struct parser *p, struct guess g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    enum err err = buf_vprintf(p->why, fmt, ap);
    va_end(ap);
    ASSERT(!err);
    if (g.word && g.distance <= 1 + strlen(g.word) / 4) buf_putf(p->why, "; did you mean %s?", g.word);
    return ERR_MALFORMED;
}

bool args_has_group(const struct command *commands, const char *word)
{
    for (const struct command *c = commands; c->words; c++) {
        struct slice rest = slice_of(c->words), head = slice_word(&rest);
        if (slice_trim(rest).n > 0 && slice_eq(head, slice_of(word))) return true;
    }
    return false;
}

static const struct command *find_command(const struct command *commands, const char *group, const char *word)
{
    char words[2 * WORD_MAX + 2];
    snprintf(words, sizeof words, "%s%s%s", group, group[0] ? " " : "", word);
    for (const struct command *c = commands; c->words; c++)
        if (strcmp(c->words, words) == 0) return c;
    return NULL;
}

static enum err unknown_command(struct parser *p, const char *word)
{
    struct guess g = { NULL, 99 };
    const char *group = p->out->group;
    for (const struct command *c = p->commands; c->words; c++) {
        struct slice rest = slice_of(c->words), head = slice_word(&rest);
        if (group[0] && slice_eq(head, slice_of(group))) consider(&g, word, slice_trim(rest).p);
        unsigned d = distance(slice_of(word), head);
        if (!group[0] && d < g.distance) g = (struct guess){ c->words, d };
    }
    if (group[0]) return wrong(p, g, "%s has no command %s", group, word);
    return wrong(p, g, "there is no command %s", word);
}

static enum err take_word(struct parser *p, const char *word)
{
    struct args *a = p->out;
    if (a->command) {
        if (a->n_positional == a->command->max)
            return wrong(p, (struct guess){ 0 }, "what is \"%s\" for?", word);
        a->positional[a->n_positional++] = word;
        return ERR_OK;
    }
    a->command = find_command(p->commands, a->group, word);
    if (a->command) return ERR_OK;
    if (!a->group[0] && strlen(word) < sizeof a->group && args_has_group(p->commands, word)) {
        snprintf(a->group, sizeof a->group, "%s", word);
        return ERR_OK;
    }
    return unknown_command(p, word);
}

/* The option that `arg` names: "--to", "--to=x", "-n", "-n5". What stands behind it in the same word goes to *attached. */
static const struct option *match(const struct option *table, const char *arg, const char **attached)
{
    for (const struct option *o = table; o && o->name; o++) {
        size_t n = strlen(o->name);
        *attached = NULL;
        if (strcmp(arg, o->name) == 0) return o;
        if (strncmp(arg, o->name, n) == 0 && arg[n] == '=') {
            *attached = arg + n + 1;
            return o;
        }
        if (!o->letter || strncmp(arg, o->letter, 2) != 0) continue;
        if (arg[2]) *attached = arg + 2;
        if (!arg[2] || o->value) return o;
    }
    return NULL;
}

static enum err unknown_option(struct parser *p, const char *arg)
{
    struct guess g = { NULL, 99 };
    char name[2 * WORD_MAX];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(arg, "="), arg);
    for (const struct option *o = p->globals; o->name; o++) consider(&g, name, o->name);
    if (p->out->command && p->out->command->options)
        for (const struct option *o = p->out->command->options; o->name; o++) consider(&g, name, o->name);
    if (p->out->command) buf_putf(p->why, "%s: ", p->out->command->words);
    const char *where = p->out->command ? "" : " in front of a command";
    return wrong(p, g, "unknown option %s%s", name, where);
}

static enum err take_option(struct parser *p, const char *arg, char **next, int *used)
{
    struct args *a = p->out;
    const char *attached = NULL;
    const struct option *o = match(p->globals, arg, &attached);
    if (!o && a->command) o = match(a->command->options, arg, &attached);
    if (!o) return unknown_option(p, arg);
    if (!o->value && attached) return wrong(p, (struct guess){ 0 }, "%s takes no value", o->name);
    const char *value = attached ? attached : "";
    if (o->value && !attached) {
        if (!*next) {
            buf_putf(p->why, "%s needs a value: %s %s", arg, o->name, o->value);
            return ERR_MALFORMED;
        }
        value = *next;
        *used = 2;
    }
    if (strcmp(o->name, "--help") == 0) a->help = true;
    if (strcmp(o->name, "--version") == 0) a->version = true;
    if (a->n_set == ARGS_OPTIONS_MAX) return wrong(p, (struct guess){ 0 }, "too many options: %s", arg);
    a->set[a->n_set].option = o;
    a->set[a->n_set++].value = value;
    return ERR_OK;
}

static enum err check_complete(struct parser *p)
{
    const struct args *a = p->out;
    if (a->help || a->version || !a->command || a->n_positional >= a->command->min) return ERR_OK;
    buf_putf(p->why, "%s: %s is missing", a->command->words, a->command->positional);
    return ERR_MALFORMED;
}

enum err args_parse(int argc, char **argv, const struct command *commands, const struct option *globals,
                    struct args *out, struct buf *why)
{
    *out = (struct args){ 0 };
    struct parser p = { .commands = commands, .globals = globals, .out = out, .why = why };
    enum err err = ERR_OK;
    for (int i = 1; i < argc && !err;) {
        int used = 1;
        if (p.only_words || argv[i][0] != '-' || !argv[i][1])
            err = take_word(&p, argv[i]);
        else if (strcmp(argv[i], "--") == 0)
            p.only_words = true;
        else
            err = take_option(&p, argv[i], &argv[i + 1], &used);
        i += used;
    }
    return err ? err : check_complete(&p);
}

const char *args_value(const struct args *a, const char *name)
{
    for (size_t i = a->n_set; i > 0; i--)
        if (strcmp(a->set[i - 1].option->name, name) == 0) return a->set[i - 1].value;
    return NULL;
}

bool args_flag(const struct args *a, const char *name)
{
    return args_value(a, name) != NULL;
}

enum err args_duration(const char *text, uint64_t *ms)
{
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = { { 'd', DAYS(1) }, { 'h', HOURS(1) }, { 'm', MINUTES(1) }, { 's', SECONDS(1) } };
    struct slice rest = slice_of(text);
    uint64_t sum = 0;
    size_t at = 0; /* units come once each, the large ones first */
    while (rest.n > 0) {
        size_t digits = 0;
        while (digits < rest.n && ascii_is_digit(rest.p[digits])) digits++;
        uint64_t n;
        if (digits == rest.n || slice_u64(slice_sub(rest, 0, digits), DAYS(DURATION_MAX_DAYS) / 1000, &n))
            return ERR_MALFORMED;
        while (at < ARRAY_LEN(units) && units[at].unit != rest.p[digits]) at++;
        if (at == ARRAY_LEN(units)) return ERR_MALFORMED;
        sum += n * units[at++].ms;
        rest = slice_skip(rest, digits + 1);
    }
    if (sum < SECONDS(1)) return ERR_MALFORMED;
    if (sum > DAYS(DURATION_MAX_DAYS)) return ERR_LIMIT;
    *ms = sum;
    return ERR_OK;
}
