#include "node/smtp/command.h"

#include "base/utf8.h"

struct params {
    struct smtp_mail *mail;
    struct smtp_rcpt *rcpt;
    bool smtputf8; /* for RCPT: the transaction's */
};

/* RFC 3461 4: printable ASCII but "+" and "=", or +HH in upper case. */
static bool is_xtext(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c <= ' ' || c >= 0x7f || c == '=') return false;
        if (c != '+') continue;
        for (size_t k = 1; k <= 2; k++) {
            char h = i + k < s.n ? s.p[i + k] : '\0';
            if (!ascii_is_digit(h) && !(h >= 'A' && h <= 'F')) return false;
        }
        i += 2;
    }
    return true;
}

/* Up to 20 digits (RFC 1870 4): a number too big for 64 bits is a message too big for us, not a syntax error. */
static enum smtp_reply on_size(struct params *p, struct slice v)
{
    enum err err = v.n > 20 ? ERR_MALFORMED : slice_u64(v, UINT64_MAX, &p->mail->size);
    if (err == ERR_LIMIT) p->mail->size = UINT64_MAX;
    return err == ERR_MALFORMED ? SMTP_REPLY_BAD_SYNTAX : SMTP_REPLY_NONE;
}

static enum smtp_reply on_body(struct params *p, struct slice v)
{
    p->mail->body_8bit = slice_ieq(v, SLICE("8BITMIME"));
    if (p->mail->body_8bit || slice_ieq(v, SLICE("7BIT"))) return SMTP_REPLY_NONE;
    return slice_ieq(v, SLICE("BINARYMIME")) ? SMTP_REPLY_BAD_PARAMETER : SMTP_REPLY_BAD_SYNTAX;
}

static enum smtp_reply on_smtputf8(struct params *p, struct slice v)
{
    p->mail->smtputf8 = true;
    return SMTP_REPLY_NONE;
}

static enum smtp_reply on_ret(struct params *p, struct slice v)
{
    p->mail->ret = slice_ieq(v, SLICE("FULL"))   ? SMTP_RET_FULL
                   : slice_ieq(v, SLICE("HDRS")) ? SMTP_RET_HDRS
                                                 : SMTP_RET_NOT_GIVEN;
    return p->mail->ret ? SMTP_REPLY_NONE : SMTP_REPLY_BAD_SYNTAX;
}

static enum smtp_reply on_envid(struct params *p, struct slice v)
{
    if (!v.n || v.n > SMTP_ENVID_MAX || !is_xtext(v)) return SMTP_REPLY_BAD_SYNTAX;
    p->mail->envid = v;
    return SMTP_REPLY_NONE;
}

/* RFC 4954 5: who first submitted it, according to the client. We vouch for nobody, so it is checked and dropped. */
static enum smtp_reply on_auth(struct params *p, struct slice v)
{
    return v.n && (slice_eq(v, SLICE("<>")) || is_xtext(v)) ? SMTP_REPLY_NONE : SMTP_REPLY_BAD_SYNTAX;
}

static enum smtp_reply on_notify(struct params *p, struct slice v)
{
    static const struct {
        struct slice word;
        uint8_t bit;
    } words[] = { { SLICE_INIT("SUCCESS"), SMTP_NOTIFY_SUCCESS },
                  { SLICE_INIT("FAILURE"), SMTP_NOTIFY_FAILURE },
                  { SLICE_INIT("DELAY"), SMTP_NOTIFY_DELAY },
                  { SLICE_INIT("NEVER"), SMTP_NOTIFY_NEVER } };
    struct slice word;
    if (v.n && v.p[v.n - 1] == ',') return SMTP_REPLY_BAD_SYNTAX;
    while (slice_cut(&v, ',', &word)) {
        size_t i = 0;
        while (i < ARRAY_LEN(words) && !slice_ieq(word, words[i].word)) i++;
        if (i == ARRAY_LEN(words)) return SMTP_REPLY_BAD_SYNTAX;
        p->rcpt->notify |= words[i].bit;
    }
    bool never_and_more = (p->rcpt->notify & SMTP_NOTIFY_NEVER) && p->rcpt->notify != SMTP_NOTIFY_NEVER;
    return !p->rcpt->notify || never_and_more ? SMTP_REPLY_BAD_SYNTAX : SMTP_REPLY_NONE;
}

/* addr-type ";" xtext; with SMTPUTF8 the address may be UTF-8 (RFC 6533 3), which we keep as it is. */
static enum smtp_reply on_orcpt(struct params *p, struct slice v)
{
    struct slice type, address = v;
    if (v.n > SMTP_ORCPT_MAX || !slice_cut(&address, ';', &type) || !type.n || !address.n)
        return SMTP_REPLY_BAD_SYNTAX;
    for (size_t i = 0; i < type.n; i++)
        if (!ascii_is_alnum(type.p[i]) && type.p[i] != '-') return SMTP_REPLY_BAD_SYNTAX;
    bool utf8 = p->smtputf8 && slice_ieq(type, SLICE("utf-8"));
    if (utf8 ? !utf8_valid(address) : !is_xtext(address)) return SMTP_REPLY_BAD_SYNTAX;
    p->rcpt->orcpt = v;
    return SMTP_REPLY_NONE;
}

struct param {
    struct slice name;
    bool has_value;
    enum smtp_reply (*on)(struct params *p, struct slice value);
};
static const struct param mail_params[] = {
    { SLICE_INIT("SIZE"), true, on_size },          { SLICE_INIT("BODY"), true, on_body },
    { SLICE_INIT("SMTPUTF8"), false, on_smtputf8 }, { SLICE_INIT("RET"), true, on_ret },
    { SLICE_INIT("ENVID"), true, on_envid },        { SLICE_INIT("AUTH"), true, on_auth },
};
static const struct param rcpt_params[] = {
    { SLICE_INIT("NOTIFY"), true, on_notify },
    { SLICE_INIT("ORCPT"), true, on_orcpt },
};

/* " SIZE=1 BODY=7BIT": each word against the table, each at most once. */
static enum smtp_reply take_params(struct slice s, const struct param *table, size_t n, struct params *p)
{
    uint32_t seen = 0;
    if (s.n && !ascii_is_blank(s.p[0])) return SMTP_REPLY_BAD_SYNTAX;
    for (struct slice word; (word = slice_word(&s)).n;) {
        struct slice value = word, name;
        bool has_value = slice_find(word, '=') != word.n;
        slice_cut(&value, '=', &name);
        size_t i = 0;
        while (i < n && !slice_ieq(name, table[i].name)) i++;
        if (i == n) return SMTP_REPLY_BAD_PARAMETER;
        if (has_value != table[i].has_value || seen & BIT(i)) return SMTP_REPLY_BAD_SYNTAX;
        seen |= BIT(i);
        enum smtp_reply refused = table[i].on(p, value);
        if (refused) return refused;
    }
    return SMTP_REPLY_NONE;
}

/* "FROM:" or "TO:" and a path. Blanks around the colon are against the RFC and common. */
static bool take_path(struct slice *s, struct slice keyword, struct smtp_address *out)
{
    *s = slice_trim(*s);
    if (!slice_istarts(*s, keyword)) return false;
    *s = slice_trim(slice_skip(*s, keyword.n));
    if (!s->n || s->p[0] != ':') return false;
    *s = slice_trim(slice_skip(*s, 1));
    return smtp_path_take(s, out) == ERR_OK;
}

static bool is_bare_postmaster(const struct smtp_address *a)
{
    return a->local.n && !a->domain.n;
}

enum smtp_reply smtp_mail_parse(struct slice args, struct smtp_mail *out)
{
    struct smtp_mail m = { 0 };
    struct params p = { .mail = &m };
    if (!take_path(&args, SLICE("FROM"), &m.sender) || is_bare_postmaster(&m.sender))
        return SMTP_REPLY_BAD_SENDER;
    enum smtp_reply refused = take_params(args, mail_params, ARRAY_LEN(mail_params), &p);
    if (refused) return refused;
    if (m.sender.utf8 && !m.smtputf8) return SMTP_REPLY_NEEDS_SMTPUTF8;
    *out = m;
    return SMTP_REPLY_NONE;
}

enum smtp_reply smtp_rcpt_parse(struct slice args, bool smtputf8, struct smtp_rcpt *out)
{
    struct smtp_rcpt r = { 0 };
    struct params p = { .rcpt = &r, .smtputf8 = smtputf8 };
    if (!take_path(&args, SLICE("TO"), &r.to) || !r.to.whole.n) return SMTP_REPLY_BAD_RECIPIENT;
    if (r.to.utf8 && !smtputf8) return SMTP_REPLY_NEEDS_SMTPUTF8;
    enum smtp_reply refused = take_params(args, rcpt_params, ARRAY_LEN(rcpt_params), &p);
    if (refused) return refused;
    *out = r;
    return SMTP_REPLY_NONE;
}

enum smtp_reply smtp_bdat_parse(struct slice args, struct smtp_bdat *out)
{
    struct smtp_bdat b = { 0 };
    struct slice size = slice_word(&args), last = slice_word(&args), more = slice_word(&args);
    if (slice_u64(size, UINT64_MAX, &b.size) || more.n) return SMTP_REPLY_BAD_SYNTAX;
    b.last = slice_ieq(last, SLICE("LAST"));
    if (last.n && !b.last) return SMTP_REPLY_BAD_SYNTAX;
    *out = b;
    return SMTP_REPLY_NONE;
}
