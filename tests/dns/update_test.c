#include "dns/update.h"

#include <ldns/ldns.h>
#include <stdlib.h>

#include "tests/test.h"

static char *as_text(const struct update *u)
{
    struct buf b;
    ldns_pkt *pkt = NULL;
    buf_init(&b, UPDATE_BYTES_MAX);
    assert_int_equal(update_format(u, 0x1234, &b), ERR_OK);
    assert_int_equal(ldns_wire2pkt(&pkt, (const uint8_t *)buf_slice(&b).p, buf_len(&b)), LDNS_STATUS_OK);
    assert_int_equal(ldns_pkt_id(pkt), 0x1234);
    assert_int_equal(ldns_pkt_get_opcode(pkt), LDNS_PACKET_UPDATE);
    char *text = ldns_pkt2str(pkt);
    ldns_pkt_free(pkt);
    buf_deinit(&b);
    return text;
}

TEST(one_message_compares_and_sets)
{
    struct update_set old = {
        .name = SLICE("_egress.gw.example.com"), .ttl_s = 30, .text = { SLICE("v=gemel1 epoch=1") }, .n = 1
    };
    struct update_set new[2] = {
        { .name = SLICE("_egress.gw.example.com"),
          .ttl_s = 30,
          .text = { SLICE("v=gemel1 epoch=2") },
          .n = 1 },
        { .name = SLICE("_spf.gw.example.com"), .ttl_s = 300, .text = { SLICE("v=spf1 -all") }, .n = 1 },
    };
    struct update u = { SLICE("gw.example.com"), &old, 1, new, 2 };
    char *text = as_text(&u);
    assert_non_null(strstr(text, "gw.example.com.\tIN\tSOA"));
    assert_non_null(strstr(text, "_egress.gw.example.com.\t0\tIN\tTXT\t\"v=gemel1 epoch=1\""));
    assert_non_null(strstr(text, "_egress.gw.example.com.\t0\tANY\tTXT"));
    assert_non_null(strstr(text, "_egress.gw.example.com.\t30\tIN\tTXT\t\"v=gemel1 epoch=2\""));
    assert_non_null(strstr(text, "_spf.gw.example.com.\t300\tIN\tTXT\t\"v=spf1 -all\""));
    free(text);
}

TEST(a_first_publication_requires_that_there_is_nothing)
{
    struct update_set none = { .name = SLICE("_egress.gw.example.com") };
    struct update u = { SLICE("gw.example.com"), &none, 1, NULL, 0 };
    char *text = as_text(&u);
    assert_non_null(strstr(text, "_egress.gw.example.com.\t0\tNONE\tTXT"));
    free(text);
}

TEST(long_texts_are_cut_into_strings_without_a_loss)
{
    char long_text[601];
    struct buf b;
    ldns_pkt *pkt = NULL;
    for (int i = 0; i < 600; i++) long_text[i] = (char)('a' + i % 26);
    struct update_set set = {
        .name = SLICE("a.example"), .ttl_s = 1, .text = { slice_from(long_text, 600) }, .n = 1
    };
    struct update u = { SLICE("example"), NULL, 0, &set, 1 };
    buf_init(&b, UPDATE_BYTES_MAX);
    assert_int_equal(update_format(&u, 1, &b), ERR_OK);
    assert_int_equal(ldns_wire2pkt(&pkt, (const uint8_t *)buf_slice(&b).p, buf_len(&b)), LDNS_STATUS_OK);
    const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_authority(pkt), 1);
    assert_int_equal(ldns_rr_rd_count(rr), 3);
    size_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        const uint8_t *p = ldns_rdf_data(ldns_rr_rdf(rr, i));
        assert_memory_equal(p + 1, long_text + at, p[0]);
        at += p[0];
    }
    assert_int_equal(at, 600);
    ldns_pkt_free(pkt);
    buf_deinit(&b);
}

TEST(names_outside_the_zone_are_not_even_sent)
{
    static const char *const names[] = { "example.com", "badgw.example.com", "a..gw.example.com",
                                         "other.test" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct update_set set = { .name = slice_of(names[i]), .text = { SLICE("x") }, .n = 1 };
        struct update u = { SLICE("gw.example.com"), NULL, 0, &set, 1 };
        struct buf b;
        buf_init(&b, UPDATE_BYTES_MAX);
        assert_int_equal(update_format(&u, 1, &b), ERR_MALFORMED);
        assert_int_equal(buf_len(&b), 0);
        buf_deinit(&b);
    }
}

TEST(an_unsigned_update_goes_by_the_rcode)
{
    static const struct {
        uint8_t rcode;
        enum update_result want;
    } cases[] = {
        { 0, UPDATE_APPLIED }, { 1, UPDATE_REFUSED },  { 2, UPDATE_SERVFAIL }, { 3, UPDATE_STALE },
        { 4, UPDATE_REFUSED }, { 5, UPDATE_REFUSED },  { 7, UPDATE_STALE },    { 8, UPDATE_STALE },
        { 9, UPDATE_NOTAUTH }, { 10, UPDATE_NOTZONE }, { 15, UPDATE_UNKNOWN },
    };
    char detail[UPDATE_DETAIL_MAX];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char wire[12] = { 0x12, 0x34, (char)0xa8, (char)cases[i].rcode };
        assert_int_equal(update_read(slice_from(wire, 12), 0x1234, NULL, NULL, 0, detail), cases[i].want);
        assert_int_equal(update_read(slice_from(wire, 12), 0x1235, NULL, NULL, 0, detail), UPDATE_UNKNOWN);
        assert_int_equal(update_read(slice_from(wire, 11), 0x1234, NULL, NULL, 0, detail), UPDATE_UNKNOWN);
    }
}

TEST(an_unsigned_answer_to_a_signed_update_proves_nothing)
{
    struct tsig_key k = { .algorithm = TSIG_SHA256, .secret_n = 8 };
    struct tsig_mac mac = { .n = 32 };
    char wire[12] = { 0x12, 0x34, (char)0xa8, 0 }, detail[UPDATE_DETAIL_MAX];
    assert_int_equal(dns_name_parse(SLICE("gemel"), &k.name), ERR_OK);
    assert_int_equal(update_read(slice_from(wire, 12), 0x1234, &k, &mac, 0, detail), UPDATE_UNSIGNED);
    assert_string_equal(detail, "rcode NOERROR, no signature");
}
