#include "base/opt.h"

#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/disk.h"

enum {
    FILE_BYTES_MAX = 1 << 20,
    PATH_BYTES_MAX = 256,
    DEPTH_MAX = 8,
    ERRORS_MAX = 50,
    LIST_ITEMS_MAX = 4096
};

void opt_source_init(struct opt_source *src, const char *file)
{
    *src = (struct opt_source){ .file = xstrdup(file) };
    buf_init(&src->errors, 64 * 1024);
}

void opt_source_deinit(struct opt_source *src)
{
    arena_deinit(&src->arena);
    map_deinit(&src->lines);
    buf_deinit(&src->errors);
    free(src->file);
    src->file = NULL;
}

unsigned opt_line(const struct opt_source *src, const char *key)
{
    return (unsigned)(uintptr_t)map_get(&src->lines, slice_of(key));
}

bool opt_is_set(const struct opt_source *src, const char *key)
{
    return opt_line(src, key) != 0;
}

void opt_error(struct opt_source *src, unsigned line, const char *key, const char *fmt, ...)
{
    if (src->n_errors++ >= ERRORS_MAX) return;
    va_list ap;
    va_start(ap, fmt);
    if (!line) line = opt_line(src, key);
    enum err err = buf_printf(&src->errors, line ? "%s:%u: " : "%s: ", src->file, line);
    if (!err && *key) err = buf_printf(&src->errors, "%s: ", key);
    if (!err) err = buf_vprintf(&src->errors, fmt, ap);
    if (!err) err = buf_append_c(&src->errors, '\n');
    va_end(ap);
}

/* ---- one scalar ---- */

struct unit {
    const char *suffix;
    uint64_t factor;
};
static const struct unit duration_units[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", MINUTES(1) }, { "h", HOURS(1) }, { "d", DAYS(1) },
};
static const struct unit byte_units[] = { { "", 1 }, { "K", KIB(1) }, { "M", MIB(1) }, { "G", GIB(1) } };

static enum err with_unit(struct slice s, const struct unit *units, size_t n, uint64_t *out)
{
    size_t digits = 0;
    uint64_t v;
    while (digits < s.n && ascii_is_digit(s.p[digits])) digits++;
    enum err err = slice_u64(slice_sub(s, 0, digits), UINT64_MAX, &v);
    if (err) return err;
    struct slice suffix = slice_skip(s, digits);
    if (suffix.n == 0 && v == 0) return *out = 0, ERR_OK;
    for (size_t i = 0; i < n; i++) {
        if (!slice_eq(suffix, slice_of(units[i].suffix))) continue;
        if (v > UINT64_MAX / units[i].factor) return ERR_LIMIT;
        return *out = v * units[i].factor, ERR_OK;
    }
    return ERR_MALFORMED;
}

static void put_with_unit(uint64_t v, const struct unit *units, size_t n, struct buf *out)
{
    size_t best = 0;
    for (size_t i = 0; i < n; i++)
        if (v && v % units[i].factor == 0) best = i;
    buf_putf(out, "%" PRIu64 "%s", v / units[best].factor, v ? units[best].suffix : "");
}

static bool bounded(const struct opt *o)
{
    return o->min || o->max;
}

/* "a duration (250ms, 15s, 10m, 6h, 2d) from 1s to 5m" */
static void expected(const struct opt *o, enum opt_kind kind, struct buf *out)
{
    switch (kind) {
    case OPT_STRING:
        buf_put(out, SLICE("a text"));
        if (o->max) buf_putf(out, " of %" PRIu64 " to %" PRIu64 " bytes", o->min, o->max);
        break;
    case OPT_FILE: buf_put(out, SLICE("a path")); break;
    case OPT_BOOL: buf_put(out, SLICE("yes or no")); break;
    case OPT_U64:
        buf_put(out, SLICE("a whole number"));
        if (bounded(o)) buf_putf(out, " from %" PRIu64 " to %" PRIu64, o->min, o->max);
        break;
    case OPT_DURATION:
        buf_put(out, SLICE("a duration with a unit (250ms, 15s, 10m, 6h, 2d)"));
        if (!bounded(o)) break;
        buf_put(out, SLICE(" from "));
        put_with_unit(o->min, duration_units, ARRAY_LEN(duration_units), out);
        buf_put(out, SLICE(" to "));
        put_with_unit(o->max, duration_units, ARRAY_LEN(duration_units), out);
        break;
    case OPT_BYTES:
        buf_put(out, SLICE("a size in bytes (512, 64K, 35M, 2G)"));
        if (!bounded(o)) break;
        buf_put(out, SLICE(" from "));
        put_with_unit(o->min, byte_units, ARRAY_LEN(byte_units), out);
        buf_put(out, SLICE(" to "));
        put_with_unit(o->max, byte_units, ARRAY_LEN(byte_units), out);
        break;
    case OPT_ADDR: buf_put(out, SLICE("an IP address")); break;
    case OPT_ADDR_PORT:
        buf_put(out, o->max ? SLICE("an IP address, with :port if it is another than ")
                            : SLICE("an IP address and port (192.0.2.1:25, [2001:db8::1]:25)"));
        if (o->max) buf_putf(out, "%" PRIu64, o->max);
        break;
    case OPT_PREFIX: buf_put(out, SLICE("an address or prefix without host bits (10.0.0.0/8)")); break;
    case OPT_WORD:
        buf_put(out, SLICE("one of"));
        for (size_t i = 0; o->words[i]; i++) buf_putf(out, "%s %s", i ? "," : "", o->words[i]);
        break;
    case OPT_LIST:
        buf_put(out, SLICE("a list"));
        if (o->max) buf_putf(out, " of %" PRIu64 " to %" PRIu64 " items", o->min, o->max);
        break;
    case OPT_END: break;
    }
}

static enum err in_bounds(const struct opt *o, uint64_t v)
{
    return bounded(o) && (v < o->min || v > o->max) ? ERR_LIMIT : ERR_OK;
}

static enum err set_u64(const struct opt *o, enum err err, uint64_t v, void *at)
{
    if (!err) err = in_bounds(o, v);
    if (!err) *(uint64_t *)at = v;
    return err;
}

static enum err set_bool(struct slice s, bool *out)
{
    static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_ieq(s, slice_of(words[i]))) return *out = i & 1, ERR_OK;
    return ERR_MALFORMED;
}

static enum err set_string(struct opt_source *src, const struct opt *o, struct slice s, void *at)
{
    if (slice_find(s, '\0') != s.n) return ERR_MALFORMED;
    if (o->max && (s.n < o->min || s.n > o->max)) return ERR_LIMIT;
    *(const char **)at = arena_cstr(&src->arena, s);
    return ERR_OK;
}

static enum err set_file(struct opt_source *src, struct slice s, void *at)
{
    if (s.n == 0 || slice_find(s, '\0') != s.n) return ERR_MALFORMED;
    if (s.p[0] == '/') return *(const char **)at = arena_cstr(&src->arena, s), ERR_OK;
    char *copy = xstrdup(src->file);
    *(const char **)at = arena_printf(&src->arena, "%s/%.*s", dirname(copy), SLICE_ARG(s));
    free(copy);
    return ERR_OK;
}

static enum err set_word(const struct opt *o, struct slice s, int *out)
{
    for (int i = 0; o->words[i]; i++)
        if (slice_eq(s, slice_of(o->words[i]))) return *out = i, ERR_OK;
    return ERR_MALFORMED;
}

static enum err set_scalar(struct opt_source *src, const struct opt *o, enum opt_kind kind, struct slice s,
                           void *at)
{
    uint64_t v = 0;
    enum err err;
    switch (kind) {
    case OPT_STRING: return set_string(src, o, s, at);
    case OPT_FILE: return set_file(src, s, at);
    case OPT_BOOL: return set_bool(s, at);
    case OPT_U64: err = slice_u64(s, UINT64_MAX, &v); return set_u64(o, err, v, at);
    case OPT_DURATION:
        err = with_unit(s, duration_units, ARRAY_LEN(duration_units), &v);
        return set_u64(o, err, v, at);
    case OPT_BYTES: err = with_unit(s, byte_units, ARRAY_LEN(byte_units), &v); return set_u64(o, err, v, at);
    case OPT_ADDR: return addr_parse(s, at);
    case OPT_ADDR_PORT: {
        struct addr a;
        err = addr_parse_port(s, (uint16_t)o->max, &a);
        if (!err && !a.port) err = ERR_MALFORMED;
        if (!err) *(struct addr *)at = a;
        return err;
    }
    case OPT_PREFIX: return prefix_parse(s, at);
    case OPT_WORD: return set_word(o, s, at);
    case OPT_LIST:
    case OPT_END: break;
    }
    return ERR_MALFORMED;
}

static size_t scalar_bytes(enum opt_kind kind)
{
    switch (kind) {
    case OPT_STRING:
    case OPT_FILE: return sizeof(char *);
    case OPT_BOOL: return sizeof(bool);
    case OPT_U64:
    case OPT_DURATION:
    case OPT_BYTES: return sizeof(uint64_t);
    case OPT_ADDR:
    case OPT_ADDR_PORT: return sizeof(struct addr);
    case OPT_PREFIX: return sizeof(struct prefix);
    case OPT_WORD: return sizeof(int);
    case OPT_LIST:
    case OPT_END: break;
    }
    ASSERT(!"a list of lists is not a thing we have");
    return 0;
}

/* ---- walking the document ---- */

struct walk {
    struct opt_source *src;
    yaml_document_t *doc;
    const struct opt_table *table;
    char *out;
    const char *at; /* dotted path of the struct, for messages: "identities[1]." or "" */
    bool *seen;     /* one per row */
    unsigned line;  /* where the struct starts */
    unsigned depth;
};

static void load_struct(struct opt_source *src, yaml_document_t *doc, const struct opt_table *table,
                        yaml_node_t *node, const char *at, unsigned depth, void *out);

static unsigned line_of(const yaml_node_t *n)
{
    return (unsigned)n->start_mark.line + 1;
}

static struct slice text_of(const yaml_node_t *n)
{
    return slice_from(n->data.scalar.value, n->data.scalar.length);
}

static void complain(struct opt_source *src, const struct opt *o, enum opt_kind kind, unsigned line,
                     const char *path, struct slice found)
{
    struct buf want;
    buf_init(&want, 2048);
    expected(o, kind, &want);
    opt_error(src, line, path, "\"%.*s\" is not allowed; expected %s", (int)MIN(found.n, (size_t)80), found.p,
              buf_cstr(&want));
    buf_deinit(&want);
}

static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(b), row[PATH_BYTES_MAX];
    if (n >= PATH_BYTES_MAX) return SIZE_MAX;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = MIN(best, MIN(row[j], row[j - 1]) + 1);
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

static const char *nearest(const struct opt_table *table, const char *key)
{
    const char *best = NULL;
    size_t least = strlen(key) / 3 + 2;
    for (const struct opt *o = table->rows; o->kind; o++) {
        size_t d = distance(key, o->key);
        if (d < least) least = d, best = o->key;
    }
    return best;
}

static void unknown_key(struct walk *w, unsigned line, const char *key)
{
    const char *near = nearest(w->table, key), *path = arena_printf(&w->src->arena, "%s%s", w->at, key);
    if (near)
        opt_error(w->src, line, path, "unknown key; did you mean \"%s%s\"?", w->at, near);
    else
        opt_error(w->src, line, path, "unknown key");
}

static void load_list(struct walk *w, const struct opt *o, yaml_node_t *node, const char *path)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        complain(w->src, o, OPT_LIST, line_of(node), path,
                 node->type == YAML_SCALAR_NODE ? text_of(node) : SLICE("a mapping"));
        return;
    }
    size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (n > LIST_ITEMS_MAX || (o->max && (n < o->min || n > o->max))) {
        opt_error(w->src, line_of(node), path, "%zu items; expected %" PRIu64 " to %" PRIu64, n, o->min,
                  o->max ? o->max : LIST_ITEMS_MAX);
        return;
    }
    size_t bytes = o->sub ? o->sub->bytes : scalar_bytes(o->item);
    char *items = arena_alloc(&w->src->arena, n * bytes);
    struct opt scalar = { .key = o->key, .kind = o->item, .words = o->words };
    for (size_t i = 0; i < n; i++) {
        yaml_node_t *item = yaml_document_get_node(w->doc, node->data.sequence.items.start[i]);
        const char *item_path = arena_printf(&w->src->arena, o->sub ? "%s[%zu]." : "%s[%zu]", path, i);
        if (o->sub) {
            load_struct(w->src, w->doc, o->sub, item, item_path, w->depth + 1, items + i * bytes);
        } else if (item->type != YAML_SCALAR_NODE) {
            complain(w->src, &scalar, o->item, line_of(item), item_path, SLICE("a list or mapping"));
        } else if (set_scalar(w->src, &scalar, o->item, text_of(item), items + i * bytes)) {
            complain(w->src, &scalar, o->item, line_of(item), item_path, text_of(item));
        }
    }
    *(struct opt_list *)(void *)(w->out + o->offset) = (struct opt_list){ items, n };
}

static void load_value(struct walk *w, const struct opt *o, yaml_node_t *node, const char *path)
{
    map_put(&w->src->lines, slice_of(path), (void *)(uintptr_t)line_of(node));
    if (o->kind == OPT_LIST) {
        load_list(w, o, node, path);
    } else if (node->type != YAML_SCALAR_NODE) {
        complain(w->src, o, o->kind, line_of(node), path,
                 node->type == YAML_SEQUENCE_NODE ? SLICE("a list") : SLICE("a mapping"));
    } else if (set_scalar(w->src, o, o->kind, text_of(node), w->out + o->offset)) {
        complain(w->src, o, o->kind, line_of(node), path, text_of(node));
    }
}

static bool is_group(const struct opt_table *table, struct slice key)
{
    for (const struct opt *o = table->rows; o->kind; o++)
        if (slice_starts(slice_of(o->key), key) && o->key[key.n] == '.') return true;
    return false;
}

static const struct opt *find_row(const struct opt_table *table, struct slice key)
{
    for (const struct opt *o = table->rows; o->kind; o++)
        if (slice_eq(slice_of(o->key), key)) return o;
    return NULL;
}

/* One mapping; `group` is "" or "failover." inside the struct. */
static void load_mapping(struct walk *w, yaml_node_t *node, const char *group)
{
    if (w->depth > DEPTH_MAX) {
        opt_error(w->src, line_of(node), "", "nested too deeply");
        return;
    }
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *k = yaml_document_get_node(w->doc, p->key),
                    *v = yaml_document_get_node(w->doc, p->value);
        if (k->type != YAML_SCALAR_NODE || k->data.scalar.length == 0 ||
            k->data.scalar.length > PATH_BYTES_MAX / 2) {
            opt_error(w->src, line_of(k), "", "expected a key");
            continue;
        }
        const char *key = arena_printf(&w->src->arena, "%s%.*s", group, SLICE_ARG(text_of(k)));
        const char *path = arena_printf(&w->src->arena, "%s%s", w->at, key);
        const struct opt *o = find_row(w->table, slice_of(key));
        bool group_key = !o && is_group(w->table, slice_of(key));
        if (o && w->seen[o - w->table->rows]) {
            opt_error(w->src, line_of(k), path, "stands here twice");
        } else if (o) {
            w->seen[o - w->table->rows] = true;
            load_value(w, o, v, path);
        } else if (!group_key) {
            unknown_key(w, line_of(k), key);
        } else if (v->type != YAML_MAPPING_NODE) {
            opt_error(w->src, line_of(v), path, "expected a mapping of its keys");
        } else {
            map_put(&w->src->lines, slice_of(path), (void *)(uintptr_t)line_of(k));
            w->depth++;
            load_mapping(w, v, arena_printf(&w->src->arena, "%s.", key));
            w->depth--;
        }
    }
}

static void set_default(struct walk *w, const struct opt *o)
{
    if (!o->def) {
        struct buf want;
        buf_init(&want, 2048);
        expected(o, o->kind, &want);
        const char *path = arena_printf(&w->src->arena, "%s%s", w->at, o->key);
        opt_error(w->src, w->line, path, "is missing; expected %s", buf_cstr(&want));
        buf_deinit(&want);
    } else if (o->kind == OPT_STRING) {
        *(const char **)(void *)(w->out + o->offset) = o->def;
    } else if (*o->def) {
        enum err err = set_scalar(w->src, o, o->kind, slice_of(o->def), w->out + o->offset);
        ASSERT(!err);
    }
}

static void load_struct(struct opt_source *src, yaml_document_t *doc, const struct opt_table *table,
                        yaml_node_t *node, const char *at, unsigned depth, void *out)
{
    size_t rows = 0;
    while (table->rows[rows].kind) rows++;
    struct walk w = { .src = src, .doc = doc, .table = table, .out = out, .at = at, .depth = depth };
    w.seen = xzalloc(rows * sizeof *w.seen);
    w.line = node ? line_of(node) : 0;
    if (table->line_offset != SIZE_MAX) *(unsigned *)(void *)(w.out + table->line_offset) = w.line;
    if (node && node->type == YAML_MAPPING_NODE) {
        load_mapping(&w, node, "");
    } else if (node && !(node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0)) {
        opt_error(src, w.line, at, "expected a mapping of keys");
    }
    for (size_t i = 0; i < rows; i++)
        if (!w.seen[i]) set_default(&w, &table->rows[i]);
    free(w.seen);
}

enum err opt_load_text(struct opt_source *src, struct slice yaml, const struct opt_table *table, void *out)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    memset(out, 0, table->bytes);
    if (!yaml_parser_initialize(&parser)) return ERR_LIMIT;
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.p, yaml.n);
    if (!yaml_parser_load(&parser, &doc)) {
        opt_error(src, (unsigned)parser.problem_mark.line + 1, "", "not YAML: %s",
                  parser.problem ? parser.problem : "cannot be read");
    } else {
        load_struct(src, &doc, table, yaml_document_get_root_node(&doc), "", 0, out);
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
    return src->n_errors ? ERR_MALFORMED : ERR_OK;
}

enum err opt_read_file(struct opt_source *src, struct buf *text)
{
    struct disk disk;
    disk_os(&disk);
    buf_init(text, FILE_BYTES_MAX);
    enum err err = disk_read(&disk, src->file, text);
    if (err == ERR_LIMIT)
        opt_error(src, 0, "", "longer than %d bytes", FILE_BYTES_MAX);
    else if (err)
        opt_error(src, 0, "", "cannot be read: %s", strerror(errno));
    return err ? ERR_MALFORMED : ERR_OK;
}

enum err opt_load_file(struct opt_source *src, const struct opt_table *table, void *out)
{
    struct buf text;
    enum err err = opt_read_file(src, &text);
    if (!err) err = opt_load_text(src, buf_slice(&text), table, out);
    buf_deinit(&text);
    return err;
}

enum err opt_read_secret(struct opt_source *src, const char *key, const char *path, const char **out)
{
    struct disk disk;
    struct buf text;
    disk_os(&disk);
    buf_init(&text, 4096);
    enum err err = disk_read(&disk, path, &text);
    struct slice s = slice_trim(buf_slice(&text));
    if (err == ERR_LIMIT)
        opt_error(src, 0, key, "%s is longer than 4096 bytes", path);
    else if (err)
        opt_error(src, 0, key, "%s cannot be read: %s", path, strerror(errno));
    else if (s.n == 0)
        opt_error(src, 0, key, "%s is empty", path), err = ERR_MALFORMED;
    else
        *out = arena_cstr(&src->arena, s);
    buf_deinit(&text);
    return err;
}

/* ---- the reference ---- */

static void print_row(const struct opt *o, struct buf *out, const char *indent)
{
    struct buf want;
    buf_init(&want, 2048);
    expected(o, o->kind, &want);
    buf_putf(out, "%s# %s\n%s# %s%s\n", indent, o->doc, indent, buf_cstr(&want), o->def ? "" : "; required");
    buf_deinit(&want);
}

/* Prints the heads of the groups that `key` enters and `before` was not in; returns how deep `key` lies. */
static unsigned enter_groups(struct slice key, struct slice before, const char *indent, struct buf *out)
{
    unsigned depth = 0;
    bool same = true;
    for (size_t dot; (dot = slice_find(key, '.')) != key.n; key = slice_skip(key, dot + 1), depth++) {
        struct slice head = slice_sub(key, 0, dot), old;
        same = same && slice_find(before, '.') != before.n && slice_cut(&before, '.', &old) &&
               slice_eq(old, head);
        if (!same) buf_putf(out, "%s%*s%.*s:\n", indent, (int)depth * 2, "", SLICE_ARG(head));
    }
    return depth;
}

static void print_table(const struct opt_table *table, struct buf *out, const char *indent)
{
    struct slice before = { "", 0 };
    for (const struct opt *o = table->rows; o->kind; o++) {
        struct slice key = slice_of(o->key);
        char in[64];
        snprintf(in, sizeof in, "%.40s%*s", indent, (int)enter_groups(key, before, indent, out) * 2, "");
        before = key;
        print_row(o, out, in);
        size_t dot = slice_rfind(key, '.');
        struct slice leaf = dot == key.n ? key : slice_skip(key, dot + 1);
        if (o->kind == OPT_LIST && o->sub) {
            buf_putf(out, "%s# %.*s:\n", in, SLICE_ARG(leaf));
            char deeper[64];
            snprintf(deeper, sizeof deeper, "%.40s#   ", in);
            print_table(o->sub, out, deeper);
        } else if (o->def && *o->def) {
            buf_putf(out, "%s%.*s: %s\n", in, SLICE_ARG(leaf), o->def);
        } else {
            buf_putf(out, "%s# %.*s:\n", in, SLICE_ARG(leaf));
        }
    }
}

void opt_print_defaults(const struct opt_table *table, struct buf *out)
{
    print_table(table, out, "");
}
