#include "node/smtp/address.h"

#include "base/utf8.h"

/* Bytes of the character at the front of `s` when it may stand in an unquoted local part or a label; 0: it may not. */
static size_t atom_char(struct slice s)
{
    char c = s.p[0];
    if ((uint8_t)c >= 0x80) return utf8_wide(s);
    return ascii_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static size_t label_char(struct slice s)
{
    char c = s.p[0];
    if ((uint8_t)c >= 0x80) return utf8_wide(s);
    return ascii_is_alnum(c) || c == '-' || c == '_';
}

/* Length of the dot-separated words at the front of `s`; 0: none, or an empty one between two dots. */
static size_t dotted_length(struct slice s, size_t (*word_char)(struct slice))
{
    size_t i = 0, n;
    for (;;) {
        size_t from = i;
        while (i < s.n && (n = word_char(slice_skip(s, i))) > 0) i += n;
        if (i == from) return 0;
        if (i == s.n || s.p[i] != '.') return i;
        i++;
    }
}

/* Length of a Quoted-string at the front of `s`; 0: there is none. */
static size_t quoted_length(struct slice s)
{
    if (s.n < 2 || s.p[0] != '"') return 0;
    for (size_t i = 1; i < s.n;) {
        uint8_t c = (uint8_t)s.p[i];
        if (c == '"') return i + 1;
        size_t n = c >= 0x80 ? utf8_wide(slice_skip(s, i)) : 1;
        if (c == '\\') {
            if (i + 1 == s.n) return 0;
            c = (uint8_t)s.p[i + 1];
            n = c >= 0x80 ? 0 : 2;
        }
        if (n == 0 || c < ' ' || c == 0x7f) return 0;
        i += n;
    }
    return 0;
}

bool smtp_domain_valid(struct slice s)
{
    if (s.n == 0 || s.n > SMTP_DOMAIN_MAX || dotted_length(s, label_char) != s.n) return false;
    struct slice label;
    while (slice_cut(&s, '.', &label))
        if (label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-') return false;
    return true;
}

bool smtp_literal_valid(struct slice s)
{
    struct addr a;
    if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']') return false;
    s = slice_sub(s, 1, s.n - 2);
    bool v6 = slice_istarts(s, SLICE("IPv6:"));
    if (v6) s = slice_skip(s, 5);
    bool colon = slice_find(s, ':') != s.n;
    return colon == v6 && addr_parse(s, &a) == ERR_OK;
}

bool smtp_helo_valid(struct slice s)
{
    if (s.n == 0 || s.n > SMTP_DOMAIN_MAX) return false;
    if (smtp_literal_valid(s)) return true;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("()<>@,;\\\"[]", s.p[i])) return false;
    return true;
}

/* local@domain at the front of *s; what follows the domain is the caller's. */
static enum err mailbox_take(struct slice *s, struct smtp_address *out)
{
    struct smtp_address a = { .quoted = s->n && s->p[0] == '"' };
    size_t n = a.quoted ? quoted_length(*s) : dotted_length(*s, atom_char);
    if (n == 0 || n > SMTP_LOCAL_MAX || n == s->n || s->p[n] != '@') return ERR_MALFORMED;
    a.local = slice_sub(*s, 0, n);
    struct slice rest = slice_skip(*s, n + 1);
    a.literal = rest.n && rest.p[0] == '[';
    size_t end = a.literal ? slice_find(rest, ']') + 1 : dotted_length(rest, label_char);
    if (end > rest.n) return ERR_MALFORMED;
    a.domain = slice_sub(rest, 0, end);
    if (a.literal ? !smtp_literal_valid(a.domain) : !smtp_domain_valid(a.domain)) return ERR_MALFORMED;
    a.whole = slice_sub(*s, 0, n + 1 + end);
    a.utf8 = !utf8_is_ascii(a.whole);
    *s = slice_skip(*s, a.whole.n);
    *out = a;
    return ERR_OK;
}

enum err smtp_mailbox_parse(struct slice s, struct smtp_address *out)
{
    struct smtp_address a;
    enum err err = mailbox_take(&s, &a);
    if (!err && s.n) err = ERR_MALFORMED;
    if (!err) *out = a;
    return err;
}

/* "@one,@two:" in front of a mailbox. */
static enum err route_take(struct slice *s, bool *routed)
{
    *routed = s->n && s->p[0] == '@';
    while (s->n && s->p[0] == '@') {
        *s = slice_skip(*s, 1);
        size_t n = dotted_length(*s, label_char);
        if (!smtp_domain_valid(slice_sub(*s, 0, n)) || n == s->n) return ERR_MALFORMED;
        char c = s->p[n];
        *s = slice_skip(*s, n + 1);
        if (c == ':') return ERR_OK;
        if (c != ',' || !s->n || s->p[0] != '@') return ERR_MALFORMED;
    }
    return *routed ? ERR_MALFORMED : ERR_OK;
}

enum err smtp_path_take(struct slice *s, struct smtp_address *out)
{
    struct slice in = *s;
    struct smtp_address a = { 0 };
    bool routed;
    if (in.n < 2 || in.p[0] != '<') return ERR_MALFORMED;
    in = slice_skip(in, 1);
    enum err err = route_take(&in, &routed);
    if (err) return err;
    static const struct slice postmaster = SLICE_INIT("postmaster");
    if (!routed && slice_istarts(in, postmaster) && in.n > postmaster.n && in.p[postmaster.n] == '>') {
        a.whole = a.local = slice_sub(in, 0, postmaster.n);
        in = slice_skip(in, postmaster.n);
    } else if (routed || in.p[0] != '>') {
        err = mailbox_take(&in, &a);
    }
    if (!err && (!in.n || in.p[0] != '>')) err = ERR_MALFORMED;
    if (err) return err;
    a.routed = routed;
    *s = slice_skip(in, 1);
    *out = a;
    return ERR_OK;
}
