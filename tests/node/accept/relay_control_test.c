#include "node/accept/relay_control.h"

#include "tests/test.h"

static const struct slice domains[] = { SLICE_INIT("example.com"), SLICE_INIT("xn--mnchen-3ya.example") };

enum who { OUTSIDER, INSIDER, USER };

static enum smtp_reply judge(enum accept_listener listener, enum who who, const char *to, enum flow *flow)
{
    struct prefix inside;
    struct smtp_address a;
    assert_int_equal(prefix_parse(SLICE("10.0.0.0/24"), &inside), ERR_OK);
    struct relay_control r = { domains, ARRAY_LEN(domains), &inside, 1 };
    struct accept_client c = { .listener = listener, .authenticated = who == USER };
    assert_int_equal(addr_parse(who == INSIDER ? SLICE("10.0.0.25") : SLICE("192.0.2.77"), &c.addr), ERR_OK);
    assert_int_equal(relay_control_trusts(&r, &c),
                     who == USER || (who == INSIDER && listener != ACCEPT_SUBMISSION));
    enum smtp_reply first = relay_control_mail(&r, &c);
    if (first) return first;
    struct slice s = slice_of(to);
    if (smtp_path_take(&s, &a) || s.n) return SMTP_REPLY_BAD_RECIPIENT;
    return relay_control_rcpt(&r, &c, &a, flow);
}

/* Everything anybody ever tried to make a server relay. The sender does not matter: it is not even asked. */
TEST(no_trick_makes_a_stranger_relay)
{
    static const char *const tricks[] = {
        "<victim@foreign.example>",
        "<victim@example.com.foreign.example>",
        "<victim@notexample.com>",
        "<victim@sub.example.com>",
        "<victim%foreign.example@example.com>",
        "<\"victim%foreign.example\"@example.com>",
        "<foreign.example!victim@example.com>",
        "<foreign.example!victim@foreign.example>",
        "<\"victim@foreign.example\"@example.com>",
        "<\"victim\\@foreign.example\"@example.com>",
        "<@example.com:victim@foreign.example>",
        "<@example.com,@other.example:victim@foreign.example>",
        "<victim@foreign.example@example.com>",
        "<victim@example.com@foreign.example>",
        "<victim%foreign.example>",
        "<victim@[198.51.100.10]>",
        "<victim@[127.0.0.1]>",
        "<victim@[IPv6:::1]>",
        "<victim%foreign.example@[198.51.100.10]>",
        "<\"victim@foreign.example\"@[198.51.100.10]>",
        "<victim@>",
        "<@foreign.example>",
        "<victim>",
        "<victim@example.com.>",
        "<victim@foreign.example.>",
        "<victim@.example.com>",
        "<victim@example..com>",
        "<victim@ex\xd0\xb0mple.com>",     /* Cyrillic a */
        "<victim@\xef\xbd\x85xample.com>", /* full-width e */
        ("<victim@example\xe3\x80\x82"
         "com>"),                           /* ideographic full stop */
        "<victim@example.com\xe2\x80\x8b>", /* zero-width space */
        "<victim\"@foreign.example\"@example.com>",
        "<victim@foreign.example,x@example.com>",
        "<victim@foreign.example x@example.com>",
        "<victim@foreign.example\t@example.com>",
        "<victim@foreign.example>@example.com>",
        "<<victim@foreign.example>@example.com>",
        "<mailto:victim@foreign.example>",
        "<victim@localhost>",
        "<\"\"@foreign.example>",
    };
    for (size_t i = 0; i < ARRAY_LEN(tricks); i++) {
        enum flow flow;
        enum smtp_reply r = judge(ACCEPT_MX, OUTSIDER, tricks[i], &flow);
        if (!r) print_error("relayed: %s\n", tricks[i]);
        assert_int_not_equal(r, SMTP_REPLY_NONE);
        assert_true(smtp_reply_code(r) >= 500);
    }
}

TEST(who_may_send_where)
{
    static const struct {
        enum accept_listener listener;
        enum who who;
        const char *to;
        enum smtp_reply want;
        enum flow flow;
    } cases[] = {
        { ACCEPT_MX, OUTSIDER, "<b@example.com>", SMTP_REPLY_NONE, FLOW_IN },
        { ACCEPT_MX, OUTSIDER, "<b@EXAMPLE.com>", SMTP_REPLY_NONE, FLOW_IN },
        { ACCEPT_MX, OUTSIDER, "<postmaster@example.com>", SMTP_REPLY_NONE, FLOW_IN },
        { ACCEPT_MX, OUTSIDER, "<\"odd one\"@example.com>", SMTP_REPLY_NONE, FLOW_IN },
        { ACCEPT_MX, OUTSIDER, "<b@xn--mnchen-3ya.example>", SMTP_REPLY_NONE, FLOW_IN },
        { ACCEPT_MX, OUTSIDER, "<@relay.example:b@example.com>", SMTP_REPLY_NONE, FLOW_IN },
        { ACCEPT_MX, OUTSIDER, "<b@foreign.example>", SMTP_REPLY_RELAY_DENIED, FLOW_IN },
        { ACCEPT_MX, INSIDER, "<b@foreign.example>", SMTP_REPLY_NONE, FLOW_OUT },
        { ACCEPT_MX, INSIDER, "<b@example.com>", SMTP_REPLY_NONE, FLOW_IN },
        { ACCEPT_MX, INSIDER, "<x%y@foreign.example>", SMTP_REPLY_NONE, FLOW_OUT },
        { ACCEPT_MX, INSIDER, "<b@[10.0.0.25]>", SMTP_REPLY_LITERAL_ADDRESS, FLOW_OUT },
        { ACCEPT_SMARTHOST, OUTSIDER, "<b@example.com>", SMTP_REPLY_AUTH_REQUIRED, FLOW_IN },
        { ACCEPT_SMARTHOST, OUTSIDER, "<b@foreign.example>", SMTP_REPLY_AUTH_REQUIRED, FLOW_IN },
        { ACCEPT_SMARTHOST, INSIDER, "<b@foreign.example>", SMTP_REPLY_NONE, FLOW_OUT },
        { ACCEPT_SMARTHOST, USER, "<b@foreign.example>", SMTP_REPLY_NONE, FLOW_OUT },
        { ACCEPT_SUBMISSION, OUTSIDER, "<b@example.com>", SMTP_REPLY_AUTH_REQUIRED, FLOW_IN },
        { ACCEPT_SUBMISSION, INSIDER, "<b@foreign.example>", SMTP_REPLY_AUTH_REQUIRED, FLOW_IN },
        { ACCEPT_SUBMISSION, USER, "<b@foreign.example>", SMTP_REPLY_NONE, FLOW_OUT },
        { ACCEPT_SUBMISSION, USER, "<b@example.com>", SMTP_REPLY_NONE, FLOW_IN },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum flow flow = FLOW_COUNT;
        enum smtp_reply got = judge(cases[i].listener, cases[i].who, cases[i].to, &flow);
        if (got != cases[i].want) print_error("case %zu: %s\n", i, cases[i].to);
        assert_int_equal(got, cases[i].want);
        if (!got) assert_int_equal(flow, cases[i].flow);
    }
}
