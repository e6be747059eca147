#include "dns/name.h"

static bool label_char(char c)
{
    return c > 0x20 && c < 0x7f && c != '.' && c != '\\';
}

enum err dns_name_parse(struct slice s, struct dns_name *out)
{
    struct dns_name n = { 0 };
    size_t label = 0;
    if (s.n && s.p[s.n - 1] == '.') s.n--;
    if (s.n > DNS_NAME_MAX) return ERR_LIMIT;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.') {
            if (label == 0) return ERR_MALFORMED;
            label = 0;
        } else {
            if (!label_char(s.p[i])) return ERR_MALFORMED;
            if (++label > DNS_LABEL_MAX) return ERR_LIMIT;
        }
        n.text[i] = ascii_lower(s.p[i]);
    }
    if (s.n && label == 0) return ERR_MALFORMED;
    n.n = (uint8_t)s.n;
    *out = n;
    return ERR_OK;
}

enum err dns_name_join(struct slice label, struct slice parent, struct dns_name *out)
{
    char text[DNS_NAME_MAX + 1];
    size_t n = label.n;
    if (label.n == 0) return dns_name_parse(parent, out);
    if (label.n > DNS_NAME_MAX || parent.n > DNS_NAME_MAX) return ERR_LIMIT;
    if (label.n + (parent.n ? 1 : 0) + parent.n > DNS_NAME_MAX) return ERR_LIMIT;
    memcpy(text, label.p, label.n);
    if (parent.n) {
        text[n++] = '.';
        memcpy(text + n, parent.p, parent.n);
        n += parent.n;
    }
    return dns_name_parse(slice_from(text, n), out);
}

enum err dns_name_from_wire(const uint8_t *wire, size_t n, struct dns_name *out)
{
    struct dns_name name = { 0 };
    size_t at = 0, to = 0;
    if (n == 0 || n > DNS_NAME_WIRE_MAX) return ERR_MALFORMED;
    while (at < n && wire[at] != 0) {
        size_t label = wire[at++];
        if (label > DNS_LABEL_MAX || at + label >= n || to + label + 1 > DNS_NAME_MAX + 1)
            return ERR_MALFORMED;
        if (to) name.text[to++] = '.';
        for (size_t i = 0; i < label; i++) {
            char c = (char)wire[at + i];
            if (!label_char(c)) return ERR_MALFORMED;
            name.text[to++] = ascii_lower(c);
        }
        at += label;
    }
    if (at + 1 != n || to > DNS_NAME_MAX) return ERR_MALFORMED;
    name.text[to] = 0;
    name.n = (uint8_t)to;
    *out = name;
    return ERR_OK;
}

size_t dns_name_to_wire(struct slice name, uint8_t out[static DNS_NAME_WIRE_MAX])
{
    struct slice label;
    size_t n = 0;
    while (slice_cut(&name, '.', &label)) {
        if (label.n == 0) continue; /* the final dot */
        ASSERT(label.n <= DNS_LABEL_MAX && n + label.n + 2 <= DNS_NAME_WIRE_MAX);
        out[n++] = (uint8_t)label.n;
        for (size_t i = 0; i < label.n; i++) out[n++] = (uint8_t)ascii_lower(label.p[i]);
    }
    out[n++] = 0;
    return n;
}

static struct slice without_dot(struct slice s)
{
    if (s.n && s.p[s.n - 1] == '.') s.n--;
    return s;
}

bool dns_name_eq(struct slice a, struct slice b)
{
    return slice_ieq(without_dot(a), without_dot(b));
}

bool dns_name_below(struct slice name, struct slice zone)
{
    name = without_dot(name);
    zone = without_dot(zone);
    if (zone.n == 0) return true;
    if (!slice_iends(name, zone)) return false;
    return name.n == zone.n || name.p[name.n - zone.n - 1] == '.';
}

struct slice dns_name_parent(struct slice name)
{
    return slice_skip(name, slice_find(name, '.') + 1);
}

size_t dns_name_labels(struct slice name)
{
    struct slice label;
    size_t n = 0;
    name = without_dot(name);
    while (slice_cut(&name, '.', &label)) n++;
    return n;
}

bool dns_name_is_host(struct slice name)
{
    struct slice label = { "", 0 };
    struct dns_name parsed;
    bool number = false;
    if (dns_name_parse(name, &parsed) || parsed.n == 0) return false;
    name = dns_name_slice(&parsed);
    while (slice_cut(&name, '.', &label)) {
        number = true;
        if (label.p[0] == '-' || label.p[label.n - 1] == '-') return false;
        for (size_t i = 0; i < label.n; i++) {
            if (!ascii_is_alnum(label.p[i]) && label.p[i] != '-') return false;
            if (!ascii_is_digit(label.p[i])) number = false;
        }
    }
    return !number; /* "192.0.2.1" is an address (RFC 1123 2.1) */
}
