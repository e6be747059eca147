/* gemelctl classify: what a node would make of a reply. Computed here, with the nodes' own classifier: nobody is asked. */
#include <stdlib.h>

#include "coordinator/ctl/ctl.h"
#include "proto/replies/load.h"

enum { ZONES_MAX = 64, REASON_BYTES_MAX = 16384 };

/* One question, from the command line or from a line of JSON. NULL and "" are "not known". */
struct question {
    const char *stage, *ip, *provider;
    struct slice reply;
};

struct verdict {
    struct classify_output out;
    struct buf reason;
};

/* Logs and JSON write the end of a line as \n: before the next line's code it is one. CR is no text. */
static void clean_reply(struct slice in, struct buf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        bool escaped = in.p[i] == '\\' && i + 4 < in.n && in.p[i + 1] == 'n' && ascii_is_digit(in.p[i + 2]) &&
                       ascii_is_digit(in.p[i + 3]) && ascii_is_digit(in.p[i + 4]);
        if (in.p[i] == '\r') continue;
        buf_put(out, escaped ? SLICE("\n") : slice_sub(in, i, 1));
        i += escaped;
    }
}

/* NULL: fine. Otherwise what is wrong with the question. */
static const char *judge(const struct classifier *c, const struct question *q, struct verdict *v)
{
    struct classify_input in = { .provider = slice_of(q->provider) };
    bool any = !q->stage || !*q->stage || strcmp(q->stage, "any") == 0;
    if (!any && relay_stage_parse(slice_of(q->stage), &in.stage))
        return "the stage is one of banner, helo, mail, rcpt, data, any";
    if (q->ip && *q->ip && addr_parse(slice_of(q->ip), &in.own)) return "the ip is not an address";
    struct buf text;
    buf_init(&text, q->reply.n + 1);
    clean_reply(slice_trim(q->reply), &text);
    in.stage_known = !any;
    in.text = buf_slice(&text);
    classify(c, &in, &v->out);
    buf_clear(&v->reason);
    classify_reason(c, &in, &v->reason);
    buf_deinit(&text);
    return NULL;
}

/* ---- one reply, for people ---- */

static enum err read_all(FILE *in, struct buf *out)
{
    char piece[4096];
    size_t n;
    while (in && (n = fread(piece, 1, sizeof piece, in)) > 0) {
        enum err err = buf_append(out, slice_from(piece, n));
        if (err) return err;
    }
    return ERR_OK;
}

static int one(struct ctl *c, const struct classifier *rules, const struct args *args, struct verdict *v)
{
    struct buf text;
    buf_init(&text, MIB(4));
    struct question q = { .stage = args_value(args, "--stage"),
                          .ip = args_value(args, "--ip"),
                          .provider = args_value(args, "--provider") };
    enum err err = read_all(c->world->in, &text);
    q.reply = buf_slice(&text);
    const char *wrong = err                          ? "that is no reply: more than 4 MiB"
                        : slice_trim(q.reply).n == 0 ? "a reply was expected on standard input"
                                                     : judge(rules, &q, v);
    int code = CTL_FINE;
    if (wrong)
        code = ctl_fail(c, CTL_USAGE, "%s", wrong);
    else
        say(&c->screen, "scope   %s\neffect  %s\nrule    %s\nreason  %s\n", relay_scope_name(v->out.scope),
            relay_effect_name(v->out.effect), text_clean(&c->screen, v->out.rule),
            text_clean(&c->screen, buf_slice(&v->reason)));
    buf_deinit(&text);
    return code;
}

/* ---- JSON lines ---- */

static json_t *text_json(struct slice s)
{
    return json_stringn(s.p, s.n);
}

static json_t *answer_line(const struct classifier *rules, struct slice line, struct verdict *v)
{
    json_error_t at;
    json_t *j = json_loadb(line.p, line.n, JSON_ALLOW_NUL, &at);
    const json_t *reply = json_object_get(j, "reply");
    const char *wrong = NULL;
    if (!j)
        wrong = at.text;
    else if (!json_is_string(reply))
        wrong = "an object with a text \"reply\" was expected";
    else
        wrong = judge(rules,
                      &(struct question){ json_string_value(json_object_get(j, "stage")),
                                          json_string_value(json_object_get(j, "ip")),
                                          json_string_value(json_object_get(j, "provider")),
                                          { json_string_value(reply), json_string_length(reply) } },
                      v);
    json_t *answer = wrong ? json_pack("{s:s}", "error", wrong)
                           : json_pack("{s:s, s:s, s:o, s:o}", "scope", relay_scope_name(v->out.scope),
                                       "effect", relay_effect_name(v->out.effect), "rule",
                                       text_json(v->out.rule), "reason", text_json(buf_slice(&v->reason)));
    json_decref(j);
    return answer;
}

/* Each line is answered before the next is read: the other side may wait for it. */
static int many(struct ctl *c, const struct classifier *rules, struct verdict *v)
{
    char *line = NULL;
    size_t cap = 0;
    int code = CTL_FINE;
    for (ssize_t n; c->world->in && (n = getline(&line, &cap, c->world->in)) >= 0;) {
        struct slice text = slice_trim(slice_from(line, (size_t)n));
        if (!text.n) continue;
        json_t *answer = answer_line(rules, text, v);
        if (json_object_get(answer, "error")) code = CTL_USAGE;
        json_dumpf(answer, c->world->out, JSON_COMPACT);
        fputc('\n', c->world->out);
        fflush(c->world->out);
        json_decref(answer);
    }
    free(line);
    return code;
}

/* ---- the rules ---- */

static int load_rules(struct ctl *c, const struct args *args, struct classifier **out)
{
    struct slice zones[ZONES_MAX], rest = slice_of(args_value(args, "--zones"));
    size_t n = 0;
    const char *path = args_value(args, "--rules");
    struct disk disk;
    struct buf why;
    disk_os(&disk);
    buf_init(&why, KIB(4));
    while (n < ZONES_MAX && slice_cut(&rest, ',', &zones[n])) n++;
    int code = CTL_FINE;
    if (classifier_load(&disk, path, zones, n, out, &why))
        code = ctl_fail(c, CTL_USAGE, "%.*s", SLICE_ARG(slice_trim(buf_slice(&why))));
    buf_deinit(&why);
    return code;
}

int cmd_classify(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    struct classifier *rules = NULL;
    struct verdict v = { 0 };
    int code = load_rules(c, args, &rules);
    if (code) return code;
    buf_init(&v.reason, REASON_BYTES_MAX);
    code = c->json ? many(c, rules, &v) : one(c, rules, args, &v);
    buf_deinit(&v.reason);
    classifier_destroy(rules);
    return code;
}
