#include "node/smtp/session.h"

#include "tests/node/smtp/talk.h"
#include "tests/test.h"

#define GREETED "220 mx.example.com ESMTP\r\n"
#define EHLO    "EHLO a.example\r\n"
#define EHLO_OK                                                                                            \
    "250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n" \
    "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 CHUNKING\r\n"
#define HELO    "HELO a.example\r\n"
#define HELO_OK "250 mx.example.com\r\n"
#define MAIL    "MAIL FROM:<a@a.example>\r\n"
#define MAIL_OK "250 2.1.0 Sender ok\r\n"
#define RCPT    "RCPT TO:<b@example.com>\r\n"
#define RCPT_OK "250 2.1.5 Recipient ok\r\n"
#define GO      "354 End data with <CR><LF>.<CR><LF>\r\n"
#define QUEUED  "250 2.0.0 queued as ID\r\n"
#define OK      "250 2.0.0 Ok\r\n"
#define BAD_SEQ "503 5.5.1 Bad sequence of commands\r\n"
#define TO_DATA HELO MAIL RCPT "DATA\r\n"
#define AT_DATA GREETED HELO_OK MAIL_OK RCPT_OK GO
#define BARE    "550 5.6.11 Bare CR or LF in the message\r\n"
#define ENV     "from=<a@a.example> to=<b@example.com>\n"
#define END     "\n--\n"

static const struct dialogue {
    const char *name, *client, *server, *stored;
} dialogues[] = {
    { "a message", EHLO MAIL RCPT "DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n",
      GREETED EHLO_OK MAIL_OK RCPT_OK GO QUEUED "221 2.0.0 Bye\r\n", ENV "Subject: x\r\n\r\nhi\r\n" END },
    { "two messages in one session", TO_DATA "1\r\n.\r\n" MAIL RCPT "DATA\r\n2\r\n.\r\n",
      AT_DATA QUEUED MAIL_OK RCPT_OK GO QUEUED, ENV "1\r\n" END ENV "2\r\n" END },
    { "dots are unstuffed", TO_DATA "..\r\n...x\r\n.y\r\na.\r\n.\r\n", AT_DATA QUEUED,
      ENV ".\r\n..x\r\ny\r\na.\r\n" END },
    { "an empty message", TO_DATA ".\r\n", AT_DATA QUEUED, ENV END },
    { "null sender", HELO "MAIL FROM:<>\r\n" RCPT "DATA\r\n.\r\n", AT_DATA QUEUED,
      "from=<> to=<b@example.com>\n" END },
    { "postmaster needs no domain", HELO MAIL "RCPT TO:<Postmaster>\r\nDATA\r\n.\r\n", AT_DATA QUEUED,
      "from=<a@a.example> to=<postmaster@example.com>\n" END },
    { "a source route is dropped", HELO MAIL "RCPT TO:<@x.example,@y.example:b@example.com>\r\nDATA\r\n.\r\n",
      AT_DATA QUEUED, ENV END },
    { "named twice, delivered once", HELO MAIL RCPT RCPT "DATA\r\n.\r\n",
      GREETED HELO_OK MAIL_OK RCPT_OK RCPT_OK GO QUEUED, ENV END },
    { "verbs in any case, blanks where people put them",
      "helo a.example\r\nmail from: <a@a.example> \r\nrCpT To : <b@example.com>\r\n",
      GREETED HELO_OK MAIL_OK RCPT_OK, "" },
    { "mail before hello", MAIL, GREETED BAD_SEQ, "" },
    { "rcpt before mail", HELO RCPT, GREETED HELO_OK BAD_SEQ, "" },
    { "data before rcpt", HELO MAIL "DATA\r\n", GREETED HELO_OK MAIL_OK BAD_SEQ, "" },
    { "data when every recipient was refused", HELO MAIL "RCPT TO:<b@foreign.example>\r\nDATA\r\n",
      GREETED HELO_OK MAIL_OK "550 5.7.1 Unable to relay\r\n" BAD_SEQ, "" },
    { "one recipient of two", HELO MAIL "RCPT TO:<b@foreign.example>\r\n" RCPT "DATA\r\n.\r\n",
      GREETED HELO_OK MAIL_OK "550 5.7.1 Unable to relay\r\n" RCPT_OK GO QUEUED, ENV END },
    { "mail twice", HELO MAIL MAIL, GREETED HELO_OK MAIL_OK BAD_SEQ, "" },
    { "rset forgets the sender", HELO MAIL RCPT "RSET\r\n" RCPT, GREETED HELO_OK MAIL_OK RCPT_OK OK BAD_SEQ,
      "" },
    { "hello forgets the sender", HELO MAIL RCPT HELO RCPT, GREETED HELO_OK MAIL_OK RCPT_OK HELO_OK BAD_SEQ,
      "" },
    { "small talk", "NOOP\r\nNOOP x\r\nVRFY bob\r\nHELP\r\nEXPN list\r\nTURN\r\n\r\n",
      GREETED OK OK
      "252 2.0.0 Not verified, but send some mail and we will try\r\n214 2.0.0 See RFC 5321\r\n"
      "502 5.5.1 Command not implemented\r\n500 5.5.1 Unknown command\r\n500 5.5.1 Unknown command\r\n",
      "" },
    { "hello needs a name", "EHLO\r\nHELO a b\r\nHELO a(b)\r\nHELO [192.0.2.1]\r\n",
      GREETED "501 5.5.4 Need the name of a host or an address literal\r\n"
              "501 5.5.4 Need the name of a host or an address literal\r\n"
              "501 5.5.4 Need the name of a host or an address literal\r\n" HELO_OK,
      "" },
    { "a declared size that is too big", HELO "MAIL FROM:<a@a.example> SIZE=1001\r\n",
      GREETED HELO_OK "552 5.3.4 Message size exceeds the fixed limit of 1000\r\n", "" },
    { "an address that needs SMTPUTF8",
      HELO "MAIL FROM:<\xc3\xa9@a.example>\r\n" MAIL "RCPT TO:<\xc3\xa9@example.com>\r\n",
      GREETED HELO_OK "553 5.6.7 Address needs SMTPUTF8\r\n" MAIL_OK "553 5.6.7 Address needs SMTPUTF8\r\n",
      "" },
    { "SMTPUTF8",
      EHLO "MAIL FROM:<\xc3\xa9@a.example> SMTPUTF8\r\nRCPT TO:<\xc3\xa9@example.com>\r\nDATA\r\n.\r\n",
      GREETED EHLO_OK MAIL_OK RCPT_OK GO QUEUED,
      "from=<\xc3\xa9@a.example> to=<\xc3\xa9@example.com>\n" END },
    { "a browser", "GET / HTTP/1.1\r\nHost: x\r\n", GREETED "421 4.7.0 This is not how SMTP is spoken\r\n",
      "" },
    { "AUTH in clear", EHLO "AUTH PLAIN AGEAYg==\r\n",
      GREETED EHLO_OK "538 5.7.11 Encryption required for authentication\r\n", "" },
    /* BDAT */
    { "chunks", EHLO MAIL RCPT "BDAT 4\r\nab\r\nBDAT 6 LAST\r\n.\r\nc\r\nQUIT\r\n",
      GREETED EHLO_OK MAIL_OK RCPT_OK "250 2.0.0 Octets received: 4\r\n" QUEUED "221 2.0.0 Bye\r\n",
      ENV "ab\r\n.\r\nc\r\n" END },
    { "a last chunk of nothing", EHLO MAIL RCPT "BDAT 4\r\nab\r\nBDAT 0 LAST\r\n",
      GREETED EHLO_OK MAIL_OK RCPT_OK "250 2.0.0 Octets received: 4\r\n" QUEUED, ENV "ab\r\n" END },
    { "nothing but a last chunk of nothing", EHLO MAIL RCPT "BDAT 0 LAST\r\n" MAIL,
      GREETED EHLO_OK MAIL_OK RCPT_OK QUEUED MAIL_OK, ENV END },
    { "a line end is added where DATA will need one", EHLO MAIL RCPT "BDAT 2 LAST\r\nab",
      GREETED EHLO_OK MAIL_OK RCPT_OK QUEUED, ENV "ab\r\n" END },
    { "a refused chunk is not read as commands", EHLO "BDAT 6\r\nQUIT\r\n" MAIL,
      GREETED EHLO_OK BAD_SEQ MAIL_OK, "" },
    { "no DATA between chunks", EHLO MAIL RCPT "BDAT 2\r\n\r\nDATA\r\nRSET\r\n" MAIL,
      GREETED EHLO_OK MAIL_OK RCPT_OK "250 2.0.0 Octets received: 2\r\n" BAD_SEQ OK MAIL_OK, "" },
    { "chunks that grow too big", EHLO MAIL RCPT "BDAT 1001\r\n",
      GREETED EHLO_OK MAIL_OK RCPT_OK "552 5.3.4 Message size exceeds the fixed limit of 1000\r\n", "" },
    { "a chunk of unknown size ends the session", EHLO MAIL RCPT "BDAT x\r\nQUIT\r\n",
      GREETED EHLO_OK MAIL_OK RCPT_OK "501 5.5.4 Syntax error in parameters or arguments\r\n", "" },
    /* smuggling: whatever other servers take for an end, the text goes on to CR LF . CR LF and is then refused */
    { "LF.LF", TO_DATA "a\r\n\n.\n" MAIL "\r\n.\r\nNOOP\r\n", AT_DATA BARE OK, "" },
    { "LF.CRLF", TO_DATA "a\n.\r\n" MAIL "\r\n.\r\nNOOP\r\n", AT_DATA BARE OK, "" },
    { "CRLF.LF", TO_DATA "a\r\n.\n" MAIL "\r\n.\r\nNOOP\r\n", AT_DATA BARE OK, "" },
    { "CR.CRLF", TO_DATA "a\r.\r\n" MAIL "\r\n.\r\nNOOP\r\n", AT_DATA BARE OK, "" },
    { "CRLF.CR", TO_DATA "a\r\n.\r" MAIL "\r\n.\r\nNOOP\r\n", AT_DATA BARE OK, "" },
    { "CRCRLF", TO_DATA "a\r\r\n.\r\nNOOP\r\n", AT_DATA BARE OK, "" },
    { "CRLF.CRCRLF", TO_DATA "a\r\n.\r\r\nb\r\n.\r\nNOOP\r\n", AT_DATA BARE OK, "" },
    { "LFCR.LFCR", TO_DATA "a\n\r.\n\r\r\n.\r\nNOOP\r\n", AT_DATA BARE OK, "" },
    { "NUL is text", TO_DATA "a\r\n.\\\r\n.\r\nNOOP\r\n", AT_DATA QUEUED OK, ENV "a\r\n\\\r\n" END },
    { "a bare LF in a chunk", EHLO MAIL RCPT "BDAT 6 LAST\r\na\n.\r\nbNOOP\r\n",
      GREETED EHLO_OK MAIL_OK RCPT_OK BARE OK, "" },
    { "a chunk that ends in CR", EHLO MAIL RCPT "BDAT 2 LAST\r\na\rNOOP\r\n",
      GREETED EHLO_OK MAIL_OK RCPT_OK BARE OK, "" },
    { "CR and LF in two chunks", EHLO MAIL RCPT "BDAT 2\r\na\rBDAT 1 LAST\r\n\n",
      GREETED EHLO_OK MAIL_OK RCPT_OK "250 2.0.0 Octets received: 2\r\n" QUEUED, ENV "a\r\n" END },
    { "a bare LF does not end a command", "NOOP\nNOOP\r\nNOOP\r\n",
      GREETED "500 5.5.2 Bare CR or LF in a command: lines end with CR LF\r\n" OK, "" },
    { "a bare CR does not end a command", HELO "MAIL FROM:<a@a.example>\rRCPT TO:<b@example.com>\r\n",
      GREETED HELO_OK "500 5.5.2 Bare CR or LF in a command: lines end with CR LF\r\n", "" },
};

static void check(const struct dialogue *d, size_t piece)
{
    struct talk t;
    talk_init(&t);
    t.foreign = SLICE("@foreign.example");
    struct slice in = slice_of(d->client);
    while (in.n) {
        talk_send(&t, slice_sub(in, 0, piece));
        in = slice_skip(in, piece);
    }
    bool same = slice_eq(buf_slice(&t.said), slice_of(d->server)) &&
                slice_eq(buf_slice(&t.stored), slice_of(d->stored));
    if (!same) print_error("dialogue \"%s\", in pieces of %zu\n", d->name, piece);
    assert_slices(buf_slice(&t.said), slice_of(d->server));
    assert_slices(buf_slice(&t.stored), slice_of(d->stored));
    talk_deinit(&t);
}

TEST(every_dialogue_goes_as_written)
{
    for (size_t i = 0; i < ARRAY_LEN(dialogues); i++) check(&dialogues[i], SIZE_MAX);
}

TEST(however_the_bytes_are_cut_the_answers_are_the_same)
{
    for (size_t i = 0; i < ARRAY_LEN(dialogues); i++) {
        for (size_t piece = 1; piece <= 7; piece++) check(&dialogues[i], piece);
        struct slice all = slice_of(dialogues[i].client);
        for (size_t at = 1; at < all.n; at++) check(&dialogues[i], at);
    }
}

static void expect(struct talk *t, const char *bytes, const char *reply)
{
    buf_clear(&t->said);
    talk_send(t, slice_of(bytes));
    assert_slice(buf_slice(&t->said), reply);
}

TEST(what_follows_starttls_in_clear_is_thrown_away)
{
    struct talk t;
    talk_init(&t);
    buf_clear(&t.said);
    talk_send(&t, slice_of(EHLO "STARTTLS\r\n" MAIL));
    assert_slice(buf_slice(&t.said), EHLO_OK "220 2.0.0 Ready to start TLS\r\n");
    assert_true(t.s.tls);
    assert_null(t.s.helo);
    expect(&t, MAIL, BAD_SEQ); /* RFC 3207 4.2: back to the start */
    expect(&t, "EHLO a.example\r\n",
           "250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-AUTH PLAIN "
           "LOGIN\r\n250-ENHANCEDSTATUSCODES\r\n"
           "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 CHUNKING\r\n");
    expect(&t, "STARTTLS\r\n", BAD_SEQ);
    talk_deinit(&t);
}

static void secure(struct talk *t)
{
    talk_init(t);
    talk_send(t, slice_of(EHLO "STARTTLS\r\n"));
    talk_send(t, slice_of(EHLO));
}

TEST(auth_plain_with_and_without_an_initial_response)
{
    struct talk t;
    secure(&t);
    expect(&t, "AUTH PLAIN\r\n", "334 \r\n");
    expect(&t, "AGFubgBzZWNyZXQ=\r\n", "235 2.7.0 Authentication successful\r\n");
    assert_string_equal(t.s.user, "ann");
    assert_int_equal(buf_len(&t.s.sasl.password), 0); /* gone as soon as it was checked */
    assert_string_equal(smtp_session_protocol(&t.s), "ESMTPSA");
    expect(&t, "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n", BAD_SEQ);
    talk_deinit(&t);
    secure(&t);
    expect(&t, "AUTH PLAIN YW5uAGFubgBzZWNyZXQ=\r\n", "235 2.7.0 Authentication successful\r\n");
    talk_deinit(&t);
}

TEST(auth_login)
{
    struct talk t;
    secure(&t);
    t.slow = true;
    expect(&t, "AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n");
    expect(&t, "YW5u\r\n", "334 UGFzc3dvcmQ6\r\n");
    expect(&t, "c2VjcmV0\r\nNOOP\r\n", "");
    assert_slice(buf_slice(&t.s.sasl.password), "secret");
    talk_answer(&t);
    assert_slice(buf_slice(&t.said), "235 2.7.0 Authentication successful\r\n" OK);
    talk_deinit(&t);
}

TEST(auth_that_makes_no_sense)
{
    struct talk t;
    secure(&t);
    expect(&t, "AUTH CRAM-MD5\r\n", "504 5.5.4 Unrecognized authentication type\r\n");
    expect(&t, "AUTH LOGIN\r\n*\r\n", "334 VXNlcm5hbWU6\r\n501 5.7.0 Authentication cancelled\r\n");
    expect(&t, "AUTH PLAIN !!!!\r\n", "501 5.5.2 Cannot decode the response\r\n");
    expect(&t, "AUTH PLAIN Ym9iAGFubgBzZWNyZXQ=\r\n",
           "501 5.5.2 Cannot decode the response\r\n"); /* for bob */
    expect(&t, "AUTH PLAIN =\r\n", "501 5.5.2 Cannot decode the response\r\n");
    expect(&t, "NOOP\r\n", OK);
    talk_deinit(&t);
}

TEST(three_wrong_passwords_and_out_slowly)
{
    struct talk t;
    secure(&t);
    t.refuse_at[SMTP_AT_AUTH] = SMTP_REPLY_AUTH_FAILED;
    for (int i = 0; i < 2; i++)
        expect(&t, "AUTH PLAIN AGFubgB4\r\n", "535 5.7.8 Authentication credentials invalid\r\n");
    assert_int_equal(t.paused_ms, 10000);
    expect(&t, "AUTH PLAIN AGFubgB4\r\n",
           "535 5.7.8 Authentication credentials invalid\r\n421 4.7.0 Too many errors\r\n");
    assert_true(t.closed);
    talk_deinit(&t);
}

TEST(errors_slow_the_client_down_and_then_end_the_session)
{
    struct talk t;
    talk_init(&t);
    for (int i = 0; i < 5; i++) talk_send(&t, SLICE("BOO\r\n"));
    assert_int_equal(t.paused_ms, 0);
    talk_send(&t, SLICE("BOO\r\nBOO\r\n"));
    assert_int_equal(t.paused_ms, 1000 + 2000);
    for (int i = 0; i < 30; i++) talk_send(&t, SLICE("BOO\r\n"));
    assert_true(t.closed);
    assert_int_equal(t.s.errors, 20);
    assert_true(
        slice_ends(buf_slice(&t.said), SLICE("500 5.5.1 Unknown command\r\n421 4.7.0 Too many errors\r\n")));
    talk_deinit(&t);
}

TEST(a_client_that_brings_no_mail_is_sent_away)
{
    struct talk t;
    talk_init(&t);
    for (int i = 0; i < 200 && !t.closed; i++) talk_send(&t, SLICE("NOOP\r\n"));
    assert_true(slice_ends(buf_slice(&t.said), SLICE(OK "421 4.7.0 Too many commands and no mail\r\n")));
    talk_deinit(&t);
}

TEST(recipients_past_the_limit_are_for_the_next_transaction)
{
    struct talk t;
    talk_init(&t);
    t.conf.rcpts_max = 2;
    expect(&t,
           HELO MAIL
           "RCPT TO:<1@example.com>\r\nRCPT TO:<2@example.com>\r\nRCPT TO:<3@example.com>\r\nDATA\r\n.\r\n",
           HELO_OK MAIL_OK RCPT_OK RCPT_OK "452 4.5.3 Too many recipients\r\n" GO QUEUED);
    expect(&t, MAIL RCPT, MAIL_OK RCPT_OK);
    assert_int_equal(t.s.errors, 0);
    talk_deinit(&t);
}

TEST(a_message_that_grows_too_big_is_given_up_at_once_and_refused_at_its_end)
{
    struct talk t;
    talk_init(&t);
    talk_send(&t, slice_of(TO_DATA));
    for (int i = 0; i < 126; i++) talk_send(&t, SLICE("123456\r\n"));
    assert_false(t.open);
    expect(&t, ".\r\nNOOP\r\n", "552 5.3.4 Message size exceeds the fixed limit of 1000\r\n" OK);
    assert_int_equal(buf_len(&t.stored), 0);
    talk_deinit(&t);
}

TEST(one_that_never_ends_is_cut)
{
    struct talk t;
    talk_init(&t);
    talk_send(&t, slice_of(TO_DATA));
    for (int i = 0; i < 140000 && !t.closed; i++) talk_send(&t, SLICE("123456\r\n"));
    assert_true(t.closed);
    talk_deinit(&t);
}

TEST(the_250_waits_for_the_verdict_at_the_end)
{
    struct talk t;
    talk_init(&t);
    talk_send(&t, slice_of(TO_DATA));
    t.slow = true;
    expect(&t, "x\r\n.\r\nNOOP\r\n", "");
    assert_int_equal(t.stage, SMTP_AT_END);
    talk_verdict(&t, &(struct smtp_verdict){ .decision = SMTP_REFUSE, .reply = SMTP_REPLY_FULL });
    assert_slice(buf_slice(&t.said), "452 4.3.1 Insufficient system storage\r\n" OK);
    talk_deinit(&t);
}

TEST(a_verdict_may_bring_its_own_words_a_pause_or_the_end)
{
    struct talk t;
    talk_init(&t);
    t.slow = true;
    expect(&t, HELO, "");
    talk_verdict(
        &t, &(struct smtp_verdict){
                .decision = SMTP_REFUSE, .code = 550, .text = SLICE("5.7.1 not\nyou"), .pause_ms = 700 });
    assert_slice(buf_slice(&t.said), "550 5.7.1 not?you\r\n");
    assert_int_equal(t.paused_ms, 700);
    expect(&t, MAIL, BAD_SEQ); /* a refused hello is none */
    expect(&t, HELO, "");
    talk_verdict(&t, &(struct smtp_verdict){ .decision = SMTP_DISCONNECT, .reply = SMTP_REPLY_REFUSED });
    assert_slice(buf_slice(&t.said), "554 5.7.1 Refused\r\n");
    assert_true(t.closed);
    talk_deinit(&t);
}

TEST(a_connection_may_be_refused_at_the_door)
{
    struct talk t;
    struct smtp_session_conf c = { .hostname = SLICE("h"), .domain = SLICE("d") };
    smtp_session_conf_defaults(&c);
    talk_init_with(&t, &c);
    assert_slice(buf_slice(&t.said), "220 h ESMTP\r\n");
    talk_deinit(&t);
    t = (struct talk){ .conf = c, .slow = true };
    buf_init(&t.said, 1000);
    smtp_session_init(&t.s, &t.conf, NULL, "s2");
    talk_event(&t, SMTP_EV_CONNECT);
    talk_verdict(&t, &(struct smtp_verdict){ .decision = SMTP_REFUSE, .reply = SMTP_REPLY_BUSY });
    assert_slice(buf_slice(&t.said), "421 4.3.2 Too many connections, try again shortly\r\n");
    assert_true(t.closed);
    talk_deinit(&t);
}

TEST(shutdown_says_421_but_answers_for_a_message_that_is_being_stored)
{
    struct talk t;
    talk_init(&t);
    talk_send(&t, slice_of(TO_DATA "x\r\n"));
    talk_event(&t, SMTP_EV_SHUTDOWN);
    assert_true(t.closed);
    assert_slice(buf_slice(&t.said), AT_DATA "421 4.3.2 Shutting down, try again shortly\r\n");
    talk_deinit(&t);

    talk_init(&t);
    talk_send(&t, slice_of(TO_DATA));
    t.slow = true;
    talk_send(&t, slice_of("x\r\n.\r\n"));
    talk_event(&t, SMTP_EV_SHUTDOWN);
    assert_false(t.closed);
    talk_answer(&t);
    assert_true(t.closed);
    assert_slice(buf_slice(&t.said), AT_DATA QUEUED "421 4.3.2 Shutting down, try again shortly\r\n");
    talk_deinit(&t);
}

TEST(an_idle_client_is_told)
{
    struct talk t;
    talk_init(&t);
    assert_int_equal(smtp_session_limit_ms(&t.s), MINUTES(5));
    talk_send(&t, slice_of(TO_DATA "half a line"));
    assert_int_equal(smtp_session_limit_ms(&t.s), MINUTES(3));
    talk_event(&t, SMTP_EV_TIMEOUT);
    assert_slice(buf_slice(&t.said), AT_DATA "421 4.4.2 Idle for too long\r\n");
    assert_true(t.closed && !t.open);
    talk_deinit(&t);
}

TEST(tls_can_be_a_condition)
{
    struct talk t;
    talk_init(&t);
    t.conf.tls_required = true;
    expect(&t, HELO MAIL, HELO_OK "530 5.7.0 Must issue a STARTTLS command first\r\n");
    talk_deinit(&t);
}

TEST(what_is_not_offered_is_not_implemented)
{
    struct talk t;
    struct smtp_session_conf c = { .hostname = SLICE("h"), .domain = SLICE("d") };
    smtp_session_conf_defaults(&c);
    talk_init_with(&t, &c);
    expect(&t, EHLO,
           "250-h\r\n250-PIPELINING\r\n250-SIZE 36700160\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n"
           "250-SMTPUTF8\r\n250-DSN\r\n250 CHUNKING\r\n");
    expect(&t, "STARTTLS\r\n", "502 5.5.1 Command not implemented\r\n");
    expect(&t, "AUTH PLAIN x\r\n", "502 5.5.1 Command not implemented\r\n");
    talk_deinit(&t);
}

TEST(between_messages_a_session_holds_no_memory_of_them)
{
    struct talk t;
    talk_init(&t);
    talk_send(&t, slice_of(TO_DATA "x\r\n.\r\n"));
    assert_null(t.s.arena.blocks);
    assert_null(t.s.line.held.p);
    assert_true(sizeof t.s < 1024);
    talk_deinit(&t);
}
