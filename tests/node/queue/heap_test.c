#include "node/queue/heap.h"

#include "base/rng.h"
#include "tests/test.h"

TEST(nodes_come_out_by_key_also_after_moves_and_removals)
{
    enum { N = 500 };
    static struct heap_node nodes[N];
    struct heap h = { 0 };
    struct rng rng;
    rng_init_seed(&rng, 3);
    for (int round = 0; round < 2000; round++) {
        struct heap_node *n = &nodes[rng_below(&rng, N)];
        if (rng_below(&rng, 3))
            heap_set(&h, n, rng_below(&rng, 1000));
        else
            heap_remove(&h, n);
    }
    size_t in = 0;
    for (int i = 0; i < N; i++) in += nodes[i].at != 0;
    assert_int_equal(in, h.n);
    uint64_t last = 0;
    for (struct heap_node *n; (n = heap_first(&h)); heap_remove(&h, n)) {
        assert_true(n->key >= last);
        last = n->key;
        in--;
    }
    assert_int_equal(in, 0);
    heap_remove(&h, &nodes[0]); /* fine when it is not in */
    heap_deinit(&h);
}
