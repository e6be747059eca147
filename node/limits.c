#include "node/limits.h"

#define V(limit) (offsetof(struct limit_rule, value) + (limit) * sizeof(uint64_t))

static const char *const names[] = {
    [LIMIT_CONNECTIONS] = "connections",
    [LIMIT_MESSAGES_PER_CONNECTION] = "messages_per_connection",
    [LIMIT_RATE] = "rate",
    [LIMIT_RECIPIENTS] = "recipients",
};
_Static_assert(ARRAY_LEN(names) == LIMITS, "one name per limit");

static const struct opt rows[] = {
    { "domain", OPT_STRING, offsetof(struct limit_rule, domain), NULL, 1, 255,
      "whose mail: a domain, .example.net for everything below it, * for all; or the host of a next hop" },
    { "connections", OPT_U64, V(LIMIT_CONNECTIONS), "0", 0, 10000, "deliveries at once; 0: not said here" },
    { "messages_per_connection", OPT_U64, V(LIMIT_MESSAGES_PER_CONNECTION), "0", 0, 10000,
      "messages over one connection; 0: not said here" },
    { "rate", OPT_U64, V(LIMIT_RATE), "0", 0, 60000, "messages a minute, evenly; 0: not said here" },
    { "recipients", OPT_U64, V(LIMIT_RECIPIENTS), "0", 0, 10000,
      "recipients of one transaction; 0: not said here" },
    { 0 },
};
const struct opt_table limit_rule_table = { rows, sizeof(struct limit_rule),
                                            offsetof(struct limit_rule, line) };

const char *limit_name(enum limit l)
{
    return names[l];
}

/* "[10.0.0.25]:25" and "mail.example:25" are hosts with a port, "example.net." is example.net. */
static struct slice bare(struct slice d)
{
    size_t colon = slice_find(d, ':');
    if (d.n && d.p[0] == '[') return slice_sub(d, 1, slice_find(slice_skip(d, 1), ']'));
    d = slice_sub(d, 0, colon);
    if (d.n && d.p[d.n - 1] == '.') d.n--;
    return d;
}

static bool iends(struct slice s, struct slice end)
{
    return s.n > end.n && slice_ieq(slice_skip(s, s.n - end.n), end);
}

size_t destination_fit(const char *rule, struct slice destination)
{
    struct slice d = slice_of(rule), domain = bare(destination);
    if (slice_eq(d, SLICE("*"))) return 1;
    if (d.n && d.p[0] == '.') return iends(domain, d) ? 1 + d.n : 0;
    return slice_ieq(bare(d), domain) ? SIZE_MAX : 0;
}

void limits_find(const struct limits *l, struct slice destination, struct limit_value out[static LIMITS])
{
    size_t best[LIMITS] = { 0 };
    for (enum limit k = 0; k < LIMITS; k++) out[k] = (struct limit_value){ l->def[k], NULL };
    for (size_t i = 0; i < l->n; i++) {
        size_t fit = destination_fit(l->rules[i].domain, destination);
        for (enum limit k = 0; k < LIMITS; k++) {
            if (fit <= best[k] || !l->rules[i].value[k]) continue;
            best[k] = fit;
            out[k] = (struct limit_value){ l->rules[i].value[k], &l->rules[i] };
        }
    }
}
