/* 1. The plan is made and linted; the names are looked at and judged, as for every publisher.
 * 2. exec: the command gets the JSON. file: the fragment is written, then the reload command runs.
 * 3. It ends well: the names are looked at until they show what we want.
 *
 * The command says no (its exit status), is killed at the limit, or ends well and nothing changes: each has its result. The
 * compare is a read before the write: between the two somebody else may publish. The commands get what was read, so that
 * one whose provider can compare and set does it (exit status 65). */
#include "dns/publish_uv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/disk.h"
#include "base/log.h"
#include "base/timers.h"
#include "dns/command_uv.h"

enum { LOOK_LIMIT_MS = 5000, LOOK_PAUSE_MS = 500, LOOK_PAUSE_MAX_MS = 5000, JSON_BYTES_MAX = 65536 };

struct outside { /* a publisher that is somebody's command */
    struct publisher base;
    const struct env *env;
    struct uv_loop_s *loop;
    struct resolver *r;
    struct publish_zone zone;
    char *command; /* exec: what publishes; file: what reloads, "" for nothing */
    char *path;    /* file; NULL: exec */
};

struct outside_op {
    struct publish_op base;
    struct outside *p;
    struct publish_plan plan;
    struct publish_look *look;
    struct command *command;
    struct timer limit, pause;
    uint64_t deadline_ms;
    unsigned looks;
    bool applied; /* the command has ended well */
    enum publish_result early;
    char early_detail[PUBLISH_DETAIL_MAX];
    publish_done_fn *done;
    void *owner;
};

static void op_free(struct outside_op *op)
{
    timer_clear(op->p->env->timers, &op->limit);
    timer_clear(op->p->env->timers, &op->pause);
    publish_look_cancel(&op->look);
    command_cancel(&op->command);
    publish_plan_deinit(&op->plan);
    free(op);
}

static void finish(struct outside_op *op, enum publish_result r, const char *detail)
{
    publish_done_fn *done = op->done;
    void *owner = op->owner;
    char text[PUBLISH_DETAIL_MAX];
    snprintf(text, sizeof text, "%s", detail);
    op_free(op);
    done(owner, r, text);
}

static uint32_t left_ms(const struct outside_op *op, uint32_t at_most)
{
    uint64_t now = timers_now_ms(op->p->env->timers);
    uint64_t left = op->deadline_ms > now ? op->deadline_ms - now : 1;
    return (uint32_t)MIN(left, (uint64_t)at_most);
}

/* --- JSON --- */

/* Bytes that are not ASCII become \u00XX: what stands at `_egress` may be anything. */
static void put_string(struct buf *out, struct slice s)
{
    buf_put(out, SLICE("\""));
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_putf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            buf_putf(out, "\\u%04x", c);
        else
            buf_putf(out, "%c", c);
    }
    buf_put(out, SLICE("\""));
}

static void put_strings(struct buf *out, struct slice text)
{
    const char *comma = "";
    do {
        struct slice part = slice_sub(text, 0, SPF_STRING_BYTES_MAX);
        buf_putf(out, "%s", comma);
        put_string(out, part);
        text = slice_skip(text, part.n);
        comma = ", ";
    } while (text.n);
}

static void put_record(struct buf *out, const struct dns_name *name, uint32_t ttl_s, struct slice text)
{
    buf_putf(out, "{\"name\": \"%s\", \"type\": \"TXT\", \"ttl\": %u, \"text\": ", name->text, ttl_s);
    put_string(out, text);
    buf_put(out, SLICE(", \"strings\": ["));
    put_strings(out, text);
    buf_put(out, SLICE("]}"));
}

static void put_json(struct buf *out, const struct outside_op *op, const struct publish_seen *seen)
{
    const struct publish_plan *p = &op->plan;
    buf_putf(out, "{\"version\": 1, \"zone\": \"%s\", \"cluster\": \"%.*s\", ", op->p->zone.zone.text,
             SLICE_ARG(p->w.cluster));
    buf_putf(out, "\"epoch\": %" PRIu64 ", \"expected_epoch\": %" PRIu64 ", ", p->w.epoch,
             p->w.expected_epoch);
    buf_putf(out, "\"serial\": %u, \"expected_serial\": %u, \"active\": \"%.*s\",\n \"records\": [",
             p->w.serial, p->w.expected_serial, SLICE_ARG(p->w.active));
    put_record(out, &p->spf_name, p->w.spf_ttl_s, buf_slice(&p->spf));
    buf_put(out, SLICE(",\n  "));
    put_record(out, &p->egress_name, p->w.egress_ttl_s, buf_slice(&p->egress));
    buf_put(out, SLICE("],\n \"current\": ["));
    for (size_t i = 0; i < seen->egress->n && i < UPDATE_TEXTS_MAX; i++) {
        if (i) buf_put(out, SLICE(", "));
        put_string(out, slice_sub(seen->egress->records[i].text, 0, 1024));
    }
    buf_put(out, SLICE("]}\n"));
}

/* --- The fragment of a zone file --- */

static void put_line(struct buf *out, const struct dns_name *name, uint32_t ttl_s, struct slice text)
{
    buf_putf(out, "%s. %u IN TXT", name->text, ttl_s);
    do { /* neither text can hold a quote or a backslash */
        struct slice part = slice_sub(text, 0, SPF_STRING_BYTES_MAX);
        buf_putf(out, " \"%.*s\"", SLICE_ARG(part));
        text = slice_skip(text, part.n);
    } while (text.n);
    buf_put(out, SLICE("\n"));
}

static enum err write_fragment(const struct outside_op *op)
{
    const struct publish_plan *p = &op->plan;
    struct buf b;
    buf_init(&b, JSON_BYTES_MAX);
    buf_put(
        &b,
        SLICE("; Written by gemel-coordinator, which replaces the whole file. Include it in the zone.\n"));
    put_line(&b, &p->spf_name, p->w.spf_ttl_s, buf_slice(&p->spf));
    put_line(&b, &p->egress_name, p->w.egress_ttl_s, buf_slice(&p->egress));
    enum err err = disk_write(op->p->env->disk, op->p->path, buf_slice(&b));
    buf_deinit(&b);
    return err;
}

/* --- Looking --- */

static void on_seen(void *owner, const struct publish_seen *seen);

static void look(struct outside_op *op)
{
    op->looks++;
    op->look = publish_look_start(op->p->r, &op->p->zone, &op->plan, left_ms(op, LOOK_LIMIT_MS), on_seen, op);
}

static void on_pause_over(struct timer *t)
{
    look(t->owner);
}

static void look_again(struct outside_op *op)
{
    uint64_t pause_ms = (uint64_t)LOOK_PAUSE_MS << MIN(op->looks, 4u) >> 1;
    timer_set_in(op->p->env->timers, &op->pause, MIN(pause_ms, (uint64_t)LOOK_PAUSE_MAX_MS), on_pause_over,
                 op);
}

static void run(struct outside_op *op, const struct publish_seen *seen);

static void on_seen(void *owner, const struct publish_seen *seen)
{
    struct outside_op *op = owner;
    op->look = NULL;
    if (seen->judged == PUBLISH_DONE && seen->same)
        finish(op, PUBLISH_DONE, op->applied ? "" : "it was published already");
    else if (op->applied && (seen->judged == PUBLISH_DONE || seen->judged == PUBLISH_FAILED))
        look_again(op); /* until the limit */
    else if (seen->judged != PUBLISH_DONE)
        finish(op, seen->judged, seen->detail);
    else
        run(op, seen);
}

/* --- Running --- */

static void on_applied(struct outside_op *op)
{
    op->applied = true;
    op->looks = 0;
    look(op);
}

static void on_ended(void *owner, enum err err, int status)
{
    struct outside_op *op = owner;
    char detail[PUBLISH_DETAIL_MAX];
    op->command = NULL;
    log_info(op->p->env->log, "publish.command", kv_cstr("kind", op->p->base.ops->kind),
             kv_err("result", err), kv_i64("status", status), kv_u64("epoch", op->plan.w.epoch));
    if (err == ERR_OK && status == EX_OK) {
        on_applied(op);
    } else if (err == ERR_OK) {
        snprintf(detail, sizeof detail, "the command ended with status %d", status);
        finish(op,
               status == EX_TEMPFAIL  ? PUBLISH_FAILED
               : status == EX_DATAERR ? PUBLISH_STALE
                                      : PUBLISH_REFUSED,
               detail);
    } else if (err == ERR_REFUSED) {
        finish(op, PUBLISH_REFUSED, "the command cannot be run");
    } else {
        snprintf(detail, sizeof detail, "the command was ended by signal %d", status);
        finish(op, PUBLISH_UNKNOWN, err == ERR_TIMEOUT ? "the command ran too long and was killed" : detail);
    }
}

static void run(struct outside_op *op, const struct publish_seen *seen)
{
    struct outside *p = op->p;
    struct buf json;
    if (p->path && write_fragment(op)) {
        finish(op, PUBLISH_FAILED, "the file cannot be written");
        return;
    }
    if (p->path && !*p->command) {
        on_applied(op);
        return;
    }
    buf_init(&json, JSON_BYTES_MAX);
    if (!p->path) put_json(&json, op, seen);
    struct command_conf conf = { .text = p->command,
                                 .input = buf_slice(&json),
                                 .limit_ms = left_ms(op, UINT32_MAX),
                                 .event = "publish.output" };
    op->command = command_start(p->env, p->loop, &conf, on_ended, op);
    buf_deinit(&json);
}

/* --- The publishers --- */

static void on_limit(struct timer *t)
{
    struct outside_op *op = t->owner;
    if (op->early != PUBLISH_DONE)
        finish(op, op->early, op->early_detail);
    else if (op->applied)
        finish(op, PUBLISH_UNKNOWN, "the command ended well, and the DNS does not show the change");
    else if (op->command)
        finish(op, PUBLISH_UNKNOWN, "the command ran too long and was killed");
    else
        finish(op, PUBLISH_FAILED, "no result in time");
}

static struct publish_op *publish(struct publisher *base, const struct publish_wanted *w, uint32_t limit_ms,
                                  publish_done_fn *done, void *owner)
{
    struct outside *p = CONTAINER_OF(base, struct outside, base);
    struct outside_op *op = xzalloc(sizeof *op);
    op->base.publisher = base;
    op->p = p;
    op->done = done;
    op->owner = owner;
    op->deadline_ms = timers_now_ms(p->env->timers) + limit_ms;
    op->early = publish_plan_make(&p->zone, w, &op->plan, op->early_detail);
    timer_set_in(p->env->timers, &op->limit, op->early == PUBLISH_DONE ? limit_ms : 0, on_limit, op);
    if (op->early == PUBLISH_DONE) look(op);
    return &op->base;
}

static void cancel(struct publish_op *base)
{
    op_free(CONTAINER_OF(base, struct outside_op, base));
}

static void destroy(struct publisher *base)
{
    struct outside *p = CONTAINER_OF(base, struct outside, base);
    free(p->command);
    free(p->path);
    free(p);
}

static const struct publisher_ops exec_ops = { "exec", publish, cancel, destroy };
static const struct publisher_ops file_ops = { "file", publish, cancel, destroy };

static struct publisher *create(const struct publisher_ops *ops, const struct env *env,
                                struct uv_loop_s *loop, struct resolver *r, const struct publish_zone *zone,
                                const char *command)
{
    struct outside *p = xzalloc(sizeof *p);
    p->base.ops = ops;
    p->env = env;
    p->loop = loop;
    p->r = r;
    p->zone = *zone;
    p->command = xstrdup(command);
    return &p->base;
}

struct publisher *publisher_exec(const struct env *env, struct uv_loop_s *loop, struct resolver *r,
                                 const struct publish_zone *zone, const char *command)
{
    return create(&exec_ops, env, loop, r, zone, command);
}

struct publisher *publisher_file(const struct env *env, struct uv_loop_s *loop, struct resolver *r,
                                 const struct publish_zone *zone, const char *path, const char *reload)
{
    struct publisher *p = create(&file_ops, env, loop, r, zone, reload);
    CONTAINER_OF(p, struct outside, base)->path = xstrdup(path);
    return p;
}
