/* The exec and file publishers: the command changes a real BIND, by nsupdate and by a zone file. */
#include "dns/publish_uv.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/dns/world.h"
#include "tests/test.h"

struct outcome {
    bool done;
    enum publish_result r;
    char detail[PUBLISH_DETAIL_MAX];
};

static void keep(void *owner, enum publish_result r, const char *detail)
{
    struct outcome *o = owner;
    o->done = true;
    o->r = r;
    snprintf(o->detail, sizeof o->detail, "%s", detail);
}

static struct publish_wanted wanted(uint64_t expected, uint64_t epoch)
{
    static struct addr senders[1];
    assert_int_equal(addr_parse(SLICE("198.51.100.10"), &senders[0]), ERR_OK);
    return (struct publish_wanted){ .cluster = SLICE("lab"),
                                    .active = SLICE("edge1"),
                                    .digest = SLICE("d"),
                                    .epoch = epoch,
                                    .expected_epoch = expected,
                                    .senders = senders,
                                    .n_senders = 1,
                                    .all = '-',
                                    .allow = SPF_ALLOW_DOCUMENTATION };
}

static struct publish_zone zone_at(struct world *w, const char *name)
{
    struct publish_zone zone = { .server = w->server };
    assert_int_equal(dns_name_parse(slice_of(name), &zone.zone), ERR_OK);
    return zone;
}

static struct outcome publish(struct world *w, struct publisher *p, const struct publish_wanted *want,
                              uint32_t limit_ms)
{
    struct outcome o = { 0 };
    publish_start(p, want, limit_ms, keep, &o);
    assert_false(o.done);
    world_wait(w, &o.done);
    publisher_destroy(p);
    return o;
}

static struct outcome exec(struct world *w, const char *command, uint32_t limit_ms)
{
    struct publish_zone zone = zone_at(w, "gw.example.com");
    struct publish_wanted want = wanted(0, 1);
    return publish(w, publisher_exec(&w->env, loop_uv(w->loop), w->r, &zone, command), &want, limit_ms);
}

/* What an operator would write: JSON in, nsupdate out. */
static const char script[] =
    "import json, sys, subprocess\n"
    "d = json.load(sys.stdin)\n"
    "assert d['version'] == 1 and d['zone'] == 'gw.example.com' and d['current'] == []\n"
    "u = ['server 127.0.0.1 %u', 'zone gw.example.com']\n"
    "for r in d['records']:\n"
    "    assert ''.join(r['strings']) == r['text']\n"
    "    u += ['update delete %%s TXT' %% r['name'], 'update add %%s %%d TXT \"%%s\"' %% (r['name'], "
    "r['ttl'], r['text'])]\n"
    "p = subprocess.run(['nsupdate', '-y', 'hmac-sha256:gemel:%s'], input='\\n'.join(u + ['send', '']), "
    "text=True)\n"
    "sys.exit(p.returncode)\n";

TEST(a_command_publishes_what_it_was_given)
{
    struct world w;
    char command[SERVER_PATH_MAX + 40];
    world_init(&w, "");
    server_write(&w.bind, "publish.py", script, w.bind.port, world_secret);
    snprintf(command, sizeof command, "/usr/bin/python3 %s/publish.py", w.bind.dir);
    struct outcome o = exec(&w, command, 20000);
    if (o.r != PUBLISH_DONE) print_error("%s: %s\n", publish_result_name(o.r), o.detail);
    assert_int_equal(o.r, PUBLISH_DONE);
    assert_string_equal(exec(&w, "false", 20000).detail, "it was published already");
    world_deinit(&w);
}

TEST(a_command_says_how_it_ended)
{
    static const struct {
        const char *command;
        enum publish_result want;
    } cases[] = {
        { "exit 75", PUBLISH_FAILED }, { "exit 65", PUBLISH_STALE },       { "exit 1", PUBLISH_REFUSED },
        { "true", PUBLISH_UNKNOWN },   { "kill -15 $$", PUBLISH_UNKNOWN }, { "sleep 30", PUBLISH_UNKNOWN },
    };
    struct world w;
    world_init(&w, "");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outcome o = exec(&w, cases[i].command, 700);
        if (o.r != cases[i].want)
            print_error("%s: %s: %s\n", cases[i].command, publish_result_name(o.r), o.detail);
        assert_int_equal(o.r, cases[i].want);
    }
    world_deinit(&w);
}

TEST(a_fragment_is_written_and_the_server_told)
{
    struct world w;
    char path[SERVER_PATH_MAX + 40], reload[80];
    world_init(&w, "");
    struct publish_zone zone = zone_at(&w, "static.example.com");
    struct publish_wanted want = wanted(0, 1);
    snprintf(path, sizeof path, "%s/owned.zone", w.bind.dir);
    snprintf(reload, sizeof reload, "kill -HUP %d", w.bind.pid);
    struct outcome o = publish(&w, publisher_file(&w.env, loop_uv(w.loop), w.r, &zone, path, reload), &want,
                               15000);
    if (o.r != PUBLISH_DONE) print_error("%s: %s\n", publish_result_name(o.r), o.detail);
    assert_int_equal(o.r, PUBLISH_DONE);
    want = wanted(0, 1);
    o = publish(&w, publisher_file(&w.env, loop_uv(w.loop), w.r, &zone, "/no/such/folder/file", ""), &want,
                15000);
    assert_string_equal(o.detail, "it was published already");
    want = wanted(1, 2);
    o = publish(&w, publisher_file(&w.env, loop_uv(w.loop), w.r, &zone, "/no/such/folder/file", ""), &want,
                15000);
    assert_int_equal(o.r, PUBLISH_FAILED);
    world_deinit(&w);
}

TEST(a_cancelled_publication_says_nothing_more)
{
    struct world w;
    struct outcome o = { 0 };
    struct publish_wanted want = wanted(0, 1);
    world_init(&w, "");
    struct publish_zone zone = zone_at(&w, "gw.example.com");
    struct publisher *p = publisher_exec(&w.env, loop_uv(w.loop), w.r, &zone, "sleep 30");
    struct publish_op *op = publish_start(p, &want, 60000, keep, &o);
    loop_run_for(w.loop, 100);
    publish_cancel(&op);
    publisher_destroy(p);
    loop_run_for(w.loop, 100);
    assert_false(o.done);
    world_deinit(&w);
}
