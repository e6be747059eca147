#include "node/relay/tls_tally.h"

#include <stdio.h>

#include "tests/test.h"

static void add(struct tls_tally *t, const char *destination, enum tls_result r, const char *why)
{
    tls_tally_add(t, &(struct tls_event){ .destination = slice_of(destination),
                                          .level = TLS_LEVEL_VERIFY,
                                          .result = r,
                                          .mx = SLICE_INIT("mx.example.net"),
                                          .why = slice_of(why),
                                          .wall_ms = 5 });
}

struct found {
    const char *destination;
    struct tls_tally_row row;
    char why[32];
    size_t n;
};

static void find(void *owner, const struct tls_tally_row *row)
{
    struct found *f = owner;
    f->n++;
    if (!slice_eq(row->destination, slice_of(f->destination))) return;
    f->row = *row;
    snprintf(f->why, sizeof f->why, "%.*s", SLICE_ARG(row->last_failure.why));
}

TEST(results_are_counted_by_destination_and_the_last_failure_is_kept)
{
    struct tls_tally *t = tls_tally_create();
    add(t, "a.example", TLS_RESULT_SUCCESS, "");
    add(t, "a.example", TLS_RESULT_EXPIRED, "old");
    add(t, "a.example", TLS_RESULT_NAME, "somebody else's");
    add(t, "a.example", TLS_RESULT_SUCCESS, "");
    add(t, "b.example", TLS_RESULT_CLEAR, "");
    struct found f = { .destination = "a.example" };
    tls_tally_each(t, find, &f);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.row.count[TLS_RESULT_SUCCESS], 2);
    assert_int_equal(f.row.count[TLS_RESULT_EXPIRED], 1);
    assert_int_equal(f.row.last_failure.result, TLS_RESULT_NAME);
    assert_string_equal(f.why, "somebody else's");
    uint64_t n[TLS_RESULTS];
    tls_tally_totals(t, n);
    assert_int_equal(n[TLS_RESULT_SUCCESS], 2);
    assert_int_equal(n[TLS_RESULT_CLEAR], 1);
    tls_tally_destroy(t);
}

TEST(many_destinations_take_no_more_than_their_room)
{
    struct tls_tally *t = tls_tally_create();
    for (int i = 0; i < TLS_TALLY_DESTINATIONS_MAX + 50; i++) {
        char name[32];
        snprintf(name, sizeof name, "d%d.example", i);
        add(t, name, TLS_RESULT_SUCCESS, "");
    }
    struct found f = { .destination = "*" };
    tls_tally_each(t, find, &f);
    assert_int_equal(f.n, TLS_TALLY_DESTINATIONS_MAX + 1);
    assert_int_equal(f.row.count[TLS_RESULT_SUCCESS], 50);
    tls_tally_destroy(t);
}
