#include "node/queue/queue.h"

#include <jansson.h>

#include "node/queue/queue_inside.h"
#include "tests/node/queue/queue_world.h"

static json_int_t number(json_t *answer, const char *name)
{
    return json_integer_value(json_object_get(answer, name));
}

/* One order about one message: how many it was done to, how many wait for the next hop, how many were left alone. */
static void order(struct world *w, const struct queue_order *o, int done, int later, int skipped)
{
    json_t *answer = order_now(w, o);
    assert_int_equal(number(answer, "done"), done);
    assert_int_equal(number(answer, "in_delivery"), later);
    assert_int_equal(number(answer, "skipped"), skipped);
    json_decref(answer);
}

static void one(struct world *w, enum queue_order_kind kind, const struct queue_id *id, int done, int later,
                int skipped)
{
    struct queue_order o = {
        .kind = kind, .ids = id, .n_ids = 1, .by = SLICE("anna@edge1"), .reason = SLICE("looks odd")
    };
    order(w, &o, done, later, skipped);
}

static int count(struct world *w, const struct queue_filter *f)
{
    json_t *list = list_now(w, f, 0);
    int n = (int)number(list, "total");
    json_decref(list);
    return n;
}

TEST(a_held_message_stays_held_over_a_crash_and_does_not_expire) /* QR-14 */
{
    struct world w;
    world_init(&w);
    struct queue_id id = store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    one(&w, QUEUE_HOLD, &id, 1, 0, 0);
    one(&w, QUEUE_HOLD, &id, 0, 0, 1);
    one(&w, QUEUE_RETRY, &id, 0, 0, 1);
    queue_send_out(w.queue);
    assert_int_equal(w.n_jobs, 0);
    crash(&w);
    queue_send_out(w.queue);
    sim_clock_advance(&w.clock, DAYS(5));
    assert_int_equal(w.n_jobs, 0);
    assert_int_equal(on_disk(&w), 1); /* not expired, and no notice of delay */
    json_t *show = queue_show(w.queue, &id);
    assert_string_equal(json_string_value(json_object_get(show, "status")), "held");
    assert_string_equal(json_string_value(json_object_get(show, "held_why")), "anna@edge1: looks odd");
    json_decref(show);
    one(&w, QUEUE_RELEASE, &id, 1, 0, 0);
    one(&w, QUEUE_RELEASE, &id, 0, 0, 1);
    assert_int_equal(w.n_jobs, 1);
    assert_slice(w.jobs[0]->envelope->rcpts[0].address, "bob@example.net");
    finish(&w, DELIVERY_SENT, "250 ok");
    sim_clock_advance(&w.clock, 10);
    world_deinit(&w);
}

TEST(what_is_held_while_it_is_delivered_is_held_when_it_comes_back)
{
    struct world w;
    world_init(&w);
    queue_send_out(w.queue);
    struct queue_id id = store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    one(&w, QUEUE_HOLD, &id, 0, 1, 0);
    assert_int_equal(w.called_back, 1);
    finish(&w, DELIVERY_NOT_NOW, "");
    sim_clock_advance(&w.clock, HOURS(1));
    assert_int_equal(w.n_jobs, 0);
    one(&w, QUEUE_RELEASE, &id, 1, 0, 0);
    assert_int_equal(w.n_jobs, 1);
    one(&w, QUEUE_HOLD, &id, 0, 1, 0);
    one(&w, QUEUE_RELEASE, &id, 0, 1, 0); /* changed her mind before it was back: no second copy starts */
    assert_int_equal(w.n_jobs, 1);
    finish(&w, DELIVERY_NOT_NOW, "");
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(w.n_jobs, 1);
    finish(&w, DELIVERY_SENT, "250 ok");
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(on_disk(&w), 0);
    world_deinit(&w);
}

TEST(what_is_removed_is_gone_and_only_bounce_tells_the_sender)
{
    struct world w;
    world_init(&w);
    struct queue_id a = store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE("")),
                    b = store(&w, FLOW_OUT, "eve@example.org", NULL, SLICE(""));
    one(&w, QUEUE_REMOVE, &a, 1, 0, 0);
    assert_int_equal(on_disk(&w), 1);
    one(&w, QUEUE_REMOVE, &a, 0, 0, 1);
    one(&w, QUEUE_BOUNCE, &b, 1, 0, 0);
    assert_int_equal(on_disk(&w), 1); /* the notification */
    assert_int_equal(w.n_jobs, 1);
    assert_slice(w.jobs[0]->envelope->rcpts[0].address, "alice@example.com");
    crash(&w);
    assert_int_equal(on_disk(&w), 1);
    world_deinit(&w);
}

TEST(removed_while_the_next_hop_takes_it_its_answer_is_honoured)
{
    struct world w;
    world_init(&w);
    queue_send_out(w.queue);
    struct queue_id a = store(&w, FLOW_OUT, "bob@example.net", "eve@example.org", SLICE(""));
    assert_int_equal(w.n_jobs, 2);
    one(&w, QUEUE_BOUNCE, &a, 0, 1, 0);
    finish(&w, DELIVERY_SENT, "250 ok"); /* bob has it */
    sim_clock_advance(&w.clock, 10);
    finish(&w, DELIVERY_DEFERRED, "451 later"); /* eve does not get it any more */
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(on_disk(&w), 1);
    assert_int_equal(w.n_jobs, 1);
    assert_slice(w.jobs[0]->envelope->rcpts[0].address, "alice@example.com");
    world_deinit(&w);
}

TEST(redirected_recipients_go_to_the_other_host_the_rest_stays)
{
    struct world w;
    world_init(&w);
    struct queue_id id = store(&w, FLOW_OUT, "bob@example.net", "eve@example.org", SLICE(""));
    struct queue_order o = { .kind = QUEUE_REDIRECT,
                             .filter = { .domain = SLICE("Example.NET") },
                             .to = SLICE("[192.0.2.9]:2525") };
    order(&w, &o, 1, 0, 0);
    order(&w, &o, 0, 0, 1);
    crash(&w);
    queue_send_out(w.queue);
    assert_int_equal(w.n_jobs, 2);
    for (size_t i = 0; i < 2; i++) {
        struct slice to = w.jobs[i]->envelope->rcpts[w.jobs[i]->rcpts[0]].address;
        bool bob = slice_eq(to, SLICE("bob@example.net"));
        assert_slice(w.jobs[i]->destination, bob ? "[192.0.2.9]:2525" : "example.org");
    }
    o = (struct queue_order){ .kind = QUEUE_REDIRECT, .ids = &id, .n_ids = 1 };
    order(&w, &o, 0, 1, 0);
    finish(&w, DELIVERY_NOT_NOW, "");
    finish(&w, DELIVERY_NOT_NOW, "");
    sim_clock_advance(&w.clock, 10);
    assert_int_equal(w.n_jobs, 2);
    world_deinit(&w);
}

TEST(mail_on_its_way_to_another_node_is_left_alone)
{
    struct world w;
    world_init(&w);
    struct queue_id id = store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    queue_hand_out(w.queue, "edge2");
    assert_int_equal(w.n_given, 1);
    one(&w, QUEUE_REMOVE, &id, 0, 0, 1);
    one(&w, QUEUE_HOLD, &id, 0, 0, 1);
    w.given_done(w.given_owner, &id, ERR_RETRY);
    assert_int_equal(w.n_given, 2);
    world_deinit(&w);
}

TEST(what_is_held_is_not_handed_over)
{
    struct world w;
    world_init(&w);
    struct queue_id id = store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    one(&w, QUEUE_HOLD, &id, 1, 0, 0);
    queue_hand_out(w.queue, "edge2");
    assert_int_equal(w.n_given, 0);
    one(&w, QUEUE_RELEASE, &id, 1, 0, 0);
    assert_int_equal(w.n_given, 1);
    world_deinit(&w);
}

TEST(messages_are_found_by_sender_recipient_domain_age_reason_and_hold)
{
    struct world w;
    world_init(&w);
    queue_send_out(w.queue);
    struct queue_id id = store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    finish(&w, DELIVERY_DEFERRED, "451 4.7.1 Greylisted, try later");
    sim_clock_advance(&w.clock, SECONDS(30));
    store(&w, FLOW_IN, "eve@example.com", NULL, SLICE(""));
    const struct {
        struct queue_filter f;
        int n;
    } cases[] = { { { .flow = SLICE("out") }, 1 },
                  { { .domain = SLICE("EXAMPLE.net") }, 1 },
                  { { .domain = SLICE("example.org") }, 0 },
                  { { .sender = SLICE("alice@example.com") }, 2 },
                  { { .sender = SLICE("bob@example.com") }, 0 },
                  { { .recipient = SLICE("eve@example.com") }, 1 },
                  { { .why = SLICE("greyLISTED") }, 1 },
                  { { .why = SLICE("blocked") }, 0 },
                  { { .older_ms = SECONDS(20) }, 1 },
                  { { .older_ms = SECONDS(60) }, 0 },
                  { { .held = true }, 0 },
                  { { .flow = SLICE("out"), .recipient = SLICE("eve@example.com") }, 0 } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) assert_int_equal(count(&w, &cases[i].f), cases[i].n);
    one(&w, QUEUE_HOLD, &id, 1, 0, 0);
    assert_int_equal(count(&w, &(struct queue_filter){ .held = true }), 1);
    assert_int_equal(count(&w, &(struct queue_filter){ .why = SLICE("odd") }), 1);
    world_deinit(&w);
}

TEST(thousands_are_listed_and_ordered_in_slices_each_exactly_once)
{
    enum { MANY = 2500 };
    struct world w;
    world_init(&w);
    for (int i = 0; i < MANY; i++) store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    json_t *list = list_now(&w, &(struct queue_filter){ .sender = SLICE("alice@example.com") }, 3);
    assert_int_equal(number(list, "total"), MANY);
    assert_int_equal(json_array_size(json_object_get(list, "messages")), 3);
    json_decref(list);
    list = list_now(&w, &(struct queue_filter){ 0 }, 5);
    assert_int_equal(number(list, "total"), MANY);
    json_decref(list);
    struct queue_order o = { .kind = QUEUE_HOLD, .filter = { .domain = SLICE("example.net") } };
    order(&w, &o, MANY, 0, 0);
    o.kind = QUEUE_REMOVE;
    order(&w, &o, MANY, 0, 0);
    assert_int_equal(on_disk(&w), 0);
    world_deinit(&w);
}

TEST(a_cancelled_order_answers_nobody)
{
    struct world w;
    world_init(&w);
    json_t *answer = NULL;
    store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE(""));
    struct queue_task *t = queue_order(w.queue, &(struct queue_order){ .kind = QUEUE_HOLD }, keep_answer,
                                       &answer);
    queue_task_cancel(&t);
    t = queue_list(w.queue, &(struct queue_filter){ 0 }, 0, keep_answer, &answer);
    queue_task_cancel(&t);
    sim_clock_advance(&w.clock, SECONDS(1));
    assert_null(answer);
    world_deinit(&w);
}

TEST(a_next_hop_has_a_host_and_a_port)
{
    static const struct {
        const char *text;
        bool is;
    } cases[] = { { "[10.0.0.26]:25", true },
                  { "10.0.0.26:25", true },
                  { "mail.example.com:25", true },
                  { "[2001:db8::1]:25", true },
                  { "[IPv6:2001:db8::1]:25", true },
                  { "mail.example.com", false },
                  { "[10.0.0.26]", false },
                  { "mail.example.com:0", false },
                  { "[mail]:25", false },
                  { ":25", false },
                  { "a b:25", false },
                  { "", false },
                  { "a:70000", false } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(queue_is_next_hop(slice_of(cases[i].text)), cases[i].is);
}

static size_t forgiven;

static void forgive(void *owner, const struct queue_id *id)
{
    forgiven++;
}

TEST(what_was_in_hand_at_two_crashes_is_set_aside_until_it_is_released) /* QR-13 */
{
    struct world w;
    world_init(&w);
    struct in_hand_suspects s = { .n = 3 };
    s.of[0] = (struct in_hand_suspect){ store(&w, FLOW_OUT, "bob@example.net", NULL, SLICE("")), 2 };
    s.of[1] = (struct in_hand_suspect){ store(&w, FLOW_OUT, "eve@example.org", NULL, SLICE("")), 1 };
    s.of[2] = (struct in_hand_suspect){ { "01JF5T9QK3M2000001" }, 2 };
    w.suspects = &s;
    w.forgive = forgive;
    forgiven = 0;
    crash(&w);
    assert_int_equal(forgiven, 1); /* the one that is not here */
    queue_send_out(w.queue);
    assert_int_equal(w.n_jobs, 1);
    assert_slice(w.jobs[0]->destination, "example.org");
    sim_clock_advance(&w.clock, 10);
    json_t *show = queue_show(w.queue, &s.of[0].id);
    assert_string_equal(json_string_value(json_object_get(show, "status")), "set aside");
    json_decref(show);
    w.suspects = NULL; /* it is on disk, whatever becomes of the counts */
    crash(&w);
    queue_send_out(w.queue);
    assert_int_equal(w.n_jobs, 1);
    one(&w, QUEUE_RELEASE, &s.of[0].id, 1, 0, 0);
    assert_int_equal(forgiven, 2);
    assert_int_equal(w.n_jobs, 2);
    world_deinit(&w);
}
