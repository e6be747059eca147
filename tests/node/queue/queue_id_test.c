#include "node/queue/queue_id.h"

#include "tests/test.h"

static const uint64_t NOW = UINT64_C(1772331247123);

static void start(struct queue_ids *g, const char *node, uint64_t seed)
{
    struct rng rng;
    rng_init_seed(&rng, seed);
    queue_ids_init(g, slice_of(node), &rng);
}

TEST(ids_sort_by_time_even_when_the_clock_steps_back)
{
    struct queue_ids g;
    struct queue_id last, id;
    start(&g, "edge1", 1);
    queue_ids_next(&g, NOW, &last);
    for (uint64_t i = 0; i < 1000; i++) {
        queue_ids_next(&g, i % 7 ? NOW + i / 10 : NOW - 5000, &id);
        assert_true(strcmp(last.s, id.s) < 0);
        last = id;
    }
}

TEST(an_id_tells_when_it_was_made_and_survives_its_text)
{
    struct queue_ids g;
    struct queue_id id, back;
    start(&g, "edge1", 1);
    queue_ids_next(&g, NOW, &id);
    assert_int_equal(queue_id_wall_ms(&id), NOW);
    assert_int_equal(queue_id_parse(queue_id_slice(&id), &back), ERR_OK);
    assert_true(queue_id_eq(&id, &back));
    char lower[QUEUE_ID_CHARS + 1];
    for (int i = 0; i <= QUEUE_ID_CHARS; i++) lower[i] = ascii_lower(id.s[i]);
    assert_int_equal(queue_id_parse(slice_of(lower), &back), ERR_OK);
    assert_true(queue_id_eq(&id, &back));
}

TEST(two_nodes_and_two_starts_of_one_node_give_different_ids_in_the_same_millisecond)
{
    struct queue_ids a, b, c;
    struct queue_id ia, ib, ic;
    start(&a, "edge1", 1);
    start(&b, "edge2", 1);
    start(&c, "edge1", 2);
    queue_ids_next(&a, NOW, &ia);
    queue_ids_next(&b, NOW, &ib);
    queue_ids_next(&c, NOW, &ic);
    assert_string_not_equal(ia.s, ib.s);
    assert_string_not_equal(ia.s, ic.s);
}

TEST(what_is_no_id_is_refused)
{
    static const char *const bad[] = {
        "", "0", "0123456789ABCDEFG", "0123456789ABCDEFGHJ", "0123456789ABCDEFGI", "0123456789ABCDEF/H"
    };
    struct queue_id id;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(queue_id_parse(slice_of(bad[i]), &id), ERR_MALFORMED);
    assert_int_equal(queue_id_parse(slice_from("0123456789ABCDEFG\0", 18), &id), ERR_MALFORMED);
}
