#!/bin/sh
# Every C file is laid out as .clang-format says. Other versions lay out otherwise, so only Debian 12's (14) is believed:
# without it the answer is 77, "skipped".
cd "${1:-.}" || exit 1
tool=$(command -v clang-format-14 || command -v clang-format) || exit 77
case $("$tool" --version) in *"version 14."*) ;; *) exit 77 ;; esac
find base proto dns node coordinator tests -name '*.[ch]' -exec "$tool" --dry-run --Werror {} + 2>&1 |
    awk -F: '/error:/ { print $1 ":" $2 ": not laid out: run clang-format -i " $1; bad = 1 } END { exit bad }'
