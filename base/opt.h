/* base/opt.h: configuration by table. One row a key gives parsing, unit, bounds, default, and one line of documentation.
 *
 * A file is YAML; a row's key is the dotted path of a value ("failover.lease"). Each error names file, line, key, what was
 * found and what was expected; all errors of a file are reported, not only the first. Keys are never guessed: an unknown
 * one is an error and names the nearest known. Values live in the caller's struct at the row's offset; strings and lists
 * are owned by the struct opt_source and die with it. libyaml reads the syntax; docs/decisions/0002 says why not libcyaml. */
#ifndef GEMEL_BASE_OPT_H
#define GEMEL_BASE_OPT_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/map.h"

enum opt_kind {
    OPT_END,
    OPT_STRING, /* const char *; min, max: length in bytes */
    OPT_FILE,   /* const char *: a path; relative ones are taken from the folder of the configuration file */
    OPT_BOOL,   /* bool; yes, no, true, false, on, off */
    OPT_U64,    /* uint64_t within min..max */
    OPT_DURATION,  /* uint64_t in ms; 250ms, 15s, 10m, 6h, 2d; a bare 0 is allowed where min is 0 */
    OPT_BYTES,     /* uint64_t; 512, 64K, 35M, 2G (powers of 1024) */
    OPT_ADDR,      /* struct addr without a port */
    OPT_ADDR_PORT, /* struct addr; `max` is the default port, 0: the port must be given */
    OPT_PREFIX,    /* struct prefix */
    OPT_WORD,      /* int: index in `words` */
    OPT_LIST, /* struct opt_list of `item` (a scalar kind), or of structs when `sub` is set; min, max: length */
};

struct opt_list {
    void *items; /* array of the item's C type */
    size_t n;
};

struct opt_table;
struct opt {
    const char *key;
    enum opt_kind kind;
    size_t offset;
    const char *
        def; /* as it would stand in the file; NULL: required. "" for a string, address or list: may be left out */
    uint64_t min, max;
    const char *doc;
    const char *const *words;    /* OPT_WORD: NULL-terminated */
    enum opt_kind item;          /* OPT_LIST of scalars */
    const struct opt_table *sub; /* OPT_LIST of mappings */
};

struct opt_table {
    const struct opt *rows; /* ends with OPT_END */
    size_t bytes;           /* sizeof the struct */
    size_t line_offset;     /* offset of an `unsigned line` to fill; SIZE_MAX: none */
};

/* What a load leaves behind: owner of strings and lists, lines of keys, errors. */
struct opt_source {
    struct arena arena;
    char *file;
    struct map lines;  /* dotted path → line */
    struct buf errors; /* "file:line: key: text\n", several */
    unsigned n_errors;
};

void opt_source_init(struct opt_source *src, const char *file);
void opt_source_deinit(struct opt_source *src);

/* Fills `out` (of the table's size; zeroed first) from the file or the text, defaults for what is absent.
 * MALFORMED: src->errors says why, `out` is not to be used. */
MUST_USE enum err opt_load_file(struct opt_source *src, const struct opt_table *table, void *out);
/* The file's bytes, for a caller who loads and digests them; `text` is initialised here and yours to deinit. */
MUST_USE enum err opt_read_file(struct opt_source *src, struct buf *text);
MUST_USE enum err opt_load_text(struct opt_source *src, struct slice yaml, const struct opt_table *table,
                                void *out);

/* Adds an error found later, by meaning: "file:line: key: …". `line` 0: the line of `key` when it stood in the file. */
void opt_error(struct opt_source *src, unsigned line, const char *key, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
unsigned opt_line(const struct opt_source *src, const char *key); /* 0: not in the file */
bool opt_is_set(const struct opt_source *src, const char *key);   /* stood in the file */

/* The whole table as YAML with its documentation, units, bounds and defaults: --print-defaults and the reference page. */
void opt_print_defaults(const struct opt_table *table, struct buf *out);

/* Reads a small secret (password, key) from a file: trimmed of white space, 4 KiB at most, kept in src's arena. An error
 * names the key and the path, never the contents. */
MUST_USE enum err opt_read_secret(struct opt_source *src, const char *key, const char *path,
                                  const char **out);

#endif
