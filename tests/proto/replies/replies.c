#include "tests/proto/replies/replies.h"

#include "base/disk.h"

static struct slice field(struct slice *rest)
{
    size_t at = slice_find_slice(*rest, SLICE("||"));
    struct slice f = slice_trim(slice_sub(*rest, 0, at));
    *rest = slice_skip(*rest, at + 2);
    return f;
}

static struct slice unescape(struct arena *a, struct slice s)
{
    char *p = arena_cstr(a, s);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == 'n')
            p[n++] = '\n', i++;
        else
            p[n++] = s.p[i];
    return slice_from(p, n);
}

enum err replies_load(const char *path, struct replies *out)
{
    struct disk disk;
    disk_os(&disk);
    *out = (struct replies){ 0 };
    buf_init(&out->file, 4 << 20);
    enum err err = disk_read(&disk, path, &out->file);
    struct slice rest = buf_slice(&out->file), line;
    while (!err && slice_cut(&rest, '\n', &line) && out->n < REPLIES_MAX) {
        if (!line.n || line.p[0] == '#') continue;
        struct replies_line *l = &out->line[out->n++];
        l->id = field(&line);
        l->stage = field(&line);
        l->scope = field(&line);
        l->effect = field(&line);
        l->provider = field(&line);
        l->reply = unescape(&out->arena, field(&line));
    }
    return err;
}

void replies_deinit(struct replies *r)
{
    buf_deinit(&r->file);
    arena_deinit(&r->arena);
}

void replies_classify(const struct classifier *c, const struct replies_line *l, struct classify_output *out)
{
    struct classify_input in = { .provider = l->provider, .text = l->reply };
    in.stage_known = relay_stage_parse(l->stage, &in.stage) == ERR_OK;
    if (addr_parse(SLICE("192.0.2.10"), &in.own)) return;
    /* IPv6 lines of the file have this address. */
    if (slice_find_slice(l->reply, SLICE("2001:db8::10")) < l->reply.n &&
        addr_parse(SLICE("2001:db8::10"), &in.own))
        return;
    classify(c, &in, out);
}

void replies_measure(const struct classifier *c, const struct replies *r, struct replies_score *out,
                     struct buf *wrong)
{
    *out = (struct replies_score){ .n = r->n };
    for (size_t i = 0; i < r->n; i++) {
        const struct replies_line *l = &r->line[i];
        struct classify_output got;
        replies_classify(c, l, &got);
        bool scope = slice_eq(l->scope, slice_of(relay_scope_name(got.scope)));
        bool effect = slice_eq(l->effect, slice_of(relay_effect_name(got.effect)));
        bool want_switch = slice_eq(l->effect, SLICE("SWITCH")), got_switch = got.effect == EFFECT_SWITCH;
        out->scope += scope;
        out->effect += effect;
        out->switch_right += want_switch == got_switch;
        out->switches += want_switch;
        out->switches_found += want_switch && got_switch;
        out->switches_wrong += !want_switch && got_switch;
        if (wrong && !(scope && effect))
            buf_putf(wrong, "%-5.*s %.*s/%.*s, not %s/%s (%.*s): %.*s\n", SLICE_ARG(l->id),
                     SLICE_ARG(l->scope), SLICE_ARG(l->effect), relay_scope_name(got.scope),
                     relay_effect_name(got.effect), SLICE_ARG(got.rule), SLICE_ARG(l->reply));
    }
}
