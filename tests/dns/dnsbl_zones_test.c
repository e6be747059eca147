#include "dns/dnsbl.h"

#include "tests/test.h"

TEST(keys_are_not_shown)
{
    static const struct {
        const char *zone, *want;
    } cases[] = {
        { "zen.spamhaus.org", "zen.spamhaus.org" },
        { "abc123.zen.dq.spamhaus.net", "<key>.zen.dq.spamhaus.net" },
        { "10.100.51.198.abc123.zen.dq.spamhaus.net.", "10.100.51.198.<key>.zen.dq.spamhaus.net" },
        { "k.combined.mail.abusix.zone", "<key>.combined.mail.abusix.zone" },
        { "4fq6bojrxj23c5x2.bl.private.example", "<key>.bl.private.example" },
        { "bl.dnsbl.example", "bl.dnsbl.example" },
        { "hostkarma.junkemailfilter.com", "hostkarma.junkemailfilter.com" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        buf_init(&b, 300);
        dnsbl_redact(slice_of(cases[i].zone), &b);
        assert_slice(buf_slice(&b), cases[i].want);
        buf_deinit(&b);
    }
}

TEST(the_shipped_table_can_be_read)
{
    for (size_t i = 0; i < dnsbl_known_n; i++) {
        const struct dnsbl_known *k = &dnsbl_known[i];
        struct dnsbl_codes c;
        assert_int_equal(dnsbl_codes_parse(k->listed, &c), ERR_OK);
        assert_true(k->retired.n || c.n > 0);
        assert_int_equal(dnsbl_codes_parse(k->policy, &c), ERR_OK);
        assert_in_range(k->weight, 0, 5);
        assert_true(k->class_ != DNSBL_NETWORK || k->weight == 0);
    }
}

TEST(retired_zones_are_known_with_their_reason)
{
    assert_true(dnsbl_known_find(SLICE("ix.dnsbl.manitu.net"))->retired.n > 0);
    assert_true(dnsbl_known_find(SLICE("dnsbl.sorbs.net."))->retired.n > 0);
    assert_int_equal(dnsbl_known_find(SLICE("Zen.Spamhaus.org"))->weight, 5);
    assert_slice(dnsbl_known_find(SLICE("mykey.zen.dq.spamhaus.net"))->zone, "<key>.zen.dq.spamhaus.net");
    assert_null(dnsbl_known_find(SLICE("zen.dq.spamhaus.net")));
    assert_null(dnsbl_known_find(SLICE("bl.dnsbl.example")));
}
