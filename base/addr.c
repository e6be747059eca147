#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static size_t ip_bytes(const struct addr *a)
{
    return a->family == ADDR_V4 ? 4 : a->family == ADDR_V6 ? 16 : 0;
}

static void unmap(struct addr *a)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (a->family != ADDR_V6 || memcmp(a->ip, mapped, sizeof mapped) != 0) return;
    memmove(a->ip, a->ip + 12, 4);
    memset(a->ip + 4, 0, 12);
    a->family = ADDR_V4;
}

enum err addr_parse(struct slice s, struct addr *out)
{
    char text[ADDR_TEXT_MAX];
    struct addr a = { 0 };
    if (slice_cstr(s, text, sizeof text)) return ERR_MALFORMED;
    if (inet_pton(AF_INET, text, a.ip) == 1) {
        a.family = ADDR_V4;
    } else if (inet_pton(AF_INET6, text, a.ip) == 1) {
        a.family = ADDR_V6;
    } else {
        return ERR_MALFORMED;
    }
    unmap(&a);
    *out = a;
    return ERR_OK;
}

enum err addr_parse_port(struct slice s, uint16_t port, struct addr *out)
{
    struct slice ip = s, digits = { "", 0 };
    if (s.n && s.p[0] == '[') {
        size_t end = slice_find(s, ']');
        if (end == s.n) return ERR_MALFORMED;
        ip = slice_sub(s, 1, end - 1);
        struct slice rest = slice_skip(s, end + 1);
        if (rest.n && rest.p[0] != ':') return ERR_MALFORMED;
        digits = slice_skip(rest, 1);
        if (rest.n && digits.n == 0) return ERR_MALFORMED;
    } else if (slice_find(s, ':') == slice_rfind(s, ':') && slice_find(s, ':') != s.n) {
        size_t at = slice_find(s, ':');
        ip = slice_sub(s, 0, at);
        digits = slice_skip(s, at + 1);
        if (digits.n == 0) return ERR_MALFORMED;
    }
    uint64_t n = port;
    if (digits.n && slice_u64(digits, UINT16_MAX, &n)) return ERR_MALFORMED;
    struct addr a;
    enum err err = addr_parse(ip, &a);
    if (err) return err;
    a.port = (uint16_t)n;
    *out = a;
    return ERR_OK;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0) return false;
    if (bits % 8 == 0) return true;
    uint8_t mask = (uint8_t)(0xff << (8 - bits % 8));
    return ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

enum err prefix_parse(struct slice s, struct prefix *out)
{
    size_t at = slice_find(s, '/');
    struct prefix p = { 0 };
    if (addr_parse(slice_sub(s, 0, at), &p.base)) return ERR_MALFORMED;
    uint64_t bits = ip_bytes(&p.base) * 8;
    if (at != s.n && slice_u64(slice_skip(s, at + 1), bits, &bits)) return ERR_MALFORMED;
    p.bits = (uint8_t)bits;
    struct addr net = p.base; /* the host bits cleared: must change nothing */
    for (unsigned i = p.bits; i < ip_bytes(&net) * 8; i++) net.ip[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
    if (!addr_eq_ip(&net, &p.base)) return ERR_MALFORMED;
    *out = p;
    return ERR_OK;
}

bool prefix_has(const struct prefix *p, const struct addr *a)
{
    return p->base.family == a->family && bits_equal(p->base.ip, a->ip, p->bits);
}

const char *addr_format(const struct addr *a, char out[static ADDR_TEXT_MAX])
{
    out[0] = '-', out[1] = '\0';
    if (a->family == ADDR_V4) inet_ntop(AF_INET, a->ip, out, ADDR_TEXT_MAX);
    if (a->family == ADDR_V6) inet_ntop(AF_INET6, a->ip, out, ADDR_TEXT_MAX);
    return out;
}

const char *addr_format_port(const struct addr *a, char out[static ADDR_TEXT_MAX])
{
    char ip[ADDR_TEXT_MAX];
    addr_format(a, ip);
    if (!a->port) {
        memcpy(out, ip, sizeof ip);
    } else {
        snprintf(out, ADDR_TEXT_MAX, a->family == ADDR_V6 ? "[%.46s]:%u" : "%.46s:%u", ip, a->port);
    }
    return out;
}

bool addr_eq_ip(const struct addr *a, const struct addr *b)
{
    return addr_cmp_ip(a, b) == 0;
}

int addr_cmp_ip(const struct addr *a, const struct addr *b)
{
    if (a->family != b->family) return a->family < b->family ? -1 : 1;
    return memcmp(a->ip, b->ip, ip_bytes(a));
}

struct range {
    uint8_t family, bits, ip[16];
};

static bool in_ranges(const struct addr *a, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (r[i].family == a->family && bits_equal(r[i].ip, a->ip, r[i].bits)) return true;
    return false;
}

bool addr_is_loopback(const struct addr *a)
{
    static const struct range loopback[] = { { ADDR_V4, 8, { 127 } }, { ADDR_V6, 128, { [15] = 1 } } };
    return in_ranges(a, loopback, ARRAY_LEN(loopback));
}

bool addr_is_private(const struct addr *a)
{
    static const struct range ranges[] = {
        { ADDR_V4, 8, { 0 } },           { ADDR_V4, 8, { 10 } },         { ADDR_V4, 10, { 100, 64 } },
        { ADDR_V4, 8, { 127 } },         { ADDR_V4, 16, { 169, 254 } },  { ADDR_V4, 12, { 172, 16 } },
        { ADDR_V4, 16, { 192, 168 } },   { ADDR_V4, 4, { 224 } },        { ADDR_V4, 4, { 240 } },
        { ADDR_V6, 128, { 0 } },         { ADDR_V6, 128, { [15] = 1 } }, { ADDR_V6, 7, { 0xfc } },
        { ADDR_V6, 10, { 0xfe, 0x80 } }, { ADDR_V6, 8, { 0xff } },
    };
    return in_ranges(a, ranges, ARRAY_LEN(ranges));
}

bool addr_is_documentation(const struct addr *a)
{
    static const struct range ranges[] = {
        { ADDR_V4, 24, { 192, 0, 2 } },
        { ADDR_V4, 24, { 198, 51, 100 } },
        { ADDR_V4, 24, { 203, 0, 113 } },
        { ADDR_V6, 32, { 0x20, 0x01, 0x0d, 0xb8 } },
    };
    return in_ranges(a, ranges, ARRAY_LEN(ranges));
}

void addr_from_sockaddr(const struct sockaddr *sa, struct addr *out)
{
    struct addr a = { 0 };
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        a.family = ADDR_V4;
        memcpy(a.ip, &in->sin_addr, 4);
        a.port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)sa;
        a.family = ADDR_V6;
        memcpy(a.ip, &in->sin6_addr, 16);
        a.port = ntohs(in->sin6_port);
        unmap(&a);
    }
    *out = a;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (a->family == ADDR_V6) {
        struct sockaddr_in6 *in = (void *)out;
        in->sin6_family = AF_INET6;
        memcpy(&in->sin6_addr, a->ip, 16);
        in->sin6_port = htons(a->port);
        return sizeof *in;
    }
    struct sockaddr_in *in = (void *)out;
    in->sin_family = AF_INET;
    memcpy(&in->sin_addr, a->ip, 4);
    in->sin_port = htons(a->port);
    return sizeof *in;
}

void addr_reversed(const struct addr *a, struct buf *out)
{
    if (a->family == ADDR_V4) {
        buf_putf(out, "%u.%u.%u.%u", a->ip[3], a->ip[2], a->ip[1], a->ip[0]);
        return;
    }
    for (int i = 15; i >= 0; i--) buf_putf(out, i ? "%x.%x." : "%x.%x", a->ip[i] & 15, a->ip[i] >> 4);
}
