/* Command lines: whatever is accepted must mean exactly one thing and be put back into text without harm. */
#include "base/utf8.h"
#include "node/smtp/command.h"
#include "node/smtp/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_address(const struct smtp_address *a)
{
    struct smtp_address again;
    ASSERT(utf8_valid(a->whole));
    ASSERT(a->utf8 == !utf8_is_ascii(a->whole));
    for (size_t i = 0; i < a->whole.n; i++) ASSERT((uint8_t)a->whole.p[i] >= ' ' && a->whole.p[i] != 0x7f);
    if (!a->domain.n) return; /* null path, bare postmaster */
    ASSERT(a->local.n <= SMTP_LOCAL_MAX && a->domain.n <= SMTP_DOMAIN_MAX);
    ASSERT(a->whole.n == a->local.n + 1 + a->domain.n);
    ASSERT(a->literal || a->domain.p[a->domain.n - 1] != '.');
    /* The last "@" is the one: nobody may read another domain out of it. */
    ASSERT(slice_rfind(a->whole, '@') == a->local.n);
    ASSERT(a->quoted || slice_find(a->local, '@') == a->local.n);
    ASSERT(smtp_mailbox_parse(a->whole, &again) == ERR_OK);
    ASSERT(slice_eq(again.local, a->local) && slice_eq(again.domain, a->domain));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice s = slice_from(data, n), challenge = SLICE("");
    struct smtp_mail m;
    struct smtp_rcpt r;
    struct smtp_bdat b;
    struct sasl sasl = { 0 };
    if (smtp_mail_parse(s, &m) == SMTP_REPLY_NONE) {
        check_address(&m.sender);
        ASSERT(m.smtputf8 || !m.sender.utf8);
        ASSERT(m.envid.n <= SMTP_ENVID_MAX && utf8_is_ascii(m.envid));
    }
    for (int utf8 = 0; utf8 < 2; utf8++) {
        if (smtp_rcpt_parse(s, utf8, &r)) continue;
        check_address(&r.to);
        ASSERT(r.to.whole.n && (utf8 || !r.to.utf8));
        ASSERT(r.orcpt.n <= SMTP_ORCPT_MAX && utf8_valid(r.orcpt) && slice_find(r.orcpt, ' ') == r.orcpt.n);
        ASSERT(!(r.notify & SMTP_NOTIFY_NEVER) || r.notify == SMTP_NOTIFY_NEVER);
    }
    if (smtp_bdat_parse(s, &b) == SMTP_REPLY_NONE) ASSERT(n >= 1);
    if (sasl_start(&sasl, n % 2 ? SASL_PLAIN : SASL_LOGIN, s, &challenge) == SASL_READY)
        ASSERT(buf_len(&sasl.login) && buf_len(&sasl.login) <= SASL_LOGIN_MAX);
    sasl_deinit(&sasl);
    return 0;
}
