#include "dns/update.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/net.h"
#include "base/rng.h"
#include "base/timers.h"

enum { HEADER_BYTES = 12, OPCODE_UPDATE = 5, CLASS_NONE = 254, CLASS_ANY = 255, STRING_MAX = 255 };

/* --- The message --- */

static ldns_rdf *dname_of(struct slice name)
{
    struct dns_name n;
    uint8_t wire[DNS_NAME_WIRE_MAX];
    if (dns_name_parse(name, &n)) return NULL;
    return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, dns_name_to_wire(dns_name_slice(&n), wire), wire);
}

static ldns_rr *rr_of(struct slice name, uint16_t class_, uint32_t ttl_s)
{
    ldns_rr *rr = ldns_rr_new();
    ASSERT(rr);
    ldns_rr_set_owner(rr, dname_of(name));
    ldns_rr_set_type(rr, LDNS_RR_TYPE_TXT);
    ldns_rr_set_class(rr, (ldns_rr_class)class_);
    ldns_rr_set_ttl(rr, ttl_s);
    return rr;
}

static void push_text(ldns_rr *rr, struct slice text)
{
    do {
        uint8_t string[STRING_MAX + 1];
        struct slice part = slice_sub(text, 0, STRING_MAX);
        string[0] = (uint8_t)part.n;
        if (part.n) memcpy(string + 1, part.p, part.n);
        ldns_rr_push_rdf(rr, ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, part.n + 1, string));
        text = slice_skip(text, part.n);
    } while (text.n);
}

static void push_texts(ldns_rr_list *list, const struct update_set *s, uint32_t ttl_s)
{
    for (size_t i = 0; i < s->n; i++) {
        ldns_rr *rr = rr_of(s->name, LDNS_RR_CLASS_IN, ttl_s);
        push_text(rr, s->text[i]);
        ldns_rr_list_push_rr(list, rr);
    }
}

static enum err check_sets(const struct update *u, const struct update_set *sets, size_t n)
{
    struct dns_name name;
    if (n > UPDATE_SETS_MAX) return ERR_LIMIT;
    for (size_t i = 0; i < n; i++) {
        if (sets[i].n > UPDATE_TEXTS_MAX) return ERR_LIMIT;
        if (dns_name_parse(sets[i].name, &name) || !dns_name_below(sets[i].name, u->zone))
            return ERR_MALFORMED;
    }
    return ERR_OK;
}

static enum err pack(const struct update *u, uint16_t id, ldns_rr_list *require, ldns_rr_list *replace,
                     struct buf *out)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    ldns_rdf *zone = dname_of(u->zone); /* owned by the packet */
    ldns_pkt *pkt = ldns_update_pkt_new(zone, LDNS_RR_CLASS_IN, require, replace, NULL);
    ASSERT(pkt);
    ldns_pkt_set_id(pkt, id);
    ldns_status status = ldns_pkt2wire(&bytes, pkt, &n);
    ldns_pkt_free(pkt);
    if (status != LDNS_STATUS_OK) return ERR_LIMIT;
    enum err err = buf_append(out, slice_from(bytes, n));
    LDNS_FREE(bytes);
    return err;
}

enum err update_format(const struct update *u, uint16_t id, struct buf *out)
{
    struct dns_name zone;
    if (dns_name_parse(u->zone, &zone)) return ERR_MALFORMED;
    enum err err = check_sets(u, u->require, u->n_require);
    if (!err) err = check_sets(u, u->replace, u->n_replace);
    if (err) return err;
    ldns_rr_list *require = ldns_rr_list_new(), *replace = ldns_rr_list_new();
    for (size_t i = 0; i < u->n_require; i++) {
        push_texts(require, &u->require[i], 0); /* the TTL must be 0 (2.4.2) */
        if (u->require[i].n == 0) ldns_rr_list_push_rr(require, rr_of(u->require[i].name, CLASS_NONE, 0));
    }
    for (size_t i = 0; i < u->n_replace; i++) {
        ldns_rr_list_push_rr(replace, rr_of(u->replace[i].name, CLASS_ANY, 0));
        push_texts(replace, &u->replace[i], u->replace[i].ttl_s);
    }
    err = pack(u, id, require, replace, out);
    ldns_rr_list_deep_free(require);
    ldns_rr_list_deep_free(replace);
    return err;
}

/* --- The answer --- */

#define UPDATE_ROW(name, word, text) { word, text },
static const char *const words[][2] = { UPDATE_MAP(UPDATE_ROW) };

const char *update_result_name(enum update_result r)
{
    ASSERT(r < ARRAY_LEN(words));
    return words[r][0];
}

const char *update_result_text(enum update_result r)
{
    ASSERT(r < ARRAY_LEN(words));
    return words[r][1];
}

static enum update_result by_rcode(uint16_t rcode, char *detail)
{
    switch (rcode) {
    case DNS_RCODE_NOERROR: return UPDATE_APPLIED;
    case DNS_RCODE_YXDOMAIN:
    case DNS_RCODE_NXDOMAIN:
    case DNS_RCODE_YXRRSET:
    case DNS_RCODE_NXRRSET: return UPDATE_STALE;
    case DNS_RCODE_REFUSED: return UPDATE_REFUSED;
    case DNS_RCODE_NOTAUTH: return UPDATE_NOTAUTH;
    case DNS_RCODE_NOTZONE: return UPDATE_NOTZONE;
    case DNS_RCODE_SERVFAIL: return UPDATE_SERVFAIL;
    case DNS_RCODE_FORMERR:
    case DNS_RCODE_NOTIMP:
        snprintf(detail, UPDATE_DETAIL_MAX, "rcode %s: does this server take dynamic updates?",
                 dns_rcode_name(rcode));
        return UPDATE_REFUSED;
    default: snprintf(detail, UPDATE_DETAIL_MAX, "rcode %u", rcode); return UPDATE_UNKNOWN;
    }
}

static enum update_result on_badtime(uint64_t server_s, uint64_t now_s, char *detail)
{
    time_t t = (time_t)server_s;
    struct tm tm;
    char when[40] = "?";
    int64_t ahead_s = (int64_t)(now_s - server_s);
    if (gmtime_r(&t, &tm)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(detail, UPDATE_DETAIL_MAX, "the server's clock says %s, ours is %lld s %s", when,
             (long long)(ahead_s < 0 ? -ahead_s : ahead_s), ahead_s < 0 ? "behind" : "ahead");
    return UPDATE_BADTIME;
}

static const char *const check_words[] = {
    [TSIG_ABSENT] = "no signature",
    [TSIG_MALFORMED] = "a signature that cannot be read",
    [TSIG_WRONG_KEY] = "signed with another key",
    [TSIG_WRONG_MAC] = "the signature is wrong",
    [TSIG_WRONG_TIME] = "signed too long ago, or in the future",
};

enum update_result update_read(struct slice answer, uint16_t id, const struct tsig_key *key,
                               const struct tsig_mac *asked, uint64_t now_s,
                               char detail[static UPDATE_DETAIL_MAX])
{
    const uint8_t *h = (const uint8_t *)answer.p;
    uint16_t error;
    uint64_t server_s;
    detail[0] = 0;
    if (answer.n < HEADER_BYTES || h[0] != id >> 8 || h[1] != (id & 255) || !(h[2] & 0x80) ||
        (h[2] >> 3 & 15) != OPCODE_UPDATE) {
        snprintf(detail, UPDATE_DETAIL_MAX, "the answer does not belong to the update");
        return UPDATE_UNKNOWN;
    }
    uint16_t rcode = h[3] & 15;
    if (!key) return by_rcode(rcode, detail);
    enum tsig_check check = tsig_check(answer, key, asked, now_s, &error, &server_s);
    if (check == TSIG_ABSENT && error == 17) return UPDATE_BADKEY;
    if (check == TSIG_ABSENT && error == 16) return UPDATE_BADSIG;
    if (error == 18) return on_badtime(server_s, now_s, detail);
    if (check == TSIG_OK) return by_rcode(rcode, detail);
    snprintf(detail, UPDATE_DETAIL_MAX, "rcode %s, %s", dns_rcode_name(rcode), check_words[check]);
    return UPDATE_UNSIGNED;
}

/* --- Sending --- */

struct update_op {
    const struct env *env;
    struct tsig_key key;
    bool sign;
    uint16_t id;
    struct tsig_mac mac;
    struct buf message, rx;
    struct net_op *dial;
    struct stream *stream;
    struct timer timer;
    enum update_result early; /* what `timer` reports when nothing could be sent */
    update_done_fn *done;
    void *owner;
};

static void op_free(struct update_op *op)
{
    timer_clear(op->env->timers, &op->timer);
    net_dial_cancel(&op->dial);
    stream_close(&op->stream);
    buf_deinit(&op->message);
    buf_deinit(&op->rx);
    tsig_key_wipe(&op->key);
    free(op);
}

void update_cancel(struct update_op **op)
{
    if (*op) op_free(*op);
    *op = NULL;
}

static void finish(struct update_op *op, enum update_result r, const char *detail)
{
    update_done_fn *done = op->done;
    void *owner = op->owner;
    char text[UPDATE_DETAIL_MAX];
    snprintf(text, sizeof text, "%s", detail ? detail : ""); /* may point into the stream */
    op_free(op);
    done(owner, r, text);
}

static void on_limit(struct timer *t)
{
    struct update_op *op = t->owner;
    finish(op, op->early, op->early == UPDATE_UNKNOWN ? "no answer in time" : "");
}

static uint64_t now_s(const struct update_op *op)
{
    return timers_wall_ms(op->env->timers) / 1000;
}

static void on_bytes(void *owner, struct slice bytes)
{
    struct update_op *op = owner;
    char detail[UPDATE_DETAIL_MAX];
    if (buf_append(&op->rx, bytes)) {
        finish(op, UPDATE_UNKNOWN, "the answer is too long");
        return;
    }
    struct slice got = buf_slice(&op->rx);
    if (got.n < 2) return;
    size_t n = (size_t)(uint8_t)got.p[0] << 8 | (uint8_t)got.p[1];
    if (got.n < n + 2) return;
    enum update_result r = update_read(slice_sub(got, 2, n), op->id, op->sign ? &op->key : NULL, &op->mac,
                                       now_s(op), detail);
    finish(op, r, detail);
}

static void on_end(void *owner, enum err why, const char *detail)
{
    finish(owner, UPDATE_UNKNOWN, "the connection ended before the answer");
}

static const struct stream_events events = { .data = on_bytes, .end = on_end };

/* Signed now and not earlier: connecting may have taken its time. */
static void on_dialled(void *owner, enum err err, struct stream *s, const char *detail)
{
    struct update_op *op = owner;
    op->dial = NULL;
    if (err) {
        char text[UPDATE_DETAIL_MAX];
        snprintf(text, sizeof text, "cannot connect: %s", detail && *detail ? detail : err_text(err));
        finish(op, UPDATE_UNKNOWN, text);
        return;
    }
    op->stream = s;
    stream_attach(s, &events, op);
    if (op->sign && tsig_sign(&op->message, &op->key, now_s(op), &op->mac)) {
        finish(op, UPDATE_REFUSED, "the update is too long");
        return;
    }
    char prefix[2] = { (char)(buf_len(&op->message) >> 8), (char)buf_len(&op->message) };
    stream_write(s, slice_from(prefix, 2));
    stream_write(s, buf_slice(&op->message));
}

struct update_op *update_send(const struct env *env, const struct update_conf *conf, const struct update *u,
                              update_done_fn *done, void *owner)
{
    struct update_op *op = xzalloc(sizeof *op);
    uint32_t limit_ms = conf->limit_ms ? conf->limit_ms : 10000;
    struct dial_conf dial = { .to = conf->server, .limit_ms = limit_ms };
    if (!dial.to.port) dial.to.port = 53;
    op->env = env;
    op->done = done;
    op->owner = owner;
    op->sign = conf->key;
    if (conf->key) op->key = *conf->key;
    op->id = (uint16_t)rng_u64(env->rng);
    op->early = UPDATE_UNKNOWN;
    buf_init(&op->message, UPDATE_BYTES_MAX);
    buf_init(&op->rx, UINT16_MAX + 2);
    if (update_format(u, op->id, &op->message)) {
        op->early = UPDATE_NOTZONE;
        timer_set_in(env->timers, &op->timer, 0, on_limit, op);
        return op;
    }
    timer_set_in(env->timers, &op->timer, limit_ms, on_limit, op);
    op->dial = net_dial(env->net, &dial, on_dialled, op);
    return op;
}
