#include "node/smtp/command.h"

#include "tests/test.h"

TEST(mail_with_every_parameter)
{
    struct smtp_mail m;
    assert_int_equal(
        smtp_mail_parse(SLICE(" FROM:<a@b> SIZE=12 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B1 AUTH=<>"),
                        &m),
        SMTP_REPLY_NONE);
    assert_slice(m.sender.whole, "a@b");
    assert_int_equal(m.size, 12);
    assert_true(m.body_8bit && m.smtputf8);
    assert_int_equal(m.ret, SMTP_RET_HDRS);
    assert_slice(m.envid, "QQ+2B1");
}

#define X100 \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
TEST(mail_lines_and_the_replies_that_refuse_them)
{
    static const struct {
        const char *args;
        enum smtp_reply want;
    } cases[] = {
        { " FROM:<>", SMTP_REPLY_NONE },
        { " from : <a@b>  ", SMTP_REPLY_NONE },
        { " FROM:<a@b> SIZE=0", SMTP_REPLY_NONE },
        { " FROM:<a@b> body=7bit", SMTP_REPLY_NONE },
        { " FROM:<a@b> AUTH=a+40b", SMTP_REPLY_NONE },
        { " FROM:<a@b> SIZE=99999999999999999999", SMTP_REPLY_NONE }, /* too big, said later */
        { "", SMTP_REPLY_BAD_SENDER },
        { " FROM", SMTP_REPLY_BAD_SENDER },
        { " FROM:", SMTP_REPLY_BAD_SENDER },
        { " FROM:a@b", SMTP_REPLY_BAD_SENDER },
        { " TO:<a@b>", SMTP_REPLY_BAD_SENDER },
        { " FROM:<postmaster>", SMTP_REPLY_BAD_SENDER },
        { " FROM:<a@b>SIZE=1", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> SIZE", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> SIZE=", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> SIZE=-1", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> SIZE=1x", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> SIZE=999999999999999999999", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> SIZE=1 SIZE=2", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> SMTPUTF8=1", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> BODY=BINARYMIME", SMTP_REPLY_BAD_PARAMETER },
        { " FROM:<a@b> BODY=9BIT", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> RET=ALL", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> ENVID=", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> ENVID=a=b", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> ENVID=a+2", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> ENVID=a+2b", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> ENVID=" X100, SMTP_REPLY_NONE },
        { " FROM:<a@b> ENVID=" X100 "0", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> AUTH=", SMTP_REPLY_BAD_SYNTAX },
        { " FROM:<a@b> NOTIFY=NEVER", SMTP_REPLY_BAD_PARAMETER },
        { " FROM:<a@b> XVERP", SMTP_REPLY_BAD_PARAMETER },
        { " FROM:<a@b> =", SMTP_REPLY_BAD_PARAMETER },
        { " FROM:<\xc3\xa9@b>", SMTP_REPLY_NEEDS_SMTPUTF8 },
        { " FROM:<\xc3\xa9@b> SMTPUTF8", SMTP_REPLY_NONE },
        { " FROM:<\xc3@b> SMTPUTF8", SMTP_REPLY_BAD_SENDER },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct smtp_mail m;
        enum smtp_reply got = smtp_mail_parse(slice_of(cases[i].args), &m);
        if (got != cases[i].want) fail_msg("%s: %d", cases[i].args, got);
    }
}

TEST(rcpt_lines)
{
    static const struct {
        const char *args;
        bool smtputf8;
        enum smtp_reply want;
        unsigned notify;
        const char *orcpt;
    } cases[] = {
        { " TO:<a@b>", false, SMTP_REPLY_NONE, 0, "" },
        { " TO:<postmaster>", false, SMTP_REPLY_NONE, 0, "" },
        { " TO:<a@b> NOTIFY=success,DELAY,failure", false, SMTP_REPLY_NONE,
          SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY | SMTP_NOTIFY_FAILURE, "" },
        { " TO:<a@b> NOTIFY=NEVER ORCPT=rfc822;x+2By@z", false, SMTP_REPLY_NONE, SMTP_NOTIFY_NEVER,
          "rfc822;x+2By@z" },
        { " TO:<a@b> ORCPT=utf-8;\xc3\xa9@z", true, SMTP_REPLY_NONE, 0, "utf-8;\xc3\xa9@z" },
        { " TO:<a@b> ORCPT=utf-8;\xc3\xa9@z", false, SMTP_REPLY_BAD_SYNTAX, 0, "" },
        { " TO:<>", false, SMTP_REPLY_BAD_RECIPIENT, 0, "" },
        { " TO:<a@b> NOTIFY=", false, SMTP_REPLY_BAD_SYNTAX, 0, "" },
        { " TO:<a@b> NOTIFY=NEVER,DELAY", false, SMTP_REPLY_BAD_SYNTAX, 0, "" },
        { " TO:<a@b> NOTIFY=DELAY,", false, SMTP_REPLY_BAD_SYNTAX, 0, "" },
        { " TO:<a@b> NOTIFY=,DELAY", false, SMTP_REPLY_BAD_SYNTAX, 0, "" },
        { " TO:<a@b> NOTIFY=SOMETIMES", false, SMTP_REPLY_BAD_SYNTAX, 0, "" },
        { " TO:<a@b> ORCPT=rfc822", false, SMTP_REPLY_BAD_SYNTAX, 0, "" },
        { " TO:<a@b> ORCPT=;x", false, SMTP_REPLY_BAD_SYNTAX, 0, "" },
        { " TO:<a@b> ORCPT=rfc822;", false, SMTP_REPLY_BAD_SYNTAX, 0, "" },
        { " TO:<a@b> ORCPT=r f;x", false, SMTP_REPLY_BAD_SYNTAX, 0, "" },
        { " TO:<a@b> SIZE=1", false, SMTP_REPLY_BAD_PARAMETER, 0, "" },
        { " TO:<\xc3\xa9@b>", false, SMTP_REPLY_NEEDS_SMTPUTF8, 0, "" },
        { " TO:<\xc3\xa9@b>", true, SMTP_REPLY_NONE, 0, "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct smtp_rcpt r;
        enum smtp_reply got = smtp_rcpt_parse(slice_of(cases[i].args), cases[i].smtputf8, &r);
        if (got != cases[i].want) fail_msg("%s: %d", cases[i].args, got);
        if (got) continue;
        assert_int_equal(r.notify, cases[i].notify);
        assert_slice(r.orcpt, cases[i].orcpt);
    }
}

TEST(bdat_lines)
{
    struct smtp_bdat b;
    assert_int_equal(smtp_bdat_parse(SLICE(" 10"), &b), SMTP_REPLY_NONE);
    assert_true(b.size == 10 && !b.last);
    assert_int_equal(smtp_bdat_parse(SLICE(" 0 last "), &b), SMTP_REPLY_NONE);
    assert_true(b.size == 0 && b.last);
    static const char *const bad[] = {
        "", " LAST", " 1 FIRST", " 1 LAST x", " -1", " 99999999999999999999999"
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(smtp_bdat_parse(slice_of(bad[i]), &b), SMTP_REPLY_BAD_SYNTAX);
}
