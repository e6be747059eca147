#include "tests/dns/world.h"

#include <stdio.h>

#include "tests/test.h"

const char world_secret[] = "c2VjcmV0IG9mIHRoZSB0ZXN0IGtleSwgMzIgYnl0ZXM=";

static void write_zones(struct world *w, const char *extra)
{
    server_write(&w->bind, "root.zone",
                 "$TTL 60\n@ SOA ns1.example.com. h.example.com. 1 60 60 60 60\n@ NS ns1.example.com.\n"
                 "example.com. NS ns1.example.com.\nns1.example.com. A 127.0.0.1\n");
    server_write(&w->bind, "example.zone",
                 "$TTL 60\n@ SOA ns1 h 1 60 60 60 60\n@ NS ns1\n@ MX 10 edge1\n"
                 "@ TXT \"v=spf1 include:_spf.gw.example.com -all\"\n@ TXT \"site-verification=foreign\"\n"
                 "ns1 A 127.0.0.1\nedge1 A 198.51.100.10\nedge2 A 203.0.113.10\n"
                 "gw NS ns1\n%s",
                 extra);
    server_write(&w->bind, "owned.zone", "\n");
    server_write(&w->bind, "static.zone",
                 "$TTL 60\n@ SOA ns1.example.com. h.example.com. 1 60 60 60 60\n"
                 "@ NS ns1.example.com.\n$INCLUDE owned.zone\n");
    server_write(&w->bind, "gw.zone",
                 "$TTL 60\n@ SOA ns1.example.com. h.example.com. 1 60 60 60 60\n@ NS ns1.example.com.\n%s",
                 strstr(extra, "; gw") ? strstr(extra, "; gw") : "");
}

static void start_bind(struct world *w, const char *extra)
{
    static const char *const argv[] = { "/usr/sbin/named", "-g", "-c", "named.conf", "-n", "1", NULL };
    server_prepare(&w->bind);
    server_write(&w->bind, "named.conf",
                 "options { directory \"%s\"; listen-on port %u { 127.0.0.1; }; listen-on-v6 { none; };\n"
                 "  pid-file none; session-keyfile none; recursion no; dnssec-validation no; notify no;\n"
                 "  empty-zones-enable no; allow-query { any; }; };\n"
                 "controls { };\n"
                 "key gemel { algorithm hmac-sha256; secret \"%s\"; };\n"
                 "key long { algorithm hmac-sha512; secret \"%s\"; };\n"
                 "key poor { algorithm hmac-sha256; secret \"%s\"; };\n"
                 "zone \".\" { type primary; file \"root.zone\"; };\n"
                 "zone \"example.com\" { type primary; file \"example.zone\"; };\n"
                 "zone \"gw.example.com\" { type primary; file \"gw.zone\"; update-policy {\n"
                 "  grant gemel name _spf.gw.example.com TXT; grant gemel name _egress.gw.example.com TXT;\n"
                 "  grant long name _spf.gw.example.com TXT; }; };\n"
                 "zone \"static.example.com\" { type primary; file \"static.zone\"; };\n",
                 w->bind.dir, w->bind.port, world_secret, world_secret, world_secret);
    write_zones(w, extra);
    server_start(&w->bind, "127.0.0.1", false, argv);
}

void world_init(struct world *w, const char *extra_zone_lines)
{
    struct resolver_conf conf = { .n_servers = 1 };
    const char *why;
    memset(w, 0, sizeof *w);
    start_bind(w, extra_zone_lines);
    assert_int_equal(loop_create(NULL, &w->loop), ERR_OK);
    w->env = *loop_env(w->loop);
    assert_int_equal(addr_parse_port(SLICE("127.0.0.1"), w->bind.port, &w->server), ERR_OK);
    conf.servers[0] = w->server;
    w->r = resolver_create(&w->env, &conf);
    assert_int_equal(
        tsig_key_make(SLICE("gemel"), SLICE("hmac-sha256"), slice_of(world_secret), &w->key, &why), ERR_OK);
}

void world_deinit(struct world *w)
{
    resolver_destroy(w->r);
    loop_destroy(w->loop);
    server_stop(&w->bind);
}

void world_wait(struct world *w, const bool *flag)
{
    for (int i = 0; i < 2000 && !*flag; i++) loop_run_for(w->loop, 10);
    assert_true(*flag);
}
