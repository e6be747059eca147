#include "node/accept/relay_control.h"

const char *accept_listener_name(enum accept_listener l)
{
    static const char *const names[] = {
        [ACCEPT_MX] = "mx", [ACCEPT_SUBMISSION] = "submission", [ACCEPT_SMARTHOST] = "smarthost"
    };
    _Static_assert(ARRAY_LEN(names) == ACCEPT_LISTENERS, "one name per listener");
    return names[l];
}

static bool is_inside(const struct relay_control *r, const struct addr *a)
{
    for (size_t i = 0; i < r->n_inside; i++)
        if (prefix_has(&r->inside[i], a)) return true;
    return false;
}

/* Bytes, not looks: a name that only looks like ours (another script, full-width letters) is somebody else's. */
static bool is_ours(const struct relay_control *r, struct slice domain)
{
    for (size_t i = 0; i < r->n_domains; i++)
        if (slice_ieq(r->domains[i], domain)) return true;
    return false;
}

/* user%host@us, host!user@us, "user@host"@us: the server inside might take our word for it and send it out again. */
static bool names_another_host(struct slice local)
{
    return slice_find(local, '%') != local.n || slice_find(local, '!') != local.n ||
           slice_find(local, '@') != local.n;
}

bool relay_control_trusts(const struct relay_control *r, const struct accept_client *c)
{
    return c->authenticated || (c->listener != ACCEPT_SUBMISSION && is_inside(r, &c->addr));
}

enum smtp_reply relay_control_mail(const struct relay_control *r, const struct accept_client *c)
{
    bool open_to_all = c->listener == ACCEPT_MX;
    return open_to_all || relay_control_trusts(r, c) ? SMTP_REPLY_NONE : SMTP_REPLY_AUTH_REQUIRED;
}

enum smtp_reply relay_control_rcpt(const struct relay_control *r, const struct accept_client *c,
                                   const struct smtp_address *to, enum flow *flow)
{
    bool trusted = relay_control_trusts(r, c);
    if (relay_control_mail(r, c)) return SMTP_REPLY_AUTH_REQUIRED;
    if (!to->domain.n) return SMTP_REPLY_BAD_RECIPIENT;
    /* Not even for our own people: a literal goes round the MX, to whatever answers there, inside hosts included. */
    if (to->literal) return trusted ? SMTP_REPLY_LITERAL_ADDRESS : SMTP_REPLY_RELAY_DENIED;
    bool ours = is_ours(r, to->domain);
    if (!ours && !trusted) return SMTP_REPLY_RELAY_DENIED;
    if (!trusted && names_another_host(to->local)) return SMTP_REPLY_ROUTED_ADDRESS;
    *flow = ours ? FLOW_IN : FLOW_OUT;
    return SMTP_REPLY_NONE;
}
