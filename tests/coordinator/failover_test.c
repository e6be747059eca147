/* The protocol as stories: a calm cluster of the simulator (two nodes, perfect clocks, 1 ms each way), one misfortune each,
 * and the decision log itself asserted. Times of the policy are scaled (tests/sim/sim.c); leases are the real ones. */
#include <stdio.h>

#include "tests/sim/sim.h"
#include "tests/test.h"

static struct sim *cluster(uint8_t nodes, uint8_t coords, bool exclusive)
{
    struct sim *w = sim_create(&(struct sim_conf){ .calm = true, .trace = true, .seed = 7, .nodes = nodes,
                                                   .coords = coords, .exclusive = exclusive });
    sim_run_until(w, SECONDS(20));
    assert_int_equal(sim_sender(w), 0);
    (void)sim_story(w);
    return w;
}

static void assert_story(struct sim *w, const char *want, const char *file, int line)
{
    const char *got = sim_story(w);
    if (strcmp(got, want) != 0) {
        fprintf(stderr, "%s:%d: the story is\n%s\nbut should be\n%s\n", file, line, got, want); /* cmocka cuts lines */
        _fail(file, line);
    }
    if (w->violation[0]) print_error("%s\n", w->violation);
    assert_string_equal(w->violation, "");
}
#define STORY(w, want) assert_story((w), (want), __FILE__, __LINE__)

static void command(struct sim *w, enum fo_command_kind kind, uint8_t to)
{
    struct fo_command cmd = { .id = 1, .kind = kind, .to = to, .by = "anna" };
    if (kind == FO_CMD_PIN) cmd.until_wall_ms = sim_wall_ms(w, FIRST_COORD) + MINUTES(10);
    coord_order_by(w, sim_leader(w), &cmd);
}

TEST(first)
{
    struct sim *w = sim_create(&(struct sim_conf){ .calm = true, .trace = true, .seed = 7, .nodes = 2, .coords = 1 });
    sim_run_until(w, SECONDS(20));
    STORY(w, "");
    sim_destroy(w);
}
TEST(listed)
{
    struct sim *w = cluster(2, 1, false);
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(60));
    STORY(w, "");
    sim_destroy(w);
}
TEST(switchover)
{
    struct sim *w = cluster(2, 1, false);
    command(w, FO_CMD_SWITCHOVER, 1);
    sim_run_until(w, SECONDS(60));
    STORY(w, "");
    sim_destroy(w);
}
TEST(crash)
{
    struct sim *w = cluster(2, 1, false);
    sim_crash(w, 0);
    sim_run_until(w, SECONDS(60));
    STORY(w, "");
    sim_destroy(w);
}
TEST(cut_from_store)
{
    struct sim *w = cluster(2, 1, false);
    sim_cut(w, 0, STORE, true);
    sim_run_until(w, SECONDS(60));
    STORY(w, "");
    sim_destroy(w);
}
TEST(cut_from_coord)
{
    struct sim *w = cluster(2, 1, false);
    sim_cut(w, 0, FIRST_COORD, true);
    sim_run_until(w, SECONDS(60));
    STORY(w, "");
    sim_destroy(w);
}
TEST(store_down)
{
    struct sim *w = cluster(2, 1, false);
    w->store_down = true;
    sim_run_until(w, SECONDS(60));
    w->store_down = false;
    sim_run_until(w, SECONDS(70));
    STORY(w, "");
    sim_destroy(w);
}
TEST(swap)
{
    struct sim *w = cluster(2, 2, false);
    command(w, FO_CMD_SWITCHOVER, 1);
    sim_run_until(w, SECONDS(24));
    sim_store_swap(w, 6);
    sim_run_until(w, SECONDS(90));
    STORY(w, "");
    sim_destroy(w);
}
TEST(exclusive)
{
    struct sim *w = cluster(2, 1, true);
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(80));
    STORY(w, "");
    sim_destroy(w);
}
TEST(dns_down)
{
    struct sim *w = cluster(2, 1, false);
    w->actors[FIRST_SERVER].alive = false;
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(80));
    w->actors[FIRST_SERVER].alive = true;
    sim_run_until(w, SECONDS(120));
    STORY(w, "");
    sim_destroy(w);
}
TEST(dns_down_exclusive)
{
    struct sim *w = cluster(2, 1, true);
    w->actors[FIRST_SERVER].alive = false;
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(60));
    STORY(w, "");
    sim_destroy(w);
}
TEST(both)
{
    struct sim *w = cluster(2, 1, false);
    sim_list(w, 0, 0, true);
    sim_list(w, 1, 1, true);
    sim_run_until(w, SECONDS(60));
    STORY(w, "");
    sim_destroy(w);
}
TEST(world)
{
    struct sim *w = cluster(2, 1, false);
    w->zone_mode[0] = 2;
    sim_run_until(w, SECONDS(100));
    STORY(w, "");
    sim_destroy(w);
}
TEST(leader_paused)
{
    struct sim *w = cluster(2, 2, false);
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(20));
    sim_pause(w, FIRST_COORD + sim_leader(w), 40000);
    sim_run_until(w, SECONDS(90));
    STORY(w, "");
    sim_destroy(w);
}
TEST(restart)
{
    struct sim *w = cluster(2, 1, false);
    sim_crash(w, 0);
    sim_run_until(w, SECONDS(21));
    sim_start(w, 0);
    sim_run_until(w, SECONDS(60));
    STORY(w, "");
    sim_destroy(w);
}
TEST(sigstop)
{
    struct sim *w = cluster(2, 1, false);
    sim_pause(w, 0, 60000);
    sim_run_until(w, SECONDS(100));
    STORY(w, "");
    sim_destroy(w);
}
TEST(fence)
{
    struct sim *w = cluster(2, 1, false);
    command(w, FO_CMD_FENCE, 0);
    sim_run_until(w, SECONDS(40));
    command(w, FO_CMD_FAILOVER, 1);
    sim_run_until(w, SECONDS(60));
    STORY(w, "");
    sim_destroy(w);
}
TEST(disk)
{
    struct sim *w = cluster(2, 1, false);
    w->nodes[1].disk_full = true;
    command(w, FO_CMD_SWITCHOVER, 1);
    sim_run_until(w, SECONDS(60));
    STORY(w, "");
    sim_destroy(w);
}
TEST(clean)
{
    struct sim *w = cluster(2, 1, false);
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(70));
    sim_list(w, 0, 0, false);
    sim_run_until(w, SECONDS(180));
    STORY(w, "");
    sim_destroy(w);
}
