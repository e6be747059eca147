#include "dns/dnsbl_conf.h"
#include "tests/test.h"

/* What is said about one row; "" when nothing is. */
static const char *said(const char *zone, const char *code, const char *policy, struct dnsbl_zone *out)
{
    static char text[512];
    struct opt_source src;
    struct opt_list codes = { &code, 1 }, policies = { &policy, policy ? 1 : 0 };
    struct dnsbl_conf row = { 7, zone, &codes, &policies, 4 };
    opt_source_init(&src, "c.yaml");
    enum err err = dnsbl_conf_load(&src, &row, out);
    assert_int_equal(err != ERR_OK, src.n_errors > 0);
    (void)!slice_cstr(buf_slice(&src.errors), text, sizeof text);
    opt_source_deinit(&src);
    return text;
}

TEST(a_good_row_becomes_a_zone)
{
    struct dnsbl_zone z = { 0 };
    assert_string_equal(said("ZEN.spamhaus.org", "2-9", "10-11", &z), "");
    assert_string_equal(z.name.text, "zen.spamhaus.org");
    assert_int_equal(z.weight, 4);
    assert_int_equal(z.listed.n, 1);
    assert_int_equal(z.policy.n, 1);
    assert_int_equal(z.class_, DNSBL_SPAM);
    assert_string_equal(said("dnsbl.dronebl.org", "3-17", NULL, &z), "");
    assert_int_equal(z.class_, DNSBL_EXPLOIT);
}

TEST(bad_rows_are_refused_by_line_and_key)
{
    static const struct {
        const char *zone, *code, *policy, *words;
    } cases[] = {
        { "ix.dnsbl.manitu.net", "2", NULL,
          "c.yaml:7: blocklists.zone: ix.dnsbl.manitu.net cannot be used: Nixspam ended" },
        { "dnsbl.sorbs.net", "2", NULL, "SORBS" },
        { "bad..name", "2", NULL, "c.yaml:7: blocklists.zone: \"bad..name\" is not a domain name" },
        { "bl.example", "9-2", NULL, "c.yaml:7: blocklists.codes: \"9-2\" is no code" },
        { "bl.example", "127.255.255.254", NULL, "blocklists.codes" },
        { "bl.example", "2", "x", "c.yaml:7: blocklists.policy: \"x\"" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dnsbl_zone z = { .weight = 77 };
        const char *text = said(cases[i].zone, cases[i].code, cases[i].policy, &z);
        if (!strstr(text, cases[i].words)) fail_msg("\"%s\" is not in \"%s\"", cases[i].words, text);
        assert_int_equal(z.weight, 77);
    }
}
