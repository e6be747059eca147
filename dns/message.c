#include "dns/message.h"

#include <arpa/inet.h>
#include <ldns/ldns.h>
#include <netinet/in.h>

/* --- Questions --- */

enum err dns_query_format(const struct dns_query *q, struct buf *out)
{
    struct dns_name name;
    uint8_t wire[DNS_NAME_WIRE_MAX], *bytes = NULL;
    size_t n = 0;
    enum err err = dns_name_parse(q->name, &name);
    if (err) return ERR_MALFORMED;
    size_t wire_n = dns_name_to_wire(dns_name_slice(&name), wire);
    ldns_rdf *dname = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, wire_n, wire);
    ldns_pkt *pkt = ldns_pkt_query_new(dname, (ldns_rr_type)q->type, LDNS_RR_CLASS_IN, 0); /* takes dname */
    ASSERT(pkt);
    ldns_pkt_set_id(pkt, q->id);
    ldns_pkt_set_rd(pkt, q->recursion);
    ldns_pkt_set_ad(pkt, q->want_ad);
    if (q->edns) ldns_pkt_set_edns_udp_size(pkt, DNS_EDNS_BYTES);
    ldns_status status = ldns_pkt2wire(&bytes, pkt, &n);
    ldns_pkt_free(pkt);
    ASSERT(status == LDNS_STATUS_OK && n <= DNS_QUERY_BYTES_MAX);
    err = buf_append(out, slice_from(bytes, n));
    LDNS_FREE(bytes);
    return err;
}

/* --- Answers --- */

static bool kept_type(ldns_rr_type t)
{
    switch ((enum dns_type)t) {
    case DNS_A:
    case DNS_NS:
    case DNS_CNAME:
    case DNS_SOA:
    case DNS_PTR:
    case DNS_MX:
    case DNS_TXT:
    case DNS_AAAA:
    case DNS_TLSA: return true;
    }
    return false;
}

static bool take_name(struct arena *arena, const ldns_rdf *rdf, struct slice *out)
{
    struct dns_name name;
    if (!rdf || dns_name_from_wire(ldns_rdf_data(rdf), ldns_rdf_size(rdf), &name)) return false;
    *out = arena_dup(arena, dns_name_slice(&name));
    return true;
}

static bool take_addr(const ldns_rdf *rdf, uint16_t type, struct addr *out)
{
    struct sockaddr_in in4 = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    if (type == DNS_A && ldns_rdf_size(rdf) == 4) {
        memcpy(&in4.sin_addr, ldns_rdf_data(rdf), 4);
        addr_from_sockaddr((struct sockaddr *)&in4, out);
        return true;
    }
    if (type == DNS_AAAA && ldns_rdf_size(rdf) == 16) {
        memcpy(&in6.sin6_addr, ldns_rdf_data(rdf), 16);
        addr_from_sockaddr((struct sockaddr *)&in6, out);
        return true;
    }
    return false;
}

/* Joins the strings with nothing between them (RFC 7208 3.3). */
static bool take_text(struct arena *arena, const ldns_rr *rr, struct dns_record *out)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) n += ldns_rdf_size(ldns_rr_rdf(rr, i));
    char *text = arena_alloc(arena, n + 1);
    for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
        const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
        size_t size = ldns_rdf_size(rdf);
        if (size == 0 || size != (size_t)ldns_rdf_data(rdf)[0] + 1) return false;
        memcpy(text + at, ldns_rdf_data(rdf) + 1, size - 1);
        at += size - 1;
    }
    out->text = slice_from(text, at);
    out->strings = (uint16_t)ldns_rr_rd_count(rr);
    return true;
}

static bool take_rdata(struct arena *arena, const ldns_rr *rr, struct dns_record *out)
{
    size_t n = ldns_rr_rd_count(rr);
    if (n == 0) return false;
    for (size_t i = 0; i < n; i++)
        if (!ldns_rr_rdf(rr, i)) return false; /* rdata cut short: ldns would assert on it */
    switch ((enum dns_type)out->type) {
    case DNS_A:
    case DNS_AAAA: return take_addr(ldns_rr_rdf(rr, 0), out->type, &out->addr);
    case DNS_NS:
    case DNS_CNAME:
    case DNS_PTR: return take_name(arena, ldns_rr_rdf(rr, 0), &out->name);
    case DNS_MX:
        if (n != 2) return false;
        out->pref = ldns_rdf2native_int16(ldns_rr_rdf(rr, 0));
        return take_name(arena, ldns_rr_rdf(rr, 1), &out->name);
    case DNS_SOA:
        if (n != 7 || !take_name(arena, ldns_rr_rdf(rr, 0), &out->name)) return false;
        out->serial = ldns_rdf2native_int32(ldns_rr_rdf(rr, 2));
        out->minimum_s = ldns_rdf2native_int32(ldns_rr_rdf(rr, 6));
        return true;
    case DNS_TXT: return take_text(arena, rr, out);
    case DNS_TLSA: {
        struct buf b;
        buf_init(&b, DNS_MESSAGE_BYTES_MAX);
        for (size_t i = 0; i < n; i++)
            buf_put(&b, slice_from(ldns_rdf_data(ldns_rr_rdf(rr, i)), ldns_rdf_size(ldns_rr_rdf(rr, i))));
        out->text = arena_dup(arena, buf_slice(&b));
        buf_deinit(&b);
        return true;
    }
    }
    return false;
}

static bool take_record(struct arena *arena, const ldns_rr *rr, struct dns_record *out)
{
    *out = (struct dns_record){ .type = (uint16_t)ldns_rr_get_type(rr), .ttl_s = ldns_rr_ttl(rr) };
    out->owner = out->name = out->text = SLICE("");
    if (out->ttl_s > INT32_MAX) out->ttl_s = 0; /* RFC 2181 8 */
    return take_name(arena, ldns_rr_owner(rr), &out->owner) && take_rdata(arena, rr, out);
}

static enum err take_section(struct dns_message *m, const ldns_rr_list *list, struct dns_record **out,
                             size_t *n)
{
    size_t kept = 0, all = ldns_rr_list_rr_count(list);
    for (size_t i = 0; i < all; i++) kept += kept_type(ldns_rr_get_type(ldns_rr_list_rr(list, i)));
    if (kept > DNS_SECTION_RECORDS_MAX) return ERR_MALFORMED;
    *out = arena_alloc(&m->arena, (kept + 1) * sizeof **out);
    for (size_t i = 0; i < all; i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        if (!kept_type(ldns_rr_get_type(rr)) || ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN) continue;
        if (take_record(&m->arena, rr, &(*out)[*n]))
            (*n)++;
        else
            m->left_out++;
    }
    return ERR_OK;
}

static enum err take_question(struct dns_message *m, const ldns_pkt *pkt)
{
    const ldns_rr_list *list = ldns_pkt_question(pkt);
    if (ldns_rr_list_rr_count(list) > 1) return ERR_MALFORMED; /* RFC 9619 */
    if (ldns_rr_list_rr_count(list) == 0) return ERR_OK;
    const ldns_rr *q = ldns_rr_list_rr(list, 0);
    const ldns_rdf *owner = ldns_rr_owner(q);
    if (!owner || dns_name_from_wire(ldns_rdf_data(owner), ldns_rdf_size(owner), &m->qname))
        return ERR_MALFORMED;
    m->qtype = (uint16_t)ldns_rr_get_type(q);
    m->qclass = (uint16_t)ldns_rr_get_class(q);
    m->has_question = true;
    return ERR_OK;
}

static enum err take_message(struct dns_message *m, const ldns_pkt *pkt)
{
    m->id = ldns_pkt_id(pkt);
    m->rcode = (uint16_t)ldns_pkt_get_rcode(pkt);
    if (ldns_pkt_edns(pkt)) m->rcode |= (uint16_t)(ldns_pkt_edns_extended_rcode(pkt) << 4);
    m->opcode = (uint8_t)ldns_pkt_get_opcode(pkt);
    m->response = ldns_pkt_qr(pkt);
    m->aa = ldns_pkt_aa(pkt);
    m->tc = ldns_pkt_tc(pkt);
    m->rd = ldns_pkt_rd(pkt);
    m->ra = ldns_pkt_ra(pkt);
    m->ad = ldns_pkt_ad(pkt);
    enum err err = take_question(m, pkt);
    if (!err) err = take_section(m, ldns_pkt_answer(pkt), &m->answers, &m->n_answers);
    if (!err) err = take_section(m, ldns_pkt_authority(pkt), &m->authority, &m->n_authority);
    if (!err) err = take_section(m, ldns_pkt_additional(pkt), &m->additional, &m->n_additional);
    return err;
}

enum err dns_message_parse(struct slice wire, struct dns_message *out)
{
    struct dns_message m = { 0 };
    ldns_pkt *pkt = NULL;
    if (wire.n < 12 || wire.n > DNS_MESSAGE_BYTES_MAX) return ERR_MALFORMED;
    if (ldns_wire2pkt(&pkt, (const uint8_t *)wire.p, wire.n) != LDNS_STATUS_OK) return ERR_MALFORMED;
    enum err err = take_message(&m, pkt);
    ldns_pkt_free(pkt);
    if (err)
        arena_deinit(&m.arena);
    else
        *out = m;
    return err;
}

void dns_message_deinit(struct dns_message *m)
{
    arena_deinit(&m->arena);
    *m = (struct dns_message){ 0 };
}

/* --- The verdict of a message --- */

static const struct dns_record *find(const struct dns_message *m, struct slice owner, uint16_t type)
{
    for (size_t i = 0; i < m->n_answers; i++)
        if (m->answers[i].type == type && slice_ieq(m->answers[i].owner, owner)) return &m->answers[i];
    return NULL;
}

/* RFC 2308 5: the SOA's own TTL or its minimum, whichever is less; 0 without one. */
static bool negative_ttl(const struct dns_message *m, struct slice name, uint32_t *ttl_s)
{
    for (size_t i = 0; i < m->n_authority; i++) {
        const struct dns_record *soa = &m->authority[i];
        if (soa->type != DNS_SOA || !dns_name_below(name, soa->owner)) continue;
        *ttl_s = MIN(soa->ttl_s, soa->minimum_s);
        return true;
    }
    *ttl_s = 0;
    return false;
}

static enum dns_why why_of(uint16_t rcode)
{
    switch (rcode) {
    case DNS_RCODE_SERVFAIL: return DNS_WHY_SERVFAIL;
    case DNS_RCODE_REFUSED:
    case DNS_RCODE_NOTAUTH: return DNS_WHY_REFUSED;
    default: return DNS_WHY_OTHER;
    }
}

/* The records of one RRset stand together at the front of the answers, so that a slice of them is the set. */
static void gather(const struct dns_message *m, struct slice owner, uint16_t type, struct dns_answer *out)
{
    struct dns_record *to = m->answers;
    for (size_t i = 0; i < m->n_answers; i++) {
        if (m->answers[i].type != type || !slice_ieq(m->answers[i].owner, owner)) continue;
        struct dns_record keep = m->answers[i];
        m->answers[i] = *to;
        *to++ = keep;
        out->ttl_s = MIN(out->ttl_s, keep.ttl_s);
    }
    out->records = m->answers;
    out->n = (size_t)(to - m->answers);
}

void dns_message_answer(const struct dns_message *m, struct slice name, uint16_t type, struct dns_answer *out,
                        bool *ask_next)
{
    struct dns_answer a = {
        .rcode = m->rcode, .aa = m->aa, .ad = m->ad, .ttl_s = UINT32_MAX, .canonical = name
    };
    const struct dns_record *alias;
    uint32_t negative_s;
    unsigned aliases = 0;
    a.why_detail = SLICE("");
    a.authority = m->authority;
    a.n_authority = m->n_authority;
    *ask_next = false;
    while (type != DNS_CNAME && (alias = find(m, a.canonical, DNS_CNAME)) && aliases <= DNS_ALIASES_MAX) {
        a.canonical = alias->name;
        a.ttl_s = MIN(a.ttl_s, alias->ttl_s);
        aliases++;
    }
    bool soa = negative_ttl(m, a.canonical, &negative_s);
    if (m->rcode != DNS_RCODE_NOERROR && m->rcode != DNS_RCODE_NXDOMAIN) {
        a.result = DNS_FAIL;
        a.why = why_of(m->rcode);
        a.ttl_s = 0;
    } else if (aliases > DNS_ALIASES_MAX) {
        a.result = DNS_FAIL;
        a.why = DNS_WHY_LOOP;
        a.ttl_s = 0;
    } else if (find(m, a.canonical, type)) {
        a.result = DNS_ANSWER;
        gather(m, a.canonical, type, &a);
    } else {
        a.result = m->rcode == DNS_RCODE_NXDOMAIN ? DNS_NXDOMAIN : DNS_NODATA;
        *ask_next = aliases > 0 && !soa && a.result == DNS_NODATA;
        if (!*ask_next) a.ttl_s = MIN(a.ttl_s, negative_s);
    }
    *out = a;
}
