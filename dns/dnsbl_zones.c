#include "dns/dnsbl.h"

const char dnsbl_known_reviewed[] = "2026-09-01";

#define ZONE(zone_, listed_, policy_, kind_, weight_, delist_, note_) \
    { .zone = SLICE_INIT(zone_),                                      \
      .listed = SLICE_INIT(listed_),                                  \
      .policy = SLICE_INIT(policy_),                                  \
      .class_ = DNSBL_##kind_,                                        \
      .weight = (weight_),                                            \
      .delist = SLICE_INIT(delist_),                                  \
      .note = SLICE_INIT(note_),                                      \
      .retired = SLICE_INIT("") },
#define RETIRED(zone_, why_)     \
    { .zone = SLICE_INIT(zone_), \
      .listed = SLICE_INIT(""),  \
      .policy = SLICE_INIT(""),  \
      .class_ = DNSBL_SPAM,      \
      .delist = SLICE_INIT(""),  \
      .note = SLICE_INIT(""),    \
      .retired = SLICE_INIT(why_) },

const struct dnsbl_known dnsbl_known[] = {
#include "dns/zones.def"
};
const size_t dnsbl_known_n = ARRAY_LEN(dnsbl_known);

static const struct slice key_label = SLICE_INIT("<key>.");

static bool is_row_of(const struct dnsbl_known *k, struct slice zone)
{
    if (slice_starts(k->zone, key_label)) {
        struct slice service = slice_skip(k->zone, key_label.n);
        return dns_name_below(zone, service) && !dns_name_eq(zone, service);
    }
    return k->retired.n ? dns_name_below(zone, k->zone) : dns_name_eq(zone, k->zone);
}

const struct dnsbl_known *dnsbl_known_find(struct slice zone)
{
    for (size_t i = 0; i < dnsbl_known_n; i++)
        if (is_row_of(&dnsbl_known[i], zone)) return &dnsbl_known[i];
    return NULL;
}

static bool looks_like_a_key(struct slice label)
{
    bool digit = false, letter = false;
    for (size_t i = 0; i < label.n; i++) {
        digit = digit || ascii_is_digit(label.p[i]);
        letter = letter || ascii_is_alpha(label.p[i]);
    }
    return label.n >= 16 && digit && letter;
}

/* How much of `zone` is in front of the public name of a keyed service: "1.2.KEY." of "1.2.KEY.zen.dq.spamhaus.net". */
static size_t before_service(struct slice zone)
{
    for (size_t i = 0; i < dnsbl_known_n; i++) {
        struct slice service = slice_skip(dnsbl_known[i].zone, key_label.n);
        if (!slice_starts(dnsbl_known[i].zone, key_label) || !dns_name_below(zone, service)) continue;
        return zone.n - service.n;
    }
    return 0;
}

void dnsbl_redact(struct slice zone, struct buf *out)
{
    struct slice rest, label;
    if (zone.n && zone.p[zone.n - 1] == '.') zone.n--;
    rest = zone;
    size_t service_at = before_service(zone);
    bool first = true;
    while (slice_cut(&rest, '.', &label)) {
        size_t end = (size_t)(label.p - zone.p) + label.n + 1;
        bool key = (service_at && end == service_at) || looks_like_a_key(label);
        buf_putf(out, "%s%.*s", first ? "" : ".", SLICE_ARG(key ? SLICE("<key>") : label));
        first = false;
    }
}
