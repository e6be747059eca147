#include "node/queue/queue.h"

#include <jansson.h>

#include "tests/node/queue/queue_world.h"

TEST(inbound_mail_goes_to_its_next_hop_and_leaves_the_disk_when_taken)
{
    struct world w;
    world_init(&w);
    store(&w, FLOW_IN, "bob@Example.COM", "eve@example.com", SLICE(""));
    assert_int_equal(w.n_jobs, 1);
    assert_slice(w.jobs[0]->destination, "[10.0.0.25]:25");
    assert_int_equal(w.jobs[0]->n_rcpts, 2);
    finish(&w, DELIVERY_SENT, "250 2.0.0 ok");
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(on_disk(&w), 0);
    world_deinit(&w);
}

TEST(outbound_mail_waits_for_the_order_to_send)
{
    struct world w;
    world_init(&w);
    store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    assert_int_equal(w.n_jobs, 0);
    queue_send_out(w.queue);
    assert_int_equal(w.n_jobs, 1);
    assert_slice(w.jobs[0]->destination, "example.net");
    finish(&w, DELIVERY_SENT, "250 ok");
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(on_disk(&w), 0);
    world_deinit(&w);
}

TEST(a_refusal_for_good_becomes_a_notification_and_a_wait_does_not)
{
    struct world w;
    world_init(&w);
    queue_send_out(w.queue);
    store(&w, FLOW_OUT, "bob@example.net", "eve@example.org", SLICE(""));
    assert_int_equal(w.n_jobs, 2); /* two domains, two legs */
    finish(&w, DELIVERY_FAILED, "550 5.1.1 unknown");
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(on_disk(&w), 2); /* the message, for eve, and the notification for alice */
    assert_int_equal(w.n_jobs, 2);
    assert_slice(w.jobs[1]->destination, "[10.0.0.25]:25");
    assert_slice(w.jobs[1]->envelope->sender, "");
    finish(&w, DELIVERY_LISTED, "554 5.7.1 listed");
    finish(&w, DELIVERY_SENT, "250 ok");
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(on_disk(&w), 1); /* a listing is a wait */
    assert_int_equal(w.n_jobs, 0);
    sim_clock_advance(&w.clock, MINUTES(1));
    assert_int_equal(w.n_jobs, 1);
    finish(&w, DELIVERY_FAILED, "550 no");
    sim_clock_advance(&w.clock, 10);
    finish(&w, DELIVERY_FAILED, "550 nobody wants the notification either");
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(on_disk(&w), 0); /* and that is the end of it */
    world_deinit(&w);
}

TEST(what_was_delivered_before_a_crash_is_not_delivered_again)
{
    struct world w;
    world_init(&w);
    queue_send_out(w.queue);
    store(&w, FLOW_OUT, "bob@example.net", "eve@example.org", SLICE(""));
    finish(&w, DELIVERY_SENT, "250 ok");
    sim_clock_advance(&w.clock, 10);
    crash(&w);
    queue_send_out(w.queue);
    assert_int_equal(w.n_jobs, 1);
    assert_slice(w.jobs[0]->destination, "example.org");
    finish(&w, DELIVERY_SENT, "250 ok");
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(on_disk(&w), 0);
    world_deinit(&w);
}

TEST(a_message_is_given_only_as_it_is_known)
{
    struct world w;
    world_init(&w);
    queue_send_out(w.queue);
    struct queue_id id = store(&w, FLOW_OUT, "bob@example.net", "eve@example.org", SLICE(""));
    finish(&w, DELIVERY_SENT, "250 ok");
    finish(&w, DELIVERY_LISTED, "554 5.7.1 listed");
    queue_hand_out(w.queue, "edge2");
    assert_int_equal(w.n_given, 0); /* that bob has it is not on disk yet */
    sim_clock_advance(&w.clock, 20);
    assert_int_equal(w.n_given, 1);
    assert_true(queue_id_eq(&w.given[0], &id));
    assert_string_equal(w.given_to, "edge2");
    assert_int_equal(w.given_state[0], RCPT_SENT);
    w.given_done(w.given_owner, &id, ERR_OK);
    struct schedule_counts c;
    queue_counts(w.queue, &c);
    assert_int_equal(c.messages[FLOW_OUT], 0);
    world_deinit(&w);
}

TEST(a_message_in_doubt_is_nobodys_until_that_is_settled)
{
    struct world w;
    world_init(&w);
    struct queue_id kept = store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE("edge2"));
    struct queue_id gone = store(&w, FLOW_OUT, "eve@example.net", NULL, SLICE("edge2"));
    crash(&w);
    assert_int_equal(w.doubts, 4); /* as stored, and as found again */
    queue_send_out(w.queue);
    assert_int_equal(w.n_jobs, 0);
    queue_settled(w.queue, &kept, false);
    queue_settled(w.queue, &gone, true);
    assert_int_equal(w.n_jobs, 1);
    assert_true(queue_id_eq(&w.jobs[0]->id, &kept));
    finish(&w, DELIVERY_DEFERRED, "451 later");
    sim_clock_advance(&w.clock, 10);
    crash(&w);
    assert_int_equal(w.doubts, 5); /* kept's mark went with the first write; gone is still on this disk */
    world_deinit(&w);
}

TEST(old_mail_is_announced_as_delayed_once_and_returned_in_the_end)
{
    struct world w;
    world_init(&w);
    store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    sim_clock_advance(&w.clock, HOURS(4) + MINUTES(1));
    assert_int_equal(w.n_jobs, 1); /* the delay notice, inside */
    finish(&w, DELIVERY_SENT, "250 ok");
    sim_clock_advance(&w.clock, 10);
    crash(&w);
    sim_clock_advance(&w.clock, HOURS(40));
    assert_int_equal(w.n_jobs, 0);
    assert_int_equal(on_disk(&w), 1);
    sim_clock_advance(&w.clock, HOURS(5));
    assert_int_equal(w.n_jobs, 1); /* the failure notice */
    assert_true(w.jobs[0]->envelope->is_dsn);
    finish(&w, DELIVERY_SENT, "250 ok");
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(on_disk(&w), 0);
    world_deinit(&w);
}

/* Defers what is due, again and again, for a while; reports to senders are taken. */
static void defer_for(struct world *w, uint64_t ms)
{
    for (uint64_t end = w->clock.now_ms + ms; w->clock.now_ms < end;) {
        sim_clock_advance(&w->clock, MIN(MINUTES(1), end - w->clock.now_ms));
        while (w->n_jobs) {
            if (w->jobs[0]->envelope->is_dsn)
                finish(w, DELIVERY_SENT, "250 ok");
            else
                finish(w, DELIVERY_DEFERRED, "450 4.2.1 later");
        }
    }
    sim_clock_advance(&w->clock, 10);
}

/* One message that has been deferred for an hour. */
static void world_with_one(struct world *w)
{
    world_init(w);
    queue_send_out(w->queue);
    store(w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    defer_for(w, HOURS(1));
}

/* Reboots with the wall clock somewhere else. */
static void wake_up_at(struct world *w, int64_t off_ms)
{
    w->clock.wall_off_ms = off_ms;
    crash(w);
    queue_send_out(w->queue);
}

TEST(a_clock_that_is_ahead_at_the_start_is_forgiven_when_it_is_set_right)
{
    struct world w;
    world_with_one(&w);
    wake_up_at(&w, DAYS(10));
    assert_int_equal(w.n_jobs, 1); /* tried at once, and not returned */
    defer_for(&w, MINUTES(5));
    w.clock.wall_off_ms = 0; /* the time came from the network */
    defer_for(&w, HOURS(46));
    assert_int_equal(on_disk(&w), 1);
    defer_for(&w, HOURS(1));
    assert_int_equal(on_disk(&w), 0);
    world_deinit(&w);
}

TEST(after_a_long_outage_old_mail_is_tried_for_a_while_and_then_returned)
{
    struct world w;
    world_with_one(&w);
    wake_up_at(&w, DAYS(10));
    assert_int_equal(w.n_jobs, 1);
    defer_for(&w, MINUTES(59));
    assert_int_equal(on_disk(&w), 1);
    defer_for(&w, MINUTES(2));
    assert_int_equal(on_disk(&w), 0);
    world_deinit(&w);
}

TEST(a_clock_set_ahead_while_we_run_shortens_no_life_not_even_after_a_restart)
{
    struct world w;
    world_with_one(&w);
    w.clock.wall_off_ms = DAYS(10);
    defer_for(&w, HOURS(5));
    assert_int_equal(on_disk(&w), 1);
    wake_up_at(&w, DAYS(10));
    defer_for(&w, HOURS(41));
    assert_int_equal(on_disk(&w), 1);
    defer_for(&w, HOURS(2));
    assert_int_equal(on_disk(&w), 0);
    world_deinit(&w);
}

TEST(a_clock_that_is_behind_keeps_no_mail_longer_than_a_life)
{
    struct world w;
    world_with_one(&w);
    wake_up_at(&w, -(int64_t)DAYS(3000));
    assert_int_equal(w.n_jobs, 0);
    sim_clock_advance(&w.clock, MINUTES(31));
    assert_int_equal(w.n_jobs, 1); /* no wait is longer than the longest */
    defer_for(&w, HOURS(47));
    assert_int_equal(on_disk(&w), 1);
    defer_for(&w, HOURS(1));
    assert_int_equal(on_disk(&w), 0);
    world_deinit(&w);
}

/* The spool's own calls, but the first so many reads of envelopes fail. */
static const struct spool_ops *whole_ops;
static unsigned reads_that_fail;

static enum err failing_envelope(struct spool *s, const struct queue_id *id, struct arena *a,
                                 struct envelope *out)
{
    if (!reads_that_fail) return whole_ops->envelope(s, id, a, out);
    reads_that_fail--;
    return ERR_RETRY;
}

TEST(a_message_that_cannot_be_read_for_a_moment_is_not_forgotten)
{
    for (unsigned n = 1; n < 8; n++) {
        for (unsigned when = 0; when < 3; when++) {
            struct world w;
            struct spool_ops ops;
            world_init(&w);
            whole_ops = spool_mem_spool(w.disk)->ops;
            ops = *whole_ops;
            ops.envelope = failing_envelope;
            spool_mem_spool(w.disk)->ops = &ops;
            reads_that_fail = when == 0 ? n : 0; /* as it comes in */
            store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
            if (when == 1) reads_that_fail = n; /* as it starts */
            queue_send_out(w.queue);
            sim_clock_advance(&w.clock, 10000);
            if (when == 2) { /* as it expires */
                finish(&w, DELIVERY_DEFERRED, "450 4.2.1 later");
                sim_clock_advance(&w.clock, 10);
                queue_keep_out(w.queue);
                sim_clock_advance(&w.clock, HOURS(47));
                reads_that_fail = n;
                sim_clock_advance(&w.clock, HOURS(2));
            }
            assert_int_equal(reads_that_fail, 0);
            while (w.n_jobs) finish(&w, DELIVERY_SENT, "250 ok");
            sim_clock_advance(&w.clock, 10);
            assert_int_equal(on_disk(&w), 0);
            world_deinit(&w);
        }
    }
}

TEST(a_full_disk_holds_the_result_back_until_it_can_be_written)
{
    struct world w;
    world_init(&w);
    queue_send_out(w.queue);
    store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    spool_mem_set_full(w.disk, true);
    finish(&w, DELIVERY_FAILED, "550 5.1.1 unknown");
    sim_clock_advance(&w.clock, 5000);
    assert_int_equal(on_disk(&w), 1);
    spool_mem_set_full(w.disk, false);
    sim_clock_advance(&w.clock, 5000);
    assert_int_equal(on_disk(&w), 1); /* the notification, and no longer the message */
    assert_int_equal(w.n_jobs, 1);
    assert_true(w.jobs[0]->envelope->is_dsn);
    world_deinit(&w);
}

static void on_stopped(void *owner)
{
    ++*(int *)owner;
}

TEST(a_queue_that_stops_waits_until_what_was_taken_is_written_down)
{
    struct world w;
    int stopped = 0;
    world_init(&w);
    store(&w, FLOW_IN, "bob@example.com", NULL, SLICE(""));
    store(&w, FLOW_IN, "carol@example.com", NULL, SLICE(""));
    queue_stop(w.queue, on_stopped, &stopped);
    assert_int_equal(w.called_back, 2);
    store(&w, FLOW_IN, "dave@example.com", NULL, SLICE(""));
    assert_int_equal(w.started, 2);
    finish(&w, DELIVERY_SENT, "250 taken"); /* it was past its dot */
    finish(&w, DELIVERY_NOT_NOW, "the queue took it back");
    assert_int_equal(stopped, 0);
    sim_clock_advance(&w.clock, 100);
    assert_int_equal(stopped, 1);
    assert_int_equal(on_disk(&w), 2);
    world_deinit(&w);
}

TEST(results_that_come_in_while_the_disk_is_stuck_are_written_in_the_end_as_they_are_then)
{
    struct world w;
    struct arena a = { 0 };
    struct envelope e;
    world_init(&w);
    queue_send_out(w.queue);
    struct queue_id id = store(&w, FLOW_OUT, "bob@example.net", "eve@example.org", SLICE(""));
    spool_mem_set_full(w.disk, true);
    finish(&w, DELIVERY_FAILED, "550 5.1.1 unknown"); /* wants a notification, which the disk does not take */
    for (int i = 0; i < 3; i++) {                     /* eve's turns come and go */
        finish(&w, DELIVERY_DEFERRED, "451 later");
        sim_clock_advance(&w.clock, MINUTES(2));
    }
    spool_mem_set_full(w.disk, false);
    sim_clock_advance(&w.clock, 5000);
    assert_int_equal(spool_envelope(spool_mem_spool(w.disk), &id, &a, &e), ERR_OK);
    assert_int_equal(e.rcpts[0].state, RCPT_FAILED);
    assert_int_equal(e.rcpts[1].attempts, 3);
    assert_int_equal(on_disk(&w), 2); /* one notification, not two */
    arena_deinit(&a);
    world_deinit(&w);
}

TEST(an_administrator_sees_what_waits_and_why_and_brings_it_forward)
{
    struct world w;
    world_init(&w);
    queue_send_out(w.queue);
    struct queue_id id = store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    store(&w, FLOW_IN, "eve@example.com", NULL, SLICE(""));
    store(&w, FLOW_IN, "fay@example.com", NULL, SLICE(""));
    finish(&w, DELIVERY_DEFERRED, "451 4.7.1 later, please");
    sim_clock_advance(&w.clock, 10);

    json_t *list = list_now(&w, &(struct queue_filter){ .domain = SLICE("example.net") }, 0);
    assert_int_equal(json_integer_value(json_object_get(list, "total")), 1);
    json_t *m = json_array_get(json_object_get(list, "messages"), 0);
    assert_string_equal(json_string_value(json_object_get(m, "id")), id.s);
    assert_string_equal(json_string_value(json_object_get(m, "why")), "451 4.7.1 later, please");
    json_decref(list);
    list = list_now(&w, &(struct queue_filter){ .flow = SLICE("in") }, 1);
    assert_int_equal(json_array_size(json_object_get(list, "messages")),
                     1); /* the rest is counted, not read */
    assert_int_equal(json_integer_value(json_object_get(list, "total")), 2);
    json_decref(list);
    json_t *show = queue_show(w.queue, &id);
    assert_string_equal(json_string_value(json_object_get(show, "headers")), "Subject: hello");
    json_decref(show);
    json_t *dests = queue_destinations(w.queue, 0);
    assert_int_equal(json_array_size(json_object_get(dests, "destinations")), 2);
    json_decref(dests);

    size_t jobs = w.n_jobs;
    assert_int_equal(queue_flush(w.queue, NULL, SLICE("Example.NET")), 1);
    assert_int_equal(w.n_jobs, jobs + 1);
    world_deinit(&w);
}
