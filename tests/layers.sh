#!/bin/sh
# Includes point one way: base ← proto, dns ← node | coordinator. Also: uv and OpenSSL only in files named _uv.
cd "${1:-.}" && find base proto dns node coordinator -name '*.[ch]' -exec awk '
BEGIN { may["base"] = "base"; may["proto"] = "base proto"; may["dns"] = "base dns"
        may["node"] = "base proto dns node"; may["coordinator"] = "base proto dns coordinator" }
/^#include "/ {
    split(FILENAME, at, "/"); split($2, inc, /["\/]/)
    if (index(" " may[at[1]] " ", " " inc[2] " ") == 0) { print FILENAME ":" FNR ": " at[1] " may not include " $2; bad = 1 }
}
/^#include <(uv|openssl\/ssl)\.h>/ && FILENAME !~ /_uv\.[ch]$/ { print FILENAME ":" FNR ": only files named _uv include " $2; bad = 1 }
END { exit bad }' {} +
