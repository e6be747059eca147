#include "dns/answer.h"

#include <stdlib.h>

#include "base/buf.h"

const char *dns_type_name(uint16_t type)
{
    switch (type) {
    case DNS_A: return "A";
    case DNS_NS: return "NS";
    case DNS_CNAME: return "CNAME";
    case DNS_SOA: return "SOA";
    case DNS_PTR: return "PTR";
    case DNS_MX: return "MX";
    case DNS_TXT: return "TXT";
    case DNS_AAAA: return "AAAA";
    case DNS_TLSA: return "TLSA";
    default: return "TYPE";
    }
}

const char *dns_rcode_name(uint16_t rcode)
{
    static const char *const names[] = {
        "NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",  "REFUSED",
        "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE",
    };
    return rcode < ARRAY_LEN(names) ? names[rcode] : "RCODE";
}

const char *dns_result_name(enum dns_result r)
{
    static const char *const names[] = { "answer", "nodata", "nxdomain", "fail" };
    ASSERT(r < ARRAY_LEN(names));
    return names[r];
}

#define WHY_ROW(name, word, text) { word, text },
static const char *const whys[][2] = { DNS_WHY_MAP(WHY_ROW) };

const char *dns_why_name(enum dns_why w)
{
    ASSERT(w < ARRAY_LEN(whys));
    return whys[w][0];
}

const char *dns_why_text(enum dns_why w)
{
    ASSERT(w < ARRAY_LEN(whys));
    return whys[w][1];
}

/* --- A copy in one block: the struct, the records, then every text with its NUL --- */

static size_t records_bytes(const struct dns_record *r, size_t n)
{
    size_t bytes = n * sizeof *r;
    for (size_t i = 0; i < n; i++) bytes += r[i].owner.n + r[i].name.n + r[i].text.n + 3;
    return bytes;
}

size_t dns_answer_bytes(const struct dns_answer *a)
{
    return sizeof *a + records_bytes(a->records, a->n) + records_bytes(a->authority, a->n_authority) +
           a->canonical.n + a->why_detail.n + 2;
}

static struct slice put_text(char **to, struct slice s)
{
    struct slice copy = { *to, s.n };
    if (s.n) memcpy(*to, s.p, s.n);
    (*to)[s.n] = 0;
    *to += s.n + 1;
    return copy;
}

static void put_records(struct dns_record *to, const struct dns_record *from, size_t n, char **text)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
        to[i].owner = put_text(text, from[i].owner);
        to[i].name = put_text(text, from[i].name);
        to[i].text = put_text(text, from[i].text);
    }
}

struct dns_answer *dns_answer_dup(const struct dns_answer *a)
{
    struct dns_answer *copy = xzalloc(dns_answer_bytes(a));
    struct dns_record *records = (struct dns_record *)(copy + 1);
    struct dns_record *authority = records + a->n;
    char *text = (char *)(authority + a->n_authority);
    *copy = *a;
    copy->records = records;
    copy->authority = authority;
    put_records(records, a->records, a->n, &text);
    put_records(authority, a->authority, a->n_authority, &text);
    copy->canonical = put_text(&text, a->canonical);
    copy->why_detail = put_text(&text, a->why_detail);
    return copy;
}

/* --- Tables --- */

enum { KEY_MAX = DNS_NAME_MAX + 8 };

static struct slice table_key(struct slice name, uint16_t type, char out[static KEY_MAX])
{
    size_t n = 0;
    out[n++] = (char)(type >> 8);
    out[n++] = (char)type;
    if (name.n && name.p[name.n - 1] == '.') name.n--;
    ASSERT(name.n <= DNS_NAME_MAX);
    for (size_t i = 0; i < name.n; i++) out[n++] = ascii_lower(name.p[i]);
    return slice_from(out, n);
}

void dns_table_deinit(struct dns_table *t)
{
    struct slice key;
    void *value;
    size_t at = 0;
    while (map_next(&t->map, &at, &key, &value)) free(value);
    map_deinit(&t->map);
}

void dns_table_put(struct dns_table *t, struct slice name, uint16_t type, const struct dns_answer *a)
{
    char key[KEY_MAX];
    free(map_put(&t->map, table_key(name, type, key), dns_answer_dup(a)));
}

const struct dns_answer *dns_table_get(const struct dns_table *t, struct slice name, uint16_t type)
{
    char key[KEY_MAX];
    if (name.n > DNS_NAME_MAX) return NULL;
    return map_get(&t->map, table_key(name, type, key));
}
