#include "tests/dns/wire.h"

#include <ldns/ldns.h>
#include <stdio.h>

bool wire_question(struct slice query, struct wire_question *out)
{
    ldns_pkt *pkt = NULL;
    if (ldns_wire2pkt(&pkt, (const uint8_t *)query.p, query.n) != LDNS_STATUS_OK) return false;
    const ldns_rr *q = ldns_rr_list_rr(ldns_pkt_question(pkt), 0);
    *out = (struct wire_question){ .id = ldns_pkt_id(pkt),
                                   .type = (uint16_t)ldns_rr_get_type(q),
                                   .recursion = ldns_pkt_rd(pkt),
                                   .edns = ldns_pkt_edns(pkt) };
    bool ok = !dns_name_from_wire(ldns_rdf_data(ldns_rr_owner(q)), ldns_rdf_size(ldns_rr_owner(q)),
                                  &out->name);
    ldns_pkt_free(pkt);
    return ok;
}

static void push(ldns_pkt *pkt, ldns_pkt_section section, struct slice line)
{
    char text[8192];
    ldns_rr *rr = NULL;
    ASSERT(!slice_cstr(line, text, sizeof text));
    ldns_status status = ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL);
    if (status != LDNS_STATUS_OK) fprintf(stderr, "%s: %s\n", text, ldns_get_errorstr_by_id(status));
    ASSERT(status == LDNS_STATUS_OK);
    ldns_pkt_push_rr(pkt, section, rr);
}

static void set_flags(ldns_pkt *pkt, struct slice flags)
{
    for (struct slice w = slice_word(&flags); w.n; w = slice_word(&flags)) {
        if (slice_eq(w, SLICE("nora"))) ldns_pkt_set_ra(pkt, false);
        if (slice_eq(w, SLICE("aa"))) ldns_pkt_set_aa(pkt, true);
        if (slice_eq(w, SLICE("tc"))) ldns_pkt_set_tc(pkt, true);
        if (slice_eq(w, SLICE("ad"))) ldns_pkt_set_ad(pkt, true);
        if (slice_eq(w, SLICE("nxdomain"))) ldns_pkt_set_rcode(pkt, LDNS_RCODE_NXDOMAIN);
        if (slice_eq(w, SLICE("servfail"))) ldns_pkt_set_rcode(pkt, LDNS_RCODE_SERVFAIL);
        if (slice_eq(w, SLICE("refused"))) ldns_pkt_set_rcode(pkt, LDNS_RCODE_REFUSED);
        if (slice_eq(w, SLICE("formerr"))) ldns_pkt_set_rcode(pkt, LDNS_RCODE_FORMERR);
    }
}

void wire_answer(const struct wire_question *q, const char *flags, const char *records, struct buf *out)
{
    uint8_t wire[DNS_NAME_WIRE_MAX], *bytes = NULL;
    size_t n = dns_name_to_wire(dns_name_slice(&q->name), wire);
    ldns_rdf *name = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, n, wire);
    ldns_pkt *pkt = ldns_pkt_query_new(name, (ldns_rr_type)q->type, LDNS_RR_CLASS_IN, 0);
    ldns_pkt_section section = LDNS_SECTION_ANSWER;
    struct slice rest = slice_of(records), line;
    ldns_pkt_set_id(pkt, q->id);
    ldns_pkt_set_qr(pkt, true);
    ldns_pkt_set_ra(pkt, q->recursion);
    set_flags(pkt, slice_of(flags));
    while (slice_cut(&rest, '\n', &line)) {
        if (slice_starts(line, SLICE("; authority"))) section = LDNS_SECTION_AUTHORITY;
        if (slice_starts(line, SLICE("; additional"))) section = LDNS_SECTION_ADDITIONAL;
        if (line.n && line.p[0] != ';') push(pkt, section, line);
    }
    ASSERT(ldns_pkt2wire(&bytes, pkt, &n) == LDNS_STATUS_OK);
    buf_put(out, slice_from(bytes, n));
    LDNS_FREE(bytes);
    ldns_pkt_free(pkt);
}
