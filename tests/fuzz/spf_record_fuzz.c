/* Any bytes as a record: parsed, and linted as if published. What parses must survive being walked. */
#include <stdlib.h>

#include "dns/spf_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct spf_terms *terms = xzalloc(sizeof *terms);
    struct dns_table table = { 0 };
    struct spf_lint *lint = xzalloc(sizeof *lint);
    struct slice at, text = slice_from(data, n);
    const char *why;
    if (!spf_record_parse(text, terms, &at, &why))
        for (size_t i = 0; i < terms->n; i++) ASSERT(terms->term[i].text.n > 0);
    else
        ASSERT(why);
    spf_lint_text(&table, SLICE("example.com"), text, 0, lint);
    ASSERT(lint->n <= SPF_LINT_FINDINGS_MAX && lint->n_missing <= SPF_MISSING_MAX);
    dns_table_deinit(&table);
    free(lint);
    free(terms);
    return 0;
}
