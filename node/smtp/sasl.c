#include "node/smtp/sasl.h"

#include "base/utf8.h"

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (ascii_is_digit(c)) return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648 with padding and without line ends. LIMIT past out->max. */
static enum err base64_decode(struct slice s, struct buf *out)
{
    if (s.n % 4 != 0) return ERR_MALFORMED;
    for (size_t i = 0; i < s.n; i += 4) {
        bool last = i + 4 == s.n;
        size_t pad = last && s.p[i + 3] == '=' ? 1 + (s.p[i + 2] == '=') : 0;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int six = k >= 4 - pad ? 0 : base64_value(s.p[i + k]);
            if (six < 0) return ERR_MALFORMED;
            v = v << 6 | (uint32_t)six;
        }
        char bytes[3] = { (char)(v >> 16), (char)(v >> 8), (char)v };
        enum err err = buf_append(out, slice_from(bytes, 3 - pad));
        if (err) return err;
    }
    return ERR_OK;
}

static void wipe(struct buf *b)
{
    if (b->p) explicit_bzero(b->p, b->cap);
    buf_deinit(b);
}

void sasl_deinit(struct sasl *s)
{
    wipe(&s->login);
    wipe(&s->password);
    s->mechanism = SASL_NONE;
}

enum sasl_mechanism sasl_mechanism_named(struct slice name)
{
    return slice_ieq(name, SLICE("PLAIN"))   ? SASL_PLAIN
           : slice_ieq(name, SLICE("LOGIN")) ? SASL_LOGIN
                                             : SASL_NONE;
}

static bool is_login(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] < ' ' || s.p[i] == 0x7f) return false;
    return s.n > 0 && s.n <= SASL_LOGIN_MAX && utf8_valid(s);
}

/* authzid NUL authcid NUL password. Acting for somebody else is not offered: authzid is empty or the same. */
static enum sasl_step take_plain(struct sasl *s, struct slice decoded)
{
    struct slice authzid, login;
    if (!slice_cut(&decoded, '\0', &authzid) || !slice_cut(&decoded, '\0', &login)) return SASL_MALFORMED;
    bool other = authzid.n && !slice_eq(authzid, login);
    bool bad_password = slice_find(decoded, '\0') != decoded.n;
    if (other || bad_password || !is_login(login)) return SASL_MALFORMED;
    if (buf_append(&s->login, login) || buf_append(&s->password, decoded)) return SASL_MALFORMED;
    return SASL_READY;
}

static enum sasl_step take_login(struct sasl *s, struct slice decoded, struct slice *challenge)
{
    if (buf_len(&s->login) == 0) {
        if (!is_login(decoded) || buf_append(&s->login, decoded)) return SASL_MALFORMED;
        *challenge = SLICE("UGFzc3dvcmQ6"); /* "Password:" */
        return SASL_CHALLENGE;
    }
    bool bad = slice_find(decoded, '\0') != decoded.n || buf_append(&s->password, decoded);
    return bad ? SASL_MALFORMED : SASL_READY;
}

enum sasl_step sasl_feed(struct sasl *s, struct slice line, struct slice *challenge)
{
    if (slice_eq(line, SLICE("*"))) return SASL_CANCELLED;
    struct buf decoded;
    buf_init(&decoded, 2 * SASL_LOGIN_MAX + SASL_PASSWORD_MAX + 2);
    enum sasl_step step = SASL_MALFORMED;
    if (base64_decode(line, &decoded) == ERR_OK)
        step = s->mechanism == SASL_PLAIN ? take_plain(s, buf_slice(&decoded))
                                          : take_login(s, buf_slice(&decoded), challenge);
    wipe(&decoded);
    return step;
}

enum sasl_step sasl_start(struct sasl *s, enum sasl_mechanism m, struct slice initial,
                          struct slice *challenge)
{
    ASSERT(m != SASL_NONE);
    sasl_deinit(s);
    s->mechanism = m;
    buf_init(&s->login, SASL_LOGIN_MAX);
    buf_init(&s->password, SASL_PASSWORD_MAX);
    if (initial.n) return sasl_feed(s, slice_eq(initial, SLICE("=")) ? SLICE("") : initial, challenge);
    *challenge = m == SASL_PLAIN ? SLICE("") : SLICE("VXNlcm5hbWU6"); /* "Username:" */
    return SASL_CHALLENGE;
}
