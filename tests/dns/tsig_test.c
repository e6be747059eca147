#include "dns/tsig.h"

#include <ldns/ldns.h>
#include <stdlib.h>
#include <time.h>

#include "tests/test.h"

static const char secret[] = "c2VjcmV0IG9mIHRoZSB0ZXN0IGtleSwgMzIgYnl0ZXM=";

static struct tsig_key key(const char *algorithm)
{
    struct tsig_key k;
    const char *why = NULL;
    assert_int_equal(tsig_key_make(SLICE("Gemel."), slice_of(algorithm), slice_of(secret), &k, &why), ERR_OK);
    return k;
}

TEST(keys_are_made_of_name_algorithm_and_base64)
{
    static const struct {
        const char *name, *algorithm, *secret, *why;
        enum err err;
    } cases[] = {
        { "gemel", "hmac-sha256", " c2VjcmV0\n", NULL, ERR_OK },
        { "gemel", "HMAC-SHA512.", "c2VjcmU=", NULL, ERR_OK },
        { "gemel", "hmac-sha384", secret, "hmac-sha384 is refused", ERR_REFUSED },
        { "gemel", "hmac-md5.sig-alg.reg.int", secret, "too weak", ERR_REFUSED },
        { "gemel", "hmac-sha1", secret, "too weak", ERR_REFUSED },
        { "gemel", "rot13", secret, "not hmac-sha256", ERR_REFUSED },
        { "", "hmac-sha256", secret, "name", ERR_MALFORMED },
        { "a..b", "hmac-sha256", secret, "name", ERR_MALFORMED },
        { "gemel", "hmac-sha256", "", "base64", ERR_MALFORMED },
        { "gemel", "hmac-sha256", "abc", "base64", ERR_MALFORMED },
        { "gemel", "hmac-sha256", "ab!=", "base64", ERR_MALFORMED },
        { "gemel", "hmac-sha256", "a=bc", "base64", ERR_MALFORMED },
        { "gemel", "hmac-sha256", "====", "base64", ERR_MALFORMED },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tsig_key k;
        const char *why = "";
        enum err err = tsig_key_make(slice_of(cases[i].name), slice_of(cases[i].algorithm),
                                     slice_of(cases[i].secret), &k, &why);
        assert_int_equal(err, cases[i].err);
        if (cases[i].why) assert_non_null(strstr(why, cases[i].why));
    }
    struct tsig_key k = key("hmac-sha256");
    assert_int_equal(k.secret_n, 32);
    assert_memory_equal(k.secret, "secret of the test key, 32 bytes", 32);
    tsig_key_wipe(&k);
    assert_int_equal(k.secret[0], 0);
}

static void message(struct buf *b)
{
    buf_init(b, 4096);
    buf_put(b, SLICE("\x12\x34\x28\0\0\1\0\0\0\0\0\0\7example\3com\0\0\6\0\1"));
}

static ldns_pkt *parse(struct slice wire)
{
    ldns_pkt *pkt = NULL;
    assert_int_equal(ldns_wire2pkt(&pkt, (const uint8_t *)wire.p, wire.n), LDNS_STATUS_OK);
    return pkt;
}

TEST(what_we_sign_others_can_check)
{
    static const char *const algorithms[] = { "hmac-sha256", "hmac-sha512" };
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        struct tsig_key k = key(algorithms[i]);
        struct tsig_mac mac;
        struct buf b;
        message(&b);
        assert_int_equal(tsig_sign(&b, &k, 1772000000, &mac), ERR_OK);
        struct slice wire = buf_slice(&b);
        ldns_pkt *pkt = parse(wire);
        assert_true(ldns_pkt_tsig_verify(pkt, (const uint8_t *)wire.p, wire.n, "gemel.", secret, NULL));
        ldns_pkt_free(pkt);
        buf_deinit(&b);
    }
}

TEST(a_message_that_grows_too_long_is_not_touched)
{
    struct tsig_key k = key("hmac-sha256");
    struct tsig_mac mac;
    struct buf b;
    buf_init(&b, 40);
    buf_put(&b, SLICE("\x12\x34\x28\0\0\1\0\0\0\0\0\0\7example\3com\0\0\6\0\1"));
    assert_int_equal(tsig_sign(&b, &k, 1, &mac), ERR_LIMIT);
    assert_int_equal(buf_slice(&b).p[11], 0);
    buf_deinit(&b);
}

/* An answer to a message of ours, signed by ldns with the clock of now. */
static void answer(const struct tsig_mac *asked, const char *name, const char *secret_, struct buf *out)
{
    uint8_t *bytes = NULL, counted[TSIG_MAC_MAX + 2];
    size_t n;
    ldns_pkt *pkt = parse(SLICE("\x12\x34\xa8\0\0\1\0\0\0\0\0\0\7example\3com\0\0\6\0\1"));
    counted[0] = 0;
    counted[1] = asked->n;
    memcpy(counted + 2, asked->p, asked->n);
    ldns_rdf *mac = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, (size_t)asked->n + 2, counted);
    assert_int_equal(ldns_pkt_tsig_sign(pkt, name, secret_, 300, "hmac-sha256.", mac), LDNS_STATUS_OK);
    assert_int_equal(ldns_pkt2wire(&bytes, pkt, &n), LDNS_STATUS_OK);
    buf_init(out, 4096);
    buf_put(out, slice_from(bytes, n));
    LDNS_FREE(bytes);
    ldns_rdf_deep_free(mac);
    ldns_pkt_free(pkt);
}

TEST(an_answer_must_be_signed_with_our_key_over_our_question_and_now)
{
    struct tsig_key k = key("hmac-sha256");
    struct tsig_mac mac, other;
    struct buf b, a;
    uint16_t error;
    uint64_t server_s, now_s = (uint64_t)time(NULL);
    message(&b);
    assert_int_equal(tsig_sign(&b, &k, now_s, &mac), ERR_OK);
    answer(&mac, "gemel.", secret, &a);
    assert_int_equal(tsig_check(buf_slice(&a), &k, &mac, now_s, &error, &server_s), TSIG_OK);
    assert_int_equal(error, 0);
    assert_in_range(server_s, now_s, now_s + 5);
    assert_int_equal(tsig_check(buf_slice(&a), &k, &mac, now_s + 400, &error, &server_s), TSIG_WRONG_TIME);
    assert_int_equal(tsig_check(buf_slice(&a), &k, &mac, now_s - 400, &error, &server_s), TSIG_WRONG_TIME);
    other = mac;
    other.p[0] ^= 1;
    assert_int_equal(tsig_check(buf_slice(&a), &k, &other, now_s, &error, &server_s), TSIG_WRONG_MAC);
    struct tsig_key sha512 = key("hmac-sha512");
    assert_int_equal(tsig_check(buf_slice(&a), &sha512, &mac, now_s, &error, &server_s), TSIG_WRONG_KEY);
    a.p[a.head + 3] ^= 5; /* another rcode */
    assert_int_equal(tsig_check(buf_slice(&a), &k, &mac, now_s, &error, &server_s), TSIG_WRONG_MAC);
    buf_deinit(&a);
    answer(&mac, "other.", secret, &a);
    assert_int_equal(tsig_check(buf_slice(&a), &k, &mac, now_s, &error, &server_s), TSIG_WRONG_KEY);
    buf_deinit(&a);
    answer(&mac, "gemel.", "b3RoZXI=", &a);
    assert_int_equal(tsig_check(buf_slice(&a), &k, &mac, now_s, &error, &server_s), TSIG_WRONG_MAC);
    buf_deinit(&a);
    buf_deinit(&b);
}

TEST(every_cut_of_a_signed_answer_is_refused)
{
    struct tsig_key k = key("hmac-sha256");
    struct tsig_mac mac;
    struct buf b, a;
    uint16_t error;
    uint64_t server_s, now_s = (uint64_t)time(NULL);
    message(&b);
    assert_int_equal(tsig_sign(&b, &k, now_s, &mac), ERR_OK);
    answer(&mac, "gemel.", secret, &a);
    for (size_t n = 0; n < buf_len(&a); n++) {
        char *exact = slice_dup(slice_sub(buf_slice(&a), 0, n));
        assert_int_not_equal(tsig_check(slice_from(exact, n), &k, &mac, now_s, &error, &server_s), TSIG_OK);
        free(exact);
    }
    buf_put(&a, SLICE("x"));
    assert_int_equal(tsig_check(buf_slice(&a), &k, &mac, now_s, &error, &server_s), TSIG_MALFORMED);
    assert_int_equal(tsig_check(SLICE("\x12\x34\xa8\0\0\1\0\0\0\0\0\0\7example\3com\0\0\6\0\1"), &k, &mac,
                                now_s, &error, &server_s),
                     TSIG_ABSENT);
    buf_deinit(&a);
    buf_deinit(&b);
}
