#include "node/relay/report.h"

#include "tests/test.h"

static const struct {
    const char *name;
    struct relay_outcome o;
    enum delivery_outcome outcome;
    enum delivery_cause cause;
    const char *status;
} cases[] = {
    { "sent",
      { .verdict = RELAY_SENT, .stage = RELAY_DATA, .code = 250, .enhanced = { 2, 0, 0 } },
      DELIVERY_SENT,
      DELIVERY_CAUSE_MESSAGE,
      "2.0.0" },
    { "relayed",
      { .verdict = RELAY_SENT, .stage = RELAY_DATA, .code = 250, .dsn_relayed = true },
      DELIVERY_RELAYED,
      DELIVERY_CAUSE_MESSAGE,
      "" },
    { "unknown user",
      { .verdict = RELAY_FAILED, .stage = RELAY_RCPT, .code = 550, .enhanced = { 5, 1, 1 } },
      DELIVERY_FAILED,
      DELIVERY_CAUSE_MESSAGE,
      "5.1.1" },
    { "listed",
      { .verdict = RELAY_DEFERRED, .stage = RELAY_RCPT, .code = 554, .effect = EFFECT_SWITCH },
      DELIVERY_LISTED,
      DELIVERY_CAUSE_MESSAGE,
      "" },
    { "greylisted",
      { .verdict = RELAY_DEFERRED, .stage = RELAY_RCPT, .code = 450, .effect = EFFECT_RETRY },
      DELIVERY_DEFERRED,
      DELIVERY_CAUSE_GREYLIST,
      "" },
    { "too fast",
      { .verdict = RELAY_DEFERRED, .stage = RELAY_MAIL, .code = 421, .effect = EFFECT_SLOW },
      DELIVERY_DEFERRED,
      DELIVERY_CAUSE_CONNECTION,
      "" },
    { "no PTR",
      { .verdict = RELAY_DEFERRED,
        .stage = RELAY_RCPT,
        .code = 550,
        .effect = EFFECT_FIX,
        .scope = SCOPE_PTR },
      DELIVERY_DEFERRED,
      DELIVERY_CAUSE_CONNECTION,
      "" },
    { "full mailbox",
      { .verdict = RELAY_DEFERRED, .stage = RELAY_RCPT, .code = 452 },
      DELIVERY_DEFERRED,
      DELIVERY_CAUSE_MESSAGE,
      "" },
    { "unreachable",
      { .verdict = RELAY_DEFERRED, .stage = RELAY_CONNECT, .enhanced = { 4, 4, 1 } },
      DELIVERY_DEFERRED,
      DELIVERY_CAUSE_CONNECTION,
      "4.4.1" },
    { "lost",
      { .verdict = RELAY_DEFERRED, .stage = RELAY_DATA, .maybe_sent = true },
      DELIVERY_DEFERRED,
      DELIVERY_CAUSE_CONNECTION,
      "" },
    { "gate",
      { .verdict = RELAY_DEFERRED, .stage = RELAY_DATA, .gate_closed = true },
      DELIVERY_NOT_NOW,
      DELIVERY_CAUSE_CONNECTION,
      "" },
};

TEST(the_queue_hears_what_to_do_next)
{
    struct arena a = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct delivery_result r;
        report_result(&cases[i].o, &a, &r);
        if (r.outcome != cases[i].outcome || r.cause != cases[i].cause) print_error("%s\n", cases[i].name);
        assert_int_equal(r.outcome, cases[i].outcome);
        assert_int_equal(r.cause, cases[i].cause);
        assert_slice(r.status, cases[i].status);
    }
    arena_deinit(&a);
}

TEST(lines_are_joined_and_a_host_without_a_name_is_its_address)
{
    struct arena a = { 0 };
    struct delivery_result r;
    struct relay_outcome o = { .verdict = RELAY_FAILED,
                               .stage = RELAY_DATA,
                               .text = SLICE_INIT("550-a\n550-b\n550 c") };
    assert_int_equal(addr_parse_port(SLICE("192.0.2.1:25"), 0, &o.mta), ERR_OK);
    report_result(&o, &a, &r);
    assert_slice(r.reply, "550-a / 550-b / 550 c");
    assert_slice(r.mta, "[192.0.2.1]");
    assert_slice(r.stage, "data");
    arena_deinit(&a);
}

static void keep_line(void *owner, enum log_level level, struct slice line)
{
    buf_put(owner, line);
}

TEST(an_attempt_is_one_line_a_recipient)
{
    struct buf line;
    buf_init(&line, 4000);
    struct log log = { .write = keep_line, .owner = &line };
    struct report_attempt t = {
        .queue_id = SLICE_INIT("Q1"), .flow = FLOW_OUT, .helo = "edge1.example.com", .took_ms = 12
    };
    struct relay_outcome o = { .verdict = RELAY_DEFERRED,
                               .stage = RELAY_RCPT,
                               .code = 554,
                               .tls = true,
                               .scope = SCOPE_IP_PUBLIC,
                               .effect = EFFECT_SWITCH,
                               .rule = SLICE_INIT("list-major"),
                               .mta_name = SLICE_INIT("mx.example.net"),
                               .text = SLICE_INIT("554 listed") };
    assert_int_equal(addr_parse(SLICE("198.51.100.10"), &t.from), ERR_OK);
    assert_int_equal(addr_parse_port(SLICE("192.0.2.1:25"), 0, &o.mta), ERR_OK);
    report_log(&log, &t, SLICE("b@example.net"), &o);
    assert_slice(
        buf_slice(&line),
        "warn  relay.deferred id=Q1 rcpt=b@example.net flow=out mx=mx.example.net to=192.0.2.1:25 "
        "from=198.51.100.10 helo=edge1.example.com tls=yes stage=rcpt reply=\"554 listed\" class=ip-public "
        "effect=SWITCH rule=list-major maybe_sent=no took=12ms");
    buf_deinit(&line);
}

TEST(only_mail_to_the_internet_is_evidence_and_only_when_it_says_something)
{
    struct classifier *c = NULL;
    struct refusal r;
    struct report_attempt t = { .queue_id = SLICE_INIT("Q1"),
                                .destination = SLICE_INIT("example.net"),
                                .flow = FLOW_OUT };
    struct relay_outcome o = { .code = 554,
                               .effect = EFFECT_SWITCH,
                               .mta_name = SLICE_INIT("a.b.mx.Example.net") };
    assert_int_equal(classifier_create(&(struct classify_conf){ 0 }, &c, NULL), ERR_OK);
    assert_true(report_refusal(&t, "edge1", c, &o, 5, &r));
    assert_slice(r.provider, "Example.net");
    assert_slice(r.message_id, "Q1");
    assert_int_equal(r.wall_ms, 5);
    o.effect = EFFECT_NONE;
    assert_false(report_refusal(&t, "edge1", c, &o, 5, &r));
    o.effect = EFFECT_FIX;
    t.flow = FLOW_IN;
    assert_false(report_refusal(&t, "edge1", c, &o, 5, &r));
    classifier_destroy(c);
}

TEST(a_blocklist_refusal_is_never_a_bounce_and_an_unknown_user_is_one)
{
    struct classifier *c = NULL;
    struct addr own;
    assert_int_equal(classifier_create(&(struct classify_conf){ 0 }, &c, NULL), ERR_OK);
    assert_int_equal(addr_parse(SLICE("192.0.2.10"), &own), ERR_OK);
    struct relay_outcome o = { .verdict = RELAY_FAILED,
                               .stage = RELAY_RCPT,
                               .code = 554,
                               .text = SLICE_INIT(
                                   "554 5.7.1 Client host [192.0.2.10] blocked using zen.spamhaus.org") };
    report_classify(c, &own, &o);
    assert_int_equal(o.verdict, RELAY_DEFERRED);
    assert_int_equal(o.effect, EFFECT_SWITCH);
    o = (struct relay_outcome){ .verdict = RELAY_FAILED,
                                .stage = RELAY_RCPT,
                                .code = 550,
                                .text = SLICE_INIT("550 5.1.1 user unknown") };
    report_classify(c, &own, &o);
    assert_int_equal(o.verdict, RELAY_FAILED);
    assert_int_equal(o.scope, SCOPE_RCPT);
    o = (struct relay_outcome){ .verdict = RELAY_DEFERRED, .text = SLICE_INIT("the connection was lost") };
    report_classify(c, &own, &o);
    assert_int_equal(o.rule.n, 0);
    classifier_destroy(c);
}
