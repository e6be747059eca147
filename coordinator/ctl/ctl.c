#include "coordinator/ctl/ctl.h"

#include <stdlib.h>
#include <time.h>

static const char default_admin[] = "/run/gemel/coordinator.sock";
static const char default_node_admin[] = "/run/gemel/node.sock";

static uint64_t clock_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t ctl_now_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

uint64_t ctl_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

void ctl_sleep_ms(uint64_t ms)
{
    struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
    while (nanosleep(&t, &t) != 0) continue;
}

int ctl_fail(struct ctl *c, int code, const char *fmt, ...)
{
    screen_flush(&c->screen, c->world->out);
    say(&c->screen, "gemelctl: ");
    struct buf text;
    buf_init(&text, SIZE_MAX / 2);
    va_list ap;
    va_start(ap, fmt);
    enum err err = buf_vprintf(&text, fmt, ap);
    va_end(ap);
    ASSERT(!err);
    say_wrapped(&c->screen, 2, text_clean(&c->screen, buf_slice(&text)));
    buf_deinit(&text);
    screen_flush(&c->screen, c->world->err);
    return code;
}

void ctl_print_json(struct ctl *c, const struct answer *a)
{
    struct slice body = buf_slice(&a->body);
    fwrite(body.p, 1, body.n, c->world->out);
    if (body.n > 0 && body.p[body.n - 1] != '\n') fputc('\n', c->world->out);
    fflush(c->world->out);
}

/* 503 is said of a coordinator that finds no leader, and of an operation that failed. */
static int exit_of(const struct answer *a)
{
    const char *result = json_string_value(json_object_get(a->json, "result"));
    if (result && strcmp(result, "failed") == 0) return CTL_INCOMPLETE;
    switch (a->status) {
    case 400: return CTL_USAGE;
    case 403:
    case 404:
    case 405:
    case 409:
    case 412: return CTL_REFUSED;
    case 500: return CTL_INCOMPLETE;
    default: return CTL_UNREACHABLE;
    }
}

/* The server's sentence, who leads if that is the trouble, and what to do next. */
static int explain_refusal(struct ctl *c, const struct client_target *to, const struct answer *a)
{
    struct screen *s = &c->screen;
    int code = exit_of(a);
    const char *said = js_text(s, a->json, "text", js_text(s, a->json, "error", NULL));
    const char *leader = js_text(s, a->json, "leader", NULL), *cure = js_text(s, a->json, "cure", "");
    if (!said) said = text_printf(s, "%s answers with status %ld and no reason", to->program, a->status);
    if (leader && code == CTL_UNREACHABLE)
        return ctl_fail(c, code, "%s. %s leads: ask there (--admin of that host), or repair the way to it",
                        said, leader);
    if (cure[0]) return ctl_fail(c, code, "%s. %s", said, cure);
    if (a->status == 409)
        return ctl_fail(c, code, "%s. See gemelctl status, and try again when it has ended", said);
    return ctl_fail(c, code, "%s", said);
}

int ctl_check(struct ctl *c, const struct client_target *to, enum err err, const struct answer *a)
{
    if (err) return ctl_fail(c, CTL_UNREACHABLE, "%s", a->why);
    if (a->status >= 200 && a->status < 300) return 0;
    if (c->json) ctl_print_json(c, a);
    return explain_refusal(c, to, a);
}

int ctl_ask(struct ctl *c, const struct client_target *to, const char *path, json_t *body, uint64_t limit_ms,
            struct answer *a)
{
    enum err err = client_call(c->client, to, path, body, c->limit_ms ? c->limit_ms : limit_ms, a);
    json_decref(body);
    return ctl_check(c, to, err, a);
}

int ctl_render(struct ctl *c, ctl_render_fn *render, const json_t *answer)
{
    c->screen.now_ms = ctl_wall_ms();
    int code = render(&c->screen, answer);
    if (c->json) buf_clear(&c->screen.out); /* its verdict is wanted, not its words */
    screen_flush(&c->screen, c->world->out);
    return code;
}

int ctl_shown(struct ctl *c, const struct answer *a, ctl_render_fn *render)
{
    if (c->json) ctl_print_json(c, a);
    return ctl_render(c, render, a->json);
}

int ctl_show(struct ctl *c, const struct client_target *to, const char *path, json_t *body, uint64_t limit_ms,
             ctl_render_fn *render)
{
    struct answer a;
    int code = ctl_ask(c, to, path, body, limit_ms, &a);
    if (!code) code = ctl_shown(c, &a, render);
    answer_deinit(&a);
    return code;
}

json_t *ctl_body(const struct ctl *c, const struct args *args)
{
    json_t *body = json_object();
    const char *reason = args_value(args, "--reason");
    if (reason) json_object_set_new(body, "reason", json_string(reason));
    if (c->world->operator_name) json_object_set_new(body, "by", json_string(c->world->operator_name));
    return body;
}

static const char *first_of(const char *a, const char *b, const char *c)
{
    if (a && a[0]) return a;
    return b && b[0] ? b : c;
}

/* `--admin` names the socket of whatever the command asks, unless --node-admin says better: queue commands are often given
 * the one socket that is at hand. */
static enum err configure(struct ctl *c, const struct args *args)
{
    const struct ctl_world *w = c->world;
    const char *admin = args_value(args, "--admin"), *node = args_value(args, "--node-admin");
    const char *timeout = args_value(args, "--timeout");
    uint64_t seconds = 0;
    c->json = args_flag(args, "--json");
    c->coordinator = (struct client_target){ first_of(admin, w->admin, default_admin), "gemel-coordinator",
                                             "--admin" };
    c->node = (struct client_target){
        first_of(node, admin, first_of(w->node_admin, NULL, default_node_admin)), "gemel-node", "--node-admin"
    };
    if (timeout && (slice_u64(slice_of(timeout), 86400, &seconds) || seconds == 0)) return ERR_MALFORMED;
    c->limit_ms = SECONDS(seconds);
    return ERR_OK;
}

static int usage(struct ctl *c, const struct args *args, const char *why)
{
    const char *words = args->command ? args->command->words : args->group;
    const char *stop = slice_ends(slice_of(why), SLICE("?")) ? "" : ".";
    return ctl_fail(c, CTL_USAGE, "%s%s See gemelctl %s%s--help", why, stop, words, words[0] ? " " : "");
}

static int dispatch(struct ctl *c, const struct args *args)
{
    if (args->help) {
        ctl_help(&c->screen, args);
        return CTL_FINE;
    }
    if (args->version) {
        say(&c->screen, "gemelctl " GEMEL_VERSION "\n");
        return CTL_FINE;
    }
    if (configure(c, args)) return usage(c, args, "--timeout takes seconds, 1 to 86400");
    if (args->command) return args->command->run(c, args);
    if (!args->group[0]) {
        ctl_help(&c->screen, args);
        screen_flush(&c->screen, c->world->err);
        return CTL_USAGE;
    }
    return usage(c, args, text_printf(&c->screen, "what about %s?", args->group));
}

int ctl_run(int argc, char **argv, const struct ctl_world *world)
{
    struct ctl c = { .world = world, .client = client_create() };
    struct args args;
    struct buf why;
    buf_init(&why, KIB(256));
    screen_init(&c.screen, world->colour, world->utf8, world->width, ctl_wall_ms());
    enum err err = args_parse(argc, argv, ctl_commands, ctl_globals, &args, &why);
    int code = err ? usage(&c, &args, buf_cstr(&why)) : dispatch(&c, &args);
    screen_flush(&c.screen, world->out);
    screen_deinit(&c.screen);
    buf_deinit(&why);
    client_destroy(c.client);
    return code;
}
