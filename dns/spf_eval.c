#include "dns/spf_check.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <spf2/spf.h>
#include <stdio.h>
#include <stdlib.h>

/* libspf2 asks its questions through one function. Ours reads the table; what is not there is noted, answered with "try
 * again", and whatever result comes out of that is thrown away.
 *
 * Known of libspf2 1.2.10 and dealt with here: it has had memory bugs, so only well-formed policies reach it; it stops
 * reading a TXT at a NUL; it has no limit of void look-ups; it counts what an include costs wrongly (spf_lint counts all
 * of it); the errors behind an INVALID or NONE result must be mapped; it lets every loopback address pass; it fetches
 * `exp=`. */

enum { SENDER_MAX = 320, VOIDS_NOTED_MAX = 16 };

struct seen {
    const struct dns_table *t;
    struct dns_name domain; /* the look-up of the policy itself is not counted as void */
    struct spf_missing *missing;
    size_t n_missing;
    struct spf_missing voids[VOIDS_NOTED_MAX];
    unsigned n_voids, lookups;
    bool malformed; /* a policy was met that is against the grammar */
};

const char *spf_result_name(enum spf_result r)
{
    static const char *const names[] = { "none",     "neutral",   "pass",     "fail",
                                         "softfail", "temperror", "permerror" };
    ASSERT(r < ARRAY_LEN(names));
    return names[r];
}

static bool noted(const struct spf_missing *list, size_t n, struct slice name, uint16_t type)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].type == type && dns_name_eq(dns_name_slice(&list[i].name), name)) return true;
    return false;
}

static void note_missing(struct seen *s, const struct dns_name *name, uint16_t type)
{
    if (s->n_missing == SPF_MISSING_MAX || noted(s->missing, s->n_missing, dns_name_slice(name), type))
        return;
    s->missing[s->n_missing++] = (struct spf_missing){ *name, type };
}

static void note_void(struct seen *s, const struct dns_name *name, uint16_t type)
{
    if (type == DNS_TXT && dns_name_eq(dns_name_slice(name), dns_name_slice(&s->domain))) return;
    if (s->n_voids == VOIDS_NOTED_MAX || noted(s->voids, s->n_voids, dns_name_slice(name), type)) return;
    s->voids[s->n_voids++] = (struct spf_missing){ *name, type };
}

/* --- The library's DNS layer --- */

/* The library has had its holes: it gets to see only what the grammar allows. */
static bool is_well_formed(struct slice policy)
{
    struct spf_terms *terms = xzalloc(sizeof *terms);
    struct slice at;
    const char *why;
    bool ok = spf_record_parse(policy, terms, &at, &why) == ERR_OK;
    free(terms);
    return ok;
}

static void put_bytes(SPF_dns_rr_t *rr, const void *p, size_t n)
{
    int i = rr->num_rr;
    if (SPF_dns_rr_buf_realloc(rr, i, n + 1) != SPF_E_SUCCESS) return;
    memcpy(rr->rr[i], p, n);
    ((char *)rr->rr[i])[n] = 0;
    rr->num_rr = i + 1;
}

static void put_record(struct seen *s, SPF_dns_rr_t *rr, const struct dns_record *r)
{
    switch (r->type) {
    case DNS_A: put_bytes(rr, r->addr.ip, 4); return;
    case DNS_AAAA:
        if (r->addr.family == ADDR_V6) put_bytes(rr, r->addr.ip, 16);
        return;
    case DNS_MX:
    case DNS_PTR: put_bytes(rr, r->name.p, r->name.n); return;
    case DNS_TXT:
        /* Neither does it see texts that are no policy. */
        if (!spf_record_is(r->text)) return;
        if (!is_well_formed(r->text)) {
            s->malformed = true;
            return;
        }
        put_bytes(rr, r->text.p, r->text.n);
        return;
    default: return;
    }
}

static SPF_dns_stat_t status_of(const struct dns_answer *a)
{
    switch (a->result) {
    case DNS_ANSWER: return NETDB_SUCCESS;
    case DNS_NODATA: return NO_DATA;
    case DNS_NXDOMAIN: return HOST_NOT_FOUND;
    case DNS_FAIL: return TRY_AGAIN;
    }
    return TRY_AGAIN;
}

static SPF_dns_rr_t *lookup(SPF_dns_server_t *server, const char *domain, ns_type type, int should_cache)
{
    struct seen *s = server->hook;
    struct dns_name name;
    s->lookups++;
    if (dns_name_parse(slice_of(domain), &name) ||
        name.n == 0) /* a macro may make anything: there is no such name */
        return SPF_dns_rr_new_init(server, domain, type, 0, HOST_NOT_FOUND);
    if (type != ns_t_txt && type != ns_t_a && type != ns_t_aaaa && type != ns_t_mx && type != ns_t_ptr)
        return SPF_dns_rr_new_init(server, domain, type, 0, NO_DATA);
    const struct dns_answer *a = dns_table_get(s->t, dns_name_slice(&name), (uint16_t)type);
    if (!a) {
        note_missing(s, &name, (uint16_t)type);
        return SPF_dns_rr_new_init(server, domain, type, 0, TRY_AGAIN);
    }
    if (a->result == DNS_NODATA || a->result == DNS_NXDOMAIN) note_void(s, &name, (uint16_t)type);
    SPF_dns_rr_t *rr = SPF_dns_rr_new_init(server, domain, type, (int)MIN(a->ttl_s, (uint32_t)86400),
                                           status_of(a));
    for (size_t i = 0; rr && i < a->n; i++) put_record(s, rr, &a->records[i]);
    if (rr && a->result == DNS_ANSWER && rr->num_rr == 0) rr->herrno = NO_DATA;
    return rr;
}

/* Explanations are for people who are refused; nobody is, here. */
static SPF_errcode_t no_explanation(SPF_server_t *server, const char *domain, char **buf, size_t *buf_len)
{
    return SPF_E_NOT_SPF;
}

/* --- The question --- */

static bool printable(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f) return false;
    return true;
}

/* "user@domain" with postmaster for whatever is missing (RFC 7208 2.4, 4.3). False: there is no domain to ask for. */
static bool sender_of(const struct spf_question *q, char out[static SENDER_MAX], struct dns_name *domain)
{
    struct slice from = q->mail_from;
    size_t at = slice_rfind(from, '@');
    struct slice local = at == from.n ? SLICE("") : slice_sub(from, 0, at);
    struct slice host = at == from.n ? from : slice_skip(from, at + 1);
    if (from.n == 0) host = q->helo;
    if (local.n == 0) local = SLICE("postmaster");
    if (local.n > 64 || !printable(local) || dns_name_labels(host) < 2) return false;
    if (dns_name_parse(host, domain)) return false;
    snprintf(out, SENDER_MAX, "%.*s@%s", SLICE_ARG(local), domain->text);
    return true;
}

static enum spf_result by_error(SPF_errcode_t e)
{
    switch (e) {
    case SPF_E_SUCCESS:
    case SPF_E_NOT_SPF: return SPF_NONE;
    case SPF_E_DNS_ERROR:
    case SPF_E_NO_MEMORY:
    case SPF_E_INTERNAL_ERROR: return SPF_TEMPERROR;
    default: return SPF_PERMERROR;
    }
}

/* NONE and INVALID hide errors: in the return code, in the response, or only among its messages. */
static enum spf_result hidden_error(SPF_response_t *r, SPF_errcode_t returned)
{
    if (by_error(returned) != SPF_NONE) return by_error(returned);
    if (by_error(SPF_response_errcode(r)) != SPF_NONE) return by_error(SPF_response_errcode(r));
    for (int i = 0; i < SPF_response_messages(r); i++) {
        SPF_error_t *e = SPF_response_message(r, i);
        if (SPF_error_errorp(e) && by_error(SPF_error_code(e)) != SPF_NONE)
            return by_error(SPF_error_code(e));
    }
    return SPF_NONE;
}

static enum spf_result result_of(SPF_response_t *r, SPF_errcode_t returned)
{
    switch (SPF_response_result(r)) {
    case SPF_RESULT_NEUTRAL: return SPF_NEUTRAL;
    case SPF_RESULT_PASS: return SPF_PASS;
    case SPF_RESULT_FAIL: return SPF_FAIL;
    case SPF_RESULT_SOFTFAIL: return SPF_SOFTFAIL;
    case SPF_RESULT_TEMPERROR: return SPF_TEMPERROR;
    case SPF_RESULT_PERMERROR: return SPF_PERMERROR;
    case SPF_RESULT_NONE:
    case SPF_RESULT_INVALID: return hidden_error(r, returned);
    }
    return SPF_TEMPERROR;
}

static void comment(struct spf_verdict *v, const char *text)
{
    snprintf(v->comment, sizeof v->comment, "%s", text ? text : "");
    for (char *p = v->comment; *p; p++)
        if (*p < 0x20 || *p >= 0x7f) *p = '?';
}

static void judge(struct seen *s, SPF_response_t *r, SPF_errcode_t returned, struct spf_verdict *v)
{
    v->result = result_of(r, returned);
    comment(v, SPF_response_get_header_comment(r));
    if (SPF_response_messages(r) > 0 && (v->result == SPF_PERMERROR || v->result == SPF_TEMPERROR))
        comment(v, SPF_error_message(SPF_response_message(r, 0)));
    if (s->malformed) { /* a syntax error anywhere ends the check (RFC 7208 4.6) */
        v->result = SPF_PERMERROR;
        comment(v, "a policy is not well-formed");
    } else if (s->n_voids > SPF_VOIDS_MAX && v->result != SPF_TEMPERROR) {
        v->result = SPF_PERMERROR;
        comment(v, "more than two look-ups find nothing (RFC 7208 4.6.4)");
    }
}

static void set_address(SPF_request_t *request, const struct addr *a)
{
    struct in_addr in4;
    struct in6_addr in6;
    if (a->family == ADDR_V6) {
        memcpy(&in6, a->ip, 16);
        SPF_request_set_ipv6(request, in6);
    } else {
        memcpy(&in4, a->ip, 4);
        SPF_request_set_ipv4(request, in4);
    }
}

static void run(struct seen *s, const struct spf_question *q, const char *sender, struct spf_verdict *v)
{
    SPF_dns_server_t dns = { .lookup = lookup, .get_exp = no_explanation, .name = "table", .hook = s };
    SPF_response_t *response = NULL;
    struct dns_name helo;
    SPF_server_t *server = SPF_server_new_dns(&dns, 0);
    SPF_request_t *request = server ? SPF_request_new(server) : NULL;
    ASSERT(request);
    SPF_server_set_rec_dom(server, "unknown");
    set_address(request, &q->ip);
    if (!dns_name_parse(q->helo, &helo) && helo.n) SPF_request_set_helo_dom(request, helo.text);
    SPF_request_set_env_from(request, sender);
    SPF_errcode_t err = SPF_request_query_mailfrom(request, &response);
    if (response) judge(s, response, err, v);
    SPF_response_free(response);
    SPF_request_free(request);
    SPF_server_free(server);
}

enum err spf_eval(const struct dns_table *t, const struct spf_question *q, struct spf_verdict *out,
                  struct spf_missing *missing, size_t *n_missing)
{
    struct spf_verdict v = { .result = SPF_TEMPERROR };
    struct seen s = { .t = t, .missing = missing };
    char sender[SENDER_MAX];
    *n_missing = 0;
    if (!sender_of(q, sender, &v.domain)) {
        v.result = SPF_NONE;
        comment(&v, "there is no domain that could have a policy");
    } else if (addr_is_loopback(&q->ip) || q->ip.family == ADDR_NONE) {
        v.result = SPF_NONE;
        comment(&v, "loopback addresses are not checked");
    } else {
        s.domain = v.domain;
        run(&s, q, sender, &v);
    }
    v.lookups = s.lookups;
    v.voids = s.n_voids;
    *n_missing = s.n_missing;
    if (s.n_missing) return ERR_RETRY;
    *out = v;
    return ERR_OK;
}
