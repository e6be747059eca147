/* What each script promises. The same requests run against the real Redis scripts in store_redis_uv_test. */
#include "proto/store_model.h"

#include "tests/test.h"

enum { RUN = 5, LEASE = 15000 };

struct rig {
    struct store_model m;
    struct store_claim claim;
    struct store_op_rec op;
    struct store_reply r;
    uint64_t now;
};

static enum store_status ask(struct rig *g, struct store_req q)
{
    store_model_apply(&g->m, &q, g->now, &g->r);
    return g->r.status;
}

static struct rig leading(void)
{
    struct rig g = { .now = 1000, .claim = { .id = 1, .token = 11 } };
    store_model_init(&g.m, RUN, LEASE);
    assert_int_equal(ask(&g, (struct store_req){ .kind = STORE_COORD, .claim = g.claim }), STORE_OK);
    g.claim.term = g.r.term;
    g.claim.run = RUN;
    return g;
}

static enum store_status begin(struct rig *g, uint64_t id, uint64_t base, uint64_t epoch)
{
    g->op = (struct store_op_rec){ .id = id,
                                   .no = g->m.v.op.no + 1,
                                   .kind = STORE_OP_FAILOVER,
                                   .base_epoch = base,
                                   .epoch = epoch,
                                   .token = 100 + id,
                                   .to = 0,
                                   .from = STORE_NONE };
    return ask(g, (struct store_req){ .kind = STORE_BEGIN, .claim = g->claim, .op = id, .rec = g->op });
}

static enum store_status advance(struct rig *g, enum store_step step, bool fenced)
{
    struct store_op_rec next = g->op;
    next.step = (uint8_t)step;
    next.seq++;
    enum store_status s = ask(
        g, (struct store_req){
               .kind = STORE_ADVANCE, .claim = g->claim, .op = next.id, .fenced = fenced, .rec = next });
    if (s == STORE_OK) g->op = next;
    return s;
}

static enum store_status grant(struct rig *g, uint8_t identity, uint64_t epoch)
{
    return ask(g, (struct store_req){ .kind = STORE_GRANT,
                                      .claim = g->claim,
                                      .op = g->op.id,
                                      .op_seq = g->op.seq,
                                      .identity = identity,
                                      .epoch = epoch,
                                      .token = g->op.token });
}

static enum store_status fence(struct rig *g, uint8_t identity, uint64_t epoch)
{
    return ask(g, (struct store_req){ .kind = STORE_FENCE,
                                      .claim = g->claim,
                                      .op = g->op.id,
                                      .op_seq = g->op.seq,
                                      .identity = identity,
                                      .epoch = epoch,
                                      .token = g->op.token });
}

static enum store_status finish(struct rig *g, bool held)
{
    return ask(g,
               (struct store_req){ .kind = STORE_FINISH, .claim = g->claim, .op = g->op.id, .held = held });
}

static enum store_status renew(struct rig *g, uint8_t identity, uint64_t epoch, uint64_t token)
{
    return ask(
        g, (struct store_req){ .kind = STORE_RENEW, .identity = identity, .epoch = epoch, .token = token });
}

/* Identity 0 sends in epoch 1. */
static struct rig active(void)
{
    struct rig g = leading();
    assert_int_equal(begin(&g, 7, 0, 1), STORE_OK);
    assert_int_equal(grant(&g, 0, 1), STORE_OK);
    assert_int_equal(finish(&g, false), STORE_OK);
    assert_int_equal(renew(&g, 0, 1, 42), STORE_OK);
    return g;
}

TEST(one_coordinator_leads_and_each_lead_has_its_own_term)
{
    struct rig g = leading();
    uint64_t term = g.claim.term;
    struct store_req other = { .kind = STORE_COORD, .claim = { .id = 2, .token = 22 } };
    assert_int_equal(ask(&g, other), STORE_CONFLICT);
    assert_int_equal(g.r.conflict, STORE_C_HELD);
    g.now += LEASE - 1;
    assert_int_equal(ask(&g, (struct store_req){ .kind = STORE_COORD, .claim = g.claim }), STORE_OK);
    assert_int_equal(g.r.term, term); /* kept, not taken anew */
    g.now += LEASE;
    other.term_floor = 9;
    assert_int_equal(ask(&g, other), STORE_OK);
    assert_int_equal(g.r.term, 10); /* above all that the asker knows, too */
    assert_int_equal(begin(&g, 7, 0, 1), STORE_STALE);
}

TEST(a_lead_that_ran_out_and_is_taken_again_is_a_new_term)
{
    struct rig g = leading();
    g.now += LEASE;
    assert_int_equal(begin(&g, 7, 0, 1), STORE_STALE);
    assert_int_equal(ask(&g, (struct store_req){ .kind = STORE_COORD, .claim = g.claim }), STORE_OK);
    assert_int_equal(g.r.term, g.claim.term + 1);
}

TEST(a_request_meant_for_another_server_changes_nothing)
{
    struct rig g = leading();
    g.m.run++;
    assert_int_equal(begin(&g, 7, 0, 1), STORE_CONFLICT);
    assert_int_equal(g.r.conflict, STORE_C_RUN);
    assert_int_equal(g.m.v.op.id, 0);
}

TEST(one_operation_at_a_time_and_none_begins_from_an_old_view)
{
    struct rig g = leading();
    assert_int_equal(begin(&g, 7, 3, 4), STORE_CONFLICT);
    assert_int_equal(g.r.conflict, STORE_C_EPOCH);
    assert_int_equal(begin(&g, 7, 0, 1), STORE_OK);
    struct store_op_rec mine = g.op;
    assert_int_equal(begin(&g, 8, 0, 1), STORE_CONFLICT);
    assert_int_equal(g.r.conflict, STORE_C_OP);
    g.op = mine;
    assert_int_equal(finish(&g, false), STORE_OK);
    /* The first BEGIN again, late: its number is used up. */
    assert_int_equal(
        ask(&g, (struct store_req){ .kind = STORE_BEGIN, .claim = g.claim, .op = 7, .rec = mine }),
        STORE_CONFLICT);
}

TEST(every_request_may_be_sent_twice)
{
    struct rig g = leading();
    assert_int_equal(begin(&g, 7, 0, 1), STORE_OK);
    assert_int_equal(
        ask(&g, (struct store_req){ .kind = STORE_BEGIN, .claim = g.claim, .op = 7, .rec = g.op }), STORE_OK);
    assert_int_equal(advance(&g, STORE_STEP_GRANTING, false), STORE_OK);
    assert_int_equal(
        ask(&g, (struct store_req){ .kind = STORE_ADVANCE, .claim = g.claim, .op = 7, .rec = g.op }),
        STORE_OK);
    assert_int_equal(grant(&g, 0, 1), STORE_OK);
    assert_int_equal(renew(&g, 0, 1, 42), STORE_OK);
    assert_int_equal(grant(&g, 0, 1), STORE_OK);
    assert_int_equal(g.m.v.lease.token, 42); /* and the second has not reset the lease */
    assert_int_equal(finish(&g, false), STORE_OK);
    assert_int_equal(finish(&g, false), STORE_OK);
    assert_int_equal(g.m.histories, 1);
    assert_int_equal(begin(&g, 8, 1, 2), STORE_OK);
    assert_int_equal(advance(&g, STORE_STEP_FENCING, false), STORE_OK);
    assert_int_equal(fence(&g, 0, 1), STORE_OK);
    assert_int_equal(fence(&g, 0, 1), STORE_OK);
    assert_int_equal(g.m.v.egress.state, STORE_EGRESS_FENCING);
}

TEST(a_fence_stops_renewals_and_answers_the_counter)
{
    struct rig g = active();
    assert_int_equal(renew(&g, 0, 1, 42), STORE_OK);
    assert_int_equal(begin(&g, 8, 1, 2), STORE_OK);
    assert_int_equal(fence(&g, 0, 1), STORE_OK);
    assert_int_equal(g.r.lease.counter, 2);
    assert_int_equal(renew(&g, 0, 1, 42), STORE_CONFLICT);
    assert_int_equal(g.r.conflict, STORE_C_STATE);
    assert_int_equal(g.r.egress.state, STORE_EGRESS_FENCING);
    assert_int_equal(g.r.egress.token, g.op.token);
    assert_int_equal(g.m.v.lease.counter, 2);
}

TEST(a_fence_names_whom_it_fences)
{
    struct rig g = active();
    assert_int_equal(begin(&g, 8, 1, 2), STORE_OK);
    assert_int_equal(fence(&g, 1, 1), STORE_CONFLICT);
    assert_int_equal(fence(&g, 0, 2), STORE_CONFLICT);
    assert_int_equal(g.m.v.egress.state, STORE_EGRESS_ACTIVE);
}

TEST(nobody_is_granted_before_the_fence_is_proven)
{
    struct rig g = active();
    assert_int_equal(begin(&g, 8, 1, 2), STORE_OK);
    assert_int_equal(grant(&g, 1, 2), STORE_CONFLICT);
    assert_int_equal(fence(&g, 0, 1), STORE_OK);
    assert_int_equal(grant(&g, 1, 2), STORE_CONFLICT);
    assert_int_equal(g.r.conflict, STORE_C_STATE);
    assert_int_equal(advance(&g, STORE_STEP_GRANTING, true), STORE_OK);
    assert_int_equal(g.m.v.egress.state, STORE_EGRESS_FENCED);
    assert_int_equal(grant(&g, 1, 2), STORE_OK);
    assert_int_equal(renew(&g, 0, 1, 42), STORE_STALE);
    assert_int_equal(renew(&g, 1, 2, 43), STORE_OK);
    assert_int_equal(g.r.lease.counter, 2); /* one counter for all, never back */
}

TEST(the_same_identity_is_granted_again_without_a_fence)
{
    struct rig g = active();
    assert_int_equal(begin(&g, 8, 1, 2), STORE_OK);
    assert_int_equal(grant(&g, 0, 2), STORE_OK);
    assert_int_equal(renew(&g, 0, 1, 42), STORE_STALE);
}

TEST(epochs_only_grow)
{
    struct rig g = active();
    assert_int_equal(begin(&g, 8, 1, 1), STORE_OK);
    assert_int_equal(grant(&g, 0, 1), STORE_CONFLICT);
    assert_int_equal(g.r.conflict, STORE_C_EPOCH);
}

TEST(a_grant_from_before_the_last_advance_does_nothing)
{
    struct rig g = leading();
    assert_int_equal(begin(&g, 7, 0, 1), STORE_OK);
    struct store_op_rec old = g.op;
    assert_int_equal(advance(&g, STORE_STEP_ROLLING_BACK, false), STORE_OK);
    struct store_op_rec now = g.op;
    g.op = old;
    assert_int_equal(grant(&g, 0, 1), STORE_CONFLICT);
    assert_int_equal(g.r.conflict, STORE_C_OP);
    g.op = now;
    assert_int_equal(grant(&g, 0, 1), STORE_OK);
}

TEST(two_processes_of_one_node_do_not_share_a_lease)
{
    struct rig g = active();
    assert_int_equal(renew(&g, 0, 1, 43), STORE_CONFLICT);
    assert_int_equal(g.r.conflict, STORE_C_HELD);
    assert_int_equal(renew(&g, 0, 1, 42), STORE_OK);
}

TEST(a_fence_by_hand_is_held_until_a_grant)
{
    struct rig g = active();
    assert_int_equal(begin(&g, 8, 1, 2), STORE_OK);
    assert_int_equal(fence(&g, 0, 1), STORE_OK);
    assert_int_equal(advance(&g, STORE_STEP_SETTLING, true), STORE_OK);
    assert_int_equal(finish(&g, true), STORE_OK);
    assert_int_equal(g.m.v.egress.state, STORE_EGRESS_HELD);
    assert_int_equal(begin(&g, 9, 1, 3), STORE_OK);
    assert_int_equal(grant(&g, 1, 3), STORE_OK);
}

TEST(an_old_heartbeat_does_not_replace_a_newer_one)
{
    struct rig g = leading();
    struct store_req q = { .kind = STORE_BEAT,
                           .identity = 1,
                           .beat = { .seq = 5, .instance = 9, .epoch = 4 } };
    assert_int_equal(ask(&g, q), STORE_OK);
    q.beat.seq = 4, q.beat.epoch = 3;
    assert_int_equal(ask(&g, q), STORE_OK);
    assert_int_equal(g.m.v.beats[1].epoch, 4);
    q.beat.instance = 10, q.beat.seq = 1; /* a new process begins again */
    assert_int_equal(ask(&g, q), STORE_OK);
    assert_int_equal(g.m.v.beats[1].epoch, 3);
}

TEST(a_read_only_server_answers_reads_and_says_unknown_to_the_rest)
{
    struct rig g = active();
    g.m.read_only = true;
    assert_int_equal(renew(&g, 0, 1, 42), STORE_UNKNOWN);
    assert_int_equal(begin(&g, 8, 1, 2), STORE_UNKNOWN);
    assert_int_equal(ask(&g, (struct store_req){ .kind = STORE_READ }), STORE_OK);
    assert_int_equal(g.r.view->epoch, 1);
}

TEST(the_newest_automatic_switch_is_first_and_marks_are_kept)
{
    struct rig g = leading();
    for (uint64_t k = 1; k <= STORE_AUTO_MAX + 2; k++) {
        assert_int_equal(begin(&g, 100 + k, k - 1, k), STORE_OK);
        assert_int_equal(ask(&g, (struct store_req){ .kind = STORE_GRANT,
                                                     .claim = g.claim,
                                                     .op = 100 + k,
                                                     .identity = 0,
                                                     .epoch = k,
                                                     .wall_ms = 1000 * k,
                                                     .automatic = true,
                                                     .quarantine = k == 3,
                                                     .quarantined = 1 }),
                         STORE_OK);
        assert_int_equal(finish(&g, false), STORE_OK);
    }
    assert_int_equal(g.m.v.auto_wall_ms[0], 1000 * (STORE_AUTO_MAX + 2));
    assert_int_equal(g.m.v.auto_wall_ms[STORE_AUTO_MAX - 1], 3000);
    assert_int_equal(g.m.v.quarantined_wall_ms[1], 3000);
    assert_int_equal(ask(&g, (struct store_req){ .kind = STORE_MARK, .claim = g.claim, .identity = 1 }),
                     STORE_OK);
    assert_int_equal(g.m.v.quarantined_wall_ms[1], 0);
}

TEST(evidence_keeps_the_newest_in_order)
{
    struct rig g = leading();
    for (uint64_t k = 1; k <= STORE_EVIDENCE_MAX + 3; k++)
        assert_int_equal(ask(&g, (struct store_req){ .kind = STORE_EVIDENCE,
                                                     .evidence = { .identity = 1, .message = k } }),
                         STORE_OK);
    assert_int_equal(g.m.v.n_evidence, STORE_EVIDENCE_MAX);
    assert_int_equal(g.m.v.evidence[0].message, 4);
    assert_int_equal(g.m.v.evidence[STORE_EVIDENCE_MAX - 1].id, STORE_EVIDENCE_MAX + 3);
}

TEST(a_replica_that_takes_over_has_what_was_copied_and_another_run)
{
    struct rig g = leading();
    struct store_model copy = g.m;
    assert_int_equal(begin(&g, 7, 0, 1), STORE_OK);
    assert_int_equal(grant(&g, 0, 1), STORE_OK);
    store_model_fail_over(&g.m, &copy, RUN + 1);
    assert_int_equal(g.m.v.epoch, 0);
    assert_int_equal(renew(&g, 0, 1, 42), STORE_STALE);
    assert_int_equal(g.r.run, RUN + 1);
    assert_int_equal(begin(&g, 8, 0, 1), STORE_CONFLICT); /* the claim still names the old server */
}
