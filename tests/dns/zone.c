#include "tests/dns/zone.h"

#include "dns/message.h"
#include "tests/dns/wire.h"

static struct slice owner_of(struct slice line)
{
    struct slice w = slice_word(&line);
    return w;
}

void zone_put(struct dns_table *t, const char *zone, struct slice name, uint16_t type)
{
    struct wire_question q = { .type = type };
    struct slice rest = slice_of(zone), line;
    struct buf records, wire;
    struct dns_message m;
    struct dns_answer a;
    bool exists = false, fail = false, next;
    buf_init(&records, 65536);
    buf_init(&wire, DNS_MESSAGE_BYTES_MAX);
    ASSERT(!dns_name_parse(name, &q.name));
    while (slice_cut(&rest, '\n', &line)) {
        if (!dns_name_eq(owner_of(line), name)) continue;
        exists = true;
        fail = fail || slice_ends(line, SLICE(" FAIL"));
        buf_put(&records, line);
        buf_put(&records, SLICE("\n"));
    }
    wire_answer(&q, fail ? "servfail" : exists ? "" : "nxdomain", fail ? "" : buf_cstr(&records), &wire);
    ASSERT(!dns_message_parse(buf_slice(&wire), &m));
    dns_message_answer(&m, dns_name_slice(&q.name), type, &a, &next);
    dns_table_put(t, name, type, &a);
    dns_message_deinit(&m);
    buf_deinit(&records);
    buf_deinit(&wire);
}

void zone_settle(struct dns_table *t, const char *zone, const struct spf_missing *missing, size_t n)
{
    for (size_t i = 0; i < n; i++) zone_put(t, zone, dns_name_slice(&missing[i].name), missing[i].type);
}
