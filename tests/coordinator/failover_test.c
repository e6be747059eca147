/* The protocol as stories: a calm cluster of the simulator (two nodes, perfect clocks, 1 ms each way), one misfortune each,
 * and the decision log itself asserted. Times of the policy are scaled (tests/sim/sim.c); leases are the real ones. */
#include <stdio.h>

#include "tests/sim/sim.h"
#include "tests/test.h"

static struct sim *cluster(uint8_t nodes, uint8_t coords, bool exclusive)
{
    struct sim *w = sim_create(&(struct sim_conf){
        .calm = true, .trace = true, .seed = 7, .nodes = nodes, .coords = coords, .exclusive = exclusive });
    sim_run_until(w, SECONDS(20));
    assert_int_equal(sim_sender(w), 0);
    (void)sim_story(w);
    return w;
}

static void assert_story(struct sim *w, const char *want, const char *file, int line)
{
    const char *got = sim_story(w);
    if (strcmp(got, want) != 0) {
        fprintf(stderr, "%s:%d: the story is\n%s\nbut should be\n%s\n", file, line, got,
                want); /* cmocka cuts lines */
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

/* clang-format off: a line of the log is a line here */

/* Stories stand as the log prints them, however long a line is. */
/* clang-format off */
TEST(the_first_identity_of_the_configuration_begins)
{
    struct sim *w = sim_create(&(struct sim_conf){ .calm = true, .trace = true, .seed = 7, .nodes = 2, .coords = 1 });
    sim_run_until(w, SECONDS(20));
    STORY(w, "[1.0] coord0 failover.store_changed why=\"first look at this server\" wait=30000ms\n"
             "[1.0] coord0 failover.state from=following to=recovering epoch=0 why=leading\n"
             "[1.0] coord0 failover.state from=recovering to=watching epoch=0 why=\"nothing was under way\"\n"
             "[1.1] coord0 failover.state from=watching to=recording epoch=0 why=\"nobody has ever been told to send\"\n"
             "[1.1] coord0 failover.state from=recording to=fencing epoch=1 why=\"nobody has ever been told to send\"\n"
             "[1.1] coord0 failover.fenced identity=(nobody) epoch=0 why=\"nobody holds a lease\"\n"
             "[1.1] coord0 failover.state from=fencing to=publishing epoch=1 why=fenced\n"
             "[1.1] coord0 failover.state from=publishing to=verifying epoch=1 why=published\n"
             "[3.5] coord0 failover.state from=verifying to=granting epoch=1 why=verified\n"
             "[3.6] node0 gate.open epoch=1 why=\"granted\"\n"
             "[3.6] coord0 failover.state from=granting to=settling epoch=1 why=\"it sends\"\n"
             "[3.6] coord0 failover.state from=settling to=watching epoch=1 why=done\n");
    sim_destroy(w);
}

TEST(a_listed_address_is_fenced_before_the_other_may_send)
{
    struct sim *w = cluster(2, 1, false);
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(45));
    STORY(w, "[25.1] coord0 failover.state from=watching to=confirming epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 1 poll)\"\n"
             "[29.1] coord0 failover.state from=confirming to=recording epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 2 polls)\"\n"
             "[29.1] coord0 failover.state from=recording to=fencing epoch=2 why=\"list0.example lists it (127.0.0.2, weight 5, 2 polls)\"\n"
             "[29.1] node0 gate.closed epoch=1 why=\"ordered\"\n"
             "[29.1] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[29.1] coord0 failover.state from=fencing to=publishing epoch=2 why=fenced\n"
             "[29.1] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[29.1] coord0 failover.state from=verifying to=granting epoch=2 why=verified\n"
             "[29.2] node1 gate.open epoch=2 why=\"granted\"\n"
             "[29.2] coord0 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[29.2] coord0 failover.state from=settling to=watching epoch=2 why=done\n");
    sim_destroy(w);
}

TEST(a_listed_identity_is_withdrawn_after_the_grace_and_comes_back_when_clean)
{
    struct sim *w = cluster(2, 1, false);
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(45));
    (void)sim_story(w);
    sim_run_until(w, SECONDS(70));
    sim_list(w, 0, 0, false);
    STORY(w, "[54.2] coord0 failover.state from=watching to=recording epoch=2 why=\"an identity is withdrawn after the grace\"\n"
             "[54.2] coord0 failover.state from=recording to=publishing epoch=2 why=\"an identity is withdrawn after the grace\"\n"
             "[54.2] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[61.4] coord0 failover.state from=verifying to=settling epoch=2 why=verified\n"
             "[61.4] coord0 failover.state from=settling to=watching epoch=2 why=done\n");
    assert_int_equal(w->servers[0].token.spf_set, BIT(1));
    sim_run_until(w, SECONDS(180));
    STORY(w, "[113.1] coord0 failover.state from=watching to=recording epoch=2 why=\"an identity is clean again\"\n"
             "[113.1] coord0 failover.state from=recording to=publishing epoch=2 why=\"an identity is clean again\"\n"
             "[113.1] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[120.2] coord0 failover.state from=verifying to=settling epoch=2 why=verified\n"
             "[120.2] coord0 failover.state from=settling to=watching epoch=2 why=done\n");
    assert_int_equal(w->servers[0].token.spf_set, BIT(0) | BIT(1));
    assert_int_equal(sim_sender(w), 1); /* no automatic failback */
    assert_int_equal(w->store.v.quarantined_wall_ms[0], 0);
    sim_destroy(w);
}

TEST(exclusive_mode_waits_until_old_answers_have_expired)
{
    struct sim *w = cluster(2, 1, true);
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(80));
    STORY(w, "[25.1] coord0 failover.state from=watching to=confirming epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 1 poll)\"\n"
             "[29.1] coord0 failover.state from=confirming to=recording epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 2 polls)\"\n"
             "[29.1] coord0 failover.state from=recording to=fencing epoch=2 why=\"list0.example lists it (127.0.0.2, weight 5, 2 polls)\"\n"
             "[29.1] node0 gate.closed epoch=1 why=\"ordered\"\n"
             "[29.1] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[29.1] coord0 failover.state from=fencing to=publishing epoch=2 why=fenced\n"
             "[29.1] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[31.5] coord0 failover.state from=verifying to=waiting epoch=2 why=verified\n"
             "[47.3] coord0 failover.state from=waiting to=granting epoch=2 why=\"old answers have expired\"\n"
             "[47.4] node1 gate.open epoch=2 why=\"granted\"\n"
             "[47.4] coord0 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[47.4] coord0 failover.state from=settling to=watching epoch=2 why=done\n"
             "[72.4] coord0 failover.state from=watching to=recording epoch=2 why=\"an identity is withdrawn after the grace\"\n"
             "[72.4] coord0 failover.state from=recording to=publishing epoch=2 why=\"an identity is withdrawn after the grace\"\n"
             "[72.4] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[74.9] coord0 failover.state from=verifying to=settling epoch=2 why=verified\n"
             "[74.9] coord0 failover.state from=settling to=watching epoch=2 why=done\n");
    assert_int_equal(w->servers[0].token.spf_set, BIT(1));
    sim_destroy(w);
}

TEST(a_planned_switchover_publishes_before_it_fences)
{
    struct sim *w = cluster(2, 1, false);
    command(w, FO_CMD_SWITCHOVER, 1);
    sim_run_until(w, SECONDS(30));
    STORY(w, "[20.0] coord0 failover.state from=watching to=recording epoch=1 why=\"ordered by the operator\"\n"
             "[20.0] answer switchover to id1 has begun\n"
             "[20.0] coord0 failover.state from=recording to=publishing epoch=2 why=\"ordered by the operator\"\n"
             "[20.0] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[20.1] coord0 failover.state from=verifying to=fencing epoch=2 why=verified\n"
             "[20.1] node0 gate.closed epoch=1 why=\"ordered\"\n"
             "[20.1] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[20.1] coord0 failover.state from=fencing to=granting epoch=2 why=fenced\n"
             "[20.1] node1 gate.open epoch=2 why=\"granted\"\n"
             "[20.1] coord0 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[20.1] coord0 failover.state from=settling to=watching epoch=2 why=done\n"
             "[20.1] answer id1 sends instead of id0 (epoch 2), because ordered by the operator. The fence was acknowledged. Nobody sent for 0.023 s. Steps: fence 0.021 s, publish 0.008 s, verify 0.039 s, grant 0.023 s. By anna.\n");
    sim_destroy(w);
}

TEST(a_dead_node_is_replaced_when_its_lease_has_run_out)
{
    struct sim *w = cluster(2, 1, false);
    sim_crash(w, 0);
    sim_run_until(w, SECONDS(60));
    STORY(w, "[33.6] coord0 failover.state from=watching to=recording epoch=1 why=\"id0 is silent and does not renew its lease\"\n"
             "[33.6] coord0 failover.state from=recording to=fencing epoch=2 why=\"id0 is silent and does not renew its lease\"\n"
             "[36.8] coord0 failover.fenced identity=id0 epoch=1 why=\"the lease has run out\"\n"
             "[36.8] coord0 failover.state from=fencing to=publishing epoch=2 why=fenced\n"
             "[36.8] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[36.8] coord0 failover.state from=verifying to=granting epoch=2 why=verified\n"
             "[36.9] node1 gate.open epoch=2 why=\"granted\"\n"
             "[36.9] coord0 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[36.9] coord0 failover.state from=settling to=watching epoch=2 why=done\n");
    sim_start(w, 0);
    sim_run_until(w, SECONDS(90));
    STORY(w, "[60.0] node0 gate.closed epoch=0 why=\"started with an old epoch\"\n");
    assert_int_equal(sim_sender(w), 1);
    sim_destroy(w);
}

TEST(a_stopped_process_finds_its_gate_closed_when_it_runs_on)
{
    struct sim *w = cluster(2, 1, false);
    sim_pause(w, 0, 60000);
    sim_run_until(w, SECONDS(100));
    STORY(w, "[33.6] coord0 failover.state from=watching to=recording epoch=1 why=\"id0 is silent and does not renew its lease\"\n"
             "[33.6] coord0 failover.state from=recording to=fencing epoch=2 why=\"id0 is silent and does not renew its lease\"\n"
             "[36.8] coord0 failover.fenced identity=id0 epoch=1 why=\"the lease has run out\"\n"
             "[36.8] coord0 failover.state from=fencing to=publishing epoch=2 why=fenced\n"
             "[36.8] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[36.8] coord0 failover.state from=verifying to=granting epoch=2 why=verified\n"
             "[36.9] node1 gate.open epoch=2 why=\"granted\"\n"
             "[36.9] coord0 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[36.9] coord0 failover.state from=settling to=watching epoch=2 why=done\n"
             "[80.0] node0 gate.closed epoch=1 why=\"no renewal in time\"\n");
    sim_destroy(w);
}

TEST(a_node_that_restarts_goes_on_under_a_new_epoch)
{
    struct sim *w = cluster(2, 1, false);
    sim_crash(w, 0);
    sim_run_until(w, SECONDS(21));
    sim_start(w, 0);
    sim_run_until(w, SECONDS(60));
    STORY(w, "[21.0] node0 gate.closed epoch=0 why=\"started with an old epoch\"\n"
             "[24.0] coord0 failover.state from=watching to=recording epoch=1 why=\"id0 is well but its gate is closed: it may go on\"\n"
             "[24.0] coord0 failover.state from=recording to=fencing epoch=2 why=\"id0 is well but its gate is closed: it may go on\"\n"
             "[24.0] coord0 failover.fenced identity=id0 epoch=1 why=\"nobody holds a lease\"\n"
             "[24.0] coord0 failover.state from=fencing to=publishing epoch=2 why=fenced\n"
             "[24.0] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[24.1] coord0 failover.state from=verifying to=granting epoch=2 why=verified\n"
             "[24.1] node0 gate.open epoch=2 why=\"granted\"\n"
             "[24.1] coord0 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[24.1] coord0 failover.state from=settling to=watching epoch=2 why=done\n");
    sim_destroy(w);
}

TEST(a_node_cut_from_the_store_closes_itself_and_says_so)
{
    struct sim *w = cluster(2, 1, false);
    sim_cut(w, 0, STORE, true);
    sim_run_until(w, SECONDS(60));
    STORY(w, "[31.6] node0 gate.closed epoch=1 why=\"no renewal in time\"\n"
             "[33.6] coord0 failover.state from=watching to=recording epoch=1 why=\"id0 has closed and does not renew its lease\"\n"
             "[33.6] coord0 failover.state from=recording to=fencing epoch=2 why=\"id0 has closed and does not renew its lease\"\n"
             "[33.6] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[33.6] coord0 failover.state from=fencing to=publishing epoch=2 why=fenced\n"
             "[33.6] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[33.6] coord0 failover.state from=verifying to=granting epoch=2 why=verified\n"
             "[33.7] node1 gate.open epoch=2 why=\"granted\"\n"
             "[33.7] coord0 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[33.7] coord0 failover.state from=settling to=watching epoch=2 why=done\n");
    sim_destroy(w);
}

TEST(a_node_cut_from_the_coordinator_alone_goes_on_sending)
{
    struct sim *w = cluster(2, 1, false);
    sim_cut(w, 0, FIRST_COORD, true);
    sim_run_until(w, SECONDS(90));
    STORY(w, "");
    assert_int_equal(sim_sender(w), 0);
    sim_destroy(w);
}

TEST(without_the_store_nobody_sends_and_afterwards_the_same_goes_on)
{
    struct sim *w = cluster(2, 1, false);
    w->store_down = true;
    sim_run_until(w, SECONDS(60));
    assert_int_equal(sim_sender(w), STORE_NONE);
    w->store_down = false;
    sim_run_until(w, SECONDS(90));
    STORY(w, "[31.6] node0 gate.closed epoch=1 why=\"no renewal in time\"\n"
             "[32.6] coord0 failover.state from=watching to=following epoch=1 why=\"the lead was not renewed in time\"\n"
             "[61.0] coord0 failover.state from=following to=recovering epoch=1 why=leading\n"
             "[61.0] coord0 failover.state from=recovering to=watching epoch=1 why=\"nothing was under way\"\n"
             "[61.6] node0 gate.open epoch=1 why=\"renewed\"\n");
    sim_destroy(w);
}

TEST(a_store_that_forgot_the_switch_is_told_by_dns)
{
    struct sim *w = cluster(2, 2, false);
    command(w, FO_CMD_SWITCHOVER, 1);
    sim_run_until(w, SECONDS(24));
    (void)sim_story(w);
    sim_store_swap(w, 6); /* the replica is 4.8 s behind: it knows nothing of the switch */
    assert_int_equal(w->store.v.egress.identity, 0);
    sim_run_until(w, SECONDS(90));
    STORY(w, "[24.0] coord1 failover.store_changed why=\"another server answers\" wait=30000ms\n"
             "[24.0] coord1 failover.store_changed why=\"epoch or term went back\" wait=30000ms\n"
             "[24.1] coord0 failover.store_changed why=\"another server answers\" wait=30000ms\n"
             "[24.1] coord0 failover.state from=watching to=recovering epoch=1 why=\"the store may have lost data\"\n"
             "[24.1] coord0 failover.store_changed why=\"epoch or term went back\" wait=30000ms\n"
             "[24.1] coord0 failover.state from=recovering to=recovering epoch=1 why=\"the store may have lost data\"\n"
             "[24.1] coord0 failover.state from=recovering to=watching epoch=1 why=\"nothing was under way\"\n"
             "[24.1] coord0 failover.state from=watching to=recording epoch=1 why=\"the store has lost the grant of epoch 2 to id1\"\n"
             "[24.1] coord0 failover.state from=recording to=fencing epoch=3 why=\"the store has lost the grant of epoch 2 to id1\"\n"
             "[24.1] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[24.1] coord0 failover.state from=fencing to=publishing epoch=3 why=fenced\n"
             "[24.1] coord0 failover.state from=publishing to=verifying epoch=3 why=published\n"
             "[24.2] coord0 failover.state from=verifying to=granting epoch=3 why=verified\n"
             "[24.2] node1 gate.closed epoch=2 why=\"granted\"\n"
             "[24.2] node1 gate.open epoch=3 why=\"granted\"\n"
             "[24.2] coord0 failover.state from=granting to=settling epoch=3 why=\"it sends\"\n"
             "[24.2] coord0 failover.state from=settling to=watching epoch=3 why=done\n");
    assert_int_equal(sim_sender(w), 1);
    sim_destroy(w);
}

TEST(a_store_that_lost_everything_starts_above_every_epoch_known)
{
    struct sim *w = cluster(2, 1, false);
    store_model_init(&w->store, 99, w->fo_conf.coord_lease_ms);
    sim_run_until(w, SECONDS(90));
    STORY(w, "[20.6] coord0 failover.store_changed why=\"another server answers\" wait=30000ms\n"
             "[20.6] coord0 failover.state from=watching to=recovering epoch=0 why=\"the store may have lost data\"\n"
             "[20.6] coord0 failover.store_changed why=\"epoch or term went back\" wait=30000ms\n"
             "[20.6] coord0 failover.state from=recovering to=recovering epoch=0 why=\"the store may have lost data\"\n"
             "[20.6] coord0 failover.state from=recovering to=watching epoch=0 why=\"nothing was under way\"\n"
             "[20.6] coord0 failover.state from=watching to=recording epoch=0 why=\"nobody has ever been told to send\"\n"
             "[20.6] coord0 failover.state from=recording to=following epoch=0 why=\"the store says that we do not lead\"\n"
             "[21.6] node0 gate.closed epoch=1 why=\"the epoch is over\"\n"
             "[22.0] coord0 failover.state from=following to=recovering epoch=0 why=leading\n"
             "[22.0] coord0 failover.state from=recovering to=watching epoch=0 why=\"nothing was under way\"\n"
             "[22.0] coord0 failover.state from=watching to=recording epoch=0 why=\"nobody has ever been told to send\"\n"
             "[22.0] coord0 failover.state from=recording to=fencing epoch=102 why=\"nobody has ever been told to send\"\n"
             "[22.0] coord0 failover.fenced identity=(nobody) epoch=0 why=\"nobody holds a lease\"\n"
             "[22.0] coord0 failover.state from=fencing to=publishing epoch=102 why=fenced\n"
             "[22.0] coord0 failover.state from=publishing to=verifying epoch=102 why=published\n"
             "[22.1] coord0 failover.state from=verifying to=granting epoch=102 why=verified\n"
             "[22.1] node0 gate.open epoch=102 why=\"granted\"\n"
             "[22.1] coord0 failover.state from=granting to=settling epoch=102 why=\"it sends\"\n"
             "[22.1] coord0 failover.state from=settling to=watching epoch=102 why=done\n");
    assert_int_equal(sim_sender(w), 0);
    sim_destroy(w);
}

TEST(a_leader_that_stops_is_replaced_and_changes_nothing_when_it_runs_on)
{
    struct sim *w = cluster(2, 2, false);
    sim_list(w, 0, 0, true);
    sim_pause(w, FIRST_COORD + sim_leader(w), 40000);
    sim_run_until(w, SECONDS(90));
    STORY(w, "[34.0] coord1 failover.state from=following to=recovering epoch=1 why=leading\n"
             "[34.0] coord1 failover.state from=recovering to=watching epoch=1 why=\"nothing was under way\"\n"
             "[34.0] coord1 failover.state from=watching to=recording epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 2 polls)\"\n"
             "[34.0] coord1 failover.state from=recording to=fencing epoch=2 why=\"list0.example lists it (127.0.0.2, weight 5, 2 polls)\"\n"
             "[34.0] node0 gate.closed epoch=1 why=\"ordered\"\n"
             "[34.5] coord1 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[34.5] coord1 failover.state from=fencing to=publishing epoch=2 why=fenced\n"
             "[34.6] coord1 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[34.6] coord1 failover.state from=verifying to=granting epoch=2 why=verified\n"
             "[34.6] node1 gate.open epoch=2 why=\"granted\"\n"
             "[34.6] coord1 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[34.6] coord1 failover.state from=settling to=watching epoch=2 why=done\n"
             "[59.6] coord1 failover.state from=watching to=recording epoch=2 why=\"an identity is withdrawn after the grace\"\n"
             "[59.6] coord1 failover.state from=recording to=publishing epoch=2 why=\"an identity is withdrawn after the grace\"\n"
             "[59.6] coord1 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[60.0] coord0 failover.state from=watching to=following epoch=1 why=\"the lead was not renewed in time\"\n"
             "[62.1] coord1 failover.state from=verifying to=settling epoch=2 why=verified\n"
             "[62.1] coord1 failover.state from=settling to=watching epoch=2 why=done\n");
    sim_destroy(w);
}

TEST(in_overlap_mode_the_switch_does_not_need_dns_when_spf_was_verified_lately)
{
    struct sim *w = cluster(2, 1, false);
    w->actors[FIRST_SERVER].alive = false;
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(60));
    STORY(w, "[25.1] coord0 failover.state from=watching to=confirming epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 1 poll)\"\n"
             "[29.1] coord0 failover.state from=confirming to=recording epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 2 polls)\"\n"
             "[31.1] coord0 failover.state from=recording to=fencing epoch=2 why=\"list0.example lists it (127.0.0.2, weight 5, 2 polls)\"\n"
             "[31.1] node0 gate.closed epoch=1 why=\"ordered\"\n"
             "[32.1] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[32.1] coord0 failover.state from=fencing to=publishing epoch=2 why=fenced\n"
             "[34.1] coord0 failover.state from=publishing to=verifying epoch=2 why=\"the DNS primary does not answer\"\n"
             "[34.2] coord0 failover.state from=verifying to=granting epoch=2 why=\"DNS is pending\"\n"
             "[34.2] node1 gate.open epoch=2 why=\"granted\"\n"
             "[34.2] coord0 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[34.2] coord0 failover.state from=settling to=watching epoch=2 why=done\n");
    w->actors[FIRST_SERVER].alive = true;
    sim_run_until(w, SECONDS(120));
    STORY(w, "[64.2] coord0 failover.state from=watching to=recording epoch=2 why=\"DNS is behind\"\n"
             "[64.2] coord0 failover.state from=recording to=publishing epoch=2 why=\"DNS is behind\"\n"
             "[64.2] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[66.7] coord0 failover.state from=verifying to=settling epoch=2 why=verified\n"
             "[66.7] coord0 failover.state from=settling to=watching epoch=2 why=done\n");
    sim_destroy(w);
}

TEST(in_exclusive_mode_nobody_is_fenced_while_dns_is_silent)
{
    struct sim *w = cluster(2, 1, true);
    w->actors[FIRST_SERVER].alive = false;
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(45));
    STORY(w, "[25.1] coord0 failover.state from=watching to=confirming epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 1 poll)\"\n"
             "[29.1] coord0 failover.state from=confirming to=recording epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 2 polls)\"\n"
             "[31.1] coord0 failover.state from=recording to=watching epoch=1 why=\"the DNS primary does not answer, and only one identity may be authorised\"\n"
             "[39.6] coord0 failover.state from=watching to=recording epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 2 polls)\"\n"
             "[41.6] coord0 failover.state from=recording to=watching epoch=1 why=\"the DNS primary does not answer, and only one identity may be authorised\"\n");
    assert_int_equal(sim_sender(w), 0);
    sim_destroy(w);
}

TEST(a_primary_that_says_yes_and_changes_nothing_leads_back)
{
    struct sim *w = cluster(2, 1, true);
    w->dns_lies = true;
    command(w, FO_CMD_FAILOVER, 1);
    sim_run_until(w, SECONDS(30));
    w->dns_lies = false;
    sim_run_until(w, SECONDS(70));
    STORY(w, "[20.0] coord0 failover.state from=watching to=recording epoch=1 why=\"ordered by the operator\"\n"
             "[20.0] answer failover to id1 has begun\n"
             "[20.0] coord0 failover.state from=recording to=fencing epoch=2 why=\"ordered by the operator\"\n"
             "[20.0] node0 gate.closed epoch=1 why=\"ordered\"\n"
             "[20.0] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[20.0] coord0 failover.state from=fencing to=publishing epoch=2 why=fenced\n"
             "[20.0] coord0 failover.state from=publishing to=rolling_back epoch=2 why=\"the DNS primary says yes and changes nothing\"\n"
             "[20.0] coord0 failover.state from=rolling_back to=fencing epoch=3 why=\"back to who sent before\"\n"
             "[20.1] coord0 failover.fenced identity=id0 epoch=1 why=\"nobody holds a lease\"\n"
             "[20.1] coord0 failover.state from=fencing to=publishing epoch=3 why=fenced\n"
             "[20.1] coord0 failover.state from=publishing to=verifying epoch=3 why=\"the DNS primary says yes and changes nothing\"\n"
             "[20.1] coord0 failover.state from=verifying to=granting epoch=3 why=\"DNS is pending\"\n"
             "[20.1] node0 gate.open epoch=3 why=\"granted\"\n"
             "[20.1] coord0 failover.state from=granting to=settling epoch=3 why=\"it sends\"\n"
             "[20.1] coord0 failover.state from=settling to=watching epoch=3 why=failed\n"
             "[20.1] answer id0 sends again (epoch 3): id1 could not take over, because ordered by the operator; the DNS primary says yes and changes nothing. DNS could not be changed yet. Nobody sent for 0.112 s. Steps: fence 0.028 s, publish 0.044 s, verify 0.035 s, grant 0.016 s. By anna.\n"
             "[28.1] coord0 failover.state from=watching to=recording epoch=3 why=\"DNS is behind\"\n"
             "[28.1] coord0 failover.state from=recording to=publishing epoch=3 why=\"DNS is behind\"\n"
             "[28.2] coord0 failover.state from=publishing to=settling epoch=3 why=\"the DNS primary says yes and changes nothing\"\n"
             "[28.2] coord0 failover.state from=settling to=watching epoch=3 why=failed\n"
             "[36.2] coord0 failover.state from=watching to=recording epoch=3 why=\"DNS is behind\"\n"
             "[36.2] coord0 failover.state from=recording to=publishing epoch=3 why=\"DNS is behind\"\n"
             "[36.2] coord0 failover.state from=publishing to=verifying epoch=3 why=published\n"
             "[37.4] coord0 failover.state from=verifying to=settling epoch=3 why=verified\n"
             "[37.4] coord0 failover.state from=settling to=watching epoch=3 why=done\n");
    assert_int_equal(sim_sender(w), 0);
    sim_destroy(w);
}

TEST(when_both_are_listed_the_active_one_stays)
{
    struct sim *w = cluster(2, 1, false);
    sim_list(w, 0, 0, true);
    sim_list(w, 1, 1, true);
    sim_run_until(w, SECONDS(90));
    STORY(w, "[25.1] coord0 failover.state from=watching to=confirming epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 1 poll)\"\n"
             "[29.1] coord0 failover.state from=confirming to=watching epoch=1 why=\"id0: list0.example lists it (127.0.0.2, weight 5, 2 polls); but no other identity is fit\"\n");
    assert_int_equal(sim_sender(w), 0);
    sim_destroy(w);
}

TEST(a_zone_that_lists_the_world_moves_nobody)
{
    struct sim *w = cluster(2, 1, false);
    w->zone_mode[0] = 2;
    sim_run_until(w, SECONDS(200));
    STORY(w, "");
    assert_int_equal(sim_sender(w), 0);
    sim_destroy(w);
}

TEST(paused_means_paused_until_somebody_resumes)
{
    struct sim *w = cluster(2, 1, false);
    command(w, FO_CMD_PAUSE, STORE_NONE);
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(60));
    STORY(w, "[20.0] answer paused\n"
             "[25.1] coord0 failover.state from=watching to=confirming epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 1 poll)\"\n"
             "[29.1] coord0 failover.state from=confirming to=watching epoch=1 why=\"id0: list0.example lists it (127.0.0.2, weight 5, 2 polls); but automatic switching is paused\"\n");
    command(w, FO_CMD_RESUME, STORE_NONE);
    sim_run_until(w, SECONDS(70));
    STORY(w, "[60.0] answer automatic\n"
             "[64.6] coord0 failover.state from=watching to=recording epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 4 polls)\"\n"
             "[64.6] coord0 failover.state from=recording to=fencing epoch=2 why=\"list0.example lists it (127.0.0.2, weight 5, 4 polls)\"\n"
             "[64.6] node0 gate.closed epoch=1 why=\"ordered\"\n"
             "[64.6] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[64.6] coord0 failover.state from=fencing to=publishing epoch=2 why=fenced\n"
             "[64.6] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[64.6] coord0 failover.state from=verifying to=granting epoch=2 why=verified\n"
             "[64.6] node1 gate.open epoch=2 why=\"granted\"\n"
             "[64.6] coord0 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[64.6] coord0 failover.state from=settling to=watching epoch=2 why=done\n");
    sim_destroy(w);
}

TEST(a_pin_holds_and_a_manual_switchover_is_still_obeyed)
{
    struct sim *w = cluster(2, 1, false);
    command(w, FO_CMD_PIN, 0);
    sim_list(w, 0, 0, true);
    sim_run_until(w, SECONDS(60));
    STORY(w, "[20.0] answer pinned\n"
             "[25.1] coord0 failover.state from=watching to=confirming epoch=1 why=\"list0.example lists it (127.0.0.2, weight 5, 1 poll)\"\n"
             "[29.1] coord0 failover.state from=confirming to=watching epoch=1 why=\"id0: list0.example lists it (127.0.0.2, weight 5, 2 polls); but an identity is pinned\"\n");
    command(w, FO_CMD_SWITCHOVER, 1);
    sim_run_until(w, SECONDS(65));
    STORY(w, "[60.0] coord0 failover.state from=watching to=recording epoch=1 why=\"ordered by the operator\"\n"
             "[60.0] answer switchover to id1 has begun\n"
             "[60.0] coord0 failover.state from=recording to=publishing epoch=2 why=\"ordered by the operator\"\n"
             "[60.0] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[60.0] coord0 failover.state from=verifying to=fencing epoch=2 why=verified\n"
             "[60.0] node0 gate.closed epoch=1 why=\"ordered\"\n"
             "[60.6] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[60.6] coord0 failover.state from=fencing to=granting epoch=2 why=fenced\n"
             "[60.6] node1 gate.open epoch=2 why=\"granted\"\n"
             "[60.6] coord0 failover.state from=granting to=settling epoch=2 why=\"it sends\"\n"
             "[60.6] coord0 failover.state from=settling to=watching epoch=2 why=done\n"
             "[60.6] answer id1 sends instead of id0 (epoch 2), because ordered by the operator. The fence was acknowledged. Nobody sent for 0.026 s. Steps: fence 0.526 s, publish 0.008 s, verify 0.026 s, grant 0.026 s. By anna.\n");
    sim_destroy(w);
}

TEST(a_fence_by_hand_stays_until_a_failover_by_hand)
{
    struct sim *w = cluster(2, 1, false);
    command(w, FO_CMD_FENCE, 0);
    sim_run_until(w, SECONDS(50));
    assert_int_equal(sim_sender(w), STORE_NONE);
    command(w, FO_CMD_FAILOVER, 1);
    sim_run_until(w, SECONDS(60));
    STORY(w, "[20.0] coord0 failover.state from=watching to=recording epoch=1 why=\"ordered by the operator\"\n"
             "[20.0] answer id0 is being fenced; nobody sends until you say so\n"
             "[20.0] node0 gate.closed epoch=1 why=\"ordered\"\n"
             "[20.0] coord0 failover.state from=recording to=fencing epoch=2 why=\"ordered by the operator\"\n"
             "[20.0] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[20.0] coord0 failover.state from=fencing to=settling epoch=2 why=fenced\n"
             "[20.0] coord0 failover.state from=settling to=watching epoch=1 why=done\n"
             "[20.0] answer id0 was fenced; nobody sends until an operator says so, because ordered by the operator. The fence was acknowledged. Steps: fence 0.018 s. By anna.\n"
             "[50.0] coord0 failover.state from=watching to=recording epoch=1 why=\"ordered by the operator\"\n"
             "[50.0] answer failover to id1 has begun\n"
             "[50.0] coord0 failover.state from=recording to=fencing epoch=3 why=\"ordered by the operator\"\n"
             "[50.0] coord0 failover.state from=fencing to=publishing epoch=3 why=fenced\n"
             "[50.0] coord0 failover.state from=publishing to=verifying epoch=3 why=published\n"
             "[50.0] coord0 failover.state from=verifying to=granting epoch=3 why=verified\n"
             "[50.0] node1 gate.open epoch=3 why=\"granted\"\n"
             "[50.0] coord0 failover.state from=granting to=settling epoch=3 why=\"it sends\"\n"
             "[50.0] coord0 failover.state from=settling to=watching epoch=3 why=done\n"
             "[50.0] answer id1 sends instead of id0 (epoch 3), because ordered by the operator. Steps: publish 0.008 s, verify 0.003 s, grant 0.022 s. By anna.\n");
    sim_destroy(w);
}

TEST(a_standby_that_cannot_write_its_epoch_refuses_and_the_old_one_returns)
{
    struct sim *w = cluster(2, 1, false);
    w->nodes[1].disk_full = true;
    command(w, FO_CMD_SWITCHOVER, 1);
    sim_run_until(w, SECONDS(60));
    STORY(w, "[20.0] coord0 failover.state from=watching to=recording epoch=1 why=\"ordered by the operator\"\n"
             "[20.0] answer switchover to id1 has begun\n"
             "[20.0] coord0 failover.state from=recording to=publishing epoch=2 why=\"ordered by the operator\"\n"
             "[20.0] coord0 failover.state from=publishing to=verifying epoch=2 why=published\n"
             "[20.1] coord0 failover.state from=verifying to=fencing epoch=2 why=verified\n"
             "[20.1] node0 gate.closed epoch=1 why=\"ordered\"\n"
             "[20.1] coord0 failover.fenced identity=id0 epoch=1 why=acknowledged\n"
             "[20.1] coord0 failover.state from=fencing to=granting epoch=2 why=fenced\n"
             "[40.1] node1 agent.grant_refused identity=id1 epoch=2 why=\"the epoch could not be written to disk\"\n"
             "[40.1] coord0 failover.state from=granting to=rolling_back epoch=2 why=\"id1 did not take the grant: the epoch could not be written to disk\"\n"
             "[40.1] coord0 failover.state from=rolling_back to=fencing epoch=3 why=\"back to who sent before\"\n"
             "[40.1] coord0 failover.fenced identity=id1 epoch=2 why=\"the lease has run out\"\n"
             "[40.1] coord0 failover.state from=fencing to=publishing epoch=3 why=fenced\n"
             "[40.1] coord0 failover.state from=publishing to=verifying epoch=3 why=published\n"
             "[40.1] coord0 failover.state from=verifying to=granting epoch=3 why=verified\n"
             "[40.1] node0 gate.open epoch=3 why=\"granted\"\n"
             "[40.1] coord0 failover.state from=granting to=settling epoch=3 why=\"it sends\"\n"
             "[40.1] coord0 failover.state from=settling to=watching epoch=3 why=failed\n"
             "[40.1] answer id0 sends again (epoch 3): id1 could not take over, because ordered by the operator; id1 did not take the grant: the epoch could not be written to disk. Nobody sent for 20.073 s. Steps: fence 0.025 s, publish 0.016 s, verify 0.075 s, grant 20.023 s. By anna.\n");
    sim_destroy(w);
}

/* ---- sweeps: the 1st, 2nd, 3rd… message of one actor is lost, or is its last ---- */

static void sweep(bool exclusive, bool listed, uint8_t whose, bool lose)
{
    for (uint64_t k = 1; k <= 60; k++) {
        struct sim *w = cluster(2, 2, exclusive);
        uint8_t actor = whose == STORE_NONE ? FIRST_COORD + sim_leader(w) : whose;
        w->strike.from = actor;
        w->strike.left = k;
        w->strike.lose = lose;
        if (listed)
            sim_list(w, 0, 0, true);
        else
            command(w, FO_CMD_SWITCHOVER, 1);
        sim_run_until(w, SECONDS(70));
        w->strike.left = 0;
        if (actor < STORE) sim_start(w, actor);
        sim_run_until(w, SECONDS(190)); /* I14: in order again within two minutes */
        check_end(w);
        if (w->violation[0])
            fprintf(stderr, "message %u of %u %s: %s\n", (unsigned)k, actor, lose ? "lost" : "its last", w->violation);
        assert_string_equal(w->violation, "");
        sim_destroy(w);
    }
}

TEST(the_leader_may_die_behind_any_of_its_messages)
{
    for (int k = 0; k < 4; k++) sweep(k & 1, k & 2, STORE_NONE, false);
}

TEST(the_sender_may_die_behind_any_of_its_messages)
{
    for (int k = 0; k < 4; k++) sweep(k & 1, k & 2, 0, false);
}

TEST(the_standby_may_die_behind_any_of_its_messages)
{
    for (int k = 0; k < 4; k++) sweep(k & 1, k & 2, 1, false);
}

TEST(any_message_of_anybody_may_be_lost)
{
    static const uint8_t all[] = { STORE_NONE, 0, 1, STORE, FIRST_SERVER };
    for (size_t a = 0; a < ARRAY_LEN(all); a++)
        for (int k = 0; k < 4; k++) sweep(k & 1, k & 2, all[a], true);
}
