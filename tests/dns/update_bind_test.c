/* Real BIND, real TSIG: what each refusal looks like on the wire. */
#include "dns/update.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/dns/world.h"
#include "tests/test.h"

struct outcome {
    bool done;
    enum update_result r;
    char detail[UPDATE_DETAIL_MAX];
};

static void keep(void *owner, enum update_result r, const char *detail)
{
    struct outcome *o = owner;
    o->done = true;
    o->r = r;
    snprintf(o->detail, sizeof o->detail, "%s", detail);
}

static struct update_set set(const char *name, const char *text)
{
    struct update_set s = { .name = slice_of(name), .ttl_s = 30 };
    if (text) s.text[s.n++] = slice_of(text);
    return s;
}

static struct outcome change(struct world *w, const struct tsig_key *key, struct update_set require,
                             struct update_set replace)
{
    struct outcome o = { 0 };
    struct update_conf conf = { .server = w->server, .key = key };
    struct update u = { SLICE("gw.example.com"), &require, require.name.n ? 1 : 0, &replace, 1 };
    update_send(&w->env, &conf, &u, keep, &o);
    assert_false(o.done);
    world_wait(w, &o.done);
    return o;
}

static const struct update_set nothing = { .name = { "", 0 } };

TEST(compare_and_set_at_a_real_server)
{
    struct world w;
    world_init(&w, "");
    const char *egress = "_egress.gw.example.com";
    assert_int_equal(change(&w, &w.key, set(egress, NULL), set(egress, "epoch=1")).r, UPDATE_APPLIED);
    assert_int_equal(change(&w, &w.key, set(egress, NULL), set(egress, "epoch=1")).r, UPDATE_STALE);
    assert_int_equal(change(&w, &w.key, set(egress, "epoch=1"), set(egress, "epoch=2")).r, UPDATE_APPLIED);
    assert_int_equal(change(&w, &w.key, set(egress, "epoch=1"), set(egress, "epoch=2")).r, UPDATE_STALE);
    struct tsig_key sha512;
    const char *why;
    assert_int_equal(
        tsig_key_make(SLICE("long"), SLICE("hmac-sha512"), slice_of(world_secret), &sha512, &why), ERR_OK);
    assert_int_equal(change(&w, &sha512, nothing, set("_spf.gw.example.com", "v=spf1 -all")).r,
                     UPDATE_APPLIED);
    world_deinit(&w);
}

TEST(each_refusal_of_a_real_server_has_its_name)
{
    struct world w;
    struct tsig_key wrong, unknown, poor;
    const char *why, *spf = "_spf.gw.example.com";
    world_init(&w, "");
    assert_int_equal(tsig_key_make(SLICE("gemel"), SLICE("hmac-sha256"), SLICE("b3RoZXI="), &wrong, &why),
                     ERR_OK);
    assert_int_equal(
        tsig_key_make(SLICE("nobody"), SLICE("hmac-sha256"), slice_of(world_secret), &unknown, &why), ERR_OK);
    assert_int_equal(tsig_key_make(SLICE("poor"), SLICE("hmac-sha256"), slice_of(world_secret), &poor, &why),
                     ERR_OK);
    assert_int_equal(change(&w, &wrong, nothing, set(spf, "x")).r, UPDATE_BADSIG);
    assert_int_equal(change(&w, &unknown, nothing, set(spf, "x")).r, UPDATE_BADKEY);
    assert_int_equal(change(&w, &poor, nothing, set(spf, "x")).r, UPDATE_REFUSED);
    assert_int_equal(change(&w, NULL, nothing, set(spf, "x")).r, UPDATE_REFUSED);
    assert_int_equal(change(&w, &w.key, nothing, set("www.gw.example.com", "x")).r, UPDATE_REFUSED);
    assert_int_equal(change(&w, &w.key, nothing, set("www.example.com", "x")).r, UPDATE_NOTZONE);
    world_deinit(&w);
}

static uint64_t shifted(void *clock)
{
    return clock_wall_ms(NULL) + *(int64_t *)clock * 1000;
}

TEST(a_clock_that_is_off_is_told_with_both_times)
{
    static int64_t shift_s[] = { -600, 600 };
    struct world w;
    world_init(&w, "");
    for (size_t i = 0; i < ARRAY_LEN(shift_s); i++) {
        struct timers ts = *w.env.timers, *real = w.env.timers;
        real->wall_ms = shifted;
        void *clock = real->clock;
        real->clock = &shift_s[i];
        struct outcome o = change(&w, &w.key, nothing, set("_spf.gw.example.com", "x"));
        real->wall_ms = ts.wall_ms;
        real->clock = clock;
        assert_int_equal(o.r, UPDATE_BADTIME);
        assert_non_null(strstr(o.detail, i ? "600 s ahead" : "600 s behind"));
    }
    world_deinit(&w);
}

TEST(no_server_is_an_unknown_outcome_and_a_cancel_is_final)
{
    struct world w;
    struct outcome o = { 0 };
    struct update_set replace = set("_spf.gw.example.com", "x");
    struct update u = { SLICE("gw.example.com"), NULL, 0, &replace, 1 };
    world_init(&w, "");
    struct update_conf conf = { .server = w.server, .key = &w.key };
    struct update_op *op = update_send(&w.env, &conf, &u, keep, &o);
    update_cancel(&op);
    loop_run_for(w.loop, 50);
    assert_false(o.done);
    conf.server.port = 1;
    update_send(&w.env, &conf, &u, keep, &o);
    world_wait(&w, &o.done);
    assert_int_equal(o.r, UPDATE_UNKNOWN);
    assert_non_null(strstr(o.detail, "cannot connect"));
    world_deinit(&w);
}

/* --- Knot, which says some things differently --- */

static void start_knot(struct server *s)
{
    static const char *const argv[] = { "/usr/sbin/knotd", "-c", "knot.conf", NULL };
    server_prepare(s);
    server_write(s, "gw.zone",
                 "$TTL 60\n@ SOA ns1.example.com. h.example.com. 1 60 60 60 60\n@ NS ns1.example.com.\n");
    server_write(
        s, "knot.conf",
        "server:\n  listen: 127.0.0.1@%u\n  rundir: %s\ndatabase:\n  storage: %s\n"
        "log:\n  - target: stderr\n    any: info\n"
        "key:\n  - id: gemel\n    algorithm: hmac-sha256\n    secret: %s\n"
        "acl:\n  - id: ours\n    key: gemel\n    action: update\n    update-type: [TXT]\n"
        "    update-owner: name\n    update-owner-match: equal\n    update-owner-name: [_spf, _egress]\n"
        "zone:\n  - domain: gw.example.com\n    file: %s/gw.zone\n    acl: ours\n",
        s->port, s->dir, s->dir, world_secret, s->dir);
    server_start(s, "127.0.0.1", false, argv);
}

TEST(knot_is_understood_too)
{
    struct world w;
    struct server knot;
    struct tsig_key wrong;
    const char *why, *egress = "_egress.gw.example.com";
    world_init(&w, "");
    start_knot(&knot);
    w.server.port = knot.port;
    assert_int_equal(tsig_key_make(SLICE("gemel"), SLICE("hmac-sha256"), SLICE("b3RoZXI="), &wrong, &why),
                     ERR_OK);
    assert_int_equal(change(&w, &w.key, set(egress, NULL), set(egress, "epoch=1")).r, UPDATE_APPLIED);
    assert_int_equal(change(&w, &w.key, set(egress, NULL), set(egress, "epoch=1")).r, UPDATE_STALE);
    assert_int_equal(change(&w, &w.key, set(egress, "epoch=1"), set(egress, "epoch=2")).r, UPDATE_APPLIED);
    assert_int_equal(change(&w, &wrong, nothing, set(egress, "x")).r, UPDATE_BADSIG);
    /* what its policy denies it calls a bad key */
    assert_int_equal(change(&w, &w.key, nothing, set("www.gw.example.com", "x")).r, UPDATE_BADKEY);
    server_stop(&knot);
    world_deinit(&w);
}
